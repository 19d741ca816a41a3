//! When a vehicle will be at its stops: what dispatchers, its driver and a customer are told of it.

use super::*;

/// A vehicle that was heard of so many seconds ago.
struct Heard(u64);

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
