//! A sweep as other programs read it.

use std::fmt::Write;

use super::{Group, Summary};
use crate::report::{Case, Outcome, Suite};

impl Group {
    fn text(&self) -> String {
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        let more = if self.count > self.seeds.len() as u64 { ", ..." } else { "" };
        format!("seeds {}{more}: {}; repeat with: {}", seeds.join(", "), self.detail, self.replay)
    }
}

impl Summary {
    /// For a test runner: a case for each cause of failure, one for what never happened, and one for all seeds that passed.
    pub fn suite(&self, scenario: &str, wall_s: f64) -> Suite {
        let failed = self.groups.iter().map(|group| Case {
            name: format!("{} x {}", group.count, group.cause),
            outcome: Outcome::Failed(group.text()),
        });
        let never = self.never.iter().map(|event| Case {
            name: format!("{event} happens in some seed"),
            outcome: Outcome::Failed("it never did, but `chaos.sometimes` asks for it".to_owned()),
        });
        let passed = self.seeds - self.failed;
        let outcome = match (self.interrupted, self.seeds) {
            (true, _) => Outcome::Skipped("ended by hand".to_owned()),
            (false, 0) => Outcome::Failed("no seed was run".to_owned()),
            (false, _) => Outcome::Held,
        };
        let whole = Case { name: format!("{passed} of {} seeds pass", self.seeds), outcome };
        Suite {
            name: format!("{scenario} sweep"),
            class: scenario.to_owned(),
            wall_s,
            cases: failed.chain(never).chain([whole]).collect(),
        }
    }

    /// Markdown for a pull request.
    pub fn markdown(&self, scenario: &str) -> String {
        let verdict = self.verdict().to_string().to_uppercase();
        let mut text =
            format!("### {verdict} `{scenario}`: {} seeds, {} failed\n\n", self.seeds, self.failed);
        for group in &self.groups {
            let _ = writeln!(text, "- {} x {}: {}", group.count, group.cause, group.text());
        }
        if !self.never.is_empty() {
            let _ = writeln!(
                text,
                "- never happened, but `chaos.sometimes` asks for it: {}",
                self.never.join(", ")
            );
        }
        let _ = writeln!(
            text,
            "\n{} faults, {} fixes, {:.0} virtual seconds; {} seeds run twice. Commit `{}`.",
            self.faults.values().sum::<u64>(),
            self.recorded,
            self.virtual_s,
            self.repeated,
            self.commit
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::Cause;

    #[test]
    fn each_cause_is_a_case_with_the_command_that_repeats_it() {
        let group = Group {
            cause: Cause::Oracle("nothing_missing".to_owned()),
            count: 7,
            seeds: vec![4, 9],
            detail: "3 fixes".to_owned(),
            trace_hash: None,
            replay: "twin run c --seed 4".to_owned(),
        };
        let never = vec!["shed".to_owned()];
        let summary = Summary { seeds: 10, failed: 7, groups: vec![group], never, ..Summary::default() };
        let xml = summary.suite("c", 1.0).junit();
        assert!(xml.contains("tests=\"3\" failures=\"2\""), "{xml}");
        assert!(xml.contains("seeds 4, 9, ...: 3 fixes; repeat with: twin run c --seed 4"), "{xml}");
        assert!(xml.contains("name=\"3 of 10 seeds pass\"/>"), "{xml}");
        let text = summary.markdown("c");
        assert!(text.starts_with("### FAIL `c`: 10 seeds, 7 failed"), "{text}");
        assert!(summary.suite("c", 1.0).annotations().lines().count() == 2);
    }
}
