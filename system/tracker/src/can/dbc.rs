//! Messages and signals of DBC files, compiled: how a frame's bytes are read.
//!
//! Crate `can-dbc` parses; what the text means is checked and laid out here. A message of J1939 is found by its parameter
//! group, whatever priority and sender a frame has. Decoding allocates nothing.

mod compile;
mod lines;
mod overlap;
mod problem;
#[cfg(test)]
mod tests;

use rustc_hash::FxHashMap;

pub use problem::{DbcError, Problem};

use super::frame::CanId;
use super::signal::{Payload, Signal, Status};

/// The file that is built in: `fixtures/can/drover.dbc`.
pub const BUILT_IN: &str = include_str!("../../../../fixtures/can/drover.dbc");
/// Largest file. The whole of J1939 takes some 5 MB.
pub const DBC_BYTES_MAX: usize = 32 << 20;
/// Switches on the way to a multiplexed signal.
const SWITCHES_MAX: usize = 8;

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    name: Box<str>,
    id: CanId,
    j1939: bool,
    /// Bytes that the file gives it.
    size: u16,
    /// Bytes that its last signal needs.
    needed: u16,
    signals: Box<[Signal]>,
}

impl Message {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Identifier as the file has it; the source address of a J1939 message means nothing.
    pub const fn id(&self) -> CanId {
        self.id
    }

    /// True for a parameter group of J1939.
    pub const fn is_j1939(&self) -> bool {
        self.j1939
    }

    /// Bytes that the file gives it.
    pub const fn size(&self) -> u16 {
        self.size
    }

    /// Its signals, in the file's order.
    pub const fn signals(&self) -> &[Signal] {
        &self.signals
    }

    /// Reads the signals that are in `payload`, multiplexed ones only where their switch selects them.
    pub fn decode<'a>(&'a self, payload: &'a [u8]) -> Samples<'a> {
        Samples { message: self, payload: Payload::new(payload), next: 0, missing: 0 }
    }

    /// True if a signal does not fit into that many bytes.
    pub(super) fn is_short(&self, len: usize) -> bool {
        len < usize::from(self.needed)
    }

    /// The signal at `index`, unless its switch selects another or the bytes end before it.
    pub(super) fn sample(&self, index: usize, payload: &Payload<'_>) -> Option<Sample<'_>> {
        let signal = &self.signals[index];
        if signal.condition.is_some() && !self.is_selected(index, payload) {
            return None;
        }
        Some(Sample { signal, raw: signal.layout.raw(payload)? })
    }

    /// True if all switches on the way to the signal select it.
    fn is_selected(&self, mut index: usize, payload: &Payload<'_>) -> bool {
        // Compiling has checked that the way is short and has no ring.
        while let Some(condition) = &self.signals[index].condition {
            index = usize::from(condition.switch);
            let Some(value) = self.signals[index].layout.raw(payload) else { return false };
            if !condition.values.iter().any(|values| values.contains(&value)) {
                return false;
            }
        }
        true
    }
}

/// One signal's value in one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    signal: &'a Signal,
    raw: u64,
}

impl<'a> Sample<'a> {
    /// Whose value it is.
    pub const fn signal(&self) -> &'a Signal {
        self.signal
    }

    /// The bits, right-aligned.
    pub const fn raw(&self) -> u64 {
        self.raw
    }

    /// The value in the signal's unit, whether it stands for one or not: see [`Self::status`].
    #[inline]
    pub fn physical(&self) -> f64 {
        self.signal.physical(self.raw)
    }

    /// What the bits stand for.
    pub const fn status(&self) -> Status {
        self.signal.status(self.raw)
    }
}

/// The signals of one frame.
#[derive(Debug)]
pub struct Samples<'a> {
    message: &'a Message,
    payload: Payload<'a>,
    next: usize,
    missing: usize,
}

impl Samples<'_> {
    /// Signals passed so far that did not fit into the frame.
    pub const fn missing(&self) -> usize {
        self.missing
    }
}

impl<'a> Iterator for Samples<'a> {
    type Item = Sample<'a>;

    // Called from other crates, once for each signal.
    #[inline]
    fn next(&mut self) -> Option<Sample<'a>> {
        while let Some(signal) = self.message.signals.get(self.next) {
            let index = self.next;
            self.next += 1;
            if signal.condition.is_some() && !self.message.is_selected(index, &self.payload) {
                continue;
            }
            match signal.layout.raw(&self.payload) {
                Some(raw) => return Some(Sample { signal, raw }),
                None => self.missing += 1,
            }
        }
        None
    }
}

/// Where a parameter group leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Group {
    message: u32,
    /// Some sender has a message of its own for this group.
    by_source: bool,
}

/// All messages of the files that were read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Database {
    messages: Vec<Message>,
    /// By whole identifier, for messages that are not of J1939.
    plain: FxHashMap<CanId, u32>,
    /// Some of them have 29 bits.
    plain_extended: bool,
    groups: FxHashMap<u32, Group>,
    /// By group and source address.
    sources: FxHashMap<(u32, u8), u32>,
}

impl Database {
    /// The messages of the built-in file.
    pub fn built_in() -> Self {
        Self::load(&[("built-in", BUILT_IN.as_bytes())], false)
            .map(|(database, _)| database)
            .expect("a test holds that the built-in file is without problems")
    }

    /// Compiles files, each with the name that errors give it. With `lenient`, what makes no sense is left out and
    /// returned, and only what can not be read at all is an error.
    ///
    /// # Errors
    /// A file is no DBC, or (unless `lenient`) has signals or messages that make no sense; each is named with its line.
    pub fn load(files: &[(&str, &[u8])], lenient: bool) -> Result<(Self, Vec<Problem>), DbcError> {
        compile::load(files, lenient)
    }

    /// All messages, in the files' order.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The message that a frame of this identifier carries.
    pub fn message(&self, id: CanId) -> Option<&Message> {
        self.index(id).map(|index| &self.messages[index])
    }

    /// Its place in [`Self::messages`].
    pub(super) fn index(&self, id: CanId) -> Option<usize> {
        // On a bus of J1939 there is often no other extended message: that look-up is spared.
        if self.plain_extended || !id.is_extended() {
            let plain = self.plain.get(&id).map(|index| *index as usize);
            if plain.is_some() || !id.is_extended() {
                return plain;
            }
        }
        let j1939 = id.j1939()?;
        self.group_index(j1939.pgn, j1939.source)
    }

    /// The place of a parameter group, as this sender means it.
    pub(super) fn group_index(&self, pgn: u32, source: u8) -> Option<usize> {
        let group = self.groups.get(&pgn)?;
        let own = if group.by_source { self.sources.get(&(pgn, source)) } else { None };
        Some(*own.unwrap_or(&group.message) as usize)
    }
}
