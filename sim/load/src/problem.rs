//! Why there is no outcome.

use std::path::PathBuf;

use drover_harness::run::RunError;
use drover_supervisor::StartError;

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The user can put it right: the text says how.
    #[error("{0}")]
    Usage(String),
    /// The scenario, its roads or its world.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The cluster does not start.
    #[error("start the cluster, whose services write to {}", log.display())]
    Start {
        /// What they say.
        log: PathBuf,
        /// Which of them, and why.
        #[source]
        source: StartError,
    },
    /// The machine did not do what was asked of it.
    #[error("{what}")]
    Machine {
        /// What was asked.
        what: String,
        /// What it says.
        #[source]
        source: std::io::Error,
    },
    /// The certificates of the cluster.
    #[error("make the cluster's certificates")]
    Pki(#[from] drover_quic::PkiError),
    /// Not every vehicle got a session before the run began.
    #[error(
        "only {connected} of {vehicles} vehicles had a session after {waited_s} s: fewer vehicles, or a longer --ramp-s"
    )]
    Ramp {
        /// How many had.
        connected: u64,
        /// Of how many.
        vehicles: u64,
        /// After so long.
        waited_s: u64,
    },
    /// The ledger's terms do not add up.
    #[error("the ledger does not add up: {0}")]
    Ledger(String),
    /// The database, when it was asked what it holds.
    #[error("read what the database holds: {0}")]
    Audit(String),
    /// The generator itself failed.
    #[error("{0}")]
    Harness(String),
}

impl LoadError {
    /// A problem of the machine, for `map_err`.
    pub(crate) fn machine(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Machine { what, source }
    }
}
