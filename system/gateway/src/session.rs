//! One vehicle's connection: who it is, and its streams.

use std::sync::Arc;
use std::time::Duration;

use drover_env::{Chain, Env, Value, Watcher};
use drover_model::{NodeKind, TenantId, VehicleId};
use drover_quic::{Principal, Serial};
use drover_wire::geostream::close;
use quinn::{Connection, Incoming, VarInt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::downlink::Downlinks;
use crate::live::Live;
use crate::persister::Persister;
use crate::revoked::Revoked;
use crate::settled::Bucket;
use crate::{Config, legacy, stream};

/// A handshake may take this long: in a crowded cell some take half a minute. Without it a vehicle that is heard and not
/// reached holds a session for the gateway's own idle timeout, which is for tunnels.
const HANDSHAKE_MAX: Duration = Duration::from_secs(60);

/// What a vehicle is told whose certificate is believed no longer.
const REVOKED: &[u8] = b"the certificate was revoked";

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) env: Env,
    pub(crate) config: Config,
    pub(crate) persister: Arc<Persister>,
    pub(crate) live: Live,
    pub(crate) downlinks: Downlinks,
    pub(crate) revoked: Revoked,
}

/// What the streams of one session share.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connection: Connection,
    pub(crate) tenant: TenantId,
    pub(crate) vehicle: VehicleId,
    /// Set when the gateway drains: streams take nothing new, finish what is on its way, and end.
    pub(crate) drain: CancellationToken,
}

/// Takes one connection. Its session is a task of its own, counted by `sessions`: this one is as large as a handshake.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    incoming: Incoming,
    sessions: TaskTracker,
    drain: CancellationToken,
) {
    let peer = incoming.remote_address();
    let error = match timeout(HANDSHAKE_MAX, incoming.into_future()).await {
        Ok(Ok(connection)) => {
            let session = admitted(shared.clone(), connection, drain);
            drop(shared.env.spawn("gateway.session", sessions.track_future(session)));
            return;
        }
        Ok(Err(error)) => Chain(&error).to_string(),
        Err(_) => "not done in time".to_owned(),
    };
    info!(%peer, error, "handshake failed");
    shared.env.event("gateway.handshake_failed", &[]);
}

/// Serves a vehicle whose certificate is one of ours.
async fn admitted(shared: Arc<Shared>, connection: Connection, drain: CancellationToken) {
    let peer = connection.remote_address();
    let (tenant, vehicle) = match drover_quic::principal(&connection) {
        Ok(Principal::Vehicle { tenant, vehicle }) => (tenant, vehicle),
        // It has asked for a session, and could have one.
        Ok(Principal::Service(agent)) if agent.kind == NodeKind::Health => {
            shared.env.event("gateway.probed", &[]);
            return connection.close(close::PROBED.into(), b"sessions are taken");
        }
        other => {
            let found = other.map_or_else(|error| error.to_string(), |who| who.to_string());
            warn!(%peer, %found, "peer is no vehicle");
            shared.env.event("gateway.identity_refused", &[]);
            connection.close(
                close::IDENTITY.into(),
                b"the certificate names no vehicle: it must be drover://<tenant>/vehicle/<id>",
            );
            return;
        }
    };
    // Before the look, so that no change falls between both.
    let revocations = shared.revoked.watch();
    let serial = drover_quic::serial(&connection);
    if serial.as_ref().is_none_or(|serial| shared.revoked.contains(serial)) {
        warn!(vehicle.id = %vehicle, %peer, "vehicle refused: its certificate was revoked");
        shared.env.event("gateway.revoked", &[("vehicle", Value::Vehicle(vehicle))]);
        connection.close(close::REVOKED.into(), REVOKED);
        return;
    }
    info!(vehicle.id = %vehicle, %peer, "vehicle connected");
    shared.env.event("gateway.connected", &[("vehicle", Value::Vehicle(vehicle))]);
    let session = Session { shared, connection, tenant, vehicle, drain };
    session.run(serial, revocations).await;
}

impl Session {
    async fn run(self, serial: Option<Serial>, mut revocations: Watcher<u64>) {
        let streams = TaskTracker::new();
        let config = &self.shared.config;
        let hello_due = Instant::now() + config.silence_max;
        let mut reports = Bucket::new(Instant::now(), config.rate_fixes_per_s, config.rate_burst_fixes);
        let mut spoken = false;
        loop {
            let reports_at = reports.empty_enough_at();
            let limited = reports_at > Instant::now();
            tokio::select! {
                biased;
                () = sleep_until(hello_due), if !spoken => {
                    self.refuse(close::SILENT, "no stream was opened in time");
                    break;
                }
                () = sleep_until(reports_at), if limited => {}
                () = self.drain.cancelled() => break,
                _ = revocations.changed() => {
                    if serial.as_ref().is_some_and(|serial| self.shared.revoked.contains(serial)) {
                        warn!(vehicle.id = %self.vehicle, "session ended: its certificate was revoked");
                        self.shared.env.event("gateway.revoked", &[("vehicle", Value::Vehicle(self.vehicle))]);
                        self.connection.close(close::REVOKED.into(), REVOKED);
                        break;
                    }
                }
                stream = self.connection.accept_bi() => match stream {
                    Ok((send, recv)) => {
                        spoken = true;
                        let session = self.clone();
                        let serve = async move { stream::serve(&session, send, recv).await };
                        drop(self.shared.env.spawn("gateway.stream", streams.track_future(serve)));
                    }
                    Err(_) => break,
                },
                // A bare report has a stream of its own: over the rate, QUIC's limit of streams holds the vehicle back.
                stream = self.connection.accept_uni(), if !limited => match stream {
                    Ok(recv) => {
                        spoken = true;
                        reports.add(Instant::now(), 1);
                        let session = self.clone();
                        let serve = async move { legacy::serve(&session, recv).await };
                        drop(self.shared.env.spawn("gateway.legacy", streams.track_future(serve)));
                    }
                    Err(_) => break,
                },
            }
        }
        streams.close();
        streams.wait().await;
        if self.drain.is_cancelled() {
            self.connection.close(close::DRAINING.into(), b"the gateway is about to stop");
        }
        let reason = self.connection.close_reason().map(|reason| reason.to_string()).unwrap_or_default();
        debug!(vehicle.id = %self.vehicle, %reason, "vehicle gone");
        self.shared.env.event("gateway.disconnected", &[("vehicle", Value::Vehicle(self.vehicle))]);
    }

    /// Ends the session because of what the peer did, or did not do.
    pub(crate) fn refuse(&self, code: u32, reason: &str) {
        if self.connection.close_reason().is_none() {
            warn!(vehicle.id = %self.vehicle, reason, "session refused");
            let name = if code == close::SILENT { "silent" } else { "protocol" };
            self.shared.env.event("gateway.session_refused", &[("reason", Value::Str(name))]);
            self.connection.close(VarInt::from_u32(code), reason.as_bytes());
        }
    }
}
