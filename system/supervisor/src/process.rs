//! One process of the machine: started, told, waited for; what it says goes to the log.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, kill_process, set_parent_process_death_signal};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::cluster::Instance;
use crate::log::Log;

/// Lines that are kept to say why a process ended.
const LAST_LINES: usize = 12;
/// How long what a process said may take to arrive after it has ended. A grandchild may hold its pipe for ever.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(500);

/// A process that was told to run under a supervisor ends with it: the system tells it to stop when its parent is gone.
///
/// # Errors
/// The system does not know how.
pub fn end_with_parent() -> io::Result<()> {
    // A parent that is gone already is not noticed; the window is the time from the process's start to here.
    if !getpid().is_init() {
        set_parent_process_death_signal(Some(Signal::TERM))?;
    }
    Ok(())
}

pub(crate) struct Process {
    child: Child,
    pid: Pid,
    last: Arc<Mutex<VecDeque<String>>>,
    readers: TaskTracker,
}

impl Process {
    pub(crate) fn start(program: &Path, instance: &Instance, log: &Log) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(instance.args()).envs(&instance.env).kill_on_drop(true);
        // A group of its own: Ctrl-C at the terminal is the supervisor's to pass on, in order.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let pid = child.id().and_then(|pid| Pid::from_raw(pid as i32));
        let pid = pid.ok_or_else(|| io::Error::other("the process has no id"))?;
        let (last, readers) = (Arc::new(Mutex::new(VecDeque::new())), TaskTracker::new());
        let pipes: [Option<Box<dyn AsyncRead + Send + Unpin>>; 2] = [
            child.stdout.take().map(|out| Box::new(out) as _),
            child.stderr.take().map(|err| Box::new(err) as _),
        ];
        for pipe in pipes.into_iter().flatten() {
            readers.spawn(copy(pipe, instance.node.clone(), log.clone(), last.clone()));
        }
        readers.close();
        Ok(Self { child, pid, last, readers })
    }

    pub(crate) const fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get() as u32
    }

    /// Signals it. A process that has just ended is no failure.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid, signal);
    }

    /// Waits until it has ended. May be dropped and called again.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// What it said last, once all of it has arrived.
    pub(crate) async fn last_words(&self) -> Vec<String> {
        let _ = timeout(LAST_WORDS_WITHIN, self.readers.wait()).await;
        self.last.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

async fn copy(
    pipe: Box<dyn AsyncRead + Send + Unpin>,
    node: String,
    log: Log,
    last: Arc<Mutex<VecDeque<String>>>,
) {
    let mut lines = BufReader::new(pipe);
    let mut bytes = Vec::new();
    while lines.read_until(b'\n', &mut bytes).await.is_ok_and(|len| len > 0) {
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end();
        log.write(&node, line);
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line.to_owned());
        drop(last);
        bytes.clear();
    }
}
