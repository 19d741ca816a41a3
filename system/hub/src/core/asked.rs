//! What the core is asked by what stands around it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use drover_bus::hub::Key;
use drover_model::{TenantId, VehicleId, WallTime};

use super::{Core, Counts, Note, SessionKey};
use crate::fleet::Place;
use crate::render::{Audience, push_feature};

impl Core {
    /// Sessions whose sockets have something to do, in order; each once.
    pub fn woken(&mut self) -> Vec<SessionKey> {
        let mut woken = std::mem::take(&mut self.woken);
        woken.sort_unstable();
        woken.dedup();
        woken
    }

    /// What happened since it was asked last.
    pub fn notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// How many there are now.
    pub fn counts(&self, wall: WallTime) -> Counts {
        let newest_fix_age_ms = self.newest_fix.map(|newest| wall.since(newest).as_millis() as u64);
        Counts { vehicles: self.fleet.len() as u64, newest_fix_age_ms, ..self.counts }
    }

    /// The vehicles of a tenant that `may_see` allows, each as a feature.
    pub(crate) fn features(
        &mut self,
        tenant: TenantId,
        may_see: &dyn Fn(VehicleId) -> bool,
        with_engine: bool,
        wall: WallTime,
    ) -> Vec<Bytes> {
        let seen = self.fleet.of_tenant(tenant).filter(|(_, vehicle)| may_see(vehicle.id));
        let places: Vec<Place> = seen.map(|(place, _)| place).collect();
        let audience = if with_engine { Audience::Full } else { Audience::Plain };
        places.into_iter().map(|place| self.shown(place, audience, wall)).collect()
    }

    /// One vehicle of a tenant as a feature, without its engine's values.
    pub(crate) fn feature(&mut self, tenant: TenantId, vehicle: VehicleId, wall: WallTime) -> Option<Bytes> {
        let place = self.fleet.place(tenant, vehicle)?;
        Some(self.shown(place, Audience::Plain, wall))
    }

    fn shown(&mut self, place: Place, audience: Audience, wall: WallTime) -> Bytes {
        let mut feature = BytesMut::new();
        push_feature(&mut feature, self.fleet.vehicle_mut(place), audience, wall);
        feature.freeze()
    }

    /// The most bytes on their way to one client, and the most vehicles of which news waited for one, ever.
    pub const fn fullest(&self) -> (usize, usize) {
        self.fullest
    }

    /// Which life of its interest the hub is in: rises with each change.
    pub const fn interest_version(&self) -> u64 {
        self.interest.version()
    }

    /// Every key that somebody wants.
    pub fn keys(&self) -> Vec<Key> {
        self.interest.keys().collect()
    }

    /// Keys that changed after `version`, and whether they are wanted now; `None` if that is too long ago.
    pub fn keys_since(&self, version: u64) -> Option<BTreeMap<Key, bool>> {
        self.interest.changes_since(version)
    }

    /// What came to be wanted, and of which nobody has told the hub what happened before: each is given once.
    pub(crate) fn take_fresh(&mut self) -> BTreeMap<TenantId, BTreeSet<Key>> {
        self.interest.take_fresh()
    }

    /// What was to be asked for got no answer.
    pub(crate) fn keep_fresh(&mut self, keys: BTreeSet<Key>) {
        self.interest.keep_fresh(keys);
    }

    /// Tenants of which somebody wants to hear what else happens.
    pub(crate) fn event_tenants(&self) -> Vec<TenantId> {
        self.interest.event_tenants()
    }
}
