//! The brokers, from their packages, each with a folder of its own: TLS for vehicles, none for the consumer beside it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use tempfile::TempDir;

use crate::Peer;

const PATIENCE: Duration = Duration::from_secs(20);

/// A broker that runs, or ran.
pub(crate) struct Broker {
    peer: Peer,
    folder: TempDir,
    process: Option<Child>,
    /// Where vehicles connect.
    pub(crate) vehicles: SocketAddr,
    /// Where the consumer does.
    pub(crate) consumer: SocketAddr,
    /// What vehicles trust.
    pub(crate) certificate: Vec<u8>,
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address")
}

impl Broker {
    pub(crate) fn start(peer: Peer) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let write =
            |name: &str, text: String| std::fs::write(folder.path().join(name), text).expect("a file");
        write("cert.pem", certificate.pem());
        write("key.pem", key.serialize_pem());
        let vehicles = free_port();
        let consumer = match peer {
            Peer::Mosquitto => free_port(),
            Peer::Nats => vehicles,
        };
        let certificate = certificate.der().to_vec();
        let mut broker = Self { peer, folder, process: None, vehicles, consumer, certificate };
        write_config(&broker);
        broker.start_again();
        broker
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it, with what it has kept.
    pub(crate) fn start_again(&mut self) {
        let mut command = match self.peer {
            Peer::Mosquitto => Command::new("mosquitto"),
            Peer::Nats => Command::new("nats-server"),
        };
        command.arg("-c").arg(self.path("broker.conf"));
        let log = std::fs::File::create(self.path("log")).expect("a log");
        command.stdout(Stdio::null()).stderr(log);
        self.process = Some(command.spawn().expect("the broker starts"));
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(self.consumer).is_err() {
            assert!(Instant::now() < until, "{:?} does not listen: {}", self.peer, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Child::id)
    }

    /// Ends it without a word.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn write_config(broker: &Broker) {
    let path = |name: &str| broker.path(name).display().to_string();
    let text = match broker.peer {
        // Its own limits lose messages as soon as a consumer is slow: it is given room.
        Peer::Mosquitto => format!(
            "user root\nallow_anonymous true\npersistence true\npersistence_location {}/\nmax_inflight_messages 10000\n\
             max_queued_messages 0\nset_tcp_nodelay true\nlistener {} 127.0.0.1\ncertfile {}\nkeyfile {}\n\
             tls_version tlsv1.3\nlistener {} 127.0.0.1\n",
            broker.folder.path().display(),
            broker.vehicles.port(),
            path("cert.pem"),
            path("key.pem"),
            broker.consumer.port(),
        ),
        Peer::Nats => format!(
            "listen: 127.0.0.1:{}\nallow_non_tls: true\ntls {{ cert_file: \"{}\", key_file: \"{}\", timeout: 20 }}\n\
             jetstream {{ store_dir: \"{}\", max_file_store: 20GB }}\nmax_connections: 200000\n",
            broker.vehicles.port(),
            path("cert.pem"),
            path("key.pem"),
            path("store"),
        ),
    };
    std::fs::write(broker.path("broker.conf"), text).expect("a config");
}
