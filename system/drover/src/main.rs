//! The production binary: runs one service, makes the certificates, configs and tables of a cluster, asks a process how it is,
//! and prints what a tracker would send.
//!
//! Exit codes: 0 done; 1 the service failed; 64 bad usage, a bad config or unusable certificates (EX_USAGE).

#![expect(clippy::disallowed_methods, reason = "the process itself: its files and threads are the machine's")]

mod admin;
mod can;
mod cli;
mod commented;
mod config;
mod ctl;
mod database;
mod door;
mod init;
mod metrics;
mod operations;
mod pki;
mod print;
mod services;
mod shown;
#[cfg(feature = "slowdown")]
mod slowdown;
mod source;
mod token;
mod up;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

/// Messages are many small allocations: glibc's takes a fifth of a bus call.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The service failed.
const EXIT_FAILED: u8 = 1;
/// Bad usage or a bad config (EX_USAGE of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// Why the program ends without success.
#[derive(Debug)]
enum Stop {
    /// The user can put it right: the text says how.
    Usage(String),
    /// The service failed.
    Failed(String),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version arrive as errors too.
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    let result = match cli.command {
        Command::Gateway(args) => services::gateway(&args),
        Command::Router(args) => services::router(&args),
        Command::Dns(args) => services::dns(&args),
        Command::Health(args) => services::health(&args),
        Command::Hub(args) => services::hub(&args),
        Command::Persistence(args) => services::persistence(&args),
        Command::Tracker(args) => services::tracker(&args),
        Command::Up(args) => up::run(&args),
        Command::Migrate(args) => database::migrate(&args),
        Command::Pki(command) => pki::run(&command),
        Command::Token(args) => token::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Ctl(args) => ctl::run(&args),
    };
    let (code, message) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Stop::Usage(message)) => (EXIT_USAGE, message),
        Err(Stop::Failed(message)) => (EXIT_FAILED, message),
    };
    complain(&message);
    ExitCode::from(code)
}

/// Writes to standard output. A reader that went away is no failure.
fn show(text: &str) {
    drop(std::io::stdout().write_all(text.as_bytes()));
}

/// Writes a line to standard error.
fn complain(message: &str) {
    drop(writeln!(std::io::stderr(), "drover: {message}"));
}
