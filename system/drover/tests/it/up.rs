//! A cluster under its supervisor: it starts, moves, loses processes and gets them back, rolls, and ends.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Process, drover};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder whose cluster takes a hundred and eighty ports from `port` on. Each test has a range of its own.
fn cluster(folder: &Path, port: u16) {
    drover(folder, &["init", "c", "--port", &port.to_string()]).expect_code(0).says("drover up c");
}

/// What the supervisor says, as JSON.
fn status(folder: &Path) -> Value {
    let ended = drover(folder, &["ctl", "--cluster", "c", "--json", "status"]);
    serde_json::from_str(ended.expect_code(0).said()).expect("JSON")
}

/// The service of that node in a status.
fn service(status: &Value, node: &str) -> Value {
    let services = status["cluster"]["services"].as_array().expect("a list");
    services.iter().find(|service| service["node"] == node).expect("it is there").clone()
}

/// Waits until the services are as `is_so` wants them.
fn until(folder: &Path, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let now = status(folder);
        if is_so(&now) {
            return now;
        }
        assert!(Instant::now() < give_up, "{what} did not come: {now:#}");
        sleep(Duration::from_millis(50));
    }
}

/// What is answered to a browser, head and body.
fn browse(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("room");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

fn signal(signal: &str, pid: u64) {
    let told = Command::new("kill").args([signal, &pid.to_string()]).status();
    assert!(told.expect("kill runs").success());
}

#[test]
fn what_dies_or_hangs_comes_back_a_vehicle_moves_and_all_of_it_rolls_and_ends() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path();
    cluster(folder, 24_400);
    let mut up = Process::start_with(folder, &["up", "c"]);
    up.says("NOTHING IS KEPT");
    up.says("every service is ready");
    let seen = || drover(folder, &["ctl", "--cluster", "c", "status"]).expect_code(0).said().to_owned();
    let place = || seen().lines().find(|line| line.contains("demo/VAN-001 at")).map(str::to_owned);
    let give_up = Instant::now() + PATIENCE;
    let first = loop {
        assert!(Instant::now() < give_up, "{}", seen());
        if let Some(line) = place() {
            break line;
        }
    };
    while place().is_some_and(|line| line == first) {
        assert!(Instant::now() < give_up, "it does not move: {first}");
    }

    let agent_says =
        "health/0: dns/0 healthy, gateway/0 healthy, hub/0 healthy, persistence/0 healthy, router/0 healthy";
    while !seen().contains(agent_says) {
        assert!(Instant::now() < give_up, "{}", seen());
    }
    // Browsers come through the router: its port is that of WebTransport, too.
    let page = browse(24_560, "/sign-in");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("https://127.0.0.1:24560"), "{page}");
    let config = browse(24_560, "/config.json");
    assert!(config.contains("\"port\":24560") && config.contains("\"hashes\":[\""), "{config}");
    let before = status(folder);
    let pid = |status: &Value, node: &str| service(status, node)["pid"].as_u64().expect("it runs");
    signal("-KILL", pid(&before, "gateway/0"));
    let after = until(folder, "a new gateway", |now| {
        let gateway = service(now, "gateway/0");
        gateway["state"] == "ready" && gateway["restarts"] == 1
    });
    assert_ne!(pid(&after, "gateway/0"), pid(&before, "gateway/0"));
    signal("-STOP", pid(&after, "persistence/0"));
    until(folder, "a new agent", |now| {
        let agent = service(now, "persistence/0");
        agent["state"] == "ready" && agent["hung"] == 1
    });
    let before = status(folder);
    drover(folder, &["ctl", "--cluster", "c", "roll"]).expect_code(0).says("one at a time");
    up.says("every service was restarted");
    let after = status(folder);
    for node in ["persistence/0", "gateway/0", "tracker/0"] {
        assert_ne!(pid(&after, node), pid(&before, node), "{node}");
        assert_eq!(service(&after, node)["restarts"], service(&before, node)["restarts"], "{node}");
    }
    let log = up.terminate();
    let ended: Vec<_> = ["tracker stopped", "persistence agent stopped"].map(|words| log.rfind(words)).into();
    assert!(ended[0].is_some() && ended[0] < ended[1], "the agent ends last: {log}");
    for node in ["persistence/0", "gateway/0", "tracker/0"] {
        let left = Command::new("kill").args(["-0", &pid(&after, node).to_string()]).output();
        assert!(!left.expect("kill runs").status.success(), "{node} is left behind");
    }
}

#[test]
fn services_end_with_their_supervisor_however_it_ends() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path();
    cluster(folder, 24_800);
    let mut up = Process::start_with(folder, &["up", "c"]);
    up.says("every service is ready");
    let services = status(folder)["cluster"]["services"].as_array().expect("services").clone();
    let pids: Vec<u64> = services.iter().filter_map(|service| service["pid"].as_u64()).collect();
    assert_eq!(pids.len(), services.len());
    up.kill();
    let give_up = Instant::now() + PATIENCE;
    // Nobody waits for them, so what is left may be the entry of one that has ended.
    let runs = |pid: &u64| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.contains("State:") && !status.contains("State:\tZ")
    };
    while let Some(pid) = pids.iter().find(|pid| runs(pid)) {
        assert!(Instant::now() < give_up, "{pid} of {services:?} is left behind");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_can_not_run_is_said_with_its_own_words_and_nothing_is_left_behind() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path();
    drover(folder, &["up"]).expect_code(64).says("read cluster.toml").says("`drover init DIR`");
    cluster(folder, 24_600);
    let file = folder.join("c/cluster.toml");
    let good = fs::read_to_string(&file).expect("made");
    let change = |from: &str, to: &str| fs::write(&file, good.replacen(from, to, 1)).expect("written");
    change("kind = \"gateway\"", "kind = \"gatway\"");
    drover(folder, &["up", "c"]).expect_code(64).says("did you mean `gateway`?");
    let two_agents = |text: &str| {
        text.replacen("kind = \"persistence\"\ncount = 1", "kind = \"persistence\"\ncount = 2", 1)
    };
    fs::write(&file, two_agents(&good)).expect("written");
    let check = ["up", "c", "--check-config"];
    drover(folder, &check).expect_code(64).says("persistence-1.pem: No such file").says("`drover pki`");
    drover(folder, &["pki", "issue", "c/pki", "persistence/1"]).expect_code(0);
    change("[supervisor]", "[supervisor]\nhung_after_s = 1");
    drover(folder, &check).expect_code(64).says("unknown field `hung_after_s`");
    fs::write(&file, two_agents(&good)).expect("written");
    drover(folder, &check)
        .expect_code(64)
        .says("persistence/1 of this cluster is not listed")
        .says("127.0.0.1:24611");
    fs::write(&file, &good).expect("written");
    drover(folder, &check).expect_code(0).says("cluster.toml is good");

    let taken = std::net::UdpSocket::bind("127.0.0.1:24600").expect("it is free");
    let quick = good.replace("[supervisor]", "[supervisor]\nrestarts_max = 2");
    fs::write(&file, quick).expect("written");
    drover(folder, &["up", "c"])
        .expect_code(1)
        .says("router/0: it ended 2 times in 60 s")
        .says("Address already in use");
    drop(taken);
    drover(folder, &["ctl", "--cluster", "c", "status"]).expect_code(1).says("127.0.0.1:24650");
}
