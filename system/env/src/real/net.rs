//! This machine's UDP and TCP.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

use crate::{BoxFuture, ByteStream, Datagrams, Listener, Net, PollWritable};

/// Connections that may wait to be accepted: as many as the other kind of listener has.
#[cfg(target_os = "linux")]
const BACKLOG: u32 = 1024;

/// Sockets of the operating system.
#[derive(Debug)]
pub struct SystemNet;

impl SystemNet {
    /// Connects to `to` from the address `source`, at any port of it: for whoever is many on one machine.
    ///
    /// # Errors
    /// Nobody listens there, or `source` is none of this machine's.
    pub async fn connect_from(source: Ipv4Addr, to: SocketAddr) -> io::Result<Box<dyn ByteStream>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(source.into(), 0))?;
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(SystemStream { stream, peer: to }))
    }
}

impl Net for SystemNet {
    fn datagrams(&self, bind: SocketAddr) -> io::Result<Arc<dyn Datagrams>> {
        let socket = std::net::UdpSocket::bind(bind)?;
        #[cfg(target_os = "linux")]
        make_room(&socket);
        // Sets non-blocking mode and what offloads the kernel has.
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Arc::new(SystemDatagrams { io: Arc::new(UdpSocket::from_std(socket)?), state }))
    }

    #[cfg(target_os = "linux")]
    fn datagrams_apart(&self, bind: SocketAddr) -> io::Result<Arc<dyn Datagrams>> {
        Ok(super::batches::Batches::bind(bind)?)
    }

    #[cfg(target_os = "linux")]
    fn datagrams_shared(&self, bind: SocketAddr) -> io::Result<Arc<dyn Datagrams>> {
        Ok(super::batches::Batches::bind_shared(bind)?)
    }

    fn listen(&self, bind: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move { Ok(Box::new(TcpListener::bind(bind).await?) as Box<dyn Listener>) })
    }

    #[cfg(target_os = "linux")]
    fn listen_shared(&self, bind: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let socket = if bind.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_reuseaddr(true)?;
            socket.set_reuseport(true)?;
            socket.bind(bind)?;
            Ok(Box::new(socket.listen(BACKLOG)?) as Box<dyn Listener>)
        })
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn ByteStream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(to).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(SystemStream { stream, peer: to }) as Box<dyn ByteStream>)
        })
    }

    fn source_ip(&self, to: SocketAddr) -> io::Result<IpAddr> {
        let any: IpAddr =
            if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        // Connecting a UDP socket sends nothing: it asks the routing table.
        let probe = std::net::UdpSocket::bind((any, 0))?;
        probe.connect(to)?;
        Ok(probe.local_addr()?.ip())
    }
}

/// Bytes of datagrams that may wait to be read. The kernel counts its own bookkeeping, too, so that this is some 6,000 small
/// ones: what thousands of vehicles send while a service looks away for a moment. Its default holds 160.
#[cfg(target_os = "linux")]
const WAITING_BYTES: usize = 4 << 20;

/// Lets datagrams wait. Without the right to go beyond `net.core.rmem_max`, as many as that allows.
#[cfg(target_os = "linux")]
fn make_room(socket: &std::net::UdpSocket) {
    use nix::sys::socket::setsockopt;
    use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce};

    let room = setsockopt(socket, RcvBufForce, &WAITING_BYTES)
        .or_else(|_| setsockopt(socket, RcvBuf, &WAITING_BYTES));
    if let Err(error) = room {
        tracing::warn!(%error, "a socket keeps the kernel's default of waiting datagrams");
    }
}

/// Waits until `receive` has received, which takes at most `count` at once. If it has taken fewer, there were no more: that is
/// remembered, instead of asking the system again.
pub(super) fn poll_received(
    io: &UdpSocket,
    cx: &mut Context<'_>,
    count: usize,
    mut receive: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(io.poll_recv_ready(cx))?;
        let mut all = None;
        let result = io.try_io(Interest::READABLE, || {
            let received = receive()?;
            if received < count {
                all = Some(received);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(received)
        });
        match (all, result) {
            (Some(all), _) => return Poll::Ready(Ok(all)),
            (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            (None, result) => return Poll::Ready(result),
        }
    }
}

#[derive(Debug)]
struct SystemDatagrams {
    io: Arc<UdpSocket>,
    state: UdpSocketState,
}

impl Datagrams for SystemDatagrams {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn poll_recv_batch(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let count = buffers.len().min(meta.len()).min(quinn_udp::BATCH_SIZE);
        poll_received(&self.io, cx, count, || self.state.recv((&*self.io).into(), buffers, meta))
    }

    fn try_send_batch(&self, batch: &[Transmit<'_>]) -> io::Result<usize> {
        for (sent, transmit) in batch.iter().enumerate() {
            let result = self.io.try_io(Interest::WRITABLE, || self.state.send((&self.io).into(), transmit));
            match result {
                Ok(()) => {}
                Err(error) if sent == 0 => return Err(error),
                Err(_) => return Ok(sent),
            }
        }
        Ok(batch.len())
    }

    fn writable(self: Arc<Self>) -> Pin<Box<dyn PollWritable>> {
        Box::pin(Writable::new(self.io.clone()))
    }

    fn send_segments_max(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn receive_segments_max(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

/// `UdpSocket::poll_send_ready` wakes one task only; a future per waiter wakes them all.
pub(super) struct Writable {
    socket: Arc<UdpSocket>,
    waiting: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>>,
}

impl Writable {
    pub(super) const fn new(socket: Arc<UdpSocket>) -> Self {
        Self { socket, waiting: None }
    }
}

impl std::fmt::Debug for Writable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writable").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl PollWritable for Writable {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let socket = &this.socket;
        let waiting = this.waiting.get_or_insert_with(|| {
            let socket = socket.clone();
            Box::pin(async move { socket.writable().await })
        });
        let result = ready!(waiting.as_mut().poll(cx));
        this.waiting = None;
        Poll::Ready(result)
    }
}

impl Listener for TcpListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Box<dyn ByteStream>>> {
        Box::pin(async move {
            let (stream, peer) = TcpListener::accept(self).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(SystemStream { stream, peer }) as Box<dyn ByteStream>)
        })
    }
}

struct SystemStream {
    stream: TcpStream,
    peer: SocketAddr,
}

impl ByteStream for SystemStream {
    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.stream.local_addr().ok()
    }
}

impl AsyncRead for SystemStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for SystemStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
