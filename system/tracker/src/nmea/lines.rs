//! Bytes to lines with a valid checksum.

use super::NmeaCounts;

/// Longest line, without `$` and line end. The standard says 79, receivers with centimetre coordinates go to 98, and
/// proprietary status lines beyond this carry no fix.
const LINE_BYTES_MAX: usize = 120;

/// Collects one line at a time. A `$` always begins a new one: the standard reserves it, so a line that was cut off in
/// front of it costs only itself.
#[derive(Debug)]
pub(super) struct LineReader {
    line: [u8; LINE_BYTES_MAX],
    len: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between lines.
    Between,
    /// In bytes that belong to no line; they are counted once.
    Noise,
    /// In a line.
    Line,
    /// In a line that is too long; counted, and skipped to its end.
    Overlong,
}

impl Default for LineReader {
    fn default() -> Self {
        Self { line: [0; LINE_BYTES_MAX], len: 0, state: State::Between }
    }
}

impl LineReader {
    /// Takes bytes; hands each line with a valid checksum to `each`, without `$`, `*` and checksum.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        counts: &mut NmeaCounts,
        each: &mut impl FnMut(&str, &mut NmeaCounts),
    ) {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            if self.state == State::Line {
                let text = rest.iter().position(|byte| !is_text(*byte)).unwrap_or(rest.len());
                if text > 0 {
                    self.take_text(&rest[..text], counts);
                    rest = &rest[text..];
                    continue;
                }
            }
            rest = after;
            match (byte, self.state) {
                (b'$', state) => {
                    if state == State::Line {
                        counts.not_nmea += 1;
                    }
                    (self.state, self.len) = (State::Line, 0);
                }
                (b'\r' | b'\n', State::Line) => {
                    self.state = State::Between;
                    match checked(&self.line[..self.len]) {
                        Some(body) => each(body, counts),
                        None => counts.bad_checksum += 1,
                    }
                }
                (b'\r' | b'\n', _) => self.state = State::Between,
                (_, State::Line | State::Between) => {
                    counts.not_nmea += 1;
                    self.state = State::Noise;
                }
                (_, State::Noise | State::Overlong) => {}
            }
        }
    }

    /// The input has ended: a last line without its end counts if its checksum is there and right, and is cut off if not.
    pub(super) fn finish(&mut self, counts: &mut NmeaCounts, each: &mut impl FnMut(&str, &mut NmeaCounts)) {
        if std::mem::replace(&mut self.state, State::Between) == State::Line {
            match checked(&self.line[..self.len]) {
                Some(body) => each(body, counts),
                None => counts.cut_off += 1,
            }
        }
    }

    /// Takes a run of bytes that belong to the line.
    fn take_text(&mut self, text: &[u8], counts: &mut NmeaCounts) {
        match self.line.get_mut(self.len..self.len + text.len()) {
            Some(room) => {
                room.copy_from_slice(text);
                self.len += text.len();
            }
            None => {
                counts.too_long += 1;
                self.state = State::Overlong;
            }
        }
    }
}

/// What may stand between `$` and the end of a line.
const fn is_text(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'$'
}

/// The part of a line that its checksum covers, if the checksum is there and right.
fn checked(line: &[u8]) -> Option<&str> {
    let (body, [b'*', high, low]) = line.split_last_chunk::<3>()? else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let stated = digit(*high)? << 4 | digit(*low)?;
    let found = body.iter().fold(0, |sum, byte| sum ^ byte);
    (stated == u32::from(found)).then(|| std::str::from_utf8(body).ok()).flatten()
}
