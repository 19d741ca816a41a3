//! What a forwarded packet costs, against a loop that only receives and sends; and what reading a connection id costs.
//!
//! Both forwarders run in turn, pinned to the same core, each in a thread whose CPU time is measured; a generator on another
//! core keeps them busy. `just bench-edge` runs it.

#![expect(clippy::disallowed_methods, reason = "a benchmark: threads and clocks are the machine's")]

use std::hint::black_box;
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use drover_env::real::{self, Metrics};
use drover_model::{NodeKind, NodeName};
use drover_quic::{ClusterKeys, ClusterSecret, ServerId};
use drover_router::{Batch, Config, Forwarder, Placing, Router, Server, State, Table};
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, setsockopt};
use rustix::thread::{ClockId, CpuSet, sched_setaffinity};
use tokio_util::sync::CancellationToken;

/// The same as `drover`'s.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 64;
const ROUNDS: usize = 7;
/// How long each forwarder is kept busy in a round.
const SPAN: Duration = Duration::from_millis(600);
const ANY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
const FORWARDER_CORE: usize = 0;
const GENERATOR_CORE: usize = 1;

fn main() {
    println!("id decode: {:.1} ns (goal 30)", median((0..ROUNDS).map(|_| decode_ns()).collect()));
    ten_million_packets();
    for len in [200, 1200] {
        let (mut raw, mut router) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let (bare, ours) = (bare_us(len), router_us(len));
            // The first round warms up.
            if round > 0 {
                raw.push(bare);
                router.push(ours);
            }
        }
        let ratios = raw.iter().zip(&router).map(|(raw, router)| router / raw).collect();
        let (raw, router, ratio) = (median(raw), median(router), median(ratios));
        println!(
            "{len} bytes, CPU us per packet, median of {ROUNDS}: bare {raw:.2}, router {router:.2}, ratio {ratio:.2} (goal 1.35)"
        );
    }
}

fn keys() -> ClusterKeys {
    ClusterKeys::new(ClusterSecret::from_bytes([7; 32]))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Nanoseconds per id, over ids that differ.
fn decode_ns() -> f64 {
    const COUNT: u32 = 4_000_000;
    let (keys, generation) = (keys(), 10);
    let (config, reader) = (keys.cid_config(generation), keys.cid_reader(generation));
    let id = |n: u32| {
        *config.encode(&n.to_be_bytes(), &[n as u8; 12]).as_bytes().first_chunk::<17>().expect("17 bytes")
    };
    let ids: Vec<[u8; 17]> = (0..1024).map(id).collect();
    let start = Instant::now();
    let mut found = 0u64;
    for n in 0..COUNT {
        let server = reader.server_id(black_box(&ids[n as usize % ids.len()]));
        found += u64::from(black_box(server.map_or(0, ServerId::number)));
    }
    black_box(found);
    start.elapsed().as_nanos() as f64 / f64::from(COUNT)
}

/// Ten million packets of ever other clients through a forwarder: each must go where its id says, and whoever sends them, the
/// process needs no more memory for it.
fn ten_million_packets() {
    const PACKETS: u32 = 10_000_000;
    const SERVERS: u32 = 100;
    let keys = keys();
    let addr = |server: u32| SocketAddr::from(([10, 0, 0, server as u8], 443));
    let servers =
        (0..SERVERS).map(|index| (NodeName::new(NodeKind::Gateway, index), addr(index), State::Serving));
    let table = Table::new(&keys, 10, Placing::ById, servers);
    let config = keys.cid_config(10);
    let (seeds, now) = (drover_env::SeedTree::from_number(1), tokio::time::Instant::now());
    let mut forwarder = Forwarder::new(&keys, seeds.rng("resets"), &Config::default(), now);
    let mut batch = Batch::default();
    let (mut misrouted, mut rss) = (0u64, Vec::new());
    for first in (0..PACKETS).step_by(BATCH) {
        batch.fill(|buffers, meta| {
            for (n, (buffer, meta)) in (first..).zip(buffers.iter_mut().zip(meta)) {
                let mut nonce = [0; 12];
                nonce[..4].copy_from_slice(&n.to_be_bytes());
                let id = config.encode(&(n % SERVERS).to_be_bytes(), &nonce);
                buffer[0] = 0x40;
                buffer[1..18].copy_from_slice(id.as_bytes());
                // A hundred thousand clients, after the first thousand have been seen alone.
                let client = if n < 1_000_000 { n % 1_000 } else { n % 100_000 };
                meta.addr = SocketAddr::from((Ipv4Addr::from(0x6440_0000 + client), 4433));
                (meta.len, meta.stride) = (200, 200);
            }
        });
        forwarder.from_clients(now, &table, &mut batch, BATCH);
        batch.send(batch.onward(), |transmits| {
            let there =
                |(n, transmit): (u32, &drover_env::Transmit<'_>)| transmit.destination == addr(n % SERVERS);
            let right = (first..).zip(transmits).filter(|sent| there(*sent)).count();
            misrouted += (BATCH - right) as u64;
        });
        if first == 1_000_000 - 1_000_000 % BATCH as u32 || first + BATCH as u32 >= PACKETS {
            rss.push(rss_kib());
        }
    }
    println!(
        "{PACKETS} packets of {SERVERS} servers: {misrouted} misrouted (goal 0); memory {} KiB after 1,000 clients, {} KiB \
         after 100,000 (goal: within 1 MiB)",
        rss[0], rss[1]
    );
}

/// Memory of this process.
fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it is there");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    // On a machine with one core there is nothing to choose.
    let _ = sched_setaffinity(None, &cores);
}

fn cpu_us() -> f64 {
    let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// A server that nobody is: what arrives is counted and forgotten.
fn socket() -> (UdpSocket, SocketAddrV4) {
    let socket = UdpSocket::bind(ANY).expect("a socket");
    let _ = setsockopt(&socket, RcvBufForce, &(8 << 20));
    let SocketAddr::V4(addr) = socket.local_addr().expect("an address") else {
        unreachable!("bound to IPv4")
    };
    (socket, addr)
}

/// A packet of an established connection to server 0.
fn packet(len: usize) -> Vec<u8> {
    let keys = keys();
    let generation = keys.generation(real::wall());
    let id = keys.cid_config(generation).encode(&ServerId::new(0).to_bytes(), &[3; 12]);
    let mut packet = [&[0x40], id.as_bytes()].concat();
    packet.resize(len, 9);
    packet
}

/// Keeps a forwarder busy for a while, and takes what it forwards.
fn generate(to: SocketAddrV4, len: usize, sink: &UdpSocket) {
    pin(GENERATOR_CORE);
    let packet = packet(len);
    let socket = UdpSocket::bind(ANY).expect("a socket");
    let slices = [[IoSlice::new(&packet)]; BATCH];
    let addrs = [Some(SockaddrIn::from(to)); BATCH];
    let mut headers = MultiHeaders::preallocate(BATCH, None);
    let mut taken = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut space = vec![0u8; BATCH * 2048];
    let start = Instant::now();
    while start.elapsed() < SPAN {
        let _ = sendmmsg(socket.as_raw_fd(), &mut headers, slices.iter(), addrs, [], MsgFlags::empty());
        let mut buffers = space.chunks_exact_mut(2048);
        let mut into: [[IoSliceMut<'_>; 1]; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(buffers.next().unwrap_or_default())]);
        let _ = recvmmsg(sink.as_raw_fd(), &mut taken, into.iter_mut(), MsgFlags::MSG_DONTWAIT, None);
    }
}

/// CPU time per packet of a loop that receives a batch and sends it on.
fn bare_us(len: usize) -> f64 {
    let (sink, sink_addr) = socket();
    let (input, addr) = socket();
    input.set_read_timeout(Some(Duration::from_millis(50))).expect("a time-out");
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let forwarder = thread::spawn(move || {
        pin(FORWARDER_CORE);
        let output = UdpSocket::bind(ANY).expect("a socket");
        let mut received = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
        let mut sent = MultiHeaders::preallocate(BATCH, None);
        let mut space = vec![0u8; BATCH * 2048];
        let addrs = [Some(SockaddrIn::from(sink_addr)); BATCH];
        let (start, mut packets) = (cpu_us(), 0);
        while !told.load(Ordering::Relaxed) {
            let mut lens = [0; BATCH];
            let mut buffers = space.chunks_exact_mut(2048);
            let mut into: [[IoSliceMut<'_>; 1]; BATCH] =
                std::array::from_fn(|_| [IoSliceMut::new(buffers.next().unwrap_or_default())]);
            let got =
                recvmmsg(input.as_raw_fd(), &mut received, into.iter_mut(), MsgFlags::MSG_WAITFORONE, None);
            let Ok(got) = got else { continue };
            let mut count = 0;
            for message in got {
                lens[count] = message.bytes;
                count += 1;
            }
            let slices: [[IoSlice<'_>; 1]; BATCH] =
                std::array::from_fn(|at| [IoSlice::new(&space[at * 2048..at * 2048 + lens[at]])]);
            let _ = sendmmsg(
                output.as_raw_fd(),
                &mut sent,
                slices.iter().take(count),
                &addrs[..count],
                [],
                MsgFlags::MSG_DONTWAIT,
            );
            packets += count;
        }
        (cpu_us() - start) / packets as f64
    });
    generate(addr, len, &sink);
    stop.store(true, Ordering::Relaxed);
    forwarder.join().expect("it ends")
}

/// The same of the router, as it runs in production.
fn router_us(len: usize) -> f64 {
    let (sink, sink_addr) = socket();
    let (give_addr, take_addr) = std::sync::mpsc::channel();
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let forwarder = thread::spawn(move || {
        pin(FORWARDER_CORE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        runtime.block_on(async {
            let metrics = Arc::new(Metrics::default());
            let env = real::env("bench", folder.path(), metrics.clone()).expect("an env");
            let gateway = Server {
                node: NodeName::new(NodeKind::Gateway, 0),
                addr: sink_addr.into(),
                state: State::Serving,
            };
            let config = Config {
                listen: ANY.into(),
                inner: ANY.into(),
                gateways: vec![gateway],
                ..Config::default()
            };
            let router = Router::bind(env, config, keys()).expect("a router");
            give_addr.send(router.local_addr().expect("an address")).expect("somebody waits");
            let start = cpu_us();
            router.run(stop).await;
            let spent = cpu_us() - start;
            let routed = metrics
                .counts()
                .iter()
                .find(|(name, ..)| *name == "router.routed")
                .map_or(0, |(.., count)| *count);
            spent / routed as f64
        })
    });
    let SocketAddr::V4(addr) = take_addr.recv().expect("it is bound") else { unreachable!("bound to IPv4") };
    generate(addr, len, &sink);
    cancel.cancel();
    forwarder.join().expect("it ends")
}
