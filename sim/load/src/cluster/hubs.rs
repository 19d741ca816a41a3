//! Hubs of a run's cluster: where they are, and by which key they let watchers in.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use drover_auth::{Claims, Signer, Tickets};
use drover_env::{Chain, SeedTree, real};
use drover_harness::scenario::Scenario;
use drover_model::{NodeKind, TenantId, VehicleId, WallTime};

use super::{Nodes, Place, write};
use crate::problem::LoadError;

/// Who is said to have made the tokens of dispatchers.
const ISSUER: &str = "drover/load";
/// Tokens are good for so long beyond what a run may take.
const SPARE: Duration = Duration::from_secs(3600);
/// Fixes that came so long before a run was prepared are shown, too: clocks of receivers differ from ours.
const BEFORE: Duration = Duration::from_secs(60);

/// Makes tokens that the hubs of a run believe.
pub(crate) struct Access {
    signer: Signer,
    tickets: Tickets,
    made: WallTime,
    good_for: Duration,
}

impl Access {
    /// A token for watcher `index`: a customer of `vehicle`, or a dispatcher.
    pub(crate) fn token(&self, tenant: TenantId, index: u32, vehicle: Option<VehicleId>) -> String {
        let (name, expires) = (format!("watcher-{index}"), self.made.plus(self.good_for));
        let since = WallTime::from_micros(self.made.as_micros() - BEFORE.as_micros() as i64);
        match vehicle {
            Some(vehicle) => {
                self.tickets.issue(tenant, vehicle, (&name, &name, &name), since, self.made, expires)
            }
            None => self.signer.sign(&Claims {
                iss: ISSUER.to_owned(),
                sub: name.clone(),
                iat: self.made.as_secs(),
                exp: expires.as_secs(),
                nbf: None,
                aud: None,
                jti: Some(name),
                scope: None,
                tenant: Some(tenant.to_string()),
                role: Some("dispatcher".to_owned()),
                vehicle: None,
            }),
        }
    }

    /// What a hub's config says of it.
    pub(super) fn table(&self) -> toml::Table {
        let said = [("keys", "tokens.jwks"), ("issuer", ISSUER), ("tickets", "tokens.key")];
        said.map(|(key, value)| (key.to_owned(), value.into())).into_iter().collect()
    }
}

/// Makes the key of tokens, and the files by which hubs believe it; nothing without hubs.
pub(super) fn access(
    folder: &Path,
    scenario: &Scenario,
    seeds: &SeedTree,
) -> Result<Option<Access>, LoadError> {
    if scenario.cluster.hub == 0 {
        return Ok(None);
    }
    let failed = |error: &dyn std::error::Error| LoadError::Harness(Chain(error).to_string());
    let signer = Signer::from_seed(seeds.child("tokens").bytes());
    write(folder, "tokens.jwks", &signer.jwks())?;
    write(folder, "tokens.key", &signer.to_pem().map_err(|error| failed(&error))?)?;
    let tickets = Tickets::new(signer.clone()).map_err(|error| failed(&error))?;
    let good_for = scenario.duration + scenario.settle + SPARE;
    Ok(Some(Access { signer, tickets, made: real::wall(), good_for }))
}

impl Nodes<'_> {
    /// Hubs as gateways find them.
    pub(super) fn hubs(&self) -> Vec<drover_gateway::Peer> {
        let peer = |node| drover_gateway::Peer { node, addr: self.ports.of(Place::HubBus, node.index) };
        self.names(NodeKind::Hub).map(peer).collect()
    }

    pub(super) fn hub(&self) -> drover_hub::Config {
        let agent = |node| drover_hub::Peer { node, addr: self.ports.of(Place::Persistence, node.index) };
        drover_hub::Config {
            listen: self.ports.of(Place::Hub, 0),
            // Of several each takes the next port.
            bus_listen: self.ports.of(Place::HubBus, 0),
            bus_bind: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
            persistence: self.names(NodeKind::Persistence).map(agent).collect(),
            discovery: self.discovery(),
            ..self.configs.hub.clone()
        }
    }
}
