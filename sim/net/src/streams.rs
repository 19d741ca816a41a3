//! Byte streams between nodes: in order, delayed by the link, stalled by a partition, reset by a crash.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use drover_env::{BoxFuture, ByteStream, Executor, Listener};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, ReadHalf, WriteHalf,
};
use tokio::sync::mpsc;

use crate::link::Effect;
use crate::network::NodeNet;

/// Connections that wait to be accepted; more are refused.
const ACCEPT_QUEUE_MAX: usize = 128;
/// Bytes in flight in each direction.
const WINDOW_BYTES: usize = 64 * 1024;
/// A stalled stream looks again this often, as a retransmission timer would, and gives up after `STALL_MAX`.
const RETRY: Duration = Duration::from_millis(200);
const STALL_MAX: Duration = Duration::from_secs(60);

pub(crate) type Accept = mpsc::Sender<SimStream>;

pub(crate) fn listen(net: &NodeNet, bind: SocketAddr) -> io::Result<Box<dyn Listener>> {
    let mut state = net.shared.lock();
    let ip = state.nodes[net.node].ip;
    let port = if bind.port() == 0 { state.nodes[net.node].free_port() } else { bind.port() };
    let addr = SocketAddr::new(ip, port);
    let (accept, streams) = mpsc::channel(ACCEPT_QUEUE_MAX);
    if state.listeners.get(&addr).is_some_and(|other| !other.is_closed()) {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    state.listeners.insert(addr, accept);
    Ok(Box::new(SimListener { addr, streams }))
}

struct SimListener {
    addr: SocketAddr,
    streams: mpsc::Receiver<SimStream>,
}

impl Listener for SimListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Box<dyn ByteStream>>> {
        Box::pin(async {
            let stream = self.streams.recv().await.ok_or(io::ErrorKind::NotConnected)?;
            Ok(Box::new(stream) as Box<dyn ByteStream>)
        })
    }
}

pub(crate) async fn connect(net: NodeNet, to: SocketAddr) -> io::Result<Box<dyn ByteStream>> {
    let (from, there) = {
        let mut state = net.shared.lock();
        let port = state.nodes[net.node].free_port();
        let there = *state.by_ip.get(&to.ip()).ok_or(io::ErrorKind::HostUnreachable)?;
        (SocketAddr::new(state.nodes[net.node].ip, port), there)
    };
    cross(&net, net.node, there).await?;
    let (accept, tasks) = {
        let state = net.shared.lock();
        let accept = state.listeners.get(&to).filter(|a| !a.is_closed()).cloned();
        (accept, state.nodes[there].running.clone())
    };
    let (Some(accept), Some(theirs)) = (accept, tasks) else {
        return Err(io::ErrorKind::ConnectionRefused.into());
    };
    let (mine, my_wire) = tokio::io::duplex(WINDOW_BYTES);
    let (yours, your_wire) = tokio::io::duplex(WINDOW_BYTES);
    let (my_read, my_write) = tokio::io::split(my_wire);
    let (your_read, your_write) = tokio::io::split(your_wire);
    // Each direction lives with its sender's node: when that crashes, the other end sees the stream end.
    let ours = net.shared.lock().nodes[net.node].running.clone().ok_or(io::ErrorKind::NotConnected)?;
    let (out, back) = (net.clone(), net.clone());
    let (my_name, their_name) = {
        let state = net.shared.lock();
        (state.nodes[net.node].name, state.nodes[there].name)
    };
    let (my_tasks, their_tasks) =
        (net.shared.executor(my_name, ours), net.shared.executor(their_name, theirs));
    my_tasks.spawn("tcp", Box::pin(carry(out, my_read, your_write, net.node, there)));
    their_tasks.spawn("tcp", Box::pin(carry(back, your_read, my_write, there, net.node)));
    accept.try_send(SimStream { io: yours, peer: from }).map_err(|_| io::ErrorKind::ConnectionRefused)?;
    Ok(Box::new(SimStream { io: mine, peer: to }))
}

async fn carry(
    net: NodeNet,
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    sender: usize,
    receiver: usize,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        if cross(&net, sender, receiver).await.is_err() || to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
    // The other end reads the rest and then the end of the stream.
    let _ = to.shutdown().await;
}

/// Waits as long as one segment takes from node to node.
async fn cross(net: &NodeNet, from: usize, to: usize) -> io::Result<()> {
    let mut stalled = Duration::ZERO;
    loop {
        let delay = {
            let state = net.shared.lock();
            let (sender, receiver) = (&state.nodes[from], &state.nodes[to]);
            let mut delay = sender.access.latency + receiver.access.latency;
            let mut open = sender.covered && receiver.covered;
            let rules = state.rules.iter().map(|active| &active.rule);
            for rule in rules.filter(|rule| rule.applies(sender.name, receiver.name)) {
                match rule.effect {
                    Effect::Partition | Effect::Clog => open = false,
                    Effect::Delay { delay: more, .. } => delay += more,
                    // Losses and flipped bits cost TCP a retransmission, not data; and it sends what fits.
                    Effect::Loss(_)
                    | Effect::BurstLoss(_)
                    | Effect::Duplicate(_)
                    | Effect::Corrupt(_)
                    | Effect::Narrow(_)
                    | Effect::Mtu(_) => {}
                }
            }
            open.then_some(delay)
        };
        match delay {
            Some(delay) => {
                tokio::time::sleep(delay).await;
                return Ok(());
            }
            None if stalled >= STALL_MAX => return Err(io::ErrorKind::TimedOut.into()),
            None => {
                tokio::time::sleep(RETRY).await;
                stalled += RETRY;
            }
        }
    }
}

/// One end of a stream.
pub(crate) struct SimStream {
    io: DuplexStream,
    peer: SocketAddr,
}

impl ByteStream for SimStream {
    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
