//! Where a tracker's NMEA comes from: a serial device, a pseudo-terminal, a pipe, a file, or standard input.

mod demo;

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use drover_tracker::Arrived;
use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, isatty, tcgetattr, tcsetattr};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// Chunks that wait for the tracker: then the device is not read, and its own buffer fills.
const CHUNKS_MAX: usize = 64;

/// Time between two attempts to open a device that has gone: a plug that is loose comes back in seconds.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// The receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Source {
    /// Device or file with NMEA 0183; `-` is standard input. A device that goes away is opened again when it is back.
    pub(crate) nmea: PathBuf,
    /// Speed of a serial port in bits per second, such as 4800, 9600 or 115200; 0 keeps the one that it has.
    pub(crate) baud: u32,
    /// Instead of a receiver: drives a round through the middle of Helsinki, so that a new cluster has something to show.
    pub(crate) demo: bool,
}

impl Default for Source {
    fn default() -> Self {
        Self { nmea: "/dev/ttyACM0".into(), baud: 0, demo: false }
    }
}

impl Source {
    /// What is not there yet, for people: a device may be plugged in later.
    pub(crate) fn missing(&self, folder: &Path) -> Option<String> {
        let path = folder.join(&self.nmea);
        let there = self.demo || self.nmea.as_os_str() == "-" || path.exists();
        (!there).then(|| format!("{} is not there now: {REMEDY}", path.display()))
    }

    /// Opens the device and reads it on a thread of its own: a serial port has no readiness that could be awaited on
    /// every system.
    pub(crate) fn open(&self, folder: &Path) -> Result<mpsc::Receiver<Arrived<Bytes>>, String> {
        let (send, chunks) = mpsc::channel(CHUNKS_MAX);
        let read: Box<dyn FnOnce() + Send> = if self.demo {
            Box::new(move || demo::drive(&send))
        } else if self.nmea.as_os_str() == "-" {
            Box::new(move || drop(copy(&mut std::io::stdin(), &send)))
        } else {
            let port = Port { path: folder.join(&self.nmea), baud: self.baud };
            let file =
                port.open().map_err(|error| format!("read {}: {error}; {REMEDY}", port.path.display()))?;
            Box::new(move || port.read(file, &send))
        };
        std::thread::Builder::new()
            .name("nmea".to_owned())
            .spawn(read)
            .map_err(|error| format!("start the reader: {error}"))?;
        Ok(chunks)
    }
}

const REMEDY: &str = "set `nmea` in [tracker.source] to the receiver's device";

/// A device or file.
struct Port {
    path: PathBuf,
    baud: u32,
}

impl Port {
    /// Opens it; a terminal is set to pass every byte as it comes, and does not become the one that controls this process.
    fn open(&self) -> std::io::Result<File> {
        let flags = OFlags::NOCTTY.bits() as i32;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&self.path)?;
        if isatty(&file) {
            let mut settings = tcgetattr(&file)?;
            settings.make_raw();
            if self.baud > 0 {
                settings.set_speed(self.baud)?;
            }
            tcsetattr(&file, OptionalActions::Now, &settings)?;
        }
        Ok(file)
    }

    /// Reads until the file ends or nobody listens. A device ends when it is unplugged, and is opened again.
    fn read(&self, file: File, send: &mpsc::Sender<Arrived<Bytes>>) {
        let is_device = file.metadata().is_ok_and(|data| data.file_type().is_char_device());
        let mut port = Some(file);
        while !send.is_closed() {
            match port.take().map(|mut file| copy(&mut file, send)) {
                Some(Ok(())) if !is_device => return,
                Some(end) => {
                    let reason = end.err().map_or_else(|| "it ended".to_owned(), |error| error.to_string());
                    let device = self.path.display();
                    tracing::warn!(%device, reason, "the receiver can not be read; it is opened again when it is back");
                }
                None => {
                    std::thread::sleep(REOPEN_INTERVAL);
                    port = self.open().ok();
                    if port.is_some() {
                        tracing::info!(device = %self.path.display(), "the receiver is back");
                    }
                }
            }
        }
    }
}

/// Until the input ends, or nobody listens any more.
fn copy(input: &mut dyn Read, send: &mpsc::Sender<Arrived<Bytes>>) -> std::io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => {
                let chunk = Arrived::now(Bytes::copy_from_slice(&buffer[..len]));
                if send.blocking_send(chunk).is_err() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    /// A pseudo-terminal: the receiver's end, and the path of the other one.
    fn terminal() -> (File, PathBuf) {
        let receiver = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&receiver).expect("granted");
        unlockpt(&receiver).expect("unlocked");
        let path = ptsname(&receiver, Vec::new()).expect("a name").into_string().expect("text");
        (File::from(receiver), path.into())
    }

    fn read(chunks: &mut mpsc::Receiver<Arrived<Bytes>>, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < len {
            bytes.extend_from_slice(&chunks.blocking_recv().expect("more bytes").into_what());
        }
        bytes
    }

    #[test]
    fn a_terminal_passes_every_byte_and_is_opened_again_when_it_is_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let device = folder.path().join("gps");
        let (mut receiver, path) = terminal();
        symlink(path, &device).expect("a link");
        let source = Source { nmea: device.clone(), baud: 9600, demo: false };
        let mut chunks = source.open(Path::new("")).expect("it opens");
        // Return and end of transmission are changed or swallowed by a terminal that is not raw.
        let line = b"$GPRMC,\x03\x04*00\r\n";
        receiver.write_all(line).expect("written");
        assert_eq!(read(&mut chunks, line.len()), line);
        std::fs::remove_file(&device).expect("removed");
        drop(receiver);
        let (mut receiver, path) = terminal();
        symlink(path, &device).expect("a link");
        // A terminal that is not raw yet keeps a line for whoever reads it.
        receiver.write_all(b"$GPGGA*00\n").expect("written");
        assert_eq!(read(&mut chunks, 10), b"$GPGGA*00\n");
    }

    #[test]
    fn a_file_ends_and_a_missing_device_is_said_with_the_way_out() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("drive.nmea"), "$").expect("written");
        let source = |nmea: &str| Source { nmea: nmea.into(), ..Source::default() };
        let mut chunks = source("drive.nmea").open(folder.path()).expect("it opens");
        assert_eq!(read(&mut chunks, 1), b"$");
        assert!(chunks.blocking_recv().is_none());
        let error = source("gone").open(folder.path()).expect_err("there is none");
        assert!(error.contains("No such file") && error.contains("[tracker.source]"), "{error}");
        assert!(source("gone").missing(folder.path()).is_some());
        assert_eq!(source("drive.nmea").missing(folder.path()), None);
    }
}
