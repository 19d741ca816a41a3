//! Agents and members on sockets of 127.0.0.1. Time is real here; what takes how long is the core's tests' and the twin's.

mod cluster;

use cluster::{Cluster, Joined, within};
use drover_bus::discovery::{
    About, GetHealthyNodes, NodeState, Purpose, Register, RegistrationInfo, ServiceQuery,
};
use drover_bus::{CallError, CallOptions, Route};
use drover_model::{NodeKind, NodeName};

const GATEWAY: NodeName = NodeName::new(NodeKind::Gateway, 0);
const HUB: NodeName = NodeName::new(NodeKind::Hub, 0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_registers_is_told_to_all_and_who_is_gone_is_dead_for_all() {
    let cluster = Cluster::start(3);
    let (hub, other) = (cluster.join(HUB), cluster.join(NodeName::new(NodeKind::Hub, 1)));
    within(|| hub.state(HUB) == Some(NodeState::Healthy) && other.state(HUB) == Some(NodeState::Healthy))
        .await;
    drop(hub);
    within(|| other.state(HUB) == Some(NodeState::Dead)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_goes_on_renewing_but_takes_no_session_is_found() {
    let cluster = Cluster::start(1);
    let sessions = cluster.take_sessions(GATEWAY);
    let about = About { addresses: [(Purpose::Telemetry, sessions.addr)].into(), ..About::default() };
    let (gateway, other) = (cluster.join_about(GATEWAY, about), cluster.join(HUB));
    within(|| other.state(GATEWAY) == Some(NodeState::Healthy)).await;
    sessions.task.abort();
    within(|| other.state(GATEWAY) == Some(NodeState::Dead)).await;
    let proof = |joined: &Joined| joined.member.discovery().snapshot().node(GATEWAY).map(|node| node.proof);
    let then = proof(&other);
    within(|| proof(&other) > then).await;
    assert_eq!(gateway.state(GATEWAY), Some(NodeState::Dead), "it renews, and is dead all the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_never_answered_a_probe_is_never_called_well() {
    let cluster = Cluster::start(1);
    let silent = cluster.silent();
    let addr = silent.local_addr().expect("an address");
    let about = About { addresses: [(Purpose::Probe, addr)].into(), ..About::default() };
    let router = cluster.join_about(NodeName::new(NodeKind::Router, 0), about);
    let mut states = Vec::new();
    within(|| {
        let state = router.state(NodeName::new(NodeKind::Router, 0));
        states.extend(state.filter(|state| states.last() != Some(state)));
        state == Some(NodeState::Dead)
    })
    .await;
    assert_eq!(states, [NodeState::Unknown, NodeState::Dead]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_drains_says_so_at_once_and_load_is_told() {
    let cluster = Cluster::start(1);
    let (hub, other) = (cluster.join(HUB), cluster.join(NodeName::new(NodeKind::Hub, 1)));
    within(|| other.state(HUB) == Some(NodeState::Healthy)).await;
    hub.member.set_load(93);
    within(|| other.state(HUB) == Some(NodeState::Overloaded)).await;
    hub.member.set_draining(true);
    within(|| other.state(HUB) == Some(NodeState::Draining)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_agents_die_the_last_news_holds_and_the_rest_goes_on() {
    let mut cluster = Cluster::start(2);
    let (hub, other) = (cluster.join(HUB), cluster.join(NodeName::new(NodeKind::Hub, 1)));
    within(|| other.state(HUB) == Some(NodeState::Healthy)).await;
    cluster.stop_agent(0).await;
    hub.member.set_draining(true);
    within(|| other.state(HUB) == Some(NodeState::Draining)).await;
    cluster.stop_agent(1).await;
    within(|| other.member.discovery().age().is_some_and(|age| age.as_millis() > 1_200)).await;
    assert_eq!(other.state(HUB), Some(NodeState::Draining));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_clock_that_was_set_back_is_the_later_life_all_the_same() {
    let cluster = Cluster::start(1);
    let caller = cluster.pool(HUB);
    let ahead = RegistrationInfo { incarnation: Some(u64::MAX / 2), ..RegistrationInfo::default() };
    let route = Route::Node(cluster.agent(0));
    let answer = caller.call::<Register>(route, &ahead, CallOptions::default()).await;
    assert_eq!(answer.map(|registered| registered.newest_incarnation), Ok(Some(u64::MAX / 2)));
    let hub = cluster.join(HUB);
    within(|| {
        hub.member.discovery().snapshot().node(HUB).is_some_and(|n| n.proof.incarnation == u64::MAX / 2 + 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_say_who_is_there_and_what_was_wrong_with_a_question() {
    let cluster = Cluster::start(1);
    let hub = cluster.join(HUB);
    within(|| hub.state(HUB) == Some(NodeState::Healthy)).await;
    let (caller, route) = (cluster.pool(NodeName::new(NodeKind::Dns, 0)), Route::Node(cluster.agent(0)));
    let asked = |service: &str| ServiceQuery { service: Some(service.to_owned()), at_most: None };
    let nodes = caller.call::<GetHealthyNodes>(route, &asked("live-map-hubs"), CallOptions::default()).await;
    let nodes = nodes.expect("an answer").nodes;
    assert_eq!(nodes.iter().map(|node| node.name.as_deref()).collect::<Vec<_>>(), [Some("hub/0")]);
    let none = caller.call::<GetHealthyNodes>(route, &asked("gateways"), CallOptions::default()).await;
    assert_eq!(none.map(|list| list.nodes), Ok(Vec::new()));
    let wrong = caller.call::<GetHealthyNodes>(route, &asked("hubs"), CallOptions::default()).await;
    assert!(
        matches!(&wrong, Err(CallError::BadArguments(text)) if text.contains("\"hubs\" is no service")),
        "{wrong:?}"
    );
    let nameless = caller.call::<Register>(route, &RegistrationInfo::default(), CallOptions::default()).await;
    let text = "registration of dns/0: incarnation is 0 or missing";
    assert!(matches!(&nameless, Err(CallError::BadArguments(said)) if said == text), "{nameless:?}");
    let health = cluster.pool(NodeName::new(NodeKind::Health, 7));
    let refused = health.call::<Register>(route, &RegistrationInfo::default(), CallOptions::default()).await;
    assert!(
        matches!(&refused, Err(CallError::Refused(text)) if text.contains("does not register")),
        "{refused:?}"
    );
}
