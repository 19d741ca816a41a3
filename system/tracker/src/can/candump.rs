//! Logs of candump (can-utils): bytes to frames.
//!
//! Two forms: the one of `-l` and `-L`, `(1436509052.249713) vcan0 044#2A366C2BBA`, and the one for people, with or without
//! `-t` stamps, `can0  18FEEE00   [8]  6B FF FF FF FF FF FF FF`. Any bytes are survived; what gives no frame is counted.

mod parse;
#[cfg(test)]
mod tests;

use super::frame::CanFrame;
use parse::{Skip, parse_line};

/// Longest line. A classic frame with stamp, interface and its text takes some 110 bytes.
const LINE_BYTES_MAX: usize = 256;

/// When a frame was on the bus, as its log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// Not at all (candump without `-l`, `-L` or `-t`).
    None,
    /// In microseconds since 1970. `-tA` prints local time without its zone: it is taken as UTC.
    Absolute(i64),
    /// In microseconds since the log began (`-tz`). The differences of `-td` look the same and are of no use.
    Relative(i64),
}

/// One frame of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogFrame {
    /// When.
    pub stamp: Stamp,
    /// What.
    pub frame: CanFrame,
}

/// What became of a log's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CandumpCounts {
    /// Frames read.
    pub frames: u64,
    /// Remote frames: a request, which carries nothing.
    pub remote: u64,
    /// Error frames: the controller's view of the bus.
    pub error_frame: u64,
    /// Frames of CAN FD or CAN XL.
    pub fd: u64,
    /// Frames of an interface that was not asked for.
    pub other_interface: u64,
    /// Lines that are not of candump.
    pub not_candump: u64,
    /// Lines with bytes that are no text.
    pub not_text: u64,
    /// Lines longer than any frame's.
    pub too_long: u64,
    /// A stamp that is no time.
    pub bad_stamp: u64,
    /// An identifier that is no hexadecimal number of 11 or 29 bits.
    pub bad_id: u64,
    /// Data that is no row of hexadecimal bytes (also the binary and swapped forms).
    pub bad_data: u64,
    /// Fewer or more bytes than the line says, or than a frame has.
    pub bad_length: u64,
    /// A last line without its end: a log that was cut. What is missing of it is not known.
    pub cut_off: u64,
}

impl CandumpCounts {
    /// What was skipped, by reason, in a fixed order.
    pub const fn skipped(&self) -> [(&'static str, u64); 12] {
        [
            ("remote", self.remote),
            ("error_frame", self.error_frame),
            ("fd", self.fd),
            ("other_interface", self.other_interface),
            ("not_candump", self.not_candump),
            ("not_text", self.not_text),
            ("too_long", self.too_long),
            ("bad_stamp", self.bad_stamp),
            ("bad_id", self.bad_id),
            ("bad_data", self.bad_data),
            ("bad_length", self.bad_length),
            ("cut_off", self.cut_off),
        ]
    }

    const fn of(&mut self, skip: Skip) -> &mut u64 {
        match skip {
            Skip::Remote => &mut self.remote,
            Skip::ErrorFrame => &mut self.error_frame,
            Skip::Fd => &mut self.fd,
            Skip::NotCandump => &mut self.not_candump,
            Skip::BadStamp => &mut self.bad_stamp,
            Skip::BadId => &mut self.bad_id,
            Skip::BadData => &mut self.bad_data,
            Skip::BadLength => &mut self.bad_length,
        }
    }
}

/// Turns a log's bytes into frames.
#[derive(Debug, Default)]
pub struct CandumpReader {
    line: Vec<u8>,
    /// The line is too long: it is counted, and skipped to its end.
    overlong: bool,
    /// The interface whose frames are wanted; empty for all.
    interface: String,
    counts: CandumpCounts,
}

impl CandumpReader {
    /// A reader of the frames of `interface`, or of all if it is empty.
    pub fn new(interface: &str) -> Self {
        Self { interface: interface.to_owned(), ..Self::default() }
    }

    /// Takes bytes, cut anywhere; appends the frames whose lines they complete.
    pub fn push(&mut self, mut bytes: &[u8], frames: &mut Vec<LogFrame>) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..end]);
            self.end_line(frames);
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes);
    }

    /// The log has ended. A line without its end may lack digits that nobody misses: it gives no frame.
    pub fn finish(&mut self) {
        if !self.overlong && !self.line.trim_ascii().is_empty() {
            self.counts.cut_off += 1;
        }
        self.line.clear();
        self.overlong = false;
    }

    /// What became of everything so far.
    pub const fn counts(&self) -> &CandumpCounts {
        &self.counts
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.overlong {
            return;
        }
        if self.line.len() + bytes.len() > LINE_BYTES_MAX {
            self.counts.too_long += 1;
            self.overlong = true;
            self.line.clear();
            return;
        }
        self.line.extend_from_slice(bytes);
    }

    fn end_line(&mut self, frames: &mut Vec<LogFrame>) {
        if !std::mem::take(&mut self.overlong) {
            match std::str::from_utf8(&self.line) {
                Err(_) => self.counts.not_text += 1,
                Ok(line) if line.trim_ascii().is_empty() => {}
                Ok(line) => match parse_line(line) {
                    Ok((interface, frame)) => {
                        if self.interface.is_empty() || interface == self.interface {
                            self.counts.frames += 1;
                            frames.push(frame);
                        } else {
                            self.counts.other_interface += 1;
                        }
                    }
                    Err(skip) => *self.counts.of(skip) += 1,
                },
            }
        }
        self.line.clear();
    }
}
