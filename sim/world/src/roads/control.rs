//! What stands at the road: signals, signs, crossings, gates, and whom they concern.
//!
//! OpenStreetMap puts them on nodes: on the junction itself, or a few metres before it, where vehicles stop. In the
//! second case the way runs in both directions past the node, and `direction` says which one is meant; often nobody
//! wrote it, and then it is the one that leads to the near junction.

use super::access::{self, Access};

/// What a driver meets at a point of the road. The larger binds more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Control {
    /// Pedestrians cross, and go first.
    Crossing,
    /// A gate that opens, and takes its time.
    Gate,
    /// Pedestrians cross when their light is green.
    SignalCrossing,
    /// Others go first.
    GiveWay,
    /// Others go first, after a full stop.
    Stop,
    /// Signals.
    Signals,
}

/// A control at some distance along an edge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ControlAt {
    /// Metres from the start of the edge.
    pub offset_m: f64,
    /// What is there.
    pub control: Control,
}

/// Whom a control concerns, by the direction in which its way is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Along {
    /// Nobody says.
    Unsaid,
    Forward,
    Backward,
    Both,
}

/// A control on a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) control: Control,
    pub(super) along: Along,
    /// A stop for everybody who comes to the junction, not only for who comes from the smaller road.
    pub(super) all_way: bool,
}

/// What the tags of a node mean for who drives over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PointRule {
    /// No vehicle passes.
    Blocked,
    Marked(Mark),
}

/// At most this far before a junction, a signal or sign belongs to it.
const APPROACH_M: f64 = 30.0;

impl Control {
    /// How long it takes on average to pass, in seconds: what a router reckons with. OSRM's car profile says the same.
    pub(super) fn delay_s(self) -> f64 {
        match self {
            Self::Crossing | Self::SignalCrossing => 0.0,
            Self::Gate => 60.0,
            Self::GiveWay => 1.0,
            Self::Stop | Self::Signals => 2.0,
        }
    }
}

/// Of a node with `tag`s; `None` if drivers need not mind it.
pub(super) fn rule_of<'t>(tag: impl Fn(&str) -> Option<&'t str> + Copy) -> Option<PointRule> {
    if let Some(barrier) = tag("barrier") {
        match passes(barrier, tag) {
            Passes::Freely => {}
            Passes::Slowly => return Some(marked(Control::Gate, Along::Both)),
            Passes::Never => return Some(PointRule::Blocked),
        }
    }
    let along = match tag("traffic_signals:direction").or_else(|| tag("direction")) {
        Some("forward") => Along::Forward,
        Some("backward") => Along::Backward,
        Some("both") => Along::Both,
        _ => Along::Unsaid,
    };
    let all_way = tag("stop") == Some("all");
    Some(match tag("highway")? {
        "traffic_signals" => marked(Control::Signals, along),
        "stop" => PointRule::Marked(Mark { control: Control::Stop, along, all_way }),
        "give_way" => marked(Control::GiveWay, along),
        "mini_roundabout" => {
            PointRule::Marked(Mark { control: Control::GiveWay, along: Along::Unsaid, all_way: true })
        }
        "crossing" => {
            let signals =
                tag("crossing") == Some("traffic_signals") || tag("crossing:signals") == Some("yes");
            let control = if signals { Control::SignalCrossing } else { Control::Crossing };
            return (tag("crossing") != Some("no")).then(|| marked(control, Along::Both));
        }
        _ => return None,
    })
}

fn marked(control: Control, along: Along) -> PointRule {
    PointRule::Marked(Mark { control, along, all_way: false })
}

enum Passes {
    Freely,
    Slowly,
    Never,
}

/// A barrier that is not known stops vehicles, as most do: those that do not are listed.
fn passes<'t>(barrier: &str, tag: impl Fn(&str) -> Option<&'t str> + Copy) -> Passes {
    let gate = matches!(
        barrier,
        "gate"
            | "lift_gate"
            | "swing_gate"
            | "sliding_gate"
            | "sliding_beam"
            | "bump_gate"
            | "rising_bollard"
    ) || tag("bollard") == Some("rising");
    match access::of(tag, None) {
        Some(Access::Closed) => return Passes::Never,
        Some(Access::Open | Access::Destination) if gate => return Passes::Slowly,
        Some(Access::Open | Access::Destination) => return Passes::Freely,
        None => {}
    }
    let low = matches!(tag("kerb"), Some("lowered" | "flush" | "no")) || tag("highway") == Some("crossing");
    match barrier {
        _ if gate => Passes::Slowly,
        "cattle_grid" | "border_control" | "toll_booth" | "sally_port" | "no" | "entrance"
        | "height_restrictor" | "arch" => Passes::Freely,
        "kerb" if low => Passes::Freely,
        _ => Passes::Never,
    }
}

/// Whether a mark inside a piece of street, `offset_m` from its start and `rest_m` from its end, concerns who drives
/// it in the order of its points (`forward`) or the other way.
pub(super) fn concerns(mark: Mark, forward: bool, offset_m: f64, rest_m: f64) -> bool {
    match mark.along {
        Along::Both => true,
        Along::Forward => forward,
        Along::Backward => !forward,
        Along::Unsaid => {
            let (before, after) = if forward { (rest_m, offset_m) } else { (offset_m, rest_m) };
            before <= after || after > APPROACH_M
        }
    }
}

/// What governs the end of an edge of this length, of the controls along it.
pub(super) fn at_end(controls: &[ControlAt], length_m: f64) -> Option<Control> {
    let near = controls.iter().filter(|at| at.offset_m >= length_m - APPROACH_M);
    let binding = near.map(|at| at.control).filter(|control| *control >= Control::GiveWay);
    binding.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(tags: &[(&'static str, &'static str)]) -> Option<PointRule> {
        rule_of(|wanted: &str| tags.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value))
    }

    #[test]
    fn barriers_stop_vehicles_unless_they_open_or_are_low() {
        assert_eq!(rule(&[("barrier", "bollard")]), Some(PointRule::Blocked));
        assert_eq!(rule(&[("barrier", "something_new")]), Some(PointRule::Blocked));
        assert_eq!(rule(&[("barrier", "gate"), ("access", "private")]), Some(PointRule::Blocked));
        assert_eq!(rule(&[("barrier", "bollard"), ("motor_vehicle", "yes")]), None);
        assert_eq!(rule(&[("barrier", "cattle_grid")]), None);
        assert_eq!(rule(&[("barrier", "kerb"), ("kerb", "lowered")]), None);
        for gate in [&[("barrier", "gate")][..], &[("barrier", "bollard"), ("bollard", "rising")]] {
            assert_eq!(rule(gate), Some(marked(Control::Gate, Along::Both)), "{gate:?}");
        }
    }

    #[test]
    fn signals_and_signs_say_whom_they_mean() {
        let signals = rule(&[("highway", "traffic_signals"), ("traffic_signals:direction", "backward")]);
        assert_eq!(signals, Some(marked(Control::Signals, Along::Backward)));
        assert_eq!(rule(&[("highway", "give_way")]), Some(marked(Control::GiveWay, Along::Unsaid)));
        let crossing = rule(&[("highway", "crossing"), ("crossing", "traffic_signals")]);
        assert_eq!(crossing, Some(marked(Control::SignalCrossing, Along::Both)));
        assert_eq!(rule(&[("highway", "crossing"), ("crossing", "no")]), None);
        assert_eq!(rule(&[("highway", "street_lamp")]), None);
    }

    #[test]
    fn a_sign_of_no_direction_is_for_who_comes_to_the_near_junction() {
        let sign = Mark { control: Control::GiveWay, along: Along::Unsaid, all_way: false };
        assert!(concerns(sign, true, 90.0, 10.0) && !concerns(sign, false, 90.0, 10.0));
        assert!(concerns(sign, false, 10.0, 90.0) && !concerns(sign, true, 10.0, 90.0));
        // Far from both ends, such as at a crossing between, it is for all.
        assert!(concerns(sign, true, 90.0, 60.0) && concerns(sign, false, 90.0, 60.0));
    }
}
