//! Who may see a hub's pages, and what they show.

use std::path::PathBuf;

use drover_model::TenantId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may see the live map and use the HTTP API: whoever has a token (JWT, ES256) of this issuer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Access {
    /// JSON Web Key Set (RFC 7517) of the issuer: that of `drover pki tokens`, or of an identity provider.
    pub(crate) keys: PathBuf,
    /// What its tokens say in `iss`.
    pub(crate) issuer: String,
    /// What its tokens must name in `aud`; anything if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) audience: Option<String>,
    /// The only tenant that it speaks for; whichever its tokens name in `tenant` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub(crate) tenant: Option<TenantId>,
    /// Private key by which share links let customers in, the same for all hubs: another of `drover pki tokens`, or the same. Without
    /// it customers see the state of their delivery, and no vehicle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tickets: Option<PathBuf>,
}

impl Default for Access {
    fn default() -> Self {
        let keys = "pki/tokens.jwks".into();
        Self { keys, issuer: crate::token::ISSUER.to_owned(), audience: None, tenant: None, tickets: None }
    }
}

/// What the pages show beside vehicles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Site {
    /// What the installation is called.
    pub(crate) name: String,
    /// OpenStreetMap extract (.osm.pbf) of the street map behind the vehicles; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) streets: Option<PathBuf>,
    /// What share links begin with, such as `https://map.example.com`; nothing, and they begin with `/`.
    pub(crate) public_url: String,
    /// Where each hub is reached from outside if it has an address of its own, with `{index}` for its number:
    /// `https://hub-{index}.example.com`. Customers then watch at their vehicle's home, and one hub gets its fixes; pages fall back to
    /// the hub that they come from. With `delivery = "directory"` of gateways, and health agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hub_url: Option<String>,
    /// A share link shows its vehicle once no more than so many stops are before its own, 0 being the next; from when the vehicle sets
    /// out if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) share_from_stops_before: Option<u32>,
    /// Requests to the HTTP API that whoever has a token may make in a second; an address ten times as many.
    pub(crate) requests_per_s: u32,
    /// The same at once.
    pub(crate) requests_burst: u32,
    /// Certificate chain that browsers are shown, PEM, the hub's own first, from a CA that they know: then the hub ends TLS (https, wss).
    /// Both files are read again every ten seconds. Without it the port is plain, and WebTransport has a certificate that the hub makes
    /// for itself and pages take by its hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its key, PEM: ECDSA P-256 is what every browser takes. Readable by this process alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    /// An identity provider that people sign in at, by OpenID Connect (authorization code with PKCE). It is the issuer of `[access]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) oidc: Option<Provider>,
}

/// An identity provider, as it knows the pages: a public client, whose redirect URI is `/sign-in` below the pages' address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provider {
    /// What the provider calls these pages.
    pub(crate) client_id: String,
    /// What is asked for, names between spaces. With it the provider must give access tokens (ES256) that name tenant and role.
    #[serde(default = "openid")]
    pub(crate) scope: String,
    /// Origins of the provider's endpoints, such as `https://tokens.example.com`, where they are not the issuer's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) origins: Vec<String>,
}

fn openid() -> String {
    "openid".to_owned()
}

impl Default for Site {
    fn default() -> Self {
        let api = drover_api::Config::default();
        Self {
            name: "Drover".to_owned(),
            streets: None,
            public_url: String::new(),
            hub_url: None,
            share_from_stops_before: api.share_from_stops_before,
            requests_per_s: api.requests_per_s,
            requests_burst: api.requests_burst,
            certificate: None,
            key: None,
            oidc: None,
        }
    }
}
