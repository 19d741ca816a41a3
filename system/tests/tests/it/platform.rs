//! A gateway and a persistence agent in this process, and vehicles that say what a test wants them to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use drover_env::real::{self, Metrics};
use drover_env::{Env, SeedTree, Task};
use drover_gateway::{Gateway, Peer};
use drover_model::{NodeKind, NodeName};
use drover_persistence::Persistence;
use drover_quic::{Ca, Identity, Principal, Profile, Trust};
use drover_store::{MemoryStore, Row};
use drover_wire::geostream::{self, Batch, Channel, Frame, Hello};
use drover_wire::{FrameDecoder, GeoTelemetry};
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use tokio_util::sync::CancellationToken;

pub(crate) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Far longer than anything here takes: a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Platform {
    pub(crate) env: Env,
    pub(crate) store: MemoryStore,
    pub(crate) gateway: SocketAddr,
    pub(crate) agent: Peer,
    pub(crate) metrics: Arc<Metrics>,
    ca: Ca,
    seeds: SeedTree,
    cancel: CancellationToken,
    services: Vec<Task<()>>,
    _folder: tempfile::TempDir,
}

impl Platform {
    pub(crate) fn start() -> Self {
        Self::start_with(MemoryStore::new(), |_| ())
    }

    pub(crate) fn start_with(store: MemoryStore, change: impl FnOnce(&mut drover_gateway::Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let metrics = Arc::new(Metrics::default());
        let env = real::env("test", folder.path(), metrics.clone()).expect("an env");
        let seeds = SeedTree::from_number(7);
        let ca = Ca::new(&seeds, env.wall()).expect("a CA");
        let trust = ca.trust().expect("a root");
        let service = |kind| ca.issue(&Principal::service(kind, 0), &seeds).expect("a certificate");
        let agent = Persistence::bind(
            env.clone(),
            drover_persistence::Config {
                listen: ANY,
                flush_age: Duration::from_millis(5),
                ..Default::default()
            },
            &service(NodeKind::Persistence),
            &trust,
            Arc::new(store.clone()),
        )
        .expect("an agent");
        let addr = agent.local_addr().expect("an address");
        let peer = Peer { node: NodeName::new(NodeKind::Persistence, 0), addr };
        let mut config = drover_gateway::Config {
            listen: ANY,
            bus_bind: ANY,
            persistence: vec![peer.clone()],
            ..Default::default()
        };
        change(&mut config);
        let gateway =
            Gateway::bind(env.clone(), config, &service(NodeKind::Gateway), &trust).expect("a gateway");
        let gateway_addr = gateway.local_addr().expect("an address");
        let cancel = CancellationToken::new();
        let (one, other) = (cancel.clone(), cancel.clone());
        let services = vec![
            env.spawn("gateway", async move { gateway.run(one).await }),
            env.spawn("persistence", async move {
                other.cancelled().await;
                // The gateway drains first: its last batches still find the agent.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }),
            env.spawn("agent", {
                let stop = CancellationToken::new();
                async move { agent.run(stop).await }
            }),
        ];
        Self {
            env,
            store,
            gateway: gateway_addr,
            agent: peer,
            metrics,
            ca,
            seeds,
            cancel,
            services,
            _folder: folder,
        }
    }

    pub(crate) fn identity(&self, tenant: &str, vehicle: &str) -> (Identity, Trust) {
        let tenant = tenant.parse().expect("a valid name");
        let vehicle = vehicle.parse().expect("a valid name");
        let who = Principal::Vehicle { tenant, vehicle };
        (self.ca.issue(&who, &self.seeds).expect("a certificate"), self.ca.trust().expect("a root"))
    }

    /// Certificate of a service, and whom it believes.
    pub(crate) fn service(&self, kind: NodeKind, index: u32) -> (Identity, Trust) {
        let who = Principal::service(kind, index);
        (self.ca.issue(&who, &self.seeds).expect("a certificate"), self.ca.trust().expect("a root"))
    }

    pub(crate) async fn connect(&self, vehicle: &str) -> Vehicle {
        let (identity, trust) = self.identity("acme", vehicle);
        self.try_connect(&identity, &trust).await.expect("a session")
    }

    pub(crate) async fn try_connect(
        &self,
        identity: &Identity,
        trust: &Trust,
    ) -> Result<Vehicle, quinn::ConnectionError> {
        // Each with an env of its own, as a vehicle has: its connection ids must be its own.
        let folder = tempfile::tempdir().expect("a folder");
        let env = real::env("vehicle", folder.path(), Arc::new(Metrics::default())).expect("an env");
        let endpoint = drover_quic::client(&env, ANY).expect("an endpoint");
        let config = drover_quic::client_config(&env, identity, trust, geostream::ALPN, &Profile::vehicle());
        let name = drover_quic::server_name(NodeKind::Gateway);
        let connecting = endpoint.connect_with(config.expect("a config"), self.gateway, name);
        let connection = connecting.expect("a valid address").await?;
        Ok(Vehicle { env, endpoint, connection, _folder: folder })
    }

    /// How often an event occurred, with `reason` if one is given.
    pub(crate) fn counted(&self, name: &str, reason: &str) -> u64 {
        let counts = self.metrics.counts();
        let of_name =
            counts.iter().filter(|(event, why, _)| *event == name && (reason.is_empty() || why == reason));
        of_name.map(|(.., count)| count).sum()
    }

    /// Waits until an event has occurred.
    pub(crate) async fn happened(&self, name: &str, reason: &str) {
        let wait = async {
            while self.counted(name, reason) == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| {
            panic!("{name} {reason} did not occur; there were {:?}", self.metrics.counts())
        });
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        self.store.for_each_row(|row| rows.push(row.clone()));
        rows
    }

    pub(crate) fn stop(&self) {
        self.cancel.cancel();
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.env.wall().as_micros() as u64
    }

    pub(crate) fn fix(&self, sequence: u64) -> GeoTelemetry {
        GeoTelemetry {
            lat: Some(60.17),
            lon: Some(24.94),
            sequence: Some(sequence),
            time_us: Some(1_772_434_800_000_000 + sequence * 1_000_000),
            ..GeoTelemetry::default()
        }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.cancel.cancel();
        self.services.iter().for_each(Task::abort);
    }
}

/// One vehicle's connection.
pub(crate) struct Vehicle {
    pub(crate) env: Env,
    pub(crate) endpoint: Endpoint,
    pub(crate) connection: Connection,
    pub(crate) _folder: tempfile::TempDir,
}

impl Vehicle {
    /// Why the gateway closed the connection.
    pub(crate) async fn closed(&self) -> String {
        let closed = tokio::time::timeout(PATIENCE, self.connection.closed()).await;
        closed.map_or_else(|_| "still open".to_owned(), |reason| reason.to_string())
    }

    pub(crate) async fn open(&self, channel: Channel) -> Stream {
        self.open_epoch(channel, 7).await
    }

    pub(crate) async fn open_epoch(&self, channel: Channel, epoch: u64) -> Stream {
        let (send, recv) = self.connection.open_bi().await.expect("a stream");
        let mut stream = Stream { send, recv, decoder: FrameDecoder::new(1 << 20) };
        let hello = Hello {
            epoch: Some(epoch),
            first_unacknowledged: Some(0),
            recorded_next: Some(0),
            channel: Some(channel.code()),
        };
        stream.say(&Frame::Hello(hello)).await;
        stream
    }
}

/// One of its streams.
pub(crate) struct Stream {
    pub(crate) send: SendStream,
    recv: RecvStream,
    decoder: FrameDecoder,
}

impl Stream {
    pub(crate) async fn say(&mut self, frame: &Frame) {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        self.send.write_all(&bytes).await.expect("room");
    }

    pub(crate) async fn batch(&mut self, fixes: Vec<GeoTelemetry>) {
        self.say(&Frame::Batch(Batch { epoch: Some(7), fixes })).await;
    }

    pub(crate) async fn hear(&mut self) -> Frame {
        tokio::time::timeout(PATIENCE, self.next()).await.expect("an answer in time")
    }

    async fn next(&mut self) -> Frame {
        loop {
            if let Some((kind, body)) = self.decoder.next_frame().expect("a frame") {
                return Frame::decode(kind, &body).expect("a known frame");
            }
            let chunk = self.recv.read_chunk(4096, true).await.expect("alive").expect("not ended");
            self.decoder.push(&chunk.bytes);
        }
    }

    /// The next acknowledgement, as ranges.
    pub(crate) async fn acknowledged(&mut self) -> Vec<u64> {
        match self.hear().await {
            Frame::DurableAck(ack) => ack.ranges,
            other => panic!("a durable ack was due, not {other:?}"),
        }
    }

    /// The next refusal, as sequence, reason and detail.
    pub(crate) async fn refused(&mut self) -> (u64, u32, String) {
        match self.hear().await {
            Frame::Refused(refused) => {
                let fix = refused.fixes.into_iter().next().expect("one fix");
                let (sequence, reason) = (fix.sequence.unwrap_or_default(), fix.reason.unwrap_or_default());
                (sequence, reason, fix.detail.unwrap_or_default())
            }
            other => panic!("a refusal was due, not {other:?}"),
        }
    }
}
