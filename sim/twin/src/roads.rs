//! `twin roads`: what a map or a scenario gives vehicles to drive on, in figures and as a picture.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use drover_harness::run as harness_run;
use drover_world::{Bounds, Class, Control, Preparing, Roads};

use crate::cli::{RoadsArgs, Which};
use crate::run::{ProgressLine, stop};
use crate::stopwatch::Stopwatch;
use crate::{Stop, complain, files, show};

/// Who waits less is not told what for.
const SILENT_S: f64 = 1.0;
/// Width of a picture, in its own units; heights follow.
const PICTURE_WIDTH: f64 = 1_000.0;

/// Prepares roads and says what they are like.
pub(crate) fn roads(args: &RoadsArgs) -> Result<(), Stop> {
    let watch = Stopwatch::start();
    let roads = if args.from.to_string_lossy().ends_with(".pbf") {
        let read = watched(false, |progress| harness_run::read_roads(&args.from, progress));
        Arc::new(read.map_err(Stop::Usage)?)
    } else {
        let which = Which { scenario: args.from.clone(), seed: None, until: None, threads: 1 };
        let (scenario, path) = files::load(&which)?;
        let file = path.display().to_string();
        watched(false, |progress| harness_run::watched_roads(&scenario, &file, progress)).map_err(stop)?
    };
    let cpu_s = watch.speed(0.0).cpu_s;
    show(&format!("{}\n{}prepared  in {cpu_s:.2} s of CPU\n", args.from.display(), figures(&roads)));
    for note in roads.notes() {
        complain(&format!("note: {note}"));
    }
    if let Some(path) = &args.svg {
        #[expect(clippy::disallowed_methods, reason = "the program itself, outside of any env")]
        let written = std::fs::write(path, picture(&roads));
        written.map_err(|error| Stop::Usage(format!("write {}: {error}", path.display())))?;
        show(&format!("picture   {}\n", path.display()));
    }
    Ok(())
}

/// Prepares roads, telling who watches what goes on once it has taken a while.
pub(crate) fn watched<T>(quiet: bool, prepare: impl FnOnce(&mut dyn FnMut(Preparing)) -> T) -> T {
    let watch = Stopwatch::start();
    let mut line = ProgressLine::new(quiet);
    let mut shown = None;
    let roads = prepare(&mut |preparing| {
        let text = text_of(preparing);
        // The router tells nothing more until it is done, which may take long.
        let long = watch.wall().as_secs_f64() > SILENT_S || matches!(preparing, Preparing::Routes { .. });
        if long && shown.as_ref() != Some(&text) {
            line.write(&text);
            shown = Some(text);
        }
    });
    line.clear();
    roads
}

/// Says of roads what would spoil a run.
pub(crate) fn warn(roads: &Roads) {
    for note in roads.notes().iter().filter(|note| note.is_grave()) {
        complain(&format!("note: {note}"));
    }
}

fn text_of(preparing: Preparing) -> String {
    let percent = |share: f64| (share * 100.0) as u32;
    match preparing {
        Preparing::Streets { share } => format!("roads: reading streets, {} %", percent(share)),
        Preparing::Points { share } => format!("roads: reading where they are, {} %", percent(share)),
        Preparing::Network => "roads: connecting streets".to_owned(),
        Preparing::Routes { junctions } => format!("roads: preparing routes between {junctions} junctions"),
    }
}

fn figures(roads: &Roads) -> String {
    let mut metres: BTreeMap<Class, f64> = BTreeMap::new();
    let (mut tunnel_m, mut bridge_m, mut one_way_m, mut all_m) = (0.0, 0.0, 0.0, 0.0);
    for edge in roads.edges() {
        // Each street once, whether it is open both ways or not.
        let share = if edge.reverse.is_some() { 0.5 } else { 1.0 };
        let length_m = edge.length_m * share;
        *metres.entry(edge.class).or_default() += length_m;
        all_m += length_m;
        tunnel_m += if edge.tunnel { length_m } else { 0.0 };
        bridge_m += if edge.bridge { length_m } else { 0.0 };
        one_way_m += if edge.reverse.is_none() { length_m } else { 0.0 };
    }
    let governed = |wanted: Control| {
        roads.junctions().iter().filter(|junction| junction.control == Some(wanted)).count()
    };
    let Bounds { south_west, north_east } = roads.bounds();
    let classes: Vec<String> =
        metres.iter().map(|(class, metres)| format!("{} {:.1}", class.name(), metres / 1000.0)).collect();
    let mut text = String::new();
    let mut line = |name: &str, rest: String| {
        let _ = writeln!(text, "{name:9} {rest}");
    };
    line("network", format!("{} junctions, {} edges", roads.junctions_len(), roads.edges().len()));
    line(
        "where",
        format!(
            "{:.4} {:.4} to {:.4} {:.4} (latitude, longitude)",
            south_west.lat(),
            south_west.lon(),
            north_east.lat(),
            north_east.lon()
        ),
    );
    let km = |metres: f64| format!("{:.1} km", metres / 1000.0);
    line(
        "streets",
        format!(
            "{}: {} one-way, {} in tunnels, {} on bridges",
            km(all_m),
            km(one_way_m),
            km(tunnel_m),
            km(bridge_m)
        ),
    );
    line("classes", format!("{} (km)", classes.join(", ")));
    line(
        "junctions",
        format!(
            "{} with signals, {} with a stop sign, {} where somebody gives way; {} turns forbidden",
            governed(Control::Signals),
            governed(Control::Stop),
            governed(Control::GiveWay),
            roads.forbidden_turns()
        ),
    );
    if let Some(attribution) = roads.attribution() {
        line("data", attribution.to_owned());
    }
    text
}

/// A map: larger roads are wider, tunnels are dashed, and signals are dots.
fn picture(roads: &Roads) -> String {
    let Bounds { south_west, north_east } = roads.bounds();
    // As wide as it is on the ground in the middle of the map: by the middle parallel's share of the equator.
    let middle = f64::midpoint(south_west.lat(), north_east.lat()).to_radians();
    let scale = PICTURE_WIDTH / ((north_east.lon() - south_west.lon()) * middle.cos()).max(1e-9);
    let height = (north_east.lat() - south_west.lat()) * scale;
    let x = |lon: f64| (lon - south_west.lon()) * middle.cos() * scale;
    let y = |lat: f64| (north_east.lat() - lat) * scale;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-5 -5 {:.0} {:.0}\" fill=\"none\" stroke=\"#345\" \
         stroke-linecap=\"round\">\n",
        PICTURE_WIDTH + 10.0,
        height + 30.0
    );
    for (number, edge) in (0..).zip(roads.edges()) {
        if edge.reverse.is_some_and(|reverse| reverse < number) {
            continue;
        }
        let points: Vec<String> =
            edge.points.iter().map(|point| format!("{:.1},{:.1}", x(point.lon()), y(point.lat()))).collect();
        let dashes = if edge.tunnel { " stroke-dasharray=\"4 3\"" } else { "" };
        let width = width_of(edge.class);
        let points = points.join(" ");
        let _ = writeln!(svg, "<polyline points=\"{points}\" stroke-width=\"{width}\"{dashes}/>");
    }
    for junction in roads.junctions().iter().filter(|junction| junction.control == Some(Control::Signals)) {
        let (x, y) = (x(junction.position.lon()), y(junction.position.lat()));
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"#c30\" stroke=\"none\"/>");
    }
    if let Some(attribution) = roads.attribution() {
        let y = height + 20.0;
        let _ = writeln!(
            svg,
            "<text y=\"{y:.0}\" font-size=\"12\" fill=\"#345\" stroke=\"none\">{attribution}</text>"
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn width_of(class: Class) -> f64 {
    match class {
        Class::Motorway | Class::Trunk => 3.5,
        Class::Primary => 2.8,
        Class::Secondary => 2.0,
        Class::Tertiary => 1.5,
        Class::Unclassified | Class::Residential => 0.9,
        Class::LivingStreet | Class::Service => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_picture_show_every_street_once() {
        let roads = Roads::grid(3, 2, 100.0);
        let figures = figures(&roads);
        assert!(figures.starts_with("network   6 junctions, 14 edges\n"), "{figures}");
        assert!(
            figures.contains("\nstreets   0.7 km: 0.0 km one-way, 0.0 km in tunnels, 0.0 km on bridges\n")
        );
        assert!(figures.contains("\nclasses   unclassified 0.7 (km)\n"), "{figures}");
        let svg = picture(&roads);
        assert_eq!((svg.matches("<polyline").count(), svg.matches("<circle").count()), (7, 0));
        assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN"));
    }

    #[test]
    fn what_is_prepared_is_told_in_words() {
        assert_eq!(text_of(Preparing::Streets { share: 0.416 }), "roads: reading streets, 41 %");
        assert_eq!(
            text_of(Preparing::Routes { junctions: 9_000 }),
            "roads: preparing routes between 9000 junctions"
        );
    }
}
