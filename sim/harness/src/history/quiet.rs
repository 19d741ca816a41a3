//! How long anything waited once the faults were over.

use std::time::Duration;

use drover_model::{Epoch, Sequence, WallTime};

use super::VehicleHistory;

/// A wait, and whose it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wait {
    /// How long, counted from the end of the faults or its own beginning, whichever is later.
    pub lasted: Duration,
    /// Who waited, and when it was over.
    pub who: String,
}

/// The time after the faults.
#[derive(Debug, Clone, Default)]
pub struct Quiet {
    healed: Duration,
    /// The longest wait for a durable ack, and for a session.
    fix: Wait,
    session: Wait,
    checks: u64,
}

impl Wait {
    fn see(&mut self, lasted: Duration, who: impl FnOnce() -> String) {
        if self.who.is_empty() || lasted > self.lasted {
            *self = Self { lasted, who: who() };
        }
    }
}

impl Quiet {
    pub(super) fn new(healed: Duration) -> Self {
        Self { healed, ..Self::default() }
    }

    fn since(&self, at: Duration, began: Duration) -> Duration {
        at.saturating_sub(self.healed.max(began))
    }

    /// A fix of age `age` has become durable.
    pub(super) fn durable(
        &mut self,
        at: Duration,
        age: Duration,
        vehicle: usize,
        epoch: Epoch,
        sequence: Sequence,
    ) {
        self.checks += 1;
        self.fix.see(self.since(at, at.saturating_sub(age)), || {
            format!("fix {epoch}/{sequence} of vehicle/{vehicle} until {:.3} s", at.as_secs_f64())
        });
    }

    /// A vehicle has a session again, after it had none since `apart`.
    pub(super) fn connected(&mut self, at: Duration, apart: Duration, vehicle: usize) {
        self.checks += 1;
        self.session
            .see(self.since(at, apart), || format!("vehicle/{vehicle} until {:.3} s", at.as_secs_f64()));
    }

    /// The run has ended: what still waits has waited until now.
    pub(super) fn end(&mut self, end: Duration, start: WallTime, vehicles: &[VehicleHistory]) {
        for (index, vehicle) in vehicles.iter().enumerate() {
            self.checks += 1;
            if !vehicle.connected {
                self.session.see(self.since(end, vehicle.apart_since), || format!("vehicle/{index}, still"));
            }
            for (epoch, history) in &vehicle.epochs {
                let Some(sequence) = history.waiting().iter().next() else { continue };
                let began =
                    history.time_of_waiting(sequence).map_or(Duration::ZERO, |time| time.since(start));
                self.fix.see(self.since(end, began), || {
                    format!("fix {epoch}/{sequence} of vehicle/{index}, still")
                });
            }
        }
    }

    /// When the faults were over.
    pub const fn healed(&self) -> Duration {
        self.healed
    }

    /// The longest wait for a durable ack.
    pub const fn fix(&self) -> &Wait {
        &self.fix
    }

    /// The longest wait for a session.
    pub const fn session(&self) -> &Wait {
        &self.session
    }

    /// How many waits there were.
    pub const fn checks(&self) -> u64 {
        self.checks
    }
}
