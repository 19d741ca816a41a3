//! Runs the calls of one peer.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drover_env::{BoxFuture, HighWater, Value};
use drover_wire::mcp::{self, Call, Frame, OWN_FRAME_BYTES_MAX, Progress, Reply, SHARED_FRAME_BYTES_MAX};
use drover_wire::{FrameDecoder, MESSAGE_BYTES_MAX};
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use quinn::{RecvStream, SendStream};
use rustc_hash::FxHashMap;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Peer, READ_BYTES, StreamError, finish};
use crate::agent::CallContext;
use crate::error::CallError;
use crate::outbox::{Outbox, Writer};

/// Calls of one peer in progress; more are answered as overloaded.
const CALLS_MAX: usize = 4096;
/// Answers that the peer has not taken yet; above it no further calls are read.
const OUTBOX_BYTES_MAX: usize = 1 << 20;
/// Answers that wait at the very most: those of the calls that were in progress when reading stopped come on top.
const ANSWERS_BYTES_MAX: u64 = (OUTBOX_BYTES_MAX + (CALLS_MAX + 1) * SHARED_FRAME_BYTES_MAX) as u64;
/// Room in a frame for everything but the result.
const HEADER_BYTES: usize = 64;
/// How long a peer may take to send a call on a stream of its own.
const OWN_CALL_WITHIN: Duration = Duration::from_secs(20);

type Answer = Result<Bytes, CallError>;
type Running = BoxFuture<'static, Answer>;

/// Serves the long stream of calls: answers go out in the order in which they are ready.
pub(super) async fn serve_shared(peer: &Peer, send: SendStream, recv: RecvStream) -> Result<(), StreamError> {
    let outbox = Outbox::default();
    let mut writer = Writer::new(send);
    {
        let mut calls = SharedCalls::new(peer, &outbox, recv);
        let reading = pin!(calls.run());
        let writing = pin!(writer.run(&outbox));
        tokio::select! {
            biased;
            ended = reading => ended?,
            _ = writing => return Err(StreamError::Gone),
        }
    }
    writer.flush(&outbox).await.map_err(|_| StreamError::Gone)?;
    finish(writer.send).await;
    Ok(())
}

struct SharedCalls<'a> {
    peer: &'a Peer,
    outbox: &'a Outbox,
    recv: RecvStream,
    decoder: FrameDecoder,
    running: FuturesUnordered<Abortable<BoxFuture<'static, (u64, Answer)>>>,
    handles: FxHashMap<u64, AbortHandle>,
    fill: HighWater,
    answers_fill: HighWater,
    /// The outbox was at its bound when it was last looked at.
    full: bool,
}

impl<'a> SharedCalls<'a> {
    fn new(peer: &'a Peer, outbox: &'a Outbox, recv: RecvStream) -> Self {
        let decoder = FrameDecoder::new(SHARED_FRAME_BYTES_MAX);
        let (running, handles) = (FuturesUnordered::new(), FxHashMap::default());
        let fill = HighWater::new("bus.calls", CALLS_MAX as u64);
        let answers_fill = HighWater::new("bus.answers_out", ANSWERS_BYTES_MAX);
        Self { peer, outbox, recv, decoder, running, handles, fill, answers_fill, full: false }
    }

    /// Until the peer ends the stream or the agent stops; then until the last answer is in the outbox.
    async fn run(&mut self) -> Result<(), StreamError> {
        let mut ended = false;
        while !ended || !self.running.is_empty() {
            let full = self.is_full();
            tokio::select! {
                biased;
                Some(answer) = self.running.next(), if !self.running.is_empty() => {
                    // Aborted calls have no answer: the caller no longer waits.
                    if let Ok((id, result)) = answer {
                        self.handles.remove(&id);
                        self.answer(id, result);
                    }
                }
                () = self.peer.cancel.cancelled(), if !ended => ended = true,
                chunk = self.recv.read_chunk(READ_BYTES, true), if !ended && !full => {
                    match chunk.map_err(|_| StreamError::Gone)? {
                        Some(chunk) => self.take(&chunk.bytes)?,
                        None => ended = true,
                    }
                }
                () = self.outbox.taken(), if !ended && full => {}
            }
        }
        Ok(())
    }

    /// True while the peer does not take its answers.
    fn is_full(&mut self) -> bool {
        let full = self.outbox.len_bytes() >= OUTBOX_BYTES_MAX;
        if full && !self.full {
            self.peer.env.event("bus.answers_wait", &[]);
        }
        self.full = full;
        full
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.decoder.push(bytes);
        while let Some((kind, body)) = self.decoder.next_frame()? {
            match Frame::decode(kind, &body)? {
                Frame::Call(call) => self.start(&call),
                Frame::Cancel(cancel) => {
                    if let Some(handle) = self.handles.remove(&cancel.id.unwrap_or_default()) {
                        handle.abort();
                        self.peer.env.event("bus.cancelled", &[]);
                    }
                }
                frame => return Err(frame.unexpected().into()),
            }
        }
        Ok(())
    }

    fn start(&mut self, call: &Call) {
        let id = call.id.unwrap_or_default();
        if self.running.len() >= CALLS_MAX {
            let full = CallError::Overloaded(format!("{CALLS_MAX} calls of this peer are in progress"));
            return self.answer(id, Err(full));
        }
        let (deadline, mut running) = match begin(self.peer, call, None) {
            Ok(begun) => begun,
            Err(result) => return self.answer(id, result),
        };
        // Most quick tools are ready at once: they need neither a timer nor a place among the running.
        if let Some(result) = (&mut running).now_or_never() {
            return self.answer(id, result);
        }
        let (handle, registration) = AbortHandle::new_pair();
        self.handles.insert(id, handle);
        let answer: BoxFuture<'static, _> = Box::pin(async move { (id, in_time(deadline, running).await) });
        self.running.push(Abortable::new(answer, registration));
        self.fill.see(&self.peer.env, self.running.len() as u64);
    }

    fn answer(&self, id: u64, result: Answer) {
        let frame = answer_frame(id, result);
        let len = if let Frame::Reply(Reply { result: Some(body), .. }) = &frame { body.len() } else { 0 };
        if len + HEADER_BYTES <= SHARED_FRAME_BYTES_MAX {
            self.outbox.push(&frame);
            return self.answers_fill.see(&self.peer.env, self.outbox.len_bytes() as u64);
        }
        // Too large for the shared stream, where it would hold up the others.
        let connection = self.peer.connection.clone();
        let send = async move {
            let mut bytes = BytesMut::new();
            frame.encode(&mut bytes);
            let Ok(mut send) = connection.open_uni().await else { return };
            // A caller that is gone needs no answer.
            if send.write_chunk(bytes.freeze()).await.is_ok() {
                finish(send).await;
            }
        };
        drop(self.peer.env.spawn("bus.large_reply", send));
    }
}

fn answer_frame(id: u64, result: Answer) -> Frame {
    match result {
        // No caller would read it: its connection would be lost with all other calls on it, and the same again at the next agent.
        Ok(result) if result.len() > MESSAGE_BYTES_MAX => {
            let detail = format!("the answer has {} bytes, more than {MESSAGE_BYTES_MAX}", result.len());
            Frame::Error(CallError::BadArguments(detail).to_wire(id))
        }
        Ok(result) => Frame::Reply(Reply { id: Some(id), result: Some(result) }),
        Err(error) => Frame::Error(error.to_wire(id)),
    }
}

/// Starts a call: its deadline and the future of its result, or the answer if there is nothing to wait for.
fn begin(
    peer: &Peer,
    call: &Call,
    progress: Option<Arc<dyn Fn(f64, Bytes) + Send + Sync>>,
) -> Result<(Instant, Running), Answer> {
    let name = call.tool.as_deref().unwrap_or_default();
    if let Some(list) = peer.agent.list(peer.name, name) {
        return Err(Ok(list));
    }
    let tool = peer.agent.find(peer.name, name).map_err(|error| {
        peer.env.event("bus.call_refused", &[("reason", Value::Str(error.name()))]);
        Err(error)
    })?;
    // Longer than the tool's own deadline is the caller's right: it says how long it waits.
    let wait = call.deadline_ms.map_or(tool.deadline, |ms| Duration::from_millis(ms.into()));
    let deadline = Instant::now() + wait;
    let context = CallContext { caller: peer.name, deadline, tenant: call.tenant.clone(), progress };
    Ok((deadline, (tool.handler)(context, call.arguments.as_deref().unwrap_or_default())))
}

async fn in_time(deadline: Instant, running: Running) -> Answer {
    let late = |_| Err(CallError::Deadline("the tool did not end in time".to_owned()));
    timeout_at(deadline, running).await.unwrap_or_else(late)
}

/// Serves one call on a stream of its own. The caller cancels it by stopping the stream.
pub(super) async fn serve_own(
    peer: &Peer,
    send: SendStream,
    mut recv: RecvStream,
) -> Result<(), StreamError> {
    let Ok(call) = timeout(OWN_CALL_WITHIN, read_call(&mut recv)).await else { return Ok(()) };
    let Some(call) = call? else { return Ok(()) };
    let id = call.id.unwrap_or_default();
    let outbox = Arc::new(Outbox::default());
    let told = outbox.clone();
    let tell = move |fraction: f64, body: Bytes| {
        told.push(&Frame::Progress(Progress { id: Some(id), fraction: Some(fraction), body: Some(body) }));
    };
    let stopped = send.stopped();
    let mut writer = Writer::new(send);
    {
        let running = pin!(async {
            match begin(peer, &call, Some(Arc::new(tell))) {
                Ok((deadline, running)) => in_time(deadline, running).await,
                Err(answer) => answer,
            }
        });
        let writing = pin!(writer.run(&outbox));
        tokio::select! {
            biased;
            result = running => drop(outbox.push(&answer_frame(id, result))),
            _ = stopped => {
                peer.env.event("bus.cancelled", &[]);
                return Ok(());
            }
            _ = writing => return Err(StreamError::Gone),
        }
    }
    writer.flush(&outbox).await.map_err(|_| StreamError::Gone)?;
    finish(writer.send).await;
    Ok(())
}

async fn read_call(recv: &mut RecvStream) -> Result<Option<Call>, StreamError> {
    let mut decoder = FrameDecoder::new(OWN_FRAME_BYTES_MAX);
    while let Some(chunk) = recv.read_chunk(READ_BYTES, true).await.map_err(|_| StreamError::Gone)? {
        decoder.push(&chunk.bytes);
        if let Some((kind, body)) = decoder.next_frame()? {
            return match mcp::Frame::decode(kind, &body)? {
                Frame::Call(call) => Ok(Some(call)),
                frame => Err(frame.unexpected().into()),
            };
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_nobody_could_read_is_an_error_at_once() {
        let of = |len| answer_frame(3, Ok(Bytes::from(vec![0; len])));
        assert!(matches!(of(MESSAGE_BYTES_MAX), Frame::Reply(Reply { id: Some(3), .. })));
        let Frame::Error(error) = of(MESSAGE_BYTES_MAX + 1) else { panic!("it would be sent") };
        let error = CallError::from_wire(&error);
        assert!(matches!(&error, CallError::BadArguments(detail) if detail.contains("4194305")), "{error}");
    }
}
