//! `drover token`: signs a token for somebody, with a key of `drover pki tokens`.

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use drover_auth::{Claims, PublicKeys, Role, Scopes, Signer, TokenName};
use drover_env::real::{entropy, wall};
use drover_model::{TenantId, VehicleId, WallTime};

use crate::cli::TokenArgs;
use crate::pki::write_new;
use crate::{Stop, show};

/// Who these tokens say has made them; hubs believe it by the key beside them.
pub(crate) const ISSUER: &str = "drover";
/// The private key in a folder of certificates.
const KEY_FILE: &str = "tokens.key";
/// The years 1970 to 9999, in Unix seconds: an end outside of them can not be written down, and counts as none.
const YEARS_S: RangeInclusive<i64> = 0..=253_402_300_799;
/// The key set by which hubs believe its tokens.
const JWKS_FILE: &str = "tokens.jwks";

/// Makes a key that signs tokens, and the key set by which they are believed.
pub(crate) fn make_key(dir: &Path) -> Result<(), Stop> {
    let seed = entropy().map_err(|error| Stop::Failed(format!("draw a key: {error}")))?;
    let signer = Signer::from_seed(seed);
    let pem = signer.to_pem().map_err(|error| Stop::Failed(error.to_string()))?;
    fs::create_dir_all(dir).map_err(|error| Stop::Usage(format!("make {}: {error}", dir.display())))?;
    write_new(&dir.join(KEY_FILE), &pem, 0o600)?;
    write_new(&dir.join(JWKS_FILE), &(signer.jwks() + "\n"), 0o644)
}

pub(crate) fn run(args: &TokenArgs) -> Result<(), Stop> {
    let path = if args.key.is_dir() { args.key.join(KEY_FILE) } else { args.key.clone() };
    let pem = fs::read_to_string(&path).map_err(|error| {
        Stop::Usage(format!("read {}: {error}; drover pki tokens DIR makes one", path.display()))
    })?;
    let signer =
        Signer::from_pem(&pem).map_err(|error| Stop::Usage(format!("{}: {error}", path.display())))?;
    show(&(signer.sign(&claims(args)?) + "\n"));
    Ok(())
}

/// By which it can be taken back: 128 bits.
fn fresh_name() -> Result<String, Stop> {
    let drawn = entropy().map_err(|error| Stop::Failed(format!("draw a name: {error}")))?;
    Ok(drawn.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

fn claims(args: &TokenArgs) -> Result<Claims, Stop> {
    let usage = |error: &dyn std::fmt::Display| Stop::Usage(error.to_string());
    let role: Role = args.role.parse().map_err(|error| usage(&error))?;
    let tenant = TenantId::new(&args.tenant).map_err(|error| usage(&format_args!("--tenant: {error}")))?;
    let vehicle = args.vehicle.as_deref().map(VehicleId::new).transpose();
    let vehicle = vehicle.map_err(|error| usage(&format_args!("--vehicle: {error}")))?;
    if role == Role::Driver && vehicle.is_none() {
        return Err(Stop::Usage("a driver has a vehicle: --vehicle NAME".to_owned()));
    }
    if let Some(scope) = &args.scope {
        let known = Scopes::of_claim(scope);
        if let Some(unknown) =
            scope.split_ascii_whitespace().find(|name| !known.iter().any(|scope| scope.as_str() == *name))
        {
            let all: Vec<_> = drover_auth::Scope::ALL.iter().map(|scope| scope.as_str()).collect();
            return Err(Stop::Usage(format!("{unknown} is no scope: there are {}", all.join(", "))));
        }
    }
    let now = wall();
    Ok(Claims {
        iss: ISSUER.to_owned(),
        sub: args.subject.clone().unwrap_or_else(|| {
            vehicle.map_or_else(|| args.role.clone(), |vehicle| format!("driver of {vehicle}"))
        }),
        iat: now.as_secs(),
        exp: now.plus(Duration::from_secs(u64::from(args.hours) * 3600)).as_secs(),
        nbf: None,
        aud: None,
        jti: Some(fresh_name()?),
        scope: args.scope.clone(),
        tenant: Some(tenant.to_string()),
        role: Some(role.to_string()),
        vehicle: vehicle.map(|vehicle| vehicle.to_string()),
    })
}

/// What a token is called whose text or name this is, whose it is, and when it expires, as far as it says.
pub(crate) fn named(text: &str) -> Result<(String, String, Option<WallTime>), Stop> {
    if let Ok(TokenName { id, subject, expires }) = drover_auth::token_id(text) {
        // Its name is its link's, which hubs look up elsewhere, and it is good for a minute: the link would give the next.
        if drover_auth::is_ticket(text) {
            return Err(Stop::Usage(format!(
                "--token: this is of a share link, which is taken back itself: DELETE /api/v1/share-links/{id}"
            )));
        }
        // It stands in a line of words.
        let subject = subject.split_whitespace().collect::<Vec<_>>().join("_");
        return Ok((id, subject, Some(expires).filter(|time| YEARS_S.contains(&time.as_secs()))));
    }
    // Of a token that was cut nobody would ever ask.
    let is_damaged = text.starts_with("eyJ") || text.matches('.').count() == 2;
    if drover_auth::is_token_id(text) && !is_damaged {
        return Ok((text.to_owned(), String::new(), None));
    }
    let name = "its claim jti, at most 128 characters without blanks";
    Err(Stop::Usage(format!("--token: neither a whole token (JWT) nor the name of one ({name})")))
}

/// The key set in a file.
pub(crate) fn read_keys(path: &Path) -> Result<PublicKeys, String> {
    let json = fs::read_to_string(path).map_err(|error| format!("read {}: {error}", path.display()))?;
    PublicKeys::from_jwks(&json).map_err(|error| format!("{}: {}", path.display(), drover_env::Chain(&error)))
}

#[cfg(test)]
mod tests {
    use drover_auth::{Issuer, Tickets, Verifier};

    use super::*;

    fn args(role: &str, vehicle: Option<&str>, scope: Option<&str>) -> TokenArgs {
        TokenArgs {
            key: "pki".into(),
            role: role.to_owned(),
            tenant: "demo".to_owned(),
            vehicle: vehicle.map(str::to_owned),
            subject: None,
            scope: scope.map(str::to_owned),
            hours: 1,
        }
    }

    #[test]
    fn a_key_of_a_folder_signs_what_its_key_set_believes() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(make_key(folder.path()).is_ok());
        let pem = fs::read_to_string(folder.path().join(KEY_FILE)).expect("a key");
        let token = Signer::from_pem(&pem)
            .expect("a key")
            .sign(&claims(&args("driver", Some("VAN-7"), None)).expect("claims"));
        let keys = read_keys(&folder.path().join(JWKS_FILE)).expect("a key set");
        let issuer = Issuer { name: ISSUER.to_owned(), audience: None, keys, tenant: None };
        let driver = Verifier::new(vec![issuer]).verify(&token, wall()).expect("believed");
        assert_eq!(driver.subject, "driver of VAN-7");
        assert!(named(&token[..token.len() - 8]).is_err() && named(&token[..40]).is_err(), "it was cut");
        let named = |text: &str| named(text).unwrap_or_else(|_| panic!("it has a name"));
        let whole = (driver.token_id.clone(), "driver_of_VAN-7".to_owned(), Some(driver.expires));
        assert_eq!(named(&token), whole);
        assert_eq!(driver.token_id.len(), 32);
        assert_eq!(named(&driver.token_id), (driver.token_id, String::new(), None));
        assert!(
            make_key(folder.path())
                .is_err_and(|stop| matches!(stop, Stop::Usage(text) if text.contains("is there already")))
        );
    }

    #[test]
    fn what_a_share_link_gave_is_not_taken_back_as_a_token() {
        let tickets = Tickets::new(Signer::from_seed([3; 32])).expect("a key");
        let (tenant, vehicle) = ("north".parse().expect("a name"), "VAN-7".parse().expect("a name"));
        let now = wall();
        let ticket =
            tickets.issue(tenant, vehicle, ("7", "12", "90"), now, now, now.plus(Duration::from_secs(60)));
        let Err(Stop::Usage(text)) = named(&ticket) else { panic!("it is named") };
        assert!(text.ends_with("DELETE /api/v1/share-links/7"), "{text}");
    }

    #[test]
    fn what_can_not_be_is_named() {
        let said = |args: TokenArgs| match claims(&args) {
            Err(Stop::Usage(text)) => text,
            _ => "taken".to_owned(),
        };
        assert_eq!(said(args("driver", None, None)), "a driver has a vehicle: --vehicle NAME");
        assert!(said(args("king", None, None)).contains("is no role"));
        assert!(
            said(args("viewer", None, Some("map:view map:edit")))
                .starts_with("map:edit is no scope: there are map:view")
        );
    }
}
