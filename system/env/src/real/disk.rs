//! Files below one folder of this machine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::{BoxFuture, Disk, DiskFile};

/// A node's folder.
#[derive(Debug)]
pub struct FolderDisk {
    folder: PathBuf,
}

impl FolderDisk {
    /// Uses `folder`, and makes it if it is absent.
    ///
    /// # Errors
    /// The folder can not be made; the message names it.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)
            .map_err(|e| io::Error::new(e.kind(), format!("make folder {}: {e}", folder.display())))?;
        Ok(Self { folder: folder.to_owned() })
    }
}

impl Disk for FolderDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(self.folder.join(name))?;
        Ok(Box::new(SystemFile { file }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // Names that are no UTF-8 are not ours.
            if let (Ok(name), true) = (entry.file_name().into_string(), entry.file_type()?.is_file()) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))
    }

    fn sync_names(&self) -> BoxFuture<'_, io::Result<()>> {
        let folder = self.folder.clone();
        Box::pin(blocking(move || File::open(folder)?.sync_all()))
    }
}

struct SystemFile {
    file: File,
}

impl DiskFile for SystemFile {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match self.file.read_at(&mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn truncate(&mut self, len_bytes: u64) -> io::Result<()> {
        self.file.set_len(len_bytes)
    }

    fn sync(&mut self) -> BoxFuture<'_, io::Result<()>> {
        let file = self.file.try_clone();
        Box::pin(async move {
            let file = file?;
            blocking(move || file.sync_data()).await
        })
    }
}

/// A slow medium must not hold up the event loop.
async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
