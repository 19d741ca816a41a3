//! From the vehicle's bus to the fixes.
//!
//! A live bus and a live receiver tell the same time by arriving: a fix takes the readings that had arrived when it was
//! made. Its own time is the receiver's, and the frames have none.

use drover_env::{Env, Value};
use drover_model::Fix;
use tokio::time::Instant;

use crate::can::{CanCounts, CanFrame, CanInput};

/// The bus as the driver keeps it.
#[derive(Debug)]
pub(super) struct Can {
    input: CanInput,
    ended: bool,
    began: Instant,
    told: CanCounts,
}

impl Can {
    pub(super) fn new(input: CanInput, now: Instant) -> Self {
        Self { input, ended: false, began: now, told: CanCounts::default() }
    }

    /// True until the bus has ended. Safe to drop: frames stay in the channel.
    pub(super) const fn is_open(&self) -> bool {
        !self.ended
    }

    /// The next frames; `None` at the end. Safe to drop.
    pub(super) async fn next(&mut self) -> Option<Vec<CanFrame>> {
        self.input.frames.recv().await
    }

    pub(super) fn take(&mut self, now: Instant, frames: Option<Vec<CanFrame>>) {
        let Some(frames) = frames else {
            self.ended = true;
            return;
        };
        let at_us = self.micros(now);
        frames.iter().for_each(|frame| self.input.reader.handle_frame(at_us, frame));
    }

    /// Gives fixes made at `now` the readings of that moment.
    pub(super) fn join(&self, now: Instant, fixes: &mut [Fix]) {
        let at_us = self.micros(now);
        fixes.iter_mut().for_each(|fix| fix.engine = self.input.reader.engine(at_us));
    }

    /// Tells what was skipped since the last time, by reason.
    pub(super) fn tell_skipped(&mut self, env: &Env) {
        let counts = self.counts();
        for ((reason, before), (_, now)) in self.told.skipped().into_iter().zip(counts.skipped()) {
            if now > before {
                let fields = [("reason", Value::Str(reason)), ("count", Value::U64(now - before))];
                env.event("tracker.can_skipped", &fields);
            }
        }
        self.told = counts;
    }

    pub(super) fn counts(&self) -> CanCounts {
        self.input.reader.counts()
    }

    fn micros(&self, now: Instant) -> i64 {
        // As many microseconds as an i64 holds are 292,000 years.
        now.duration_since(self.began).as_micros() as i64
    }
}
