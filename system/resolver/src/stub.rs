//! Which server is asked next, and what its answer is worth. Holds no clock and no socket.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use crate::message::{Answer, Code, NAME_BYTES_MAX, Query};

/// However long an answer says that it may be kept.
const TTL_MAX: Duration = Duration::from_secs(3600);
/// Most addresses that are taken from an answer.
pub(crate) const ADDRS_MAX: usize = 16;

/// A text that is no domain name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no domain name: labels of 1 to 63 letters, digits, - and _ with dots between, 253 in all"
)]
pub struct NameError {
    /// The text as it was given.
    pub text: String,
}

/// Where a name leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Never empty; the one to be used first is first.
    pub addrs: Vec<IpAddr>,
    /// How long they may be kept.
    pub ttl: Duration,
    /// Who said so.
    pub server: SocketAddr,
}

/// What an answer is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Worth {
    /// It is the answer.
    Found(Found),
    /// The same server is asked again, with the cookie that it gave.
    Again,
    /// The rest is to be had from the same server by TCP.
    Truncated,
    /// Another server may know more.
    Nothing(Code),
}

/// A DNS server, and what it knows us by.
#[derive(Debug)]
struct Server {
    addr: SocketAddr,
    client_cookie: [u8; 8],
    /// Client's and server's part.
    cookie: Option<Vec<u8>>,
}

/// Asks for one name.
#[derive(Debug)]
pub(crate) struct Stub {
    /// In wire form.
    name: Vec<u8>,
    is_v4: bool,
    servers: Vec<Server>,
    /// The one that is asked: the last that has answered, or one at random at first.
    current: usize,
    rng: ChaCha8Rng,
}

impl Stub {
    /// Asks `servers`, of which there is one at least, for the addresses of `name`.
    pub(crate) fn new(
        name: &str,
        is_v4: bool,
        servers: &[SocketAddr],
        mut rng: ChaCha8Rng,
    ) -> Result<Self, NameError> {
        let name = wire(name)?;
        let servers: Vec<Server> = servers
            .iter()
            .map(|addr| Server { addr: *addr, client_cookie: rng.random(), cookie: None })
            .collect();
        let current = rng.random_range(0..servers.len().max(1));
        Ok(Self { name, is_v4, servers, current, rng })
    }

    pub(crate) const fn servers_len(&self) -> usize {
        self.servers.len()
    }

    /// The next query, and whom it is for; `None` without servers. Each has a number of its own, and letters of a size that
    /// nobody can guess who has not seen it.
    pub(crate) fn query(&mut self) -> Option<(SocketAddr, Query)> {
        let id = self.rng.next_u32() as u16;
        let mut name = self.name.clone();
        for byte in &mut name {
            if byte.is_ascii_alphabetic() && self.rng.random() {
                *byte ^= 0x20;
            }
        }
        let server = self.servers.get(self.current)?;
        let (cookie, is_padded) = match &server.cookie {
            Some(cookie) => (cookie.as_slice(), false),
            None => (&server.client_cookie[..], true),
        };
        Some((server.addr, Query::new(id, &name, self.is_v4, cookie, is_padded)))
    }

    /// The next query goes to another server.
    pub(crate) const fn turn(&mut self) {
        self.current = (self.current + 1) % self.servers.len();
    }

    /// What an answer of the server that is asked is worth.
    pub(crate) fn take(&mut self, answer: &Answer<'_>) -> Worth {
        let server = &mut self.servers[self.current];
        let ours = answer.cookie.filter(|cookie| cookie.starts_with(&server.client_cookie));
        let is_new = ours.is_some() && ours != server.cookie.as_deref();
        if let Some(cookie) = ours {
            server.cookie = Some(cookie.to_vec());
        }
        match answer.code {
            Code::BadCookie if is_new => Worth::Again,
            Code::BadCookie => {
                server.cookie = None;
                Worth::Nothing(answer.code)
            }
            Code::NoError if answer.is_truncated => Worth::Truncated,
            Code::NoError if !answer.addrs.is_empty() => {
                let addrs = answer.addrs.iter().copied().take(ADDRS_MAX).collect();
                let ttl = Duration::from_secs(answer.ttl_s.into()).min(TTL_MAX);
                Worth::Found(Found { addrs, ttl, server: server.addr })
            }
            code => Worth::Nothing(code),
        }
    }
}

/// Checks that `text` is a name that could be looked up.
///
/// # Errors
/// See [`NameError`].
pub fn check_name(text: &str) -> Result<(), NameError> {
    wire(text).map(drop)
}

/// A name in wire form.
fn wire(text: &str) -> Result<Vec<u8>, NameError> {
    let refused = || NameError { text: text.to_owned() };
    let mut bytes = Vec::with_capacity(text.len() + 2);
    for label in text.strip_suffix('.').unwrap_or(text).split('.') {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=63).contains(&label.len()) || !label.bytes().all(is_good) {
            return Err(refused());
        }
        bytes.push(label.len() as u8);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    if bytes.len() > NAME_BYTES_MAX { Err(refused()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use drover_env::SeedTree;

    use super::*;

    fn addr(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 53))
    }

    fn stub(servers: u8) -> Stub {
        let servers: Vec<_> = (0..servers).map(addr).collect();
        Stub::new("routers.fleet.example", true, &servers, SeedTree::from_number(7).rng("dns"))
            .expect("a name")
    }

    fn answer(code: Code, cookie: Option<&[u8]>) -> Answer<'_> {
        Answer { code, is_truncated: false, addrs: Vec::new(), ttl_s: 10, cookie }
    }

    #[test]
    fn no_two_queries_are_alike() {
        let mut stub = stub(1);
        let queries: Vec<_> = (0..50).filter_map(|_| stub.query()).map(|(_, query)| query.bytes).collect();
        let mut ids: Vec<_> = queries.iter().map(|bytes| bytes[..2].to_vec()).collect();
        let mut names: Vec<_> = queries.iter().map(|bytes| bytes[12..35].to_vec()).collect();
        for all in [&mut ids, &mut names] {
            all.sort_unstable();
            all.dedup();
            assert!(all.len() > 45, "{}", all.len());
        }
        assert!(queries.iter().all(|bytes| bytes.len() == 256), "padded: nobody knows us yet");
    }

    #[test]
    fn a_cookie_is_kept_and_brought() {
        let mut stub = stub(1);
        let mut cookie = stub.servers[0].client_cookie.to_vec();
        assert_eq!(stub.take(&answer(Code::NoError, Some(&[9; 24]))), Worth::Nothing(Code::NoError));
        assert_eq!(stub.servers[0].cookie, None, "another's");
        cookie.extend([5; 16]);
        assert_eq!(stub.take(&answer(Code::BadCookie, Some(&cookie))), Worth::Again);
        let (_, query) = stub.query().expect("a server");
        assert!(query.bytes.ends_with(&cookie) && query.bytes.len() < 100);
        // Not for ever.
        assert_eq!(stub.take(&answer(Code::BadCookie, Some(&cookie))), Worth::Nothing(Code::BadCookie));
        assert_eq!(stub.query().expect("a server").1.bytes.len(), 256);
    }

    #[test]
    fn servers_take_turns_and_one_that_answers_is_kept() {
        let mut stub = stub(3);
        let mut asked = |turn: bool| {
            if turn {
                stub.turn();
            }
            stub.query().expect("a server").0
        };
        let first = asked(false);
        assert_eq!(asked(false), first);
        let others = [asked(true), asked(true), asked(true)];
        assert_eq!(others[2], first);
        assert!(others[0] != first && others[1] != others[0]);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "a..b", "a b", &"a".repeat(64)] {
            assert!(
                Stub::new(text, true, &[addr(1)], SeedTree::from_number(7).rng("dns")).is_err(),
                "{text}"
            );
        }
    }
}
