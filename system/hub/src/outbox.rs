//! What is on its way to one client. Pure.

use bytes::Bytes;
use tokio::time::Instant;

/// Bytes of answers that may wait for a client that does not read. One that asks on all the same is let go.
const ANSWERS_BYTES_MAX: usize = 256 * 1024;

/// Why a client is let go, and how it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// Its token has expired.
    Expired,
    /// Its token was taken back.
    Revoked,
    /// It takes too little of what it asked for.
    Slow,
    /// The hub stops.
    Draining,
    /// It was not heard of.
    Idle,
    /// It did not say in time who it is.
    Unauthenticated,
    /// It was not let in.
    Denied,
    /// There are as many as may be.
    Limits,
    /// It goes on elsewhere.
    Resumed,
    /// It sent a binary message: the hub reads text alone.
    Unsupported,
    /// It sent a message that is too large.
    TooLarge,
}

impl Farewell {
    /// As messages and events write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Slow => "slow",
            Self::Draining => "draining",
            Self::Idle => "idle",
            Self::Unauthenticated => "unauthenticated",
            Self::Denied => "denied",
            Self::Limits => "limits",
            Self::Resumed => "resumed",
            Self::Unsupported => "unsupported",
            Self::TooLarge => "too_large",
        }
    }

    /// Code of the close frame: RFC 6455 section 7.4.1, and ours from 4400 on.
    pub const fn code(self) -> u16 {
        match self {
            Self::Resumed => 1000,
            Self::Draining => 1001,
            Self::Unsupported => 1003,
            Self::TooLarge => 1009,
            Self::Unauthenticated => 4401,
            Self::Expired | Self::Revoked | Self::Denied => 4403,
            Self::Idle => 4408,
            Self::Limits => 4429,
            Self::Slow => 4508,
        }
    }

    /// True if the client may come back and go on.
    pub(crate) const fn may_resume(self) -> bool {
        matches!(self, Self::Slow | Self::Idle | Self::TooLarge)
    }
}

/// One message to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    /// A text message, in UTF-8.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// A question whether it is there.
    Ping,
}

impl Out {
    /// Bytes of its payload.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(bytes) | Self::Binary(bytes) => bytes.len(),
            Self::Ping => 0,
        }
    }
}

/// What waits for the client's socket, and since when it is busy with what it has.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    messages: Vec<Out>,
    /// Bytes of them.
    bytes: usize,
    /// Bytes of answers among them.
    answers: usize,
    /// Bytes of what was taken last.
    taken: usize,
    busy_since: Option<Instant>,
}

impl Outbox {
    /// Adds an answer; false if the client lets too many of them lie.
    pub(crate) fn push(&mut self, message: Out) -> bool {
        self.bytes += message.len();
        self.answers += message.len();
        self.messages.push(message);
        self.answers <= ANSWERS_BYTES_MAX
    }

    /// Adds a tick's messages. Only into an idle one: then nothing but answers can be in it.
    pub(crate) fn extend(&mut self, messages: Vec<Out>) {
        self.bytes += messages.iter().map(Out::len).sum::<usize>();
        match self.messages.is_empty() {
            true => self.messages = messages,
            false => self.messages.extend(messages),
        }
    }

    /// True if the socket is not busy with what was taken.
    pub(crate) const fn is_idle(&self) -> bool {
        self.busy_since.is_none()
    }

    pub(crate) const fn busy_since(&self) -> Option<Instant> {
        self.busy_since
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Bytes that wait or are being written.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.busy_since.map_or(0, |_| self.taken)
    }

    /// Takes what waits.
    pub(crate) fn take(&mut self) -> Vec<Out> {
        self.taken = std::mem::take(&mut self.bytes);
        self.answers = 0;
        std::mem::take(&mut self.messages)
    }

    /// The socket is busy with what was taken.
    pub(crate) fn stalled(&mut self, now: Instant) {
        self.busy_since.get_or_insert(now);
    }

    /// What was taken is written.
    pub(crate) fn wrote(&mut self) {
        (self.busy_since, self.taken) = (None, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_wait_are_bounded_whatever_else_is_on_its_way() {
        let of = |len: usize| Out::Text(Bytes::from(vec![b'x'; len]));
        let mut outbox = Outbox::default();
        outbox.extend(vec![of(4 * ANSWERS_BYTES_MAX)]);
        assert!(outbox.push(of(100)), "a tick's messages are no answers");
        assert_eq!((outbox.take().len(), outbox.bytes()), (2, 0));
        outbox.stalled(Instant::now());
        assert_eq!(outbox.bytes(), 4 * ANSWERS_BYTES_MAX + 100);
        assert!(outbox.push(of(ANSWERS_BYTES_MAX)) && !outbox.push(of(1)));
        outbox.wrote();
        assert_eq!((outbox.is_idle(), outbox.bytes()), (true, ANSWERS_BYTES_MAX + 1));
    }
}
