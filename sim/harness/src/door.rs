//! Who may come in, in the twin: tokens name what they are good for. Certificates and signatures are the production door's; hubs
//! ask either by the same trait.

use std::time::Duration;

use drover_auth::{Principal, Role, Scope, Scopes};
use drover_hub::{Denied, Door};
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

/// The token of a customer who waits for `vehicle`, by a link of those bounds.
pub(crate) fn customer_token(watcher: u32, vehicle: VehicleId, bounds: LinkBounds) -> String {
    let micros = |at: Option<WallTime>| at.map(|at| at.as_micros().to_string()).unwrap_or_default();
    format!("customer/{watcher}/{vehicle}/{}/{}", micros(bounds.from), micros(bounds.until))
}

/// What a share link shows, in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LinkBounds {
    /// Nothing older; `None`: however old.
    pub(crate) from: Option<WallTime>,
    /// Then it ends; `None`: not in this run.
    pub(crate) until: Option<WallTime>,
}

/// What a customer's token says behind its name.
fn customer(vehicle: &str, from: &str, until: &str) -> Option<(VehicleId, LinkBounds)> {
    let time = |text: &str| match text {
        "" => Some(None),
        micros => micros.parse().ok().map(|micros| Some(WallTime::from_micros(micros))),
    };
    Some((VehicleId::new(vehicle).ok()?, LinkBounds { from: time(from)?, until: time(until)? }))
}

impl Door for TwinDoor {
    fn admit(&self, token: &str, now: WallTime) -> Result<Principal, Denied> {
        let parts: Vec<&str> = token.split('/').collect();
        let (role, scope, vehicle, bounds) = match parts.as_slice() {
            ["dispatcher", _] => (Role::Dispatcher, Scope::FleetView, None, LinkBounds::default()),
            ["customer", _, vehicle, from, until] => {
                let (vehicle, bounds) = customer(vehicle, from, until).ok_or(Denied::Invalid)?;
                (Role::Customer, Scope::MapView, Some(vehicle), bounds)
            }
            _ => return Err(Denied::Invalid),
        };
        let expires = bounds.until.unwrap_or(now.plus(GOOD_FOR));
        if expires <= now {
            return Err(Denied::Expired);
        }
        Ok(Principal {
            subject: token.to_owned(),
            tenant: tenant(),
            role,
            scopes: Scopes::from_iter([scope]),
            vehicle,
            since: bounds.from,
            expires,
            token_id: token.to_owned(),
        })
    }

    fn is_revoked(&self, _: &Principal) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_lets_in_until_it_ends() {
        let van = VehicleId::new("VAN-1").expect("a name");
        let at = WallTime::from_secs;
        let bounds = LinkBounds { from: Some(at(100)), until: Some(at(200)) };
        let token = customer_token(3, van, bounds);
        let customer = TwinDoor.admit(&token, at(150)).expect("let in");
        assert_eq!((customer.vehicle, customer.since, customer.expires), (Some(van), Some(at(100)), at(200)));
        assert_eq!(TwinDoor.admit(&token, at(200)), Err(Denied::Expired));
        let open = TwinDoor.admit(&customer_token(3, van, LinkBounds::default()), at(9_999)).expect("let in");
        assert_eq!(open.since, None);
        assert!(TwinDoor.admit(&dispatcher_token(3), at(1)).is_ok_and(|who| who.vehicle.is_none()));
        assert_eq!(TwinDoor.admit("customer/3/VAN-1/x/", at(1)), Err(Denied::Invalid));
        assert_eq!(TwinDoor.admit("customer/3/VAN-1", at(1)), Err(Denied::Invalid));
    }
}
