//! What routers did with packets, and gateways and hubs with connection ids.

use std::collections::BTreeSet;
use std::time::Duration;

use drover_model::{NodeKind, NodeName, WallTime};
use drover_quic::{CidReader, ClusterKeys, ServerId};

use super::events::Fields;
use crate::cluster::{inner_addr, live_inner_addr};

/// Bytes of a packet that an event shows: a short header and its id are 18.
const SHOWN_BYTES: usize = 24;

/// Each packet that a router has seen is held against the id that it bears, and each id that a gateway has issued against all
/// before it.
#[derive(Debug, Clone, Default)]
pub struct Packets {
    keys: Option<ClusterKeys>,
    gateways: u32,
    hubs: u32,
    /// Where routers send from.
    routers: BTreeSet<String>,
    /// Reads ids of this generation.
    reader: Option<(u64, CidReader)>,
    /// Packets whose id names a gateway, at routers.
    pub named: u64,
    /// Packets that belonged to another gateway than the one that met them.
    pub foreign: u64,
    /// The first packet that went elsewhere than its id says, or was dropped although its gateway is there.
    pub misrouted: Option<String>,
    /// Clients that gateways were shown, each time by another router than before.
    pub ways: u64,
    /// The first that was shown by somebody who is no router.
    pub forged: Option<String>,
    issued: BTreeSet<(u64, u64, u64, u64)>,
    /// Ids that gateways have issued.
    pub ids: u64,
    /// The first nonce that came again under the same key.
    pub reused: Option<String>,
}

impl Packets {
    pub(super) fn set_cluster(&mut self, keys: ClusterKeys, (gateways, hubs): (u32, u32), routers: u32) {
        (self.keys, self.gateways, self.hubs) = (Some(keys), gateways, hubs);
        let routers = (0..routers).map(|index| NodeName::new(NodeKind::Router, index));
        let addrs = routers.flat_map(|router| [inner_addr(router), live_inner_addr(router)]);
        self.routers = addrs.map(|addr| addr.to_string()).collect();
    }

    /// The node of a number in connection ids, if there is one.
    fn server(&self, number: u64) -> Option<NodeName> {
        let node = ServerId::new(u32::try_from(number).ok()?).node();
        let count = if node.kind == NodeKind::Hub { self.hubs } else { self.gateways };
        (node.index < count).then_some(node)
    }

    pub(super) fn event(
        &mut self,
        at: Duration,
        now: WallTime,
        node: NodeName,
        name: &str,
        values: &Fields<'_>,
    ) {
        match name {
            "router.packet" => self.packet(at, now, node, values),
            "quic.foreign_id" => {
                let Some(server) = self.server(values.number("server")) else { return };
                self.foreign += 1;
                let text = format!(
                    "at {:.3} s {node} got a packet of {server}, by its connection id",
                    at.as_secs_f64()
                );
                self.misrouted.get_or_insert(text);
            }
            "quic.way" => {
                self.ways += 1;
                let from = values.text("router");
                if !self.routers.contains(from) {
                    let text = format!(
                        "at {:.3} s {node} believed {from}, which is no router, whom a packet is from",
                        at.as_secs_f64()
                    );
                    self.forged.get_or_insert(text);
                }
            }
            "quic.id_issued" => self.issued(at, node, values),
            _ => {}
        }
    }

    fn packet(&mut self, at: Duration, now: WallTime, router: NodeName, values: &Fields<'_>) {
        let words = ["first", "second", "third"].map(|word| values.number(word).to_be_bytes());
        let shown: [u8; SHOWN_BYTES] = std::array::from_fn(|at| words[at / 8][at % 8]);
        // Long headers bear an id of the client's until it has an answer; what comes of them shows at the gateways.
        if shown[0] & 0x80 != 0 {
            return;
        }
        let Some(expected) = self.named_in(now, &shown[1..]) else { return };
        self.named += 1;
        let (outcome, detail) = (values.text("outcome"), values.text("detail"));
        let good = match outcome {
            "routed" => detail == expected.to_string(),
            // A gateway that is known to be dead.
            "reset" => true,
            // A packet that is too long was counted as that, and not looked at.
            "dropped" => matches!(detail, "reset_rate" | "oversize" | "dead_server"),
            _ => false,
        };
        if !good {
            let text = format!(
                "at {:.3} s {router} took a packet of {expected} and it was {outcome} {detail}",
                at.as_secs_f64()
            );
            self.misrouted.get_or_insert(text);
        }
    }

    /// The gateway or hub that an id names, if there is one.
    fn named_in(&mut self, now: WallTime, id: &[u8]) -> Option<NodeName> {
        let keys = self.keys.as_ref()?;
        let generation = keys.generation(now);
        if self.reader.as_ref().is_none_or(|(of, _)| *of != generation) {
            self.reader = Some((generation, keys.cid_reader(generation)));
        }
        let (_, reader) = self.reader.as_ref()?;
        self.server(reader.server_id(id)?.number().into())
    }

    fn issued(&mut self, at: Duration, node: NodeName, values: &Fields<'_>) {
        self.ids += 1;
        let id = ["server", "generation", "nonce_high", "nonce_low"].map(|field| values.number(field));
        let [server, generation, high, low] = id;
        if !self.issued.insert((server, generation, high, low)) {
            let text = format!("at {:.3} s {node} used a nonce again under the same key", at.as_secs_f64());
            self.reused.get_or_insert(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use drover_env::Value;
    use drover_quic::ClusterSecret;

    use super::*;

    const ROUTER: NodeName = NodeName::new(NodeKind::Router, 0);

    fn keys() -> ClusterKeys {
        ClusterKeys::new(ClusterSecret::from_bytes([7; 32]))
    }

    fn packets() -> Packets {
        let mut packets = Packets::default();
        packets.set_cluster(keys(), (2, 1), 1);
        packets
    }

    /// A short header with an id of that gateway, and what its router did with it.
    fn see(packets: &mut Packets, server: u32, outcome: &str, detail: &str) -> Option<String> {
        let gateway = ServerId::of(NodeName::new(NodeKind::Gateway, server));
        see_of(packets, gateway, outcome, detail)
    }

    fn see_of(packets: &mut Packets, server: ServerId, outcome: &str, detail: &str) -> Option<String> {
        let now = WallTime::from_secs(1_000_000);
        let config = keys().cid_config(keys().generation(now));
        let id = config.encode(&server.to_bytes(), &[5; 12]);
        let mut shown = [0; SHOWN_BYTES];
        shown[0] = 0x40;
        shown[1..18].copy_from_slice(id.as_bytes());
        let word = |at: usize| {
            Value::U64(shown[at..at + 8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte)))
        };
        let fields = [
            ("outcome", Value::Str(outcome)),
            ("detail", Value::Str(detail)),
            ("first", word(0)),
            ("second", word(8)),
            ("third", word(16)),
        ];
        packets.event(Duration::ZERO, now, ROUTER, "router.packet", &Fields::new(&fields));
        packets.misrouted.clone()
    }

    #[test]
    fn a_packet_goes_to_the_gateway_that_its_id_names() {
        let mut packets = packets();
        assert_eq!(see(&mut packets, 1, "routed", "gateway/1"), None);
        assert_eq!(see(&mut packets, 1, "reset", ""), None);
        assert_eq!(see(&mut packets, 9, "dropped", "unknown_server"), None, "there is no such gateway");
        assert_eq!(packets.named, 2);
        let hub = ServerId::of(NodeName::new(NodeKind::Hub, 0));
        assert_eq!(see_of(&mut packets.clone(), hub, "routed", "hub/0"), None);
        assert!(see_of(&mut packets.clone(), hub, "routed", "gateway/0").is_some(), "another kind");
        for (outcome, detail) in
            [("routed", "gateway/0"), ("placed", "gateway/1"), ("dropped", "unknown_server")]
        {
            let mut packets = packets.clone();
            assert!(see(&mut packets, 1, outcome, detail).is_some_and(|text| text.contains("gateway/1")));
        }
    }

    #[test]
    fn a_gateway_that_meets_another_s_packet_shows_it() {
        let mut packets = packets();
        for (server, foreign) in [(77, 0), (1, 1)] {
            let fields = [("server", Value::U64(server))];
            let (now, gateway) = (WallTime::from_secs(0), NodeName::new(NodeKind::Gateway, 0));
            packets.event(Duration::ZERO, now, gateway, "quic.foreign_id", &Fields::new(&fields));
            assert_eq!(packets.foreign, foreign);
        }
        assert!(packets.misrouted.is_some());
    }

    #[test]
    fn only_routers_show_clients() {
        let mut packets = packets();
        let mut show = |from: &str| {
            let fields = [("router", Value::Str(from))];
            packets.event(Duration::ZERO, WallTime::from_secs(0), ROUTER, "quic.way", &Fields::new(&fields));
            packets.forged.is_some()
        };
        assert!(!show(&inner_addr(ROUTER).to_string()));
        assert!(show("203.0.113.66:4433"));
    }

    #[test]
    fn a_nonce_comes_once_under_each_key() {
        let mut packets = packets();
        let mut issue = |server, generation, low| {
            let fields = [
                ("server", Value::U64(server)),
                ("generation", Value::U64(generation)),
                ("nonce_high", Value::U64(1)),
                ("nonce_low", Value::U64(low)),
            ];
            packets.event(
                Duration::ZERO,
                WallTime::from_secs(0),
                ROUTER,
                "quic.id_issued",
                &Fields::new(&fields),
            );
            packets.reused.is_some()
        };
        assert!(!issue(0, 1, 1) && !issue(0, 1, 2) && !issue(1, 1, 1) && !issue(0, 2, 1));
        assert!(issue(0, 1, 2));
    }
}
