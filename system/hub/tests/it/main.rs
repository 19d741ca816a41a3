//! The hub on real sockets: a gateway publishes, clients see it; whoever breaks the protocol or does not belong is told so, and counted.

mod asking;
mod bench;
mod quic;
mod rfc6455;
mod tcp;

use std::time::Duration;

use bench::Bench;
use drover_hub::Config;
use tokio_tungstenite::tungstenite::Error;

const ALL: &str = r#"{"action":"SUBSCRIBE","topic":"live_updates:all","id":1}"#;

#[tokio::test]
async fn a_fix_that_a_gateway_publishes_is_seen_by_whoever_may() {
    let mut bench = Bench::start(Config::default()).await;
    let mut json = bench.client(Some("dispatcher"), Some("drover.json")).await;
    let mut binary = bench.client(Some("dispatcher"), Some("drover.bin")).await;
    let mut plain = bench.client(None, None).await;
    let mut other = bench.client(Some("elsewhere"), Some("drover.json")).await;
    plain.say(r#"{"action":"AUTHENTICATE","token":"dispatcher"}"#).await;
    for client in [&mut json, &mut binary, &mut plain, &mut other] {
        client.say(ALL).await;
        assert_eq!(client.next("subscribed").await.expect("told")["id"], 1);
    }
    bench.publish("VAN-1", 1_700_000_000);
    assert_eq!(json.next("update").await.expect("told")["features"][0]["id"], "VAN-1");
    assert_eq!(plain.next("Feature").await.expect("told")["properties"]["timestamp"], 1_700_000_000);
    assert_eq!(binary.next("handles").await.expect("told")["handles"]["0"], "VAN-1");
    assert_eq!(binary.next("binary").await.expect("told"), 40);
    // Another tenant hears of its own vehicles alone.
    other.say(r#"{"action":"SUBSCRIBE","topic":"vehicle:VAN-1"}"#).await;
    let snapshot = other.next("snapshot").await.expect("told");
    assert_eq!(snapshot["features"].as_array().map(Vec::len), Some(0));
    let late = &mut bench.client(Some("dispatcher"), Some("drover.json")).await;
    late.say(ALL).await;
    assert_eq!(late.next("snapshot").await.expect("told")["features"][0]["id"], "VAN-1");
    bench.stop().await;
    assert_eq!((json.closed().await, late.closed().await), (1001, 1001), "with a goodbye");
    assert_eq!((bench.counted("hub.admitted"), bench.counted("hub.refused")), (5, 0));
}

#[tokio::test]
async fn whoever_does_not_belong_is_refused_and_counted() {
    let config = Config {
        origins: vec!["https://map.example.com".to_owned()],
        sockets_per_address_max: 1,
        handshake_max: Duration::from_millis(200),
        ..Config::default()
    };
    let bench = Bench::start(config).await;
    let refused = async |token: Option<&str>| match bench.try_client(token, None).await {
        Err(Error::Http(response)) => {
            let problem = response.body().clone().unwrap_or_default();
            assert!(String::from_utf8_lossy(&problem).contains("\"detail\":"), "RFC 9457");
            response.status().as_u16()
        }
        Err(error) => panic!("{error}"),
        Ok(_) => 101,
    };
    assert_eq!(refused(Some("guessed")).await, 403);
    assert_eq!(refused(Some("expired")).await, 403);
    let upgrade = |origin: &str| {
        format!(
            "GET /live-map HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {origin}\r\n\r\n"
        )
    };
    assert!(bench.raw(&upgrade("https://evil.example.com")).await.starts_with("HTTP/1.1 403"));
    let mut quiet = bench.client(None, None).await;
    assert_eq!(refused(Some("dispatcher")).await, 429, "one socket for an address");
    assert_eq!(quiet.closed().await, 4401, "it did not say who it is");
    assert_eq!(bench.counted("hub.refused"), 4);
    // RFC 6455, section 1.3: the key of its example and what it must be answered with.
    let known = bench.raw(&upgrade("https://map.example.com")).await;
    assert!(known.starts_with("HTTP/1.1 101") && known.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{known}");
}

#[tokio::test]
async fn what_is_no_session_is_answered_by_the_pages() {
    let bench = Bench::start(Config::default()).await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n");
    let missing = bench.raw(&get("/nothing")).await;
    assert!(missing.starts_with("HTTP/1.1 404") && missing.contains("application/problem+json"), "{missing}");
    assert!(bench.raw(&get("/live-map")).await.starts_with("HTTP/1.1 426"));
    assert!(bench.raw(&get("/live-map/probe")).await.starts_with("HTTP/1.1 200"));
    assert!(!missing.to_lowercase().contains("\r\ndate:"), "its clock is no env's");
    assert!(bench.raw("NONSENSE\r\n\r\n").await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go_and_the_others_see_everything() {
    let config =
        Config { slow_max: Duration::from_millis(300), tick: Duration::from_millis(5), ..Config::default() };
    let bench = Bench::start(config).await;
    let (mut good, mut frozen) = (
        bench.client(Some("dispatcher"), Some("drover.json")).await,
        bench.client(Some("dispatcher"), None).await,
    );
    for client in [&mut good, &mut frozen] {
        client.say(ALL).await;
        client.next("subscribed").await.expect("told");
    }
    // The system's buffers hold megabytes, and a fleet of this size fills them in a few rounds.
    let mut second = 1_700_000_000;
    while bench.counted("hub.let_go") == 0 {
        second += 1;
        for van in 0..500 {
            bench.publish(&format!("VAN-{van:03}"), second);
        }
        let mut newest = 0;
        while newest < 500 {
            let update = good.next("update").await.expect("told");
            let features = update["features"].as_array().expect("features");
            newest += features.iter().filter(|of| of["properties"]["timestamp"] == second).count();
        }
        assert!(second < 1_700_001_000, "it is never let go");
    }
}

#[tokio::test]
async fn who_does_not_say_who_they_are_goes_however_little_they_read() {
    let config = Config { handshake_max: Duration::from_millis(300), ..Config::default() };
    let bench = Bench::start(config).await;
    let mut silent = bench.client(None, Some("drover.json")).await;
    // Its answers fill what the system holds for it, so that the hub can not tell it why it goes.
    let pings = [&[0x89, 0x80 | 100, 0, 0, 0, 0][..], &[b'x'; 100]].concat().repeat(100);
    let gone = async { while silent.try_write_raw(&pings).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("it holds its place for ever");
    assert_eq!(bench.counted("hub.let_go"), 1);
}

#[tokio::test]
async fn what_another_hub_pushes_reaches_whoever_listens_once() {
    let bench = Bench::start(Config::default()).await;
    let mut client = bench.client(Some("dispatcher"), Some("drover.json")).await;
    client.say(r#"{"action":"SUBSCRIBE","topic":"events"}"#).await;
    client.next("subscribed").await.expect("told");
    let push = drover_bus::hub::RoutePush {
        id: Some("r-1".to_owned()),
        tenant: Some("acme".to_owned()),
        vehicle: Some("VAN-1".to_owned()),
        revision: Some(2),
        stops: vec!["s-1".to_owned()],
        ..Default::default()
    };
    let hub = bench.peer(drover_model::NodeKind::Hub).await;
    let call =
        || hub.call::<drover_bus::hub::PushRoute>(bench::AT_HUB, &push, drover_bus::CallOptions::default());
    assert_eq!(call().await.expect("answered").sessions, Some(1));
    let event = client.next("event").await.expect("told");
    assert_eq!((&event["event"]["kind"], &event["event"]["stops"][0]), (&"route".into(), &"s-1".into()));
    let again = call().await.expect("answered");
    assert_eq!((again.sessions, again.repeated), (Some(0), Some(true)));
    let gateway = bench.pool.call::<drover_bus::hub::PushRoute>(
        bench::AT_HUB,
        &push,
        drover_bus::CallOptions::default(),
    );
    assert!(
        matches!(gateway.await, Err(drover_bus::CallError::Refused(_))),
        "gateways publish and ask, no more"
    );
}

#[tokio::test]
async fn an_agent_has_clients_told_something_and_passes_nothing_on_for_hubs() {
    use drover_bus::hub::{InsightPush, PushInsight, Relay, RelayPush};
    let bench = Bench::start(Config::default()).await;
    let mut client = bench.client(Some("dispatcher"), Some("drover.json")).await;
    client.say(r#"{"action":"SUBSCRIBE","topic":"events"}"#).await;
    client.next("subscribed").await.expect("told");
    let agent = bench.peer(drover_model::NodeKind::Agent).await;
    let some = |text: &str| Some(text.to_owned());
    let insight = InsightPush {
        id: some("i-1"),
        tenant: some("acme"),
        topic: some("maintenance"),
        text: some("a battery is low"),
        ..Default::default()
    };
    let told = agent.call::<PushInsight>(bench::AT_HUB, &insight, drover_bus::CallOptions::default()).await;
    assert_eq!(told.expect("answered").sessions, Some(1));
    assert_eq!(client.next("event").await.expect("told")["event"]["text"], "a battery is low");
    let relay = RelayPush { id: some("e-1"), tenant: some("acme"), event: some("{}"), ..Default::default() };
    let refused = agent.call::<Relay>(bench::AT_HUB, &relay, drover_bus::CallOptions::default()).await;
    assert!(matches!(refused, Err(drover_bus::CallError::Refused(_))), "{refused:?}");
}
