//! A bus recording, as `candump -l` of can-utils writes it: `(1436509052.249713) can0 18FEF100#F7FFFF07CCFF7DFF`.
//!
//! The tracker reads such files too, and counts what it can not read; a scenario with a line that is none is wrong, and says
//! where. The world has no door to the tracker, so that it can not share its mistakes either.

use super::RecordingError;
use super::nmea::BYTES_MAX;
use crate::CanFrame;

/// A frame with its time, in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) at_us: i64,
    pub(super) frame: CanFrame,
}

/// Reads a recording. `name` is the file's, for errors. Blank lines and those that begin with `#` are comments; requests
/// (`R`) and FD frames (`##`) carry nothing that vehicles say, and are left out.
pub(super) fn read(name: &str, text: &[u8]) -> Result<Vec<Heard>, RecordingError> {
    if text.len() > BYTES_MAX {
        return Err(RecordingError::TooLarge { file: name.to_owned(), max_mib: BYTES_MAX >> 20 });
    }
    let mut frames: Vec<Heard> = Vec::new();
    for (number, line) in (1..).zip(text.split_inclusive(|&byte| byte == b'\n')) {
        // A frame that is cut between two bytes looks whole.
        if !line.ends_with(b"\n") && !line.trim_ascii().is_empty() && !line.starts_with(b"#") {
            return Err(RecordingError::Cut { file: name.to_owned(), line: number });
        }
        let shown = String::from_utf8_lossy(line.trim_ascii()).into_owned();
        if shown.is_empty() || shown.starts_with('#') {
            continue;
        }
        let Some((at_us, frame)) = parse(&shown) else {
            let text = shown.chars().take(60).collect();
            return Err(RecordingError::NoFrame { file: name.to_owned(), line: number, text });
        };
        if let Some(last) = frames.last().filter(|last| at_us < last.at_us) {
            let back_s = (last.at_us - at_us) as f64 / 1e6;
            return Err(RecordingError::Backwards { file: name.to_owned(), line: number, back_s });
        }
        frames.extend(frame.map(|frame| Heard { at_us, frame }));
    }
    if frames.is_empty() {
        return Err(RecordingError::NoFrames { file: name.to_owned() });
    }
    Ok(frames)
}

/// One line: its time, and its frame if it is a plain one.
fn parse(line: &str) -> Option<(i64, Option<CanFrame>)> {
    let (time, rest) = line.strip_prefix('(')?.split_once(')')?;
    let (seconds, micros) = time.split_once('.')?;
    if micros.len() != 6 || !micros.bytes().chain(seconds.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let at_us = seconds.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(micros.parse().ok()?)?;
    let mut words = rest.split_ascii_whitespace();
    let (_bus, frame) = (words.next()?, words.next()?);
    let (id, data) = frame.split_once('#')?;
    // Three digits are 11 bits, eight are 29; only so does the form of the identifier survive.
    if !matches!(id.len(), 3 | 8) {
        return None;
    }
    let extended = id.len() == 8;
    let id = hex(id)?;
    if id > if extended { 0x1FFF_FFFF } else { 0x7FF } {
        return None;
    }
    if data.starts_with('R') || data.starts_with('#') {
        return Some((at_us, None));
    }
    if data.len() > 16 || data.len() % 2 != 0 {
        return None;
    }
    let mut bytes = [0; 8];
    for (at, byte) in bytes.iter_mut().enumerate().take(data.len() / 2) {
        *byte = hex(data.get(2 * at..2 * at + 2)?)? as u8;
    }
    let len = (data.len() / 2) as u8;
    Some((at_us, Some(CanFrame { id, extended, len, data: bytes, offset_us: 0 })))
}

/// Hexadecimal digits and nothing else: the standard library's parser takes a sign too.
fn hex(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// Appends a frame as a line.
pub fn write_candump(out: &mut Vec<u8>, at_us: i64, frame: &CanFrame) {
    use std::io::Write;

    let (seconds, micros) = (at_us.div_euclid(1_000_000), at_us.rem_euclid(1_000_000));
    let width = if frame.extended { 8 } else { 3 };
    let data = &frame.data[..usize::from(frame.len.min(8))];
    // Writing into memory does not fail.
    let _ = write!(out, "({seconds}.{micros:06}) can0 {:0width$X}#", frame.id);
    for byte in data {
        let _ = write!(out, "{byte:02X}");
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_candump_are_read() {
        let text = b"# a comment\n(1436509052.249713) vcan0 18FEF100#F7FFFF07CCFF7DFF\n\n(1436509053.000001) can1 7E8#03410C\n(1436509053.000001) can1 123#R\n";
        let frames = read("x.log", text).expect("a recording");
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[0].at_us, frames[0].frame.id), (1_436_509_052_249_713, 0x18FE_F100));
        let second = frames[1].frame;
        assert_eq!((second.extended, second.len, second.data), (false, 3, [3, 0x41, 0x0C, 0, 0, 0, 0, 0]));
    }

    #[test]
    fn what_is_no_frame_is_named_with_its_line() {
        let check = |text: &str, expected: &str| {
            let error = read("bus.log", text.as_bytes()).expect_err("no recording").to_string();
            assert!(error.starts_with(expected), "{error}");
        };
        let good = "(1436509052.249713) vcan0 123#01\n";
        for bad in [
            "hello",
            "(1436509052) vcan0 123#01",
            "(1436509052.249713) vcan0 1234#01",
            "(1436509052.249713) vcan0 FFF#01",
            "(1436509052.249713) vcan0 123#0",
            "(1436509052.249713) vcan0 123#0G",
            "(1436509052.249713) vcan0 +23#00",
            "(1436509052.249713) vcan0 123#010203040506070809",
            "(1436509052.249713) vcan0",
        ] {
            check(&format!("{good}{bad}\n"), "bus.log:2: ");
        }
        check(&format!("{good}(1436509051.249713) vcan0 123#01\n"), "bus.log:2: the time goes back by 1 s");
        check(
            &format!("{good}(1436509052.349713) vcan0 123#0102"),
            "bus.log:2: the recording ends in the middle of a line",
        );
        check("# nothing\n", "bus.log holds no frame");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            seconds in 0..4_000_000_000_i64,
            micros in 0..1_000_000_i64,
            extended in any::<bool>(),
            id in 0..0x2000_0000_u32,
            len in 0..=8_u8,
            mut data in any::<[u8; 8]>(),
        ) {
            let id = if extended { id } else { id & 0x7FF };
            data[usize::from(len)..].fill(0);
            let frame = CanFrame { id, extended, len, data, offset_us: 0 };
            let at_us = seconds * 1_000_000 + micros;
            let mut text = Vec::new();
            write_candump(&mut text, at_us, &frame);
            prop_assert_eq!(read("x", &text).expect("a recording"), vec![Heard { at_us, frame }]);
        }

        #[test]
        fn any_bytes_are_survived(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read("x", &text);
        }
    }
}
