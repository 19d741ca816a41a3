//! QUIC on env: endpoints for vehicles and services, mutual TLS under one private CA, and who the peer is; and what routers
//! and gateways agree on: connection ids that name their server, the client's address on every datagram, shared keys.
//!
//! Knows no frames and no services. All entropy, time and sockets come from the [`drover_env::Env`] it is given, so that
//! a simulated endpoint repeats byte for byte.

mod cid;
mod cluster;
mod endpoint;
mod pki;
mod principal;
mod profile;
mod public;
mod returns;
mod routers;
mod runtime;
mod serial;
mod shim;
mod ticket;
mod tls;

pub use cid::{
    CID_BYTES, CID_BYTES_MAX, Cid, CidConfig, CidLayout, CidReader, LayoutError, Plain, ServerId, ServerIds,
};
pub use cluster::{ClusterKeys, ClusterSecret, SecretError};
pub use endpoint::{
    Membership, QuicError, ServerSetup, client, client_config, client_through, guest_config, principal,
    rebind, serial, server, server_behind_routers, server_name,
};
pub use pki::{Ca, Identity, PkiError, Trust, expires_in_pem, serial_in_pem};
pub use principal::{Principal, PrincipalError};
pub use profile::Profile;
pub use public::{LOCAL_CERT_LIFE, OpenSetup, Shown, browser_tls, local_cert, open_server};
pub use routers::Routers;
pub use serial::{Serial, SerialError};
pub use shim::{Believed, SHIM_BYTES, ShimKey, Way};
