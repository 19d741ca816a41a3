//! Where a database is, as one address (postgresql.org, "Connection URIs").

use url::{Host, Url};

use super::config::{Config, Tls};

impl Config {
    /// This config with the server, database and user of `postgres://user@host:port/database?sslmode=disable`. A Unix socket's
    /// folder is a percent-encoded host (`postgres://user@%2Frun%2Fpostgresql/database`). Without `sslmode` a server on this
    /// machine is reached without TLS, and any other as the config says.
    ///
    /// # Errors
    /// It is no such address, or it has what belongs elsewhere, such as a password: other users of the machine can read the
    /// arguments of a process.
    pub fn with_url(self, text: &str) -> Result<Self, String> {
        let wrong =
            |what: &str| format!("the database's address: {what}; it is postgres://user@host:port/name");
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(wrong(&format!("{}:// is no PostgreSQL", url.scheme())));
        }
        if url.password().is_some() {
            return Err(wrong("the password belongs into PGPASSWORD, where `ps` does not show it"));
        }
        let decoded = |part: &str| {
            let bytes = percent_encoding::percent_decode_str(part).decode_utf8();
            bytes.map(|text| text.into_owned()).map_err(|_| wrong("it is not UTF-8"))
        };
        let host = match url.host() {
            None => return Err(wrong("the host is missing")),
            Some(Host::Domain(name)) => decoded(name)?,
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => format!("[{ip}]"),
        };
        let is_here = host.starts_with('/') || matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
        let mut tls = if is_here { Tls::Disable } else { self.tls };
        for (key, value) in url.query_pairs() {
            tls = match (key.as_ref(), value.as_ref()) {
                ("sslmode", "disable") => Tls::Disable,
                ("sslmode", "require") => Tls::Require,
                ("sslmode", "verify-ca") => Tls::VerifyCa,
                ("sslmode", "verify-full") => Tls::VerifyFull,
                _ => return Err(wrong(&format!("{key}={value} is not known"))),
            };
        }
        let endpoint = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let database = decoded(url.path().trim_start_matches('/'))?;
        let user = decoded(url.username())?;
        Ok(Self {
            endpoints: vec![endpoint],
            database: if database.is_empty() { self.database } else { database },
            user: if user.is_empty() { self.user } else { user },
            tls,
            ..self
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_where_the_database_is() {
        let config = Config::default().with_url("postgres://ops@db.example:5433/fleet").expect("an address");
        assert_eq!(config.endpoints, ["db.example:5433"]);
        assert_eq!(
            (config.database.as_str(), config.user.as_str(), config.tls),
            ("fleet", "ops", Tls::VerifyFull)
        );
        let config = Config::default().with_url("postgresql://%2Frun%2Fpostgresql").expect("an address");
        assert_eq!((config.endpoints[0].as_str(), config.tls), ("/run/postgresql", Tls::Disable));
        assert_eq!(config.database, "telemetry");
        let config =
            Config::default().with_url("postgres://localhost/x?sslmode=require").expect("an address");
        assert_eq!(config.tls, Tls::Require);
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_way_out() {
        let check = |text: &str, words: &str| {
            let problem = Config::default().with_url(text).expect_err("refused");
            assert!(problem.contains(words), "{problem}");
        };
        check("telemetry", "it is postgres://user@host:port/name");
        check("mysql://x/y", "mysql:// is no PostgreSQL");
        check("postgres://a:secret@x/y", "PGPASSWORD");
        check("postgres:///y", "host");
        check("postgres://x/y?sslmod=disable", "sslmod=disable is not known");
    }
}
