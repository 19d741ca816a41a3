//! How the figures of a scenario go from run to run: what creeps shows only over many.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::compare::{Figures, Judgement, Row, row};
use crate::report::{Report, Verdict, escape, figures, metrics, number, page_with};
use crate::scenario::Mode;

/// Fewer runs show no trend.
const RUNS_MIN: usize = 6;
/// Width and height of a curve, in the units of its view box.
const WIDTH: f64 = 260.0;
const HEIGHT: f64 = 36.0;

/// One run, as the history keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was made, in seconds since 1970.
    pub at: i64,
    /// Commit that the program was built from.
    pub commit: String,
    /// The scenario's name.
    pub scenario: String,
    /// `virtual` or `live`.
    pub mode: Mode,
    /// The kind of machine; empty in virtual time, where it makes no difference.
    pub machine: String,
    /// Which seed.
    pub seed: u64,
    /// For how long vehicles drove, in seconds.
    pub driven_s: f64,
    /// What it measured.
    pub figures: Figures,
}

impl Entry {
    /// Of a run that was made at `at`; none of one that did not pass, whose figures are those of something else, or that was a
    /// part of one.
    pub fn of(report: &Report, at: i64) -> Option<Self> {
        let is_shard = report.live.as_ref().is_some_and(|live| live.shard.is_some());
        (report.verdict == Verdict::Pass && !is_shard).then(|| Self {
            at,
            commit: report.commit.clone(),
            scenario: report.name.clone(),
            mode: report.mode,
            machine: report.live.as_ref().map(|live| live.machine_class.clone()).unwrap_or_default(),
            seed: report.seed,
            driven_s: report.duration_s,
            figures: figures(report),
        })
    }

    /// Runs that can be held against each other have the same: machines and seeds make a difference, each in one mode.
    fn group(&self) -> String {
        match self.mode {
            Mode::Live => {
                format!("{}, {} s with real processes on {}", self.scenario, self.driven_s, self.machine)
            }
            Mode::Virtual => {
                format!("{}, {} s in virtual time, seed {}", self.scenario, self.driven_s, self.seed)
            }
        }
    }
}

/// How one metric went.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    /// What it is about: scenario, mode and machine or seed.
    pub of: String,
    /// Its older runs against its newer ones.
    pub row: Row,
    /// Its value in each run, oldest first.
    pub values: Vec<f64>,
}

/// How every metric of every scenario went, those that got worse first. Entries may come in any order.
pub fn trends(mut entries: Vec<Entry>) -> Vec<Trend> {
    entries.sort_by_key(|entry| entry.at);
    let mut groups: BTreeMap<String, Vec<Figures>> = BTreeMap::new();
    for entry in entries {
        groups.entry(entry.group()).or_default().push(entry.figures);
    }
    let mut trends = Vec::new();
    for (of, runs) in groups {
        if runs.len() < RUNS_MIN {
            continue;
        }
        let (older, newer) = runs.split_at(runs.len() / 2);
        for metric in metrics::all() {
            let Some(row) = row(metric, older, newer, false, false) else { continue };
            let values = runs.iter().filter_map(|run| run.get(&row.metric).copied()).collect();
            trends.push(Trend { of: of.clone(), row, values });
        }
    }
    trends.sort_by_key(|trend| trend.row.judgement);
    trends
}

/// The page: one self-contained file without network or scripts.
pub fn page(trends: &[Trend], runs: usize) -> String {
    let worse = trends.iter().filter(|trend| trend.row.judgement == Judgement::Worse).count();
    let (class, word) = if worse > 0 { ("bad", "creeps") } else { ("good", "steady") };
    let mut body = format!(
        "<header>\n<p class=top><span class=\"verdict {class}\">{word}</span></p>\n<h1>{worse} figures got worse over {runs} \
         runs</h1>\n<p class=facts>the older half of the runs against the newer one, where there are {RUNS_MIN} or more of a scenario \
         on one kind of machine</p>\n</header>\n"
    );
    let mut groups: BTreeMap<&str, Vec<&Trend>> = BTreeMap::new();
    for trend in trends {
        groups.entry(&trend.of).or_default().push(trend);
    }
    for (of, trends) in groups {
        let _ = writeln!(
            body,
            "<section>\n<h2>{}</h2>\n<div class=wide><table>\n<thead><tr><th>Metric<th>Oldest to newest<th class=n>Before\
             <th class=n>Now<th></tr></thead>",
            escape(of)
        );
        for trend in trends {
            line(&mut body, trend);
        }
        body.push_str("</table></div>\n</section>\n");
    }
    page_with(&format!("{word}: history"), &body)
}

fn line(body: &mut String, trend: &Trend) {
    let (row, value) = (&trend.row, |value: Option<f64>| value.map_or("–".to_owned(), number));
    let class = row.judgement.class();
    let _ = writeln!(
        body,
        "<tr><td><code>{}</code><td>{}<td class=n>{}<td class=n>{}<td class={class}>{}</tr>",
        escape(&row.metric),
        curve(&trend.values),
        value(row.a),
        value(row.b),
        row.judgement
    );
}

fn curve(values: &[f64]) -> String {
    let most = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let step = WIDTH / (values.len().max(2) - 1) as f64;
    let point = |(at, value): (usize, &f64)| {
        let up = (value / most).clamp(0.0, 1.0) * (HEIGHT - 4.0);
        format!("{:.1},{:.1}", at as f64 * step, HEIGHT - 2.0 - up)
    };
    let points: Vec<String> = values.iter().enumerate().map(point).collect();
    format!(
        "<svg class=ratio viewBox=\"0 0 {WIDTH} {HEIGHT}\" width={WIDTH} height={HEIGHT} role=img aria-label=\"{} runs, at most {}\">\
         <polyline class=\"curve first\" points=\"{}\" /></svg>",
        values.len(),
        number(most),
        points.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{LiveFacts, Shard};
    use crate::scenario::Scenario;

    fn entry(at: i64, machine: &str, cpu: f64) -> Entry {
        Entry {
            at,
            commit: "c".to_owned(),
            scenario: "rush".to_owned(),
            mode: Mode::Live,
            machine: machine.to_owned(),
            seed: 1,
            driven_s: 60.0,
            figures: [("cpu_us_per_fix.total".to_owned(), cpu)].into(),
        }
    }

    #[test]
    fn what_creeps_is_found_although_no_step_is_large() {
        let creeping: Vec<Entry> = (0..20).rev().map(|n| entry(n, "m", 10.0 + 0.1 * n as f64)).collect();
        let found = trends(creeping);
        assert_eq!(found.iter().map(|trend| trend.row.judgement).collect::<Vec<_>>(), [Judgement::Worse]);
        assert_eq!((found[0].values.len(), found[0].values[0]), (20, 10.0), "oldest first");
        assert!(page(&found, 20).contains("1 figures got worse over 20 runs"));
        let steady = (0..20).map(|n| entry(n, "m", 10.0 + 0.1 * (n % 3) as f64)).collect();
        assert!(trends(steady).iter().all(|trend| trend.row.judgement != Judgement::Worse));
    }

    #[test]
    fn only_whole_runs_that_passed_are_kept() {
        let text = "name = \"a\"\nquestion = \"?\"\nduration_s = 60\n[[vehicles]]\ncount = 1\n\
                    [world]\nroads = { grid = { columns = 3, rows = 3, block_m = 120 } }\n";
        let scenario = Scenario::parse(text, "a.toml").unwrap_or_else(|errors| panic!("{errors}"));
        let mut report = Report::new(&scenario, Mode::Live, String::new());
        let kept = |report: &Report| Entry::of(report, 7).map(|entry| (entry.scenario, entry.at));
        for verdict in [Verdict::Fail, Verdict::Invalid, Verdict::Interrupted] {
            report.verdict = verdict;
            assert_eq!(kept(&report), None, "{verdict}");
        }
        report.verdict = Verdict::Pass;
        assert_eq!(kept(&report), Some(("a".to_owned(), 7)));
        report.live = Some(LiveFacts { shard: Some(Shard { index: 0, of: 2 }), ..LiveFacts::default() });
        assert_eq!(kept(&report), None);
    }

    #[test]
    fn machines_are_not_held_against_each_other() {
        let of = |machine: &'static str, cpu| (0..10).map(move |n| entry(n, machine, cpu));
        let found = trends(of("slow", 20.0).chain(of("fast", 10.0)).collect());
        assert!(
            found.len() == 2 && found.iter().all(|trend| trend.row.judgement == Judgement::Same),
            "{found:?}"
        );
        assert_eq!(trends(of("new", 1.0).take(RUNS_MIN - 1).collect()), []);
    }
}
