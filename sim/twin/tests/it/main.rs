//! The program from outside: what it prints, leaves and exits with.

#![expect(clippy::disallowed_methods, reason = "a test of processes: their files are the machine's")]

mod runs;
mod shrinks;
mod sweeps;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Two vans for some seconds; `rest` comes behind.
const SMALL: &str = "question = \"?\"\nduration_s = 30\nsettle_s = 30\n\
    [world]\nroads = { grid = { columns = 4, rows = 4, block_m = 120 } }\n\
    [[vehicles]]\ncount = 2\nsend_interval_s = 2\n";

/// A database that forgets what it acknowledged when it is killed: whatever was durable by then is missing.
const FORGETFUL: &str = "[store]\nlost_unflushed = true\n";

/// Kills drawn from the seed, many of them.
const KILLS: &str = "[chaos]\nkinds = [\"kill\"]\nrate_per_min = 20\nlongest_s = 5\ndown_max = 4\n";

/// An empty folder of one test's own, with a scenario in it.
struct Place {
    folder: PathBuf,
    scenario: String,
}

impl Place {
    fn new(name: &str, rest: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("make a folder");
        let place = Self { scenario: text_of(&folder.join("small.toml")), folder };
        place.write("small.toml", &format!("name = \"small\"\n{SMALL}{rest}"));
        place
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.join(name), text).expect("write a file");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.read(name)).expect("JSON")
    }

    fn has(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }

    /// The program with these arguments, in the folder.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twin"));
        command.args(args).current_dir(&self.folder);
        command
    }

    /// Runs the program; its exit code and all that it printed.
    fn twin(&self, args: &[&str]) -> (i32, String) {
        let Output { status, stdout, stderr } = self.command(args).output().expect("run the twin");
        let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
        (status.code().unwrap_or(-1), text)
    }
}

fn text_of(path: &Path) -> String {
    path.to_str().expect("a path in letters").to_owned()
}

/// The arguments in a printed command.
fn arguments(command: &str) -> Vec<&str> {
    let (_, arguments) = command.split_once(" -- ").unwrap_or_else(|| panic!("no arguments in {command:?}"));
    arguments.split_whitespace().collect()
}
