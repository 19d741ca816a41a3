//! Vehicles that report to a broker: a TLS connection each, open-loop, and what is not acknowledged is said again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use drover_env::real;
use drover_model::{SequenceSet, WallTime};
use hdrhistogram::Histogram;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::payload::{self, FIXES};
use crate::{Peer, mqtt, nats};

/// Longest wait for a broker's answers after the last message.
const PATIENCE: Duration = Duration::from_secs(30);
/// A message that was not acknowledged for so long is said again.
const REPEAT_AFTER: Duration = Duration::from_secs(5);

/// What all vehicles of a run share.
pub(crate) struct Fleet {
    pub(crate) peer: Peer,
    pub(crate) broker: SocketAddr,
    pub(crate) tls: TlsConnector,
    pub(crate) count: usize,
    /// Between two messages of a vehicle.
    pub(crate) interval: Duration,
    /// When the first message is due.
    pub(crate) start: Instant,
    pub(crate) seconds: u64,
    pub(crate) seen: Mutex<Seen>,
}

/// What vehicles were told.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) connected: usize,
    pub(crate) connects: u64,
    pub(crate) repeats: u64,
    /// By vehicle: the fixes that the broker has acknowledged.
    pub(crate) acked: BTreeMap<usize, SequenceSet>,
    /// In each second since the start: fixes acknowledged.
    pub(crate) acked_in: BTreeMap<u64, u64>,
    /// From when a message was due until it was acknowledged, in microseconds.
    pub(crate) latency: Option<Histogram<u64>>,
}

struct Waiting {
    due: Instant,
    sent: Instant,
    payload: Vec<u8>,
}

type Link = TlsStream<TcpStream>;

impl Fleet {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One vehicle, until its last message is acknowledged or nobody has the patience.
    pub(crate) async fn drive(self: Arc<Self>, index: usize) {
        let mut waiting: BTreeMap<u16, Waiting> = BTreeMap::new();
        let first = self.start + self.interval.mul_f64(index as f64 / self.count as f64);
        let last = self.start + Duration::from_secs(self.seconds);
        let (mut number, mut next) = (0u64, first);
        let mut was_connected = false;
        while Instant::now() < last + PATIENCE && (next < last || !waiting.is_empty()) {
            let Ok(mut link) = self.connect(index).await else {
                sleep(Duration::from_millis(200 + (index as u64 * 37) % 800)).await;
                continue;
            };
            {
                let mut seen = self.seen();
                seen.connects += 1;
                seen.connected += usize::from(!was_connected);
                was_connected = true;
            }
            drop(self.talk(index, &mut link, &mut waiting, &mut number, &mut next, last).await);
        }
    }

    /// Speaks with the broker as long as the connection lasts.
    async fn talk(
        &self,
        index: usize,
        link: &mut Link,
        waiting: &mut BTreeMap<u16, Waiting>,
        number: &mut u64,
        next: &mut Instant,
        last: Instant,
    ) -> std::io::Result<()> {
        let (mut out, mut heard) = (BytesMut::new(), BytesMut::new());
        let topic = self.topic(index);
        for (id, message) in waiting.iter_mut() {
            self.publish(&topic, index, *id, &message.payload, &mut out);
            message.sent = Instant::now();
            self.seen().repeats += 1;
        }
        loop {
            link.write_all(&out).await?;
            link.flush().await?;
            out.clear();
            let is_over = *next >= last;
            if is_over && (waiting.is_empty() || Instant::now() > last + PATIENCE) {
                return Ok(());
            }
            let stale = waiting.values().map(|message| message.sent + REPEAT_AFTER).min();
            let wake = if is_over { last + PATIENCE } else { *next };
            let wake = stale.map_or(wake, |stale| stale.min(wake));
            tokio::select! {
                biased;
                read = link.read_buf(&mut heard) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    while let Some(id) = self.acked(&mut heard, &mut out) {
                        if let Some(message) = waiting.remove(&id) {
                            self.handle_ack(index, id, message.due);
                        }
                    }
                }
                () = sleep_until(wake) => {
                    let now = Instant::now();
                    if !is_over && now >= *next {
                        let late = (now - *next).as_micros() as i64;
                        let wall = WallTime::from_micros(real::wall().as_micros() - late);
                        let apart = self.interval.as_micros() as i64 / FIXES as i64;
                        let payload = payload::encode(index, *number, wall, apart);
                        // The broker's ids are from 1; a vehicle has far fewer messages here than there are ids.
                        let id = *number as u16 + 1;
                        self.publish(&topic, index, id, &payload, &mut out);
                        waiting.insert(id, Waiting { due: *next, sent: now, payload });
                        *number += 1;
                        *next += self.interval;
                    }
                    for (id, message) in waiting.iter_mut().filter(|(_, one)| one.sent + REPEAT_AFTER <= now) {
                        self.publish(&topic, index, *id, &message.payload, &mut out);
                        message.sent = now;
                        self.seen().repeats += 1;
                    }
                }
            }
        }
    }

    fn handle_ack(&self, index: usize, id: u16, due: Instant) {
        let first = u64::from(id - 1) * FIXES;
        let now = Instant::now();
        let mut seen = self.seen();
        seen.acked.entry(index).or_default().insert_range(first..=first + FIXES - 1);
        *seen.acked_in.entry((now - self.start).as_secs()).or_default() += FIXES;
        let latency = seen
            .latency
            .get_or_insert_with(|| Histogram::new_with_bounds(1, 600_000_000, 3).expect("bounds"));
        latency.saturating_record((now - due).as_micros() as u64);
    }

    fn topic(&self, index: usize) -> String {
        match self.peer {
            Peer::Mosquitto => format!("t/{}", payload::vehicle(index)),
            Peer::Nats => format!("t.{}", payload::vehicle(index)),
        }
    }

    fn publish(&self, topic: &str, index: usize, id: u16, payload: &[u8], out: &mut BytesMut) {
        match self.peer {
            Peer::Mosquitto => mqtt::publish(topic, id, payload, out),
            Peer::Nats => nats::publish(topic, &format!("_INBOX.{index}.{id}"), payload, out),
        }
    }

    /// The next acknowledgement among what was heard.
    fn acked(&self, heard: &mut BytesMut, out: &mut BytesMut) -> Option<u16> {
        match self.peer {
            Peer::Mosquitto => loop {
                if let mqtt::Said::Puback(id) = mqtt::next(heard)? {
                    return Some(id);
                }
            },
            Peer::Nats => loop {
                match nats::next(heard)? {
                    nats::Said::Ping => nats::pong(out),
                    // An acknowledgement names the stream; anything else is no room, or nobody there.
                    nats::Said::Message { subject, payload, .. }
                        if payload.windows(8).any(|word| word == b"\"stream\"") =>
                    {
                        return subject.rsplit('.').next()?.parse().ok();
                    }
                    _ => {}
                }
            },
        }
    }

    async fn connect(&self, index: usize) -> std::io::Result<Link> {
        let until = Instant::now() + PATIENCE;
        let connected = timeout_at(until, async {
            let mut tcp = TcpStream::connect(self.broker).await?;
            tcp.set_nodelay(true)?;
            let (mut out, mut heard) = (BytesMut::new(), BytesMut::new());
            if self.peer == Peer::Nats {
                // It says who it is before it speaks TLS.
                while nats::next(&mut heard).is_none() {
                    fill(&mut tcp, &mut heard).await?;
                }
            }
            let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
            let mut link = self.tls.connect(name, tcp).await?;
            match self.peer {
                Peer::Mosquitto => mqtt::connect(&format!("van-{index}"), &mut out),
                Peer::Nats => {
                    nats::connect(&mut out);
                    nats::subscribe(&format!("_INBOX.{index}.*"), 1, &mut out);
                    nats::ping(&mut out);
                }
            }
            link.write_all(&out).await?;
            link.flush().await?;
            loop {
                let answered = match self.peer {
                    Peer::Mosquitto => matches!(mqtt::next(&mut heard), Some(mqtt::Said::Connack(0))),
                    Peer::Nats => matches!(nats::next(&mut heard), Some(nats::Said::Pong)),
                };
                if answered {
                    return Ok(link);
                }
                if heard.is_empty() || self.peer == Peer::Mosquitto {
                    fill(&mut link, &mut heard).await?;
                }
            }
        });
        connected.await.map_err(|_| std::io::Error::other("no answer"))?
    }
}

async fn fill(from: &mut (impl AsyncReadExt + Unpin), heard: &mut BytesMut) -> std::io::Result<()> {
    match from.read_buf(heard).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
