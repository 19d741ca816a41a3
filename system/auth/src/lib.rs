//! Who may see and do what: tokens (JWT by ES256), the keys that they are believed by, roles and scopes, secrets of share links.
//!
//! Holds no clock, no randomness, no file and no socket: time, seeds and texts are arguments, so that the same token is judged the
//! same everywhere.

mod claims;
mod keys;
mod principal;
mod revoked;
mod share;
mod signer;
mod tickets;
mod token;

pub use claims::{Audience, Claims};
pub use keys::{KeysError, PublicKeys};
pub use principal::{Principal, Role, RoleError, Scope, Scopes};
pub use revoked::RevokedTokens;
pub use share::{ShareSecret, ShareSecretError};
pub use signer::{Signer, SignerError};
pub use tickets::{Tickets, is_ticket};
pub use token::{Issuer, LEEWAY, TOKEN_BYTES_MAX, TokenError, TokenName, Verifier, is_token_id, token_id};
