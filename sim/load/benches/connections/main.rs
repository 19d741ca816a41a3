//! A hundred thousand vehicles connected at once: memory and CPU time per connection, and CPU time per message, of the shipped
//! gateway and of a bare QUIC server that answers each message with ten bytes. `just bench-connections`.
//!
//! Both are driven by the same vehicles, which do nothing but QUIC: a message of five fixes each, at moments that are spread evenly,
//! and the answer is waited for. Goals: at most 1.3 times the bare server's memory per connection and CPU time per message.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "real processes, sockets and clocks: none of it runs in the twin"
)]

mod drivers;
mod servers;

use std::time::Duration;

use drover_env::SeedTree;
use drover_env::real;
use drover_quic::Ca;

use crate::drivers::Measured;
use crate::servers::Server;

/// Vehicles allocate as much as services do.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a ratio may be.
const GOAL: f64 = 1.3;

/// How the bench runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) connections: usize,
    /// Messages of all in a second.
    pub(crate) messages_per_s: f64,
    /// How long is measured.
    pub(crate) seconds: u64,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [role, folder] = args.as_slice()
        && role == "sink"
    {
        servers::sink(folder.as_ref());
        return;
    }
    let number = |name: &str, default: u64| {
        let at = args.iter().position(|word| word == name);
        at.and_then(|at| args.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    let setting = Setting {
        connections: number("--connections", 100_000) as usize,
        messages_per_s: number("--rate", 4_000) as f64,
        seconds: number("--seconds", 30),
    };
    let seeds = SeedTree::from_bytes(real::entropy().expect("random numbers"));
    let ca = Ca::new(&seeds, real::wall()).expect("a CA");
    println!(
        "{} connections, {} messages of five fixes a second\n{:<8}{:>12}{:>20}{:>20}{:>16}{:>12}",
        setting.connections,
        setting.messages_per_s,
        "",
        "ramp s",
        "CPU us/handshake",
        "KiB/connection",
        "CPU us/message",
        "p99 ms"
    );
    let mut all = Vec::new();
    for name in ["sink", "gateway"] {
        let server = Server::start(name, &ca, &seeds);
        let measured = drivers::measure(&setting, &server, &ca, &seeds);
        show(name, &measured);
        all.push(measured);
    }
    let [bare, ours] = all.as_slice() else { return };
    verdict("memory per connection", ours.kib_each / bare.kib_each);
    verdict("CPU time per message", ours.message_us / bare.message_us);
}

fn show(name: &str, measured: &Measured) {
    let Measured { ramp, handshake_us, kib_each, message_us, p99 } = measured;
    println!(
        "{name:<8}{:>12.1}{handshake_us:>20.0}{kib_each:>20.1}{message_us:>16.1}{:>12.0}",
        ramp.as_secs_f64(),
        Duration::as_secs_f64(p99) * 1e3
    );
}

fn verdict(what: &str, ratio: f64) {
    let word = if ratio <= GOAL { "met" } else { "MISSED" };
    println!("{what}: {ratio:.2} times the bare server's, at most {GOAL} may be: {word}");
}
