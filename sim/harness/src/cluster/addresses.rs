//! Where the nodes of a run are, in the simulated network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use drover_model::{NodeKind, NodeName};

/// Address of a service's node: a subnet per kind.
pub(super) fn service_ip(node: NodeName) -> IpAddr {
    let [_, _, high, low] = node.index.to_be_bytes();
    Ipv4Addr::new(10, node.kind as u8 + 1, high, low + 1).into()
}

/// Where a service listens, by the contracts' ports.
pub(crate) fn service_addr(node: NodeName) -> SocketAddr {
    let port = match node.kind {
        NodeKind::Gateway | NodeKind::Router => 443,
        NodeKind::Persistence => 9601,
        NodeKind::Dns => 53,
        NodeKind::Health => 9998,
        _ => 9801,
    };
    SocketAddr::new(service_ip(node), port)
}

/// Where a hub's clients connect: over TCP, which routers pass on, and over QUIC.
pub(crate) fn clients_addr(node: NodeName) -> SocketAddr {
    SocketAddr::new(service_ip(node), 4433)
}

/// Where clients of hubs come to a router over QUIC.
pub(crate) fn live_addr(router: NodeName) -> SocketAddr {
    SocketAddr::new(service_ip(router), 4433)
}

/// Where hubs answer to a router.
pub(crate) fn live_inner_addr(router: NodeName) -> SocketAddr {
    SocketAddr::new(service_ip(router), 9444)
}

/// Where gateways answer to a router.
pub(crate) fn inner_addr(router: NodeName) -> SocketAddr {
    SocketAddr::new(service_ip(router), 9443)
}
