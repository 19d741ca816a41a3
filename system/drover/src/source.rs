//! Where a tracker's NMEA comes from: a serial device, a pseudo-terminal, a pipe, a file, or standard input.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use drover_tracker::Arrived;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// Chunks that wait for the tracker: then the device is not read, and its own buffer fills.
const CHUNKS_MAX: usize = 64;

/// The receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Source {
    /// Device or file with NMEA 0183; `-` is standard input. A serial port keeps the speed that it was set to (`stty`).
    pub(crate) nmea: PathBuf,
}

impl Default for Source {
    fn default() -> Self {
        Self { nmea: "/dev/ttyACM0".into() }
    }
}

impl Source {
    /// Opens the device and reads it on a thread of its own: a serial port has no readiness that could be awaited on
    /// every system.
    pub(crate) fn open(&self, folder: &Path) -> Result<mpsc::Receiver<Arrived<Bytes>>, String> {
        let input: Box<dyn Read + Send> = if self.nmea.as_os_str() == "-" {
            Box::new(std::io::stdin())
        } else {
            let path = folder.join(&self.nmea);
            let file = File::open(&path).map_err(|error| {
                format!("read {}: {error}; set `nmea` in [source] to the receiver's device", path.display())
            })?;
            Box::new(file)
        };
        let (send, chunks) = mpsc::channel(CHUNKS_MAX);
        std::thread::Builder::new()
            .name("nmea".to_owned())
            .spawn(move || copy(input, &send))
            .map_err(|error| format!("start the reader: {error}"))?;
        Ok(chunks)
    }
}

/// Until the input ends, or nobody listens any more.
fn copy(mut input: Box<dyn Read + Send>, send: &mpsc::Sender<Arrived<Bytes>>) {
    let mut buffer = [0; 1024];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) => {
                let chunk = Arrived::now(Bytes::copy_from_slice(&buffer[..len]));
                if send.blocking_send(chunk).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return tracing::error!(%error, "the receiver can not be read any more"),
        }
    }
}
