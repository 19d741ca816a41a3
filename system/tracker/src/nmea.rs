//! Bytes of a receiver to fixes: lines, sentences, and the join of the sentences that describe one moment.
//!
//! Holds no clock and no port. Any bytes are survived; whatever does not become part of a fix is counted by reason.

mod joiner;
mod lines;
mod sentence;
#[cfg(test)]
mod tests;

use drover_model::Fix;
use tokio::time::Instant;

use joiner::FixJoiner;
use lines::LineReader;

/// What became of a receiver's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NmeaCounts {
    /// Fixes made.
    pub fixes: u64,
    /// Sentences with a valid checksum, used or not.
    pub sentences: u64,
    /// Sentences that are not needed for a fix (GSV, GSA, ...).
    pub other: u64,
    /// Lines whose checksum is absent or wrong.
    pub bad_checksum: u64,
    /// Lines longer than any sentence.
    pub too_long: u64,
    /// Runs of bytes that are no sentence: binary protocols, noise, lines whose beginning or end is missing.
    pub not_nmea: u64,
    /// A last line that the end of the input cut off.
    pub cut_off: u64,
    /// Sentences with a valid checksum whose fields make no sense.
    pub unparsed: u64,
    /// Moments for which the receiver says that it has no fix, or a simulated one.
    pub no_fix: u64,
    /// Positions before any date was heard.
    pub no_date: u64,
    /// Positions that are on no globe.
    pub out_of_range: u64,
    /// Sentences of a moment whose fix was made already.
    pub late: u64,
}

impl NmeaCounts {
    /// What was skipped, by reason, in a fixed order. Sentences that are not needed are no loss and not listed.
    pub const fn skipped(&self) -> [(&'static str, u64); 9] {
        [
            ("bad_checksum", self.bad_checksum),
            ("too_long", self.too_long),
            ("not_nmea", self.not_nmea),
            ("cut_off", self.cut_off),
            ("unparsed", self.unparsed),
            ("no_fix", self.no_fix),
            ("no_date", self.no_date),
            ("out_of_range", self.out_of_range),
            ("late", self.late),
        ]
    }
}

/// Turns a receiver's bytes into fixes. Their sequence is 0: recording numbers them.
#[derive(Debug, Default)]
pub struct NmeaReader {
    lines: LineReader,
    joiner: FixJoiner,
    counts: NmeaCounts,
}

impl NmeaReader {
    /// A reader that has heard nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes as they came from the port, cut anywhere; appends what fixes they complete.
    pub fn push(&mut self, now: Instant, bytes: &[u8], fixes: &mut Vec<Fix>) {
        let Self { lines, joiner, counts } = self;
        lines.push(bytes, counts, &mut |body, counts| take(joiner, now, body, counts, fixes));
    }

    /// When [`Self::handle_timeout`] is next due; `None` while no fix is half-joined.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.joiner.poll_timeout()
    }

    /// Makes the fix whose remaining sentences did not come in time.
    pub fn handle_timeout(&mut self, now: Instant, fixes: &mut Vec<Fix>) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.joiner.finish(&mut self.counts, fixes);
        }
    }

    /// The input has ended: takes a last line without its end, and makes the fix that was still being joined.
    pub fn finish(&mut self, now: Instant, fixes: &mut Vec<Fix>) {
        let Self { lines, joiner, counts } = self;
        lines.finish(counts, &mut |body, counts| take(joiner, now, body, counts, fixes));
        joiner.finish(counts, fixes);
    }

    /// What became of everything so far.
    pub const fn counts(&self) -> &NmeaCounts {
        &self.counts
    }
}

/// Takes a line whose checksum is right.
fn take(joiner: &mut FixJoiner, now: Instant, body: &str, counts: &mut NmeaCounts, fixes: &mut Vec<Fix>) {
    counts.sentences += 1;
    match sentence::parse(body) {
        Ok(sentence) => joiner.handle_sentence(now, sentence, counts, fixes),
        Err(sentence::Unparsed) => counts.unparsed += 1,
    }
}
