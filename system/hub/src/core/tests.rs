mod back_again;
mod ended;
mod recalled;
mod tokens;

use drover_auth::{Principal, Role, Scope};
use drover_bus::hub::Key;
use drover_env::SeedTree;
use drover_model::{Fix, MetersPerSecond, Position, TenantId, VehicleId};
use serde_json::{Value, json};

use super::*;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn tenant() -> TenantId {
    TenantId::new("acme").expect("a name")
}

fn van(index: u32) -> VehicleId {
    VehicleId::new(&format!("VAN-{index}")).expect("a name")
}

/// Tokens that name a role and, of a customer and a driver, a vehicle, and of a customer its link, order and stop, and perhaps the second
/// since when it is under way: `customer:VAN-1/7/12/90/1500`.
pub(crate) struct Tokens;

impl Door for Tokens {
    fn admit(&self, token: &str, now: WallTime) -> Result<Principal, Denied> {
        if token == "expired" {
            return Err(Denied::Expired);
        }
        let (role, vehicle) =
            token.split_once(':').map_or((token, None), |(role, vehicle)| (role, Some(vehicle)));
        let role = Role::named(role).ok_or(Denied::Invalid)?;
        let scopes: &[Scope] = match role {
            Role::Dispatcher => &[Scope::FleetView, Scope::RouteRead],
            Role::Driver => &[Scope::Drive],
            Role::Customer | Role::Viewer => &[Scope::MapView],
        };
        let mut names = vehicle.unwrap_or_default().split('/');
        let only = names.next().and_then(|vehicle| VehicleId::new(vehicle).ok());
        Ok(Principal {
            subject: token.to_owned(),
            tenant: tenant(),
            role,
            scopes: scopes.iter().copied().collect(),
            vehicle: only,
            token_id: names.next().unwrap_or(token).to_owned(),
            since: (role == Role::Customer).then(|| {
                WallTime::from_secs(names.nth(2).and_then(|since| since.parse().ok()).unwrap_or(1_000))
            }),
            expires: now.plus(Duration::from_secs(600)),
        })
    }

    fn is_revoked(&self, who: &Principal) -> bool {
        who.token_id == "viewer"
    }
}

struct Bench {
    core: Core,
    start: Instant,
    now: Instant,
}

impl Bench {
    fn new(config: Config, planted: Planted) -> Self {
        let start = Instant::now();
        let rng = SeedTree::from_number(1).rng("hub");
        Self { core: Core::new("hub/0", config, Arc::new(Tokens), rng, planted, start), start, now: start }
    }

    fn wall(&self) -> WallTime {
        WallTime::from_secs(2_000).plus(self.now - self.start)
    }

    fn counts(&self) -> Counts {
        self.core.counts(self.wall())
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(100) {
            self.now += Duration::from_millis(100);
            let wall = self.wall();
            self.core.tick(self.now, wall);
        }
    }

    fn open(&mut self, token: &str, encoding: Encoding) -> SessionKey {
        self.try_open(PEER, encoding, Some(token)).expect("let in")
    }

    fn try_open(
        &mut self,
        peer: IpAddr,
        encoding: Encoding,
        token: Option<&str>,
    ) -> Result<SessionKey, Turned> {
        let (now, wall) = (self.now, self.wall());
        let shown = token.map(|token| shown(self.core.door(now, peer), token, wall));
        self.core.open(now, wall, peer, encoding, shown)
    }

    fn say(&mut self, key: SessionKey, message: &Value) {
        let (now, wall) = (self.now, self.wall());
        let verify = |token: &str| Some(shown(self.core.door_of(now, key)?, token, wall));
        let said = Said::read(&message.to_string(), verify);
        self.core.take(now, wall, key, said);
    }

    /// A fix of `index` at a second, somewhat further east each second.
    fn fix(&mut self, index: u32, second: i64) -> bool {
        self.fix_at(index, second, 60.17, 24.94 + second as f64 * 1e-4)
    }

    fn fix_at(&mut self, index: u32, second: i64, lat: f64, lon: f64) -> bool {
        let at = Position::new(lat, lon).expect("a place");
        let mut fix = Fix::bare(second as u64, WallTime::from_secs(second), at);
        fix.speed = MetersPerSecond::new(10.0).ok();
        fix.engine.engine_speed_rpm = Some(1500.0);
        let wall = self.wall();
        self.core.take_fix(self.now, wall, (tenant(), van(index)), 1, fix)
    }

    /// A client reads nothing: its socket takes what there is, and is busy with it.
    fn stall(&mut self, key: SessionKey) {
        self.core.collect(key);
        self.core.stalled(self.now, key);
    }

    /// What a client reads; its socket has written it then.
    fn read(&mut self, key: SessionKey) -> Vec<Value> {
        let collected = self.core.collect(key);
        self.core.wrote(key);
        let json = |out| match out {
            Out::Text(text) => serde_json::from_slice(&text).expect("JSON"),
            Out::Binary(bytes) => json!({"type": "binary", "bytes": bytes.len()}),
            Out::Ping => json!({"type": "ping"}),
        };
        collected.messages.into_iter().map(json).collect()
    }

    fn kinds(&mut self, key: SessionKey) -> Vec<String> {
        self.read(key).iter().map(|message| message["type"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

fn bench() -> Bench {
    Bench::new(Config::default(), Planted::default())
}

fn subscribe(topic: &str) -> Value {
    json!({"action": "SUBSCRIBE", "topic": topic, "id": 1})
}

fn view(west: f64, east: f64) -> Value {
    json!({"action": "SUBSCRIBE", "viewport": {"west": west, "south": 60.16, "east": east, "north": 60.18, "zoom": 15}})
}

fn times(message: &Value) -> Vec<i64> {
    let features = message["features"].as_array().expect("features");
    features.iter().map(|feature| feature["properties"]["timestamp"].as_i64().expect("a time")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_client_gets_a_snapshot_and_then_what_is_new() {
    let mut bench = bench();
    assert!(bench.fix(1, 1_900));
    let key = bench.open("dispatcher", Encoding::Json);
    let welcome = bench.read(key);
    assert_eq!(welcome[0]["principal"]["role"], "dispatcher");
    assert_eq!((&welcome[0]["hub"], &welcome[0]["tick_ms"]), (&json!("hub/0"), &json!(100)));
    bench.say(key, &subscribe("live_updates:all"));
    bench.pass(100);
    let told = bench.read(key);
    assert_eq!(told[0], json!({"type": "subscribed", "id": 1, "topic": "live_updates:all", "seq": 0}));
    assert_eq!(told.len(), 1, "a client that has something to write is given the next tick's");
    bench.pass(100);
    let told = bench.read(key);
    assert_eq!(
        (&told[0]["type"], times(&told[0]), &told[0]["more"]),
        (&json!("snapshot"), vec![1_900], &json!(false))
    );
    assert_eq!(told[0]["features"][0]["properties"]["engine"]["rpm"], 1500);
    bench.fix(1, 1_901);
    bench.fix(1, 1_903);
    assert!(!bench.fix(1, 1_902), "older than what is known");
    assert!(bench.read(key).is_empty(), "not before the tick");
    bench.pass(100);
    let told = bench.read(key);
    assert_eq!((told.len(), times(&told[0]), &told[0]["seq"]), (1, vec![1_903], &json!(2)));
    assert_eq!(bench.counts().coalesced, 1);
    bench.pass(100);
    assert!(bench.read(key).is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_contracts_form_is_a_feature_and_nothing_around_it() {
    let mut bench = bench();
    let key = bench.open("dispatcher", Encoding::Features);
    bench.say(key, &json!({"action": "SUBSCRIBE", "topic": "vehicle:VAN-1"}));
    bench.read(key);
    bench.fix(1, 1_900);
    bench.fix(2, 1_900);
    bench.pass(100);
    let told = bench.read(key);
    assert_eq!(
        (told.len(), &told[0]["type"], &told[0]["properties"]["vehicle_id"]),
        (1, &json!("Feature"), &json!("VAN-1"))
    );
}

#[tokio::test(start_paused = true)]
async fn binary_positions_come_after_their_handles() {
    let mut bench = bench();
    let key = bench.open("dispatcher", Encoding::Binary);
    bench.say(key, &subscribe("vehicles:VAN-1,VAN-2"));
    bench.read(key);
    bench.pass(100);
    assert_eq!(bench.kinds(key), ["snapshot"]);
    bench.fix(2, 1_900);
    bench.pass(100);
    let told = bench.read(key);
    assert_eq!(told[0], json!({"type": "handles", "handles": {"0": "VAN-2"}}));
    assert_eq!(told[1], json!({"type": "binary", "bytes": 40}));
    assert_eq!(told[2]["type"], "details");
    bench.fix(2, 1_901);
    bench.pass(100);
    assert_eq!(bench.kinds(key), ["binary", "details"], "a handle is told once");
}

#[tokio::test(start_paused = true)]
async fn a_viewport_shows_what_is_in_it_and_says_what_leaves() {
    let mut bench = bench();
    let key = bench.open("dispatcher", Encoding::Json);
    bench.say(key, &view(24.93, 24.95));
    bench.read(key);
    bench.pass(100);
    bench.read(key);
    bench.fix_at(1, 1_900, 60.17, 24.94);
    bench.fix_at(2, 1_900, 60.17, 25.94);
    bench.pass(100);
    let told = bench.read(key);
    assert_eq!((told.len(), times(&told[0]).len()), (1, 1));
    bench.fix_at(1, 1_901, 60.17, 25.0);
    bench.pass(100);
    let told = bench.read(key);
    assert_eq!((told.len(), &told[0]["type"], &told[0]["vehicles"]), (1, &json!("gone"), &json!(["VAN-1"])));
    // The map is moved there.
    bench.say(key, &view(24.99, 25.01));
    bench.read(key);
    bench.pass(100);
    let told = bench.read(key);
    assert_eq!((&told[0]["type"], times(&told[0])), (&json!("snapshot"), vec![1_901]));
    bench.say(key, &view(24.93, 24.95));
    bench.read(key);
    bench.pass(100);
    assert_eq!(bench.kinds(key), ["snapshot", "gone"]);
    bench.say(key, &json!({"action": "UNSUBSCRIBE", "viewport": true, "id": 4}));
    assert_eq!(bench.read(key)[0]["type"], "unsubscribed");
    assert!(bench.core.keys().is_empty(), "nobody wants anything any more");
}

#[tokio::test(start_paused = true)]
async fn a_customer_sees_one_delivery_and_nothing_before_or_beside_it() {
    let mut bench = bench();
    let key = bench.open("customer:VAN-1", Encoding::Json);
    bench.say(key, &subscribe("live_updates:all"));
    bench.say(key, &subscribe("vehicle:VAN-2"));
    bench.say(key, &subscribe("events"));
    bench.say(key, &view(24.0, 25.0));
    let told = bench.read(key);
    assert!(told[0]["principal"]["vehicle"].is_null(), "{told:?}");
    let codes: Vec<_> = told[2..].iter().map(|message| message["code"].as_str()).collect();
    assert_eq!(codes, [Some("forbidden"); 3]);
    bench.pass(100);
    bench.read(key);
    bench.fix(1, 999);
    bench.fix(2, 1_900);
    bench.pass(100);
    assert!(bench.read(key).is_empty(), "before it began, and another van");
    bench.fix(1, 1_901);
    bench.pass(100);
    let told = bench.read(key);
    assert_eq!(told[0]["features"][0]["id"], "delivery");
    assert!(!told[0].to_string().contains("VAN") && !told[0].to_string().contains("engine"));
    assert_eq!(bench.core.keys(), [Key::Vehicle(tenant(), van(1))]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_costs_nobody_else_anything_and_is_let_go() {
    let mut bench = bench();
    let [slow, good] = ["dispatcher", "driver"].map(|token| bench.open(token, Encoding::Json));
    for key in [slow, good] {
        bench.say(key, &subscribe("live_updates:all"));
        bench.read(key);
    }
    bench.pass(100);
    bench.fix(1, 1_800);
    bench.read(good);
    bench.read(slow);
    bench.pass(100);
    bench.read(good);
    // The slow one takes this, and never says that it has written it.
    bench.stall(slow);
    for second in 1_801..1_950 {
        bench.fix(1, second);
        bench.pass(100);
        assert_eq!(times(&bench.read(good)[0]), [second]);
        if bench.core.farewell(slow).is_some() {
            break;
        }
    }
    assert_eq!(bench.core.farewell(slow), Some(Farewell::Slow));
    assert!(bench.now - bench.start >= Config::default().slow_max);
    assert_eq!(bench.counts().slow, 1);
    let (bytes, vehicles) = bench.core.fullest();
    assert!(bytes < 2_000 && vehicles == 1, "{bytes} bytes, {vehicles} vehicles");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_resumes_gets_what_it_missed_and_no_more() {
    let mut bench = bench();
    let before = bench.open("dispatcher", Encoding::Json);
    let name = bench.read(before)[0]["session"].as_str().expect("a name").to_owned();
    assert!((1..=3).all(|index| bench.fix(index, 1_800)));
    bench.say(before, &subscribe("live_updates:all"));
    bench.read(before);
    bench.pass(100);
    let seq = bench.read(before)[0]["seq"].as_u64();
    assert_eq!(seq, Some(1), "the snapshot");
    bench.fix(2, 1_801);
    bench.pass(100);
    bench.read(before);
    // Message 2 was written and never arrived.
    bench.core.lost(bench.now, before);
    bench.fix(3, 1_802);
    bench.pass(5_000);
    let after = bench.open("dispatcher", Encoding::Json);
    bench.read(after);
    bench.say(after, &json!({"action": "RESUME", "session": name, "seq": 1, "id": 5}));
    bench.pass(100);
    let told = bench.read(after);
    assert_eq!(told[0], json!({"type": "resumed", "id": 5, "resumed": true, "seq": 2}));
    bench.pass(100);
    let told = bench.read(after);
    assert_eq!(
        (&told[0]["type"], times(&told[0]), &told[0]["seq"]),
        (&json!("update"), vec![1_802, 1_801], &json!(3))
    );
    let counts = bench.counts();
    assert_eq!((counts.sockets, counts.detached), (1, 0));
    bench.fix(1, 1_803);
    bench.pass(100);
    assert_eq!(times(&bench.read(after)[0]), [1_803], "it is where the old one was");
}

#[tokio::test(start_paused = true)]
async fn a_session_is_resumed_by_the_same_person_in_time_or_not_at_all() {
    let mut bench = bench();
    let mut left = || {
        let key = bench.open("dispatcher", Encoding::Json);
        let name = bench.read(key)[0]["session"].clone();
        bench.core.lost(bench.now, key);
        (name, bench.open("driver", Encoding::Json), bench.open("dispatcher", Encoding::Json))
    };
    let (name, other, same) = left();
    let resume = json!({"action": "RESUME", "session": name, "seq": 0});
    let tries = |bench: &mut Bench, key| {
        bench.say(key, &resume);
        bench.read(key).pop().expect("an answer")["resumed"].clone()
    };
    assert_eq!(tries(&mut bench, other), false, "somebody else");
    bench.pass(61_000);
    assert_eq!(bench.counts().detached, 0, "forgotten after a minute");
    assert_eq!(tries(&mut bench, same), false);
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_belong_is_told_and_let_go() {
    let mut bench = bench();
    let refused = bench.try_open(PEER, Encoding::Json, Some("nonsense"));
    assert_eq!(refused, Err(Turned::Denied(Denied::Invalid)));
    let mut anonymous = || bench.try_open(PEER, Encoding::Json, None).expect("taken");
    let (quiet, wrong) = (anonymous(), anonymous());
    bench.say(wrong, &subscribe("live_updates:all"));
    assert_eq!(bench.read(wrong)[0]["code"], "unauthenticated");
    bench.say(wrong, &json!({"action": "AUTHENTICATE", "token": "nonsense", "id": 2}));
    let told = bench.read(wrong);
    assert_eq!((&told[0]["code"], &told[1]["reason"]), (&json!("unauthenticated"), &json!("denied")));
    let revoked = bench.open("viewer", Encoding::Json);
    bench.pass(6_000);
    assert_eq!(bench.core.farewell(quiet), Some(Farewell::Unauthenticated));
    assert_eq!(bench.core.farewell(revoked), Some(Farewell::Revoked));
    assert_eq!(bench.core.farewell(wrong), Some(Farewell::Denied));
    let expires = bench.open("driver", Encoding::Json);
    for _ in 0..130 {
        bench.core.heard(bench.now, expires);
        bench.pass(5_000);
    }
    assert_eq!(bench.core.farewell(expires), Some(Farewell::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_quiet_client_is_asked_and_then_let_go() {
    let mut bench = bench();
    let key = bench.open("dispatcher", Encoding::Json);
    bench.read(key);
    bench.pass(36_000);
    assert_eq!(bench.kinds(key), ["ping"], "asked once");
    bench.core.heard(bench.now, key);
    bench.pass(36_000);
    assert_eq!(bench.kinds(key), ["ping"]);
    bench.pass(45_000);
    assert_eq!(bench.core.farewell(key), Some(Farewell::Idle));
}

#[tokio::test(start_paused = true)]
async fn limits_hold_and_what_is_given_back_counts_no_longer() {
    let config = Config {
        sessions_max: 3,
        sockets_per_address_max: 2,
        sessions_per_token_max: 1,
        ..Config::default()
    };
    let mut bench = Bench::new(config, Planted::default());
    let first = bench.open("dispatcher", Encoding::Json);
    let open =
        |bench: &mut Bench, peer: [u8; 4], token| bench.try_open(peer.into(), Encoding::Json, Some(token));
    assert_eq!(open(&mut bench, [127, 0, 0, 1], "dispatcher"), Err(Turned::Token));
    let second = open(&mut bench, [127, 0, 0, 1], "driver").expect("taken");
    assert_eq!(open(&mut bench, [127, 0, 0, 1], "viewer"), Err(Turned::Address));
    bench.core.lost(bench.now, first);
    bench.core.lost(bench.now, second);
    assert!(open(&mut bench, [127, 0, 0, 1], "viewer").is_ok());
    assert_eq!(bench.counts().detached, 2);
    assert!(
        open(&mut bench, [10, 0, 0, 1], "customer:VAN-1").is_ok(),
        "the one that waits longest makes room"
    );
    assert_eq!(bench.counts().detached, 1);
    assert!(open(&mut bench, [10, 0, 0, 2], "dispatcher").is_ok(), "its token is free again");
    assert_eq!(open(&mut bench, [10, 0, 0, 3], "customer:VAN-2"), Err(Turned::Full));
}

#[tokio::test(start_paused = true)]
async fn a_vehicle_that_is_not_heard_of_turns_silent_and_back() {
    let mut bench = bench();
    let key = bench.open("dispatcher", Encoding::Json);
    bench.say(key, &subscribe("live_updates:all"));
    bench.read(key);
    bench.fix(1, 1_999);
    bench.pass(100);
    bench.read(key);
    let status = |told: &[Value]| {
        let newest = told.iter().rev().find(|message| message["type"] == "update").expect("an update");
        newest["features"][0]["properties"]["status"].clone()
    };
    bench.pass(30_000);
    bench.read(key);
    bench.core.heard(bench.now, key);
    bench.fix(1, 2_029);
    bench.pass(100);
    assert_eq!(status(&bench.read(key)), "moving");
    bench.pass(59_000);
    bench.core.heard(bench.now, key);
    assert!(bench.kinds(key).iter().all(|kind| kind == "ping"));
    bench.pass(3_000);
    assert_eq!(status(&bench.read(key)), "silent");
    bench.core.heard(bench.now, key);
    bench.fix(1, 2_100);
    bench.pass(100);
    assert_eq!(status(&bench.read(key)), "moving");
    bench.pass(30_000);
    bench.read(key);
    bench.core.heard(bench.now, key);
    bench.pass(29_000);
    bench.read(key);
    bench.core.heard(bench.now, key);
    bench.pass(3_000);
    assert_eq!(status(&bench.read(key)), "silent");
}

#[tokio::test(start_paused = true)]
async fn a_large_fleet_comes_in_parts_and_a_batch_has_a_bound() {
    let config = Config { batch_bytes_max: 200_000, ..Config::default() };
    let mut bench = Bench::new(config, Planted::default());
    assert!((0..2_500).all(|index| bench.fix(index, 1_900)));
    let key = bench.open("dispatcher", Encoding::Json);
    bench.say(key, &subscribe("live_updates:all"));
    bench.read(key);
    let (mut seen, mut parts) = (0, 0);
    for _ in 0..10 {
        bench.pass(100);
        for message in bench.read(key) {
            seen += times(&message).len();
            parts += 1;
        }
    }
    assert_eq!((seen, parts), (2_500, 3));
    assert!(bench.core.fullest().0 < 200_000 + 350_000, "a message more than the bound at most");
}

#[tokio::test(start_paused = true)]
async fn events_are_told_to_those_who_may_read_orders() {
    let mut bench = bench();
    for (token, kind) in [
        ("dispatcher", "subscribed"),
        ("driver:VAN-1", "subscribed"),
        ("viewer", "error"),
        ("customer:VAN-1/7/12", "error"),
    ] {
        let key = bench.open(token, Encoding::Json);
        bench.read(key);
        bench.say(key, &subscribe("events"));
        assert_eq!(bench.kinds(key), [kind], "{token}");
    }
}

#[tokio::test(start_paused = true)]
async fn events_reach_those_whom_they_concern() {
    let mut bench = bench();
    let keys = ["dispatcher", "driver:VAN-1", "driver:VAN-2"].map(|token| bench.open(token, Encoding::Json));
    for key in keys {
        bench.say(key, &subscribe("events"));
        bench.read(key);
    }
    let event = Bytes::from_static(br#"{"kind":"route"}"#);
    assert_eq!(bench.core.take_event(bench.now, tenant(), Some(van(1)), &event), 2);
    assert_eq!(bench.core.take_event(bench.now, tenant(), None, &event), 1);
    bench.pass(100);
    assert_eq!(keys.map(|key| bench.kinds(key).len()), [2, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_hub_knows_what_it_did_not_ask_for() {
    let mut bench = bench();
    let at = Position::new(60.17, 24.94).expect("a place");
    let fix = Fix::bare(1, WallTime::from_secs(1_900), at);
    let unwanted =
        |bench: &Bench| bench.core.unwanted_for(bench.now, (tenant(), van(1)), std::slice::from_ref(&fix));
    bench.pass(5_000);
    assert_eq!(unwanted(&bench), Some(Duration::from_secs(5)), "nobody ever has");
    let key = bench.open("dispatcher", Encoding::Json);
    bench.say(key, &view(24.93, 24.95));
    assert_eq!(unwanted(&bench), None);
    bench.pass(1_000);
    bench.say(key, &json!({"action": "UNSUBSCRIBE", "viewport": true}));
    bench.pass(200);
    assert_eq!(unwanted(&bench), Some(Duration::from_millis(200)));
}

#[tokio::test(start_paused = true)]
async fn planted_bugs_do_what_they_are_called() {
    let mut bench =
        Bench::new(Config::default(), Planted { older_wins: true, slow_blocks: true, wide_links: false });
    assert!(bench.fix(1, 1_900) && bench.fix(1, 1_899));
    let [slow, good] = ["dispatcher", "driver"].map(|token| bench.open(token, Encoding::Json));
    bench.stall(slow);
    bench.say(good, &subscribe("live_updates:all"));
    bench.read(good);
    bench.pass(1_000);
    assert!(bench.read(good).is_empty());
    for (wide_links, expected) in [(false, vec![1_001]), (true, vec![999, 1_001])] {
        let mut bench = Bench::new(Config::default(), Planted { wide_links, ..Planted::default() });
        let customer = bench.open("customer:VAN-1/7/12", Encoding::Json);
        bench.say(customer, &subscribe("live_updates:all"));
        for _ in 0..2 {
            bench.read(customer);
            bench.pass(100);
        }
        bench.read(customer);
        assert!(bench.fix(2, 999) && bench.fix(1, 1_001));
        bench.pass(100);
        assert_eq!(times(&bench.read(customer)[0]), expected, "{wide_links}");
    }
}
