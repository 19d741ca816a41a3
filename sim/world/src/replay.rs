//! Recorded drives: a vehicle that does again what was recorded of one, at another time.
//!
//! A recording is a receiver's output, and if there is one that of a bus. Its times are moved to the start of the run, with
//! dates and checksums, and its spacing is kept; bytes that carry no time come out as they went in. The ground truth of
//! such a vehicle is what its recording says: where it really was nobody knows.

mod candump;
mod nmea;
mod sentence;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bevy_ecs::prelude::*;
use drover_model::{Degrees, MetersPerSecond, Position};

use self::candump::Heard;
pub use self::candump::write_candump;
use self::nmea::{Fix, Track};
use crate::math::bearing_deg;
use crate::outputs::Outputs;
use crate::plane::{Plane, Point};
use crate::receiver::Sky;
use crate::tick::{TICK_MS, Tick};
use crate::truth::{Falsified, Log, Record, Truth};
use crate::{CanFrame, EngineTruth};

/// Faster than this a recorded vehicle counts as driving, in m/s.
const DRIVING_MPS: f64 = 0.5;

/// Why a recording can not be replayed. Says file and line, and the way out.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The last line has no end.
    #[error("{file}:{line}: the recording ends in the middle of a line: copy it again, or cut the line off")]
    Cut {
        /// The file.
        file: String,
        /// Its last line.
        line: usize,
    },
    /// No moment says where the vehicle was.
    #[error(
        "{file} holds no fix in {moments} moments: record where satellites are seen, RMC or GGA among the sentences"
    )]
    NoFix {
        /// The file.
        file: String,
        /// Moments found.
        moments: usize,
    },
    /// A line is from before the one before.
    #[error(
        "{file}:{line}: the time goes back by {back_s} s: sort the recording, or replay its parts one by one"
    )]
    Backwards {
        /// The file.
        file: String,
        /// The line that is too early.
        line: usize,
        /// How much too early, in seconds.
        back_s: f64,
    },
    /// A line of a bus recording is something else.
    #[error(
        "{file}:{line}: {text:?} is no frame: lines are those of `candump -l`, such as \
         (1436509052.249713) can0 18FEF100#F7FFFF07CCFF7DFF"
    )]
    NoFrame {
        /// The file.
        file: String,
        /// The line.
        line: usize,
        /// Its beginning.
        text: String,
    },
    /// A bus recording without a frame.
    #[error("{file} holds no frame: record it with `candump -l`")]
    NoFrames {
        /// The file.
        file: String,
    },
    /// More than fits.
    #[error("{file} is larger than {max_mib} MiB: replay a part of it")]
    TooLarge {
        /// The file.
        file: String,
        /// The most that is read.
        max_mib: usize,
    },
}

/// A recorded drive, read and checked. Cheap to share.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    track: Track,
    frames: Vec<Heard>,
    /// What counts as its start, in milliseconds: a whole second, at most one before its first moment. Of the bus, the same
    /// in its own time.
    start_ms: i64,
    bus_start_us: i64,
    /// How long it takes until it can begin again, in milliseconds.
    lap_ms: i64,
}

/// What a vehicle replays.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplaySpec {
    /// The drive.
    pub recording: Arc<Recording>,
    /// True if it begins again at its end; else the vehicle stays where it was, and says nothing more.
    pub looped: bool,
}

impl Recording {
    /// Reads a receiver's recording, and a bus's if there is one: each a name for errors, and its bytes.
    ///
    /// The two are put together by their times where those overlap; else both begin at once.
    ///
    /// # Errors
    /// One is cut, empty, of other bytes, or out of order; says where.
    pub fn read(nmea: (&str, &[u8]), can: Option<(&str, &[u8])>) -> Result<Self, RecordingError> {
        let track = nmea::read(nmea.0, nmea.1)?;
        let frames = can.map(|(name, text)| candump::read(name, text)).transpose()?.unwrap_or_default();
        let (first, last) = (&track.moments[0], &track.moments[track.moments.len() - 1]);
        let bus = frames.first().zip(frames.last()).map(|(first, last)| (first.at_us, last.at_us));
        let together = bus.filter(|(from, to)| *from <= last.utc_ms * 1000 && *to >= first.utc_ms * 1000);
        let begins_ms = together.map_or(first.utc_ms, |(from, _)| first.utc_ms.min(from.div_euclid(1000)));
        let start_ms = begins_ms.div_euclid(1000) * 1000;
        let bus_start_us = match (together, bus) {
            (None, Some((from, _))) => from.div_euclid(1_000_000) * 1_000_000,
            _ => start_ms * 1000,
        };
        let usual_ms = track.moments.windows(2).last().map_or(1000, |pair| pair[1].at_ms - pair[0].at_ms);
        let track_ms = first.utc_ms - start_ms + last.at_ms + usual_ms;
        let bus_ms = bus.map_or(0, |(_, to)| (to - bus_start_us) / 1000 + 1);
        let lap_ms = (track_ms.max(bus_ms) + 999) / 1000 * 1000;
        Ok(Self { track, frames, start_ms, bus_start_us, lap_ms })
    }

    /// Number of moments that say where the vehicle was.
    pub fn fixes_len(&self) -> usize {
        self.track.moments.iter().filter(|moment| moment.fix.is_some()).count()
    }

    /// Number of frames of its bus.
    pub fn frames_len(&self) -> usize {
        self.frames.len()
    }

    /// How long it takes until it can begin again.
    pub fn lap(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.lap_ms as u64)
    }

    /// When a moment is said, in milliseconds after the start.
    fn due_ms(&self, moment: usize) -> Option<i64> {
        let first_ms = self.track.moments[0].utc_ms - self.start_ms;
        self.track.moments.get(moment).map(|moment| first_ms + moment.at_ms)
    }

    fn first_fix(&self) -> Fix {
        let mut fixes = self.track.moments.iter().filter_map(|moment| moment.fix);
        fixes.next().expect("a recording without a fix is refused")
    }
}

/// One vehicle that replays.
#[derive(Debug, Clone, Component)]
pub(crate) struct Replay {
    vehicle: u32,
    spec: ReplaySpec,
    /// Laps done, by the receiver and by the bus, and what is next of each.
    laps: (i64, i64),
    next: (usize, usize),
    fix: Fix,
    speed_mps: f64,
    odometer_m: f64,
    heading_deg: f64,
}

impl Replay {
    /// A vehicle that stands where its recording has it first.
    pub(crate) fn new(vehicle: u32, spec: ReplaySpec) -> Self {
        let fix = spec.recording.first_fix();
        let (laps, next) = ((0, 0), (0, 0));
        Self { vehicle, spec, laps, next, fix, speed_mps: 0.0, odometer_m: 0.0, heading_deg: 0.0 }
    }

    pub(crate) const fn position(&self) -> Position {
        self.fix.position
    }

    /// What the recording says of the vehicle now. It says nothing of the engine or the load: those are 0.
    pub(crate) fn truth(&self, covered: bool) -> Truth {
        Truth {
            position: self.fix.position,
            speed: MetersPerSecond::new(self.speed_mps).unwrap_or(MetersPerSecond::MAX),
            heading: Degrees::new(self.heading_deg).expect("bearings are 0 to 360"),
            odometer_m: self.odometer_m,
            limit: MetersPerSecond::MAX,
            driving: self.speed_mps > DRIVING_MPS,
            style: None,
            ignition: true,
            in_tunnel: false,
            covered,
            mass_kg: 0.0,
            engine: EngineTruth::default(),
        }
    }

    /// Says what is due up to `elapsed_ms`.
    fn step(&mut self, elapsed_ms: i64, start_ms: i64, outputs: &mut Outputs, log: &mut Log) {
        let recording = self.spec.recording.clone();
        while let Some(due_ms) = self.due_ms(&recording) {
            if due_ms > elapsed_ms {
                break;
            }
            let moment = &recording.track.moments[self.next.0];
            let utc_ms = start_ms + due_ms;
            outputs.write_chunk(self.vehicle, |out| recording.track.say(moment, utc_ms, out));
            if let Some(fix) = moment.fix {
                self.go(fix);
                log.push(Record::new(utc_ms, fix.position, self.speed_mps, 0.0, Falsified::No));
            }
            self.next.0 += 1;
        }
        self.step_bus(elapsed_ms, &recording, outputs);
    }

    /// When the next moment is due; begins the next lap if this one is over.
    fn due_ms(&mut self, recording: &Recording) -> Option<i64> {
        if self.next.0 == recording.track.moments.len() && self.spec.looped {
            (self.laps.0, self.next.0) = (self.laps.0 + 1, 0);
        }
        recording.due_ms(self.next.0).map(|due_ms| due_ms + self.laps.0 * recording.lap_ms)
    }

    /// Puts out the frames of the step that ends at `elapsed_ms`.
    fn step_bus(&mut self, elapsed_ms: i64, recording: &Recording, outputs: &mut Outputs) {
        if recording.frames.is_empty() {
            return;
        }
        let vehicle = self.vehicle;
        outputs.replayed.put(vehicle, |out| {
            loop {
                if self.next.1 == recording.frames.len() && self.spec.looped {
                    (self.laps.1, self.next.1) = (self.laps.1 + 1, 0);
                }
                let Some(heard) = recording.frames.get(self.next.1) else { break };
                let due_us = heard.at_us - recording.bus_start_us + self.laps.1 * recording.lap_ms * 1000;
                // A step says what happens until the next one.
                let offset_us = due_us - elapsed_ms * 1000;
                if offset_us >= TICK_MS as i64 * 1000 {
                    break;
                }
                out.push(CanFrame { offset_us: offset_us.max(0) as u32, ..heard.frame });
                self.next.1 += 1;
            }
        });
    }

    fn go(&mut self, fix: Fix) {
        self.speed_mps = fix.speed.map_or(0.0, MetersPerSecond::value);
        // While it stands, steps are noise.
        if self.speed_mps > DRIVING_MPS {
            let step = Plane::at(self.fix.position).point(fix.position);
            self.heading_deg = bearing_deg(step.east, step.north);
            self.odometer_m += step.distance_to(Point::default());
        }
        self.fix = fix;
    }
}

/// Lets recorded vehicles say what is due.
pub(crate) fn replay(
    tick: Res<Tick>,
    sky: Res<Sky>,
    mut outputs: ResMut<Outputs>,
    mut vehicles: Query<(&mut Replay, &mut Log)>,
) {
    if !sky.sampling {
        return;
    }
    let start_ms = sky.at(Tick::default()).div_euclid(1000);
    for (mut replay, mut log) in &mut vehicles {
        replay.step(tick.elapsed_ms() as i64, start_ms, &mut outputs, &mut log);
    }
}
