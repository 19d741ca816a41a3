//! The real world: this machine's clock, sockets, disk, threads and entropy.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the one place that touches the machine"
)]

#[cfg(target_os = "linux")]
mod batches;
mod disk;
mod net;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use drover_model::WallTime;
use rand::TryRng;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::{BoxFuture, Clock, Env, EventSink, Executor, Parts, SeedTree, Shards, Value, WorkUnits};

pub use disk::FolderDisk;
pub use net::SystemNet;

/// The real env of one service.
///
/// `folder` holds the node's files and is created if absent. Needs a tokio runtime with time and I/O.
///
/// # Errors
/// The folder can not be made, or the system gives no entropy.
pub fn env(node: &str, folder: &Path, metrics: Arc<Metrics>) -> io::Result<Env> {
    Ok(Env::new(Parts {
        node: node.into(),
        clock: Arc::new(SystemClock),
        net: Arc::new(SystemNet),
        disk: Arc::new(FolderDisk::open(folder)?),
        executor: Arc::new(Tokio),
        seeds: SeedTree::from_bytes(entropy()?),
        crypto: Arc::new(rustls::crypto::ring::default_provider()),
        events: metrics,
        faults: None,
    }))
}

/// 32 bytes that nobody can guess, for keys that are made outside of an env.
///
/// # Errors
/// The system gives no entropy.
pub fn entropy() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
    Ok(seed)
}

/// UTC, as this machine has it, for what happens outside of an env.
pub fn wall() -> WallTime {
    SystemClock.wall()
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> WallTime {
        // A clock before 1970 is as good as 1970: it is wrong, and every use allows for wrong clocks.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        WallTime::from_micros(since.as_micros() as i64)
    }
}

/// Tasks and threads of the tokio runtime that is running.
#[derive(Debug, Clone, Copy)]
pub struct Tokio;

impl Executor for Tokio {
    fn spawn(&self, _name: &'static str, future: BoxFuture<'static, ()>) -> AbortHandle {
        tokio::spawn(future).abort_handle()
    }

    fn shards(
        &self,
        name: &'static str,
        count: usize,
        make: Arc<dyn Fn(usize) -> BoxFuture<'static, ()> + Send + Sync>,
    ) -> io::Result<Shards> {
        let mut done = Vec::with_capacity(count);
        for shard in 0..count {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (ended, wait) = oneshot::channel();
            let make = make.clone();
            std::thread::Builder::new().name(format!("{name}/{shard}")).spawn(move || {
                runtime.block_on(make(shard));
                let _ = ended.send(());
            })?;
            done.push(wait);
        }
        Ok(Shards::new(done))
    }

    fn compute(&self, _cost: WorkUnits, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let work = tokio::task::spawn_blocking(work);
        // A panic shows at the caller as a missing result.
        Box::pin(async move { drop(work.await) })
    }
}

/// Counts events by name, and by their `reason` where they have one. An event with a field `times` stands for so many. What
/// events have of `rows` or `fixes` is added up.
#[derive(Debug, Default)]
pub struct Metrics {
    counts: Mutex<BTreeMap<(&'static str, String), u64>>,
    amounts: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

/// Fields of events that are amounts.
const AMOUNTS: [&str; 2] = ["rows", "fixes"];

impl Metrics {
    /// All counts so far: event name, reason (empty without one), count.
    pub fn counts(&self) -> Vec<(&'static str, String, u64)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|((name, reason), count)| (*name, reason.clone(), *count)).collect()
    }

    /// All sums so far: event name, field, sum.
    pub fn amounts(&self) -> Vec<(&'static str, &'static str, u64)> {
        let amounts = self.amounts.lock().unwrap_or_else(PoisonError::into_inner);
        amounts.iter().map(|((name, field), sum)| (*name, *field, *sum)).collect()
    }
}

impl EventSink for Metrics {
    fn event(&self, name: &'static str, fields: &[(&'static str, Value<'_>)]) {
        let reason = fields.iter().find(|(field, _)| *field == "reason");
        let key = (name, reason.map(|(_, value)| value.to_string()).unwrap_or_default());
        let times = fields.iter().find(|(field, _)| *field == "times");
        let times = times.map_or(1, |(_, value)| if let Value::U64(times) = value { *times } else { 1 });
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += times;
        for (field, value) in fields.iter().filter(|(field, _)| AMOUNTS.contains(field)) {
            if let Value::U64(amount) = value {
                let mut amounts = self.amounts.lock().unwrap_or_else(PoisonError::into_inner);
                *amounts.entry((name, field)).or_default() += amount;
            }
        }
        tracing::trace!(event = name, fields = ?fields, "event");
    }
}
