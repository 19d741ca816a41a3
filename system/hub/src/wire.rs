//! A client's stream as two have it: the task that reads it and speaks its protocol, and whoever has a message for the client. A message
//! goes out in the turn of whoever has it, as far as the stream takes it at once; waking a task for each costs as much as writing.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use drover_env::ByteStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream, and what is half out of it.
pub(crate) struct Wire(Mutex<Inner>);

struct Inner {
    stream: Box<dyn ByteStream>,
    /// Frames that the stream has not taken: they go before everything else.
    rest: BytesMut,
    /// The stream has not passed on what it took.
    unflushed: bool,
    /// A frame of the protocol's own is half out.
    torn: bool,
}

impl Wire {
    pub(crate) fn new(stream: Box<dyn ByteStream>) -> Self {
        Self(Mutex::new(Inner { stream, rest: BytesMut::new(), unflushed: false, torn: false }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the frames that `take` puts into the buffer, as far as the stream takes them at once, and says `stalled` if it does not
    /// take all. Returns false if something is left for the stream's task: these, or frames that were half out before, in which case
    /// nothing was asked.
    pub(crate) fn write_now(
        &self,
        buffer: &mut BytesMut,
        take: impl FnOnce(&mut BytesMut),
        stalled: impl FnOnce(),
    ) -> bool {
        let mut inner = self.lock();
        if !inner.is_clear() {
            return false;
        }
        buffer.clear();
        take(buffer);
        // Its task has no wish to write, so it waits for no other waker.
        let mut cx = Context::from_waker(Waker::noop());
        if matches!(inner.put(buffer, &mut cx), Poll::Ready(Ok(()))) {
            return true;
        }
        inner.rest.extend_from_slice(buffer);
        inner.unflushed = true;
        stalled();
        false
    }

    /// Has `take` write frames into the buffer that are to go out next, when the stream's task finishes them. `None`, without asking,
    /// while something is half out.
    pub(crate) fn begin<T>(&self, take: impl FnOnce(&mut BytesMut) -> T) -> Option<T> {
        let mut inner = self.lock();
        let taken = inner.is_clear().then(|| take(&mut inner.rest));
        inner.unflushed |= !inner.rest.is_empty();
        taken
    }
}

impl Inner {
    fn is_clear(&self) -> bool {
        self.rest.is_empty() && !self.unflushed && !self.torn
    }

    /// Writes all of `bytes` and passes it on; what could not be written is left in it.
    fn put(&mut self, bytes: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if bytes.is_empty() && !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        while !bytes.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            bytes.advance(written);
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut rest = std::mem::take(&mut self.rest);
        let put = self.put(&mut rest, cx);
        if !rest.is_empty() {
            self.rest = rest;
        }
        self.unflushed = !matches!(put, Poll::Ready(Ok(())));
        put
    }
}

/// The task's end of a wire: what the protocol writes by itself goes after what is half out.
pub(crate) struct End(pub(crate) Arc<Wire>);

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.lock().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.0.lock();
        ready!(inner.poll_finish(cx))?;
        let written = Pin::new(&mut inner.stream).poll_write(cx, bytes);
        inner.torn = !matches!(written, Poll::Ready(Ok(count)) if count == bytes.len());
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock();
        ready!(inner.poll_finish(cx))?;
        Pin::new(&mut inner.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock();
        ready!(inner.poll_finish(cx))?;
        Pin::new(&mut inner.stream).poll_shutdown(cx)
    }
}
