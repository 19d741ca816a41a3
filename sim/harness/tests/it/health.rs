//! Health agents: what they say when something breaks, and how soon they agree.

use std::collections::BTreeMap;

use drover_harness::report::Verdict;
use drover_harness::run::Outcome;
use drover_harness::scenario::Scenario;

use super::{NEVER, ask, count};

/// A few vans, a router, two gateways and three agents for a minute, with these faults.
fn run(faults: &str) -> Outcome {
    let text = format!(
        "name = \"small\"\nquestion = \"Does it hold?\"\nduration_s = 60\nsettle_s = 60\n\
         [world]\nroads = {{ grid = {{ columns = 6, rows = 5, block_m = 120 }} }}\n\
         [[vehicles]]\ncount = 3\nsend_interval_s = 2\n\
         [cluster]\nrouter = 1\ngateway = 2\npersistence = 1\nhealth = 3\n{faults}"
    );
    let scenario = Scenario::parse(&text, "small.toml").unwrap_or_else(|errors| panic!("{errors}"));
    let outcome = ask(&scenario, &NEVER);
    assert_eq!(outcome.report.verdict, Verdict::Pass, "{faults}: {:?}", outcome.report.reasons);
    outcome
}

/// When an agent said what of whom: agent, node, state.
fn said(outcome: &Outcome) -> Vec<(f64, String, String, String)> {
    let told =
        outcome.timeline.iter().filter(|line| matches!(line.event.as_str(), "called_dead" | "node_state"));
    let text = |value: Option<&serde_json::Value>| {
        value.and_then(|text| text.as_str()).unwrap_or_default().to_owned()
    };
    told.map(|line| {
        let field = |name: &str| text(line.fields.get(name));
        (line.t_s, line.node.clone(), field("about"), field("state"))
    })
    .collect()
}

#[test]
fn three_agents_agree_within_two_seconds_after_a_partition() {
    let cut = "[[faults]]\nat_s = 20\nfor_s = 20\npartition = \"health/1 <-> gateway/*\"\n";
    let outcome = run(cut);
    let said = said(&outcome);
    let dead =
        said.iter().filter(|(at, agent, _, state)| *at < 40.0 && agent == "health/1" && state == "dead");
    assert_eq!(dead.count(), 2, "the one that is cut off sees nobody of them: {said:?}");
    let last: BTreeMap<_, _> =
        said.iter().map(|(at, agent, about, state)| ((agent, about), (*at, state.as_str()))).collect();
    assert_eq!(last.len(), 3 * 4, "three agents, four nodes");
    for (who, (at, state)) in last {
        assert_eq!(state, "healthy", "{who:?}");
        assert!(at < 42.0, "{who:?} came to it at {at} s");
    }
    // What it said meanwhile was older than what the others said: nobody believed it.
    assert_eq!(count(&outcome.report, "reconnect"), 0);
}

#[test]
fn whoever_listens_knows_of_a_death_within_a_second_and_a_half() {
    let faults = "[[faults]]\nat_s = 20\nfor_s = 10\nkill = \"gateway/0\"\n\
                  [[faults]]\nat_s = 44.3\nfor_s = 10\nkill = \"persistence/0\"\n";
    let outcome = run(faults);
    let latency = &outcome.report.latency_ms["end_to_news"];
    assert!(latency.count >= 5, "{latency:?}");
    assert!(latency.max.is_some_and(|max| max < 1_500.0), "{latency:?}");
}

#[test]
fn an_agent_that_stands_still_is_missed_by_nobody_and_blames_nobody() {
    let outcome = run("[[faults]]\nat_s = 20\nfor_s = 20\npause = \"health/*\"\n");
    assert_eq!(count(&outcome.report, "called_dead"), 0);
    assert!(count(&outcome.report, "news_old") > 30);
    assert_eq!(count(&outcome.report, "reconnect"), 0);
}

#[test]
fn a_closed_gateway_gets_nobody_new_and_keeps_who_is_there() {
    let faults = "[[faults]]\nat_s = 20\nfor_s = 30\ncordon = \"gateway/1\"\n\
                  [[faults]]\nat_s = 25\nfor_s = 20\ndrain = \"gateway/0\"\n";
    // Whoever is at the first has nowhere to go until it is back: the second is closed, not broken.
    let outcome = run(faults);
    assert_eq!(count(&outcome.report, "reconnect_untouched"), 0);
    assert!(count(&outcome.report, "reconnect_most") <= 1);
}
