//! A client's socket before routers: to quinn they are all one server.
//!
//! A QUIC client may not follow its server to another address (RFC 9000 section 9): quinn drops what comes from one. So the
//! server has one address that no packet ever bears, and which router stands behind it is the socket's affair.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use drover_env::Datagrams;
use quinn::{AsyncUdpSocket, UdpPoller};
use quinn_udp::{RecvMeta, Transmit};
use tokio::time::Instant;

use crate::runtime::{Poller, Socket};

/// Addresses for documentation (RFC 5737, RFC 3849): nobody has them.
const SERVER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SERVER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
const SERVER_PORT: u16 = 443;

/// Routers that lead to the same servers, and the one that is used now.
#[derive(Debug)]
pub struct Routers {
    is_v4: bool,
    set: Mutex<Set>,
}

#[derive(Debug, Default)]
struct Set {
    /// Empty until a name has been resolved.
    addrs: Vec<SocketAddr>,
    current: usize,
    /// Those of before the last change of the set.
    former: Vec<SocketAddr>,
    /// When the one that is used was taken up, if another was used before.
    used_since: Option<Instant>,
}

impl Routers {
    /// These routers, the one at `first` (modulo their number) at first; `None` if there are none.
    pub fn new(addrs: Vec<SocketAddr>, first: usize) -> Option<Arc<Self>> {
        let current = first.checked_rem(addrs.len())?;
        let is_v4 = addrs[0].is_ipv4();
        Some(Arc::new(Self { is_v4, set: Mutex::new(Set { addrs, current, ..Set::default() }) }))
    }

    /// Routers that are still to be found: until then what is sent to them is lost.
    pub fn unknown(is_v4: bool) -> Arc<Self> {
        Arc::new(Self { is_v4, set: Mutex::default() })
    }

    fn set(&self) -> MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address to connect to, whichever router is used.
    pub const fn server(&self) -> SocketAddr {
        let ip = if self.is_v4 { SERVER_V4 } else { SERVER_V6 };
        SocketAddr::new(ip, SERVER_PORT)
    }

    /// The router that is used.
    pub fn current(&self) -> Option<SocketAddr> {
        let set = self.set();
        set.addrs.get(set.current).copied()
    }

    /// Uses the next one from now on; false if there is no other, or if the one that is used was taken up less than `tried` ago:
    /// several may share these, and find one after the other that the one of before is silent.
    pub fn change(&self, now: Instant, tried: Duration) -> bool {
        let mut set = self.set();
        if set.used_since.is_some_and(|since| now.saturating_duration_since(since) < tried) {
            return false;
        }
        let next = (set.current + 1).checked_rem(set.addrs.len()).unwrap_or_default();
        let is_other = std::mem::replace(&mut set.current, next) != next;
        if is_other {
            set.used_since = Some(now);
        }
        is_other
    }

    /// These are the routers from now on, unless there are none. The one that is used stays if it is among them; otherwise the
    /// first is used. Returns whether it is another than before.
    pub fn replace(&self, now: Instant, addrs: Vec<SocketAddr>) -> bool {
        let mut set = self.set();
        let Some(first) = addrs.first().copied() else { return false };
        let used = set.addrs.get(set.current).copied();
        set.current = addrs.iter().position(|addr| Some(*addr) == used).unwrap_or_default();
        let is_kept = addrs.get(set.current).copied() == used;
        if set.addrs != addrs {
            set.former = std::mem::replace(&mut set.addrs, addrs);
        }
        let is_other = !is_kept && used != Some(first);
        if is_other && used.is_some() {
            set.used_since = Some(now);
        }
        is_other
    }

    /// True if the server may stand behind that address: routers of before may still have something for us.
    fn has(&self, addr: SocketAddr) -> bool {
        let set = self.set();
        set.addrs.contains(&addr) || set.former.contains(&addr)
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
            false => Some(transmit.destination),
        };
        // Lost, as on any other way that leads nowhere.
        let Some(destination) = destination else { return Ok(()) };
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
            if self.routers.has(meta.addr) {
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
        assert_eq!(routers.current(), Some(addr(2)));
        let (now, tried) = (Instant::now(), Duration::from_secs(3));
        assert!(routers.change(now, tried));
        assert_eq!((routers.current(), routers.server()), (Some(addr(1)), server));
        assert!(!routers.change(now + tried / 2, tried), "somebody else has changed it just now");
        assert!(routers.change(now + tried, tried));
        let alone = Routers::new(vec![addr(1)], 0).expect("there is one");
        assert!(!alone.change(now, tried), "there is no other");
        assert!(Routers::new(Vec::new(), 0).is_none());
    }

    #[test]
    fn another_set_keeps_the_router_that_is_used_and_hears_the_former_ones() {
        let addr = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let routers = Routers::unknown(true);
        let (now, tried) = (Instant::now(), Duration::from_secs(3));
        assert_eq!((routers.current(), routers.change(now, tried)), (None, false));
        assert!(!routers.replace(now, Vec::new()), "an answer without addresses says nothing");
        assert!(routers.replace(now, vec![addr(1), addr(2)]));
        assert!(routers.change(now, tried));
        assert!(!routers.replace(now, vec![addr(3), addr(2)]));
        assert_eq!(routers.current(), Some(addr(2)));
        assert!(routers.has(addr(1)) && routers.has(addr(3)));
        assert!(routers.replace(now, vec![addr(4)]));
        assert!(!routers.change(now, tried), "what has just been found is tried first");
        assert_eq!(routers.current(), Some(addr(4)));
        assert!(routers.has(addr(2)) && !routers.has(addr(1)), "two sets ago");
        assert_eq!(routers.server(), Routers::unknown(true).server());
    }
}
