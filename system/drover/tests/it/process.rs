//! Processes of the shipped binary. Each wait has a bound, and none outlives its test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Far longer than anything here takes: a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A run that has ended.
pub(crate) struct Ended {
    code: Option<i32>,
    said: String,
}

impl Ended {
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.said);
        self
    }

    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    pub(crate) const fn code(&self) -> Option<i32> {
        self.code
    }

    pub(crate) fn says(self, words: &str) -> Self {
        assert!(self.said.contains(words), "{words:?} is not in {}", self.said);
        self
    }
}

/// Runs a command that ends by itself.
pub(crate) fn drover(folder: &Path, args: &[&str]) -> Ended {
    let mut process = Process::spawn(folder, args);
    process.read_to_end();
    process.end()
}

/// A service that runs.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    log: String,
}

impl Process {
    /// Starts the service of `<name>.toml`.
    pub(crate) fn start(folder: &Path, name: &str) -> Self {
        Self::spawn(folder, &[name, "--config", &format!("{name}.toml")])
    }

    /// Starts a command that runs until it is told to end.
    pub(crate) fn start_with(folder: &Path, args: &[&str]) -> Self {
        Self::spawn(folder, args)
    }

    fn spawn(folder: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drover"));
        command.args(args).current_dir(folder).stdin(Stdio::null());
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let (send, lines) = channel();
        let pipes: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
        // Both ends of each pipe go with the process, and so do these threads.
        for pipe in pipes {
            let send = send.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    if send.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Self { child, lines, log: String::new() }
    }

    /// Waits for a line with `words`.
    pub(crate) fn says(&mut self, words: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("{words:?} was not logged:\n{}", self.log);
            };
            self.log.push_str(&line);
            self.log.push('\n');
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Waits until a tracker that logs its events has seen so many fixes acknowledged.
    pub(crate) fn has_made_durable(&mut self, fixes: u64) {
        let mut durable = 0;
        while durable < fixes {
            let line = self.says("\"tracker.durable\"");
            let number = |field: &str| {
                let rest = line.split_once(&format!("(\"{field}\", U64(")).expect("a field").1;
                rest.split_once(')').and_then(|(number, _)| number.parse::<u64>().ok()).expect("a number")
            };
            durable += number("last") - number("first") + 1;
        }
    }

    /// Ends the process at once: it says and writes nothing more.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("a child");
    }

    /// Asks the process to end, by its id, and waits until it has; returns all that it said.
    pub(crate) fn terminate(self) -> String {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
        self.ended(0)
    }

    /// Waits until it has ended with this code; returns all that it said.
    pub(crate) fn ended(mut self, code: i32) -> String {
        self.read_to_end();
        self.end().expect_code(code).said
    }

    /// Its pipes close when it ends.
    fn read_to_end(&mut self) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.log.push_str(&line);
                    self.log.push('\n');
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => panic!("it did not end:\n{}", self.log),
            }
        }
    }

    fn end(mut self) -> Ended {
        let status = self.child.wait().expect("a child");
        Ended { code: status.code(), said: std::mem::take(&mut self.log) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, unless its test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
