//! What only a run with real processes has: figures of the machine, by windows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Latency, Recorded, Shard, plural};

/// What only a run with real processes has.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LiveFacts {
    /// The program that ran, as it names its version.
    pub program: String,
    /// Where fixes were kept.
    pub store: String,
    /// What is simpler here than on the road.
    pub simplified: Vec<String>,
    /// Length of a window, in seconds.
    pub window_s: f64,
    /// Fixes that became durable, a second.
    pub durable_per_s: Option<Spread>,
    /// CPU time per durable fix by service, in microseconds; `total` is all of them, `generator` is none of them.
    pub cpu_us_per_fix: BTreeMap<String, Spread>,
    /// What watchers were told, and what that cost hubs; null without watchers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watching: Option<Watching>,
    /// CPU time that processes of nobody's here took, in cores.
    pub foreign_cores: Option<Spread>,
    /// Reference loops of the same machine in the same run.
    pub calibration: BTreeMap<String, Spread>,
    /// Of a metric, by its dotted key, and a reference loop: how often the loop's figure goes into it, each window's into that window's.
    /// What makes the machine slower for a while makes both slower.
    #[serde(default)]
    pub multiples: BTreeMap<String, BTreeMap<String, Spread>>,
    /// Another build that served beside this one; null without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
    /// The kind of machine, as baselines are kept for it.
    pub machine_class: String,
    /// The metrics of the baseline that was accepted for this kind of machine, by their dotted keys; empty without one.
    #[serde(default)]
    pub baseline: BTreeMap<String, f64>,
    /// Largest memory of each node, in bytes.
    pub memory_bytes: BTreeMap<String, u64>,
    /// How late the generator was with what it was to do.
    pub generator_lag_ms: Latency,
    /// What of it makes a run invalid: the 99th percentile, in milliseconds.
    pub generator_lag_limit_ms: f64,
    /// What receivers gave and the generator itself lost, since a tracker's port was full; any makes a run invalid.
    #[serde(default)]
    pub generator_chunks_lost: u64,
    /// From the last time that a service was seen to be gone until no more fixes waited than before, in seconds; null if none
    /// was, or if that never came.
    pub recovered_after_s: Option<f64>,
    /// Which services did not serve, and for how long.
    pub degraded: Vec<Degraded>,
    /// Which part of the vehicles this generator drove, if it was not alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The latencies in full, so that those of several generators can be merged; of a shard alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub histograms: BTreeMap<String, Recorded>,
}

impl LiveFacts {
    /// What the generator itself did wrong, one sentence each. Whoever was late, or lost what it was to send, says nothing of
    /// how fast or how dear the cluster is.
    pub fn generator_faults(&self) -> Vec<String> {
        let limit = self.generator_lag_limit_ms;
        let late = self.generator_lag_ms.p99.filter(|p99| *p99 > limit).map(|p99| {
            format!("the generator could not keep up: late by {p99:.0} ms, at most {limit} may be (p99)")
        });
        let lost = Some(self.generator_chunks_lost).filter(|lost| *lost > 0).map(|lost| {
            let outputs = plural(lost, "receiver output", "receiver outputs");
            format!("the generator could not keep up: {lost} {outputs} found their tracker's port full")
        });
        late.into_iter().chain(lost).collect()
    }

    /// Share of the machine's cores from which on others disturb a run.
    const FOREIGN_SHARE: f64 = 0.1;

    /// What is to be said of the machine, if it was not quiet.
    pub fn noise(&self) -> Option<String> {
        let cores = f64::from(super::Machine::this().cores);
        let foreign = self.foreign_cores.filter(|foreign| foreign.median > Self::FOREIGN_SHARE * cores)?;
        Some(format!(
            "a noisy machine: other processes took {:.1} of {cores} cores (median of {} windows)",
            foreign.median, foreign.windows
        ))
    }
}

/// Another build that served beside this one, with the same load at the same time: half of the gateways and agents ran from it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Beside {
    /// The other program, with how it names its version.
    pub program: String,
    /// By kind of service: CPU time per fix of this build, divided by that of the other one.
    pub cpu_ratio: BTreeMap<String, Spread>,
}

/// What watchers were told, and what that cost hubs: everything that hubs did, divided by what was told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Watching {
    /// Messages that watchers read, a second.
    pub messages_per_s: Option<Spread>,
    /// Positions in them, a second: a message has those of a tick.
    pub positions_per_s: Option<Spread>,
    /// CPU time of all hubs for each of these messages, in microseconds.
    pub hub_cpu_us_per_message: Option<Spread>,
    /// And for each position.
    pub hub_cpu_us_per_position: Option<Spread>,
}

/// A time in which a service did not serve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Degraded {
    /// Which node.
    pub node: String,
    /// When it was seen not to serve, in seconds of the run.
    pub from_s: f64,
    /// For how long, in seconds; null if it never served again.
    pub for_s: Option<f64>,
    /// How many sessions were lost meanwhile.
    pub sessions_lost: u64,
}

/// A figure over the windows of a run, so that one disturbance is one bad window and not a bad run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Windows that had any.
    pub windows: u32,
    /// Smallest.
    pub min: f64,
    /// In the middle.
    pub median: f64,
    /// Largest.
    pub max: f64,
}

impl Spread {
    /// Fewer windows say too little for a gate: one bad window in a few is no small part of them.
    pub const WINDOWS_MIN: u64 = 8;

    /// Of these values; none without any.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        Some(Self { windows: values.len() as u32, min, median, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_does_not_mind_one_bad_window() {
        let spread = Spread::of(vec![3.0, 1.0, 100.0, 2.0, 4.0]).expect("values");
        assert_eq!((spread.windows, spread.min, spread.median, spread.max), (5, 1.0, 3.0, 100.0));
        assert_eq!(Spread::of(vec![2.0, 4.0]).map(|spread| spread.median), Some(3.0));
        assert_eq!(Spread::of(vec![f64::NAN]), None);
    }
}
