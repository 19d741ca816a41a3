use std::sync::{Mutex, MutexGuard};

use drover_env::{BoxFuture, SeedTree};
use drover_model::{Engine, FixFlags, Position};
use drover_wire::{GeoTelemetry, decode};
use proptest::prelude::*;
use rand::RngExt;

use super::record::HEADER_BYTES;
use super::*;

/// A disk that can be full, tear an append, and lose what is not synced.
#[derive(Clone, Default)]
struct TestDisk(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    files: BTreeMap<String, (Vec<u8>, usize)>,
    /// Bytes that still fit; `None` is endless.
    room: Option<usize>,
    sync_fails: bool,
}

impl TestDisk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the disk")
    }

    fn image(&self) -> Self {
        Self(Arc::new(Mutex::new(self.lock().clone())))
    }

    fn open_spool(&self, config: &Config, seed: u64) -> (Spool, Recovery) {
        Spool::open_on(Arc::new(self.clone()), config, SeedTree::from_number(seed).rng("epoch"), None)
            .expect("it opens")
    }

    fn newest(&self) -> String {
        self.lock().files.keys().next_back().expect("a segment").clone()
    }

    fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        edit(&mut self.lock().files.get_mut(name).expect("a segment").0);
    }
}

impl Disk for TestDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.lock().files.entry(name.to_owned()).or_default();
        Ok(Box::new(TestFile(self.clone(), name.to_owned())))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().files.keys().cloned().collect())
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.lock().files.remove(name).map(|_| ()).ok_or(io::ErrorKind::NotFound.into())
    }
    fn sync_names(&self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

struct TestFile(TestDisk, String);

impl DiskFile for TestFile {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.0.lock().files[&self.1].0.len() as u64)
    }
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.0.lock();
        let rest = state.files[&self.1].0.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.lock();
        let fits = state.room.unwrap_or(usize::MAX).min(bytes.len());
        if let Some(room) = &mut state.room {
            *room -= fits;
        }
        state.files.get_mut(&self.1).expect("open").0.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
    fn truncate(&mut self, len_bytes: u64) -> io::Result<()> {
        self.0.lock().files.get_mut(&self.1).expect("open").0.truncate(len_bytes as usize);
        Ok(())
    }
    fn sync(&mut self) -> BoxFuture<'_, io::Result<()>> {
        let mut state = self.0.lock();
        let result = if state.sync_fails { Err(io::Error::other("broken")) } else { Ok(()) };
        if let (Ok(()), Some((bytes, synced))) = (&result, state.files.get_mut(&self.1)) {
            *synced = bytes.len();
        }
        Box::pin(std::future::ready(result))
    }
}

fn fix(second: u64) -> Fix {
    Fix {
        sequence: 0,
        time: WallTime::from_secs(1_772_434_800 + second as i64),
        position: Position::new(60.17, 24.94).expect("in range"),
        speed: None,
        heading: None,
        altitude: None,
        accuracy: None,
        satellites: Some(9),
        flags: FixFlags::default(),
        engine: Engine::default(),
    }
}

fn small() -> Config {
    Config { segment_bytes_max: 4096, spool_bytes_max: 4 * 4096, waiting_fixes_max: 50, ..Config::default() }
}

/// What commits did.
#[derive(Default)]
struct Committed {
    recorded: Vec<(Sequence, WallTime)>,
    shed: SequenceSet,
    disk: TestDisk,
    /// What was on the disk whenever fixes were shed, and which those were.
    at_shed: Vec<(TestDisk, SequenceSet)>,
}

impl Witness for Committed {
    fn recorded(&mut self, _: Epoch, sequence: Sequence, time: WallTime) {
        self.recorded.push((sequence, time));
    }
    fn shed(&mut self, _: Epoch, fixes: &SequenceSet) {
        self.shed.extend(fixes);
        self.at_shed.push((self.disk.image(), fixes.clone()));
    }
}

/// Records `count` fixes, one commit each.
async fn record(spool: &mut Spool, count: u64) -> Committed {
    record_on(&TestDisk::default(), spool, count).await
}

async fn record_on(disk: &TestDisk, spool: &mut Spool, count: u64) -> Committed {
    let mut done = Committed { disk: disk.clone(), ..Committed::default() };
    for _ in 0..count {
        spool.offer(fix(spool.holdings().current().next));
        spool.commit(&mut done).await.expect("the disk takes it");
    }
    done
}

fn set(ranges: &[(u64, u64)]) -> SequenceSet {
    let mut set = SequenceSet::new();
    ranges.iter().for_each(|&(first, last)| set.insert_range(first..=last));
    set
}

fn read_all(spool: &mut Spool, epoch: Epoch, wanted: &SequenceSet) -> ReadAll {
    let mut all = ReadAll { sequences: SequenceSet::new(), lost: SequenceSet::new() };
    let mut rest = wanted.clone();
    while !rest.is_empty() {
        let back = spool.read(epoch, &rest, 60_000).expect("the disk answers");
        for body in &back.fixes {
            let message: GeoTelemetry = decode(body).expect("a recorded fix");
            let sequence = message.sequence.expect("recorded fixes are numbered");
            assert_eq!(message.time_us, Some((1_772_434_800 + sequence) * 1_000_000), "fix {sequence}");
        }
        rest = rest.difference(&back.sequences).difference(&back.lost);
        all.sequences.extend(&back.sequences);
        all.lost.extend(&back.lost);
    }
    all
}

struct ReadAll {
    sequences: SequenceSet,
    lost: SequenceSet,
}

#[tokio::test]
async fn what_is_recorded_survives_a_restart_and_reads_back() {
    let disk = TestDisk::default();
    let (mut spool, _) = disk.open_spool(&small(), 1);
    record(&mut spool, 150).await;
    let epoch = spool.holdings().current().epoch;
    spool.settle(epoch, &set(&[(0, 9), (20, 29)]));
    record(&mut spool, 1).await;
    drop(spool);
    let (mut spool, recovery) = disk.open_spool(&small(), 2);
    assert!(!recovery.torn_tail_cut && !recovery.epoch_abandoned && recovery.lost.is_empty());
    assert_eq!(spool.holdings().current().epoch, epoch);
    let held = set(&[(10, 19), (30, 150)]);
    assert_eq!(spool.holdings().current().held(), held);
    assert_eq!(read_all(&mut spool, epoch, &held).sequences, held);
    assert_eq!(record(&mut spool, 1).await.recorded[0].0, 151);
}

#[tokio::test]
async fn a_crash_at_any_byte_of_the_last_record_loses_only_that_record() {
    let disk = TestDisk::default();
    let (mut spool, _) = disk.open_spool(&Config::default(), 1);
    record(&mut spool, 3).await;
    let (epoch, name) = (spool.holdings().current().epoch, disk.newest());
    let len = disk.lock().files[&name].0.len();
    record(&mut spool, 1).await;
    let full = disk.lock().files[&name].0.len();
    for cut in len..=full {
        let image = disk.image();
        image.edit(&name, |bytes| bytes.truncate(cut));
        let (mut spool, recovery) = image.open_spool(&Config::default(), 2);
        let (whole, torn) = (cut == full, cut != len && cut != full);
        assert_eq!((recovery.torn_tail_cut, recovery.epoch_abandoned), (torn, torn), "cut at {cut}");
        let current = spool.holdings().current().epoch;
        assert_eq!(current != epoch, torn);
        let last_kept = if whole { 3 } else { 2 };
        let next = if torn { 0 } else { last_kept + 1 };
        assert_eq!(record(&mut spool, 1).await.recorded[0].0, next);
        drop(spool);
        let (mut spool, recovery) = image.open_spool(&Config::default(), 3);
        assert!(!recovery.torn_tail_cut && !recovery.epoch_abandoned && recovery.lost.is_empty());
        let held = set(&[(0, if torn { last_kept } else { next })]);
        assert_eq!(read_all(&mut spool, epoch, &held).sequences, held);
        assert_eq!(read_all(&mut spool, current, &set(&[(0, next)])).sequences, set(&[(0, next)]));
    }
}

/// A card that lied about its sync, or a file system that was repaired: what is gone may have been sent.
#[tokio::test]
async fn a_segment_cut_within_a_record_or_its_header_uses_no_identity_again() {
    let disk = TestDisk::default();
    let (mut spool, _) = disk.open_spool(&Config::default(), 1);
    record(&mut spool, 10).await;
    let (epoch, name) = (spool.holdings().current().epoch, disk.newest());
    let second_record = disk.lock().files[&name].0.len() / 2 + 5;
    for cut in [0, HEADER_BYTES - 1, second_record] {
        let image = disk.image();
        image.edit(&name, |bytes| bytes.truncate(cut));
        let (mut spool, recovery) = image.open_spool(&Config::default(), 2);
        assert!(recovery.torn_tail_cut && recovery.epoch_abandoned, "cut at {cut}");
        record(&mut spool, 5).await;
        assert_ne!(spool.holdings().current().epoch, epoch, "cut at {cut}");
    }
}

#[tokio::test]
async fn damage_at_the_end_begins_a_new_epoch_and_keeps_the_old_one() {
    let disk = TestDisk::default();
    let (mut spool, _) = disk.open_spool(&Config::default(), 1);
    record(&mut spool, 10).await;
    let epoch = spool.holdings().current().epoch;
    disk.edit(&disk.newest(), |bytes| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    });
    let (mut spool, recovery) = disk.open_spool(&Config::default(), 2);
    assert!(recovery.epoch_abandoned);
    let current = spool.holdings().current().epoch;
    assert_ne!(current, epoch);
    assert_eq!(spool.holdings().oldest_unsettled().epoch, epoch);
    assert_eq!(spool.holdings().oldest_unsettled().held(), set(&[(0, 8)]));
    record(&mut spool, 2).await;
    drop(spool);
    let (mut spool, recovery) = disk.open_spool(&Config::default(), 3);
    assert!(!recovery.epoch_abandoned, "the damage is behind us");
    assert_eq!(spool.holdings().current().epoch, current);
    assert_eq!(read_all(&mut spool, epoch, &set(&[(0, 8)])).sequences, set(&[(0, 8)]));
    assert_eq!(read_all(&mut spool, current, &set(&[(0, 1)])).sequences, set(&[(0, 1)]));
    spool.settle(epoch, &set(&[(0, 8)]));
    record(&mut spool, 1).await;
    assert_eq!(spool.holdings().iter().count(), 1, "a settled old epoch is forgotten");
    assert_eq!(disk.lock().files.len(), 1);
}

#[tokio::test]
async fn damage_in_an_older_segment_loses_what_follows_it_there() {
    let disk = TestDisk::default();
    let (mut spool, _) = disk.open_spool(&small(), 1);
    record(&mut spool, 150).await;
    let (epoch, second) = (spool.holdings().current().epoch, spool.segments[1].header.first);
    let oldest = disk.lock().files.keys().next().expect("a segment").clone();
    disk.edit(&oldest, |bytes| bytes[2000] ^= 0x40);
    let (mut spool, recovery) = disk.open_spool(&small(), 2);
    assert!(!recovery.epoch_abandoned);
    let (_, lost) = &recovery.lost[0];
    let first_lost = lost.iter().next().expect("something is lost");
    assert_eq!(*lost, set(&[(first_lost, second - 1)]));
    let held = set(&[(0, first_lost - 1), (second, 149)]);
    assert_eq!(spool.holdings().current().held(), held);
    assert_eq!(read_all(&mut spool, epoch, &held).sequences, held);
}

#[tokio::test]
async fn the_oldest_segment_is_shed_at_the_bound() {
    let disk = TestDisk::default();
    let (mut spool, _) = disk.open_spool(&small(), 1);
    let done = record_on(&disk, &mut spool, 600).await;
    assert_eq!(done.recorded.len(), 600);
    let first = spool.holdings().oldest_unsettled().next_held(0);
    assert!(first > 0);
    assert_eq!(done.shed, set(&[(0, first - 1)]));
    let on_disk: usize = disk.lock().files.values().map(|(bytes, _)| bytes.len()).sum();
    assert!(on_disk as u64 <= small().spool_bytes_max);
    assert_eq!(on_disk as u64, spool.bytes());
    let epoch = spool.holdings().current().epoch;
    let (mut spool, recovery) = disk.open_spool(&small(), 2);
    assert!(recovery.lost.is_empty());
    let held = set(&[(first, 599)]);
    assert_eq!(spool.holdings().current().held(), held);
    assert_eq!(read_all(&mut spool, epoch, &held).sequences, held);
}

#[tokio::test]
async fn what_is_shed_is_told_before_it_is_gone() {
    let disk = TestDisk::default();
    let (mut spool, _) = disk.open_spool(&small(), 1);
    let done = record_on(&disk, &mut spool, 600).await;
    assert!(!done.at_shed.is_empty());
    for (disk, shed) in done.at_shed {
        // A power cut right here brings them back.
        let (spool, _) = disk.open_spool(&small(), 2);
        assert!(shed.difference(&spool.holdings().current().held()).is_empty());
    }
}

#[tokio::test]
async fn settled_segments_go_but_the_newest_stays() {
    let disk = TestDisk::default();
    let (mut spool, _) = disk.open_spool(&small(), 1);
    record(&mut spool, 150).await;
    assert!(disk.lock().files.len() > 1);
    let epoch = spool.holdings().current().epoch;
    assert_eq!(spool.settle(epoch, &set(&[(0, 149)])).len(), 150);
    assert!(spool.settle(epoch, &set(&[(0, 500)])).is_empty(), "only once, and nothing that is not there");
    spool.close(&mut Committed::default()).await.expect("the disk takes it");
    assert_eq!(disk.lock().files.len(), 1);
    let (spool, recovery) = disk.open_spool(&small(), 2);
    assert!(recovery.lost.is_empty());
    assert!(spool.holdings().is_settled());
    assert_eq!((spool.holdings().current().epoch, spool.holdings().current().next), (epoch, 150));
}

#[tokio::test]
async fn a_full_disk_keeps_fixes_waiting_and_loses_nothing_recorded() {
    let disk = TestDisk::default();
    let (mut spool, _) = disk.open_spool(&small(), 1);
    record(&mut spool, 5).await;
    let mut done = Committed::default();
    // Enough for a part of a record, so that every attempt leaves a torn one.
    disk.lock().room = Some(30);
    let mut fallen = 0;
    for second in 5..65 {
        fallen += u64::from(spool.offer(fix(second)).is_some());
        disk.lock().room = Some(30);
        assert!(spool.commit(&mut done).await.expect_err("full").is_full());
    }
    assert_eq!((fallen, spool.waiting_len(), done.recorded.len()), (10, 50, 0));
    disk.lock().room = None;
    spool.commit(&mut done).await.expect("there is room again");
    let sequences: Vec<_> = done.recorded.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(sequences, (5..55).collect::<Vec<_>>(), "numbers have no gap");
    let (spool, recovery) = disk.open_spool(&small(), 2);
    assert!(!recovery.torn_tail_cut && recovery.lost.is_empty());
    assert_eq!(spool.holdings().current().held(), set(&[(0, 54)]));
}

#[tokio::test]
async fn a_failed_sync_is_written_again_under_the_same_numbers() {
    let disk = TestDisk::default();
    let (mut spool, _) = disk.open_spool(&small(), 1);
    record(&mut spool, 2).await;
    let mut done = Committed::default();
    disk.lock().sync_fails = true;
    spool.offer(fix(2));
    assert!(!spool.commit(&mut done).await.expect_err("broken").is_full());
    assert!(done.recorded.is_empty());
    disk.lock().sync_fails = false;
    spool.commit(&mut done).await.expect("well again");
    assert_eq!(done.recorded.len(), 1);
    let (spool, _) = disk.open_spool(&small(), 2);
    assert_eq!(spool.holdings().current().held(), set(&[(0, 2)]));
}

#[tokio::test]
async fn a_file_that_is_gone_is_told_as_lost() {
    let disk = TestDisk::default();
    let config = Config { fresh_fixes_max: 0, ..small() };
    let (mut spool, _) = disk.open_spool(&config, 1);
    record(&mut spool, 150).await;
    let (epoch, second) = (spool.holdings().current().epoch, spool.segments[1].header.first);
    let oldest = disk.lock().files.keys().next().expect("a segment").clone();
    disk.remove(&oldest).expect("it is there");
    let back = read_all(&mut spool, epoch, &set(&[(0, 149)]));
    assert_eq!(back.lost, set(&[(0, second - 1)]));
    assert_eq!(spool.holdings().current().held(), set(&[(second, 149)]));
}

#[tokio::test]
async fn a_batch_ends_where_its_bytes_end() {
    let disk = TestDisk::default();
    let (mut spool, _) = disk.open_spool(&Config { fresh_fixes_max: 10, ..Config::default() }, 1);
    record(&mut spool, 100).await;
    let epoch = spool.holdings().current().epoch;
    let back = spool.read(epoch, &set(&[(0, 99)]), 500).expect("the disk answers");
    let count = back.fixes.len() as u64;
    assert!((5..30).contains(&count), "{count} fixes in 500 bytes");
    assert_eq!(back.sequences, set(&[(0, count - 1)]));
    assert!(back.lost.is_empty());
}

/// Random damage to a spool of some segments and two epochs.
fn damaged(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut rng = SeedTree::from_number(seed).rng("damage");
        let disk = TestDisk::default();
        let (mut spool, _) = disk.open_spool(&small(), seed);
        record(&mut spool, rng.random_range(1..150)).await;
        let epoch = spool.holdings().current().epoch;
        spool.settle(epoch, &set(&[(3, rng.random_range(3..60))]));
        record(&mut spool, 1).await;
        for round in 0..2 {
            let names: Vec<_> = disk.lock().files.keys().cloned().collect();
            for _ in 0..rng.random_range(0..4) {
                let name = &names[rng.random_range(0..names.len())];
                let len = disk.lock().files[name].0.len();
                let at = rng.random_range(0..=len);
                match rng.random_range(0..4) {
                    0 => disk.edit(name, |bytes| bytes.truncate(at)),
                    1 => disk.edit(name, |bytes| bytes.extend([0; 40])),
                    _ => disk
                        .edit(name, |bytes| bytes.iter_mut().skip(at).take(3).for_each(|byte| *byte ^= 0x55)),
                }
            }
            let before = disk.image();
            let held = before.open_spool(&small(), seed + round + 1).0.holdings().clone();
            let (mut spool, _) = disk.open_spool(&small(), seed + round + 1);
            assert_eq!(*spool.holdings(), held, "recovery is repeatable");
            for epoch in held.iter() {
                let all = read_all(&mut spool, epoch.epoch, &epoch.held());
                assert_eq!(all.sequences, epoch.held(), "what is held can be read");
            }
            record(&mut spool, 5).await;
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_damage_is_survived_and_what_is_held_can_be_read(seed in any::<u64>().prop_map(|seed| seed >> 8)) {
        damaged(seed);
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), first in any::<u64>()) {
        let disk = TestDisk::default();
        let header = Header { generation: u32::MAX, epoch: Epoch::from_bits(u64::MAX), first };
        let mut file = BytesMut::new();
        header.encode(&mut file);
        file.extend_from_slice(&bytes);
        disk.lock().files.insert(header.file_name(), (file.to_vec(), 0));
        disk.lock().files.insert("spool-xyz-0".to_owned(), (bytes.clone(), 0));
        let raw = Header { generation: 0, epoch: Epoch::from_bits(5), first: 7 };
        disk.lock().files.insert(raw.file_name(), (bytes, 0));
        disk.open_spool(&small(), 1);
    }
}
