//! Tokens that clients show. They are verified outside of the core, for whose lock every fix and every client waits; how many that are
//! none an address may show is the core's to say.

use std::net::IpAddr;
use std::sync::Arc;

use drover_api::{Rates, network_of};
use drover_auth::Principal;
use drover_model::WallTime;
use tokio::time::Instant;

use super::{Core, SessionKey, Turned};
use crate::door::{Denied, Door};
use crate::protocol::{self, Action, Refusal};

/// Tokens that are none that an address may show in a second: as many as the HTTP API takes of one.
const GUESSES_PER_S: u32 = 25;
/// The same at once.
const GUESSES_BURST: u32 = 100;

/// Tokens that let nobody in, whatever the reason, that an address may show in a second: each has to be verified. An office of pages that
/// were left open for a night shows fewer.
const DENIALS_PER_S: u32 = 250;
/// The same at once.
const DENIALS_BURST: u32 = 1_000;

/// Who a token was found to show, or why nobody.
pub(crate) type Shown = Result<Principal, Turned>;

/// What a client has said, and who it shows itself to be, if it says that.
#[derive(Debug)]
pub(crate) struct Said {
    pub(super) id: Option<i64>,
    pub(super) action: Result<Action, Refusal>,
    pub(super) shown: Option<Shown>,
}

impl Said {
    /// Reads a message. `verify` looks at a token, if somebody has to.
    pub(crate) fn read(text: &str, verify: impl FnOnce(&str) -> Option<Shown>) -> Self {
        let (id, action) = protocol::read(text);
        let shown = match &action {
            Ok(Action::Authenticate(token)) => verify(token),
            _ => None,
        };
        Self { id, action, shown }
    }
}

/// Who `token` shows, by a door that its client may come to.
pub(crate) fn shown(door: Result<Arc<dyn Door>, Turned>, token: &str, wall: WallTime) -> Shown {
    door?.admit(token, wall).map_err(Turned::Denied)
}

/// Tokens that let nobody in, by whom the address belongs to that showed them.
#[derive(Debug)]
pub(super) struct Denials {
    /// Those that are none.
    guesses: Rates<IpAddr>,
    /// All.
    all: Rates<IpAddr>,
}

impl Denials {
    /// Nobody has shown any yet.
    pub(super) fn new() -> Self {
        let guesses = Rates::new(GUESSES_PER_S, GUESSES_BURST);
        Self { guesses, all: Rates::new(DENIALS_PER_S, DENIALS_BURST) }
    }

    fn has_room(&self, now: Instant, peer: IpAddr) -> bool {
        let network = network_of(peer);
        self.guesses.room(now, &network).is_ok() && self.all.room(now, &network).is_ok()
    }

    /// Counts a token that lets nobody in.
    pub(super) fn count(&mut self, now: Instant, peer: IpAddr, denied: Denied) {
        let network = network_of(peer);
        self.all.punish(now, network, 1);
        // A page that was left open is no guess, nor is a token that is good for other things.
        if denied == Denied::Invalid {
            self.guesses.punish(now, network, 1);
        }
    }
}

impl Core {
    /// The door, for a client at `peer` who shows a token.
    ///
    /// # Errors
    /// Too many from there let nobody in.
    pub(crate) fn door(&self, now: Instant, peer: IpAddr) -> Result<Arc<dyn Door>, Turned> {
        if self.denials.has_room(now, peer) { Ok(self.door.clone()) } else { Err(Turned::Guesses) }
    }

    /// The same for a session that has a token to show; `None` of one that has said who it is, or is let go.
    pub(crate) fn door_of(&self, now: Instant, key: SessionKey) -> Option<Result<Arc<dyn Door>, Turned>> {
        let session = self.sessions.get(&key)?;
        let waits = session.farewell.is_none() && session.view().is_none();
        waits.then(|| self.door(now, session.peer))
    }

    /// Counts what was shown, if it lets nobody in.
    pub(super) fn count_denial(&mut self, now: Instant, peer: IpAddr, shown: Option<&Shown>) {
        if let Some(Err(Turned::Denied(denied))) = shown {
            self.denials.count(now, peer, *denied);
        }
    }
}

impl Turned {
    /// As events write it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Address => "address",
            Self::Token => "token",
            Self::Guesses => "guesses",
            Self::Denied(denied) => denied.name(),
        }
    }
}
