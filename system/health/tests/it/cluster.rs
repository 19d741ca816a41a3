//! Agents and members in this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use drover_bus::discovery::{About, AgentAddr, Config as Joining, Member, NodeState};
use drover_bus::{NodeAddr, Pool, PoolConfig};
use drover_env::real::{self, Metrics};
use drover_env::{Datagrams, Env, SeedTree, Task};
use drover_health::{Config, Health};
use drover_model::{NodeKind, NodeName};
use drover_quic::{Ca, Identity, Principal, Profile, ServerSetup, Trust};
use drover_wire::{geostream, mcp};
use quinn::{ClientConfig, Endpoint};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(crate) struct Cluster {
    env: Env,
    ca: Ca,
    seeds: SeedTree,
    agents: Vec<(AgentAddr, CancellationToken, Option<Task<()>>)>,
    _folder: tempfile::TempDir,
}

/// A node that has joined.
pub(crate) struct Joined {
    pub(crate) member: Member,
}

/// What takes sessions.
pub(crate) struct Sessions {
    pub(crate) addr: SocketAddr,
    pub(crate) task: Task<()>,
    _endpoint: Endpoint,
}

impl Joined {
    pub(crate) fn state(&self, name: NodeName) -> Option<NodeState> {
        self.member.discovery().snapshot().node(name).map(|node| node.state)
    }
}

/// Waits until it is so; the test fails if it never is.
pub(crate) async fn within(mut so: impl FnMut() -> bool) {
    let become_so = async {
        while !so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), become_so).await.expect("it becomes so");
}

impl Cluster {
    pub(crate) fn start(agents: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let env = real::env("test", folder.path(), Arc::new(Metrics::default())).expect("an env");
        let seeds = SeedTree::from_number(7);
        let ca = Ca::new(&seeds, env.wall()).expect("a CA");
        let mut cluster = Self { env, ca, seeds, agents: Vec::new(), _folder: folder };
        for index in 0..agents {
            let node = NodeName::new(NodeKind::Health, index);
            let (identity, trust) = cluster.identity(node);
            let config = Config { listen: ANY, probe_bind: ANY, ..Config::default() };
            let agent = Health::bind(cluster.env.clone(), config, &identity, &trust).expect("bound");
            let addr = agent.local_addr().expect("an address");
            let cancel = CancellationToken::new();
            let task = cluster.env.spawn("agent", agent.run(cancel.clone()));
            cluster.agents.push((AgentAddr { node, addr }, cancel, Some(task)));
        }
        cluster
    }

    /// Where nobody answers.
    pub(crate) fn silent(&self) -> Arc<dyn Datagrams> {
        self.env.datagrams(ANY).expect("a socket")
    }

    pub(crate) fn agent(&self, at: usize) -> NodeName {
        self.agents[at].0.node
    }

    pub(crate) async fn stop_agent(&mut self, at: usize) {
        let (_, cancel, task) = &mut self.agents[at];
        cancel.cancel();
        if let Some(task) = task.take() {
            let _ = task.await;
        }
    }

    pub(crate) fn join(&self, name: NodeName) -> Joined {
        self.join_about(name, About::default())
    }

    pub(crate) fn join_about(&self, name: NodeName, about: About) -> Joined {
        let (endpoint, client) = self.client(name);
        let agents = self.agents.iter().map(|(addr, _, _)| addr.clone()).collect();
        let config = Joining { agents, ..Joining::default() };
        let member = Member::join(&self.env, &config, endpoint, client, about);
        Joined { member: member.expect("there are agents") }
    }

    pub(crate) fn pool(&self, name: NodeName) -> Pool {
        let (endpoint, client) = self.client(name);
        let pool = Pool::new(self.env.clone(), client, endpoint, PoolConfig::default());
        let addr = |(agent, _, _): &(AgentAddr, _, _)| NodeAddr { name: agent.node, addr: agent.addr };
        pool.set_nodes(self.agents.iter().map(addr).collect());
        pool
    }

    /// What of a gateway answers probes: it takes sessions, and says goodbye to agents. Hangs once its task is aborted.
    pub(crate) fn take_sessions(&self, name: NodeName) -> Sessions {
        let (identity, trust) = self.identity(name);
        let setup = ServerSetup {
            identity: &identity,
            trust: &trust,
            alpn: geostream::ALPN,
            profile: &Profile::vehicle(),
            reset_key: identity.derive_key("reset"),
        };
        let endpoint = drover_quic::server(&self.env, ANY, &setup).expect("an endpoint");
        let addr = endpoint.local_addr().expect("an address");
        // The endpoint itself lives on, as that of a process does whose loop stands still.
        let held = endpoint.clone();
        let task = self.env.spawn("sessions", async move {
            while let Some(incoming) = endpoint.accept().await {
                if let Ok(connection) = incoming.await {
                    connection.close(geostream::close::PROBED.into(), b"sessions are taken");
                }
            }
        });
        Sessions { addr, task, _endpoint: held }
    }

    fn client(&self, name: NodeName) -> (Endpoint, ClientConfig) {
        let (identity, trust) = self.identity(name);
        let endpoint = drover_quic::client(&self.env, ANY).expect("an endpoint");
        let client = drover_quic::client_config(&self.env, &identity, &trust, mcp::ALPN, &Profile::service());
        (endpoint, client.expect("a config"))
    }

    fn identity(&self, name: NodeName) -> (Identity, Trust) {
        let identity = self.ca.issue(&Principal::Service(name), &self.seeds).expect("a certificate");
        (identity, self.ca.trust().expect("a trust"))
    }
}
