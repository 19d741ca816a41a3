//! What the form of a scenario cannot say: names that must exist, keys that belong together, times within the run.

mod radio;
mod services;

use drover_model::{NodeKind, NodePattern, Position};

use super::fault::{Cells, DB_LINK_VERBS, FaultSpec, Target, VERBS, kinds_of, parameters_of, speak};
use super::shape::{Shape, list};
use super::{
    Chaos, Cluster, GateSpec, GroupDemand, Link, Mode, Receiver, Roads, Role, Scenario, Traffic, Transport,
    Vehicles,
};
use crate::report::metrics;

/// Adds every problem of `scenario` to `shape`, which knows the places.
pub(super) fn check(scenario: &Scenario, shape: &mut Shape<'_>) {
    check_head(scenario, shape);
    check_world(scenario, shape);
    check_traffic(scenario, shape);
    check_cluster(scenario, shape);
    services::check(scenario, shape);
    for (index, fault) in scenario.faults.iter().enumerate() {
        check_fault(scenario, fault, &format!("faults[{index}]"), shape);
    }
    if let Some(chaos) = &scenario.chaos {
        check_chaos(scenario, chaos, shape);
    }
    for (index, gate) in scenario.gates.iter().enumerate() {
        check_gate(scenario, gate, &format!("gates[{index}]"), shape);
    }
}

/// Lower-case letters, digits and underscores: safe in a path, a metric and a shell.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn name_problem(key: &str, text: &str) -> String {
    format!("`{key}` must be made of a-z, 0-9 and _, such as \"morning_peak\", found {text:?}")
}

fn check_head(scenario: &Scenario, shape: &mut Shape<'_>) {
    if !is_name(&scenario.name) && !shape.is_broken("name") {
        shape.problem_at("name", name_problem("name", &scenario.name));
    }
    if scenario.question.trim().is_empty() && !shape.is_broken("question") {
        let message = "`question` is empty: say in one sentence what a run answers".to_owned();
        shape.problem_at("question", message);
    }
    let mut modes = scenario.modes.clone();
    modes.sort();
    modes.dedup();
    if (modes.is_empty() || modes.len() < scenario.modes.len()) && !shape.is_broken("modes") {
        let message = "`modes` must name `virtual`, `live` or both, each once".to_owned();
        shape.problem_at("modes", message);
    }
    if scenario.orders.is_some() && scenario.modes.contains(&Mode::Live) {
        let message =
            "`orders` are driven in virtual time alone: take \"live\" out of `modes`, or leave [orders] out";
        shape.problem_at("orders", message.to_owned());
    }
    let judged = scenario.calm + scenario.settle;
    if scenario.converge() > judged && !shape.is_broken("settle_s") && !shape.is_broken("converge_s") {
        let (converge_s, judged_s) = (scenario.converge().as_secs_f64(), judged.as_secs_f64());
        let message = format!(
            "a run ends {judged_s} s after its faults, before anything can have waited for {converge_s} s: lower \
             `converge_s`, or raise `settle_s`"
        );
        shape.problem_at("converge_s", message);
    }
    if scenario.vehicles.is_empty() && !shape.is_broken("vehicles") {
        shape.problem_at("vehicles", "`vehicles` is empty: add a [[vehicles]] table with a count".to_owned());
    }
}

fn check_world(scenario: &Scenario, shape: &mut Shape<'_>) {
    match &scenario.world.roads {
        Roads::OsmPbf(path) if path.as_os_str().is_empty() => {
            let message =
                "`osm_pbf` is empty: give the path of an OpenStreetMap extract (.osm.pbf)".to_owned();
            shape.problem_at("world.roads.osm_pbf", message);
        }
        Roads::City(city) => {
            if let Err(error) = city.resolve().check() {
                shape.problem_at("world.roads.city", format!("`city`: {error}"));
            }
        }
        Roads::OsmPbf(_) | Roads::Grid(_) => {}
    }
    radio::check(scenario, shape);
    for (index, group) in scenario.vehicles.iter().enumerate() {
        check_vehicles(group, &format!("vehicles[{index}]"), shape);
    }
}

fn check_vehicles(group: &Vehicles, path: &str, shape: &mut Shape<'_>) {
    let device = &group.device;
    if device.sleep_after.is_none()
        && device.wake_every.is_some()
        && !shape.is_broken(&format!("{path}.device"))
    {
        let message =
            "`wake_every_s` means nothing to a device that never sleeps: add `sleep_after_s`".to_owned();
        shape.problem_at(&format!("{path}.device.wake_every_s"), message);
    }
    let Some(replay) = &group.replay else { return };
    if device.sleep_after.is_some() {
        let message =
            "`sleep_after_s` goes by the engine, and a recorded drive has none: leave it out".to_owned();
        shape.problem_at(&format!("{path}.device.sleep_after_s"), message);
    }
    if group.receiver != Receiver::default() {
        let message =
            "`receiver` means nothing beside `replay`: the recording's own receiver speaks".to_owned();
        shape.problem_at(&format!("{path}.receiver"), message);
    }
    if replay.nmea.as_os_str().is_empty() {
        let message = "`nmea` is empty: give the path of what a receiver wrote".to_owned();
        shape.problem_at(&format!("{path}.replay.nmea"), message);
    }
}

/// The middle of a circle, if it is on the earth.
fn check_center(center: [f64; 2], path: &str, shape: &mut Shape<'_>) {
    let [lon, lat] = center;
    if let Err(error) = Position::new(lat, lon) {
        let message = format!("`center` is [longitude, latitude] in degrees: {error}");
        shape.problem_at(&format!("{path}.center"), message);
    }
}

fn check_traffic(scenario: &Scenario, shape: &mut Shape<'_>) {
    let path = "world.traffic.demand_by_hour";
    if let Some(Err(error)) = scenario.world.traffic.as_ref().map(Traffic::resolve)
        && !shape.is_broken(path)
    {
        shape.problem_at(path, format!("`demand_by_hour`: {error}"));
    }
    for (index, group) in scenario.vehicles.iter().enumerate() {
        let path = format!("vehicles[{index}].drivers");
        if let Err(error) = group.drivers.resolve()
            && !shape.is_broken(&path)
        {
            shape.problem_at(&path, format!("`drivers`: {error}"));
        }
        let path = format!("vehicles[{index}].demand");
        if group.demand == GroupDemand::Day && scenario.world.traffic.is_none() && !shape.is_broken(&path) {
            let message = "`demand` = \"day\" follows the curve of [world.traffic]: add that table, or leave it \
                           out";
            shape.problem_at(&path, message.to_owned());
        }
    }
}

fn check_cluster(scenario: &Scenario, shape: &mut Shape<'_>) {
    if scenario.cluster.hub == 0 && !scenario.watchers.is_empty() && !shape.is_broken("watchers") {
        let message = "[[watchers]] watch hubs: add `hub` to [cluster]".to_owned();
        shape.problem_at("watchers", message);
    }
    if scenario.cluster.hub == 0 && !scenario.hub.is_empty() && !shape.is_broken("hub") {
        let message = "[hub] means nothing without hubs: add `hub` to [cluster]".to_owned();
        shape.problem_at("hub", message);
    }
    check_questions(scenario, shape);
    for (index, group) in scenario.watchers.iter().enumerate() {
        if group.role == Role::Customer && group.pan_every.is_some() {
            let message = "`pan_every_s` is for dispatchers: a customer sees one vehicle".to_owned();
            shape.problem_at(&format!("watchers[{index}].pan_every_s"), message);
        }
        let mut ways = |wrong: bool, key: &str, message: &str| {
            if wrong {
                shape.problem_at(&format!("watchers[{index}].{key}"), message.to_owned());
            }
        };
        for (key, bound) in [("link_from_s", group.link_from), ("link_until_s", group.link_until)] {
            ways(
                bound.is_some() && group.role != Role::Customer,
                key,
                &format!("`{key}` is of a share link, and dispatchers have none: it is for customers"),
            );
            ways(
                bound.is_some() && scenario.modes.contains(&Mode::Live),
                key,
                &format!(
                    "`{key}` is kept in virtual time alone: take \"live\" out of `modes`, or leave it out"
                ),
            );
        }
        ways(
            group.link_from.zip(group.link_until).is_some_and(|(from, until)| from >= until),
            "link_until_s",
            "`link_until_s`: the link ends before it begins",
        );
        let (routed, quic) = (group.via_routers, group.transport == Transport::Quic);
        ways(
            routed && scenario.cluster.router == 0,
            "via_routers",
            "`via_routers`: there are none: add `router` to [cluster]",
        );
        ways(routed && group.home, "home", "`home` means nothing with `via_routers`: routers choose the hub");
        ways(
            group.bound && !(routed && quic),
            "bound",
            "`bound` is for sessions over QUIC `via_routers`: add `transport = \"quic\"`, or leave it out",
        );
        ways(
            group.rebind_every.is_some() && !quic,
            "rebind_every_s",
            "`rebind_every_s` is for sessions over QUIC: TCP ends when its client moves",
        );
    }
    if scenario.cluster.router == 0 && scenario.cluster.rotate != Cluster::default().rotate {
        let message = "`rotate_s` means nothing without routers: add `router`, or leave it out".to_owned();
        shape.problem_at("cluster.rotate_s", message);
    }
    if scenario.cluster.router == 0 && scenario.cluster.dns > 0 {
        let message = "`dns` names routers: add `router`, or leave it out".to_owned();
        shape.problem_at("cluster.dns", message);
    }
    if scenario.cluster.dns == 0 && !scenario.dns.is_empty() && !shape.is_broken("dns") {
        let message = "[dns] means nothing without DNS servers: add `dns` to [cluster]".to_owned();
        shape.problem_at("dns", message);
    }
    if scenario.cluster.router == 0 && !scenario.router.is_empty() && !shape.is_broken("router") {
        let message = "[router] means nothing without routers: add `router` to [cluster]".to_owned();
        shape.problem_at("router", message);
    }
    if scenario.cluster.health == 0 && !scenario.health.is_empty() && !shape.is_broken("health") {
        let message = "[health] means nothing without health agents: add `health` to [cluster]".to_owned();
        shape.problem_at("health", message);
    }
}

fn check_fault(scenario: &Scenario, fault: &FaultSpec, path: &str, shape: &mut Shape<'_>) {
    check_fault_time(scenario, fault, path, shape);
    if shape.is_broken(path) {
        return; // What seems to be missing may be what was just reported.
    }
    let verbs = fault.verbs();
    let [(verb, target)] = verbs.as_slice() else {
        let given: Vec<&str> = verbs.iter().map(|&(verb, _)| verb).collect();
        let found = if given.is_empty() { "none".to_owned() } else { list(&given) };
        let message = format!("a fault has exactly one verb, found {found}; verbs are {}", list(&VERBS));
        shape.problem_at(path, message);
        return;
    };
    let place = format!("{path}.{verb}");
    for pattern in target.patterns() {
        if let Some(message) = node_problem(scenario, verb, pattern)
            && !shape.is_broken("cluster")
            && !shape.is_broken("vehicles")
        {
            shape.problem_at(&place, message);
        }
    }
    match target {
        Target::Nodes(_) => {}
        // A node that is not there is said already.
        Target::Link(link) if target.patterns().iter().all(|nodes| !scenario.nodes(*nodes).is_empty()) => {
            let problem = link_problem(scenario, verb, *link);
            problem.into_iter().for_each(|message| shape.problem_at(&place, message));
        }
        Target::Link(_) => {}
        Target::Cells(cells) => check_cells(scenario, *cells, &place, shape),
    }
    check_fault_parameters(fault, verb, path, shape);
}

fn check_cells(scenario: &Scenario, cells: Cells, place: &str, shape: &mut Shape<'_>) {
    if scenario.radio.cell_m.is_none() && !shape.is_broken("radio") {
        let message = "`cell_outage` needs cells: give `cell_m` in [radio]".to_owned();
        shape.problem_at(place, message);
    }
    if cells.outage().is_none() && !shape.is_broken(place) {
        let message = "`cell_outage` takes either `share`, or `center` and `radius_m`".to_owned();
        shape.problem_at(place, message);
    }
    if let Some(center) = cells.center {
        check_center(center, place, shape);
    }
}

fn node_problem(scenario: &Scenario, verb: &str, pattern: NodePattern) -> Option<String> {
    if scenario.nodes(pattern).is_empty() {
        let there = scenario.nodes_text();
        return Some(format!("`{verb}`: {pattern} is not in the cluster, which has {there}"));
    }
    let kinds = kinds_of(verb).filter(|kinds| !kinds.contains(&pattern.kind))?;
    Some(match kinds {
        [NodeKind::Db] => format!("`{verb}` is for the database: write \"db/0\", found \"{pattern}\""),
        [NodeKind::Vehicle] => {
            format!("`{verb}` is for vehicles, such as \"vehicle/*\", found \"{pattern}\"")
        }
        kinds => {
            let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            format!("`{verb}` does nothing to {pattern}: it is for nodes of {}", list(&kinds))
        }
    })
}

/// Questions go by hubs, and agents answer nothing else; both are of virtual time alone.
fn check_questions(scenario: &Scenario, shape: &mut Shape<'_>) {
    let live = scenario.modes.contains(&Mode::Live);
    let asked = [
        ("questions", scenario.questions.is_some(), "[questions]"),
        ("cluster.agent", scenario.cluster.agent > 0, "`agent`"),
    ];
    for (path, given, name) in asked {
        if !given || shape.is_broken(path) {
            continue;
        }
        if scenario.cluster.hub == 0 {
            shape.problem_at(path, format!("{name}: questions go by hubs: add `hub` to [cluster]"));
        } else if live {
            let message = format!(
                "{name}: questions are asked in virtual time alone: take \"live\" out of `modes`, or leave it out"
            );
            shape.problem_at(path, message);
        }
    }
}

/// A link over which nothing goes, or on which the verb does nothing.
fn link_problem(scenario: &Scenario, verb: &str, link: Link) -> Option<String> {
    let (from, to) = (link.from.kind, link.to.kind);
    let direct = [from, to].contains(&NodeKind::Vehicle) && [from, to].contains(&NodeKind::Gateway);
    let routed = scenario.cluster.router > 0;
    if !speak(from, to) || direct && routed {
        let first = match (scenario.cluster.dns > 0, routed) {
            (true, _) => "vehicle and dns, vehicle and router, router and gateway",
            (false, true) => "vehicle and router, router and gateway",
            (false, false) => "vehicle and gateway",
        };
        return Some(format!(
            "`{verb}`: nothing goes between {from} and {to}; links are {first}, gateway and persistence, \
             persistence and db, gateway and hub, hub and persistence, hub and agent, hub and watcher, health and each of dns, router, \
             gateway, hub and persistence"
        ));
    }
    let db = from == NodeKind::Db || to == NodeKind::Db;
    (db && !DB_LINK_VERBS.contains(&verb)).then(|| {
        format!(
            "`{verb}` does nothing on the way to the database, where no datagrams go: use {}",
            list(&DB_LINK_VERBS)
        )
    })
}

fn check_fault_time(scenario: &Scenario, fault: &FaultSpec, path: &str, shape: &mut Shape<'_>) {
    if shape.is_broken("duration_s") || shape.is_broken(&format!("{path}.at_s")) {
        return;
    }
    let (at_s, end_s) = (fault.at.as_secs_f64(), scenario.duration.as_secs_f64());
    let until = fault.until(scenario);
    if fault.at >= scenario.duration {
        let message = format!(
            "the fault starts at {at_s} s, but faults stop at {end_s} s: start it earlier, or raise `duration_s`"
        );
        shape.problem_at(&format!("{path}.at_s"), message);
    } else if let Some(lasts) = fault.lasts
        && fault.at + lasts > scenario.duration
    {
        let message = format!(
            "the fault would end at {} s, but faults stop at {end_s} s: shorten it, leave `for_s` out, or raise \
             `duration_s`",
            (fault.at + lasts).as_secs_f64()
        );
        shape.problem_at(&format!("{path}.for_s"), message);
    } else if until > scenario.duration && !shape.is_broken("vehicles") && !shape.is_broken("cluster") {
        let message = format!(
            "the last node would be back at {} s, but faults stop at {end_s} s: lower `each_s`, start earlier, or raise \
             `duration_s`",
            until.as_secs_f64()
        );
        shape.problem_at(&format!("{path}.each_s"), message);
    }
}

fn check_chaos(scenario: &Scenario, chaos: &Chaos, shape: &mut Shape<'_>) {
    if chaos.kinds.is_empty() && !shape.is_broken("chaos.kinds") {
        let message =
            "`kinds` is empty: name verbs, or leave it out for those that break the cluster".to_owned();
        shape.problem_at("chaos.kinds", message);
    }
    for (index, kind) in chaos.kinds.iter().enumerate() {
        let path = format!("chaos.kinds[{index}]");
        if !VERBS.contains(&kind.as_str()) && !shape.is_broken(&path) {
            let message = format!("{kind:?} is no verb; verbs are {}", list(&VERBS));
            shape.problem_at(&path, message);
        } else if chaos.kinds[..index].contains(kind) {
            shape.problem_at(&path, format!("{kind:?} is named twice"));
        } else if kind == "cell_outage" && scenario.radio.cell_m.is_none() && !shape.is_broken("radio") {
            let message = "`cell_outage` needs cells: give `cell_m` in [radio]".to_owned();
            shape.problem_at(&path, message);
        }
    }
    let events: Vec<&str> = metrics::EVENTS.iter().map(|(name, _)| *name).collect();
    for (index, event) in chaos.sometimes.iter().enumerate() {
        let path = format!("chaos.sometimes[{index}]");
        if !events.contains(&event.as_str()) && !shape.is_broken(&path) {
            let message = format!("no event is called {event:?}; events are {}", list(&events));
            shape.problem_at(&path, message);
        }
    }
}

fn check_fault_parameters(fault: &FaultSpec, verb: &str, path: &str, shape: &mut Shape<'_>) {
    let (needed, allowed) = parameters_of(verb);
    let given = fault.parameters();
    for key in needed.iter().filter(|key| !given.contains(key)) {
        shape.problem_at(&format!("{path}.{verb}"), format!("`{verb}` needs `{key}` beside it"));
    }
    for key in given.iter().filter(|key| !allowed.contains(key)) {
        let takers: Vec<&str> =
            VERBS.into_iter().filter(|verb| parameters_of(verb).1.contains(key)).collect();
        let message = format!("`{key}` means nothing to `{verb}`: it belongs to {}", list(&takers));
        shape.problem_at(&format!("{path}.{key}"), message);
    }
    if verb == "gps_lie" && fault.distance_m.is_none() && fault.drift_mps.is_none() {
        let message = "`gps_lie` needs `distance_m` or `drift_mps` beside it".to_owned();
        shape.problem_at(&format!("{path}.{verb}"), message);
    }
    let at_once = match verb {
        "restart" => "`restart` starts the node again at once: leave `for_s` out, or use `kill`",
        "rebind" => "`rebind` is over as soon as it has happened: leave `for_s` out",
        "rolling" => {
            "`rolling` lasts as long as its nodes take, `each_s` one after the other: leave `for_s` out"
        }
        _ => return,
    };
    if fault.lasts.is_some() {
        shape.problem_at(&format!("{path}.for_s"), at_once.to_owned());
    }
}

fn check_gate(scenario: &Scenario, gate: &GateSpec, path: &str, shape: &mut Shape<'_>) {
    if !metrics::exists(&gate.metric) && !shape.is_broken(&format!("{path}.metric")) {
        let message = format!(
            "no metric is called `{}`; the nearest is `{}`",
            gate.metric,
            metrics::nearest(&gate.metric)
        );
        shape.problem_at(&format!("{path}.metric"), message);
    }
    let is_virtual = scenario.modes.contains(&Mode::Virtual) && gate.is_for(Mode::Virtual);
    if is_virtual && metrics::is_live_only(&gate.metric) {
        let message =
            format!("`{}` is measured with real processes only: add `modes = [\"live\"]`", gate.metric);
        shape.problem_at(&format!("{path}.metric"), message);
    }
    let comparisons = gate.comparisons();
    for (comparison, limit) in &comparisons {
        let place = format!("{path}.{}", comparison.key());
        match limit.times() {
            Ok(Some((_, of))) if is_virtual && (!metrics::exists(of) || metrics::is_live_only(of)) => {
                let message = format!("`{of}` is of real processes only: add `modes = [\"live\"]`");
                shape.problem_at(&place, message);
            }
            Ok(_) => {}
            Err(message) => shape.problem_at(&place, message),
        }
    }
    if comparisons.len() != 1 && !shape.is_broken(path) {
        let given: Vec<&str> = comparisons.iter().map(|(comparison, _)| comparison.key()).collect();
        let found = if given.is_empty() { "none".to_owned() } else { list(&given) };
        let message =
            format!("a gate has exactly one of `below`, `at_most`, `above`, `at_least`, found {found}");
        shape.problem_at(path, message);
    }
}
