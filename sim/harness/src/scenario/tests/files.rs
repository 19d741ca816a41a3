//! Whole files: several problems at once, what a resolved one reads back as, the schema, and the files of the tree.

use super::*;

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
