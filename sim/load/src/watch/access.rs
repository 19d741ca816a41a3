//! Who can sign in by a click, and what makes their tokens.

use std::sync::Arc;
use std::time::Duration;

use drover_auth::{Claims, Issuer, PublicKeys, Signer, Tickets, Verifier};
use drover_env::{SeedTree, real};
use drover_harness::live::{tenant, vehicle_id};
use drover_hub::Demo;
use drover_model::VehicleId;

use super::town::harness;
use crate::problem::LoadError;

/// Who is said to have made the tokens of the sign-in page.
const ISSUER: &str = "drover/watch";
/// How long those are good: as long as anybody watches.
const SIGNED_IN_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// Vehicles whose drivers can sign in.
const DRIVERS: u32 = 3;

/// Whom hubs believe.
#[derive(Clone)]
pub(crate) struct Access {
    signer: Signer,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) tickets: Arc<Tickets>,
}

impl Access {
    /// # Errors
    /// The keys are not ones.
    pub(crate) fn new(seeds: &SeedTree) -> Result<Self, LoadError> {
        let signer = Signer::from_seed(seeds.child("tokens").bytes());
        let keys = PublicKeys::from_jwks(&signer.jwks()).map_err(|error| harness(&error))?;
        let issuer = Issuer { name: ISSUER.to_owned(), audience: None, keys, tenant: None };
        let verifier = Arc::new(Verifier::new(vec![issuer]));
        let tickets = Arc::new(Tickets::new(signer.clone()).map_err(|error| harness(&error))?);
        Ok(Self { signer, verifier, tickets })
    }

    fn token(&self, role: &str, vehicle: Option<VehicleId>) -> String {
        let now = real::wall();
        self.signer.sign(&Claims {
            iss: ISSUER.to_owned(),
            sub: role.to_owned(),
            iat: now.as_secs(),
            exp: now.plus(SIGNED_IN_FOR).as_secs(),
            nbf: None,
            aud: None,
            jti: None,
            scope: None,
            tenant: Some(tenant().to_string()),
            role: Some(role.to_owned()),
            vehicle: vehicle.map(|vehicle| vehicle.to_string()),
        })
    }

    /// The buttons of the sign-in page.
    pub(crate) fn demo(&self, vehicles: u32) -> Vec<Demo> {
        let of_fleet = [("Dispatcher", "dispatcher"), ("Viewer", "viewer")].map(|(name, role)| Demo {
            name: name.to_owned(),
            role: role.to_owned(),
            token: self.token(role, None),
        });
        let drivers = (0..vehicles.min(DRIVERS)).map(|index| {
            let vehicle = vehicle_id(index);
            let token = self.token("driver", Some(vehicle));
            Demo { name: format!("Driver of {vehicle}"), role: "driver".to_owned(), token }
        });
        of_fleet.into_iter().chain(drivers).collect()
    }
}
