use super::*;
use crate::report::Outcome;
use crate::scenario::{Mode, Scenario};

fn report(mode: Mode, cpu: f64, connects: u64) -> Report {
    let text = "name = \"a\"\nquestion = \"?\"\nduration_s = 60\n[[vehicles]]\ncount = 1\n\
                [world]\nroads = { grid = { columns = 3, rows = 3, block_m = 120 } }\n";
    let scenario = Scenario::parse(text, "a.toml").unwrap_or_else(|errors| panic!("{errors}"));
    let mut report = Report::new(&scenario, mode, "twin load a".to_owned());
    report.verdict = Verdict::Pass;
    report.cpu_us_per_fix.insert("total".to_owned(), cpu);
    report.throughput.insert("durable_per_s".to_owned(), 100.0);
    report.events.insert("connect".to_owned(), connects);
    report
}

fn side(name: &str, cpu: &[f64], connects: u64) -> Side {
    let runs = cpu.iter().map(|cpu| report(Mode::Live, *cpu, connects)).collect();
    Side { name: name.to_owned(), runs }
}

fn judged(comparison: &Comparison, metric: &str) -> Option<Judgement> {
    comparison.rows.iter().find(|row| row.metric == metric).map(|row| row.judgement)
}

const CPU: &str = "cpu_us_per_fix.total";

#[test]
fn a_change_beyond_chance_is_worse_or_better_by_what_the_metric_means() {
    let calm = side("before", &[10.0, 10.1, 9.9, 10.05], 5);
    let slow = side("after", &[11.5, 11.6, 11.4, 11.55], 5);
    let comparison = Comparison::of(&calm, &slow, true).expect("alike");
    assert_eq!(judged(&comparison, CPU), Some(Judgement::Worse));
    assert_eq!(judged(&comparison, "throughput.durable_per_s"), Some(Judgement::Same));
    assert_eq!(judged(&comparison, "events.connect"), Some(Judgement::Same));
    assert_eq!(comparison.rows[0].metric, CPU, "the worse first");
    assert_eq!(comparison.worse_by(10.0).count(), 1);
    assert_eq!(comparison.worse_by(20.0).count(), 0);
    let back = Comparison::of(&slow, &calm, false).expect("alike");
    assert_eq!(judged(&back, CPU), Some(Judgement::Better));
    assert_eq!(back.worse_by(0.0).count(), 0);
}

#[test]
fn chance_is_no_change_and_one_run_of_real_processes_says_nothing() {
    let wild = side("a", &[8.0, 12.0, 9.0, 13.0], 5);
    let other = side("b", &[12.0, 9.0, 13.0, 10.0], 5);
    assert_eq!(judged(&Comparison::of(&wild, &other, false).expect("alike"), CPU), Some(Judgement::Unsure));
    let (one, two) = (side("a", &[10.0], 5), side("b", &[15.0], 5));
    assert_eq!(judged(&Comparison::of(&one, &two, true).expect("alike"), CPU), Some(Judgement::Unsure));
}

#[test]
fn in_virtual_time_one_run_says_all() {
    let of = |name: &str, connects| Side {
        name: name.to_owned(),
        runs: vec![report(Mode::Virtual, 1.0, connects)],
    };
    let comparison = Comparison::of(&of("a", 5), &of("b", 6), false).expect("alike");
    assert_eq!(judged(&comparison, "events.connect"), Some(Judgement::Changed));
}

#[test]
fn what_was_nothing_and_no_longer_is_is_worse() {
    let calm = side("a", &[10.0, 10.0], 5);
    let mut lossy = calm.clone();
    lossy.runs.iter_mut().for_each(|run| run.ledger.missing = 3);
    let comparison = Comparison::of(&calm, &lossy, true).expect("alike");
    assert_eq!(judged(&comparison, "ledger.missing"), Some(Judgement::Worse));
    assert_eq!(
        comparison.worse_by(50.0).map(|row| row.metric.as_str()).collect::<Vec<_>>(),
        ["ledger.missing"]
    );
}

#[test]
fn only_like_is_compared_with_like() {
    let empty = Side { name: "b".to_owned(), runs: Vec::new() };
    let one = side("a", &[1.0], 1);
    assert_eq!(Comparison::of(&one, &empty, false).err(), Some(NotComparable::NoRun("b".to_owned())));
    let other = Side { name: "b".to_owned(), runs: vec![report(Mode::Virtual, 1.0, 1)] };
    let error = Comparison::of(&one, &other, false).expect_err("unlike").to_string();
    assert!(
        error.contains("a is of a for 60 s with real processes, b of a for 60 s in virtual time"),
        "{error}"
    );
}

#[test]
fn two_scenarios_are_compared_if_that_is_wanted() {
    let of = |name: &str, connects| {
        let report = Report { name: name.to_owned(), ..report(Mode::Virtual, 1.0, connects) };
        Side { name: format!("runs/{name}"), runs: vec![report] }
    };
    let (one, two) = (of("broadcast", 100), of("directory", 3));
    assert!(matches!(Comparison::of(&one, &two, false), Err(NotComparable::Unlike { .. })));
    let comparison = Comparison::unlike(&one, &two, false).expect("wanted");
    assert_eq!(comparison.scenario, "broadcast and directory");
    assert_eq!(judged(&comparison, "events.connect"), Some(Judgement::Changed));
    let mixed = Side { name: "mixed".to_owned(), runs: [one.runs.clone(), two.runs].concat() };
    assert!(Comparison::unlike(&one, &mixed, false).is_err(), "a side is of one");
}

#[test]
fn every_form_says_what_is_worse() {
    let calm = side("before", &[10.0, 10.1, 9.9], 5);
    let slow = side("<after>", &[11.5, 11.6, 11.4], 5);
    let comparison = Comparison::of(&calm, &slow, true).expect("alike");
    let text = summary(&comparison);
    assert!(text.contains("worse   cpu_us_per_fix.total") && text.contains("by turns"), "{text}");
    assert!(markdown(&comparison).contains("| worse | `cpu_us_per_fix.total` | 10 | 11.5 | 1.150 ("));
    let html = page(&comparison);
    assert!(html.contains("B &lt;after&gt; (3 runs)") && html.contains("<td class=bad>worse"), "{html}");
    let failed = |percent| {
        let cases = suite(&comparison, percent).cases;
        cases.iter().filter(|case| matches!(case.outcome, Outcome::Failed(_))).count()
    };
    assert_eq!((failed(5.0), failed(20.0)), (1, 0));
}
