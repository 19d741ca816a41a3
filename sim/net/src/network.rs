//! Datagrams in flight, and the sockets they go between.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use drover_env::{BoxFuture, ByteStream, Datagrams, Listener, Net, PollWritable, RecvMeta, Transmit};

use crate::link::{Effect, Fate};
use crate::node::INBOX_DATAGRAMS_MAX;
use crate::shuffle::Shuffle;
use crate::sim::{Shared, State};
use crate::streams;
use crate::trace::Ends;

/// A datagram on its way. Ordered by due time, then by its flow's place if that is drawn, then by order of sending.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InFlight {
    due: Duration,
    place: u64,
    order: u64,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// All datagrams on their way.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    heap: BinaryHeap<Reverse<InFlight>>,
    order: u64,
    shuffle: Option<Shuffle>,
}

impl Flights {
    pub(crate) fn new(shuffle: Option<Shuffle>) -> Self {
        Self { shuffle, ..Self::default() }
    }

    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse(next)| next.due)
    }

    fn push(&mut self, due: Duration, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.order += 1;
        let place = self.shuffle.as_ref().map_or(0, |shuffle| shuffle.place(due, from, to));
        self.heap.push(Reverse(InFlight { due, place, order: self.order, from, to, bytes }));
    }
}

/// Which way a datagram goes: from its node, or to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// Datagrams that rules may hold back together, as far as a real queue could; more are lost.
const HELD_MAX: usize = 100_000;

/// How long a stranger's datagram is under way.
const STRANGER_LATENCY: Duration = Duration::from_millis(20);

/// A datagram that a rule holds back.
#[derive(Debug)]
pub(crate) struct Held {
    delay: Duration,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

impl State {
    /// Lets go what the rule held back; returns when the first of it is due.
    pub(crate) fn release(&mut self, now: Duration, rule: u32) -> Option<Duration> {
        let (freed, held) = std::mem::take(&mut self.held).into_iter().partition(|(of, _)| *of == rule);
        self.held = held;
        let mut first = None;
        for (_, Held { delay, from, to, bytes }) in freed {
            let due = now + delay;
            first = first.into_iter().chain([due]).min();
            self.flights.push(due, from, to, bytes);
        }
        first
    }

    /// Decides what becomes of a datagram; returns when the first copy is due, if one arrives.
    fn send(
        &mut self,
        now: Duration,
        sender: usize,
        port: u16,
        to: SocketAddr,
        bytes: &[u8],
    ) -> Option<Duration> {
        let node = &mut self.nodes[sender];
        let from = match &mut node.nat {
            Some(nat) => nat.outbound(port, now),
            None => SocketAddr::new(node.ip, port),
        };
        let ends = self.ends(now, from, to);
        self.trace.datagram(now, "sent", (from, to), bytes, ends);
        let mut fate = Fate { lost: !self.nodes[sender].covered, ..Fate::default() };
        let receiver = self.by_ip.get(&to.ip()).copied();
        self.share_medium(sender, Way::Up, now, bytes.len(), &mut fate);
        let mut holder = None;
        let node = &mut self.nodes[sender];
        node.up.carry(&node.access, now, bytes.len(), &mut fate);
        if let Some(receiver) = receiver {
            let (from_name, to_name) = (self.nodes[sender].name, self.nodes[receiver].name);
            for active in self.rules.iter_mut().filter(|active| active.rule.applies(from_name, to_name)) {
                let way = active.ways.entry((sender, receiver)).or_default();
                self.nodes[sender].up.apply(active.rule.effect, way, now, bytes.len(), &mut fate);
                if active.rule.effect == Effect::Clog {
                    holder = Some(active.id);
                }
            }
            fate.lost |= !self.nodes[receiver].covered;
            if !fate.lost {
                self.share_medium(receiver, Way::Down, now, bytes.len(), &mut fate);
            }
            let node = &mut self.nodes[receiver];
            if !fate.lost {
                node.down.carry(&node.access, now, bytes.len(), &mut fate);
            }
        }
        fate.lost |= holder.is_some() && self.held.len() >= HELD_MAX;
        if fate.lost || receiver.is_none() {
            self.lost += 1;
            self.trace.lost(now, (from, to), ends);
            return None;
        }
        let mut body = bytes.to_vec();
        if fate.corrupt {
            self.nodes[sender].up.flip(&mut body);
        }
        if let Some(rule) = holder {
            self.held.push((rule, Held { delay: fate.delay, from, to, bytes: body }));
            return None;
        }
        let due = now + fate.delay;
        if fate.duplicate {
            self.flights.push(due, from, to, body.clone());
        }
        self.flights.push(due, from, to, body);
        Some(due)
    }

    /// Takes a datagram of a stranger, as far away as half a continent; returns when it is due.
    pub(crate) fn inject(
        &mut self,
        now: Duration,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
    ) -> Duration {
        let ends = self.ends(now, from, to);
        self.trace.datagram(now, "sent", (from, to), bytes, ends);
        let due = now + STRANGER_LATENCY;
        self.flights.push(due, from, to, bytes.to_vec());
        due
    }

    /// Who is at both ends of a way, if somebody wants to know.
    fn ends(&self, now: Duration, from: SocketAddr, to: SocketAddr) -> Option<Ends> {
        let name = |addr: SocketAddr| self.by_ip.get(&addr.ip()).map(|&index| self.nodes[index].name);
        self.trace.captures(now).then(|| [name(from), name(to)])
    }

    /// Takes a node's turn on the medium that it shares with others, if there is one.
    fn share_medium(&mut self, node: usize, way: Way, now: Duration, len_bytes: usize, fate: &mut Fate) {
        if fate.lost {
            return;
        }
        let Some(shared) = self.nodes[node].medium.and_then(|key| self.media.get_mut(&key)) else { return };
        let lane = match way {
            Way::Up => &mut shared.up,
            Way::Down => &mut shared.down,
        };
        lane.share(&shared.medium, now, len_bytes, fate);
    }

    /// Hands over everything that is due.
    pub(crate) fn deliver(&mut self, now: Duration) {
        while self.flights.next_due().is_some_and(|due| due <= now) {
            let Some(Reverse(flight)) = self.flights.heap.pop() else { return };
            let (from, to) = (flight.from, flight.to);
            let ends = self.ends(now, from, to);
            // The receiver may have moved, gone out of coverage or died meanwhile.
            let receiver = self.by_ip.get(&to.ip()).map(|&index| &mut self.nodes[index]);
            let inbox = receiver.filter(|node| node.covered).and_then(|node| {
                let port = match &node.nat {
                    Some(nat) => nat.inbound(to.port(), now)?,
                    None => to.port(),
                };
                node.sockets.get_mut(&port)
            });
            let Some(inbox) = inbox.filter(|inbox| inbox.queue.len() < INBOX_DATAGRAMS_MAX) else {
                self.trace.datagram(now, "dropped", (from, to), &[], ends);
                self.lost += 1;
                continue;
            };
            self.trace.datagram(now, "received", (from, to), &[], ends);
            inbox.queue.push_back((from, flight.bytes));
            if let Some(reader) = inbox.reader.take() {
                reader.wake();
            }
        }
    }
}

/// The network as one incarnation of one node sees it.
#[derive(Clone)]
pub(crate) struct NodeNet {
    pub(crate) shared: Arc<Shared>,
    pub(crate) node: usize,
    pub(crate) incarnation: u64,
}

impl NodeNet {
    /// False once the node has crashed: what its dropped tasks still send goes nowhere.
    pub(crate) fn alive(&self, state: &State) -> bool {
        let node = &state.nodes[self.node];
        node.running.is_some() && node.incarnation == self.incarnation
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the node is down")
}

impl Net for NodeNet {
    fn datagrams(&self, bind: SocketAddr) -> io::Result<Arc<dyn Datagrams>> {
        let mut state = self.shared.lock();
        if !self.alive(&state) {
            return Err(gone());
        }
        let node = &mut state.nodes[self.node];
        if !bind.ip().is_unspecified() && bind.ip() != node.ip {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let port = if bind.port() == 0 { node.free_port() } else { bind.port() };
        if node.sockets.contains_key(&port) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        node.sockets.entry(port).or_default().incarnation = self.incarnation;
        drop(state);
        Ok(Arc::new(SimSocket { net: self.clone(), port }))
    }

    fn listen(&self, bind: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(std::future::ready(streams::listen(self, bind)))
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn ByteStream>>> {
        Box::pin(streams::connect(self.clone(), to))
    }

    fn source_ip(&self, _to: SocketAddr) -> io::Result<IpAddr> {
        let state = self.shared.lock();
        Ok(state.nodes[self.node].ip)
    }
}

struct SimSocket {
    net: NodeNet,
    port: u16,
}

impl std::fmt::Debug for SimSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimSocket").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Datagrams for SimSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::new(self.net.shared.lock().nodes[self.net.node].ip, self.port))
    }

    fn poll_recv_batch(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.net.shared.lock();
        let inbox = state.nodes[self.net.node].sockets.get_mut(&self.port);
        let Some(inbox) = inbox.filter(|inbox| inbox.incarnation == self.net.incarnation) else {
            return Poll::Ready(Err(gone()));
        };
        let mut count = 0;
        for (buffer, meta) in buffers.iter_mut().zip(meta) {
            let Some((from, bytes)) = inbox.queue.pop_front() else { break };
            let len = bytes.len().min(buffer.len());
            buffer[..len].copy_from_slice(&bytes[..len]);
            *meta = RecvMeta::default();
            (meta.addr, meta.len, meta.stride) = (from, len, len);
            count += 1;
        }
        if count > 0 {
            return Poll::Ready(Ok(count));
        }
        inbox.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn try_send_batch(&self, batch: &[Transmit<'_>]) -> io::Result<usize> {
        let now = self.net.shared.now();
        let mut state = self.net.shared.lock();
        if self.net.alive(&state) {
            let mut first: Option<Duration> = None;
            for transmit in batch {
                for bytes in transmit.contents.chunks(transmit.segment_size.unwrap_or(usize::MAX).max(1)) {
                    let due = state.send(now, self.net.node, self.port, transmit.destination, bytes);
                    first = first.into_iter().chain(due).min();
                }
            }
            self.net.shared.wake_pump(&mut state, first);
        }
        Ok(batch.len())
    }

    fn writable(self: Arc<Self>) -> Pin<Box<dyn PollWritable>> {
        Box::pin(AlwaysWritable)
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        let mut state = self.net.shared.lock();
        let sockets = &mut state.nodes[self.net.node].sockets;
        if sockets.get(&self.port).is_some_and(|inbox| inbox.incarnation == self.net.incarnation) {
            sockets.remove(&self.port);
        }
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl PollWritable for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
