//! The shipped binary as it is used: a CA, three processes, one drive, and an end by SIGTERM.

#![expect(
    clippy::disallowed_methods,
    reason = "a test of processes: their files and pipes are the machine's"
)]

mod operate;
mod operations;
mod process;
mod store_away;
mod up;

use std::fs;
use std::path::Path;

use process::{Process, drover};

/// Fixes of the drive.
const FIXES: u64 = 120;

/// Writes `<name>.toml`: the certificate of `stem`, and the service's own keys.
fn write_config(folder: &Path, name: &str, stem: &str, log: &str, service: &str) {
    let tls =
        format!("[tls]\ncertificate = \"pki/{stem}.pem\"\nkey = \"pki/{stem}.key\"\nca = \"pki/ca.pem\"\n");
    let process = format!("[process]\nstate_dir = \"state-{name}\"\nlog = \"{log}\"\n");
    fs::write(folder.join(format!("{name}.toml")), format!("{tls}{process}{service}")).expect("written");
}

fn make_certificates(folder: &Path) {
    drover(folder, &["pki", "init", "pki"]).expect_code(0);
    for who in ["gateway/0", "persistence/0", "acme/TRUCK-042"] {
        drover(folder, &["pki", "issue", "pki", who]).expect_code(0);
    }
}

/// RMC and GGA of a second after 12:00:00.
fn sentences(second: u64) -> String {
    let mut nmea = String::new();
    let time = format!("12{:02}{:02}.00", second / 60, second % 60);
    for body in [
        format!("GPRMC,{time},A,6010.2000,N,02456.4000,E,19.4,0.0,020326,,,A"),
        format!("GPGGA,{time},6010.2000,N,02456.4000,E,1,09,0.9,31.5,M,17.0,M,,"),
    ] {
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        nmea.push_str(&format!("${body}*{sum:02X}\r\n"));
    }
    nmea
}

#[test]
fn a_drive_through_three_processes_is_stored_whole_and_each_ends_well_on_sigterm() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path();
    make_certificates(folder);
    fs::write(folder.join("drive.nmea"), (0..FIXES).map(sentences).collect::<String>()).expect("written");

    // Port 0 is free whatever else runs here; where each one listens is in its log.
    let listen = "[persistence]\nlisten = \"127.0.0.1:0\"\n";
    write_config(folder, "persistence", "persistence-0", "info", listen);
    let mut persistence = Process::start(folder, "persistence");
    let bus = persistence.says("persistence agent listens");
    let bus = bus.rsplit_once("addr=").expect("an address").1;

    let peer = format!("[[gateway.persistence]]\nnode = \"persistence/0\"\naddr = \"{bus}\"\n");
    let listen = format!("[gateway]\nlisten = \"127.0.0.1:0\"\nbus_bind = \"127.0.0.1:0\"\n{peer}");
    write_config(folder, "gateway", "gateway-0", "info", &listen);
    let mut gateway = Process::start(folder, "gateway");
    let server = gateway.says("gateway listens");
    let server = server.rsplit_once("addr=").expect("an address").1;

    let session = format!(
        "[tracker.session]\nservers = [\"{server}\"]\nbind = \"127.0.0.1:0\"\nsend_interval_ms = 50\n\
         [tracker.source]\nnmea = \"drive.nmea\"\n"
    );
    // What is durable is told as events only.
    write_config(folder, "tracker", "acme-TRUCK-042", "info,drover_env=trace", &session);
    let mut tracker = Process::start(folder, "tracker");
    tracker.has_made_durable(FIXES);

    let log = tracker.terminate();
    assert!(log.contains(&format!("recorded: {FIXES}, durable: {FIXES}, refused: 0, shed: 0")), "{log}");
    assert!(log.contains("sessions: 1, pending: 0"), "{log}");
    let log = gateway.terminate();
    assert!(log.contains("\"gateway.connected\": 1"), "{log}");
    assert!(!log.contains("gateway.refused"), "{log}");
    let log = persistence.terminate();
    assert!(log.contains(&format!("rows={FIXES} dead_letters=0")), "{log}");
    assert!(log.contains("NOTHING IS KEPT"), "{log}");
}

#[test]
fn what_the_user_can_put_right_ends_with_64_and_what_went_wrong_with_1() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path();
    drover(folder, &["persistence"])
        .expect_code(64)
        .says("drover persistence --print-config > persistence.toml");
    drover(folder, &["tracker"]).expect_code(64).says("drover pki issue pki acme/TRUCK-042");
    drover(folder, &["tracker", "--print"]).expect_code(64).says("--print needs --nmea FILE");
    drover(folder, &["persistence", "--config", "none.toml"]).expect_code(64).says("read none.toml");
    drover(folder, &["pki", "issue", "pki", "gateway/0"]).expect_code(64).says("`drover pki init pki` makes");
    make_certificates(folder);
    write_config(folder, "gateway", "gateway-0", "info", "[gateway]\n");
    let check = ["gateway", "--config", "gateway.toml", "--check-config"];
    drover(folder, &check).expect_code(64).says("add a [[gateway.persistence]]");
    let peer = "[[gateway.persistence]]\nnode = \"persistence/0\"\naddr = \"127.0.0.1:1\"\n";
    write_config(folder, "gateway", "persistence-0", "info", peer);
    drover(folder, &check).expect_code(64).says("names drover://svc/persistence/0, not a gateway");
    write_config(folder, "gateway", "gateway-0", "info", peer);
    drover(folder, &check).expect_code(0).says("gateway.toml is good");

    write_config(folder, "tracker", "nobody", "info", "");
    let check = ["tracker", "--config", "tracker.toml", "--check-config"];
    drover(folder, &check).expect_code(64).says("nobody.pem: No such file").says("nobody.key: No such file");
    write_config(
        folder,
        "tracker",
        "acme-TRUCK-042",
        "info",
        "[tracker.source]\nnmea = \"gone\"\n[tracker.session]\nservers = [\"127.0.0.1:1\"]\n",
    );
    drover(folder, &check).expect_code(0).says("gone is not there now");
    write_config(folder, "persistence", "persistence-0", "info", "[persistence]\nlisten = \"127.0.0.1:0\"\n");
    let mut first = Process::start(folder, "persistence");
    let line = first.says("persistence agent listens");
    let addr = line.rsplit_once("addr=").expect("an address").1;
    let taken = format!("[persistence]\nlisten = \"{addr}\"\n");
    write_config(folder, "second", "persistence-0", "info", &taken);
    drover(folder, &["persistence", "--config", "second.toml"]).expect_code(1).says(addr);
    first.terminate();
}
