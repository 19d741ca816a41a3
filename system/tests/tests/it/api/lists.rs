//! Lists of a tenant that has more than one answer of an agent holds.

use std::collections::BTreeSet;

use drover_bus::history::ROWS_MAX;
use drover_model::orders::{
    Action, BODY_BYTES_MAX, CUSTOMER_BYTES_MAX, Command, NewStop, OrderState, STOPS_MAX, StopState,
};
use drover_model::{CommandId, MessageId, OrderId, Position, StopId, VehicleId, WallTime};
use serde_json::{Value, json};

use super::Office;

/// Orders and messages of the tenant, each.
const MANY: u128 = ROWS_MAX as u128 + 50;
const START_S: i64 = 1_772_434_800;

fn van(name: &str) -> VehicleId {
    VehicleId::new(name).expect("a name")
}

/// An office whose store has [`MANY`] orders of one stop and as many messages; every hundredth of them is VAN-1's.
fn full() -> Office {
    let office = Office::open();
    let tenant = "north".parse().expect("a name");
    for number in 0..MANY {
        let at = WallTime::from_secs(START_S + i64::try_from(number).expect("few"));
        let say = |kind: u128, action: Action| {
            let id = CommandId::from_bits(kind * MANY + number);
            office.store.carry_out_now(Command { tenant, id, at, action }).expect("carried out");
        };
        let position = Position::new(60.17, 24.94).expect("in range");
        let stop = NewStop { id: StopId::from_bits(number), position, due_from: None, due_until: None };
        // Identities do not go by time.
        let order = OrderId::from_bits(number.reverse_bits());
        say(0, Action::CreateOrder { order, customer: format!("Ann {number}"), stops: vec![stop] });
        let of_van = number % 100 == 7;
        if of_van {
            let (from, to) = (OrderState::Planned, OrderState::Assigned);
            say(1, Action::ChangeOrder { order, from, to, vehicle: Some(van("VAN-1")) });
        } else {
            let (from, to) = (OrderState::Planned, OrderState::Cancelled);
            say(1, Action::ChangeOrder { order, from, to, vehicle: None });
        }
        let vehicle = van(if of_van { "VAN-1" } else { "VAN-2" });
        let message = MessageId::from_bits(number.reverse_bits());
        let (body, expires) = (format!("words {number}"), at.plus(std::time::Duration::from_secs(9)));
        say(2, Action::SendMessage { message, vehicle, to_vehicle: true, body, expires });
    }
    office
}

/// All items of a list, page by page.
async fn all(office: &Office, token: &str, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = office.get(&format!("{path}{cursor}"), token).await;
        assert_eq!(status, 200, "{page}");
        items.extend(page["items"].as_array().expect("items").iter().cloned());
        let Some(next) = page["next"].as_str() else { return items };
        cursor = format!("&cursor={next}");
    }
}

fn different(items: &[Value]) -> usize {
    items.iter().filter_map(|item| item["id"].as_str()).collect::<BTreeSet<_>>().len()
}

#[tokio::test]
async fn a_tenant_with_more_than_an_answer_holds_reads_its_lists_page_by_page() {
    let office = full();
    let dispatcher = office.token("north", "dispatcher", None);
    let orders = all(&office, &dispatcher, "/api/v1/orders?limit=1000").await;
    assert_eq!((orders.len(), different(&orders)), (MANY as usize, MANY as usize));
    let open = all(&office, &dispatcher, "/api/v1/orders?limit=30&open=true").await;
    assert_eq!(open, all(&office, &dispatcher, "/api/v1/orders?limit=1000&state=assigned").await);
    assert_eq!((open.len(), different(&open)), (101, 101));

    let messages = all(&office, &dispatcher, "/api/v1/messages?limit=1000").await;
    assert_eq!((messages.len(), different(&messages)), (MANY as usize, MANY as usize));
    assert_eq!(messages[0]["body"], "words 0");
    assert!(messages.is_sorted_by_key(|message| message["created"].as_str().map(str::to_owned)));
    let (_, newest) = office.get("/api/v1/messages?limit=2&newest=true", &dispatcher).await;
    assert_eq!(newest["items"][1], messages[messages.len() - 2]);
    let path =
        format!("/api/v1/messages?limit=2&newest=true&cursor={}", newest["next"].as_str().expect("more"));
    assert_eq!(office.get(&path, &dispatcher).await.1["items"][0], messages[messages.len() - 3]);
    let (status, problem) = office.get("/api/v1/messages?cursor=there", &dispatcher).await;
    assert_eq!((status, &problem["code"]), (400, &json!("bad_request")));
}

#[tokio::test]
async fn the_largest_orders_and_messages_are_listed_in_pages_that_arrive() {
    let office = Office::open();
    let (at, tenant) = (WallTime::from_secs(START_S), "north".parse().expect("a name"));
    let say = |id: u128, action: Action| {
        let id = CommandId::from_bits(id);
        office.store.carry_out_now(Command { tenant, id, at, action }).expect("carried out");
    };
    let (orders, messages) = (450, 1_000);
    for number in 0..orders {
        let stop = |place: u128| NewStop {
            id: StopId::from_bits(number << 32 | place),
            position: Position::new(60.17, 24.94).expect("in range"),
            due_from: Some(at),
            due_until: Some(at.plus(std::time::Duration::from_secs(9))),
        };
        let stops = (0..STOPS_MAX as u128).map(stop).collect();
        let customer = "x".repeat(CUSTOMER_BYTES_MAX);
        say(number, Action::CreateOrder { order: OrderId::from_bits(number), customer, stops });
    }
    for number in 0..messages {
        let (message, body) = (MessageId::from_bits(number), "x".repeat(BODY_BYTES_MAX));
        let expires = at.plus(std::time::Duration::from_secs(9));
        let vehicle = van("VAN-1");
        say(1 << 64 | number, Action::SendMessage { message, vehicle, to_vehicle: true, body, expires });
    }
    let dispatcher = office.token("north", "dispatcher", None);
    for (list, all_of) in [("orders", orders), ("messages", messages)] {
        let found = all(&office, &dispatcher, &format!("/api/v1/{list}?limit=1000")).await;
        assert_eq!((found.len(), different(&found)), (all_of as usize, all_of as usize), "{list}");
    }
}

#[tokio::test]
async fn a_step_of_one_thing_among_many_finds_it_and_a_driver_hears_of_their_own() {
    let office = full();
    let (dispatcher, driver) =
        (office.token("north", "dispatcher", None), office.token("north", "driver", Some("VAN-1")));
    let stop = |number: u128| format!("/api/v1/stops/{}/state", StopId::from_bits(number));
    let arrive = json!({ "from": StopState::Planned.as_str(), "to": StopState::Arrived.as_str() });
    let (status, arrived) = office.post(&stop(MANY - 3), &dispatcher, 1 << 100, arrive.clone()).await;
    assert_eq!((status, &arrived["state"]), (200, &json!("arrived")), "{arrived}");
    assert_eq!(office.post(&stop(107), &driver, 2 << 100, arrive.clone()).await.0, 200);
    assert_eq!(office.post(&stop(108), &driver, 3 << 100, arrive).await.0, 404, "another vehicle's");
    let message =
        |number: u128| format!("/api/v1/messages/{}/state", MessageId::from_bits(number.reverse_bits()));
    let deliver = json!({ "from": "queued", "to": "delivered" });
    assert_eq!(office.post(&message(207), &driver, 4 << 100, deliver.clone()).await.0, 200);
    assert_eq!(office.post(&message(208), &driver, 5 << 100, deliver).await.0, 404);
    let sent = json!({ "vehicle": "VAN-1", "body": "the last", "expires_s": 60 });
    let (status, sent) = office.post("/api/v1/messages", &dispatcher, 6 << 100, sent).await;
    assert_eq!((status, &sent["body"]), (201, &json!("the last")), "{sent}");

    let feed = all_changes(&office, &driver).await;
    let count = |kind: &str| feed.iter().filter(|item| item["kind"] == kind).count();
    assert_eq!(count("order"), 202, "made and assigned, 101 of them");
    assert_eq!(
        (count("stop"), count("message")),
        (1, 103),
        "101 words, one that was delivered, and the last"
    );
}

/// What the feed tells, from its beginning to its end.
async fn all_changes(office: &Office, token: &str) -> Vec<Value> {
    let (mut items, mut since) = (Vec::new(), String::new());
    loop {
        let (status, page) = office.get(&format!("/api/v1/changes?limit=1000{since}"), token).await;
        assert_eq!(status, 200, "{page}");
        items.extend(page["items"].as_array().expect("items").iter().cloned());
        // A page may have nothing that is the driver's, and more behind it.
        let next = format!("&since={}", page["next"].as_str().expect("a place"));
        if next == since {
            return items;
        }
        since = next;
    }
}
