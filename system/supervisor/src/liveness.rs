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
    /// The start of the newest probe that was answered; `None` until one was. A process may take long to start: it is then
    /// left alone.
    answered: Option<Instant>,
    ready: bool,
}

impl Liveness {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { hung_after: limits.hung_after, answered: None, ready: false }
    }

    /// The probe that was sent at `sent` was answered.
    pub(crate) fn answered(&mut self, sent: Instant, answer: Answer) {
        self.answered = self.answered.max(Some(sent));
        self.ready = answer == Answer::Ready;
    }

    pub(crate) const fn is_ready(&self) -> bool {
        self.ready
    }

    /// When it counts as hung, unless a probe is answered before.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.answered.map(|at| at + self.hung_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_process_that_has_answered_can_hang() {
        let (mut liveness, now) = (Liveness::new(&Limits::default()), Instant::now());
        assert_eq!(liveness.poll_timeout(), None);
        liveness.answered(now, Answer::NotReady);
        assert!(!liveness.is_ready());
        liveness.answered(now + Duration::from_secs(1), Answer::Ready);
        assert!(liveness.is_ready());
        // An answer that was overtaken by a later one does not count backwards.
        liveness.answered(now, Answer::Ready);
        assert_eq!(liveness.poll_timeout(), Some(now + Duration::from_millis(2_500)));
    }
}
