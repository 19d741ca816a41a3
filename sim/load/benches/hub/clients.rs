//! Clients that read and count: no more than frames take to be told apart (RFC 6455 section 5.2).

use std::io::{BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Clients that come from one address.
const PER_ADDRESS: usize = 1_000;
/// Handshakes under way at once.
const AT_ONCE: usize = 32;
/// A feature ends in this and its age.
const OF_A_POSITION: &[u8] = b"\"age_ms\":";

/// What clients have read so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) messages: u64,
    pub(crate) positions: u64,
    pub(crate) bytes: u64,
    /// Clients that were told a position.
    pub(crate) heard: u64,
}

impl std::ops::Sub for Counted {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            messages: self.messages - before.messages,
            positions: self.positions - before.positions,
            bytes: self.bytes - before.bytes,
            heard: self.heard,
        }
    }
}

/// What a process of clients is to do.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) addr: SocketAddr,
    pub(crate) count: usize,
    /// The first 1,000 come from this address of 127.64.0.0/10, the next from the one behind it.
    pub(crate) source: u32,
    /// Subprotocol, or `none`.
    pub(crate) protocol: &'static str,
    /// A hub's tokens, of which each lets 200 in; nothing for the bare server.
    pub(crate) tokens: Vec<String>,
    /// What the first asks for, and how many vehicles each: the next asks for those `stride` further, `turns` times, then all again.
    pub(crate) vehicles: (usize, usize),
    pub(crate) stride: usize,
    pub(crate) turns: usize,
}

/// A process of clients, all connected.
pub(crate) struct Clients {
    process: Child,
    orders: ChildStdin,
    answers: std::io::Lines<std::io::BufReader<ChildStdout>>,
}

impl Clients {
    pub(crate) fn start(task: &Task) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut process = Command::new(program)
            .arg("clients")
            .args([task.addr.to_string(), task.count.to_string(), task.source.to_string()])
            .args([task.protocol.to_owned(), task.tokens.join(",")])
            .args(
                [task.vehicles.0, task.vehicles.1, task.stride, task.turns].map(|number| number.to_string()),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("clients start");
        let (orders, answers) =
            (process.stdin.take().expect("a pipe"), process.stdout.take().expect("a pipe"));
        let answers = std::io::BufReader::new(answers).lines();
        Self { process, orders, answers }
    }

    /// Waits until all are there.
    pub(crate) fn ready(&mut self) {
        assert_eq!(self.answer(), "ready", "the clients have ended");
    }

    pub(crate) fn counted(&mut self) -> Counted {
        writeln!(self.orders, "count").expect("they listen");
        let answer = self.answer();
        let numbers: Vec<u64> = answer.split(' ').filter_map(|word| word.parse().ok()).collect();
        let &[messages, positions, bytes, heard] = numbers.as_slice() else { panic!("{answer:?}") };
        Counted { messages, positions, bytes, heard }
    }

    fn answer(&mut self) -> String {
        self.answers.next().and_then(Result::ok).unwrap_or_default()
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Default)]
struct Counts {
    messages: AtomicU64,
    positions: AtomicU64,
    bytes: AtomicU64,
    heard: AtomicU64,
}

/// The process: connects, and counts until its input ends.
pub(crate) fn attend(args: &[String]) {
    let [addr, count, source, protocol, tokens, rest @ ..] = args else { panic!("{args:?}") };
    let addr: SocketAddr = addr.parse().expect("an address");
    let number = |text: &String| text.parse::<usize>().expect("a number");
    let (count, source) = (number(count), number(source));
    let tokens: Vec<String> =
        tokens.split(',').filter(|token| !token.is_empty()).map(str::to_owned).collect();
    let rest: Vec<usize> = rest.iter().map(number).collect();
    let &[first, each, stride, turns] = rest.as_slice() else { panic!("{args:?}") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let counts = Arc::new(Counts::default());
    runtime.block_on(async {
        let room = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
        let mut arriving = tokio::task::JoinSet::new();
        for client in 0..count {
            let from = Ipv4Addr::from_bits(
                Ipv4Addr::new(127, 64, 0, 1).to_bits() + (source + client / PER_ADDRESS) as u32 * 4,
            );
            let begins = first + stride * (client % turns.max(1));
            let topic: Vec<String> = (begins..begins + each).map(vehicle).collect();
            let ask = Ask {
                addr,
                from,
                protocol: protocol.clone(),
                token: tokens.get(client / 200).cloned(),
                topic: format!("vehicles:{}", topic.join(",")),
            };
            let (room, counts) = (room.clone().acquire_owned().await.expect("open"), counts.clone());
            arriving.spawn(async move {
                let stream = ask.connect().await;
                drop(room);
                tokio::spawn(read(stream, counts));
            });
        }
        while let Some(arrived) = arriving.join_next().await {
            arrived.expect("let in");
        }
        say("ready");
        let (send, mut orders) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            std::io::stdin().lock().lines().map_while(Result::ok).for_each(|line| drop(send.send(line)));
        });
        while orders.recv().await.is_some() {
            let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
            let Counts { messages, positions, bytes, heard } = &*counts;
            say(&format!("{} {} {} {}", of(messages), of(positions), of(bytes), of(heard)));
        }
    });
}

fn say(text: &str) {
    println!("{text}");
    std::io::stdout().flush().expect("somebody listens");
}

/// Name of a vehicle of the bench.
pub(crate) fn vehicle(index: usize) -> String {
    format!("BENCH-{index:06}")
}

struct Ask {
    addr: SocketAddr,
    from: Ipv4Addr,
    protocol: String,
    token: Option<String>,
    topic: String,
}

impl Ask {
    /// Connects, and asks a hub for its topic; gives the stream behind the answer to that.
    async fn connect(self) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::new(self.from.into(), 0)).expect("an address of this machine");
        let mut stream = socket.connect(self.addr).await.expect("a server");
        let protocol = match self.protocol.as_str() {
            "none" => String::new(),
            name => format!("Sec-WebSocket-Protocol: {name}\r\n"),
        };
        let bearer = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
        let request = format!(
            "GET /live-map HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}{}\r\n",
            bearer.unwrap_or_default()
        );
        stream.write_all(request.as_bytes()).await.expect("room");
        let answer = until(&mut stream, b"\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        if self.token.is_some() {
            let ask = format!(r#"{{"action":"SUBSCRIBE","topic":"{}","id":1}}"#, self.topic);
            stream.write_all(&frame(0x1, ask.as_bytes())).await.expect("room");
            // Nothing is published yet, so that a snapshot is empty; bare features have none then.
            let last = if self.protocol == "none" { "\"subscribed\"" } else { "\"snapshot\"" };
            while !text(&mut stream).await.contains(last) {}
        }
        stream
    }
}

/// Reads up to these bytes and not beyond.
async fn until(stream: &mut TcpStream, end: &[u8]) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end) {
        assert!(read.len() < 8192, "{}", String::from_utf8_lossy(&read));
        match stream.read_u8().await {
            Ok(byte) => read.push(byte),
            Err(error) => panic!("{error} after {}", String::from_utf8_lossy(&read)),
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// Reads one short message of a server.
async fn text(stream: &mut TcpStream) -> String {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.expect("a frame");
    let len = match head[1] {
        126 => usize::from(stream.read_u16().await.expect("a frame")),
        len => usize::from(len),
    };
    let mut payload = vec![0; len];
    stream.read_exact(&mut payload).await.expect("a frame");
    String::from_utf8_lossy(&payload).into_owned()
}

/// A frame as a client must send it: masked, though by zeros (RFC 6455 section 5.3).
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        len @ ..126 => bytes.push(0x80 | len as u8),
        len => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// Reads for ever, through a buffer that all share.
async fn read(stream: TcpStream, counts: Arc<Counts>) {
    thread_local! {
        static BUFFER: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; 256 << 10]);
    }
    let mut frames = Frames::default();
    loop {
        stream.readable().await.expect("a socket");
        let pings = BUFFER.with_borrow_mut(|buffer| match stream.try_read(buffer) {
            Ok(0) => panic!("the server has closed a connection"),
            Ok(len) => frames.take(&buffer[..len], &counts),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
            Err(error) => panic!("{error}"),
        });
        for _ in 0..pings {
            // Small enough for any socket's buffer.
            stream.try_write(&frame(0xA, &[])).expect("room");
        }
    }
}

/// Where in a stream of frames a client is.
#[derive(Default)]
struct Frames {
    head: Vec<u8>,
    /// Bytes of the payload that are still to come.
    left: u64,
    /// How much of [`OF_A_POSITION`] was just read.
    matched: usize,
    heard: bool,
}

impl Frames {
    /// Takes what was read; gives how many pings were in it.
    fn take(&mut self, mut bytes: &[u8], counts: &Counts) -> u32 {
        let mut pings = 0;
        counts.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        while let Some(byte) = bytes.first() {
            if self.left > 0 {
                let (now, rest) = bytes.split_at(bytes.len().min(self.left as usize));
                (self.left, bytes) = (self.left - now.len() as u64, rest);
                self.look(now, counts);
                continue;
            }
            self.head.push(*byte);
            bytes = &bytes[1..];
            let [first, len, more @ ..] = self.head.as_slice() else { continue };
            self.left = match (len & 0x7f, more) {
                (126, [a, b]) => u64::from(u16::from_be_bytes([*a, *b])),
                (127, [a, b, c, d, e, f, g, h]) => u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
                (126 | 127, _) => continue,
                (len, _) => u64::from(len),
            };
            match first & 0x0f {
                0x9 => pings += 1,
                _ => drop(counts.messages.fetch_add(1, Ordering::Relaxed)),
            }
            self.head.clear();
            self.matched = 0;
        }
        pings
    }

    fn look(&mut self, payload: &[u8], counts: &Counts) {
        let mut positions = 0;
        for byte in payload {
            self.matched = match *byte == OF_A_POSITION[self.matched] {
                true => self.matched + 1,
                false => usize::from(*byte == OF_A_POSITION[0]),
            };
            if self.matched == OF_A_POSITION.len() {
                (self.matched, positions) = (0, positions + 1);
            }
        }
        if positions > 0 {
            counts.positions.fetch_add(positions, Ordering::Relaxed);
            if !std::mem::replace(&mut self.heard, true) {
                counts.heard.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
