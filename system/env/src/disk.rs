//! Storage of one node: flat names below the node's own folder.
//!
//! Writes are visible at once and durable after `sync`; a crash may lose, or tear, everything since.

use std::io;

use crate::BoxFuture;

/// A folder of files.
pub trait Disk: Send + Sync {
    /// Opens a file for reading and appending; creates it if it is absent.
    ///
    /// # Errors
    /// The disk is full or broken, or access is denied.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Names of all files, in ascending order.
    ///
    /// # Errors
    /// The folder can not be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Removes a file. Durable after the next [`Self::sync_names`].
    ///
    /// # Errors
    /// There is no such file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes creations and removals of files durable.
    fn sync_names(&self) -> BoxFuture<'_, io::Result<()>>;
}

/// An append-only file.
pub trait DiskFile: Send {
    /// Length, in bytes.
    ///
    /// # Errors
    /// The file is gone or the disk broken.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Reads into `buffer` from `offset`; returns how many bytes there were, fewer only at the end of the file.
    ///
    /// # Errors
    /// The disk is broken.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes at the end.
    ///
    /// # Errors
    /// `StorageFull`, or the disk is broken. A part of the bytes may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file to `len_bytes`.
    ///
    /// # Errors
    /// The disk is broken.
    fn truncate(&mut self, len_bytes: u64) -> io::Result<()>;

    /// Makes everything appended so far durable.
    fn sync(&mut self) -> BoxFuture<'_, io::Result<()>>;
}
