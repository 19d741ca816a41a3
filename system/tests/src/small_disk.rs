//! A disk that is soon full. Only root can mount one.

use std::process::Command;

use tempfile::TempDir;

use crate::postgres::owner;

/// A disk in memory, for a server's tablespace. It goes with its last user, at the latest when this is dropped.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// A disk of so many megabytes that the server's user owns; `None` where it can not be mounted.
    ///
    /// # Panics
    /// The machine has no room for a folder.
    pub fn mount(megabytes: u32) -> Option<Self> {
        let (user, group) = owner()?;
        let folder = tempfile::Builder::new().prefix("drover-disk-").tempdir().expect("a folder");
        let options = format!("size={megabytes}m,uid={user},gid={group},mode=0700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self { folder })
    }

    /// Where it is.
    ///
    /// # Panics
    /// The folder has a name that is no text.
    pub fn path(&self) -> &str {
        self.folder.path().to_str().expect("a name of ours")
    }

    /// Gives it more room.
    ///
    /// # Panics
    /// It can not be.
    pub fn grow(&self, megabytes: u32) {
        let options = format!("remount,size={megabytes}m");
        let grown = Command::new("mount").args(["-o", &options]).arg(self.path()).status();
        assert!(grown.is_ok_and(|status| status.success()));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server may still have files open on it.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
