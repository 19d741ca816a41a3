//! Between the spool and the gateway.

use drover_env::{Chain, Value};
use drover_model::{Epoch, Refusal, SequenceSet};
use drover_wire::FrameError;
use drover_wire::geostream::{Channel, EncodedBatch, FRAME_BYTES_MAX, Frame, Refused, close};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::Driver;
use crate::link::{AttemptError, Fresh, Link, LinkEvent, Loss, connect};
use crate::liveness::Doubt;
use crate::session::{NeverSent, Wanted};

/// What a batch's frame needs beside its fixes: length, kind, epoch.
const FRAME_OVERHEAD_BYTES: usize = 32;

/// What a gateway may not send.
#[derive(Debug, thiserror::Error)]
enum Violation {
    #[error("read a frame")]
    Frame(#[from] FrameError),
    #[error("take an answer")]
    Answer(#[from] NeverSent),
    #[error("a command without an identity")]
    Nameless,
}

impl Driver {
    /// Starts an attempt if one is due.
    pub(super) fn dial(&mut self, now: Instant) {
        let Some(index) = self.dialer.poll(now) else { return };
        // Which gateway it will be is the routers' to decide; an attempt that fails tries another of them.
        let server = match &self.routers {
            Some(routers) if routers.current().is_none() => {
                if let Some(names) = &mut self.names {
                    names.refresh(now);
                }
                self.dialer.failed(now);
                return;
            }
            Some(routers) => Some(routers.server()),
            None => self.config.servers.get(index).copied(),
        };
        let Some(server) = server else { return };
        debug!(server.index = index, "connecting");
        let patience = self.config.connect_timeout;
        self.attempt = Some(Box::pin(connect(self.endpoint.clone(), self.client.clone(), server, patience)));
    }

    pub(super) fn take_attempt(&mut self, result: Result<Fresh, AttemptError>) {
        let now = Instant::now();
        self.attempt = None;
        match result {
            Ok(fresh) => self.begin_session(now, fresh),
            Err(error) => {
                info!(error = %Chain(&error), "no session");
                self.env.event("tracker.connect_failed", &[]);
                // With a session, its own silence decides which router is used.
                if self.link.is_none() {
                    self.take_other_router(now);
                    if let Some(names) = &mut self.names {
                        names.refresh(now);
                    }
                }
                self.dialer.failed(now);
            }
        }
    }

    fn begin_session(&mut self, now: Instant, fresh: Fresh) {
        if let Some(old) = self.link.take() {
            old.close(close::DONE, "another server answers");
            if self.doubt == Some(Doubt::Stalled) {
                self.liveness.moved();
            }
            self.tell_disconnected(Loss::Switched);
        }
        self.doubt = None;
        self.downlink.end_session();
        self.dialer.connected(now);
        self.liveness.begin();
        let hellos = self.session.begin(self.spool.holdings());
        if self.spool.waiting_len() > 0 {
            self.session.expect_live(now);
        }
        self.link = Some(Link::new(fresh, hellos));
        let reconnect = u64::from(self.summary.sessions > 0);
        self.summary.sessions += 1;
        info!(reconnect, "connected");
        self.env.event("tracker.connected", &[("reconnect", Value::U64(reconnect))]);
    }

    fn end_session(&mut self, loss: Loss) {
        if self.link.take().is_none() {
            return;
        }
        self.session.end();
        self.downlink.end_session();
        self.doubt = None;
        self.dialer.lost(Instant::now(), loss.is_final());
        info!(reason = loss.name(), "disconnected");
        self.tell_disconnected(loss);
    }

    /// Looks for another server; the session is kept until it has one, or is heard again.
    pub(super) fn begin_doubt(&mut self, now: Instant, doubt: Doubt) {
        info!(reason = doubt.name(), "looking for another server");
        self.env.event("tracker.doubt", &[("reason", Value::Str(doubt.name()))]);
        self.doubt = Some(doubt);
        self.dialer.seek(now);
    }

    pub(super) fn end_doubt(&mut self) {
        self.doubt = None;
        self.attempt = None;
        self.dialer.settle();
    }

    pub(super) fn take_link_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Received(channel) => {
                if let Err(violation) = self.take_frames(channel) {
                    let reason = Chain(&violation).to_string();
                    warn!(%reason, "the gateway broke the protocol");
                    self.env.event("tracker.protocol_error", &[]);
                    if let Some(link) = &self.link {
                        link.close(close::PROTOCOL, &reason);
                    }
                    self.end_session(Loss::Protocol);
                }
            }
            LinkEvent::Written => {}
            LinkEvent::BacklogReplaced(hello) => self.session.backlog_replaced(&hello),
            LinkEvent::Ended => self.begin_doubt(Instant::now(), Doubt::Draining),
            LinkEvent::Lost(loss) => self.end_session(loss),
        }
    }

    fn take_frames(&mut self, channel: Channel) -> Result<(), Violation> {
        while let Some(frame) = self.link.as_mut().map_or(Ok(None), |link| link.next_frame(channel))? {
            match frame {
                Frame::DurableAck(ack) => {
                    let Some(epoch) = ack.epoch.and_then(known) else { continue };
                    let settled = self.settle(epoch, &ack.durable())?;
                    self.summary.durable += settled.len();
                    self.tell_ranges("tracker.durable", epoch, &settled);
                }
                Frame::Refused(refused) => self.take_refused(&refused)?,
                Frame::Credit(credit) if channel == Channel::Backlog => {
                    let ignored = self.env.planted("credit_ignored");
                    self.session.credit(if ignored { u64::MAX } else { credit.fixes.unwrap_or_default() });
                }
                Frame::Command(command) if channel == Channel::Live => {
                    if !self.take_command(command) {
                        return Err(Violation::Nameless);
                    }
                }
                Frame::Command(_)
                | Frame::Credit(_)
                | Frame::Hello(_)
                | Frame::Batch(_)
                | Frame::CommandAck(_) => {
                    return Err(frame.unexpected().into());
                }
            }
        }
        Ok(())
    }

    fn take_refused(&mut self, refused: &Refused) -> Result<(), Violation> {
        let Some(epoch) = refused.epoch.and_then(known) else { return Ok(()) };
        for fix in &refused.fixes {
            let Some(sequence) = fix.sequence else { continue };
            let settled = self.settle(epoch, &SequenceSet::from_iter([sequence]))?;
            if settled.is_empty() {
                continue;
            }
            if self.env.planted("refusal_taken_as_ack") {
                self.tell_ranges("tracker.durable", epoch, &settled);
                continue;
            }
            self.summary.refused += 1;
            let reason = fix.reason.and_then(Refusal::from_code).map_or("unknown", Refusal::name);
            warn!(reason, "a fix was refused");
            let fields = [
                ("epoch", Value::U64(epoch.value())),
                ("sequence", Value::U64(sequence)),
                ("reason", Value::Str(reason)),
            ];
            self.env.event("tracker.refused", &fields);
        }
        Ok(())
    }

    /// Takes an answer; returns what it settled. An epoch that the spool does not have any more was settled before.
    fn settle(&mut self, epoch: Epoch, answered: &SequenceSet) -> Result<SequenceSet, NeverSent> {
        let Some(holdings) = self.spool.holdings().of(epoch) else {
            self.env.event("tracker.stale_answer", &[]);
            return Ok(SequenceSet::new());
        };
        self.session.check_answer(holdings, answered)?;
        let settled = self.spool.settle(epoch, answered);
        self.session.settled(self.spool.holdings());
        self.liveness.acknowledged(Instant::now(), self.session.is_owed());
        if self.doubt == Some(Doubt::Stalled) {
            self.end_doubt();
        }
        Ok(settled)
    }

    /// Writes what each stream has room for.
    pub(super) fn send(&mut self, now: Instant) {
        if self.recovery.is_some() {
            // What the spool held at the start is not yet known to be synced.
            return;
        }
        if let (Some(link), Some(hello)) = (&mut self.link, self.session.next_backlog(self.spool.holdings()))
        {
            link.replace_backlog(hello);
        }
        for channel in [Channel::Live, Channel::Backlog] {
            if self.link.as_ref().is_some_and(|link| link.has_room(channel))
                && let Some(wanted) = self.session.wanted(now, channel, self.spool.holdings())
            {
                self.send_batch(now, channel, &wanted);
            }
        }
    }

    fn send_batch(&mut self, now: Instant, channel: Channel, wanted: &Wanted) {
        let back =
            match self.spool.read(wanted.epoch, &wanted.sequences, FRAME_BYTES_MAX - FRAME_OVERHEAD_BYTES) {
                Ok(back) => back,
                Err(error) => {
                    warn!(error = %Chain(&error), "the spool can not be read");
                    self.env.event("tracker.disk_error", &[("reason", Value::Str("unreadable"))]);
                    self.session.postpone(now);
                    return;
                }
            };
        self.tell_ranges("tracker.lost", wanted.epoch, &back.lost);
        let Some(link) = self.link.as_mut().filter(|_| !back.fixes.is_empty()) else { return };
        let batch = EncodedBatch { epoch: Some(wanted.epoch.value()), fixes: back.fixes };
        link.write(channel, &batch);
        self.liveness.batch_sent(now);
        if self.env.planted("spool_freed_when_sent") {
            self.spool.settle(wanted.epoch, &back.sequences);
        }
        let holdings = self.spool.holdings();
        let Some(resent) = self.session.sent(now, channel, wanted.epoch, back.sequences, holdings) else {
            return;
        };
        self.summary.resent += 1;
        let fields = [
            ("epoch", Value::U64(wanted.epoch.value())),
            ("first", Value::U64(resent.first)),
            ("last", Value::U64(resent.last)),
            ("count", Value::U64(resent.count)),
        ];
        self.env.event("tracker.resent", &fields);
    }
}

/// A number that is no epoch is none of ours: an answer to it settles nothing.
fn known(epoch: u64) -> Option<Epoch> {
    Epoch::new(epoch).ok()
}
