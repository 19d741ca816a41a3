//! Whether a token is believed, and whom it makes of its bearer.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use drover_model::{TenantId, VehicleId, WallTime};
use ring::digest::{SHA256, digest};
use serde::Deserialize;

use crate::claims::Claims;
use crate::keys::PublicKeys;
use crate::principal::{Principal, Role, Scope, Scopes};
use crate::revoked::RevokedTokens;

/// Longest token.
pub const TOKEN_BYTES_MAX: usize = 4096;
/// Longest `jti` that names its token.
const JTI_BYTES_MAX: usize = 128;
/// Of ES256 (RFC 7518, section 3.4).
const SIGNATURE_BYTES: usize = 64;
/// How far clocks of issuers may be off.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// Why a token is not believed. What it says tells a stranger nothing that helps them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not three parts of base64url, or no JSON in them, or longer than [`TOKEN_BYTES_MAX`].
    #[error("this is no token (RFC 7519)")]
    Shape,
    /// Signed by another algorithm than ES256, or with demands that are not known (`crit`).
    #[error("tokens are signed by ES256 here")]
    Algorithm,
    /// Nobody that is believed has signed it.
    #[error("nobody that is believed here has signed this token")]
    Signature,
    /// It is for others.
    #[error("this token is for somebody else")]
    Audience,
    /// It was good.
    #[error("this token is believed no longer: it expired at {0}")]
    Expired(WallTime),
    /// It was taken back.
    #[error("this token is believed no longer: it was revoked")]
    Revoked,
    /// It will be good.
    #[error("this token is not believed before {0}: is a clock wrong?")]
    Early(WallTime),
    /// Signed, and says nothing that can be used.
    #[error("the token's claim {claim}: {detail}")]
    Claim {
        /// Which.
        claim: &'static str,
        /// What is wrong with it.
        detail: String,
    },
}

/// Somebody whose tokens are believed.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// What its tokens say in `iss`.
    pub name: String,
    /// What they must name in `aud`; anything if `None`.
    pub audience: Option<String>,
    /// Its keys.
    pub keys: PublicKeys,
    /// The only tenant that it may speak for; whichever its tokens name if `None`.
    pub tenant: Option<TenantId>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

/// Judges tokens.
#[derive(Debug, Clone, Default)]
pub struct Verifier {
    issuers: Vec<Issuer>,
    revoked: RevokedTokens,
}

impl Verifier {
    /// Believes these.
    pub fn new(issuers: Vec<Issuer>) -> Self {
        Self { issuers, revoked: RevokedTokens::default() }
    }

    /// The list of tokens that are believed no longer, for whoever keeps it.
    pub fn revoked(&self) -> RevokedTokens {
        self.revoked.clone()
    }

    /// Who the bearer of `token` is at `now`.
    ///
    /// # Errors
    /// Says why the token is not believed.
    pub fn verify(&self, token: &str, now: WallTime) -> Result<Principal, TokenError> {
        self.verify_since(token, now).map(|(principal, _)| principal)
    }

    /// As [`Self::verify`], and since when the token is believed.
    pub(crate) fn verify_since(
        &self,
        token: &str,
        now: WallTime,
    ) -> Result<(Principal, WallTime), TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Shape);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Shape)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Shape)?;
        let header: Header = part(header)?;
        if header.alg != "ES256" || header.crit.is_some() {
            return Err(TokenError::Algorithm);
        }
        let signature = BASE64.decode(signature).map_err(|_| TokenError::Shape)?;
        let claims: Claims = part(claims)?;
        let issuer = self
            .issuers
            .iter()
            .filter(|issuer| issuer.name == claims.iss)
            .find(|issuer| issuer.keys.signed(header.kid.as_deref(), signed.as_bytes(), &signature))
            .ok_or(TokenError::Signature)?;
        in_time(&claims, now)?;
        if let Some(name) = &issuer.audience
            && !claims.aud.as_ref().is_some_and(|audience| audience.has(name))
        {
            return Err(TokenError::Audience);
        }
        let since = WallTime::from_secs(claims.nbf.unwrap_or(claims.iat));
        let principal = principal(claims, issuer, signed)?;
        match self.revoked.contains(&principal.token_id) {
            true => Err(TokenError::Revoked),
            false => Ok((principal, since)),
        }
    }
}

/// What a token says of itself, believed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenName {
    /// What it is called when it is taken back: its `jti` (RFC 7519, section 4.1.7), or SHA-256 of what is signed of it in hexadecimal if
    /// it has none, or one that is no plain word.
    pub id: String,
    /// Whom it is about.
    pub subject: String,
    /// When it expires.
    pub expires: WallTime,
}

/// What a token is called. Nobody looks here whether it is believed.
///
/// # Errors
/// It is no token.
pub fn token_id(token: &str) -> Result<TokenName, TokenError> {
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Shape)?;
    let (_, claims) = signed.split_once('.').ok_or(TokenError::Shape)?;
    let is_whole = BASE64.decode(signature).is_ok_and(|bytes| bytes.len() == SIGNATURE_BYTES);
    let claims: Claims = part(claims)?;
    if !is_whole {
        return Err(TokenError::Shape);
    }
    let (id, expires) = (name_of(claims.jti, signed), WallTime::from_secs(claims.exp));
    Ok(TokenName { id, subject: claims.sub, expires })
}

/// True of what may be the name of a token: one that no token has revokes none.
pub fn is_token_id(name: &str) -> bool {
    (1..=JTI_BYTES_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Not of the signature: from one that is good whoever has it makes another (ECDSA takes `n - s` for `s`).
fn name_of(jti: Option<String>, signed: &str) -> String {
    jti.filter(|name| is_token_id(name)).unwrap_or_else(|| {
        digest(&SHA256, signed.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    })
}

pub(crate) fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, TokenError> {
    let json = BASE64.decode(text).map_err(|_| TokenError::Shape)?;
    serde_json::from_slice(&json).map_err(|_| TokenError::Shape)
}

fn in_time(claims: &Claims, now: WallTime) -> Result<(), TokenError> {
    let expires = WallTime::from_secs(claims.exp);
    if now >= expires.plus(LEEWAY) {
        return Err(TokenError::Expired(expires));
    }
    let begins = WallTime::from_secs(claims.nbf.unwrap_or(claims.iat));
    if now.plus(LEEWAY) < begins {
        return Err(TokenError::Early(begins));
    }
    Ok(())
}

fn principal(claims: Claims, issuer: &Issuer, signed: &str) -> Result<Principal, TokenError> {
    let bad = |claim, detail: &dyn ToString| TokenError::Claim { claim, detail: detail.to_string() };
    let named =
        claims.tenant.as_deref().map(TenantId::new).transpose().map_err(|error| bad("tenant", &error))?;
    let tenant = match (issuer.tenant, named) {
        (Some(own), Some(named)) if own != named => {
            return Err(bad("tenant", &format_args!("{} does not speak for {named}", issuer.name)));
        }
        (own, named) => own.or(named).ok_or_else(|| bad("tenant", &"missing"))?,
    };
    let scopes = claims.scope.as_deref().map(Scopes::of_claim);
    let role = match &claims.role {
        Some(role) => role.parse().map_err(|error| bad("role", &error))?,
        None => role_of(scopes.unwrap_or_default()),
    };
    let vehicle =
        claims.vehicle.as_deref().map(VehicleId::new).transpose().map_err(|error| bad("vehicle", &error))?;
    if role == Role::Driver && vehicle.is_none() {
        return Err(bad("vehicle", &"a driver's token names a vehicle"));
    }
    Ok(Principal {
        subject: claims.sub,
        tenant,
        role,
        scopes: scopes.unwrap_or_else(|| role.scopes()),
        vehicle,
        since: None,
        expires: WallTime::from_secs(claims.exp),
        token_id: name_of(claims.jti, signed),
    })
}

/// Of a token that names none: what its scopes are good for.
fn role_of(scopes: Scopes) -> Role {
    if scopes.has(Scope::Drive) {
        Role::Driver
    } else if scopes.has(Scope::OrdersWrite) || scopes.has(Scope::RouteRead) {
        Role::Dispatcher
    } else {
        Role::Viewer
    }
}

#[cfg(test)]
mod tests;
