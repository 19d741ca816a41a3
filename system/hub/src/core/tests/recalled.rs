//! What is stored of vehicles that the hub has not heard of.

use super::*;

fn stored(bench: &mut Bench, index: u32, second: i64) -> bool {
    let at = Position::new(60.17, 24.94).expect("a place");
    let mut fix = Fix::bare(0, WallTime::from_secs(second), at);
    fix.speed = MetersPerSecond::new(10.0).ok();
    let wall = bench.wall();
    bench.core.take_stored(bench.now, wall, (tenant(), van(index)), fix)
}

/// Times and states of what a client is told of vehicles.
fn told(bench: &mut Bench, key: SessionKey) -> Vec<(i64, String)> {
    bench.pass(100);
    let messages = bench.read(key);
    let features = messages.iter().flat_map(|message| message["features"].as_array().into_iter().flatten());
    let of = |feature: &Value| {
        let properties = &feature["properties"];
        let status = properties["status"].as_str().unwrap_or_default();
        (properties["timestamp"].as_i64().expect("a time"), status.to_owned())
    };
    features.map(of).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_is_shown_and_never_over_something_newer() {
    let mut bench = bench();
    assert!(!stored(&mut bench, 1, 1_980), "nobody wants it");
    let client = bench.open("dispatcher", Encoding::Json);
    bench.say(client, &subscribe("vehicle:VAN-1"));
    assert_eq!(
        bench.core.take_fresh(),
        BTreeMap::from([(tenant(), [Key::Vehicle(tenant(), van(1))].into())])
    );
    assert_eq!(told(&mut bench, client), [], "nothing is known");
    assert!(stored(&mut bench, 1, 1_980));
    assert!(!stored(&mut bench, 2, 1_980), "nobody wants that one");
    let moving = |second| [(second, "moving".to_owned())];
    assert_eq!(told(&mut bench, client), moving(1_980));
    assert!(!stored(&mut bench, 1, 1_979) && !stored(&mut bench, 1, 1_980));
    assert!(bench.fix(1, 1_980), "what is heard of the same moment says more");
    assert!(!stored(&mut bench, 1, 1_980));
    assert_eq!(told(&mut bench, client), moving(1_980));
    assert!(bench.fix(1, 1_990) && !stored(&mut bench, 1, 1_985));
    assert_eq!(told(&mut bench, client), moving(1_990));
    // What was on its way when somebody came may be newer than what was heard.
    assert!(stored(&mut bench, 1, 1_991) && !bench.fix(1, 1_990));
    assert_eq!(told(&mut bench, client), moving(1_991));
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_long_ago_is_silent_until_it_is_heard_of() {
    let mut bench = bench();
    let client = bench.open("dispatcher", Encoding::Json);
    bench.say(client, &subscribe("live_updates:all"));
    told(&mut bench, client);
    assert!(stored(&mut bench, 1, 1_940) && stored(&mut bench, 2, 1_941));
    let expected = [(1_940, "silent".to_owned()), (1_941, "moving".to_owned())];
    assert_eq!(told(&mut bench, client), expected);
    assert!(bench.fix(1, 2_001));
    assert_eq!(told(&mut bench, client), [(2_001, "moving".to_owned())]);
    assert_eq!(bench.counts().newest_fix_age_ms, Some(0), "what is stored is no sign of life");
}

#[tokio::test(start_paused = true)]
async fn a_share_link_is_not_shown_what_was_stored_before_its_delivery() {
    let mut bench = bench();
    let customer = bench.open("customer:VAN-1/7/12", Encoding::Json);
    bench.say(customer, &subscribe("live_updates:all"));
    told(&mut bench, customer);
    assert!(stored(&mut bench, 1, 999));
    assert_eq!(told(&mut bench, customer), []);
    assert!(stored(&mut bench, 1, 1_000));
    assert_eq!(told(&mut bench, customer), [(1_000, "silent".to_owned())]);
}
