//! One stream of a session: batches in, acknowledgements out.
//!
//! Reads no further while the rate is exceeded or, of backlog, while too many batches are on their way, so that QUIC's flow
//! control holds the vehicle back. Live batches are read, and published, however long persistence takes.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use drover_env::{Chain, Value};
use drover_model::{Epoch, EpochTooLarge, Refusal, Sequence};
use drover_wire::geostream::close;
use drover_wire::geostream::{
    BATCH_FIXES_MAX, Batch, Channel, Credit, DurableAck, FRAME_BYTES_MAX, Frame, Hello, Refused,
};
use drover_wire::{FrameDecoder, FrameError, GeoTelemetry, Invalid, RecordBatch, RecordOutcome, RefusedFix};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use prost::Message;
use quinn::{RecvStream, SendStream};
use tokio::time::{Instant, sleep_until, timeout};

use crate::admission::{Admission, admit};
use crate::downlink::{Attached, Dishonest, Due, Sent};
use crate::live::LastCell;
use crate::session::Session;
use crate::settled::Settled;

/// Bytes taken from QUIC at once.
const READ_BYTES: usize = 16 * 1024;

/// Longest wait, at the end, for a vehicle to take the last acknowledgements.
pub(crate) const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// Why a stream ends before its peer ends it.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("read a frame")]
    Frame(#[from] FrameError),
    #[error("take the hello")]
    Epoch(#[from] EpochTooLarge),
    #[error("{0}")]
    Protocol(&'static str),
    #[error("{0}")]
    Silent(&'static str),
    #[error("take an answer to a command")]
    Command(#[from] Dishonest),
    #[error("the connection is gone")]
    Gone,
}

/// A batch that is to be persisted: an encoded [`RecordBatch`] of these fixes.
struct Admitted {
    channel: Channel,
    batch: Bytes,
    sequences: Vec<Sequence>,
}

/// A batch that has come back from persistence.
struct Flight {
    sequences: Vec<Sequence>,
    outcome: Option<RecordOutcome>,
}

/// Waits until then. Makes no timer before it is asked for the first time: most waits of a stream are never begun.
async fn later(then: Instant) {
    sleep_until(then).await;
}

/// The next command for the vehicle, where there is a way for one.
async fn next_due(downlink: &mut Option<Attached>) -> Option<Due> {
    match downlink {
        Some(downlink) => downlink.next().await,
        None => std::future::pending().await,
    }
}

pub(crate) async fn serve(session: &Session, send: SendStream, recv: RecvStream) {
    let mut stream = Stream::new(session, send, recv);
    match stream.run().await {
        Ok(()) | Err(StreamError::Gone) => {}
        Err(StreamError::Silent(reason)) => session.refuse(close::SILENT, reason),
        Err(error) => session.refuse(close::PROTOCOL, &Chain(&error).to_string()),
    }
}

struct Stream<'a> {
    session: &'a Session,
    send: SendStream,
    recv: RecvStream,
    decoder: FrameDecoder,
    /// Set by the hello, which must come first.
    opened: Option<(Channel, Epoch)>,
    /// Backlog has come on this stream.
    backlog_begun: bool,
    settled: Settled,
    last_cell: LastCell,
    /// Where commands for the vehicle come from, once the live stream is open.
    downlink: Option<Attached>,
    sent: Sent,
    out: BytesMut,
}

impl<'a> Stream<'a> {
    fn new(session: &'a Session, send: SendStream, recv: RecvStream) -> Self {
        let config = &session.shared.config;
        let settled = Settled::new(
            Instant::now(),
            config.credit_fixes,
            config.rate_fixes_per_s,
            config.rate_burst_fixes,
        );
        let decoder = FrameDecoder::new(FRAME_BYTES_MAX);
        let (opened, backlog_begun, out) = (None, false, BytesMut::new());
        let (last_cell, downlink, sent) = (LastCell::default(), None, Sent::default());
        Self { session, send, recv, decoder, opened, backlog_begun, settled, last_cell, downlink, sent, out }
    }

    async fn run(&mut self) -> Result<(), StreamError> {
        let session = self.session;
        let config = &session.shared.config;
        let hello_due = Instant::now() + config.silence_max;
        let mut open = session.shared.persister.watch();
        let mut flights = FuturesUnordered::new();
        let mut waiting = VecDeque::new();
        let mut ended = false;
        loop {
            let readable_at = self.settled.readable_at();
            let limited = readable_at > Instant::now();
            let reading = !ended && !limited && waiting.is_empty();
            tokio::select! {
                biased;
                () = later(hello_due), if self.opened.is_none() => {
                    // Where a cell is crowded, the first bytes of a stream may be lost for as long as that.
                    return Err(StreamError::Silent("no hello came in time"));
                }
                Some(flight) = flights.next(), if !flights.is_empty() => self.land(flight),
                _ = open.changed() => {}
                () = session.drain.cancelled(), if !ended => ended = true,
                () = later(readable_at), if limited => {}
                Some(due) = next_due(&mut self.downlink), if !ended => self.command(due),
                chunk = self.recv.read_chunk(READ_BYTES, true), if reading => {
                    match chunk.map_err(|_| StreamError::Gone)? {
                        Some(chunk) => waiting.extend(self.take(&chunk.bytes)?),
                        None => ended = true,
                    }
                }
            }
            while let Some(Admitted { channel, batch, sequences }) = waiting.pop_front() {
                if flights.len() < config.batches_in_flight_max {
                    // In a box: the list keeps room for one of them even while it has none.
                    flights.push(Box::pin(async move {
                        let outcome = session.shared.persister.record(channel, batch, sequences.len()).await;
                        Flight { sequences, outcome }
                    }));
                } else if channel == Channel::Live {
                    // It is published. The stream is read on, so that what follows is, too.
                    session.shared.persister.pass_over();
                    self.land(Flight { sequences, outcome: None });
                } else {
                    waiting.push_front(Admitted { channel, batch, sequences });
                    break;
                }
            }
            self.tell_credit(open.get());
            self.flush().await?;
            if ended && flights.is_empty() {
                // The last acknowledgements must arrive before the session may be closed. The peer may be gone already.
                if self.send.finish().is_ok() {
                    let _ = timeout(GOODBYE_MAX, self.send.stopped()).await;
                }
                return Ok(());
            }
        }
    }

    /// Takes received bytes; returns the batches that are to be persisted.
    fn take(&mut self, bytes: &[u8]) -> Result<Vec<Admitted>, StreamError> {
        self.decoder.push(bytes);
        let mut batches = Vec::new();
        while let Some((kind, body)) = self.decoder.next_frame()? {
            match (Frame::decode(kind, &body)?, self.opened) {
                (Frame::Hello(hello), None) => self.open(&hello)?,
                (Frame::Batch(batch), Some((channel, epoch))) => {
                    batches.extend(self.batch(channel, epoch, batch)?);
                }
                (Frame::CommandAck(ack), Some((Channel::Live, _))) => {
                    if let (Some((thing, to)), Some(downlink)) = (self.sent.take(&ack)?, &self.downlink) {
                        downlink.report(thing, to);
                    }
                }
                (frame, _) => return Err(frame.unexpected().into()),
            }
        }
        Ok(batches)
    }

    fn open(&mut self, hello: &Hello) -> Result<(), StreamError> {
        let channel = hello.channel.and_then(Channel::from_code);
        let (Some(channel), Some(epoch)) = (channel, hello.epoch) else {
            return Err(StreamError::Protocol("a hello needs a channel and an epoch"));
        };
        self.opened = Some((channel, Epoch::new(epoch)?));
        if channel == Channel::Live {
            let key = (self.session.tenant, self.session.vehicle);
            self.downlink = Some(self.session.shared.downlinks.attach(key));
        }
        Ok(())
    }

    /// Sends a command, unless the session has done so.
    fn command(&mut self, due: Due) {
        let id = due.command.id.unwrap_or_default();
        if self.sent.begin(id, due.thing) {
            let fields = [("vehicle", Value::Vehicle(self.session.vehicle)), ("command", Value::U64(id))];
            self.session.shared.env.event("gateway.command_sent", &fields);
            Frame::Command(due.command).encode(&mut self.out);
        }
    }

    /// Checks a batch: publishes what is fresh, answers what is refused, returns what is to be persisted.
    fn batch(
        &mut self,
        channel: Channel,
        epoch: Epoch,
        batch: Batch,
    ) -> Result<Option<Admitted>, StreamError> {
        let session = self.session;
        let fixes = batch.fixes.len();
        if batch.epoch != Some(epoch.value()) {
            return Err(StreamError::Protocol("a batch of another epoch than the hello's"));
        }
        if fixes == 0 || fixes > BATCH_FIXES_MAX {
            return Err(StreamError::Protocol("a batch must have 1 to 500 fixes"));
        }
        if !self.settled.receive(Instant::now(), fixes as u64, channel == Channel::Backlog) {
            return Err(StreamError::Protocol("backlog beyond the credit"));
        }
        if channel == Channel::Backlog {
            self.tell_backlog(epoch, &batch.fixes);
        }
        let (admitted, refused) = self.admit(epoch, batch.fixes);
        self.settled.finish(refused.len() as u64);
        self.refuse(epoch, refused);
        if admitted.is_empty() {
            return Ok(None);
        }
        let sequences: Vec<_> = admitted.iter().filter_map(|fix| fix.sequence).collect();
        let places: Vec<_> = admitted.iter().filter_map(|fix| fix.lat.zip(fix.lon)).collect();
        let batch = RecordBatch {
            tenant: Some(session.tenant.as_str().to_owned()),
            vehicle_id: Some(session.vehicle.as_str().to_owned()),
            epoch: Some(epoch.value()),
            fixes: admitted,
        };
        let batch = Bytes::from(batch.encode_to_vec());
        if channel == Channel::Live {
            let names = (session.tenant, session.vehicle);
            session.shared.live.publish(names, &batch, &places, &mut self.last_cell);
        }
        Ok(Some(Admitted { channel, batch, sequences }))
    }

    /// Tells once where the backlog of a stream begins.
    fn tell_backlog(&mut self, epoch: Epoch, fixes: &[GeoTelemetry]) {
        let oldest = fixes.iter().filter_map(|fix| fix.sequence).min();
        let (Some(first), false) = (oldest, std::mem::replace(&mut self.backlog_begun, true)) else { return };
        let fields = [
            ("vehicle", Value::Vehicle(self.session.vehicle)),
            ("epoch", Value::U64(epoch.value())),
            ("first", Value::U64(first)),
        ];
        self.session.shared.env.event("gateway.backlog", &fields);
    }

    fn admit(&self, epoch: Epoch, fixes: Vec<GeoTelemetry>) -> (Vec<GeoTelemetry>, Vec<RefusedFix>) {
        let (shared, vehicle) = (&self.session.shared, self.session.vehicle);
        let rules = Admission {
            vehicle,
            now: shared.env.wall(),
            future_max: shared.config.future_max,
            age_max: shared.config.age_max,
        };
        let planted = shared.env.planted("good_fix_refused");
        let mut refused = Vec::new();
        let admitted = fixes.into_iter().filter_map(|mut message| {
            let sequence = message.sequence.unwrap_or_default();
            let mut checked = admit(&rules, epoch, &message).map(|_| ());
            if planted && sequence % 100 == 99 {
                checked = Err(Invalid { reason: Refusal::TooOld, detail: String::new() });
            }
            match checked {
                Ok(()) => {
                    // Said once for the whole batch.
                    (message.vehicle_id, message.epoch) = (None, None);
                    Some(message)
                }
                Err(Invalid { reason, detail }) => {
                    refused.push(RefusedFix::new(sequence, reason, detail));
                    None
                }
            }
        });
        (admitted.collect(), refused)
    }

    fn refuse(&mut self, epoch: Epoch, fixes: Vec<RefusedFix>) {
        if fixes.is_empty() {
            return;
        }
        let session = self.session;
        for fix in &fixes {
            let reason = fix.reason.and_then(Refusal::from_code).map_or("unknown", Refusal::name);
            session.shared.env.event(
                "gateway.refused",
                &[
                    ("vehicle", Value::Vehicle(session.vehicle)),
                    ("epoch", Value::U64(epoch.value())),
                    ("sequence", Value::U64(fix.sequence.unwrap_or_default())),
                    ("reason", Value::Str(reason)),
                ],
            );
        }
        Frame::Refused(Refused { epoch: Some(epoch.value()), fixes }).encode(&mut self.out);
    }

    /// A batch has come back from persistence.
    fn land(&mut self, flight: Flight) {
        let Some((_, epoch)) = self.opened else { return };
        self.settled.finish(flight.sequences.len() as u64);
        // Without an outcome nothing is said: the vehicle keeps the fixes and sends them again.
        let env = &self.session.shared.env;
        let unanswered = flight.outcome.is_none() && env.planted("ack_without_outcome");
        let Some(outcome) = flight.outcome.or_else(|| unanswered.then(RecordOutcome::default)) else {
            return;
        };
        if env.planted("ack_off_by_one") {
            self.settled.settle(flight.sequences.iter().max().map(|newest| newest + 1));
        }
        let refused: Vec<_> = outcome.refused.iter().filter_map(|fix| fix.sequence).collect();
        self.settled.settle(flight.sequences.into_iter().filter(|sequence| !refused.contains(sequence)));
        self.refuse(epoch, outcome.refused);
        if env.planted("ack_ignores_gaps") {
            let (first, last) =
                self.settled.durable().iter().fold((u64::MAX, 0), |(a, b), n| (a.min(n), b.max(n)));
            self.settled.settle(first..=last);
        }
        Frame::DurableAck(DurableAck::new(epoch, self.settled.durable())).encode(&mut self.out);
        self.settled.told();
    }

    /// Grants backlog credit while persistence is open.
    fn tell_credit(&mut self, open: bool) {
        if !matches!(self.opened, Some((Channel::Backlog, _))) {
            return;
        }
        if !open {
            self.session.shared.env.event("gateway.credit_withheld", &[]);
        } else if let Some(fixes) = self.settled.grant() {
            Frame::Credit(Credit { fixes: Some(fixes) }).encode(&mut self.out);
        }
    }

    async fn flush(&mut self) -> Result<(), StreamError> {
        if self.out.is_empty() {
            return Ok(());
        }
        let bytes = self.out.split().freeze();
        let taken_by = Instant::now() + self.session.shared.config.silence_max;
        tokio::select! {
            biased;
            written = self.send.write_chunk(bytes) => written.map_err(|_| StreamError::Gone),
            () = later(taken_by) => Err(StreamError::Silent("the vehicle takes no acknowledgements")),
        }
    }
}
