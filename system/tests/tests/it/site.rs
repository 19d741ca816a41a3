//! A hub's port as a browser sees it: pages, the HTTP API and the live map behind one address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drover_api::Config as ApiConfig;
use drover_auth::{Claims, Issuer, PublicKeys, Signer, Verifier};
use drover_env::real::{self, Metrics};
use drover_env::{Env, SeedTree};
use drover_hub::{Config, Hub, Peer, SiteConfig, Tokens};
use drover_model::{NodeKind, NodeName};
use drover_persistence::Persistence;
use drover_quic::{Ca, Principal};
use drover_store::MemoryStore;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::platform::{ANY, PATIENCE};

struct Place {
    hub: SocketAddr,
    dispatcher: String,
    store: MemoryStore,
    env: Env,
    _folder: TempDir,
}

impl Place {
    /// A hub with its pages, and an agent with a store in memory.
    async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let env = real::env("hub/0", folder.path(), Arc::new(Metrics::default())).expect("an env");
        let seeds = SeedTree::from_number(7);
        let ca = Ca::new(&seeds, env.wall()).expect("a CA");
        let trust = ca.trust().expect("a root");
        let identity = |kind| ca.issue(&Principal::service(kind, 0), &seeds).expect("a certificate");
        let memory = MemoryStore::new();
        let store = Arc::new(memory.clone());
        let config = drover_persistence::Config { listen: ANY, ..Default::default() };
        let own = identity(NodeKind::Persistence);
        let agent = Persistence::bind(env.clone(), config, &own, &trust, store.clone()).expect("an agent");
        let agent = agent.with_history(store.clone()).with_orders(store.clone()).with_revocations(store);
        let addr = agent.local_addr().expect("an address");
        drop(env.spawn("agent", async move { agent.run(CancellationToken::new()).await }));

        let signer = Signer::from_seed([1; 32]);
        let keys = PublicKeys::from_jwks(&signer.jwks()).expect("keys");
        let issuer = Issuer { name: "drover".to_owned(), audience: None, keys, tenant: None };
        let verifier = Arc::new(Verifier::new(vec![issuer]));
        let now = env.wall().as_secs();
        let dispatcher = signer.sign(&Claims {
            iss: "drover".to_owned(),
            sub: "anna".to_owned(),
            iat: now,
            exp: now + 600,
            nbf: None,
            aud: None,
            jti: Some("annas".to_owned()),
            scope: None,
            tenant: Some("north".to_owned()),
            role: Some("dispatcher".to_owned()),
            vehicle: None,
        });
        let persistence = vec![Peer { node: NodeName::new(NodeKind::Persistence, 0), addr }];
        let config = Config {
            listen: ANY,
            bus_listen: ANY,
            bus_bind: ANY,
            persistence,
            // Sessions are looked at as often as the shorter of these two says.
            handshake_max: Duration::from_millis(500),
            slow_max: Duration::from_millis(500),
            revocation_interval: Duration::from_millis(20),
            ..Config::default()
        };
        let door = Arc::new(Tokens::new(verifier.clone(), None));
        let hub =
            Hub::bind(env.clone(), config, &identity(NodeKind::Hub), &trust, door).await.expect("a hub");
        let site = SiteConfig { name: "Test".to_owned(), ..SiteConfig::default() };
        let hub = hub.with_site(verifier, None, ApiConfig::default(), site);
        let addr = hub.local_addr().expect("an address");
        drop(env.spawn("hub", async move { hub.run(CancellationToken::new()).await }));
        Self { hub: addr, dispatcher, store: memory, env, _folder: folder }
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        let stream = self.env.connect(self.hub).await.expect("connected");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        let mut request = Request::builder().method(method).uri(path).header("host", "hub");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        let exchange = async {
            let (parts, body) = sender.send_request(request).await.expect("an answer").into_parts();
            Response::from_parts(parts, body.collect().await.expect("a body").to_bytes())
        };
        tokio::pin!(exchange);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            _ = connection => exchange.await,
        }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        self.ask(Method::GET, path, headers).await
    }
}

fn header<'a>(answer: &'a Response<Bytes>, name: &str) -> &'a str {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[tokio::test]
async fn pages_come_with_a_policy_that_lets_them_speak_to_nobody_else_and_are_kept() {
    let place = Place::open().await;
    for path in ["/", "/driver", "/sign-in", "/d/dsl_MDEyMzQ1Njc4OWFiY2RlZg"] {
        let page = place.get(path, &[]).await;
        assert_eq!(
            (page.status(), header(&page, "content-type")),
            (StatusCode::OK, "text/html; charset=utf-8"),
            "{path}"
        );
        assert!(header(&page, "content-security-policy").contains("default-src 'none'"));
        assert_eq!(header(&page, "referrer-policy"), "no-referrer");
        let etag = header(&page, "etag");
        let again = place.get(path, &[("if-none-match", etag)]).await;
        assert_eq!((again.status(), again.body().len()), (StatusCode::NOT_MODIFIED, 0));
    }
    let page = place.get("/", &[]).await;
    let text = String::from_utf8_lossy(page.body()).into_owned();
    let script = text.split('"').find(|word| word.starts_with("/assets/") && word.ends_with(".js"));
    let script = script.expect("a script");
    let packed = place.get(script, &[("accept-encoding", "gzip, br")]).await;
    assert_eq!((packed.status(), header(&packed, "content-encoding")), (StatusCode::OK, "br"));
    assert!(header(&packed, "cache-control").contains("immutable"));
    let head = place.ask(Method::HEAD, "/", &[]).await;
    assert_eq!((head.status(), head.body().len()), (StatusCode::OK, 0));
    assert_eq!(place.ask(Method::POST, "/", &[]).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(place.get("/nothing", &[]).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(place.get("/../Cargo.toml", &[]).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_api_knows_who_asks_and_pages_know_the_place() {
    let place = Place::open().await;
    let bearer = format!("Bearer {}", place.dispatcher);
    let me = place.get("/api/v1/me", &[("authorization", &bearer)]).await;
    let me: Value = serde_json::from_slice(me.body()).expect("JSON");
    assert_eq!(
        (&me["sub"], &me["tenant"], &me["role"]),
        (&"anna".into(), &"north".into(), &"dispatcher".into())
    );
    let stranger = place.get("/api/v1/orders", &[]).await;
    assert_eq!(
        (stranger.status(), header(&stranger, "content-type")),
        (StatusCode::UNAUTHORIZED, "application/problem+json")
    );
    let vehicles = place.get("/api/v1/vehicles", &[("authorization", &bearer)]).await;
    assert_eq!(vehicles.status(), StatusCode::OK);
    let config = place.get("/config.json", &[]).await;
    let config: Value = serde_json::from_slice(config.body()).expect("JSON");
    assert_eq!((&config["name"], &config["sign_in"]), (&"Test".into(), &"token".into()));
    let streets = place.get("/streets.geojson", &[("accept-encoding", "gzip")]).await;
    assert_eq!((streets.status(), header(&streets, "content-encoding")), (StatusCode::OK, "gzip"));
    assert_eq!(place.get("/tiles/14/1/1.mvt", &[]).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(place.get("/live-map", &[]).await.status(), StatusCode::UPGRADE_REQUIRED);
}

#[tokio::test]
async fn a_token_that_is_taken_back_opens_nothing_and_ends_what_it_had_opened() {
    let place = Place::open().await;
    let bearer = format!("Bearer {}", place.dispatcher);
    let asked = async || place.get("/api/v1/orders", &[("authorization", &bearer)]).await;
    assert_eq!(asked().await.status(), StatusCode::OK);
    let stream = place.env.connect(place.hub).await.expect("connected");
    let (mut map, _) = client_async("ws://hub/live-map", stream).await.expect("a session");
    let hello = format!(r#"{{"action":"AUTHENTICATE","token":"{}"}}"#, place.dispatcher);
    map.send(Message::text(hello)).await.expect("sent");
    let welcome = map.next().await.expect("an answer").expect("a message");
    assert!(welcome.to_text().is_ok_and(|text| text.contains("\"welcome\"")), "{welcome:?}");

    place.store.revoke("token:somebody-elses");
    place.store.revoke("token:annas");
    let ended = timeout(PATIENCE, async {
        loop {
            match map.next().await.expect("a goodbye").expect("a message") {
                Message::Close(frame) => return frame.map(|frame| u16::from(frame.code)),
                _ => continue,
            }
        }
    });
    assert_eq!(ended.await.expect("in time"), Some(4403));
    let refused = asked().await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let problem: Value = serde_json::from_slice(refused.body()).expect("a problem");
    assert_eq!(problem["code"], "revoked", "{problem}");
}
