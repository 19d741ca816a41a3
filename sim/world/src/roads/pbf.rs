//! The blocks of an OpenStreetMap extract in PBF form, and what is said of files that are none.

use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use osmpbf::{BlobDecode, BlobReader, HeaderBlock, PrimitiveBlock};

use super::RoadsError;

/// Features of the format that this reader knows.
const FEATURES: [&str; 2] = ["OsmSchema-V0.6", "DenseNodes"];

/// What people take for an extract, by its first bytes, and what to do about it.
const OTHERS: [(&[u8], &str); 8] = [
    (b"<", "it is XML; convert it: osmium cat FILE -o FILE.osm.pbf"),
    (b"\xef\xbb\xbf<", "it is XML; convert it: osmium cat FILE -o FILE.osm.pbf"),
    (b"\x1f\x8b", "it is compressed with gzip; unpack it, and convert it if there is XML in it"),
    (b"BZh", "it is compressed with bzip2; convert it: osmium cat FILE -o FILE.osm.pbf"),
    (b"PK\x03\x04", "it is a ZIP archive; unpack it"),
    (b"\xff\xe0\x04", "it is o5m; convert it: osmium cat FILE -o FILE.osm.pbf"),
    (b"SQLite format 3", "it is an SQLite database, such as of tiles"),
    (b"{", "it is JSON; export it as PBF"),
];

/// An extract that is read block after block: a country would not fit in memory at once.
pub(super) struct Extract<'a, R> {
    pub(super) name: &'a str,
    reader: R,
    len: u64,
}

impl<'a, R: Read + Seek + Send> Extract<'a, R> {
    /// Looks at the first bytes of a file.
    pub(super) fn new(name: &'a str, mut reader: R) -> Result<Self, RoadsError> {
        let unreadable = |error: io::Error| RoadsError::Unreadable { name: name.to_owned(), source: error };
        let len = reader.seek(SeekFrom::End(0)).map_err(unreadable)?;
        reader.rewind().map_err(unreadable)?;
        let mut start = Vec::new();
        (&mut reader).take(16).read_to_end(&mut start).map_err(unreadable)?;
        if start.is_empty() {
            return Err(not_pbf(name, "it is empty"));
        }
        match OTHERS.iter().find(|(bytes, _)| start.starts_with(bytes)) {
            Some((_, reason)) => Err(not_pbf(name, reason)),
            None => Ok(Self { name, reader, len }),
        }
    }

    /// Hands every block to `read`, and the share of the file that is read so far to `progress`.
    pub(super) fn for_each_block(
        &mut self,
        read: impl FnMut(&PrimitiveBlock),
        progress: impl FnMut(f64),
    ) -> Result<(), RoadsError> {
        // The decoder adds up what a file gives it with plain arithmetic: in builds that check for overflow, a made-up
        // file makes it panic. What it leaves behind is thrown away with the error.
        let blocks = catch_unwind(AssertUnwindSafe(|| self.blocks(read, progress)));
        blocks.unwrap_or_else(|_| Err(not_pbf(self.name, "its numbers are beyond any map")))
    }

    fn blocks(
        &mut self,
        mut read: impl FnMut(&PrimitiveBlock),
        mut progress: impl FnMut(f64),
    ) -> Result<(), RoadsError> {
        let Self { name, reader, len } = self;
        let wrong = |error: osmpbf::Error| {
            let text = error.to_string();
            // The decoder has no kind of its own for it.
            let cut = text.contains("end of file");
            let hint =
                if cut { "; it ends in the middle of a block, as after a broken download" } else { "" };
            not_pbf(name, &format!("{text}{hint}"))
        };
        reader.rewind().map_err(|source| RoadsError::Unreadable { name: (*name).to_owned(), source })?;
        let mut headed = false;
        for blob in BlobReader::new_seekable(reader).map_err(wrong)? {
            let blob = blob.map_err(wrong)?;
            if let Some(offset) = blob.offset() {
                progress(offset.0 as f64 / (*len).max(1) as f64);
            }
            match blob.decode().map_err(wrong)? {
                BlobDecode::OsmHeader(header) => {
                    check_features(name, &header)?;
                    headed = true;
                }
                BlobDecode::OsmData(block) if headed => read(&block),
                BlobDecode::OsmData(_) => return Err(not_pbf(name, "its header is missing")),
                BlobDecode::Unknown(_) => {}
            }
        }
        if headed { Ok(()) } else { Err(not_pbf(name, "its header is missing")) }
    }
}

fn check_features(name: &str, header: &HeaderBlock) -> Result<(), RoadsError> {
    let unknown = header.required_features().iter().find(|feature| !FEATURES.contains(&feature.as_str()));
    match unknown {
        Some(feature) => Err(RoadsError::Feature { name: name.to_owned(), feature: feature.clone() }),
        None => Ok(()),
    }
}

fn not_pbf(name: &str, reason: &str) -> RoadsError {
    RoadsError::NotPbf { name: name.to_owned(), reason: reason.to_owned() }
}
