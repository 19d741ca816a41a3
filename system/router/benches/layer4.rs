//! What TCP that is passed on costs, against HAProxy (mode tcp, one thread, PROXY headers too): per megabyte in bulk, and per message
//! that is answered.
//!
//! Both run in turn, pinned to the same core; browsers and hubs of the bench are on another. `just bench-edge` runs it.

#![expect(clippy::disallowed_methods, reason = "a benchmark: threads and clocks are the machine's")]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use drover_env::real::{self, Metrics};
use drover_model::{NodeKind, NodeName};
use drover_quic::{ClusterKeys, ClusterSecret};
use drover_router::{Config, Router, Server, State, TcpConfig};
use drover_wire::proxy;
use rustix::thread::{ClockId, CpuSet, sched_setaffinity};
use tokio_util::sync::CancellationToken;

/// The same as `drover`'s.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;
const CONNECTIONS: usize = 8;
/// What each connection brings in a round, in bulk.
const BULK_BYTES: usize = 48 << 20;
/// Messages of each connection in a round, and their size: as of a live map.
const MESSAGES: usize = 4_000;
const MESSAGE_BYTES: usize = 200;
const CHUNK: usize = 64 * 1024;
const PROXY_CORE: usize = 0;
const OTHERS_CORE: usize = 1;

fn main() {
    if Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().is_err() {
        println!("haproxy is missing: `apt-get install haproxy`, or `just bench-edge`, which does it");
        std::process::exit(2);
    }
    let hub = hub();
    for (load, unit, goal) in
        [(Load::Bulk, "MB", " (goal 1.2)"), (Load::Messages, "message and its answer", "")]
    {
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let (haproxy, router) = (haproxy_us(hub, load), router_us(hub, load));
            // The first round warms up.
            if round > 0 {
                theirs.push(haproxy);
                ours.push(router);
            }
        }
        let ratios = theirs.iter().zip(&ours).map(|(theirs, ours)| ours / theirs).collect();
        let (theirs, ours, ratio) = (median(theirs), median(ours), median(ratios));
        println!(
            "CPU us per {unit}, median of {ROUNDS}: HAProxy {theirs:.2}, router {ours:.2}, ratio {ratio:.2}{goal}"
        );
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    Bulk,
    Messages,
}

impl Load {
    /// What a hub is asked for first.
    const fn request(self) -> [u8; 1] {
        [matches!(self, Self::Bulk) as u8]
    }

    /// Units of a round.
    fn units(self) -> f64 {
        let each = match self {
            Self::Bulk => BULK_BYTES as f64 / 1e6,
            Self::Messages => MESSAGES as f64,
        };
        each * CONNECTIONS as f64
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    // On a machine with one core there is nothing to choose.
    let _ = sched_setaffinity(None, &cores);
}

/// A hub that gives what it is asked for.
fn hub() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let addr = listener.local_addr().expect("an address");
    thread::spawn(move || {
        pin(OTHERS_CORE);
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                pin(OTHERS_CORE);
                // A browser of the bench that has enough leaves.
                let _ = serve(stream);
            });
        }
    });
    addr
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut head, mut len) = ([0; proxy::HEADER_BYTES_MAX], 0);
    let header_len = loop {
        let read = stream.read(&mut head[len..])?;
        len += read;
        match proxy::parse(&head[..len]) {
            Ok(Some((_, header_len))) => break header_len,
            Ok(None) if read > 0 => {}
            Ok(None) | Err(_) => return Ok(()),
        }
    };
    // What came behind the header in one piece belongs to the connection.
    let mut from = head[header_len..len].chain(stream.try_clone()?);
    let mut request = [0; 1];
    from.read_exact(&mut request)?;
    if request == Load::Bulk.request() {
        let chunk = vec![7; CHUNK];
        for _ in 0..BULK_BYTES / CHUNK {
            stream.write_all(&chunk)?;
        }
        return Ok(());
    }
    let mut message = [0; MESSAGE_BYTES];
    loop {
        from.read_exact(&mut message)?;
        stream.write_all(&message)?;
    }
}

/// Browsers, until all have what they came for.
fn browse(to: SocketAddr, load: Load) {
    let browser = move || {
        pin(OTHERS_CORE);
        let mut stream = TcpStream::connect(to).expect("somebody listens");
        stream.set_nodelay(true).expect("a socket");
        stream.write_all(&load.request()).expect("sent");
        match load {
            Load::Bulk => {
                let (mut chunk, mut received) = (vec![0; CHUNK], 0);
                while received < BULK_BYTES {
                    let read = stream.read(&mut chunk).expect("received");
                    assert!(read > 0, "only {received} bytes came");
                    received += read;
                }
            }
            Load::Messages => {
                let mut message = [9; MESSAGE_BYTES];
                for _ in 0..MESSAGES {
                    stream.write_all(&message).expect("sent");
                    stream.read_exact(&mut message).expect("received");
                }
            }
        }
    };
    let browsers: Vec<_> = (0..CONNECTIONS).map(|_| thread::spawn(browser)).collect();
    browsers.into_iter().for_each(|browser| browser.join().expect("it ends well"));
}

/// A port that nobody has now.
fn free_addr() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("a port")
}

/// A process that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// CPU time of all threads of a process, in microseconds.
fn process_us(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten();
    let ns = tasks.filter_map(|task| {
        let stat = fs::read_to_string(task.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<f64>().ok()
    });
    ns.sum::<f64>() / 1e3
}

fn haproxy_us(hub: SocketAddr, load: Load) -> f64 {
    let (folder, addr) = (tempfile::tempdir().expect("a folder"), free_addr());
    let config = folder.path().join("haproxy.cfg");
    let text = format!(
        "global\n  maxconn 1000\n  nbthread 1\ndefaults\n  mode tcp\n  timeout connect 1s\n  timeout client 60s\n  \
         timeout server 60s\nlisten all\n  bind {addr}\n  server hub {hub} send-proxy-v2\n"
    );
    fs::write(&config, text).expect("written");
    // A child keeps the core of who starts it.
    pin(PROXY_CORE);
    let mut command = Command::new("haproxy");
    let process =
        command.arg("-db").arg("-f").arg(&config).stderr(Stdio::null()).spawn().expect("haproxy starts");
    pin(OTHERS_CORE);
    let process = Running(process);
    let begun = Instant::now();
    while TcpStream::connect(addr).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "haproxy does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    let before = process_us(process.0.id());
    browse(addr, load);
    (process_us(process.0.id()) - before) / load.units()
}

fn thread_us() -> f64 {
    let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// The same of the router, as it runs in production.
fn router_us(hub: SocketAddr, load: Load) -> f64 {
    let (give_addr, take_addr) = std::sync::mpsc::channel();
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let router = thread::spawn(move || {
        pin(PROXY_CORE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder");
        runtime.block_on(async {
            let env = real::env("bench", folder.path(), Arc::<Metrics>::default()).expect("an env");
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let server = |kind, addr| Server { node: NodeName::new(kind, 0), addr, state: State::Serving };
            let tcp =
                TcpConfig { listen: any, hubs: vec![server(NodeKind::Hub, hub)], ..TcpConfig::default() };
            let config = Config {
                listen: any,
                inner: any,
                gateways: vec![server(NodeKind::Gateway, hub)],
                tcp: Some(tcp),
                ..Config::default()
            };
            let keys = ClusterKeys::new(ClusterSecret::from_bytes([7; 32]));
            let router = Router::bind(env, config, keys).expect("a router").listen().await.expect("a port");
            give_addr.send(router.tcp_addr().expect("an address")).expect("somebody waits");
            let before = thread_us();
            router.run(stop).await;
            thread_us() - before
        })
    });
    browse(take_addr.recv().expect("it is bound"), load);
    cancel.cancel();
    router.join().expect("it ends") / load.units()
}
