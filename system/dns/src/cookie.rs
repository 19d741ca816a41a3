//! DNS cookies (RFC 7873) as all servers of a cluster make them (RFC 9018).

use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// Of a client.
pub(crate) const CLIENT_COOKIE_BYTES: usize = 8;
/// Of a server: version, three reserved bytes, time, hash (RFC 9018 section 4).
pub(crate) const SERVER_COOKIE_BYTES: usize = 16;
/// Both.
pub const COOKIE_BYTES: usize = CLIENT_COOKIE_BYTES + SERVER_COOKIE_BYTES;
/// Longest server cookie that a client may bring (RFC 7873 section 4).
pub(crate) const SERVER_COOKIE_BYTES_MAX: usize = 32;

/// Oldest cookie that is good, in seconds (RFC 9018 section 4.3).
const AGE_MAX_S: u32 = 3600;
/// From where on the client gets a new one.
const RENEW_AGE_S: u32 = 1800;
/// How far a server's clock may be ahead.
const AHEAD_MAX_S: u32 = 300;

/// What a client's cookie is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// It brought none.
    None,
    /// None of a server yet.
    New,
    /// One that no server of ours has made, for another address, or too long ago.
    Bad,
    /// It is where it says it is.
    Good,
}

/// The secrets of the present and of the generations beside it.
#[derive(Clone)]
pub struct CookieKeys {
    /// What new ones are made with, first.
    secrets: [[u8; 16]; 3],
}

impl std::fmt::Debug for CookieKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CookieKeys(..)")
    }
}

impl CookieKeys {
    /// The secret of the present generation, of the one before and of the one after.
    pub const fn new(present: [u8; 16], before: [u8; 16], after: [u8; 16]) -> Self {
        Self { secrets: [present, before, after] }
    }

    /// A server's cookie, made at `time_s` since 1970 (modulo 2^32).
    pub fn make(
        &self,
        client: &[u8; CLIENT_COOKIE_BYTES],
        ip: IpAddr,
        time_s: u32,
    ) -> [u8; SERVER_COOKIE_BYTES] {
        made(&self.secrets[0], client, ip, time_s)
    }

    /// Judges the content of a cookie option: the client's part and, if it has one, a server's. `None`: no cookie has that
    /// length (RFC 7873 section 5.2.2).
    pub fn judge(&self, option: &[u8], ip: IpAddr, now_s: u32) -> Option<(Worth, [u8; CLIENT_COOKIE_BYTES])> {
        let (client, server) = option.split_first_chunk::<CLIENT_COOKIE_BYTES>()?;
        let Ok(server) = <&[u8; SERVER_COOKIE_BYTES]>::try_from(server) else {
            let worth = match server.len() {
                0 => Worth::New,
                8..=SERVER_COOKIE_BYTES_MAX => Worth::Bad,
                _ => return None,
            };
            return Some((worth, *client));
        };
        let time_s = u32::from_be_bytes([server[4], server[5], server[6], server[7]]);
        // Serial numbers (RFC 1982): the clock's 32 bits wrap in 2106.
        let age_s = now_s.wrapping_sub(time_s) as i32;
        let is_recent = (-(AHEAD_MAX_S as i32)..=AGE_MAX_S as i32).contains(&age_s);
        let is_ours =
            || self.secrets.iter().any(|secret| is_equal(&made(secret, client, ip, time_s), server));
        let worth = if server[0] == 1 && is_recent && is_ours() { Worth::Good } else { Worth::Bad };
        Some((worth, *client))
    }

    /// The cookie for the answer to a client whose option was judged as `worth`: a good one comes back as it was, until it is
    /// half as old as it may become.
    pub(crate) fn answer(&self, option: &[u8], worth: Worth, ip: IpAddr, now_s: u32) -> [u8; COOKIE_BYTES] {
        let mut both = [0; COOKIE_BYTES];
        if let (Worth::Good, Ok(same)) = (worth, <&[u8; COOKIE_BYTES]>::try_from(option)) {
            let time_s = u32::from_be_bytes([same[12], same[13], same[14], same[15]]);
            if (now_s.wrapping_sub(time_s) as i32) < RENEW_AGE_S as i32 {
                return *same;
            }
        }
        if let Some(client) = option.first_chunk::<CLIENT_COOKIE_BYTES>() {
            both[..CLIENT_COOKIE_BYTES].copy_from_slice(client);
            both[CLIENT_COOKIE_BYTES..].copy_from_slice(&self.make(client, ip, now_s));
        }
        both
    }
}

fn made(
    secret: &[u8; 16],
    client: &[u8; CLIENT_COOKIE_BYTES],
    ip: IpAddr,
    time_s: u32,
) -> [u8; SERVER_COOKIE_BYTES] {
    let mut input = [0; CLIENT_COOKIE_BYTES + 8 + 16];
    input[..8].copy_from_slice(client);
    input[8] = 1;
    input[12..16].copy_from_slice(&time_s.to_be_bytes());
    let len = match ip {
        IpAddr::V4(ip) => {
            input[16..20].copy_from_slice(&ip.octets());
            20
        }
        IpAddr::V6(ip) => {
            input[16..].copy_from_slice(&ip.octets());
            32
        }
    };
    let hash = SipHasher24::new_with_key(secret).hash(&input[..len]);
    let mut cookie = [0; SERVER_COOKIE_BYTES];
    cookie[..8].copy_from_slice(&input[8..16]);
    // As the RFC's vectors have it: in the order in which SipHash gives its bytes.
    cookie[8..].copy_from_slice(&hash.to_le_bytes());
    cookie
}

/// Compares in a time that tells nothing about where they differ.
fn is_equal(one: &[u8; SERVER_COOKIE_BYTES], other: &[u8; SERVER_COOKIE_BYTES]) -> bool {
    one.iter().zip(other).fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 16] = 0xe5e9_73e5_a6b2_a43f_48e7_dc84_9e37_bfcf_u128.to_be_bytes();
    const CLIENT: [u8; 8] = 0x2464_c4ab_cf10_c957_u64.to_be_bytes();
    const MADE_S: u32 = 0x5cf7_9f11;

    fn ip() -> IpAddr {
        [198, 51, 100, 100].into()
    }

    fn keys() -> CookieKeys {
        CookieKeys::new(SECRET, [1; 16], [2; 16])
    }

    #[test]
    fn the_published_vector_holds() {
        // RFC 9018 appendix A.1.
        let expected = 0x0100_0000_5cf7_9f11_1f81_30c3_eee2_9480_u128.to_be_bytes();
        assert_eq!(keys().make(&CLIENT, ip(), MADE_S), expected);
    }

    #[test]
    fn a_cookie_of_ipv6_holds() {
        // RFC 9018 appendix A.4, with its secret.
        let secret = 0xdd3b_df93_44b6_78b1_85a6_f5cb_60fc_a715_u128.to_be_bytes();
        let keys = CookieKeys::new(secret, secret, secret);
        let client = 0x2268_1ab9_7d52_c298_u64.to_be_bytes();
        let ip = "2001:db8:220:1:59de:d0f4:8769:82b8".parse().expect("an address");
        let expected = 0x0100_0000_5cf7_c579_2655_6bd0_934c_72f8_u128.to_be_bytes();
        assert_eq!(keys.make(&client, ip, 0x5cf7_c579), expected);
    }

    #[track_caller]
    fn check(option: &[u8], ip: IpAddr, age_s: i32, expected: Option<Worth>) {
        let now_s = MADE_S.wrapping_add_signed(age_s);
        assert_eq!(keys().judge(option, ip, now_s).map(|(worth, _)| worth), expected);
    }

    #[test]
    fn only_the_same_client_has_a_good_one_and_for_an_hour() {
        let good = [&CLIENT[..], &keys().make(&CLIENT, ip(), MADE_S)].concat();
        for (age_s, worth) in [
            (0, Worth::Good),
            (3600, Worth::Good),
            (3601, Worth::Bad),
            (-300, Worth::Good),
            (-301, Worth::Bad),
        ] {
            check(&good, ip(), age_s, Some(worth));
        }
        check(&good, [198, 51, 100, 101].into(), 0, Some(Worth::Bad));
        for at in 0..good.len() {
            let mut other = good.clone();
            other[at] ^= 1;
            check(&other, ip(), 0, Some(Worth::Bad));
        }
        check(&CLIENT, ip(), 0, Some(Worth::New));
        check(&[7; 16], ip(), 0, Some(Worth::Bad));
        check(&[7; 40], ip(), 0, Some(Worth::Bad));
        for len in [0, 7, 9, 15, 41] {
            check(&vec![7; len], ip(), 0, None);
        }
    }

    #[test]
    fn secrets_of_the_generations_beside_are_known() {
        let good = |secret| {
            let made = CookieKeys::new(secret, secret, secret).make(&CLIENT, ip(), MADE_S);
            [&CLIENT[..], &made].concat()
        };
        check(&good([1; 16]), ip(), 0, Some(Worth::Good));
        check(&good([2; 16]), ip(), 0, Some(Worth::Good));
        check(&good([3; 16]), ip(), 0, Some(Worth::Bad));
    }

    #[test]
    fn a_good_one_is_kept_for_half_of_its_life() {
        let good = [&CLIENT[..], &keys().make(&CLIENT, ip(), MADE_S)].concat();
        let after = |age_s| keys().answer(&good, Worth::Good, ip(), MADE_S + age_s).to_vec();
        assert_eq!(after(1799), good);
        assert_ne!(after(1800), good);
        assert_eq!(&after(1800)[..8], &CLIENT);
    }
}
