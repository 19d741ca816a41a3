//! A plain reference model of the way of a fix: what may happen to it, in which order, and nothing of how.
//!
//! ```text
//! a vehicle:   recorded --> settled: durable, refused, shed or lost
//!                 ^            |
//!                 +-- found in the spool after a restart: owed again
//! a gateway:   recorded --> published, any number of times
//!              recorded --> refused, with a reason
//! the table:   recorded --> stored, once
//! ```
//!
//! Durable needs stored, and a refusal that a vehicle hears needs a gateway that has said it. The model is fed with what
//! happened, in the order in which it happened, and keeps the first step that is none of these. It knows no batches,
//! streams, sessions, retries or time-outs: whatever those do, every fix goes one of these ways.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use drover_model::{Epoch, Refusal, Sequence, SequenceSet, WallTime};

use crate::ledger::Identities;

/// Something that happened to fixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Appended to the spool and synced; taken at this time.
    Recorded(WallTime),
    /// Held by the spool after a restart.
    Found,
    /// Seen on the live path, with this time.
    Published(WallTime),
    /// Committed as a new row, with this time.
    Stored(WallTime),
    /// Refused by a gateway.
    Denied(&'a str),
    /// The vehicle saw the durable ack.
    Durable,
    /// The vehicle saw the refusal.
    Refused(&'a str),
    /// Dropped by a full spool.
    Shed,
    /// Taken by damage to the spool.
    Lost,
}

/// The first step that the model does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impossible {
    /// Virtual time.
    pub at: Duration,
    /// Number of the vehicle.
    pub vehicle: usize,
    /// Which life of its spool.
    pub epoch: Epoch,
    /// Which fix.
    pub sequence: Sequence,
    /// What happened to it.
    pub what: String,
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, vehicle, epoch, sequence, what } = self;
        write!(f, "at {:.3} s fix {epoch}/{sequence} of vehicle/{vehicle} {what}", at.as_secs_f64())
    }
}

/// The fixes of a fleet, as the model has them.
#[derive(Debug, Clone, Default)]
pub struct Model {
    vehicles: Vec<Vehicle>,
    checks: u64,
    first: Option<Impossible>,
}

#[derive(Debug, Clone, Default)]
struct Vehicle {
    epochs: BTreeMap<Epoch, Fixes>,
    newest: Option<Epoch>,
    given_up: BTreeSet<Epoch>,
}

/// The fixes of one epoch: those recorded have the sequences from 0 on, without a gap.
#[derive(Debug, Clone, Default)]
struct Fixes {
    /// When each was taken; unknown of one that was only found in a spool.
    times: Vec<Option<WallTime>>,
    stored: SequenceSet,
    /// What the vehicle no longer owes.
    settled: SequenceSet,
    denied: BTreeMap<Sequence, BTreeSet<String>>,
}

impl Model {
    /// Of so many vehicles, which have recorded nothing.
    pub fn new(vehicles: usize) -> Self {
        Self { vehicles: vec![Vehicle::default(); vehicles], ..Self::default() }
    }

    /// Something happened to these fixes of a vehicle. After the first impossible step the model no longer stands for
    /// anything, and takes no more.
    pub fn take(
        &mut self,
        at: Duration,
        vehicle: usize,
        epoch: Epoch,
        sequences: RangeInclusive<Sequence>,
        step: Step<'_>,
    ) {
        if self.first.is_some() {
            return;
        }
        let Some(of_vehicle) = self.vehicles.get_mut(vehicle) else {
            let (sequence, what) = (*sequences.start(), "belongs to nobody".to_owned());
            self.first = Some(Impossible { at, vehicle, epoch, sequence, what });
            return;
        };
        for sequence in sequences {
            self.checks += 1;
            if let Err(what) = of_vehicle.take(epoch, sequence, step) {
                self.first = Some(Impossible { at, vehicle, epoch, sequence, what });
                return;
            }
        }
    }

    /// The run has ended: holds what vehicles still owe against what spools hold, and what was stored against the rows.
    pub fn end(&mut self, at: Duration, held: &Identities, rows: &Identities) {
        if self.first.is_some() {
            return;
        }
        let none = SequenceSet::new();
        let mut known = Identities::new();
        for (vehicle, of_vehicle) in self.vehicles.iter().enumerate() {
            for (&epoch, fixes) in &of_vehicle.epochs {
                let place = (vehicle, epoch);
                let gone = fixes.owed().difference(held.get(&place).unwrap_or(&none));
                let away = fixes.stored.difference(rows.get(&place).unwrap_or(&none));
                self.checks += fixes.times.len() as u64;
                let found = [
                    (gone.iter().next(), "is owed by its vehicle, whose spool does not hold it"),
                    (away.iter().next(), "was stored, and no row has it"),
                ];
                if let Some((sequence, what)) = found.into_iter().find_map(|(one, what)| Some((one?, what))) {
                    self.first = Some(Impossible { at, vehicle, epoch, sequence, what: what.to_owned() });
                    return;
                }
                known.insert(place, fixes.stored.clone());
            }
        }
        for (&(vehicle, epoch), found) in rows {
            let strange = found.difference(known.get(&(vehicle, epoch)).unwrap_or(&none));
            if let Some(sequence) = strange.iter().next() {
                let what = "has a row that no commit brought".to_owned();
                self.first = Some(Impossible { at, vehicle, epoch, sequence, what });
                return;
            }
        }
    }

    /// When a fix was taken, if that was told.
    pub fn time(&self, vehicle: usize, epoch: Epoch, sequence: Sequence) -> Option<WallTime> {
        let fixes = self.vehicles.get(vehicle)?.epochs.get(&epoch)?;
        *fixes.times.get(usize::try_from(sequence).ok()?)?
    }

    /// The oldest fix of an epoch that its vehicle owes.
    pub fn oldest_owed(&self, vehicle: usize, epoch: Epoch) -> Option<Sequence> {
        let fixes = self.vehicles.get(vehicle)?.epochs.get(&epoch)?;
        Some(fixes.settled.first_missing(0)).filter(|oldest| *oldest < fixes.times.len() as Sequence)
    }

    /// How many steps it has judged.
    pub const fn checks(&self) -> u64 {
        self.checks
    }

    /// The first impossible one.
    pub const fn first(&self) -> Option<&Impossible> {
        self.first.as_ref()
    }
}

impl Vehicle {
    fn take(&mut self, epoch: Epoch, sequence: Sequence, step: Step<'_>) -> Result<(), String> {
        if matches!(step, Step::Recorded(_)) && self.newest != Some(epoch) {
            if self.given_up.contains(&epoch) {
                return Err("was recorded in an epoch that had been given up".to_owned());
            }
            self.given_up.extend(self.newest.replace(epoch));
        }
        self.epochs.entry(epoch).or_default().take(sequence, step)
    }
}

impl Fixes {
    fn take(&mut self, sequence: Sequence, step: Step<'_>) -> Result<(), String> {
        let next = self.times.len() as Sequence;
        match step {
            Step::Recorded(time) if sequence == next => {
                self.times.push(Some(time));
                return Ok(());
            }
            Step::Found if sequence == next => {
                self.times.push(None);
                return Ok(());
            }
            Step::Recorded(_) if sequence < next => return Err("was recorded a second time".to_owned()),
            Step::Recorded(_) | Step::Found if sequence > next => {
                return Err("was recorded before the one in front".to_owned());
            }
            _ if sequence >= next => return Err(format!("was {} and never recorded", step.name())),
            _ => {}
        }
        match step {
            Step::Recorded(_) => Ok(()),
            Step::Found => {
                self.settled = self.settled.difference(&SequenceSet::from_iter([sequence]));
                Ok(())
            }
            Step::Published(time) => self.is_of(sequence, time, step),
            Step::Stored(time) => self.store(sequence, time, step),
            Step::Denied(reason) => self.deny(sequence, reason),
            Step::Durable if !self.stored.contains(sequence) => Err("was durable and not stored".to_owned()),
            Step::Refused(reason) if !self.is_denied(sequence, reason) => {
                Err(format!("was refused as {reason}, and no gateway has said so"))
            }
            Step::Durable | Step::Refused(_) => self.settle(sequence, step),
            // What a crash let the spool forget may go this way before the spool has told that it owes it again.
            Step::Shed | Step::Lost => {
                self.settled.insert(sequence);
                Ok(())
            }
        }
    }

    fn settle(&mut self, sequence: Sequence, step: Step<'_>) -> Result<(), String> {
        let owed = self.settled.insert(sequence);
        if owed { Ok(()) } else { Err(format!("was {} when it was settled already", step.name())) }
    }

    /// It is still the fix that was recorded.
    fn is_of(&self, sequence: Sequence, time: WallTime, step: Step<'_>) -> Result<(), String> {
        match self.times.get(sequence as usize) {
            Some(Some(recorded)) if *recorded != time => {
                Err(format!("of {recorded} was {} as one of {time}", step.name()))
            }
            _ => Ok(()),
        }
    }

    fn store(&mut self, sequence: Sequence, time: WallTime, step: Step<'_>) -> Result<(), String> {
        self.is_of(sequence, time, step)?;
        let denied = self.denied.get(&sequence);
        if let Some(reason) = denied.and_then(|reasons| reasons.iter().find(|reason| is_final(reason))) {
            return Err(format!("was stored, although it had been refused as {reason}"));
        }
        if self.stored.insert(sequence) { Ok(()) } else { Err("was stored a second time".to_owned()) }
    }

    fn deny(&mut self, sequence: Sequence, reason: &str) -> Result<(), String> {
        if is_final(reason) && self.stored.contains(sequence) {
            return Err(format!("was refused as {reason}, although it had been stored"));
        }
        self.denied.entry(sequence).or_default().insert(reason.to_owned());
        Ok(())
    }

    fn is_denied(&self, sequence: Sequence, reason: &str) -> bool {
        self.denied.get(&sequence).is_some_and(|reasons| reasons.contains(reason))
    }

    fn owed(&self) -> SequenceSet {
        let recorded = (0..self.times.len() as Sequence).collect::<SequenceSet>();
        recorded.difference(&self.settled)
    }
}

/// True if the fix alone decides it, so that no gateway may say otherwise. Another clock can be ahead, and a table can hold
/// what came first.
fn is_final(reason: &str) -> bool {
    [Refusal::OutOfRange, Refusal::WrongVehicle, Refusal::DeadLetter].map(Refusal::name).contains(&reason)
}

impl Step<'_> {
    const fn name(self) -> &'static str {
        match self {
            Self::Recorded(_) => "recorded",
            Self::Found => "found",
            Self::Published(_) => "published",
            Self::Stored(_) => "stored",
            Self::Denied(_) | Self::Refused(_) => "refused",
            Self::Durable => "durable",
            Self::Shed => "shed",
            Self::Lost => "lost",
        }
    }
}
