//! Which hub whoever watches one vehicle is sent to: the vehicle's home, so that one hub gets its fixes and not as many as watch it.

use std::str::FromStr;
use std::sync::Arc;

use drover_bus::discovery::{Discovery, NodeState, Snapshot};
use drover_bus::hub::home_of;
use drover_model::{NodeKind, NodeName, TenantId, VehicleId};

/// Stands for a hub's number.
const INDEX: &str = "{index}";

/// Where hubs are reached from outside, each at an address of its own: `https://hub-{index}.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubUrl(String);

/// A text that says of no hub where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no address of hubs: it is like https://hub-{{index}}.example.com, with {{index}} in the first part of the name"
)]
pub struct HubUrlError(String);

impl FromStr for HubUrl {
    type Err = HubUrlError;

    fn from_str(text: &str) -> Result<Self, HubUrlError> {
        let is_one = || {
            let (scheme, place) = text.split_once("://")?;
            let (first, rest) = place.split_once('.')?;
            let (before, after) = first.split_once(INDEX)?;
            let is_name = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            let host = rest.split_once(':').map_or(rest, |(host, _)| host);
            let port = rest.split_once(':').map_or("443", |(_, port)| port);
            (matches!(scheme, "http" | "https")
                && is_name(before)
                && is_name(after)
                && !host.is_empty()
                && host.split('.').all(|part| !part.is_empty() && is_name(part))
                && port.parse::<u16>().is_ok())
            .then_some(())
        };
        is_one().map(|()| Self(text.to_owned())).ok_or_else(|| HubUrlError(text.to_owned()))
    }
}

impl HubUrl {
    /// The origin of that hub.
    fn of(&self, hub: NodeName) -> String {
        self.0.replace(INDEX, &hub.index.to_string())
    }

    /// All of them for a content security policy, where a star stands for the first part of a name alone.
    pub(crate) fn source(&self) -> String {
        let socket = self.0.replacen("http", "ws", 1);
        let (scheme, place) = socket.split_once("://").unwrap_or_default();
        format!("{scheme}://*.{}", place.split_once('.').unwrap_or_default().1)
    }
}

/// Knows where vehicles are at home, if hubs have addresses of their own and hear of one another.
#[derive(Clone, Default)]
pub(crate) struct Homes(Option<Arc<(HubUrl, Discovery, NodeName)>>);

impl Homes {
    pub(crate) fn new(url: Option<HubUrl>, discovery: Option<Discovery>, own: NodeName) -> Self {
        Self(url.zip(discovery).map(|(url, discovery)| Arc::new((url, discovery, own))))
    }

    /// The origin of the vehicle's home; `None` if that is here, or nobody knows.
    pub(crate) fn of(&self, tenant: TenantId, vehicle: VehicleId) -> Option<String> {
        let (url, discovery, own) = &**self.0.as_ref()?;
        away(&discovery.snapshot(), tenant, vehicle, *own).map(|home| url.of(home))
    }
}

/// The vehicle's home among the hubs that serve, unless it is `own`.
fn away(snapshot: &Snapshot, tenant: TenantId, vehicle: VehicleId, own: NodeName) -> Option<NodeName> {
    let hubs = snapshot.of_kind(NodeKind::Hub);
    let serving = hubs.filter(|(_, node)| !matches!(node.state, NodeState::Dead | NodeState::Draining));
    home_of(tenant, vehicle, serving.map(|(hub, _)| hub)).filter(|home| *home != own)
}

#[cfg(test)]
mod tests {
    use drover_bus::discovery::{Node, Proof};
    use drover_model::WallTime;

    use super::*;

    #[test]
    fn a_vehicle_is_at_home_at_one_hub_that_serves_and_whoever_is_there_stays() {
        let hub = |index| NodeName::new(NodeKind::Hub, index);
        let snapshot = |states: &[NodeState]| {
            let node = |state| Node {
                proof: Proof::default(),
                state,
                load_percent: 0,
                capacity: 0,
                zone: None,
                addresses: [].into(),
                tools: [].into(),
                seen_at: WallTime::UNIX_EPOCH,
            };
            let nodes = (0..).map(hub).zip(states.iter().map(|state| node(*state)));
            Snapshot { nodes: nodes.collect(), ..Snapshot::default() }
        };
        let (tenant, van) =
            (TenantId::new("acme").expect("a name"), VehicleId::new("VAN-7").expect("a name"));
        let stranger = hub(9);
        let mut states = [NodeState::Healthy; 3];
        let home = away(&snapshot(&states), tenant, van, stranger).expect("a home");
        assert_eq!(away(&snapshot(&states), tenant, van, home), None, "it is here");
        for gone in [NodeState::Draining, NodeState::Dead] {
            states[home.index as usize] = gone;
            let next = away(&snapshot(&states), tenant, van, stranger).expect("another");
            assert_ne!(next, home);
        }
        assert_eq!(away(&Snapshot::default(), tenant, van, stranger), None, "nobody knows");
    }

    #[test]
    fn an_address_of_hubs_has_the_number_in_its_first_part() {
        let hub = NodeName::new(NodeKind::Hub, 3);
        for (text, of_hub, source) in [
            ("https://hub-{index}.example.com", "https://hub-3.example.com", "wss://*.example.com"),
            ("http://{index}.hubs.test:8080", "http://3.hubs.test:8080", "ws://*.hubs.test:8080"),
        ] {
            let url: HubUrl = text.parse().expect("an address");
            assert_eq!((url.of(hub).as_str(), url.source().as_str()), (of_hub, source));
        }
        for text in [
            "",
            "https://hub.example.com",
            "hub-{index}.example.com",
            "ftp://hub-{index}.example.com",
            "https://map.hub-{index}.com",
            "https://hub-{index}",
            "https://hub-{index}.example.com/map",
            "https://hub-{index}.example.com; script-src *",
            "https://hub-{index}.example.com:99999",
        ] {
            let error = text.parse::<HubUrl>().expect_err(text).to_string();
            assert!(error.contains("https://hub-{index}.example.com"), "{error}");
        }
    }
}
