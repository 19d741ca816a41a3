//! What happens to vehicles' nodes on the road: cells, address translation, fading, crowds, sleep and clocks.

use std::net::{IpAddr, Ipv4Addr};

use drover_env::Value;
use drover_model::{NodeKind, NodeName};
use drover_quic::PkiError;
use drover_world::{Cell, ClockError};

use super::Cluster;
use crate::links::medium_key;
use crate::scenario::{Radio, Scenario};

/// Addresses behind a translation: 172.16.0.0/12 (RFC 1918) has a million, which then come again.
const PRIVATE: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 0);
const PRIVATE_COUNT: u32 = 1 << 20;

/// Address translation between vehicles and the network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Translation {
    timeout: Option<std::time::Duration>,
}

impl Translation {
    /// The scenario's, if its radio or a fault wants any.
    pub(super) fn of(scenario: &Scenario) -> Option<Self> {
        let Radio { nat_timeout, nat_rebind_interval, .. } = scenario.radio;
        let rebinds = scenario.faults.iter().any(|fault| fault.rebind.is_some());
        let wanted = nat_timeout.is_some() || nat_rebind_interval.is_some() || rebinds;
        wanted.then_some(Self { timeout: nat_timeout })
    }
}

fn node(vehicle: u32) -> NodeName {
    NodeName::new(NodeKind::Vehicle, vehicle)
}

impl Cluster {
    /// Puts a vehicle on the network, not yet running.
    pub(super) fn add_vehicle(&mut self, vehicle: u32) {
        let public = self.fresh_address();
        let Some(Translation { timeout }) = self.translation else {
            self.sim.add_node(node(vehicle), public, self.links.at(0.0));
            return;
        };
        let private = self.private_address();
        self.sim.add_node(node(vehicle), private, self.links.at(0.0));
        self.sim.set_nat(node(vehicle), public, timeout);
    }

    /// Where a vehicle is when the run begins, and how wrong its clock.
    pub(crate) fn place(&mut self, vehicle: u32, cell: Cell, faded: f64, clock: ClockError) {
        self.fade(vehicle, faded);
        self.attach(vehicle, cell);
        self.sim.set_clock_error(node(vehicle), clock.offset_us, clock.drift_ppb);
    }

    /// A vehicle has come into another cell: its address changes, and what it shares with others.
    pub(crate) fn change_cell(&mut self, vehicle: u32, cell: Cell) {
        let public = self.fresh_address();
        if self.translation.is_some() {
            let private = self.private_address();
            self.sim.set_ip(node(vehicle), private);
            self.sim.rebind(node(vehicle), Some(public));
        } else {
            self.sim.set_ip(node(vehicle), public);
        }
        self.attach(vehicle, cell);
    }

    fn attach(&mut self, vehicle: u32, cell: Cell) {
        let taken = self.taken.get(&cell.place()).copied().unwrap_or_default();
        if let Some(medium) = self.links.cell(taken) {
            let key = medium_key(cell.place());
            self.sim.set_medium(key, medium);
            self.sim.attach(node(vehicle), Some(key));
        }
    }

    /// A vehicle's signal has become better or worse.
    pub(crate) fn fade(&mut self, vehicle: u32, faded: f64) {
        self.sim.set_access(node(vehicle), self.links.at(faded));
    }

    /// Crowds now take this share of a cell.
    pub(crate) fn crowd(&mut self, cell: (i32, i32), taken: f64) {
        self.taken.insert(cell, taken);
        if let Some(medium) = self.links.cell(taken) {
            self.sim.set_medium(medium_key(cell), medium);
        }
    }

    /// A vehicle's address translation starts afresh: with another port, every second time with another address too.
    pub(crate) fn rebind(&mut self, vehicle: u32) {
        let times = self.rebinds.entry(vehicle).or_default();
        *times += 1;
        let moves = times.is_multiple_of(2);
        let public = moves.then(|| self.fresh_address());
        self.sim.rebind(node(vehicle), public);
        self.sim.event(node(vehicle), "nat.rebound", &[("address", Value::U64(u64::from(moves)))]);
    }

    /// A vehicle's device is switched on, or off: stopped first, or cut off its power.
    pub(crate) fn switch(&mut self, vehicle: u32, on: bool) -> Result<(), PkiError> {
        let node = node(vehicle);
        if on {
            self.asleep.remove(&node);
            return if self.down.contains(&node) { Ok(()) } else { self.start_node(node, "device.woke") };
        }
        self.asleep.insert(node);
        if self.power_cut(vehicle) {
            self.running.remove(&node);
            self.sim.crash(node);
        } else if let Some(running) = self.running.get(&node) {
            running.cancel.cancel();
        }
        self.sim.event(node, "device.slept", &[]);
        Ok(())
    }

    /// Carrier-grade NAT space (RFC 6598), each address used once.
    fn fresh_address(&mut self) -> IpAddr {
        self.next_address += 1;
        Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 64, 0, 0)) + self.next_address).into()
    }

    fn private_address(&mut self) -> IpAddr {
        self.next_private = (self.next_private + 1) % PRIVATE_COUNT;
        Ipv4Addr::from(u32::from(PRIVATE) + self.next_private).into()
    }
}
