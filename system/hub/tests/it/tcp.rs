//! What is in front of a connection: what a router says of its client, and TLS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use drover_env::ByteStream;
use drover_env::real::SystemNet;
use drover_hub::{Config, ProxyConfig};
use drover_wire::proxy::{Header, Proxied};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::bench::{Bench, Client};

const REQUEST: &[u8] = b"GET /live-map/probe HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n";

fn of(client: &str) -> Header {
    let addr = |text: &str| -> SocketAddr { text.parse().expect("an address") };
    Header::of(Proxied::Tcp { client: addr(client), server: addr("192.0.2.1:443") })
}

async fn passed_on(bench: &Bench, client: &str) -> Box<dyn ByteStream> {
    let mut stream = bench.env.connect(bench.addr).await.expect("a connection");
    stream.write_all(of(client).as_bytes()).await.expect("room");
    stream
}

async fn answer(mut stream: Box<dyn ByteStream>) -> String {
    let mut bytes = Vec::new();
    // A connection that is refused may be reset.
    let _ = stream.write_all(REQUEST).await;
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn limits_count_the_clients_of_a_router_and_not_the_router() {
    let from: Vec<IpAddr> = vec!["127.0.0.1".parse().expect("an address")];
    let config = Config { proxy: ProxyConfig { from }, sockets_per_address_max: 1, ..Config::default() };
    let bench = Bench::start(config).await;
    let mut kept = Vec::new();
    for client in ["203.0.113.1:1000", "203.0.113.2:1000", "[2001:db8::1]:1000"] {
        let stream = passed_on(&bench, client).await;
        kept.push(bench.client_on(stream, Some("dispatcher"), None).await.expect("let in"));
    }
    let stream = passed_on(&bench, "203.0.113.1:2000").await;
    assert!(bench.client_on(stream, Some("dispatcher"), None).await.is_err(), "its second socket");
    assert!(answer(passed_on(&bench, "203.0.113.9:1").await).await.starts_with("HTTP/1.1 200"));
    kept.push(bench.client(Some("dispatcher"), None).await);
    assert_eq!((bench.counted("hub.admitted"), bench.counted("hub.refused")), (4, 1));
}

#[tokio::test]
async fn a_header_of_somebody_who_is_no_router_is_refused_and_counted() {
    let bench = Bench::start(Config::default()).await;
    assert_eq!(answer(passed_on(&bench, "203.0.113.1:1000").await).await, "");
    assert_eq!(bench.counted("hub.refused"), 1);
    assert!(bench.raw(std::str::from_utf8(REQUEST).expect("text")).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn one_address_can_not_take_all_places() {
    // As many connections as one address may have without a session, at this bound of sockets.
    const MOST: usize = 251;
    let config =
        Config { sockets_per_address_max: 1, handshake_max: Duration::from_secs(60), ..Config::default() };
    let bench = Bench::start(config).await;
    let mut silent = Vec::new();
    for _ in 0..MOST {
        silent.push(bench.env.connect(bench.addr).await.expect("a connection"));
    }
    let more = bench.env.connect(bench.addr).await.expect("the system accepts it");
    assert_eq!(answer(more).await, "", "it is closed");
    assert_eq!(bench.counted_as("hub.refused", "address_connections"), 1);
    let other = SystemNet::connect_from(Ipv4Addr::new(127, 0, 0, 2), bench.addr).await;
    assert!(answer(other.expect("a connection")).await.starts_with("HTTP/1.1 200"), "others have theirs");

    drop(silent);
    let again = async {
        while !answer(bench.env.connect(bench.addr).await.expect("a connection"))
            .await
            .starts_with("HTTP/1.1 200")
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), again).await.expect("who leaves gives its place back");
}

/// A client that takes the hub's certificate as it is now.
async fn secured(bench: &Bench, certificate: &[u8]) -> Option<Client> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.to_vec().into()).expect("a certificate");
    let tls = ClientConfig::builder_with_provider(bench.env.crypto().clone())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = bench.env.connect(bench.addr).await.expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.ok()?;
    let request = format!("ws://{}/live-map", bench.addr).into_client_request().expect("a request");
    let stream: Box<dyn ByteStream> = Box::new(Secure(stream));
    let (socket, _): (WebSocketStream<Box<dyn ByteStream>>, _) = client_async(request, stream).await.ok()?;
    Some(Client(socket))
}

#[tokio::test]
async fn browsers_come_by_tls_and_whoever_does_not_is_sent_there() {
    let bench = Bench::start_secure(Config::default()).await;
    let certificate = |seed: u64| {
        let seeds = drover_env::SeedTree::from_number(seed);
        drover_quic::local_cert(&seeds, bench.env.wall()).expect("a certificate")
    };
    let first = certificate(1);
    bench.shown.set(&bench.env, &first).expect("a pair");
    let mut client = secured(&bench, first.leaf()).await.expect("let in");
    client.say(r#"{"action":"AUTHENTICATE","token":"dispatcher"}"#).await;
    client.next("welcome").await.expect("told");
    // Another certificate takes its place; who is there stays.
    let second = certificate(2);
    bench.shown.set(&bench.env, &second).expect("a pair");
    assert!(secured(&bench, first.leaf()).await.is_none() && secured(&bench, second.leaf()).await.is_some());
    client.say(r#"{"action":"PING"}"#).await;
    client.next("pong").await.expect("told");
    let plain = bench.raw("GET /driver?x=1 HTTP/1.1\r\nHost: map.example.com\r\n\r\n").await;
    assert!(plain.starts_with("HTTP/1.1 308"), "{plain}");
    assert!(plain.contains("location: https://map.example.com/driver?x=1\r\n"), "{plain}");
    let probe = bench.raw(std::str::from_utf8(REQUEST).expect("text")).await;
    assert!(probe.starts_with("HTTP/1.1 200"), "health agents ask without: {probe}");
}

use tls::Secure;

mod tls {
    use std::io;
    use std::net::SocketAddr;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use drover_env::ByteStream;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    use tokio_rustls::client::TlsStream;

    /// A stream inside TLS, as the bench takes one.
    pub(super) struct Secure(pub(super) TlsStream<Box<dyn ByteStream>>);

    impl ByteStream for Secure {
        fn peer_addr(&self) -> SocketAddr {
            self.0.get_ref().0.peer_addr()
        }
    }

    impl AsyncRead for Secure {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for Secure {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }
}
