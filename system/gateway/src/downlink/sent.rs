//! What one session has sent its vehicle, and how far the tracker said that it came. Holds no clock or stream.

use std::collections::BTreeMap;

use drover_model::orders::PassageState;
use drover_wire::downlink::CommandState;
use drover_wire::geostream::CommandAck;

use super::Thing;

/// Commands that a session remembers; above it those that have ended are forgotten.
const REMEMBERED_MAX: usize = 256;

/// A tracker's answer that no honest tracker gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Dishonest {
    /// To what was never sent.
    #[error("an answer to a command that was not sent")]
    NotSent,
    /// Without a state, or with one that there is not.
    #[error("an answer to a command needs a state of 1 to 4")]
    State,
}

/// The commands of one session.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    commands: BTreeMap<u64, (Thing, PassageState)>,
}

impl Sent {
    /// Notes a command that is about to be sent; false if the session has sent it already.
    pub(crate) fn begin(&mut self, id: u64, thing: Thing) -> bool {
        if self.commands.contains_key(&id) {
            return false;
        }
        if self.commands.len() >= REMEMBERED_MAX {
            self.commands.retain(|_, (_, state)| !state.is_final());
        }
        self.commands.insert(id, (thing, PassageState::Queued));
        true
    }

    /// Takes an answer; returns what is new of it.
    ///
    /// # Errors
    /// No honest tracker says that.
    pub(crate) fn take(&mut self, ack: &CommandAck) -> Result<Option<(Thing, PassageState)>, Dishonest> {
        let state = ack.state.and_then(CommandState::from_code).ok_or(Dishonest::State)?;
        let (thing, is) = ack.id.and_then(|id| self.commands.get_mut(&id)).ok_or(Dishonest::NotSent)?;
        let to = match state {
            CommandState::Delivered => PassageState::Delivered,
            CommandState::Applied => PassageState::Applied,
            CommandState::Expired => PassageState::Expired,
            CommandState::Failed => PassageState::Refused,
        };
        if is.is_final() || to == *is {
            return Ok(None);
        }
        *is = to;
        Ok(Some((thing.clone(), to)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(id: u64, state: u32) -> CommandAck {
        CommandAck { id: Some(id), state: Some(state), detail: None }
    }

    fn thing(id: &str) -> Thing {
        Thing { message_id: Some(id.to_owned()), ..Thing::default() }
    }

    #[test]
    fn each_step_is_new_once_and_after_the_last_there_is_none() {
        let mut sent = Sent::default();
        assert!(sent.begin(7, thing("m")) && !sent.begin(7, thing("m")));
        let mut take = |state| sent.take(&ack(7, state)).expect("honest").map(|(_, to)| to);
        assert_eq!(
            [take(1), take(1), take(2)],
            [Some(PassageState::Delivered), None, Some(PassageState::Applied)]
        );
        assert_eq!([take(1), take(3)], [None, None]);
    }

    #[test]
    fn what_was_not_sent_or_is_no_state_is_dishonest() {
        let mut sent = Sent::default();
        assert_eq!(sent.take(&ack(7, 2)), Err(Dishonest::NotSent));
        assert!(sent.begin(7, thing("m")));
        for bad in [ack(7, 0), ack(7, 5), CommandAck { state: None, ..ack(7, 1) }] {
            assert_eq!(sent.take(&bad), Err(Dishonest::State));
        }
        assert_eq!(sent.take(&CommandAck { id: None, ..ack(7, 1) }), Err(Dishonest::NotSent));
    }

    #[test]
    fn only_what_has_ended_is_forgotten() {
        let mut sent = Sent::default();
        for id in 0..REMEMBERED_MAX as u64 {
            assert!(sent.begin(id, thing("m")));
        }
        sent.take(&ack(3, 2)).expect("honest");
        assert!(sent.begin(1_000, thing("m")));
        assert_eq!(sent.take(&ack(3, 2)), Err(Dishonest::NotSent));
        assert!(sent.take(&ack(4, 2)).is_ok());
    }
}
