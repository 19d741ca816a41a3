//! Sessions over QUIC: on a stream of their own, and a browser's by WebTransport.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use drover_env::SeedTree;
use drover_hub::{Config, QuicConfig};
use drover_model::NodeKind;
use drover_quic::{Profile, client, guest_config, server_name};
use drover_wire::FrameDecoder;
use drover_wire::live_map::{self, FRAME_BYTES_MAX, Frame};
use rustls::RootCertStore;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use web_transport_proto as proto;

use crate::bench::{ANY, Bench};

const ALL: &str = r#"{"action":"SUBSCRIBE","topic":"live_updates:all","id":1}"#;
const WHO: &str = r#"{"action":"AUTHENTICATE","token":"dispatcher"}"#;

fn with_quic(config: Config) -> Config {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Config { quic: Some(QuicConfig { listen, ..QuicConfig::default() }), ..config }
}

/// One side of a session's stream.
struct Session<R, W> {
    recv: R,
    send: W,
    decoder: FrameDecoder,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Session<R, W> {
    fn new(recv: R, send: W) -> Self {
        Self { recv, send, decoder: FrameDecoder::new(FRAME_BYTES_MAX) }
    }

    async fn open(recv: R, send: W, form: &str) -> Self {
        let mut session = Self::new(recv, send);
        session.push(&Frame::Open(form.to_owned())).await;
        session
    }

    async fn push(&mut self, frame: &Frame) {
        let mut bytes = BytesMut::new();
        frame.push(&mut bytes);
        self.send.write_all(&bytes).await.expect("room");
    }

    async fn say(&mut self, text: &str) {
        self.push(&Frame::Text(text.to_owned())).await;
    }

    async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = Frame::next(&mut self.decoder).expect("frames") {
                return Some(frame);
            }
            let mut chunk = [0; 4096];
            let read = self.recv.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
            self.decoder.push(&chunk[..read]);
        }
    }

    /// The next message of a type; the close code if the hub closes first.
    async fn next(&mut self, kind: &str) -> Result<Value, u16> {
        loop {
            match self.frame().await {
                Some(Frame::Text(text)) => {
                    let message: Value = serde_json::from_str(&text).expect("JSON");
                    if message["type"] == kind {
                        return Ok(message);
                    }
                }
                Some(Frame::Binary(bytes)) if kind == "binary" => return Ok(bytes.len().into()),
                Some(Frame::Close { code, .. }) => {
                    self.send.shutdown().await.expect("open");
                    return Err(code);
                }
                Some(_) => {}
                None => return Err(1006),
            }
        }
    }

    async fn closed(&mut self) -> u16 {
        self.next("nothing of the kind").await.expect_err("closed")
    }
}

/// How guests of a bench connect.
fn config_of(bench: &Bench) -> quinn::ClientConfig {
    guest_config(&bench.env, &bench.trust(), live_map::ALPN, &Profile::watching()).expect("a config")
}

/// A client of `live-map/1.0`.
struct Guest {
    connection: quinn::Connection,
    _endpoint: quinn::Endpoint,
}

impl Guest {
    /// One of several who share a config.
    async fn connect(bench: &Bench, config: &quinn::ClientConfig) -> Self {
        let endpoint = client(&bench.env, ANY).expect("an endpoint");
        let (config, hub) = (config.clone(), bench.quic.expect("an address"));
        let connecting = endpoint.connect_with(config, hub, server_name(NodeKind::Hub)).expect("an address");
        Self { connection: connecting.await.expect("a connection"), _endpoint: endpoint }
    }

    async fn open(&self, form: &str) -> Session<quinn::RecvStream, quinn::SendStream> {
        let (send, recv) = self.connection.open_bi().await.expect("a stream");
        Session::open(recv, send, form).await
    }
}

#[tokio::test]
async fn a_session_on_a_stream_is_the_session_of_a_web_socket() {
    let mut bench = Bench::start(with_quic(Config::default())).await;
    let config = config_of(&bench);
    let guests = [
        Guest::connect(&bench, &config).await,
        Guest::connect(&bench, &config).await,
        Guest::connect(&bench, &config).await,
    ];
    let mut json = guests[0].open("drover.json").await;
    let mut binary = guests[1].open("drover.bin").await;
    let mut features = guests[2].open("").await;
    for session in [&mut json, &mut binary, &mut features] {
        session.say(WHO).await;
        session.say(ALL).await;
        assert_eq!(session.next("subscribed").await.expect("told")["id"], 1);
    }
    bench.publish("VAN-1", 1_700_000_000);
    assert_eq!(json.next("update").await.expect("told")["features"][0]["id"], "VAN-1");
    assert_eq!(features.next("Feature").await.expect("told")["properties"]["timestamp"], 1_700_000_000);
    assert_eq!(binary.next("handles").await.expect("told")["handles"]["0"], "VAN-1");
    assert_eq!(binary.next("binary").await.expect("told"), 40);
    assert_eq!(bench.counted("hub.opened"), 3);
    bench.stop().await;
    assert_eq!((json.closed().await, binary.closed().await), (1001, 1001), "with a goodbye");
}

#[tokio::test]
async fn a_session_that_was_lost_goes_on_by_another_carrier() {
    let bench = Bench::start(with_quic(Config::default())).await;
    let config = config_of(&bench);
    let guest = Guest::connect(&bench, &config).await;
    let mut stream = guest.open("drover.json").await;
    stream.say(WHO).await;
    let session = stream.next("welcome").await.expect("told")["session"].as_str().expect("a name").to_owned();
    stream.say(ALL).await;
    let seq = stream.next("snapshot").await.expect("told")["seq"].as_u64().expect("a number");
    drop((stream, guest));
    bench.publish("VAN-1", 1_700_000_000);
    let mut socket = bench.client(Some("dispatcher"), Some("drover.json")).await;
    socket.say(&format!(r#"{{"action":"RESUME","session":"{session}","seq":{seq}}}"#)).await;
    assert_eq!(socket.next("resumed").await.expect("told")["resumed"], true);
    assert_eq!(socket.next("update").await.expect("told")["features"][0]["id"], "VAN-1");
}

#[tokio::test]
async fn whoever_breaks_the_protocol_gets_its_close_code() {
    let config = Config {
        message_bytes_max: 1_000,
        handshake_max: Duration::from_millis(300),
        sockets_per_address_max: 1,
        ..Config::default()
    };
    let bench = Bench::start(with_quic(config)).await;
    let config = config_of(&bench);
    let code = async |form: &str, frames: &[Frame]| {
        let guest = Guest::connect(&bench, &config).await;
        let mut session = guest.open(form).await;
        for frame in frames {
            session.push(frame).await;
        }
        let code = session.closed().await;
        drop(session);
        // The hub gives the address back before it closes the connection.
        guest.connection.closed().await;
        code
    };
    let text = |text: &str| Frame::Text(text.to_owned());
    assert_eq!(code("drover.xml", &[]).await, 1002, "a form that nobody knows");
    assert_eq!(code("", &[Frame::Ping]).await, 1002, "hubs ask so");
    assert_eq!(code("", &[Frame::Open(String::new())]).await, 1002, "twice");
    assert_eq!(code("", &[text(&"x".repeat(2_000))]).await, 1009);
    assert_eq!(code("", &[text(WHO), Frame::Binary("x".into())]).await, 1003);
    assert_eq!(code("", &[text(r#"{"action":"AUTHENTICATE","token":"guessed"}"#)]).await, 4403);
    let first = Guest::connect(&bench, &config).await;
    let mut there = first.open("").await;
    there.say(WHO).await;
    there.next("welcome").await.expect("told");
    assert_eq!(code("", &[]).await, 4429, "one for an address");
    assert_eq!(bench.counted("hub.refused"), 2);
    let quiet = Guest::connect(&bench, &config).await;
    let (send, recv) = quiet.connection.open_bi().await.expect("a stream");
    let mut quiet = Session::new(recv, send);
    quiet.send.write_all(&[11]).await.expect("room");
    assert_eq!(quiet.closed().await, 4401, "it began with nothing");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go() {
    let config =
        Config { slow_max: Duration::from_millis(300), tick: Duration::from_millis(5), ..Config::default() };
    let bench = Bench::start(with_quic(config)).await;
    let config = config_of(&bench);
    let guest = Guest::connect(&bench, &config).await;
    let mut frozen = guest.open("").await;
    frozen.say(WHO).await;
    frozen.say(ALL).await;
    frozen.next("subscribed").await.expect("told");
    let mut good = bench.client(Some("dispatcher"), Some("drover.json")).await;
    good.say(ALL).await;
    good.next("subscribed").await.expect("told");
    let mut second = 1_700_000_000;
    while bench.counted("hub.let_go") == 0 {
        second += 1;
        (0..500).for_each(|van| bench.publish(&format!("VAN-{van:03}"), second));
        let mut newest = 0;
        while newest < 500 {
            let update = good.next("update").await.expect("told");
            let features = update["features"].as_array().expect("features");
            newest += features.iter().filter(|of| of["properties"]["timestamp"] == second).count();
        }
        assert!(second < 1_700_002_000, "it is never let go");
    }
    guest.connection.closed().await;
}

#[tokio::test]
async fn a_browser_has_its_session_by_web_transport() {
    let origins = vec!["https://map.example.com".to_owned()];
    let bench = Bench::start(with_quic(Config { origins, ..Config::default() })).await;
    let ask = async |path: &str, origin: &'static str| Browser::ask(&bench, path, origin).await;
    assert_eq!(ask("/nothing", "https://map.example.com").await.err(), Some(404));
    assert_eq!(ask("/live-map", "https://evil.example.com").await.err(), Some(403));
    assert_eq!(bench.counted("hub.refused"), 1, "the origin");
    let browser = ask("/live-map", "https://map.example.com").await.expect("let in");
    let (mut send, recv) = browser.connection.open_bi().await.expect("a stream");
    let mut header = BytesMut::new();
    proto::Frame::WEBTRANSPORT.encode(&mut header);
    browser.session.encode(&mut header);
    send.write_all(&header).await.expect("room");
    let mut session = Session::open(recv, send, "drover.bin").await;
    session.say(WHO).await;
    session.say(ALL).await;
    session.next("subscribed").await.expect("told");
    bench.publish("VAN-1", 1_700_000_000);
    assert_eq!(session.next("binary").await.expect("told"), 40);
    session.push(&Frame::Binary("x".into())).await;
    assert_eq!(session.closed().await, 1003);
}

/// What a browser does for a session.
struct Browser {
    connection: quinn::Connection,
    session: proto::VarInt,
    _streams: (quinn::SendStream, quinn::RecvStream, quinn::SendStream, quinn::RecvStream),
    _endpoint: quinn::Endpoint,
}

impl Browser {
    /// Asks for a session; the status if it gets none.
    async fn ask(bench: &Bench, path: &str, origin: &'static str) -> Result<Self, u16> {
        let mut roots = RootCertStore::empty();
        let certificate = drover_quic::local_cert(&SeedTree::from_number(7), bench.env.wall());
        let certificate = certificate.expect("a certificate");
        bench.shown.set(&bench.env, &certificate).expect("a pair");
        roots.add(certificate.leaf().to_vec().into()).expect("a root");
        let mut tls = rustls::ClientConfig::builder_with_provider(bench.env.crypto().clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("a config");
        let (endpoint, config) =
            (client(&bench.env, ANY).expect("an endpoint"), quinn::ClientConfig::new(Arc::new(tls)));
        let hub = bench.quic.expect("an address");
        let connecting = endpoint.connect_with(config, hub, "localhost").expect("an address");
        let connection = connecting.await.expect("a connection");
        let mut own = connection.open_uni().await.expect("a stream");
        let mut settings = proto::Settings::default();
        settings.enable_webtransport(1);
        settings.write(&mut own).await.expect("room");
        let mut theirs = connection.accept_uni().await.expect("a stream");
        assert!(proto::Settings::read(&mut theirs).await.expect("settings").supports_webtransport() > 0);
        let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
        let url: url::Url = format!("https://{hub}{path}").parse().expect("a URL");
        let request = proto::ConnectRequest::new(url)
            .with_header(hyper::header::ORIGIN, hyper::header::HeaderValue::from_static(origin));
        request.write(&mut send).await.expect("room");
        match proto::ConnectResponse::read(&mut recv).await {
            Ok(_) => {}
            Err(proto::ConnectError::WrongStatus(Some(status))) => return Err(status.as_u16()),
            Err(error) => panic!("{error}"),
        }
        let number = quinn::VarInt::from(send.id()).into_inner();
        let session = proto::VarInt::from_u64(number).expect("small");
        let streams = (own, theirs, send, recv);
        Ok(Self { connection, session, _streams: streams, _endpoint: endpoint })
    }
}
