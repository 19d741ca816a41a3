//! Why fixes were refused, held against what was so when it happened.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_model::{Epoch, NodeName, Refusal, Sequence, WallTime};

use crate::ledger::Identities;

/// What gateways hold the time of a fix against.
#[derive(Debug, Clone, Copy)]
pub struct TimeBounds {
    /// How far ahead of the gateway's clock it may be.
    pub future_max: Duration,
    /// How far behind.
    pub age_max: Duration,
}

/// A refusal as it happened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused<'a> {
    pub(super) at: Duration,
    /// UTC as it really was.
    pub(super) now: WallTime,
    pub(super) gateway: NodeName,
    pub(super) vehicle: usize,
    pub(super) epoch: Epoch,
    pub(super) sequence: Sequence,
    pub(super) reason: &'a str,
    /// When the fix was taken, if that is known.
    pub(super) time: Option<WallTime>,
}

/// Refusals so far, and what can justify them.
#[derive(Debug, Clone)]
pub struct Causes {
    bounds: TimeBounds,
    /// Errors of clocks, in milliseconds.
    skews_ms: BTreeMap<NodeName, i64>,
    /// Clocks that run at a wrong rate: since when, and how fast they gain in millionths.
    drifts: BTreeMap<NodeName, (Duration, i32)>,
    /// Rows that the table's constraint has refused.
    unstorable: Identities,
    checks: u64,
    first: Option<String>,
}

impl Causes {
    pub(super) fn new() -> Self {
        let drover_gateway::Config { future_max, age_max, .. } = drover_gateway::Config::default();
        Self {
            bounds: TimeBounds { future_max, age_max },
            skews_ms: BTreeMap::new(),
            drifts: BTreeMap::new(),
            unstorable: Identities::new(),
            checks: 0,
            first: None,
        }
    }

    pub(super) const fn set_bounds(&mut self, bounds: TimeBounds) {
        self.bounds = bounds;
    }

    pub(super) fn set_skew(&mut self, node: NodeName, skew_ms: i64) {
        self.skews_ms.insert(node, skew_ms);
    }

    pub(super) fn set_drift(&mut self, node: NodeName, at: Duration, drift_ppm: i32) {
        self.drifts.insert(node, (at, drift_ppm));
    }

    pub(super) fn unstorable(&mut self, vehicle: usize, epoch: Epoch, sequence: Sequence) {
        self.unstorable.entry((vehicle, epoch)).or_default().insert(sequence);
    }

    /// A gateway has refused a fix: on its own, or because an agent has.
    pub(super) fn refused(&mut self, refused: Refused<'_>) {
        let Refused { at, gateway, vehicle, epoch, sequence, reason, .. } = refused;
        let Some(justified) = self.is_justified(refused) else { return };
        self.checks += 1;
        if !justified && self.first.is_none() {
            let taken = refused.time.map(|time| format!(", which was taken at {time}")).unwrap_or_default();
            self.first = Some(format!(
                "at {:.3} s {gateway} refused fix {epoch}/{sequence} of vehicle/{vehicle}{taken}, as {reason}; its clock was {} ms \
                 wrong",
                at.as_secs_f64(),
                self.error_us(gateway, at) / 1_000,
            ));
        }
    }

    /// Whether the reason was so; `None` if nobody can know.
    fn is_justified(&self, refused: Refused<'_>) -> Option<bool> {
        let Refused { at, now, gateway, vehicle, epoch, sequence, reason, time } = refused;
        let clock_us = now.as_micros().saturating_add(self.error_us(gateway, at));
        let clock = WallTime::from_micros(clock_us);
        // Of the others the tracker's side decides: it takes no fix that is out of range, names nobody else, and uses each
        // identity once.
        match reason {
            _ if reason == Refusal::Future.name() => Some(time? > clock.plus(self.bounds.future_max)),
            _ if reason == Refusal::TooOld.name() => Some(time?.plus(self.bounds.age_max) < clock),
            _ if reason == Refusal::DeadLetter.name() => {
                Some(self.unstorable.get(&(vehicle, epoch)).is_some_and(|rows| rows.contains(sequence)))
            }
            _ => Some(false),
        }
    }

    /// How wrong a node's clock is, in microseconds.
    fn error_us(&self, node: NodeName, at: Duration) -> i64 {
        let skew_us = self.skews_ms.get(&node).copied().unwrap_or_default().saturating_mul(1_000);
        let drifted_us = self.drifts.get(&node).map_or(0, |(since, drift_ppm)| {
            at.saturating_sub(*since).as_micros() as i64 * i64::from(*drift_ppm) / 1_000_000
        });
        skew_us.saturating_add(drifted_us)
    }

    /// How many refusals were judged.
    pub const fn checks(&self) -> u64 {
        self.checks
    }

    /// The first that nothing justified.
    pub fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }
}
