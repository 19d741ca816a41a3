use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

use super::*;

const PATIENCE: Patience = Patience { idle: Duration::from_secs(60), half_closed: Duration::from_secs(5) };
/// Room of each stream, and of a buffer.
const ROOM_BYTES: usize = 100;
const BUFFER_BYTES: usize = 64;

/// Both ends of a connection that is passed on, what was counted, and how it ended and when.
struct Passed {
    client: DuplexStream,
    server: DuplexStream,
    moved: Arc<Moved>,
    ended: tokio::task::JoinHandle<(End, Duration)>,
}

fn pass_on() -> Passed {
    let (client, mut near) = duplex(ROOM_BYTES);
    let (mut far, server) = duplex(ROOM_BYTES);
    let moved = Arc::<Moved>::default();
    let counted = moved.clone();
    #[expect(clippy::disallowed_methods, reason = "a test of a core: it has no env")]
    let ended = tokio::spawn(async move {
        let (pool, begun) = (Pool::new(BUFFER_BYTES), Instant::now());
        let end = splice(&mut near, &mut far, &pool, &counted, PATIENCE).await;
        (end, begun.elapsed())
    });
    Passed { client, server, moved, ended }
}

fn counts(moved: &Moved) -> (u64, u64) {
    (moved.up.load(Ordering::Relaxed), moved.down.load(Ordering::Relaxed))
}

#[tokio::test(start_paused = true)]
async fn one_side_may_end_long_before_the_other() {
    let Passed { mut client, mut server, moved, ended } = pass_on();
    client.write_all(b"there").await.expect("written");
    client.shutdown().await.expect("ended");
    let mut request = Vec::new();
    server.read_to_end(&mut request).await.expect("the end is passed on");
    assert_eq!(request, b"there");
    let answered = async {
        for _ in 0..10 {
            server.write_all(&[7; 100]).await.expect("written");
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        server.shutdown().await.expect("ended");
    };
    let mut answer = Vec::new();
    let (_, read) = tokio::join!(answered, client.read_to_end(&mut answer));
    assert_eq!((read.expect("read"), answer), (1_000, vec![7; 1_000]));
    assert_eq!(ended.await.expect("it ends").0, End::Done);
    assert_eq!(counts(&moved), (5, 1_000));
}

#[tokio::test(start_paused = true)]
async fn a_side_that_takes_nothing_holds_the_other_up_and_nothing_is_lost() {
    let Passed { mut client, mut server, ended, .. } = pass_on();
    let sent: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
    let mut taken = 0;
    while let Ok(written) = timeout(Duration::from_secs(1), client.write(&sent[taken..])).await {
        taken += written.expect("open");
    }
    // What streams hold, and one buffer.
    assert!(taken <= 2 * ROOM_BYTES + BUFFER_BYTES, "{taken} bytes");
    // The other way is not held up.
    server.write_all(b"back").await.expect("written");
    let mut back = [0; 4];
    client.read_exact(&mut back).await.expect("read");
    let mut received = Vec::new();
    let rest = async {
        client.write_all(&sent[taken..]).await.expect("written");
        client.shutdown().await.expect("ended");
    };
    let (_, read) = tokio::join!(rest, server.read_to_end(&mut received));
    assert_eq!((read.expect("read"), &received), (sent.len(), &sent));
    drop(server);
    assert_eq!(ended.await.expect("it ends").0, End::Done);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_stands_still_ends_sooner_when_one_side_has_ended() {
    let Passed { client: mut calm, server: _kept, ended, .. } = pass_on();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        calm.write_all(b".").await.expect("still open");
    }
    let (end, after) = ended.await.expect("it ends");
    assert_eq!((end, after.as_secs()), (End::Idle, 150 + 60));

    let Passed { client: mut gone, server: _kept, ended, .. } = pass_on();
    tokio::time::sleep(Duration::from_secs(10)).await;
    gone.shutdown().await.expect("ended");
    let (end, after) = ended.await.expect("it ends");
    assert_eq!((end, after.as_secs()), (End::Idle, 10 + 5));
}

#[tokio::test(start_paused = true)]
async fn a_side_that_breaks_off_ends_the_other() {
    let Passed { mut client, server, ended, .. } = pass_on();
    drop(server);
    let written = async { while client.write_all(&[1; 50]).await.is_ok() {} };
    assert!(timeout(Duration::from_secs(1), written).await.is_ok(), "the client hears of it");
    assert_eq!(ended.await.expect("it ends").0, End::Broken);
}
