//! What RFC 6455 asks of a server, held against the hub on a real socket: what a client may do is taken, and whoever breaks a rule sees
//! the close code that the RFC has for it (section 7.4.1) and is counted under its reason.

use drover_hub::Config;
use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::Message;

use crate::bench::{Bench, Client};

/// Largest message of a client here, in bytes.
const MESSAGE_BYTES_MAX: usize = 1_000;
/// First bytes of frames: the last or only one of a message, of each kind.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const LAST: u8 = 0x80;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// Those of a message that goes on.
const TEXT_BEGINS: u8 = 0x01;
const BINARY_BEGINS: u8 = 0x02;
const GOES_ON: u8 = 0x00;
/// What the hub counts a breach under.
const PROTOCOL: (u16, &str) = (1002, "protocol");
const NOT_UTF8: (u16, &str) = (1007, "not_utf8");
const TOO_LARGE: (u16, &str) = (1009, "too_large");
const UNSUPPORTED: (u16, &str) = (1003, "unsupported");

async fn bench() -> Bench {
    Bench::start(Config { message_bytes_max: MESSAGE_BYTES_MAX, ..Config::default() }).await
}

/// A frame as a client must send it: masked (section 5.3), its length in as few bytes as hold it (section 5.2).
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut bytes = vec![first];
    match u16::try_from(payload.len()).expect("a short one") {
        len @ ..126 => bytes.push(0x80 | len as u8),
        len => {
            bytes.push(0x80 | 126);
            bytes.extend(len.to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Frames, one after the other.
fn frames(all: &[(u8, &[u8])]) -> Vec<u8> {
    all.iter().flat_map(|(first, payload)| frame(*first, payload)).collect()
}

/// A close frame with this code.
fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// A client that was let in writes `bytes`: the hub closes with that code, and counts it once under that reason.
async fn check(bench: &Bench, what: &str, bytes: &[u8], (code, reason): (u16, &str)) {
    let before = bench.counted_as("hub.let_go", reason);
    let mut client = bench.client(Some("dispatcher"), None).await;
    client.write_raw(bytes).await;
    assert_eq!(client.closed().await, code, "{what}");
    assert_eq!(bench.counted_as("hub.let_go", reason), before + 1, "{what}: counted once");
}

/// The payload of the next pong.
async fn pong(client: &mut Client) -> Vec<u8> {
    loop {
        match client.0.next().await.expect("open").expect("good") {
            Message::Pong(payload) => return payload.to_vec(),
            Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Frame(_) => {}
            Message::Close(frame) => panic!("closed: {frame:?}"),
        }
    }
}

#[tokio::test]
async fn frames_that_no_client_may_send_are_breaches_of_the_protocol() {
    let bench = bench().await;
    check(&bench, "not masked", &[TEXT, 1, b'x'], PROTOCOL).await;
    for (bit, first) in [(1, 0xc1), (2, 0xa1), (3, 0x91)] {
        check(&bench, &format!("reserved bit {bit}"), &frame(first, b"x"), PROTOCOL).await;
    }
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        check(&bench, &format!("reserved opcode {opcode:x}"), &frame(0x80 | opcode, b"x"), PROTOCOL).await;
    }
}

#[tokio::test]
async fn control_frames_are_short_and_whole() {
    let bench = bench().await;
    for (what, first) in [("close", CLOSE), ("ping", PING), ("pong", PONG)] {
        check(&bench, &format!("a {what} of 126 bytes"), &frame(first, &[b'x'; 126]), PROTOCOL).await;
        check(&bench, &format!("a {what} that goes on"), &frame(first & 0x0f, b"xx"), PROTOCOL).await;
    }
    let mut client = bench.client(Some("dispatcher"), None).await;
    client.write_raw(&frame(PING, &[b'x'; 125])).await;
    assert_eq!(pong(&mut client).await, [b'x'; 125]);
    assert_eq!(bench.counted("hub.let_go"), 6, "of the longest that may be nothing is counted");
}

#[tokio::test]
async fn fragments_are_joined_with_control_frames_between_them() {
    let bench = bench().await;
    let mut client = bench.client(Some("dispatcher"), None).await;
    client.write_raw(&frame(TEXT_BEGINS, br#"{"action":"#)).await;
    client.write_raw(&frame(PING, b"one")).await;
    assert_eq!(pong(&mut client).await, b"one");
    client.write_raw(&frame(GOES_ON, b"")).await;
    client.write_raw(&frame(GOES_ON, br#""PING","#)).await;
    client.write_raw(&frames(&[(PONG, b"unasked"), (PING, b"two")])).await;
    assert_eq!(pong(&mut client).await, b"two");
    client.write_raw(&frame(LAST, br#""id":3}"#)).await;
    assert_eq!(client.next("pong").await.expect("told")["id"], 3);
    client.say("{").await;
    assert_eq!(client.next("error").await.expect("told")["code"], "bad_json");
    assert_eq!(bench.counted("hub.let_go"), 0);
}

#[tokio::test]
async fn fragments_out_of_order_are_breaches_of_the_protocol() {
    let bench = bench().await;
    check(&bench, "goes on with nothing", &frame(GOES_ON, b"x"), PROTOCOL).await;
    check(&bench, "ends nothing", &frame(LAST, b"x"), PROTOCOL).await;
    check(&bench, "begins twice", &frames(&[(TEXT_BEGINS, b"x"), (TEXT_BEGINS, b"y")]), PROTOCOL).await;
    check(&bench, "whole within another", &frames(&[(TEXT_BEGINS, b"x"), (TEXT, b"y")]), PROTOCOL).await;
    let after = frames(&[(TEXT_BEGINS, b"x"), (LAST, b"y"), (LAST, b"z")]);
    check(&bench, "goes on after its end", &after, PROTOCOL).await;
    check(&bench, "a binary message", &frame(BINARY, b"x"), UNSUPPORTED).await;
    check(&bench, "one in fragments", &frames(&[(BINARY_BEGINS, b"x"), (LAST, b"y")]), UNSUPPORTED).await;
}

#[tokio::test]
async fn text_is_utf8_however_it_is_cut() {
    let bench = bench().await;
    check(&bench, "no second byte", &frame(TEXT, b"\xc3\x28"), NOT_UTF8).await;
    check(&bench, "cut off", &frame(TEXT, b"x\xe2\x82"), NOT_UTF8).await;
    check(&bench, "longer than need be", &frame(TEXT, b"\xc0\xaf"), NOT_UTF8).await;
    check(&bench, "a surrogate", &frame(TEXT, b"\xed\xa0\x80"), NOT_UTF8).await;
    check(&bench, "beyond U+10FFFF", &frame(TEXT, b"\xf4\x90\x80\x80"), NOT_UTF8).await;
    let cut = |head: &[u8], tail: &[u8]| frames(&[(TEXT_BEGINS, head), (LAST, tail)]);
    check(&bench, "wrong in the second fragment", &cut(b"x\xc3", b"\x28"), NOT_UTF8).await;
    check(&bench, "cut off at the end of the last", &cut(b"x", b"\xe2\x82"), NOT_UTF8).await;
    // Nothing that follows can make it right: whoever reads need not wait for the end.
    check(&bench, "wrong in the first", &frame(TEXT_BEGINS, b"\xff"), NOT_UTF8).await;
    let mut client = bench.client(Some("dispatcher"), None).await;
    let said = "{\"action\":\"UNSUBSCRIBE\",\"topic\":\"€\"}".as_bytes();
    let euro = said.iter().position(|byte| *byte == 0xe2).expect("it is there");
    let (head, tail) = said.split_at(euro + 1);
    client.write_raw(&frames(&[(TEXT_BEGINS, head), (PING, b"between"), (GOES_ON, &tail[..1])])).await;
    client.write_raw(&frame(LAST, &tail[1..])).await;
    let error = client.next("error").await.expect("told");
    assert!(error["detail"].as_str().is_some_and(|detail| detail.contains('€')), "{error}");
}

#[tokio::test]
async fn what_is_too_large_is_refused_by_its_announced_length() {
    let bench = bench().await;
    let most = vec![b'x'; MESSAGE_BYTES_MAX];
    let mut client = bench.client(Some("dispatcher"), None).await;
    client.write_raw(&frame(TEXT, &most)).await;
    assert_eq!(client.next("error").await.expect("told")["code"], "bad_json", "as large as may be");
    client.write_raw(&frames(&[(TEXT_BEGINS, &most[1..]), (LAST, b"x")])).await;
    assert_eq!(client.next("error").await.expect("told")["code"], "bad_json", "in fragments, too");
    check(&bench, "a byte more", &frame(TEXT, &[&most[..], b"x"].concat()), TOO_LARGE).await;
    // No byte of the payload has come.
    check(&bench, "a length of 16 bits", &[TEXT, 0xfe, 0x10, 0, 1, 2, 3, 4], TOO_LARGE).await;
    let long = [TEXT, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4];
    check(&bench, "a length of 64 bits", &long, TOO_LARGE).await;
    let message = frames(&[(TEXT_BEGINS, &most[..600]), (GOES_ON, &most[..300]), (LAST, &most[..101])]);
    check(&bench, "small frames of a large message", &message, TOO_LARGE).await;
}

#[tokio::test]
async fn a_goodbye_is_answered_and_one_that_may_not_be_is_a_breach() {
    let bench = bench().await;
    let answered = async |bytes: &[u8]| {
        let mut client = bench.client(Some("dispatcher"), None).await;
        client.write_raw(bytes).await;
        client.closed().await
    };
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        assert_eq!(answered(&close(code, b"enough")).await, code, "the code comes back");
    }
    assert_eq!(answered(&frame(CLOSE, b"")).await, 1005, "without a code there is none in the answer");
    let within = [frame(TEXT_BEGINS, b"x"), close(1000, b"")].concat();
    assert_eq!(answered(&within).await, 1000, "in the middle of a message");
    assert_eq!(bench.counted("hub.let_go"), 0, "who says goodbye is not counted");
    check(&bench, "a close of one byte", &frame(CLOSE, b"\x03"), PROTOCOL).await;
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        check(&bench, &format!("close code {code}"), &close(code, b""), PROTOCOL).await;
    }
    check(&bench, "a reason that is not UTF-8", &close(1000, b"\xff"), NOT_UTF8).await;
}

#[tokio::test]
async fn who_goes_without_a_goodbye_has_broken_no_rule() {
    let bench = Bench::start(Config { sockets_per_address_max: 1, ..Config::default() }).await;
    drop(bench.client(Some("dispatcher"), None).await);
    // There is room for one: the next is let in once the hub has seen that the first is gone.
    while bench.try_client(Some("dispatcher"), None).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.counted("hub.let_go"), 0);
}
