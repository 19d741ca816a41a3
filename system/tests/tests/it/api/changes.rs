//! The feed for those who may see a part of it: what is others' is passed over in great steps, and costs the store no more than that.

use std::sync::atomic::{AtomicU64, Ordering};

use drover_bus::desk::{ChangeInfo, ChangeList, Changes, FindRoutes, RouteList};
use drover_bus::orders::{FindMessages, FindOrders, MessageList, OrderList};
use drover_bus::{Agent, Policy};
use drover_model::orders::Action;

use super::*;

/// A message to another van.
fn message(place: u64) -> ChangeInfo {
    let action = Action::SendMessage {
        message: format!("00000000-0000-4000-8000-{place:012x}").parse().expect("an identity"),
        vehicle: VehicleId::new("VAN-2").expect("a name"),
        to_vehicle: true,
        body: "mind the gate".to_owned(),
        expires: WallTime::from_micros(1),
    };
    let action = serde_json::to_string(&action).expect("JSON");
    ChangeInfo { cursor: Some(format!("0-{place}")), at_us: Some(1), action: Some(action), had_by: None }
}

/// An agent whose feed has so many messages to another van, and what counts the questions for it.
fn others_feed(messages: u64) -> (Agent, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let counted = asked.clone();
    let agent = Agent::builder("PersistenceService")
        .policy(Policy::deny_all().allow(NodeKind::Hub, "PersistenceService.orders."))
        .tool::<Changes, _, _>(move |_, query| {
            counted.fetch_add(1, Ordering::Relaxed);
            async move {
                let after = query.after.as_deref().and_then(|text| text.split_once('-')?.1.parse().ok());
                let after: u64 = after.unwrap_or_default();
                let last = messages.min(after + u64::from(query.changes_max.unwrap_or(1)));
                let next = Some(format!("0-{last}"));
                Ok(ChangeList { changes: (after + 1..=last).map(message).collect(), next })
            }
        })
        .tool::<FindOrders, _, _>(|_, _| async { Ok(OrderList::default()) })
        .tool::<FindMessages, _, _>(|_, _| async { Ok(MessageList::default()) })
        .tool::<FindRoutes, _, _>(|_, _| async { Ok(RouteList::default()) });
    (agent.build(), asked)
}

#[tokio::test]
async fn what_is_others_is_passed_over_without_asking_for_each() {
    let (agent, asked) = others_feed(300);
    let office = Office::open_over(move |env, endpoint| {
        let runs = env.clone();
        drop(env.spawn("agent", async move { agent.serve(runs, endpoint, CancellationToken::new()).await }));
    });
    let driver = office.token("north", "driver", Some("VAN-1"));
    let (status, answer) = office.get("/api/v1/changes?limit=1&wait_s=1", &driver).await;
    assert_eq!((status, &answer["items"], &answer["next"]), (200, &json!([]), &json!("0-300")), "{answer}");
    let asked = asked.load(Ordering::Relaxed);
    assert!((2..=5).contains(&asked), "{asked} questions: one for what was there, and one each half second");
}

#[tokio::test]
async fn a_short_answer_to_a_driver_ends_at_its_last_change() {
    let office = Office::open();
    let dispatcher = office.token("north", "dispatcher", None);
    for (key, van) in (1..).zip(["VAN-2", "VAN-1", "VAN-2", "VAN-2", "VAN-1", "VAN-2"]) {
        let message = json!({ "vehicle": van, "body": format!("number {key}") });
        assert_eq!(office.post("/api/v1/messages", &dispatcher, key, message).await.0, 201);
    }
    let driver = office.token("north", "driver", Some("VAN-1"));
    let mut since = String::new();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let (_, answer) = office.get(&format!("/api/v1/changes?limit=1{since}"), &driver).await;
        let items = answer["items"].as_array().expect("items");
        seen.push(items.iter().map(|item| item["body"].clone()).collect::<Vec<_>>());
        since = format!("&since={}", answer["next"].as_str().expect("a place"));
    }
    assert_eq!(seen, [vec![json!("number 2")], vec![json!("number 5")], vec![]]);
}

#[tokio::test]
async fn a_driver_is_told_of_an_order_that_was_taken_away_however_much_later_they_ask() {
    let office = Office::open();
    let dispatcher = office.token("north", "dispatcher", None);
    let (order, _) = office.order(&dispatcher, 1).await;
    let path = format!("/api/v1/orders/{order}/state");
    let steps = [
        json!({ "from": "planned", "to": "assigned", "vehicle": "VAN-1" }),
        json!({ "from": "assigned", "to": "under_way" }),
        json!({ "from": "under_way", "to": "failed" }),
        json!({ "from": "failed", "to": "planned" }),
        json!({ "from": "planned", "to": "assigned", "vehicle": "VAN-2" }),
        json!({ "from": "assigned", "to": "cancelled" }),
    ];
    for (key, step) in (2..).zip(steps) {
        assert_eq!(office.post(&path, &dispatcher, key, step).await.0, 200, "step {key}");
    }
    let told = async |van: &str| {
        let driver = office.token("north", "driver", Some(van));
        let (_, answer) = office.get("/api/v1/changes", &driver).await;
        let items = answer["items"].as_array().expect("items");
        assert!(items.iter().all(|item| item["id"] == order.as_str()), "{items:?}");
        items.iter().map(|item| item["state"].as_str().expect("a state").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        told("VAN-1").await,
        ["assigned", "under_way", "failed", "planned"],
        "and not of who got it then"
    );
    assert_eq!(
        told("VAN-2").await.last().map(String::as_str),
        Some("cancelled"),
        "it is theirs from its beginning"
    );
    assert_eq!(told("VAN-3").await, [""; 0]);
}
