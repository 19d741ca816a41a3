//! Queries by TCP (RFC 7766): for whoever can not have its answer by UDP. Bounded in number, in all and by address.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use drover_env::{ByteStream, Env, Listener, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::config::Config;
use crate::responder::{ANSWER_BYTES_MAX, Moment, Responder, Transport};
use crate::table::Table;

/// Before each message (RFC 1035 section 4.2.2).
const LENGTH_BYTES: usize = 2;
/// Longest query by TCP; whoever sends a longer one is hung up on.
const QUERY_BYTES_MAX: usize = 4096;
/// Answers that are put together before they are sent, for one who asks many questions at once. More wait, unread.
const WAITING_BYTES_MAX: usize = 1 << 16;
/// After an accept that failed: no more files, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all connections share.
#[derive(Clone)]
pub(crate) struct Tcp {
    pub(crate) env: Env,
    pub(crate) config: Config,
    pub(crate) table: Arc<ArcSwap<Table>>,
    pub(crate) responder: Arc<Mutex<Responder>>,
    pub(crate) cancel: CancellationToken,
}

/// Connections by address.
type Open = Arc<Mutex<BTreeMap<IpAddr, usize>>>;

/// A connection's place among those of its address; given back when it is dropped.
struct Seat {
    open: Open,
    ip: IpAddr,
}

impl Seat {
    fn take(open: &Open, ip: IpAddr, config: &Config) -> Option<Self> {
        // Who has an IPv6 address has all of its /64.
        let ip = match ip.to_canonical() {
            IpAddr::V4(ip) => ip.into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        };
        let mut of = lock(open);
        let all: usize = of.values().sum();
        let count = of.entry(ip).or_default();
        if all >= config.tcp_connections_max || *count >= config.tcp_per_address_max {
            if *count == 0 {
                of.remove(&ip);
            }
            return None;
        }
        *count += 1;
        Some(Self { open: open.clone(), ip })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut of = lock(&self.open);
        if let Some(count) = of.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                of.remove(&self.ip);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tcp {
    /// Accepts and answers until it is cancelled; ends when all connections have.
    pub(crate) async fn run(self, mut listener: Box<dyn Listener>) {
        let (open, tasks) = (Open::default(), TaskTracker::new());
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.cancel.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    debug!(%error, "accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let peer = stream.peer_addr();
            match Seat::take(&open, peer.ip(), &self.config) {
                Some(seat) => {
                    let connection = self.clone().serve(stream, peer, seat);
                    drop(self.env.spawn("dns connection", tasks.track_future(connection)));
                }
                None => self.env.event("dns.tcp_refused", &[("times", Value::U64(1))]),
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn serve(self, mut stream: Box<dyn ByteStream>, peer: SocketAddr, seat: Seat) {
        let cancel = self.cancel.clone();
        tokio::select! {
            biased;
            () = cancel.cancelled() => {}
            () = self.converse(&mut *stream, peer) => {}
        }
        drop(seat);
    }

    /// Answers one query after the other, in their order, until the client leaves, or says nothing for too long.
    async fn converse(&self, stream: &mut dyn ByteStream, peer: SocketAddr) {
        let mut input = Vec::with_capacity(512);
        let mut output = Vec::new();
        let mut due = Instant::now() + self.config.tcp_idle;
        loop {
            let is_good = self.answer_waiting(peer, &mut input, &mut output);
            if !output.is_empty() {
                let sent = async {
                    stream.write_all(&output).await?;
                    stream.flush().await
                };
                if !matches!(timeout(self.config.tcp_idle, sent).await, Ok(Ok(()))) {
                    return;
                }
                output.clear();
                due = Instant::now() + self.config.tcp_idle;
                // There may be more that did not fit.
                if is_good {
                    continue;
                }
            }
            if !is_good {
                return;
            }
            // A query that comes byte by byte has no longer than one that comes at once.
            match timeout_at(due, stream.read_buf(&mut input)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) | Err(_) => return,
            }
        }
    }

    /// Answers the whole queries in `input`, as far as there is room for answers; false if the client is to be left.
    fn answer_waiting(&self, peer: SocketAddr, input: &mut Vec<u8>, output: &mut Vec<u8>) -> bool {
        let table = self.table.load();
        let mut done = 0;
        let mut is_good = true;
        while let Some((length, rest)) = input[done..].split_first_chunk::<LENGTH_BYTES>() {
            let query_bytes = usize::from(u16::from_be_bytes(*length));
            if query_bytes > QUERY_BYTES_MAX {
                is_good = false;
                break;
            }
            let Some(query) = rest.get(..query_bytes) else { break };
            if output.len() >= WAITING_BYTES_MAX {
                break;
            }
            let moment = Moment { now: Instant::now(), wall_s: self.env.wall().as_secs() as u32 };
            let start = output.len();
            output.resize(start + LENGTH_BYTES + ANSWER_BYTES_MAX, 0);
            let room = &mut output[start + LENGTH_BYTES..];
            let written = lock(&self.responder).answer(&table, moment, peer, Transport::Stream, query, room);
            output.truncate(start + LENGTH_BYTES + written.unwrap_or_default());
            match written {
                Some(bytes) => {
                    output[start..start + LENGTH_BYTES].copy_from_slice(&(bytes as u16).to_be_bytes());
                }
                None => {
                    output.truncate(start);
                    is_good = false;
                    break;
                }
            }
            done += LENGTH_BYTES + query_bytes;
        }
        input.drain(..done);
        is_good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_network_has_the_places_of_one_address() {
        let (open, config) = (Open::default(), Config { tcp_per_address_max: 2, ..Config::default() });
        let take = |ip: &str| Seat::take(&open, ip.parse().expect("an address"), &config);
        let kept = [take("2001:db8::1"), take("2001:db8::2:3")];
        assert!(kept.iter().all(Option::is_some));
        assert!(take("2001:db8::4").is_none(), "of the same /64");
        assert!(take("2001:db8:0:1::4").is_some() && take("192.0.2.1").is_some());
        drop(kept);
        assert!(take("2001:db8::4").is_some());
    }
}
