//! Simpler forms of one fault.

use std::time::Duration;

use drover_model::NodePattern;

use crate::scenario::{FaultSpec, Link};

/// Faults are not made shorter than this.
pub(super) const FAULT_MIN: Duration = Duration::from_secs(1);

pub(super) fn whole_seconds(at: Duration) -> Duration {
    Duration::from_secs(at.as_secs())
}

/// Leaves nothing to chance that can do without.
pub(super) fn certain(fault: &mut FaultSpec) {
    fault.probability = fault.probability.map(|_| 1.0);
    (fault.jitter, fault.queue) = (None, None);
}

/// Half as long, down to [`FAULT_MIN`].
pub(super) fn halve(fault: &mut FaultSpec) {
    let half = |time: Duration| if time > FAULT_MIN { (time / 2).max(FAULT_MIN) } else { time };
    (fault.lasts, fault.each) = (fault.lasts.map(half), fault.each.map(half));
}

/// Another fault that does no less harm and is easier to think about, if there is one.
pub(super) fn simpler(fault: &FaultSpec) -> Option<FaultSpec> {
    let same = FaultSpec { at: fault.at, lasts: fault.lasts, ..FaultSpec::default() };
    if let Some(nodes) = fault.rolling {
        let first = NodePattern { index: nodes.index.or(Some(0)), ..nodes };
        return Some(FaultSpec { drain: Some(first), lasts: fault.each, ..same });
    }
    let cut_off = |link: Link| FaultSpec { partition: Some(link), ..same.clone() };
    let ended = |nodes: NodePattern| FaultSpec { kill: Some(nodes), ..same.clone() };
    let lossy = [fault.loss, fault.burst_loss, fault.narrow, fault.mtu].into_iter().flatten().next();
    let down = [fault.failover, fault.wipe, fault.disk_damage, fault.sleep].into_iter().flatten().next();
    let clogged = || fault.swizzle.map(|link| FaultSpec { clog: Some(link), ..same.clone() });
    lossy.map(cut_off).or_else(|| down.map(ended)).or_else(clogged)
}
