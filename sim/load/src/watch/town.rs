//! The services of a scenario, each in a seat of its own in this process, with a store in memory.

mod agents;
mod edge;
mod hubs;
mod plan;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use drover_env::real::Metrics;
use drover_env::{Chain, Env, SeedTree, real};
use drover_gateway::Cordon;
use drover_harness::live::{Configs, Dispatch};
use drover_harness::scenario::{Orders, Scenario};
use drover_hub::{Gauge, SiteConfig};
use drover_model::{NodeKind, NodeName};
use drover_quic::{Ca, Identity, Principal, Trust};
use drover_world::Action;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::access::Access;
use super::away::Away;
use super::seat::{Life, Seat, State};
use crate::cluster::Entry;
use crate::problem::LoadError;
use crate::proxy::{self, Proxies};
use hubs::lock;
use plan::Plan;

/// Anywhere on this machine.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The database, which is no service of its own here.
const DB: NodeName = NodeName::new(NodeKind::Db, 0);

/// What every hub of a town is given.
pub(crate) struct Shown {
    /// Where the first one serves its pages, or routers lead to whichever is there.
    pub(crate) listen: SocketAddr,
    pub(crate) access: Access,
    pub(crate) site: SiteConfig,
}

/// The services of a scenario, in this process.
pub(crate) struct Town {
    pub(crate) ca: Ca,
    pub(crate) trust: Trust,
    /// Where vehicles come in.
    pub(crate) entry: Entry,
    /// Where pages are: at each hub, or at the routers' one address.
    pub(crate) pages: Vec<SocketAddr>,
    pub(crate) dispatch: Dispatch,
    pub(crate) proxies: Proxies,
    pub(crate) cancel: CancellationToken,
    /// Ended in the order of their start: whoever calls after whoever is called.
    seats: Vec<Seat>,
    cordons: Vec<(NodeName, Cordon)>,
    gauges: Vec<Arc<Mutex<Option<Gauge>>>>,
    store: Away,
    /// Deleted when it is dropped.
    folder: TempDir,
}

/// An error of a service, as a text.
pub(crate) fn harness(error: &dyn std::error::Error) -> LoadError {
    LoadError::Harness(Chain(error).to_string())
}

fn text(error: &dyn std::error::Error) -> String {
    Chain(error).to_string()
}

/// What a service of any kind is made of.
#[derive(Clone)]
struct Node {
    name: NodeName,
    folder: PathBuf,
    identity: Identity,
    trust: Trust,
}

impl Node {
    /// Its env in a new life.
    fn env(&self) -> Result<Env, String> {
        real::env(&self.name.to_string(), &self.folder, Arc::new(Metrics::default())).map_err(|e| text(&e))
    }
}

impl Town {
    /// Starts everything, and waits until all sockets are open.
    ///
    /// # Errors
    /// A port is taken, or a service does not start.
    pub(crate) fn open(
        scenario: &Scenario,
        configs: &Configs,
        shown: &Shown,
        runtime: &Runtime,
        seeds: &SeedTree,
    ) -> Result<Self, LoadError> {
        let plan = Plan::of(scenario, configs, seeds, shown.listen)?;
        let ca = Ca::new(seeds, real::wall())?;
        let trust = ca.trust()?;
        let folder = tempfile::Builder::new().prefix("drover-watch-").tempdir();
        let mut town = Self {
            ca,
            trust,
            entry: plan.entry(),
            pages: Vec::new(),
            dispatch: Dispatch::new(scenario.orders.unwrap_or(Orders {
                repeat_share: 0.0,
                wrong_share: 0.0,
                ..Orders::default()
            })),
            proxies: Proxies::new(seeds)?,
            cancel: CancellationToken::new(),
            seats: Vec::new(),
            cordons: Vec::new(),
            gauges: Vec::new(),
            store: Away::new(),
            folder: folder.map_err(LoadError::machine("make a folder for the services"))?,
        };
        town.health(&plan)?;
        town.agents(&plan)?;
        town.hubs(&plan, shown)?;
        town.edge(&plan)?;
        town.desk(&plan, runtime)?;
        Ok(town)
    }

    /// Every node that can be broken.
    pub(crate) fn nodes(&self) -> Vec<NodeName> {
        self.seats.iter().map(|seat| seat.node).chain([DB]).collect()
    }

    /// How a node is.
    pub(crate) fn state(&self, node: NodeName) -> State {
        let seat = self.seats.iter().find(|seat| seat.node == node);
        seat.map_or_else(|| self.store.state(), Seat::state)
    }

    /// Sockets of watchers at all hubs.
    pub(crate) fn watchers(&self) -> u64 {
        let up = (0..).zip(&self.gauges).filter(|(index, _)| {
            let hub = NodeName::new(NodeKind::Hub, *index);
            self.state(hub) != State::Down
        });
        up.filter_map(|(_, gauge)| lock(gauge).as_ref().map(|gauge| gauge.counts().sockets)).sum()
    }

    /// A folder for whoever is no service.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Carries out what the world says of faults.
    pub(crate) fn apply(&mut self, action: &Action) {
        if proxy::apply(&self.proxies.handle(), action) {
            return;
        }
        match *action {
            Action::Crash(DB) | Action::DbAway(_, true) => self.store.set(State::Down),
            Action::Start(DB) | Action::Resume(DB) | Action::DbAway(_, false) => self.store.set(State::Up),
            Action::Pause(DB) => self.store.set(State::Hung),
            Action::Crash(node) => self.with(node, Seat::kill),
            Action::Pause(node) => self.with(node, |seat| seat.hang(true)),
            Action::Resume(node) => self.with(node, |seat| seat.hang(false)),
            Action::Drain(node) => self.with(node, |seat| seat.drain()),
            Action::Start(node) => self.with(node, |seat| {
                if let Err(reason) = seat.start() {
                    warn!(node.id = %node, %reason, "a service could not be started again");
                }
            }),
            Action::Cordon(node, closed) => {
                if let Some((_, cordon)) = self.cordons.iter().find(|(of, _)| *of == node) {
                    cordon.set(closed);
                }
            }
            // Receivers are the world's; of all else the stage says that it can not be shown.
            _ => {}
        }
    }

    fn with(&mut self, node: NodeName, act: impl FnOnce(&mut Seat)) {
        if let Some(seat) = self.seats.iter_mut().find(|seat| seat.node == node) {
            act(seat);
        }
    }

    /// A service's folder and certificate.
    fn node(&self, name: NodeName, seeds: &SeedTree) -> Result<Node, LoadError> {
        let folder = self.folder.path().join(name.to_string().replace('/', "-"));
        std::fs::create_dir_all(&folder).map_err(LoadError::machine("make a service's folder"))?;
        let identity = self.ca.issue(&Principal::Service(name), seeds)?;
        Ok(Node { name, folder, identity, trust: self.trust.clone() })
    }

    /// Starts a service, which `run` makes of `made_of` for each of its lives.
    fn take_seat<M, F>(&mut self, name: NodeName, made_of: M, run: fn(M, Life) -> F) -> Result<(), LoadError>
    where
        M: Clone + Send + 'static,
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let mut seat = Seat::new(name, Box::new(move |life| Box::pin(run(made_of.clone(), life))));
        seat.start().map_err(LoadError::Usage)?;
        self.seats.push(seat);
        Ok(())
    }

    /// Whoever gives vans their orders. What asks for changes of them is a hub's to ask.
    fn desk(&self, plan: &Plan<'_>, runtime: &Runtime) -> Result<(), LoadError> {
        let agents = plan.all(NodeKind::Persistence);
        let name = NodeName::new(NodeKind::Hub, self.gauges.len() as u32);
        let node = self.node(name, plan.seeds)?;
        let _guard = runtime.enter();
        let env = node.env().map_err(LoadError::Harness)?;
        let (dispatch, trust, cancel) = (self.dispatch.clone(), self.trust.clone(), self.cancel.clone());
        let runs = env.clone();
        drop(env.spawn("dispatch", async move {
            // Its socket is any; it fails as little as the others did.
            drop(dispatch.run(runs, node.identity, trust, ANY, agents, cancel).await);
        }));
        Ok(())
    }
}
