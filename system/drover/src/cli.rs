//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const EXAMPLES: &str = "\
A cluster on one machine, with all that it needs in one folder:
  drover init cluster
  drover up cluster                                         persistence agent, gateway and a vehicle that drives a round
  drover ctl --cluster cluster status                       in another terminal

The same by hand:
  drover pki init pki
  drover pki issue pki gateway/0
  drover pki issue pki persistence/0
  drover pki issue pki acme/TRUCK-042
  drover persistence --print-config > persistence.toml      edit, then
  drover migrate --config persistence.toml                  makes the tables of its [postgres]
  drover persistence --config persistence.toml --check-config
  drover persistence --config persistence.toml

Exit codes: 0 done; 1 the service failed; 64 bad usage, a bad config or unusable certificates.";

/// `drover --version`: what was built into this binary.
const VERSION: &str = if drover_env::SIMULATION {
    concat!(env!("CARGO_PKG_VERSION"), " (features: simulation: not for production)")
} else if cfg!(feature = "slowdown") {
    concat!(env!("CARGO_PKG_VERSION"), " (features: slowdown: not for production)")
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
    /// Forwards vehicles' packets to gateways, and remembers nothing of it: any number of them lead to the same gateways.
    Router(ServiceArgs),
    /// Answers names, such as that of the routers, with nodes that are well.
    Dns(ServiceArgs),
    /// Observes the services of a cluster, and tells routers, gateways and DNS who is there and in what state.
    Health(ServiceArgs),
    /// Shows whoever may see vehicles how they move, over WebSocket.
    Hub(ServiceArgs),
    /// Stores fixes in the PostgreSQL of its [postgres]; without one in memory, where nothing is kept.
    Persistence(PersistenceArgs),
    /// The on-board client: reads a GPS receiver and the vehicle's bus, keeps fixes in a spool, sends them.
    Tracker(TrackerArgs),
    /// Runs the services of a cluster file as processes: restarts what dies or hangs, drains all on SIGTERM, and restarts them
    /// one at a time on SIGHUP.
    Up(UpArgs),
    /// Makes the tables of the database, or brings them up to date. Never backwards.
    Migrate(MigrateArgs),
    /// Makes the certificates of a cluster.
    #[command(subcommand)]
    Pki(PkiCommand),
    /// Signs a token with which somebody may use the live map and the HTTP API.
    Token(TokenArgs),
    /// Makes a folder with all that a cluster on this machine needs: certificates, a config for each service, a cluster file.
    Init(InitArgs),
    /// Asks a running process or a whole cluster how it is, tells it to drain, or has it work on its database.
    Ctl(CtlArgs),
}

/// What `drover token` takes.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The key of `drover pki tokens`, or the folder that has it as tokens.key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// What they are there for: dispatcher, viewer or driver.
    #[arg(long, value_name = "ROLE", default_value = "dispatcher")]
    pub(crate) role: String,
    /// Whose vehicles they may see.
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: String,
    /// The only vehicle that they may see; a driver has one.
    #[arg(long, value_name = "NAME")]
    pub(crate) vehicle: Option<String>,
    /// What they are called.
    #[arg(long, value_name = "TEXT")]
    pub(crate) subject: Option<String>,
    /// What they may do, as names between spaces, instead of what comes with the role.
    #[arg(long, value_name = "SCOPES")]
    pub(crate) scope: Option<String>,
    /// How long it lasts.
    #[arg(long, value_name = "HOURS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=8_760))]
    pub(crate) hours: u32,
}

/// What `drover init` takes.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Folder to make; files that are there stay as they are.
    pub(crate) dir: PathBuf,
    /// Database of the cluster, as host:port or the folder of its socket; without one fixes are kept in memory.
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) postgres: Option<String>,
    /// A vehicle that may connect, as tenant/id.
    #[arg(long, value_name = "NAME", default_value = "demo/VAN-001")]
    pub(crate) vehicle: String,
    /// First of the ports that the services take: sixteen times ten, so that there can be ten of each.
    #[arg(long, value_name = "PORT", default_value_t = 4430, value_parser = clap::value_parser!(u16).range(1..=65_370))]
    pub(crate) port: u16,
}

/// What `drover up` takes.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// The cluster file, or the folder that has it as cluster.toml.
    #[arg(value_name = "CLUSTER", default_value = "cluster.toml")]
    pub(crate) cluster: PathBuf,
    /// Database of the persistence agents instead of the one in their config, as postgres://user@host:port/name; its password:
    /// PGPASSWORD. Its tables are made or brought up to date first.
    #[arg(long, value_name = "URL", env = "DROVER_DATABASE", hide_env_values = true)]
    pub(crate) database: Option<String>,
    /// Checks the cluster file and the config of every service, says what is wrong, and starts nothing.
    #[arg(long)]
    pub(crate) check_config: bool,
}

/// What `drover ctl` takes.
#[derive(Debug, Args)]
pub(crate) struct CtlArgs {
    /// The process's `admin` address.
    #[arg(long, value_name = "ADDR", conflicts_with = "cluster", required_unless_present = "cluster")]
    pub(crate) addr: Option<SocketAddr>,
    /// The cluster file of a `drover up` that runs, or the folder that has it as cluster.toml.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Option<PathBuf>,
    /// The status of a cluster as JSON, not as a table.
    #[arg(long, requires = "cluster")]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: CtlCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CtlCommand {
    /// Who it is, how far it is, and what happened in it, as JSON.
    Status,
    /// Whether it serves: exit code 0, or 1 while it starts or stops.
    Ready,
    /// Its counts, as Prometheus reads them.
    Metrics,
    /// Takes nothing new, finishes what is under way, and ends, as after SIGTERM. From the same machine only.
    Drain,
    /// Closes a gateway to new vehicles; it keeps those that it has. Others hear of it from health agents.
    Cordon,
    /// Opens it again.
    Uncordon,
    /// Has a persistence agent try its dead letters again: what can be stored by now is. From the same machine only.
    ReplayLetters,
    /// Has a persistence agent make daily totals anew from the stored fixes. From the same machine only.
    Rederive {
        /// Whose vehicles.
        #[arg(long, value_name = "NAME")]
        tenant: drover_model::TenantId,
        /// First day of UTC, as 2026-03-01.
        #[arg(long, value_name = "DAY")]
        from: String,
        /// Last day.
        #[arg(long, value_name = "DAY")]
        to: String,
        /// Only this vehicle.
        #[arg(long, value_name = "NAME")]
        vehicle: Option<drover_model::VehicleId>,
    },
    /// Restarts the services of a cluster one at a time, as after SIGHUP. From the same machine only.
    Roll,
}

/// What every service takes.
#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    /// The service's config.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Checks the config and its certificates, says what is wrong, and starts nothing.
    #[arg(long)]
    pub(crate) check_config: bool,
    /// Prints the config with every default filled in; without --config, one to start from.
    #[arg(long, conflicts_with = "check_config")]
    pub(crate) print_config: bool,
    #[command(flatten)]
    pub(crate) placement: Placement,
}

/// What a supervisor tells one of several processes that share a config.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Placement {
    /// Number of this instance: it stands for `{index}` in the paths of the config's [tls] and in its state_dir.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) index: u32,
    /// Where to listen, instead of where the config says.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Admin address, instead of the config's.
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<SocketAddr>,
    /// Ends when the process that started it does.
    #[arg(long)]
    pub(crate) supervised: bool,
}

/// What a persistence agent takes.
#[derive(Debug, Args)]
pub(crate) struct PersistenceArgs {
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// The database, instead of the config's: postgres://user@host:port/name; its password: PGPASSWORD.
    #[arg(long, value_name = "URL", env = "DROVER_DATABASE", hide_env_values = true)]
    pub(crate) database: Option<String>,
}

/// What `drover migrate` takes.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// A persistence agent's config: its [postgres] says where.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Who logs in, if not the agent: it makes roles and extensions, and owns the tables. Its password: PGPASSWORD.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Says which version the schema has, and changes nothing.
    #[arg(long)]
    pub(crate) check_config: bool,
    /// Moves stored fixes from plain partitions into a hypertable of TimescaleDB; services go on meanwhile, and what is not moved
    /// yet is not found. May be ended and begun again. A database without fixes gets a hypertable where TimescaleDB is there.
    #[arg(long, conflicts_with_all = ["check_config", "plain"])]
    pub(crate) to_hypertables: bool,
    /// Makes no hypertable, even where TimescaleDB is there.
    #[arg(long)]
    pub(crate) plain: bool,
    /// The database, instead of the config's: postgres://user@host:port/name.
    #[arg(long, value_name = "URL", env = "DROVER_DATABASE", hide_env_values = true)]
    pub(crate) database: Option<String>,
}

/// What a tracker takes: a config to run by, or recordings to print.
#[derive(Debug, Args)]
pub(crate) struct TrackerArgs {
    /// The tracker's config. With --print, its sources and its [tracker.can] are used, and no certificate is needed.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Checks the config, its certificates and its DBC files, says what is wrong, and starts nothing.
    #[arg(long)]
    pub(crate) check_config: bool,
    /// Prints the config with every default filled in; without --config, one to start from.
    #[arg(long, conflicts_with = "check_config")]
    pub(crate) print_config: bool,
    /// Prints fixes with their readings as lines of JSON, and what was skipped at the end. Sends nothing.
    #[arg(long, conflicts_with_all = ["check_config", "print_config"])]
    pub(crate) print: bool,
    /// NMEA 0183 to print: a device, a pipe, a file, or - for standard input.
    #[arg(long, value_name = "FILE", requires = "print")]
    pub(crate) nmea: Option<PathBuf>,
    /// Log of candump to join with it by time: a pipe, a file, or - for standard input.
    #[arg(long, value_name = "FILE", requires = "print")]
    pub(crate) can: Option<PathBuf>,
    /// DBC to read the log by; `built-in` is J1939 and OBD-II. May be given several times.
    #[arg(long, value_name = "FILE", requires = "print")]
    pub(crate) dbc: Vec<PathBuf>,
    /// Seconds to add to the log's times: what its clock was behind GPS.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 0.0,
        allow_hyphen_values = true,
        requires = "print"
    )]
    pub(crate) can_offset_s: f64,
    #[command(flatten)]
    pub(crate) placement: Placement,
}

impl TrackerArgs {
    /// Those that every service has.
    pub(crate) fn service(&self) -> ServiceArgs {
        let Self { config, check_config, print_config, placement, .. } = self;
        let (config, placement) = (config.clone(), placement.clone());
        ServiceArgs { config, check_config: *check_config, print_config: *print_config, placement }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum PkiCommand {
    /// Makes a private CA: DIR/ca.pem for every node, DIR/ca.key to be locked away.
    Init {
        /// Folder of the CA; made if it is absent.
        dir: PathBuf,
    },
    /// Makes the secret that gateways, routers and DNS servers of a cluster share: DIR/cluster.secret.
    Secret {
        /// Folder of the secret; made if it is absent.
        dir: PathBuf,
    },
    /// Makes the key that signs tokens of people: DIR/tokens.key, and DIR/tokens.jwks, by which hubs believe them. An identity
    /// provider of your own takes its place: hubs take any JSON Web Key Set.
    Tokens {
        /// Folder of the key; made if it is absent.
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
    /// Believes a certificate or a token no longer: adds it to DIR/revoked.txt and, with --config, to the database, where gateways and
    /// hubs hear of it.
    Revoke {
        /// Folder of the CA.
        dir: PathBuf,
        /// Whose certificate, as it was issued: DIR/<name>.pem is read for its number.
        #[arg(value_name = "NAME", required_unless_present_any = ["serial", "token"])]
        who: Option<String>,
        /// The certificate's serial number, in hexadecimal, if its file is gone.
        #[arg(long, value_name = "HEX", conflicts_with = "who")]
        serial: Option<String>,
        /// A token, or what it is called (its claim `jti`).
        #[arg(long, value_name = "TOKEN", conflicts_with_all = ["who", "serial"])]
        token: Option<String>,
        /// A persistence agent's config: its [postgres] says where the database is.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Why, for whoever asks later.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
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
    fn a_service_takes_a_config_or_prints_one() {
        assert!(Cli::try_parse_from(["drover", "gateway", "--check-config", "--print-config"]).is_err());
        assert!(Cli::try_parse_from(["drover", "gateway", "--print-config"]).is_ok());
        assert!(Cli::try_parse_from(["drover", "gateway", "--config", "x", "--check-config"]).is_ok());
    }

    #[test]
    fn a_tracker_prints_what_it_is_given_or_what_its_config_names() {
        let takes = |line: &str| Cli::try_parse_from(line.split(' ')).is_ok();
        assert!(takes("drover tracker --nmea a --print"));
        assert!(takes("drover tracker --nmea a --can - --dbc built-in --dbc b --can-offset-s -3.5 --print"));
        assert!(takes("drover tracker --config x --print"));
        assert!(takes("drover tracker --config x"));
        assert!(takes("drover tracker --print-config"));
        for line in ["tracker --nmea a", "tracker --config x --can a"] {
            assert!(!takes(&format!("drover {line}")), "{line}");
        }
    }
}
