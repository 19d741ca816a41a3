//! The door of a real hub: tokens of issuers that are believed, and what share links give.

use std::sync::Arc;
use std::time::Duration;

use drover_auth::{Principal, RevokedTokens, Role, Tickets, TokenError, Verifier};
use drover_bus::Pool;
use drover_bus::revocations::{self, Entry, RevocationInfo, RevocationList};
use drover_env::Env;
use drover_model::WallTime;

use crate::door::{Denied, Door};

/// Lets in whoever has a token that is believed.
#[derive(Debug)]
pub struct Tokens {
    verifier: Arc<Verifier>,
    tickets: Option<Arc<Tickets>>,
}

impl Tokens {
    /// Of these issuers; with `tickets` share links let in, too.
    pub const fn new(verifier: Arc<Verifier>, tickets: Option<Arc<Tickets>>) -> Self {
        Self { verifier, tickets }
    }

    fn verified(&self, token: &str, now: WallTime) -> Result<Principal, TokenError> {
        match self.tickets.as_ref().map(|tickets| tickets.verify(token, now)) {
            Some(Ok(customer)) => Ok(customer),
            Some(Err(error @ TokenError::Expired(_))) => Err(error),
            Some(Err(_)) | None => self.verifier.verify(token, now),
        }
    }
}

/// Hears at the agents of tokens that were revoked, for ever.
pub(crate) async fn follow(env: Env, pool: Pool, interval: Duration, revoked: RevokedTokens) {
    let token = |info: &RevocationInfo| match info.entry() {
        Entry::Token(name) => Some((name.to_owned(), info.expires())),
        Entry::Certificate(_) => None,
    };
    let clock = env.clone();
    let heard =
        move |list: &RevocationList| revoked.hear(clock.wall(), list.revocations.iter().filter_map(token));
    revocations::follow(env, pool, interval, "hub.revocations_stale", heard).await;
}

impl Door for Tokens {
    fn admit(&self, token: &str, now: WallTime) -> Result<Principal, Denied> {
        let who = self.verified(token, now).map_err(|error| match error {
            TokenError::Expired(_) => Denied::Expired,
            TokenError::Early(_) => Denied::NotYet,
            TokenError::Revoked => Denied::Revoked,
            TokenError::Shape
            | TokenError::Algorithm
            | TokenError::Signature
            | TokenError::Audience
            | TokenError::Claim { .. } => Denied::Invalid,
        })?;
        let sees = match who.vehicle {
            Some(vehicle) => who.may_see(who.tenant, vehicle),
            None => who.sees_the_fleet(),
        };
        if !sees {
            return Err(Denied::Forbidden);
        }
        Ok(who)
    }

    fn is_revoked(&self, who: &Principal) -> bool {
        // Customers have come by a share link, which names its tokens itself and has an end of its own.
        who.role != Role::Customer && self.verifier.revoked().contains(&who.token_id)
    }
}

#[cfg(test)]
mod tests {
    use drover_auth::{Claims, Issuer, PublicKeys, Scope, Signer};

    use super::*;

    const NOW: WallTime = WallTime::from_secs(1_750_000_000);

    fn door() -> (Signer, Tokens) {
        let signer = Signer::from_seed([1; 32]);
        let keys = PublicKeys::from_jwks(&signer.jwks()).expect("keys");
        let issuer = Issuer { name: "drover".to_owned(), audience: None, keys, tenant: None };
        let tickets = Tickets::new(Signer::from_seed([2; 32])).expect("a key");
        (signer, Tokens::new(Arc::new(Verifier::new(vec![issuer])), Some(Arc::new(tickets))))
    }

    fn token(signer: &Signer, jti: Option<&str>) -> String {
        signer.sign(&claims(jti))
    }

    fn claims(jti: Option<&str>) -> Claims {
        Claims {
            iss: "drover".to_owned(),
            sub: "anna".to_owned(),
            iat: NOW.as_secs(),
            exp: NOW.as_secs() + 60,
            nbf: None,
            aud: None,
            jti: jti.map(str::to_owned),
            scope: None,
            tenant: Some("north".to_owned()),
            role: Some("dispatcher".to_owned()),
            vehicle: None,
        }
    }

    #[test]
    fn a_token_that_is_good_for_other_things_shows_no_map() {
        let (signer, door) = door();
        let admit = |scope: &str, vehicle: Option<&str>| {
            let vehicle = vehicle.map(str::to_owned);
            let claims = Claims { scope: Some(scope.to_owned()), role: None, vehicle, ..claims(Some("9")) };
            door.admit(&signer.sign(&claims), NOW).map(|who| who.vehicle)
        };
        assert_eq!(admit("telemetry:write", None), Err(Denied::Forbidden));
        assert_eq!(admit("telemetry:write", Some("VAN-1")), Err(Denied::Forbidden));
        assert_eq!(admit("drive", None), Err(Denied::Invalid), "of which vehicle?");
        assert_eq!(admit("map:view", None), Ok(None));
        assert_eq!(admit("drive", Some("VAN-1")), Ok(Some("VAN-1".parse().expect("a name"))));
    }

    #[test]
    fn who_is_believed_comes_in_until_their_token_is_taken_back() {
        let (signer, door) = door();
        let anna = door.admit(&token(&signer, Some("7")), NOW).expect("let in");
        assert!(anna.role == Role::Dispatcher && anna.vehicle.is_none() && anna.scopes.has(Scope::FleetView));
        let nameless = door.admit(&token(&signer, None), NOW).expect("let in").token_id;
        assert!(!door.is_revoked(&anna));
        let revoked = [(anna.token_id.clone(), Some(anna.expires)), (nameless, None)];
        door.verifier.revoked().hear(NOW, revoked);
        assert!(door.is_revoked(&anna));
        assert!(!door.is_revoked(&Principal { role: Role::Customer, ..anna }), "a link of the same name");
        assert_eq!(door.admit(&token(&signer, Some("7")), NOW), Err(Denied::Revoked));
        assert_eq!(door.admit(&token(&signer, None), NOW), Err(Denied::Revoked));
        assert_eq!(door.admit("nonsense", NOW), Err(Denied::Invalid));
        assert_eq!(
            door.admit(&token(&signer, Some("8")), WallTime::from_secs(1_750_000_120)),
            Err(Denied::Expired)
        );
    }

    #[test]
    fn a_share_link_lets_in_a_customer_who_sees_one_vehicle_from_then_on() {
        let (_, door) = door();
        let tickets = Tickets::new(Signer::from_seed([2; 32])).expect("a key");
        let (tenant, van) = ("north".parse().expect("a name"), "VAN-7".parse().expect("a name"));
        let ends = WallTime::from_secs(NOW.as_secs() + 60);
        let ticket = tickets.issue(tenant, van, ("link", "order", "stop"), NOW, NOW, ends);
        let customer = door.admit(&ticket, NOW).expect("let in");
        assert_eq!((customer.role, customer.vehicle, customer.since), (Role::Customer, Some(van), Some(NOW)));
        assert_eq!(door.admit(&ticket, ends), Err(Denied::Expired));
    }
}
