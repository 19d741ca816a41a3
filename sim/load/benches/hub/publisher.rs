//! A gateway's place on the bus: publishes fixes to hubs, at moments that are set before.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use drover_bus::{NodeAddr, Pool, PoolConfig, Route, live_topic};
use drover_env::{Env, real};
use drover_model::{
    Degrees, Epoch, Fix, Meters, MetersPerSecond, NodeKind, NodeName, Position, TenantId, VehicleId,
};
use drover_quic::{Principal, Profile};
use drover_wire::{VehicleBatch, mcp};
use prost::Message;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Ground;
use crate::clients::vehicle;
use crate::servers::TENANT;

/// What it publishes to which hub.
pub(crate) struct Publisher {
    pool: Pool,
    sequence: u64,
    _env: Env,
}

/// A window of publishing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// The first vehicle, and how many.
    pub(crate) vehicles: (usize, usize),
    /// Rounds a second, in each of which all of them have a fix.
    pub(crate) rate: u64,
    pub(crate) seconds: u64,
}

impl Publisher {
    /// Connects to the hubs.
    pub(crate) async fn connect(ground: &Ground, hubs: &[SocketAddr]) -> Self {
        let env = real::env("gateway/0", &std::env::temp_dir(), Default::default()).expect("an env");
        let who = Principal::Service(NodeName::new(NodeKind::Gateway, 0));
        let identity = ground.ca.issue(&who, &ground.seeds).expect("a certificate");
        let trust = ground.ca.trust().expect("a CA");
        let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        let endpoint = drover_quic::client(&env, any).expect("an endpoint");
        let client = drover_quic::client_config(&env, &identity, &trust, mcp::ALPN, &Profile::service());
        let pool = Pool::new(env.clone(), client.expect("a config"), endpoint, PoolConfig::default());
        let node = |(index, addr): (u32, &SocketAddr)| NodeAddr { name: hub(index), addr: *addr };
        pool.set_nodes((0..).zip(hubs).map(node).collect());
        while pool.connected().len() < hubs.len() {
            sleep(Duration::from_millis(10)).await;
        }
        Self { pool, sequence: 0, _env: env }
    }

    /// Publishes to a hub for a while: each vehicle at a moment of its own, as vehicles send.
    pub(crate) async fn window(&mut self, to: u32, window: Window) {
        let (begun, (first, count)) = (Instant::now(), window.vehicles);
        let each = Duration::from_secs(1).div_f64((window.rate * count as u64) as f64);
        for step in 0..(window.rate * window.seconds) as usize * count {
            sleep_until(begun + each * step as u32).await;
            self.publish(to, first + step % count);
        }
    }

    /// Publishes a fix of a vehicle, as a gateway does.
    pub(crate) fn publish(&mut self, to: u32, index: usize) {
        self.sequence += 1;
        let vehicle = VehicleId::new(&vehicle(index)).expect("a name");
        let step = (self.sequence % 1_000) as f64 / 1e5;
        let at = Position::new(60.17 + step, 24.94 + step).expect("a place");
        let mut fix = Fix::bare(self.sequence, real::wall(), at);
        fix.speed = MetersPerSecond::new(12.5).ok();
        fix.heading = Degrees::new(180.0).ok();
        fix.accuracy = Meters::new(4.1).ok();
        let tenant = TenantId::new(TENANT).expect("a name");
        let batch = VehicleBatch { tenant, vehicle, epoch: Epoch::from_bits(1), fixes: vec![fix] };
        let body = batch.to_wire().encode_to_vec().into();
        self.pool.publish(Route::Node(hub(to)), &live_topic(vehicle), body).expect("room");
    }
}

const fn hub(index: u32) -> NodeName {
    NodeName::new(NodeKind::Hub, index)
}
