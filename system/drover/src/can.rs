//! Where a tracker's CAN frames come from: a network interface, or a log of candump.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use drover_tracker::Arrived;
use drover_tracker::can::{
    BUILT_IN, CanFrame, CanInput, CanReader, CandumpReader, Catalog, Database, LogFrame, Stamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::complain;

/// Batches that wait for the tracker, which reads them every second or when its disk lets it: of a busy bus of 500 kbit/s two
/// seconds' worth, each frame by itself. When they are this many, the bus is not read: a socket's own buffer fills and the
/// kernel drops frames, a pipe's writer waits.
const BATCHES_MAX: usize = 8_192;
/// Bytes of a log that are read at once.
const CHUNK_BYTES: usize = 1 << 16;
/// Stands in the list of files for the one that is built in.
const BUILT_IN_NAME: &str = "built-in";
/// Longest pause that a log's stamps may ask for: beyond it the log was interrupted.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The vehicle's bus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CanConfig {
    /// Network interface (SocketCAN), such as `can0`; `ip link set can0 up type can bitrate 250000` opens it. Empty: none.
    pub(crate) socketcan: String,
    /// Log of candump instead: a file, which is played at the pace of its stamps, a pipe, or `-` for standard input.
    /// Empty: none.
    pub(crate) candump: PathBuf,
    /// The interface of the log whose frames are read. Empty: all, as if they were one bus.
    pub(crate) interface: String,
    /// Messages, as DBC files; `built-in` is the one that comes with the tracker.
    pub(crate) dbc: Vec<PathBuf>,
    /// Leave out what makes no sense in these files, with a warning, instead of refusing them.
    pub(crate) lenient_dbc: bool,
    /// Signals that give readings beside those of J1939 and OBD-II: `"MOTOR.Rpm" = "engine_speed_rpm"`.
    pub(crate) signals: BTreeMap<String, String>,
}

impl Default for CanConfig {
    fn default() -> Self {
        Self {
            socketcan: String::new(),
            candump: PathBuf::new(),
            interface: String::new(),
            dbc: vec![BUILT_IN_NAME.into()],
            lenient_dbc: false,
            signals: BTreeMap::new(),
        }
    }
}

impl CanConfig {
    /// Reads the DBC files. Their paths are meant from `folder`.
    pub(crate) fn catalog(&self, folder: &Path) -> Result<Catalog, String> {
        let mut files = Vec::new();
        for path in &self.dbc {
            let shown = path.display().to_string();
            let bytes = if shown == BUILT_IN_NAME {
                BUILT_IN.as_bytes().to_vec()
            } else {
                let path = folder.join(path);
                fs::read(&path).map_err(|error| format!("read {}: {error}", path.display()))?
            };
            files.push((shown, bytes));
        }
        let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let (database, problems) =
            Database::load(&files, self.lenient_dbc).map_err(|error| error.to_string())?;
        problems.iter().for_each(|problem| complain(&format!("left out: {problem}")));
        Catalog::new(database, &self.signals).map_err(|error| error.to_string())
    }

    /// Checks what can be checked without opening a bus.
    pub(crate) fn check(&self, folder: &Path) -> Result<(), String> {
        if !self.socketcan.is_empty() && !self.candump.as_os_str().is_empty() {
            return Err("socketcan and candump are both set: one bus is read".to_owned());
        }
        self.catalog(folder).map(drop)
    }

    /// Opens the bus, if the config names one, and reads it on a thread of its own.
    pub(crate) fn open(&self, folder: &Path) -> Result<Option<CanInput>, String> {
        let (send, frames) = mpsc::channel(BATCHES_MAX);
        let read: Box<dyn FnOnce() + Send> = if !self.socketcan.is_empty() {
            socket::open(&self.socketcan, send)?
        } else if self.candump.as_os_str().is_empty() {
            return Ok(None);
        } else {
            let log = Log::open(&self.candump, folder, CANDUMP)?;
            let reader = CandumpReader::new(&self.interface);
            Box::new(move || play(log, reader, &send))
        };
        let input = CanInput::new(CanReader::new(Arc::new(self.catalog(folder)?)), frames);
        std::thread::Builder::new()
            .name("can".to_owned())
            .spawn(read)
            .map_err(|error| format!("start the reader: {error}"))?;
        Ok(Some(input))
    }
}

/// How a log of a bus is made.
pub(crate) const CANDUMP: &str = "`candump -l can0` writes such a log";

/// A log, open.
pub(crate) struct Log {
    input: Box<dyn Read + Send>,
    /// A file has no pace of its own; a pipe's writer has.
    is_file: bool,
}

impl Log {
    /// Opens a file, a pipe, or standard input for `-`. A path is meant from `folder`; `remedy` is said where there is none.
    pub(crate) fn open(path: &Path, folder: &Path, remedy: &str) -> Result<Self, String> {
        if path.as_os_str() == "-" {
            return Ok(Self { input: Box::new(std::io::stdin()), is_file: false });
        }
        let path = folder.join(path);
        let failed = |error: std::io::Error| format!("read {}: {error}; {remedy}", path.display());
        let file = File::open(&path).map_err(failed)?;
        let is_file = file.metadata().map_err(failed)?.is_file();
        Ok(Self { input: Box::new(file), is_file })
    }

    /// True for a file, which ends.
    pub(crate) const fn is_file(&self) -> bool {
        self.is_file
    }

    /// The next bytes; none at the end.
    pub(crate) fn read<'a>(&mut self, buffer: &'a mut Vec<u8>) -> std::io::Result<&'a [u8]> {
        buffer.resize(CHUNK_BYTES, 0);
        loop {
            match self.input.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read.map(|len| &buffer[..len]),
            }
        }
    }
}

/// Until the log ends, or nobody listens any more.
fn play(mut log: Log, mut reader: CandumpReader, send: &mpsc::Sender<Arrived<Vec<CanFrame>>>) {
    let (mut buffer, mut frames, mut pace) = (Vec::new(), Vec::new(), Pace::default());
    loop {
        match log.read(&mut buffer) {
            Ok([]) => break,
            Ok(bytes) => reader.push(bytes, &mut frames),
            Err(error) => {
                tracing::error!(%error, "the log of the bus can not be read any more");
                break;
            }
        }
        if log.is_file {
            for LogFrame { stamp, frame } in frames.drain(..) {
                pace.wait(stamp);
                if send.blocking_send(Arrived::now(vec![frame])).is_err() {
                    return;
                }
            }
        } else {
            let batch: Vec<_> = frames.drain(..).map(|read| read.frame).collect();
            if !batch.is_empty() && send.blocking_send(Arrived::now(batch)).is_err() {
                return;
            }
        }
    }
    reader.finish();
    let skipped: Vec<_> = reader.counts().skipped().into_iter().filter(|(_, count)| *count > 0).collect();
    tracing::info!(frames = reader.counts().frames, ?skipped, "the log of the bus has ended");
}

/// Plays a log as fast as it was recorded.
#[derive(Default)]
struct Pace {
    previous_us: Option<i64>,
    due: Option<Instant>,
}

impl Pace {
    fn wait(&mut self, stamp: Stamp) {
        let (Stamp::Absolute(at_us) | Stamp::Relative(at_us)) = stamp else { return };
        let pause_us = at_us.saturating_sub(self.previous_us.replace(at_us).unwrap_or(at_us)).max(0);
        let due = *self.due.get_or_insert_with(Instant::now)
            + Duration::from_micros(pause_us as u64).min(PAUSE_MAX);
        self.due = Some(due);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

#[cfg(target_os = "linux")]
mod socket {
    //! SocketCAN. Compiled and linted everywhere, tried on no bus: the machines it was written on have no AF_CAN.

    use drover_tracker::Arrived;
    use drover_tracker::can::{CanFrame, CanId};
    use socketcan::{CanFrame as Heard, CanSocket, EmbeddedFrame, Id, Socket};
    use tokio::sync::mpsc;

    /// Opens the interface; what is given back reads it until nobody listens.
    pub(super) fn open(
        interface: &str,
        send: mpsc::Sender<Arrived<Vec<CanFrame>>>,
    ) -> Result<Box<dyn FnOnce() + Send>, String> {
        let socket = CanSocket::open(interface).map_err(|error| {
            format!("open {interface}: {error}; `ip link show {interface}` tells whether it is there and up")
        })?;
        Ok(Box::new(move || {
            loop {
                match socket.read_frame() {
                    Ok(heard) => {
                        let Some(frame) = convert(&heard) else { continue };
                        if send.blocking_send(Arrived::now(vec![frame])).is_err() {
                            return;
                        }
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => return tracing::error!(%error, "the bus can not be read any more"),
                }
            }
        }))
    }

    /// Data frames; remote and error frames carry no reading.
    fn convert(heard: &Heard) -> Option<CanFrame> {
        let Heard::Data(data) = heard else { return None };
        let id = match data.id() {
            Id::Standard(id) => CanId::standard(id.as_raw()),
            Id::Extended(id) => CanId::extended(id.as_raw()),
        };
        CanFrame::new(id.ok()?, data.data()).ok()
    }

    #[cfg(test)]
    mod tests {
        use socketcan::{CanDataFrame, CanRemoteFrame, ExtendedId, StandardId};

        use super::*;

        #[test]
        fn frames_of_the_kernel_are_taken_as_they_are() {
            let check = |id: Id, data: &[u8], expected: &str| {
                let heard = Heard::Data(CanDataFrame::new(id, data).expect("a frame"));
                assert_eq!(convert(&heard).map(|frame| frame.to_string()).as_deref(), Some(expected));
            };
            check(Id::Standard(StandardId::new(0x7E8).expect("11 bits")), &[1, 2], "7E8#0102");
            check(
                Id::Extended(ExtendedId::new(0x18FE_EE00).expect("29 bits")),
                &[7; 8],
                "18FEEE00#0707070707070707",
            );
            let remote =
                CanRemoteFrame::new_remote(StandardId::new(1).expect("11 bits"), 0).expect("a frame");
            assert_eq!(convert(&Heard::Remote(remote)), None);
        }

        #[test]
        fn an_interface_that_is_not_there_is_named() {
            let error = open("nocan9", mpsc::channel(1).0).map(drop).expect_err("it is not there");
            assert!(error.contains("open nocan9: ") && error.contains("ip link show nocan9"), "{error}");
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod socket {
    use drover_tracker::Arrived;
    use drover_tracker::can::CanFrame;
    use tokio::sync::mpsc;

    pub(super) fn open(
        interface: &str,
        _: mpsc::Sender<Arrived<Vec<CanFrame>>>,
    ) -> Result<Box<dyn FnOnce() + Send>, String> {
        Err(format!("open {interface}: SocketCAN is of Linux; set candump to a log or a pipe"))
    }
}
