//! From what health agents say to what names may lead to.

use drover_bus::discovery::{NodeState, Purpose, Snapshot};

use crate::candidate::{Candidate, Health, LOAD_MAX, StaticNode};

/// The nodes of a snapshot that clients can come to. A node says one address: what else is known of it in `known`, its address of
/// the other family most of all, stands beside that.
pub(crate) fn candidates(snapshot: &Snapshot, known: &[StaticNode]) -> Vec<Candidate> {
    let public = snapshot.nodes.iter().filter_map(|(name, node)| {
        let addr = *node.addresses.get(&Purpose::Public)?;
        let known = known.iter().find(|known| known.node == *name && known.port == addr.port());
        let others = known.into_iter().flat_map(|known| &known.addrs);
        let mut addrs = vec![addr.ip()];
        addrs.extend(others.filter(|other| other.is_ipv4() != addr.is_ipv4()));
        Some(Candidate {
            node: *name,
            addrs,
            port: addr.port(),
            health: health(node.state),
            load_permille: u16::from(node.load_percent) * (LOAD_MAX / 100),
            capacity: node.capacity,
            zone: node.zone.as_ref().map(|zone| zone.as_str().to_owned()),
        })
    });
    public.collect()
}

const fn health(state: NodeState) -> Health {
    match state {
        NodeState::Unknown => Health::Unknown,
        NodeState::Healthy => Health::Healthy,
        NodeState::Degraded => Health::Degraded,
        NodeState::Overloaded => Health::Overloaded,
        NodeState::Draining => Health::Draining,
        NodeState::Dead => Health::Dead,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::net::{IpAddr, SocketAddr};

    use drover_bus::discovery::{Node, Proof, Zone};
    use drover_model::{NodeKind, NodeName, WallTime};

    use super::*;

    fn node(purpose: Purpose, addr: &str) -> Node {
        let addr: SocketAddr = addr.parse().expect("an address");
        Node {
            proof: Proof::default(),
            state: NodeState::Degraded,
            load_percent: 35,
            capacity: 9,
            zone: Zone::new("here").ok(),
            addresses: BTreeMap::from([(purpose, addr)]),
            tools: BTreeSet::new(),
            seen_at: WallTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn who_is_public_may_be_named_with_all_of_its_addresses() {
        let nodes = [
            (NodeName::new(NodeKind::Router, 0), node(Purpose::Public, "192.0.2.1:443")),
            (NodeName::new(NodeKind::Gateway, 0), node(Purpose::Telemetry, "192.0.2.2:443")),
        ];
        let snapshot = Snapshot { nodes: BTreeMap::from(nodes), ..Snapshot::default() };
        let known: StaticNode =
            toml::from_str("node = \"router/0\"\naddrs = [\"192.0.2.7\", \"2001:db8::1\"]\nport = 443")
                .expect("a node");
        let found = candidates(&snapshot, std::slice::from_ref(&known));
        let [router] = found.as_slice() else { panic!("{found:?}") };
        let expected: [IpAddr; 2] = [[192, 0, 2, 1].into(), "2001:db8::1".parse().expect("an address")];
        assert_eq!((router.addrs.as_slice(), router.port), (&expected[..], 443));
        assert_eq!((router.health, router.load_permille, router.capacity), (Health::Degraded, 350, 9));
        assert_eq!(router.zone.as_deref(), Some("here"));
        let elsewhere = StaticNode { port: 444, ..known };
        assert_eq!(candidates(&snapshot, &[elsewhere])[0].addrs.len(), 1, "another service of that node");
    }
}
