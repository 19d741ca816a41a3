//! `drover tracker --print`: fixes with their readings as lines of JSON. Nothing is sent, no certificate is needed.
//!
//! Here both sides are recordings, so they are joined by their own times: a fix takes the newest readings that are not
//! newer than its moment (by GPS) and not older than each kind allows (`Quantity::age_max`, from 5 s to 10 minutes).

use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use drover_model::{Degrees, FaultCode, Fix, FixFlags, Meters, MetersPerSecond, WallTime};
use drover_tracker::NmeaReader;
use drover_tracker::can::{CanReader, CandumpReader, LogFrame, Stamp};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::can::{CANDUMP, CanConfig, Log};
use crate::cli::TrackerArgs;
use crate::services::TrackerConfig;
use crate::{Stop, config};

/// Reads, joins and prints until the receiver's log ends. At the end standard error gets what was skipped.
pub(crate) fn run(args: &TrackerArgs) -> Result<(), Stop> {
    if args.nmea.is_none() && args.config.is_none() {
        return Err(Stop::Usage(
            "--print needs --nmea FILE (a receiver's device, or a file of its sentences) or --config FILE"
                .to_owned(),
        ));
    }
    let (folder, mut config) = match &args.config {
        Some(path) => (path.parent().unwrap_or(Path::new("")), config::service(path, "tracker")?),
        None => (Path::new(""), TrackerConfig::default()),
    };
    // Paths of the command line are meant from here, those of the file from the file.
    let here = Path::new("");
    let nmea_folder = if args.nmea.is_some() { here } else { folder };
    let can_folder = if args.can.is_some() { here } else { folder };
    let can = &mut config.can;
    if let Some(path) = &args.can {
        can.candump.clone_from(path);
    }
    let dbc_folder = if args.dbc.is_empty() { folder } else { here };
    if !args.dbc.is_empty() {
        can.dbc.clone_from(&args.dbc);
    }
    let nmea = args.nmea.as_ref().unwrap_or(&config.source.nmea);
    if nmea.as_os_str() == "-" && can.candump.as_os_str() == "-" {
        return Err(Stop::Usage(
            "--nmea and --can are both standard input: give one of them a file".to_owned(),
        ));
    }
    let remedy = "--nmea names a receiver's device, or a file of its sentences";
    let receiver = Log::open(nmea, nmea_folder, remedy).map_err(Stop::Usage)?;
    let bus = Bus::open(can, can_folder, dbc_folder, args.can_offset_s).map_err(Stop::Usage)?;
    Printer { receiver, bus, span: None, joined: 0, sink: std::io::stdout().lock() }.run()
}

struct Printer<W> {
    receiver: Log,
    bus: Option<Bus>,
    /// Earliest and latest fix.
    span: Option<(WallTime, WallTime)>,
    /// Fixes that carry a reading.
    joined: u64,
    sink: W,
}

impl<W: Write> Printer<W> {
    fn run(mut self) -> Result<(), Stop> {
        let (mut reader, mut fixes, mut buffer) = (NmeaReader::new(), Vec::new(), Vec::new());
        // A recording has no pauses: one moment will do.
        let now = Instant::now();
        let mut ended = false;
        while !ended {
            match self.receiver.read(&mut buffer) {
                Ok([]) => {
                    reader.finish(now, &mut fixes);
                    ended = true;
                }
                Ok(bytes) => reader.push(now, bytes, &mut fixes),
                Err(error) => return Err(Stop::Failed(format!("read the receiver's log: {error}"))),
            }
            for mut fix in fixes.drain(..) {
                if let Some(bus) = &mut self.bus {
                    bus.join(&mut fix)?;
                }
                self.joined += u64::from(fix.engine != drover_model::Engine::default());
                let (first, last) = self.span.unwrap_or((fix.time, fix.time));
                self.span = Some((first.min(fix.time), last.max(fix.time)));
                // A reader that went away has seen enough.
                if writeln!(self.sink, "{}", line(&fix)).is_err() {
                    return Ok(());
                }
            }
        }
        let _ = self.sink.flush();
        self.summary(&reader)
    }

    fn summary(&mut self, reader: &NmeaReader) -> Result<(), Stop> {
        let counts = reader.counts();
        let mut text = format!(
            "nmea: {} fixes of {} sentences; skipped: {}\n",
            counts.fixes,
            counts.sentences,
            reasons(&counts.skipped())
        );
        if let Some(bus) = &mut self.bus {
            bus.read_to_end()?;
            let log = bus.log_reader.counts();
            let can = bus.reader.counts();
            text += &format!("can: {} frames, {} of no message in the DBC", log.frames, can.unknown);
            text += &format!(", {} readings; skipped: ", can.readings);
            let skipped: Vec<_> = log.skipped().into_iter().chain(can.skipped()).collect();
            text += &reasons(&skipped);
            text += &format!("\njoined: {} of {} fixes carry readings", self.joined, counts.fixes);
            if let Some((first, last)) = self.span {
                text += &format!("; fixes from {first} to {last}");
            }
            match bus.span {
                Some((first, last)) => {
                    let (first, last) = (WallTime::from_micros(first), WallTime::from_micros(last));
                    text += &format!(", frames from {first} to {last}\n");
                }
                None => text += ", no frame with a time\n",
            }
            if bus.untimed > 0 {
                text += &format!(
                    "{} frames have no time and can not be joined: record them with candump -l, -L or -ta\n",
                    bus.untimed
                );
            }
        }
        drop(std::io::stderr().write_all(text.as_bytes()));
        Ok(())
    }
}

/// A recorded bus, read as far as the fixes have come.
struct Bus {
    log: Log,
    log_reader: CandumpReader,
    buffer: Vec<u8>,
    read: Vec<LogFrame>,
    /// Frames that were read and lie ahead of the fixes.
    ahead: VecDeque<LogFrame>,
    ended: bool,
    reader: CanReader,
    offset_us: i64,
    /// The moment that a log with relative stamps begins at: that of the first fix.
    zero_us: Option<i64>,
    span: Option<(i64, i64)>,
    untimed: u64,
}

impl Bus {
    fn open(
        config: &CanConfig,
        folder: &Path,
        dbc_folder: &Path,
        offset_s: f64,
    ) -> Result<Option<Self>, String> {
        if config.candump.as_os_str().is_empty() {
            return Ok(None);
        }
        let offset_us = (offset_s * 1e6) as i64;
        Ok(Some(Self {
            log: Log::open(&config.candump, folder, CANDUMP)?,
            log_reader: CandumpReader::new(&config.interface),
            buffer: Vec::new(),
            read: Vec::new(),
            ahead: VecDeque::new(),
            ended: false,
            reader: CanReader::new(Arc::new(config.catalog(dbc_folder)?)),
            offset_us,
            zero_us: None,
            span: None,
            untimed: 0,
        }))
    }

    /// Reads the bus up to the fix's moment, and gives it the readings of then.
    fn join(&mut self, fix: &mut Fix) -> Result<(), Stop> {
        let fix_us = fix.time.as_micros();
        self.zero_us.get_or_insert(fix_us);
        while let Some(next) = self.peek()? {
            match self.time(next.stamp) {
                Some(at_us) if at_us > fix_us => break,
                at_us => self.take(at_us),
            }
        }
        fix.engine = self.reader.engine(fix_us);
        Ok(())
    }

    /// What comes after the last fix: for the counts. A pipe may go on for ever.
    fn read_to_end(&mut self) -> Result<(), Stop> {
        if !self.log.is_file() {
            return Ok(());
        }
        self.zero_us.get_or_insert(0);
        while let Some(next) = self.peek()? {
            self.take(self.time(next.stamp));
        }
        Ok(())
    }

    fn take(&mut self, at_us: Option<i64>) {
        let Some(next) = self.ahead.pop_front() else { return };
        let Some(at_us) = at_us else {
            self.untimed += 1;
            return;
        };
        let (first, last) = self.span.unwrap_or((at_us, at_us));
        self.span = Some((first.min(at_us), last.max(at_us)));
        self.reader.handle_frame(at_us, &next.frame);
    }

    fn time(&self, stamp: Stamp) -> Option<i64> {
        let at_us = match stamp {
            Stamp::None => return None,
            Stamp::Absolute(at_us) => at_us,
            Stamp::Relative(after_us) => self.zero_us?.saturating_add(after_us),
        };
        Some(at_us.saturating_add(self.offset_us))
    }

    fn peek(&mut self) -> Result<Option<LogFrame>, Stop> {
        while self.ahead.is_empty() && !self.ended {
            match self.log.read(&mut self.buffer) {
                Ok([]) => {
                    self.ended = true;
                    self.log_reader.finish();
                }
                Ok(bytes) => self.log_reader.push(bytes, &mut self.read),
                Err(error) => return Err(Stop::Failed(format!("read the log of the bus: {error}"))),
            }
            self.ahead.extend(self.read.drain(..));
        }
        Ok(self.ahead.front().copied())
    }
}

/// `bad_checksum 3, no_fix 5`, or `nothing`.
fn reasons(skipped: &[(&str, u64)]) -> String {
    let there = skipped.iter().filter(|(_, count)| *count > 0);
    let text: Vec<_> = there.map(|(reason, count)| format!("{reason} {count}")).collect();
    if text.is_empty() { "nothing".to_owned() } else { text.join(", ") }
}

/// The shortest decimal that is this reading: a single made double would show digits that nobody measured.
fn single(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, |value| json!(value))
}

/// A fix as one line. What is not known is left out.
fn line(fix: &Fix) -> Value {
    let mut line = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            line.insert(name.to_owned(), value);
        }
    };
    put("time", Some(json!(fix.time.to_string())));
    put("lat", Some(json!(fix.position.lat())));
    put("lon", Some(json!(fix.position.lon())));
    put("speed_mps", fix.speed.map(MetersPerSecond::value).map(|value| json!(value)));
    put("heading_deg", fix.heading.map(Degrees::value).map(|value| json!(value)));
    put("altitude_m", fix.altitude.map(Meters::value).map(|value| json!(value)));
    put("accuracy_m", fix.accuracy.map(Meters::value).map(|value| json!(value)));
    put("satellites", fix.satellites.map(|count| json!(count)));
    let marks = [
        ("jump", FixFlags::JUMP),
        ("estimated", FixFlags::ESTIMATED),
        ("differential", FixFlags::DIFFERENTIAL),
    ];
    let marks: Vec<_> =
        marks.into_iter().filter(|(_, mark)| fix.flags.contains(*mark)).map(|(name, _)| name).collect();
    put("flags", (!marks.is_empty()).then(|| json!(marks)));
    let engine = &fix.engine;
    put("odometer_m", engine.odometer_m.map(|value| json!(value)));
    let singles = [
        ("fuel_level_percent", engine.fuel_level_percent),
        ("fuel_rate_l_per_h", engine.fuel_rate_l_per_h),
        ("engine_speed_rpm", engine.engine_speed_rpm),
        ("engine_load_percent", engine.engine_load_percent),
        ("coolant_celsius", engine.coolant_celsius),
        ("battery_volts", engine.battery_volts),
        ("throttle_percent", engine.throttle_percent),
        ("brake_percent", engine.brake_percent),
    ];
    for (name, value) in singles {
        put(name, value.map(single));
    }
    put("ignition", engine.ignition.map(|on| json!(on)));
    if !engine.fault_codes.is_empty() {
        let shown = engine.fault_codes.iter().map(|code| match FaultCode::from_bits(*code) {
            Some(fault) => fault.to_string(),
            None => code.to_string(),
        });
        put("faults", Some(json!(shown.collect::<Vec<_>>())));
        put("fault_codes", Some(json!(engine.fault_codes)));
    }
    put("driver", engine.driver.map(|driver| json!(driver.as_str())));
    Value::Object(line)
}
