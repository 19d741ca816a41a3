//! The tracker as a service.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use drover_env::Env;
use drover_model::Fix;
use drover_quic::{Identity, Principal, Profile, QuicError, Routers, Trust};
use drover_wire::geostream::ALPN;
use quinn::{ClientConfig, Endpoint};
use rand::RngExt;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Arrived;
use crate::can::{CanCounts, CanInput};
use crate::commands::Told;
use crate::config::Via;
use crate::driver::Driver;
use crate::{Config, NmeaCounts, SpoolError};

/// Why a tracker can not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A setting makes no sense.
    #[error("{0}")]
    Config(String),
    /// The certificate is not a vehicle's.
    #[error("the certificate names {found}, not a vehicle (drover://<tenant>/vehicle/<id>)")]
    Identity {
        /// Whom it names.
        found: String,
    },
    /// The session's socket or TLS.
    #[error("open the session's endpoint on {bind}")]
    Endpoint {
        /// Local address asked for.
        bind: SocketAddr,
        /// Why.
        #[source]
        source: QuicError,
    },
}

/// Why a tracker ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The spool can not be opened: without it nothing could be kept.
    #[error("open the spool")]
    Spool(#[source] SpoolError),
}

/// What a tracker did from its start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Fixes recorded.
    pub recorded: u64,
    /// Fixes acknowledged as durable.
    pub durable: u64,
    /// Fixes refused for good.
    pub refused: u64,
    /// Fixes that a full spool dropped.
    pub shed: u64,
    /// Fixes that could not be written while the disk was full.
    pub unrecorded: u64,
    /// Batches that held fixes sent before.
    pub resent: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Fixes still in the spool.
    pub pending: u64,
    /// What became of the receiver's output.
    pub nmea: NmeaCounts,
    /// What became of the bus's frames.
    pub can: CanCounts,
}

/// The newest fix of a tracker, for whoever asks how it is. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Newest(Arc<Mutex<Option<Fix>>>);

impl Newest {
    /// The newest fix that the receiver gave, recorded or not; its sequence says nothing yet.
    pub fn get(&self) -> Option<Fix> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, fix: &Fix) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(fix.clone());
    }
}

/// A tracker, bound and ready to run.
pub struct Tracker {
    pub(crate) env: Env,
    pub(crate) config: Config,
    pub(crate) endpoint: Endpoint,
    pub(crate) routers: Option<Arc<Routers>>,
    pub(crate) client: ClientConfig,
    pub(crate) gps: mpsc::Receiver<Arrived<Bytes>>,
    pub(crate) can: Option<CanInput>,
    pub(crate) newest: Newest,
    pub(crate) told: Told,
    /// Other trackers use the endpoint, too.
    pub(crate) shares_endpoint: bool,
    pub(crate) first_send: Option<Instant>,
}

impl std::fmt::Debug for Tracker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracker").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Tracker {
    /// Opens the tracker's endpoint. `gps` brings the receiver's bytes, cut anywhere. While the tracker syncs, they wait
    /// in that channel: its sender decides what happens when it is full.
    ///
    /// # Errors
    /// A setting makes no sense, the certificate is not a vehicle's, or the socket can not be opened.
    pub fn bind(
        env: Env,
        config: Config,
        identity: Identity,
        trust: Trust,
        gps: mpsc::Receiver<Arrived<Bytes>>,
    ) -> Result<Self, BindError> {
        config.check().map_err(BindError::Config)?;
        let bind = config.bind;
        let routers = match config.via {
            Via::Gateways => None,
            // Where they are, DNS will say.
            Via::Routers if !config.routers.is_empty() => Some(Routers::unknown(bind.is_ipv4())),
            // A fleet spreads over them.
            Via::Routers => Routers::new(config.servers.clone(), env.rng("router").random_range(0..1 << 16)),
        };
        let endpoint = match &routers {
            None => drover_quic::client(&env, bind),
            Some(routers) => drover_quic::client_through(&env, bind, routers),
        };
        let endpoint = endpoint.map_err(|source| BindError::Endpoint { bind, source })?;
        let tracker = Self::on(env, config, &identity, &trust, gps, endpoint)?;
        Ok(Self { shares_endpoint: false, routers, ..tracker })
    }

    /// The same on an endpoint that other trackers use, too: it is not closed with this one, and stays where it is when the
    /// vehicle comes into another network, or its router dies. For a process that plays many vehicles. Looks up no names.
    ///
    /// # Errors
    /// A setting makes no sense, or the certificate is not a vehicle's.
    pub fn on_endpoint(
        env: Env,
        config: Config,
        identity: &Identity,
        trust: &Trust,
        gps: mpsc::Receiver<Arrived<Bytes>>,
        endpoint: Endpoint,
    ) -> Result<Self, BindError> {
        config.check().map_err(BindError::Config)?;
        if !config.routers.is_empty() {
            return Err(BindError::Config("routers: a shared endpoint needs servers, not a name".to_owned()));
        }
        Self::on(env, config, identity, trust, gps, endpoint)
    }

    /// The same on an endpoint that leads through `routers`, which all that use it share: what one of them finds by name, or finds
    /// silent, holds for all.
    ///
    /// # Errors
    /// A setting makes no sense, the servers are no routers, or the certificate is not a vehicle's.
    pub fn on_endpoint_through(
        env: Env,
        config: Config,
        identity: &Identity,
        trust: &Trust,
        gps: mpsc::Receiver<Arrived<Bytes>>,
        (endpoint, routers): (Endpoint, Arc<Routers>),
    ) -> Result<Self, BindError> {
        config.check().map_err(BindError::Config)?;
        if config.via != Via::Routers {
            return Err(BindError::Config("via: the endpoint leads through routers".to_owned()));
        }
        let tracker = Self::on(env, config, identity, trust, gps, endpoint)?;
        Ok(Self { routers: Some(routers), ..tracker })
    }

    fn on(
        env: Env,
        config: Config,
        identity: &Identity,
        trust: &Trust,
        gps: mpsc::Receiver<Arrived<Bytes>>,
        endpoint: Endpoint,
    ) -> Result<Self, BindError> {
        let Some(Principal::Vehicle { .. }) = identity.principal() else {
            let found = identity.principal().map_or_else(|| "nobody".to_owned(), |who| who.to_string());
            return Err(BindError::Identity { found });
        };
        let failed = |source| BindError::Endpoint { bind: config.bind, source };
        // Where any gateway may take over, a session goes on with what another one knew of this vehicle.
        let profile = Profile { resume: config.via == Via::Routers, ..Profile::vehicle() };
        let client = drover_quic::client_config(&env, identity, trust, ALPN, &profile).map_err(failed)?;
        let (newest, told) = (Newest::default(), Told::default());
        let (shares_endpoint, first_send, routers) = (true, None, None);
        Ok(Self {
            env,
            config,
            endpoint,
            routers,
            client,
            gps,
            can: None,
            newest,
            told,
            shares_endpoint,
            first_send,
        })
    }

    /// Reads the vehicle's bus, too: fixes carry the readings that had arrived when they were made, however late
    /// the tracker comes to them.
    #[must_use]
    pub fn with_can(self, can: CanInput) -> Self {
        Self { can: Some(can), ..self }
    }

    /// Sends live fixes at `first`, and then every interval; without it, at a random place of the interval.
    #[must_use]
    pub fn with_first_send(self, first: Instant) -> Self {
        Self { first_send: Some(first), ..self }
    }

    /// Where its newest fix can be seen while it runs.
    pub fn newest(&self) -> Newest {
        self.newest.clone()
    }

    /// Where what it was told to do can be seen while it runs.
    pub fn told(&self) -> Told {
        self.told.clone()
    }

    /// Records and sends until `cancel`, or until the input has ended and all is settled where the config says so. Then
    /// syncs the spool and closes the session.
    ///
    /// # Errors
    /// The spool can not be opened.
    pub async fn run(self, cancel: CancellationToken) -> Result<Summary, RunError> {
        let mut driver = Driver::start(self).map_err(RunError::Spool)?;
        driver.run(&cancel).await;
        Ok(driver.stop().await)
    }
}
