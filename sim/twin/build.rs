//! Tells the program which commit it was built from, for its reports.

use std::process::Command;

fn main() {
    // A commit moves HEAD or what it points to, and writes the index.
    for place in ["HEAD", "index", "refs/heads"] {
        println!("cargo:rerun-if-changed=../../.git/{place}");
    }
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
    };
    // Outside of a checkout there is no commit, and reports say so.
    if let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) {
        let changed =
            git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
        println!("cargo:rustc-env=DROVER_COMMIT={commit}{}", if changed { "-dirty" } else { "" });
    }
}
