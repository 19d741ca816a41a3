//! Starts one service in this process and ends it on SIGTERM or Ctrl-C.

mod hub;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use drover_bus::discovery::{Discovery, Node, Snapshot};
use drover_env::real::{self, Metrics};
use drover_env::{Chain, Env};
use drover_gateway::Cordon;
use drover_model::{Fix, NodeName};
use drover_persistence::Persistence;
use drover_quic::{Identity, Principal};
use drover_store::postgres::{self, PostgresStore};
use drover_store::{MemoryStore, Store};
use drover_supervisor::end_with_parent;
use drover_tracker::OnBoard;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::admin::Admin;
use crate::can::CanConfig;
use crate::cli::{PersistenceArgs, Placement, ServiceArgs, TrackerArgs};
use crate::config::{self, Loaded, LogFormat, Process, usage};
use crate::operations::Operations;
use crate::pki::RevokedList;
use crate::source::Source;
use crate::{Stop, complain, database, metrics, pki, print, show};
pub(crate) use hub::hub;

/// How often the list of what was revoked is read again.
const REVOKED_FILE_INTERVAL: Duration = Duration::from_secs(10);

pub(crate) fn gateway(args: &ServiceArgs) -> Result<(), Stop> {
    let Some((path, loaded)) = prepare::<drover_gateway::Config>(args, "gateway")? else { return Ok(()) };
    loaded.service.check().map_err(|problem| usage(path, &format!("[gateway]: {problem}")))?;
    expect_name(
        path,
        &loaded.identity,
        "a gateway (drover://svc/gateway/<index>)",
        |who| matches!(who, Principal::Service(node) if node.kind == drover_model::NodeKind::Gateway),
    )?;
    if let Some(file) = &loaded.revoked {
        read_revoked(file).map_err(|problem| usage(path, &format!("[tls]: revoked: {problem}")))?;
    }
    if args.check_config {
        return checked(path);
    }
    let Loaded { process, service, cluster, identity, trust, revoked, .. } = loaded;
    let name = identity.principal();
    run(&process, &args.placement, name, |env, cancel, admin| async move {
        let gateway = drover_gateway::Gateway::bind_with(env.clone(), service, &identity, &trust, cluster)
            .map_err(|error| Chain(&error).to_string())?;
        let cordon = Cordon::default();
        let gateway = gateway.with_cordon(cordon.clone());
        let discovery = gateway.discovery();
        let closed = cordon.clone();
        admin.tell(move || {
            let mut details = news(discovery.as_ref())?;
            details["closed_to_new"] = closed.is_set().into();
            Some(details)
        });
        admin.on_cordon(cordon);
        let addr = gateway.local_addr().map_err(|error| format!("read the address: {error}"))?;
        if let Some(file) = revoked {
            // Before the first vehicle is taken.
            let revoked = gateway.revoked();
            let take = move |list: RevokedList| revoked.set_listed(list.certificates);
            take(read_revoked(&file)?);
            drop(env.spawn("gateway.revoked_file", keep_reading(file, take)));
        }
        info!(%addr, "gateway listens");
        admin.ready();
        gateway.run(cancel).await;
        Ok(())
    })
}

pub(crate) fn router(args: &ServiceArgs) -> Result<(), Stop> {
    let Some((path, mut loaded)) = prepare::<drover_router::Config>(args, "router")? else { return Ok(()) };
    loaded.service.check().map_err(|problem| usage(path, &format!("[router]: {problem}")))?;
    expect_name(
        path,
        &loaded.identity,
        "a router (drover://svc/router/<index>)",
        |who| matches!(who, Principal::Service(node) if node.kind == drover_model::NodeKind::Router),
    )?;
    let Some(keys) = loaded.cluster else {
        return Err(usage(path, "[cluster] is missing: it names the secret that gateways and routers share"));
    };
    if args.check_config {
        return checked(path);
    }
    loaded.service = config::placed(loaded.service, &args.placement);
    let Loaded { process, service, identity, trust, .. } = loaded;
    run(&process, &args.placement, identity.principal(), |env, cancel, admin| async move {
        let router = drover_router::Router::bind_as(env, service, keys, &identity, &trust)
            .map_err(|error| Chain(&error).to_string())?;
        let router = router.listen().await.map_err(|error| Chain(&error).to_string())?;
        let discovery = router.discovery();
        admin.tell(move || news(discovery.as_ref()));
        let failed = |error| format!("read the address: {error}");
        let (addr, inner) = (router.local_addr().map_err(failed)?, router.inner_addr().map_err(failed)?);
        let tcp = router.tcp_addr().map(tracing::field::display);
        let live = router.live_addrs().map_err(failed)?.map(|(listen, _)| tracing::field::display(listen));
        info!(%addr, %inner, tcp, live, "router listens");
        admin.ready();
        router.run(cancel).await;
        Ok(())
    })
}

pub(crate) fn dns(args: &ServiceArgs) -> Result<(), Stop> {
    let Some((path, loaded)) = prepare::<drover_dns::Config>(args, "dns")? else { return Ok(()) };
    loaded.service.check().map_err(|problem| usage(path, &format!("[dns]: {problem}")))?;
    expect_name(
        path,
        &loaded.identity,
        "a DNS server (drover://svc/dns/<index>)",
        |who| matches!(who, Principal::Service(node) if node.kind == drover_model::NodeKind::Dns),
    )?;
    let Some(keys) = loaded.cluster else {
        return Err(usage(path, "[cluster] is missing: it names the secret that DNS servers share"));
    };
    if args.check_config {
        return checked(path);
    }
    let Loaded { process, service, identity, trust, .. } = loaded;
    run(&process, &args.placement, identity.principal(), |env, cancel, admin| async move {
        let dns = drover_dns::Dns::bind(env, service, &identity, &trust, keys)
            .await
            .map_err(|error| Chain(&error).to_string())?;
        let discovery = dns.discovery();
        admin.tell(move || news(discovery.as_ref()));
        let addr = dns.local_addr().map_err(|error| format!("read the address: {error}"))?;
        info!(%addr, "DNS server listens");
        admin.ready();
        dns.run(cancel).await;
        Ok(())
    })
}

pub(crate) fn health(args: &ServiceArgs) -> Result<(), Stop> {
    let Some((path, loaded)) = prepare::<drover_health::Config>(args, "health")? else { return Ok(()) };
    loaded.service.check().map_err(|problem| usage(path, &format!("[health]: {problem}")))?;
    expect_name(
        path,
        &loaded.identity,
        "a health agent (drover://svc/health/<index>)",
        |who| matches!(who, Principal::Service(node) if node.kind == drover_model::NodeKind::Health),
    )?;
    if args.check_config {
        return checked(path);
    }
    let Loaded { process, service, identity, trust, .. } = loaded;
    run(&process, &args.placement, identity.principal(), |env, cancel, admin| async move {
        let agent = drover_health::Health::bind(env, service, &identity, &trust)
            .map_err(|error| Chain(&error).to_string())?;
        let addr = agent.local_addr().map_err(|error| format!("read the address: {error}"))?;
        let watched = agent.watched();
        admin.tell(move || {
            let (snapshot, blind) = watched.newest();
            Some(json!({ "nodes": states(&snapshot), "version": snapshot.version, "blind": blind }))
        });
        info!(%addr, "health agent listens");
        admin.ready();
        agent.run(cancel).await;
        Ok(())
    })
}

/// What a service has heard of others, and how old that is; nothing of one that listens to nobody.
fn news(discovery: Option<&Discovery>) -> Option<serde_json::Value> {
    let discovery = discovery?;
    let age_ms = discovery.age().map(|age| age.as_millis() as u64);
    Some(json!({ "news_age_ms": age_ms, "nodes": states(&discovery.snapshot()) }))
}

fn states(snapshot: &Snapshot) -> BTreeMap<String, serde_json::Value> {
    let node = |(name, node): (&NodeName, &Node)| {
        let state = json!({
            "state": node.state.name(),
            "load_percent": node.load_percent,
            "capacity": node.capacity,
            "zone": node.zone.as_ref().map(ToString::to_string),
            "seen_at": node.seen_at.to_string(),
        });
        (name.to_string(), state)
    };
    snapshot.nodes.iter().map(node).collect()
}

fn read_revoked(file: &Path) -> Result<RevokedList, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("read {}: {error}", file.display()))?;
    pki::revoked_in(&text, drover_env::real::wall())
        .map_err(|problem| format!("{}: {problem}", file.display()))
}

/// Reads the list again and again, until the process ends. While it can not be read the last one holds.
async fn keep_reading(file: PathBuf, take: impl Fn(RevokedList) + Send) {
    loop {
        sleep(REVOKED_FILE_INTERVAL).await;
        match read_revoked(&file) {
            Ok(list) => take(list),
            Err(error) => {
                warn!(error, "the list of what was revoked can not be read; the last one holds");
            }
        }
    }
}

pub(crate) fn persistence(args: &PersistenceArgs) -> Result<(), Stop> {
    let PersistenceArgs { service: args, database } = args;
    let prepared = prepare::<drover_persistence::Config>(args, config::PERSISTENCE)?;
    let Some((path, mut loaded)) = prepared else { return Ok(()) };
    if let Some(url) = database {
        loaded.postgres = Some(config::at_url(loaded.postgres, url)?);
    }
    loaded.service.check().map_err(|problem| usage(path, &format!("[persistence]: {problem}")))?;
    if let Some(postgres) = &loaded.postgres {
        postgres.check().map_err(|problem| usage(path, &format!("[postgres]: {problem}")))?;
    }
    expect_name(
        path,
        &loaded.identity,
        "a persistence agent (drover://svc/persistence/<index>)",
        |who| matches!(who, Principal::Service(node) if node.kind == drover_model::NodeKind::Persistence),
    )?;
    if args.check_config {
        return checked(path);
    }
    let Loaded { process, service, postgres, identity, trust, .. } = loaded;
    let name = identity.principal();
    if postgres.is_none() {
        complain(
            "the store is in memory: NOTHING IS KEPT when this process ends, and agents do not share what they store",
        );
    }
    run(&process, &args.placement, name, |env, cancel, admin| async move {
        let Some(store) = Kept::open(&env, postgres, &cancel).await? else { return Ok(()) };
        let agent =
            drover_persistence::Persistence::bind(env.clone(), service, &identity, &trust, store.for_agent())
                .map_err(|error| Chain(&error).to_string())?;
        let agent = store.offered_by(agent);
        let discovery = agent.discovery();
        admin.tell(move || news(discovery.as_ref()));
        if let Kept::Postgres(store) = &store {
            admin.offer(Operations::new(env, store.clone()));
        }
        let addr = agent.local_addr().map_err(|error| format!("read the address: {error}"))?;
        info!(%addr, "persistence agent listens");
        admin.ready();
        agent.run(cancel).await;
        store.close().await;
        Ok(())
    })
}

/// Where an agent keeps fixes.
enum Kept {
    Memory(MemoryStore),
    Postgres(Arc<PostgresStore>),
}

impl Kept {
    /// Waits for the database; `None` if told to stop before it is there.
    async fn open(
        env: &Env,
        postgres: Option<postgres::Config>,
        cancel: &CancellationToken,
    ) -> Result<Option<Self>, String> {
        let Some(config) = postgres else { return Ok(Some(Self::Memory(MemoryStore::new()))) };
        let store = database::open(config, cancel).await?;
        if let Some(store) = &store {
            drop(env.spawn("database.upkeep", database::keep_up(store.clone())));
            drop(env.spawn("database.newest", database::keep_newest(store.clone())));
        }
        Ok(store.map(Self::Postgres))
    }

    fn for_agent(&self) -> Arc<dyn Store> {
        match self {
            Self::Memory(store) => Arc::new(store.clone()),
            Self::Postgres(store) => store.clone(),
        }
    }

    /// The agent with everything that it offers beside its writing.
    fn offered_by(&self, agent: Persistence) -> Persistence {
        match self {
            Self::Memory(store) => {
                let store = Arc::new(store.clone());
                agent
                    .with_history(store.clone())
                    .with_orders(store.clone())
                    .with_revocations(store.clone())
                    .with_trail(store)
            }
            Self::Postgres(store) => agent
                .with_history(store.clone())
                .with_orders(store.clone())
                .with_revocations(store.clone())
                .with_trail(store.clone()),
        }
    }

    /// Writes what is still to be written, and says what becomes of the rest.
    async fn close(&self) {
        match self {
            Self::Memory(store) => {
                let (rows, dead_letters) = (store.rows_len(), store.dead_letters().len());
                info!(rows, dead_letters, "persistence agent stopped; what it stored is gone");
            }
            Self::Postgres(store) => {
                if let Err(error) = store.write_all_newest().await {
                    warn!(error, "newest positions are found again when an agent starts");
                }
                info!("persistence agent stopped");
            }
        }
    }
}

/// A tracker's own table, its receiver's and its bus's.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TrackerConfig {
    pub(crate) source: Source,
    session: drover_tracker::Config,
    pub(crate) can: CanConfig,
}

pub(crate) fn tracker(args: &TrackerArgs) -> Result<(), Stop> {
    if args.print {
        return print::run(args);
    }
    let args = &args.service();
    let Some((path, loaded)) = prepare::<TrackerConfig>(args, "tracker")? else { return Ok(()) };
    let folder = path.parent().unwrap_or(Path::new(""));
    let can_problem = |problem: String| usage(path, &format!("[tracker.can]: {problem}"));
    loaded.service.can.check(folder).map_err(can_problem)?;
    loaded
        .service
        .session
        .check()
        .map_err(|problem| usage(path, &format!("[tracker.session]: {problem}")))?;
    expect_name(path, &loaded.identity, "a vehicle (drover://<tenant>/vehicle/<id>)", |who| {
        matches!(who, Principal::Vehicle { .. })
    })?;
    if args.check_config {
        // A receiver may be plugged in later: no error.
        if let Some(missing) = loaded.service.source.missing(folder) {
            complain(&format!("{}: {missing}", path.display()));
        }
        return checked(path);
    }
    let Loaded { process, service, identity, trust, .. } = loaded;
    let gps = service
        .source
        .open(folder)
        .map_err(|problem| usage(path, &format!("[tracker.source]: {problem}")))?;
    let bus = service.can.open(folder).map_err(can_problem)?;
    let name = identity.principal();
    run(&process, &args.placement, name, |env, cancel, admin| async move {
        let mut tracker = drover_tracker::Tracker::bind(env, service.session, identity, trust, gps)
            .map_err(|error| Chain(&error).to_string())?;
        if let Some(bus) = bus {
            tracker = tracker.with_can(bus);
        }
        let (newest, told) = (tracker.newest(), tracker.told());
        admin.tell(move || {
            let fix = newest.get().map(|fix| seen(&fix));
            Some(json!({ "fix": fix, "told": on_board(&told.get()) }))
        });
        admin.ready();
        let summary = tracker.run(cancel).await.map_err(|error| Chain(&error).to_string())?;
        info!(?summary, "tracker stopped");
        Ok(())
    })
}

/// What the tracker was told to do.
fn on_board(told: &OnBoard) -> serde_json::Value {
    let route = told.route.as_ref().map(|route| {
        json!({
            "id": route.id, "revision": route.version, "stops": route.stops, "points": route.path.len(), "reason": route.reason,
        })
    });
    let messages: Vec<_> =
        told.messages.iter().map(|message| json!({ "id": message.id, "body": message.text })).collect();
    json!({ "route": route, "messages": messages, "commands": told.commands })
}

/// A fix, for people who look whether their vehicle moves.
fn seen(fix: &Fix) -> serde_json::Value {
    let degrees = |value: f64| (value * 1e6).round() / 1e6;
    json!({
        "time": fix.time.to_string(),
        "lat": degrees(fix.position.lat()),
        "lon": degrees(fix.position.lon()),
        "speed_kmh": fix.speed.map(|speed| (speed.value() * 3.6).round()),
    })
}

/// Reads the config, or prints it and gives `None`.
fn prepare<'a, C>(args: &'a ServiceArgs, table: &str) -> Result<Option<(&'a Path, Loaded<C>)>, Stop>
where
    C: serde::de::DeserializeOwned + Serialize + Default + JsonSchema,
{
    if args.print_config {
        show(&config::resolved::<C>(args.config.as_deref(), table, &args.placement)?);
        return Ok(None);
    }
    let Some(path) = args.config.as_deref() else {
        return Err(Stop::Usage(first_steps(table)));
    };
    Ok(Some((path, config::load(path, table, &args.placement)?)))
}

/// What a service needs before it can run, for whoever starts it for the first time.
fn first_steps(table: &str) -> String {
    let name = if table == "tracker" { "acme/TRUCK-042".to_owned() } else { format!("{table}/0") };
    let mut text = format!(
        "{table} needs --config FILE. From nothing:\n  \
         drover init cluster                                 all of this at once, for one machine\n\
         or by hand:\n  \
         drover pki init pki                                 a private CA, once for the whole cluster\n  \
         drover pki issue pki {name:<31} this node's certificate\n  \
         drover {table} --print-config > {table}.toml\n  \
         drover {table} --config {table}.toml --check-config\n  \
         drover {table} --config {table}.toml"
    );
    if table == "tracker" {
        text += "\nWithout any of this, --print --nmea FILE shows the fixes of a receiver or a recording.";
    }
    text
}

fn expect_name(
    path: &Path,
    identity: &Identity,
    expected: &str,
    is_it: impl FnOnce(&Principal) -> bool,
) -> Result<(), Stop> {
    match identity.principal() {
        Some(who) if is_it(&who) => Ok(()),
        other => {
            let found = other.map_or_else(|| "nobody".to_owned(), |who| who.to_string());
            Err(usage(path, &format!("[tls]: the certificate names {found}, not {expected}")))
        }
    }
}

fn checked(path: &Path) -> Result<(), Stop> {
    show(&format!("{} is good\n", path.display()));
    Ok(())
}

/// Runs a service until it ends by itself or is told to.
fn run<F, Fut>(
    process: &Process,
    placement: &Placement,
    name: Option<Principal>,
    service: F,
) -> Result<(), Stop>
where
    F: FnOnce(Env, CancellationToken, Admin) -> Fut,
    Fut: Future<Output = Result<(), String>>,
{
    start_log(process)?;
    if placement.supervised {
        end_with_parent().map_err(|error| Stop::Failed(format!("--supervised: {error}")))?;
    }
    #[cfg(feature = "slowdown")]
    if let Some(Principal::Service(node)) = &name {
        crate::slowdown::plant(node.kind.name()).map_err(Stop::Usage)?;
    }
    let failed = |what: &str, error: &dyn std::fmt::Display| Stop::Failed(format!("{what}: {error}"));
    // Alone, a thread needs to wake no other: a message costs a third less than with two that share the work.
    let mut builder = match process.threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if process.threads > 1 {
        builder.worker_threads(process.threads);
    }
    let runtime = builder.enable_all().build().map_err(|error| failed("start the runtime", &error))?;
    let node = name.map(|who| who.to_string()).unwrap_or_default();
    let metrics = Arc::new(Metrics::default());
    let ended = runtime.block_on(async {
        let env = real::env(&node, &process.state_dir, metrics.clone())
            .map_err(|error| failed("open the node's folder", &error))?;
        let cancel = CancellationToken::new();
        let told = cancel.clone();
        drop(env.spawn("signals", async move { told_to_stop(&told).await }));
        let admin = Admin::new(node.clone(), metrics.clone(), cancel.clone());
        if let Some(addr) = process.admin {
            let listening = admin.clone().listen(&env, addr).await;
            listening.map_err(|error| failed(&format!("[process]: admin = {addr}"), &error))?;
        }
        service(env, cancel, admin).await.map_err(Stop::Failed)
    });
    log_counts(&metrics);
    ended
}

fn start_log(process: &Process) -> Result<(), Stop> {
    let filter = tracing_subscriber::EnvFilter::try_new(&process.log)
        .map_err(|error| Stop::Usage(format!("[process]: log = {:?}: {error}", process.log)))?;
    // A supervisor that dies takes the log's reader along: to complain of that on the same pipe would be a panic.
    let log = tracing_subscriber::fmt().log_internal_errors(false);
    let log = log.with_env_filter(filter).with_writer(std::io::stderr);
    match process.log_format {
        LogFormat::Human => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

/// The first SIGTERM or Ctrl-C asks the service to finish; the second one ends the process.
async fn told_to_stop(cancel: &CancellationToken) {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else { return };
    for first in [true, false] {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if first {
            // First: a log that nobody reads any more may fail.
            cancel.cancel();
            info!("stopping; once more stops at once");
        } else {
            std::process::exit(i32::from(crate::EXIT_FAILED));
        }
    }
}

/// What happened, in numbers, as the last line of the log.
fn log_counts(metrics: &Metrics) {
    let counts = metrics::by_event(metrics);
    info!(?counts, "events of this process");
}
