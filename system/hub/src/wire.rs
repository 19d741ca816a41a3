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

    /// Writes the frames that `take` puts into the buffer, as far as the stream takes them at once. Says `stalled` and returns false if
    /// something is left for the stream's task: these, or frames that were half out before, in which case nothing was asked for.
    pub(crate) fn write_now(
        &self,
        buffer: &mut BytesMut,
        take: impl FnOnce(&mut BytesMut),
        stalled: impl FnOnce(),
    ) -> bool {
        let mut inner = self.lock();
        if !inner.is_clear() {
            stalled();
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::arrival::writes_through;

    /// Bytes that the stream holds until its other end reads.
    const ROOM: usize = 4;

    struct Small(DuplexStream);

    impl ByteStream for Small {
        fn peer_addr(&self) -> SocketAddr {
            SocketAddr::from(([127, 0, 0, 1], 1))
        }
    }

    impl AsyncRead for Small {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }

    writes_through!(Small, 0);

    fn wire() -> (Arc<Wire>, End, DuplexStream) {
        let (near, far) = duplex(ROOM);
        let wire = Arc::new(Wire::new(Box::new(Small(near))));
        (wire.clone(), End(wire), far)
    }

    /// Has somebody write this; returns whether it was asked for, whether the stream was found stalled, and whether all is out.
    fn write(wire: &Wire, bytes: &[u8]) -> (bool, bool, bool) {
        let (asked, stalled) = (Cell::new(false), Cell::new(false));
        let take = |buffer: &mut BytesMut| {
            asked.set(true);
            buffer.extend_from_slice(bytes);
        };
        let out = wire.write_now(&mut BytesMut::new(), take, || stalled.set(true));
        (asked.get(), stalled.get(), out)
    }

    async fn read(far: &mut DuplexStream, count: usize) -> String {
        let mut bytes = vec![0; count];
        far.read_exact(&mut bytes).await.expect("so many bytes");
        String::from_utf8(bytes).expect("text")
    }

    #[tokio::test]
    async fn what_a_stream_does_not_take_goes_before_all_that_comes_later() {
        let (wire, mut end, mut far) = wire();
        assert_eq!(write(&wire, b"one"), (true, false, true));
        assert_eq!(write(&wire, b"two"), (true, true, false));
        assert_eq!(write(&wire, b"three"), (false, true, false), "it would overtake what is half out");
        assert_eq!(wire.begin(|_| ()), None);
        let (written, got) = tokio::join!(end.write_all(b"pong"), read(&mut far, 10));
        written.expect("a stream");
        assert_eq!(got, "onetwopong");
        assert_eq!(write(&wire, b"four"), (true, false, true));
    }

    #[tokio::test]
    async fn a_frame_of_the_protocol_is_not_cut_in_two() {
        let (wire, mut end, mut far) = wire();
        let begun = poll_fn(|cx| Pin::new(&mut end).poll_write(cx, b"answer")).await;
        assert_eq!(begun.expect("some of it"), ROOM);
        assert_eq!(write(&wire, b"news"), (false, true, false));
        assert_eq!(wire.begin(|_| ()), None);
        let (written, got) = tokio::join!(end.write_all(b"er"), read(&mut far, 6));
        written.expect("a stream");
        assert_eq!(got, "answer");
        assert!(wire.begin(|bytes| bytes.extend_from_slice(b"news")).is_some());
        assert_eq!(write(&wire, b"more"), (false, true, false), "the task has something to finish");
        let (flushed, got) = tokio::join!(end.flush(), read(&mut far, 4));
        flushed.expect("a stream");
        assert_eq!(got, "news");
    }

    #[tokio::test]
    async fn a_stream_that_is_gone_is_its_tasks_to_find() {
        let (wire, mut end, far) = wire();
        drop(far);
        assert_eq!(write(&wire, b"news"), (true, true, false));
        assert!(end.flush().await.is_err());
    }
}
