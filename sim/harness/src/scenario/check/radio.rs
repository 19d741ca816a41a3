//! The mobile network: names, circles, and keys that need others.

use super::super::shape::Shape;
use super::super::{Crowd, Radio, Scenario};
use super::{check_center, is_name, name_problem};

pub(super) fn check(scenario: &Scenario, shape: &mut Shape<'_>) {
    let radio = &scenario.radio;
    let zones = radio.zones.iter().map(|zone| (zone.name.as_str(), zone.center));
    check_circles("zone", "radio.zones", zones, shape);
    let crowds = radio.crowds.iter().map(|crowd| (crowd.name.as_str(), crowd.center));
    check_circles("crowd", "radio.crowds", crowds, shape);
    for (index, crowd) in radio.crowds.iter().enumerate() {
        check_crowd_time(scenario, crowd, &format!("radio.crowds[{index}]"), shape);
    }
    if !shape.is_broken("radio") {
        check_needs(radio, shape);
    }
}

/// Circles have names of their own, and stand on the earth.
fn check_circles<'a>(
    kind: &str,
    list: &str,
    circles: impl Iterator<Item = (&'a str, [f64; 2])>,
    shape: &mut Shape<'_>,
) {
    let mut before: Vec<&str> = Vec::new();
    for (index, (name, center)) in circles.enumerate() {
        let path = format!("{list}[{index}]");
        let place = format!("{path}.name");
        if !is_name(name) && !shape.is_broken(&place) {
            shape.problem_at(&place, name_problem("name", name));
        }
        if before.contains(&name) && !shape.is_broken(&place) {
            shape.problem_at(&place, format!("a {kind} before this is called {name:?} too"));
        }
        before.push(name);
        check_center(center, &path, shape);
    }
}

fn check_crowd_time(scenario: &Scenario, crowd: &Crowd, path: &str, shape: &mut Shape<'_>) {
    let place = format!("{path}.at_s");
    if crowd.at >= scenario.duration && !shape.is_broken("duration_s") && !shape.is_broken(&place) {
        let (at_s, end_s) = (crowd.at.as_secs_f64(), scenario.duration.as_secs_f64());
        let message = format!(
            "the crowd comes at {at_s} s, but the run ends at {end_s} s: let it come earlier, or raise `duration_s`"
        );
        shape.problem_at(&place, message);
    }
}

/// Keys that mean nothing without another.
fn check_needs(radio: &Radio, shape: &mut Shape<'_>) {
    let border_bandwidth = radio.border.is_some_and(|border| border.bandwidth_kbit_s.is_some());
    let crowds = !radio.crowds.is_empty();
    let needs = [
        (radio.border.is_some(), "border", radio.cell_m.is_some(), "cell_m", "cells to have one"),
        (radio.cell_kbit_s.is_some(), "cell_kbit_s", radio.cell_m.is_some(), "cell_m", "cells"),
        (crowds, "crowds", radio.cell_m.is_some(), "cell_m", "cells to stand in"),
        (crowds, "crowds", radio.cell_kbit_s.is_some(), "cell_kbit_s", "something to take a share of"),
        (
            border_bandwidth,
            "border.bandwidth_kbit_s",
            radio.bandwidth_kbit_s.is_some(),
            "bandwidth_kbit_s",
            "what it is in the middle of a cell",
        ),
    ];
    for (given, key, there, needed, why) in needs {
        if given && !there {
            shape.problem_at(&format!("radio.{key}"), format!("`{key}` needs `{needed}` in [radio]: {why}"));
        }
    }
}
