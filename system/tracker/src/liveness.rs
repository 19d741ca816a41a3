//! Whether the gateway still answers. Holds no clock and no socket.

use std::time::Duration;

use tokio::time::Instant;

/// Without any answer for this long, what is on its way counts as stuck rather than refused. A few probes of QUIC.
const QUIET: Duration = Duration::from_secs(3);
/// Moves without an acknowledgement after which the patience with a stalled gateway grows no further.
const MOVES_MAX: u32 = 3;
/// Routers without an answer after which the patience with the next one grows no further.
const ROUTERS_MAX: u32 = 2;

/// Why another server is looked for while the session is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Nothing at all is heard.
    Silent,
    /// The gateway is there, but acknowledges nothing.
    Stalled,
    /// The gateway has said that it is about to stop.
    Draining,
}

impl Doubt {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Stalled => "stalled",
            Self::Draining => "draining",
        }
    }
}

/// What is heard of one session's gateway; the patience is kept from session to session.
#[derive(Debug)]
pub(crate) struct Liveness {
    silence_max: Duration,
    stalled_max: Duration,
    router_silence: Duration,
    /// Datagrams received and sent, as last seen.
    received: u64,
    sent: u64,
    /// Since when datagrams went out without any coming in.
    unanswered_since: Option<Instant>,
    /// Since when that is counted for the router that is used now.
    router_since: Option<Instant>,
    /// Routers in a row that brought no answer.
    routers_tried: u32,
    /// Since when batches went out without any acknowledgement.
    unacknowledged_since: Option<Instant>,
    /// Moves away from a stalled gateway since the last acknowledgement.
    moves: u32,
}

impl Liveness {
    pub(crate) const fn new(silence_max: Duration, stalled_max: Duration, router_silence: Duration) -> Self {
        Self {
            silence_max,
            stalled_max,
            router_silence,
            router_since: None,
            routers_tried: 0,
            received: 0,
            sent: 0,
            unanswered_since: None,
            unacknowledged_since: None,
            moves: 0,
        }
    }

    /// A session begins.
    pub(crate) const fn begin(&mut self) {
        (self.received, self.sent) = (0, 0);
        (self.unanswered_since, self.unacknowledged_since) = (None, None);
        (self.router_since, self.routers_tried) = (None, 0);
    }

    /// Takes the connection's counts of datagrams, and whether the gateway owes an answer. Returns true if something was heard
    /// since the last time.
    pub(crate) fn observe(&mut self, now: Instant, received: u64, sent: u64, owed: bool) -> bool {
        let heard = received != self.received;
        if heard {
            (self.unanswered_since, self.router_since, self.routers_tried) = (None, None, 0);
        } else if sent != self.sent {
            self.unanswered_since.get_or_insert(now);
            // What is only an acknowledgement has no answer.
            if owed {
                self.router_since.get_or_insert(now);
            }
        }
        (self.received, self.sent) = (received, sent);
        heard
    }

    /// A batch was sent.
    pub(crate) fn batch_sent(&mut self, now: Instant) {
        self.unacknowledged_since.get_or_insert(now);
    }

    /// An acknowledgement came; more are owed or not.
    pub(crate) fn acknowledged(&mut self, now: Instant, owed: bool) {
        self.unacknowledged_since = owed.then_some(now);
        self.moves = 0;
    }

    /// A stalled gateway was left for another.
    pub(crate) fn moved(&mut self) {
        self.moves = (self.moves + 1).min(MOVES_MAX);
    }

    /// False while nothing is heard although something was sent.
    pub(crate) fn is_reachable(&self, now: Instant) -> bool {
        self.unanswered_since.is_none_or(|since| now.duration_since(since) < QUIET)
    }

    /// True if another router should be tried: this one has brought no answer for so long. The patience doubles with each that
    /// brings none (a few times), since then it is rather the vehicle that is cut off. Counts afresh for the next one.
    pub(crate) fn router_is_silent(&mut self, now: Instant) -> bool {
        let patience = self.router_silence * (1 << self.routers_tried.min(ROUTERS_MAX));
        let silent = self.router_since.is_some_and(|since| now.duration_since(since) >= patience);
        if silent {
            // The next datagram begins the wait for the next router.
            self.router_since = None;
            self.routers_tried += 1;
        }
        silent
    }

    /// Whether to look for another server. `owed`: whether the gateway owes an answer.
    pub(crate) fn doubt(&self, now: Instant, owed: bool, other_servers: bool) -> Option<Doubt> {
        let over = |since: Option<Instant>, max| since.is_some_and(|since| now.duration_since(since) >= max);
        if owed && over(self.unanswered_since, self.silence_max) {
            return Some(Doubt::Silent);
        }
        // The only server is as good as itself.
        let patience = self.stalled_max * (1 << self.moves);
        (other_servers && over(self.unacknowledged_since, patience)).then_some(Doubt::Stalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn silence_counts_from_the_first_datagram_that_nothing_followed() {
        let start = Instant::now();
        let mut liveness = Liveness::new(15 * SECOND, 60 * SECOND, 3 * SECOND);
        assert!(liveness.observe(start, 5, 5, true));
        liveness.observe(start + 30 * SECOND, 5, 5, true);
        assert_eq!(liveness.doubt(start + 30 * SECOND, true, true), None, "nothing was sent");
        liveness.observe(start + 31 * SECOND, 5, 6, true);
        assert!(liveness.is_reachable(start + 33 * SECOND));
        assert!(!liveness.is_reachable(start + 34 * SECOND));
        assert_eq!(liveness.doubt(start + 46 * SECOND, true, true), Some(Doubt::Silent));
        assert_eq!(liveness.doubt(start + 46 * SECOND, false, true), None, "nothing is owed");
        assert!(liveness.observe(start + 46 * SECOND, 6, 6, true));
        assert_eq!(liveness.doubt(start + 46 * SECOND, true, true), None);
    }

    #[tokio::test(start_paused = true)]
    async fn routers_that_bring_no_answer_are_left_with_growing_patience() {
        let start = Instant::now();
        let mut liveness = Liveness::new(15 * SECOND, 60 * SECOND, 3 * SECOND);
        let mut changes = Vec::new();
        for second in 0..40 {
            let now = start + second * SECOND;
            liveness.observe(now, 5, 5 + u64::from(second), true);
            if liveness.router_is_silent(now) {
                changes.push(second);
            }
        }
        // The first look only finds what has been counted before.
        assert_eq!(changes, [4, 11, 24, 37]);
        liveness.observe(start + 40 * SECOND, 6, 50, false);
        liveness.observe(start + 41 * SECOND, 6, 51, true);
        assert!(!liveness.router_is_silent(start + 43 * SECOND));
        assert!(liveness.router_is_silent(start + 44 * SECOND), "an answer brings the patience back");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_with_a_stalled_gateway_doubles_until_an_acknowledgement() {
        let start = Instant::now();
        let mut liveness = Liveness::new(15 * SECOND, 60 * SECOND, 3 * SECOND);
        liveness.batch_sent(start);
        assert_eq!(liveness.doubt(start + 60 * SECOND, true, false), None, "there is no other server");
        assert_eq!(liveness.doubt(start + 60 * SECOND, true, true), Some(Doubt::Stalled));
        liveness.moved();
        liveness.begin();
        liveness.batch_sent(start);
        assert_eq!(liveness.doubt(start + 60 * SECOND, true, true), None);
        assert_eq!(liveness.doubt(start + 120 * SECOND, true, true), Some(Doubt::Stalled));
        liveness.acknowledged(start + 120 * SECOND, true);
        assert_eq!(liveness.doubt(start + 180 * SECOND, true, true), Some(Doubt::Stalled));
    }
}
