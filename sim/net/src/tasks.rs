//! A node's tasks: they end with the node, and stand still while it is paused.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use drover_env::{BoxFuture, Executor, Shards, WorkUnits};
use drover_model::{NodeKind, NodeName};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Sleep, sleep};

use crate::profile::Profile;
use crate::shuffle::Yielding;
use crate::speaker::Speaker;
use crate::turns::Turns;

/// One incarnation of a node: what runs, and whether it may.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    paused: AtomicBool,
    /// How long after its waking a task runs, in milliseconds.
    lag_ms: AtomicU64,
    /// If ready tasks run in an order of the seed's.
    yielding: Option<Yielding>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    dead: bool,
    running: BTreeMap<u64, AbortHandle>,
    parked: Vec<Waker>,
}

impl Tasks {
    pub(crate) fn new(yielding: Option<Yielding>) -> Self {
        Self { yielding, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many have not ended.
    pub(crate) fn len(&self) -> usize {
        self.lock().running.len()
    }

    /// Ends every task, without a word to anybody.
    pub(crate) fn abort_all(&self) {
        let running = {
            let mut state = self.lock();
            state.dead = true;
            std::mem::take(&mut state.running)
        };
        for task in running.values() {
            task.abort();
        }
    }

    pub(crate) fn set_lag(&self, lag: Duration) {
        self.lag_ms.store(lag.as_millis() as u64, Ordering::Relaxed);
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
        if !paused {
            let parked = std::mem::take(&mut self.lock().parked);
            parked.into_iter().for_each(Waker::wake);
        }
    }
}

/// Runs the tasks of one incarnation on the simulation's only thread.
pub(crate) struct NodeExecutor {
    pub(crate) node: NodeName,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) profile: Option<(NodeKind, Profile)>,
    /// If somebody reads along.
    pub(crate) speaker: Option<Speaker>,
    pub(crate) turns: Arc<Turns>,
}

impl Executor for NodeExecutor {
    #[expect(
        clippy::disallowed_methods,
        reason = "the simulated env is one of the two places that start tasks"
    )]
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) -> AbortHandle {
        let id = {
            let mut state = self.tasks.lock();
            state.next += 1;
            state.next
        };
        let abort = {
            tokio::spawn(NodeTask {
                node: self.node,
                future,
                tasks: self.tasks.clone(),
                id,
                name,
                profile: self.profile.clone(),
                speaker: self.speaker.clone(),
                turns: self.turns.clone(),
                turn: None,
            })
            .abort_handle()
        };
        let mut state = self.tasks.lock();
        if state.dead {
            abort.abort();
        } else {
            state.running.insert(id, abort.clone());
        }
        abort
    }

    fn shards(
        &self,
        name: &'static str,
        count: usize,
        make: Arc<dyn Fn(usize) -> BoxFuture<'static, ()> + Send + Sync>,
    ) -> io::Result<Shards> {
        let done = (0..count).map(|shard| {
            let (ended, wait) = oneshot::channel();
            let run = make(shard);
            self.spawn(
                name,
                Box::pin(async move {
                    run.await;
                    // Nobody may be waiting.
                    let _ = ended.send(());
                }),
            );
            wait
        });
        Ok(Shards::new(done.collect()))
    }

    fn compute(&self, cost: WorkUnits, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_micros(cost.0)).await;
            work();
        })
    }
}

struct NodeTask {
    node: NodeName,
    future: BoxFuture<'static, ()>,
    tasks: Arc<Tasks>,
    id: u64,
    name: &'static str,
    profile: Option<(NodeKind, Profile)>,
    speaker: Option<Speaker>,
    turns: Arc<Turns>,
    /// When a slow node's task has its turn.
    turn: Option<Pin<Box<Sleep>>>,
}

impl NodeTask {
    /// Ready once a task that was woken may run: at once, but on a slow node.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let lag_ms = self.tasks.lag_ms.load(Ordering::Relaxed);
        if self.turn.is_none() && lag_ms > 0 {
            self.turn = Some(Box::pin(sleep(Duration::from_millis(lag_ms))));
        }
        if let Some(turn) = &mut self.turn {
            ready!(turn.as_mut().poll(cx));
            self.turn = None;
        }
        Poll::Ready(())
    }
}

impl Future for NodeTask {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.tasks.paused.load(Ordering::Relaxed) {
            self.tasks.lock().parked.push(cx.waker().clone());
            return Poll::Pending;
        }
        let this = &mut *self;
        ready!(this.poll_turn(cx));
        if !this.turns.take(this.node) {
            this.tasks.abort_all();
            return Poll::Pending;
        }
        if this.tasks.yielding.as_ref().is_some_and(Yielding::yields) {
            // To the end of the queue of ready tasks.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let future = this.future.as_mut();
        match (&this.profile, &this.speaker) {
            (None, None) => future.poll(cx),
            (Some((kind, profile)), _) => profile.charge_task(*kind, this.name, || future.poll(cx)),
            (None, Some(speaker)) => speaker.during(|| future.poll(cx)),
        }
    }
}

impl Drop for NodeTask {
    fn drop(&mut self) {
        self.tasks.lock().running.remove(&self.id);
    }
}
