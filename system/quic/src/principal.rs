//! Who a certificate speaks for.

use std::fmt;
use std::str::FromStr;

use drover_model::{NodeKind, NodeName, TenantId, VehicleId};

/// The name in a certificate's URI SAN. Vehicle identity is this name, never a field that the client fills in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// `drover://<tenant>/vehicle/<id>`
    Vehicle {
        /// Whose vehicle.
        tenant: TenantId,
        /// Which one.
        vehicle: VehicleId,
    },
    /// `drover://svc/<kind>/<index>`
    Service(NodeName),
}

/// A text that names no principal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names nobody: expected drover://<tenant>/vehicle/<id> or drover://svc/<kind>/<index>")]
pub struct PrincipalError {
    /// The text as it was given.
    pub text: String,
}

impl Principal {
    /// The service of that kind and index.
    pub const fn service(kind: NodeKind, index: u32) -> Self {
        Self::Service(NodeName::new(kind, index))
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vehicle { tenant, vehicle } => write!(f, "drover://{tenant}/vehicle/{vehicle}"),
            Self::Service(node) => write!(f, "drover://svc/{node}"),
        }
    }
}

impl FromStr for Principal {
    type Err = PrincipalError;
    fn from_str(text: &str) -> Result<Self, PrincipalError> {
        let error = || PrincipalError { text: text.to_owned() };
        let path = text.strip_prefix("drover://").ok_or_else(error)?;
        let (owner, name) = path.split_once('/').ok_or_else(error)?;
        // A tenant called "svc" would look like a service, so no tenant may be.
        if owner == "svc" {
            return name.parse().map(Self::Service).map_err(|_| error());
        }
        let vehicle = name.strip_prefix("vehicle/").ok_or_else(error)?;
        let tenant = TenantId::new(owner).map_err(|_| error())?;
        VehicleId::new(vehicle).map(|vehicle| Self::Vehicle { tenant, vehicle }).map_err(|_| error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_read_back_as_they_print() {
        for text in ["drover://acme/vehicle/TRUCK-042", "drover://svc/gateway/1"] {
            assert_eq!(text.parse::<Principal>().map(|who| who.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn other_names_are_refused() {
        for text in [
            "https://acme/vehicle/x",
            "drover://svc/gatway/1",
            "drover://svc/vehicle/x",
            "drover://acme/x",
            "",
        ] {
            assert!(text.parse::<Principal>().is_err(), "{text}");
        }
    }
}
