//! Throw-away PostgreSQL servers, made from the installed binaries. Each has a folder, a port and processes of its own, and
//! takes them along when it is dropped.

#![expect(clippy::disallowed_methods, reason = "a server is a process with files: they are the machine's")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use drover_store::postgres::{Config, Durability, Tls};
use tempfile::TempDir;

/// Oldest version that the store takes.
const VERSION_MIN: u32 = 15;
/// Far longer than a server takes to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Who owns a server where tests run as root: PostgreSQL refuses to.
const OWNER: &str = "postgres";
/// Attempts to start: another process may take the port between its choice and its use.
const ATTEMPTS: usize = 5;

/// How a server treats what it is told to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// Flushed, as in production.
    Synced,
    /// Left to the kernel: enough where no power fails.
    Cached,
}

/// A server that others run, such as one with TimescaleDB: tests that kill nothing can use it, one at a time.
#[derive(Debug, Clone)]
struct Elsewhere {
    host: String,
    user: String,
}

impl Elsewhere {
    /// From `postgres://user@host:port`; a password comes from PGPASSWORD.
    fn named() -> Option<(Self, u16)> {
        let url = std::env::var(ELSEWHERE).ok().filter(|url| !url.is_empty())?;
        let wrong = || format!("{ELSEWHERE} = {url:?} is not of the form postgres://user@host:port");
        let rest = url.split_once("://").unwrap_or_else(|| panic!("{}", wrong())).1;
        let rest = rest.split('/').next().unwrap_or_default();
        let (user, host) = rest.rsplit_once('@').unwrap_or((OWNER, rest));
        assert!(
            !user.contains(':'),
            "{ELSEWHERE}: a password is taken from PGPASSWORD, not from the address"
        );
        let (host, port) = host.rsplit_once(':').unwrap_or((host, "5432"));
        let port = port.parse().unwrap_or_else(|_| panic!("{}", wrong()));
        Some((Self { host: host.to_owned(), user: user.to_owned() }, port))
    }
}

/// Names a server that others run, as `postgres://user@host:port`. Its database `telemetry` is dropped and made by every test.
const ELSEWHERE: &str = "DROVER_TEST_DATABASE";

/// A server. It ends when this is dropped.
pub struct Postgres {
    folder: TempDir,
    /// Folder of its programs.
    programs: PathBuf,
    /// A server that others run, if one is named.
    elsewhere: Option<Elsewhere>,
    port: u16,
    settings: Vec<(String, String)>,
    process: Option<Child>,
}

impl Postgres {
    /// Makes a server and starts it.
    ///
    /// # Panics
    /// It can not be made: the message has what its programs said.
    pub fn start(disk: Disk) -> Self {
        let Some((elsewhere, port)) = Elsewhere::named() else { return Self::start_with(disk, &[]) };
        let mut server = Self::unstarted(disk, "primary");
        server.port = port;
        server.elsewhere = Some(elsewhere);
        server.sql("postgres", "DROP DATABASE IF EXISTS telemetry WITH (FORCE)");
        server
    }

    /// The same with other settings, and always one of its own.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_with(disk: Disk, settings: &[(&str, &str)]) -> Self {
        let mut server = Self::unstarted(disk, "primary");
        for (key, value) in settings {
            server.set(key, value);
        }
        server.made()
    }

    /// True if tests use a server that others run.
    pub fn is_elsewhere() -> bool {
        Elsewhere::named().is_some()
    }

    fn host(&self) -> &str {
        self.elsewhere.as_ref().map_or("127.0.0.1", |elsewhere| &elsewhere.host)
    }

    fn user(&self) -> &str {
        self.elsewhere.as_ref().map_or(OWNER, |elsewhere| &elsewhere.user)
    }

    /// A server whose machine has no PostGIS: its programs are copies, which look for extensions beside themselves.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn without_postgis() -> Self {
        let mut server = Self::unstarted(Disk::Cached, "bare");
        let (from, to) = (binaries(), server.folder.path().to_owned());
        let version = from.parent().and_then(Path::file_name).and_then(OsStr::to_str).expect("a version");
        let (library, share) = (to.join("usr/lib/postgresql"), to.join("usr/share/postgresql"));
        server.programs = library.join(version).join("bin");
        fs::create_dir_all(&server.programs).expect("a folder");
        fs::create_dir_all(&share).expect("a folder");
        for program in ["postgres", "initdb"] {
            fs::copy(from.join(program), server.programs.join(program)).expect("a copy");
        }
        symlink(from.with_file_name("lib"), library.join(version).join("lib")).expect("a link");
        run(Command::new("cp").arg("-r").arg(Path::new("/usr/share/postgresql").join(version)).arg(&share));
        for entry in fs::read_dir(share.join(version).join("extension")).expect("extensions").flatten() {
            if entry.file_name().to_string_lossy().starts_with("postgis") {
                fs::remove_file(entry.path()).expect("removed");
            }
        }
        server.made()
    }

    fn made(self) -> Self {
        let options = ["-N", "-A", "trust", "-U", OWNER, "-E", "UTF8", "--locale=C", "-D"];
        run(self.program("initdb", &options).arg(self.data()));
        self.started()
    }

    /// A standby that follows this server. It is called `name` where the primary lists its standbys.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn standby(&self, name: &str) -> Self {
        let standby = Self::unstarted(Disk::Synced, name);
        let port = self.port.to_string();
        let options = ["-h", "127.0.0.1", "-U", OWNER, "-R", "-X", "stream", "-c", "fast", "-p", &port, "-D"];
        run(standby.program("pg_basebackup", &options).arg(standby.data()));
        standby.started()
    }

    fn unstarted(disk: Disk, name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("drover-postgres-").tempdir().expect("a folder");
        if let Some((user, group)) = owner() {
            chown(folder.path(), Some(user), Some(group)).expect("root may give it away");
        }
        let fsync = if disk == Disk::Synced { "on" } else { "off" };
        let settings = [
            ("fsync", fsync),
            ("cluster_name", name),
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", folder.path().to_str().expect("a name of ours")),
            ("max_connections", "40"),
            ("shared_buffers", "64MB"),
            ("max_wal_senders", "4"),
            ("wal_keep_size", "256MB"),
            ("logging_collector", "off"),
        ];
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        Self { folder, programs: binaries(), elsewhere: None, port: 0, settings, process: None }
    }

    fn started(mut self) -> Self {
        self.port = free_port();
        for _ in 1..ATTEMPTS {
            if self.try_start() {
                return self;
            }
            self.port = free_port();
        }
        panic!("the server does not start:\n{}", self.log());
    }

    /// Changes a setting; it holds from the next start on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(other, _)| other != key);
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// Starts it after it has ended.
    ///
    /// # Panics
    /// It does not start.
    pub fn start_again(&mut self) {
        let give_up = Instant::now() + PATIENCE;
        // What a killed server left behind is still in use until the last of its processes has noticed.
        while !self.try_start() {
            assert!(Instant::now() < give_up, "the server does not start again:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts the server, and waits until it answers or has ended.
    fn try_start(&mut self) -> bool {
        let log = File::options().append(true).create(true).open(self.log_path()).expect("a log");
        let mut command = self.program("postgres", &["-D"]);
        command.arg(self.data()).args(["-p", &self.port.to_string()]);
        for (key, value) in &self.settings {
            command.arg("-c").arg(format!("{key}={value}"));
        }
        let copy = log.try_clone().expect("a log");
        command.stdin(Stdio::null()).stdout(copy).stderr(log);
        let mut process = command.spawn().expect("the server runs");
        let give_up = Instant::now() + PATIENCE;
        loop {
            if process.try_wait().expect("a child").is_some() {
                return false;
            }
            let answers =
                self.psql("postgres", "SELECT 1").output().is_ok_and(|output| output.status.success());
            if answers {
                self.process = Some(process);
                return true;
            }
            if Instant::now() > give_up {
                let _ = process.kill();
                let _ = process.wait();
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as a power failure ends a process: at once, without a word.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Ends it in good order; clients are cut off.
    pub fn stop(&mut self) {
        self.end("INT");
    }

    fn end(&mut self, signal: &str) {
        let Some(mut process) = self.process.take() else { return };
        let told = Command::new("kill").args([&format!("-{signal}"), &process.id().to_string()]).status();
        if !told.is_ok_and(|status| status.success()) {
            let _ = process.kill();
        }
        let give_up = Instant::now() + PATIENCE;
        while process.try_wait().is_ok_and(|ended| ended.is_none()) {
            if Instant::now() > give_up {
                let _ = process.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A standby becomes a primary.
    ///
    /// # Panics
    /// It does not.
    pub fn promote(&self) {
        assert_eq!(self.sql("postgres", "SELECT pg_promote(true, 60)"), "t");
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("{}:{}", self.host(), self.port)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A store's config for one database of this server.
    pub fn config(&self, database: &str) -> Config {
        Config {
            endpoints: vec![self.endpoint()],
            database: database.to_owned(),
            user: self.user().to_owned(),
            tls: Tls::Disable,
            durability: Some(Durability::Local),
            ..Config::default()
        }
    }

    /// Its first process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Runs statements as the owner of all, and gives what they print, without decoration.
    ///
    /// # Panics
    /// They fail.
    pub fn sql(&self, database: &str, text: &str) -> String {
        self.try_sql(database, self.user(), text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Runs statements as `user`.
    ///
    /// # Errors
    /// What the server said.
    pub fn try_sql(&self, database: &str, user: &str, text: &str) -> Result<String, String> {
        let mut command = self.psql(database, text);
        let output = command.args(["-U", user]).output().expect("psql runs");
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    }

    /// A session that goes on beside the test, such as one that keeps a lock.
    ///
    /// # Panics
    /// psql can not be started.
    pub fn session(&self, database: &str, text: &str) -> Session {
        let mut command = self.psql(database, text);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Session { process: process.expect("psql runs") }
    }

    fn psql(&self, database: &str, text: &str) -> Command {
        let mut command = Command::new(binaries().join("psql"));
        let port = self.port.to_string();
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.host(), "-U", self.user()]);
        command.args(["-p", &port, "-d", database, "-c", text]).env("PGCONNECT_TIMEOUT", "10");
        command
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// A program of the server, run by whoever may run it.
    fn program(&self, name: &str, args: &[&str]) -> Command {
        let path = self.programs.join(name);
        let mut command = match owner() {
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={user}"), format!("--regid={group}")]);
                command.arg("--clear-groups").arg(path);
                command
            }
            None => Command::new(path),
        };
        // It may not be allowed into the folder that we are in.
        command.args(args).current_dir("/");
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // "Immediate": nothing of it is kept.
        self.end("QUIT");
    }
}

/// A client that works on its own. It ends when this is dropped.
pub struct Session {
    process: Child,
}

impl Session {
    /// Ends the client. The server notices when it next speaks to it.
    pub fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

fn free_port() -> u16 {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    probe.local_addr().expect("an address").port()
}

/// Whether a server can be made on this machine.
///
/// # Errors
/// It can not: what is missing, and how to get it.
pub fn postgres_is_installed() -> Result<(), String> {
    let install = "apt-get install postgresql postgresql-postgis";
    let newest =
        newest().ok_or_else(|| format!("PostgreSQL {VERSION_MIN} or later is not installed: {install}"))?;
    let postgis =
        Path::new("/usr/share/postgresql").join(newest.to_string()).join("extension/postgis.control");
    if postgis.exists() {
        Ok(())
    } else {
        Err(format!("PostGIS for PostgreSQL {newest} is not installed: {install}"))
    }
}

/// Folder of the newest server's programs.
fn binaries() -> PathBuf {
    let newest =
        newest().expect("PostgreSQL 15 or later is installed: apt-get install postgresql-15-postgis-3");
    Path::new("/usr/lib/postgresql").join(newest.to_string()).join("bin")
}

/// The newest version that is installed.
fn newest() -> Option<u32> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = versions.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    versions.filter(|version| *version >= VERSION_MIN).max()
}

/// User and group that a server runs as, if it can not be ours.
pub(crate) fn owner() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").expect("a process").uid() != 0 {
        return None;
    }
    let id = |option: &str| {
        let output = Command::new("id").args([option, OWNER]).output().expect("id runs");
        said(&output.stdout).parse::<u32>().expect("the package of PostgreSQL makes a user for it")
    };
    Some((id("-u"), id("-g")))
}

fn run(command: &mut Command) {
    let Output { status, stdout, stderr } = command.output().expect("a program of PostgreSQL runs");
    assert!(status.success(), "{command:?}: {}{}", said(&stdout), said(&stderr));
}
