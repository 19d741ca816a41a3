//! From the parsed text to tables.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use can_dbc::{
    AttributeValue, ByteOrder as Order, Dbc, ExtendedMultiplex, MessageId, MultiplexIndicator,
    SignalExtendedValueType, ValueType,
};
use rustc_hash::FxHashMap;

use super::lines::Lines;
use super::problem::What;
use super::{DBC_BYTES_MAX, Database, DbcError, Group, Message, Problem, SWITCHES_MAX, overlap};
use crate::can::frame::CanId;
use crate::can::signal::{ByteOrder, Condition, Kind, Layout, Signal};
use crate::can::transport::MESSAGE_BYTES_MAX;

/// Signals of one message. The largest known one, of all OBD-II parameters, has some 300.
const SIGNALS_MAX: usize = 4096;
/// `VFrameFormat` of a parameter group, as the order of its names is everywhere.
const J1939_PG: u64 = 3;
/// A message of the editors' own: it holds signals that belong to no message.
const ORPHANS: &str = "VECTOR__INDEPENDENT_SIG_MSG";

pub(super) fn load(files: &[(&str, &[u8])], lenient: bool) -> Result<(Database, Vec<Problem>), DbcError> {
    let (mut database, mut problems) = (Database::default(), Vec::new());
    for (file, bytes) in files {
        let text = text(file, bytes)?;
        let dbc = Dbc::try_from(text.as_ref())
            .map_err(|error| DbcError::Syntax { file: (*file).to_owned(), detail: error.to_string() })?;
        let lines = Lines::new(&text).checked(dbc.messages.iter().map(|message| message.signals.len()));
        let file = File { name: file, facts: Facts::new(&dbc), dbc: &dbc, lines };
        for place in 0..dbc.messages.len() {
            if let Some(message) = file.message(place, &mut problems) {
                file.insert(&mut database, place, message, &mut problems);
            }
        }
    }
    if problems.is_empty() || lenient { Ok((database, problems)) } else { Err(DbcError::Problems(problems)) }
}

/// A file's text. Many are written in the code page of Windows: what is not UTF-8 is read as Latin-1, which has the same
/// degree and micro signs. Bytes that no text has are refused.
fn text<'a>(file: &str, bytes: &'a [u8]) -> Result<Cow<'a, str>, DbcError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.len() > DBC_BYTES_MAX {
        return Err(DbcError::TooLarge { file: file.to_owned(), bytes: bytes.len() });
    }
    let is_text = |byte: u8| byte >= b' ' || matches!(byte, b'\t' | b'\r' | b'\n' | 0x0C);
    if let Some(offset) = bytes.iter().position(|byte| !is_text(*byte)) {
        return Err(DbcError::NotText { file: file.to_owned(), offset });
    }
    Ok(match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    })
}

/// What the file says of signals and messages elsewhere than in their own lines.
struct Facts<'a> {
    spns: FxHashMap<(MessageId, &'a str), u32>,
    floats: FxHashMap<(MessageId, &'a str), SignalExtendedValueType>,
    switches: FxHashMap<(MessageId, &'a str), &'a ExtendedMultiplex>,
    j1939: FxHashMap<MessageId, bool>,
    /// What holds for extended identifiers without an attribute of their own.
    j1939_default: bool,
}

impl<'a> Facts<'a> {
    fn new(dbc: &'a Dbc) -> Self {
        let spns = dbc.attribute_values_signal.iter().filter(|value| value.name == "SPN");
        let formats = dbc.attribute_values_message.iter().filter(|value| value.name == "VFrameFormat");
        let is_group = |value: &AttributeValue| match value {
            AttributeValue::String(text) => text == "J1939PG",
            value => number(value) == Some(J1939_PG),
        };
        let is_j1939 =
            |value: &AttributeValue| matches!(value, AttributeValue::String(text) if text == "J1939");
        let protocol = dbc.attribute_values_database.iter().find(|value| value.name == "ProtocolType");
        Self {
            spns: spns
                .filter_map(|value| {
                    let spn = number(&value.value).and_then(|spn| u32::try_from(spn).ok())?;
                    Some(((value.message_id, value.signal_name.as_str()), spn))
                })
                .collect(),
            floats: dbc
                .signal_extended_value_type_list
                .iter()
                .map(|of| ((of.message_id, of.signal_name.as_str()), of.signal_extended_value_type))
                .collect(),
            switches: dbc
                .extended_multiplex
                .iter()
                .map(|of| ((of.message_id, of.signal_name.as_str()), of))
                .collect(),
            j1939: formats.map(|value| (value.message_id, is_group(&value.value))).collect(),
            j1939_default: dbc.attribute_default("VFrameFormat").is_some_and(is_group)
                || protocol.is_some_and(|value| is_j1939(&value.value)),
        }
    }
}

fn number(value: &AttributeValue) -> Option<u64> {
    match value {
        AttributeValue::Uint(value) => Some(*value),
        AttributeValue::Int(value) => u64::try_from(*value).ok(),
        // Some editors write whole numbers with a point.
        AttributeValue::Double(value) if *value >= 0.0 && *value < 1e9 => Some(*value as u64),
        AttributeValue::Double(_) | AttributeValue::String(_) => None,
    }
}

struct File<'a> {
    name: &'a str,
    dbc: &'a Dbc,
    facts: Facts<'a>,
    lines: Lines,
}

impl File<'_> {
    /// The message at `place`, without what makes no sense of it.
    fn message(&self, place: usize, problems: &mut Vec<Problem>) -> Option<Message> {
        let parsed = &self.dbc.messages[place];
        if parsed.name == ORPHANS {
            return None;
        }
        let id = match parsed.id {
            MessageId::Standard(id) => {
                let written = self.lines.id(place).unwrap_or(u32::from(id));
                let id = u16::try_from(written).ok().and_then(|id| CanId::standard(id).ok());
                let Some(id) = id else {
                    problems.push(self.problem(place, None, What::Id { id: written }));
                    return None;
                };
                id
            }
            MessageId::Extended(id) => CanId::extended(id).ok()?,
        };
        let Ok(size @ ..=MESSAGE_BYTES_MAX) = u16::try_from(parsed.size) else {
            let what = What::Size { size: parsed.size, max: MESSAGE_BYTES_MAX };
            problems.push(self.problem(place, None, what));
            return None;
        };
        if parsed.signals.len() > SIGNALS_MAX {
            let what = What::Signals { count: parsed.signals.len(), max: SIGNALS_MAX };
            problems.push(self.problem(place, None, what));
            return None;
        }
        // No controller sends from the null address: a file that has it there means any sender.
        let any_source = id.j1939().is_some_and(|id| id.source == NULL_SOURCE);
        let default = self.facts.j1939_default || any_source;
        let j1939 = id.is_extended() && *self.facts.j1939.get(&parsed.id).unwrap_or(&default);
        let signals = self.signals(place, size, j1939, problems);
        let needed = signals.iter().map(|signal| signal.layout.bytes_needed()).max().unwrap_or(0);
        Some(Message { name: parsed.name.as_str().into(), id, j1939, size, needed, signals: signals.into() })
    }

    /// Lays out signals, then multiplexing, then looks for overlaps. Each step drops what it finds wrong.
    fn signals(&self, place: usize, size: u16, j1939: bool, problems: &mut Vec<Problem>) -> Vec<Signal> {
        let parsed = &self.dbc.messages[place].signals;
        let (mut kept, mut signals, mut names) = (Vec::new(), Vec::new(), FxHashMap::default());
        for (index, of) in parsed.iter().enumerate() {
            let problem = match self.signal(place, of, size, j1939) {
                Ok(_) if names.contains_key(of.name.as_str()) => {
                    What::DuplicateSignal { signal: of.name.clone() }
                }
                Ok(signal) => {
                    names.insert(of.name.as_str(), kept.len());
                    kept.push(index);
                    signals.push(signal);
                    continue;
                }
                Err(what) => what,
            };
            problems.push(self.problem(place, Some(index), problem));
        }
        let conditions: Vec<_> =
            kept.iter().map(|index| self.condition(place, *index, &kept, &names)).collect();
        let mut dropped = vec![false; kept.len()];
        for (signal, condition) in conditions.into_iter().enumerate() {
            match condition {
                Ok(condition) => signals[signal].condition = condition,
                Err(what) => {
                    problems.push(self.problem(place, Some(kept[signal]), what));
                    dropped[signal] = true;
                }
            }
        }
        for signal in 0..signals.len() {
            if depth(&signals, signal).is_none() {
                let what = What::DeepSwitches { signal: signals[signal].name.to_string() };
                problems.push(self.problem(place, Some(kept[signal]), what));
                dropped[signal] = true;
            }
        }
        for (before, signal, bit) in overlap::find(&signals) {
            let (signal_name, other) = (signals[signal].name.to_string(), signals[before].name.to_string());
            let what = What::Overlap { signal: signal_name, other, bit };
            problems.push(self.problem(place, Some(kept[signal]), what));
        }
        retain(signals, &mut dropped)
    }

    fn signal(&self, place: usize, of: &can_dbc::Signal, size: u16, j1939: bool) -> Result<Signal, What> {
        let signal = || of.name.clone();
        let order = match of.byte_order {
            Order::LittleEndian => ByteOrder::Little,
            Order::BigEndian => ByteOrder::Big,
        };
        let start = u16::try_from(of.start_bit).ok().filter(|start| start / 8 < MESSAGE_BYTES_MAX);
        let start = start.ok_or_else(|| What::Start { signal: signal(), start: of.start_bit })?;
        let bad_bits = || What::Bits { signal: signal(), bits: of.size };
        let layout = Layout::new(order, start, of.size).ok_or_else(bad_bits)?;
        let needed = layout.bytes_needed();
        if needed > size {
            return Err(What::BeyondMessage { signal: signal(), needed, size });
        }
        let key = (self.dbc.messages[place].id, of.name.as_str());
        let float = |expected: u8, kind: Kind| {
            let right = of.size == u64::from(expected);
            right.then_some(kind).ok_or_else(|| What::FloatBits { signal: signal(), bits: of.size, expected })
        };
        let kind = match (self.facts.floats.get(&key), of.value_type) {
            (Some(SignalExtendedValueType::IEEEfloat32Bit), _) => float(32, Kind::Float)?,
            (Some(SignalExtendedValueType::IEEEdouble64bit), _) => float(64, Kind::Double)?,
            (_, ValueType::Signed) => Kind::Signed,
            (_, ValueType::Unsigned) => Kind::Unsigned,
        };
        if of.factor == 0.0 || !of.factor.is_finite() || !of.offset.is_finite() {
            return Err(What::Scale { signal: signal() });
        }
        Ok(Signal {
            name: of.name.as_str().into(),
            unit: of.unit.as_str().into(),
            // 0 stands for none: it is the usual default.
            spn: self.facts.spns.get(&key).copied().filter(|spn| *spn > 0),
            layout,
            kind,
            scale: of.factor,
            offset: of.offset,
            j1939,
            condition: None,
        })
    }

    /// When the signal is there. Extended multiplexing (SG_MUL_VAL_) names the switch and its values; without it there
    /// is one switch, and the indicator (m7) is the value.
    fn condition(
        &self,
        place: usize,
        index: usize,
        kept: &[usize],
        names: &FxHashMap<&str, usize>,
    ) -> Result<Option<Condition>, What> {
        let message = &self.dbc.messages[place];
        let of = &message.signals[index];
        let signal = || of.name.clone();
        let value = match of.multiplexer_indicator {
            MultiplexIndicator::Plain | MultiplexIndicator::Multiplexor => return Ok(None),
            MultiplexIndicator::MultiplexedSignal(value)
            | MultiplexIndicator::MultiplexorAndMultiplexedSignal(value) => value,
        };
        let is_switch = |at: usize| {
            matches!(
                message.signals[kept[at]].multiplexer_indicator,
                MultiplexIndicator::Multiplexor | MultiplexIndicator::MultiplexorAndMultiplexedSignal(_)
            )
        };
        if let Some(extended) = self.facts.switches.get(&(message.id, of.name.as_str())) {
            let name = &extended.multiplexor_signal_name;
            let switch = names.get(name.as_str()).copied().filter(|at| is_switch(*at));
            let switch = switch.ok_or_else(|| What::Switch { signal: signal(), switch: name.clone() })?;
            let ranges = extended.mappings.iter().map(|of| of.min_value..=of.max_value);
            return Ok(Some(condition(switch, ranges)));
        }
        let mut switches = (0..kept.len())
            .filter(|at| message.signals[kept[*at]].multiplexer_indicator == MultiplexIndicator::Multiplexor);
        let switch = switches.next().ok_or_else(|| What::NoSwitch { signal: signal() })?;
        if let Some(second) = switches.next() {
            let name = |at: usize| message.signals[kept[at]].name.clone();
            return Err(What::ManySwitches { signal: name(second), other: name(switch) });
        }
        Ok(Some(condition(switch, [value..=value].into_iter())))
    }

    /// Adds a message unless its identifier, or its group and source, is taken.
    fn insert(&self, database: &mut Database, place: usize, message: Message, problems: &mut Vec<Problem>) {
        let index = database.messages.len() as u32;
        let taken = if message.j1939
            && let Some(id) = message.id.j1939()
        {
            let taken = *database.sources.entry((id.pgn, id.source)).or_insert(index);
            if taken == index {
                // A message of any sender comes first, whichever order the file has them in.
                let any = id.source >= NULL_SOURCE;
                let group =
                    database.groups.entry(id.pgn).or_insert(Group { message: index, by_source: false });
                group.by_source |= group.message != index;
                group.message = if any { index } else { group.message };
            }
            taken
        } else {
            database.plain_extended |= message.id.is_extended();
            *database.plain.entry(message.id).or_insert(index)
        };
        if taken == index {
            database.messages.push(message);
            return;
        }
        let other = database.messages[taken as usize].name.to_string();
        problems.push(self.problem(place, None, What::DuplicateId { other }));
    }

    fn problem(&self, message: usize, signal: Option<usize>, what: What) -> Problem {
        Problem {
            file: self.name.to_owned(),
            line: match signal {
                Some(signal) => self.lines.signal(message, signal),
                None => self.lines.message(message),
            },
            message: self.dbc.messages[message].name.clone(),
            what,
        }
    }
}

/// The address of who has none (J1939-81). Files write it, or the global one above it, for "any".
const NULL_SOURCE: u8 = 254;

fn condition(switch: usize, values: impl Iterator<Item = RangeInclusive<u64>>) -> Condition {
    // At most `SIGNALS_MAX` signals: the place fits.
    Condition { switch: switch as u16, values: values.collect() }
}

/// Switches on the way to a signal; `None` for a ring or too many.
fn depth(signals: &[Signal], mut at: usize) -> Option<usize> {
    for depth in 0..=SWITCHES_MAX {
        match &signals[at].condition {
            None => return Some(depth),
            Some(condition) => at = usize::from(condition.switch),
        }
    }
    None
}

/// Leaves out what is dropped, and all that a dropped switch selects.
fn retain(signals: Vec<Signal>, dropped: &mut [bool]) -> Vec<Signal> {
    for _ in 0..=SWITCHES_MAX {
        for (at, signal) in signals.iter().enumerate() {
            dropped[at] |= signal.condition.as_ref().is_some_and(|of| dropped[usize::from(of.switch)]);
        }
    }
    let mut places = Vec::with_capacity(signals.len());
    let mut next = 0;
    for dropped in dropped.iter() {
        places.push(next);
        next += u16::from(!dropped);
    }
    let mut kept: Vec<_> = signals
        .into_iter()
        .zip(dropped)
        .filter(|(_, dropped)| !**dropped)
        .map(|(signal, _)| signal)
        .collect();
    for condition in kept.iter_mut().filter_map(|signal| signal.condition.as_mut()) {
        condition.switch = places[usize::from(condition.switch)];
    }
    kept
}
