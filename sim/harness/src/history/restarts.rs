//! Gateways that come back after a crash, and how the vehicles learn of it that had sessions with them.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_model::NodeName;

/// One gateway that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restart {
    /// Which.
    pub gateway: NodeName,
    /// When.
    pub at: Duration,
    /// Vehicles that learned by a reset that their session was gone.
    pub by_reset: u64,
    /// Vehicles that had recorded something to send, and after `late_after` had still not learned it by one.
    pub late: u64,
}

/// A session whose gateway has crashed; the vehicle does not know yet.
#[derive(Debug, Clone, Copy)]
struct Stale {
    gateway: NodeName,
    /// The restart, by its place, once there is one.
    restart: Option<usize>,
    /// When the vehicle first recorded a fix after it.
    recorded: Option<Duration>,
}

/// Restarts so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Restarts {
    late_after: Duration,
    /// With whom the newest session of each vehicle is.
    sessions: BTreeMap<usize, NodeName>,
    stale: BTreeMap<usize, Stale>,
    all: Vec<Restart>,
}

impl Restarts {
    /// A vehicle that has recorded a fix sends it, and is answered, within this.
    pub(super) fn set_late_after(&mut self, late_after: Duration) {
        self.late_after = late_after;
    }

    /// A gateway has a session with a vehicle.
    pub(super) fn connected(&mut self, vehicle: usize, gateway: NodeName) {
        self.sessions.insert(vehicle, gateway);
    }

    /// A gateway has crashed.
    pub(super) fn crashed(&mut self, gateway: NodeName) {
        for (&vehicle, _) in self.sessions.iter().filter(|(_, with)| **with == gateway) {
            self.stale.insert(vehicle, Stale { gateway, restart: None, recorded: None });
        }
    }

    /// It has come back.
    pub(super) fn started_again(&mut self, at: Duration, gateway: NodeName) {
        let restart = self.all.len();
        let mut some = false;
        for stale in self.stale.values_mut().filter(|stale| stale.gateway == gateway) {
            (stale.restart, some) = (Some(restart), true);
        }
        if some {
            self.all.push(Restart { gateway, at, by_reset: 0, late: 0 });
        }
    }

    /// A vehicle has something to send.
    pub(super) fn recorded(&mut self, at: Duration, vehicle: usize) {
        if let Some(stale) = self.stale.get_mut(&vehicle).filter(|stale| stale.restart.is_some()) {
            stale.recorded.get_or_insert(at);
        }
    }

    /// A vehicle knows that a session has ended, and why.
    pub(super) fn disconnected(&mut self, at: Duration, vehicle: usize, reason: &str) {
        // One that was left for another has been followed by that.
        if reason != "switched" {
            self.sessions.remove(&vehicle);
        }
        self.judge(at, vehicle, reason == "reset");
    }

    /// A vehicle has crashed, or its device sleeps.
    pub(super) fn gone(&mut self, vehicle: usize) {
        self.sessions.remove(&vehicle);
        self.stale.remove(&vehicle);
    }

    fn judge(&mut self, at: Duration, vehicle: usize, by_reset: bool) {
        let Some(Stale { restart, recorded, .. }) = self.stale.remove(&vehicle) else { return };
        let Some(restart) = restart.and_then(|restart| self.all.get_mut(restart)) else { return };
        restart.by_reset += u64::from(by_reset);
        restart.late += u64::from(!by_reset && recorded.is_some_and(|since| at > since + self.late_after));
    }

    /// All of them; the run has ended at `end`, and who has not learned it by then never does.
    pub(super) fn ended(mut self, end: Duration) -> Vec<Restart> {
        for vehicle in self.stale.keys().copied().collect::<Vec<_>>() {
            self.judge(end, vehicle, false);
        }
        self.all
    }
}
