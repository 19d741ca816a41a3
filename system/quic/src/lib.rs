//! QUIC on env: endpoints for vehicles and services, mutual TLS under one private CA, and who the peer is.
//!
//! Knows no frames and no services. All entropy, time and sockets come from the [`drover_env::Env`] it is given, so that
//! a simulated endpoint repeats byte for byte.

mod endpoint;
mod pki;
mod principal;
mod profile;
mod runtime;
mod serial;

pub use endpoint::{
    QuicError, ServerSetup, client, client_config, principal, rebind, serial, server, server_name,
};
pub use pki::{Ca, Identity, PkiError, Trust, serial_in_pem};
pub use principal::{Principal, PrincipalError};
pub use profile::Profile;
pub use serial::{Serial, SerialError};
