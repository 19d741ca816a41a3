//! Frames to readings: which layer a frame belongs to, and what its signals mean.

mod bind;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use drover_model::{DriverId, Engine, FaultCode};

pub use bind::BindProblem;
use bind::{Bindings, Bound};

use super::dbc::Database;
use super::frame::{CanFrame, CanId, DATA_BYTES_MAX};
use super::isotp::{IsoTp, IsoTpCounts};
use super::quantity::{KEY_ON_VOLTS, Meaning};
use super::readings::{Readings, Source};
use super::signal::{Payload, Status};
use super::transport::{self, Transport, TransportCounts};
use super::{dm1, obd};

/// The driver's identification: text of two drivers, each ended by `*` (J1939-71, SPN 1625 and 1626).
const DRIVER_IDENTIFICATION: u32 = 65131;

/// What became of a bus's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CanCounts {
    /// Data frames.
    pub frames: u64,
    /// Frames whose message is known, and parts of larger messages.
    pub known: u64,
    /// Frames of no message in the DBC: most of a bus is of no interest, so this is no loss.
    pub unknown: u64,
    /// Readings taken.
    pub readings: u64,
    /// Readings that their sender does not have, or whose sensor is broken: no loss either.
    pub not_available: u64,
    /// Frames that end before all their signals; the others are read.
    pub short: u64,
    /// Readings beyond what makes sense.
    pub out_of_range: u64,
    /// DM1 messages too short to be one, or that end within a code.
    pub bad_dm1: u64,
    /// Trouble codes of conversion methods that can not be read.
    pub old_dtc: u64,
    /// Driver identifications that are no name.
    pub bad_driver: u64,
    /// Answers of OBD-II that make no sense.
    pub bad_obd: u64,
    /// Answers by which a controller refuses.
    pub obd_refused: u64,
    /// Values of OBD-II that can not be told apart from what follows them.
    pub obd_unread: u64,
    /// Messages in packets (J1939-21).
    pub transport: TransportCounts,
    /// Messages in packets (ISO 15765-2).
    pub isotp: IsoTpCounts,
}

impl CanCounts {
    /// What was skipped, by reason, in a fixed order. What is of no interest is no loss and not listed.
    pub const fn skipped(&self) -> [(&'static str, u64); 19] {
        [
            ("short", self.short),
            ("out_of_range", self.out_of_range),
            ("bad_dm1", self.bad_dm1),
            ("old_dtc", self.old_dtc),
            ("bad_driver", self.bad_driver),
            ("bad_obd", self.bad_obd),
            ("obd_refused", self.obd_refused),
            ("obd_unread", self.obd_unread),
            ("transport_bad", self.transport.bad),
            ("transport_sequence", self.transport.sequence),
            ("transport_stray", self.transport.stray),
            ("transport_timeout", self.transport.timeout),
            ("transport_aborted", self.transport.aborted),
            ("transport_crowded", self.transport.crowded),
            ("isotp_bad", self.isotp.bad),
            ("isotp_sequence", self.isotp.sequence),
            ("isotp_stray", self.isotp.stray),
            ("isotp_timeout", self.isotp.timeout),
            ("isotp_aborted", self.isotp.aborted),
        ]
    }
}

/// The messages of a vehicle's bus, and which of their signals give readings. One serves any number of readers.
#[derive(Debug)]
pub struct Catalog {
    database: Database,
    bindings: Bindings,
}

impl Catalog {
    /// All of a database. Signals that carry a J1939 parameter, or a PID of OBD-II, give readings by themselves; `names`
    /// adds others, each as `MESSAGE.Signal` with the field of a fix that it gives.
    ///
    /// # Errors
    /// A name is not there, or a signal has a unit that is not known for what it gives.
    pub fn new(database: Database, names: &BTreeMap<String, String>) -> Result<Self, BindProblem> {
        let bindings = Bindings::new(&database, names)?;
        Ok(Self { database, bindings })
    }

    /// The built-in messages.
    pub fn built_in() -> Self {
        Self::new(Database::built_in(), &BTreeMap::new())
            .expect("a test holds that the built-in units are known")
    }

    /// The messages.
    pub const fn database(&self) -> &Database {
        &self.database
    }
}

/// Turns a bus's frames into the readings that travel with fixes. Holds no clock and no bus.
#[derive(Debug)]
pub struct CanReader {
    catalog: Arc<Catalog>,
    transport: Transport,
    isotp: IsoTp,
    readings: Readings,
    /// Codes on their way to the readings; empty between messages.
    codes: Vec<FaultCode>,
    counts: CanCounts,
}

impl CanReader {
    /// A reader that has heard nothing yet.
    pub fn new(catalog: Arc<Catalog>) -> Self {
        Self {
            catalog,
            transport: Transport::default(),
            isotp: IsoTp::default(),
            readings: Readings::default(),
            codes: Vec::new(),
            counts: CanCounts::default(),
        }
    }

    /// Takes a frame that was on the bus at that time.
    pub fn handle_frame(&mut self, at_us: i64, frame: &CanFrame) {
        self.counts.frames += 1;
        let (id, data) = (frame.id(), frame.data());
        if let Some(controller) = obd::controller(id) {
            self.counts.known += 1;
            return self.obd(at_us, id, controller, data);
        }
        let Some(j1939) = id.j1939() else {
            return self.plain(at_us, id, data);
        };
        if matches!(j1939.pgn, transport::CONNECTION | transport::DATA) {
            self.counts.known += 1;
            let Some(complete) = self.transport.handle(at_us, j1939, data) else { return };
            return self.group(at_us, complete.pgn, complete.source, &complete.payload);
        }
        if matches!(j1939.pgn, dm1::PGN | DRIVER_IDENTIFICATION) {
            self.counts.known += 1;
            return self.group(at_us, j1939.pgn, j1939.source, data);
        }
        match self.catalog.database.index(id) {
            Some(message) => self.message(at_us, message, Source::J1939(j1939.source), data),
            None => self.counts.unknown += 1,
        }
    }

    /// The readings that hold at a moment: of each kind the newest one that is not newer than the moment, nor older than
    /// [`Quantity::age_max`](super::Quantity::age_max).
    pub fn engine(&self, at_us: i64) -> Engine {
        self.readings.engine(at_us)
    }

    /// What became of everything so far.
    pub fn counts(&self) -> CanCounts {
        CanCounts { transport: *self.transport.counts(), isotp: *self.isotp.counts(), ..self.counts }
    }

    fn plain(&mut self, at_us: i64, id: CanId, data: &[u8]) {
        match self.catalog.database.index(id) {
            Some(message) => self.message(at_us, message, Source::Unnamed, data),
            None => self.counts.unknown += 1,
        }
    }

    /// A parameter group, from one frame or put together.
    fn group(&mut self, at_us: i64, pgn: u32, source: u8, payload: &[u8]) {
        match pgn {
            dm1::PGN => self.faults(at_us, source, payload),
            DRIVER_IDENTIFICATION => self.driver(at_us, payload),
            _ => match self.catalog.database.group_index(pgn, source) {
                Some(message) => self.message(at_us, message, Source::J1939(source), payload),
                None => self.counts.unknown += 1,
            },
        }
    }

    fn message(&mut self, at_us: i64, index: usize, source: Source, payload: &[u8]) {
        self.counts.known += 1;
        let Self { catalog, readings, counts, .. } = self;
        let message = &catalog.database.messages()[index];
        counts.short += u64::from(message.is_short(payload.len()));
        let bound = catalog.bindings.of(index);
        if bound.is_empty() {
            return;
        }
        let bits = Payload::new(payload);
        for Bound { signal, quantity, rank, meaning, factor, offset } in bound {
            let Some(sample) = message.sample(usize::from(*signal), &bits) else { continue };
            if sample.status() != Status::Valid {
                counts.not_available += 1;
                readings.clear(*quantity, *rank, source);
                continue;
            }
            let value = sample.physical() * factor + offset;
            let value = match meaning {
                Meaning::Value => value,
                Meaning::KeyVoltage => f64::from(u8::from(value >= KEY_ON_VOLTS)),
            };
            let taken = readings.set(at_us, *quantity, *rank, source, value);
            *(if taken { &mut counts.readings } else { &mut counts.out_of_range }) += 1;
        }
    }

    fn faults(&mut self, at_us: i64, source: u8, payload: &[u8]) {
        self.codes.clear();
        let Some(found) = dm1::parse(payload, &mut self.codes) else {
            self.counts.bad_dm1 += 1;
            return;
        };
        self.counts.bad_dm1 += u64::from(found.ragged);
        self.counts.old_dtc += found.old_method;
        self.readings.set_faults(at_us, Source::J1939(source), &self.codes);
    }

    fn driver(&mut self, at_us: i64, payload: &[u8]) {
        // Not available: another controller may know.
        if payload.first() == Some(&0xFF) {
            return;
        }
        // Of two drivers the first, without the blanks of cards and the filling of frames.
        let text = payload.split(|byte| matches!(byte, b'*' | 0 | 0xFF)).next().unwrap_or_default();
        let text = text.trim_ascii();
        if text.is_empty() {
            return self.readings.set_driver(at_us, None);
        }
        match std::str::from_utf8(text).ok().and_then(|text| DriverId::new(text).ok()) {
            Some(driver) => self.readings.set_driver(at_us, Some(driver)),
            None => self.counts.bad_driver += 1,
        }
    }

    fn obd(&mut self, at_us: i64, id: CanId, controller: u8, data: &[u8]) {
        let Some(message) = self.isotp.handle(at_us, id, data) else { return };
        let source = Source::Obd(controller);
        match obd::parse(message) {
            obd::Answer::Data(values) => {
                for value in values {
                    let obd::Value::Pid(pid, bytes) = value else {
                        self.counts.obd_unread += 1;
                        continue;
                    };
                    // As its own single frame, which is what a DBC describes.
                    let mut frame = [0; DATA_BYTES_MAX];
                    let len = 3 + bytes.len();
                    let Some(place) = frame.get_mut(3..len) else { continue };
                    place.copy_from_slice(bytes);
                    frame[..3].copy_from_slice(&[len as u8 - 1, obd::CURRENT_DATA, pid]);
                    self.catalog.bindings.obd(&self.catalog.database, &frame[..len]).for_each(
                        |(bound, value)| {
                            let taken = self.readings.set(at_us, bound.quantity, bound.rank, source, value);
                            *(if taken {
                                &mut self.counts.readings
                            } else {
                                &mut self.counts.out_of_range
                            }) += 1;
                        },
                    );
                }
            }
            obd::Answer::Codes(codes) => self.readings.set_faults(at_us, source, &codes),
            obd::Answer::Refused => self.counts.obd_refused += 1,
            obd::Answer::Other => {}
            obd::Answer::Bad => self.counts.bad_obd += 1,
        }
    }
}
