//! Sign-in by an identity provider: what pages are told of it. The pages do the rest (authorization code with PKCE, RFC 7636; no secret), and
//! bring what the provider has signed as any other token.

use serde_json::{Value, json};

/// An identity provider that people sign in at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oidc {
    issuer: String,
    client_id: String,
    scope: String,
    /// Where pages connect: the issuer's origin, and others of its endpoints.
    origins: Vec<String>,
}

impl Oidc {
    /// A provider whose discovery document is below `issuer`, a URL. `origins` are those of its endpoints that are not the issuer's own.
    ///
    /// # Errors
    /// Names what is no URL of a provider: https, or http on this machine.
    pub fn new(issuer: &str, client_id: &str, scope: &str, origins: &[String]) -> Result<Self, String> {
        let own = origin(issuer)?;
        if client_id.is_empty() {
            return Err("client_id is empty: it is what the provider calls these pages".to_owned());
        }
        if !scope.split(' ').any(|name| name == "openid") {
            return Err(format!("scope of {scope:?}: openid must be in it"));
        }
        let others = origins.iter().map(|other| origin(other)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            scope: scope.to_owned(),
            origins: std::iter::once(own).chain(others).collect(),
        })
    }

    /// Origins that pages connect to.
    pub(crate) fn origins(&self) -> &[String] {
        &self.origins
    }

    pub(crate) fn described(&self) -> Value {
        json!({ "issuer": self.issuer, "client_id": self.client_id, "scope": self.scope })
    }
}

/// Scheme, host and port of a URL. It becomes a part of a policy, in which other signs have a meaning.
fn origin(url: &str) -> Result<String, String> {
    let wrong = || format!("{url:?} is no URL of a provider: https://, or http:// on this machine");
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let host = rest.split('/').next().unwrap_or_default();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_name) {
        return Err(wrong());
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_here = matches!(name, "localhost" | "127.0.0.1" | "[::1]");
    if scheme == "https" || scheme == "http" && is_here {
        Ok(format!("{scheme}://{host}"))
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_https_or_of_this_machine() {
        for (url, expected) in [
            ("https://id.example.com/realms/fleet", Some("https://id.example.com")),
            ("https://id.example.com:8443/", Some("https://id.example.com:8443")),
            ("http://127.0.0.1:9000", Some("http://127.0.0.1:9000")),
            ("http://[::1]:9000/x", Some("http://[::1]:9000")),
            ("http://id.example.com", None),
            ("https://", None),
            ("https://a; script-src *", None),
            ("drover", None),
        ] {
            assert_eq!(origin(url).ok().as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let made = |client: &str, scope: &str| Oidc::new("https://id.example.com/a", client, scope, &[]);
        assert!(made("", "openid").is_err_and(|error| error.contains("client_id")));
        assert!(made("drover", "profile").is_err_and(|error| error.contains("openid")));
        let more = ["https://tokens.example.com".to_owned()];
        let oidc = Oidc::new("https://id.example.com/a", "drover", "openid", &more).expect("a provider");
        assert_eq!(oidc.origins(), ["https://id.example.com", "https://tokens.example.com"]);
        assert_eq!(oidc.described()["issuer"], "https://id.example.com/a");
    }
}
