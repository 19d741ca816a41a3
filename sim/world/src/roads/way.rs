//! What the tags of a way say about driving on it.
//!
//! Sources: the OpenStreetMap wiki, by key. Ferries have no `highway` and are left out; so are car parks' aisles,
//! private drives, and roads whose direction changes with the hour.

use super::access::{self, Access};
use super::class::Class;
use super::kind::{Direction, Kind, UNDER_WAY_SHARE};
use super::speed::{KM_PER_HOUR_PER_MPS, limit_of, of_surface};

/// More lanes in one direction, and more metres of carriageway, are typing errors.
const LANES_MAX: u8 = 8;
const CARRIAGEWAY_MAX_M: f64 = 40.0;

/// The kind of street that a way is; `None` if a van may not, or can not, drive there.
pub(super) fn kind_of<'t>(tag: impl Fn(&str) -> Option<&'t str> + Copy) -> Option<Kind> {
    let (class, link) = class_of(tag)?;
    let refused = tag("area") == Some("yes")
        || matches!(
            tag("service"),
            Some("parking_aisle" | "driveway" | "drive-through" | "emergency_access")
        )
        || matches!(tag("impassable"), Some("yes"))
        || matches!(tag("smoothness"), Some("impassable"))
        || tag("route") == Some("ferry");
    if refused {
        return None;
    }
    let round = matches!(tag("junction"), Some("roundabout" | "circular"));
    let oneway =
        ["oneway:motorcar", "oneway:motor_vehicle", "oneway:vehicle", "oneway"].into_iter().find_map(tag);
    let (forward, backward) = match oneway {
        Some("yes" | "true" | "1") => (true, false),
        Some("-1" | "reverse") => (false, true),
        Some("reversible" | "alternating") => return None,
        Some("no" | "false" | "0") => (true, true),
        _ => (true, !round && (class != Class::Motorway || link)),
    };
    let lanes = Lanes { all: lanes(tag("lanes")), both_ways: forward && backward };
    let open = |wanted: bool, name: &str, lanes_tag: &str| {
        let access = access::of(tag, Some(name)).unwrap_or(Access::Open);
        (wanted && access != Access::Closed).then(|| {
            let (limit, expected) = speeds_of(tag, class, link, name);
            Direction {
                limit_mps: limit / KM_PER_HOUR_PER_MPS,
                expected_mps: expected / KM_PER_HOUR_PER_MPS,
                lanes: lanes.of(tag(lanes_tag)).unwrap_or(class.usual().lanes),
                destination_only: access == Access::Destination,
            }
        })
    };
    let forward = open(forward, "forward", "lanes:forward");
    let backward = open(backward, "backward", "lanes:backward");
    (forward.is_some() || backward.is_some()).then(|| Kind {
        class,
        link,
        roundabout: round,
        // The sky is back behind a passage under a building before a receiver has missed it.
        tunnel: tag("tunnel").is_some_and(|kind| !matches!(kind, "no" | "building_passage")),
        bridge: tag("bridge").is_some_and(|kind| kind != "no"),
        layer: tag("layer").and_then(|text| text.parse::<i8>().ok()).unwrap_or(0).clamp(-9, 9),
        carriageway_m: tag("width").and_then(metres),
        forward,
        backward,
    })
}

fn class_of<'t>(tag: impl Fn(&str) -> Option<&'t str> + Copy) -> Option<(Class, bool)> {
    let highway = tag("highway")?;
    let (name, link) = match highway.strip_suffix("_link") {
        Some(name) => (name, true),
        None => (highway, false),
    };
    let class = match name {
        "road" => Some(Class::Unclassified),
        // Closed to vehicles by what they are, unless a sign lets them in.
        "track" | "pedestrian" | "busway" => {
            access::of_motor_vehicles(tag).filter(|access| *access != Access::Closed).map(|_| Class::Service)
        }
        _ => Class::ALL.into_iter().find(|class| class.name() == name),
    };
    class.filter(|class| !link || *class <= Class::Tertiary).map(|class| (class, link))
}

/// Limit and expected speed in one direction, in km/h.
fn speeds_of<'t>(
    tag: impl Fn(&str) -> Option<&'t str>,
    class: Class,
    link: bool,
    direction: &str,
) -> (f64, f64) {
    let usual = class.usual();
    let signed = tag(&format!("maxspeed:{direction}")).or_else(|| tag("maxspeed")).and_then(limit_of);
    let by_rule = || {
        let keys = ["maxspeed:type", "source:maxspeed", "zone:maxspeed", "zone:traffic"];
        keys.into_iter().find_map(|key| limit_of(tag(key)?))
    };
    let said = signed.or_else(by_rule);
    let usual_speed = if link { usual.ramp_km_per_hour } else { usual.expected_km_per_hour };
    let expected = said.map_or(usual_speed, |limit| limit * UNDER_WAY_SHARE);
    let usual_limit = if link { usual.limit_km_per_hour.min(60.0) } else { usual.limit_km_per_hour };
    let surface = of_surface(tag("surface"), tag("smoothness")).unwrap_or(f64::INFINITY);
    (said.unwrap_or(usual_limit), expected.min(surface))
}

struct Lanes {
    all: Option<u8>,
    both_ways: bool,
}

impl Lanes {
    /// Lanes of one direction: what it says itself, or its share of all.
    fn of(&self, own: Option<&str>) -> Option<u8> {
        let share = self.all.map(|all| if self.both_ways { (all / 2).max(1) } else { all });
        lanes(own).or(share)
    }
}

fn lanes(text: Option<&str>) -> Option<u8> {
    text?.parse::<u8>().ok().filter(|lanes| (1..=LANES_MAX).contains(lanes))
}

/// A width in metres, with or without the unit.
fn metres(text: &str) -> Option<f64> {
    let number = text.trim_end_matches('m').trim().parse::<f64>().ok()?;
    (1.0..=CARRIAGEWAY_MAX_M).contains(&number).then_some(number)
}
