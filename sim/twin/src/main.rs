//! The digital twin: runs scenarios in virtual time and judges them.
//!
//! Exit codes: 0 every gate and invariant held; 1 one failed; 2 the run is invalid or was interrupted; 3 the harness
//! itself failed; 64 bad usage or a bad scenario file.

#![expect(clippy::disallowed_methods, reason = "the process itself: its files and threads are the machine's")]

#[cfg(feature = "bite")]
mod bite;
mod cli;
mod compare;
mod create;
mod files;
mod list;
mod load;
mod record;
mod replay;
mod roads;
mod run;
mod shrink;
mod stopwatch;
mod sweep;
mod watch;

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use drover_env::Chain;

use crate::cli::{Cli, Command};

/// Thousands of small tasks allocate and free all the time: this allocator takes a tenth off a run.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The harness itself failed.
const EXIT_HARNESS: u8 = 3;
/// Bad usage or a bad scenario file (EX_USAGE of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// Why `twin` ends without a verdict.
#[derive(Debug)]
enum Stop {
    /// The user can put it right: the text says how.
    Usage(String),
    /// The harness failed.
    Harness(Box<dyn Error>),
}

fn main() -> ExitCode {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_default_env() {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version arrive as errors too. Clap's own code for the others is 2, which here means an invalid run.
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    let result = match cli.command {
        None | Some(Command::List) => list::list(files::FOLDER.as_ref()).map(|()| 0),
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Baseline(command)) => load::baseline(&command).map(|()| 0),
        Some(Command::Load(args)) => load::load(&args),
        Some(Command::Compare(args)) => compare::compare(&args),
        Some(Command::History(args)) => compare::history(&args).map(|()| 0),
        Some(Command::Watch(args)) => watch::watch(&args).map(|()| 0),
        Some(Command::Merge(args)) => load::merge(&args),
        Some(Command::Check(args)) => run::check(&args),
        Some(Command::Replay(args)) => replay::replay(&args).map(|()| 0),
        Some(Command::Record(args)) => record::record(&args).map(|()| 0),
        Some(Command::Sweep(args)) => sweep::sweep(&args),
        Some(Command::Shrink(args)) => shrink::shrink(&args),
        #[cfg(feature = "bite")]
        Some(Command::Bite(args)) => bite::bite(&args),
        Some(Command::Roads(args)) => roads::roads(&args).map(|()| 0),
        Some(Command::New(args)) => create::create(&args).map(|()| 0),
        Some(Command::Schema) => {
            show(&format!("{:#}\n", drover_harness::scenario::schema()));
            Ok(0)
        }
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(Stop::Usage(message)) => {
            complain(&message);
            ExitCode::from(EXIT_USAGE)
        }
        Err(Stop::Harness(error)) => {
            complain(&format!("the harness failed: {}", Chain(&*error)));
            ExitCode::from(EXIT_HARNESS)
        }
    }
}

/// Writes to standard output. A reader that went away (`twin schema | head`) is no failure.
fn show(text: &str) {
    drop(std::io::stdout().write_all(text.as_bytes()));
}

/// Writes one or more lines to standard error.
fn complain(message: &str) {
    drop(writeln!(std::io::stderr(), "{message}"));
}

/// True if standard output is a terminal that may be coloured (<https://no-color.org>).
fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
