//! What controllers put on a vehicle's bus, frame by frame, as a tracker beside them hears it.
//!
//! Vans and trucks speak SAE J1939 (250 kbit/s, 29-bit identifiers), as through the FMS interface that makers offer to
//! telematics; cars answer OBD-II requests (ISO 15765-4) of a tracker that asks. Values are written here by the layout
//! of the standards, and not with the tracker's description of them: an error in one does not cancel one in the other.
//!
//! Real buses repeat engine speed every 10 to 50 ms; a world that moves every 100 ms has nothing new to say that often.
//! Each group goes out at its standard rate, or every [`BusSpec::interval`] if that is slower: at the default second a
//! vehicle sends some 15 frames a second, which bounds what a twin of thousands costs.

mod j1939;
mod obd;

use std::time::Duration;

use bevy_ecs::prelude::*;

use self::j1939::J1939;
use crate::VehicleKind;
use crate::engine::{Details, Engine};
use crate::motion::Drive;
use crate::outputs::Outputs;
use crate::threads::{self, Threads};
use crate::tick::{TICK_MS, Tick};
use crate::truth::{EngineLog, EngineTruth};
use crate::wear::Parts;

/// Controllers stay awake for so long after the key is turned off.
const AWAKE: Duration = Duration::from_secs(5);
/// Ground truth is kept this often where there is no bus.
const UNHEARD_INTERVAL: Duration = Duration::from_secs(1);

/// One frame of classic CAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanFrame {
    /// Identifier: 11 bits, or 29 if extended.
    pub id: u32,
    /// True for an identifier of 29 bits.
    pub extended: bool,
    /// Bytes of data, 0 to 8.
    pub len: u8,
    /// The data. Bytes from `len` on are 0.
    pub data: [u8; 8],
    /// When it is on the bus: microseconds after the end of the world's step, less than a tick.
    pub offset_us: u32,
}

/// What a vehicle's controllers send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusSpec {
    /// The most often that a group is sent, or asked for. Counts in whole ticks.
    pub interval: Duration,
}

/// The bus of one vehicle.
#[derive(Debug, Clone, Component)]
pub(crate) struct Bus {
    protocol: Protocol,
    interval: u64,
    phase: u64,
    awake_until: Tick,
    key: bool,
}

#[derive(Debug, Clone)]
enum Protocol {
    /// Nobody listens.
    None,
    J1939(J1939),
    Obd,
}

/// What one piece of the fleet said in a step.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Heard {
    frames: Vec<CanFrame>,
    /// Vehicles, and where the frames of each end.
    chunks: Vec<(u32, usize)>,
}

/// One vehicle's frames under way: what comes later is on the bus later.
pub(crate) struct Burst<'a> {
    frames: &'a mut Vec<CanFrame>,
    offset_us: u32,
}

/// Everything that controllers read.
pub(crate) struct Moment<'a> {
    pub(crate) kind: VehicleKind,
    pub(crate) engine: EngineTruth,
    pub(crate) details: Details,
    pub(crate) parts: &'a Parts,
    pub(crate) trip_m: f64,
}

impl Bus {
    pub(crate) fn new(vehicle: u32, kind: VehicleKind, spec: Option<BusSpec>) -> Self {
        let interval = spec.map_or(UNHEARD_INTERVAL, |spec| spec.interval);
        let interval = (interval.as_millis() as u64).div_ceil(TICK_MS).max(1);
        let protocol = match (spec, kind) {
            (None, _) => Protocol::None,
            (Some(_), VehicleKind::DeliveryVan | VehicleKind::Truck) => Protocol::J1939(J1939::new(vehicle)),
            (Some(_), VehicleKind::Car) => Protocol::Obd,
        };
        Self { protocol, interval, phase: u64::from(vehicle) % interval, awake_until: Tick(0), key: false }
    }

    fn is_due(&self, tick: Tick) -> bool {
        tick.0 % self.interval == self.phase
    }

    /// How often a group is sent, in turns of the bus: at its own rate, but not more than once a turn.
    fn turns(&self, every: Duration) -> u64 {
        (every.as_millis() as u64).div_ceil(self.interval * TICK_MS).max(1)
    }

    fn speak(&mut self, tick: Tick, moment: &Moment<'_>, burst: &mut Burst<'_>) {
        let (turn, due) = (tick.0 / self.interval, self.is_due(tick));
        let turned = std::mem::replace(&mut self.key, moment.engine.ignition) != self.key;
        if self.key || turned {
            self.awake_until = tick.after(AWAKE);
        }
        let is_turn_of = |every| turn.is_multiple_of(self.turns(every));
        let (second, rarely) = (is_turn_of(Duration::from_secs(1)), is_turn_of(Duration::from_secs(10)));
        if tick > self.awake_until {
            return;
        }
        match &mut self.protocol {
            Protocol::None => {}
            Protocol::J1939(bus) => {
                if turned {
                    bus.send_key(moment, burst);
                }
                if due {
                    bus.send_often(moment, burst);
                }
                if due && second {
                    bus.send_each_second(moment, burst);
                }
                if due && rarely {
                    bus.send_rarely(moment, burst);
                }
                bus.continue_broadcasts(burst);
            }
            Protocol::Obd => {
                // Its engine's controller sleeps as soon as the key is out.
                if due && self.key {
                    obd::answer_readings(moment, burst);
                    if rarely {
                        obd::answer_codes(moment, burst);
                    }
                }
            }
        }
    }
}

impl Burst<'_> {
    /// Adds a frame, right after the one before.
    fn push(&mut self, id: u32, extended: bool, data: &[u8], takes_us: u32) {
        let mut frame =
            CanFrame { id, extended, len: data.len() as u8, data: [0; 8], offset_us: self.offset_us };
        frame.data[..data.len()].copy_from_slice(data);
        self.frames.push(frame);
        self.offset_us += takes_us;
    }

    /// Nothing more before this moment.
    fn wait_until(&mut self, offset_us: u32) {
        self.offset_us = self.offset_us.max(offset_us);
    }
}

impl Heard {
    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.chunks.clear();
    }

    /// Adds what `put` appends as a vehicle's frames, if it is anything.
    pub(crate) fn put(&mut self, vehicle: u32, put: impl FnOnce(&mut Vec<CanFrame>)) {
        let before = self.frames.len();
        put(&mut self.frames);
        if self.frames.len() > before {
            self.chunks.push((vehicle, self.frames.len()));
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &[CanFrame])> + '_ {
        let mut start = 0;
        self.chunks.iter().map(move |&(vehicle, end)| {
            let frames = &self.frames[start..end];
            start = end;
            (vehicle, frames)
        })
    }

    fn hear(
        &mut self,
        tick: Tick,
        bus: &mut Bus,
        log: &mut EngineLog,
        engine: &Engine,
        parts: &Parts,
        drive: &Drive,
    ) {
        let due = bus.is_due(tick);
        let quiet = !due && bus.key == drive.ignition;
        let broadcasting = matches!(&bus.protocol, Protocol::J1939(bus) if bus.is_broadcasting());
        if quiet && !broadcasting {
            return;
        }
        let moment = Moment {
            kind: engine.kind,
            engine: engine.truth(tick, drive.odometer_m, parts),
            details: engine.details(),
            parts,
            trip_m: drive.odometer_m,
        };
        // A key that turns is told at once, so that its truth is kept at once.
        if due || bus.key != drive.ignition {
            log.push(tick, &moment.engine);
        }
        bus.speak(tick, &moment, &mut Burst { frames: &mut self.frames, offset_us: 0 });
        let end = self.frames.len();
        if end > self.chunks.last().map_or(0, |&(_, end)| end) {
            self.chunks.push((engine.vehicle, end));
        }
    }
}

/// Lets every bus whose turn it is be heard, and keeps the truth behind it.
pub(crate) fn talk(
    tick: Res<Tick>,
    threads: Res<Threads>,
    mut outputs: ResMut<Outputs>,
    mut vehicles: Query<(&mut Bus, &mut EngineLog, &Engine, &Parts, &Drive)>,
) {
    let tick = *tick;
    let mut used = 0;
    let tables = vehicles.contiguous_iter_mut().expect("components lie in tables");
    for (mut buses, mut logs, engines, parts, drives) in tables {
        let piece = threads.piece_len(engines.len());
        let heard = outputs.heard(used, engines.len().div_ceil(piece));
        used += heard.len();
        let vehicles = engines.chunks(piece).zip(parts.chunks(piece)).zip(drives.chunks(piece));
        let buses = buses.bypass_change_detection().chunks_mut(piece);
        let logs = logs.bypass_change_detection().chunks_mut(piece);
        let pieces = heard.iter_mut().zip(buses).zip(logs).zip(vehicles);
        threads::share(pieces, |(((heard, buses), logs), ((engines, parts), drives))| {
            let vehicles = engines.iter().zip(parts).zip(drives);
            for ((bus, log), ((engine, parts), drive)) in buses.iter_mut().zip(logs).zip(vehicles) {
                heard.hear(tick, bus, log, engine, parts, drive);
            }
        });
    }
}

#[cfg(test)]
mod tests;
