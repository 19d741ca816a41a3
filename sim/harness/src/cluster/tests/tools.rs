//! The tools that hubs offer: who may call them, with what, and what comes of it.

use std::time::Duration;

use drover_bus::hub::{
    InsightPush, MessagePush, PushInsight, PushRoute, Relay, RelayPush, RoutePush, SendMessage,
};
use drover_bus::{CallError, CallOptions, ListTools, Pool, Route, Tool};
use drover_model::{NodeKind, NodeName, WallTime};
use drover_store::WhichMessages;
use serde_json::Value as Json;
use tokio::time::{sleep, timeout};

use super::{LATER, PATIENCE, Town, hub, play, tenant, vehicle_id};

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// A message for the first van.
fn message(id: &str, body: &str) -> MessagePush {
    MessagePush {
        id: some(id),
        tenant: Some(tenant().to_string()),
        vehicle: Some(vehicle_id(0).to_string()),
        to_vehicle: Some(true),
        body: some(body),
        expires_ms: Some(4_000_000_000_000),
    }
}

async fn call<T: Tool>(service: &Pool, at: u32, input: &T::Input) -> Result<T::Output, CallError> {
    service.call::<T>(Route::Node(hub(at)), input, CallOptions::default()).await
}

/// What becomes of a call without a single argument: of who may not call, and of what is missing first.
async fn of_nothing<T: Tool>(service: &Pool) -> String
where
    T::Input: Default,
{
    match call::<T>(service, 0, &T::Input::default()).await {
        Ok(_) => "done".to_owned(),
        Err(CallError::Refused(_)) => "refused".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn who_may_call_is_told_what_is_wrong_and_the_others_are_refused() {
    play(1, "", async |town| {
        for kind in
            [NodeKind::Agent, NodeKind::Hub, NodeKind::Gateway, NodeKind::Persistence, NodeKind::Router]
        {
            let service = town.service(kind).await;
            let (pushes, relays) = (matches!(kind, NodeKind::Agent | NodeKind::Hub), kind == NodeKind::Hub);
            let said = |may: bool, problem: &str| if may { problem } else { "refused" }.to_owned();
            let vehicle = "bad arguments: vehicle: name is empty";
            let id = "bad arguments: id must be 1 to 64 of A-Z, a-z, 0-9, '-', '_' and '.'";
            assert_eq!(of_nothing::<PushRoute>(&service).await, said(pushes, vehicle), "{kind}");
            assert_eq!(of_nothing::<PushInsight>(&service).await, said(pushes, id), "{kind}");
            assert_eq!(of_nothing::<SendMessage>(&service).await, said(pushes, id), "{kind}");
            let event = "bad arguments: event: EOF while parsing a value at line 1 column 0";
            assert_eq!(of_nothing::<Relay>(&service).await, said(relays, event), "{kind}");
        }
    });
}

#[test]
fn what_is_wrong_with_each_argument_is_named() {
    play(1, "", async |town| {
        let service = town.service(NodeKind::Hub).await;
        let refused = |answer: Result<String, CallError>, expected: &str| match answer {
            Err(CallError::BadArguments(problem)) => assert!(problem.contains(expected), "{problem}"),
            other => panic!("{expected}: {other:?}"),
        };
        let told = |told: Result<drover_bus::hub::Delivered, CallError>| told.map(|told| format!("{told:?}"));
        let good = InsightPush {
            id: some("i-1"),
            tenant: Some(tenant().to_string()),
            vehicle: None,
            topic: some("maintenance"),
            severity: some("info"),
            text: some("it hums"),
        };
        for (push, expected) in [
            (InsightPush { id: some("i 1"), ..good.clone() }, "id must be"),
            (InsightPush { tenant: some("a b"), ..good.clone() }, "tenant: name"),
            (InsightPush { vehicle: some("a b"), ..good.clone() }, "vehicle: name"),
            (InsightPush { topic: None, ..good.clone() }, "topic must be"),
            (InsightPush { severity: some("grave"), ..good.clone() }, "severity must be one of info"),
            (InsightPush { text: some(&"x".repeat(4_001)), ..good.clone() }, "text of 4001 bytes"),
        ] {
            refused(told(call::<PushInsight>(&service, 0, &push).await), expected);
        }
        let route = RoutePush {
            id: some("r-1"),
            tenant: good.tenant.clone(),
            vehicle: some("VAN-1"),
            ..RoutePush::default()
        };
        for (push, expected) in [
            (RoutePush { stops: vec!["a b".to_owned()], ..route.clone() }, "a stop's id must be"),
            (RoutePush { polyline: vec![24.9, 95.0], ..route.clone() }, "polyline:"),
        ] {
            refused(told(call::<PushRoute>(&service, 0, &push).await), expected);
        }
        let relay =
            RelayPush { id: some("e-1"), tenant: good.tenant.clone(), vehicle: None, event: some("{}") };
        for (push, expected) in [
            (RelayPush { event: some("[]"), ..relay.clone() }, "event must be a JSON object"),
            (RelayPush { tenant: None, ..relay.clone() }, "tenant: name is empty"),
        ] {
            refused(told(call::<Relay>(&service, 0, &push).await), expected);
        }
        let late = MessagePush { expires_ms: None, ..message("m-1", "call me") };
        let sent = call::<SendMessage>(&service, 0, &late).await;
        refused(sent.map(|sent| format!("{sent:?}")), "expires_ms is missing");
    });
}

#[test]
fn tools_are_listed_with_their_schemas_to_those_who_may_call_them() {
    play(1, "", async |town| {
        let listed = async |kind| {
            let service = town.service(kind).await;
            let tools = call::<ListTools>(&service, 0, &Default::default()).await.expect("a listing").tools;
            let named = tools.into_iter().map(|tool| {
                let schema: Json =
                    serde_json::from_str(&tool.input_schema.unwrap_or_default()).expect("a schema");
                let fields = schema["properties"].as_object().expect("fields").keys().cloned().collect();
                (tool.name.unwrap_or_default(), fields)
            });
            named.collect::<Vec<(String, Vec<String>)>>()
        };
        let names = |tools: &[(String, Vec<String>)]| -> Vec<String> {
            tools.iter().map(|(name, _)| name.trim_start_matches("HubService.").to_owned()).collect()
        };
        let for_agents = listed(NodeKind::Agent).await;
        assert_eq!(names(&for_agents), ["ask", "push_insight", "push_route", "send_message"]);
        assert_eq!(for_agents[1].1, ["id", "severity", "tenant", "text", "topic", "vehicle"]);
        assert_eq!(for_agents[3].1, ["body", "expires_ms", "id", "tenant", "to_vehicle", "vehicle"]);
        let for_hubs = listed(NodeKind::Hub).await;
        assert_eq!(
            names(&for_hubs),
            ["ask", "push_insight", "push_route", "relay", "send_message", "watchInterest"]
        );
        assert_eq!(for_hubs[3].1, ["event", "id", "tenant", "vehicle"]);
        assert_eq!(names(&listed(NodeKind::Gateway).await), ["watchInterest"]);
    });
}

/// Messages that are stored.
fn stored(town: &Town) -> Vec<drover_model::orders::Message> {
    let store = town.cluster.borrow().db.store.clone();
    store.messages_now(tenant(), WhichMessages::default(), 10).expect("few")
}

#[test]
fn a_message_that_an_agent_sends_is_stored_brought_to_its_tracker_and_told_at_every_hub() {
    play(2, "", async |town| {
        let mut pages = [
            town.page(0, "office", "events").await,
            town.page(1, "office", "events").await,
            town.page(1, &format!("driver/{}", vehicle_id(0)), "events").await,
        ];
        let mut other = town.page(0, &format!("driver/{}", vehicle_id(1)), "events").await;
        let agent = town.service(NodeKind::Agent).await;
        // By now hubs know where the feed of the tenant ends.
        sleep(LATER).await;
        let sent = call::<SendMessage>(&agent, 0, &message("m-1", "call me")).await.expect("sent");
        assert_eq!(sent.repeated, Some(false));
        for page in &mut pages {
            let event = page.event().await;
            assert_eq!((&event["kind"], &event["body"]), (&"message".into(), &"call me".into()));
            assert_eq!(event["id"].as_str(), sent.message_id.as_deref());
        }
        let [kept] = stored(town).try_into().expect("one");
        assert_eq!((Some(kept.id.to_string()), kept.to_vehicle), (sent.message_id.clone(), true));
        let applied = async {
            while stored(town).iter().all(|message| message.passage.applied.is_none()) {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(PATIENCE, applied).await.expect("the tracker has it");

        let again = call::<SendMessage>(&agent, 1, &message("m-1", "call me")).await.expect("sent before");
        assert_eq!((again.message_id, again.repeated), (sent.message_id, Some(true)), "at whichever hub");
        let changed = call::<SendMessage>(&agent, 0, &message("m-1", "do not call me")).await;
        assert!(matches!(changed, Err(CallError::Refused(_))), "{changed:?}");
        assert_eq!(stored(town).len(), 1);
        other.hears_no_more().await;
    });
}

#[test]
fn a_message_that_nobody_can_keep_is_not_told_and_said_again_it_is() {
    play(1, "", async |town| {
        let mut page = town.page(0, "office", "events").await;
        let agent = town.service(NodeKind::Agent).await;
        sleep(LATER).await;
        let keeper = NodeName::new(NodeKind::Persistence, 0);
        town.crash(keeper);
        let sent = call::<SendMessage>(&agent, 0, &message("m-1", "call me")).await;
        assert!(matches!(sent, Err(CallError::Unavailable(_) | CallError::Deadline(_))), "{sent:?}");
        page.hears_no_more().await;
        town.start(keeper);
        sleep(LATER).await;
        let sent = call::<SendMessage>(&agent, 0, &message("m-1", "call me")).await.expect("sent");
        assert_eq!(page.event().await["id"].as_str(), sent.message_id.as_deref());
        let [kept] = stored(town).try_into().expect("one");
        assert!(kept.expires > WallTime::UNIX_EPOCH && kept.body == "call me");
    });
}
