//! Every bad input with its message, and the forms that must read back.

use std::time::Duration;

use drover_world::{LinkEffect, Verb};

use super::*;

mod faults;
mod files;
mod radio;

/// The least that is a scenario; `{}` more follows.
const HEAD: &str = r#"name = "small"
question = "Does it work?"
duration_s = 60
"#;
const VEHICLES: &str = "[[vehicles]]\ncount = 3\n";

fn small(more: &str) -> String {
    format!("{HEAD}{VEHICLES}{more}")
}

fn parse(text: &str) -> Scenario {
    Scenario::parse(text, "x.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

/// Checks the whole message, without the file's name in front of each line.
fn check(text: &str, expected: &[&str]) {
    let errors = Scenario::parse(text, "x.toml").expect_err("a bad scenario");
    let shown = errors.to_string();
    let lines: Vec<&str> = shown.lines().map(|line| line.strip_prefix("x.toml:").unwrap_or(line)).collect();
    assert_eq!(lines, expected);
}

fn check_fault(lines: &str, expected: &[&str]) {
    check(&small(&format!("[[faults]]\n{lines}\n")), expected);
}

#[test]
fn a_key_that_is_misspelt_is_named_with_the_nearest() {
    let text = small("[radio]\nlatency = 5\nloos = 0.1\n").replace("duration_s", "durations_s");
    check(
        &text,
        &[
            "3:1: unknown key `durations_s`; did you mean `duration_s`?",
            "7:1: unknown key `latency`; did you mean `latency_ms`?",
            "8:1: unknown key `loos`; did you mean `loss`?",
        ],
    );
}

#[test]
fn a_key_in_the_wrong_table_is_sent_to_the_right_one() {
    check(
        &small("seed = 7\nlatency_ms = 5\n"),
        &[
            "6:1: unknown key `seed` in [[vehicles]]; it belongs at the top of the file, before the first [table]",
            "7:1: unknown key `latency_ms` in [[vehicles]]; it belongs in [radio]",
        ],
    );
    check(
        &small("[cluster]\nzzz = 1\n"),
        &[
            "7:1: unknown key `zzz` in [cluster]; known are `agent`, `db`, `dns`, `gateway`, `health`, `hub`, `persistence`, `rotate_s`, `router`",
        ],
    );
}

#[test]
fn orders_have_their_keys_and_no_others() {
    let orders = parse(&small("[orders]\ntrip_share = 0.5\n")).orders.expect("a table");
    assert_eq!(orders, Orders { trip_share: 0.5, ..Orders::default() });
    assert_eq!(parse(&small("")).orders, None);
    check(
        &small("[orders]\ntrip_shares = 0.5\nanswer_within = 3\nfailed_share = 2\n"),
        &[
            "7:1: unknown key `trip_shares`; did you mean `trip_share`?",
            "8:1: unknown key `answer_within`; did you mean `answer_within_ms`?",
            "9:16: `failed_share` must be 0 to 1, found 2",
        ],
    );
}

#[test]
fn orders_are_for_virtual_time() {
    let text = format!("modes = [\"virtual\", \"live\"]\n{}", small("[orders]\n"));
    check(
        &text,
        &[
            "7:1: `orders` are driven in virtual time alone: take \"live\" out of `modes`, or leave [orders] out",
        ],
    );
}

#[test]
fn a_missing_key_is_named_with_what_it_is_for() {
    check(
        VEHICLES,
        &[
            "1:1: missing key `duration_s` at the top of the file: How long vehicles drive and faults happen, in seconds of virtual (or, live, real) time",
            "1:1: missing key `name` at the top of the file: Short name: lower-case letters, digits and underscores",
            "1:1: missing key `question` at the top of the file: What a run of this scenario answers, in one sentence",
        ],
    );
    check(
        HEAD,
        &[
            "1:1: missing key `vehicles` at the top of the file: Groups of like vehicles, numbered on from group to group: vehicle/0, vehicle/1 and so on",
        ],
    );
    check(
        &small("[[vehicles]]\nfix_interval_s = 2\n"),
        &["6:1: missing key `count` in [[vehicles]]: How many"],
    );
}

#[test]
fn a_wrong_type_is_named_with_what_was_expected() {
    let text = small("[radio]\nloss = \"much\"\n[store]\nlost_unflushed = 1\n")
        .replace("duration_s = 60", "duration_s = \"1 min\"")
        .replace("count = 3", "count = 2.5");
    check(
        &text,
        &[
            "3:14: `duration_s` must be a number, found the text \"1 min\"",
            "5:9: `count` must be a whole number, found 2.5",
            "7:8: `loss` must be a number, found the text \"much\"",
            "9:18: `lost_unflushed` must be true or false, found 1",
        ],
    );
    check(&format!("{HEAD}vehicles = 3\n"), &["4:12: `vehicles` must be one or more [[tables]], found 3"]);
    check(&small("[[faults]]\nat_s = 1\nkill = 5\n"), &["8:8: `kill` must be a text in quotes, found 5"]);
    check(
        &small("radio = 3\n"),
        &[
            "6:1: unknown key `radio` in [[vehicles]]; it belongs at the top of the file, before the first [table]",
        ],
    );
}

#[test]
fn a_number_outside_its_range_is_named_with_the_range() {
    let text = small("[radio]\nloss = 1.5\nmtu_bytes = 500\n[cluster]\ngateway = 0\ndb = 2\n")
        .replace("duration_s = 60", "duration_s = 0")
        .replace("count = 3", "count = 0");
    check(
        &text,
        &[
            "3:14: `duration_s` must be 1 to 604800, found 0",
            "5:9: `count` must be 1 to 100000, found 0",
            "7:8: `loss` must be 0 to 1, found 1.5",
            "8:13: `mtu_bytes` must be 1200 to 9000, found 500",
            "10:11: `gateway` must be 1 to 64, found 0",
            "11:6: `db` must be 1, found 2",
        ],
    );
    check(&small("").replace("count = 3", "count = -1"), &["5:9: `count` must be 1 to 100000, found -1"]);
    check(&format!("seed = -1\n{}", small("")), &["1:8: `seed` must be at least 0, found -1"]);
    check(
        &small("[[gates]]\nmetric = \"ledger.missing\"\nbelow = nan\n"),
        &["8:9: `below` must be a finite number, found nan"],
    );
    check_fault(
        "at_s = 1\nloss = \"vehicle/* -> gateway/0\"\nprobability = -0.1",
        &["9:15: `probability` must be 0 to 1, found -0.1"],
    );
}

#[test]
fn a_name_is_lower_case_with_digits_and_underscores() {
    check(
        &small("").replace("\"small\"", "\"Small town\""),
        &["1:8: `name` must be made of a-z, 0-9 and _, such as \"morning_peak\", found \"Small town\""],
    );
    check(
        &small("").replace("\"Does it work?\"", "\" \""),
        &["2:12: `question` is empty: say in one sentence what a run answers"],
    );
}

#[test]
fn a_time_is_rfc_3339_with_or_without_quotes() {
    check(
        &small("[world]\nstart = \"7 o'clock\"\n"),
        &["7:9: `start`: \"7 o'clock\" is not an RFC 3339 time such as 2026-03-02T07:00:00Z"],
    );
    let quoted = parse(&small("[world]\nstart = \"2026-05-01T10:00:00Z\"\n"));
    let bare = parse(&small("[world]\nstart = 2026-05-01T10:00:00Z\n"));
    assert_eq!(quoted, bare);
    assert_eq!(quoted.world.start.to_string(), "2026-05-01T10:00:00Z");
}

#[test]
fn roads_come_from_exactly_one_known_source() {
    let check_roads =
        |roads: &str, expected: &str| check(&small(&format!("[world]\nroads = {roads}\n")), &[expected]);
    check_roads("{ osm_pdf = \"a.pbf\" }", "7:11: unknown key `osm_pdf`; did you mean `osm_pbf`?");
    check_roads("{}", "7:9: `roads` takes exactly one of `city`, `grid`, `osm_pbf`, found none");
    check_roads(
        "{ osm_pbf = \"a.pbf\", grid = {} }",
        "7:9: `roads` takes exactly one of `city`, `grid`, `osm_pbf`, found `osm_pbf`, `grid`",
    );
    check_roads(
        "{ osm_pbf = \"\" }",
        "7:21: `osm_pbf` is empty: give the path of an OpenStreetMap extract (.osm.pbf)",
    );
    check_roads("{ grid = { rows = 1 } }", "7:27: `rows` must be 2 to 500, found 1");
    check_roads("{ city = { with_km = 8 } }", "7:20: unknown key `with_km`; did you mean `width_km`?");
    check_roads("{ city = { irregularity = 2 } }", "7:35: `irregularity` must be 0 to 1, found 2");
    check_roads(
        "{ city = { width_km = 90, height_km = 80 } }",
        "7:18: `city`: a city of 90 x 80 km with blocks of 120 m has 501668 crossings, and 250000 is the most: make it \
         smaller, or its blocks larger",
    );
    check_roads(
        "{ city = { bridges = 40 } }",
        "7:18: `city`: 40 bridges are more than the 18 arterials and collectors that come to the river: have fewer",
    );
    check_roads(
        "\"a.pbf\"",
        "7:9: `roads` must be a table such as { osm_pbf = \"file\" }, { city = { width_km = 8, height_km = 6 } } or { grid = { columns = 40, rows = 30 } }, found the text \"a.pbf\"",
    );
}

#[test]
fn a_file_of_another_version_is_refused_as_a_whole() {
    check(
        &format!("format = 2\nwether = \"rain\"\n{}", small("")),
        &[
            "1:10: this file is of format 2, and this twin reads 1: run it with the twin that wrote it (one that `twin` wrote names its commit in its first lines), or write it anew",
        ],
    );
    let written = Scenario::parse(&small(""), "small.toml").expect("a good scenario").to_toml();
    assert!(written.starts_with("format = 1\n"), "{written}");
}

#[test]
fn kinds_and_modes_of_later_versions_are_refused() {
    check(
        &small("kind = \"tram\"\n"),
        &["6:8: `kind`: \"tram\" is not available in this version, which has `delivery_van`, `truck`, `car`"],
    );
    check(
        &format!("modes = [\"virtaul\"]\n{}", small("")),
        &[
            "1:10: `modes`: \"virtaul\" is not available in this version, which has `virtual`, `live`; did you mean `virtual`?",
        ],
    );
    check(
        &format!("modes = []\n{}", small("")),
        &["1:9: `modes` must name `virtual`, `live` or both, each once"],
    );
    check(&small("[[watchers]]\ncount = 2\n"), &["6:1: [[watchers]] watch hubs: add `hub` to [cluster]"]);
    check(
        &small("[cluster]\nhub = 1\n[[watchers]]\ncount = 2\nrole = \"customer\"\npan_every_s = 3\n"),
        &["11:15: `pan_every_s` is for dispatchers: a customer sees one vehicle"],
    );
    check(
        &small("[cluster]\nrotate_s = 60\n"),
        &["7:12: `rotate_s` means nothing without routers: add `router`, or leave it out"],
    );
    check(
        &small(
            "[cluster]\nrouter = 1\n[[faults]]\nat_s = 1\nfor_s = 1\npartition = \"vehicle/* -> gateway/0\"\n",
        ),
        &[
            "11:13: `partition`: nothing goes between vehicle and gateway; links are vehicle and router, router and gateway, gateway and persistence, persistence and db, gateway and hub, hub and persistence, hub and agent, hub and watcher, health and each of dns, router, gateway, hub and persistence",
        ],
    );
}

#[test]
fn share_links_are_of_customers_and_end_after_they_begin() {
    let watchers = |lines: &str| small(&format!("[cluster]\nhub = 1\n[[watchers]]\ncount = 2\n{lines}\n"));
    check(
        &watchers("link_until_s = 5"),
        &["10:16: `link_until_s` is of a share link, and dispatchers have none: it is for customers"],
    );
    check(
        &watchers("role = \"customer\"\nlink_from_s = 5\nlink_until_s = 5"),
        &["12:16: `link_until_s`: the link ends before it begins"],
    );
    let customers = parse(&watchers("role = \"customer\"\nlink_from_s = 4.5")).watchers;
    assert_eq!(customers[0].link_from, Some(Duration::from_millis(4_500)));
}

#[test]
fn questions_go_by_hubs_in_virtual_time() {
    check(
        &small("[questions]\n[cluster]\nagent = 1\n"),
        &[
            "6:1: [questions]: questions go by hubs: add `hub` to [cluster]",
            "8:9: `agent`: questions go by hubs: add `hub` to [cluster]",
        ],
    );
    check(
        &format!("modes = [\"live\"]\n{}", small("[cluster]\nhub = 1\n[questions]\naskers = 2\n")),
        &[
            "9:1: [questions]: questions are asked in virtual time alone: take \"live\" out of `modes`, or leave it out",
        ],
    );
    let asked = parse(&small("[cluster]\nhub = 1\nagent = 2\n[questions]\naskers = 2\n"));
    assert_eq!(asked.questions.map(|questions| questions.askers), Some(2));
}

#[test]
fn a_zone_has_a_place_on_earth_and_a_name_of_its_own() {
    let zone = |name: &str, center: &str| {
        format!("[[radio.zones]]\nname = \"{name}\"\ncenter = {center}\nradius_m = 50\n")
    };
    check(
        &small(&zone("a", "[24.9, 160.1]")),
        &["8:10: `center` is [longitude, latitude] in degrees: latitude of 160.1 deg is outside -90 to 90"],
    );
    check(&small(&zone("a", "[24.9]")), &["8:10: `center` needs 2 numbers, found 1"]);
    let twice = zone("a", "[24.9, 60.1]") + &zone("a", "[24.9, 60.2]");
    check(&small(&twice), &["11:8: a zone before this is called \"a\" too"]);
}

#[test]
fn a_gate_is_on_a_metric_that_exists_with_exactly_one_limit() {
    let check_gate =
        |lines: &str, expected: &str| check(&small(&format!("[[gates]]\n{lines}\n")), &[expected]);
    check_gate(
        "metric = \"latency_ms.fix_to_durabel.p99\"\nbelow = 1",
        "7:10: no metric is called `latency_ms.fix_to_durabel.p99`; the nearest is `latency_ms.fix_to_durable.p99`",
    );
    check_gate(
        "metric = \"migrations\"\nabove = 0",
        "7:10: no metric is called `migrations`; the nearest is `events.migration`",
    );
    check_gate(
        "metric = \"ledger.missing\"",
        "6:1: a gate has exactly one of `below`, `at_most`, `above`, `at_least`, found none",
    );
    check_gate(
        "metric = \"ledger.missing\"\nbelow = 1\nat_most = 0",
        "6:1: a gate has exactly one of `below`, `at_most`, `above`, `at_least`, found `below`, `at_most`",
    );
    check_gate("metric = \"ledger.missing\"\nbellow = 1", "8:1: unknown key `bellow`; did you mean `below`?");
    check_gate(
        "below = 1",
        "6:1: missing key `metric` in [[gates]]: Dotted key of report.json, such as `latency_ms.fix_to_durable.p99`",
    );
}

#[test]
fn traffic_that_can_not_be_is_refused_with_its_place() {
    check(
        &small("drivers = { calm = 0 }\n"),
        &["6:11: `drivers`: calm 0, hurried 0, tired 0 are no shares: give each 0 or more, and one above 0"],
    );
    let hours = format!("[world.traffic]\ndemand_by_hour = [2.0{}]\n", ", 0.5".repeat(23));
    check(
        &small(&hours),
        &["7:18: `demand_by_hour`: the share of hour 0 is 2; shares of the peak are 0 to 1"],
    );
    check(
        &small("demand = \"day\"\n"),
        &["6:10: `demand` = \"day\" follows the curve of [world.traffic]: add that table, or leave it out"],
    );
}

#[test]
fn wear_is_checked_and_resolves_to_what_the_world_takes() {
    let wear = |text: &str| small(&format!("[vehicles.wear]\n{text}"));
    check(&wear("batery = { life_s = 60 }"), &["7:1: unknown key `batery`; did you mean `battery`?"]);
    check(
        &wear("tyre = { life_s = 60, share = 1.5, spread = 0.95 }"),
        &["7:31: `share` must be 0 to 1, found 1.5", "7:45: `spread` must be 0 to 0.9, found 0.95"],
    );
    check(
        &wear("alternator = { share = 0.5 }"),
        &[
            "7:14: missing key `life_s` in [vehicles.wear.alternator]: From then to failure in typical use, in seconds",
        ],
    );
    let scenario = parse(&wear("coolant_pump = { life_s = 60, onset_s = 5 }"));
    let resolved = scenario.vehicles[0].wear.resolve();
    let expected = drover_world::Decay {
        share: 1.0,
        onset: Duration::from_secs(5),
        life: Duration::from_secs(60),
        spread: 0.2,
    };
    assert_eq!((resolved.coolant_pump, resolved.battery), (Some(expected), None));
}
