//! From the vehicle's bus to the fixes.
//!
//! A live bus and a live receiver tell the same time by arriving: a fix takes the readings that had arrived when it was
//! made. Its own time is the receiver's, and the frames have none.

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
    ended: bool,
    began: Instant,
    told: CanCounts,
}

impl Can {
    pub(super) fn new(input: CanInput, now: Instant) -> Self {
        Self { input, ahead: None, ended: false, began: now, told: CanCounts::default() }
    }

    /// True until the bus has ended. Safe to drop: frames stay in the channel.
    pub(super) const fn is_open(&self) -> bool {
        !self.ended
    }

    /// The next frames; `None` at the end. Safe to drop.
    pub(super) async fn next(&mut self) -> Option<Arrived<Vec<CanFrame>>> {
        match self.ahead.take() {
            None => self.input.frames.recv().await,
            ahead => ahead,
        }
    }

    pub(super) fn take(&mut self, frames: Option<Arrived<Vec<CanFrame>>>) {
        let Some(Arrived { at, what: frames }) = frames else {
            self.ended = true;
            return;
        };
        let at_us = self.micros(at);
        frames.iter().for_each(|frame| self.input.reader.handle_frame(at_us, frame));
    }

    /// Takes what came until a moment, and nothing that came later.
    pub(super) fn take_until(&mut self, moment: Instant) {
        while let Some(frames) = self.ahead.take().or_else(|| self.input.frames.try_recv().ok()) {
            if frames.at > moment {
                self.ahead = Some(frames);
                return;
            }
            self.take(Some(frames));
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
