use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use drover_bus::discovery::Proof;

use super::*;

const GATEWAY: NodeName = NodeName::new(NodeKind::Gateway, 0);
const HUB: NodeName = NodeName::new(NodeKind::Hub, 0);
const WALL: WallTime = WallTime::UNIX_EPOCH;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn said(incarnation: u64, lived_ms: u64) -> Registration {
    Registration {
        proof: Proof { incarnation, lived_ms },
        draining: false,
        load_percent: 0,
        capacity: 0,
        zone: None,
        addresses: BTreeMap::new(),
        tools: BTreeSet::new(),
    }
}

fn registry() -> Registry {
    Registry::new(Limits::default(), 3)
}

fn state(registry: &Registry, name: NodeName) -> Option<NodeState> {
    registry.snapshot(WALL).node(name).map(|node| node.state)
}

#[test]
fn renewals_alone_are_no_news_and_whatever_else_is_said_is() {
    let (start, mut registry) = (Instant::now(), registry());
    assert_eq!(registry.handle_registration(start, WALL, HUB, said(7, 0)), Ok(7));
    assert_eq!(registry.take_changed(), [(HUB, NodeState::Healthy)]);
    let version = registry.version();
    assert_eq!(registry.handle_registration(start + ms(200), WALL, HUB, said(7, 200)), Ok(7));
    assert_eq!(registry.version(), version);
    let loaded = Registration { load_percent: 5, ..said(7, 400) };
    assert_eq!(registry.handle_registration(start + ms(400), WALL, HUB, loaded), Ok(7));
    assert!(registry.version() > version && registry.take_changed().is_empty());
}

#[test]
fn an_earlier_life_counts_for_nothing_and_a_later_one_begins_anew() {
    let (start, mut registry) = (Instant::now(), registry());
    for (incarnation, expected) in [(7, 7), (6, 7), (9, 9)] {
        let newest = registry.handle_registration(start, WALL, GATEWAY, said(incarnation, 0));
        assert_eq!(newest, Ok(expected));
        registry.handle_answer(start, GATEWAY, 7);
    }
    assert_eq!(state(&registry, GATEWAY), Some(NodeState::Unknown), "its answer was its earlier life's");
    registry.handle_answer(start, GATEWAY, 9);
    assert_eq!(state(&registry, GATEWAY), Some(NodeState::Healthy));
}

#[test]
fn who_hears_nobody_blames_nobody_and_says_so() {
    let (start, mut registry) = (Instant::now(), registry());
    for name in [HUB, NodeName::new(NodeKind::Hub, 1)] {
        assert!(registry.handle_registration(start, WALL, name, said(1, 0)).is_ok());
    }
    registry.handle_timeout(start + ms(180_000));
    assert!(registry.is_blind());
    assert_eq!(state(&registry, HUB), Some(NodeState::Healthy));
    // The first that is heard again: the other is waited for anew, and then it is dead.
    assert!(registry.handle_registration(start + ms(180_100), WALL, HUB, said(1, 180_100)).is_ok());
    registry.handle_timeout(start + ms(180_200));
    assert!(!registry.is_blind());
    let other = NodeName::new(NodeKind::Hub, 1);
    assert_eq!(state(&registry, other), Some(NodeState::Healthy));
    assert!(registry.handle_registration(start + ms(181_000), WALL, HUB, said(1, 181_000)).is_ok());
    registry.handle_timeout(start + ms(181_100));
    assert_eq!(state(&registry, other), Some(NodeState::Dead));
    assert_eq!(state(&registry, HUB), Some(NodeState::Healthy));
}

#[test]
fn what_is_dead_for_long_is_forgotten_and_makes_room() {
    let (start, mut registry) = (Instant::now(), registry());
    for index in 0..3 {
        let name = NodeName::new(NodeKind::Hub, index);
        assert!(registry.handle_registration(start, WALL, name, said(1, 0)).is_ok());
    }
    let fourth = NodeName::new(NodeKind::Hub, 3);
    assert_eq!(registry.handle_registration(start, WALL, fourth, said(1, 0)), Err(Full { nodes_max: 3 }));
    let renew = |at_ms: u64, registry: &mut Registry| {
        assert!(registry.handle_registration(start + ms(at_ms), WALL, HUB, said(1, at_ms)).is_ok());
        registry.handle_timeout(start + ms(at_ms));
    };
    renew(1_000, &mut registry);
    assert_eq!(state(&registry, NodeName::new(NodeKind::Hub, 1)), Some(NodeState::Dead));
    renew(600_999, &mut registry);
    assert_eq!(registry.snapshot(WALL).nodes.len(), 3);
    let version = registry.version();
    renew(601_000, &mut registry);
    assert_eq!(registry.snapshot(WALL).nodes.len(), 1);
    assert!(registry.version() > version);
    assert!(registry.handle_registration(start + ms(601_000), WALL, fourth, said(1, 0)).is_ok());
}
