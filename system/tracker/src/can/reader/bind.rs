//! Which signals of a database give which readings.

use std::collections::BTreeMap;

use crate::can::dbc::{Database, Message};
use crate::can::frame::CanId;
use crate::can::obd;
use crate::can::quantity::{Meaning, Quantity, of_pid, of_spn};
use crate::can::signal::{Payload, Signal};

/// Bits of the byte that says which PID an answer holds.
const PID_BITS: std::ops::Range<u16> = 16..24;

/// Why a signal gives no reading.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindProblem {
    /// A name of the config is not `MESSAGE.Signal` of the DBC.
    #[error("{name:?} is no signal of the DBC: write MESSAGE.Signal, as the file has them")]
    Signal {
        /// The name.
        name: String,
    },
    /// What it should give is not known.
    #[error("{name:?} can not give {field:?}: it is one of {}", Quantity::names().collect::<Vec<_>>().join(", "))]
    Field {
        /// The signal's name.
        name: String,
        /// The field.
        field: String,
    },
    /// Its unit is not known for that.
    #[error("{name} gives {field} in {unit:?}, which is none of {known}: correct the unit in the DBC")]
    Unit {
        /// The signal's name.
        name: String,
        /// The field.
        field: &'static str,
        /// The unit as the DBC has it.
        unit: String,
        /// What would do.
        known: String,
    },
}

/// One signal that gives a reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bound {
    pub(super) signal: u16,
    pub(super) quantity: Quantity,
    pub(super) rank: usize,
    pub(super) meaning: Meaning,
    pub(super) factor: f64,
    pub(super) offset: f64,
}

/// All of them, by message.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    by_message: Vec<Vec<Bound>>,
    /// The message that describes answers of OBD-II.
    obd: Option<usize>,
}

impl Bindings {
    pub(super) fn new(database: &Database, names: &BTreeMap<String, String>) -> Result<Self, BindProblem> {
        let mut by_message = vec![Vec::new(); database.messages().len()];
        for (message, bound) in database.messages().iter().zip(&mut by_message) {
            for (place, signal) in message.signals().iter().enumerate() {
                for (quantity, rank, meaning) in by_spn(message, signal) {
                    bound.push(bind(message, place, *quantity, *rank, *meaning)?);
                }
            }
        }
        let answer = CanId::standard(obd::ANSWER).ok().and_then(|id| database.index(id));
        if let Some(index) = answer {
            let message = &database.messages()[index];
            for (place, quantity, rank) in by_pid(message) {
                by_message[index].push(bind(message, place, quantity, rank, Meaning::Value)?);
            }
        }
        for (name, field) in names {
            let found = name.split_once('.').and_then(|(message, signal)| find(database, message, signal));
            let (index, place) = found.ok_or_else(|| BindProblem::Signal { name: name.clone() })?;
            let quantity = Quantity::from_name(field)
                .ok_or_else(|| BindProblem::Field { name: name.clone(), field: field.clone() })?;
            let message = &database.messages()[index];
            by_message[index].push(bind(message, place, quantity, 0, Meaning::Value)?);
        }
        Ok(Self { by_message, obd: answer })
    }

    pub(super) fn of(&self, message: usize) -> &[Bound] {
        &self.by_message[message]
    }

    /// The readings of one answer of OBD-II, as its single frame.
    pub(super) fn obd<'a>(
        &'a self,
        database: &'a Database,
        frame: &'a [u8],
    ) -> impl Iterator<Item = (&'a Bound, f64)> {
        let payload = Payload::new(frame);
        self.obd.into_iter().flat_map(move |index| {
            let message = &database.messages()[index];
            self.by_message[index].iter().filter_map(move |bound| {
                let sample = message.sample(usize::from(bound.signal), &payload)?;
                Some((bound, sample.physical() * bound.factor + bound.offset))
            })
        })
    }
}

fn by_spn(message: &Message, signal: &Signal) -> &'static [(Quantity, usize, Meaning)] {
    if message.is_j1939() { signal.spn().map_or(&[], of_spn) } else { &[] }
}

/// Signals that the PID's byte selects, by one value.
fn by_pid(message: &Message) -> Vec<(usize, Quantity, usize)> {
    let signals = message.signals();
    let selected = |signal: &Signal| {
        let condition = signal.condition.as_ref()?;
        let switch = signals[usize::from(condition.switch)].layout();
        let [values] = &*condition.values else { return None };
        let by_pid = switch.bits() == 8 && switch.positions().all(|bit| PID_BITS.contains(&bit));
        (by_pid && values.start() == values.end()).then(|| of_pid(*values.start())).flatten()
    };
    let places = signals.iter().enumerate();
    places.filter_map(|(place, signal)| selected(signal).map(|(of, rank)| (place, of, rank))).collect()
}

fn find(database: &Database, message: &str, signal: &str) -> Option<(usize, usize)> {
    let index = database.messages().iter().position(|of| of.name() == message)?;
    let place = database.messages()[index].signals().iter().position(|of| of.name() == signal)?;
    Some((index, place))
}

fn bind(
    message: &Message,
    place: usize,
    quantity: Quantity,
    rank: usize,
    meaning: Meaning,
) -> Result<Bound, BindProblem> {
    let signal = &message.signals()[place];
    let (factor, offset) = quantity.conversion(signal.unit()).ok_or_else(|| BindProblem::Unit {
        name: format!("{}.{}", message.name(), signal.name()),
        field: quantity.name(),
        unit: signal.unit().to_owned(),
        known: quantity.units().collect::<Vec<_>>().join(", "),
    })?;
    Ok(Bound { signal: place as u16, quantity, rank, meaning, factor, offset })
}
