//! Who comes in. The hub asks a [`Door`], which knows tokens; the hub knows what its answer allows.

use std::collections::BTreeSet;
use std::fmt;

use drover_model::{TenantId, VehicleId, WallTime};

/// Sees engine and driver values.
pub const FLEET_VIEW: &str = "fleet:view";
/// Sees the map.
pub const MAP_VIEW: &str = "map:view";
/// Reads orders, messages and routes.
pub const ROUTE_READ: &str = "route:read";
/// Drives: sees its own vehicle.
pub const DRIVE: &str = "drive";

/// What somebody is to the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sees the fleet and sends it orders.
    Dispatcher,
    /// Drives one vehicle.
    Driver,
    /// Waits for one delivery, by a link that was shared.
    Customer,
    /// Looks on.
    Viewer,
}

impl Role {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Dispatcher, Self::Driver, Self::Customer, Self::Viewer];

    /// As tokens and messages write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dispatcher => "dispatcher",
            Self::Driver => "driver",
            Self::Customer => "customer",
            Self::Viewer => "viewer",
        }
    }
}

/// Which vehicles of its tenant somebody may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visible {
    /// Every one.
    All,
    /// These.
    Only(BTreeSet<VehicleId>),
}

impl Visible {
    /// True if `vehicle` is among them.
    pub fn contains(&self, vehicle: VehicleId) -> bool {
        match self {
            Self::All => true,
            Self::Only(some) => some.contains(&vehicle),
        }
    }
}

/// Somebody who was let in, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who, as the token names them. Unique in the tenant; never logged beside a place.
    pub sub: String,
    /// Whose vehicles these are.
    pub tenant: TenantId,
    /// What they are to the tenant.
    pub role: Role,
    /// What the token allows, such as `fleet:view`.
    pub scopes: BTreeSet<String>,
    /// Which vehicles they see.
    pub visible: Visible,
    /// Nothing older is shown: a delivery begins somewhere.
    pub since: Option<WallTime>,
    /// Then the session ends.
    pub expires: WallTime,
    /// Names the token for limits, the audit trail and revocation; not the token itself.
    pub token_id: String,
}

impl Principal {
    /// True if the token allows `scope`.
    pub fn may(&self, scope: &str) -> bool {
        self.scopes.contains(scope)
    }

    /// The only vehicle that they see, if it is one.
    pub fn vehicle(&self) -> Option<VehicleId> {
        match &self.visible {
            Visible::Only(some) if some.len() == 1 => some.first().copied(),
            Visible::Only(_) | Visible::All => None,
        }
    }

    /// True if both are the same person with the same rights: one may go on where the other was.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.sub, self.tenant, self.role) == (&other.sub, other.tenant, other.role)
            && (&self.scopes, &self.visible, self.since) == (&other.scopes, &other.visible, other.since)
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It is no token, or not one of this cluster's.
    #[error("the token is not valid")]
    Invalid,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not begun.
    #[error("the token is not valid yet")]
    NotYet,
    /// It was taken back.
    #[error("the token was revoked")]
    Revoked,
    /// It is good for other things.
    #[error("the token does not allow the live map")]
    Forbidden,
}

impl Denied {
    /// As events and the audit trail write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Revoked => "revoked",
            Self::Forbidden => "forbidden",
        }
    }
}

/// Decides who comes in. A pure function of the token and the time: it waits for nobody.
pub trait Door: Send + Sync {
    /// Who shows `token`.
    ///
    /// # Errors
    /// Why they are not let in.
    fn admit(&self, token: &str, now: WallTime) -> Result<Principal, Denied>;

    /// True if a token that was good was taken back since; asked about each open session once in a while.
    fn is_revoked(&self, who: &Principal) -> bool;
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
