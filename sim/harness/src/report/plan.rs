//! What a run is going to be: known before it begins, so that one that ends without a report leaves it too.

use super::FaultWindow;
use crate::scenario::Scenario;

/// Faults that a terminal shows; the rest is in the folder of the report.
const SHOWN_MAX: usize = 40;

/// The files that a run leaves before it begins: the scenario with all that its seed draws, and its faults as lines of text.
/// `replay` is the command that repeats the run, and `commit` what the program was built from.
pub fn plan_files(scenario: &Scenario, replay: &str, commit: &str) -> [(&'static str, String); 2] {
    let head = format!(
        "# {replay}\n# As it was drawn and cut at commit {commit}: this file runs by itself, whatever draws later.\n"
    );
    let lines: String = fault_lines(scenario).iter().map(|line| format!("{line}\n")).collect();
    [("scenario.toml", head + &scenario.to_toml()), ("faults.txt", lines)]
}

/// What a terminal shows before a run: the command that repeats it, and its faults.
pub fn plan_text(scenario: &Scenario, replay: &str) -> String {
    let lines = fault_lines(scenario);
    let count = if lines.is_empty() { "none".to_owned() } else { lines.len().to_string() };
    let mut text = format!("replay    {replay}\nfaults    {count}\n");
    for line in lines.iter().take(SHOWN_MAX) {
        text.push_str(&format!("{:<9} {line}\n", ""));
    }
    if lines.len() > SHOWN_MAX {
        text.push_str(&format!(
            "{:<9} and {} more, in faults.txt of the report\n",
            "",
            lines.len() - SHOWN_MAX
        ));
    }
    text + "\n"
}

/// One line for each fault, in the order of the scenario.
fn fault_lines(scenario: &Scenario) -> Vec<String> {
    let line = |window: FaultWindow| {
        let FaultWindow { at_s, until_s, verb, target, detail, .. } = window;
        let detail = if detail.is_empty() { detail } else { format!(", {detail}") };
        format!("{at_s:>8.1} s to {until_s:>8.1} s  {verb} {target}{detail}")
    };
    FaultWindow::timeline(scenario).into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(faults: &str) -> Scenario {
        let text = format!(
            "name = \"p\"\nquestion = \"?\"\nduration_s = 60\n[[vehicles]]\ncount = 2\n[cluster]\ngateway = 2\n{faults}"
        );
        Scenario::parse(&text, "p.toml").unwrap_or_else(|errors| panic!("{errors}"))
    }

    const LOSS: &str =
        "[[faults]]\nat_s = 5\nfor_s = 2.5\nloss = \"vehicle/1 -> gateway/*\"\nprobability = 0.3\n";

    #[test]
    fn the_faults_are_shown_before_the_run_and_all_of_them_are_in_the_files() {
        assert_eq!(plan_text(&scenario(""), "twin run p"), "replay    twin run p\nfaults    none\n\n");
        let shown = plan_text(&scenario(LOSS), "twin run p");
        let line = "     5.0 s to      7.5 s  loss vehicle/1 -> gateway/*, probability 0.3\n";
        assert_eq!(shown, format!("replay    twin run p\nfaults    1\n          {line}\n"));
        let many = scenario(&LOSS.repeat(SHOWN_MAX + 2));
        assert!(plan_text(&many, "").contains("and 2 more, in faults.txt"));
        let [_, (name, lines)] = plan_files(&many, "", "");
        assert_eq!((name, lines.lines().count()), ("faults.txt", SHOWN_MAX + 2));
    }

    #[test]
    fn the_scenario_of_a_plan_is_the_same_when_it_is_read() {
        let drawn = scenario("[chaos]\nrate_per_min = 30\n").with_seed(3).resolved();
        let [(_, text), _] = plan_files(&drawn, "twin run p --seed 3", "abc");
        assert!(text.starts_with("# twin run p --seed 3\n# As it was drawn and cut at commit abc"));
        assert_eq!(Scenario::parse(&text, "p.toml").unwrap_or_else(|errors| panic!("{errors}")), drawn);
    }
}
