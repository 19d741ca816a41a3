//! A client's socket before routers: to quinn they are all one server.
//!
//! A QUIC client may not follow its server to another address (RFC 9000 section 9): quinn drops what comes from one. So the
//! server has one address that no packet ever bears, and which router stands behind it is the socket's affair.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use drover_env::Datagrams;
use quinn::{AsyncUdpSocket, UdpPoller};
use quinn_udp::{RecvMeta, Transmit};

use crate::runtime::{Poller, Socket};

/// Addresses for documentation (RFC 5737, RFC 3849): nobody has them.
const SERVER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SERVER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
const SERVER_PORT: u16 = 443;

/// Routers that lead to the same servers, and the one that is used now.
#[derive(Debug)]
pub struct Routers {
    /// Never empty.
    addrs: Vec<SocketAddr>,
    current: AtomicUsize,
}

impl Routers {
    /// These routers, the one at `first` (modulo their number) at first; `None` if there are none.
    pub fn new(addrs: Vec<SocketAddr>, first: usize) -> Option<Arc<Self>> {
        let current = AtomicUsize::new(first.checked_rem(addrs.len())?);
        Some(Arc::new(Self { addrs, current }))
    }

    /// The address to connect to, whichever router is used.
    pub fn server(&self) -> SocketAddr {
        let ip = if self.addrs[0].is_ipv4() { SERVER_V4 } else { SERVER_V6 };
        SocketAddr::new(ip, SERVER_PORT)
    }

    /// The router that is used.
    pub fn current(&self) -> SocketAddr {
        self.addrs[self.current.load(Ordering::Relaxed)]
    }

    /// Uses the next one from now on; false if there is no other.
    pub fn change(&self) -> bool {
        let next = (self.current.load(Ordering::Relaxed) + 1) % self.addrs.len();
        self.current.swap(next, Ordering::Relaxed) != next
    }
}

/// Sends what goes to the server to the router that is used; what any of them sends comes from the server.
#[derive(Debug)]
pub(crate) struct RoutedSocket {
    socket: Socket,
    routers: Arc<Routers>,
}

impl RoutedSocket {
    pub(crate) const fn new(socket: Arc<dyn Datagrams>, routers: Arc<Routers>) -> Self {
        Self { socket: Socket(socket), routers }
    }
}

impl AsyncUdpSocket for RoutedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller(self.socket.0.clone().writable()))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let destination = match transmit.destination == self.routers.server() {
            true => self.routers.current(),
            false => transmit.destination,
        };
        let Transmit { ecn, contents, segment_size, src_ip, .. } = *transmit;
        self.socket.try_send(&Transmit { destination, ecn, contents, segment_size, src_ip })
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = ready!(self.socket.poll_recv(cx, buffers, meta))?;
        for meta in meta.iter_mut().take(received) {
            // The router before may still have something for us.
            if self.routers.addrs.contains(&meta.addr) {
                meta.addr = self.routers.server();
            }
        }
        Poll::Ready(Ok(received))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routers_take_turns_under_one_address() {
        let addr = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let routers = Routers::new(vec![addr(1), addr(2)], 3).expect("there are some");
        let server = routers.server();
        assert_eq!(routers.current(), addr(2));
        assert!(routers.change());
        assert_eq!((routers.current(), routers.server()), (addr(1), server));
        assert!(!Routers::new(vec![addr(1)], 0).expect("there is one").change(), "there is no other");
        assert!(Routers::new(Vec::new(), 0).is_none());
    }
}
