//! A gateway's socket behind routers: to quinn it is the client that speaks.

use std::collections::BTreeSet;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use arc_swap::ArcSwap;
use drover_env::{Datagrams, Env, Value};
use quinn::{AsyncUdpSocket, UdpPoller};
use quinn_udp::{RecvMeta, Transmit};

use super::{SHIM_BYTES, ShimKey, Way};
use crate::returns::Returns;
use crate::runtime::Poller;

/// Longest packet that is wrapped on the stack.
const PACKET_BYTES_MAX: usize = 1500;

/// Who may carry a shim: the inner addresses of routers. Clones share them, so that routers may come and go.
#[derive(Debug, Clone, Default)]
pub struct Believed(Arc<ArcSwap<BTreeSet<SocketAddr>>>);

impl Believed {
    /// These, until [`Self::set`].
    pub fn new(routers: BTreeSet<SocketAddr>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(routers)))
    }

    /// These from now on.
    pub fn set(&self, routers: BTreeSet<SocketAddr>) {
        if **self.0.load() != routers {
            self.0.store(Arc::new(routers));
        }
    }
}

/// Takes shims off what routers send, and puts them on what goes back by them.
///
/// A datagram from anyone else is passed as it came: what looks like a shim there is just noise at the end of a packet.
pub(crate) struct ShimSocket {
    env: Env,
    socket: Arc<dyn Datagrams>,
    key: ShimKey,
    routers: Believed,
    /// By which router each client was heard last.
    returns: Mutex<Returns>,
}

impl std::fmt::Debug for ShimSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShimSocket").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl ShimSocket {
    pub(crate) fn new(
        env: Env,
        socket: Arc<dyn Datagrams>,
        key: ShimKey,
        routers: Believed,
        clients_max: usize,
    ) -> Self {
        Self { env, socket, key, routers, returns: Mutex::new(Returns::new(clients_max)) }
    }

    /// Shows what was received as the client's; without a byte left if it is to be forgotten.
    fn unwrap(&self, returns: &mut Returns, bytes: &[u8], meta: &mut RecvMeta) {
        let (router, datagram) = (meta.addr, &bytes[..meta.len.min(bytes.len())]);
        let opened = match self.routers.0.load().contains(&router) {
            true => self.key.open(Way::ToServer, datagram),
            false => match self.forged(datagram) {
                Some(opened) => Some(opened),
                None => return,
            },
        };
        match opened {
            Some((client, len)) => {
                let changed = returns.heard(client, router);
                if drover_env::SIMULATION && changed {
                    // The twin judges whose word was taken.
                    self.env.event("quic.way", &[("router", Value::Str(&router.to_string()))]);
                }
                (meta.addr, meta.len, meta.stride) = (client, len, len);
            }
            None => {
                self.env.event("quic.shim_refused", &[("reason", Value::Str("tag"))]);
                (meta.len, meta.stride) = (0, 0);
            }
        }
    }
}

impl ShimSocket {
    fn lock(&self) -> MutexGuard<'_, Returns> {
        self.returns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends `contents`, which is what `transmit` has with shims, to a router.
    fn send(&self, transmit: &Transmit<'_>, router: SocketAddr, contents: &[u8]) -> io::Result<()> {
        let wrapped = Transmit {
            destination: router,
            ecn: transmit.ecn,
            contents,
            segment_size: transmit.segment_size.map(|bytes| bytes + SHIM_BYTES),
            src_ip: transmit.src_ip,
        };
        self.socket.try_send_batch(&[wrapped]).map(|_| ())
    }

    /// What a stranger says of a client: nothing, unless it is planted that it is believed.
    #[cfg_attr(
        not(feature = "bite"),
        expect(clippy::unused_self, reason = "bugs can be planted with `bite` alone")
    )]
    #[cfg(feature = "bite")]
    fn forged(&self, datagram: &[u8]) -> Option<(SocketAddr, usize)> {
        self.env.planted("shim_trusted_from_anyone").then(|| ShimKey::open_unchecked(datagram))?
    }

    #[cfg(not(feature = "bite"))]
    const fn forged(&self, _: &[u8]) -> Option<(SocketAddr, usize)> {
        None
    }
}

impl AsyncUdpSocket for ShimSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller(self.socket.clone().writable()))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let client = transmit.destination;
        let Some(router) = self.lock().of(client) else {
            return self.socket.try_send_batch(std::slice::from_ref(transmit)).map(|_| ());
        };
        if transmit.segment_size.is_none() && transmit.contents.len() <= PACKET_BYTES_MAX {
            // The way of nearly all packets: connections of several threads wait for each other no longer than a look-up.
            let mut wrapped = [0; PACKET_BYTES_MAX + SHIM_BYTES];
            let (packet, len) = (transmit.contents, transmit.contents.len());
            wrapped[..len].copy_from_slice(packet);
            wrapped[len..len + SHIM_BYTES].copy_from_slice(&self.key.seal(Way::ToClient, client, packet));
            return self.send(transmit, router, &wrapped[..len + SHIM_BYTES]);
        }
        let mut outgoing = Vec::new();
        let segment_bytes = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for packet in transmit.contents.chunks(segment_bytes) {
            outgoing.extend_from_slice(packet);
            outgoing.extend_from_slice(&self.key.seal(Way::ToClient, client, packet));
        }
        self.send(transmit, router, &outgoing)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = ready!(self.socket.poll_recv_batch(cx, buffers, meta))?;
        let mut returns = self.lock();
        for (buffer, meta) in buffers.iter().zip(meta).take(received) {
            self.unwrap(&mut returns, buffer, meta);
        }
        Poll::Ready(Ok(received))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.send_segments_max()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}
