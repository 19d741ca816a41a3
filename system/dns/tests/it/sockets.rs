//! Over real sockets: UDP and TCP on one port, and who misbehaves there.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test: clients are foreign to the env"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use drover_dns::{Candidate, Config, Dns, Health, Listings, Unproven};
use drover_env::real::{self, Metrics};
use drover_quic::{ClusterKeys, ClusterSecret};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::EdnsOption;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::corpus::checks;
use crate::queries::{Ask, cookie};

/// Longer than anything here takes, however slow the machine.
const LONG: Duration = Duration::from_secs(20);

struct Running {
    addr: SocketAddr,
    listings: Listings,
    metrics: Arc<Metrics>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Running {
    async fn start(config: Config) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let metrics = Arc::new(Metrics::default());
        let env = real::env("dns/0", folder.path(), metrics.clone()).expect("an env");
        let (listings, cancel) = (Listings::default(), CancellationToken::new());
        let config = Config { listen: (Ipv4Addr::LOCALHOST, 0).into(), ..config };
        let keys = ClusterKeys::new(ClusterSecret::from_bytes([7; 32]));
        // The port that UDP is given may be taken for TCP: another one is tried.
        let mut tries = 0..10;
        let dns = loop {
            let (env, config, keys) = (env.clone(), config.clone(), keys.clone());
            match Dns::bind_alone(env, config, keys, listings.clone()).await {
                Err(error) if tries.next().is_some() => drop(error),
                bound => break bound.expect("a server"),
            }
        };
        let addr = dns.local_addr().expect("an address");
        let task = tokio::spawn(dns.run(cancel.clone()));
        Self { addr, listings, metrics, cancel, task, _folder: folder }
    }

    async fn stop(self) -> Arc<Metrics> {
        self.cancel.cancel();
        timeout(LONG, self.task).await.expect("it stops").expect("without a panic");
        self.metrics
    }

    async fn udp(&self, bytes: &[u8]) -> Message {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        socket.send_to(bytes, self.addr).await.expect("sent");
        let mut buffer = [0; 2048];
        let len = timeout(LONG, socket.recv(&mut buffer)).await.expect("an answer").expect("received");
        Message::from_vec(&buffer[..len]).expect("a message")
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.expect("a connection")
    }
}

/// How often that has happened, for whatever reason.
fn count(metrics: &Metrics, event: &str) -> u64 {
    metrics.counts().iter().filter(|(name, ..)| *name == event).map(|(.., count)| count).sum()
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

async fn next(stream: &mut TcpStream) -> Message {
    let read = async {
        let len = stream.read_u16().await.expect("a length");
        let mut bytes = vec![0; usize::from(len)];
        stream.read_exact(&mut bytes).await.expect("a message");
        Message::from_vec(&bytes).expect("a message")
    };
    timeout(LONG, read).await.expect("an answer")
}

async fn is_closed(mut stream: TcpStream) -> bool {
    matches!(timeout(LONG, stream.read(&mut [0; 1])).await, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn a_client_comes_by_tcp_once_and_then_has_a_cookie() {
    let dns = Running::start(checks::config(Unproven::Truncate)).await;
    let first = Ask::new("routers", RecordType::A).option(EdnsOption::Unknown(10, vec![7; 8])).bytes();
    assert!(dns.udp(&first).await.metadata.truncation);
    let mut stream = dns.tcp().await;
    stream.write_all(&framed(&first)).await.expect("sent");
    let answer = next(&mut stream).await;
    assert_eq!(answer.answers.len(), 2);
    let proof = EdnsOption::Unknown(10, cookie(&answer).expect("a cookie"));
    let second = Ask::new("routers", RecordType::A).option(proof).bytes();
    assert_eq!(dns.udp(&second).await.answers.len(), 2);
    dns.stop().await;
}

#[tokio::test]
async fn many_questions_at_once_are_answered_in_their_order() {
    let dns = Running::start(checks::config(Unproven::Truncate)).await;
    let mut stream = dns.tcp().await;
    let mut all = Vec::new();
    for id in 0..2_000 {
        let mut ask = Ask::new("_geostream._udp.routers", RecordType::SRV);
        ask.message.metadata.id = id;
        all.extend(framed(&ask.bytes()));
    }
    // What is written is more than both sides hold: it must be read meanwhile.
    let (mut read, mut write) = stream.split();
    let send = async {
        write.write_all(&all).await.expect("sent");
        write.shutdown().await.expect("half closed");
    };
    let receive = async {
        for id in 0..2_000 {
            let len = read.read_u16().await.expect("a length");
            let mut bytes = vec![0; usize::from(len)];
            read.read_exact(&mut bytes).await.expect("a message");
            assert_eq!(Message::from_vec(&bytes).expect("a message").metadata.id, id);
        }
    };
    timeout(LONG, async { tokio::join!(send, receive) }).await.expect("all of them");
    dns.stop().await;
}

#[tokio::test]
async fn who_says_nothing_or_nonsense_is_hung_up_on() {
    let config = Config { tcp_idle: Duration::from_millis(200), ..checks::config(Unproven::Truncate) };
    let dns = Running::start(config).await;
    let silent = dns.tcp().await;
    let mut slow = dns.tcp().await;
    slow.write_all(&[0, 30, 1]).await.expect("sent");
    let mut long = dns.tcp().await;
    long.write_all(&framed(&[0; 5_000])).await.expect("sent");
    let mut short = dns.tcp().await;
    short.write_all(&framed(&[0; 3])).await.expect("sent");
    for (what, stream) in [("silent", silent), ("slow", slow), ("long", long), ("short", short)] {
        assert!(is_closed(stream).await, "{what}");
    }
    dns.stop().await;
}

#[tokio::test]
async fn one_address_has_so_many_connections() {
    let config = Config { tcp_per_address_max: 2, ..checks::config(Unproven::Truncate) };
    let dns = Running::start(config).await;
    let query = framed(&Ask::new("routers", RecordType::A).bytes());
    let (mut one, mut two) = (dns.tcp().await, dns.tcp().await);
    for stream in [&mut one, &mut two] {
        stream.write_all(&query).await.expect("sent");
        next(stream).await;
    }
    assert!(is_closed(dns.tcp().await).await, "a third one");
    drop(one);
    // Its place is free as soon as the server has seen it go.
    let free = async {
        loop {
            let mut stream = dns.tcp().await;
            if stream.write_all(&query).await.is_ok() && stream.read_u16().await.is_ok() {
                break;
            }
        }
    };
    timeout(LONG, free).await.expect("a place");
    assert!(count(&*dns.stop().await, "dns.tcp_refused") >= 1);
}

#[tokio::test]
async fn several_shards_answer_alike() {
    let config = Config { shards: 3, ..checks::config(Unproven::Answer) };
    let dns = Running::start(config).await;
    for _ in 0..64 {
        // Each from another port, so that each shard has some.
        assert_eq!(dns.udp(&Ask::new("routers", RecordType::A).bytes()).await.answers.len(), 2);
    }
    dns.stop().await;
}

#[tokio::test]
async fn a_snapshot_decides_who_is_named() {
    let dns = Running::start(checks::config(Unproven::Answer)).await;
    let ask = Ask::new("routers", RecordType::A).bytes();
    let node = |index: u32, health| Candidate {
        node: format!("router/{index}").parse().expect("a name"),
        addrs: vec![[192, 0, 2, index as u8 + 10].into()],
        port: 443,
        health,
        load_permille: 0,
        capacity: 1,
        zone: None,
    };
    dns.listings
        .set(Instant::now(), vec![node(0, Health::Dead), node(1, Health::Healthy), node(2, Health::Healthy)]);
    let expected = async {
        loop {
            let answer = dns.udp(&ask).await;
            assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
            let mut addrs: Vec<_> =
                answer.answers.iter().filter_map(|record| record.data.ip_addr()).collect();
            addrs.sort_unstable();
            if addrs == [std::net::IpAddr::from([192, 0, 2, 11]), [192, 0, 2, 12].into()] {
                break;
            }
        }
    };
    timeout(LONG, expected).await.expect("the dead one is named no more");
    dns.stop().await;
}

#[tokio::test]
async fn junk_is_counted_and_answered_by_nothing() {
    let dns = Running::start(checks::config(Unproven::Answer)).await;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
    let query = Ask::new("routers", RecordType::A).bytes();
    let mut reflected = query.clone();
    reflected[2] |= 0x80;
    let junk: [&[u8]; 5] = [&[], &[0; 11], &[0; 1501], &[0; 9000], &reflected];
    for bytes in junk {
        socket.send_to(bytes, dns.addr).await.expect("sent");
    }
    socket.send_to(&query, dns.addr).await.expect("sent");
    let mut buffer = [0; 2048];
    let len = timeout(LONG, socket.recv(&mut buffer)).await.expect("an answer").expect("received");
    assert_eq!(
        Message::from_vec(&buffer[..len]).expect("a message").answers.len(),
        2,
        "the query's, and none before"
    );
    let metrics = dns.stop().await;
    assert_eq!(count(&metrics, "dns.dropped"), 5);
}
