//! What the vehicle was told to do: the route that it drives, the last words for its driver, and which commands were carried out. Holds
//! no clock, disk or stream.
//!
//! A command is carried out by writing it down ([`journal`]): what is on board follows from what is written, and from nothing else. So
//! one that was carried out is known after a power cut, and is never carried out again.

mod journal;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use drover_model::{Position, WallTime};
use drover_wire::decode;
use drover_wire::downlink::{MESSAGE, MessageBody, ROUTE, RouteBody, path_from_wire};
use drover_wire::geostream::Command;

pub(crate) use journal::{Entry, Journal};

/// Messages that are kept: what a driver may want to read again.
const MESSAGES_MAX: usize = 20;
/// Commands that are remembered. At the bound no other is carried out until some are over: it comes again.
const DONE_MAX: usize = 4_096;
/// A command is remembered for so long after it was over, in microseconds: no clock of ours is wrong by as much.
const REMEMBERED_US: u64 = 24 * 3_600_000_000;

/// The way to drive.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteOnBoard {
    /// Identity of the route.
    pub id: String,
    /// Which version of it.
    pub version: u32,
    /// When it was planned: Unix microseconds.
    pub planned_us: u64,
    /// Identities of its stops, in order.
    pub stops: Vec<String>,
    /// The line, if it is known.
    pub path: Vec<Position>,
    /// What the driver is told of it.
    pub reason: String,
}

/// Words for the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageOnBoard {
    /// Identity of the message.
    pub id: String,
    /// What it says.
    pub text: String,
    /// When it was written: Unix microseconds.
    pub sent_us: u64,
}

/// What a tracker has been told, as it shows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OnBoard {
    /// The route that holds.
    pub route: Option<RouteOnBoard>,
    /// The last messages, the oldest first.
    pub messages: VecDeque<MessageOnBoard>,
    /// Commands that are known to be carried out; those that have been over for long are forgotten.
    pub commands: usize,
}

/// What a tracker has been told, for whoever asks. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Told(Arc<Mutex<OnBoard>>);

impl Told {
    /// As it is now.
    pub fn get(&self) -> OnBoard {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, now: OnBoard) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

/// What is to become of a command.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    /// It was carried out before.
    Known,
    /// It is to be written down.
    Write(Entry),
    /// Its time is over, or something newer holds.
    Late,
    /// Nobody on board understands it.
    Unknown(&'static str),
    /// There is no room for it now.
    NoRoom,
}

/// What a command says.
enum Said {
    Message(MessageOnBoard),
    Route(RouteOnBoard),
}

/// Everything that was written down. Invariant: it follows from the entries, in their order.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    now: OnBoard,
    /// The entry of the route that holds.
    route: Option<Entry>,
    messages: VecDeque<Entry>,
    /// Commands that were carried out, and when they are over: Unix microseconds.
    done: BTreeMap<u64, u64>,
    told: Told,
}

impl Commands {
    /// Nothing yet; what comes is shown to whoever has `told`.
    pub(crate) fn new(told: Told) -> Self {
        Self { told, ..Self::default() }
    }

    /// What is to become of a command that has come at `now`.
    pub(crate) fn decide(&self, now: WallTime, id: u64, command: &Command) -> Decision {
        if self.done.contains_key(&id) {
            return Decision::Known;
        }
        let expires_us = command.expires_us.unwrap_or_default();
        if WallTime::from_micros(i64::try_from(expires_us).unwrap_or(i64::MAX)) <= now {
            return Decision::Late;
        }
        let body = command.body.clone().unwrap_or_default();
        let entry = Entry {
            id: Some(id),
            expires_us: Some(expires_us),
            name: command.name.clone(),
            body: Some(body.to_vec()),
        };
        match said(&entry) {
            Err(why) => Decision::Unknown(why),
            Ok(Said::Route(route)) if self.is_older(&route) => Decision::Late,
            Ok(_) if self.done.len() >= DONE_MAX => Decision::NoRoom,
            Ok(_) => Decision::Write(entry),
        }
    }

    fn is_older(&self, route: &RouteOnBoard) -> bool {
        let age = |route: &RouteOnBoard| (route.planned_us, route.version);
        self.now.route.as_ref().is_some_and(|now| age(route) < age(now))
    }

    /// Takes an entry that is written down. One that has no body says that its command was carried out, and no more.
    pub(crate) fn take(&mut self, entry: Entry) {
        self.done.insert(entry.id.unwrap_or_default(), entry.expires_us.unwrap_or_default());
        match said(&entry) {
            Ok(Said::Route(route)) if !self.is_older(&route) => {
                self.now.route = Some(route);
                self.route = Some(entry);
            }
            Ok(Said::Message(message)) => {
                self.now.messages.push_back(message);
                self.messages.push_back(entry);
                if self.messages.len() > MESSAGES_MAX {
                    self.now.messages.pop_front();
                    self.messages.pop_front();
                }
            }
            Ok(Said::Route(_)) | Err(_) => {}
        }
        self.now.commands = self.done.len();
        self.told.set(self.now.clone());
    }

    /// Forgets commands that have been over for long at `now`: who brings one of them again is told that it is late.
    pub(crate) fn forget(&mut self, now: WallTime) {
        let now_us = u64::try_from(now.as_micros()).unwrap_or_default();
        self.done.retain(|_, expires_us| expires_us.saturating_add(REMEMBERED_US) > now_us);
        self.now.commands = self.done.len();
    }

    /// The fewest entries that say the same.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let shown: Vec<&Entry> = self.route.iter().chain(&self.messages).collect();
        let bare = self.done.iter().filter(|(id, _)| !shown.iter().any(|entry| entry.id == Some(**id)));
        let bare = bare.map(|(id, expires_us)| Entry {
            id: Some(*id),
            expires_us: Some(*expires_us),
            ..Entry::default()
        });
        bare.chain(shown.iter().map(|entry| (*entry).clone())).collect()
    }

    /// Commands that were carried out.
    pub(crate) fn done(&self) -> impl Iterator<Item = u64> {
        self.done.keys().copied()
    }

    /// True if what is over should be forgotten before anything else is carried out.
    pub(crate) fn is_full(&self) -> bool {
        self.done.len() >= DONE_MAX
    }
}

fn said(entry: &Entry) -> Result<Said, &'static str> {
    let body = entry.body.as_deref().unwrap_or_default();
    match entry.name.as_deref() {
        Some(MESSAGE) => {
            let body: MessageBody = decode(body).map_err(|_| "the body is no message")?;
            Ok(Said::Message(MessageOnBoard {
                id: body.message_id.ok_or("the message has no identity")?,
                text: body.text.unwrap_or_default(),
                sent_us: body.sent_us.unwrap_or_default(),
            }))
        }
        Some(ROUTE) => {
            let body: RouteBody = decode(body).map_err(|_| "the body is no route")?;
            Ok(Said::Route(RouteOnBoard {
                id: body.route_id.ok_or("the route has no identity")?,
                version: body.version.unwrap_or_default(),
                planned_us: body.planned_us.unwrap_or_default(),
                stops: body.stop_ids,
                path: path_from_wire(&body.path).ok_or("the path leaves the earth")?,
                reason: body.reason.unwrap_or_default(),
            }))
        }
        Some(_) => Err("nobody on board knows this name"),
        None => Err("the command has no name"),
    }
}
