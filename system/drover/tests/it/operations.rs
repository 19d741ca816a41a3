//! What an operator does to a cluster that runs: revokes a certificate, has dead letters tried again and totals made anew.

use std::fs;
use std::path::Path;

use drover_tests::{Disk, Postgres};

use crate::process::{Process, drover};
use crate::store_away::{addr, migrated, postgres_table};
use crate::{make_certificates, sentences, write_config};

const FIXES: u64 = 60;

/// An agent on `server`, a gateway before it, and where the gateway and the agent's admin address are.
fn start(folder: &Path, server: &Postgres) -> (Process, Process, String, String) {
    let rest = format!(
        "admin = \"127.0.0.1:0\"\n[persistence]\nlisten = \"127.0.0.1:0\"\n{}",
        postgres_table(server)
    );
    write_config(folder, "persistence", "persistence-0", "info", &rest);
    let mut agent = Process::start(folder, "persistence");
    let admin = addr(&agent.says("admin address listens"));
    let bus = addr(&agent.says("persistence agent listens"));
    let rest = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nbus_bind = \"127.0.0.1:0\"\nrevocation_interval_ms = 200\n\
         [[gateway.persistence]]\nnode = \"persistence/0\"\naddr = \"{bus}\"\n"
    );
    write_config(folder, "gateway", "gateway-0", "info", &rest);
    let mut gateway = Process::start(folder, "gateway");
    let front = addr(&gateway.says("gateway listens"));
    (agent, gateway, admin, front)
}

fn tracker(folder: &Path, front: &str) -> Process {
    let session = format!(
        "[tracker.session]\nservers = [\"{front}\"]\nbind = \"127.0.0.1:0\"\nsend_interval_ms = 50\n\
         [tracker.source]\nnmea = \"drive.nmea\"\n"
    );
    write_config(folder, "tracker", "acme-TRUCK-042", "info,drover_env=trace", &session);
    Process::start(folder, "tracker")
}

#[test]
fn letters_are_stored_once_they_can_be_and_totals_are_made_anew() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path();
    make_certificates(folder);
    let server = migrated(folder, Disk::Cached);
    // Nobody has a table for fix 7.
    server.sql("telemetry", "ALTER TABLE vehicle_telemetry ADD CONSTRAINT no_seventh CHECK (sequence <> 7)");
    fs::write(folder.join("drive.nmea"), (0..FIXES).map(sentences).collect::<String>()).expect("written");
    let (_agent, _gateway, admin, front) = start(folder, &server);
    let mut tracker = tracker(folder, &front);
    tracker.has_made_durable(FIXES - 1);
    let letters = || server.sql("telemetry", "SELECT count(*) FROM dead_letters");
    assert_eq!(letters(), "1");
    let ctl = |args: &[&str]| drover(folder, &[&["ctl", "--addr", &admin], args].concat());
    ctl(&["replay-letters"])
        .expect_code(0)
        .says("1 dead letters tried again: 0 are stored now, 1 stay aside");
    server.sql("telemetry", "ALTER TABLE vehicle_telemetry DROP CONSTRAINT no_seventh");
    ctl(&["replay-letters"])
        .expect_code(0)
        .says("1 dead letters tried again: 1 are stored now, 0 stay aside");
    assert_eq!(
        (letters().as_str(), server.sql("telemetry", "SELECT count(*) FROM vehicle_telemetry").as_str()),
        ("0", "60")
    );

    server.sql("telemetry", "DELETE FROM daily_totals");
    let rederive = ["rederive", "--tenant", "acme", "--from", "2026-03-01", "--to", "2026-03-03"];
    ctl(&rederive).expect_code(0).says("3 days looked at: 1 totals made anew");
    assert_eq!(
        server.sql("telemetry", "SELECT day, vehicle_id, fixes FROM daily_totals"),
        "2026-03-02|TRUCK-042|60"
    );
    ctl(&[&rederive[..], &["--vehicle", "NOBODY"]].concat()).expect_code(0).says("0 totals made anew");
    assert_eq!(server.sql("telemetry", "SELECT count(*) FROM daily_totals"), "1", "others are left alone");
    ctl(&["rederive", "--tenant", "acme", "--from", "3", "--to", "4"])
        .expect_code(1)
        .says("is no day such as");
    tracker.terminate();
}

#[test]
fn a_revoked_certificate_loses_its_session_and_is_taken_no_more() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path();
    make_certificates(folder);
    let server = migrated(folder, Disk::Cached);
    fs::write(folder.join("drive.nmea"), (0..FIXES).map(sentences).collect::<String>()).expect("written");
    let (agent, mut gateway, _, front) = start(folder, &server);
    let mut tracker = tracker(folder, &front);
    tracker.has_made_durable(FIXES);
    let revoke =
        ["pki", "revoke", "pki", "acme/TRUCK-042", "--config", "persistence.toml", "--reason", "stolen"];
    drover(folder, &revoke)
        .expect_code(0)
        .says("is revoked; gateways and hubs hear of it")
        .says("revoked.txt");
    gateway.says("session ended: its certificate was revoked");
    gateway.says("vehicle refused: its certificate was revoked");
    drover(folder, &revoke).expect_code(0).says("was revoked already");
    // The agent goes; what the gateway knows it goes on knowing, and it says that it hears nothing new.
    agent.terminate();
    gateway.says("nobody says what was revoked; the last list that is known holds");
    gateway.says("vehicle refused: its certificate was revoked");
    let log = gateway.terminate();
    assert!(log.contains("\"gateway.revoked\""), "{log}");
    assert_eq!(
        server.sql("telemetry", "SELECT principal, reason FROM revocations"),
        "drover://acme/vehicle/TRUCK-042|stolen"
    );

    // One that starts without an agent knows by its file.
    let config = fs::read_to_string(folder.join("gateway.toml")).expect("written");
    let config = config.replace("[tls]\n", "[tls]\nrevoked = \"pki/revoked.txt\"\n");
    let config =
        config.replace("listen = \"127.0.0.1:0\"\nbus_bind", &format!("listen = \"{front}\"\nbus_bind"));
    fs::write(folder.join("gateway.toml"), config).expect("written");
    let mut gateway = Process::start(folder, "gateway");
    gateway.says("vehicle refused: its certificate was revoked");
    gateway.terminate();
    fs::write(folder.join("pki/revoked.txt"), "no number\n").expect("written");
    drover(folder, &["gateway", "--config", "gateway.toml", "--check-config"])
        .expect_code(64)
        .says("[tls]: revoked: ")
        .says("line 1: \"no\" is no serial number");
    tracker.terminate();
}
