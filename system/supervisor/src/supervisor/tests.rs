//! What a keeper does to a real process: a shell that notes what it is told.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

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

/// A shell that says so.
fn program(folder: &Path, text: &str) -> PathBuf {
    let program = folder.join("program");
    fs::write(&program, text).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("made a program");
    program
}

fn service() -> Service {
    Service {
        kind: "gateway".to_owned(),
        count: 1,
        config: "gateway.toml".into(),
        listen: None,
        apart: Apart::Ports,
        // Nobody answers there: it counts as one that takes long to start.
        admin: "127.0.0.1:1".parse().expect("an address"),
        env: BTreeMap::new(),
        canary: None,
    }
}

#[tokio::test]
async fn one_that_drains_is_told_once_and_starts_again_if_that_is_wanted_by_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = program(folder.path(), SLOW_TO_END);
    let cluster = Cluster { services: vec![service()], ..Cluster::default() };
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

/// A control group of this test that may have little memory, where this process may make one.
struct Cramped {
    folder: PathBuf,
    cgroups: Cgroups,
}

impl Cramped {
    fn new() -> Result<Self, String> {
        let own = Cgroups::of_self().folder().ok_or("no control group counts memory here")?;
        let folder = own.join(format!("drover-test-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| format!("make {}: {error}", folder.display()))?;
        let cramped = Self { cgroups: Cgroups::in_folder(&folder), folder };
        let limit = ["memory.max", "memory.limit_in_bytes"].map(|name| cramped.folder.join(name));
        let limit = limit.iter().find(|path| path.exists()).ok_or("its memory can not be limited")?;
        fs::write(limit, "33554432").map_err(|error| format!("write {}: {error}", limit.display()))?;
        Ok(cramped)
    }
}

impl Drop for Cramped {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

#[tokio::test]
async fn one_that_the_system_ends_for_want_of_memory_is_said_to_be() {
    let cramped = match Cramped::new() {
        Ok(cramped) => cramped,
        Err(why) => return println!("skipped: {why}"),
    };
    let folder = tempfile::tempdir().expect("a folder");
    // A line without an end is kept whole.
    let greedy =
        format!("#!/bin/sh\necho $$ >{}/cgroup.procs\nexec tail /dev/zero\n", cramped.folder.display());
    let program = program(folder.path(), &greedy);
    let cluster = Cluster { services: vec![service()], ..Cluster::default() };
    let log = Log::to(std::io::sink());
    let supervisor = Supervisor::start_in(cramped.cgroups.clone(), &cluster, &program, &log);
    let handle = supervisor.handle();
    let last_exit = || handle.status().services[0].last_exit.clone();
    until("its end", || last_exit().is_some()).await;
    let why = last_exit().expect("it has ended");
    assert!(why.contains("for want of memory (32 MiB of memory"), "{why}");
    supervisor.stop().await;
}
