//! A sample run, and what the page, the summary and the verdict make of it.

use super::*;

const SCENARIO: &str = r#"
name = "sample"
question = "Does a <van> lose a fix & why?"
seed = 7
duration_s = 600
[[vehicles]]
count = 200
[cluster]
gateway = 2
persistence = 2
[[faults]]
at_s = 180
for_s = 10
kill = "gateway/1"
[[faults]]
at_s = 300
for_s = 20
partition = "gateway/* -> persistence/0"
[[faults]]
at_s = 330
for_s = 60
loss = "vehicle/* <-> gateway/0"
probability = 0.2
[[faults]]
at_s = 420
restart = "persistence/1"
[[faults]]
at_s = 560
clock_skew = "vehicle/17"
skew_ms = 4000
[[gates]]
metric = "ledger.missing"
at_most = 0
[[gates]]
metric = "latency_ms.fix_to_durable.p99"
below = 20000
[[gates]]
metric = "throughput.durable_per_s"
at_least = 190
[[gates]]
metric = "events.migration"
above = 0
"#;

/// A run as the runner would report it, with made-up figures in the shape of real ones.
fn sample() -> Report {
    let scenario = Scenario::parse(SCENARIO, "sample.toml").expect("a good scenario");
    let replay = "cargo run --release -- run scenarios/sample.toml --seed 7".to_owned();
    let mut report = Report::new(&scenario, Mode::Virtual, replay);
    report.trace_hash = Some("9f86d081884c7d65".to_owned());
    report.commit = "0123456789ab".to_owned();
    report.settled_after_s = Some(6.25);
    let ledger = &mut report.ledger;
    (ledger.recorded, ledger.durable, ledger.stored, ledger.stored_or_pending) =
        (120_000, 119_997, 119_997, 119_997);
    ledger.refused_total = 3;
    ledger.refused.insert("future".to_owned(), 3);
    let of_fixes = report.latency_ms.iter_mut().filter(|(name, _)| name.starts_with("fix_"));
    for (index, (_, latency)) in of_fixes.enumerate() {
        let mut histogram = Latency::histogram();
        for step in 1..=1_000_u64 {
            histogram.saturating_record(step * step * (6 - 2 * index as u64));
        }
        *latency = Latency::from_micros(&histogram);
    }
    report.latency_ms.insert("end_to_news".to_owned(), report.latency_ms["fix_to_durable"]);
    for (name, rate) in [("durable_per_s", 199.4), ("recorded_per_s", 200.0), ("stored_per_s", 199.6)] {
        report.throughput.insert(name.to_owned(), rate);
    }
    let events = [
        ("connect", 200),
        ("reconnect", 97),
        ("migration", 1_432),
        ("gateway_crash", 1),
        ("batch_resent", 118),
    ];
    report.events.extend(events.map(|(name, count)| (name.to_owned(), count)));
    report.oracles = ["durable_is_stored_once", "nothing_is_missing", "queues_are_bounded", "trace_repeats"]
        .into_iter()
        .zip([
            "Durable-acked implies stored, exactly once.",
            "Nothing recorded is missing.",
            "No queue grows past its limit.",
            "Same seed, same trace.",
        ])
        .map(|(name, statement)| OracleResult {
            name: name.to_owned(),
            statement: statement.to_owned(),
            outcome: if name == "trace_repeats" { OracleOutcome::NotChecked } else { OracleOutcome::Pass },
            checks: if name == "trace_repeats" { 0 } else { 119_997 },
            violation: None,
        })
        .collect();
    report.series = series();
    report.attribution =
        vec!["Roads: © OpenStreetMap contributors, ODbL 1.0 (openstreetmap.org/copyright)".to_owned()];
    report.run.machine = Machine { cores: 2, os: "linux".to_owned(), arch: "x86_64".to_owned() };
    report.run.speed = Speed { virtual_s: 606.25, cpu_s: 4.1, wall_s: 4.3, virtual_per_cpu: 147.9 };
    "release".clone_into(&mut report.run.build);
    report.judge(false);
    report
}

fn series() -> Series {
    let mut series = Series::default();
    let mut backlog = 0_u64;
    for second in 0_u64..607 {
        let recorded = if second < 600 { 200 } else { 0 };
        let connected = match second {
            0..5 => second * 40,
            180..200 => 100 + (second - 180) * 5,
            _ => 200,
        };
        let wobble = second * 7_919 % 41;
        let rate = match second {
            180..200 => 105 + (second - 180) * 3,
            300..320 => 140,
            _ => recorded + wobble,
        };
        let durable = rate.min(backlog + recorded);
        backlog = backlog + recorded - durable;
        series.durable_per_s.push(durable);
        series.backlog.push(backlog + 500 + wobble);
        series.connected.push(connected);
        let slow = 1.0 + backlog as f64 / 200.0;
        let none = second < 3;
        series.latency_p50_ms.push((!none).then_some(2_400.0 + wobble as f64 * 5.0));
        series.latency_p99_ms.push((!none).then_some(5_100.0 * slow));
    }
    series
}

#[test]
fn a_good_run_passes_and_a_lost_fix_fails_it() {
    assert_eq!(sample().verdict, Verdict::Pass);
    let check = |change: &dyn Fn(&mut Report), verdict: Verdict, reason: &str| {
        let mut report = sample();
        change(&mut report);
        report.judge(false);
        assert_eq!(report.verdict, verdict);
        assert_eq!(report.reasons.first().map(String::as_str), Some(reason));
    };
    check(&|report| report.ledger.missing = 1, Verdict::Fail, "1 recorded fix was lost");
    check(&|report| report.ledger.duplicates_stored = 2, Verdict::Fail, "2 rows were stored twice");
    check(
        &|report| {
            report.events.insert("migration".to_owned(), 0);
        },
        Verdict::Fail,
        "gate failed: events.migration is 0, should be above 0",
    );
    check(
        &|report| {
            report.latency_ms.insert("fix_to_durable".to_owned(), Latency::default());
        },
        Verdict::Invalid,
        "gate without samples: latency_ms.fix_to_durable.p99 has no value, should be below 20000",
    );
    check(
        &|report| report.oracles[0].outcome = OracleOutcome::Fail,
        Verdict::Fail,
        "invariant durable_is_stored_once broken: Durable-acked implies stored, exactly once.",
    );
}

#[test]
fn a_proven_failure_counts_for_more_than_a_missing_sample() {
    let mut report = sample();
    report.ledger.missing = 1;
    report.latency_ms.clear();
    report.judge(false);
    assert_eq!(report.verdict, Verdict::Fail);
    report.judge(true);
    assert_eq!(report.verdict, Verdict::Interrupted);
}

#[test]
fn a_generator_that_could_not_keep_up_makes_a_run_invalid_and_excuses_gates_alone() {
    let check = |change: &dyn Fn(&mut Report), verdict: Verdict, reason: &str| {
        let mut report = live_sample();
        if let Some(live) = &mut report.live {
            live.generator_lag_limit_ms = f64::MAX;
        }
        report.events.insert("migration".to_owned(), 0);
        change(&mut report);
        report.judge(false);
        assert_eq!(report.verdict, verdict, "{:?}", report.reasons);
        assert!(report.reasons.iter().any(|said| said.starts_with(reason)), "{:?}", report.reasons);
    };
    let lag = |report: &mut Report, limit_ms| {
        if let Some(live) = &mut report.live {
            live.generator_lag_limit_ms = limit_ms;
        }
    };
    check(&|_| {}, Verdict::Fail, "gate failed: events.migration is 0");
    check(&|report| lag(report, 50.0), Verdict::Invalid, "gate not counted: events.migration is 0");
    let lost = |report: &mut Report| {
        if let Some(live) = &mut report.live {
            live.generator_chunks_lost = 1;
        }
    };
    check(&lost, Verdict::Invalid, "the generator could not keep up: 1 receiver output");
    let missing = |report: &mut Report| {
        lag(report, 50.0);
        report.ledger.missing = 1;
    };
    check(&missing, Verdict::Fail, "1 recorded fix was lost");
    let broken = |report: &mut Report| {
        lag(report, 50.0);
        report.oracles[0].outcome = OracleOutcome::Fail;
    };
    check(&broken, Verdict::Fail, "invariant durable_is_stored_once broken");
}

#[test]
fn a_run_without_a_fix_is_invalid() {
    let mut report = sample();
    report.ledger = Ledger::default();
    report.scenario.gates.clear();
    report.judge(false);
    assert_eq!(
        (report.verdict, report.reasons.as_slice()),
        (Verdict::Invalid, &["no fix was recorded".to_owned()][..])
    );
}

#[test]
fn verdicts_have_the_exit_codes_of_the_manual() {
    let codes =
        [Verdict::Pass, Verdict::Fail, Verdict::Invalid, Verdict::Interrupted].map(Verdict::exit_code);
    assert_eq!(codes, [0, 1, 2, 2]);
}

#[test]
fn a_ledger_adds_up_or_says_so() {
    let mut ledger = sample().ledger;
    assert!(ledger.is_balanced());
    ledger.shed = 1;
    assert!(!ledger.is_balanced());
}

#[test]
fn every_metric_that_a_gate_may_name_is_in_a_report() {
    let report = sample();
    let value = serde_json::to_value(&report).expect("a JSON form");
    for metric in metrics::all().into_iter().filter(|metric| !metrics::is_live_only(metric)) {
        assert!(crate::gates::lookup(&value, &metric).is_some(), "{metric}");
    }
}

/// A report of real processes on a machine that was not quiet.
fn live_sample() -> Report {
    let mut report = sample();
    let spread = Spread::of(vec![9.0, 10.0, 12.0]);
    report.mode = Mode::Live;
    let latency = report.latency_ms["fix_to_durable"];
    report.latency_ms.extend(metrics::LIVE_LATENCIES.map(|(name, _)| (name.to_owned(), latency)));
    report.cpu_us_per_fix = metrics::LIVE_CPU.map(|name| (name.to_owned(), 10.0)).into();
    report.live = Some(LiveFacts {
        program: "drover 0.1.0 (features: none)".to_owned(),
        durable_per_s: spread,
        cpu_us_per_fix: spread.map(|spread| ("gateway".to_owned(), spread)).into_iter().collect(),
        watching: Some(Watching {
            messages_per_s: spread,
            positions_per_s: spread,
            hub_cpu_us_per_message: spread,
            hub_cpu_us_per_position: spread,
        }),
        foreign_cores: Spread::of(vec![500.0]),
        calibration: spread.map(|spread| ("bare_copy".to_owned(), spread)).into_iter().collect(),
        multiples: metrics::LIVE_CPU
            .map(|name| {
                let of = metrics::CPU_REFERENCES.into_iter().zip(spread.into_iter().cycle());
                let of = of.map(|(of, spread)| (of.to_owned(), spread)).collect();
                (format!("cpu_us_per_fix.{name}"), of)
            })
            .into(),
        beside: Some(Beside {
            program: "drover 0.0.9 (features: none)".to_owned(),
            cpu_ratio: metrics::BESIDE
                .into_iter()
                .zip(spread.into_iter().cycle())
                .map(|(name, spread)| (name.to_owned(), spread))
                .collect(),
        }),
        generator_lag_ms: latency,
        generator_lag_limit_ms: 50.0,
        recovered_after_s: Some(12.0),
        degraded: vec![Degraded { node: "gateway/1".to_owned(), from_s: 3.0, for_s: None, sessions_lost: 7 }],
        ..LiveFacts::default()
    });
    report
}

#[test]
fn other_programs_read_what_did_not_hold() {
    let mut report = sample();
    report.judge(false);
    report.oracles[1].outcome = OracleOutcome::Fail;
    report.oracles[1].violation = Some("100% of \"it\"\nis <gone>".to_owned());
    let xml = Suite::of(&report).junit();
    assert!(xml.contains("<failure message=\"100% of &quot;it&quot;\nis &lt;gone&gt;\"/>"), "{xml}");
    let count = |what: &str| xml.matches(what).count();
    let failed = count("<failure");
    assert!(xml.contains(&format!("tests=\"{}\" failures=\"{failed}\"", count("<testcase"))), "{xml}");
    assert_eq!(count("<testcase"), report.gates.len() + report.oracles.len() + 1);
    let lines = Suite::of(&report).annotations();
    assert_eq!(lines.lines().count(), failed, "{lines}");
    assert!(lines.contains("::100%25 of \"it\"%0Ais <gone>"), "{lines}");
    let text = markdown(&report);
    for gate in &report.gates {
        assert!(text.contains(&format!("| `{}` |", gate.metric)), "{text}");
    }
    assert!(markdown(&live_sample()).contains("| gateway | 10.0 | 9.0 | 12.0 |"));
}

#[test]
fn a_live_report_has_every_metric_and_says_what_disturbed_it() {
    let mut report = live_sample();
    let value = serde_json::to_value(&report).expect("a JSON form");
    for metric in metrics::all() {
        assert!(crate::gates::lookup(&value, &metric).is_some(), "{metric}");
    }
    for text in [page(&report), summary(&report, false)] {
        for words in ["gateway/1", "a noisy machine: other processes took 500.0", "bare_copy"] {
            assert!(text.contains(words), "{words} is not in {text}");
        }
    }
    report.judge(false);
    assert!(
        report.reasons.iter().any(|reason| reason.starts_with("the generator could not keep up")),
        "{:?}",
        report.reasons
    );
}

#[test]
fn a_report_reads_back_and_its_stable_part_holds_nothing_of_the_machine() {
    let report = sample();
    let back: Report = serde_json::from_str(&report.to_json()).expect("what was written");
    assert_eq!(back, report);
    let mut elsewhere = report.clone();
    elsewhere.run = RunFacts::default();
    assert_eq!(elsewhere.stable_json(), report.stable_json());
    assert!(!report.stable_json().contains("x86_64"));
}

#[test]
fn a_page_is_self_contained_and_escapes_what_it_shows() {
    let mut report = sample();
    report.oracles[1].violation = Some("<script>alert('x')</script>".to_owned());
    report.replay = "twin run \"a&b\"".to_owned();
    let page = page(&report);
    assert!(page.contains("Does a &lt;van&gt; lose a fix &amp; why?"));
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"));
    assert!(page.contains("twin run &quot;a&amp;b&quot;"));
    for outside in ["<script", "src=", "href=", "url(", "http:", "https:", "@import", "NaN", "inf"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn a_page_of_an_empty_run_has_no_curves() {
    let mut report = sample();
    report.series = Series::default();
    report.faults.clear();
    assert!(!page(&report).contains("<svg"));
    report.series = Series {
        durable_per_s: vec![0; 3],
        backlog: vec![0; 3],
        connected: vec![0; 3],
        latency_p50_ms: vec![None; 3],
        latency_p99_ms: vec![None; 3],
    };
    let page = page(&report);
    assert!(page.contains("no samples") && !page.contains("NaN"));
}

#[test]
fn a_run_that_was_cut_short_shows_no_more_than_it_came_to() {
    let mut report = sample();
    let first_fault_s = report.faults.iter().map(|fault| fault.at_s).fold(f64::INFINITY, f64::min);
    assert!(page(&report).contains("class=fault ") && first_fault_s > 85.0);
    (report.duration_s, report.settled_after_s) = (85.0, None);
    let Series { durable_per_s, backlog, connected, latency_p50_ms, latency_p99_ms } = &mut report.series;
    [durable_per_s, backlog, connected].into_iter().for_each(|values| values.truncate(85));
    [latency_p50_ms, latency_p99_ms].into_iter().for_each(|values| values.truncate(85));
    report.events.insert("reconnect".to_owned(), 0);
    report.judge(true);
    assert_eq!(report.reasons, ["ended by hand after 85 of 600 s"]);
    let html = page(&report);
    assert!(html.contains("seed 7 · 85 of 600 s virtual · not settled"), "{html}");
    assert!(html.contains("(not reached)") && html.contains("The run was cut short"), "{html}");
    assert!(!html.contains("class=fault ") && !html.contains("swatch-fault>"), "{html}");
}

#[test]
fn a_long_run_is_drawn_with_few_points() {
    let mut report = sample();
    let long = |value: u64| vec![value; 86_400];
    report.series =
        Series { durable_per_s: long(3), backlog: long(4), connected: long(5), ..Series::default() };
    assert!(page(&report).len() < 200_000);
}

#[test]
fn the_summary_of_a_good_run_reads_like_this() {
    let expected = "\
PASS  sample: Does a <van> lose a fix & why?
  seed 7, 600 s in virtual time, settled after 6.2 s more; 4.1 s of CPU, 148 virtual s per CPU s

fixes     120,000 recorded = 119,997 stored or pending + 3 refused + 0 shed + 0 missing
          119,997 durable, 119,997 stored, 0 pending, 0 stored twice; 199.4 durable per s
          refused: future 3
latency   milliseconds           count       p50       p90       p99     p99.9       max
          end_to_news            1,000     1,500     4,862     5,882     5,988     6,001
          fix_to_durable         1,000     1,500     4,862     5,882     5,988     6,001
          fix_to_published       1,000     1,000     3,242     3,922     3,994     4,002
          fix_to_stored          1,000       500     1,621     1,961     1,997     2,001
          fix_to_watcher         1,000       0.0       0.0       0.0       0.0       0.0
events    connect 200, reconnect 97, migration 1,432, gateway_crash 1, batch_resent 118
gates     4, all passed
oracles   3 held in 359,991 checks; nothing to check for trace_repeats
trace     9f86d081884c7d65
replay    cargo run --release -- run scenarios/sample.toml --seed 7
data      Roads: © OpenStreetMap contributors, ODbL 1.0 (openstreetmap.org/copyright)
";
    assert_eq!(summary(&sample(), false), expected);
    assert!(summary(&sample(), true).starts_with("\x1b[1;32mPASS\x1b[0m"));
}

#[test]
fn the_summary_of_a_failed_run_begins_with_the_command_that_repeats_it() {
    let mut report = sample();
    report.ledger.missing = 2;
    report.events.insert("migration".to_owned(), 0);
    report.judge(false);
    let text = summary(&report, false);
    let head: Vec<&str> = text.lines().take(5).collect();
    assert_eq!(
        head,
        [
            "repeat with: cargo run --release -- run scenarios/sample.toml --seed 7",
            "FAIL  sample: Does a <van> lose a fix & why?",
            "  - 2 recorded fixes were lost",
            "  - gate failed: ledger.missing is 2, should be at most 0",
            "  - gate failed: events.migration is 0, should be above 0",
        ]
    );
    assert!(text.contains("\ngates     4, 2 passed, 2 failed\n"), "{text}");
    assert!(text.lines().count() <= 24, "{text}");
}

#[test]
fn timeline_lines_are_flat_objects() {
    let event = TimelineEvent {
        t_s: 180.5,
        node: "gateway/1".to_owned(),
        event: "node_crash".to_owned(),
        fields: BTreeMap::from([("sessions".to_owned(), 97.into())]),
    };
    let [.., (_, lines)] = sample().files(&[event.clone(), event]);
    let line = r#"{"t_s":180.5,"node":"gateway/1","event":"node_crash","sessions":97}"#;
    assert_eq!(lines, format!("{line}\n{line}\n"));
}

/// Writes the sample where `DROVER_SAMPLE_REPORT` says, for looking at the page.
#[test]
fn a_sample_is_written_where_asked() {
    let Some(folder) = std::env::var_os("DROVER_SAMPLE_REPORT") else { return };
    let good = sample();
    let mut bad = good.clone();
    bad.ledger.missing = 2;
    bad.ledger.stored_or_pending -= 2;
    bad.oracles[1].outcome = OracleOutcome::Fail;
    bad.oracles[1].violation =
        Some("v017/1f/3322 recorded at 182.4 s, freed at 184.0 s, not in the store".to_owned());
    bad.latency_ms.insert("fix_to_durable".to_owned(), Latency::default());
    bad.judge(false);
    for (kind, report) in [("pass", good), ("fail", bad)] {
        let folder = std::path::Path::new(&folder).join(kind);
        std::fs::create_dir_all(&folder).expect("a folder that can be made");
        for (name, text) in report.files(&[]) {
            #[expect(clippy::disallowed_methods, reason = "a test, on request, and outside of any env")]
            std::fs::write(folder.join(name), text).expect("a folder that can be written");
        }
    }
}
