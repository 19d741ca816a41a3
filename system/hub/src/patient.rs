//! A stream whose other end has to take what is written to it: without a bound, one that never reads would keep its connection for ever.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use drover_env::ByteStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Bytes that a stream has taken. Clones count the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken(Arc<AtomicU64>);

/// A stream that counts what it takes: for one below TLS, which has not written anything until it has written all that it was given.
pub(crate) struct Counted<S> {
    stream: S,
    taken: Taken,
}

impl<S> Counted<S> {
    pub(crate) const fn new(stream: S, taken: Taken) -> Self {
        Self { stream, taken }
    }
}

impl ByteStream for Counted<Box<dyn ByteStream>> {
    fn peer_addr(&self) -> SocketAddr {
        self.stream.peer_addr()
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.stream.local_addr()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.taken.0.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A stream that fails once nothing of what is written was taken for some time. What is not written does not count.
pub(crate) struct Patient<S> {
    stream: S,
    /// What was taken below, and how much of it this has seen.
    taken: (Taken, u64),
    patience: Duration,
    /// Since the stream took nothing; `None` while it takes what there is.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// `taken` counts what the connection below takes, if that is another than `stream`.
    pub(crate) const fn new(stream: S, taken: Taken, patience: Duration) -> Self {
        Self { stream, taken: (taken, 0), patience, waiting: None }
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
        let (taken, seen) = &mut self.taken;
        let now = taken.0.load(Ordering::Relaxed);
        if std::mem::replace(seen, now) != now {
            self.waiting = None;
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
    use drover_env::SeedTree;
    use drover_env::real::{self, Metrics};
    use drover_quic::Shown;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::Instant;
    use tokio_rustls::{TlsAcceptor, TlsConnector, server};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);
    /// Bytes that the stream holds until its other end reads.
    const ROOM: usize = 4;

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_nothing_is_left_after_a_while() {
        let (stream, _holds_on) = duplex(ROOM);
        let (mut stream, begun) = (Patient::new(stream, Taken::default(), PATIENCE), Instant::now());
        let left = stream.write_all(b"more than there is room for").await.expect_err("nobody reads");
        assert_eq!((left.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, 30));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_a_little_again_and_again_gets_everything() {
        let (stream, mut slow) = duplex(ROOM);
        let mut stream = Patient::new(stream, Taken::default(), PATIENCE);
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

    type Secured = Patient<server::TlsStream<Counted<DuplexStream>>>;

    /// A stream inside TLS, and the other end's below it: so much of what is encrypted as it reads is taken.
    async fn secured() -> (Secured, DuplexStream) {
        let folder = tempfile::tempdir().expect("a folder");
        let env = real::env("hub/0", folder.path(), Arc::new(Metrics::default())).expect("an env");
        let certificate = drover_quic::local_cert(&SeedTree::from_number(7), env.wall()).expect("a pair");
        let shown = Shown::default();
        shown.set(&env, &certificate).expect("a pair");
        let mut roots = RootCertStore::empty();
        roots.add(certificate.leaf().to_vec().into()).expect("a certificate");
        let client = ClientConfig::builder_with_provider(env.crypto().clone())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        let acceptor = TlsAcceptor::from(drover_quic::browser_tls(&env, &shown).expect("a config"));
        let ((ours, theirs), taken) = (duplex(16 << 10), Taken::default());
        let (accepted, connected) = tokio::join!(
            acceptor.accept(Counted::new(ours, taken.clone())),
            TlsConnector::from(Arc::new(client)).connect(name, theirs)
        );
        let (theirs, _) = connected.expect("it is believed").into_inner();
        (Patient::new(accepted.expect("it comes"), taken, PATIENCE), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn inside_tls_a_little_again_and_again_is_enough_too() {
        // As much as TLS holds back before it says anything of it.
        let answer = vec![b'x'; 60 << 10];
        let (mut stream, mut slow) = secured().await;
        let begun = Instant::now();
        let writes = async {
            stream.write_all(&answer).await.expect("it is read");
            stream.flush().await.expect("it is read");
        };
        let reads = async {
            let (mut got, mut some) = (0, [0; 2 << 10]);
            while got < answer.len() {
                sleep(PATIENCE - Duration::from_secs(1)).await;
                got += slow.read(&mut some).await.expect("bytes");
            }
        };
        tokio::join!(writes, reads);
        assert!(begun.elapsed() > 10 * PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn inside_tls_whoever_takes_nothing_more_is_left_too() {
        let (mut stream, mut slow) = secured().await;
        let begun = Instant::now();
        let writes = async {
            stream.write_all(&vec![b'x'; 60 << 10]).await?;
            stream.flush().await
        };
        let reads = async {
            sleep(Duration::from_secs(20)).await;
            slow.read_exact(&mut [0; 1 << 10]).await.expect("bytes");
        };
        let (left, ()) = tokio::join!(writes, reads);
        let left = left.expect_err("nobody reads");
        assert_eq!((left.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, 50));
    }
}
