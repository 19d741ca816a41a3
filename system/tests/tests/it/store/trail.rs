//! The audit trail: both stores keep each note once, give pages in the same order, and show no tenant another's.

use drover_env::SeedTree;
use drover_model::{AUDIT_TEXT_BYTES_MAX, AuditEntry, AuditId, TenantId, WallTime};
use drover_store::{MemoryStore, Noted, StoreError, Trail};
use drover_tests::Disk;
use rand::seq::SliceRandom;

use super::{DATABASE, START, migrated, store};

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a valid name")
}

/// Note number so and so: of three tenants, two actors, and of nobody; several at one time.
fn note(number: u128) -> AuditEntry {
    AuditEntry {
        // Later ones have smaller identities: the order of times is not theirs.
        id: AuditId::from_bits(1_000 - number),
        tenant: match number % 4 {
            0 => None,
            1 => Some(tenant("rival")),
            _ => Some(tenant("acme")),
        },
        at: WallTime::from_micros(START.as_micros() + number as i64 / 3 * 1_000_001),
        actor: ["dana", "O'Neil \\ é"][number as usize / 2 % 2].to_owned(),
        role: "dispatcher".to_owned(),
        action: ["signed_in", "share_order", "refused"][number as usize % 3].to_owned(),
        subject: format!("thing {number}"),
        outcome: "applied".to_owned(),
        peer: "127.0.0.1".to_owned(),
    }
}

/// All that `which` finds, page by page.
async fn pages(trail: &dyn Trail, which: &Noted) -> Vec<AuditEntry> {
    let mut all: Vec<AuditEntry> = Vec::new();
    loop {
        let before = all.last().map(|last| (last.at, last.id));
        let page = trail.noted(tenant("acme"), Noted { before, ..which.clone() }, 7).await.expect("notes");
        let is_last = page.len() < 7;
        all.extend(page);
        if is_last {
            return all;
        }
    }
}

#[tokio::test]
async fn both_stores_keep_each_note_once_and_give_the_same_pages() {
    let server = migrated(Disk::Cached).await;
    let (store, memory) = (store(&server), MemoryStore::new());
    let mut notes: Vec<AuditEntry> = (0..60).map(note).collect();
    let mut rng = SeedTree::from_number(5).rng("notes");
    for _ in 0..2 {
        notes.shuffle(&mut rng);
        for batch in notes.chunks(11) {
            let said = (store.note(batch.to_vec()).await, memory.note(batch.to_vec()).await);
            assert_eq!(said, (Ok(()), Ok(())));
        }
    }
    let (kept, in_memory) = (pages(&store, &Noted::default()).await, pages(&memory, &Noted::default()).await);
    assert_eq!((kept.len(), &kept), (30, &in_memory), "each once, those of one tenant");
    let key = |entry: &AuditEntry| (entry.at, entry.id);
    assert!(kept.windows(2).all(|pair| key(&pair[0]) > key(&pair[1])), "newest first");
    let narrow = Noted {
        actor: Some("O'Neil \\ é".to_owned()),
        action: Some("refused".to_owned()),
        ..Noted::default()
    };
    let of_one = Noted { subject: Some(kept[7].subject.clone()), ..Noted::default() };
    for narrow in [narrow, of_one] {
        let (kept, in_memory) = (pages(&store, &narrow).await, pages(&memory, &narrow).await);
        assert!(!kept.is_empty() && kept.len() < 30 && kept == in_memory, "{narrow:?}: {kept:?}");
    }
    assert_eq!(server.sql(DATABASE, "SELECT count(*) FROM audit WHERE tenant_id IS NULL"), "15");
}

#[tokio::test]
async fn a_note_that_no_table_can_hold_is_refused_with_all_that_came_with_it() {
    let server = migrated(Disk::Cached).await;
    let (store, memory) = (store(&server), MemoryStore::new());
    let long = AuditEntry { subject: "x".repeat(AUDIT_TEXT_BYTES_MAX + 1), ..note(2) };
    for trail in [&store as &dyn Trail, &memory] {
        let refused = trail.note(vec![note(3), long.clone()]).await;
        assert!(
            matches!(&refused, Err(StoreError::BadRow { detail }) if detail.contains("subject")),
            "{refused:?}"
        );
        assert_eq!(pages(trail, &Noted::default()).await, []);
        assert_eq!(trail.note(vec![long.clone().shortened()]).await, Ok(()));
    }
}

#[tokio::test]
async fn what_is_old_is_forgotten_by_the_upkeep() {
    let server = migrated(Disk::Cached).await;
    let store = store(&server);
    store.note(vec![note(2), note(3)]).await.expect("kept");
    server.sql(DATABASE, "UPDATE audit SET at = now() - interval '401 days' WHERE subject = 'thing 2'");
    server.sql(DATABASE, "UPDATE audit SET at = now() - interval '399 days' WHERE subject = 'thing 3'");
    store.keep_up().await.expect("kept up");
    let left = pages(&store, &Noted::default()).await;
    assert_eq!(left.iter().map(|entry| entry.subject.as_str()).collect::<Vec<_>>(), ["thing 3"]);
}
