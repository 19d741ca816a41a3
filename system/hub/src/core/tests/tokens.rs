//! Who shows tokens that are none.

use super::*;

/// So many an address may show at once.
const GUESSES: usize = 100;

fn guess(bench: &mut Bench, peer: [u8; 4]) -> Result<SessionKey, Turned> {
    bench.try_open(peer.into(), Encoding::Json, Some("nonsense"))
}

#[tokio::test(start_paused = true)]
async fn who_guesses_tokens_is_held_back_and_others_are_not() {
    let (mut bench, mallory, denied) = (bench(), [10, 0, 0, 1], Err(Turned::Denied(Denied::Invalid)));
    for _ in 0..GUESSES {
        assert_eq!(guess(&mut bench, mallory), denied);
    }
    let early = bench.try_open(mallory.into(), Encoding::Json, None).expect("it says nothing yet");
    assert_eq!(guess(&mut bench, mallory), Err(Turned::Guesses));
    bench.say(early, &json!({"action": "AUTHENTICATE", "token": "dispatcher", "id": 2}));
    let told = bench.read(early);
    assert_eq!((&told[0]["code"], &told[1]["reason"]), (&json!("too_many"), &json!("limits")));
    assert_eq!(guess(&mut bench, [10, 0, 0, 2]), denied, "another address");
    bench.pass(1_000);
    assert!(bench.try_open(mallory.into(), Encoding::Json, Some("dispatcher")).is_ok(), "a second later");
}

#[tokio::test(start_paused = true)]
async fn tokens_that_were_good_are_not_looked_at_without_end() {
    // Ten times as many as are none.
    const DENIALS: usize = 1_000;
    let (ended, others) = ("customer:VAN-1/7/12/90/1000", "customer:VAN-1/8/12/91/1000");
    let mut bench = bench();
    let link = drover_api::Ended::Link(drover_model::ShareLinkId::from_bits(7));
    bench.core.take_steps(bench.now, bench.wall(), tenant(), &[Step::Ended(link)]);
    let ended = ended.replacen("/7/", &format!("/{}/", drover_model::ShareLinkId::from_bits(7)), 1);
    let (mallory, beside) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
    let show = |bench: &mut Bench, peer, token: &str| bench.try_open(peer, Encoding::Json, Some(token));
    for number in 0..DENIALS {
        let token = if number % 2 == 0 { "expired" } else { &ended };
        let denied = if number % 2 == 0 { Denied::Expired } else { Denied::Revoked };
        assert_eq!(show(&mut bench, mallory, token), Err(Turned::Denied(denied)), "{number}");
    }
    assert_eq!(show(&mut bench, mallory, "expired"), Err(Turned::Guesses));
    assert_eq!(show(&mut bench, beside, "expired"), Err(Turned::Denied(Denied::Expired)), "another address");
    bench.pass(100);
    assert!(show(&mut bench, mallory, others).is_ok(), "a moment later");
}

#[tokio::test(start_paused = true)]
async fn a_network_of_ipv6_has_as_many_sockets_as_an_address() {
    let config = Config { sockets_per_address_max: 2, ..Config::default() };
    let mut bench = Bench::new(config, Planted::default());
    let open = |bench: &mut Bench, ip: &str| {
        bench.try_open(ip.parse().expect("an address"), Encoding::Json, Some("dispatcher"))
    };
    let first = open(&mut bench, "2001:db8::1").expect("let in");
    let second = open(&mut bench, "2001:db8::2").expect("let in");
    assert_eq!(open(&mut bench, "2001:db8::3"), Err(Turned::Address));
    assert!(open(&mut bench, "2001:db8:0:1::3").is_ok(), "another network");
    // Its place is free again when its socket is lost, and not once more when it is forgotten.
    bench.core.lost(bench.now, first);
    assert!(open(&mut bench, "2001:db8::4").is_ok());
    bench.pass(61_000);
    assert_eq!(open(&mut bench, "2001:db8::5"), Err(Turned::Address));
    bench.core.let_go(bench.now, second, Farewell::Expired);
    bench.core.lost(bench.now, second);
    assert!(open(&mut bench, "2001:db8::6").is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_has_said_who_it_is_has_no_token_looked_at() {
    let mut bench = bench();
    let key = bench.open("dispatcher", Encoding::Json);
    bench.read(key);
    assert!(bench.core.door_of(bench.now, key).is_none());
    for _ in 0..2 * GUESSES {
        bench.say(key, &json!({"action": "AUTHENTICATE", "token": "nonsense"}));
        assert_eq!(bench.read(key)[0]["code"], "forbidden");
    }
    assert!(bench.try_open(PEER, Encoding::Json, Some("driver")).is_ok(), "that was no guessing");
}
