//! What a keeper does to a real process: a shell that notes what it is told.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use tokio::time::{Instant, sleep};

use super::*;
use crate::cluster::{Apart, Service};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Notes its start and each SIGTERM, and ends in good order once `go` is there.
const SLOW_TO_END: &str = "#!/bin/sh\ncd \"${0%/*}\"\ntrap 'echo term >>said' TERM\necho start >>said\n\
                           while [ ! -e go ]; do sleep 0.02; done\n";

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < give_up, "{what} did not come");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn one_that_drains_is_told_once_and_starts_again_if_that_is_wanted_by_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("slow_to_end");
    fs::write(&program, SLOW_TO_END).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("made a program");
    let service = Service {
        kind: "gateway".to_owned(),
        count: 1,
        config: "gateway.toml".into(),
        listen: None,
        apart: Apart::Ports,
        // Nobody answers there: it counts as one that takes long to start.
        admin: "127.0.0.1:1".parse().expect("an address"),
        env: BTreeMap::new(),
    };
    let cluster = Cluster { services: vec![service], ..Cluster::default() };
    let supervisor = Supervisor::start(&cluster, &program, &Log::to(std::io::sink()));
    let handle = supervisor.handle();
    let said = || fs::read_to_string(folder.path().join("said")).unwrap_or_default();
    let state = || handle.status().services[0].state;
    until("a process", || said() == "start\n").await;
    handle.drain("gateway/0").await.expect("it is there");
    until("SIGTERM", || said() == "start\nterm\n").await;
    assert_eq!(state(), State::Draining);
    handle.drain("gateway/0").await.expect("it is there");
    handle.start("gateway/0").await.expect("it is there");
    until("a keeper that has heard all", || handle.orders[0].capacity() == ORDERS_MAX).await;
    fs::write(folder.path().join("go"), "").expect("written");
    until("the end of a second process", || state() == State::Ended).await;
    assert_eq!(said(), "start\nterm\nstart\n");
    supervisor.stop().await;
}
