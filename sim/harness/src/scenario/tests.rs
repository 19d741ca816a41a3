//! Every bad input with its message, and the forms that must read back.

use std::time::Duration;

use drover_world::{LinkEffect, Verb};

use super::*;

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
            "7:1: unknown key `zzz` in [cluster]; known are `db`, `dns`, `gateway`, `health`, `hub`, `persistence`, `router`",
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
        "7:9: `roads` takes exactly one of `city`, `grid`, `osm_pbf`, found `grid`, `osm_pbf`",
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
    check(
        &small("[cluster]\nrouter = 2\n"),
        &[
            "7:10: `router` = 2: not part of this version's cluster, which has gateway, persistence and db; leave it out",
        ],
    );
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
fn a_fault_names_nodes_of_the_cluster() {
    let there = "gateway/0, persistence/0, db/0, vehicle/0 to vehicle/2";
    check_fault(
        "at_s = 1\nkill = \"gateway/7\"",
        &[&format!("8:8: `kill`: gateway/7 is not in the cluster, which has {there}")],
    );
    check_fault(
        "at_s = 1\npartition = \"gateway/* -> hub/*\"",
        &[&format!("8:13: `partition`: hub/* is not in the cluster, which has {there}")],
    );
    check_fault(
        "at_s = 1\nkill = \"gatway/0\"",
        &[
            "8:8: `kill`: \"gatway/0\" names no node: write kind/index, such as gateway/0 (or kind/* where a group is allowed), with a kind of router, gateway, persistence, hub, dns, health, db, vehicle",
        ],
    );
    check_fault(
        "at_s = 1\npartition = \"gateway/0\"",
        &[
            "8:13: `partition`: \"gateway/0\" is no link: write \"a -> b\" for one way or \"a <-> b\" for both, such as \"gateway/* -> persistence/0\"",
        ],
    );
    check_fault(
        "at_s = 1\ndb_away = \"gateway/0\"",
        &["8:11: `db_away` is for the database: write \"db/0\", found \"gateway/0\""],
    );
}

#[test]
fn a_fault_that_would_do_nothing_is_refused() {
    for verb in ["disk_full", "wipe", "sleep", "rebind", "gps_freeze"] {
        let column = verb.len() + 4;
        let message = format!("8:{column}: `{verb}` is for vehicles, such as \"vehicle/*\", found \"db/0\"");
        check_fault(&format!("at_s = 1\n{verb} = \"db/0\""), &[&message]);
    }
    check_fault(
        "at_s = 1\nclock_skew = \"db/0\"\nskew_ms = 5",
        &["8:14: `clock_skew` does nothing to db/0: it is for nodes of `gateway`, `persistence`, `vehicle`"],
    );
    check_fault(
        "at_s = 1\ncorrupt = \"persistence/0 -> db/0\"\nprobability = 0.5",
        &[
            "8:11: `corrupt` does nothing on the way to the database, where no datagrams go: use `partition`, `loss`, `delay`, `clog`, `swizzle`",
        ],
    );
    check_fault(
        "at_s = 1\npartition = \"vehicle/* -> persistence/0\"",
        &[
            "8:13: `partition`: nothing goes between vehicle and persistence; links are vehicle and gateway, gateway and persistence, persistence and db",
        ],
    );
    for verb in ["delay = \"db/0 -> persistence/*\"\ndelay_ms = 5", "clog = \"persistence/0 <-> db/0\""] {
        parse(&small(&format!("[[faults]]\nat_s = 1\n{verb}\n")));
    }
}

#[test]
fn a_rolling_fault_is_over_in_time_and_what_is_instant_has_no_length() {
    check_fault(
        "at_s = 50\nrolling = \"vehicle/*\"\neach_s = 4",
        &[
            "9:10: the last node would be back at 62 s, but faults stop at 60 s: lower `each_s`, start earlier, or raise `duration_s`",
        ],
    );
    check_fault(
        "at_s = 1\nfor_s = 5\nrebind = \"vehicle/*\"",
        &["8:9: `rebind` is over as soon as it has happened: leave `for_s` out"],
    );
    check_fault("at_s = 1\nrolling = \"gateway/*\"", &["8:11: `rolling` needs `each_s` beside it"]);
    check_fault(
        "at_s = 1\nmtu = \"vehicle/* -> gateway/*\"\nmtu_bytes = 20",
        &["9:13: `mtu_bytes` must be 64 to 9000, found 20"],
    );
    check_fault(
        "at_s = 1\nnarrow = \"vehicle/* -> gateway/*\"\nqueue_ms = 20",
        &["8:10: `narrow` needs `bandwidth_kbit_s` beside it"],
    );
}

#[test]
fn a_fault_has_exactly_one_verb() {
    let verbs = format!("verbs are {}", shape::list(&VERBS));
    check_fault("at_s = 1", &[&format!("6:1: a fault has exactly one verb, found none; {verbs}")]);
    check_fault(
        "at_s = 1\nkill = \"gateway/0\"\npause = \"gateway/0\"",
        &[&format!("6:1: a fault has exactly one verb, found `kill`, `pause`; {verbs}")],
    );
    check_fault("at_s = 1\nkil = \"gateway/0\"", &["8:1: unknown key `kil`; did you mean `kill`?"]);
}

#[test]
fn chaos_draws_from_known_verbs_and_waits_for_known_events() {
    let check_chaos = |keys: &str, expected: &[&str]| check(&small(&format!("[chaos]\n{keys}\n")), expected);
    parse(&small("[chaos]\nrate_per_min = 2\nlongest_s = 30\nsometimes = [\"reconnect\"]\n"));
    check_chaos(
        "kinds = []",
        &["7:9: `kinds` is empty: name verbs, or leave it out for those that break the cluster"],
    );
    check_chaos("kinds = [\"kill\", \"kill\"]", &["7:18: \"kill\" is named twice"]);
    check_chaos("rate_per_min = 0", &["7:16: `rate_per_min` must be 0.01 to 600, found 0"]);
}

#[test]
fn a_wait_that_no_run_can_see_is_refused() {
    let with = |keys: &str| small("").replace("duration_s", &format!("{keys}\nduration_s"));
    let scenario = parse(&with("settle_s = 10"));
    assert_eq!(scenario.converge(), Duration::from_secs(5));
    parse(&with("calm_s = 1\nsettle_s = 10\nconverge_s = 11"));
    let errors =
        Scenario::parse(&with("settle_s = 10\nconverge_s = 11"), "x.toml").expect_err("never judged");
    assert!(errors.to_string().contains("a run ends 10 s after its faults"), "{errors}");
}

#[test]
fn a_fault_lies_within_the_run() {
    check_fault(
        "at_s = 60\nkill = \"gateway/0\"",
        &["7:8: the fault starts at 60 s, but faults stop at 60 s: start it earlier, or raise `duration_s`"],
    );
    check_fault(
        "at_s = 50\nfor_s = 10.5\nkill = \"gateway/0\"",
        &[
            "8:9: the fault would end at 60.5 s, but faults stop at 60 s: shorten it, leave `for_s` out, or raise `duration_s`",
        ],
    );
    check_fault(
        "at_s = 50\nfor_s = 0\nkill = \"gateway/0\"",
        &["8:9: `for_s` must be 0.001 to 604800, found 0"],
    );
    check_fault(
        "kill = \"gateway/0\"",
        &["6:1: missing key `at_s` in [[faults]]: When it starts, in seconds after the start of the run"],
    );
}

#[test]
fn a_verb_has_the_parameters_it_needs_and_no_others() {
    check_fault(
        "at_s = 1\nloss = \"vehicle/* -> gateway/0\"",
        &["8:8: `loss` needs `probability` beside it"],
    );
    check_fault(
        "at_s = 1\ndelay = \"vehicle/* -> gateway/0\"\nprobability = 0.5",
        &[
            "8:9: `delay` needs `delay_ms` beside it",
            "9:15: `probability` means nothing to `delay`: it belongs to `loss`, `burst_loss`, `duplicate`, `corrupt`, `commit_unknown`",
        ],
    );
    check_fault("at_s = 1\nclock_skew = \"gateway/0\"", &["8:14: `clock_skew` needs `skew_ms` beside it"]);
    check_fault(
        "at_s = 1\nfor_s = 5\nrestart = \"gateway/0\"",
        &["8:9: `restart` starts the node again at once: leave `for_s` out, or use `kill`"],
    );
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
fn text_that_is_not_toml_is_placed_too() {
    let errors = Scenario::parse("name = \"a\nseed = = 2\n", "x.toml").expect_err("not TOML");
    assert!(errors.problems().iter().all(|problem| problem.message.starts_with("not TOML: ")), "{errors}");
    assert_eq!(errors.problems().first().map(|problem| problem.line), Some(1));
}

#[test]
fn columns_count_characters_and_later_problems_are_placed_by_key() {
    check(
        &format!("{HEAD}{VEHICLES}[cluster]\n\"gåteway\" = 1\n"),
        &["7:1: unknown key `gåteway`; did you mean `gateway`?"],
    );
    let text = small("[gateway]\nbatch_rows = 5\n");
    let shown = |key: &str| ScenarioErrors::at_key("x.toml", &text, key, "no".to_owned()).to_string();
    assert_eq!(shown("gateway.batch_rows"), "x.toml:7:14: no");
    assert_eq!(shown("gateway.other"), "x.toml:6:1: no");
    assert_eq!(shown("world.roads.osm_pbf"), "x.toml:1:1: no");
}

#[test]
fn problems_of_different_kinds_come_together() {
    let text = small(
        "[[faults]]\nat_s = \"soon\"\nkill = \"gateway/9\"\n[[faults]]\nat_s = 2\nkill = \"gateway/9\"\n\
         [[gates]]\nmetric = \"ledger.mising\"\nbelow = 1\n",
    )
    .replace("\"small\"", "\"S\"");
    check(
        &text,
        &[
            "1:8: `name` must be made of a-z, 0-9 and _, such as \"morning_peak\", found \"S\"",
            "7:8: `at_s` must be a number, found the text \"soon\"",
            "11:8: `kill`: gateway/9 is not in the cluster, which has gateway/0, persistence/0, db/0, vehicle/0 to vehicle/2",
            "13:10: no metric is called `ledger.mising`; the nearest is `ledger.missing`",
        ],
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
fn a_resolved_scenario_reads_back_as_the_same() {
    let full = small(
        r#"kind = "delivery_van"
fix_interval_s = 0.5
[[vehicles]]
count = 4
kind = "truck"
can = false
[[vehicles]]
count = 2
kind = "car"
can_interval_s = 0.1
[vehicles.wear]
battery = { life_s = 600 }
tyre = { share = 0.25, onset_s = 30, life_s = 120.5, spread = 0 }
[[vehicles]]
count = 3
drivers = { hurried = 2, tired = 0.5 }
demand = "day"
[world]
roads = { grid = { columns = 5, rows = 4, block_m = 99.5 } }
[world.traffic]
background = 30
demand = "steady"
utc_offset_h = -3.5
signals_every = 0
[radio]
latency_ms = 12.5
loss = 1
burst_loss = { enter = 0.01, leave = 0.2 }
cell_m = 300
cell_change_interval_s = 30
bandwidth_kbit_s = 512
[[radio.zones]]
name = "tunnel"
center = [24.945, 60]
radius_m = 120
[gateway]
credit_fixes = 10
[[faults]]
at_s = 10.25
for_s = 5
delay = "vehicle/* <-> gateway/0"
delay_ms = 250
jitter_ms = 0.5
[[faults]]
at_s = 20
kill = "vehicle/6"
[[gates]]
metric = "events.refused"
at_most = 0
"#,
    );
    for text in [small(""), full] {
        let scenario = parse(&text);
        let resolved = scenario.to_toml();
        assert_eq!(parse(&resolved), scenario, "{resolved}");
        assert_eq!(parse(&resolved).to_toml(), resolved);
    }
    assert!(parse(&small("")).to_toml().contains("send_interval_s = 5\n"));
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

#[test]
fn faults_resolve_to_what_the_world_schedules() {
    let scenario = parse(&small(
        "[[faults]]\nat_s = 1.5\nfor_s = 2\nkill = \"gateway/*\"\n\
         [[faults]]\nat_s = 3\nloss = \"vehicle/1 -> gateway/0\"\nprobability = 0.25\n\
         [[faults]]\nat_s = 4\nclock_skew = \"vehicle/2\"\nskew_ms = -1500\n",
    ));
    let faults = scenario.faults();
    assert_eq!(faults.len(), 3);
    assert_eq!((faults[0].at, faults[0].lasts), (Duration::from_millis(1_500), Some(Duration::from_secs(2))));
    assert!(matches!(faults[0].verb, Verb::Kill(nodes) if nodes.to_string() == "gateway/*"));
    let Verb::Link(rule) = &faults[1].verb else { panic!("a link rule") };
    assert_eq!((rule.effect, rule.both_ways), (LinkEffect::Loss(0.25), false));
    assert!(matches!(faults[2].verb, Verb::ClockSkew { skew_ms: -1_500, .. }));
}

#[test]
fn a_rolling_fault_takes_one_node_after_the_other() {
    let scenario = parse(&small("[[faults]]\nat_s = 10\nrolling = \"vehicle/*\"\neach_s = 2.5\n"));
    let said: Vec<_> = scenario
        .faults()
        .iter()
        .map(|fault| match (&fault.verb, fault.lasts) {
            (Verb::Drain(node), Some(lasts)) => format!("{:?} {node} {lasts:?}", fault.at),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(said, ["10s vehicle/0 2.5s", "12.5s vehicle/1 2.5s", "15s vehicle/2 2.5s"]);
    assert_eq!(scenario.faults[0].until(&scenario), Duration::from_millis(17_500));
    let cut = scenario.with_until(Duration::from_secs(13));
    assert_eq!(cut.faults[0].each, Some(Duration::from_secs(1)));
}

#[test]
fn a_swizzle_clogs_some_one_by_one_and_frees_them_in_another_order() {
    let of = |seed: u64| {
        let text = "[[faults]]\nat_s = 10\nfor_s = 30\nswizzle = \"vehicle/* <-> gateway/0\"\n";
        let text = small(text).replace("count = 3", "count = 12");
        let faults = parse(&text).with_seed(seed).faults();
        let clogs = faults.into_iter().map(|fault| match fault.verb {
            Verb::Link(rule) if rule.effect == LinkEffect::Clog && rule.both_ways => {
                (rule.from.to_string(), fault.at, fault.at + fault.lasts.unwrap_or_default())
            }
            other => panic!("{other:?}"),
        });
        clogs.collect::<Vec<_>>()
    };
    let clogs = of(1);
    assert_eq!(clogs.len(), 6);
    assert!(clogs.is_sorted_by(|one, next| one.1 < next.1) && !clogs.is_sorted_by_key(|clog| clog.2));
    let (last_begin, first_end) =
        (clogs.iter().map(|clog| clog.1).max(), clogs.iter().map(|clog| clog.2).min());
    assert!(last_begin <= first_end && clogs.iter().all(|clog| clog.2 <= Duration::from_secs(40)));
    assert!(clogs == of(1) && clogs != of(2));
}

#[test]
fn a_fault_says_what_its_parameters_are() {
    let fault = |lines: &str| parse(&small(&format!("[[faults]]\nat_s = 1\n{lines}\n"))).faults.remove(0);
    let burst = fault("burst_loss = \"vehicle/* -> gateway/*\"\nenter = 0.1\nleave = 0.5");
    assert_eq!(burst.detail(), "turns bad with 0.1, good again with 0.5");
    let narrow = fault("narrow = \"vehicle/* -> gateway/*\"\nbandwidth_kbit_s = 64\nqueue_ms = 3000");
    assert_eq!(narrow.detail(), "64 kbit/s, a queue of 3000 ms");
    assert_eq!(fault("gps_freeze = \"vehicle/0\"\nfrozen = \"position\"").detail(), "");
}

#[test]
fn an_earlier_end_cuts_the_faults_with_it() {
    let scenario = parse(&small(
        "[[faults]]\nat_s = 5\nfor_s = 20\nkill = \"gateway/0\"\n[[faults]]\nat_s = 30\nkill = \"gateway/0\"\n",
    ));
    let cut = scenario.clone().with_until(Duration::from_secs(10)).with_seed(u64::MAX);
    assert_eq!(cut.duration, Duration::from_secs(10));
    assert_eq!(cut.faults.len(), 1);
    assert_eq!(cut.faults[0].lasts, Some(Duration::from_secs(5)));
    assert_eq!(cut.seed, Scenario::SEED_MAX);
    assert_eq!(parse(&cut.to_toml()), cut);
    assert_eq!(scenario.clone().with_until(Duration::from_secs(90)), scenario);
}

#[test]
fn the_schema_describes_every_key() {
    fn walk(schema: &serde_json::Value, path: &str) {
        let properties = schema.get("properties").and_then(|value| value.as_object());
        for (key, form) in properties.into_iter().flatten() {
            let path = format!("{path}.{key}");
            assert!(form.get("description").is_some(), "{path} has no description");
            walk(form, &path);
            walk(form.get("items").unwrap_or(&serde_json::Value::Null), &path);
        }
    }
    let schema = schema();
    walk(&schema, "");
    assert!(!schema.to_string().contains("\"null\""), "TOML has no null");
    assert!(!schema.to_string().contains("$ref"));
}

#[test]
fn the_scenarios_of_the_tree_are_good() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios");
    let entries = std::fs::read_dir(folder).expect("the folder of scenarios");
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    assert!(files.len() >= 4, "{files:?}");
    for path in files {
        #[expect(clippy::disallowed_methods, reason = "the files of the tree")]
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let scenario = parse(&text);
        assert_eq!(path.file_stem().and_then(|stem| stem.to_str()), Some(scenario.name.as_str()));
        assert!(text.starts_with(&format!("# {}\n", scenario.question)), "opens with its question");
        assert_eq!(parse(&scenario.to_toml()), scenario);
    }
}

#[test]
fn a_service_s_own_key_is_judged_at_its_place() {
    let check = |rest: &str, expected: &str| {
        let text =
            format!("name = \"x\"\nquestion = \"?\"\nduration_s = 60\n[[vehicles]]\ncount = 1\n{rest}");
        let shown = Scenario::parse(&text, "x.toml").expect_err(rest).to_string();
        assert!(shown.contains(expected), "{shown}\ndoes not contain\n{expected}");
    };
    check("[gateway]\ncredit_fixes = 0\n", "x.toml:7:16: [gateway]: credit_fixes must be at least 1");
    check(
        "[tracker]\nsegment_bytes_max = 10\n",
        "x.toml:7:21: [tracker]: segment_bytes_max of 10 is not between",
    );
    check(
        "[gateway]\ncredit_fix = 5\n",
        "x.toml:7:14: unknown key `credit_fix` in [gateway]; did you mean `credit_fixes`?",
    );
    check(
        "[persistence]\nbatch_rows_max = \"many\"\n",
        "x.toml:7:18: `batch_rows_max`: invalid type: string",
    );
    check(
        "[tracker]\nsend_interval_ms = 5\n",
        "`send_interval_ms` is set by `send_interval_s` in [[vehicles]]: leave it out",
    );
}
