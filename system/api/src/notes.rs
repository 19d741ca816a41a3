//! Notes of who did what, on their way to the audit trail: gathered here, kept by an agent in batches. Never in the way of a request: where
//! agents are away for long, the oldest notes go, and how many is noted.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drover_auth::Principal;
use drover_bus::trail::{AuditInfo, AuditList, KeepNotes, NOTES_MAX};
use drover_bus::{CallError, CallOptions, Pool, Route};
use drover_env::{Env, Value};
use drover_model::orders::Action;
use drover_model::{AuditEntry, AuditId, TenantId, WallTime};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::api::{Api, Asked};
use crate::rates::{Rates, network_of};

/// Notes that wait for an agent; the oldest go first.
const WAITING_MAX: usize = 20_000;
/// How long a note waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// Between two tries while no agent takes them.
const AGAIN: Duration = Duration::from_secs(3);
/// How long an agent may take.
const KEEP_WITHIN: Duration = Duration::from_secs(5);
/// Whoever ends waits so long for the last of them.
const LAST_WITHIN: Duration = Duration::from_secs(2);
/// Refusals of one address (of IPv6: of one /64) that are noted in a second, and at once: who hammers does not fill a database.
const REFUSALS: (u32, u32) = (1, 30);
/// Sign-ins that are remembered, so that each is noted once.
const SIGNED_IN_MAX: usize = 20_000;

/// Somebody with a token: a token of theirs with another end is another sign-in.
type SignIn = (TenantId, String, WallTime);

/// The notes of one node. Clones share them.
#[derive(Clone)]
pub(crate) struct Notes {
    env: Env,
    state: Arc<Mutex<State>>,
}

struct State {
    waiting: VecDeque<AuditEntry>,
    /// Notes that went since the last batch.
    lost: u64,
    signed_in: BTreeSet<SignIn>,
    refusals: Rates<IpAddr>,
    rng: ChaCha8Rng,
}

/// A note without what every note has.
struct Deed<'a> {
    who: Option<&'a Principal>,
    action: &'a str,
    subject: &'a str,
    outcome: &'a str,
    peer: String,
}

impl Notes {
    pub(crate) fn new(env: Env) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            lost: 0,
            signed_in: BTreeSet::new(),
            refusals: Rates::new(REFUSALS.0, REFUSALS.1),
            rng: env.rng("notes"),
        };
        Self { env, state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody asks for something with a token that is believed: with the first such request of a token they have signed in.
    pub(crate) fn seen(&self, who: &Principal, peer: IpAddr) {
        let now = self.env.wall();
        let mut state = self.lock();
        if state.signed_in.len() >= SIGNED_IN_MAX {
            state.signed_in.retain(|(_, _, expires)| *expires > now);
        }
        if state.signed_in.len() >= SIGNED_IN_MAX {
            state.signed_in.clear();
        }
        if state.signed_in.insert((who.tenant, who.subject.clone(), who.expires)) {
            let subject = who.vehicle.map(|vehicle| vehicle.to_string()).unwrap_or_default();
            let outcome = format!("until {}", who.expires);
            let deed = Deed {
                who: Some(who),
                action: "signed_in",
                subject: &subject,
                outcome: &outcome,
                peer: peer.to_string(),
            };
            state.note(now, deed);
        }
    }

    /// Somebody was not let: `who`, if their token was believed.
    pub(crate) fn refused(&self, who: Option<&Principal>, path: &str, why: &str, peer: IpAddr) {
        let now = self.env.wall();
        let mut state = self.lock();
        if state.refusals.take(Instant::now(), network_of(peer)).is_err() {
            drop(state);
            self.env.event("api.note_held_back", &[]);
            return;
        }
        state.note(now, Deed { who, action: "refused", subject: path, outcome: why, peer: peer.to_string() });
    }

    /// Somebody wished for a change, and this became of it.
    pub(crate) fn changed(&self, asked: &Asked, action: &Action, verdict: &str) {
        let (kind, subject) = named(action);
        let peer = asked.peer.to_string();
        let deed =
            Deed { who: Some(&asked.principal), action: &kind, subject: &subject, outcome: verdict, peer };
        self.lock().note(self.env.wall(), deed);
    }

    /// The next batch; empty if nothing waits.
    fn take(&self) -> Vec<AuditEntry> {
        let now = self.env.wall();
        let mut state = self.lock();
        if state.lost > 0 {
            let outcome = std::mem::take(&mut state.lost).to_string();
            state.note(
                now,
                Deed { who: None, action: "notes_lost", subject: "", outcome: &outcome, peer: String::new() },
            );
        }
        let count = state.waiting.len().min(NOTES_MAX);
        state.waiting.drain(..count).collect()
    }

    /// Puts back what nobody took.
    fn give_back(&self, entries: Vec<AuditEntry>) {
        let mut state = self.lock();
        for entry in entries.into_iter().rev() {
            state.waiting.push_front(entry);
        }
        state.shed();
    }
}

impl State {
    fn note(&mut self, now: WallTime, deed: Deed<'_>) {
        let entry = AuditEntry {
            id: AuditId::from_bits(self.rng.random()),
            tenant: deed.who.map(|who| who.tenant),
            at: now,
            actor: deed.who.map(|who| who.subject.clone()).unwrap_or_default(),
            role: deed.who.map(|who| who.role.as_str().to_owned()).unwrap_or_default(),
            action: deed.action.to_owned(),
            subject: deed.subject.to_owned(),
            outcome: deed.outcome.to_owned(),
            peer: deed.peer,
        };
        self.waiting.push_back(entry.shortened());
        self.shed();
    }

    fn shed(&mut self) {
        while self.waiting.len() > WAITING_MAX {
            self.waiting.pop_front();
            self.lost += 1;
        }
    }
}

/// The kind of an action, and what it is about.
fn named(action: &Action) -> (String, String) {
    let value = serde_json::to_value(action).unwrap_or_default();
    let kind = value["kind"].as_str().unwrap_or("unknown").to_owned();
    let names = ["link", "order", "stop", "message", "route", "geofence"];
    let subject = names.iter().find_map(|name| value[*name].as_str()).unwrap_or_default();
    (kind, subject.to_owned())
}

fn info(entry: &AuditEntry) -> AuditInfo {
    AuditInfo {
        entry_id: Some(entry.id.to_string()),
        tenant: entry.tenant.map(|tenant| tenant.to_string()),
        at_us: u64::try_from(entry.at.as_micros()).ok(),
        actor: Some(entry.actor.clone()),
        role: Some(entry.role.clone()),
        action: Some(entry.action.clone()),
        subject: Some(entry.subject.clone()),
        outcome: Some(entry.outcome.clone()),
        peer: Some(entry.peer.clone()),
    }
}

impl Api {
    /// Hands notes of who did what to agents, until `cancel`, and then those that are left.
    pub async fn keep_notes(self, cancel: CancellationToken) {
        let mut wait = GATHER;
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                () = sleep(wait) => {}
            }
            wait = if self.notes.keep(&self.pool).await { GATHER } else { AGAIN };
        }
        let _ = timeout(LAST_WITHIN, self.notes.keep(&self.pool)).await;
    }
}

impl Notes {
    /// Hands on all that waits. False if nobody takes it.
    async fn keep(&self, pool: &Pool) -> bool {
        loop {
            let entries = self.take();
            if entries.is_empty() {
                return true;
            }
            let list = AuditList { entries: entries.iter().map(info).collect() };
            let kept =
                pool.call::<KeepNotes>(Route::RoundRobin, &list, CallOptions::within(KEEP_WITHIN)).await;
            match kept {
                Ok(_) => {}
                // An agent that keeps no trail, or that does not understand: said again it would say the same.
                Err(error @ (CallError::UnknownTool(_) | CallError::BadArguments(_))) => {
                    let times = entries.len() as u64;
                    self.env.event(
                        "api.notes_dropped",
                        &[("reason", Value::Str(error.name())), ("times", Value::U64(times))],
                    );
                    self.lock().lost += times;
                    return false;
                }
                Err(_) => {
                    self.give_back(entries);
                    return false;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use drover_auth::{Role, Scopes};
    use drover_env::real::{self, Metrics};
    use drover_model::{OrderId, ShareHash, ShareLinkId};

    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn who(subject: &str, expires: i64) -> Principal {
        Principal {
            subject: subject.to_owned(),
            tenant: TenantId::new("north").expect("a name"),
            role: Role::Dispatcher,
            scopes: Scopes::default(),
            vehicle: None,
            since: None,
            expires: WallTime::from_secs(expires),
            token_id: String::new(),
        }
    }

    fn notes() -> (Notes, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let env = real::env("hub/0", folder.path(), Arc::new(Metrics::default())).expect("an env");
        (Notes::new(env), folder)
    }

    fn said(entries: &[AuditEntry]) -> Vec<(&str, &str, &str)> {
        let said = entries.iter().map(|entry| (&*entry.actor, &*entry.action, &*entry.outcome));
        said.collect()
    }

    #[tokio::test]
    async fn a_token_signs_in_once_and_its_successor_again() {
        let (notes, _folder) = notes();
        for expires in [4_000_000_000, 4_000_000_000, 4_000_000_900] {
            notes.seen(&who("dana", expires), PEER);
        }
        let taken = notes.take();
        assert_eq!(taken.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(), ["signed_in"; 2]);
        assert_eq!((taken[0].role.as_str(), taken[0].peer.as_str()), ("dispatcher", "127.0.0.1"));
        assert!(notes.take().is_empty());
    }

    #[tokio::test]
    async fn who_hammers_is_noted_a_bounded_number_of_times() {
        let (notes, _folder) = notes();
        for _ in 0..1_000 {
            notes.refused(None, "/api/v1/me", "unauthenticated", PEER);
        }
        let taken = notes.take();
        assert!((30..=32).contains(&taken.len()), "{}", taken.len());
        assert_eq!((taken[0].tenant, taken[0].subject.as_str()), (None, "/api/v1/me"));
        for number in 0..1_000 {
            let ip = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number);
            notes.refused(None, "/api/v1/me", "unauthenticated", ip.into());
        }
        let taken = notes.take();
        assert!((30..=32).contains(&taken.len()), "{} of one network", taken.len());
        assert_eq!(taken[7].peer, "2001:db8::7", "noted as it is");
    }

    #[tokio::test]
    async fn what_nobody_takes_comes_again_and_what_goes_is_noted() {
        let (notes, _folder) = notes();
        notes.seen(&who("dana", 4_000_000_000), PEER);
        let taken = notes.take();
        notes.give_back(taken.clone());
        assert_eq!(notes.take(), taken, "the same, under the same identity");
        for number in 0..WAITING_MAX + 5 {
            notes.seen(&who(&format!("dana {number}"), 4_000_000_000), PEER);
        }
        let mut all = Vec::new();
        loop {
            let batch = notes.take();
            if batch.is_empty() {
                break;
            }
            all.extend(batch);
        }
        assert!(said(&all).contains(&("", "notes_lost", "5")), "{:?}", said(&all[..3]));
    }

    #[test]
    fn an_action_is_named_with_what_it_is_about_and_no_secret() {
        let action = Action::ShareOrder {
            link: ShareLinkId::from_bits(7),
            order: OrderId::from_bits(8),
            secret: ShareHash([9; 32]),
            expires: WallTime::from_secs(1),
        };
        let (kind, subject) = named(&action);
        assert_eq!((kind.as_str(), subject), ("share_order", ShareLinkId::from_bits(7).to_string()));
    }
}
