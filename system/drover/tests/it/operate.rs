//! What an operator does: makes a cluster's folder, asks a process how it is, drains it.

use std::fs;
use std::io::{Read, Write};

use crate::process::{Process, drover};

#[test]
fn a_folder_is_made_with_all_that_a_cluster_needs() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path();
    drover(folder, &["init", "cluster"]).expect_code(0).says("drover ctl --cluster cluster status");
    for service in ["dns", "router", "gateway", "persistence", "tracker"] {
        let config = format!("cluster/{service}.toml");
        drover(folder, &[service, "--config", &config, "--check-config"]).expect_code(0).says("is good");
        drover(folder, &[service, "--config", &config, "--print-config"]).expect_code(0).says("[process]");
    }
    drover(folder, &["init", "cluster"]).expect_code(64).says("is there already");
    drover(folder, &["init", "other", "--vehicle", "nobody"]).expect_code(64).says("there is no slash");
}

#[test]
fn a_dns_server_answers_and_says_how_it_is() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path();
    drover(folder, &["init", "."]).expect_code(0);
    let config = fs::read_to_string(folder.join("dns.toml")).expect("made");
    let config = config.replace("127.0.0.1:4540", "127.0.0.1:0").replace("127.0.0.1:4550", "127.0.0.1:0");
    let config = config.replace("[process]\n", "[process]\nlog_format = \"json\"\n");
    fs::write(folder.join("dns.toml"), &config).expect("written");
    let mut dns = Process::start(folder, "dns");
    let addr_in = |line: &str| {
        line.split("\"addr\":\"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned)
    };
    let admin = addr_in(&dns.says("admin address listens")).expect("an address");
    let addr = addr_in(&dns.says("DNS server listens")).expect("an address");
    // Of routers.drover.internal, by TCP: its one router.
    let mut stream = std::net::TcpStream::connect(addr).expect("a connection");
    let query = b"\0\x29\x12\x34\0\0\0\x01\0\0\0\0\0\0\x07routers\x06drover\x08internal\0\0\x01\0\x01";
    stream.write_all(query).expect("sent");
    let mut answer = [0; 2 + 41 + 16];
    stream.read_exact(&mut answer).expect("an answer");
    assert!(answer.ends_with(&[127, 0, 0, 1]), "{answer:?}");
    drover(folder, &["ctl", "--addr", &admin, "drain"]).expect_code(0).says("stopping");
    dns.ended(0);
    // What is wrong is said before anything starts.
    fs::write(folder.join("dns.toml"), config.replace("[dns]\n", "[dns]\nttl_s = 0\n")).expect("written");
    let wrong = drover(folder, &["dns", "--config", "dns.toml", "--check-config"]);
    wrong.expect_code(64).says("ttl_s of 0 is not between 1 and 300");
}

#[test]
fn a_process_says_how_it_is_and_drains_when_it_is_told_to() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path();
    drover(folder, &["init", "."]).expect_code(0);
    // Port 0 is free whatever else runs here.
    let config = fs::read_to_string(folder.join("persistence.toml")).expect("made");
    let config = config.replace("127.0.0.1:4440", "127.0.0.1:0").replace("127.0.0.1:4460", "127.0.0.1:0");
    let config = config.replace("[process]\n", "[process]\nlog_format = \"json\"\n");
    fs::write(folder.join("persistence.toml"), config).expect("written");
    let mut agent = Process::start(folder, "persistence");
    let line = agent.says("admin address listens");
    let addr = line.split("\"addr\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an address");
    assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    agent.says("persistence agent listens");
    let ctl = |command: &str| drover(folder, &["ctl", "--addr", addr, command]);
    ctl("status").expect_code(0).says("\"node\": \"drover://svc/persistence/0\"").says("\"uptime_s\"");
    ctl("metrics").expect_code(0).says("drover_info{node=\"drover://svc/persistence/0\"");
    // It may still be between its address and its word that it is ready.
    while ctl("ready").code() != Some(0) {}
    ctl("drain").expect_code(0).says("stopping");
    let log = agent.ended(0);
    assert!(log.contains("told to drain by its admin address"), "{log}");
    ctl("status").expect_code(1).says("is it the `admin` address of a process that runs?");
}
