//! What was revoked: both stores tell the same of it, and nothing of what would have expired long ago.

use std::time::Duration;

use drover_model::{REVOKED_KEPT, WallTime};
use drover_store::postgres::revoke;
use drover_store::{MemoryStore, Revoked, Revoking};
use drover_tests::Disk;

use super::{DATABASE, START, migrated, store};

/// What a store tells whoever knows of no version up to `after`.
async fn told(store: &dyn Revoking, after: u64, now: WallTime, limit: usize) -> Vec<Revoked> {
    store.revoked_after(after, now, limit).await.expect("it answers")
}

#[tokio::test]
async fn what_was_revoked_is_told_of_until_an_hour_after_its_end() {
    let server = migrated(Disk::Cached).await;
    let (store, memory) = (store(&server), MemoryStore::new());
    let soon = START.plus(Duration::from_secs(60));
    let entries = [
        ("token:a", Some(soon)),
        ("0b", None),
        ("token:c", Some(START.plus(Duration::from_secs(3_000_000_000)))),
        ("0d", Some(soon)),
    ];
    for (serial, expires) in entries {
        memory.revoke(serial, expires);
        memory.revoke(serial, None);
        for is_new in [true, false] {
            let done = revoke(&server.config(DATABASE), serial, "somebody", "lost", expires).await;
            assert_eq!(done.expect("written"), is_new, "{serial}");
        }
    }
    let forgotten = soon.plus(REVOKED_KEPT);
    let before = WallTime::from_micros(forgotten.as_micros() - 1);
    for (now, expected) in
        [(before, &["token:a", "0b", "token:c", "0d"][..]), (forgotten, &["0b", "token:c"])]
    {
        let all = told(&store, 0, now, 10).await;
        assert_eq!(all.iter().map(|entry| entry.serial.as_str()).collect::<Vec<_>>(), expected);
        let ends: Vec<_> =
            entries.iter().filter(|(serial, _)| expected.contains(serial)).map(|(_, end)| *end).collect();
        assert_eq!(all.iter().map(|entry| entry.expires).collect::<Vec<_>>(), ends);
        let ours = told(&memory, 0, now, 10).await;
        assert!(
            ours.iter()
                .map(|entry| (&entry.serial, entry.expires))
                .eq(all.iter().map(|entry| (&entry.serial, entry.expires)))
        );
        // Pages of one go by the versions that are there.
        for stores in [&store as &dyn Revoking, &memory] {
            let (mut one_by_one, mut after) = (Vec::new(), 0);
            while let [entry] = &told(stores, after, now, 1).await[..] {
                after = entry.version;
                one_by_one.push(entry.serial.clone());
            }
            assert_eq!(one_by_one, expected);
        }
    }
}
