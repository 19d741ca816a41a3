//! A node's disk: what is not synced is lost at a crash, wholly or from some byte on.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drover_env::{BoxFuture, Disk, DiskFile};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The disk of one node. Outlives its incarnations.
#[derive(Debug, Clone)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    files: BTreeMap<String, File>,
    /// Removed, but not yet for certain: a crash may bring them back.
    removed: BTreeMap<String, File>,
    /// Bytes on the disk when a file of that name was removed, itself included: the most, if that happened more than once.
    fill_at_removal: BTreeMap<String, u64>,
    full: bool,
    /// Added to every sync.
    slow: Duration,
    rng: ChaCha8Rng,
}

#[derive(Debug, Default, Clone)]
struct File {
    bytes: Vec<u8>,
    synced: usize,
}

impl SimDisk {
    pub(crate) fn new(rng: ChaCha8Rng) -> Self {
        let (files, removed, fill_at_removal) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let state = State { files, removed, fill_at_removal, full: false, slow: Duration::ZERO, rng };
        Self(Arc::new(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// While full, appends fail.
    pub(crate) fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// Lets every sync take this much longer.
    pub(crate) fn set_slow(&self, by: Duration) {
        self.lock().slow = by;
    }

    /// Forgets every file.
    pub(crate) fn wipe(&self) {
        let mut state = self.lock();
        state.files.clear();
        state.removed.clear();
    }

    /// Changes so many bytes, each in some file at some place, as a card that wears out does.
    pub(crate) fn damage(&self, bytes: u32) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let total: usize = state.files.values().map(|file| file.bytes.len()).sum();
        for _ in 0..if total == 0 { 0 } else { bytes } {
            let mut at = state.rng.random_range(0..total);
            let flipped = state.rng.random_range(1..=u8::MAX);
            for file in state.files.values_mut() {
                if let Some(byte) = file.bytes.get_mut(at) {
                    *byte ^= flipped;
                    break;
                }
                at -= file.bytes.len();
            }
        }
    }

    /// How many bytes the disk held when each file was removed that ever was.
    pub(crate) fn fill_at_removal(&self) -> BTreeMap<String, u64> {
        self.lock().fill_at_removal.clone()
    }

    /// Loses what was not synced: of each file's unsynced bytes a random first part survives, most often none.
    pub(crate) fn crash(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        for (name, file) in std::mem::take(&mut state.removed) {
            if state.rng.random_bool(0.5) {
                state.files.entry(name).or_insert(file);
            }
        }
        for file in state.files.values_mut() {
            let unsynced = file.bytes.len() - file.synced;
            if unsynced > 0 {
                let kept = if state.rng.random_bool(0.5) { 0 } else { state.rng.random_range(0..=unsynced) };
                file.bytes.truncate(file.synced + kept);
                file.synced = file.bytes.len();
            }
        }
    }
}

impl Disk for SimDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock();
        if state.full && !state.files.contains_key(name) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.files.entry(name.to_owned()).or_default();
        Ok(Box::new(SimFile { disk: self.clone(), name: name.to_owned() }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().files.keys().cloned().collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        let fill: u64 = state.files.values().map(|file| file.bytes.len() as u64).sum();
        let file = state.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        let most = state.fill_at_removal.entry(name.to_owned()).or_default();
        *most = fill.max(*most);
        state.removed.insert(name.to_owned(), file);
        Ok(())
    }

    fn sync_names(&self) -> BoxFuture<'_, io::Result<()>> {
        let slow = self.lock().slow;
        Box::pin(async move {
            wait(slow).await;
            self.lock().removed.clear();
            Ok(())
        })
    }
}

/// A disk without a fault costs no timer.
async fn wait(slow: Duration) {
    if !slow.is_zero() {
        tokio::time::sleep(slow).await;
    }
}

struct SimFile {
    disk: SimDisk,
    name: String,
}

impl SimFile {
    fn with<T>(&self, act: impl FnOnce(&mut File, bool) -> io::Result<T>) -> io::Result<T> {
        let mut guard = self.disk.lock();
        let state = &mut *guard;
        let full = state.full;
        act(state.files.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?, full)
    }
}

impl DiskFile for SimFile {
    fn len_bytes(&self) -> io::Result<u64> {
        self.with(|file, _| Ok(file.bytes.len() as u64))
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.with(|file, _| {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(file.bytes.len());
            let len = buffer.len().min(file.bytes.len() - from);
            buffer[..len].copy_from_slice(&file.bytes[from..from + len]);
            Ok(len)
        })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.with(|file, full| {
            if full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            file.bytes.extend_from_slice(bytes);
            Ok(())
        })
    }

    fn truncate(&mut self, len_bytes: u64) -> io::Result<()> {
        self.with(|file, _| {
            file.bytes.truncate(usize::try_from(len_bytes).unwrap_or(usize::MAX));
            file.synced = file.synced.min(file.bytes.len());
            Ok(())
        })
    }

    fn sync(&mut self) -> BoxFuture<'_, io::Result<()>> {
        let slow = self.disk.lock().slow;
        Box::pin(async move {
            wait(slow).await;
            self.with(|file, _| {
                file.synced = file.bytes.len();
                Ok(())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use drover_env::SeedTree;

    use super::*;

    fn disk() -> SimDisk {
        let disk = SimDisk::new(SeedTree::from_number(1).rng("disk"));
        for name in ["a", "b"] {
            disk.open(name).and_then(|mut file| file.append(&[0; 500])).expect("it is not full");
        }
        disk
    }

    fn bytes(disk: &SimDisk) -> Vec<u8> {
        disk.lock().files.values().flat_map(|file| file.bytes.clone()).collect()
    }

    #[test]
    fn damage_changes_bytes_and_no_lengths() {
        let disk = disk();
        disk.damage(20);
        let changed = bytes(&disk).iter().filter(|byte| **byte != 0).count();
        assert!((15..=20).contains(&changed) && bytes(&disk).len() == 1_000, "{changed}");
    }

    #[test]
    fn a_wiped_disk_is_empty_and_has_nothing_to_damage() {
        let disk = disk();
        disk.wipe();
        disk.damage(20);
        assert_eq!(disk.list().expect("it can be read"), Vec::<String>::new());
    }
}
