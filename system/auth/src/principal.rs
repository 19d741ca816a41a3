//! Who somebody is, once a token was believed.

use std::fmt;
use std::str::FromStr;

use drover_model::{TenantId, VehicleId, WallTime};

macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $type {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $type {
            /// All there are.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name in tokens.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What a token names, if it is one of them.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == name)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

names! {
    /// One thing that somebody may do. Unknown names in a token give nothing.
    Scope {
        /// Positions of the tenant's vehicles on a map.
        MapView = "map:view",
        /// Routes, tracks and trips.
        RouteRead = "route:read",
        /// Readings of engines, and what drivers do.
        FleetView = "fleet:view",
        /// Making orders and changing their states.
        OrdersWrite = "orders:write",
        /// Writing to drivers.
        MessagesWrite = "messages:write",
        /// Making and taking back share links.
        ShareWrite = "share:write",
        /// Reading who did what.
        AuditRead = "audit:read",
        /// Driving: the orders, messages and route of one's own vehicle, and the steps of its stops.
        Drive = "drive",
        /// Sending telemetry; for vehicles that have a token and no certificate.
        TelemetryWrite = "telemetry:write",
    }
}

names! {
    /// What somebody is there for. It decides which page they get, and which scopes their token has if it names none.
    Role {
        /// Sees the fleet and gives it work.
        Dispatcher = "dispatcher",
        /// Sees where the fleet is.
        Viewer = "viewer",
        /// Is on the road with one vehicle.
        Driver = "driver",
        /// Waits for one delivery, and has come by a share link.
        Customer = "customer",
    }
}

/// A text that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no role: there are dispatcher, viewer and driver")]
pub struct RoleError {
    found: String,
}

impl FromStr for Role {
    type Err = RoleError;

    /// Roles that a token can have; a customer has none.
    fn from_str(text: &str) -> Result<Self, RoleError> {
        Self::named(text)
            .filter(|role| *role != Self::Customer)
            .ok_or_else(|| RoleError { found: text.to_owned() })
    }
}

impl Role {
    /// What comes with it.
    pub fn scopes(self) -> Scopes {
        match self {
            Self::Dispatcher => [
                Scope::MapView,
                Scope::RouteRead,
                Scope::FleetView,
                Scope::OrdersWrite,
                Scope::MessagesWrite,
                Scope::ShareWrite,
                Scope::AuditRead,
            ]
            .into_iter()
            .collect(),
            Self::Viewer => Scopes::from_iter([Scope::MapView]),
            Self::Driver => Scopes::from_iter([Scope::Drive]),
            Self::Customer => Scopes::default(),
        }
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u16);

impl Scopes {
    /// Of a claim: names between spaces (RFC 6749, section 3.3). What is unknown is left out.
    pub fn of_claim(claim: &str) -> Self {
        claim.split_ascii_whitespace().filter_map(Scope::named).collect()
    }

    /// True if `scope` is among them.
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u16) != 0
    }

    /// Those that are there, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |scope| self.has(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | 1 << scope as u16))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Scope::as_str).collect();
        f.write_str(&names.join(" "))
    }
}

/// Somebody whose token was believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who, as their issuer calls them. Never logged beside a place.
    pub subject: String,
    /// Whose vehicles they may see.
    pub tenant: TenantId,
    /// What they are there for.
    pub role: Role,
    /// What they may do.
    pub scopes: Scopes,
    /// A driver's vehicle: they see no other.
    pub vehicle: Option<VehicleId>,
    /// Nothing older is shown: a delivery begins somewhere.
    pub since: Option<WallTime>,
    /// When the token is believed no longer.
    pub expires: WallTime,
    /// What the token is called, so that it can be taken back: see [`crate::token_id`].
    pub token_id: String,
}

impl Principal {
    /// True if they may see where `vehicle` of `tenant` is.
    pub fn may_see(&self, tenant: TenantId, vehicle: VehicleId) -> bool {
        self.tenant == tenant
            && match self.vehicle {
                Some(own) => {
                    let sees = self.scopes.has(Scope::Drive) || self.scopes.has(Scope::MapView);
                    own == vehicle && (sees || self.role == Role::Customer)
                }
                None => self.scopes.has(Scope::MapView),
            }
    }

    /// True unless they have a vehicle of their own, and it is another one.
    pub fn concerns(&self, vehicle: VehicleId) -> bool {
        self.vehicle.is_none_or(|own| own == vehicle)
    }

    /// True if both are the same person with the same rights, by whichever token.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.subject, self.tenant, self.role) == (&other.subject, other.tenant, other.role)
            && (self.scopes, self.vehicle, self.since) == (other.scopes, other.vehicle, other.since)
    }

    /// True if they may see where all vehicles of their tenant are.
    pub const fn sees_the_fleet(&self) -> bool {
        self.vehicle.is_none() && self.scopes.has(Scope::MapView)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver() -> Principal {
        Principal {
            subject: "d-7".to_owned(),
            tenant: TenantId::new("north").unwrap(),
            role: Role::Driver,
            scopes: Role::Driver.scopes(),
            vehicle: Some(VehicleId::new("VAN-0007").unwrap()),
            since: None,
            expires: WallTime::from_secs(2_000_000_000),
            token_id: String::new(),
        }
    }

    #[test]
    fn a_driver_sees_their_own_vehicle_of_their_own_tenant() {
        let (driver, own) = (driver(), VehicleId::new("VAN-0007").unwrap());
        assert!(driver.may_see(driver.tenant, own));
        assert!(!driver.may_see(TenantId::new("south").unwrap(), own));
        assert!(!driver.may_see(driver.tenant, VehicleId::new("VAN-0008").unwrap()));
        assert!(!driver.sees_the_fleet());
    }

    #[test]
    fn nobody_sees_a_map_without_the_scope() {
        let nobody = Principal { scopes: Scopes::default(), vehicle: None, ..driver() };
        assert!(!nobody.may_see(nobody.tenant, VehicleId::new("VAN-0007").unwrap()));
        assert!(!nobody.sees_the_fleet());
    }

    #[test]
    fn a_claim_of_scopes_gives_what_is_known_in_it() {
        let scopes = Scopes::of_claim("map:view  admin:all route:read map:viewer");
        assert_eq!(scopes.to_string(), "map:view route:read");
        assert!(!scopes.has(Scope::OrdersWrite));
    }

    #[test]
    fn every_scope_has_a_bit_of_its_own() {
        for scope in Scope::ALL {
            assert_eq!(Scopes::from_iter([*scope]).iter().collect::<Vec<_>>(), [*scope]);
        }
    }

    #[test]
    fn a_token_can_not_make_a_customer() {
        assert_eq!(
            "customer".parse::<Role>().unwrap_err().to_string(),
            "\"customer\" is no role: there are dispatcher, viewer and driver"
        );
        assert_eq!("driver".parse(), Ok(Role::Driver));
    }
}
