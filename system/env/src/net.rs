//! Sockets. Datagrams come and go in batches; the types are those of `quinn-udp`, so that QUIC needs no copy.

use std::fmt::Debug;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::BoxFuture;

pub use quinn_udp::{RecvMeta, Transmit};

/// Opens sockets.
pub trait Net: Send + Sync {
    /// See [`crate::Env::datagrams`].
    ///
    /// # Errors
    /// The address is taken or not ours.
    fn datagrams(&self, bind: SocketAddr) -> io::Result<Arc<dyn Datagrams>>;

    /// See [`crate::Env::datagrams_apart`].
    ///
    /// # Errors
    /// The address is taken or not ours.
    fn datagrams_apart(&self, bind: SocketAddr) -> io::Result<Arc<dyn Datagrams>> {
        self.datagrams(bind)
    }

    /// See [`crate::Env::datagrams_shared`].
    ///
    /// # Errors
    /// The address is taken by somebody who does not share it, or not ours.
    fn datagrams_shared(&self, bind: SocketAddr) -> io::Result<Arc<dyn Datagrams>> {
        self.datagrams_apart(bind)
    }

    /// See [`crate::Env::listen`].
    fn listen(&self, bind: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;

    /// See [`crate::Env::listen_shared`].
    fn listen_shared(&self, bind: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        self.listen(bind)
    }

    /// See [`crate::Env::connect`].
    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn ByteStream>>>;

    /// See [`crate::Env::source_ip`].
    ///
    /// # Errors
    /// There is no route.
    fn source_ip(&self, to: SocketAddr) -> io::Result<IpAddr>;
}

/// An unconnected datagram socket.
pub trait Datagrams: Send + Sync + Debug {
    /// Where this socket receives.
    ///
    /// # Errors
    /// The socket is closed.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Receives up to as many datagrams as there are buffers; `meta[i]` describes `buffers[i]`. One task at a time.
    fn poll_recv_batch(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>>;

    /// Sends datagrams from the first on; returns how many were taken, at least one.
    ///
    /// # Errors
    /// `WouldBlock` if none could be taken: wait on [`Self::writable`]. A datagram that can not be delivered is no error.
    fn try_send_batch(&self, batch: &[Transmit<'_>]) -> io::Result<usize>;

    /// A waiter for room to send. Each waiting task has its own.
    fn writable(self: Arc<Self>) -> Pin<Box<dyn PollWritable>>;

    /// Most datagrams that one [`Transmit`] may carry as segments.
    fn send_segments_max(&self) -> usize {
        1
    }

    /// Most datagrams that one buffer may receive as segments.
    fn receive_segments_max(&self) -> usize {
        1
    }

    /// True if the network may split a datagram on its way (then QUIC does not probe the MTU).
    fn may_fragment(&self) -> bool {
        false
    }
}

/// Waits until a socket takes datagrams again.
pub trait PollWritable: Send + Sync + Debug {
    /// Ready when a send is worth another try.
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// A two-way byte stream.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {
    /// The other end.
    fn peer_addr(&self) -> SocketAddr;

    /// This end, if it is known.
    fn local_addr(&self) -> Option<SocketAddr> {
        None
    }
}

/// Accepts byte streams.
pub trait Listener: Send {
    /// Where it listens.
    ///
    /// # Errors
    /// The listener is closed.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// The next stream. Safe to drop while waiting.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Box<dyn ByteStream>>>;
}
