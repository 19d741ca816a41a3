//! What stands between a broker and the table: one process, one thread, one connection. It writes with the same store as our
//! persistence agent and in batches as large, and acknowledges to the broker after the commit. It reads on while it writes, and
//! while the database is away.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use drover_env::real;
use drover_model::WallTime;
use drover_store::postgres::{Config, PostgresStore};
use drover_store::{OutboxEvent, Row, Store, Transaction};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{Peer, mqtt, nats, payload};

const ROWS_MAX: usize = 5_000;
/// Messages that NATS is asked for at once.
const PULL: usize = 2_000;
/// Where NATS sends messages, and where what it says of requests.
const INBOX: &str = "_INBOX.consumer.messages";
const ANSWERS: &str = "_INBOX.consumer.answers";

/// Rows that it holds while the database is away; then it reads no further.
const WAITING_ROWS_MAX: usize = 1_000_000;

/// How a message is acknowledged.
enum Handle {
    Mqtt(u16),
    Nats(String),
}

struct Message {
    handle: Option<Handle>,
    rows: Vec<Row>,
    due: WallTime,
}

struct Writing {
    done: JoinHandle<()>,
    messages: Vec<Message>,
    rows: u64,
}

struct Consumer {
    peer: Peer,
    /// As our persistence agent's.
    linger: Duration,
    store: Arc<PostgresStore>,
    waiting: VecDeque<Message>,
    waiting_rows: usize,
    oldest: Option<Instant>,
    /// What is being written, and what is to be acknowledged then.
    writing: Option<Writing>,
    /// Messages that NATS may still send.
    asked: usize,
    committed: u64,
    latency: Histogram<u64>,
    said_at: Instant,
}

/// Runs until somebody ends the process.
pub(crate) async fn run(
    peer: Peer,
    broker: SocketAddr,
    database: &str,
    linger: Duration,
) -> Result<(), String> {
    let config = Config::default().with_url(database)?;
    let store = PostgresStore::new(config).map_err(|error| error.to_string())?;
    let mut consumer = Consumer {
        peer,
        linger,
        store: Arc::new(store),
        waiting: VecDeque::new(),
        waiting_rows: 0,
        oldest: None,
        writing: None,
        asked: 0,
        committed: 0,
        latency: Histogram::new_with_bounds(1, 600_000_000, 3).map_err(|error| error.to_string())?,
        said_at: Instant::now(),
    };
    loop {
        // A broker that is gone comes back, and brings again what was not acknowledged. What is here is written all the same.
        let _ = consumer.talk(broker).await;
        consumer.asked = 0;
        consumer.forget_packet_ids();
        sleep(Duration::from_millis(100)).await;
    }
}

impl Consumer {
    async fn talk(&mut self, broker: SocketAddr) -> std::io::Result<()> {
        let mut link = TcpStream::connect(broker).await?;
        link.set_nodelay(true)?;
        let (mut out, mut heard) = (BytesMut::new(), BytesMut::with_capacity(1 << 20));
        match self.peer {
            Peer::Mosquitto => {
                mqtt::connect("consumer", &mut out);
                mqtt::subscribe("t/#", &mut out);
            }
            Peer::Nats => {
                nats::connect(&mut out);
                nats::subscribe(INBOX, 1, &mut out);
                nats::subscribe(ANSWERS, 2, &mut out);
                nats::make_stream(ANSWERS, &mut out);
                nats::make_consumer(ANSWERS, &mut out);
            }
        }
        loop {
            if self.peer == Peer::Nats && self.asked < PULL / 2 {
                nats::pull(INBOX, PULL, &mut out);
                self.asked += PULL;
            }
            link.write_all(&out).await?;
            out.clear();
            let full = self.waiting_rows >= ROWS_MAX;
            let due = self.oldest.map(|oldest| if full { oldest } else { oldest + self.linger });
            tokio::select! {
                biased;
                () = written(&mut self.writing) => self.acknowledge(&mut out),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && self.writing.is_none() => self.write(),
                read = link.read_buf(&mut heard), if self.waiting_rows < WAITING_ROWS_MAX => {
                    if read? == 0 {
                        return Ok(());
                    }
                    self.hear(&mut heard, &mut out);
                }
            }
        }
    }

    fn hear(&mut self, heard: &mut BytesMut, out: &mut BytesMut) {
        match self.peer {
            Peer::Mosquitto => {
                while let Some(said) = mqtt::next(heard) {
                    if let mqtt::Said::Publish { id, payload } = said {
                        self.take(Handle::Mqtt(id), &payload);
                    }
                }
            }
            Peer::Nats => {
                while let Some(said) = nats::next(heard) {
                    match said {
                        nats::Said::Ping => nats::pong(out),
                        nats::Said::Message { subject, .. } if subject == ANSWERS => {}
                        // A request has ended before it was served in full.
                        nats::Said::Message { is_status: true, .. } => self.asked = 0,
                        nats::Said::Message { reply: Some(reply), payload, .. } => {
                            self.asked = self.asked.saturating_sub(1);
                            self.take(Handle::Nats(reply), &payload);
                        }
                        nats::Said::Error(error) => eprintln!("nats: {error}"),
                        _ => {}
                    }
                }
            }
        }
    }

    fn take(&mut self, handle: Handle, payload: &[u8]) {
        match payload::decode(payload) {
            Ok((rows, due)) => {
                self.waiting_rows += rows.len();
                self.waiting.push_back(Message { handle: Some(handle), rows, due });
                self.oldest.get_or_insert_with(Instant::now);
            }
            Err(error) => eprintln!("a message is none: {error}"),
        }
    }

    /// Begins to write the oldest of what waits.
    fn write(&mut self) {
        let (mut messages, mut rows) = (Vec::new(), Vec::new());
        while rows.len() < ROWS_MAX
            && let Some(mut message) = self.waiting.pop_front()
        {
            rows.append(&mut message.rows);
            messages.push(message);
        }
        self.waiting_rows -= rows.len();
        self.oldest = (!self.waiting.is_empty()).then(Instant::now);
        let count = rows.len() as u64;
        let events = vec![OutboxEvent { topic: "telemetry.stored", rows: count as u32 }];
        let transaction = Arc::new(Transaction { rows, events, dead_letters: Vec::new() });
        let store = self.store.clone();
        let done = tokio::spawn(async move {
            let mut is_said = false;
            while let Err(error) = store.commit(transaction.clone()).await {
                if !std::mem::replace(&mut is_said, true) {
                    eprintln!("  {error}");
                }
                sleep(Duration::from_millis(200)).await;
            }
        });
        self.writing = Some(Writing { done, messages, rows: count });
    }

    /// What was being written is committed.
    fn acknowledge(&mut self, out: &mut BytesMut) {
        let Some(Writing { messages, rows, .. }) = self.writing.take() else { return };
        self.committed += rows;
        let now = real::wall();
        for message in messages {
            self.latency.saturating_record(now.since(message.due).as_micros() as u64);
            match message.handle {
                Some(Handle::Mqtt(id)) => mqtt::puback(id, out),
                Some(Handle::Nats(reply)) => {
                    bytes::BufMut::put_slice(out, format!("PUB {reply} 4\r\n+ACK\r\n").as_bytes());
                }
                None => {}
            }
        }
        if self.said_at.elapsed() >= Duration::from_millis(500) {
            self.said_at = Instant::now();
            let of = |quantile| self.latency.value_at_quantile(quantile);
            println!("{} {} {}", self.committed, of(0.5), of(0.99));
        }
    }

    /// Packet identifiers of MQTT are of one connection; where NATS is answered holds for ever.
    fn forget_packet_ids(&mut self) {
        let written = self.writing.iter_mut().flat_map(|writing| &mut writing.messages);
        for message in self.waiting.iter_mut().chain(written) {
            if matches!(message.handle, Some(Handle::Mqtt(_))) {
                message.handle = None;
            }
        }
    }
}

/// Ready when what is being written is; never, if nothing is.
async fn written(writing: &mut Option<Writing>) {
    match writing {
        Some(writing) => (&mut writing.done).await.expect("writing does not panic"),
        None => std::future::pending().await,
    }
}
