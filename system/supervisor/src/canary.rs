//! Some instances of a service run from another `drover`: a new one that is tried beside the old, or the old one beside the new.

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Which instances of a service run from another program than the supervisor's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// The other `drover`, meant from the cluster file's own folder.
    pub program: PathBuf,
    /// Numbers of the instances, from 0.
    pub instances: Vec<u32>,
}

impl Canary {
    /// The program of the instance of that number, if it has another one.
    pub(crate) fn program_of(&self, index: u32) -> Option<PathBuf> {
        self.instances.contains(&index).then(|| self.program.clone())
    }

    /// What keeps it from being run in a service of `count` instances.
    pub(crate) fn problems(&self, count: u32) -> Vec<String> {
        let mut problems = Vec::new();
        let is_program = |about: Metadata| about.is_file() && about.permissions().mode() & 0o111 != 0;
        if !self.program.metadata().is_ok_and(is_program) {
            problems.push(format!("canary: {} can not be executed", self.program.display()));
        }
        if self.instances.is_empty() {
            problems.push("canary: `instances` must name at least one, such as [0]".to_owned());
        }
        if let Some(index) = self.instances.iter().find(|index| **index >= count) {
            problems.push(format!("canary: there is no instance {index}, `count` is {count}"));
        }
        problems
    }
}
