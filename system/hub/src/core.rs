//! The hub's decisions: fixes and messages of clients come in, with the time; what each client is to be told goes out. Holds no
//! clock, socket or task; what it draws comes from the generator that it is given.

mod asked;
mod ended;
mod heard;
mod tokens;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drover_api::network_of;
use drover_auth::Role;
use drover_model::{TenantId, WallTime};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use crate::Config;
use crate::door::{Denied, Door};
use crate::fleet::{Fleet, Place};
use crate::interest::Interest;
pub use crate::interest::SessionKey;
use crate::limits::Limited;
pub use crate::outbox::{Farewell, Out};
use crate::protocol::{self, Action, Code, Refusal};
pub use crate::protocol::{Encoding, SUBPROTOCOL_BINARY, SUBPROTOCOL_JSON};
use crate::session::{Around, Session, Stage};
use crate::view::View;
use crate::wheel::Wheel;
use ended::Heard;
pub use ended::Step;
use tokens::Denials;
pub(crate) use tokens::{Said, Shown, shown};

/// How often an open session is looked at: a token that expires or was taken back is good for so long at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Bugs that can be planted here.
#[derive(Debug, Clone, Copy, Default)]
pub struct Planted {
    /// The fix that came last wins.
    pub older_wins: bool,
    /// While one client is busy none is told anything.
    pub slow_blocks: bool,
    /// Whoever comes by a share link sees what a dispatcher sees.
    pub wide_links: bool,
}

/// Why a client is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Turned {
    /// There are as many sessions as may be.
    #[error("the hub has as many sessions as it may have")]
    Full,
    /// Its address has as many sockets as it may have.
    #[error("this address has as many sockets as it may have")]
    Address,
    /// Its token has as many sessions as it may have.
    #[error("this token has as many sessions as it may have")]
    Token,
    /// Its address has shown too many tokens that let nobody in.
    #[error("this address has shown too many tokens that are not valid")]
    Guesses,
    /// Its token is none.
    #[error("{0}")]
    Denied(#[source] Denied),
}

/// What happened, for events and the log. Each is told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// Somebody was let in: role, name of the token, and from where.
    Admitted(&'static str, String, IpAddr),
    /// Somebody was not: why, and from where.
    Refused(&'static str, IpAddr),
    /// A client was let go.
    LetGo(SessionKey, Farewell),
    /// A client went on where it was, or could not.
    Resumed(bool),
    /// A session without a socket was forgotten.
    Forgotten,
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions with a socket.
    pub sockets: u64,
    /// Sessions that wait to be resumed.
    pub detached: u64,
    /// Vehicles that were heard of.
    pub vehicles: u64,
    /// Messages that were handed to sockets.
    pub messages: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Steps that were overtaken before they were told.
    pub coalesced: u64,
    /// Clients that were let go because they took too little.
    pub slow: u64,
    /// How old the newest fix of any vehicle is, by the hub's clock; `None` before the first.
    pub newest_fix_age_ms: Option<u64>,
}

/// What a socket has to do now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Messages, in order.
    pub messages: Vec<Out>,
    /// Then it is to be closed so.
    pub farewell: Option<Farewell>,
}

/// The hub.
pub struct Core {
    hub: String,
    config: Config,
    door: Arc<dyn Door>,
    planted: Planted,
    started: Instant,
    rng: ChaCha8Rng,
    fleet: Fleet,
    interest: Interest,
    sessions: FxHashMap<SessionKey, Session>,
    by_name: FxHashMap<String, SessionKey>,
    next_key: u64,
    /// Sockets, by whom their address belongs to.
    addresses: Limited<IpAddr>,
    tokens: Limited<String>,
    denials: Denials,
    /// How many sessions customers of a tenant have.
    customers: BTreeMap<TenantId, u32>,
    /// What was heard of deliveries lately, oldest first.
    steps: VecDeque<Heard>,
    /// When sessions are to be looked at.
    looks: Wheel<SessionKey>,
    /// When vehicles may have turned silent.
    silences: Wheel<Place>,
    /// Sessions that may have news, in the order in which they got it.
    listed: Vec<SessionKey>,
    woken: Vec<SessionKey>,
    notes: Vec<Note>,
    counts: Counts,
    newest_fix: Option<WallTime>,
    /// The most that any client holds: bytes on their way, and vehicles of which news waits.
    fullest: (usize, usize),
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("hub", &self.hub).field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl Core {
    /// A hub called `hub`, without vehicles and clients.
    pub fn new(
        hub: &str,
        config: Config,
        door: Arc<dyn Door>,
        rng: ChaCha8Rng,
        planted: Planted,
        now: Instant,
    ) -> Self {
        let mut fleet = Fleet::new(config.vehicles_max, planted.older_wins);
        for group in &config.groups {
            group.vehicles.iter().for_each(|vehicle| fleet.set_group(group.tenant, *vehicle, &group.name));
        }
        Self {
            hub: hub.to_owned(),
            door,
            planted,
            started: now,
            rng,
            fleet,
            interest: Interest::default(),
            sessions: FxHashMap::default(),
            by_name: FxHashMap::default(),
            next_key: 0,
            addresses: Limited::new(config.sockets_per_address_max),
            tokens: Limited::new(config.sessions_per_token_max),
            denials: Denials::new(),
            customers: BTreeMap::new(),
            steps: VecDeque::new(),
            looks: Wheel::new(now),
            silences: Wheel::new(now),
            listed: Vec::new(),
            woken: Vec::new(),
            notes: Vec::new(),
            counts: Counts::default(),
            newest_fix: None,
            fullest: (0, 0),
            config,
        }
    }

    /// A client asks for a session. With a token it says at once who it is: `shown` is what that was found to be.
    ///
    /// # Errors
    /// Why it is not taken. Nothing is kept of it then.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        wall: WallTime,
        peer: IpAddr,
        encoding: Encoding,
        shown: Option<Shown>,
    ) -> Result<SessionKey, Turned> {
        self.count_denial(now, peer, shown.as_ref());
        if self.sessions.len() >= self.config.sessions_max && !self.forget_oldest(now) {
            self.notes.push(Note::Refused("full", peer));
            return Err(Turned::Full);
        }
        if !self.addresses.take(network_of(peer)) {
            self.notes.push(Note::Refused("address", peer));
            return Err(Turned::Address);
        }
        let key = SessionKey(self.next_key);
        self.next_key += 1;
        let name = format!("{:016x}{:016x}", self.rng.next_u64(), self.rng.next_u64());
        self.by_name.insert(name.clone(), key);
        self.sessions.insert(key, Session::new(name, peer, encoding, now));
        self.counts.sockets += 1;
        if let Some(shown) = shown
            && let Err(turned) = self.authenticate(now, wall, key, shown)
        {
            self.remove(now, key);
            return Err(turned);
        }
        self.looks.insert(now + self.config.handshake_max.min(LOOK_INTERVAL), key);
        Ok(key)
    }

    /// Makes room by forgetting the session that has waited longest to be resumed.
    fn forget_oldest(&mut self, now: Instant) -> bool {
        let waiting = self.sessions.iter().filter_map(|(key, session)| Some((session.detached?, *key)));
        let Some((_, oldest)) = waiting.min() else { return false };
        self.notes.push(Note::Forgotten);
        self.remove(now, oldest);
        true
    }

    fn authenticate(
        &mut self,
        now: Instant,
        wall: WallTime,
        key: SessionKey,
        shown: Shown,
    ) -> Result<(), Turned> {
        let Some(peer) = self.sessions.get(&key).map(|session| session.peer) else { return Ok(()) };
        let mut principal =
            shown.inspect_err(|turned| self.notes.push(Note::Refused(turned.name(), peer)))?;
        if self.planted.wide_links && principal.role == Role::Customer {
            (principal.vehicle, principal.since) = (None, None);
        }
        if self.is_over(&principal, 0) {
            self.notes.push(Note::Refused(Denied::Revoked.name(), peer));
            self.denials.count(now, peer, Denied::Revoked);
            return Err(Turned::Denied(Denied::Revoked));
        }
        if !self.tokens.take(principal.token_id.clone()) {
            self.notes.push(Note::Refused("token", peer));
            return Err(Turned::Token);
        }
        self.count_customer(&principal, true);
        let Some(session) = self.sessions.get_mut(&key) else { return Ok(()) };
        let tick_ms = self.config.tick.as_millis() as u64;
        let welcome = protocol::welcome(&session.name, &self.hub, wall, tick_ms, &principal);
        self.notes.push(Note::Admitted(principal.role.as_str(), principal.token_id.clone(), peer));
        session.stage = Stage::Known(Box::new(View::new(Arc::new(principal), session.encoding)));
        session.answer(welcome);
        self.woken.push(key);
        Ok(())
    }

    /// A client says something.
    pub(crate) fn take(&mut self, now: Instant, wall: WallTime, key: SessionKey, said: Said) {
        self.heard(now, key);
        let here = self.sessions.get(&key).filter(|session| session.farewell.is_none());
        let Some(peer) = here.map(|session| session.peer) else { return };
        self.count_denial(now, peer, said.shown.as_ref());
        let Said { id, action, shown } = said;
        let answer = action.and_then(|action| self.act(now, wall, key, id, (action, shown)));
        if let Err(refusal) = answer {
            self.answer(now, key, protocol::error(id, &refusal));
        }
        self.list(key);
        if self.config.tick.is_zero() {
            self.flush_listed(wall);
        }
    }

    fn act(
        &mut self,
        now: Instant,
        wall: WallTime,
        key: SessionKey,
        id: Option<i64>,
        (action, shown): (Action, Option<Shown>),
    ) -> Result<(), Refusal> {
        let Some(session) = self.sessions.get_mut(&key) else { return Ok(()) };
        let is_known = session.view().is_some();
        match action {
            Action::Ping => self.answer(now, key, protocol::pong(id)),
            Action::Authenticate(_) if is_known => {
                return Err(Refusal::new(Code::Forbidden, "the session has said already who it is"));
            }
            Action::Authenticate(_) => match shown.map(|shown| self.authenticate(now, wall, key, shown)) {
                // Nobody has looked at the token of a session that was let go meanwhile.
                Some(Ok(())) | None => {}
                Some(Err(Turned::Denied(denied))) => {
                    let code = if denied == Denied::Expired { Code::Expired } else { Code::Unauthenticated };
                    self.answer(now, key, protocol::error(id, &Refusal::new(code, denied.to_string())));
                    self.let_go(now, key, Farewell::Denied);
                }
                Some(Err(turned)) => {
                    self.answer(
                        now,
                        key,
                        protocol::error(id, &Refusal::new(Code::TooMany, turned.to_string())),
                    );
                    self.let_go(now, key, Farewell::Limits);
                }
            },
            _ if !is_known => {
                return Err(Refusal::new(Code::Unauthenticated, "say first who you are: AUTHENTICATE"));
            }
            Action::Subscribe(topic, text) => {
                let max = self.config.topics_max;
                let mut around = Around { now, fleet: &self.fleet, interest: &mut self.interest };
                session.subscribe(key, (topic, &text), max, &mut around)?;
                let seq = session.view().map_or(0, View::seq);
                self.answer(now, key, protocol::subscribed(id, &text, seq));
            }
            Action::Unsubscribe(text) => {
                let mut around = Around { now, fleet: &self.fleet, interest: &mut self.interest };
                if !session.unsubscribe(key, &text, &mut around) {
                    let detail =
                        format!("the session has no topic {:?}", text.chars().take(80).collect::<String>());
                    return Err(Refusal::new(Code::BadTopic, detail));
                }
                self.answer(now, key, protocol::unsubscribed(id, &text));
            }
            Action::Resume { session: name, seq } => {
                let resumed = self.resume(now, key, &name, seq);
                self.notes.push(Note::Resumed(resumed));
                let seq = self.sessions.get(&key).and_then(Session::view).map_or(0, View::seq);
                self.answer(now, key, protocol::resumed(id, resumed, seq));
            }
        }
        Ok(())
    }

    /// Goes on where the session called `name` was, if that is known and the same person's.
    fn resume(&mut self, now: Instant, key: SessionKey, name: &str, seq: u32) -> bool {
        let Some(before) = self.by_name.get(name).copied().filter(|before| *before != key) else {
            return false;
        };
        let principal = |key| self.sessions.get(&key).and_then(Session::principal);
        let (Some(mine), Some(theirs)) = (principal(key), principal(before)) else { return false };
        if !mine.is_same(&theirs) {
            return false;
        }
        let Some(mut old) = self.sessions.remove(&before) else { return false };
        let known = old.view_mut().is_some_and(|view| view.resume(seq));
        if known && let Some(session) = self.sessions.get_mut(&key) {
            // What it had until now it gives up for what it had before.
            let mut around = Around { now, fleet: &self.fleet, interest: &mut self.interest };
            session.withdraw(key, None, &mut around);
            old.withdraw(before, Some(key), &mut around);
            session.take_over(&mut old);
            // The token that was shown last is the one that counts.
            if let Some(view) = session.view_mut() {
                view.principal = mine;
            }
            // The old one has what the new one had; it is given back with it.
            if let Some(view) = old.view_mut() {
                view.principal = theirs;
            }
        }
        self.sessions.insert(before, old);
        if known {
            if self.sessions.get(&before).is_some_and(|old| old.detached.is_some()) {
                self.remove(now, before);
            } else {
                self.let_go(now, before, Farewell::Resumed);
            }
        }
        known
    }

    /// A client was heard of.
    pub fn heard(&mut self, now: Instant, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(&key) {
            (session.heard, session.pinged) = (now, false);
        }
    }

    fn answer(&mut self, now: Instant, key: SessionKey, text: Bytes) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        if session.answer(text) {
            self.woken.push(key);
        } else {
            self.let_go(now, key, Farewell::Slow);
        }
    }

    fn list(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        if !session.listed && session.view().is_some_and(View::has_news) {
            session.listed = true;
            self.listed.push(key);
        }
    }

    /// Time has passed: tells what is new, and looks after what is due.
    pub fn tick(&mut self, now: Instant, wall: WallTime) {
        for place in self.silences.due(now) {
            let silent_at = self.fleet.vehicle(place).heard + self.config.silent_after;
            if silent_at > now {
                self.silences.insert(silent_at, place);
            } else if self.fleet.silence(place) {
                for key in self.interest.of(self.fleet.vehicle(place)) {
                    self.show(key, place);
                }
            }
        }
        for key in self.looks.due(now) {
            self.look(now, wall, key);
        }
        self.flush_listed(wall);
    }

    /// Tells each session that has news and room for it.
    fn flush_listed(&mut self, wall: WallTime) {
        let blocked = self.planted.slow_blocks
            && self.sessions.values().any(|session| session.detached.is_none() && !session.outbox.is_idle());
        let mut still = Vec::new();
        for key in std::mem::take(&mut self.listed) {
            let Some(session) = self.sessions.get_mut(&key) else { continue };
            session.listed = false;
            if session.detached.is_some() || session.farewell.is_some() {
                // It keeps what it has for whoever resumes it.
                continue;
            }
            if blocked || !session.outbox.is_idle() || !session.outbox.is_empty() {
                session.listed = true;
                still.push(key);
                continue;
            }
            let Stage::Known(view) = &mut session.stage else { continue };
            let messages = view.flush(&mut self.fleet, wall, self.config.batch_bytes_max);
            self.counts.coalesced += std::mem::take(&mut view.coalesced);
            let more = view.has_news();
            session.outbox.extend(messages);
            self.fullest.0 = self.fullest.0.max(session.outbox.bytes());
            self.woken.push(key);
            if more {
                session.listed = true;
                still.push(key);
            }
        }
        self.listed.append(&mut still);
    }

    /// Looks whether a session is still good, and when to look again.
    fn look(&mut self, now: Instant, wall: WallTime, key: SessionKey) {
        let Some(session) = self.sessions.get(&key) else { return };
        if let Some(since) = session.detached {
            if now >= since + self.config.resume_within {
                self.notes.push(Note::Forgotten);
                return self.remove(now, key);
            }
            return self.looks.insert((since + self.config.resume_within).min(now + LOOK_INTERVAL), key);
        }
        let quiet = now.saturating_duration_since(session.heard);
        let slow = session.outbox.busy_since().is_some_and(|since| now >= since + self.config.slow_max);
        let principal = session.principal();
        let farewell = match &principal {
            _ if session.farewell.is_some() => None,
            None if now >= session.opened + self.config.handshake_max => Some(Farewell::Unauthenticated),
            Some(principal) if wall >= principal.expires => Some(Farewell::Expired),
            Some(principal) if self.door.is_revoked(principal) => Some(Farewell::Revoked),
            _ if slow => Some(Farewell::Slow),
            _ if quiet >= self.config.idle_max => Some(Farewell::Idle),
            _ => None,
        };
        if let Some(farewell) = farewell {
            return self.let_go(now, key, farewell);
        }
        if quiet >= self.config.ping_after
            && let Some(session) = self.sessions.get_mut(&key)
            && !session.pinged
        {
            session.pinged = true;
            session.outbox.push(Out::Ping);
            self.woken.push(key);
        }
        self.looks.insert(now + LOOK_INTERVAL.min(self.config.slow_max), key);
    }

    /// Lets a client go. Its socket learns of it by [`Self::collect`].
    pub fn let_go(&mut self, now: Instant, key: SessionKey, farewell: Farewell) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        if session.farewell.is_some() || session.detached.is_some() {
            return;
        }
        session.farewell = Some(farewell);
        session.answer(protocol::closing(farewell.name()));
        self.counts.slow += u64::from(farewell == Farewell::Slow);
        self.notes.push(Note::LetGo(key, farewell));
        self.woken.push(key);
        self.looks.insert(now + LOOK_INTERVAL, key);
    }

    /// Lets everybody go: the hub stops.
    pub fn drain(&mut self, now: Instant) {
        let mut keys: Vec<_> = self.sessions.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            self.let_go(now, key, Farewell::Draining);
        }
    }

    /// What a socket has to write, and whether it is to be closed then. A socket that does not take it at once is [`Self::stalled`].
    pub fn collect(&mut self, key: SessionKey) -> Collected {
        let Some(session) = self.sessions.get_mut(&key) else { return Collected::default() };
        let messages = session.outbox.take();
        self.counts.messages += messages.len() as u64;
        self.counts.bytes += messages.iter().map(Out::len).sum::<usize>() as u64;
        Collected { messages, farewell: session.farewell }
    }

    /// Why a client is let go, if it is.
    pub fn farewell(&self, key: SessionKey) -> Option<Farewell> {
        self.sessions.get(&key).and_then(|session| session.farewell)
    }

    /// A socket is busy with what it collected.
    pub fn stalled(&mut self, now: Instant, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(&key) {
            session.outbox.stalled(now);
        }
    }

    /// A socket has written what it collected.
    pub fn wrote(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(&key) {
            session.outbox.wrote();
        }
    }

    /// A socket is gone. What its client had not been told waits for it to resume, if it may.
    pub fn lost(&mut self, now: Instant, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key).filter(|session| session.detached.is_none()) else {
            return;
        };
        let resumable = session.view().is_some() && session.farewell.is_none_or(Farewell::may_resume);
        if !resumable || self.config.resume_within.is_zero() {
            return self.remove(now, key);
        }
        session.detached = Some(now);
        session.outbox = crate::outbox::Outbox::default();
        session.farewell = None;
        self.addresses.give_back(&network_of(session.peer));
        self.counts.sockets -= 1;
        self.counts.detached += 1;
        self.looks.insert(now + self.config.resume_within, key);
    }

    fn remove(&mut self, now: Instant, key: SessionKey) {
        let Some(mut session) = self.sessions.remove(&key) else { return };
        let mut around = Around { now, fleet: &self.fleet, interest: &mut self.interest };
        session.withdraw(key, None, &mut around);
        self.by_name.remove(&session.name);
        if let Some(principal) = session.principal() {
            self.tokens.give_back(&principal.token_id);
            self.count_customer(&principal, false);
        }
        match session.detached {
            Some(_) => self.counts.detached -= 1,
            None => {
                self.counts.sockets -= 1;
                self.addresses.give_back(&network_of(session.peer));
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
