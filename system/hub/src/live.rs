//! The core with what is around it: its lock, the sockets that wait for it, and the events that it has to tell.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use drover_env::{Env, HighWater, Value, Watched};
use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Config;
use crate::core::{Collected, Core, Counts, Farewell, Note, Said, SessionKey, Shown, shown};
use crate::socket::push_frames;
use crate::wire::Wire;

/// A batch passes its bound by one message at most, which has no more features than a snapshot's.
const MESSAGE_SPARE_BYTES: u64 = 1 << 20;

/// Clients that are written to in the turn of whoever has something for them; more of them are shared out among tasks, so that they are
/// written to on all cores, and others have their turn between them.
const AT_ONCE_MAX: usize = 32;

/// The socket of a session.
pub(crate) struct Client {
    /// Wakes its task.
    pub(crate) woken: Notify,
    /// Where others than its task may write, if they may.
    wire: Option<Arc<Wire>>,
}

/// The hub's state, shared by its tasks.
pub(crate) struct Live {
    pub(crate) env: Env,
    pub(crate) config: Config,
    core: Mutex<Core>,
    sockets: Mutex<FxHashMap<SessionKey, Arc<Client>>>,
    /// Counts ticks: whoever waits for the next one knows that the loop goes round.
    pub(crate) ticks: Watched<u64>,
    /// Which life of its interest the hub is in.
    pub(crate) interest: Watched<u64>,
    fill_bytes: HighWater,
    fill_vehicles: HighWater,
}

impl Live {
    pub(crate) fn new(env: Env, config: Config, core: Core) -> Self {
        let bytes_max = config.batch_bytes_max as u64 + MESSAGE_SPARE_BYTES;
        Self {
            env,
            core: Mutex::new(core),
            sockets: Mutex::new(FxHashMap::default()),
            ticks: Watched::new(0),
            interest: Watched::new(0),
            fill_bytes: HighWater::new("hub.client_bytes", bytes_max),
            fill_vehicles: HighWater::new("hub.client_vehicles", config.vehicles_max as u64),
            config,
        }
    }

    /// Lets the core decide something; then writes to the sockets that have something to do, and tells what happened.
    pub(crate) fn decide<T>(self: &Arc<Self>, decide: impl FnOnce(&mut Core) -> T) -> T {
        let (decided, woken, notes, version) = {
            let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
            let decided = decide(&mut core);
            (decided, core.woken(), core.notes(), core.interest_version())
        };
        if !woken.is_empty() {
            self.share_out(woken);
        }
        notes.iter().for_each(|note| self.tell(note));
        self.interest.set(version);
        decided
    }

    fn share_out(self: &Arc<Self>, woken: Vec<SessionKey>) {
        let clients: Vec<(SessionKey, Arc<Client>)> = {
            let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
            woken.into_iter().filter_map(|key| Some((key, sockets.get(&key)?.clone()))).collect()
        };
        if clients.len() <= AT_ONCE_MAX {
            return self.write(&clients);
        }
        for some in clients.chunks(AT_ONCE_MAX) {
            let (live, some) = (self.clone(), some.to_vec());
            drop(self.env.spawn("hub.write", async move { live.write(&some) }));
        }
    }

    /// Writes to clients what they are to be told, as far as their streams take it; the rest is their tasks'.
    fn write(&self, clients: &[(SessionKey, Arc<Client>)]) {
        let mut buffer = BytesMut::new();
        for (key, client) in clients {
            let mut farewell = None;
            let take = |buffer: &mut BytesMut| {
                let collected = self.ask(|core| core.collect(*key));
                farewell = collected.farewell;
                push_frames(&collected.messages, buffer);
            };
            let stalled = || self.ask(|core| core.stalled(Instant::now(), *key));
            let wire = client.wire.as_ref();
            let written = wire.is_some_and(|wire| wire.write_now(&mut buffer, take, stalled));
            if !written || farewell.is_some() {
                client.woken.notify_one();
            }
        }
    }

    /// Asks the core what concerns one socket alone: nobody is told anything by that, and nothing happens that is to be told.
    fn ask<T>(&self, ask: impl FnOnce(&mut Core) -> T) -> T {
        ask(&mut self.core.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who a client at `peer` is by its token.
    pub(crate) fn verify(&self, peer: IpAddr, token: &str) -> Shown {
        let door = self.ask(|core| core.door(Instant::now(), peer));
        shown(door, token, self.env.wall())
    }

    /// A client says something.
    pub(crate) fn hear(self: &Arc<Self>, key: SessionKey, text: &str) {
        let (now, wall) = (Instant::now(), self.env.wall());
        let verify = |token: &str| Some(shown(self.ask(|core| core.door_of(now, key))?, token, wall));
        let said = Said::read(text, verify);
        self.decide(|core| core.take(now, wall, key, said));
    }

    /// A socket has written what it collected; gives what it has to write now.
    pub(crate) fn wrote(&self, key: SessionKey) -> Collected {
        self.ask(|core| {
            core.wrote(key);
            let collected = core.collect(key);
            if !collected.messages.is_empty() {
                core.stalled(Instant::now(), key);
            }
            collected
        })
    }

    /// Why a client is let go, if it is.
    pub(crate) fn farewell(&self, key: SessionKey) -> Option<Farewell> {
        self.ask(|core| core.farewell(key))
    }

    /// The socket of a session, whose task is to be woken when there is something to do. With `wire`, others write there, too.
    pub(crate) fn register(&self, key: SessionKey, wire: Option<Arc<Wire>>) -> Arc<Client> {
        let client = Arc::new(Client { woken: Notify::new(), wire });
        // What the session had to say before it had a socket.
        client.woken.notify_one();
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).insert(key, client.clone());
        client
    }

    /// The socket of a session is gone.
    pub(crate) fn lost(self: &Arc<Self>, key: SessionKey) {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        self.decide(|core| core.lost(Instant::now(), key));
    }

    /// Time has passed.
    pub(crate) fn tick(self: &Arc<Self>) {
        let wall = self.env.wall();
        let (bytes, vehicles) = self.decide(|core| {
            core.tick(Instant::now(), wall);
            core.fullest()
        });
        self.fill_bytes.see(&self.env, bytes as u64);
        self.fill_vehicles.see(&self.env, vehicles as u64);
        self.ticks.set(self.ticks.get() + 1);
    }

    pub(crate) fn counts(&self) -> Counts {
        self.core.lock().unwrap_or_else(PoisonError::into_inner).counts(self.env.wall())
    }

    /// One event for each: the audit trail, and what the twin judges.
    fn tell(&self, note: &Note) {
        match note {
            Note::Admitted(role, token_id, client) => {
                let client = client.to_string();
                let fields = [
                    ("reason", Value::Str(role)),
                    ("token", Value::Str(token_id)),
                    ("client", Value::Str(&client)),
                ];
                self.env.event("hub.admitted", &fields);
            }
            Note::Refused(reason, client) => {
                let client = client.to_string();
                self.env
                    .event("hub.refused", &[("reason", Value::Str(reason)), ("client", Value::Str(&client))]);
            }
            Note::LetGo(key, farewell) => {
                let fields = [("reason", Value::Str(farewell.name())), ("session", Value::U64(key.0))];
                self.env.event("hub.let_go", &fields);
            }
            Note::Resumed(true) => self.env.event("hub.resumed", &[]),
            Note::Resumed(false) => self.env.event("hub.not_resumed", &[]),
            Note::Forgotten => self.env.event("hub.session_forgotten", &[]),
        }
    }
}
