//! The tracker against a small gateway on real sockets, against recordings of real receivers, and against cantools.

mod can_peer;
mod gateway;
mod logs;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drover_env::Env;
use drover_env::real::Metrics;
use drover_model::{NodeKind, TenantId, VehicleId};
use drover_quic::{Ca, Identity, Principal, Trust};
use drover_tracker::can::{CanFrame, CanId, CanInput, CanReader, Catalog};
use drover_tracker::{Arrived, BindError, Config, Spool, Summary, Tracker};
use drover_wire::geostream::close;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use gateway::{Gateway, Manner};

/// One vehicle with its folder, and the CA of everybody.
struct World {
    folder: tempfile::TempDir,
    metrics: Arc<Metrics>,
    env: Env,
    ca: Ca,
    trust: Trust,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let metrics = Arc::new(Metrics::default());
        let env = drover_env::real::env("vehicle/0", folder.path(), metrics.clone()).expect("an env");
        let ca = Ca::new(env.seeds(), env.wall()).expect("a CA");
        let trust = ca.trust().expect("a root");
        Self { folder, metrics, env, ca, trust }
    }

    fn identity(&self, who: &Principal) -> Identity {
        self.ca.issue(who, self.env.seeds()).expect("a certificate")
    }

    fn vehicle(&self) -> Identity {
        let (tenant, vehicle) =
            (TenantId::new("acme").expect("a name"), VehicleId::new("VAN-1").expect("a name"));
        self.identity(&Principal::Vehicle { tenant, vehicle })
    }

    fn gateway(&self, manner: Manner) -> Gateway {
        let identity = self.identity(&Principal::service(NodeKind::Gateway, 0));
        Gateway::start(&self.env, &identity, &self.trust, manner)
    }

    fn config(servers: &[SocketAddr]) -> Config {
        Config {
            servers: servers.to_vec(),
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            send_interval: Duration::from_millis(50),
            sync_interval: Duration::from_millis(20),
            ack_timeout: Duration::from_millis(300),
            backoff_first: Duration::from_millis(20),
            backoff_max: Duration::from_millis(50),
            exit_at_end: true,
            ..Config::default()
        }
    }

    /// Runs a tracker until it has settled everything.
    async fn run(&self, config: Config, fixes: std::ops::Range<u32>) -> Summary {
        let (port, gps) = mpsc::channel(16);
        let tracker = Tracker::bind(self.env.clone(), config, self.vehicle(), self.trust.clone(), gps);
        let tracker = tracker.expect("it binds");
        let feed = self.env.spawn("gps", async move {
            for second in fixes {
                port.send(Arrived::now(nmea(second))).await.expect("the tracker listens");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let run = tracker.run(CancellationToken::new());
        let summary = tokio::time::timeout(Duration::from_secs(20), run).await.expect("all settled in time");
        feed.await.expect("the feed ends");
        summary.expect("the spool opens")
    }

    fn events(&self, name: &str) -> u64 {
        self.metrics.counts().iter().filter(|(event, ..)| *event == name).map(|(.., count)| count).sum()
    }
}

fn nmea(second: u32) -> Bytes {
    let time = format!("12{:02}{:02}.00", second / 60, second % 60);
    let line = |body: String| {
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        format!("${body}*{sum:02X}\r\n")
    };
    let rmc = line(format!("GPRMC,{time},A,6010.2000,N,02456.4000,E,0.0,,020326,,,A"));
    let gga = line(format!("GPGGA,{time},6010.2000,N,02456.4000,E,1,09,0.9,31.5,M,17.0,M,,"));
    Bytes::from(rmc + &gga)
}

#[tokio::test]
async fn every_fix_reaches_the_gateway_and_is_settled() {
    let world = World::new();
    let gateway = world.gateway(Manner::Well);
    let summary = world.run(World::config(&[gateway.addr]), 0..40).await;
    assert_eq!((summary.recorded, summary.durable, summary.pending), (40, 40, 0));
    assert_eq!(summary.nmea.fixes, 40);
    assert_eq!(gateway.sequences(), (0..40).collect::<Vec<_>>());
    assert_eq!(world.events("tracker.recorded"), 40);
    assert_eq!(Spool::inspect(&world.env).expect("it reads"), []);
    assert!(world.folder.path().read_dir().expect("a folder").count() >= 1, "the newest segment stays");
}

/// 1,000 rpm and 100 more each second, as EEC1 says it (SAE J1939-71).
fn eec1(second: u32) -> CanFrame {
    let id = CanId::extended(0x0CF0_0400).expect("29 bits");
    let [low, high, ..] = ((1000 + 100 * second) * 8).to_le_bytes();
    CanFrame::new(id, &[0xFF, 0xFF, 0xFF, low, high, 0xFF, 0xFF, 0xFF]).expect("8 bytes")
}

#[tokio::test]
async fn a_tracker_that_is_late_joins_by_when_things_came() {
    let world = World::new();
    let gateway = world.gateway(Manner::Well);
    let (port, gps) = mpsc::channel(16);
    let (bus, frames) = mpsc::channel(16);
    for second in 0..4 {
        port.send(Arrived::now(nmea(second))).await.expect("there is room");
        bus.send(Arrived::now(vec![eec1(second)])).await.expect("there is room");
    }
    drop(port);
    let config = World::config(&[gateway.addr]);
    let tracker = Tracker::bind(world.env.clone(), config, world.vehicle(), world.trust.clone(), gps);
    let reader = CanReader::new(Arc::new(Catalog::built_in()));
    let tracker = tracker.expect("it binds").with_can(CanInput::new(reader, frames));
    let run = tracker.run(CancellationToken::new());
    let summary = tokio::time::timeout(Duration::from_secs(20), run).await.expect("all settled in time");
    assert_eq!(summary.expect("the spool opens").durable, 4);
    // The first is complete when the second begins: until then nobody knows what the receiver says of a moment.
    assert_eq!(gateway.engine_speeds(), [Some(1000.0), Some(1000.0), Some(1100.0), Some(1200.0)]);
}

#[tokio::test]
async fn fixes_carry_what_the_bus_said_before_them() {
    let world = World::new();
    let gateway = world.gateway(Manner::Well);
    let (port, gps) = mpsc::channel(16);
    let (bus, frames) = mpsc::channel(16);
    let config = World::config(&[gateway.addr]);
    let tracker = Tracker::bind(world.env.clone(), config, world.vehicle(), world.trust.clone(), gps);
    let reader = CanReader::new(Arc::new(Catalog::built_in()));
    let tracker = tracker.expect("it binds").with_can(CanInput::new(reader, frames));
    let feed = world.env.spawn("vehicle", async move {
        for second in 0..4u32 {
            // A bus that falls silent ends nothing.
            if second < 3 {
                bus.send(Arrived::now(vec![eec1(second); 3])).await.expect("the tracker listens");
            }
            port.send(Arrived::now(nmea(second))).await.expect("the tracker listens");
            // Only after a first fix does the reader know when a cycle is complete; it waits 300 ms for more.
            tokio::time::sleep(Duration::from_millis(if second == 0 { 400 } else { 50 })).await;
        }
    });
    let run = tracker.run(CancellationToken::new());
    let summary = tokio::time::timeout(Duration::from_secs(20), run).await.expect("all settled in time");
    feed.await.expect("the feed ends");
    let summary = summary.expect("the spool opens");
    assert_eq!((summary.durable, summary.can.frames, summary.can.readings), (4, 9, 9));
    assert_eq!(gateway.engine_speeds(), [Some(1000.0), Some(1100.0), Some(1200.0), Some(1200.0)]);
}

#[tokio::test]
async fn what_was_recorded_without_coverage_is_sent_after_a_restart() {
    let world = World::new();
    // Nobody listens there.
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let (port, gps) = mpsc::channel(64);
    let config = World::config(&[nowhere]);
    let tracker = Tracker::bind(world.env.clone(), config, world.vehicle(), world.trust.clone(), gps);
    for second in 0..30 {
        port.send(Arrived::now(nmea(second))).await.expect("there is room");
    }
    let cancel = CancellationToken::new();
    let run = tracker.expect("it binds").run(cancel.clone());
    let stop = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        cancel.cancel();
    };
    let (summary, ()) = tokio::join!(run, stop);
    assert_eq!(summary.map(|summary| (summary.recorded, summary.pending)).ok(), Some((30, 30)));
    let held = Spool::inspect(&world.env).expect("it reads");
    assert_eq!(held.iter().map(|(_, set)| set.len()).sum::<u64>(), 30);
    let gateway = world.gateway(Manner::Well);
    let summary = world.run(World::config(&[gateway.addr]), 30..40).await;
    assert_eq!((summary.recorded, summary.durable, summary.pending), (10, 40, 0));
    assert_eq!(gateway.sequences(), (0..40).collect::<Vec<_>>());
    assert_eq!(world.events("tracker.recovered"), 1);
}

#[tokio::test]
async fn a_damaged_spool_is_sent_to_its_end_beside_the_epoch_after_it() {
    let world = World::new();
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let config = Config { exit_at_end: false, ..World::config(&[nowhere]) };
    let (port, gps) = mpsc::channel(64);
    let tracker = Tracker::bind(world.env.clone(), config, world.vehicle(), world.trust.clone(), gps);
    for second in 0..30 {
        port.send(Arrived::now(nmea(second))).await.expect("there is room");
    }
    let cancel = CancellationToken::new();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancel.cancel();
    };
    let (_, ()) = tokio::join!(tracker.expect("it binds").run(cancel.clone()), stop);
    // Bytes that no crash leaves.
    let name = world.env.disk().list().expect("it reads").pop().expect("a segment");
    world.env.disk().open(&name).and_then(|mut file| file.append(&[0; 50])).expect("it writes");
    let gateway = world.gateway(Manner::Well);
    let summary = world.run(World::config(&[gateway.addr]), 30..50).await;
    assert_eq!((summary.recorded, summary.durable, summary.pending), (20, 50, 0));
    assert_eq!((world.events("tracker.epoch_abandoned"), world.events("tracker.protocol_error")), (1, 0));
}

#[tokio::test]
async fn a_batch_that_is_never_answered_is_sent_again() {
    let world = World::new();
    let gateway = world.gateway(Manner::ForgetsFirstBatch);
    let summary = world.run(World::config(&[gateway.addr]), 0..20).await;
    assert_eq!((summary.durable, summary.pending), (20, 0));
    assert!(summary.resent >= 1 && world.events("tracker.resent") == summary.resent);
}

#[tokio::test]
async fn a_draining_gateway_is_left_for_another() {
    let world = World::new();
    let draining = world.gateway(Manner::Closes(close::DRAINING));
    let well = world.gateway(Manner::Well);
    let summary = world.run(World::config(&[draining.addr, well.addr]), 0..40).await;
    assert_eq!((summary.durable, summary.pending), (40, 0));
    assert_eq!(well.sequences(), (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn commands_are_answered_to_the_end_and_carried_out_once_whatever_is_sent_again() {
    let world = World::new();
    let gateway = world.gateway(Manner::Commands);
    let [words, unknown, late] = gateway::COMMANDS;
    let expected = [(words, 1), (unknown, 1), (late, 1), (words, 2), (unknown, 4), (late, 3)];
    let summary = world.run(World::config(&[gateway.addr]), 0..10).await;
    assert_eq!((summary.durable, summary.pending), (10, 0));
    let mut acks = gateway.acks();
    let said = |acks: &[(u64, u32)]| expected.iter().all(|ack| acks.contains(ack));
    assert!(said(&acks), "{acks:?}");
    assert_eq!(world.events("tracker.command_applied"), 1);
    // After a restart it is sent again, and known.
    world.run(World::config(&[gateway.addr]), 10..20).await;
    acks = gateway.acks();
    assert!(said(&acks), "{acks:?}");
    assert_eq!(world.events("tracker.command_recovered"), 1);
    assert_eq!((world.events("tracker.command_applied"), world.events("tracker.protocol_error")), (1, 0));
}

#[tokio::test]
async fn what_a_command_says_is_shown_while_the_tracker_runs_and_after_a_restart() {
    let world = World::new();
    let gateway = world.gateway(Manner::Commands);
    world.run(World::config(&[gateway.addr]), 0..10).await;
    let (_port, gps) = mpsc::channel(1);
    // Nobody listens there: it shows what it has written down.
    let config = World::config(&[SocketAddr::from((Ipv4Addr::LOCALHOST, 9))]);
    let tracker = Tracker::bind(world.env.clone(), config, world.vehicle(), world.trust.clone(), gps);
    let tracker = tracker.expect("it binds");
    let told = tracker.told();
    let cancel = CancellationToken::new();
    cancel.cancel();
    tracker.run(cancel).await.expect("the spool opens");
    let on_board = told.get();
    let texts: Vec<_> = on_board.messages.iter().map(|message| message.text.as_str()).collect();
    assert_eq!((texts, on_board.route, on_board.commands), (vec!["gate 4"], None, 1));
}

#[tokio::test]
async fn a_command_without_an_identity_ends_the_session() {
    let world = World::new();
    let (nameless, well) = (world.gateway(Manner::Nameless), world.gateway(Manner::Well));
    let summary = world.run(World::config(&[nameless.addr, well.addr]), 0..40).await;
    assert_eq!((summary.durable, summary.pending), (40, 0));
    assert_eq!(world.events("tracker.command_applied"), 0);
}

#[tokio::test]
async fn a_hostile_gateway_settles_nothing() {
    for manner in [Manner::Garbage, Manner::AcknowledgesTheFuture] {
        let world = World::new();
        let (hostile, well) = (world.gateway(manner), world.gateway(Manner::Well));
        let summary = world.run(World::config(&[hostile.addr, well.addr]), 0..40).await;
        assert_eq!((summary.durable, summary.pending), (40, 0));
        assert_eq!(well.sequences(), (0..40).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_tracker_needs_a_vehicle_and_a_server() {
    let world = World::new();
    let bind = |config, identity| {
        let (_, gps) = mpsc::channel(1);
        Tracker::bind(world.env.clone(), config, identity, world.trust.clone(), gps)
            .map(|_| ())
            .expect_err("refused")
    };
    let error = bind(World::config(&[]), world.vehicle());
    assert!(
        matches!(&error, BindError::Config(problem) if problem.contains("list at least one gateway")),
        "{error}"
    );
    let gateway = world.identity(&Principal::service(NodeKind::Gateway, 0));
    let error = bind(World::config(&[SocketAddr::from(([127, 0, 0, 1], 1))]), gateway);
    assert_eq!(
        error.to_string(),
        "the certificate names drover://svc/gateway/0, not a vehicle (drover://<tenant>/vehicle/<id>)"
    );
}
