//! The hub as a service: its clients' port, its endpoint on the bus, and the tick.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use drover_api::{Api, Config as ApiConfig};
use drover_auth::{Tickets, Verifier};
use drover_bus::discovery::{About, Discovery, Member, Purpose, callable};
use drover_bus::{Agent, NodeAddr, Policy, Pool, PoolConfig};
use drover_env::{Env, Listener};
use drover_model::NodeKind;
use drover_quic::{Identity, Principal, Profile, QuicError, ServerSetup, Trust};
use drover_wire::mcp;
use quinn::Endpoint;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ask::{self, Asking};
use crate::config::{Config, Peer};
use crate::core::{Core, Counts, Planted};
use crate::door::Door;
use crate::herald::Herald;
use crate::live::Live;
use crate::server::{NoPages, Pages, Server};
use crate::site::{LiveFleet, Site, SiteConfig};
use crate::{directory, feed, intake, tools};

/// How often the core looks after what is due where each fix is told at once.
const TICK_WITHOUT: Duration = Duration::from_millis(100);

/// Why a hub can not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A setting that can not be.
    #[error("config: {0}")]
    Config(String),
    /// Its endpoint on the bus.
    #[error("open the bus endpoint")]
    Endpoint(#[source] QuicError),
    /// Its clients' port.
    #[error("listen for clients on {addr}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its certificate is not a hub's.
    #[error("the certificate names {found}, not a hub (drover://svc/hub/<index>)")]
    Identity {
        /// Who it names.
        found: String,
    },
}

/// A hub, bound and ready to run.
pub struct Hub {
    live: Arc<Live>,
    pages: Arc<dyn Pages>,
    listener: Box<dyn Listener>,
    endpoint: Endpoint,
    member: Option<Member>,
    pool: Pool,
    herald: Herald,
    life: u64,
}

/// What a running hub tells of itself. Clones ask the same hub.
#[derive(Clone)]
pub struct Gauge(Arc<Live>);

impl Gauge {
    /// How many there are now.
    pub fn counts(&self) -> Counts {
        self.0.counts()
    }
}

impl Hub {
    /// Opens the hub's ports, and joins its cluster if the config names health agents. `door` knows who may come in.
    ///
    /// # Errors
    /// An address is taken, the certificate is not a hub's, or the config is wrong.
    pub async fn bind(
        env: Env,
        config: Config,
        identity: &Identity,
        trust: &Trust,
        door: Arc<dyn Door>,
    ) -> Result<Self, BindError> {
        match identity.principal() {
            Some(Principal::Service(node)) if node.kind == NodeKind::Hub => {}
            other => {
                let found = other.map_or_else(|| "nobody".to_owned(), |who| who.to_string());
                return Err(BindError::Identity { found });
            }
        }
        config.check().map_err(BindError::Config)?;
        let config = config.buggified(&env);
        let setup = ServerSetup {
            identity,
            trust,
            alpn: mcp::ALPN,
            profile: &Profile::service(),
            reset_key: identity.derive_key("reset"),
        };
        let endpoint = drover_quic::server(&env, config.bus_listen, &setup).map_err(BindError::Endpoint)?;
        let failed = |addr| move |source| BindError::Listen { addr, source };
        let listener = env.listen(config.listen).await.map_err(failed(config.listen))?;
        let clients = listener.local_addr().map_err(failed(config.listen))?;
        let bus = endpoint
            .local_addr()
            .map_err(|source| BindError::Endpoint(QuicError::Socket { addr: config.bus_listen, source }))?;
        let advertised = |addr| config.discovery.advertised(addr);
        let about = About {
            addresses: [
                (Purpose::Bus, advertised(bus)),
                (Purpose::Public, advertised(clients)),
                (Purpose::Probe, advertised(clients)),
            ]
            .into(),
            tools: ["HubService".to_owned()].into(),
            capacity: u32::try_from(config.sessions_max).unwrap_or(u32::MAX),
        };
        let member = Member::join_from(&env, &config.discovery, identity, trust, about)
            .map_err(BindError::Endpoint)?;
        let bus = drover_quic::client(&env, config.bus_bind).map_err(BindError::Endpoint)?;
        let client = drover_quic::client_config(&env, identity, trust, mcp::ALPN, &Profile::service());
        let pool = Pool::new(env.clone(), client.map_err(BindError::Endpoint)?, bus, PoolConfig::default());
        pool.set_nodes(
            config
                .persistence
                .iter()
                .chain(&config.agents)
                .map(|peer| NodeAddr { name: peer.node, addr: peer.addr })
                .collect(),
        );
        let planted = Planted {
            older_wins: env.planted("older_fix_wins"),
            slow_blocks: env.planted("slow_client_blocks"),
        };
        let core =
            Core::new(env.node(), config.clone(), door, env.rng("hub sessions"), planted, Instant::now());
        // A clock before 1970 is one that was never set.
        let life = u64::try_from(env.wall().as_micros()).unwrap_or_default().max(1);
        let live = Arc::new(Live::new(env, config, core));
        let others = member.as_ref().map(|member| (member.discovery(), pool.clone()));
        let herald = Herald::new(live.clone(), others);
        Ok(Self { live, pages: Arc::new(NoPages), listener, endpoint, member, pool, herald, life })
    }

    /// Answers what is no session with the pages and the HTTP API, to whoever `verifier` believes. `tickets` are what share links give
    /// for the live map; the door must believe them.
    #[must_use]
    pub fn with_site(
        self,
        verifier: Arc<Verifier>,
        tickets: Option<Arc<Tickets>>,
        api: ApiConfig,
        site: SiteConfig,
    ) -> Self {
        let fleet = Arc::new(LiveFleet(self.live.clone()));
        let api = Api::new(self.live.env.clone(), self.pool.clone(), verifier, tickets, fleet, api);
        self.with_pages(Arc::new(Site::new(api, site)))
    }

    /// Answers what is no session with `pages`.
    #[must_use]
    pub fn with_pages(mut self, pages: Arc<dyn Pages>) -> Self {
        self.pages = pages;
        self
    }

    /// Where clients connect.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where gateways publish and services call.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn bus_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// What it hears of others, if it has joined a cluster.
    pub fn discovery(&self) -> Option<Discovery> {
        self.member.as_ref().map(Member::discovery)
    }

    /// Tells clients something, wherever they are.
    pub fn herald(&self) -> Herald {
        self.herald.clone()
    }

    /// What it tells of itself while it runs.
    pub fn gauge(&self) -> Gauge {
        Gauge(self.live.clone())
    }

    /// Serves until `cancel`; then takes nobody new, says goodbye to its clients, and ends.
    pub async fn run(self, cancel: CancellationToken) {
        let (live, tasks) = (self.live, TaskTracker::new());
        let env = live.env.clone();
        let server = Server { live: live.clone(), pages: self.pages, tasks: tasks.clone() };
        let (accepting, stop) = (CancellationToken::new(), CancellationToken::new());
        let taking = env.spawn("hub.accept", server.run(self.listener, accepting.clone()));
        let ticking = env.spawn("hub.tick", tick(live.clone()));
        let discovery = self.member.as_ref().map(Member::discovery);
        let listed = live.config.agents.iter().map(|peer| peer.node).collect();
        let asking = Asking::new(env.clone(), self.pool.clone(), discovery, listed);
        let agent = agent(&live, &self.herald, &asking, self.life);
        let following = self.member.as_ref().map(|member| {
            let following = follow(live.clone(), member.discovery(), self.pool.clone());
            env.spawn("hub.news", following)
        });
        let feeding = env.spawn("hub.feed", feed::follow(live.clone(), self.pool.clone()));
        let drain = live.config.drain;
        let ends = async {
            match &self.member {
                Some(member) => {
                    let most = live.config.sessions_max.max(1) as u64;
                    member.serve(&cancel, || (live.counts().sockets * 100 / most).min(100) as u8).await;
                }
                None => cancel.cancelled().await,
            }
            accepting.cancel();
            live.decide(|core| core.drain(Instant::now()));
            tasks.close();
            let _ = timeout(drain, tasks.wait()).await;
            stop.cancel();
        };
        tokio::join!(agent.serve(env.clone(), self.endpoint, stop.clone()), ends);
        ticking.abort();
        feeding.abort();
        if let Some(following) = following {
            following.abort();
        }
        taking.abort();
        env.event("hub.stopped", &[]);
    }
}

/// Lets the core tell its clients what is new, for ever.
async fn tick(live: Arc<Live>) {
    let period = if live.config.tick.is_zero() { TICK_WITHOUT } else { live.config.tick };
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        live.tick();
    }
}

/// Keeps the pool to the persistence agents, the agents that answer questions and the other hubs that the news names, for ever. The list of the config holds until there
/// is some.
async fn follow(live: Arc<Live>, discovery: Discovery, pool: Pool) {
    let listed = |peers: &[Peer]| -> Vec<NodeAddr> {
        peers.iter().map(|peer| NodeAddr { name: peer.node, addr: peer.addr }).collect()
    };
    let (persistence, agents) = (listed(&live.config.persistence), listed(&live.config.agents));
    let mut news = discovery.watch();
    loop {
        let snapshot = discovery.snapshot();
        let mut nodes = callable(&snapshot, NodeKind::Persistence, &persistence);
        nodes.extend(callable(&snapshot, NodeKind::Agent, &agents));
        let hubs = callable(&snapshot, NodeKind::Hub, &[]).into_iter();
        nodes.extend(hubs.filter(|(hub, _)| hub.name.to_string() != live.env.node()));
        pool.set_standings(nodes);
        news.changed().await;
    }
}

fn agent(live: &Arc<Live>, herald: &Herald, asking: &Asking, life: u64) -> Agent {
    // Gateways publish and ask what is wanted; hubs, and what stands on them, have clients told something.
    let policy = Policy::deny_all()
        .allow(NodeKind::Gateway, "vehicle:")
        .allow(NodeKind::Gateway, "HubService.watchInterest")
        .allow(NodeKind::Hub, "HubService.");
    let (taking, asked) = (live.clone(), live.clone());
    let agent = Agent::builder("HubService")
        .policy(policy)
        .drain(live.config.drain)
        .subscribe("vehicle:", move |message| {
            intake::take(&taking, &message);
            std::future::ready(())
        })
        .tool::<drover_bus::hub::WatchInterest, _, _>(move |_, query| {
            directory::answer(asked.clone(), life, query)
        });
    ask::offered(tools::offered(agent, herald), asking).build()
}
