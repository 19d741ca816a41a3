//! From the vehicle's bus to the fixes.
//!
//! A live bus and a live receiver tell the same time by arriving: a fix takes the readings that had arrived when it was
//! made. Its own time is the receiver's, and the frames have none. They wake nobody: they are read when a fix is made, and
//! now and then where none is.

use drover_env::{Env, Value};
use drover_model::Fix;
use tokio::time::Instant;

use crate::Arrived;
use crate::can::{CanCounts, CanFrame, CanInput};

/// The bus as the driver keeps it.
#[derive(Debug)]
pub(super) struct Can {
    input: CanInput,
    /// Frames that came after the newest fix was made.
    ahead: Option<Arrived<Vec<CanFrame>>>,
    began: Instant,
    told: CanCounts,
}

impl Can {
    pub(super) fn new(input: CanInput, now: Instant) -> Self {
        Self { input, ahead: None, began: now, told: CanCounts::default() }
    }

    /// Takes what came until a moment, and nothing that came later.
    pub(super) fn take_until(&mut self, moment: Instant) {
        while let Some(frames) = self.ahead.take().or_else(|| self.input.frames.try_recv().ok()) {
            if frames.at > moment {
                self.ahead = Some(frames);
                return;
            }
            let at_us = self.micros(frames.at);
            frames.what.iter().for_each(|frame| self.input.reader.handle_frame(at_us, frame));
        }
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
