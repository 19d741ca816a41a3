//! Tokens that clients show. They are verified outside of the core, for whose lock every fix and every client waits; how many that are
//! none an address may show is the core's to say.

use std::net::IpAddr;
use std::sync::Arc;

use drover_api::{Rates, network_of};
use drover_model::WallTime;
use tokio::time::Instant;

use super::{Core, SessionKey, Turned};
use crate::door::{Denied, Door, Principal};
use crate::protocol::{self, Action, Refusal};

/// Tokens that are none that an address may show in a second: as many as the HTTP API takes of one.
const GUESSES_PER_S: u32 = 25;
/// The same at once.
const GUESSES_BURST: u32 = 100;

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

/// Nobody has guessed yet.
pub(super) fn guesses() -> Rates<IpAddr> {
    Rates::new(GUESSES_PER_S, GUESSES_BURST)
}

impl Core {
    /// The door, for a client at `peer` who shows a token.
    ///
    /// # Errors
    /// Too many from there were none.
    pub(crate) fn door(&self, now: Instant, peer: IpAddr) -> Result<Arc<dyn Door>, Turned> {
        match self.guesses.room(now, &network_of(peer)) {
            Ok(()) => Ok(self.door.clone()),
            Err(_) => Err(Turned::Guesses),
        }
    }

    /// The same for a session that has a token to show; `None` of one that has said who it is, or is let go.
    pub(crate) fn door_of(&self, now: Instant, key: SessionKey) -> Option<Result<Arc<dyn Door>, Turned>> {
        let session = self.sessions.get(&key)?;
        let waits = session.farewell.is_none() && session.view().is_none();
        waits.then(|| self.door(now, session.peer))
    }

    /// Counts a token that is none.
    pub(super) fn count_guess(&mut self, now: Instant, peer: IpAddr, shown: Option<&Shown>) {
        // A page that was left open is no guess, nor is a token that is good for other things.
        if matches!(shown, Some(Err(Turned::Denied(Denied::Invalid)))) {
            self.guesses.punish(now, network_of(peer), 1);
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
