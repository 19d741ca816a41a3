//! What control groups allow this process and its children: the limits of a container, of a pod, of a systemd unit (cgroups(7),
//! both versions).

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where they are mounted.
const MOUNT: &str = "/sys/fs/cgroup";
/// The first version says "no limit" by a number near the largest.
const NO_LIMIT_BYTES: u64 = 1 << 60;

/// The control groups of a process. Each limit holds together with those of all groups around it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cgroups {
    /// Folders of the groups that count memory: its own, then those around it.
    memory: Vec<PathBuf>,
    /// And of those that share out the processors.
    cpu: Vec<PathBuf>,
}

/// What they allow, and how much of it is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Allowed {
    /// Processors, a part of one as a fraction; all of the machine's if absent.
    pub cpus: Option<f64>,
    /// Memory in bytes; all of the machine's if absent.
    pub memory_bytes: Option<u64>,
    /// Of which in use, files that are kept in memory included.
    pub memory_used_bytes: Option<u64>,
}

impl Cgroups {
    /// Those of this process. None where there are none, or they are hidden: then nothing is known of limits.
    pub fn of_self() -> Self {
        let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::of(&text, Path::new(MOUNT))
    }

    /// As /proc/PID/cgroup says, with `mount` as their root.
    fn of(text: &str, mount: &Path) -> Self {
        let mut groups = Self::default();
        for line in text.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let has = |wanted| controllers.split(',').any(|controller| controller == wanted);
            if controllers.is_empty() && mount.join("cgroup.controllers").exists() {
                let folders = around(mount, path);
                (groups.memory, groups.cpu) = (folders.clone(), folders);
            } else if has("memory") {
                groups.memory = around(&mount.join("memory"), path);
            } else if has("cpu") {
                groups.cpu = around(&mount.join("cpu"), path);
            }
        }
        groups
    }

    /// One group that counts memory.
    #[cfg(test)]
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self { memory: vec![folder.to_owned()], cpu: Vec::new() }
    }

    /// The group that counts memory.
    #[cfg(test)]
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        self.memory.first().cloned()
    }

    /// The limits that hold now.
    pub fn allowed(&self) -> Allowed {
        let memory = |folder: &PathBuf| {
            let bytes = first_number(folder, &["memory.max", "memory.limit_in_bytes"])?;
            (bytes < NO_LIMIT_BYTES).then_some(bytes)
        };
        let used = |folder: &PathBuf| first_number(folder, &["memory.current", "memory.usage_in_bytes"]);
        Allowed {
            cpus: self.cpu.iter().filter_map(|folder| cpus(folder)).reduce(f64::min),
            memory_bytes: self.memory.iter().filter_map(memory).min(),
            memory_used_bytes: self.memory.first().and_then(used),
        }
    }

    /// Processes of its own group that the system has ended for want of memory so far.
    pub(crate) fn oom_kills(&self) -> u64 {
        let told = |name: &str| fs::read_to_string(self.memory.first()?.join(name)).ok();
        let text = told("memory.events").or_else(|| told("memory.oom_control")).unwrap_or_default();
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
        kills.unwrap_or_default()
    }
}

impl Allowed {
    /// As a sentence's part; nothing if nothing is limited.
    pub fn text(&self) -> Option<String> {
        let mib = |bytes: u64| bytes >> 20;
        let cpus = self.cpus.map(|cpus| format!("{cpus} CPUs"));
        let memory = self.memory_bytes.map(|bytes| match self.memory_used_bytes {
            Some(used) => format!("{} MiB of memory, {} in use", mib(bytes), mib(used)),
            None => format!("{} MiB of memory", mib(bytes)),
        });
        let parts: Vec<String> = cpus.into_iter().chain(memory).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// The folder of the group at `path`, and of those around it. In a container that sees its own group as the root, the root alone.
fn around(root: &Path, path: &str) -> Vec<PathBuf> {
    let own = root.join(path.trim_start_matches('/'));
    let own = if own.is_dir() { own } else { root.to_owned() };
    own.ancestors().take_while(|folder| folder.starts_with(root)).map(Path::to_owned).collect()
}

fn first_number(folder: &Path, names: &[&str]) -> Option<u64> {
    names.iter().find_map(|name| fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok())
}

/// The quota divided by its period.
fn cpus(folder: &Path) -> Option<f64> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| *number > 0.0);
    if let Ok(text) = fs::read_to_string(folder.join("cpu.max")) {
        let (quota, period) = text.split_once(' ')?;
        return Some(number(quota)? / number(period)?);
    }
    let read = |name: &str| number(&fs::read_to_string(folder.join(name)).ok()?);
    Some(read("cpu.cfs_quota_us")? / read("cpu.cfs_period_us")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            fs::write(path, text).expect("written");
        }
        root
    }

    #[test]
    fn the_second_version_has_one_tree_and_the_tightest_limit_of_it_holds() {
        let root = tree(&[
            ("cgroup.controllers", "cpu memory\n"),
            ("pod/memory.max", "536870912\n"),
            ("pod/cpu.max", "max 100000\n"),
            ("pod/own/memory.max", "max\n"),
            ("pod/own/memory.current", "1048576\n"),
            ("pod/own/memory.events", "low 0\noom 3\noom_kill 2\noom_group_kill 0\n"),
            ("pod/own/cpu.max", "150000 100000\n"),
        ]);
        let groups = Cgroups::of("0::/pod/own\n", root.path());
        let allowed = groups.allowed();
        assert_eq!(allowed.text().as_deref(), Some("1.5 CPUs, 512 MiB of memory, 1 in use"));
        assert_eq!(groups.oom_kills(), 2);
    }

    #[test]
    fn the_first_version_has_a_tree_for_each_and_a_container_may_see_its_own_as_the_root() {
        let root = tree(&[
            ("memory/memory.limit_in_bytes", "268435456\n"),
            ("memory/memory.usage_in_bytes", "2097152\n"),
            ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"),
            ("cpu/cpu.cfs_quota_us", "-1\n"),
            ("cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        let text = "5:memory:/docker/0123\n4:cpu,cpuacct:/docker/0123\n0::/docker/0123\n";
        let groups = Cgroups::of(text, root.path());
        assert_eq!(groups.allowed().text().as_deref(), Some("256 MiB of memory, 2 in use"));
        assert_eq!(groups.oom_kills(), 1);
    }

    #[test]
    fn where_nothing_is_limited_nothing_is_said() {
        let root = tree(&[("memory/memory.limit_in_bytes", "9223372036854771712\n")]);
        let unlimited = Cgroups::of("5:memory:/\n", root.path());
        assert_eq!(unlimited.allowed().text(), None);
        let none = Cgroups::of("no such thing", root.path());
        assert_eq!(
            (none.clone(), none.allowed(), none.oom_kills()),
            (Cgroups::default(), Allowed::default(), 0)
        );
    }
}
