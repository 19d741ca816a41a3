//! `twin check`: the same run twice, byte for byte.

use drover_simnet::{Capture, TraceRecord};

use crate::run::{Options, Outcome, RunError, run};
use crate::scenario::Scenario;

/// Two runs, compared.
pub struct Comparison {
    /// The first run.
    pub outcome: Outcome,
    /// Number of virtual seconds whose hashes were compared.
    pub seconds: usize,
    /// Where they part; `None` if they are equal.
    pub difference: Option<Difference>,
}

/// The first place where two runs differ.
pub struct Difference {
    /// Virtual second.
    pub second: u64,
    /// What happened in the first run at that place.
    pub first: String,
    /// What happened in the second.
    pub second_run: String,
}

/// Runs the scenario twice and compares the rolling hashes of every virtual second. Where they part, both are run once
/// more with that second's records kept, so that the first one that differs can be named.
///
/// # Errors
/// As [`run`].
pub fn check<'a>(
    scenario: &'a Scenario,
    mut options: impl FnMut(Option<Capture>) -> Options<'a>,
) -> Result<Comparison, RunError> {
    let first = run(scenario, options(None))?;
    let second = run(scenario, options(None))?;
    let seconds = first.seconds.len();
    let equal = first.report.trace_hash == second.report.trace_hash && first.seconds == second.seconds;
    if equal {
        return Ok(Comparison { outcome: first, seconds, difference: None });
    }
    let parted = first.seconds.iter().zip(&second.seconds).position(|(a, b)| a != b);
    let parted = parted.unwrap_or(first.seconds.len().min(second.seconds.len())) as u64;
    let mut again = || run(scenario, options(Some(Capture::second(parted))));
    let (one, two) = (again()?, again()?);
    let difference = name_difference(parted, &one, &two);
    Ok(Comparison { outcome: first, seconds, difference: Some(difference) })
}

fn name_difference(second: u64, one: &Outcome, two: &Outcome) -> Difference {
    let place = one.captured.iter().zip(&two.captured).position(|(a, b)| a != b);
    let place = place.unwrap_or(one.captured.len().min(two.captured.len()));
    let show = |outcome: &Outcome| match outcome.captured.get(place) {
        Some(TraceRecord { at, node, what }) => {
            let node = node.map(|node| format!("{node} ")).unwrap_or_default();
            format!("{:.6} s: {node}{what}", at.as_secs_f64())
        }
        None => "nothing more in this second".to_owned(),
    };
    Difference { second, first: show(one), second_run: show(two) }
}
