//! The machine's figures, window by window.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_harness::report::{Spread, Watching};
use drover_supervisor::Handle;

use crate::cpu::{self, Accounts};

/// Name of this process's own share.
pub(crate) const GENERATOR: &str = "generator";
/// Name of the database's.
const DATABASE: &str = "database";
/// Name of those that watchers are at.
const HUB: &str = "hub";
/// Name of the sum of all but the generator: only where services and database were both seen.
const TOTAL: &str = "total";

/// A moment between two windows.
#[derive(Debug, Clone)]
struct Mark {
    at: Duration,
    durable: u64,
    /// Messages that watchers were told, and positions in them.
    told: (u64, u64),
    cpu: BTreeMap<String, Duration>,
    machine: Duration,
}

/// Reads what processes have used, and how much got done meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    accounts: Accounts,
    marks: Vec<Mark>,
    memory: BTreeMap<String, u64>,
}

impl Meter {
    /// Sees how much everybody has used: often enough that nobody ends unseen with much.
    pub(crate) fn look(&mut self, services: &Handle, database: Option<u32>) {
        for service in services.status().services {
            let Some(pid) = service.pid else { continue };
            let kind = service.node.split('/').next().unwrap_or_default();
            self.accounts.see(kind, pid, cpu::of_process(pid));
            let memory = self.memory.entry(service.node).or_default();
            *memory = cpu::resident_bytes(pid).unwrap_or_default().max(*memory);
        }
        if let Some(pid) = database {
            self.accounts.see(DATABASE, pid, cpu::of_family(pid));
        }
        let own = std::process::id();
        self.accounts.see(GENERATOR, own, Some(cpu::of_self()));
        let memory = self.memory.entry(GENERATOR.to_owned()).or_default();
        *memory = cpu::resident_bytes(own).unwrap_or_default().max(*memory);
    }

    /// A window ends here, and the next one begins.
    pub(crate) fn mark(&mut self, at: Duration, durable: u64, told: (u64, u64)) {
        let (cpu, machine) = (self.accounts.by_service(), cpu::of_machine().unwrap_or_default());
        self.marks.push(Mark { at, durable, told, cpu, machine });
    }

    /// Cores that each service has used in the last window.
    pub(crate) fn cores(&self) -> BTreeMap<String, f64> {
        let [.., before, now] = self.marks.as_slice() else { return BTreeMap::new() };
        let wall = (now.at - before.at).as_secs_f64().max(1e-9);
        let used = |(name, cpu): (&String, &Duration)| {
            let before = before.cpu.get(name).copied().unwrap_or_default();
            (name.clone(), cpu.saturating_sub(before).as_secs_f64() / wall)
        };
        now.cpu.iter().map(used).collect()
    }

    /// CPU time per durable fix by service, in microseconds, window by window: nothing for one in which no fix became durable.
    pub(crate) fn cpu_us_per_fix(&self) -> BTreeMap<String, Vec<Option<f64>>> {
        let names = self.marks.last().into_iter().flat_map(|mark| mark.cpu.keys());
        let mut all: BTreeMap<String, Vec<Option<f64>>> = names
            .map(|name| (name.clone(), self.per_fix(|mark| mark.cpu.get(name).copied().unwrap_or_default())))
            .collect();
        let is_ours = |name: &String| *name != GENERATOR;
        let of_services = |name: &String| is_ours(name) && *name != DATABASE;
        // Without one of them it would be the sum of something else: of others' clusters and databases nothing is known.
        if all.contains_key(DATABASE) && all.keys().any(of_services) {
            let total =
                |mark: &Mark| mark.cpu.iter().filter(|(name, _)| is_ours(name)).map(|(_, used)| used).sum();
            all.insert(TOTAL.to_owned(), self.per_fix(total));
        }
        all
    }

    fn per_fix(&self, used: impl Fn(&Mark) -> Duration) -> Vec<Option<f64>> {
        let of_window = |pair: &[Mark]| {
            let fixes = pair[1].durable - pair[0].durable;
            let us = used(&pair[1]).saturating_sub(used(&pair[0])).as_secs_f64() * 1e6;
            (fixes > 0).then(|| us / fixes as f64)
        };
        self.marks.windows(2).map(of_window).collect()
    }

    /// Fixes that became durable, a second.
    pub(crate) fn durable_per_s(&self) -> Option<Spread> {
        let rate = |pair: &[Mark]| {
            let wall = (pair[1].at - pair[0].at).as_secs_f64();
            (pair[1].durable - pair[0].durable) as f64 / wall.max(1e-9)
        };
        Spread::of(self.marks.windows(2).map(rate).collect())
    }

    /// What watchers were told, and what that cost; nothing if they were told nothing.
    pub(crate) fn watching(&self) -> Option<Watching> {
        let wall = |pair: &[Mark]| (pair[1].at - pair[0].at).as_secs_f64().max(1e-9);
        let messages = |pair: &[Mark]| (pair[1].told.0 - pair[0].told.0) as f64;
        let positions = |pair: &[Mark]| (pair[1].told.1 - pair[0].told.1) as f64;
        let used = |mark: &Mark| mark.cpu.get(HUB).copied().unwrap_or_default();
        let hub_us = |pair: &[Mark]| used(&pair[1]).saturating_sub(used(&pair[0])).as_secs_f64() * 1e6;
        let spread = |of: &dyn Fn(&[Mark]) -> f64| Spread::of(self.marks.windows(2).map(of).collect());
        if self.marks.last()?.told.0 == 0 {
            return None;
        }
        // A window in which nobody was told anything has no cost of a message.
        Some(Watching {
            messages_per_s: spread(&|pair| messages(pair) / wall(pair)),
            positions_per_s: spread(&|pair| positions(pair) / wall(pair)),
            hub_cpu_us_per_message: spread(&|pair| hub_us(pair) / messages(pair)),
            hub_cpu_us_per_position: spread(&|pair| hub_us(pair) / positions(pair)),
        })
    }

    /// Cores that processes of nobody's here have used.
    pub(crate) fn foreign_cores(&self) -> Option<Spread> {
        let foreign = |pair: &[Mark]| {
            let used = |mark: &Mark| mark.cpu.values().sum::<Duration>();
            let ours = used(&pair[1]).saturating_sub(used(&pair[0]));
            let all = pair[1].machine.saturating_sub(pair[0].machine);
            all.saturating_sub(ours).as_secs_f64() / (pair[1].at - pair[0].at).as_secs_f64().max(1e-9)
        };
        Spread::of(self.marks.windows(2).map(foreign).collect())
    }

    /// Largest memory of each node, in bytes.
    pub(crate) fn memory_bytes(&self) -> BTreeMap<String, u64> {
        self.memory.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_shared_out_over_the_fixes_of_its_window() {
        let seconds = Duration::from_secs;
        let mark = |at: u64, durable: u64, gateway: u64, generator: u64| Mark {
            at: seconds(at),
            durable,
            told: (durable / 10, durable),
            cpu: [("gateway", gateway), (HUB, gateway / 2), (DATABASE, gateway), (GENERATOR, generator)]
                .map(|(name, used)| (name.to_owned(), seconds(used)))
                .into(),
            machine: seconds(2 * gateway + gateway / 2 + generator + at / 10),
        };
        let marks = vec![
            mark(0, 0, 1, 1),
            mark(10, 1_000_000, 3, 2),
            mark(20, 1_000_000, 3, 3),
            mark(30, 3_000_000, 7, 9),
        ];
        let meter = Meter { marks, ..Meter::default() };
        let cpu = meter.cpu_us_per_fix();
        // Nothing became durable in the window between: it says nothing.
        assert_eq!(cpu["gateway"], [Some(2.0), None, Some(2.0)]);
        assert_eq!(cpu[TOTAL], [Some(5.0), None, Some(5.0)]);
        assert_eq!(cpu[GENERATOR], [Some(1.0), None, Some(3.0)]);
        assert_eq!(meter.durable_per_s().map(|rate| rate.median), Some(100_000.0));
        assert_eq!(meter.foreign_cores().map(|cores| cores.median), Some(0.1));
        assert_eq!(meter.cores()["gateway"], 0.4);
        let watching = meter.watching().expect("they were told something");
        assert_eq!(watching.messages_per_s.map(|rate| rate.max), Some(20_000.0));
        assert_eq!(watching.hub_cpu_us_per_message, Spread::of(vec![10.0, 10.0]));
        assert_eq!(watching.hub_cpu_us_per_position.map(|us| us.windows), Some(2));
        assert_eq!(Meter::default().watching(), None);
    }

    #[test]
    fn there_is_no_total_of_what_nobody_saw() {
        let totals = |names: &[&str]| {
            let mark = |at: u64| Mark {
                at: Duration::from_secs(at),
                durable: at,
                told: (0, 0),
                cpu: names.iter().map(|name| ((*name).to_owned(), Duration::from_secs(at))).collect(),
                machine: Duration::ZERO,
            };
            let meter = Meter { marks: vec![mark(1), mark(2)], ..Meter::default() };
            meter.cpu_us_per_fix().contains_key(TOTAL)
        };
        assert!(totals(&["gateway", DATABASE, GENERATOR]));
        // A cluster of others, and a database of others.
        assert!(!totals(&[GENERATOR]) && !totals(&[DATABASE, GENERATOR]) && !totals(&["gateway", GENERATOR]));
        assert!(Meter::default().cpu_us_per_fix().is_empty());
    }
}
