//! What the shipped hub costs against a bare tokio-tungstenite loop, in one run: CPU time per delivered message without coalescing, CPU
//! time per position with the tick against each fix by itself, and memory per idle socket. `just bench-hub`; with `--sockets 100000` that
//! many at once over several processes, instead.
//!
//! Servers and clients are processes of their own; all of them stay, and take turns. A hub has its fixes from a gateway's place on the
//! bus, as in a cluster.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "real processes, sockets and clocks: none of it runs in the twin"
)]

mod bare;
mod clients;
mod many;
mod publisher;
mod rounds;
mod servers;

use drover_env::SeedTree;
use drover_env::real;
use drover_quic::Ca;

/// Clients allocate as much as services do.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What all parts of a run need.
pub(crate) struct Ground {
    pub(crate) seeds: SeedTree,
    pub(crate) ca: Ca,
}

/// Numbers of the command line.
pub(crate) struct Args(Vec<String>);

impl Args {
    /// The number behind `name`.
    pub(crate) fn number(&self, name: &str, default: u64) -> u64 {
        let at = self.0.iter().position(|word| word == name);
        at.and_then(|at| self.0.get(at + 1)?.parse().ok()).unwrap_or(default)
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.first().map(String::as_str) {
        Some("bare") => return bare::serve(),
        Some("clients") => return clients::attend(&args[1..]),
        _ => {}
    }
    let args = Args(args);
    let seeds = SeedTree::from_bytes(real::entropy().expect("random numbers"));
    let ca = Ca::new(&seeds, real::wall()).expect("a CA");
    let ground = Ground { seeds, ca };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        match args.number("--sockets", 0) {
            0 => {
                rounds::cpu(&ground, &args).await;
                rounds::memory(&ground, &args).await;
            }
            sockets => many::run(&ground, &args, sockets as usize).await,
        }
    });
}
