//! The least that a commit waits for: a page written, and synced.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

/// A page of PostgreSQL.
const BYTES: usize = 8192;
/// Syncs of a slice.
const SYNCS: u32 = 10;

pub(super) struct Disk(File);

impl Disk {
    pub(super) fn new() -> Result<Self, String> {
        let file = tempfile::tempfile().map_err(|error| error.to_string())?;
        Ok(Self(file))
    }

    /// Time per sync, in milliseconds.
    pub(super) fn slice(&mut self) -> Result<f64, String> {
        let begun = Instant::now();
        for step in 0..SYNCS {
            let written = self.0.write_all_at(&[step as u8; BYTES], 0).and_then(|()| self.0.sync_data());
            written.map_err(|error| error.to_string())?;
        }
        Ok(begun.elapsed().as_secs_f64() * 1e3 / f64::from(SYNCS))
    }
}
