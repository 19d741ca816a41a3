//! Tasks, shards and heavy work, each owned by one node.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::BoxFuture;

/// Cost of a piece of work: one unit is about a microsecond of one core. Never a wall-clock limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkUnits(pub u64);

/// Runs a node's futures.
pub trait Executor: Send + Sync {
    /// Starts a task.
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) -> AbortHandle;

    /// See [`crate::Env::shards`].
    ///
    /// # Errors
    /// The system has no more threads.
    fn shards(
        &self,
        name: &'static str,
        count: usize,
        make: Arc<dyn Fn(usize) -> BoxFuture<'static, ()> + Send + Sync>,
    ) -> io::Result<Shards>;

    /// Runs heavy work; the future is ready when it is done.
    fn compute(&self, cost: WorkUnits, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;
}

/// The task or the work ended without a result: aborted, panicked, or its node went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the task ended without a result")]
pub struct Lost;

/// A started task: a future of its result.
#[derive(Debug)]
pub struct Task<T> {
    result: oneshot::Receiver<T>,
    abort: AbortHandle,
}

impl<T: Send + 'static> Task<T> {
    pub(crate) fn start<F>(executor: &dyn Executor, name: &'static str, future: F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (send, result) = oneshot::channel();
        // Not an async block, which would hold the future twice. The receiver may be gone: the task was detached.
        let run = future.map(|result| drop(send.send(result)));
        Self { result, abort: executor.spawn(name, Box::pin(run)) }
    }
}

impl<T> Task<T> {
    /// Ends the task at its next await point.
    pub fn abort(&self) {
        self.abort.abort();
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Lost>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.result).poll(cx).map_err(|_| Lost)
    }
}

/// Running shards. Wait for them with [`Self::join`] before the service is said to have stopped.
pub struct Shards {
    done: Vec<oneshot::Receiver<()>>,
}

impl Shards {
    /// Made by executors: one receiver per shard, closed when the shard ends.
    pub fn new(done: Vec<oneshot::Receiver<()>>) -> Self {
        Self { done }
    }

    /// Waits until every shard has ended.
    pub async fn join(self) {
        for shard in self.done {
            // An error means that the shard ended without saying so: it panicked or was aborted.
            let _ = shard.await;
        }
    }
}

pub(crate) async fn compute<T, W>(executor: &dyn Executor, cost: WorkUnits, work: W) -> Result<T, Lost>
where
    T: Send + 'static,
    W: FnOnce() -> T + Send + 'static,
{
    let (send, result) = oneshot::channel();
    let run = move || {
        let _ = send.send(work());
    };
    executor.compute(cost, Box::new(run)).await;
    result.await.map_err(|_| Lost)
}
