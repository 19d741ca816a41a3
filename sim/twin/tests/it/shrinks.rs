//! `twin shrink`.

use crate::{FORGETFUL, Place, arguments};

#[test]
fn what_is_left_of_a_failing_run_fails_alike_and_is_repeated_by_the_command_that_is_printed() {
    let faults = "[[faults]]\nat_s = 8\nfor_s = 4\nkill = \"gateway/0\"\n\
                  [[faults]]\nat_s = 20\nfor_s = 3\nkill = \"db/0\"\n";
    let place = Place::new("shrink", &format!("{FORGETFUL}{faults}"));
    let (exit, text) = place.twin(&["shrink", &place.scenario, "--out", "small/left.toml", "--quiet"]);
    assert_eq!(exit, 0, "{text}");
    let left = place.read("small/left.toml");
    assert!(
        left.contains("at commit ") && left.contains("kill = \"db/0\"") && !left.contains("gateway/0\""),
        "{left}"
    );
    let command = text.lines().find_map(|line| line.strip_prefix("repeat with: ")).unwrap_or_default();
    let mut again = arguments(command);
    again.extend(["--report", "r"]);
    let (exit, shown) = place.twin(&again);
    assert_eq!(exit, 1, "{shown}");
    assert!(shown.contains("invariant durable_is_stored_once broken"), "{shown}");
}

#[test]
fn a_run_that_passes_is_not_shrunk() {
    let place = Place::new("shrink_nothing", "");
    let (exit, text) = place.twin(&["shrink", &place.scenario, "--out", "left.toml", "--quiet"]);
    assert_eq!(exit, 2, "{text}");
    assert!(text.contains("nothing to shrink") && !place.has("left.toml"), "{text}");
}
