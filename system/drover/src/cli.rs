//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const EXAMPLES: &str = "\
A cluster on one machine:
  drover pki init pki
  drover pki issue pki gateway/0
  drover pki issue pki persistence/0
  drover pki issue pki acme/TRUCK-042
  drover persistence --print-config > persistence.toml      edit, then
  drover persistence --config persistence.toml --check-config
  drover persistence --config persistence.toml

Exit codes: 0 done; 1 the service failed; 64 bad usage, a bad config or unusable certificates.";

/// `drover --version`: what was built into this binary.
const VERSION: &str = if drover_env::SIMULATION {
    concat!(env!("CARGO_PKG_VERSION"), " (features: simulation: not for production)")
} else {
    concat!(env!("CARGO_PKG_VERSION"), " (features: none)")
};

/// Drover, a real-time fleet management platform: runs one service of it.
#[derive(Debug, Parser)]
#[command(name = "drover", version = VERSION, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Takes fixes from vehicles over QUIC and passes them to persistence agents.
    Gateway(ServiceArgs),
    /// Stores fixes. This version's store is in memory: nothing is kept.
    Persistence(ServiceArgs),
    /// The on-board client: reads a GPS receiver, keeps fixes in a spool, sends them.
    Tracker(ServiceArgs),
    /// Makes the certificates of a cluster.
    #[command(subcommand)]
    Pki(PkiCommand),
}

/// What every service takes.
#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    /// The service's config.
    #[arg(long, value_name = "FILE", required_unless_present = "print_config")]
    pub(crate) config: Option<PathBuf>,
    /// Checks the config and its certificates, says what is wrong, and starts nothing.
    #[arg(long)]
    pub(crate) check_config: bool,
    /// Prints the config with every default filled in; without --config, one to start from.
    #[arg(long, conflicts_with = "check_config")]
    pub(crate) print_config: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PkiCommand {
    /// Makes a private CA: DIR/ca.pem for every node, DIR/ca.key to be locked away.
    Init {
        /// Folder of the CA; made if it is absent.
        dir: PathBuf,
    },
    /// Issues the certificate of one node or vehicle: DIR/<name>.pem and DIR/<name>.key.
    Issue {
        /// Folder of the CA.
        dir: PathBuf,
        /// A service as kind/index (gateway/0, persistence/1), or a vehicle as tenant/id (acme/TRUCK-042).
        #[arg(value_name = "NAME")]
        who: String,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_service_needs_a_config_unless_it_only_prints_one() {
        assert!(Cli::try_parse_from(["drover", "gateway"]).is_err());
        assert!(Cli::try_parse_from(["drover", "gateway", "--print-config"]).is_ok());
        assert!(Cli::try_parse_from(["drover", "gateway", "--config", "x", "--check-config"]).is_ok());
    }
}
