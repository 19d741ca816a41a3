//! Real QUIC over the simulated network: what a run promises, shown on the smallest cluster there is.

use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;
use std::time::Duration;

use drover_env::{Env, RecvMeta, SeedTree, Transmit, Value};
use drover_model::{NodeKind, NodeName, TenantId, VehicleId, WallTime};
use drover_quic::{Ca, Identity, Principal, Profile, ServerSetup, Trust};
use drover_simnet::{Access, Effect, Observer, Rule, Sim, SimConfig, Sites};
use tokio::time::sleep;

const SERVER: NodeName = NodeName::new(NodeKind::Gateway, 0);
const CLIENT: NodeName = NodeName::new(NodeKind::Vehicle, 0);
const ALPN: &[u8] = b"echo";

/// Keeps every event as a line.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Observer for Lines {
    fn event(&self, at: Duration, node: NodeName, name: &'static str, fields: &[(&'static str, Value<'_>)]) {
        let fields: Vec<_> = fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let line = format!("{:.6} {node} {name} {}", at.as_secs_f64(), fields.join(" "));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

struct Cluster {
    sim: Sim,
    ca: Ca,
    seeds: SeedTree,
}

impl Cluster {
    fn identity(&self, who: &Principal) -> (Identity, Trust) {
        (self.ca.issue(who, &self.seeds).expect("a certificate"), self.ca.trust().expect("a root"))
    }

    /// Starts the server node: it echoes every stream, and counts what it hears.
    fn start_server(&self) {
        let env = self.sim.start(SERVER).expect("the server was down");
        let (identity, trust) = self.identity(&Principal::Service(SERVER));
        let setup = ServerSetup {
            identity: &identity,
            trust: &trust,
            alpn: ALPN,
            profile: &Profile::vehicle(),
            reset_key: identity.derive_key("reset"),
        };
        let endpoint =
            drover_quic::server(&env, (Ipv4Addr::UNSPECIFIED, 443).into(), &setup).expect("an endpoint");
        let spawner = env.clone();
        drop(env.spawn("server", async move {
            while let Some(incoming) = endpoint.accept().await {
                let echo = spawner.clone();
                drop(spawner.spawn("echo", async move {
                    let Ok(connection) = incoming.await else { return };
                    let who = drover_quic::principal(&connection).expect("a named peer").to_string();
                    echo.event("server.accepted", &[("who", Value::Str(&who))]);
                    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
                        let Ok(body) = recv.read_to_end(1 << 20).await else { return };
                        let from = connection.remote_address().to_string();
                        echo.event(
                            "server.heard",
                            &[("bytes", Value::U64(body.len() as u64)), ("from", Value::Str(&from))],
                        );
                        let _ = send.write_all(&body).await;
                        let _ = send.finish();
                    }
                }));
            }
        }));
    }

    /// Starts the client node: it calls every 200 ms, over a new connection whenever the old one is gone.
    fn start_client(&self) {
        let env = self.sim.start(CLIENT).expect("the client was down");
        let tenant = TenantId::new("acme").expect("a valid name");
        let vehicle = VehicleId::new("TRUCK-042").expect("a valid name");
        let (identity, trust) = self.identity(&Principal::Vehicle { tenant, vehicle });
        drop(env.clone().spawn("client", async move {
            let endpoint = drover_quic::client(&env, (Ipv4Addr::UNSPECIFIED, 0).into()).expect("an endpoint");
            let profile = Profile::vehicle();
            let config =
                drover_quic::client_config(&env, &identity, &trust, ALPN, &profile).expect("a config");
            let to = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 443));
            loop {
                let name = drover_quic::server_name(NodeKind::Gateway);
                let connecting = endpoint.connect_with(config.clone(), to, name).expect("a valid address");
                if let Ok(connection) = connecting.await {
                    env.event("client.connected", &[]);
                    let mut source = env.source_ip(to).expect("a route");
                    while call(&env, &endpoint, &connection, &mut source).await.is_some() {}
                    env.event("client.lost", &[]);
                }
            }
        }));
    }
}

/// One echo of 3,000 bytes; moves to a new socket first if the node has moved.
async fn call(
    env: &Env,
    endpoint: &quinn::Endpoint,
    connection: &quinn::Connection,
    source: &mut IpAddr,
) -> Option<()> {
    let now = env.source_ip(connection.remote_address()).ok()?;
    if std::mem::replace(source, now) != now {
        env.event("client.moved", &[]);
        drover_quic::rebind(env, endpoint, (Ipv4Addr::UNSPECIFIED, 0).into(), None).ok()?;
    }
    let (mut send, mut recv) = connection.open_bi().await.ok()?;
    send.write_all(&[7; 3000]).await.ok()?;
    send.finish().ok()?;
    let body = recv.read_to_end(1 << 20).await.ok()?;
    env.event("client.answered", &[("bytes", Value::U64(body.len() as u64))]);
    sleep(Duration::from_millis(200)).await;
    Some(())
}

/// Runs the cluster for a while with `script` beside it; returns the hash and the events.
fn run<F: Future<Output = ()>>(
    seed: u64,
    access: Access,
    script: impl FnOnce(Sim) -> F,
) -> (u64, Vec<String>) {
    run_ordered(seed, access, false, script)
}

/// The same with ready work in an order of the seed's, if so wanted.
fn run_ordered<F: Future<Output = ()>>(
    seed: u64,
    access: Access,
    shuffle: bool,
    script: impl FnOnce(Sim) -> F,
) -> (u64, Vec<String>) {
    let runtime = drover_simnet::runtime().expect("a runtime");
    let lines = Arc::new(Lines::default());
    let hash = runtime.block_on(async {
        let seeds = SeedTree::from_number(seed);
        let start = WallTime::from_secs(1_772_434_800);
        let sim = Sim::new(SimConfig {
            seeds,
            start,
            capture: None,
            observer: lines.clone(),
            sites: Sites::default(),
            shuffle,
            profile: None,
        });
        sim.add_node(SERVER, Ipv4Addr::new(10, 0, 0, 1).into(), Access::data_centre());
        sim.add_node(CLIENT, Ipv4Addr::new(100, 64, 0, 1).into(), access);
        let ca = Ca::new(&seeds, start).expect("a CA");
        let cluster = Cluster { sim: sim.clone(), ca, seeds };
        cluster.start_server();
        cluster.start_client();
        let script = async {
            let run = script(sim.clone());
            run.await;
            if !sim.is_up(SERVER) {
                cluster.start_server();
            }
            sleep(Duration::from_secs(30)).await;
        };
        sim.carry_while(script).await;
        sim.trace(|trace| trace.hash())
    });
    let lines = std::mem::take(&mut *lines.0.lock().unwrap_or_else(PoisonError::into_inner));
    (hash, lines)
}

fn mobile() -> Access {
    Access {
        latency: Duration::from_millis(40),
        jitter: Duration::from_millis(5),
        loss: 0.05,
        duplicate: 0.01,
        corrupt: 0.01,
        ..Access::data_centre()
    }
}

fn count(lines: &[String], name: &str) -> usize {
    lines.iter().filter(|line| line.contains(name)).count()
}

async fn quiet(_: Sim) {
    sleep(Duration::from_secs(5)).await;
}

#[test]
fn same_seed_same_bytes_and_another_seed_others() {
    let (first, lines) = run(7, mobile(), quiet);
    assert!(count(&lines, "client.answered") > 80, "only {} answers", count(&lines, "client.answered"));
    assert_eq!(run(7, mobile(), quiet).0, first);
    assert_ne!(run(8, mobile(), quiet).0, first);
}

#[test]
fn a_shuffled_run_is_another_day_of_the_same_service_and_the_same_each_time() {
    let first_come = run(7, mobile(), quiet).0;
    let (shuffled, lines) = run_ordered(7, mobile(), true, quiet);
    assert_ne!(shuffled, first_come);
    assert_eq!(run_ordered(7, mobile(), true, quiet).0, shuffled);
    assert_ne!(run_ordered(8, mobile(), true, quiet).0, shuffled);
    assert!(count(&lines, "client.answered") > 60, "only {} answers", count(&lines, "client.answered"));
    assert_eq!((count(&lines, "client.connected"), count(&lines, "client.lost")), (1, 0));
}

/// In which order twelve tasks run that were all started at one instant, on two nodes.
fn order_of_tasks(seed: u64, shuffle: bool) -> Vec<String> {
    let runtime = drover_simnet::runtime().expect("a runtime");
    let lines = Arc::new(Lines::default());
    runtime.block_on(async {
        let sim = Sim::new(SimConfig {
            seeds: SeedTree::from_number(seed),
            start: WallTime::from_secs(0),
            capture: None,
            observer: lines.clone(),
            sites: Sites::default(),
            shuffle,
            profile: None,
        });
        for (node, last) in [(SERVER, 1), (CLIENT, 2)] {
            sim.add_node(node, Ipv4Addr::new(10, 0, 0, last).into(), Access::data_centre());
            let env = sim.start(node).expect("it was down");
            for number in 0..6 {
                let of_task = env.clone();
                drop(env.spawn("task", async move {
                    sleep(Duration::from_secs(1)).await;
                    of_task.event("ran", &[("number", Value::U64(number))]);
                }));
            }
        }
        sim.carry_while(sleep(Duration::from_secs(2))).await;
    });
    std::mem::take(&mut *lines.0.lock().unwrap_or_else(PoisonError::into_inner))
}

#[test]
fn tasks_that_are_ready_at_one_instant_run_in_an_order_of_the_seed() {
    let first_come = order_of_tasks(1, false);
    assert_eq!(first_come.len(), 12);
    assert!(first_come[..6].iter().all(|line| line.contains("gateway/0")), "{first_come:?}");
    assert_eq!(order_of_tasks(2, false), first_come);
    let (one, other) = (order_of_tasks(1, true), order_of_tasks(2, true));
    assert_eq!(order_of_tasks(1, true), one);
    assert!(one != first_come && other != first_come && one != other, "{one:?} {other:?}");
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    // The same twelve at the same instant.
    assert_eq!(sorted(one), sorted(first_come));
}

#[test]
fn runs_side_by_side_do_not_touch_each_other() {
    let alone = run(7, mobile(), quiet).0;
    #[expect(clippy::disallowed_methods, reason = "shows that two runs on two threads share nothing")]
    let other = std::thread::spawn(|| run(9, mobile(), quiet).0);
    assert_eq!(run(7, mobile(), quiet).0, alone);
    assert_eq!(other.join().expect("no panic"), run(9, mobile(), quiet).0);
}

#[test]
fn the_peer_is_known_by_its_certificate() {
    let (_, lines) = run(7, mobile(), quiet);
    assert_eq!(count(&lines, "server.accepted who=drover://acme/vehicle/TRUCK-042"), 1);
}

#[test]
fn a_restarted_server_resets_its_old_connections_at_once() {
    let (_, lines) = run(7, Access::data_centre(), |sim| async move {
        sleep(Duration::from_secs(5)).await;
        assert!(sim.crash(SERVER));
        sleep(Duration::from_secs(5)).await;
    });
    assert_eq!(count(&lines, "client.connected"), 2);
    // The idle timeout is two minutes: only a stateless reset under the same key can be this early.
    assert_eq!(count(&lines, "client.lost"), 1);
}

#[test]
fn whoever_speaks_of_an_unknown_connection_is_reset_also_when_many_do_at_once() {
    let packets = |sim: Sim| async move {
        let other = NodeName::new(NodeKind::Vehicle, 1);
        sim.add_node(other, Ipv4Addr::new(100, 64, 0, 9).into(), Access::data_centre());
        let env = sim.start(other).expect("it was down");
        let socket = env.datagrams((Ipv4Addr::UNSPECIFIED, 0).into()).expect("a socket");
        drop(env.clone().spawn("unknown", async move {
            for number in 0..30 {
                // A short header, the id of no connection, and enough behind it.
                let contents = [&[0x40][..], &[number; 60]].concat();
                let destination = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 443));
                let packet = Transmit {
                    destination,
                    contents: &contents,
                    ecn: None,
                    segment_size: None,
                    src_ip: None,
                };
                socket.try_send_batch(&[packet]).expect("room");
            }
            let mut room = [0; 1500];
            loop {
                let mut meta = [RecvMeta::default()];
                let receive = |cx: &mut Context<'_>| {
                    socket.poll_recv_batch(cx, &mut [IoSliceMut::new(&mut room)], &mut meta)
                };
                std::future::poll_fn(receive).await.expect("a datagram");
                env.event("unknown.answered", &[("bytes", Value::U64(meta[0].len as u64))]);
            }
        }));
        sleep(Duration::from_secs(1)).await;
    };
    let (_, lines) = run(7, Access::data_centre(), packets);
    assert_eq!(count(&lines, "unknown.answered"), 30);
    assert_eq!(count(&lines, "unknown.answered bytes=61"), 0, "shorter than what they answer");
}

#[test]
fn a_client_that_changes_its_address_keeps_its_connection() {
    let (_, lines) = run(7, mobile(), |sim| async move {
        sleep(Duration::from_secs(5)).await;
        sim.set_ip(CLIENT, Ipv4Addr::new(100, 64, 0, 2).into());
        sleep(Duration::from_secs(5)).await;
    });
    assert_eq!(count(&lines, "client.connected"), 1);
    assert_eq!(count(&lines, "client.moved"), 1);
    assert!(count(&lines, "from=100.64.0.2") > 20);
}

#[test]
fn a_one_way_partition_stops_answers_and_heals() {
    let (_, lines) = run(7, Access::data_centre(), |sim| async move {
        sleep(Duration::from_secs(5)).await;
        let rule =
            Rule { from: SERVER.into(), to: CLIENT.into(), both_ways: false, effect: Effect::Partition };
        sim.add_rule(1, rule);
        assert!(sim.is_partitioned(SERVER, CLIENT));
        assert!(!sim.is_partitioned(CLIENT, SERVER));
        sleep(Duration::from_secs(10)).await;
        sim.remove_rule(1);
    });
    assert_eq!(count(&lines, "client.connected"), 1, "ten seconds are less than the idle timeout");
    let at =
        |line: &str| line.split(' ').next().and_then(|time| time.parse::<f64>().ok()).expect("a time first");
    let answered = |from: f64, to: f64| {
        let times = lines.iter().filter(|line| line.contains("client.answered")).map(|line| at(line));
        times.filter(|time| (from..to).contains(time)).count()
    };
    assert!(answered(0.0, 5.0) > 0, "before");
    assert_eq!(answered(5.1, 15.0), 0, "while no answer passes");
    assert!(answered(15.0, 60.0) > 0, "it went on after the partition");
    let heard = lines.iter().filter(|line| line.contains("server.heard") && (5.0..5.5).contains(&at(line)));
    assert!(heard.count() > 0, "the way there stays open");
}

#[test]
fn a_paused_node_does_nothing_until_it_is_resumed() {
    let (_, lines) = run(7, Access::data_centre(), |sim| async move {
        sleep(Duration::from_secs(5)).await;
        sim.set_paused(SERVER, true);
        let before = sim.now();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(sim.now() - before, Duration::from_secs(10));
        sim.set_paused(SERVER, false);
    });
    let heard: Vec<_> = lines.iter().filter(|line| line.contains("server.heard")).collect();
    let while_paused = heard.iter().filter(|line| ["6.", "8.", "12."].iter().any(|at| line.starts_with(at)));
    assert_eq!(while_paused.count(), 0);
    assert!(heard.len() > 50);
}
