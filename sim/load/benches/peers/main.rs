//! What people use instead: a broker (Mosquitto, NATS with JetStream) and a consumer before the same table, with the same vehicles'
//! schedule and the same bytes; and what an acknowledgement of each is worth when something fails. `just bench-peers`.
//!
//! Everybody runs in turn in the same run. A figure is CPU time per fix of all that stands between the vehicle's socket and the
//! committed row, PostgreSQL with its children included; what the kernel does for a packet is counted to whoever caused it.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "real processes, sockets and clocks: none of it runs in the twin"
)]

mod broker;
mod consumer;
mod mqtt;
mod nats;
mod ours;
mod payload;
mod run;
mod table;
mod vehicles;

use std::time::Duration;

/// Vehicles allocate as much as services do.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whom we are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Mosquitto,
    Nats,
}

impl Peer {
    const ALL: [Self; 2] = [Self::Mosquitto, Self::Nats];

    const fn name(self) -> &'static str {
        match self {
            Self::Mosquitto => "mosquitto",
            Self::Nats => "nats",
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|peer| peer.name() == name)
    }
}

/// How the bench runs.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// How often everybody has a turn.
    pub(crate) rounds: usize,
    /// How long vehicles report, in each turn.
    pub(crate) seconds: u64,
    /// How many there are.
    pub(crate) vehicles: usize,
    /// Between two messages of one.
    pub(crate) interval: Duration,
    /// Longest that a row waits for others before it is written.
    pub(crate) linger: Duration,
    /// Let things fail too.
    pub(crate) faults: bool,
    /// Give the build that `just pgo` has made a turn, too.
    pub(crate) profiled: bool,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["consumer", peer, broker, database, linger_ms] = words.as_slice() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let peer = Peer::of(peer).expect("a peer");
        let linger = Duration::from_millis(linger_ms.parse().expect("milliseconds"));
        let broker = broker.parse().expect("an address");
        let ended = runtime.block_on(consumer::run(peer, broker, database, linger));
        ended.expect("the consumer runs until it is ended");
        return;
    }
    let number = |name: &str, default: u64| {
        let at = words.iter().position(|word| *word == name);
        at.and_then(|at| words.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    let vehicles = number("--vehicles", 10_000);
    let setting = Setting {
        rounds: number("--rounds", 3) as usize,
        seconds: number("--seconds", 40),
        vehicles: vehicles as usize,
        // 4,000 messages a second of five fixes, however many vehicles share them.
        interval: Duration::from_micros(vehicles * 250),
        linger: Duration::from_millis(number("--linger-ms", 20)),
        faults: words.contains(&"--faults"),
        profiled: words.contains(&"--profiled"),
    };
    let only = words.iter().position(|word| *word == "--only").and_then(|at| words.get(at + 1).copied());
    let measured = run::all(&setting, only);
    print!("{}", table::markdown(&setting, &measured));
    if words.contains(&"--readme") {
        table::into_readme(&table::markdown(&setting, &measured));
    }
}
