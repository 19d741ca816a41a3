//! Rounds by turns: whatever disturbs the machine disturbs all of them.

use std::time::Duration;

use drover_harness::report::Spread;
use tokio::time::sleep;

use crate::clients::{Clients, Counted, Task};
use crate::publisher::{Publisher, Window};
use crate::servers::{Server, tokens};
use crate::{Args, Ground};

/// A vehicle that everybody watches who wants each fix by itself, and those of a view.
const ALONE: (usize, usize) = (100, 1);
const VIEW: (usize, usize) = (0, 16);
/// What is written last is read within this time.
const REST: Duration = Duration::from_millis(300);
/// How long memory comes to rest after the last handshake.
const SETTLE: Duration = Duration::from_secs(2);

/// CPU time per delivered message and position.
pub(crate) async fn cpu(ground: &Ground, args: &Args) {
    let (clients, seconds) = (args.number("--clients", 500) as usize, args.number("--seconds", 5));
    let rounds = args.number("--rounds", 5);
    let mut bare = Server::bare();
    let (each, ticked) = (Server::hub(ground, 0, 0), Server::hub(ground, 1, 100));
    let task = |server: &Server, source, protocol, vehicles| Task {
        addr: server.addr,
        count: clients,
        source,
        protocol,
        tokens: if server.bus == server.addr { Vec::new() } else { tokens(ground, clients) },
        vehicles,
        stride: 0,
        turns: 1,
    };
    let tasks = [
        task(&bare, 0, "none", ALONE),
        task(&each, 100, "none", ALONE),
        task(&each, 200, "drover.json", VIEW),
        task(&ticked, 300, "drover.json", VIEW),
    ];
    let mut readers = tasks.map(|task| Clients::start(&task));
    readers.iter_mut().for_each(Clients::ready);
    let mut publisher = Publisher::connect(ground, &[each.bus, ticked.bus]).await;
    let [of_bare, of_each, of_views, of_ticked] = &mut readers;
    let alone = Window { vehicles: ALONE, rate: args.number("--rate", 100), seconds };
    // A fix of each vehicle between two ticks.
    let views = Window { vehicles: VIEW, rate: 10, seconds };
    println!(
        "{clients} clients; {} messages a second to each by itself, and {} positions of {} vehicles; {rounds} rounds of {seconds} s",
        alone.rate,
        views.rate * VIEW.1 as u64,
        VIEW.1
    );
    // Once unmeasured: it says how large a message is.
    publisher.window(0, Window { seconds: 1, ..alone }).await;
    sleep(REST).await;
    let first = of_each.counted();
    let bytes = first.bytes / first.messages.max(1) - 4;
    let mut kept = Kept::default();
    for round in 0..rounds {
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                let before = (bare.used(), of_bare.counted());
                bare.tell(alone.rate, seconds, bytes).await;
                sleep(REST).await;
                kept.bare.push(per(bare.used() - before.0, (of_bare.counted() - before.1).messages));
            } else {
                let before = (each.used(), of_each.counted());
                publisher.window(0, alone).await;
                sleep(REST).await;
                kept.each.push(per(each.used() - before.0, (of_each.counted() - before.1).messages));
            }
        }
        for turn in 0..2 {
            let (hub, of_hub, to) = match (round + turn) % 2 {
                0 => (&each, &mut *of_views, 0),
                _ => (&ticked, &mut *of_ticked, 1),
            };
            let before = (hub.used(), of_hub.counted());
            publisher.window(to, views).await;
            sleep(REST).await;
            let told = of_hub.counted() - before.1;
            let used = per(hub.used() - before.0, told.positions);
            match to {
                0 => kept.views_each.push(used),
                _ => kept.views_ticked.push((used, told)),
            }
        }
    }
    kept.show(bytes);
}

fn per(used: Duration, count: u64) -> f64 {
    used.as_secs_f64() * 1e6 / count.max(1) as f64
}

/// CPU time of each round, in microseconds.
#[derive(Default)]
struct Kept {
    bare: Vec<f64>,
    each: Vec<f64>,
    views_each: Vec<f64>,
    views_ticked: Vec<(f64, Counted)>,
}

impl Kept {
    fn show(&self, bytes: u64) {
        let ticked: Vec<f64> = self.views_ticked.iter().map(|(us, _)| *us).collect();
        let sums = self.views_ticked.iter().fold((0, 0), |(messages, positions), (_, told)| {
            (messages + told.messages, positions + told.positions)
        });
        println!("CPU us per message of {bytes} bytes, least, median and most of the rounds:");
        show("bare loop", &self.bare);
        show("hub, each fix by itself", &self.each);
        println!(
            "CPU us per position, {:.1} to a message with the tick:",
            sums.1 as f64 / sums.0.max(1) as f64
        );
        show("hub, each fix by itself", &self.views_each);
        show("hub, with the tick", &ticked);
        verdict("a message by itself, against the bare loop's", &self.each, &self.bare, 1.1);
        verdict("a position with the tick, against each by itself", &ticked, &self.views_each, 0.2);
    }
}

fn show(what: &str, values: &[f64]) {
    if let Some(Spread { min, median, max, .. }) = Spread::of(values.to_vec()) {
        println!("  {what:<26}{min:>8.3}{median:>8.3}{max:>8.3}");
    }
}

/// Ratios round by round: neighbours in time are compared.
fn verdict(what: &str, ours: &[f64], theirs: &[f64], goal: f64) {
    let ratios = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    let Some(Spread { min, median, max, .. }) = Spread::of(ratios) else { return };
    let word = if median <= goal { "met" } else { "MISSED" };
    println!("{what}: {median:.3} ({min:.3} to {max:.3}), at most {goal}: {word}");
}

/// Memory per idle socket.
pub(crate) async fn memory(ground: &Ground, args: &Args) {
    let (count, rounds) = (args.number("--idle", 10_000) as usize, args.number("--memory-rounds", 3));
    println!(
        "memory per idle socket, KiB, {count} of them; a hub's has said who it is and watches a vehicle:"
    );
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for turn in 0..2 {
            let is_bare = (round + turn) % 2 == 0;
            let server = if is_bare { Server::bare() } else { Server::hub(ground, 0, 100) };
            // What is allocated once is not a socket's.
            let (_warm, before) = (one(ground, &server, is_bare, 1), server.resident_bytes());
            let _clients = one(ground, &server, is_bare, count);
            sleep(SETTLE).await;
            let each = server.resident_bytes().saturating_sub(before) as f64 / 1024.0 / count as f64;
            if is_bare { bare.push(each) } else { ours.push(each) }
        }
    }
    show("bare", &bare);
    show("hub", &ours);
    let more = ours.iter().zip(&bare).map(|(ours, bare)| ours - bare).collect();
    let Some(Spread { min, median, max, .. }) = Spread::of(more) else { return };
    let word = if median <= 6.0 { "met" } else { "MISSED" };
    println!("a hub's more than a bare one's: {median:.2} ({min:.2} to {max:.2}), at most 6: {word}");
}

fn one(ground: &Ground, server: &Server, is_bare: bool, count: usize) -> Clients {
    let tokens = if is_bare { Vec::new() } else { tokens(ground, count) };
    let source = if count == 1 { 900 } else { 0 };
    let task = Task {
        addr: server.addr,
        count,
        source,
        protocol: "drover.json",
        tokens,
        vehicles: (0, 1),
        stride: 1,
        turns: count,
    };
    let mut clients = Clients::start(&task);
    clients.ready();
    clients
}
