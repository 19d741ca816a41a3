//! A receiver's recording: its sentences, gathered by the moment that they describe, ready to be said again later.

use std::ops::Range;

use drover_model::{MetersPerSecond, Position};

use super::RecordingError;
use super::sentence::{DAY_MS, Stamp, stamp};

/// Longest recording, in bytes: a day of a talkative receiver at 10 Hz is smaller.
pub(super) const BYTES_MAX: usize = 512 << 20;
/// A step back of more than this is midnight, of less a mistake, where no date says which.
const MIDNIGHT_MIN_MS: i64 = DAY_MS / 2;
/// A receiver without a fix does not know the time: a step of more than this sets its clock.
const SET_MIN_MS: i64 = 600_000;
/// Sentences of one moment may differ by less than this: some receivers round each time on its own.
const JITTER_MS: i64 = 100;
/// What counts as having passed when a clock is set.
const USUAL_MS: i64 = 1_000;

/// One moment of a recording.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moment {
    /// When it is said, after the first one, in milliseconds.
    pub(super) at_ms: i64,
    /// UTC as its sentences have it, in milliseconds since 1970. The date is a guess while none was heard.
    pub(super) utc_ms: i64,
    /// Its sentences, as bytes of the text.
    text: Range<usize>,
    /// What they say, if they say where it was.
    pub(super) fix: Option<Fix>,
}

/// Where a recording says that its vehicle was, and how fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fix {
    pub(super) position: Position,
    pub(super) speed: Option<MetersPerSecond>,
}

/// A whole recording.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Track {
    text: Vec<u8>,
    /// At least one with a fix, each later than the one before.
    pub(super) moments: Vec<Moment>,
}

/// What was gathered so far.
struct Gather {
    moments: Vec<Moment>,
    /// Day that the recording is on, in milliseconds since 1970.
    day_ms: i64,
    /// True once there was a fix: from then on the receiver knows the time.
    had_fix: bool,
}

/// Reads a recording. `name` is the file's, for errors.
pub(super) fn read(name: &str, text: &[u8]) -> Result<Track, RecordingError> {
    if text.len() > BYTES_MAX {
        return Err(RecordingError::TooLarge { file: name.to_owned(), max_mib: BYTES_MAX >> 20 });
    }
    let mut gather = Gather { moments: Vec::new(), day_ms: first_day(text), had_fix: false };
    let mut end = 0;
    for (number, line) in (1..).zip(text.split_inclusive(|&byte| byte == b'\n')) {
        end += line.len();
        match stamp(line) {
            Some(stamped) => gather.add(&stamped, end).map_err(|back_ms| RecordingError::Backwards {
                file: name.to_owned(),
                line: number,
                back_s: back_ms as f64 / 1000.0,
            })?,
            // A sentence without its end: the copy was cut, or the disk was full.
            None if end == text.len() && is_cut(line) => {
                return Err(RecordingError::Cut { file: name.to_owned(), line: number });
            }
            None => gather.extend(end),
        }
    }
    let moments = gather.moments;
    if moments.iter().all(|moment| moment.fix.is_none()) {
        return Err(RecordingError::NoFix { file: name.to_owned(), moments: moments.len() });
    }
    Ok(Track { text: text.to_vec(), moments })
}

/// True for a last line that begins as a sentence and does not end as one.
fn is_cut(line: &[u8]) -> bool {
    let Some(start) = line.iter().rposition(|&byte| byte == b'$') else { return false };
    let sentence = line[start..].trim_ascii_end();
    !line.ends_with(b"\n") && sentence.iter().rposition(|&byte| byte == b'*') != sentence.len().checked_sub(3)
}

/// The day on which the recording begins: the first date that comes with a fix, or else the first of all. What was heard
/// before any date is of that day too.
fn first_day(text: &[u8]) -> i64 {
    let stamps = || text.split_inclusive(|&byte| byte == b'\n').filter_map(stamp);
    let valid = stamps().find_map(|stamped| stamped.day_ms.filter(|_| stamped.valid));
    valid.or_else(|| stamps().find_map(|stamped| stamped.day_ms)).unwrap_or_default()
}

impl Gather {
    /// Takes a sentence that ends at this byte.
    ///
    /// # Errors
    /// Its time is so many milliseconds before the one before.
    fn add(&mut self, stamped: &Stamp, end: usize) -> Result<(), i64> {
        if let Some(day_ms) = stamped.day_ms {
            self.day_ms = day_ms;
        }
        let Some(of_day_ms) = stamped.of_day_ms else {
            self.extend(end);
            return Ok(());
        };
        let utc_ms = self.date(of_day_ms, stamped.day_ms.is_some());
        let before = self.moments.len().checked_sub(2).map(|at| self.moments[at].utc_ms);
        let (at_ms, start) = match self.moments.last_mut() {
            // What comes before the first time belongs to what follows.
            None => (0, 0),
            Some(last) => {
                let step_ms = utc_ms - last.utc_ms;
                // Some receivers end the moment before, with ZDA say, when the next has begun.
                let same = (-JITTER_MS + 1..=0).contains(&step_ms);
                if same || (step_ms < 0 && before == Some(utc_ms)) {
                    if same {
                        last.merge(stamped.fix);
                    }
                    self.had_fix |= stamped.valid;
                    self.extend(end);
                    return Ok(());
                }
                let sets_clock = !self.had_fix && !(0..=SET_MIN_MS).contains(&step_ms);
                if step_ms < 0 && !sets_clock {
                    return Err(-step_ms);
                }
                (last.at_ms + if sets_clock { USUAL_MS } else { step_ms }, last.text.end)
            }
        };
        self.had_fix |= stamped.valid;
        self.moments.push(Moment { at_ms, utc_ms, text: start..end, fix: stamped.fix });
        Ok(())
    }

    /// A line without a time of its own belongs to the moment before it.
    fn extend(&mut self, end: usize) {
        if let Some(last) = self.moments.last_mut() {
            last.text.end = end;
        }
    }

    /// The moment of a time of day: on the day that was said last, or past midnight since.
    fn date(&mut self, of_day_ms: i64, says_day: bool) -> i64 {
        let utc_ms = self.day_ms + of_day_ms;
        let last = self.moments.last().map(|moment| moment.utc_ms);
        if !says_day && last.is_some_and(|last| last - utc_ms > MIDNIGHT_MIN_MS) {
            self.day_ms += DAY_MS;
            return utc_ms + DAY_MS;
        }
        utc_ms
    }
}

impl Moment {
    /// Another sentence of it says so.
    fn merge(&mut self, fix: Option<Fix>) {
        let speed = fix.and_then(|fix| fix.speed).or(self.fix.and_then(|fix| fix.speed));
        self.fix = fix.or(self.fix).map(|fix| Fix { speed, ..fix });
    }
}

impl Track {
    /// Appends the sentences of a moment as if it were `utc_ms`.
    pub(super) fn say(&self, moment: &Moment, utc_ms: i64, out: &mut Vec<u8>) {
        for line in self.text[moment.text.clone()].split_inclusive(|&byte| byte == b'\n') {
            match stamp(line) {
                Some(stamped) => {
                    // A sentence of the moment before keeps its distance.
                    let of_day_ms = stamped.of_day_ms.unwrap_or_default();
                    let off_ms = (of_day_ms - moment.utc_ms).rem_euclid(DAY_MS);
                    let off_ms = if off_ms > DAY_MS / 2 { off_ms - DAY_MS } else { off_ms };
                    stamped.rewrite(line, utc_ms + off_ms, out);
                }
                None => out.extend_from_slice(line),
            }
        }
    }
}
