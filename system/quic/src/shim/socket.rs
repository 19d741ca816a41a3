//! A gateway's socket behind routers: to quinn it is the client that speaks.

use std::collections::BTreeSet;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use drover_env::{Datagrams, Env, Value};
use quinn::{AsyncUdpSocket, UdpPoller};
use quinn_udp::{RecvMeta, Transmit};

use super::{SHIM_BYTES, ShimKey, Way};
use crate::returns::Returns;
use crate::runtime::Poller;

/// Takes shims off what routers send, and puts them on what goes back by them.
///
/// A datagram from anyone else is passed as it came: what looks like a shim there is just noise at the end of a packet.
pub(crate) struct ShimSocket {
    env: Env,
    socket: Arc<dyn Datagrams>,
    key: ShimKey,
    /// Who may carry a shim: the inner addresses of the routers.
    routers: BTreeSet<SocketAddr>,
    state: Mutex<State>,
}

struct State {
    /// By which router each client was heard last.
    returns: Returns,
    /// What is about to be sent, with its shims.
    outgoing: Vec<u8>,
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
        routers: BTreeSet<SocketAddr>,
        clients_max: usize,
    ) -> Self {
        let state = Mutex::new(State { returns: Returns::new(clients_max), outgoing: Vec::new() });
        Self { env, socket, key, routers, state }
    }

    /// Shows what was received as the client's; without a byte left if it is to be forgotten.
    fn unwrap(&self, state: &mut State, bytes: &[u8], meta: &mut RecvMeta) {
        let (router, datagram) = (meta.addr, &bytes[..meta.len.min(bytes.len())]);
        let opened = match self.routers.contains(&router) {
            true => self.key.open(Way::ToServer, datagram),
            false => match self.forged(datagram) {
                Some(opened) => Some(opened),
                None => return,
            },
        };
        match opened {
            Some((client, len)) => {
                let changed = state.returns.heard(client, router);
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
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { returns, outgoing } = &mut *state;
        let client = transmit.destination;
        let Some(router) = returns.of(client) else {
            return self.socket.try_send_batch(std::slice::from_ref(transmit)).map(|_| ());
        };
        outgoing.clear();
        let segment_bytes = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for packet in transmit.contents.chunks(segment_bytes) {
            outgoing.extend_from_slice(packet);
            outgoing.extend_from_slice(&self.key.seal(Way::ToClient, client, packet));
        }
        let wrapped = Transmit {
            destination: router,
            ecn: transmit.ecn,
            contents: outgoing,
            segment_size: transmit.segment_size.map(|bytes| bytes + SHIM_BYTES),
            src_ip: transmit.src_ip,
        };
        self.socket.try_send_batch(&[wrapped]).map(|_| ())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = ready!(self.socket.poll_recv_batch(cx, buffers, meta))?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (buffer, meta) in buffers.iter().zip(meta).take(received) {
            self.unwrap(&mut state, buffer, meta);
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
