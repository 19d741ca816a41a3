//! From the first session to the last fix: vehicles connect, the world drives by the clock, things break.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drover_harness::report::Latency;
use drover_supervisor::State;
use drover_tests::Postgres;
use drover_world::TICK;
use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::{LAST_FIX, LOOK_EVERY, Options, Progress, Run, SLICES_PER_S, WINDOWS};
use crate::calibrate::Calibration;
use crate::due::QUIET;
use crate::faults::Saboteur;
use crate::problem::LoadError;

impl Run<'_> {
    /// Starts every tracker, and waits until all have a session.
    pub(super) fn connect(&mut self) -> Result<(), LoadError> {
        let (origin, per_second) = (self.origin, self.ramp_per_s);
        let fleet = &mut self.fleet;
        self.runtime.block_on(fleet.start(origin, per_second));
        let vehicles = self.vehicles.len() as u64;
        while self.witness.history.totals().connected < vehicles {
            if Instant::now() >= origin {
                let connected = self.witness.history.totals().connected;
                let waited_s = vehicles / u64::from(per_second.max(1));
                return Err(LoadError::Ramp { connected, vehicles, waited_s });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// How late a task of the vehicles' runtime wakes that does nothing else.
    pub(super) fn watch_runtime(&self) -> Arc<Mutex<Histogram<u64>>> {
        let lag = Arc::new(Mutex::new(Latency::histogram()));
        let (seen, origin) = (lag.clone(), self.origin);
        self.runtime.spawn(async move {
            for step in 0u32.. {
                let due = origin + TICK * step;
                tokio::time::sleep_until(due).await;
                let late = Instant::now().saturating_duration_since(due);
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .saturating_record(late.as_micros() as u64);
            }
        });
        lag
    }

    pub(super) fn run_world(
        &mut self,
        options: &mut Options<'_>,
        saboteur: &mut Saboteur,
        calibration: &Calibration,
    ) {
        let parking = self.scenario.driven();
        let (duration, end) = (self.scenario.duration, parking + self.scenario.settle);
        let (warm, window) = (self.warm(), self.window());
        let (mut next_mark, mut healed, mut settling, mut step) = (warm + QUIET, false, false, 0u32);
        loop {
            self.world.step();
            let now = self.world.now();
            let due = self.origin + now;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let late = Instant::now().saturating_duration_since(due);
            self.lag.saturating_record(late.as_micros() as u64);
            for action in self.world.outputs().actions() {
                saboteur.apply(action);
            }
            while let Some(roll) = self.rolls.pop_front_if(|roll| roll.at <= now) {
                saboteur.roll(roll.nodes);
            }
            for (vehicle, chunk) in self.world.outputs().nmea() {
                self.fleet.gps(vehicle, chunk, now);
            }
            self.fleet.hand_over(due);
            step += 1;
            if step.is_multiple_of(LOOK_EVERY) {
                self.watch.look(self.services.handle(), &self.witness);
            }
            if now.subsec_nanos() == 0 {
                self.end_second(options, now, settling);
            }
            if now >= next_mark && now <= parking {
                let told = self.tally.as_ref().map(|tally| tally.read()).unwrap_or_default();
                self.meter.mark(now, self.witness.history.totals().durable, told);
                if let Some(beside) = &mut self.beside {
                    beside.mark(self.services.handle());
                }
                calibration.window();
                next_mark += window;
            }
            if now > warm && now < parking && now.subsec_nanos() == QUIET.subsec_nanos() {
                (0..SLICES_PER_S).for_each(|_| calibration.within());
            }
            if now >= parking && !settling {
                settling = true;
                self.witness.watching_ends();
                self.world.stop_sampling();
                self.delivered = Some(self.witness.history.delivered());
            }
            if now >= duration && !healed {
                healed = true;
                for action in self.world.heal() {
                    saboteur.apply(&action);
                }
                self.witness.history.heal(now);
            }
            let rest = settling && now >= parking + LAST_FIX.min(self.scenario.settle);
            if rest && self.witness.history.totals().backlog() == 0 {
                self.settled_after = Some(now - parking);
            }
            if self.interrupted || self.settled_after.is_some() || now >= end {
                return;
            }
        }
    }

    /// Until then fixes are still on their way for the first time.
    fn warm(&self) -> Duration {
        self.scenario.vehicles.iter().map(|group| group.send_interval).max().unwrap_or_default()
    }

    /// Length of a window: whole seconds, since within each receivers write once and vehicles send in one part of it.
    pub(super) fn window(&self) -> Duration {
        let even = self.scenario.driven().saturating_sub(self.warm()) / WINDOWS;
        Duration::from_secs(even.as_secs().max(1))
    }

    fn end_second(&mut self, options: &mut Options<'_>, now: Duration, settling: bool) {
        let history = &self.witness.history;
        history.end_second();
        let queue = self.world.traffic().map_or(0, |traffic| traffic.queue_longest);
        self.queue_longest = self.queue_longest.max(queue);
        let database = self.server.try_lock().ok().and_then(|server| server.as_ref().and_then(Postgres::pid));
        self.meter.look(self.services.handle(), database);
        self.interrupted = options.interrupt.load(Ordering::Relaxed);
        let Some(progress) = &mut options.progress else { return };
        let series = history.series();
        let status = self.services.handle().status();
        let degraded = status.services.into_iter().filter(|one| one.state != State::Ready);
        progress(&Progress {
            phase: if settling { "settling" } else { "driving" },
            now,
            duration: self.scenario.driven(),
            totals: history.totals(),
            durable_per_s: series.durable_per_s.last().copied().unwrap_or_default(),
            p99_ms: series.latency_p99_ms.last().copied().flatten(),
            cores: self.meter.cores(),
            degraded: degraded.map(|one| format!("{} {}", one.node, one.state)).collect(),
        });
    }
}
