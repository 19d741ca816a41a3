//! Who may use a hub, as its config says: the keys that tokens are believed by.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use drover_auth::{Issuer, Signer, Tickets, Verifier};
use drover_env::Chain;
use drover_hub::{HubUrlError, Oidc, SiteConfig};
use drover_streets::Streets;

use crate::config::{Access, Site};
use crate::token::read_keys;

/// What a hub believes.
pub(crate) struct Believed {
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) tickets: Option<Arc<Tickets>>,
}

/// Reads the keys of `[access]`.
pub(crate) fn open(access: &Access) -> Result<Believed, String> {
    let keys = read_keys(&access.keys)
        .map_err(|error| format!("keys: {error}; drover pki tokens DIR makes a key and its set"))?;
    let (name, audience) = (access.issuer.clone(), access.audience.clone());
    let verifier = Verifier::new(vec![Issuer { name, audience, keys, tenant: access.tenant }]);
    let tickets = access.tickets.as_deref().map(read_tickets).transpose()?;
    Ok(Believed { verifier: Arc::new(verifier), tickets: tickets.map(Arc::new) })
}

fn read_tickets(path: &Path) -> Result<Tickets, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("tickets: {}: {error}", path.display());
    let pem = fs::read_to_string(path).map_err(|error| wrong(&error))?;
    let signer = Signer::from_pem(&pem).map_err(|error| wrong(&error))?;
    Tickets::new(signer).map_err(|error| wrong(&Chain(&error)))
}

/// Reads the street map of `[site]`, and who it is that people sign in at.
pub(crate) fn site(site: &Site, access: &Access) -> Result<SiteConfig, String> {
    let streets = match &site.streets {
        Some(path) => {
            let name = path.display().to_string();
            let bytes = fs::read(path).map_err(|error| format!("streets: read {name}: {error}"))?;
            Some(Streets::from_pbf(&name, &bytes).map_err(|error| format!("streets: {error}"))?)
        }
        None => None,
    };
    let oidc = site.oidc.as_ref().map(|provider| {
        Oidc::new(&access.issuer, &provider.client_id, &provider.scope, &provider.origins)
            .map_err(|error| format!("oidc: {error} (the provider is the issuer of [access])"))
    });
    let hub_url = site.hub_url.as_deref().map(str::parse).transpose();
    let hub_url = hub_url.map_err(|error: HubUrlError| format!("hub_url: {error}"))?;
    let (name, oidc) = (site.name.clone(), oidc.transpose()?);
    Ok(SiteConfig { name, streets, oidc, hub_url, ..SiteConfig::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::site::Provider;

    #[test]
    fn keys_are_read_and_what_is_wrong_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(crate::token::make_key(folder.path()).is_ok());
        let at = |name: &str| folder.path().join(name);
        let good = Access { keys: at("tokens.jwks"), tickets: Some(at("tokens.key")), ..Access::default() };
        assert!(open(&good).is_ok_and(|believed| believed.tickets.is_some()));
        let said = |access: Access| open(&access).err().unwrap_or_default();
        assert!(said(Access { keys: at("nothing"), ..good.clone() }).contains("drover pki tokens DIR makes"));
        assert!(said(Access { tickets: Some(at("tokens.jwks")), ..good }).starts_with("tickets: "));
        let map = Site { streets: Some(at("tokens.jwks")), ..Site::default() };
        let said = |of: &Site, access: &Access| site(of, access).err().unwrap_or_default();
        assert!(said(&map, &Access::default()).contains("is no OpenStreetMap extract"));
        let scattered = Site { hub_url: Some("https://map.example.com".to_owned()), ..Site::default() };
        assert!(said(&scattered, &Access::default()).starts_with("hub_url: "));
        let provider =
            Provider { client_id: "drover".to_owned(), scope: "openid".to_owned(), origins: Vec::new() };
        let signs_in = Site { oidc: Some(provider), ..Site::default() };
        assert!(said(&signs_in, &Access::default()).contains("the provider is the issuer of [access]"));
        let issuer = Access { issuer: "https://id.example.com/fleet".to_owned(), ..Access::default() };
        assert!(site(&signs_in, &issuer).is_ok_and(|site| site.oidc.is_some()));
    }
}
