//! The two servers, each a process of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use drover_env::{SeedTree, real};
use drover_model::{NodeKind, NodeName};
use drover_quic::{Ca, Identity, Principal, Profile, ServerSetup, Trust};
use drover_wire::geostream;
use tempfile::TempDir;

/// Bytes of the bare server's answer.
const ANSWER: usize = 10;
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that runs, and what runs beside it.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    _folder: TempDir,
    process: Child,
    beside: Option<Child>,
}

fn free_port() -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket.local_addr().expect("an address")
}

impl Server {
    pub(crate) fn start(name: &str, ca: &Ca, seeds: &SeedTree) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        let write = |name: &str, text: &str| std::fs::write(path.join(name), text).expect("a file");
        write("ca.pem", ca.to_pem().0);
        for kind in [NodeKind::Gateway, NodeKind::Persistence] {
            let who = Principal::Service(NodeName::new(kind, 0));
            let (certificate, key) = ca.issue_pem(&who, seeds).expect("a certificate");
            write(&format!("{kind}.pem"), &certificate);
            write(&format!("{kind}.key"), &key);
        }
        let addr = free_port();
        if name == "sink" {
            write("addr", &addr.to_string());
            let program = std::env::current_exe().expect("this program");
            let process = Command::new(program).arg("sink").arg(path).stdout(Stdio::piped()).spawn();
            let mut process = process.expect("the server starts");
            ready(&mut process);
            return Self { addr, _folder: folder, process, beside: None };
        }
        let (agent, admins) = (free_port(), [free_port(), free_port()]);
        let tls = |kind: &str| {
            format!("[tls]\ncertificate = \"{kind}.pem\"\nkey = \"{kind}.key\"\nca = \"ca.pem\"\n")
        };
        let process = "[process]\nstate_dir = \"state\"\nlog = \"warn\"\nthreads = 1\n";
        write(
            "persistence.toml",
            &format!("{}{process}[persistence]\nlisten = \"{agent}\"\n", tls("persistence")),
        );
        // All are connected before the first says anything.
        write(
            "gateway.toml",
            &format!(
                "{}{process}[gateway]\nlisten = \"{addr}\"\nbus_bind = \"127.0.0.1:0\"\nsessions_max = 200000\nsilence_max_ms = 600000\n\
                 [[gateway.persistence]]\nnode = \"persistence/0\"\naddr = \"{agent}\"\n",
                tls("gateway")
            ),
        );
        let service = |kind: &str, admin: SocketAddr| {
            let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release/drover");
            let mut command = Command::new(program);
            command.arg(kind).arg("--config").arg(path.join(format!("{kind}.toml")));
            let started = command.arg("--admin").arg(admin.to_string()).spawn().expect("drover starts");
            let until = Instant::now() + PATIENCE;
            while TcpStream::connect(admin).is_err() {
                assert!(Instant::now() < until, "{kind} does not serve");
                std::thread::sleep(Duration::from_millis(20));
            }
            started
        };
        let beside = service("persistence", admins[0]);
        let process = service("gateway", admins[1]);
        Self { addr, _folder: folder, process, beside: Some(beside) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

/// Waits until it says something.
fn ready(process: &mut Child) {
    use std::io::Read;
    let mut out = process.stdout.take().expect("a pipe");
    assert_eq!(out.read(&mut [0]).expect("a word"), 1, "the server has ended");
}

impl Drop for Server {
    fn drop(&mut self) {
        for process in [Some(&mut self.process), self.beside.as_mut()].into_iter().flatten() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The bare server: one thread, no more than QUIC needs.
pub(crate) fn sink(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let read = |name: &str| std::fs::read(folder.join(name)).expect("a file");
        let identity = Identity::from_pem(&read("gateway.pem"), &read("gateway.key")).expect("an identity");
        let trust = Trust::from_pem(&read("ca.pem")).expect("a CA");
        let addr: SocketAddr = String::from_utf8_lossy(&read("addr")).trim().parse().expect("an address");
        let env = real::env("sink", folder, Default::default()).expect("an env");
        let profile = Profile::vehicle();
        let setup = ServerSetup {
            identity: &identity,
            trust: &trust,
            alpn: geostream::ALPN,
            profile: &profile,
            reset_key: [7; 32],
        };
        let endpoint = drover_quic::server(&env, addr, &setup).expect("an endpoint");
        println!("ready");
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                let Ok((mut send, mut receive)) = connection.accept_bi().await else { return };
                // A message is a packet, and that is a chunk.
                while let Ok(Some(_)) = receive.read_chunk(16 * 1024, true).await {
                    if send.write_all(&[7; ANSWER]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}
