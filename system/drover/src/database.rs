//! The database of a persistence agent: its schema, the wait for it, and its upkeep.

use std::sync::Arc;
use std::time::Duration;

use drover_store::postgres::{self, Hypertables, PostgresStore, Upkeep};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cli::MigrateArgs;
use crate::{Stop, config, show};

/// First wait for a database that is away; doubles.
const RETRY_MIN: Duration = Duration::from_millis(200);
/// Longest wait: a server that starts takes seconds, and one that was promoted should not stay idle.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Between two rounds of upkeep. Partitions are made two widths ahead, and the narrowest is an hour wide.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1800);
/// Between two writes of newest positions: what a map shows before anybody has subscribed.
const NEWEST_INTERVAL: Duration = Duration::from_secs(1);

/// Waits for what a command of the command line does with a database.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::Failed(format!("start the runtime: {error}")))?;
    Ok(runtime.block_on(work))
}

pub(crate) fn migrate(args: &MigrateArgs) -> Result<(), Stop> {
    let mut config = match &args.database {
        Some(url) => config::at_url(config::database(&args.config).ok(), url)?,
        None => config::database(&args.config)?,
    };
    if let Some(user) = &args.user {
        config.user.clone_from(user);
    }
    let done = block_on(async {
        let hypertables = match (args.to_hypertables, args.plain) {
            (true, _) => Hypertables::Move,
            (false, true) => Hypertables::Never,
            (false, false) => Hypertables::IfNew,
        };
        match args.check_config {
            true => postgres::status(&config).await,
            false => postgres::migrate(&config, hypertables).await,
        }
    })?;
    let said = done.map_err(|error| Stop::Failed(error.to_string()))?;
    show(&format!("{said}\n"));
    Ok(())
}

/// Opens the store as soon as its database is there; `None` if told to stop before.
pub(crate) async fn open(
    config: postgres::Config,
    cancel: &CancellationToken,
) -> Result<Option<Arc<PostgresStore>>, String> {
    let store = PostgresStore::new(config).map_err(|error| error.to_string())?;
    let mut wait = RETRY_MIN;
    loop {
        match store.check().await {
            Ok(()) => {
                info!("the database is there");
                return Ok(Some(Arc::new(store)));
            }
            Err(error) if error.is_retryable() => {
                warn!(%error, retry_ms = wait.as_millis() as u64, "the database is away; it is tried again");
            }
            Err(error) => return Err(error.to_string()),
        }
        tokio::select! {
            biased;
            () = sleep(wait) => {}
            () = cancel.cancelled() => return Ok(None),
        }
        wait = (wait * 2).min(RETRY_MAX);
    }
}

/// Makes partitions ahead of need, seals past ones and drops expired ones, until the process ends. What fails is done in the
/// next round: fixes make the partitions that they need themselves.
pub(crate) async fn keep_up(store: Arc<PostgresStore>) {
    loop {
        match store.keep_up().await {
            Ok(done) if done.is_nothing() => {}
            Ok(Upkeep { made, sealed, dropped, derived }) => {
                info!(made, sealed, dropped, derived, "upkeep of the database");
            }
            Err(error) => warn!(error, "upkeep of the database failed; it is tried again later"),
        }
        sleep(UPKEEP_INTERVAL).await;
    }
}

/// Writes newest positions every second, until the process ends. What fails is written the next time.
pub(crate) async fn keep_newest(store: Arc<PostgresStore>) {
    if let Err(error) = store.recover_newest().await {
        warn!(error, "newest positions may be old until their vehicles report again");
    }
    loop {
        if let Err(error) = store.write_newest().await {
            warn!(error, "newest positions were not written; they are the next time");
        }
        sleep(NEWEST_INTERVAL).await;
    }
}
