//! The cluster file: which services run on this machine, how many of each, and where they listen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::canary::Canary;

/// A cluster file: `[supervisor]` and one `[[services]]` for each kind of service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// How the processes are looked after.
    #[serde(default)]
    pub supervisor: Limits,
    /// What runs, in the order in which it is started.
    #[serde(default)]
    pub services: Vec<Service>,
}

/// When a process counts as hung, and how often one is started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Where the supervisor itself answers /live, /ready, /metrics, /status and, from this machine only, POST /drain and
    /// POST /roll; nowhere if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<SocketAddr>,
    /// Time between two probes of a process's admin address; more than 0.
    #[serde(rename = "probe_interval_ms", with = "drover_env::millis")]
    pub probe_interval: Duration,
    /// A process that has answered before, and does not for this long, hangs: it is ended and started again. At least twice
    /// `probe_interval_ms`.
    #[serde(rename = "hung_after_ms", with = "drover_env::millis")]
    pub hung_after: Duration,
    /// Wait before the first restart; each further one waits twice as long.
    #[serde(rename = "backoff_first_ms", with = "drover_env::millis")]
    pub backoff_first: Duration,
    /// Longest wait before a restart.
    #[serde(rename = "backoff_max_ms", with = "drover_env::millis")]
    pub backoff_max: Duration,
    /// Restarts within `restarts_within_s` after which a service is given up.
    pub restarts_max: u32,
    /// The window of `restarts_max`.
    #[serde(rename = "restarts_within_s", with = "drover_env::seconds")]
    pub restarts_within: Duration,
    /// How long a process that was told to drain may take before it is ended.
    #[serde(rename = "drain_s", with = "drover_env::seconds")]
    pub drain: Duration,
    /// How long a process may take to be ready when others wait for it: in a rolling restart.
    #[serde(rename = "ready_within_s", with = "drover_env::seconds")]
    pub ready_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            admin: None,
            probe_interval: Duration::from_millis(300),
            // Found within two seconds, with a probe's interval to spare.
            hung_after: Duration::from_millis(1_500),
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            restarts_max: 10,
            restarts_within: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            ready_within: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// What of them would end processes that are well.
    fn problems(&self) -> Vec<String> {
        if self.probe_interval.is_zero() {
            return vec!["[supervisor]: probe_interval_ms must be more than 0".to_owned()];
        }
        // One probe may be lost, or slow.
        if self.hung_after < self.probe_interval.saturating_mul(2) {
            let (interval_ms, hung_ms) = (self.probe_interval.as_millis(), self.hung_after.as_millis());
            return vec![format!(
                "[supervisor]: hung_after_ms = {hung_ms} must be at least twice probe_interval_ms = {interval_ms}"
            )];
        }
        Vec::new()
    }
}

/// In what the addresses of several instances of a service differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Apart {
    /// Each has the next port of one address.
    #[default]
    Ports,
    /// Each has the next address, all on one port: what a name leads to has one port.
    Addresses,
}

/// One kind of service, as often as `count` says. Instance i has the port of `admin` plus i, and that of `listen` too if `apart` says
/// no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// What it is: a command of `drover`, such as `gateway`.
    pub kind: String,
    /// How many.
    #[serde(default = "one")]
    pub count: u32,
    /// Its config, meant from the cluster file's own folder. All instances share it; `{index}` in the paths of its
    /// certificate, key and state folder stands for the number of the instance.
    pub config: PathBuf,
    /// Address of instance 0; the config's own if absent, which only one instance can have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// In what `listen` of several differs.
    #[serde(default)]
    pub apart: Apart,
    /// Admin address of instance 0: how the supervisor sees that it is well.
    pub admin: SocketAddr,
    /// Variables added to its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Instances that run from another program than the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
}

const fn one() -> u32 {
    1
}

/// Kinds of services that `drover` has.
const KINDS: [&str; 7] = ["persistence", "gateway", "router", "hub", "health", "dns", "tracker"];
/// Instances of one kind on one machine.
const COUNT_MAX: u32 = 256;

/// One process of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Kind and index, such as `gateway/1`.
    pub node: String,
    /// The command of `drover`.
    pub kind: String,
    /// From 0.
    pub index: u32,
    /// Its config.
    pub config: PathBuf,
    /// Where it listens, if not where its config says.
    pub listen: Option<SocketAddr>,
    /// Where it answers probes.
    pub admin: SocketAddr,
    /// Variables added to its environment.
    pub env: BTreeMap<String, String>,
    /// The `drover` to run, if not the supervisor's own.
    pub program: Option<PathBuf>,
}

impl Instance {
    /// Its arguments for `drover`.
    pub fn args(&self) -> Vec<String> {
        let mut args = vec![self.kind.clone(), "--config".to_owned(), self.config.display().to_string()];
        args.extend(["--index".to_owned(), self.index.to_string()]);
        if let Some(listen) = self.listen {
            args.extend(["--listen".to_owned(), listen.to_string()]);
        }
        args.extend(["--admin".to_owned(), self.admin.to_string(), "--supervised".to_owned()]);
        args
    }
}

/// What is wrong with a cluster file.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// It can not be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// It is no cluster file.
    #[error("{}: {detail}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        detail: String,
    },
    /// It can not be run as it stands: every problem, with its place.
    #[error("{}: {}", path.display(), problems.join("; "))]
    Problems {
        /// The file.
        path: PathBuf,
        /// Each with the service that it is about.
        problems: Vec<String>,
    },
}

impl Cluster {
    /// Reads and checks a cluster file. The paths of configs and programs are made to hold from anywhere.
    ///
    /// # Errors
    /// The file can not be read, is no cluster file, or can not be run as it stands.
    pub fn load(path: &Path) -> Result<Self, ClusterError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ClusterError::Read { path: path.to_owned(), source })?;
        let parsed: Result<Self, _> = toml::from_str(&text);
        let mut cluster = parsed.map_err(|error| ClusterError::Parse {
            path: path.to_owned(),
            detail: error.to_string().trim_end().to_owned(),
        })?;
        // A bare name of a program would be looked for where the system has its own.
        let whole = std::path::absolute(path)
            .map_err(|source| ClusterError::Read { path: path.to_owned(), source })?;
        let folder = whole.parent().unwrap_or(Path::new(""));
        for service in &mut cluster.services {
            service.config = folder.join(&service.config);
            if let Some(canary) = &mut service.canary {
                canary.program = folder.join(&canary.program);
            }
        }
        let problems = cluster.problems();
        if problems.is_empty() {
            return Ok(cluster);
        }
        Err(ClusterError::Problems { path: path.to_owned(), problems })
    }

    /// All that keeps it from being run.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.supervisor.problems();
        if self.services.is_empty() {
            problems.push("there is no [[services]]: nothing would run".to_owned());
        }
        let mut seen = BTreeSet::new();
        for service in &self.services {
            let mut wrong = |what: String| problems.push(format!("[[services]] {}: {what}", service.kind));
            if !KINDS.contains(&service.kind.as_str()) {
                let near = |kind: &&&str| strsim::osa_distance(kind, &service.kind);
                let nearest = KINDS.iter().min_by_key(near).unwrap_or(&KINDS[0]);
                wrong(format!("no such kind; did you mean `{nearest}`? There are {}", KINDS.join(", ")));
            } else if !seen.insert(service.kind.as_str()) {
                wrong("it is here twice; `count` says how many there are".to_owned());
            }
            if service.count == 0 || service.count > COUNT_MAX {
                wrong(format!("count must be 1 to {COUNT_MAX}, not {}", service.count));
            }
            if service.count > 1 && service.listen.is_none() && service.kind != "tracker" {
                wrong("`listen` is needed where there are several: they can not share one port".to_owned());
            }
            if !service.config.exists() {
                wrong(format!("{} is not there", service.config.display()));
            }
            let canary = service.canary.iter().flat_map(|canary| canary.problems(service.count));
            canary.for_each(&mut wrong);
        }
        problems.extend(self.clashes());
        problems
    }

    /// Ports that two of its processes would take. A service listens by UDP, an admin address and a hub's clients' port by TCP.
    fn clashes(&self) -> Vec<String> {
        let mut taken: BTreeMap<(&str, SocketAddr), String> = BTreeMap::new();
        let mut problems = Vec::new();
        let supervisor = self.supervisor.admin.map(|addr| ("admin", addr, "supervisor".to_owned()));
        let of_instances = self.instances().into_iter().flat_map(|instance| {
            let key = if instance.kind == "hub" { "admin" } else { "listen" };
            let listen = instance.listen.map(|addr| (key, addr, instance.node.clone()));
            listen.into_iter().chain([("admin", instance.admin, instance.node)])
        });
        for (key, addr, node) in supervisor.into_iter().chain(of_instances) {
            if let Some(other) = taken.insert((key, addr), node.clone()) {
                problems.push(format!("{node} and {other} would both take {key} {addr}"));
            }
        }
        problems
    }

    /// Every process, in the order in which they are started.
    pub fn instances(&self) -> Vec<Instance> {
        let of = |service: &Service| {
            let service = service.clone();
            (0..service.count.min(COUNT_MAX)).map(move |index| Instance {
                node: format!("{}/{index}", service.kind),
                kind: service.kind.clone(),
                index,
                config: service.config.clone(),
                listen: service.listen.map(|addr| match service.apart {
                    Apart::Ports => shifted(addr, index),
                    Apart::Addresses => SocketAddr::new(next_ip(addr.ip(), index), addr.port()),
                }),
                admin: shifted(service.admin, index),
                env: service.env.clone(),
                program: service.canary.as_ref().and_then(|canary| canary.program_of(index)),
            })
        };
        self.services.iter().flat_map(of).collect()
    }
}

/// The same address, so many ports further.
fn shifted(addr: SocketAddr, by: u32) -> SocketAddr {
    SocketAddr::new(addr.ip(), addr.port().saturating_add(by.min(u32::from(u16::MAX)) as u16))
}

/// The address so many further.
fn next_ip(ip: IpAddr, by: u32) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits().saturating_add(by)).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits().saturating_add(by.into())).into(),
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.node)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn load(text: &str) -> Result<Cluster, String> {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["gateway.toml", "persistence.toml"] {
            std::fs::write(folder.path().join(name), "").expect("written");
        }
        let next = folder.path().join("next");
        std::fs::write(&next, "").expect("written");
        std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o755)).expect("made a program");
        let path = folder.path().join("cluster.toml");
        std::fs::write(&path, text).expect("written");
        Cluster::load(&path).map_err(|error| drover_env::Chain(&error).to_string())
    }

    const GATEWAYS: &str = "[[services]]\nkind = \"gateway\"\ncount = 3\nconfig = \"gateway.toml\"\n\
                            listen = \"127.0.0.1:4430\"\nadmin = \"127.0.0.1:4440\"\n";

    #[test]
    fn every_instance_has_ports_of_its_own() {
        let cluster = load(GATEWAYS).expect("a good file");
        let instances = cluster.instances();
        let last = instances.last().expect("three");
        assert_eq!(last.node, "gateway/2");
        assert_eq!(last.listen.map(|addr| addr.port()), Some(4432));
        let args = last.args().join(" ");
        assert!(
            args.ends_with("--index 2 --listen 127.0.0.1:4432 --admin 127.0.0.1:4442 --supervised"),
            "{args}"
        );
    }

    #[test]
    fn instances_may_differ_in_their_addresses_and_share_a_port() {
        let cluster = load(&format!("{GATEWAYS}apart = \"addresses\"\n")).expect("a good file");
        let listen: Vec<_> = cluster.instances().into_iter().filter_map(|instance| instance.listen).collect();
        let expected =
            ["127.0.0.1:4430", "127.0.0.2:4430", "127.0.0.3:4430"].map(|addr| addr.parse().expect("one"));
        assert_eq!(listen, expected);
        assert!(
            load(&format!("{GATEWAYS}apart = \"hosts\"\n"))
                .is_err_and(|problem| problem.contains("addresses"))
        );
    }

    #[test]
    fn instances_may_run_from_another_program() {
        let canary = |canary: &str| load(&format!("{GATEWAYS}canary = {{ program = \"next\", {canary} }}\n"));
        let cluster = canary("instances = [1]").expect("a good file");
        let programs: Vec<_> = cluster.instances().into_iter().map(|instance| instance.program).collect();
        assert!(matches!(&programs[..], [None, Some(path), None] if path.is_absolute()), "{programs:?}");
        let wrong = |text: &str, expected: &str| {
            let problem = canary(text).expect_err("refused");
            assert!(problem.contains(expected), "{problem}");
        };
        wrong("instances = [3]", "[[services]] gateway: canary: there is no instance 3, `count` is 3");
        wrong("instances = []", "must name at least one");
        wrong("instance = [1]", "unknown field `instance`");
        let other = |program: &str| {
            load(&format!("{GATEWAYS}canary = {{ program = \"{program}\", instances = [0] }}\n"))
        };
        assert!(other("none").is_err_and(|problem| problem.contains("none can not be executed")));
        assert!(
            other("gateway.toml").is_err_and(|problem| problem.contains("gateway.toml can not be executed"))
        );
    }

    #[test]
    fn what_can_not_be_run_is_named_with_its_place_all_at_once() {
        let check = |text: &str, expected: &[&str]| {
            let problem = load(text).expect_err("refused");
            for words in expected {
                assert!(problem.contains(words), "{words:?} is not in {problem}");
            }
        };
        check("", &["nothing would run"]);
        check(
            "[[services]]\nkind = \"gatway\"\nconfig = \"x.toml\"\nadmin = \"127.0.0.1:1\"\n",
            &["[[services]] gatway: no such kind; did you mean `gateway`?", "x.toml is not there"],
        );
        check(&GATEWAYS.replace("count", "cuont"), &["unknown field `cuont`"]);
        check(&GATEWAYS.replace("= 3", "= 0"), &["count must be 1 to 256"]);
        check(&GATEWAYS.replace("listen = \"127.0.0.1:4430\"", ""), &["`listen` is needed"]);
        check(
            &format!("{GATEWAYS}{GATEWAYS}"),
            &["it is here twice", "would both take listen 127.0.0.1:4431"],
        );
        let other = GATEWAYS.replace("gateway", "persistence").replace("443", "444").replace("444", "443");
        check(&format!("{GATEWAYS}{other}"), &["persistence/0 and gateway/0 would both take"]);
        check("[supervisor]\nadmin = \"127.0.0.1:4441\"\n", &["nothing would run"]);
        check(
            &format!("[supervisor]\nadmin = \"127.0.0.1:4441\"\n{GATEWAYS}"),
            &["gateway/1 and supervisor would both take admin 127.0.0.1:4441"],
        );
        check(
            &format!("[supervisor]\nprobe_interval_ms = 0\n{GATEWAYS}"),
            &["probe_interval_ms must be more than 0"],
        );
        check(
            &format!("[supervisor]\nhung_after_ms = 599\n{GATEWAYS}"),
            &["hung_after_ms = 599 must be at least twice probe_interval_ms = 300"],
        );
        assert!(load(&format!("[supervisor]\nhung_after_ms = 600\n{GATEWAYS}")).is_ok());
    }
}
