//! Events, and the summary that counts the same things.

use drover_env::{Env, Value};
use drover_model::{Epoch, Sequence, SequenceSet, WallTime};

use super::Driver;
use crate::Summary;
use crate::link::Loss;
use crate::spool::Witness;

/// Tells what a commit does.
pub(super) struct Telling<'a> {
    pub(super) env: &'a Env,
    pub(super) summary: &'a mut Summary,
}

impl Witness for Telling<'_> {
    fn recorded(&mut self, epoch: Epoch, sequence: Sequence, time: WallTime) {
        self.summary.recorded += 1;
        let fields = [
            ("epoch", Value::U64(epoch.value())),
            ("sequence", Value::U64(sequence)),
            ("time_us", Value::U64(time.as_micros().max(0) as u64)),
        ];
        self.env.event("tracker.recorded", &fields);
    }

    fn shed(&mut self, epoch: Epoch, fixes: &SequenceSet) {
        self.summary.shed += fixes.len();
        tell_ranges(self.env, "tracker.shed", epoch, fixes);
    }
}

fn tell_ranges(env: &Env, name: &'static str, epoch: Epoch, set: &SequenceSet) {
    for range in set.iter_ranges() {
        let fields = [
            ("epoch", Value::U64(epoch.value())),
            ("first", Value::U64(*range.start())),
            ("last", Value::U64(*range.end())),
        ];
        env.event(name, &fields);
    }
}

impl Driver {
    /// One event for each range of `set`.
    pub(super) fn tell_ranges(&self, name: &'static str, epoch: Epoch, set: &SequenceSet) {
        tell_ranges(&self.env, name, epoch, set);
    }

    /// Tells a new high-water mark of the spool.
    pub(super) fn tell_spool(&mut self) {
        // Segments come and go by the mebibyte; less is not worth an event, unless it passes the bound.
        let (bytes, told) = (self.spool.bytes(), self.told.spool_bytes);
        let passes = bytes > self.config.spool_bytes_max && bytes > told;
        if bytes >= told + self.config.segment_bytes_max || passes {
            self.told.spool_bytes = bytes;
            self.tell_queue("tracker.spool_bytes", bytes, self.config.spool_bytes_max);
        }
    }

    /// Tells a new high-water mark of the fixes that wait for the disk.
    pub(super) fn tell_waiting(&mut self) {
        let waiting = self.spool.waiting_len();
        if waiting > self.told.waiting_len {
            self.told.waiting_len = waiting;
            self.tell_queue("tracker.waiting", waiting as u64, self.config.waiting_fixes_max as u64);
        }
    }

    fn tell_queue(&self, name: &str, len: u64, max: u64) {
        self.env.event(
            "queue",
            &[("name", Value::Str(name)), ("len", Value::U64(len)), ("max", Value::U64(max))],
        );
    }

    pub(super) fn tell_unrecorded(&mut self, count: u64) {
        if count > 0 {
            self.summary.unrecorded += count;
            self.env.event("tracker.unrecorded", &[("count", Value::U64(count))]);
        }
    }

    /// Tells what of the receiver's and the bus's output was skipped since the last time, by reason.
    pub(super) fn tell_skipped(&mut self) {
        if let Some(can) = &mut self.can {
            can.tell_skipped(&self.env);
        }
        let (before, now) = (self.told.nmea.skipped(), self.nmea.counts().skipped());
        if before == now {
            return;
        }
        for ((reason, before), (_, now)) in before.into_iter().zip(now) {
            if now > before {
                let count = Value::U64(now - before);
                self.env.event("tracker.nmea_skipped", &[("reason", Value::Str(reason)), ("count", count)]);
            }
        }
        self.told.nmea = *self.nmea.counts();
    }

    pub(super) fn tell_disconnected(&self, loss: Loss) {
        self.env.event("tracker.disconnected", &[("reason", Value::Str(loss.name()))]);
    }
}
