//! What the core hears of the fleet, and whom it concerns.

use std::time::Duration;

use bytes::Bytes;
use drover_model::{Fix, TenantId, VehicleId, WallTime};
use tokio::time::Instant;

use super::{Core, Farewell, SessionKey};
use crate::cells::{cell_of, directory_cell};
use crate::fleet::{Place, Taken};
use crate::session::Session;

impl Core {
    /// Takes a fix, and puts it before whoever wants it.
    pub fn take_fix(
        &mut self,
        now: Instant,
        wall: WallTime,
        (tenant, vehicle): (TenantId, VehicleId),
        epoch: u64,
        fix: Fix,
    ) -> bool {
        self.newest_fix = self.newest_fix.max(Some(fix.time));
        let taken = self.fleet.take(now, tenant, vehicle, epoch, fix);
        self.tell_of(now, wall, tenant, taken)
    }

    /// Takes what is stored as the newest of a vehicle, if somebody wants it and nothing newer is known: whatever is heard of the same
    /// moment overrules it.
    pub fn take_stored(
        &mut self,
        now: Instant,
        wall: WallTime,
        (tenant, vehicle): (TenantId, VehicleId),
        fix: Fix,
    ) -> bool {
        if !self.interest.wants(tenant, vehicle, &[directory_cell(cell_of(fix.position))]) {
            return false;
        }
        let age = wall.since(fix.time);
        let taken = self.fleet.take(now, tenant, vehicle, 0, fix);
        if let Taken::Newest { place, .. } = taken
            && age >= self.config.silent_after
        {
            self.fleet.silence(place);
        }
        self.tell_of(now, wall, tenant, taken)
    }

    /// Puts before whoever wants it what became of a fix. Returns false if it is not the newest.
    fn tell_of(&mut self, now: Instant, wall: WallTime, tenant: TenantId, taken: Taken) -> bool {
        let Taken::Newest { place, from, was_silent } = taken else { return false };
        if from.is_none() || was_silent {
            self.silences.insert(now + self.config.silent_after, place);
        }
        let at = self.fleet.vehicle(place);
        let sees = self.interest.of(at);
        if let Some(from) = from.filter(|from| *from != at.cell) {
            for key in self.interest.watching(tenant, from) {
                let left = self.sessions.get_mut(&key).and_then(Session::view_mut);
                if left.is_some_and(|view| !view.wants(self.fleet.vehicle(place)) && view.leave(place)) {
                    self.list(key);
                }
            }
        }
        for key in sees {
            self.show(key, place);
        }
        if self.config.tick.is_zero() {
            self.flush_listed(wall);
        }
        true
    }

    /// Of a batch of these fixes that nobody has asked for: for how long nobody has. Its gateway may not have heard yet.
    pub fn unwanted_for(
        &self,
        now: Instant,
        (tenant, vehicle): (TenantId, VehicleId),
        fixes: &[Fix],
    ) -> Option<Duration> {
        let mut cells: Vec<u64> = fixes.iter().map(|fix| directory_cell(cell_of(fix.position))).collect();
        // Where it was before counts, too: whoever watches there is told that it left.
        let before = self.fleet.place(tenant, vehicle).map(|place| self.fleet.vehicle(place).cell);
        cells.extend(before.map(directory_cell));
        if self.interest.wants(tenant, vehicle, &cells) {
            return None;
        }
        Some(now.saturating_duration_since(self.interest.given_up().unwrap_or(self.started)))
    }

    pub(super) fn show(&mut self, key: SessionKey, place: Place) {
        let Some(view) = self.sessions.get_mut(&key).and_then(Session::view_mut) else { return };
        if view.wants(self.fleet.vehicle(place)) {
            view.queue(place);
            let queued = view.queued();
            self.fullest.1 = self.fullest.1.max(queued);
            self.list(key);
        }
    }

    /// Something else happened at a tenant: `event` is a JSON object. With a vehicle, only those hear of it who may see it. Returns
    /// how many do.
    pub fn take_event(
        &mut self,
        now: Instant,
        tenant: TenantId,
        vehicle: Option<VehicleId>,
        event: &Bytes,
    ) -> usize {
        let mut told = 0;
        for key in self.interest.listeners(tenant) {
            let Some(view) = self.sessions.get_mut(&key).and_then(Session::view_mut) else { continue };
            let concerns = match vehicle {
                Some(vehicle) => view.principal.concerns(vehicle),
                None => view.principal.vehicle.is_none(),
            };
            if !concerns {
                continue;
            }
            told += 1;
            if view.event(event.clone()) {
                self.list(key);
            } else {
                self.let_go(now, key, Farewell::Slow);
            }
        }
        told
    }
}
