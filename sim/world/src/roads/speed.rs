//! Speed limits as `maxspeed` and its relatives write them, and what surfaces allow.
//!
//! Sources: the wiki's Key:maxspeed and Speed_limits pages; the surface speeds are those of OSRM's car profile.

pub(super) const KM_PER_HOUR_PER_MPS: f64 = 3.6;
const KM_PER_MILE: f64 = 1.609_344;
const KM_PER_NAUTICAL_MILE: f64 = 1.852;

/// Limits outside are typing errors or not meant for road vehicles.
const LIMIT_KM_PER_HOUR: std::ops::RangeInclusive<f64> = 5.0..=150.0;
/// Walking pace, as German courts understand it.
const WALK_KM_PER_HOUR: f64 = 7.0;
/// Where nothing limits the speed: the pace that Germany advises on its motorways.
const NONE_KM_PER_HOUR: f64 = 130.0;

/// A limit in km/h: `30`, `20 mph`, `walk`, `none`, or the name of a rule such as `FI:urban`. Of several, the lowest.
/// `None` for what is no limit, which leaves the class to decide.
pub(super) fn limit_of(text: &str) -> Option<f64> {
    let limits = text.split([';', '|']).filter_map(|one| single(one.trim()));
    limits.reduce(f64::min)
}

fn single(text: &str) -> Option<f64> {
    match text {
        "walk" => return Some(WALK_KM_PER_HOUR),
        "none" => return Some(NONE_KM_PER_HOUR),
        _ => {}
    }
    if let Some((country, rule)) = text.rsplit_once(':') {
        return rule_of(country, rule);
    }
    let units = [("mph", KM_PER_MILE), ("km/h", 1.0), ("kmh", 1.0), ("knots", KM_PER_NAUTICAL_MILE)];
    let by_unit = units.into_iter().find_map(|(unit, km)| Some((text.strip_suffix(unit)?, km)));
    let (number, km) = by_unit.unwrap_or((text, 1.0));
    in_range(number.trim().parse::<f64>().ok()? * km)
}

fn in_range(limit: f64) -> Option<f64> {
    LIMIT_KM_PER_HOUR.contains(&limit).then_some(limit)
}

/// What a country's rule says. Rules that all countries have in much the same form are listed once, and the
/// countries that differ before them.
fn rule_of(country: &str, rule: &str) -> Option<f64> {
    // `DE:zone:30` and `DE:zone30`, and signs such as `DE:30` that name the country for no reason.
    let country = country.split(':').next().unwrap_or(country);
    if let Ok(limit) = rule.trim_start_matches("zone").parse::<f64>() {
        return in_range(if matches!(country, "GB" | "UK" | "US") { limit * KM_PER_MILE } else { limit });
    }
    let of_country =
        RULES.iter().find(|(name, of, _)| *name == rule && of.split(' ').any(|of| of == country));
    let of_all = || RULES.iter().find(|(name, of, _)| *name == rule && of.is_empty());
    of_country.or_else(of_all).map(|&(_, _, limit)| limit)
}

/// Rule, countries (none: all that are not listed), limit in km/h for vehicles of up to 3.5 t.
const RULES: &[(&str, &str, f64)] = &[
    ("urban", "AR PH", 40.0),
    ("urban", "BY RU ZA", 60.0),
    ("urban", "GB UK US", 30.0 * KM_PER_MILE),
    ("urban", "BE-BRU", 30.0),
    ("urban", "", 50.0),
    ("rural", "AT DE ZA", 100.0),
    ("rural", "BE-VLG BE-BRU SE", 70.0),
    ("rural", "CH DK FI FR LI NL NO PH CA-ON", 80.0),
    ("rural", "AR", 110.0),
    ("rural", "GB UK", 60.0 * KM_PER_MILE),
    ("rural", "US", 55.0 * KM_PER_MILE),
    ("rural", "", 90.0),
    ("trunk", "AT CH NL RO", 100.0),
    ("trunk", "ES", 90.0),
    ("trunk", "", 110.0),
    ("expressway", "", 120.0),
    ("nsl_single", "", 60.0 * KM_PER_MILE),
    ("nsl_dual", "", 70.0 * KM_PER_MILE),
    ("nsl_restricted", "", 30.0 * KM_PER_MILE),
    ("motorway", "DE", NONE_KM_PER_HOUR),
    ("motorway", "BE BE-VLG BE-WAL CH ES FI IE PT", 120.0),
    ("motorway", "BG PL", 140.0),
    ("motorway", "BY NO RU SE", 110.0),
    ("motorway", "NL PH", 100.0),
    ("motorway", "GB UK", 70.0 * KM_PER_MILE),
    ("motorway", "US", 65.0 * KM_PER_MILE),
    ("motorway", "", 130.0),
    ("living_street", "BE CH CZ FI FR LI LV PL RU UA", 20.0),
    ("living_street", "", WALK_KM_PER_HOUR),
    ("bicycle_road", "", 30.0),
];

/// How fast a vehicle sensibly goes on what the road is made of, in km/h; `None` if as fast as anywhere.
pub(super) fn of_surface(surface: Option<&str>, smoothness: Option<&str>) -> Option<f64> {
    let by_surface = surface.and_then(|surface| {
        Some(match surface {
            "cement" | "compacted" | "fine_gravel" => 80.0,
            "paving_stones" | "metal" | "bricks" => 60.0,
            "sett" | "gravel" | "unpaved" | "ground" | "dirt" | "pebblestone" | "grass" | "wood"
            | "grass_paver" | "tartan" => 40.0,
            "cobblestone" | "unhewn_cobblestone" | "clay" | "snow" => 30.0,
            "earth" | "stone" | "rocky" | "rock" | "sand" | "ice" => 20.0,
            "mud" => 10.0,
            _ => return None,
        })
    });
    let by_smoothness = smoothness.and_then(|smoothness| {
        Some(match smoothness {
            "intermediate" => 80.0,
            "bad" => 40.0,
            "very_bad" => 20.0,
            "horrible" => 10.0,
            "very_horrible" => 5.0,
            _ => return None,
        })
    });
    by_surface.into_iter().chain(by_smoothness).reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<f64>) {
        let found = limit_of(text);
        let near = found.zip(expected).is_some_and(|(found, expected)| (found - expected).abs() < 0.01);
        assert!(near || found == expected, "{text}: {found:?}, not {expected:?}");
    }

    #[test]
    fn limits_are_read_in_every_unit() {
        check("30", Some(30.0));
        check("20 mph", Some(32.19));
        check("20mph", Some(32.19));
        check("50 km/h", Some(50.0));
        check("10 knots", Some(18.52));
        check("50;30", Some(30.0));
        check("walk", Some(7.0));
        check("none", Some(130.0));
    }

    #[test]
    fn the_names_of_rules_are_looked_up_by_country() {
        check("FI:urban", Some(50.0));
        check("FI:rural", Some(80.0));
        check("DE:urban", Some(50.0));
        check("DE:rural", Some(100.0));
        check("DE:motorway", Some(130.0));
        check("DE:living_street", Some(7.0));
        check("DE:zone:30", Some(30.0));
        check("FR:zone30", Some(30.0));
        check("GB:nsl_single", Some(96.56));
        check("GB:zone20", Some(32.19));
        check("XX:urban", Some(50.0));
        check("BE-VLG:rural", Some(70.0));
    }

    #[test]
    fn what_is_no_limit_is_none() {
        for text in [
            "",
            "0",
            "-30",
            "1000",
            "nan",
            "inf",
            "signals",
            "variable",
            "FI:",
            ":",
            "FI:moon",
            "mph",
            "30 elephants",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn the_worse_of_surface_and_smoothness_decides() {
        assert_eq!(of_surface(Some("asphalt"), None), None);
        assert_eq!(of_surface(Some("gravel"), Some("very_bad")), Some(20.0));
        assert_eq!(of_surface(Some("gravel"), Some("good")), Some(40.0));
    }
}
