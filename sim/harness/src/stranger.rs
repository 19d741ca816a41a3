//! Somebody who is none of the cluster and has none of its keys: every few seconds gateways and routers hear of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use drover_model::{NodeKind, NodeName};
use drover_quic::{ShimKey, Way};
use drover_simnet::Sim;

use crate::cluster::service_addr;
use crate::scenario::Scenario;

/// How often it tries.
const INTERVAL: Duration = Duration::from_secs(5);
/// An address for documentation (RFC 5737): no node has it.
const ADDR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(203, 0, 113, 66)), 4433);
/// What a server answers at once, to whoever seems to have sent it: a version that nobody speaks, as long as an Initial.
const QUESTION_BYTES: usize = 1200;

/// Claims in turn to bring the packets of each vehicle.
pub(crate) struct Stranger {
    key: ShimKey,
    gateways: u32,
    vehicles: u32,
    due: Duration,
    tries: u32,
}

impl Stranger {
    /// The one of a cluster with routers; another has nothing that could be forged.
    pub(crate) fn of(scenario: &Scenario) -> Option<Self> {
        let (gateways, vehicles) = (scenario.cluster.gateway, scenario.vehicles_len());
        let key = ShimKey::new([0x66; 32]);
        let there = scenario.cluster.router > 0 && vehicles > 0;
        there.then_some(Self { key, gateways, vehicles, due: INTERVAL, tries: 0 })
    }

    /// Tries, if it is time.
    pub(crate) fn act(&mut self, sim: &Sim, now: Duration) {
        if now < self.due {
            return;
        }
        self.due = now + INTERVAL;
        self.tries += 1;
        let victim = NodeName::new(NodeKind::Vehicle, self.tries % self.vehicles);
        let Some(ip) = sim.public_ip(victim) else { return };
        let mut packet = vec![0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0];
        packet.resize(QUESTION_BYTES, 0);
        let shim = self.key.seal(Way::ToServer, SocketAddr::new(ip, 40_000), &packet);
        packet.extend_from_slice(&shim);
        let gateway = NodeName::new(NodeKind::Gateway, self.tries % self.gateways);
        sim.inject(ADDR, service_addr(gateway), &packet);
        // And a packet of nobody's, to a router.
        sim.inject(ADDR, service_addr(NodeName::new(NodeKind::Router, 0)), &[0x40; 60]);
    }
}
