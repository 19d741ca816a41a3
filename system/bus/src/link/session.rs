//! One connection to one node: calls that wait for their answers, and messages that wait for credit.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drover_env::{Env, HighWater, Value};
use drover_model::{NodeName, TenantId};
use drover_wire::mcp::{
    Call, Cancel, Frame, OWN_FRAME_BYTES_MAX, PUBLISH_WINDOW, Publish, SHARED_FRAME_BYTES_MAX,
};
use drover_wire::{FrameDecoder, MESSAGE_BYTES_MAX};
use quinn::{Connection, RecvStream, SendStream};
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::error::{CallError, PublishError};
use crate::outbox::{Outbox, Writer};
use crate::pool::{OnProgress, Progress};
use crate::serve::READ_BYTES;

/// Room in a frame for everything but arguments or body: names, ids, tags.
const HEADER_BYTES: usize = 512;
/// Calls that were made and not yet taken by QUIC. Above it calls fail as overloaded.
const OUTBOX_BYTES_MAX: usize = 8 << 20;

type Answer = Result<Bytes, CallError>;

/// One call, ready to be sent.
pub(crate) struct Outgoing {
    pub(crate) tool: &'static str,
    pub(crate) arguments: Bytes,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) deadline: Instant,
    pub(crate) linger: Duration,
    pub(crate) own_stream: bool,
    pub(crate) on_progress: Option<OnProgress>,
}

/// The two long streams.
pub(crate) struct Streams {
    pub(crate) calls: (SendStream, RecvStream),
    pub(crate) publishes: (SendStream, RecvStream),
}

/// A live connection.
pub(crate) struct Session {
    pub(crate) name: NodeName,
    env: Env,
    connection: Connection,
    calls: Outbox,
    publishes: Outbox,
    calls_max: usize,
    fill: HighWater,
    calls_fill: HighWater,
    publishes_fill: HighWater,
    state: Mutex<State>,
}

struct State {
    next_id: u64,
    waiting: FxHashMap<u64, oneshot::Sender<Answer>>,
    published: u64,
    credit: u64,
    suspect_until: Option<Instant>,
    /// Why no call can be made any more.
    ended: Option<String>,
}

impl Session {
    pub(crate) fn new(env: &Env, name: NodeName, connection: Connection, calls_max: usize) -> Self {
        let state = State {
            next_id: 1,
            waiting: FxHashMap::default(),
            published: 0,
            credit: PUBLISH_WINDOW,
            suspect_until: None,
            ended: None,
        };
        Self {
            name,
            env: env.clone(),
            connection,
            calls: Outbox::default(),
            publishes: Outbox::default(),
            calls_max,
            fill: HighWater::new("bus.calls_out", calls_max as u64),
            // A call is begun below the bound, and may be as long as a frame.
            calls_fill: HighWater::new(
                "bus.calls_out_bytes",
                (OUTBOX_BYTES_MAX + SHARED_FRAME_BYTES_MAX) as u64,
            ),
            publishes_fill: HighWater::new("bus.publishes_out", PUBLISH_WINDOW),
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node left a call unanswered: others are asked first for a while, or until it is heard from.
    pub(crate) fn suspect_until(&self, until: Instant) {
        self.lock().suspect_until = Some(until);
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.lock().suspect_until.is_some_and(|until| Instant::now() < until)
    }

    /// Fails what waits for an answer, and all that comes later.
    pub(crate) fn end(&self, reason: &str) {
        let waiting = {
            let mut state = self.lock();
            state.ended.get_or_insert_with(|| reason.to_owned());
            std::mem::take(&mut state.waiting)
        };
        // In the order in which they were made, so that a run repeats.
        let mut waiting: Vec<_> = waiting.into_iter().collect();
        waiting.sort_unstable_by_key(|(id, _)| *id);
        for (_, answer) in waiting {
            let _ = answer.send(Err(CallError::Unavailable(reason.to_owned())));
        }
        self.connection.close(0_u32.into(), b"done");
    }

    /// Carries frames until the connection ends; says why it did.
    pub(crate) async fn run(self: &Arc<Self>, env: &Env, streams: Streams) -> String {
        let (mut calls, mut publishes) = (Writer::new(streams.calls.0), Writer::new(streams.publishes.0));
        let (answers, credits) = (streams.calls.1, streams.publishes.1);
        let ended = {
            let writing_calls = pin!(calls.run(&self.calls));
            let writing_messages = pin!(publishes.run(&self.publishes));
            let answers = pin!(self.read(answers, SHARED_FRAME_BYTES_MAX));
            let credits = pin!(self.read(credits, SHARED_FRAME_BYTES_MAX));
            let large = pin!(self.accept_large(env));
            tokio::select! {
                biased;
                ended = answers => ended,
                ended = credits => ended,
                ended = writing_calls => ended.map_or_else(|error| error.to_string(), |never| match never {}),
                ended = writing_messages => ended.map_or_else(|error| error.to_string(), |never| match never {}),
                ended = large => ended,
            }
        };
        // A stream that ends is less telling than why the connection did.
        self.connection.close_reason().map_or(ended, |reason| reason.to_string())
    }

    /// Reads frames of one stream until it ends; says why it did.
    async fn read(&self, mut recv: RecvStream, frame_bytes_max: usize) -> String {
        let mut decoder = FrameDecoder::new(frame_bytes_max);
        loop {
            let chunk = match recv.read_chunk(READ_BYTES, true).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return "the node ended the stream".to_owned(),
                Err(error) => return error.to_string(),
            };
            self.lock().suspect_until = None;
            decoder.push(&chunk.bytes);
            if let Err(error) = self.take_frames(&mut decoder) {
                self.env.event("bus.protocol_error", &[("reason", Value::Str("frame"))]);
                return error;
            }
        }
    }

    fn take_frames(&self, decoder: &mut FrameDecoder) -> Result<(), String> {
        let text = |error: &dyn std::error::Error| drover_env::Chain(error).to_string();
        while let Some((kind, body)) = decoder.next_frame().map_err(|error| text(&error))? {
            match Frame::decode(kind, &body).map_err(|error| text(&error))? {
                Frame::Reply(reply) => {
                    self.complete(reply.id.unwrap_or_default(), Ok(reply.result.unwrap_or_default()));
                }
                Frame::Error(failed) => {
                    self.complete(failed.id.unwrap_or_default(), Err(CallError::from_wire(&failed)));
                }
                Frame::Credit(credit) => {
                    let mut state = self.lock();
                    state.credit = state.credit.max(credit.messages.unwrap_or_default());
                }
                frame => return Err(text(&frame.unexpected())),
            }
        }
        Ok(())
    }

    fn complete(&self, mut id: u64, answer: Answer) {
        if self.env.planted("answer_to_another") {
            id = self.lock().waiting.keys().copied().max().unwrap_or(id);
        }
        let waiting = self.lock().waiting.remove(&id);
        // A call that was cancelled meanwhile is not there, or its receiver is gone.
        if let Some(waiting) = waiting {
            let _ = waiting.send(answer);
        }
    }

    /// Answers that are too large for the shared stream come on streams of their own.
    async fn accept_large(self: &Arc<Self>, env: &Env) -> String {
        loop {
            let recv = match self.connection.accept_uni().await {
                Ok(recv) => recv,
                Err(error) => return error.to_string(),
            };
            let session = self.clone();
            let read = async move {
                session.read(recv, OWN_FRAME_BYTES_MAX).await;
            };
            drop(env.spawn("bus.large_answer", read));
        }
    }

    /// Makes one attempt. Dropping the future cancels the call.
    pub(crate) async fn call(self: &Arc<Self>, outgoing: Outgoing) -> Answer {
        if outgoing.arguments.len() > MESSAGE_BYTES_MAX {
            let detail =
                format!("{} bytes exceed the limit of {MESSAGE_BYTES_MAX}", outgoing.arguments.len());
            return Err(CallError::BadArguments(detail));
        }
        let deadline = outgoing.deadline;
        let late = |_| CallError::Deadline(format!("{} did not answer in time", self.name));
        if outgoing.own_stream || outgoing.arguments.len() + HEADER_BYTES > SHARED_FRAME_BYTES_MAX {
            return timeout_at(deadline, self.call_on_own_stream(outgoing)).await.map_err(late)?;
        }
        let (id, answer) = self.register()?;
        let mut cancel = CancelOnDrop { session: self, id, armed: true };
        let linger = outgoing.linger;
        let waiting_bytes = self.calls.push_within(&Frame::Call(frame(id, outgoing)), linger);
        self.calls_fill.see(&self.env, waiting_bytes as u64);
        let answer = timeout_at(deadline, answer).await.map_err(late)?;
        cancel.armed = false;
        answer.unwrap_or_else(|_| Err(CallError::Unavailable("the connection was lost".to_owned())))
    }

    fn register(&self) -> Result<(u64, oneshot::Receiver<Answer>), CallError> {
        let waiting_bytes = self.calls.len_bytes();
        let mut state = self.lock();
        if let Some(reason) = &state.ended {
            return Err(CallError::Unavailable(reason.clone()));
        }
        if state.waiting.len() >= self.calls_max || waiting_bytes >= OUTBOX_BYTES_MAX {
            let detail = format!("{} calls to {} wait for an answer", state.waiting.len(), self.name);
            return Err(CallError::Overloaded(detail));
        }
        let id = state.next_id;
        state.next_id += 1;
        let (send, receive) = oneshot::channel();
        state.waiting.insert(id, send);
        let len = state.waiting.len() as u64;
        drop(state);
        self.fill.see(&self.env, len);
        Ok((id, receive))
    }

    async fn call_on_own_stream(&self, mut outgoing: Outgoing) -> Answer {
        let gone = |error: &dyn std::fmt::Display| CallError::Unavailable(error.to_string());
        let mut on_progress = outgoing.on_progress.take();
        let (mut send, mut recv) = self.connection.open_bi().await.map_err(|error| gone(&error))?;
        let mut bytes = BytesMut::new();
        Frame::Call(frame(1, outgoing)).encode(&mut bytes);
        send.write_chunk(bytes.freeze()).await.map_err(|error| gone(&error))?;
        let _ = send.finish();
        let mut decoder = FrameDecoder::new(OWN_FRAME_BYTES_MAX);
        // Dropping `recv` stops the stream, which is how the node learns that nobody waits any more.
        while let Some(chunk) = recv.read_chunk(READ_BYTES, true).await.map_err(|error| gone(&error))? {
            decoder.push(&chunk.bytes);
            while let Some((kind, body)) = decoder.next_frame().map_err(|error| gone(&error))? {
                match Frame::decode(kind, &body).map_err(|error| gone(&error))? {
                    Frame::Reply(reply) => return Ok(reply.result.unwrap_or_default()),
                    Frame::Error(failed) => return Err(CallError::from_wire(&failed)),
                    Frame::Progress(progress) => {
                        if let Some(see) = &mut on_progress {
                            let fraction = progress.fraction.unwrap_or_default();
                            see(Progress { fraction, body: progress.body.unwrap_or_default() });
                        }
                    }
                    other => return Err(gone(&other.unexpected())),
                }
            }
        }
        Err(CallError::Unavailable("the node ended the stream without an answer".to_owned()))
    }

    /// Publishes a message if there is credit for it.
    pub(crate) fn publish(&self, topic: &str, body: Bytes) -> Result<(), PublishError> {
        if body.len() + HEADER_BYTES > SHARED_FRAME_BYTES_MAX {
            return Err(PublishError::Oversize { len_bytes: body.len() });
        }
        let untaken = {
            let mut state = self.lock();
            if state.ended.is_some() {
                return Err(PublishError::Unavailable);
            }
            if state.published >= state.credit {
                return Err(PublishError::Full);
            }
            state.published += 1;
            // Credit counts from the first message on: so many were taken, and a window more.
            (state.published + PUBLISH_WINDOW).saturating_sub(state.credit)
        };
        self.publishes_fill.see(&self.env, untaken);
        let publish = Publish { topic: Some(topic.to_owned()), body: Some(body), ..Publish::default() };
        self.publishes.push(&Frame::Publish(publish));
        Ok(())
    }
}

fn frame(id: u64, outgoing: Outgoing) -> Call {
    let left = outgoing.deadline.saturating_duration_since(Instant::now());
    Call {
        id: Some(id),
        tool: Some(outgoing.tool.to_owned()),
        arguments: Some(outgoing.arguments),
        deadline_ms: Some(u32::try_from(left.as_millis()).unwrap_or(u32::MAX)),
        trace_context: None,
        tenant: outgoing.tenant.map(String::from),
        version: None,
    }
}

/// Tells the node that nobody waits for a call any more.
struct CancelOnDrop<'a> {
    session: &'a Session,
    id: u64,
    armed: bool,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if self.armed && self.session.lock().waiting.remove(&self.id).is_some() {
            self.session.calls.push(&Frame::Cancel(Cancel { id: Some(self.id) }));
        }
    }
}
