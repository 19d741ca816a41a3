//! What a router did with datagrams since it told last. A hot path counts here, and once a second it is told as events.

use drover_env::{Env, Value};

use crate::decision::Cause;

/// Datagrams by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// To the server that their id names.
    pub routed: u64,
    /// To a server that was chosen for a new connection.
    pub placed: u64,
    /// To a client.
    pub returned: u64,
    /// Answered by a stateless reset.
    pub reset: u64,
    /// Probes of health agents, answered.
    pub probed: u64,
    /// Dropped, by [`Cause::ALL`].
    pub dropped: [u64; Cause::ALL.len()],
}

impl Counts {
    /// How many were dropped for that cause.
    pub const fn dropped_for(&self, cause: Cause) -> u64 {
        self.dropped[cause as usize]
    }

    pub(crate) const fn drop_for(&mut self, cause: Cause) {
        self.dropped[cause as usize] += 1;
    }

    /// Tells what was counted, and begins anew.
    pub(crate) fn tell(&mut self, env: &Env) {
        let Self { routed, placed, returned, reset, probed, dropped } = std::mem::take(self);
        let forwarded = [
            ("router.routed", routed),
            ("router.placed", placed),
            ("router.returned", returned),
            ("router.reset", reset),
            ("router.probed", probed),
        ];
        for (name, times) in forwarded.into_iter().filter(|(_, times)| *times > 0) {
            env.event(name, &[("times", Value::U64(times))]);
        }
        for (cause, times) in Cause::ALL.into_iter().zip(dropped).filter(|(_, times)| *times > 0) {
            env.event(
                "router.dropped",
                &[("reason", Value::Str(cause.name())), ("times", Value::U64(times))],
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_place_of_its_own() {
        let mut counts = Counts::default();
        Cause::ALL.into_iter().for_each(|cause| counts.drop_for(cause));
        assert_eq!(counts.dropped, [1; Cause::ALL.len()]);
        assert!(Cause::ALL.into_iter().enumerate().all(|(at, cause)| cause as usize == at));
    }
}
