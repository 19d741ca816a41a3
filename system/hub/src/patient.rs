//! A stream whose other end has to take what is written to it: without a bound, one that never reads would keep its connection for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream that fails once nothing of what is written was taken for some time. What is not written does not count.
pub(crate) struct Patient<S> {
    stream: S,
    patience: Duration,
    /// Since the stream took nothing; `None` while it takes what there is.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(crate) const fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, waiting: None }
    }

    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    /// What became of a write: an error in place of a wait that was too long.
    fn judge<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);
    /// Bytes that the stream holds until its other end reads.
    const ROOM: usize = 4;

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_nothing_is_left_after_a_while() {
        let (stream, _holds_on) = duplex(ROOM);
        let (mut stream, begun) = (Patient::new(stream, PATIENCE), Instant::now());
        let left = stream.write_all(b"more than there is room for").await.expect_err("nobody reads");
        assert_eq!((left.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, 30));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_a_little_again_and_again_gets_everything() {
        let (stream, mut slow) = duplex(ROOM);
        let mut stream = Patient::new(stream, PATIENCE);
        let (text, mut got) = (b"more than there is room for", Vec::<u8>::new());
        let writes = async {
            stream.write_all(text).await.expect("it is read");
            // Nobody waits for a stream that has nothing to write.
            sleep(10 * PATIENCE).await;
            stream.write_all(b"!").await.expect("it is read");
        };
        let reads = async {
            while got.len() <= text.len() {
                sleep(PATIENCE - Duration::from_secs(1)).await;
                slow.read_buf(&mut got).await.expect("bytes");
            }
        };
        tokio::join!(writes, reads);
        assert_eq!(got, b"more than there is room for!");
    }
}
