//! The first process of a container.

use rustix::process::{WaitId, WaitIdOptions, WaitOptions, getpid, waitid, waitpid};

/// Takes away the processes that have ended and have no parent left but us. Only the first process of a container (or of a
/// machine) inherits any; `is_ours` says which are children that somebody waits for.
pub fn reap_orphans(is_ours: impl Fn(u32) -> bool) {
    if !getpid().is_init() {
        return;
    }
    // Looks before it takes: the status of a child of ours is its watcher's.
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while let Ok(Some(_)) = waitid(WaitId::All, look) {
        let ended = waiting_orphan(&is_ours);
        let Some(pid) = ended else { return };
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// A process that has ended, whose parent is now this process, and that nobody waits for.
fn waiting_orphan(is_ours: &impl Fn(u32) -> bool) -> Option<rustix::process::Pid> {
    let own = std::process::id();
    let entries = std::fs::read_dir("/proc").ok()?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids.filter(|pid| !is_ours(*pid)) {
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // "pid (name) state ppid ...": the name may hold anything, a bracket too.
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let mut fields = rest.split(' ');
        let (state, parent) = (fields.next(), fields.next().and_then(|field| field.parse::<u32>().ok()));
        if state == Some("Z") && parent == Some(own) {
            return rustix::process::Pid::from_raw(pid as i32);
        }
    }
    None
}
