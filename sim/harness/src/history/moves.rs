//! Vehicles that had to set up a session again, and with whom the one before was.

use std::collections::{BTreeMap, BTreeSet};

use drover_model::NodeName;

/// Reconnects so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Moves {
    /// With whom the newest session of each vehicle is.
    with: BTreeMap<usize, NodeName>,
    /// Gateways that something has happened to.
    touched: BTreeSet<NodeName>,
    reconnects: BTreeMap<usize, u64>,
    untouched: u64,
    /// Nodes that have started while the run went on.
    newcomers: BTreeSet<NodeName>,
    sessions_of_newcomers: u64,
    commits_of_newcomers: u64,
}

impl Moves {
    /// A gateway has a session with a vehicle.
    pub(super) fn connected(&mut self, vehicle: usize, gateway: NodeName) {
        self.with.insert(vehicle, gateway);
        self.sessions_of_newcomers += u64::from(self.newcomers.contains(&gateway));
    }

    /// A node has started while the run went on.
    pub(super) fn started(&mut self, node: NodeName) {
        self.newcomers.insert(node);
    }

    /// An agent has committed rows.
    pub(super) fn committed(&mut self, agent: NodeName) {
        self.commits_of_newcomers += u64::from(self.newcomers.contains(&agent));
    }

    /// A gateway has been told to stop, has ended, or stands still.
    pub(super) fn touch(&mut self, gateway: NodeName) {
        self.touched.insert(gateway);
    }

    /// A vehicle knows that its session has ended.
    pub(super) fn disconnected(&mut self, vehicle: usize) {
        *self.reconnects.entry(vehicle).or_default() += 1;
        let untouched = self.with.get(&vehicle).is_some_and(|gateway| !self.touched.contains(gateway));
        self.untouched += u64::from(untouched);
    }

    /// The most sessions that one vehicle has lost.
    fn most(&self) -> u64 {
        self.reconnects.values().copied().max().unwrap_or_default()
    }

    /// What is counted of them, by the names of the report's events.
    pub(super) fn counted(&self) -> [(&'static str, u64); 4] {
        [
            ("reconnect_most", self.most()),
            ("reconnect_untouched", self.untouched),
            ("newcomer_session", self.sessions_of_newcomers),
            ("newcomer_commit", self.commits_of_newcomers),
        ]
    }
}

#[cfg(test)]
mod tests {
    use drover_model::NodeKind;

    use super::*;

    #[test]
    fn a_session_that_ends_with_a_gateway_that_nothing_happened_to_is_counted() {
        let gateway = |index| NodeName::new(NodeKind::Gateway, index);
        let mut moves = Moves::default();
        moves.connected(0, gateway(0));
        moves.connected(1, gateway(1));
        moves.touch(gateway(0));
        moves.disconnected(0);
        assert_eq!((moves.most(), moves.untouched), (1, 0));
        moves.connected(0, gateway(1));
        moves.disconnected(0);
        assert_eq!((moves.most(), moves.untouched), (2, 1));
    }
}
