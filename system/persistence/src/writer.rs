//! Between the calls that bring rows and the store that takes them: a bounded buffer, a timer, and a few commits at
//! once.

use std::sync::Arc;

use drover_env::{Env, HighWater, Task, Value};
use drover_store::{Row, Store, StoreError};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::Config;
use crate::commit::{Patience, RowVerdict, commit_rows};
use crate::planner::{FlushLimits, FlushPlanner};

/// What a call is told: a verdict per row, or why there is none.
pub(crate) type Verdicts = Result<Vec<RowVerdict>, StoreError>;

/// Rows of one call, waiting to be written.
struct Waiting {
    rows: Vec<Row>,
    deadline: Instant,
    reply: oneshot::Sender<Verdicts>,
    /// Room in the buffer, given back when the rows are settled.
    _room: OwnedSemaphorePermit,
}

/// What comes in.
enum Incoming {
    Rows(Waiting),
    /// Somebody asks whether the writer goes round.
    Probe(oneshot::Sender<()>),
}

/// The way in. Clones share the buffer.
#[derive(Clone)]
pub(crate) struct Inbox {
    env: Env,
    waiting: mpsc::Sender<Incoming>,
    room: Arc<Semaphore>,
    rows_max: usize,
    fill: Arc<HighWater>,
}

/// The buffer is full.
#[derive(Debug)]
pub(crate) struct Full;

impl Inbox {
    /// Hands rows over; they are durable when the receiver says so.
    pub(crate) fn put(&self, rows: Vec<Row>, deadline: Instant) -> Result<oneshot::Receiver<Verdicts>, Full> {
        let (reply, verdicts) = oneshot::channel();
        // An empty batch takes room too: it asks whether the store answers, and must not be free.
        // One call that is larger than the bound goes alone: it would never have room.
        let places = u32::try_from(rows.len().clamp(1, self.rows_max.max(1))).map_err(|_| Full)?;
        let room = self.room.clone().try_acquire_many_owned(places).map_err(|_| Full)?;
        self.fill.see(&self.env, self.rows_max.saturating_sub(self.room.available_permits()) as u64);
        let waiting = Waiting { rows, deadline, reply, _room: room };
        self.waiting.try_send(Incoming::Rows(waiting)).map_err(|_| Full)?;
        Ok(verdicts)
    }

    /// Ready once the writer has come round to it.
    pub(crate) fn probe(&self) -> Result<oneshot::Receiver<()>, Full> {
        let (reply, taken) = oneshot::channel();
        self.waiting.try_send(Incoming::Probe(reply)).map_err(|_| Full)?;
        Ok(taken)
    }

    /// How much of the buffer is taken, in percent.
    pub(crate) fn load_percent(&self) -> u8 {
        let taken = self.rows_max.saturating_sub(self.room.available_permits());
        (taken * 100 / self.rows_max.max(1)).min(100) as u8
    }
}

/// The writing side; ends when every [`Inbox`] is gone and everything is settled.
pub(crate) struct Writer {
    env: Env,
    config: Config,
    store: Arc<dyn Store>,
    waiting: mpsc::Receiver<Incoming>,
    commits: u64,
}

pub(crate) fn writer(env: Env, config: Config, store: Arc<dyn Store>) -> (Inbox, Writer) {
    let (send, waiting) = mpsc::channel(config.rows_pending_max.max(1));
    let rows_max = config.rows_pending_max.min(Semaphore::MAX_PERMITS);
    let room = Arc::new(Semaphore::new(rows_max));
    let fill = Arc::new(HighWater::new("persistence.rows_pending", rows_max as u64));
    (
        Inbox { env: env.clone(), waiting: send, room, rows_max, fill },
        Writer { env, config, store, waiting, commits: 0 },
    )
}

impl Writer {
    pub(crate) async fn run(mut self) {
        let limits = FlushLimits { rows_max: self.config.batch_rows_max, age_max: self.config.flush_age };
        let mut planner = FlushPlanner::new(limits);
        let mut commits = FuturesUnordered::new();
        loop {
            let due = planner.poll_timeout().filter(|_| commits.len() < self.config.commits_in_flight.max(1));
            let batch = tokio::select! {
                biased; // The timer first, so that a busy inbox cannot starve it.
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    planner.handle_timeout(Instant::now())
                }
                _ = commits.next(), if !commits.is_empty() => None,
                incoming = self.waiting.recv() => match incoming {
                    None => break,
                    // Whoever has asked and is gone needs no answer.
                    Some(Incoming::Probe(reply)) => {
                        let _ = reply.send(());
                        None
                    }
                    Some(Incoming::Rows(waiting)) => {
                        let rows = waiting.rows.len();
                        planner.handle_item(Instant::now(), waiting, rows.max(1));
                        None
                    }
                }
            };
            if let Some(batch) = batch {
                commits.push(self.start_commit(batch));
            }
        }
        let rest = planner.into_rest();
        if !rest.is_empty() {
            commits.push(self.start_commit(rest));
        }
        while commits.next().await.is_some() {}
    }

    fn start_commit(&mut self, batch: Vec<Waiting>) -> Task<()> {
        self.commits += 1;
        let (env, store) = (self.env.clone(), self.store.clone());
        let (retry_min, retry_max) = (self.config.retry_min, self.config.retry_max);
        let mut rng = self.env.rng(&format!("commit {}", self.commits));
        self.env.spawn("persistence.commit", async move {
            // Once the last caller has given up, nobody would hear of a success.
            let until = batch.iter().map(|waiting| waiting.deadline).max().unwrap_or_else(Instant::now);
            let patience = Patience { retry_min, retry_max, until };
            let rows: Vec<Row> = batch.iter().flat_map(|waiting| &waiting.rows).cloned().collect();
            let mut batch = batch;
            if env.planted("ack_before_commit") {
                let early = std::mem::take(&mut batch);
                answer(early, Ok(vec![RowVerdict::Stored; rows.len()]));
            }
            let verdicts = commit_rows(&env, &*store, &rows, patience, &mut rng).await;
            report(&env, &verdicts);
            answer(batch, verdicts);
        })
    }
}

fn report(env: &Env, verdicts: &Verdicts) {
    match verdicts {
        Ok(verdicts) => {
            let count = |wanted: &RowVerdict| verdicts.iter().filter(|v| *v == wanted).count() as u64;
            let (stored, duplicates) = (count(&RowVerdict::Stored), count(&RowVerdict::Duplicate));
            let fields = [("rows", Value::U64(stored)), ("duplicates", Value::U64(duplicates))];
            env.event("persistence.committed", &fields);
            if duplicates > 0 {
                env.event("persistence.duplicate_dropped", &[("count", Value::U64(duplicates))]);
            }
        }
        Err(error) => {
            tracing::warn!(%error, "batch given up");
            env.event("persistence.batch_given_up", &[]);
        }
    }
}

/// Gives each call its part. A caller that is gone has its fixes stored all the same.
fn answer(batch: Vec<Waiting>, verdicts: Verdicts) {
    match verdicts {
        Ok(verdicts) => {
            let mut verdicts = verdicts.into_iter();
            for waiting in batch {
                let part = verdicts.by_ref().take(waiting.rows.len()).collect();
                let _ = waiting.reply.send(Ok(part));
            }
        }
        Err(error) => {
            for waiting in batch {
                let _ = waiting.reply.send(Err(error.clone()));
            }
        }
    }
}
