//! Agents and one pool in this process, on sockets of 127.0.0.1.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use drover_bus::{Agent, AgentBuilder, NodeAddr, Policy, Pool, PoolConfig};
use drover_env::real::{self, Metrics};
use drover_env::{Env, SeedTree, Task};
use drover_model::{NodeKind, NodeName};
use drover_quic::{Ca, Identity, Principal, Profile, ServerSetup, Trust};
use drover_wire::mcp;
use quinn::Endpoint;
use tokio_util::sync::CancellationToken;

pub(crate) const FIRST: NodeName = NodeName::new(NodeKind::Persistence, 0);
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

struct Node {
    cancel: CancellationToken,
    task: Option<Task<()>>,
}

pub(crate) struct Cluster {
    pub(crate) env: Env,
    pub(crate) pool: Pool,
    metrics: Arc<Metrics>,
    nodes: Vec<Node>,
    addrs: Vec<NodeAddr>,
    ca: Ca,
    seeds: SeedTree,
    _folder: tempfile::TempDir,
}

impl Cluster {
    /// One agent, which lets gateways use everything that is called `Test.` or `vehicle:`.
    pub(crate) fn start(offer: impl FnOnce(AgentBuilder) -> AgentBuilder) -> Self {
        let mut offer = Some(offer);
        Self::start_many(1, PoolConfig::default(), move |_, agent| match offer.take() {
            Some(offer) => offer(agent),
            None => agent,
        })
    }

    pub(crate) fn start_many(
        count: u32,
        config: PoolConfig,
        mut offer: impl FnMut(u32, AgentBuilder) -> AgentBuilder,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let metrics = Arc::new(Metrics::default());
        let env = real::env("test", folder.path(), metrics.clone()).expect("an env");
        let seeds = SeedTree::from_number(7);
        let ca = Ca::new(&seeds, env.wall()).expect("a CA");
        let (mut nodes, mut addrs) = (Vec::new(), Vec::new());
        for index in 0..count {
            let name = NodeName::new(NodeKind::Persistence, index);
            let (identity, trust) = identity(&ca, &seeds, &Principal::Service(name));
            let setup = ServerSetup {
                identity: &identity,
                trust: &trust,
                alpn: mcp::ALPN,
                profile: &Profile::service(),
                reset_key: identity.derive_key("reset"),
            };
            let endpoint = drover_quic::server(&env, ANY, &setup).expect("an endpoint");
            addrs.push(NodeAddr { name, addr: endpoint.local_addr().expect("an address") });
            let policy =
                Policy::deny_all().allow(NodeKind::Gateway, "Test.").allow(NodeKind::Gateway, "vehicle:");
            let agent = offer(index, Agent::builder("Test").policy(policy)).build();
            let cancel = CancellationToken::new();
            let (serving, stop) = (env.clone(), cancel.clone());
            let task = env.spawn("agent", async move { agent.serve(serving, endpoint, stop).await });
            nodes.push(Node { cancel, task: Some(task) });
        }
        let (identity, trust) = identity(&ca, &seeds, &Principal::service(NodeKind::Gateway, 0));
        let endpoint = drover_quic::client(&env, ANY).expect("an endpoint");
        let client = drover_quic::client_config(&env, &identity, &trust, mcp::ALPN, &Profile::service());
        let pool = Pool::new(env.clone(), client.expect("a config"), endpoint, config);
        pool.set_nodes(addrs.clone());
        Self { env, pool, metrics, nodes, addrs, ca, seeds, _folder: folder }
    }

    /// Waits until the pool has a connection to every agent.
    pub(crate) async fn connected(&self) {
        while self.pool.connected().len() < self.nodes.len() {
            tokio::task::yield_now().await;
        }
    }

    /// How often an event occurred.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        self.metrics.counts().iter().filter(|(event, ..)| *event == name).map(|(.., count)| count).sum()
    }

    /// Asks one agent to stop, and waits until it has.
    pub(crate) fn stop(&mut self, index: usize) -> impl Future<Output = ()> + use<> {
        let node = &mut self.nodes[index];
        node.cancel.cancel();
        let task = node.task.take();
        async move {
            if let Some(task) = task {
                task.await.expect("the agent ends by itself");
            }
        }
    }

    /// The stream of calls of gateway `from`, to be used by hand.
    pub(crate) async fn raw_calls(&self, from: u32) -> (Endpoint, quinn::SendStream, quinn::RecvStream) {
        let (endpoint, connection) = self.connect(&Principal::service(NodeKind::Gateway, from)).await;
        let (send, recv) = connection.open_bi().await.expect("a stream");
        (endpoint, send, recv)
    }

    async fn connect(&self, who: &Principal) -> (Endpoint, quinn::Connection) {
        let (identity, trust) = identity(&self.ca, &self.seeds, who);
        let endpoint = drover_quic::client(&self.env, ANY).expect("an endpoint");
        let config = drover_quic::client_config(&self.env, &identity, &trust, mcp::ALPN, &Profile::service());
        let name = drover_quic::server_name(NodeKind::Persistence);
        let connecting = endpoint.connect_with(config.expect("a config"), self.addrs[0].addr, name);
        let connection = connecting.expect("a valid address").await.expect("a connection");
        (endpoint, connection)
    }

    /// Connects with a vehicle's certificate; returns why the agent closed the connection.
    pub(crate) async fn connect_as_vehicle(&self) -> String {
        let tenant = "acme".parse().expect("a valid name");
        let vehicle = "TRUCK-042".parse().expect("a valid name");
        let (_endpoint, connection) = self.connect(&Principal::Vehicle { tenant, vehicle }).await;
        connection.closed().await.to_string()
    }

    /// Sends bytes on the stream of calls of gateway `from`; returns why the agent closed the connection.
    pub(crate) async fn send_raw(&self, from: u32, bytes: &[u8]) -> String {
        let (_endpoint, connection) = self.connect(&Principal::service(NodeKind::Gateway, from)).await;
        let (mut send, _recv) = connection.open_bi().await.expect("a stream");
        send.write_all(bytes).await.expect("room");
        connection.closed().await.to_string()
    }
}

fn identity(ca: &Ca, seeds: &SeedTree, who: &Principal) -> (Identity, Trust) {
    (ca.issue(who, seeds).expect("a certificate"), ca.trust().expect("a root"))
}
