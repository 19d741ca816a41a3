//! What goes on which stream of a session, and when. Holds no clock, no socket and no fixes.
//!
//! Fixes recorded while a session lasts go live, one batch each send interval. All others are backlog: whatever the spool
//! holds, below the live ones, that is not on its way. So nothing can be forgotten: a fix is settled, on its way, live and
//! waiting for its slot, or backlog.
//!
//! A stream carries one epoch, the one in its hello. The live stream's is the current epoch. The backlog stream's is the
//! oldest that is not settled; once it is, the stream is replaced by one of the next epoch, with a credit of its own.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use drover_model::{Epoch, Sequence, SequenceSet};
use drover_wire::geostream::{BATCH_FIXES_MAX, Channel, Hello};
use tokio::time::Instant;

use crate::holdings::{EpochHoldings, Holdings};

/// Fixes in a backlog batch: a quarter of the credit that gateways grant by default, so that the next batch is on its way
/// while the one before is acknowledged.
const BACKLOG_BATCH_FIXES: u64 = 125;

/// What is to be sent next on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) epoch: Epoch,
    /// Never empty.
    pub(crate) sequences: SequenceSet,
}

/// A batch that holds fixes that were sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resent {
    pub(crate) first: Sequence,
    pub(crate) last: Sequence,
    pub(crate) count: u64,
}

/// The gateway acknowledged what was never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("fix {sequence} was answered, but never sent")]
pub(crate) struct NeverSent {
    sequence: Sequence,
}

/// A batch without an answer.
#[derive(Debug)]
struct Flight {
    epoch: Epoch,
    sequences: SequenceSet,
    sent_at: Instant,
}

/// A session that is up.
#[derive(Debug)]
struct Link {
    /// The first sequence that has not gone live. Everything below that is not on its way is backlog.
    live_next: Sequence,
    /// When the live ones go; `None` while there are none.
    live_due: Option<Instant>,
    backlog_epoch: Epoch,
    /// Credit on the backlog stream, and what is used of it. Both cumulative.
    granted: u64,
    used: u64,
    flights: Vec<Flight>,
    /// While the gateway can not be reached, no time counts against it: since when, if it can not.
    unreachable_since: Option<Instant>,
}

/// The sending side of all sessions, one after the other.
#[derive(Debug)]
pub(crate) struct Session {
    send_interval: Duration,
    ack_timeout: Duration,
    /// Some slot of the live stream; the others are whole intervals away.
    phase: Instant,
    link: Option<Link>,
    /// A planted bug: backlog goes newest first.
    pub(crate) newest_first: bool,
    /// What was ever sent by this process: sending it again is counted.
    sent: BTreeMap<Epoch, SequenceSet>,
}

impl Session {
    pub(crate) const fn new(send_interval: Duration, ack_timeout: Duration, phase: Instant) -> Self {
        Self { send_interval, ack_timeout, phase, link: None, newest_first: false, sent: BTreeMap::new() }
    }

    /// A session begins; returns the hellos of its live and its backlog stream.
    pub(crate) fn begin(&mut self, holdings: &Holdings) -> (Hello, Hello) {
        let (current, oldest) = (holdings.current(), holdings.oldest_unsettled());
        self.link = Some(Link {
            live_next: current.next,
            live_due: None,
            backlog_epoch: oldest.epoch,
            granted: 0,
            used: 0,
            flights: Vec::new(),
            unreachable_since: None,
        });
        (hello(Channel::Live, current), hello(Channel::Backlog, oldest))
    }

    /// The session is gone; what was on its way is backlog of the next one.
    pub(crate) fn end(&mut self) {
        self.link = None;
    }

    /// Fixes are about to be recorded or were just recorded, and go live at the next slot.
    pub(crate) fn expect_live(&mut self, now: Instant) {
        let slot = self.slot(now);
        if let Some(link) = &mut self.link {
            link.live_due.get_or_insert(slot);
        }
    }

    /// The first slot at or after `now`.
    fn slot(&self, now: Instant) -> Instant {
        let Some(since) = now.checked_duration_since(self.phase) else { return self.phase };
        let into = since.as_micros() % self.send_interval.as_micros().max(1);
        if into == 0 { now } else { now + self.send_interval - Duration::from_micros(into as u64) }
    }

    /// When something is due: a live slot (if the stream has room for a batch), or the time of a batch without an answer.
    pub(crate) fn poll_timeout(&self, live_room: bool) -> Option<Instant> {
        let link = self.link.as_ref()?;
        let expiry = link.flights.iter().map(|flight| flight.sent_at + self.ack_timeout).min();
        let expiry = expiry.filter(|_| link.unreachable_since.is_none());
        link.live_due.filter(|_| live_room).into_iter().chain(expiry).min()
    }

    /// What was wanted can not be read now: the live stream waits for another slot.
    pub(crate) fn postpone(&mut self, now: Instant) {
        let slot = self.slot(now) + self.send_interval;
        if let Some(due) = self.link.as_mut().and_then(|link| link.live_due.as_mut()) {
            *due = slot;
        }
    }

    /// True if the live slot is due.
    pub(crate) fn live_is_due(&self, now: Instant) -> bool {
        self.link.as_ref().and_then(|link| link.live_due).is_some_and(|due| due <= now)
    }

    /// Batches without an answer for too long become backlog.
    pub(crate) fn expire(&mut self, now: Instant) {
        let ack_timeout = self.ack_timeout;
        let Some(link) = &mut self.link else { return };
        if link.unreachable_since.is_none() {
            link.flights.retain(|flight| flight.sent_at + ack_timeout > now);
        }
    }

    /// Says whether anything is heard from the gateway at all. QUIC delivers what was written once a tunnel ends: until
    /// then, sending the same again would only add to it.
    pub(crate) fn set_reachable(&mut self, now: Instant, reachable: bool) {
        let ack_timeout = self.ack_timeout;
        let Some(link) = &mut self.link else { return };
        match (reachable, link.unreachable_since) {
            (false, None) => link.unreachable_since = Some(now),
            (true, Some(since)) => {
                link.unreachable_since = None;
                // After a tunnel QUIC has to deliver first, so the time begins anew. A short silence only stops the clock:
                // on a link that falls silent again and again it would otherwise never run out.
                let anew = now.duration_since(since) >= ack_timeout;
                for flight in &mut link.flights {
                    let waited = now.duration_since(since.max(flight.sent_at));
                    flight.sent_at = if anew { now } else { flight.sent_at + waited };
                }
            }
            (true, None) | (false, Some(_)) => {}
        }
    }

    /// What to send on a stream that can take a batch.
    pub(crate) fn wanted(&mut self, now: Instant, channel: Channel, holdings: &Holdings) -> Option<Wanted> {
        let link = self.link.as_mut()?;
        match channel {
            Channel::Live => link.live(now, holdings.current()),
            Channel::Backlog if self.newest_first => link.backlog(holdings).map(newest_of),
            Channel::Backlog => link.backlog(holdings),
        }
    }

    /// A batch was written. It may be less than was wanted; the rest is wanted again.
    pub(crate) fn sent(
        &mut self,
        now: Instant,
        channel: Channel,
        epoch: Epoch,
        sequences: SequenceSet,
        holdings: &Holdings,
    ) -> Option<Resent> {
        let link = self.link.as_mut()?;
        match (channel, sequences.iter_ranges().next_back()) {
            (Channel::Live, Some(newest)) => {
                link.live_next = *newest.end() + 1;
                let more = holdings.current().next_held(link.live_next) < holdings.current().next;
                link.live_due = link.live_due.filter(|_| more);
            }
            (Channel::Live, None) => {}
            (Channel::Backlog, _) => link.used += sequences.len(),
        }
        let sent = self.sent.entry(epoch).or_default();
        let again = sequences.difference(&sequences.difference(sent));
        sent.extend(&sequences);
        link.flights.push(Flight { epoch, sequences, sent_at: now });
        let (first, last) = (again.iter_ranges().next()?, again.iter_ranges().next_back()?);
        Some(Resent { first: *first.start(), last: *last.end(), count: again.len() })
    }

    /// Credit was granted, cumulative: an older grant changes nothing.
    pub(crate) fn credit(&mut self, fixes: u64) {
        if let Some(link) = &mut self.link {
            link.granted = link.granted.max(fixes);
        }
    }

    /// Checks an answer of the gateway before anything is settled by it.
    ///
    /// # Errors
    /// It names a fix that this process never sent.
    pub(crate) fn check_answer(
        &self,
        epoch: &EpochHoldings,
        answered: &SequenceSet,
    ) -> Result<(), NeverSent> {
        let unsent = match self.sent.get(&epoch.epoch) {
            Some(sent) => answered.difference(sent),
            None => answered.clone(),
        };
        match unsent.iter_ranges().next() {
            Some(range) => Err(NeverSent { sequence: *range.start() }),
            None => Ok(()),
        }
    }

    /// Fixes were settled: batches that are answered in full are no longer on their way.
    pub(crate) fn settled(&mut self, holdings: &Holdings) {
        let Some(link) = &mut self.link else { return };
        link.flights.retain(|flight| {
            holdings.of(flight.epoch).is_some_and(|epoch| !epoch.all_gone(&flight.sequences))
        });
    }

    /// True if the gateway owes an answer.
    pub(crate) fn is_owed(&self) -> bool {
        self.link.as_ref().is_some_and(|link| !link.flights.is_empty())
    }

    /// The hello of the stream that is to replace the backlog stream, once its epoch is settled.
    pub(crate) fn next_backlog(&self, holdings: &Holdings) -> Option<Hello> {
        let link = self.link.as_ref()?;
        let oldest = holdings.oldest_unsettled();
        (oldest.epoch != link.backlog_epoch).then(|| hello(Channel::Backlog, oldest))
    }

    /// The backlog stream was replaced by one with this hello.
    pub(crate) fn backlog_replaced(&mut self, hello: &Hello) {
        if let (Some(link), Some(epoch)) = (&mut self.link, hello.epoch) {
            (link.backlog_epoch, link.granted, link.used) = (Epoch::from_bits(epoch), 0, 0);
        }
    }
}

impl Link {
    fn live(&mut self, now: Instant, current: &EpochHoldings) -> Option<Wanted> {
        if self.live_due.is_none_or(|due| due > now) {
            return None;
        }
        let first = current.next_held(self.live_next);
        if first >= current.next {
            self.live_due = None;
            return None;
        }
        let end = current.next.min(first + BATCH_FIXES_MAX as u64);
        Some(Wanted { epoch: current.epoch, sequences: current.held_within(first, end) })
    }

    fn backlog(&self, holdings: &Holdings) -> Option<Wanted> {
        let credit = self.granted.saturating_sub(self.used).min(BACKLOG_BATCH_FIXES);
        if credit == 0 || self.unreachable_since.is_some() {
            return None;
        }
        let epoch = holdings.of(self.backlog_epoch)?;
        let end = if epoch.epoch == holdings.current().epoch { self.live_next } else { epoch.next };
        let mut sequences = SequenceSet::new();
        let mut at = epoch.first;
        for _ in 0..credit {
            at = self.next_idle(epoch, at);
            if at >= end {
                break;
            }
            sequences.insert(at);
            at += 1;
        }
        (!sequences.is_empty()).then_some(Wanted { epoch: epoch.epoch, sequences })
    }

    /// The first sequence at or above `from` that is held and not on its way.
    fn next_idle(&self, epoch: &EpochHoldings, from: Sequence) -> Sequence {
        let mut at = epoch.next_held(from);
        let mut moved = true;
        while moved && at < epoch.next {
            let before = at;
            for flight in self.flights.iter().filter(|flight| flight.epoch == epoch.epoch) {
                at = flight.sequences.first_missing(at);
            }
            at = epoch.next_held(at);
            moved = at != before;
        }
        at
    }
}

/// A planted bug: the newest few of what is wanted go first.
fn newest_of(Wanted { epoch, sequences }: Wanted) -> Wanted {
    let skipped = sequences.len().saturating_sub(10) as usize;
    Wanted { epoch, sequences: sequences.iter().skip(skipped).collect() }
}

fn hello(channel: Channel, epoch: &EpochHoldings) -> Hello {
    Hello {
        epoch: Some(epoch.epoch.value()),
        first_unacknowledged: Some(epoch.next_held(epoch.first)),
        recorded_next: Some(epoch.next),
        channel: Some(channel.code()),
    }
}
