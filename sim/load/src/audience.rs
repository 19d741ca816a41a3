//! The watchers of a run: real clients of the live map, which do what they do in virtual time, by the same code. They share a thread of
//! this process, and come from many addresses of this machine.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use drover_env::{BoxFuture, ByteStream, Datagrams, Env, Listener, Net, Parts, real};
use drover_harness::live::{Crowd, Entrances, Tally, attend};
use drover_harness::report::Latency;
use drover_harness::scenario::Scenario;
use drover_model::{NodeKind, NodeName, TenantId};
use drover_quic::Trust;
use hdrhistogram::Histogram;
use tokio::runtime::{Handle, Runtime};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::Access;
use crate::memory::MemoryDisk;
use crate::onboard::{Common, Told, Witness};
use crate::problem::LoadError;

/// Watchers that come from one address: a hub bounds how many that may be.
const PER_ADDRESS: u32 = 200;
/// How often it is looked how late their thread is.
const PROBE_EVERY: Duration = Duration::from_millis(100);

/// Watchers that run, and their thread.
pub(crate) struct Audience {
    handle: Handle,
    tasks: TaskTracker,
    cancel: CancellationToken,
    thread: Option<JoinHandle<()>>,
    tally: Arc<Tally>,
    lag: Arc<Mutex<Histogram<u64>>>,
}

/// What watchers need to come in.
pub(crate) struct Doors<'a> {
    pub(crate) hubs: Vec<SocketAddr>,
    pub(crate) access: &'a Access,
    pub(crate) trust: &'a Trust,
    pub(crate) tenant: TenantId,
}

impl Audience {
    /// Starts the scenario's watchers; they come over the first seconds.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn start(
        scenario: &Scenario,
        doors: Doors<'_>,
        common: &Common,
        witness: &Arc<Witness>,
    ) -> Result<Self, LoadError> {
        let started = LoadError::machine("start the watchers' thread");
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return Err(started(error)),
        };
        let entrances = Entrances { hubs: doors.hubs, routers: Vec::new() };
        let crowd = Crowd::new(scenario, entrances, doors.tenant);
        let (handle, cancel) = (runtime.handle().clone(), CancellationToken::new());
        let tasks = TaskTracker::new();
        for index in 0..scenario.watchers_len() {
            let token = |vehicle| doors.access.token(doors.tenant, index, vehicle);
            let (plan, env) = (crowd.plan(index, token), env(common, index, witness.clone()));
            let (trust, cancel) = (doors.trust.clone(), cancel.clone());
            handle.spawn(tasks.track_future(async move {
                // Only who comes over QUIC needs a socket first, and those were refused.
                let _ = attend(env, plan, trust, cancel).await;
            }));
        }
        tasks.close();
        let lag = Arc::new(Mutex::new(Latency::histogram()));
        let thread = std::thread::Builder::new()
            .name("watchers".to_owned())
            .spawn({
                let (cancel, lag) = (cancel.clone(), lag.clone());
                move || drive(&runtime, &cancel, &lag)
            })
            .map_err(started)?;
        Ok(Self { handle, tasks, cancel, thread: Some(thread), tally: crowd.tally(), lag })
    }

    /// What they were told so far.
    pub(crate) fn tally(&self) -> Arc<Tally> {
        self.tally.clone()
    }

    /// Sends all of them home. Gives how late their thread was.
    pub(crate) fn stop(mut self) -> Histogram<u64> {
        let (tasks, ended) = (self.tasks.clone(), std::sync::mpsc::channel());
        self.cancel.cancel();
        self.handle.spawn(async move {
            tasks.wait().await;
            let _ = ended.0.send(());
        });
        // Their runtime may have ended first, and its tasks with it.
        let _ = ended.1.recv();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.lag.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs the watchers until `cancel`, and sees how late a task beside them wakes that does nothing else.
fn drive(runtime: &Runtime, cancel: &CancellationToken, lag: &Mutex<Histogram<u64>>) {
    runtime.block_on(async {
        let begun = Instant::now();
        for step in 1u32.. {
            let due = begun + PROBE_EVERY * step;
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = tokio::time::sleep_until(due) => {}
            }
            let late = Instant::now().saturating_duration_since(due);
            lag.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(late.as_micros() as u64);
        }
    });
}

/// The world of one watcher.
fn env(common: &Common, index: u32, witness: Arc<Witness>) -> Env {
    let name = NodeName::new(NodeKind::Watcher, index);
    let node: Arc<str> = name.to_string().into();
    let [_, _, high, low] = (index / PER_ADDRESS).to_be_bytes();
    Env::new(Parts {
        seeds: common.seeds.child(&node),
        node,
        clock: Arc::new(real::SystemClock),
        net: Arc::new(WatcherNet { source: Ipv4Addr::new(127, 128 + high, low, 1) }),
        disk: Arc::new(MemoryDisk::default()),
        executor: common.executor.clone(),
        crypto: common.crypto.clone(),
        events: Arc::new(Told { node: name, witness }),
        faults: None,
    })
}

/// The machine's TCP, from one of its addresses.
#[derive(Debug)]
struct WatcherNet {
    source: Ipv4Addr,
}

impl Net for WatcherNet {
    fn datagrams(&self, _: SocketAddr) -> io::Result<Arc<dyn Datagrams>> {
        Err(io::Error::other("watchers of a load have no datagrams"))
    }

    fn listen(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(std::future::ready(Err(io::Error::other("watchers of a load listen nowhere"))))
    }

    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn ByteStream>>> {
        Box::pin(real::SystemNet::connect_from(self.source, to))
    }

    fn source_ip(&self, _: SocketAddr) -> io::Result<IpAddr> {
        Ok(self.source.into())
    }
}
