//! The gateway as a service: two endpoints, one accept loop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use drover_bus::discovery::{Discovery, Member};
use drover_bus::{NodeAddr, Pool, PoolConfig, revocations};
use drover_env::{Env, HighWater, Task, Value, Watched};
use drover_model::NodeKind;
use drover_quic::{
    Believed, ClusterKeys, Identity, Membership, Principal, Profile, QuicError, ServerId, ServerSetup, Trust,
};
use drover_wire::{geostream, mcp};
use quinn::Endpoint;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::Config;
use crate::config::Peer;
use crate::downlink::Downlinks;
use crate::live::Live;
use crate::news;
use crate::persister::Persister;
use crate::revoked::Revoked;
use crate::session::{self, Shared};

/// How long goodbyes may take to leave. Three probe time-outs of a phone are less; quinn-proto 0.11 keeps a connection whose
/// first packet closes it until its idle timeout, which nobody should wait for.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// Why a gateway can not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// One of its endpoints.
    #[error("open the {what} endpoint")]
    Endpoint {
        /// Which one.
        what: &'static str,
        /// Why.
        #[source]
        source: QuicError,
    },
    /// Its certificate is not a gateway's.
    #[error("the certificate names {found}, not a gateway (drover://svc/gateway/<index>)")]
    Identity {
        /// Who it names.
        found: String,
    },
    /// A setting that can not be.
    #[error("config: {0}")]
    Config(String),
}

/// A gateway, bound and ready to run.
pub struct Gateway {
    env: Env,
    config: Config,
    vehicles: Endpoint,
    bus: Endpoint,
    pool: Pool,
    revoked: Revoked,
    member: Option<Arc<Member>>,
    cordon: Cordon,
    routers: Believed,
}

/// Whether a gateway is closed to new vehicles while it keeps those that it has: what a rolling restart says of those that are yet
/// to come, so that no vehicle is moved to one of them and moved again.
#[derive(Debug, Clone)]
pub struct Cordon(Watched<bool>);

impl Default for Cordon {
    fn default() -> Self {
        Self(Watched::new(false))
    }
}

impl Cordon {
    /// Closes it, or opens it again.
    pub fn set(&self, closed: bool) {
        self.0.set(closed);
    }

    /// Whether it is closed.
    pub fn is_set(&self) -> bool {
        self.0.get()
    }
}

impl Gateway {
    /// Opens the gateway's endpoints.
    ///
    /// # Errors
    /// An address is taken, the certificate is not a gateway's, or the config is wrong.
    pub fn bind(env: Env, config: Config, identity: &Identity, trust: &Trust) -> Result<Self, BindError> {
        Self::bind_with(env, config, identity, trust, None)
    }

    /// As [`Self::bind`], in a cluster with routers: its connection ids name it by its index, its resets and tickets are as good
    /// as any other gateway's, and what comes from a router shows its vehicle's address.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn bind_with(
        env: Env,
        config: Config,
        identity: &Identity,
        trust: &Trust,
        cluster: Option<ClusterKeys>,
    ) -> Result<Self, BindError> {
        let node = match identity.principal() {
            Some(Principal::Service(node)) if node.kind == NodeKind::Gateway => node,
            other => {
                let found = other.map_or_else(|| "nobody".to_owned(), |who| who.to_string());
                return Err(BindError::Identity { found });
            }
        };
        config.check().map_err(BindError::Config)?;
        if cluster.is_none() && !config.routers.is_empty() {
            return Err(BindError::Config("routers need the secret of [cluster]".to_owned()));
        }
        let config = config.buggified(&env);
        let failed = |what| move |source| BindError::Endpoint { what, source };
        let setup = ServerSetup {
            identity,
            trust,
            alpn: geostream::ALPN,
            profile: &Profile::vehicle(),
            reset_key: match env.planted("random_reset_key") {
                true => env.seeds().child("random reset key").bytes(),
                false => identity.derive_key("reset"),
            },
        };
        let routers = Believed::new(config.routers.iter().copied().collect());
        let vehicles = match cluster {
            None => drover_quic::server(&env, config.listen, &setup),
            Some(keys) => {
                let membership = Membership {
                    keys,
                    server: ServerId::new(node.index),
                    routers: routers.clone(),
                    clients_max: config.sessions_max,
                };
                drover_quic::server_behind_routers(&env, config.listen, &setup, &membership)
            }
        }
        .map_err(failed("vehicle"))?;
        let bus = drover_quic::client(&env, config.bus_bind).map_err(failed("bus"))?;
        let client = drover_quic::client_config(&env, identity, trust, mcp::ALPN, &Profile::service())
            .map_err(failed("bus"))?;
        let pool = Pool::new(env.clone(), client.clone(), bus.clone(), PoolConfig::default());
        let member = news::join(&env, &config, &vehicles, (&bus, client))
            .map_err(|source| failed("vehicle")(QuicError::Socket { addr: config.listen, source }))?;
        let (revoked, cordon) = (Revoked::new(), Cordon::default());
        Ok(Self { env, config, vehicles, bus, pool, revoked, member, cordon, routers })
    }

    /// Where vehicles connect.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.vehicles.local_addr()
    }

    /// What it hears of others, if it has joined a cluster.
    pub fn discovery(&self) -> Option<Discovery> {
        self.member.as_ref().map(|member| member.discovery())
    }

    /// Whoever holds `cordon` closes it to new vehicles, and opens it again. Without health agents nobody hears of it.
    #[must_use]
    pub fn with_cordon(mut self, cordon: Cordon) -> Self {
        self.cordon = cordon;
        self
    }

    /// The list of certificates that are believed no longer, to be added to.
    pub fn revoked(&self) -> Revoked {
        self.revoked.clone()
    }

    /// Serves until `cancel`; then takes nothing new, waits for the batches on their way, says goodbye, and ends.
    pub async fn run(self, cancel: CancellationToken) {
        let ignored = self.env.planted("drain_ignored");
        let cancel = if ignored { CancellationToken::new() } else { cancel };
        let (shared, tasks) = self.start();
        let sessions = TaskTracker::new();
        let cancel = self.stop_after(cancel, &sessions);
        let fill = HighWater::new("gateway.sessions", self.config.sessions_max as u64);
        loop {
            let incoming = tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                incoming = self.vehicles.accept() => incoming,
            };
            let Some(incoming) = incoming else { break };
            if sessions.len() >= self.config.sessions_max {
                warn!(sessions = sessions.len(), "vehicle turned away: too many sessions");
                self.env.event("gateway.overloaded", &[]);
                incoming.refuse();
                continue;
            }
            if sessions.len() > self.config.sessions_max / 2 && !incoming.remote_address_validated() {
                // Room is getting scarce: first it shows that it is where it says (RFC 9000 section 8.1.2).
                self.env.event("gateway.address_asked", &[]);
                if let Err(error) = incoming.retry() {
                    error.into_incoming().refuse();
                }
                continue;
            }
            let serve = session::serve(shared.clone(), incoming, sessions.clone(), cancel.clone());
            drop(self.env.spawn("gateway.handshake", sessions.track_future(serve)));
            fill.see(&self.env, sessions.len() as u64);
        }
        sessions.close();
        if timeout(self.config.drain, sessions.wait()).await.is_err() {
            warn!(sessions = sessions.len(), "drain ended before every batch was acknowledged");
        }
        tasks.iter().for_each(Task::abort);
        shared.live.stop();
        shared.downlinks.stop();
        self.vehicles.close(geostream::close::DRAINING.into(), b"the gateway has stopped");
        self.bus.close(0u32.into(), b"the gateway has stopped");
        // Lets the goodbyes out; whoever does not answer learns by a reset.
        let _ = timeout(GOODBYE_MAX.min(self.config.drain), self.vehicles.wait_idle()).await;
        self.env.event("gateway.stopped", &[("drained", Value::U64(u64::from(sessions.is_empty())))]);
    }

    /// The token that ends the service: `cancel` itself, or one that comes after it once others know that nothing new is taken.
    fn stop_after(&self, cancel: CancellationToken, sessions: &TaskTracker) -> CancellationToken {
        let Some(member) = self.member.clone() else { return cancel };
        let (stop, sessions, most) = (CancellationToken::new(), sessions.clone(), self.config.sessions_max);
        let after = stop.clone();
        drop(self.env.spawn("gateway.member", async move {
            member.serve(&cancel, || (sessions.len() * 100 / most.max(1)).min(100) as u8).await;
            after.cancel();
        }));
        stop
    }

    fn start(&self) -> (Arc<Shared>, Vec<Task<()>>) {
        let nodes = self.config.persistence.iter().chain(&self.config.live);
        self.pool.set_nodes(nodes.map(|Peer { node, addr }| NodeAddr { name: *node, addr: *addr }).collect());
        let mut tasks = Vec::new();
        let live = Live::new(self.env.clone(), self.pool.clone(), self.config.delivery);
        live.set_hubs(self.config.live.iter().map(|peer| peer.node).collect());
        let downlinks = Downlinks::new(self.env.clone(), self.pool.clone());
        downlinks.set_agents(&self.config.persistence.iter().map(|peer| peer.node).collect::<Vec<_>>());
        tasks.push(self.env.spawn("gateway.downlink", downlinks.clone().ask()));
        tasks.push(self.env.spawn("gateway.reports", downlinks.clone().tell()));
        if let Some(member) = &self.member {
            let (pool, routers, config) = (self.pool.clone(), self.routers.clone(), self.config.clone());
            let told = (live.clone(), downlinks.clone());
            let following = news::follow(member.discovery(), pool, told, routers, config);
            tasks.push(self.env.spawn("gateway.news", following));
            tasks.push(
                self.env.spawn("gateway.cordon", news::tell_cordon(member.clone(), self.cordon.0.watch())),
            );
        }
        let persister = Persister::new(self.env.clone(), self.pool.clone(), self.config.clone());
        let probing = persister.clone();
        tasks.push(self.env.spawn("gateway.probe", async move { probing.probe().await }));
        if !self.config.revocation_interval.is_zero() {
            let (env, pool, revoked) = (self.env.clone(), self.pool.clone(), self.revoked.clone());
            let clock = env.clone();
            let (interval, stale) = (self.config.revocation_interval, "gateway.revocations_stale");
            let asking = revocations::follow(env, pool, interval, stale, move |list| {
                revoked.handle(clock.wall(), list);
            });
            tasks.push(self.env.spawn("gateway.revocations", asking));
        }
        let (env, config, revoked) = (self.env.clone(), self.config.clone(), self.revoked.clone());
        (Arc::new(Shared { env, config, persister, live, downlinks, revoked }), tasks)
    }
}
