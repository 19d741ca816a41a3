//! Whether a process hangs. Holds no clock and no socket.

use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Limits;

/// What a probe of an admin address gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It serves.
    Ready,
    /// It lives, and does not serve: it starts, or stops.
    NotReady,
}

/// What is known of one process that runs.
#[derive(Debug)]
pub(crate) struct Liveness {
    hung_after: Duration,
    /// A probe was answered. A process may take long to start: until then it is left alone.
    has_answered: bool,
    /// When it counts as hung; `None` while it owes no answer.
    hangs_at: Option<Instant>,
    ready: bool,
}

impl Liveness {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { hung_after: limits.hung_after, has_answered: false, hangs_at: None, ready: false }
    }

    /// A probe goes out. One that follows another without an answer gives no more time.
    pub(crate) fn asked(&mut self, now: Instant) {
        if self.has_answered {
            self.hangs_at = self.hangs_at.or(Some(now + self.hung_after));
        }
    }

    /// An answer has arrived. A slow one is an answer all the same: the next has as long as after a quick one.
    pub(crate) fn answered(&mut self, answer: Answer) {
        (self.has_answered, self.hangs_at) = (true, None);
        self.ready = answer == Answer::Ready;
    }

    pub(crate) const fn is_ready(&self) -> bool {
        self.ready
    }

    /// When [`Self::handle_timeout`] is due, unless a probe is answered before.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.hangs_at
    }

    /// True if it hangs. Whoever looks much too late has stood still itself, and has heard nobody meanwhile: the process then
    /// gets its time once more.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        let Some(due) = self.hangs_at.filter(|due| *due <= now) else { return false };
        let stood_still = now - due > self.hung_after / 2;
        if stood_still {
            self.hangs_at = Some(now + self.hung_after);
        }
        !stood_still
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_process_that_has_answered_can_hang() {
        let (mut liveness, now) = (Liveness::new(&Limits::default()), Instant::now());
        assert_eq!(liveness.poll_timeout(), None);
        assert!(!liveness.handle_timeout(now + Duration::from_secs(60)));
        liveness.asked(now);
        assert_eq!(liveness.poll_timeout(), None);
        liveness.answered(Answer::NotReady);
        assert!(!liveness.is_ready());
        liveness.asked(now);
        liveness.answered(Answer::Ready);
        assert!(liveness.is_ready());
        // Whom nobody asks owes nothing, and it has its whole time for the next, however slow the last answer was.
        assert_eq!(liveness.poll_timeout(), None);
        let asked = now + Duration::from_secs(1);
        liveness.asked(asked);
        liveness.asked(asked + Duration::from_millis(500));
        let due = asked + Limits::default().hung_after;
        assert_eq!(liveness.poll_timeout(), Some(due));
        assert!(!liveness.handle_timeout(due - Duration::from_millis(1)));
        assert!(liveness.handle_timeout(due));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_stood_still_itself_asks_once_more() {
        let (mut liveness, now) = (Liveness::new(&Limits::default()), Instant::now());
        let hung_after = Limits::default().hung_after;
        liveness.asked(now);
        liveness.answered(Answer::Ready);
        liveness.asked(now);
        let back = now + hung_after + Duration::from_secs(5);
        assert!(!liveness.handle_timeout(back), "the supervisor was stopped for five seconds");
        assert_eq!(liveness.poll_timeout(), Some(back + hung_after));
        // A machine that is a little busy is no excuse.
        assert!(liveness.handle_timeout(back + hung_after + Duration::from_millis(300)));
    }
}
