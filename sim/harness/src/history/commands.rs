//! What was told of commands for vehicles: which a tracker carried out, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use drover_model::WallTime;

use super::events::Fields;

/// A command may be carried out so much after it was over: a tracker without a receiver's time goes by its own, and the disk takes its
/// time to write it down.
const LATE_BY: Duration = Duration::from_secs(5);

/// Commands of all vehicles, by the vehicle's index.
#[derive(Debug, Clone, Default)]
pub struct Commands {
    /// Carried out, as the tracker told: when.
    applied: BTreeMap<(usize, u64), Duration>,
    /// Found on board when a tracker started: it had been carried out, whether or not that was told.
    recovered: BTreeSet<(usize, u64)>,
    /// Vehicles whose disk a fault has spoilt: what they had carried out they no longer know.
    spoilt: BTreeSet<usize>,
    /// Vehicles whose own clock was set wrong.
    skewed: BTreeSet<usize>,
    checks: u64,
    first_violation: Option<String>,
}

impl Commands {
    /// A vehicle's tracker has told something of a command.
    pub(super) fn event(
        &mut self,
        at: Duration,
        now: WallTime,
        vehicle: usize,
        name: &str,
        values: &Fields<'_>,
    ) {
        let key = (vehicle, values.number("command"));
        match name {
            "tracker.command_recovered" => drop(self.recovered.insert(key)),
            "tracker.command_applied" => {
                self.checks += 1;
                let expires = WallTime::from_micros(values.number("expires_us") as i64);
                let known = self.recovered.contains(&key) || self.applied.contains_key(&key);
                let seconds = at.as_secs_f64();
                if known {
                    self.violated(format!(
                        "vehicle/{vehicle} carried out {:016x} again at {seconds:.3} s",
                        key.1
                    ));
                }
                let late = now.since(expires);
                if late > LATE_BY && !self.skewed.contains(&vehicle) {
                    let late = late.as_secs_f64();
                    self.violated(format!(
                        "vehicle/{vehicle} carried out {:016x} at {seconds:.3} s, {late:.3} s after it was over",
                        key.1
                    ));
                }
                self.applied.insert(key, at);
            }
            _ => {}
        }
    }

    fn violated(&mut self, what: String) {
        self.first_violation.get_or_insert(what);
    }

    /// A fault has emptied or damaged a vehicle's disk: what it had carried out it may not know any more.
    pub(super) fn disk_spoilt(&mut self, vehicle: usize) {
        self.spoilt.insert(vehicle);
        self.applied.retain(|(of, _), _| *of != vehicle);
        self.recovered.retain(|(of, _)| *of != vehicle);
    }

    /// A vehicle's clock was set wrong.
    pub(super) fn clock_set(&mut self, vehicle: usize) {
        self.skewed.insert(vehicle);
    }

    /// True if the vehicle has told that it carried the command out, or had it when it started; or if its disk was spoilt, and nobody
    /// can know.
    pub fn was_applied(&self, vehicle: usize, command: u64) -> bool {
        let key = (vehicle, command);
        self.applied.contains_key(&key) || self.recovered.contains(&key) || self.spoilt.contains(&vehicle)
    }

    /// Commands that were told to be carried out, since their vehicle's disk was spoilt if it was.
    pub fn applied(&self) -> impl Iterator<Item = (usize, u64)> {
        self.applied.keys().copied()
    }

    /// How many were judged, and the first that was carried out twice or too late.
    pub fn judged(&self) -> (u64, Option<String>) {
        (self.checks, self.first_violation.clone())
    }
}

#[cfg(test)]
mod tests {
    use drover_env::Value;

    use super::*;

    fn tell(commands: &mut Commands, at_s: u64, name: &'static str, vehicle: usize) {
        let fields = [("command", Value::U64(7)), ("expires_us", Value::U64(100_000_000))];
        let (at, now) = (Duration::from_secs(at_s), WallTime::from_secs(at_s as i64));
        commands.event(at, now, vehicle, name, &Fields::new(&fields));
    }

    #[test]
    fn what_is_carried_out_twice_or_late_is_found() {
        let mut commands = Commands::default();
        tell(&mut commands, 1, "tracker.command_applied", 0);
        tell(&mut commands, 2, "tracker.command_applied", 1);
        assert_eq!(commands.judged(), (2, None));
        let mut twice = commands.clone();
        tell(&mut twice, 3, "tracker.command_applied", 0);
        assert!(
            twice
                .judged()
                .1
                .is_some_and(|text| text.contains("vehicle/0 carried out 0000000000000007 again"))
        );
        let mut recovered = Commands::default();
        tell(&mut recovered, 1, "tracker.command_recovered", 0);
        tell(&mut recovered, 2, "tracker.command_applied", 0);
        assert!(recovered.judged().1.is_some());
        let mut late = commands.clone();
        tell(&mut late, 120, "tracker.command_applied", 2);
        assert!(late.judged().1.is_some_and(|text| text.contains("20.000 s after it was over")));
    }

    #[test]
    fn after_its_disk_was_spoilt_a_vehicle_may_do_it_again() {
        let mut commands = Commands::default();
        tell(&mut commands, 1, "tracker.command_applied", 0);
        commands.disk_spoilt(0);
        tell(&mut commands, 2, "tracker.command_applied", 0);
        assert_eq!(commands.judged(), (2, None));
        assert!(commands.was_applied(0, 9) && !commands.was_applied(1, 7));
    }
}
