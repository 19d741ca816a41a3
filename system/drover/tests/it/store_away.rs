//! Tracker, gateway, persistence agent and PostgreSQL as processes on real sockets. Server, agent and gateway are killed in
//! turn while a vehicle drives; in the end every fix that it recorded is stored once.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use drover_tests::{Disk, Postgres};

use crate::process::{Process, drover};
use crate::{make_certificates, sentences, write_config};

/// Fixes of the drive, and the time between two of them.
const FIXES: u64 = 1500;
const INTERVAL: Duration = Duration::from_millis(10);
/// From the return of one service to the kill of the next.
const CALM: Duration = Duration::from_millis(700);

/// The table of the database, for a config.
pub(crate) fn postgres_table(server: &Postgres) -> String {
    format!("[postgres]\nendpoints = [\"{}\"]\nuser = \"postgres\"\ntls = \"disable\"\n", server.endpoint())
}

/// A server with the schema, made as an operator makes it.
pub(crate) fn migrated(folder: &Path, disk: Disk) -> Postgres {
    let server = Postgres::start(disk);
    server.sql("postgres", "CREATE DATABASE telemetry");
    write_config(folder, "persistence", "persistence-0", "info", &postgres_table(&server));
    let migrate = ["migrate", "--config", "persistence.toml"];
    drover(folder, &[&migrate[..], &["--check-config"]].concat())
        .expect_code(0)
        .says("would make it version");
    drover(folder, &migrate).expect_code(0).says("the schema was not there and is version");
    drover(folder, &migrate).expect_code(0).says("already");
    server
}

/// Address in a line that says where a service listens.
pub(crate) fn addr(line: &str) -> String {
    line.rsplit_once("addr=").expect("an address").1.to_owned()
}

/// A service that is killed and comes back at the same address.
struct Service<'a> {
    folder: &'a Path,
    name: &'static str,
    process: Option<Process>,
}

impl<'a> Service<'a> {
    /// Starts it on a free port, and writes that port into its config.
    fn start(folder: &'a Path, name: &'static str, rest: &str) -> (Self, String) {
        let config = |listen: &str| {
            let rest = rest.replace("LISTEN", listen);
            write_config(folder, name, &format!("{name}-0"), "info", &rest);
        };
        config("127.0.0.1:0");
        let mut process = Process::start(folder, name);
        let addr = addr(&process.says(" listens"));
        config(&addr);
        (Self { folder, name, process: Some(process) }, addr)
    }

    fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    fn start_again(&mut self) {
        let mut process = Process::start(self.folder, self.name);
        process.says(" listens");
        self.process = Some(process);
    }
}

/// Feeds a receiver's pipe at its pace.
fn drive(pipe: std::path::PathBuf) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut pipe = OpenOptions::new().write(true).open(pipe).expect("a pipe");
        for second in 0..FIXES {
            pipe.write_all(sentences(second).as_bytes()).expect("the tracker reads");
            sleep(INTERVAL);
        }
    })
}

#[test]
fn every_recorded_fix_is_stored_once_though_server_agent_and_gateway_are_killed_in_turn() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path();
    make_certificates(folder);
    let mut server = migrated(folder, Disk::Synced);
    let rest = format!("[persistence]\nlisten = \"LISTEN\"\n{}", postgres_table(&server));
    let (mut agent, bus) = Service::start(folder, "persistence", &rest);
    let peer = format!("[[gateway.persistence]]\nnode = \"persistence/0\"\naddr = \"{bus}\"\n");
    let rest = format!("[gateway]\nlisten = \"LISTEN\"\nbus_bind = \"127.0.0.1:0\"\n{peer}");
    let (mut gateway, front) = Service::start(folder, "gateway", &rest);

    let made = Command::new("mkfifo").arg(folder.join("gps")).status().expect("mkfifo runs");
    assert!(made.success());
    let session = format!(
        "[tracker.session]\nservers = [\"{front}\"]\nbind = \"127.0.0.1:0\"\nsend_interval_ms = 50\n\
         [tracker.source]\nnmea = \"gps\"\n"
    );
    write_config(folder, "tracker", "acme-TRUCK-042", "info,drover_env=trace", &session);
    let mut tracker = Process::start(folder, "tracker");
    let driving = drive(folder.join("gps"));

    for _ in 0..2 {
        sleep(CALM);
        server.kill();
        sleep(CALM / 2);
        server.start_again();
        sleep(CALM);
        agent.kill();
        sleep(CALM / 2);
        agent.start_again();
        sleep(CALM);
        gateway.kill();
        sleep(CALM / 2);
        gateway.start_again();
    }
    driving.join().expect("the drive ends");
    tracker.has_made_durable(FIXES);
    let log = tracker.terminate();
    assert!(log.contains(&format!("recorded: {FIXES}, durable: {FIXES}, refused: 0, shed: 0")), "{log}");
    let count = "SELECT count(*), count(DISTINCT (epoch, sequence)), min(sequence), max(sequence), count(DISTINCT epoch) \
                 FROM vehicle_telemetry WHERE tenant_id = 'acme' AND vehicle_id = 'TRUCK-042'";
    assert_eq!(server.sql("telemetry", count), format!("{FIXES}|{FIXES}|0|{}|1", FIXES - 1));
    assert_eq!(server.sql("telemetry", "SELECT count(*) FROM vehicle_telemetry"), FIXES.to_string());
    assert_eq!(server.sql("telemetry", "SELECT count(*) FROM dead_letters"), "0");
    agent.process.take().expect("it runs").terminate();
    gateway.process.take().expect("it runs").terminate();
}

#[test]
fn an_agent_waits_for_its_database_and_says_so_and_ends_where_waiting_helps_nobody() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path();
    make_certificates(folder);
    let mut server = migrated(folder, Disk::Cached);
    let rest = format!("[persistence]\nlisten = \"127.0.0.1:0\"\n{}", postgres_table(&server));
    write_config(folder, "persistence", "persistence-0", "info", &rest);
    server.stop();
    let mut agent = Process::start(folder, "persistence");
    let line = agent.says("the database is away; it is tried again");
    assert!(line.contains(&server.endpoint()), "{line}");
    agent.says("the database is away; it is tried again");
    server.start_again();
    agent.says("the database is there");
    agent.says("persistence agent listens");
    agent.says("upkeep of the database made=");
    let log = agent.terminate();
    assert!(!log.contains("NOTHING IS KEPT"), "{log}");

    // Told to stop while it waits, it stops.
    server.stop();
    let mut waiting = Process::start(folder, "persistence");
    waiting.says("the database is away");
    waiting.terminate();
    server.start_again();

    let run = ["persistence", "--config", "persistence.toml"];
    server.sql("telemetry", "UPDATE _sqlx_migrations SET version = 99 WHERE version = (SELECT max(version) FROM _sqlx_migrations)");
    drover(folder, &run).expect_code(1).says("the schema in").says("run a program as new as the schema");
    server.sql("telemetry", "DELETE FROM _sqlx_migrations WHERE version = 99");
    drover(folder, &run).expect_code(1).says("run `drover migrate`");
    server.sql("postgres", "DROP DATABASE telemetry WITH (FORCE)");
    drover(folder, &run).expect_code(1).says("database \"telemetry\" does not exist");
    let wrong = "[postgres]\nendpoints = []\n";
    write_config(folder, "persistence", "persistence-0", "info", wrong);
    drover(folder, &run).expect_code(64).says("[postgres]: endpoints must name at least one server");
    write_config(folder, "persistence", "persistence-0", "info", "");
    drover(folder, &["migrate", "--config", "persistence.toml"])
        .expect_code(64)
        .says("[postgres] is missing");
    drover(folder, &["persistence", "--print-config"]).expect_code(0).says("# database = \"telemetry\"");
}
