//! When to connect to which server. Holds no clock and no socket.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

use crate::Config;

/// A session that lasted this long shows that its server was well: the next attempt starts without a wait.
const STABLE: Duration = Duration::from_secs(10);

/// Decides on attempts. At most one is under way.
#[derive(Debug)]
pub(crate) struct Dialer {
    servers_len: usize,
    /// The server of the next attempt.
    next: usize,
    first: Duration,
    max: Duration,
    /// Attempts and short sessions that failed in a row.
    failures: u32,
    /// When the next attempt starts; `None` while one is under way or none is needed.
    due: Option<Instant>,
    under_way: bool,
    linked_at: Option<Instant>,
    rng: ChaCha8Rng,
}

impl Dialer {
    /// Starts with a random server after a random wait below the first backoff: a fleet that is switched on together
    /// does not connect together.
    pub(crate) fn new(now: Instant, config: &Config, mut rng: ChaCha8Rng) -> Self {
        let servers_len = config.servers.len().max(1);
        let next = rng.random_range(0..servers_len);
        let mut dialer = Self {
            servers_len,
            next,
            first: config.backoff_first,
            max: config.backoff_max,
            failures: 0,
            due: None,
            under_way: false,
            linked_at: None,
            rng,
        };
        dialer.due = Some(now + dialer.draw(dialer.first));
        dialer
    }

    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// The index of the server to connect to now, if an attempt is due.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<usize> {
        self.due.filter(|due| *due <= now)?;
        (self.due, self.under_way) = (None, true);
        let server = self.next;
        self.next = (server + 1) % self.servers_len;
        Some(server)
    }

    /// The attempt failed.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.under_way = false;
        self.back_off(now);
    }

    /// The attempt led to a session.
    pub(crate) fn connected(&mut self, now: Instant) {
        (self.due, self.under_way, self.linked_at) = (None, false, Some(now));
    }

    /// The session is gone. `at_once` if its server said, or showed by a reset, that it will not come back.
    pub(crate) fn lost(&mut self, now: Instant, at_once: bool) {
        let lasted = self.linked_at.take().map_or(Duration::ZERO, |at| now.duration_since(at));
        if lasted >= STABLE {
            self.failures = 0;
        }
        if self.under_way {
            return;
        }
        if at_once && self.failures == 0 {
            // A second session that ends as soon waits.
            self.failures = 1;
            self.due = Some(now);
        } else if self.due.is_none() {
            self.back_off(now);
        }
    }

    /// There is somewhere to connect to, since now: waits that came of there being nowhere are cut short.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if !self.under_way && self.linked_at.is_none() {
            self.failures = 0;
            let soon = now + self.draw(self.first);
            self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
        }
    }

    /// Looks for another server while the session is kept.
    pub(crate) fn seek(&mut self, now: Instant) {
        if !self.under_way && self.due.is_none() {
            self.due = Some(now);
        }
    }

    /// The session is well again: ends the search. An attempt under way is the caller's to drop.
    pub(crate) const fn settle(&mut self) {
        (self.due, self.under_way) = (None, false);
    }

    fn back_off(&mut self, now: Instant) {
        let bound = self.first.saturating_mul(1 << self.failures.min(16)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        self.due = Some(now + self.draw(bound));
    }

    /// Full jitter: anything below `bound`.
    fn draw(&mut self, bound: Duration) -> Duration {
        Duration::from_micros(self.rng.random_range(0..=bound.as_micros() as u64))
    }
}

#[cfg(test)]
mod tests {
    use drover_env::SeedTree;

    use super::*;

    fn dialer(now: Instant, servers: usize) -> Dialer {
        let servers = vec![std::net::SocketAddr::from(([127, 0, 0, 1], 1)); servers];
        Dialer::new(now, &Config { servers, ..Config::default() }, SeedTree::from_number(7).rng("dial"))
    }

    fn attempt(dialer: &mut Dialer) -> (Instant, usize) {
        let due = dialer.poll_timeout().expect("an attempt is due");
        (due, dialer.poll(due).expect("due now"))
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_up_to_the_largest_and_servers_take_turns() {
        let mut now = Instant::now();
        let mut dialer = dialer(now, 3);
        let mut longest = Duration::ZERO;
        let mut before = None;
        for round in 0..200u32 {
            let (due, server) = attempt(&mut dialer);
            let bound =
                Duration::from_millis(500 << round.min(16).saturating_sub(1)).min(Duration::from_secs(30));
            assert!(due - now <= bound, "round {round}: {:?} exceeds {bound:?}", due - now);
            longest = longest.max(due - now);
            assert!(before.is_none_or(|before: usize| server == (before + 1) % 3));
            before = Some(server);
            now = due;
            dialer.failed(now);
        }
        assert!(longest > Duration::from_secs(25));
    }

    #[tokio::test(start_paused = true)]
    async fn a_draining_server_is_left_at_once_but_not_twice_in_a_row() {
        let mut dialer = dialer(Instant::now(), 2);
        let (now, _) = attempt(&mut dialer);
        dialer.connected(now);
        let later = now + Duration::from_secs(60);
        dialer.lost(later, true);
        assert_eq!(dialer.poll_timeout(), Some(later));
        attempt(&mut dialer);
        dialer.connected(later);
        dialer.lost(later, true);
        assert!(dialer.poll_timeout().is_some_and(|due| due > later));
    }

    #[tokio::test(start_paused = true)]
    async fn waits_are_cut_short_when_there_is_somewhere_to_go() {
        let mut now = Instant::now();
        let mut dialer = dialer(now, 1);
        for _ in 0..12 {
            now = attempt(&mut dialer).0;
            dialer.failed(now);
        }
        dialer.hurry(now);
        assert!(dialer.poll_timeout().is_some_and(|due| due <= now + Duration::from_millis(500)));
        let (now, _) = attempt(&mut dialer);
        dialer.hurry(now);
        assert_eq!(dialer.poll_timeout(), None, "an attempt is under way");
        dialer.connected(now);
        dialer.hurry(now);
        assert_eq!(dialer.poll_timeout(), None, "there is a session");
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_under_way_outlives_the_session_it_is_to_replace() {
        let mut dialer = dialer(Instant::now(), 2);
        let (now, _) = attempt(&mut dialer);
        dialer.connected(now);
        dialer.seek(now);
        attempt(&mut dialer);
        dialer.lost(now, false);
        assert_eq!(dialer.poll_timeout(), None, "the attempt goes on");
        dialer.failed(now);
        assert!(dialer.poll_timeout().is_some());
    }
}
