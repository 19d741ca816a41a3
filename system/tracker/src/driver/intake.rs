//! From the receiver into the spool.

use bytes::Bytes;
use drover_env::Chain;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::Driver;
use super::told::Telling;
use crate::Arrived;

impl Driver {
    pub(super) fn take_gps(&mut self, bytes: Option<Arrived<Bytes>>) {
        let Some(Arrived { at, what: bytes }) = bytes else {
            info!("the receiver's input has ended: no more fixes are recorded");
            self.gps_ended = true;
            self.nmea.finish(Instant::now(), &mut self.fixes);
            return self.offer_fixes(Instant::now());
        };
        if let Some(due) = self.cycle_due(at) {
            self.end_cycle(due);
        }
        self.hear_bus(at);
        self.nmea.push(at, &bytes, &mut self.fixes);
        self.offer_fixes(at);
    }

    /// Waits no longer for what the receiver has not said in time, once all that it has said is read.
    pub(super) fn end_cycles(&mut self, now: Instant) {
        while let Some(due) = self.cycle_due(now) {
            match self.gps.try_recv() {
                Ok(bytes) => self.take_gps(Some(bytes)),
                Err(_) => self.end_cycle(due),
            }
        }
    }

    fn cycle_due(&self, now: Instant) -> Option<Instant> {
        self.nmea.poll_timeout().filter(|due| *due <= now)
    }

    fn end_cycle(&mut self, due: Instant) {
        self.hear_bus(due);
        self.nmea.handle_timeout(due, &mut self.fixes);
        self.offer_fixes(due);
    }

    /// Reads the bus where no fix has: unless the receiver's bytes wait, and earlier readings with them.
    pub(super) fn read_bus(&mut self, now: Instant) {
        if self.gps.is_empty() {
            self.hear_bus(now);
        }
    }

    fn hear_bus(&mut self, until: Instant) {
        if let Some(can) = &mut self.can {
            can.take_until(until);
        }
    }

    /// Hands new fixes, made at `at`, to the spool, to be written with the next commit.
    pub(super) fn offer_fixes(&mut self, at: Instant) {
        if self.fixes.is_empty() {
            return;
        }
        if let Some(can) = &self.can {
            can.join(at, &mut self.fixes);
        }
        if let Some(fix) = self.fixes.last() {
            self.newest.set(fix);
            self.downlink.hear_time(fix.time, at);
        }
        let now = Instant::now();
        let mut unrecorded = 0;
        for fix in self.fixes.drain(..) {
            unrecorded += u64::from(self.spool.offer(fix).is_some());
        }
        self.session.expect_live(now);
        let due = self.committed_at.map_or(now, |at| at + self.config.sync_interval);
        self.commit_due.get_or_insert(due.max(now));
        self.tell_waiting();
        self.tell_unrecorded(unrecorded);
    }

    /// Writes and syncs what waits. What a full disk does not take waits on, and is tried again.
    pub(super) async fn commit(&mut self, now: Instant) {
        let recorded_before = self.summary.recorded;
        let result = self.spool.commit(&mut Telling { env: &self.env, summary: &mut self.summary }).await;
        if self.summary.recorded > recorded_before {
            // The slot they were first meant for may have passed while the disk was full.
            self.session.expect_live(now);
        }
        self.tell_spool();
        self.committed_at = Some(now);
        self.commit_due = None;
        match result {
            Ok(()) => self.tell_recovered(),
            Err(error) => {
                self.commit_due = Some(now + self.config.sync_interval);
                self.env.event("tracker.disk_error", &[("reason", reason(error.is_full()))]);
                warn!(error = %Chain(&error), waiting = self.spool.waiting_len(), "fixes wait for the disk");
            }
        }
    }

    /// Tells once what the spool held at the start: only now is it certain to be on disk.
    fn tell_recovered(&mut self) {
        let Some(recovery) = self.recovery.take() else { return };
        if recovery.torn_tail_cut {
            info!("the spool ended in the beginning of a record");
            self.env.event("tracker.torn_tail_cut", &[]);
        }
        if recovery.epoch_abandoned {
            warn!("the newest segment of the spool may have lost its end: a new epoch begins");
            self.env.event("tracker.epoch_abandoned", &[]);
        }
        for (epoch, lost) in &recovery.lost {
            error!(epoch = %epoch, fixes = lost.len(), "damage to the spool took fixes");
            self.tell_ranges("tracker.lost", *epoch, lost);
        }
        let held: Vec<_> = self.spool.holdings().iter().map(|epoch| (epoch.epoch, epoch.held())).collect();
        for (epoch, held) in held {
            self.tell_ranges("tracker.recovered", epoch, &held);
        }
    }
}

const fn reason(full: bool) -> drover_env::Value<'static> {
    drover_env::Value::Str(if full { "full" } else { "broken" })
}
