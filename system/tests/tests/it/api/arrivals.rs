//! When a vehicle will be at its stops: what dispatchers, its driver and a customer are told of it.

use drover_model::{Epoch, Fix, Position};
use drover_store::{Origin, Row, Transaction};

use super::*;

/// A vehicle that was heard of so many seconds ago.
pub(super) struct Heard(pub(super) u64);

/// A hub that nobody has asked to follow the vehicle: customers do so at its home.
struct Elsewhere;

impl Fleet for Elsewhere {
    fn features(&self, _: TenantId, _: &dyn Fn(VehicleId) -> bool, _: bool) -> Option<Vec<Value>> {
        Some(Vec::new())
    }

    fn home(&self, _: TenantId, _: VehicleId) -> Option<String> {
        Some("https://hub-2.example.com".to_owned())
    }
}

impl Fleet for Heard {
    fn features(&self, tenant: TenantId, may_see: &dyn Fn(VehicleId) -> bool, _: bool) -> Option<Vec<Value>> {
        let van = VehicleId::new("VAN-1").expect("a name");
        let now_ms = u64::try_from(real::wall().as_micros()).expect("after 1970") / 1_000;
        let feature = json!({
            "type": "Feature", "id": "VAN-1", "geometry": { "type": "Point", "coordinates": [24.94, 60.17] },
            "properties": { "vehicle_id": "VAN-1", "time_ms": now_ms - self.0 * 1_000, "status": "moving", "group": null, "age_ms": 5 },
        });
        Some(if tenant.as_str() == "north" && may_see(van) { vec![feature] } else { Vec::new() })
    }
}

const PATH: &str = "/api/v1/vehicles/VAN-1/arrivals";

/// An order of one stop far out of town whose window has ended, given to the vehicle.
async fn far_order(office: &Office, dispatcher: &str, key: u128) -> String {
    let stops = json!([{ "lon": 25.4, "lat": 60.3, "due_until": "2026-01-01T00:00:00Z" }]);
    let (status, order) =
        office.post("/api/v1/orders", dispatcher, key, json!({ "customer": "Bo", "stops": stops })).await;
    assert_eq!(status, 201, "{order}");
    let order = order["id"].as_str().expect("an identity").to_owned();
    let assign = json!({ "from": "planned", "to": "assigned", "vehicle": "VAN-1" });
    let path = format!("/api/v1/orders/{order}/state");
    assert_eq!(office.post(&path, dispatcher, key + 100, assign).await.0, 200);
    order
}

#[tokio::test]
async fn arrivals_are_told_to_who_may_know_with_a_range_and_what_is_late() {
    let office = Office::open_before(Config::default(), Arc::new(Heard(2)));
    let dispatcher = office.token("north", "dispatcher", None);
    let (status, none) = office.get(PATH, &dispatcher).await;
    assert_eq!((status, &none["none"], &none["items"]), (200, &json!("no_stops"), &json!([])));
    let order = far_order(&office, &dispatcher, 1).await;
    let (_, told) = office.get(PATH, &dispatcher).await;
    let item = &told["items"][0];
    assert_eq!(
        (&item["order"], &item["under_way"], &told["way"]),
        (&json!(order), &json!(false), &json!("beeline"))
    );
    let at = |name: &str| item[name].as_str().and_then(|text| text.parse::<WallTime>().ok()).expect("a time");
    assert!(at("earliest") < at("expected") && at("expected") < at("latest"), "{item}");
    assert!(at("expected") > office.env.wall(), "{item}");
    assert!(item["late_s"].as_u64().is_some_and(|late| late > 0), "{item}");
    assert!(
        item["distance_m"].as_f64().is_some_and(|metres| (28_000.0..60_000.0).contains(&metres)),
        "{item}"
    );
    let driver = office.token("north", "driver", Some("VAN-1"));
    assert_eq!(office.get(PATH, &driver).await.1["items"][0]["stop"], item["stop"]);
    for (token, expected) in [
        (office.token("north", "driver", Some("VAN-2")), 404),
        (office.token("north", "viewer", None), 403),
        (String::new(), 401),
    ] {
        assert_eq!(office.get(PATH, &token).await.0, expected);
    }
}

#[tokio::test]
async fn of_a_vehicle_that_is_silent_nothing_is_foretold() {
    let office = Office::open_before(Config::default(), Arc::new(Heard(3_600)));
    let dispatcher = office.token("north", "dispatcher", None);
    far_order(&office, &dispatcher, 1).await;
    let (_, told) = office.get(PATH, &dispatcher).await;
    assert_eq!((&told["none"], &told["items"]), (&json!("silent"), &json!([])), "{told}");
}

#[tokio::test]
async fn a_customer_is_told_a_range_while_it_is_on_its_way_and_nothing_of_others() {
    let office = Office::open_before(Config::default(), Arc::new(Heard(2)));
    let dispatcher = office.token("north", "dispatcher", None);
    let order = far_order(&office, &dispatcher, 1).await;
    let link = format!("/api/v1/orders/{order}/share-links");
    let (_, link) = office.post(&link, &dispatcher, 2, json!({})).await;
    let secret = link["token"].as_str().expect("a secret");
    assert_eq!(office.get("/api/v1/delivery", secret).await.1["expected"], Value::Null, "it has not set out");
    let state = format!("/api/v1/orders/{order}/state");
    office.post(&state, &dispatcher, 3, json!({ "from": "assigned", "to": "under_way" })).await;
    let (_, during) = office.get("/api/v1/delivery", secret).await;
    let expected = during["expected"].as_object().expect("a range");
    assert_eq!(expected.keys().collect::<Vec<_>>(), ["from", "late", "until"], "and nothing else: {during}");
    assert_eq!(expected["late"], true);
    for name in ["from", "until"] {
        let time: WallTime = expected[name].as_str().and_then(|text| text.parse().ok()).expect("a time");
        assert_eq!(time.as_secs() % 300, 0, "in steps of five minutes: {during}");
    }
    office.post(&state, &dispatcher, 4, json!({ "from": "under_way", "to": "failed" })).await;
    assert_eq!(office.get("/api/v1/delivery", secret).await.1["expected"], Value::Null);
}

#[tokio::test]
async fn a_share_link_may_show_the_vehicle_only_once_it_is_nearly_there() {
    let config = Config { share_from_stops_before: Some(0), ..Config::default() };
    let office = Office::open_before(config, Arc::new(Heard(2)));
    let dispatcher = office.token("north", "dispatcher", None);
    let (order, stops) = office.order(&dispatcher, 1).await;
    let path = format!("/api/v1/orders/{order}/share-links");
    let (_, link) = office.post(&path, &dispatcher, 2, json!({})).await;
    let secret = link["token"].as_str().expect("a secret");
    let path = format!("/api/v1/orders/{order}/state");
    let assign = json!({ "from": "planned", "to": "assigned", "vehicle": "VAN-1" });
    office.post(&path, &dispatcher, 3, assign).await;
    office.post(&path, &dispatcher, 4, json!({ "from": "assigned", "to": "under_way" })).await;
    let told = async || office.get("/api/v1/delivery", secret).await.1;
    let far = told().await;
    assert_eq!((&far["stops_before"], &far["session"]), (&json!(1), &Value::Null), "{far}");
    assert_eq!((&far["status"], &far["updated"]), (&json!("under_way"), &Value::Null), "not that it is near");
    let step = async |stop: &str, key, from: &str, to: &str| {
        let step = json!({ "from": from, "to": to, "order": order });
        let path = format!("/api/v1/stops/{stop}/state");
        assert_eq!(office.post(&path, &dispatcher, key, step).await.0, 200);
    };
    step(&stops[0], 5, "planned", "skipped").await;
    let next = told().await;
    assert_eq!((&next["stops_before"], next["session"].is_string()), (&json!(0), true), "{next}");
    step(&stops[1], 6, "planned", "arrived").await;
    assert!(told().await["session"].is_string());
}

/// A delivery that is under way: its secret and its last stop.
async fn under_way(office: &Office, dispatcher: &str) -> (String, String, String) {
    let (order, stops) = office.order(dispatcher, 1).await;
    let (_, link) =
        office.post(&format!("/api/v1/orders/{order}/share-links"), dispatcher, 2, json!({})).await;
    let path = format!("/api/v1/orders/{order}/state");
    let assign = json!({ "from": "planned", "to": "assigned", "vehicle": "VAN-1" });
    office.post(&path, dispatcher, 3, assign).await;
    let (status, order) =
        office.post(&path, dispatcher, 4, json!({ "from": "assigned", "to": "under_way" })).await;
    assert_eq!(status, 200, "{order}");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    (text(&link["token"]), text(&order["id"]), stops[1].clone())
}

/// The vehicle was there so many seconds ago, by the store.
fn was_at(office: &Office, ago_s: u64, (lat, lon): (f64, f64)) -> WallTime {
    let at = WallTime::from_micros(office.env.wall().as_micros() - ago_s as i64 * 1_000_000);
    let row = Row {
        tenant: "north".parse().expect("a name"),
        vehicle: VehicleId::new("VAN-1").expect("a name"),
        origin: Origin::Spool(Epoch::new(1).expect("small")),
        fix: Fix::bare(at.as_secs() as u64, at, Position::new(lat, lon).expect("a place")),
    };
    office.store.commit_now(&Transaction { rows: vec![row], ..Transaction::default() }).expect("stored");
    at
}

/// A street or two from the last stop, and across the town.
const NEAR: (f64, f64) = (60.171, 24.951);
const FAR: (f64, f64) = (60.25, 24.8);

#[tokio::test]
async fn a_customer_is_told_where_the_vehicle_is_by_a_hub_that_does_not_follow_it() {
    for fleet in [Arc::new(Elsewhere) as Arc<dyn Fleet>, Arc::new(Heard(3_600)), Arc::new(Heard(200))] {
        let office = Office::open_before(Config::default(), fleet);
        let dispatcher = office.token("north", "dispatcher", None);
        let (secret, order, stop) = under_way(&office, &dispatcher).await;
        let told = async || {
            let (_, told) = office.get("/api/v1/delivery", &secret).await;
            assert!(told["session"].is_string(), "{told}");
            (told["status"].clone(), told["updated"].as_str().and_then(|at| at.parse::<WallTime>().ok()))
        };
        for (ago_s, place, expected) in [(100, FAR, "under_way"), (50, NEAR, "near")] {
            let at = was_at(&office, ago_s, place);
            let (status, updated) = told().await;
            assert_eq!((&status, updated.map(WallTime::as_secs)), (&json!(expected), Some(at.as_secs())));
        }
        let step = json!({ "from": "planned", "to": "arrived", "order": order });
        assert_eq!(office.post(&format!("/api/v1/stops/{stop}/state"), &dispatcher, 5, step).await.0, 200);
        let at = was_at(&office, 10, NEAR);
        let (status, updated) = told().await;
        assert_eq!((&status, updated.map(WallTime::as_secs)), (&json!("arrived"), Some(at.as_secs())));
    }
}

#[tokio::test]
async fn a_customer_is_not_told_that_it_is_near_by_where_it_was_long_ago() {
    for fleet in [Arc::new(Elsewhere) as Arc<dyn Fleet>, Arc::new(Heard(3_600))] {
        let office = Office::open_before(Config::default(), fleet);
        let dispatcher = office.token("north", "dispatcher", None);
        let (secret, ..) = under_way(&office, &dispatcher).await;
        was_at(&office, 600, NEAR);
        let (_, told) = office.get("/api/v1/delivery", &secret).await;
        assert_eq!((&told["status"], &told["updated"]), (&json!("under_way"), &Value::Null), "{told}");
    }
}
