//! A small town of the production's services in virtual time, and in it pages and services for which a test stands.

mod relayed;
mod tools;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drover_auth::{Principal, Role, Scope};
use drover_bus::{NodeAddr, Pool, PoolConfig};
use drover_env::{ByteStream, SeedTree, Value};
use drover_hub::{Denied, Door};
use drover_model::{NodeKind, NodeName, VehicleId, WallTime};
use drover_quic::Profile;
use drover_simnet::{Access, Observer, Sim, SimConfig, Sites};
use drover_wire::mcp;
use drover_world::World;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::addresses::service_ip;
use super::{Cluster, DB, clients_addr, service_addr, tenant, vehicle_id};
use crate::configs::Configs;
use crate::db::Db;
use crate::history::History;
use crate::run::roads;
use crate::scenario::Scenario;
use crate::spec::world_spec;

/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// By then whatever would still come has come.
const LATER: Duration = Duration::from_secs(4);
/// Numbers of nodes that are none of the scenario's.
const FIRST_STRANGER: u32 = 50;

const fn hub(index: u32) -> NodeName {
    NodeName::new(NodeKind::Hub, index)
}

/// How often each node told of each event.
#[derive(Default)]
struct Counts(Mutex<BTreeMap<(NodeName, &'static str), u64>>);

impl Observer for Counts {
    fn event(&self, _: Duration, node: NodeName, name: &'static str, _: &[(&'static str, Value<'_>)]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry((node, name)).or_default() += 1;
    }
}

/// Lets in whoever names a role: `office`, `driver/<vehicle>` or `customer/<vehicle>`.
struct AnyPage;

impl Door for AnyPage {
    fn admit(&self, token: &str, now: WallTime) -> Result<Principal, Denied> {
        let (role, vehicle) =
            token.split_once('/').map_or((token, None), |(role, vehicle)| (role, Some(vehicle)));
        let (role, scopes): (_, &[Scope]) = match role {
            "office" => (Role::Dispatcher, &[Scope::MapView, Scope::RouteRead]),
            "driver" => (Role::Driver, &[Scope::Drive]),
            "customer" => (Role::Customer, &[Scope::MapView]),
            _ => return Err(Denied::Invalid),
        };
        let vehicle = vehicle.map(VehicleId::new).transpose().map_err(|_| Denied::Invalid)?;
        Ok(Principal {
            subject: token.to_owned(),
            tenant: tenant(),
            role,
            scopes: scopes.iter().copied().collect(),
            vehicle,
            since: None,
            expires: now.plus(Duration::from_secs(3_600)),
            token_id: token.to_owned(),
        })
    }

    fn is_revoked(&self, _: &Principal) -> bool {
        false
    }
}

struct Town {
    sim: Sim,
    cluster: RefCell<Cluster>,
    counts: Arc<Counts>,
    hubs: u32,
    strangers: Cell<u32>,
}

/// Plays `story` in a town of two vans that drive, one gateway, and so many hubs, with `rest` in its scenario.
fn play(hubs: u32, rest: &str, story: impl AsyncFnOnce(&Town)) {
    let text = format!(
        "name = \"town\"\nquestion = \"Does it hold?\"\nduration_s = 300\nsettle_s = 60\n\
         [world]\nroads = {{ grid = {{ columns = 6, rows = 5, block_m = 120 }} }}\n\
         [[vehicles]]\ncount = 2\nsend_interval_s = 1\n\
         [cluster]\ngateway = 1\npersistence = 1\nhealth = 1\nhub = {hubs}\n{rest}"
    );
    let scenario = Scenario::parse(&text, "town.toml").unwrap_or_else(|errors| panic!("{errors}"));
    let configs = Configs::of(&scenario).expect("good settings");
    let runtime = drover_simnet::runtime().expect("a runtime");
    runtime.block_on(async {
        let (seeds, counts) = (SeedTree::from_number(scenario.seed), Arc::new(Counts::default()));
        let sim = Sim::new(SimConfig {
            seeds: seeds.child("sim"),
            start: scenario.world.start,
            capture: None,
            observer: counts.clone(),
            sites: Sites::default(),
            shuffle: true,
            profile: None,
        });
        let vehicles: Vec<_> = (0..scenario.vehicles_len()).map(vehicle_id).collect();
        let db = Db::new(DB, scenario.store, History::new(scenario.world.start, &vehicles), scenario.seed);
        let mut cluster = Cluster::new(sim.clone(), &scenario, configs, &seeds, db).expect("certificates");
        cluster.door = Arc::new(AnyPage);
        let services = cluster.services(&scenario);
        let roads = roads(&scenario, "town.toml").expect("a grid");
        let world = world_spec(&scenario, services.iter().copied(), roads, "town.toml").expect("a world");
        let town =
            Town { sim: sim.clone(), cluster: RefCell::new(cluster), counts, hubs, strangers: Cell::new(0) };
        let played = async {
            let vans = (0..vehicles.len() as u32).map(|index| NodeName::new(NodeKind::Vehicle, index));
            services.iter().copied().chain(vans).for_each(|node| town.start(node));
            tokio::select! {
                biased;
                () = story(&town) => {}
                () = town.drive(World::new(world)) => {}
            }
        };
        sim.carry_while(played).await;
    });
}

impl Town {
    /// Moves the vans, for ever.
    async fn drive(&self, mut world: World) {
        let origin = Instant::now();
        loop {
            world.step();
            sleep_until(origin + world.now()).await;
            let cluster = self.cluster.borrow();
            world.outputs().nmea().for_each(|(vehicle, chunk)| cluster.gps(vehicle, chunk));
        }
    }

    fn start(&self, node: NodeName) {
        self.cluster.borrow_mut().start(node).expect("a certificate");
    }

    fn crash(&self, node: NodeName) {
        self.cluster.borrow_mut().crash(node);
    }

    /// How often a node has told of an event.
    fn count(&self, node: NodeName, event: &'static str) -> u64 {
        let counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&(node, event)).copied().unwrap_or_default()
    }

    /// A node beside the scenario's.
    fn stranger(&self, kind: NodeKind) -> NodeName {
        let node = NodeName::new(kind, FIRST_STRANGER + self.strangers.get());
        self.strangers.set(self.strangers.get() + 1);
        self.sim.add_node(node, service_ip(node), Access::data_centre());
        node
    }

    /// A service of that kind, connected to every hub.
    async fn service(&self, kind: NodeKind) -> Pool {
        let node = self.stranger(kind);
        let env = self.sim.start(node).expect("it was down");
        let (identity, trust) = {
            let mut cluster = self.cluster.borrow_mut();
            (cluster.identity(node).expect("a certificate"), cluster.trust.clone())
        };
        let endpoint = drover_quic::client(&env, service_addr(node)).expect("a socket");
        let client = drover_quic::client_config(&env, &identity, &trust, mcp::ALPN, &Profile::service());
        let pool = Pool::new(env, client.expect("a config"), endpoint, PoolConfig::default());
        let addr = |index| NodeAddr { name: hub(index), addr: service_addr(hub(index)) };
        pool.set_nodes((0..self.hubs).map(addr).collect());
        let there = async {
            while pool.connected().len() < self.hubs as usize {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, there).await.expect("hubs take it");
        pool
    }

    /// A page of whoever `token` names, at that hub, which listens to `topic`.
    async fn page(&self, at: u32, token: &str, topic: &str) -> Page {
        let env = self.sim.start(self.stranger(NodeKind::Watcher)).expect("it was down");
        let opened = async {
            let addr = clients_addr(hub(at));
            let stream = loop {
                match env.connect(addr).await {
                    Ok(stream) => break stream,
                    Err(_) => sleep(Duration::from_millis(100)).await,
                }
            };
            let mut request = format!("ws://{addr}/live-map").into_client_request().expect("a request");
            let bearer = HeaderValue::try_from(format!("Bearer {token}")).expect("a header");
            request.headers_mut().insert("authorization", bearer);
            request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("drover.json"));
            let (socket, _) = client_async(request, stream).await.expect("let in");
            let mut page = Page { socket, position: 0 };
            let subscribe = json!({ "action": "SUBSCRIBE", "topic": topic, "id": 1 });
            page.socket.send(Message::text(subscribe.to_string())).await.expect("room");
            page.next("subscribed").await.expect("it may");
            page
        };
        timeout(PATIENCE, opened).await.expect("the hub is there")
    }
}

/// A page.
struct Page {
    socket: WebSocketStream<Box<dyn ByteStream>>,
    /// When the newest fix was taken that it has seen, in Unix milliseconds.
    position: i64,
}

impl Page {
    /// The next message of a type; `None` once the hub is gone.
    async fn next(&mut self, kind: &str) -> Option<Json> {
        loop {
            let Message::Text(text) = self.socket.next().await?.ok()? else { continue };
            let message: Json = serde_json::from_str(&text).expect("JSON");
            for feature in message["features"].as_array().into_iter().flatten() {
                let time = feature["properties"]["time_ms"].as_i64().expect("a time");
                assert!(time >= self.position, "an older fix after a newer one");
                self.position = time;
            }
            if message["type"] == kind {
                return Some(message);
            }
        }
    }

    /// What the next event says.
    async fn event(&mut self) -> Json {
        let told = timeout(PATIENCE, self.next("event")).await.ok().flatten();
        told.expect("it is told")["event"].clone()
    }

    /// Is told of nothing more.
    async fn hears_no_more(&mut self) {
        let more = timeout(LATER, self.next("event")).await;
        assert!(more.is_err(), "told of {more:?}");
    }

    /// Waits for a newer fix of the one vehicle that it watches than it has seen; gives when that was taken.
    async fn newer(&mut self) -> i64 {
        let before = self.position;
        let seen = async {
            while self.position <= before {
                self.next("update").await.expect("the hub is there");
            }
        };
        timeout(PATIENCE, seen).await.expect("the van drives");
        self.position
    }
}
