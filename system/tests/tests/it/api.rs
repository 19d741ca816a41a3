//! The HTTP API over a real persistence agent on the bus: what dispatchers, drivers, customers and strangers are told.

mod arrivals;
mod audit;
mod changes;
mod lists;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use drover_api::{Api, Config, Fleet};
use drover_auth::{Claims, Issuer, PublicKeys, Signer, Tickets, Verifier};
use drover_bus::{NodeAddr, Pool, PoolConfig};
use drover_env::real::{self, Metrics};
use drover_env::{Env, SeedTree};
use drover_model::{NodeKind, NodeName, TenantId, VehicleId, WallTime};
use drover_persistence::Persistence;
use drover_quic::{Ca, Identity, Principal, Profile, Trust};
use drover_store::MemoryStore;
use drover_wire::mcp;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use quinn::Endpoint;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// One vehicle of one tenant, in front of the door.
struct OneVan;

impl Fleet for OneVan {
    fn features(&self, tenant: TenantId, may_see: &dyn Fn(VehicleId) -> bool, _: bool) -> Option<Vec<Value>> {
        let van = VehicleId::new("VAN-1").expect("a name");
        let feature = json!({
            "type": "Feature", "id": "VAN-1", "geometry": { "type": "Point", "coordinates": [24.94, 60.17] },
            "properties": { "vehicle_id": "VAN-1", "time_ms": 1_772_434_800_123_u64, "status": "moving", "group": null, "age_ms": 5 },
        });
        Some(if tenant.as_str() == "north" && may_see(van) { vec![feature] } else { Vec::new() })
    }
}

struct Office {
    api: Api,
    signer: Signer,
    env: Env,
    /// What its agent has.
    store: MemoryStore,
    _folder: TempDir,
}

/// What somebody is told: status and body.
type Told = (u16, Value);

impl Office {
    fn open() -> Self {
        Self::open_with(Config::default())
    }

    fn open_with(config: Config) -> Self {
        Self::open_before(config, Arc::new(OneVan))
    }

    /// With these vehicles in front of the door.
    fn open_before(config: Config, fleet: Arc<dyn Fleet>) -> Self {
        Self::open_with_pool(config, fleet, pool)
    }

    /// Over whatever `serve` makes of an agent's endpoint, in place of a persistence agent.
    fn open_over(serve: impl FnOnce(&Env, Endpoint)) -> Self {
        Self::open_with_pool(Config::default(), Arc::new(OneVan), |env, _| {
            let wires = Wires::new(env);
            let endpoint = drover_bus::listen(env, ANY, &wires.identity(NodeKind::Persistence), &wires.trust);
            let endpoint = endpoint.expect("an endpoint");
            let addr = endpoint.local_addr().expect("an address");
            serve(env, endpoint);
            wires.pool(env, addr)
        })
    }

    fn open_with_pool(
        config: Config,
        fleet: Arc<dyn Fleet>,
        pool: impl FnOnce(&Env, &MemoryStore) -> Pool,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let env = real::env("hub/0", folder.path(), Arc::new(Metrics::default())).expect("an env");
        let signer = Signer::from_seed([1; 32]);
        let keys = PublicKeys::from_jwks(&signer.jwks()).expect("keys");
        let issuer = Issuer { name: "drover".to_owned(), audience: None, keys, tenant: None };
        let tickets = Tickets::new(Signer::from_seed([2; 32])).expect("a key");
        let config = Config { public_url: "https://map.example.com/".to_owned(), ..config };
        let verifier = Arc::new(Verifier::new(vec![issuer]));
        let store = MemoryStore::new();
        let pool = pool(&env, &store);
        let api = Api::new(env.clone(), pool, verifier, Some(Arc::new(tickets)), fleet, config);
        Self { api, signer, env, store, _folder: folder }
    }

    fn token(&self, tenant: &str, role: &str, vehicle: Option<&str>) -> String {
        let now = self.env.wall().as_secs();
        self.signer.sign(&Claims {
            iss: "drover".to_owned(),
            sub: role.to_owned(),
            iat: now,
            exp: now + 3600,
            nbf: None,
            aud: None,
            jti: None,
            scope: None,
            tenant: Some(tenant.to_owned()),
            role: Some(role.to_owned()),
            vehicle: vehicle.map(str::to_owned),
        })
    }

    async fn say(&self, method: Method, path: &str, token: &str, key: Option<u128>, body: &Value) -> Told {
        self.say_of((method, path), token, key, body, "").await
    }

    /// Something that happened at a moment, if one is given.
    async fn say_of(
        &self,
        (method, path): (Method, &str),
        token: &str,
        key: Option<u128>,
        body: &Value,
        at: &str,
    ) -> Told {
        let mut request = Request::builder().method(method).uri(path);
        if !at.is_empty() {
            request = request.header("happened-at", at);
        }
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", drover_model::CommandId::from_bits(key).to_string());
        }
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let answer = self.api.answer(request.body(Full::new(body)).expect("a request"), STRANGER).await;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice(&bytes).expect("JSON"))
    }

    async fn get(&self, path: &str, token: &str) -> Told {
        self.say(Method::GET, path, token, None, &Value::Null).await
    }

    async fn post(&self, path: &str, token: &str, key: u128, body: Value) -> Told {
        self.say(Method::POST, path, token, Some(key), &body).await
    }

    /// An order of two stops, and their identities.
    async fn order(&self, dispatcher: &str, key: u128) -> (String, Vec<String>) {
        let stops = json!([
            { "lon": 24.94, "lat": 60.17, "due_until": "2026-03-02T09:00:00Z" },
            { "lon": 24.95, "lat": 60.171 },
        ]);
        let (status, order) =
            self.post("/api/v1/orders", dispatcher, key, json!({ "customer": "Ann", "stops": stops })).await;
        assert_eq!(status, 201, "{order}");
        let id = |value: &Value| value["id"].as_str().expect("an identity").to_owned();
        (id(&order), order["stops"].as_array().expect("stops").iter().map(id).collect())
    }
}

/// A hub's way to an agent whose store is in memory.
fn pool(env: &Env, store: &MemoryStore) -> Pool {
    let wires = Wires::new(env);
    let config = drover_persistence::Config { listen: ANY, ..Default::default() };
    let store = Arc::new(store.clone());
    let own = wires.identity(NodeKind::Persistence);
    let agent = Persistence::bind(env.clone(), config, &own, &wires.trust, store.clone()).expect("an agent");
    let agent = agent.with_history(store.clone()).with_orders(store.clone()).with_trail(store);
    let addr = agent.local_addr().expect("an address");
    drop(env.spawn("agent", async move { agent.run(CancellationToken::new()).await }));
    wires.pool(env, addr)
}

/// What makes certificates for the bus.
struct Wires {
    seeds: SeedTree,
    ca: Ca,
    trust: Trust,
}

impl Wires {
    fn new(env: &Env) -> Self {
        let seeds = SeedTree::from_number(7);
        let ca = Ca::new(&seeds, env.wall()).expect("a CA");
        let trust = ca.trust().expect("a root");
        Self { seeds, ca, trust }
    }

    fn identity(&self, kind: NodeKind) -> Identity {
        self.ca.issue(&Principal::service(kind, 0), &self.seeds).expect("a certificate")
    }

    /// A hub's way to the agent at `addr`.
    fn pool(&self, env: &Env, addr: SocketAddr) -> Pool {
        let own = self.identity(NodeKind::Hub);
        let config = drover_quic::client_config(env, &own, &self.trust, mcp::ALPN, &Profile::service());
        let endpoint = drover_quic::client(env, ANY).expect("an endpoint");
        let pool = Pool::new(env.clone(), config.expect("a config"), endpoint, PoolConfig::default());
        pool.set_nodes(vec![NodeAddr { name: NodeName::new(NodeKind::Persistence, 0), addr }]);
        pool
    }
}

#[tokio::test]
async fn an_order_goes_from_planned_to_delivered_and_a_repeat_changes_nothing() {
    let office = Office::open();
    let dispatcher = office.token("north", "dispatcher", None);
    let driver = office.token("north", "driver", Some("VAN-1"));
    let (order, stops) = office.order(&dispatcher, 1).await;
    assert_eq!(
        office.order(&dispatcher, 1).await,
        (order.clone(), stops.clone()),
        "said again it is the same"
    );

    let state = format!("/api/v1/orders/{order}/state");
    let step = |from: &str, to: &str| json!({ "from": from, "to": to });
    let (status, problem) = office.post(&state, &driver, 2, step("assigned", "under_way")).await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")), "it is nobody's yet");
    let assign = json!({ "from": "planned", "to": "assigned", "vehicle": "VAN-1" });
    let (status, assigned) = office.post(&state, &dispatcher, 3, assign.clone()).await;
    assert_eq!((status, &assigned["vehicle"]), (200, &json!("VAN-1")), "{assigned}");
    let (status, problem) = office.post(&state, &dispatcher, 4, assign).await;
    assert_eq!((status, &problem["code"], &problem["state"]), (409, &json!("elsewhere"), &json!("assigned")));

    assert_eq!(office.post(&state, &driver, 5, step("assigned", "under_way")).await.0, 200);
    let stop = format!("/api/v1/stops/{}/state", stops[0]);
    let (status, arrived) = office.post(&stop, &driver, 6, step("planned", "arrived")).await;
    assert_eq!((status, &arrived["state"]), (200, &json!("arrived")), "{arrived}");
    let (_, problem) = office.post(&stop, &driver, 7, step("arrived", "planned")).await;
    assert_eq!((&problem["code"], &problem["state"]), (&json!("not_a_step"), &json!("arrived")));
    // Done without a link an hour ago, and said now; nobody has done something tomorrow, or last year.
    let second = format!("/api/v1/stops/{}/state", stops[1]);
    let hour_ago =
        WallTime::from_micros(office.env.wall().as_micros() / 1_000_000 * 1_000_000 - 3_600_000_000);
    let said = async |key, from: &str, to: &str, at: &str| {
        office.say_of((Method::POST, &second), &driver, Some(key), &step(from, to), at).await
    };
    let (_, arrived) = said(20, "planned", "arrived", &hour_ago.to_string()).await;
    assert_eq!(arrived["arrived"].as_str().and_then(|at| at.parse().ok()), Some(hour_ago), "{arrived}");
    let (_, done) = said(21, "arrived", "done", "2020-01-01T00:00:00Z").await;
    let done: WallTime = done["done"].as_str().and_then(|at| at.parse().ok()).expect("a time");
    assert!(office.env.wall().since(done).as_secs() < 60, "{done}");
    assert_eq!(said(22, "done", "planned", "soon").await.0, 400);
    assert_eq!(office.post(&state, &driver, 8, step("under_way", "delivered")).await.0, 200);

    let (_, list) = office.get("/api/v1/orders?state=delivered", &dispatcher).await;
    assert_eq!(list["items"][0]["id"], order);
    let (_, vehicle) = office.get("/api/v1/vehicles/VAN-1", &dispatcher).await;
    assert_eq!((&vehicle["status"], &vehicle["order"]), (&json!("moving"), &Value::Null));
}

#[tokio::test]
async fn what_changed_is_read_from_where_one_was_and_a_driver_sees_their_own() {
    let office = Office::open();
    let dispatcher = office.token("north", "dispatcher", None);
    let (first, _) = office.order(&dispatcher, 1).await;
    let (_, page) = office.get("/api/v1/changes?limit=1", &dispatcher).await;
    assert_eq!((&page["items"][0]["kind"], &page["items"][0]["id"]), (&json!("order"), &json!(first)));
    let since = page["next"].as_str().expect("a place").to_owned();

    let (second, _) = office.order(&dispatcher, 2).await;
    let assign = json!({ "from": "planned", "to": "assigned", "vehicle": "VAN-2" });
    office.post(&format!("/api/v1/orders/{second}/state"), &dispatcher, 3, assign).await;
    let message = json!({ "vehicle": "VAN-2", "body": "mind the gate" });
    let (status, sent) = office.post("/api/v1/messages", &dispatcher, 4, message.clone()).await;
    assert_eq!((status, &sent["state"]), (201, &json!("queued")), "{sent}");
    assert_eq!(
        office.post("/api/v1/messages", &dispatcher, 4, message).await.1,
        sent,
        "said again it is the same"
    );

    let (_, rest) = office.get(&format!("/api/v1/changes?since={since}"), &dispatcher).await;
    let kinds: Vec<_> =
        rest["items"].as_array().expect("items").iter().map(|item| item["kind"].clone()).collect();
    assert_eq!(kinds, ["order", "order", "message"]);
    let own = |vehicle| office.token("north", "driver", Some(vehicle));
    let (_, seen) = office.get("/api/v1/changes", &own("VAN-2")).await;
    let ids: Vec<_> =
        seen["items"].as_array().expect("items").iter().map(|item| item["id"].clone()).collect();
    // Of before it was theirs, too: the feed is about things that they have.
    assert_eq!(ids, [json!(second), json!(second), sent["id"].clone()]);
    let (_, nothing) = office.get("/api/v1/changes", &own("VAN-1")).await;
    assert_eq!(nothing["items"], json!([]));
    // Another tenant's feed is another's.
    let (_, nothing) = office.get("/api/v1/changes", &office.token("south", "dispatcher", None)).await;
    assert_eq!(nothing["items"], json!([]));
}

#[tokio::test]
async fn a_share_link_shows_its_delivery_while_it_is_under_way_and_then_nothing() {
    let office = Office::open_before(Config::default(), Arc::new(arrivals::Heard(2)));
    let dispatcher = office.token("north", "dispatcher", None);
    let (order, stops) = office.order(&dispatcher, 1).await;
    let path = format!("/api/v1/orders/{order}/share-links");
    let (status, link) = office.post(&path, &dispatcher, 2, json!({})).await;
    assert_eq!(status, 201, "{link}");
    let secret = link["token"].as_str().expect("a secret");
    assert_eq!(link["url"], format!("https://map.example.com/d/{secret}"));
    let (status, again) = office.post(&path, &dispatcher, 2, json!({})).await;
    assert_eq!((status, &again["code"]), (409, &json!("made_before")), "a secret is told once");

    let (_, before) = office.get("/api/v1/delivery", secret).await;
    assert_eq!(
        (&before["status"], &before["session"], &before["updated"]),
        (&json!("planned"), &Value::Null, &Value::Null)
    );
    let state = format!("/api/v1/orders/{order}/state");
    let assign = json!({ "from": "planned", "to": "assigned", "vehicle": "VAN-1" });
    office.post(&state, &dispatcher, 3, assign).await;
    office.post(&state, &dispatcher, 4, json!({ "from": "assigned", "to": "under_way" })).await;
    let (_, during) = office.get("/api/v1/delivery", secret).await;
    assert_eq!((&during["status"], &during["stops_before"]), (&json!("near"), &json!(1)), "{during}");
    let tickets = Tickets::new(Signer::from_seed([2; 32])).expect("a key");
    let session = during["session"].as_str().expect("a token for the live map");
    let customer = tickets.verify(session, office.env.wall()).expect("believed");
    assert!(customer.may_see(customer.tenant, VehicleId::new("VAN-1").expect("a name")));
    assert!(!during.to_string().contains("VAN-1"), "the vehicle's name is not the customer's: {during}");

    let (_, routes) = office
        .post(
            "/api/v1/routes",
            &dispatcher,
            5,
            json!({ "vehicle": "VAN-1", "stops": [stops[1]], "reason": "a jam" }),
        )
        .await;
    assert_eq!((&routes["revision"], &routes["state"]), (&json!(1), &json!("queued")), "{routes}");
    let (_, shorter) = office.get("/api/v1/delivery", secret).await;
    assert_eq!(shorter["stops_before"], 0, "the route that was planned counts");
    let both = json!({ "vehicle": "VAN-1", "stops": stops, "reason": "it is over" });
    office.post("/api/v1/routes", &dispatcher, 8, both).await;
    let longer = office.get("/api/v1/delivery", secret).await.1;
    assert_eq!(longer["stops_before"], 1);
    let first = format!("/api/v1/stops/{}/state", stops[0]);
    for (number, from, to) in [(9, "planned", "arrived"), (10, "arrived", "done")] {
        let step = json!({ "from": from, "to": to, "order": order });
        let (status, told) = office.post(&first, &dispatcher, number, step).await;
        assert_eq!(status, 200, "{told}");
    }
    let nearer = office.get("/api/v1/delivery", secret).await.1;
    assert_eq!(nearer["stops_before"], 0, "what is done is not before it any more");
    let last = format!("/api/v1/stops/{}/state", stops[1]);
    let halt = async |key, from: &str, to: &str| {
        let step = json!({ "from": from, "to": to, "order": order });
        let (status, told) = office.post(&last, &dispatcher, key, step).await;
        assert_eq!(status, 200, "{told}");
        office.get("/api/v1/delivery", secret).await.1
    };
    // Nobody waits for a vehicle that does not come, or has been there: where it drives then is others'.
    let skipped = halt(11, "planned", "skipped").await;
    assert_eq!((&skipped["status"], &skipped["session"]), (&json!("failed"), &Value::Null));
    halt(12, "skipped", "planned").await;
    let there = halt(13, "planned", "arrived").await;
    assert_eq!((&there["status"], there["session"].is_string()), (&json!("arrived"), true));
    let done = halt(14, "arrived", "done").await;
    assert_eq!(
        (&done["status"], &done["session"], &done["updated"]),
        (&json!("done"), &Value::Null, &Value::Null),
        "its order is under way until somebody says that it is delivered"
    );

    office.post(&state, &dispatcher, 6, json!({ "from": "under_way", "to": "delivered" })).await;
    let (_, after) = office.get("/api/v1/delivery", secret).await;
    assert_eq!((&after["status"], &after["session"]), (&json!("done"), &Value::Null));
    let id = link["id"].as_str().expect("an identity");
    let revoke = format!("/api/v1/share-links/{id}");
    assert_eq!(office.say(Method::DELETE, &revoke, &dispatcher, Some(7), &Value::Null).await.0, 200);
    assert_eq!(office.get("/api/v1/delivery", secret).await.1["status"], "over");
    let guessed = drover_auth::ShareSecret::from_random([9; 16]).reveal();
    assert_eq!(office.get("/api/v1/delivery", &guessed).await.0, 404);
}

#[tokio::test]
async fn an_outsider_learns_nothing_and_is_told_why() {
    let office = Office::open();
    let dispatcher = office.token("north", "dispatcher", None);
    let (order, _) = office.order(&dispatcher, 1).await;
    let told = async |path: &str, token: &str| {
        let (status, problem) = office.get(path, token).await;
        (status, problem["code"].as_str().unwrap_or_default().to_owned())
    };
    let stranger = Signer::from_seed([9; 32]);
    let claims = |exp| Claims {
        iss: "drover".to_owned(),
        sub: "x".to_owned(),
        iat: 0,
        exp,
        nbf: None,
        aud: None,
        jti: None,
        scope: None,
        tenant: Some("north".to_owned()),
        role: Some("dispatcher".to_owned()),
        vehicle: None,
    };
    let orders = "/api/v1/orders";
    assert_eq!(told(orders, "").await, (401, "unauthenticated".to_owned()));
    assert_eq!(
        told(orders, &stranger.sign(&claims(i64::MAX / 2_000_000))).await,
        (401, "unauthenticated".to_owned())
    );
    assert_eq!(told(orders, &office.signer.sign(&claims(1_000))).await, (401, "expired".to_owned()));
    assert_eq!(told(orders, &office.token("north", "viewer", None)).await, (403, "forbidden".to_owned()));
    let south = office.token("south", "dispatcher", None);
    assert_eq!(told(&format!("{orders}/{order}"), &south).await, (404, "not_found".to_owned()));
    assert_eq!(office.get("/api/v1/vehicles", &south).await.1["items"], json!([]));
    let other = office.token("north", "driver", Some("VAN-2"));
    assert_eq!(told(&format!("{orders}/{order}"), &other).await, (404, "not_found".to_owned()));
    assert_eq!(told("/api/v1/vehicles/VAN-1", &other).await, (404, "not_found".to_owned()));
    assert_eq!(told("/api/v1/nothing", &dispatcher).await, (404, "not_found".to_owned()));
    assert_eq!(told("/api/v1/orders?sort=age", &dispatcher).await, (400, "bad_request".to_owned()));
    let (status, problem) =
        office.say(Method::POST, orders, &dispatcher, None, &json!({ "customer": "Ann", "stops": [] })).await;
    assert_eq!(
        (status, problem["detail"].as_str().is_some_and(|text| text.contains("Idempotency-Key"))),
        (400, true)
    );
    let (status, problem) =
        office.post(orders, &dispatcher, 9, json!({ "customer": "Ann", "stops": [] })).await;
    assert_eq!((status, &problem["detail"]), (400, &json!("0 stops: an order has 1 to 100")));
    assert_eq!(office.get("/api/v1/openapi.json", "").await.1["openapi"], "3.1.0");
}

#[tokio::test]
async fn an_area_is_drawn_listed_and_forgotten() {
    let office = Office::open();
    let dispatcher = office.token("north", "dispatcher", None);
    let ring = json!([[[24.9, 60.1], [25.0, 60.1], [25.0, 60.2], [24.9, 60.1]]]);
    let area = json!({ "type": "Feature", "properties": { "name": "harbour" }, "geometry": { "type": "Polygon", "coordinates": ring } });
    let (status, drawn) = office.post("/api/v1/geofences", &dispatcher, 1, area.clone()).await;
    assert_eq!(status, 201, "{drawn}");
    let (_, list) = office.get("/api/v1/geofences", &dispatcher).await;
    assert_eq!(list["items"][0]["geometry"]["coordinates"], ring);
    let path = format!("/api/v1/geofences/{}", drawn["id"].as_str().expect("an identity"));
    assert_eq!(office.say(Method::DELETE, &path, &dispatcher, Some(2), &Value::Null).await.0, 200);
    assert_eq!(office.get("/api/v1/geofences", &dispatcher).await.1["items"], json!([]));
    let mut crossed = area;
    crossed["geometry"]["coordinates"] = json!([[[0, 0], [1, 1], [1, 0], [0, 1]]]);
    let (status, problem) = office.post("/api/v1/geofences", &dispatcher, 3, crossed).await;
    assert_eq!(
        (status, &problem["detail"]),
        (400, &json!("corners: the area's border crosses or touches itself"))
    );
}

#[tokio::test]
async fn an_area_that_is_changed_stays_the_same_area_and_others_can_not_change_it() {
    let office = Office::open();
    let dispatcher = office.token("north", "dispatcher", None);
    let polygon = |east: f64| json!({ "type": "Polygon", "coordinates": [[[24.9, 60.1], [east, 60.1], [east, 60.2], [24.9, 60.1]]] });
    let area = json!({ "type": "Feature", "properties": { "name": "harbour" }, "geometry": polygon(25.0) });
    let (_, drawn) = office.post("/api/v1/geofences", &dispatcher, 1, area).await;
    let path = format!("/api/v1/geofences/{}", drawn["id"].as_str().expect("an identity"));
    let put = async |token: &str, key, body: Value| office.say(Method::PUT, &path, token, key, &body).await;
    let renamed = json!({ "properties": { "name": "port" } });
    for repeat in ["first", "again"] {
        let (status, now) = put(&dispatcher, Some(2), renamed.clone()).await;
        let expected = json!({ "type": "Feature", "id": drawn["id"], "properties": { "name": "port" }, "geometry": polygon(25.0) });
        assert_eq!((status, now), (200, expected), "{repeat}: the ring stays");
    }
    let (status, now) = put(&dispatcher, Some(3), json!({ "geometry": polygon(26.0) })).await;
    assert_eq!((status, &now["properties"]["name"], &now["geometry"]), (200, &json!("port"), &polygon(26.0)));
    let (_, list) = office.get("/api/v1/geofences", &dispatcher).await;
    assert_eq!(list["items"], json!([now]), "one area, with the identity that it had");
    let (_, feed) = office.get("/api/v1/changes", &dispatcher).await;
    let told: Vec<_> =
        feed["items"].as_array().expect("items").iter().map(|item| (&item["id"], &item["name"])).collect();
    let id = &drawn["id"];
    assert_eq!(told, [(id, &json!("harbour")), (id, &json!("port")), (id, &Value::Null)]);
    for (key, body, expected) in [
        (Some(4), json!({}), "an area is changed in its title, its corners or both: neither is given"),
        (Some(5), json!({ "properties": { "name": 5 } }), "properties.name of 5: it is a text"),
        (
            Some(6),
            json!({ "geometry": { "type": "Point", "coordinates": [1, 2] } }),
            "geometry: \"Point\" is no Polygon",
        ),
    ] {
        let (status, problem) = put(&dispatcher, key, body).await;
        assert_eq!((status, &problem["detail"]), (400, &json!(expected)));
    }
    assert_eq!(put(&dispatcher, None, renamed.clone()).await.0, 400, "a change has a key");
    let of = |tenant, role| office.token(tenant, role, None);
    assert_eq!(put(&of("south", "dispatcher"), Some(7), renamed.clone()).await.0, 404);
    assert_eq!(put(&of("north", "viewer"), Some(8), renamed.clone()).await.0, 403);
    assert_eq!(office.say(Method::DELETE, &path, &dispatcher, Some(9), &Value::Null).await.0, 200);
    assert_eq!(put(&dispatcher, Some(10), renamed).await.0, 404, "what is gone stays so");
    let stop = CancellationToken::new();
    stop.cancel();
    office.api.clone().keep_notes(stop).await;
    let (_, noted) =
        office.get(&format!("/api/v1/audit?subject={}", id.as_str().expect("a text")), &dispatcher).await;
    let noted =
        noted["items"].as_array().expect("items").iter().map(|note| (&note["action"], &note["outcome"]));
    let said: Vec<String> =
        noted.map(|(action, outcome)| format!("{action} {outcome}").replace('"', "")).collect();
    let changes = ["applied"; 3].map(|outcome| format!("change_geofence {outcome}"));
    let expected = [
        ["change_geofence missing".to_owned(), "remove_geofence applied".to_owned()].as_slice(),
        &changes,
        &["draw_geofence applied".to_owned()],
    ]
    .concat();
    assert_eq!(said, expected, "of this tenant alone, newest first");
}

#[tokio::test]
async fn whoever_asks_too_often_or_guesses_is_told_when_to_come_back() {
    let office = Office::open_with(Config { requests_per_s: 1, requests_burst: 1, ..Config::default() });
    let (anna, ben) = (office.token("north", "dispatcher", None), office.token("north", "viewer", None));
    let refused_of = async |token: &str, expected: u16| {
        for _ in 0..100 {
            let (status, body) = office.get("/api/v1/vehicles", token).await;
            if status == 429 {
                assert_eq!((&body["code"], &body["status"]), (&json!("too_many"), &json!(429)));
                return body["retry_after_s"].as_u64().expect("seconds");
            }
            assert_eq!(status, expected);
        }
        panic!("nobody was held back");
    };
    assert!(refused_of(&anna, 200).await <= 2);
    assert_eq!(office.get("/api/v1/vehicles", &ben).await.0, 200, "others do not notice");
    // A guess costs as much as twenty requests: then its address waits, whoever asks there.
    refused_of("nonsense", 401).await;
    assert_eq!(office.get("/api/v1/vehicles", &ben).await.0, 429);
    // Who has one address of IPv6 has all of its network.
    let mut of_network = Vec::new();
    for number in 0..100 {
        let request = Request::builder().uri("/api/v1/vehicles").body(Full::new(Bytes::new()));
        let peer = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number);
        let answer = office.api.answer(request.expect("a request"), peer.into()).await;
        of_network.push(answer.status().as_u16());
    }
    assert!(of_network.starts_with(&[401]) && of_network.contains(&429), "{of_network:?}");
}
