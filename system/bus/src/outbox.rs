//! Frames on their way to one stream.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drover_wire::mcp::Frame;
use quinn::{SendStream, WriteError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// So many bytes wait for no others: they fill as many packets as one call of the system sends.
const LINGER_BYTES: usize = 32 * 1024;

/// Frames that wait to be written. Everything that has gathered is written at once, so that many small frames share
/// packets.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
    taken: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: BytesMut,
    /// When they are to be written.
    due: Due,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// At once.
    Now,
    /// Then at the latest.
    At(Instant),
    /// Nothing waits.
    #[default]
    Never,
}

impl Outbox {
    /// Adds a frame; returns how many bytes wait now.
    pub(crate) fn push(&self, frame: &Frame) -> usize {
        self.add(frame, Due::Now)
    }

    /// Adds a frame that may wait so long for others, with which it shares packets.
    pub(crate) fn push_within(&self, frame: &Frame, linger: Duration) -> usize {
        let due = if linger.is_zero() { Due::Now } else { Due::At(Instant::now() + linger) };
        self.add(frame, due)
    }

    fn add(&self, frame: &Frame, due: Due) -> usize {
        let (len, sooner) = {
            let mut waiting = self.lock();
            frame.encode(&mut waiting.bytes);
            let len = waiting.bytes.len();
            let due = if len < LINGER_BYTES { due } else { Due::Now };
            let sooner = due < waiting.due;
            waiting.due = waiting.due.min(due);
            (len, sooner)
        };
        if sooner {
            self.filled.notify_one();
        }
        len
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len_bytes(&self) -> usize {
        self.lock().bytes.len()
    }

    /// Waits until something is to be written. For one waiter; safe to drop.
    async fn due(&self) {
        loop {
            let due = self.lock().due;
            match due {
                Due::Now => return,
                Due::Never => self.filled.notified().await,
                Due::At(due) => tokio::select! {
                    biased;
                    () = self.filled.notified() => {}
                    () = sleep_until(due) => return,
                },
            }
        }
    }

    /// Waits until what waited was taken to be written, if it was not meanwhile. For one waiter; safe to drop.
    pub(crate) async fn taken(&self) {
        self.taken.notified().await;
    }

    fn take(&self) -> Bytes {
        let bytes = {
            let mut waiting = self.lock();
            waiting.due = Due::Never;
            if waiting.bytes.is_empty() {
                return Bytes::new();
            }
            // As much as last time gathers until next time.
            let next = BytesMut::with_capacity(waiting.bytes.len());
            std::mem::replace(&mut waiting.bytes, next).freeze()
        };
        self.taken.notify_one();
        bytes
    }
}

/// The writing end of a stream.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) send: SendStream,
    /// Taken from the outbox, not yet by QUIC. Kept here, so that dropping [`Self::run`] loses nothing.
    current: Bytes,
}

impl Writer {
    pub(crate) const fn new(send: SendStream) -> Self {
        Self { send, current: Bytes::new() }
    }

    /// Writes whatever the outbox gets, for ever. Safe to drop.
    pub(crate) async fn run(&mut self, outbox: &Outbox) -> Result<Infallible, WriteError> {
        loop {
            self.flush(outbox).await?;
            outbox.due().await;
        }
    }

    /// Writes what the outbox holds. Safe to drop.
    pub(crate) async fn flush(&mut self, outbox: &Outbox) -> Result<(), WriteError> {
        loop {
            if self.current.is_empty() {
                self.current = outbox.take();
            }
            if self.current.is_empty() {
                return Ok(());
            }
            self.send.write_chunks(std::slice::from_mut(&mut self.current)).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use drover_wire::mcp::Cancel;
    use futures_util::FutureExt;

    use super::*;

    const LINGER: Duration = Duration::from_millis(5);

    fn frame() -> Frame {
        Frame::Cancel(Cancel { id: Some(7) })
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_linger_waits_until_the_first_is_due() {
        let (outbox, begun) = (Outbox::default(), Instant::now());
        outbox.push_within(&frame(), LINGER);
        tokio::time::sleep(LINGER / 2).await;
        outbox.push_within(&frame(), LINGER);
        outbox.due().await;
        assert_eq!(begun.elapsed(), LINGER);
        assert_eq!(outbox.take().len(), outbox.push(&frame()) * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_not_takes_along_what_may() {
        let outbox = Outbox::default();
        let one = outbox.push_within(&frame(), LINGER);
        assert_eq!(outbox.due().now_or_never(), None);
        outbox.push(&frame());
        assert_eq!(outbox.due().now_or_never(), Some(()));
        assert_eq!(outbox.take().len(), one * 2);
        assert_eq!(outbox.due().now_or_never(), None, "nothing waits any more");
        outbox.push_within(&frame(), Duration::ZERO);
        assert_eq!(outbox.due().now_or_never(), Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_outbox_waits_for_no_more() {
        let outbox = Outbox::default();
        while outbox.push_within(&frame(), LINGER) < LINGER_BYTES {
            assert_eq!(outbox.due().now_or_never(), None);
        }
        assert_eq!(outbox.due().now_or_never(), Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_waits_hears_of_what_may_not() {
        let (outbox, begun) = (Outbox::default(), Instant::now());
        outbox.push_within(&frame(), LINGER);
        let urgent = async {
            tokio::time::sleep(LINGER / 5).await;
            outbox.push(&frame());
        };
        tokio::join!(outbox.due(), urgent);
        assert_eq!(begun.elapsed(), LINGER / 5);
    }
}
