//! Tokens that a share link gives: they show one vehicle, on the live map alone, for a short while.

use drover_model::{TenantId, VehicleId, WallTime};

use crate::claims::Claims;
use crate::keys::{KeysError, PublicKeys};
use crate::principal::{Principal, Role, Scopes};
use crate::signer::Signer;
use crate::token::{Issuer, TokenError, Verifier, part};

/// Who issues them; no token of anybody else makes a customer.
const ISSUER: &str = "drover/share";

/// Issues such tokens, and believes those of whoever has the same key: all hubs of a cluster.
#[derive(Debug)]
pub struct Tickets {
    signer: Signer,
    verifier: Verifier,
}

impl Tickets {
    /// Of this key.
    ///
    /// # Errors
    /// The key can not verify what it signs.
    pub fn new(signer: Signer) -> Result<Self, KeysError> {
        let keys = PublicKeys::from_jwks(&signer.jwks())?;
        let issuer = Issuer { name: ISSUER.to_owned(), audience: None, keys, tenant: None };
        Ok(Self { signer, verifier: Verifier::new(vec![issuer]) })
    }

    /// A token that shows `vehicle` as it is from `since` on. `link` names the share link, the order that it is to,
    /// and the stop at which somebody waits for it.
    pub fn issue(
        &self,
        tenant: TenantId,
        vehicle: VehicleId,
        (link, order, stop): (&str, &str, &str),
        since: WallTime,
        now: WallTime,
        expires: WallTime,
    ) -> String {
        self.signer.sign(&Claims {
            iss: ISSUER.to_owned(),
            sub: format!("share/{link}/{order}/{stop}"),
            iat: now.as_secs(),
            exp: expires.as_secs(),
            nbf: Some(since.as_secs().min(now.as_secs())),
            aud: None,
            jti: Some(link.to_owned()),
            scope: Some(String::new()),
            tenant: Some(tenant.to_string()),
            role: None,
            vehicle: Some(vehicle.to_string()),
        })
    }

    /// Who the bearer of `token` is at `now`: a customer.
    ///
    /// # Errors
    /// Says why the token is not believed.
    pub fn verify(&self, token: &str, now: WallTime) -> Result<Principal, TokenError> {
        let (principal, not_before) = self.verifier.verify_since(token, now)?;
        // Its end is short, and whoever gave it reads the same clock: nothing is forgiven.
        if now >= principal.expires {
            return Err(TokenError::Expired(principal.expires));
        }
        Ok(Principal {
            role: Role::Customer,
            scopes: Scopes::default(),
            since: Some(not_before),
            ..principal
        })
    }
}

/// True of a token that says that a share link has given it. Nobody looks here whether it is believed.
pub fn is_ticket(token: &str) -> bool {
    token
        .split('.')
        .nth(1)
        .and_then(|claims| part::<Claims>(claims).ok())
        .is_some_and(|claims| claims.iss == ISSUER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_shows_one_vehicle_from_when_it_set_out_until_it_expires() {
        let tickets = Tickets::new(Signer::from_seed([3; 32])).expect("a key");
        let (tenant, vehicle) = ("north".parse().expect("a name"), "VAN-7".parse().expect("a name"));
        let at = WallTime::from_secs;
        let token = tickets.issue(tenant, vehicle, ("7", "12", "90"), at(900), at(1_000), at(1_060));
        let customer = tickets.verify(&token, at(1_059)).expect("believed");
        assert_eq!((customer.role, customer.since), (Role::Customer, Some(at(900))));
        assert_eq!((customer.subject.as_str(), customer.token_id.as_str()), ("share/7/12/90", "7"));
        assert!(customer.may_see(tenant, vehicle) && !customer.sees_the_fleet());
        assert!(!customer.may_see(tenant, "VAN-8".parse().expect("a name")));
        assert!(is_ticket(&token) && !is_ticket("drover/share") && !is_ticket("a.b.c"));
        assert_eq!(tickets.verify(&token, at(1_060)), Err(TokenError::Expired(at(1_060))));
        let others = Tickets::new(Signer::from_seed([4; 32])).expect("a key");
        assert_eq!(others.verify(&token, at(1_001)), Err(TokenError::Signature));
    }
}
