//! A few connections to whichever server is the primary.
//!
//! A connection goes back only when its user says that it is in order; any other end closes it, so that half a transaction is
//! never anybody else's. Every new one is asked whether its server takes writes and has our schema.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::config::Config;
use super::error::describe_any;
use super::schema::{self, Server, ServerError};

/// Connections, used and idle. Clones share them.
#[derive(Clone)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    endpoints: Vec<(String, PgConnectOptions)>,
    connect_timeout: Duration,
    /// Where the last primary was: it is asked first.
    primary: AtomicUsize,
    idle: Mutex<Vec<(PgConnection, bool)>>,
    room: Arc<Semaphore>,
}

/// One connection in use.
pub(super) struct Held {
    pub(super) connection: PgConnection,
    /// It has its staging table.
    pub(super) has_staging: bool,
    shared: Arc<Shared>,
    /// Given back with the connection.
    _room: OwnedSemaphorePermit,
}

impl Held {
    /// The connection is in order, outside of any transaction.
    pub(super) fn give_back(self) {
        let Self { connection, has_staging, shared, _room } = self;
        shared.idle.lock().unwrap_or_else(PoisonError::into_inner).push((connection, has_staging));
    }
}

impl Pool {
    pub(super) fn new(config: &Config) -> Result<Self, ServerError> {
        let shared = Shared {
            endpoints: config.options().map_err(ServerError::Config)?,
            connect_timeout: config.connect_timeout,
            primary: AtomicUsize::new(0),
            idle: Mutex::new(Vec::new()),
            room: Arc::new(Semaphore::new(config.connections_max.min(Semaphore::MAX_PERMITS))),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// An idle connection, or a new one. Waits without bound for one of a full pool: the caller has a deadline.
    pub(super) async fn take(&self) -> Result<Held, ServerError> {
        let shared = self.shared.clone();
        let room = shared.room.clone().acquire_owned().await;
        let room = room.map_err(|_| ServerError::Away("the pool is closed".to_owned()))?;
        let idle = shared.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (connection, has_staging) = match idle {
            Some(idle) => idle,
            None => (shared.connect().await?, false),
        };
        Ok(Held { connection, has_staging, shared, _room: room })
    }

    /// Closes what is idle: when one connection has died, the others are most likely dead too.
    pub(super) fn forget_idle(&self) {
        self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Shared {
    /// A connection to the primary.
    async fn connect(&self) -> Result<PgConnection, ServerError> {
        let count = self.endpoints.len();
        let first = self.primary.load(Ordering::Relaxed);
        let mut found = Vec::new();
        for place in (0..count).map(|step| (first + step) % count) {
            let (endpoint, options) = &self.endpoints[place];
            match connect(endpoint, options, self.connect_timeout).await {
                Ok((mut connection, server)) => {
                    schema::check_schema(&mut connection, &server, endpoint).await?;
                    self.primary.store(place, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) => found.push(error),
            }
        }
        Err(summary(found))
    }
}

/// A connection to the first of `endpoints` that takes writes, and which one that is.
pub(super) async fn connect_to_primary(
    endpoints: &[(String, PgConnectOptions)],
    connect_timeout: Duration,
) -> Result<(String, PgConnection), ServerError> {
    let mut found = Vec::new();
    for (endpoint, options) in endpoints {
        match connect(endpoint, options, connect_timeout).await {
            Ok((connection, _)) => return Ok((endpoint.clone(), connection)),
            Err(error) => found.push(error),
        }
    }
    Err(summary(found))
}

/// A connection to a server that takes writes.
async fn connect(
    endpoint: &str,
    options: &PgConnectOptions,
    connect_timeout: Duration,
) -> Result<(PgConnection, Server), ServerError> {
    let away = |what: &str| ServerError::Away(format!("{endpoint}: {what}"));
    let attempt = async {
        let connected = options.connect().await;
        let mut connection = connected.map_err(|error| schema::connect_error(endpoint, &error))?;
        send_at_once(options);
        let server = schema::ask(&mut connection).await.map_err(|error| away(&describe_any(&error)))?;
        Ok((connection, server))
    };
    let (connection, server) =
        timeout(connect_timeout, attempt).await.unwrap_or_else(|_| Err(away("no answer in time")))?;
    server.check(endpoint)?;
    match server.takes_no_writes() {
        Some(why) => Err(away(why)),
        None => Ok((connection, server)),
    }
}

/// Without it every batch waits for 40 ms, and is as good otherwise.
#[cfg(target_os = "linux")]
fn send_at_once(options: &PgConnectOptions) {
    if options.get_socket().is_none()
        && let Err(error) = super::nodelay::set_for_port(options.get_port())
    {
        tracing::warn!(%error, "small messages to the database wait for its acknowledgements");
    }
}

#[cfg(not(target_os = "linux"))]
const fn send_at_once(_: &PgConnectOptions) {}

/// What needs somebody's help comes first; without any, all that was found.
fn summary(found: Vec<ServerError>) -> ServerError {
    if let Some(lasting) = found.iter().find(|error| !error.is_retryable()) {
        return lasting.clone();
    }
    let each = found.into_iter().map(|error| match error {
        ServerError::Away(detail) => detail,
        other => other.to_string(),
    });
    ServerError::Away(each.collect::<Vec<_>>().join("; "))
}
