//! Where the database is, and how long anything may take there.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// The database's own port.
const PORT: u16 = 5432;

/// When a commit counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The server that took it has flushed it.
    Local,
    /// A synchronous standby has flushed it too: the primary may burn down.
    Replicated,
}

/// How the connection is protected. A Unix socket needs none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// Not at all.
    Disable,
    /// Encrypted, without knowing by whom.
    Require,
    /// Encrypted, with a certificate that the CA has signed.
    VerifyCa,
    /// As before, and the certificate names the host.
    VerifyFull,
}

/// Settings of the store. Every bound says what happens at it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Servers as `host:port`, or the folder of a Unix socket. Writes go to whichever is the primary.
    pub endpoints: Vec<String>,
    /// The contracts' name is `telemetry`.
    pub database: String,
    /// Who logs in: a member of `role`. Its password is taken from the environment (PGPASSWORD).
    pub user: String,
    /// What every connection acts as.
    pub role: String,
    /// How connections are protected.
    pub tls: Tls,
    /// Certificate of the database's CA, PEM; the system's own roots without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<PathBuf>,
    /// When a commit counts. Unset: `replicated` where there is a standby (another endpoint, one that is attached or has a slot,
    /// or `synchronous_standby_names`), otherwise `local`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
    /// Connections at most. At the bound a commit waits for a free one, as long as `commit_timeout_ms`.
    pub connections_max: usize,
    /// Longest wait for a connection to one endpoint; then the next one is tried.
    #[serde(rename = "connect_timeout_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub connect_timeout: Duration,
    /// Longest that the server works on one statement; then it gives up and says so.
    #[serde(rename = "statement_timeout_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub statement_timeout: Duration,
    /// Longest that a statement waits for a lock, such as one on a partition that is being sealed.
    #[serde(rename = "lock_timeout_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub lock_timeout: Duration,
    /// Longest that a commit or a question takes, waiting included; then its connection is closed, and the outcome of a commit is
    /// unknown.
    #[serde(rename = "commit_timeout_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub commit_timeout: Duration,
    /// With `replicated`: longest wait after a commit for a standby to say that it has flushed it.
    #[serde(rename = "replication_timeout_ms", with = "drover_env::millis")]
    #[schemars(with = "u64")]
    pub replication_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoints: vec!["127.0.0.1:5432".to_owned()],
            database: "telemetry".to_owned(),
            user: "drover_persistence".to_owned(),
            role: "drover_writer".to_owned(),
            tls: Tls::VerifyFull,
            tls_ca: None,
            durability: None,
            // Two commits in flight, one connection for upkeep, one to spare.
            connections_max: 4,
            connect_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(2),
            commit_timeout: Duration::from_secs(15),
            replication_timeout: Duration::from_secs(2),
        }
    }
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoint<'a> {
    host: &'a str,
    port: u16,
}

impl<'a> Endpoint<'a> {
    /// `db.example:5432`, `[::1]:5432`, `db.example`, `/run/postgresql`, `/run/postgresql:5433`.
    fn parse(text: &'a str) -> Result<Self, String> {
        let wrong = || format!("endpoint {text:?} is neither host:port nor the folder of a socket");
        let bracketed =
            text.strip_prefix('[').map(|rest| rest.split_once(']').ok_or_else(wrong)).transpose()?;
        let (host, port) = match bracketed {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(wrong)?)),
            None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(str::parse).transpose().map_err(|_| wrong())?.unwrap_or(PORT);
        let is_bare_v6 = bracketed.is_none() && host.contains(':');
        if host.is_empty() || port == 0 || is_bare_v6 { Err(wrong()) } else { Ok(Self { host, port }) }
    }
}

impl Config {
    /// Checks what types can not say.
    ///
    /// # Errors
    /// Names the key and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if self.endpoints.is_empty() {
            return Err("endpoints must name at least one server".to_owned());
        }
        for endpoint in &self.endpoints {
            Endpoint::parse(endpoint)?;
        }
        let names = [("database", &self.database), ("user", &self.user), ("role", &self.role)];
        if let Some((key, _)) = names.into_iter().find(|(_, name)| name.is_empty()) {
            return Err(format!("{key} must not be empty"));
        }
        // The role becomes part of a connection's options, where blanks separate.
        if !self.role.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(format!("role of {:?} has a character outside letters, digits and _", self.role));
        }
        let positive = [
            ("connections_max", self.connections_max as u128),
            ("connect_timeout_ms", self.connect_timeout.as_millis()),
            ("statement_timeout_ms", self.statement_timeout.as_millis()),
            ("lock_timeout_ms", self.lock_timeout.as_millis()),
            ("commit_timeout_ms", self.commit_timeout.as_millis()),
        ];
        match positive.into_iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(format!("{key} must be at least 1")),
            None => Ok(()),
        }
    }

    /// When a commit counts, if the primary says so of its standbys.
    pub fn durability(&self, has_standby: bool) -> Durability {
        let replicated = self.endpoints.len() > 1 || has_standby;
        self.durability.unwrap_or(if replicated { Durability::Replicated } else { Durability::Local })
    }

    /// How to connect to each endpoint as a service does.
    pub(super) fn options(&self) -> Result<Vec<(String, PgConnectOptions)>, String> {
        let millis = |duration: Duration| duration.as_millis().to_string();
        let settings = [
            ("role", self.role.clone()),
            ("statement_timeout", millis(self.statement_timeout)),
            ("lock_timeout", millis(self.lock_timeout)),
            // A transaction whose client has gone without a word must not hold its locks.
            ("idle_in_transaction_session_timeout", millis(self.commit_timeout)),
            // Whatever the server's own setting is: an answer means that it is on the disk.
            ("synchronous_commit", "on".to_owned()),
            // Of TimescaleDB; nothing to a server without it. At its limit a late batch into packed chunks would never be stored.
            ("timescaledb.max_tuples_decompressed_per_dml_transaction", "0".to_owned()),
        ];
        let plain = self.plain_options()?;
        Ok(plain.into_iter().map(|(name, options)| (name, options.options(settings.clone()))).collect())
    }

    /// How to connect to each endpoint without acting as anybody else.
    pub(super) fn plain_options(&self) -> Result<Vec<(String, PgConnectOptions)>, String> {
        let tls = match self.tls {
            Tls::Disable => PgSslMode::Disable,
            Tls::Require => PgSslMode::Require,
            Tls::VerifyCa => PgSslMode::VerifyCa,
            Tls::VerifyFull => PgSslMode::VerifyFull,
        };
        let of_endpoint = |text: &String| {
            let endpoint = Endpoint::parse(text)?;
            // A socket's path would be taken for TLS otherwise.
            let tls = if endpoint.host.starts_with('/') { PgSslMode::Disable } else { tls };
            // Takes the password from PGPASSWORD, as every client of PostgreSQL does (manual, 34.15).
            let mut options = PgConnectOptions::new_without_pgpass()
                .host(endpoint.host)
                .port(endpoint.port)
                .database(&self.database)
                .username(&self.user)
                .ssl_mode(tls)
                .application_name("drover");
            if let Some(ca) = &self.tls_ca {
                options = options.ssl_root_cert(ca);
            }
            Ok((text.clone(), options.disable_statement_logging()))
        };
        self.endpoints.iter().map(of_endpoint).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_with_a_port_or_a_folder() {
        let check = |text: &str, expected: Option<(&str, u16)>| {
            let parsed = Endpoint::parse(text).ok();
            assert_eq!(parsed, expected.map(|(host, port)| Endpoint { host, port }), "{text}");
        };
        check("db.example:6000", Some(("db.example", 6000)));
        check("db.example", Some(("db.example", PORT)));
        check("[::1]:6000", Some(("::1", 6000)));
        check("[::1]", Some(("::1", PORT)));
        check("/run/postgresql", Some(("/run/postgresql", PORT)));
        check("/run/postgresql:5433", Some(("/run/postgresql", 5433)));
        for wrong in ["", ":5432", "db:x", "db:0", "db:70000", "::1", "[::1", "[::1]5432"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_setting_that_can_not_be_is_named() {
        let check = |change: fn(&mut Config), expected: &str| {
            let mut config = Config::default();
            change(&mut config);
            assert_eq!(config.check().expect_err("refused"), expected);
        };
        assert_eq!(Config::default().check(), Ok(()));
        check(|config| config.endpoints.clear(), "endpoints must name at least one server");
        check(|config| config.connections_max = 0, "connections_max must be at least 1");
        check(|config| config.user.clear(), "user must not be empty");
        check(
            |config| config.role = "a -c fsync=off".to_owned(),
            "role of \"a -c fsync=off\" has a character outside letters, digits and _",
        );
    }

    #[test]
    fn where_there_is_a_standby_a_commit_is_replicated_unless_it_is_said() {
        let two = Config { endpoints: vec!["a".to_owned(), "b".to_owned()], ..Config::default() };
        assert_eq!(Config::default().durability(false), Durability::Local);
        assert_eq!(Config::default().durability(true), Durability::Replicated);
        assert_eq!(two.durability(false), Durability::Replicated);
        let local = Config { durability: Some(Durability::Local), ..two };
        assert_eq!(local.durability(true), Durability::Local);
    }
}
