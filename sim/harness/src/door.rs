//! Who may come in, in the twin: tokens name what they are good for. Certificates and signatures are the production door's; hubs
//! ask either by the same trait.

use std::collections::BTreeSet;
use std::time::Duration;

use drover_hub::{Denied, Door, FLEET_VIEW, MAP_VIEW, Principal, Role, Visible};
use drover_model::{VehicleId, WallTime};

use crate::cluster::tenant;

/// How long a token is good. A run with hubs is shorter.
const GOOD_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// Lets in whoever the runner made a token for.
#[derive(Debug)]
pub(crate) struct TwinDoor;

/// The token of a dispatcher.
pub(crate) fn dispatcher_token(watcher: u32) -> String {
    format!("dispatcher/{watcher}")
}

/// The token of a customer who waits for `vehicle`.
pub(crate) fn customer_token(watcher: u32, vehicle: VehicleId) -> String {
    format!("customer/{watcher}/{vehicle}")
}

impl Door for TwinDoor {
    fn admit(&self, token: &str, now: WallTime) -> Result<Principal, Denied> {
        let mut parts = token.split('/');
        let (role, scope, visible) = match (parts.next(), parts.nth(1)) {
            (Some("dispatcher"), None) => (Role::Dispatcher, FLEET_VIEW, Visible::All),
            (Some("customer"), Some(vehicle)) => {
                let vehicle = VehicleId::new(vehicle).map_err(|_| Denied::Invalid)?;
                (Role::Customer, MAP_VIEW, Visible::Only([vehicle].into()))
            }
            _ => return Err(Denied::Invalid),
        };
        Ok(Principal {
            sub: token.to_owned(),
            tenant: tenant(),
            role,
            scopes: BTreeSet::from([scope.to_owned()]),
            visible,
            since: None,
            expires: now.plus(GOOD_FOR),
            token_id: token.to_owned(),
        })
    }

    fn is_revoked(&self, _: &str) -> bool {
        false
    }
}
