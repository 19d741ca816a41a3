//! Vehicles that a client gives up and asks for again before it was told that they are gone.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_given_up_and_taken_again_at_once_takes_nothing_away() {
    let mut bench = bench();
    assert!(bench.fix(1, 1_900));
    let key = bench.open("dispatcher", Encoding::Json);
    bench.say(key, &subscribe("live_updates:all"));
    bench.read(key);
    bench.pass(100);
    assert_eq!(bench.kinds(key), ["snapshot"]);
    bench.say(key, &json!({"action": "UNSUBSCRIBE", "topic": "live_updates:all", "id": 2}));
    bench.say(key, &subscribe("live_updates:all"));
    assert_eq!(bench.kinds(key), ["unsubscribed", "subscribed"]);
    bench.pass(200);
    let told = bench.read(key);
    assert_eq!((told.len(), times(&told[0])), (1, vec![1_900]), "a snapshot and nothing after it: {told:?}");
    bench.fix(1, 1_901);
    bench.pass(100);
    assert_eq!(bench.kinds(key), ["update"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_that_looks_away_and_back_is_told_only_of_what_is_not_there() {
    let mut bench = bench();
    assert!(bench.fix_at(1, 1_900, 60.17, 24.94) && bench.fix_at(2, 1_900, 60.17, 24.94));
    let key = bench.open("dispatcher", Encoding::Json);
    bench.say(key, &view(24.93, 24.95));
    bench.read(key);
    bench.pass(100);
    assert_eq!(times(&bench.read(key)[0]).len(), 2);
    bench.say(key, &view(10.0, 10.01));
    bench.stall(key);
    bench.pass(500);
    // One of the two has gone on meanwhile.
    bench.fix_at(2, 1_901, 60.17, 10.005);
    bench.say(key, &view(24.93, 24.95));
    bench.core.wrote(key);
    bench.read(key);
    bench.pass(200);
    let told = bench.read(key);
    let snapshot = told.iter().find(|message| message["type"] == "snapshot").expect("a snapshot");
    assert_eq!(snapshot["features"][0]["id"], "VAN-1");
    let gone: Vec<_> = told.iter().filter(|message| message["type"] == "gone").collect();
    assert_eq!(gone.len(), 1, "{told:?}");
    assert_eq!(gone[0]["vehicles"], json!(["VAN-2"]));
}
