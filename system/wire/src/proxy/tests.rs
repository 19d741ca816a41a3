use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks_exact(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).expect("ASCII"), 16).expect("hex")).collect()
}

fn tcp(client: &str, server: &str) -> Proxied {
    let addr = |text: &str| text.parse().expect("an address");
    Proxied::Tcp { client: addr(client), server: addr(server) }
}

/// What HAProxy 2.6 sent with `send-proxy-v2 proxy-v2-options crc32c`, and then without the option.
const HAPROXY_V4: &str = "0d0a0d0a000d0a515549540a211100137f0000097f0000019c49798703000405793048";
const HAPROXY_V6: &str = "0d0a0d0a000d0a515549540a21210024000000000000000000000000000000010000000000000000\
                          00000000000000019c4a7987";

#[test]
fn what_haproxy_sends_is_read_and_written_alike() {
    let v4 = tcp("127.0.0.9:40009", "127.0.0.1:31111");
    assert_eq!(Header::of(v4).as_bytes(), bytes(HAPROXY_V4));
    assert_eq!(parse(&bytes(HAPROXY_V4)), Ok(Some((v4, 35))));
    let v6 = tcp("[::1]:40010", "[::1]:31111");
    assert_eq!(parse(&bytes(HAPROXY_V6)), Ok(Some((v6, 52))));
    // Ours has a checksum more.
    let ours = Header::of(v6);
    let haproxy = bytes(HAPROXY_V6);
    assert_eq!((&ours.as_bytes()[..15], &ours.as_bytes()[16..52]), (&haproxy[..15], &haproxy[16..]));
    assert_eq!(parse(ours.as_bytes()), Ok(Some((v6, 59))));
}

#[test]
fn a_check_of_health_says_so_in_sixteen_bytes() {
    let local = Header::of(Proxied::Local);
    assert_eq!(local.as_bytes(), bytes("0d0a0d0a000d0a515549540a20000000"));
    assert_eq!(parse(local.as_bytes()), Ok(Some((Proxied::Local, 16))));
    // With addresses that are to be ignored, whatever they are; and a PROXY of no family.
    let ignored = bytes("0d0a0d0a000d0a515549540a20110003aabbcc");
    assert_eq!(parse(&ignored), Ok(Some((Proxied::Local, 19))));
    let nobody = bytes("0d0a0d0a000d0a515549540a21000001ff");
    assert_eq!(parse(&nobody), Ok(Some((Proxied::Local, 17))));
}

#[test]
fn addresses_of_two_families_are_written_as_one() {
    let mixed = tcp("192.0.2.7:5", "[2001:db8::1]:443");
    assert_eq!(parse(Header::of(mixed).as_bytes()), Ok(Some((mixed, 59))));
    let mapped = tcp("[::ffff:192.0.2.7]:5", "[::ffff:192.0.2.1]:443");
    assert_eq!(Header::of(mapped), Header::of(tcp("192.0.2.7:5", "192.0.2.1:443")));
}

#[test]
fn what_comes_in_pieces_is_waited_for_and_what_follows_is_left() {
    let mut header = bytes(HAPROXY_V4);
    for len in 0..header.len() {
        assert_eq!(parse(&header[..len]), Ok(None), "{len} bytes");
    }
    header.extend_from_slice(b"GET / HTTP/1.1\r\n");
    assert_eq!(parse(&header).map(|parsed| parsed.map(|(_, len)| len)), Ok(Some(35)));
}

#[test]
fn what_is_no_header_is_named() {
    let check = |change: &[(usize, u8)], expected: ProxyError| {
        let mut header = bytes(HAPROXY_V4);
        change.iter().for_each(|(at, byte)| header[*at] = *byte);
        assert_eq!(parse(&header), Err(expected), "{change:?}");
    };
    assert_eq!(parse(b"GET / HTTP/1.1\r\n"), Err(ProxyError::Signature));
    assert_eq!(parse(b"\r\n\r\nX"), Err(ProxyError::Signature), "said as soon as it is seen");
    assert_eq!(parse(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"), Err(ProxyError::Signature));
    check(&[(12, 0x11)], ProxyError::Command(0x11));
    check(&[(12, 0x22)], ProxyError::Command(0x22));
    check(&[(13, 0x12)], ProxyError::Family(0x12));
    check(&[(13, 0x31)], ProxyError::Family(0x31));
    check(&[(13, 0x21)], ProxyError::Short);
    check(&[(14, 0x02), (15, 0x09)], ProxyError::Oversize { len_bytes: 537 });
    check(&[(15, 11)], ProxyError::Short);
    check(&[(15, 14)], ProxyError::Short);
    check(&[(16, 10)], ProxyError::Checksum);
    check(&[(34, 0)], ProxyError::Checksum);
    check(&[(30, 3)], ProxyError::Short);
    check(&[(30, 9)], ProxyError::Short);
}

#[test]
fn the_checksum_is_that_of_the_standard() {
    // RFC 3720 appendix B.4.
    assert_eq!(crc32c(&[&[0; 32]]), 0x8a91_36aa);
    assert_eq!(crc32c(&[&[0xff; 10], &[0xff; 22]]), 0x62a8_ab43);
    assert_eq!(crc32c(&[b"123456789"]), 0xe306_9283);
}
