//! A hundred thousand sockets at once, over several hubs, each watching one vehicle, as customers do: a process may hold 20,000 files.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::clients::{Clients, Counted, Task};
use crate::publisher::Publisher;
use crate::servers::{Server, tokens};
use crate::{Args, Ground};

/// Sockets of one hub, and of one process of clients.
const PER_PROCESS: usize = 17_000;
/// Vehicles that the customers of one hub wait for.
const VEHICLES: usize = 1_000;

/// Connects them all; then every vehicle has a fix every ten seconds, and whoever waits for it is told.
pub(crate) async fn run(ground: &Ground, args: &Args, sockets: usize) {
    let hubs = sockets.div_ceil(PER_PROCESS);
    let (each, rounds) = (sockets.div_ceil(hubs), args.number("--rounds", 3));
    println!("{} sockets at {hubs} hubs, each a process, {VEHICLES} vehicles at each", each * hubs);
    let servers: Vec<Server> = (0..hubs).map(|hub| Server::hub(ground, hub as u32, 100)).collect();
    let memory = || servers.iter().map(Server::resident_bytes).sum::<u64>();
    let used = || servers.iter().map(Server::used).sum::<Duration>();
    let (begun, memory_before, used_before) = (Instant::now(), memory(), used());
    let mut readers = Vec::new();
    for (hub, server) in servers.iter().enumerate() {
        let task = Task {
            addr: server.addr,
            count: each,
            source: (hub * 100) as u32,
            protocol: "drover.json",
            tokens: tokens(ground, each),
            vehicles: (hub * VEHICLES, 1),
            stride: 1,
            turns: VEHICLES,
        };
        let mut clients = Clients::start(&task);
        clients.ready();
        readers.push(clients);
    }
    let all = (each * hubs) as f64;
    println!(
        "connected in {:.1} s; CPU us of hubs per socket {:.0}; memory KiB per socket {:.2}",
        begun.elapsed().as_secs_f64(),
        (used() - used_before).as_secs_f64() * 1e6 / all,
        memory().saturating_sub(memory_before) as f64 / 1024.0 / all
    );
    let buses: Vec<_> = servers.iter().map(|server| server.bus).collect();
    let mut publisher = Publisher::connect(ground, &buses).await;
    for round in 0..rounds {
        let before = (used(), total(&mut readers));
        let begun = tokio::time::Instant::now();
        let fixes = hubs * VEHICLES;
        for fix in 0..fixes {
            let due = begun + Duration::from_secs(10).mul_f64(fix as f64 / fixes as f64);
            tokio::time::sleep_until(due).await;
            // One of each hub's, in turn.
            let (hub, of_hub) = (fix % hubs, fix / hubs);
            publisher.publish(hub as u32, hub * VEHICLES + of_hub);
        }
        sleep(Duration::from_secs(1)).await;
        let told = total(&mut readers) - before.1;
        println!(
            "round {round}: {} positions told, {:.0} a second, to {} of {} sockets so far; CPU us of hubs per message {:.2}; memory KiB per \
             socket {:.2}",
            told.positions,
            told.positions as f64 / 10.0,
            told.heard,
            each * hubs,
            (used() - before.0).as_secs_f64() * 1e6 / told.messages.max(1) as f64,
            memory().saturating_sub(memory_before) as f64 / 1024.0 / all
        );
        assert_eq!(told.heard as usize, each * hubs, "every socket is told");
    }
}

fn total(readers: &mut [Clients]) -> Counted {
    let mut sum = Counted::default();
    for reader in readers {
        let one = reader.counted();
        sum = Counted {
            messages: sum.messages + one.messages,
            positions: sum.positions + one.positions,
            bytes: sum.bytes + one.bytes,
            heard: sum.heard + one.heard,
        };
    }
    sum
}
