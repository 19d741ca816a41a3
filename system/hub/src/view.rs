//! What one client sees and has been told: its topics, and of each vehicle whether there is news for it. Pure.
//!
//! Of a vehicle the newest fix alone waits: a place in the queue, not a copy of it, so that what is sent is always what is newest
//! then. The sequence under which each was told last is kept, so that a client that resumes gets just what it missed.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use drover_auth::{Principal, Role, Scope};
use drover_model::{TenantId, VehicleId, WallTime};
use rustc_hash::FxHashMap;

use crate::cells::{Area, coarser};

use crate::fleet::{Fleet, Place, Vehicle};
use crate::interest::Want;
use crate::outbox::Out;
use crate::protocol::{self, Encoding};
use crate::render::{Audience, HEADER_BYTES, RECORD_BYTES, feature, push_feature, push_header, push_record};

/// Features of one message of a snapshot.
const SNAPSHOT_FEATURES_MAX: usize = 1_000;
/// Departures that are kept for a client that resumes; one that missed more begins anew.
const GONE_KEPT: usize = 1_000;
/// Events that wait or are kept for a client that resumes. Older ones are dropped, and one that missed them begins anew.
const EVENTS_KEPT: usize = 256;
/// Places in the queue that have no news any more, beside one for each vehicle, before it is cleaned.
const QUEUE_SPARE: usize = 64;

/// What a client was told of a vehicle.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// There is news that it has not been told.
    queued: bool,
    /// It knows the vehicle's handle.
    named: bool,
    /// Sequence of the message that told it last; 0 if none has.
    seq: u32,
}

/// A snapshot that is being told.
#[derive(Debug)]
struct Snapshot {
    topic: String,
    rest: VecDeque<Place>,
}

/// A client's view.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) principal: Arc<Principal>,
    encoding: Encoding,
    audience: Audience,
    all: bool,
    /// Vehicles that were asked for by name, and by how many topics.
    vehicles: FxHashMap<VehicleId, u32>,
    groups: BTreeSet<String>,
    area: Option<Area>,
    slots: FxHashMap<Place, Slot>,
    /// Places with news, and some that have none any more: whoever takes one looks.
    queue: VecDeque<Place>,
    snapshots: VecDeque<Snapshot>,
    gone: BTreeSet<Place>,
    gone_told: VecDeque<(u32, Place)>,
    /// Each with its sequence, once it is told.
    events: VecDeque<(Option<u32>, Bytes)>,
    events_told_until: u32,
    gone_told_until: u32,
    seq: u32,
    /// Steps of vehicles that were overtaken before they were told.
    pub(crate) coalesced: u64,
}

impl View {
    pub(crate) fn new(principal: Arc<Principal>, encoding: Encoding) -> Self {
        let audience = match (principal.role, principal.scopes.has(Scope::FleetView)) {
            (Role::Customer, _) => Audience::Customer,
            (_, true) => Audience::Full,
            (_, false) => Audience::Plain,
        };
        Self {
            principal,
            encoding,
            audience,
            all: false,
            vehicles: FxHashMap::default(),
            groups: BTreeSet::new(),
            area: None,
            slots: FxHashMap::default(),
            queue: VecDeque::new(),
            snapshots: VecDeque::new(),
            gone: BTreeSet::new(),
            gone_told: VecDeque::new(),
            events: VecDeque::new(),
            events_told_until: 0,
            gone_told_until: 0,
            seq: 0,
            coalesced: 0,
        }
    }

    pub(crate) fn tenant(&self) -> TenantId {
        self.principal.tenant
    }

    pub(crate) const fn seq(&self) -> u32 {
        self.seq
    }

    pub(crate) fn set_encoding(&mut self, encoding: Encoding) {
        self.encoding = encoding;
        // Handles are names in one session's binary messages.
        self.slots.values_mut().for_each(|slot| slot.named = false);
    }

    pub(crate) fn set_all(&mut self, all: bool) {
        self.all = all;
    }

    pub(crate) fn add_vehicle(&mut self, vehicle: VehicleId) {
        *self.vehicles.entry(vehicle).or_default() += 1;
    }

    pub(crate) fn remove_vehicle(&mut self, vehicle: VehicleId) {
        if let Some(count) = self.vehicles.get_mut(&vehicle) {
            *count -= 1;
            if *count == 0 {
                self.vehicles.remove(&vehicle);
            }
        }
    }

    pub(crate) fn set_group(&mut self, group: &str, wanted: bool) {
        if wanted {
            self.groups.insert(group.to_owned());
        } else {
            self.groups.remove(group);
        }
    }

    pub(crate) fn set_area(&mut self, area: Option<Area>) {
        self.area = area;
    }

    /// True if a topic that the session has wants this.
    pub(crate) fn still_wants(&self, want: &Want) -> bool {
        let all_is_one = self.principal.vehicle.is_some();
        match want {
            Want::All(_) => (self.all && !all_is_one) || self.area == Some(Area::Everything),
            Want::Vehicle(_, vehicle) => {
                self.vehicles.contains_key(vehicle) || (self.all && self.principal.vehicle == Some(*vehicle))
            }
            Want::Group(_, name) => self.groups.contains(name),
            Want::Cell(_, cell) => {
                matches!(&self.area, Some(Area::Cells(_, cells)) if cells.binary_search(cell).is_ok())
            }
            Want::Events(_) => false,
        }
    }

    /// True if the client may see this vehicle as it is now, and wants to.
    pub(crate) fn wants(&self, vehicle: &Vehicle) -> bool {
        if vehicle.tenant != self.principal.tenant || !self.may_see(vehicle) {
            return false;
        }
        self.all
            || self.vehicles.contains_key(&vehicle.id)
            || vehicle.group.as_ref().is_some_and(|group| self.groups.contains(group))
            || self.is_in_area(vehicle)
    }

    /// True if it is in the viewport, or close to it.
    pub(crate) fn is_in_area(&self, vehicle: &Vehicle) -> bool {
        match &self.area {
            None => false,
            Some(Area::Everything) => true,
            Some(Area::Cells(resolution, cells)) => {
                cells.binary_search(&coarser(vehicle.cell, *resolution)).is_ok()
            }
        }
    }

    fn may_see(&self, vehicle: &Vehicle) -> bool {
        self.principal.concerns(vehicle.id)
            && self.principal.since.is_none_or(|since| vehicle.fix.time >= since)
    }

    /// There is news of a vehicle that the client wants.
    pub(crate) fn queue(&mut self, place: Place) {
        let is_back = self.gone.remove(&place);
        let slot = self.slots.entry(place).or_default();
        if is_back {
            // The client still shows it: if it leaves again, that is to be told.
            slot.seq = self.seq;
        }
        if slot.queued {
            self.coalesced += 1;
            return;
        }
        slot.queued = true;
        self.queue.push_back(place);
        if self.queue.len() > 2 * self.slots.len() + QUEUE_SPARE {
            let (slots, mut seen) = (&self.slots, BTreeSet::new());
            self.queue
                .retain(|place| slots.get(place).is_some_and(|slot| slot.queued) && seen.insert(*place));
        }
    }

    /// The client no longer sees a vehicle. Returns whether it has to be told.
    pub(crate) fn leave(&mut self, place: Place) -> bool {
        let Some(slot) = self.slots.remove(&place) else { return false };
        let told = slot.seq > 0;
        if told {
            self.gone.insert(place);
        }
        told
    }

    /// Takes away what the client no longer wants, after a topic went or the viewport moved.
    pub(crate) fn prune(&mut self, fleet: &Fleet) {
        let mut places: Vec<_> = self.slots.keys().copied().collect();
        places.sort_unstable();
        for place in places {
            if !self.wants(fleet.vehicle(place)) {
                self.leave(place);
            }
        }
    }

    /// A snapshot of these is to be told under `topic`. One that is being told under that name is forgotten.
    pub(crate) fn snapshot(&mut self, topic: &str, places: impl IntoIterator<Item = Place>) {
        self.snapshots.retain(|snapshot| snapshot.topic != topic);
        self.snapshots.push_back(Snapshot { topic: topic.to_owned(), rest: places.into_iter().collect() });
    }

    /// Forgets the snapshot of a topic that was given up.
    pub(crate) fn forget_snapshot(&mut self, topic: &str) {
        self.snapshots.retain(|snapshot| snapshot.topic != topic);
    }

    /// Something happened that the client wants to hear. Returns false if one that it was not told had to go for it.
    pub(crate) fn event(&mut self, event: Bytes) -> bool {
        self.events.push_back((None, event));
        let mut complete = true;
        while self.events.len() > EVENTS_KEPT {
            let Some((seq, _)) = self.events.pop_front() else { break };
            complete &= seq.is_some();
            // One that was never told leaves a gap that no sequence shows: whoever resumes begins anew.
            self.events_told_until = seq.unwrap_or(self.seq + 1);
        }
        complete
    }

    /// True if there is something to tell.
    pub(crate) fn has_news(&self) -> bool {
        !self.queue.is_empty()
            || !self.snapshots.is_empty()
            || !self.gone.is_empty()
            || self.events.back().is_some_and(|(seq, _)| seq.is_none())
    }

    /// Vehicles of which news waits.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Makes ready to go on after the message `seq`; false if what followed it is not known any more.
    pub(crate) fn resume(&mut self, seq: u32) -> bool {
        if seq > self.seq || seq < self.events_told_until || seq < self.gone_told_until {
            return false;
        }
        let mut missed: Vec<_> = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.seq > seq && !slot.queued)
            .map(|(place, _)| *place)
            .collect();
        missed.sort_unstable();
        for place in missed {
            self.queue(place);
        }
        let departed: Vec<_> =
            self.gone_told.iter().filter(|(told, _)| *told > seq).map(|(_, place)| *place).collect();
        // Whoever has come back meanwhile has a slot.
        self.gone.extend(departed.into_iter().filter(|place| !self.slots.contains_key(place)));
        for (told, _) in &mut self.events {
            *told = told.filter(|told| *told <= seq);
        }
        true
    }

    /// What the client is told now, up to about `budget` bytes; the rest stays.
    pub(crate) fn flush(&mut self, fleet: &mut Fleet, now: WallTime, budget: usize) -> Vec<Out> {
        let mut out = Batch { messages: Vec::new(), left: budget };
        while let Some(snapshot) = self.snapshots.pop_front() {
            self.flush_snapshot(snapshot, fleet, now, &mut out);
            if out.left == 0 {
                return out.messages;
            }
        }
        if !self.gone.is_empty() {
            self.flush_gone(fleet, &mut out);
        }
        if !self.queue.is_empty() {
            self.flush_updates(fleet, now, &mut out);
        }
        self.flush_events(&mut out);
        out.messages
    }

    fn flush_snapshot(&mut self, mut snapshot: Snapshot, fleet: &mut Fleet, now: WallTime, out: &mut Batch) {
        loop {
            let mut told = Vec::new();
            while told.len() < SNAPSHOT_FEATURES_MAX
                && let Some(place) = snapshot.rest.pop_front()
            {
                if self.wants(fleet.vehicle(place)) {
                    told.push(place);
                }
            }
            let more = !snapshot.rest.is_empty();
            self.tell(&told, Some((&snapshot.topic, more)), fleet, now, out);
            if !more {
                return;
            }
            if out.left == 0 {
                return self.snapshots.push_front(snapshot);
            }
        }
    }

    fn flush_gone(&mut self, fleet: &Fleet, out: &mut Batch) {
        self.seq += 1;
        let gone = std::mem::take(&mut self.gone);
        let customer = self.audience == Audience::Customer;
        let name = |place: &Place| if customer { "delivery" } else { fleet.vehicle(*place).id.as_str() };
        out.push(Out::Text(protocol::gone(self.seq, gone.iter().map(name))));
        self.gone_told.extend(gone.iter().map(|place| (self.seq, *place)));
        while self.gone_told.len() > GONE_KEPT {
            let Some((seq, _)) = self.gone_told.pop_front() else { break };
            self.gone_told_until = seq;
        }
    }

    fn flush_updates(&mut self, fleet: &mut Fleet, now: WallTime, out: &mut Batch) {
        let mut told = Vec::new();
        // About what a feature takes: the exact bound is the budget, met by whole messages.
        let room = match self.encoding {
            Encoding::Binary => out.left / usize::from(RECORD_BYTES),
            Encoding::Features | Encoding::Json => out.left / 256,
        };
        while told.len() <= room
            && let Some(place) = self.queue.pop_front()
        {
            // It may have left, or been told by a snapshot, since it was queued.
            if self.slots.get_mut(&place).is_some_and(|slot| std::mem::take(&mut slot.queued)) {
                told.push(place);
            }
        }
        self.tell(&told, None, fleet, now, out);
    }

    fn flush_events(&mut self, out: &mut Batch) {
        for (told, event) in &mut self.events {
            if told.is_none() {
                self.seq += 1;
                *told = Some(self.seq);
                // What was made as JSON is UTF-8.
                out.push(Out::Text(protocol::event(self.seq, std::str::from_utf8(event).unwrap_or("null"))));
            }
        }
    }

    /// Tells of `places` in the client's encoding. `snapshot` has its topic, and whether more of it follows.
    fn tell(
        &mut self,
        places: &[Place],
        snapshot: Option<(&str, bool)>,
        fleet: &mut Fleet,
        now: WallTime,
        out: &mut Batch,
    ) {
        if places.is_empty() && snapshot.is_none() {
            return;
        }
        self.seq += 1;
        let seq = self.seq;
        let mut unnamed = Vec::new();
        for place in places {
            // It may have left and come back before anybody was told.
            self.gone.remove(place);
            let slot = self.slots.entry(*place).or_default();
            if !slot.named {
                unnamed.push(*place);
            }
            *slot = Slot { queued: false, named: true, seq };
        }
        match self.encoding {
            Encoding::Features => {
                for place in places {
                    out.push(Out::Text(feature(fleet.vehicle_mut(*place), self.audience, now)));
                }
            }
            Encoding::Json => {
                let mut text = BytesMut::with_capacity(64 + 320 * places.len());
                match snapshot {
                    Some((topic, _)) => push_snapshot_head(&mut text, topic, seq),
                    None => push_head(&mut text, "update", seq),
                }
                self.push_features(&mut text, places, fleet, now);
                push_tail(&mut text, snapshot.map(|(_, more)| more));
                out.push(Out::Text(text.freeze()));
            }
            Encoding::Binary => self.tell_binary(places, &unnamed, snapshot, fleet, now, out),
        }
    }

    fn tell_binary(
        &self,
        places: &[Place],
        unnamed: &[Place],
        snapshot: Option<(&str, bool)>,
        fleet: &mut Fleet,
        now: WallTime,
        out: &mut Batch,
    ) {
        if !unnamed.is_empty() {
            let customer = self.audience == Audience::Customer;
            let name = |place: &Place| {
                let name = if customer { "delivery" } else { fleet.vehicle(*place).id.as_str() };
                (place.0.to_string(), name.to_owned().into())
            };
            let names: serde_json::Map<_, _> = unnamed.iter().map(name).collect();
            out.push(Out::Text(serde_json::json!({"type": "handles", "handles": names}).to_string().into()));
        }
        if !places.is_empty() {
            let mut records =
                BytesMut::with_capacity(HEADER_BYTES + usize::from(RECORD_BYTES) * places.len());
            push_header(&mut records, snapshot.is_some(), self.seq, now);
            for place in places {
                push_record(&mut records, fleet.vehicle(*place), place.0, now);
            }
            out.push(Out::Binary(records.freeze()));
        }
        let asked_for = |place: &&Place| self.vehicles.contains_key(&fleet.vehicle(**place).id);
        let detailed: Vec<_> = match self.audience {
            Audience::Full => places.iter().filter(asked_for).copied().collect(),
            Audience::Plain | Audience::Customer => Vec::new(),
        };
        if !detailed.is_empty() {
            let mut text = BytesMut::new();
            push_head(&mut text, "details", self.seq);
            self.push_features(&mut text, &detailed, fleet, now);
            push_tail(&mut text, None);
            out.push(Out::Text(text.freeze()));
        }
        if let Some((topic, more)) = snapshot {
            // The end of the snapshot, whose positions went before it.
            let mut text = BytesMut::new();
            push_snapshot_head(&mut text, topic, self.seq);
            push_tail(&mut text, Some(more));
            out.push(Out::Text(text.freeze()));
        }
    }

    fn push_features(&self, text: &mut BytesMut, places: &[Place], fleet: &mut Fleet, now: WallTime) {
        for (index, place) in places.iter().enumerate() {
            if index > 0 {
                text.extend_from_slice(b",");
            }
            push_feature(text, fleet.vehicle_mut(*place), self.audience, now);
        }
    }
}

/// Messages of one tick, and what they may still take.
struct Batch {
    messages: Vec<Out>,
    left: usize,
}

impl Batch {
    fn push(&mut self, message: Out) {
        self.left = self.left.saturating_sub(message.len());
        self.messages.push(message);
    }
}

fn push_head(text: &mut BytesMut, kind: &str, seq: u32) {
    // Writing to a buffer that grows never fails.
    let _ = write!(text, r#"{{"type":"{kind}","seq":{seq},"features":["#);
}

/// A topic was read as one, and so is of letters, digits and a few signs.
fn push_snapshot_head(text: &mut BytesMut, topic: &str, seq: u32) {
    let _ = write!(text, r#"{{"type":"snapshot","topic":"{topic}","seq":{seq},"features":["#);
}

fn push_tail(text: &mut BytesMut, more: Option<bool>) {
    match more {
        Some(more) => text.extend_from_slice(format!(r#"],"more":{more}}}"#).as_bytes()),
        None => text.extend_from_slice(b"]}"),
    }
}
