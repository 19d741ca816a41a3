//! The hub as a service: its clients' port, its endpoint on the bus, and the tick.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use drover_api::{Api, Config as ApiConfig};
use drover_auth::{RevokedTokens, Tickets, Verifier};
use drover_bus::ask::Ask;
use drover_bus::discovery::{About, Discovery, Member, Purpose, callable};
use drover_bus::hub::{PushInsight, PushRoute, SendMessage};
use drover_bus::{Agent, NodeAddr, Policy, Pool, PoolConfig, Tool};
use drover_env::{Env, Listener};
use drover_model::{NodeKind, NodeName};
use drover_quic::{Believed, ClusterKeys, Identity, Principal, Profile, QuicError, Shown, Trust};
use drover_wire::mcp;
use quinn::Endpoint;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::arrival::Trusted;
use crate::ask::{self, Asking};
use crate::carrier::GOODBYE_MAX;
use crate::config::{Config, Peer};
use crate::core::{Core, Counts, Farewell, Planted};
use crate::door::Door;
use crate::herald::Herald;
use crate::home::Homes;
use crate::live::Live;
use crate::reach::Reach;
use crate::server::{NoPages, Pages, Server};
use crate::site::{LiveFleet, Site, SiteConfig};
use crate::{directory, feed, intake, quic, recall, tokens, tools};

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
    /// Its port for live maps over QUIC.
    #[error("open the live maps' endpoint")]
    Live(#[source] QuicError),
    /// TLS for browsers.
    #[error("set up TLS for browsers")]
    Tls(#[source] QuicError),
    /// Its certificate is not a hub's.
    #[error("the certificate names {found}, not a hub (drover://svc/hub/<index>)")]
    Identity {
        /// Who it names.
        found: String,
    },
}

/// A hub, bound and ready to run.
pub struct Hub {
    node: NodeName,
    live: Arc<Live>,
    pages: Arc<dyn Pages>,
    /// Whose notes of who did what are to be handed to agents.
    noting: Option<Api>,
    revoked: Option<RevokedTokens>,
    listener: Box<dyn Listener>,
    /// Live maps over QUIC, and whose word on clients' addresses is taken there.
    quic: Option<(Endpoint, Believed)>,
    reach: Arc<Reach>,
    tls: Option<TlsAcceptor>,
    trusted: Trusted,
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
        Self::bind_with(env, config, identity, trust, None, door).await
    }

    /// As [`Self::bind`], in a cluster with routers: the connection ids of live maps over QUIC name the hub, and what comes from a router
    /// shows its client's address.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub async fn bind_with(
        env: Env,
        config: Config,
        identity: &Identity,
        trust: &Trust,
        cluster: Option<ClusterKeys>,
        door: Arc<dyn Door>,
    ) -> Result<Self, BindError> {
        let node = match identity.principal() {
            Some(Principal::Service(node)) if node.kind == NodeKind::Hub => node,
            other => {
                let found = other.map_or_else(|| "nobody".to_owned(), |who| who.to_string());
                return Err(BindError::Identity { found });
            }
        };
        config.check().map_err(BindError::Config)?;
        let config = config.buggified(&env);
        let endpoint =
            drover_bus::listen(&env, config.bus_listen, identity, trust).map_err(BindError::Endpoint)?;
        let failed = |addr| move |source| BindError::Listen { addr, source };
        let listener = env.listen(config.listen).await.map_err(failed(config.listen))?;
        let clients = listener.local_addr().map_err(failed(config.listen))?;
        let bus = endpoint
            .local_addr()
            .map_err(|source| BindError::Endpoint(QuicError::Socket { addr: config.bus_listen, source }))?;
        let shown = Shown::default();
        let quic = quic::open(&env, &config, node, identity, cluster, &shown).map_err(BindError::Live)?;
        let advertised = |addr| config.discovery.advertised(addr);
        let mut addresses = BTreeMap::from([
            (Purpose::Bus, advertised(bus)),
            (Purpose::Public, advertised(clients)),
            (Purpose::Probe, advertised(clients)),
        ]);
        let mut port = None;
        if let (Some((endpoint, _)), Some(quic)) = (&quic, &config.quic) {
            let addr = endpoint.local_addr();
            let addr =
                addr.map_err(|source| BindError::Live(QuicError::Socket { addr: quic.listen, source }))?;
            addresses.insert(Purpose::Live, advertised(addr));
            port = Some(quic.public_port.unwrap_or(addr.port()));
        }
        let about = About {
            addresses,
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
            wide_links: env.planted("share_link_too_wide"),
        };
        let core =
            Core::new(env.node(), config.clone(), door, env.rng("hub sessions"), planted, Instant::now());
        // A clock before 1970 is one that was never set.
        let life = u64::try_from(env.wall().as_micros()).unwrap_or_default().max(1);
        let live = Arc::new(Live::new(env, config, core));
        let others = member.as_ref().map(|member| (member.discovery(), pool.clone()));
        let herald = Herald::new(live.clone(), others);
        let (reach, trusted) = (Arc::new(Reach::new(shown, port)), Trusted::new(&live.config.proxy.from));
        let pages = Arc::new(NoPages);
        let (tls, noting, revoked) = (None, None, None);
        Ok(Self {
            node,
            live,
            pages,
            noting,
            revoked,
            listener,
            quic,
            reach,
            tls,
            trusted,
            endpoint,
            member,
            pool,
            herald,
            life,
        })
    }

    /// Ends TLS on the clients' port for TCP, with the certificate of [`Self::shown`]. Without it that port is plain, and browsers are
    /// told to take the certificate of QUIC by its hash.
    ///
    /// # Errors
    /// As the TLS library's.
    pub fn with_tls(mut self) -> Result<Self, BindError> {
        let tls = drover_quic::browser_tls(&self.live.env, &self.reach.shown).map_err(BindError::Tls)?;
        self.tls = Some(tls.into());
        self.reach.set_secure();
        Ok(self)
    }

    /// The certificate that browsers are shown: to be set before it runs, and whenever there is a newer one.
    pub fn shown(&self) -> Shown {
        self.reach.shown.clone()
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
        let (live, revoked) = (self.live.clone(), verifier.revoked());
        let homes = Homes::new(site.hub_url.clone(), self.discovery(), self.node);
        let fleet = Arc::new(LiveFleet { live, homes });
        let api = Api::new(self.live.env.clone(), self.pool.clone(), verifier, tickets, fleet, api);
        let (reach, noting) = (self.reach.clone(), api.clone());
        let mut hub = self.with_pages(Arc::new(Site::new(api, site, reach)));
        (hub.noting, hub.revoked) = (Some(noting), Some(revoked));
        hub
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

    /// Where live maps over QUIC connect, if the config has it.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn quic_addr(&self) -> std::io::Result<Option<SocketAddr>> {
        self.quic.as_ref().map(|(endpoint, _)| endpoint.local_addr()).transpose()
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
        let server = Server {
            live: live.clone(),
            pages: self.pages,
            tasks: tasks.clone(),
            trusted: self.trusted.clone(),
            places: Server::places(&live.config),
            tls: self.tls,
        };
        let (accepting, stop) = (CancellationToken::new(), CancellationToken::new());
        let quic = self.quic.as_ref().map(|(endpoint, _)| endpoint.clone());
        let taking_quic = quic.clone().map(|endpoint| {
            env.spawn("hub.accept_quic", server.clone().run_quic(endpoint, accepting.clone()))
        });
        let taking = env.spawn("hub.accept", server.run(self.listener, accepting.clone()));
        let ticking = env.spawn("hub.tick", tick(live.clone()));
        let discovery = self.member.as_ref().map(Member::discovery);
        let listed = live.config.agents.iter().map(|peer| peer.node).collect();
        let asking = Asking::new(env.clone(), self.pool.clone(), discovery, listed);
        let agent = agent(&live, (&self.herald, &self.pool), &asking, self.life);
        let following = self.member.as_ref().map(|member| {
            let routers = (self.trusted, self.quic.map(|(_, routers)| routers));
            let following = follow(live.clone(), member.discovery(), self.pool.clone(), routers);
            env.spawn("hub.news", following)
        });
        let feeding = env.spawn("hub.feed", feed::follow(live.clone(), self.pool.clone()));
        let interval = live.config.revocation_interval;
        let revoking = self.revoked.filter(|_| !interval.is_zero()).map(|revoked| {
            let following = tokens::follow(env.clone(), self.pool.clone(), interval, revoked);
            env.spawn("hub.revocations", following)
        });
        let noting = self.noting.map(|api| {
            let stop = stop.clone();
            env.spawn("hub.notes", async move { api.keep_notes(stop).await })
        });
        let forgets = env.planted("stored_never_asked");
        let recalling =
            (!forgets).then(|| env.spawn("hub.recall", recall::follow(live.clone(), self.pool.clone())));
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
            if let Some(endpoint) = quic {
                endpoint.close(u32::from(Farewell::Draining.code()).into(), b"the hub has stopped");
                // Lets the goodbyes out; whoever does not answer learns by a reset.
                let _ = timeout(GOODBYE_MAX.min(drain), endpoint.wait_idle()).await;
            }
            stop.cancel();
        };
        tokio::join!(agent.serve(env.clone(), self.endpoint, stop.clone()), ends);
        if let Some(noting) = noting {
            // Lost means that the node itself is going down.
            let _ = noting.await;
        }
        ticking.abort();
        feeding.abort();
        if let Some(revoking) = revoking {
            revoking.abort();
        }
        if let Some(recalling) = recalling {
            recalling.abort();
        }
        if let Some(following) = following {
            following.abort();
        }
        taking.abort();
        if let Some(taking) = taking_quic {
            taking.abort();
        }
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

/// Keeps the pool to the persistence agents, the agents that answer questions and the other hubs that the news names, and what routers
/// say of clients to those that it knows, for ever. The lists of the config hold until there is some.
async fn follow(
    live: Arc<Live>,
    discovery: Discovery,
    pool: Pool,
    (trusted, believed): (Trusted, Option<Believed>),
) {
    let listed = |peers: &[Peer]| -> Vec<NodeAddr> {
        peers.iter().map(|peer| NodeAddr { name: peer.node, addr: peer.addr }).collect()
    };
    let (persistence, agents) = (listed(&live.config.persistence), listed(&live.config.agents));
    let mut news = discovery.watch();
    loop {
        let snapshot = discovery.snapshot();
        trusted.set(&live.config.proxy.from, &snapshot);
        if let (Some(believed), Some(quic)) = (&believed, &live.config.quic) {
            believed.set(quic::believed(&snapshot, &quic.routers));
        }
        let mut nodes = callable(&snapshot, NodeKind::Persistence, &persistence);
        nodes.extend(callable(&snapshot, NodeKind::Agent, &agents));
        let hubs = callable(&snapshot, NodeKind::Hub, &[]).into_iter();
        nodes.extend(hubs.filter(|(hub, _)| hub.name.to_string() != live.env.node()));
        pool.set_standings(nodes);
        news.changed().await;
    }
}

fn agent(live: &Arc<Live>, (herald, pool): (&Herald, &Pool), asking: &Asking, life: u64) -> Agent {
    // Gateways publish and ask what is wanted; hubs, and agents that plan or answer, have clients told something and ask. What was told
    // elsewhere only a hub passes on.
    let policy = Policy::deny_all()
        .allow(NodeKind::Gateway, "vehicle:")
        .allow(NodeKind::Gateway, "HubService.watchInterest")
        .allow(NodeKind::Hub, "HubService.");
    let for_agents = [PushRoute::NAME, PushInsight::NAME, SendMessage::NAME, Ask::NAME];
    let policy = for_agents.into_iter().fold(policy, |policy, tool| policy.allow(NodeKind::Agent, tool));
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
    ask::offered(tools::offered(agent, herald, &live.env, pool), asking).build()
}
