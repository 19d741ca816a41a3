//! A gateway of a few lines, well-behaved or not.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use drover_env::Env;
use drover_model::{Epoch, SequenceSet};
use drover_quic::{Identity, Profile, ServerSetup, Trust};
use drover_wire::FrameDecoder;
use drover_wire::downlink::{MESSAGE, MessageBody};
use drover_wire::geostream::{ALPN, Channel, Command, Credit, DurableAck, FRAME_BYTES_MAX, Frame, close};
use prost::Message;
use quinn::{Connection, RecvStream, SendStream};

/// How a gateway behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it should.
    Well,
    /// Takes the first batch of each session and says nothing.
    ForgetsFirstBatch,
    /// Closes every session with this code at its first batch.
    Closes(u32),
    /// Answers with bytes that are no frame.
    Garbage,
    /// Acknowledges fixes that it was never sent.
    AcknowledgesTheFuture,
    /// Sends commands first: words twice over, one that nobody knows, one that is over; and takes no batch before all of them have
    /// been answered to the end.
    Commands,
    /// Sends a command that has no identity.
    Nameless,
}

/// Identity of the words that [`Manner::Commands`] sends, of what nobody knows, and of what is over.
pub(crate) const COMMANDS: [u64; 3] = [7, 8, 9];

/// The commands of [`Manner::Commands`], in the order in which they are sent.
fn commands() -> Vec<Command> {
    let words =
        MessageBody { message_id: Some("m-1".to_owned()), text: Some("gate 4".to_owned()), sent_us: None };
    let command = |id, name: &str, expires_s: u64| Command {
        id: Some(id),
        expires_us: Some(expires_s * 1_000_000),
        name: Some(name.to_owned()),
        body: Some(words.encode_to_vec().into()),
    };
    let far = 4_000_000_000;
    vec![
        command(COMMANDS[0], MESSAGE, far),
        command(COMMANDS[0], MESSAGE, far),
        command(COMMANDS[1], "dance", far),
        command(COMMANDS[2], MESSAGE, 1_000_000_000),
    ]
}

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) addr: SocketAddr,
    stored: Stored,
    acks: Acks,
}

/// What was said of commands: which, and how far they are.
type Acks = Arc<Mutex<Vec<(u64, u32)>>>;

/// Sequences, each with the engine speed of its fix.
type Stored = Arc<Mutex<BTreeMap<u64, Option<f32>>>>;

impl Gateway {
    pub(crate) fn start(env: &Env, identity: &Identity, trust: &Trust, manner: Manner) -> Self {
        let setup =
            ServerSetup { identity, trust, alpn: ALPN, profile: &Profile::vehicle(), reset_key: [7; 32] };
        let endpoint = drover_quic::server(env, (Ipv4Addr::LOCALHOST, 0).into(), &setup).expect("it binds");
        let addr = endpoint.local_addr().expect("it is open");
        let stored = Stored::default();
        let acks = Acks::default();
        let (spawner, shared, said) = (env.clone(), stored.clone(), acks.clone());
        drop(env.spawn("accept", async move {
            while let Some(incoming) = endpoint.accept().await {
                let Ok(connection) = incoming.await else { continue };
                let (env, stored, acks) = (spawner.clone(), shared.clone(), said.clone());
                drop(spawner.spawn("session", async move {
                    while let Ok(streams) = connection.accept_bi().await {
                        let serve =
                            serve(connection.clone(), streams, (stored.clone(), acks.clone()), manner);
                        drop(env.spawn("stream", serve));
                    }
                }));
            }
        }));
        Self { addr, stored, acks }
    }

    /// What the tracker has said of commands since the last time, in that order.
    pub(crate) fn acks(&self) -> Vec<(u64, u32)> {
        std::mem::take(&mut *self.acks.lock().expect("no holder panics"))
    }

    /// What it has stored.
    pub(crate) fn sequences(&self) -> Vec<u64> {
        self.stored.lock().expect("no holder panics").keys().copied().collect()
    }

    /// The engine speeds of what it has stored.
    pub(crate) fn engine_speeds(&self) -> Vec<Option<f32>> {
        self.stored.lock().expect("no holder panics").values().copied().collect()
    }
}

async fn serve(
    connection: Connection,
    (mut send, mut recv): (SendStream, RecvStream),
    (stored, acks): (Stored, Acks),
    manner: Manner,
) {
    let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
    let (mut durable, mut credit, mut batches) = (SequenceSet::new(), 10, 0);
    while let Some(frame) = next(&mut recv, &mut decoder).await {
        let mut out = BytesMut::new();
        match frame {
            Frame::Hello(hello) if hello.channel == Some(Channel::Backlog.code()) => {
                Frame::Credit(Credit { fixes: Some(credit) }).encode(&mut out);
            }
            Frame::Hello(_) if manner == Manner::Commands => {
                commands().into_iter().for_each(|command| Frame::Command(command).encode(&mut out));
            }
            Frame::Hello(_) if manner == Manner::Nameless => {
                Frame::Command(Command::default()).encode(&mut out);
            }
            Frame::Hello(_) => {}
            Frame::CommandAck(ack) => {
                let said = (ack.id.expect("it names its command"), ack.state.expect("it has a state"));
                acks.lock().expect("no holder panics").push(said);
            }
            Frame::Batch(_) if manner == Manner::Commands && !all_ended(&acks) => continue,
            Frame::Batch(batch) => {
                batches += 1;
                credit += batch.fixes.len() as u64;
                let epoch = Epoch::from_bits(batch.epoch.expect("a batch names its epoch"));
                let sequences = batch.fixes.iter().filter_map(|fix| fix.sequence);
                match manner {
                    Manner::Well | Manner::Commands | Manner::Nameless => {}
                    Manner::ForgetsFirstBatch if batches > 1 => {}
                    Manner::ForgetsFirstBatch => continue,
                    Manner::Closes(code) => return connection.close(code.into(), b"as told"),
                    Manner::Garbage => return drop(send.write_all(&[0xff; 64]).await),
                    Manner::AcknowledgesTheFuture => durable.insert_range(0..=u64::MAX),
                }
                durable.extend(&sequences.clone().collect());
                let speeds = batch.fixes.iter().filter_map(|fix| Some((fix.sequence?, fix.engine_speed_rpm)));
                stored.lock().expect("no holder panics").extend(speeds);
                Frame::DurableAck(DurableAck::new(epoch, &durable)).encode(&mut out);
                Frame::Credit(Credit { fixes: Some(credit) }).encode(&mut out);
                if !is_backlog(&send) {
                    // Credit is for the backlog stream alone.
                    out.clear();
                    Frame::DurableAck(DurableAck::new(epoch, &durable)).encode(&mut out);
                }
            }
            other => return connection.close(close::PROTOCOL.into(), other.name().as_bytes()),
        }
        if send.write_all(&out).await.is_err() {
            return;
        }
    }
}

fn all_ended(acks: &Acks) -> bool {
    let acks = acks.lock().expect("no holder panics");
    COMMANDS.iter().all(|id| acks.iter().any(|(of, state)| of == id && *state > 1))
}

/// The tracker opens its live stream first.
fn is_backlog(send: &SendStream) -> bool {
    send.id().index() > 0
}

async fn next(recv: &mut RecvStream, decoder: &mut FrameDecoder) -> Option<Frame> {
    loop {
        if let Some((kind, body)) = decoder.next_frame().expect("the tracker writes whole frames") {
            return Some(Frame::decode(kind, &body).expect("the tracker writes valid frames"));
        }
        decoder.push(&recv.read_chunk(4096, true).await.ok()??.bytes);
    }
}
