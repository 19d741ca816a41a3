//! A gateway of a few lines, well-behaved or not.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use drover_env::Env;
use drover_model::{Epoch, SequenceSet};
use drover_quic::{Identity, Profile, ServerSetup, Trust};
use drover_wire::FrameDecoder;
use drover_wire::geostream::{ALPN, Channel, Credit, DurableAck, FRAME_BYTES_MAX, Frame, close};
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
}

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) addr: SocketAddr,
    stored: Stored,
}

/// Sequences, each with the engine speed of its fix.
type Stored = Arc<Mutex<BTreeMap<u64, Option<f32>>>>;

impl Gateway {
    pub(crate) fn start(env: &Env, identity: &Identity, trust: &Trust, manner: Manner) -> Self {
        let setup =
            ServerSetup { identity, trust, alpn: ALPN, profile: &Profile::vehicle(), reset_key: [7; 32] };
        let endpoint = drover_quic::server(env, (Ipv4Addr::LOCALHOST, 0).into(), &setup).expect("it binds");
        let addr = endpoint.local_addr().expect("it is open");
        let stored = Stored::default();
        let (spawner, shared) = (env.clone(), stored.clone());
        drop(env.spawn("accept", async move {
            while let Some(incoming) = endpoint.accept().await {
                let Ok(connection) = incoming.await else { continue };
                let (env, stored) = (spawner.clone(), shared.clone());
                drop(spawner.spawn("session", async move {
                    while let Ok(streams) = connection.accept_bi().await {
                        let serve = serve(connection.clone(), streams, stored.clone(), manner);
                        drop(env.spawn("stream", serve));
                    }
                }));
            }
        }));
        Self { addr, stored }
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
    stored: Stored,
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
            Frame::Hello(_) => {}
            Frame::Batch(batch) => {
                batches += 1;
                credit += batch.fixes.len() as u64;
                let epoch = Epoch::from_bits(batch.epoch.expect("a batch names its epoch"));
                let sequences = batch.fixes.iter().filter_map(|fix| fix.sequence);
                match manner {
                    Manner::Well => {}
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
