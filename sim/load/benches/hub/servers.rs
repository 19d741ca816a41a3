//! The servers, each a process of its own, and what they use.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use drover_auth::{Claims, Signer};
use drover_env::real;
use drover_load::cpu::resident_bytes;
use drover_model::{NodeKind, NodeName};
use drover_quic::Principal;
use tempfile::TempDir;

use crate::Ground;

/// Whose vehicles these are.
pub(crate) const TENANT: &str = "bench";
/// Sessions that one token lets in.
const PER_TOKEN: usize = 200;
const PATIENCE: Duration = Duration::from_secs(20);

/// A process.
pub(crate) struct Server {
    /// Where clients connect.
    pub(crate) addr: SocketAddr,
    /// Where fixes come in, of a hub.
    pub(crate) bus: SocketAddr,
    process: Child,
    orders: Option<(ChildStdin, BufReader<ChildStdout>)>,
    _folder: Option<TempDir>,
}

impl Server {
    pub(crate) fn bare() -> Self {
        let program = std::env::current_exe().expect("this program");
        let process = Command::new(program).arg("bare").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = process.expect("the bare server starts");
        let orders = process.stdin.take().expect("a pipe");
        let mut answers = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut line = String::new();
        answers.read_line(&mut line).expect("an address");
        let addr = line.trim().parse().expect("an address");
        Self { addr, bus: addr, process, orders: Some((orders, answers)), _folder: None }
    }

    /// The shipped hub. `tick_ms` 0: each fix by itself.
    pub(crate) fn hub(ground: &Ground, index: u32, tick_ms: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        let write = |name: &str, text: &str| std::fs::write(path.join(name), text).expect("a file");
        write("ca.pem", ground.ca.to_pem().0);
        write("tokens.jwks", &signer(ground).jwks());
        let who = Principal::Service(NodeName::new(NodeKind::Hub, index));
        let (certificate, key) = ground.ca.issue_pem(&who, &ground.seeds).expect("a certificate");
        write("hub.pem", &certificate);
        write("hub.key", &key);
        let (addr, bus, admin) = (free_stream(), free_datagrams(), free_stream());
        write(
            "hub.toml",
            &format!(
                "[tls]\ncertificate = \"hub.pem\"\nkey = \"hub.key\"\nca = \"ca.pem\"\n\
                 [process]\nstate_dir = \"state\"\nlog = \"warn\"\nthreads = 1\n[access]\nkeys = \"tokens.jwks\"\n\
                 [hub]\nlisten = \"{addr}\"\nbus_listen = \"{bus}\"\nbus_bind = \"127.0.0.1:0\"\ntick_ms = {tick_ms}\nsessions_per_token_max = 1000\n"
            ),
        );
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release/drover");
        let mut command = Command::new(program);
        command.arg("hub").arg("--config").arg(path.join("hub.toml")).arg("--admin").arg(admin.to_string());
        let process = command.spawn().expect("drover starts");
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(addr).is_err() {
            assert!(Instant::now() < until, "the hub does not serve");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { addr, bus, process, orders: None, _folder: Some(folder) }
    }

    /// Has the bare server write for a while, and waits until it has.
    pub(crate) async fn tell(&mut self, rate: u64, seconds: u64, bytes: u64) {
        let (mut orders, mut answers) = self.orders.take().expect("the bare server");
        writeln!(orders, "{rate} {seconds} {bytes}").expect("it listens");
        // Whoever waits beside it has connections to keep up.
        let waiting = tokio::task::spawn_blocking(move || {
            answers.read_line(&mut String::new()).expect("it answers");
            (orders, answers)
        });
        self.orders = Some(waiting.await.expect("it answers"));
    }

    /// CPU time of all its threads so far, to the nanosecond (proc(5), schedstat).
    pub(crate) fn used(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("it runs");
        let of = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            stat.split(' ').next()?.parse::<u64>().ok()
        };
        Duration::from_nanos(tasks.flatten().filter_map(of).sum())
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        resident_bytes(self.process.id()).expect("it runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_stream() -> SocketAddr {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket.local_addr().expect("an address")
}

fn free_datagrams() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket.local_addr().expect("an address")
}

fn signer(ground: &Ground) -> Signer {
    Signer::from_seed(ground.seeds.child("tokens").bytes())
}

/// Tokens that let so many dispatchers in.
pub(crate) fn tokens(ground: &Ground, clients: usize) -> Vec<String> {
    let (signer, now) = (signer(ground), real::wall().as_secs());
    let token = |number: usize| {
        signer.sign(&Claims {
            iss: "drover".to_owned(),
            sub: format!("bench-{number}"),
            iat: now,
            exp: now + 24 * 3600,
            nbf: None,
            aud: None,
            jti: Some(format!("bench-{number}")),
            scope: None,
            tenant: Some(TENANT.to_owned()),
            role: Some("dispatcher".to_owned()),
            vehicle: None,
        })
    };
    (0..clients.div_ceil(PER_TOKEN)).map(token).collect()
}
