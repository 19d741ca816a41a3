use drover_wire::decode;
use proptest::prelude::*;
use prost::Message;

use super::*;

fn name() -> impl Strategy<Value = NodeName> {
    let kind = prop_oneof![Just(NodeKind::Gateway), Just(NodeKind::Persistence), Just(NodeKind::Router)];
    (kind, 0u32..3).prop_map(|(kind, index)| NodeName::new(kind, index))
}

fn addresses() -> impl Strategy<Value = BTreeMap<Purpose, SocketAddr>> {
    let purpose = proptest::sample::select(&Purpose::ALL[..]);
    let addr = prop_oneof![
        (any::<[u8; 4]>(), any::<u16>()).prop_map(SocketAddr::from),
        (any::<[u16; 8]>(), any::<u16>()).prop_map(SocketAddr::from),
    ];
    proptest::collection::btree_map(purpose, addr, 0..3)
}

fn node() -> impl Strategy<Value = Node> {
    let state = proptest::sample::select(&NodeState::ALL[..]);
    // Few values, so that proofs, and whole nodes but for one thing, often meet.
    let proof = (1u64..3, 0u64..3).prop_map(|(incarnation, lived_ms)| Proof { incarnation, lived_ms });
    let zone = proptest::option::of("[a-c]").prop_map(|zone| zone.and_then(|zone| Zone::new(&zone).ok()));
    let tools = proptest::collection::btree_set("[A-C]\\.[a-c]", 0..3);
    (proof, state, 0u8..=100, 0u32..3, zone, addresses(), tools, 0i64..3).prop_map(
        |(proof, state, load_percent, capacity, zone, addresses, tools, seen_at)| Node {
            proof,
            state,
            load_percent,
            capacity,
            zone,
            addresses,
            tools,
            seen_at: WallTime::from_micros(seen_at),
        },
    )
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let taken_at = proptest::option::of((0i64..9).prop_map(WallTime::from_micros));
    (0u64..9, taken_at, proptest::collection::btree_map(name(), node(), 0..6))
        .prop_map(|(version, taken_at, nodes)| Snapshot { version, taken_at, nodes })
}

proptest! {
    #[test]
    fn merging_knows_no_order_and_no_number(a in snapshot(), b in snapshot(), c in snapshot()) {
        prop_assert_eq!(a.clone().merge(&b), b.clone().merge(&a));
        prop_assert_eq!(a.clone().merge(&b).merge(&c), a.clone().merge(&b.clone().merge(&c)));
        prop_assert_eq!(a.clone().merge(&b).merge(&b).merge(&a), a.clone().merge(&b));
        prop_assert_eq!(a.clone().merge(&a), a);
    }

    #[test]
    fn of_each_node_the_newest_proof_is_kept(a in snapshot(), b in snapshot()) {
        let merged = a.clone().merge(&b);
        for (name, node) in &merged.nodes {
            let said = [a.node(*name), b.node(*name)];
            let newest = said.into_iter().flatten().map(|node| node.proof).max();
            prop_assert_eq!(Some(node.proof), newest);
        }
        prop_assert!(a.nodes.keys().chain(b.nodes.keys()).all(|name| merged.node(*name).is_some()));
    }

    #[test]
    fn a_snapshot_reads_back_as_it_was_sent(snapshot in snapshot(), life: u64, blind: bool) {
        let sent = snapshot.to_wire(life, blind);
        let came: SnapshotInfo = decode(&sent.encode_to_vec()).expect("what was encoded decodes");
        prop_assert_eq!(Snapshot::try_from(&came), Ok(snapshot));
        prop_assert_eq!((came.life, came.blind), (Some(life), Some(blind)));
    }
}

fn healthy(load_percent: u8) -> Node {
    Node {
        proof: Proof { incarnation: 1, lived_ms: 1 },
        state: NodeState::Healthy,
        load_percent,
        capacity: 0,
        zone: None,
        addresses: BTreeMap::new(),
        tools: BTreeSet::new(),
        seen_at: WallTime::UNIX_EPOCH,
    }
}

#[test]
fn a_life_after_is_newer_than_any_renewal_before() {
    let proof = |incarnation, lived_ms| Proof { incarnation, lived_ms };
    assert!(proof(2, 0) > proof(1, u64::MAX));
    let (dead, back) = (
        Node { proof: proof(1, 900), state: NodeState::Dead, ..healthy(0) },
        Node { proof: proof(2, 1), state: NodeState::Healthy, ..healthy(0) },
    );
    let gateway = NodeName::new(NodeKind::Gateway, 0);
    let of = |node: &Node| Snapshot { nodes: [(gateway, node.clone())].into(), ..Snapshot::default() };
    assert_eq!(of(&dead).merge(&of(&back)), of(&back));
}

#[test]
fn the_best_come_first_and_those_that_take_nothing_not_at_all() {
    let node = |state, load_percent| Node { state, ..healthy(load_percent) };
    let nodes = [
        node(NodeState::Overloaded, 10),
        node(NodeState::Healthy, 80),
        node(NodeState::Dead, 0),
        node(NodeState::Degraded, 0),
        node(NodeState::Healthy, 20),
        node(NodeState::Draining, 0),
        node(NodeState::Unknown, 0),
    ];
    let named = (0..).zip(nodes).map(|(index, node)| (NodeName::new(NodeKind::Hub, index), node));
    let snapshot = Snapshot { nodes: named.collect(), ..Snapshot::default() };
    let best: Vec<u32> = snapshot.best(NodeKind::Hub).iter().map(|(name, _)| name.index).collect();
    assert_eq!(best, [4, 1, 3, 0]);
    assert!(snapshot.best(NodeKind::Gateway).is_empty());
}

#[test]
fn renewals_alone_change_nothing_that_is_said() {
    let gateway = NodeName::new(NodeKind::Gateway, 0);
    let of = |node: Node| Snapshot { nodes: [(gateway, node)].into(), ..Snapshot::default() };
    let renewed = Node { proof: Proof { incarnation: 1, lived_ms: 9 }, ..healthy(20) };
    assert!(of(healthy(20)).says_the_same(&of(renewed.clone())));
    assert!(!of(healthy(20)).says_the_same(&of(Node { load_percent: 21, ..renewed })));
    assert!(!of(healthy(20)).says_the_same(&Snapshot::default()));
}

#[test]
fn services_are_known_by_both_their_names() {
    assert_eq!(service_kind("live-map-hubs"), Some(NodeKind::Hub));
    assert_eq!(service_kind("hub"), Some(NodeKind::Hub));
    assert_eq!(service_kind("hubs"), None);
}

#[test]
fn what_can_not_be_is_named() {
    let good = RegistrationInfo { incarnation: Some(1), ..RegistrationInfo::default() };
    let check = |said: RegistrationInfo, expected: &str| {
        let problem = Registration::try_from(&said).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(
            problem.contains(expected) && problem.is_empty() == expected.is_empty(),
            "{said:?}: {problem}"
        );
    };
    let address = |purpose: &str, addr: &str| AddressInfo {
        purpose: Some(purpose.to_owned()),
        addr: Some(addr.to_owned()),
    };
    check(good.clone(), "");
    check(RegistrationInfo::default(), "incarnation is 0");
    check(RegistrationInfo { load_percent: Some(101), ..good.clone() }, "load of 101 percent");
    check(RegistrationInfo { zone: Some(String::new()), ..good.clone() }, "is no zone");
    check(RegistrationInfo { tools: vec!["a b".to_owned()], ..good.clone() }, "no name of a tool");
    check(RegistrationInfo { tools: vec!["a".to_owned(); 65], ..good.clone() }, "65 tools, of at most 64");
    check(
        RegistrationInfo { addresses: vec![address("home", "")], ..good.clone() },
        "\"home\" is no purpose",
    );
    check(
        RegistrationInfo { addresses: vec![address("bus", "here")], ..good.clone() },
        "bus address \"here\" is no IP",
    );
    let twice = vec![address("bus", "192.0.2.1:1"), address("bus", "192.0.2.1:2")];
    check(RegistrationInfo { addresses: twice, ..good }, "two bus addresses");
}

#[test]
fn a_snapshot_of_too_many_nodes_or_of_one_twice_is_refused() {
    let node = NodeInfo {
        name: Some("gateway/0".to_owned()),
        said: Some(RegistrationInfo { incarnation: Some(1), ..RegistrationInfo::default() }),
        ..NodeInfo::default()
    };
    let many = SnapshotInfo { nodes: vec![node.clone(); NODES_MAX + 1], ..SnapshotInfo::default() };
    assert!(decode::<SnapshotInfo>(&many.encode_to_vec()).is_err());
    let twice = SnapshotInfo { nodes: vec![node.clone(), node.clone()], ..SnapshotInfo::default() };
    assert_eq!(Snapshot::try_from(&twice), Err(Invalid::NodeTwice(NodeName::new(NodeKind::Gateway, 0))));
    let strange =
        SnapshotInfo { nodes: vec![NodeInfo { state: Some(6), ..node }], ..SnapshotInfo::default() };
    assert_eq!(Snapshot::try_from(&strange), Err(Invalid::State(6)));
}
