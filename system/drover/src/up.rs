//! `drover up`: the services of a cluster file as processes on this machine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use drover_env::Chain;
use drover_env::real::{self, Metrics};
use drover_supervisor::{Cgroups, Cluster, Handle, Log, Summary, Supervisor, reap_orphans};
use sd_notify::NotifyState;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::cli::{MigrateArgs, Placement, UpArgs};
use crate::config::{self, PERSISTENCE};
use crate::services::TrackerConfig;
use crate::{Stop, complain, database, show};

/// How long the services may take until all of them serve for the first time. One that waits for its database is not ready;
/// it is waited for all the same, and said.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Where it is said how the services keep fixes.
const IN_MEMORY: &str =
    "in memory: NOTHING IS KEPT when the cluster ends; --database URL keeps fixes in PostgreSQL";

/// The cluster file that is meant by a file or a folder.
pub(crate) fn cluster_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("cluster.toml") } else { path.to_owned() }
}

pub(crate) fn run(args: &UpArgs) -> Result<(), Stop> {
    let path = cluster_file(&args.cluster);
    let mut cluster = Cluster::load(&path).map_err(|error| {
        Stop::Usage(format!("{}; `drover init DIR` makes a folder with all that is needed", Chain(&error)))
    })?;
    check_configs(&cluster)?;
    if args.check_config {
        show(&format!("{} is good\n", path.display()));
        return Ok(());
    }
    let store = prepare_store(&mut cluster, args.database.as_deref())?;
    complain(&format!("the store is {store}"));
    let program = std::env::current_exe().map_err(|error| Stop::Failed(format!("find drover: {error}")))?;
    // One thread: processes are told to stop when the thread that started them ends.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::Failed(format!("start the runtime: {error}")))?;
    runtime.block_on(keep(&cluster, &program, store))
}

/// Checks the config of every instance, and that they know each other, so that a cluster starts whole or not at all.
fn check_configs(cluster: &Cluster) -> Result<(), Stop> {
    let (mut agents, mut gateways, mut routers) = (Vec::new(), Vec::new(), Vec::new());
    let (mut gateway_knows, mut router_knows) = (None, None);
    let (mut health, mut joined, mut hubs) = (Vec::new(), Vec::new(), Vec::new());
    for instance in cluster.instances() {
        let (index, listen, node) = (instance.index, instance.listen, instance.node.clone());
        let placement = Placement { index, listen, admin: Some(instance.admin), supervised: true };
        let path = &instance.config;
        match instance.kind.as_str() {
            "gateway" => {
                let service = config::load::<drover_gateway::Config>(path, "gateway", &placement)?.service;
                gateways.push((node, service.listen));
                joined.push((path.clone(), "gateway", service.discovery.clone()));
                gateway_knows.get_or_insert((path.clone(), service));
            }
            "router" => {
                let service = config::load::<drover_router::Config>(path, "router", &placement)?.service;
                let service = config::placed(service, &placement);
                routers.push((node, service.inner));
                joined.push((path.clone(), "router", service.discovery.clone()));
                router_knows.get_or_insert((path.clone(), service.gateways));
            }
            "dns" => {
                let service = config::load::<drover_dns::Config>(path, "dns", &placement)?.service;
                service.check().map_err(|problem| config::usage(path, &format!("[dns]: {problem}")))?;
            }
            PERSISTENCE => {
                let loaded = config::load::<drover_persistence::Config>(path, PERSISTENCE, &placement)?;
                agents.push((node, loaded.service.listen));
                joined.push((path.clone(), PERSISTENCE, loaded.service.discovery));
            }
            config::HUB => {
                let service = config::load::<drover_hub::Config>(path, config::HUB, &placement)?.service;
                service.check().map_err(|problem| config::usage(path, &format!("[hub]: {problem}")))?;
                let service = config::placed_hub(service, &placement);
                hubs.push((node, service.bus_listen));
                joined.push((path.clone(), config::HUB, service.discovery));
            }
            "health" => {
                let loaded = config::load::<drover_health::Config>(path, "health", &placement)?;
                health.push((node, loaded.service.listen));
            }
            _ => drop(config::load::<TrackerConfig>(path, "tracker", &placement)?),
        }
    }
    if let Some((path, known)) = gateway_knows {
        let is_known = |node: &str, addr| {
            known.persistence.iter().any(|peer| peer.node.to_string() == node && peer.addr == addr)
        };
        expect_listed(&path, "gateway.persistence", &agents, is_known)?;
        // With health agents a gateway hears of hubs.
        if known.discovery.agents.is_empty() {
            let is_known = |node: &str, addr| {
                known.live.iter().any(|peer| peer.node.to_string() == node && peer.addr == addr)
            };
            expect_listed(&path, "gateway.live", &hubs, is_known)?;
        }
        if let Some((node, inner)) = routers.iter().find(|(_, inner)| !known.routers.contains(inner)) {
            let problem = format!("{node} of this cluster is not listed; add \"{inner}\" to its `routers`");
            return Err(config::usage(&path, &problem));
        }
    }
    if let Some((path, known)) = router_knows {
        let is_known =
            |node: &str, addr| known.iter().any(|peer| peer.node.to_string() == node && peer.addr == addr);
        expect_listed(&path, "router.gateways", &gateways, is_known)?;
    }
    for (path, kind, discovery) in joined {
        let is_known = |node: &str, addr| {
            discovery.agents.iter().any(|agent| agent.node.to_string() == node && agent.addr == addr)
        };
        expect_listed(&path, &format!("{kind}.discovery.agents"), &health, is_known)?;
    }
    Ok(())
}

/// Names the first node that its caller does not know, with what is to be added there.
fn expect_listed(
    path: &Path,
    table: &str,
    nodes: &[(String, SocketAddr)],
    is_known: impl Fn(&str, SocketAddr) -> bool,
) -> Result<(), Stop> {
    let Some((node, addr)) = nodes.iter().find(|(node, addr)| !is_known(node, *addr)) else { return Ok(()) };
    let add = format!("[[{table}]]\n    node = \"{node}\"\n    addr = \"{addr}\"");
    Err(config::usage(path, &format!("{node} of this cluster is not listed; add\n  {add}")))
}

/// Gets the database ready, if one is named on the command line, and says where fixes are kept.
fn prepare_store(cluster: &mut Cluster, url: Option<&str>) -> Result<String, Stop> {
    let Some(agents) = cluster.services.iter_mut().find(|service| service.kind == PERSISTENCE) else {
        return Ok("elsewhere: this cluster has no persistence agent".to_owned());
    };
    if let Some(url) = url {
        let config = agents.config.clone();
        database::migrate(&MigrateArgs {
            config,
            user: None,
            check_config: false,
            to_hypertables: false,
            plain: false,
            database: Some(url.to_owned()),
        })?;
        agents.env.insert("DROVER_DATABASE".to_owned(), url.to_owned());
        return Ok(format!("PostgreSQL at {url}"));
    }
    match config::database(&agents.config) {
        Ok(database) => Ok(format!("PostgreSQL at {}", database.endpoints.join(", "))),
        Err(_) => Ok(IN_MEMORY.to_owned()),
    }
}

/// Signals that a supervisor takes.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    child: Signal,
}

enum Told {
    Stop,
    Roll,
    Reap,
    Tick,
    Changed,
}

async fn keep(cluster: &Cluster, program: &Path, store: String) -> Result<(), Stop> {
    let failed = |what: &str, error: &dyn std::fmt::Display| Stop::Failed(format!("{what}: {error}"));
    let opened = |kind| signal(kind).map_err(|error| failed("take signals", &error));
    let mut signals = Signals {
        terminate: opened(SignalKind::terminate())?,
        interrupt: opened(SignalKind::interrupt())?,
        hangup: opened(SignalKind::hangup())?,
        child: opened(SignalKind::child())?,
    };
    let (cancel, roll, metrics) =
        (CancellationToken::new(), Arc::new(Notify::new()), Arc::new(Metrics::default()));
    let admin = Admin::new("supervisor".to_owned(), metrics.clone(), cancel.clone());
    admin.on_roll(roll.clone());
    let env =
        real::env("supervisor", &std::env::temp_dir(), metrics).map_err(|error| failed("start", &error))?;
    if let Some(addr) = cluster.supervisor.admin {
        let listening = admin.clone().listen(&env, addr).await;
        listening.map_err(|error| failed(&format!("[supervisor]: admin = {addr}"), &error))?;
    }
    let cgroups = Cgroups::of_self();
    if let Some(allowed) = cgroups.allowed().text() {
        complain(&format!("control groups allow {allowed}"));
    }
    let supervisor = Supervisor::start(cluster, program, &Log::to(std::io::stderr()));
    let handle = supervisor.handle();
    let told = handle.clone();
    admin.tell(move || {
        Some(json!({ "cluster": told.status(), "store": store, "allowed": cgroups.allowed() }))
    });
    let ended = serve(&mut signals, &handle, &admin, &roll, &cancel).await;
    tell_systemd(&[NotifyState::Stopping]);
    complain("draining; once more ends all at once");
    tokio::select! {
        biased;
        () = supervisor.stop() => {}
        _ = signals.terminate.recv() => {}
        _ = signals.interrupt.recv() => {}
    }
    ended
}

/// Until it is told to stop, or the cluster can not start.
async fn serve(
    signals: &mut Signals,
    handle: &Handle,
    admin: &Admin,
    roll: &Notify,
    cancel: &CancellationToken,
) -> Result<(), Stop> {
    let mut watched = handle.clone();
    let mut ready = Box::pin(async { handle.ready(READY_WITHIN).await });
    let (mut started, mut rolling) = (false, None);
    let mut tick = interval(watchdog_interval());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let told = tokio::select! {
            biased;
            _ = tick.tick() => Told::Tick,
            _ = signals.terminate.recv() => Told::Stop,
            _ = signals.interrupt.recv() => Told::Stop,
            () = cancel.cancelled() => Told::Stop,
            _ = signals.hangup.recv() => Told::Roll,
            () = roll.notified() => Told::Roll,
            _ = signals.child.recv() => Told::Reap,
            result = &mut ready, if !started => {
                started = true;
                match result {
                    Ok(()) => {
                        complain("every service is ready");
                        admin.ready();
                    }
                    Err(error @ drover_supervisor::StartError::Ended { .. }) => {
                        return Err(Stop::Failed(error.to_string()));
                    }
                    Err(error) => complain(&format!("{error}; it is waited for")),
                }
                tell_systemd(&[NotifyState::Ready]);
                Told::Changed
            }
            done = rolled(&mut rolling), if rolling.is_some() => {
                rolling = None;
                complain(&done);
                Told::Changed
            }
            () = watched.changed() => Told::Changed,
        };
        match told {
            Told::Stop => return Ok(()),
            Told::Roll if rolling.is_some() => complain("a restart is under way already"),
            Told::Roll => {
                complain("restarting one at a time");
                let handle = handle.clone();
                rolling = Some(Box::pin(async move {
                    match handle.roll().await {
                        Ok(()) => "every service was restarted".to_owned(),
                        Err(error) => format!("the restart has stopped: {error}"),
                    }
                }) as Rolling);
            }
            Told::Reap => reap_orphans(|pid| handle.status().services.iter().any(|one| one.pid == Some(pid))),
            Told::Tick => tell_systemd(&[NotifyState::Watchdog]),
            Told::Changed if started => {
                if handle.status().state == Summary::Ready {
                    admin.ready();
                }
            }
            Told::Changed => {}
        }
    }
}

type Rolling = std::pin::Pin<Box<dyn Future<Output = String>>>;

async fn rolled(rolling: &mut Option<Rolling>) -> String {
    match rolling {
        Some(rolling) => rolling.await,
        None => std::future::pending().await,
    }
}

/// Half of what systemd allows (sd_watchdog_enabled(3)); without a watchdog, seldom.
fn watchdog_interval() -> Duration {
    sd_notify::watchdog_enabled().map_or(Duration::from_secs(60), |allowed| allowed / 2)
}

/// Without systemd there is nobody to tell.
fn tell_systemd(state: &[NotifyState<'_>]) {
    drop(sd_notify::notify(state));
}
