//! Frames on their way to one stream.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use drover_wire::mcp::Frame;
use quinn::{SendStream, WriteError};
use tokio::sync::Notify;

/// Frames that wait to be written. Everything that has gathered is written at once, so that many small frames share
/// packets.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Mutex<BytesMut>,
    filled: Notify,
    taken: Notify,
}

impl Outbox {
    /// Adds a frame; returns how many bytes wait now.
    pub(crate) fn push(&self, frame: &Frame) -> usize {
        let len = {
            let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
            frame.encode(&mut bytes);
            bytes.len()
        };
        self.filled.notify_one();
        len
    }

    pub(crate) fn len_bytes(&self) -> usize {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits until what waited was taken to be written, if it was not meanwhile. For one waiter; safe to drop.
    pub(crate) async fn taken(&self) {
        self.taken.notified().await;
    }

    fn take(&self) -> Bytes {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner).split().freeze();
        if !bytes.is_empty() {
            self.taken.notify_one();
        }
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
            outbox.filled.notified().await;
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
