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
use drover_model::orders::{Action, Command, NewStop, OrderState, Verdict};
use drover_model::{
    CommandId, MessageId, NodeKind, NodeName, OrderId, Position, StopId, VehicleId, WallTime,
};
use drover_persistence::Persistence;
use drover_quic::{Ca, Principal};
use drover_store::MemoryStore;
use futures_util::{SinkExt, Stream, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use crate::platform::{ANY, PATIENCE};

struct Place {
    hub: SocketAddr,
    dispatcher: String,
    /// Of VAN-1.
    driver: String,
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
        let token = |name: &str, role: &str, vehicle: Option<&str>| {
            signer.sign(&Claims {
                iss: "drover".to_owned(),
                sub: name.to_owned(),
                iat: now,
                exp: now + 600,
                nbf: None,
                aud: None,
                jti: Some(format!("{name}s")),
                scope: None,
                tenant: Some("north".to_owned()),
                role: Some(role.to_owned()),
                vehicle: vehicle.map(str::to_owned),
            })
        };
        let (dispatcher, driver) =
            (token("anna", "dispatcher", None), token("bert", "driver", Some("VAN-1")));
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
        Self { hub: addr, dispatcher, driver, store: memory, env, _folder: folder }
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

    /// Has the store carry something out.
    fn carry_out(&self, id: u128, action: Action) {
        let (tenant, id) = ("north".parse().expect("a name"), CommandId::from_bits(id));
        let command = Command { tenant, id, at: self.env.wall(), action };
        let done = self.store.carry_out_now(command).expect("a good command");
        assert_eq!(done.verdict, Verdict::Applied);
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

    place.store.revoke("token:somebody-elses", None);
    place.store.revoke("token:annas", Some(place.env.wall()));
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

/// The next event that a live map is told of.
async fn next_event(map: &mut (impl Stream<Item = Result<Message, Error>> + Unpin)) -> Value {
    loop {
        let message = map.next().await.expect("it goes on").expect("a message");
        let told: Value = serde_json::from_str(message.to_text().expect("text")).unwrap_or_default();
        if told["type"] == "event" {
            return told["event"].clone();
        }
    }
}

#[tokio::test]
async fn a_driver_hears_of_an_order_that_is_taken_away_and_not_of_who_gets_it() {
    let place = Place::open().await;
    let (order, van) = (OrderId::from_bits(12), |name: &str| VehicleId::new(name).expect("a name"));
    let position = Position::new(60.17, 24.94).expect("a place");
    let stop = NewStop { id: StopId::from_bits(90), position, due_from: None, due_until: None };
    place.carry_out(1, Action::CreateOrder { order, customer: "Ann".to_owned(), stops: vec![stop] });
    let step = |from, to, vehicle| Action::ChangeOrder { order, from, to, vehicle };
    place.carry_out(2, step(OrderState::Planned, OrderState::Assigned, Some(van("VAN-1"))));
    let words = |number: u128| Action::SendMessage {
        message: MessageId::from_bits(number),
        vehicle: van("VAN-1"),
        to_vehicle: true,
        body: format!("number {number}"),
        expires: WallTime::from_secs(place.env.wall().as_secs() + 600),
    };

    let stream = place.env.connect(place.hub).await.expect("connected");
    let (mut map, _) = client_async("ws://hub/live-map", stream).await.expect("a session");
    let hello = format!(r#"{{"action":"AUTHENTICATE","token":"{}"}}"#, place.driver);
    for said in [hello.as_str(), r#"{"action":"SUBSCRIBE","topic":"events"}"#] {
        map.send(Message::text(said)).await.expect("sent");
    }
    // The first words that arrive show that the hub follows what happens.
    let mut number = 100;
    let follows = async {
        loop {
            place.carry_out(number, words(number));
            number += 1;
            if timeout(Duration::from_millis(100), next_event(&mut map)).await.is_ok() {
                break;
            }
        }
    };
    timeout(PATIENCE, follows).await.expect("in time");
    place.carry_out(3, step(OrderState::Assigned, OrderState::Planned, None));
    place.carry_out(4, step(OrderState::Planned, OrderState::Assigned, Some(van("VAN-2"))));
    place.carry_out(5, words(5));
    let told = timeout(PATIENCE, async {
        let mut orders = Vec::new();
        loop {
            let event = next_event(&mut map).await;
            match event["kind"].as_str() {
                Some("order") => orders.push((event["id"].clone(), event["state"].clone())),
                _ if event["body"] == "number 5" => return orders,
                _ => {}
            }
        }
    });
    let expected = (Value::from(order.to_string()), Value::from("planned"));
    assert_eq!(told.await.expect("in time"), [expected]);
}
