//! CPU time of processes, as Linux counts it: their CPU clocks (clock_getcpuclockid(3)), to the nanosecond, and proc(5) for what
//! has none.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// Ticks a second of the kernel's accounts: USER_HZ, 100 on every architecture that Linux has now.
const TICKS_PER_S: f64 = 100.0;

/// What one process has used.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Used {
    parent: u32,
    own_s: f64,
    /// Of children that have ended and were waited for.
    gone_s: f64,
}

fn used(pid: u32) -> Option<Used> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // "pid (name) state ppid ...": the name may hold anything, a bracket too.
    let (_, rest) = stat.rsplit_once(") ")?;
    let field = |place: usize| rest.split(' ').nth(place).and_then(|field| field.parse::<f64>().ok());
    let seconds = |place: usize| Some(field(place)? / TICKS_PER_S);
    Some(Used {
        parent: field(1)? as u32,
        own_s: of_process(pid)?.as_secs_f64(),
        gone_s: seconds(13)? + seconds(14)?,
    })
}

/// CPU time of a process so far, user and system.
pub fn of_process(pid: u32) -> Option<Duration> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    clock_gettime(clock).ok().map(Duration::from)
}

/// CPU time of a task, by its own or its process's id: to the nanosecond, but none of other tasks of the process.
pub(crate) fn of_task(task: u32) -> Option<Duration> {
    // Ours have a folder below our own process, others one of their own.
    let read = |path: String| fs::read_to_string(path).ok();
    let stat = read(format!("/proc/self/task/{task}/schedstat"));
    let stat = stat.or_else(|| read(format!("/proc/{task}/schedstat")))?;
    stat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// CPU time of the thread that asks.
pub(crate) fn of_thread() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// CPU time of this process so far.
pub(crate) fn of_self() -> Duration {
    of_process(std::process::id()).unwrap_or_default()
}

/// CPU time of a process and of all children that it ever had, which may have ended: a database server.
pub fn of_family(pid: u32) -> Option<Duration> {
    let first = used(pid)?;
    let entries = fs::read_dir("/proc").ok()?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let children = pids.filter_map(used).filter(|other| other.parent == pid);
    let children: f64 = children.map(|child| child.own_s + child.gone_s).sum();
    Some(Duration::from_secs_f64(first.own_s + first.gone_s + children))
}

/// CPU time that the whole machine has spent on anything, since it was started.
pub(crate) fn of_machine() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<f64> =
        stat.lines().next()?.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal ...
    let busy: f64 = fields.iter().take(8).sum::<f64>() - fields.get(3)? - fields.get(4)?;
    Some(Duration::from_secs_f64(busy / TICKS_PER_S))
}

/// Memory of a process that is its own and in use, in bytes.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// CPU time by service: what has ended counts on, so that a restart takes nothing away.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    /// What each process had used when it was last seen.
    seen: BTreeMap<(String, u32), Duration>,
}

impl Accounts {
    /// A process of `service` has used so much by now.
    pub(crate) fn see(&mut self, service: &str, pid: u32, used: Option<Duration>) {
        if let Some(used) = used {
            let seen = self.seen.entry((service.to_owned(), pid)).or_default();
            *seen = used.max(*seen);
        }
    }

    /// The sums so far.
    pub(crate) fn by_service(&self) -> BTreeMap<String, Duration> {
        let mut sums = BTreeMap::new();
        for ((service, _), used) in &self.seen {
            *sums.entry(service.clone()).or_default() += *used;
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_time_and_memory() {
        let own = std::process::id();
        let before = of_self();
        let mut sum = 0u64;
        while of_self() < before + Duration::from_millis(30) {
            sum = (0..100_000u64).fold(sum, u64::wrapping_add);
        }
        assert!(of_machine().is_some_and(|all| all >= of_self()), "{sum}");
        assert!(resident_bytes(own).is_some_and(|bytes| bytes > 1 << 20));
        assert_eq!(of_process(u32::MAX), None);
    }

    #[test]
    fn what_a_process_used_stays_when_it_has_ended() {
        let mut accounts = Accounts::default();
        let seconds = Duration::from_secs;
        accounts.see("gateway", 7, Some(seconds(2)));
        accounts.see("gateway", 7, Some(seconds(3)));
        accounts.see("gateway", 7, None);
        accounts.see("gateway", 8, Some(seconds(1)));
        assert_eq!(accounts.by_service().get("gateway"), Some(&seconds(4)));
    }
}
