//! Which hubs want which fixes, as the hubs say. Pure.
//!
//! What a hub wants belongs to one life of it: with the next it is forgotten, and so it is when discovery says that the hub is
//! gone. A hub that has not said anything yet gets nothing: whoever can not ask it can not publish to it either.

use std::collections::{BTreeMap, BTreeSet};

use drover_bus::hub::{InterestInfo, Key};
use drover_model::{NodeName, TenantId, VehicleId};
use rustc_hash::FxHashMap;

/// What one hub wants.
#[derive(Debug, Default)]
struct Wanted {
    /// Which life of the hub said it, and how far into it; `None` before it has said anything.
    said: Option<(u64, u64)>,
    everything: bool,
    keys: BTreeSet<Key>,
}

/// What all of them want.
#[derive(Debug, Default)]
pub struct Directory {
    hubs: BTreeMap<NodeName, Wanted>,
    by_key: FxHashMap<Key, BTreeSet<NodeName>>,
    /// Planted: what a hub wanted in another life it wants for ever.
    never_expires: bool,
}

impl Directory {
    /// A directory without hubs. `never_expires` is a bug to be planted.
    pub fn new(never_expires: bool) -> Self {
        Self { never_expires, ..Self::default() }
    }

    /// These are the hubs that there are. What others wanted is forgotten.
    pub fn set_hubs(&mut self, hubs: &[NodeName]) {
        let gone: Vec<_> = self.hubs.keys().filter(|hub| !hubs.contains(hub)).copied().collect();
        if !self.never_expires {
            gone.into_iter().for_each(|hub| self.forget(hub));
        }
        for hub in hubs {
            self.hubs.entry(*hub).or_default();
        }
    }

    /// The hubs that there are, in order.
    pub fn hubs(&self) -> impl Iterator<Item = NodeName> {
        self.hubs.keys().copied()
    }

    /// What a hub is asked: its life, and how far into it, as far as it has said something.
    pub fn said(&self, hub: NodeName) -> Option<(u64, u64)> {
        self.hubs.get(&hub).and_then(|wanted| wanted.said)
    }

    /// A hub has said what it wants, or what changed of that. What can not be read is left out.
    pub fn take(&mut self, hub: NodeName, info: &InterestInfo) {
        let Some(wanted) = self.hubs.get(&hub) else { return };
        let (life, version) = (info.life.unwrap_or_default(), info.version.unwrap_or_default());
        let is_full = info.full.unwrap_or_default();
        if !is_full && wanted.said.is_none_or(|(known, _)| known != life) {
            // What it adds to is not known here; it will be asked anew.
            return;
        }
        if is_full && !self.never_expires {
            self.forget(hub);
        }
        let read = |keys: &[drover_bus::hub::KeyInfo]| -> Vec<Key> {
            keys.iter().filter_map(|key| Key::try_from(key).ok()).collect()
        };
        let wanted = self.hubs.entry(hub).or_default();
        wanted.said = Some((life, version));
        wanted.everything = if is_full { info.everything.unwrap_or_default() } else { wanted.everything };
        for key in read(&info.added) {
            wanted.keys.insert(key);
            self.by_key.entry(key).or_default().insert(hub);
        }
        for key in read(&info.removed) {
            wanted.keys.remove(&key);
            remove(&mut self.by_key, key, hub);
        }
    }

    fn forget(&mut self, hub: NodeName) {
        let Some(wanted) = self.hubs.remove(&hub) else { return };
        wanted.keys.into_iter().for_each(|key| remove(&mut self.by_key, key, hub));
    }

    /// Hubs that want a fix of this vehicle in one of these cells, in order, each once.
    pub fn wanting(&self, tenant: TenantId, vehicle: VehicleId, cells: &[u64]) -> Vec<NodeName> {
        let keys = [Key::Tenant(tenant), Key::Vehicle(tenant, vehicle)].into_iter();
        let keys = keys.chain(cells.iter().map(|cell| Key::Cell(tenant, *cell)));
        let mut hubs: Vec<_> = keys.filter_map(|key| self.by_key.get(&key)).flatten().copied().collect();
        let all = self.hubs.iter().filter(|(_, wanted)| wanted.everything);
        hubs.extend(all.map(|(hub, _)| *hub));
        hubs.sort_unstable();
        hubs.dedup();
        hubs
    }
}

fn remove(by_key: &mut FxHashMap<Key, BTreeSet<NodeName>>, key: Key, hub: NodeName) {
    if let Some(hubs) = by_key.get_mut(&key) {
        hubs.remove(&hub);
        if hubs.is_empty() {
            by_key.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use drover_model::NodeKind;

    use super::*;

    const HUBS: [NodeName; 2] = [NodeName::new(NodeKind::Hub, 0), NodeName::new(NodeKind::Hub, 1)];

    fn tenant() -> TenantId {
        TenantId::new("acme").expect("a name")
    }

    fn van(index: u32) -> VehicleId {
        VehicleId::new(&format!("VAN-{index}")).expect("a name")
    }

    fn said(life: u64, full: bool, added: &[Key], removed: &[Key]) -> InterestInfo {
        let list = |keys: &[Key]| keys.iter().map(|key| (*key).into()).collect();
        InterestInfo {
            life: Some(life),
            version: Some(1),
            full: full.then_some(true),
            everything: None,
            added: list(added),
            removed: list(removed),
        }
    }

    fn directory() -> Directory {
        let mut directory = Directory::new(false);
        directory.set_hubs(&HUBS);
        HUBS.iter().for_each(|hub| directory.take(*hub, &said(1, true, &[], &[])));
        directory
    }

    #[test]
    fn a_fix_goes_to_whoever_wants_its_vehicle_its_place_or_its_tenant() {
        let mut directory = directory();
        assert!(directory.wanting(tenant(), van(1), &[7]).is_empty());
        directory
            .take(HUBS[0], &said(1, false, &[Key::Vehicle(tenant(), van(1)), Key::Cell(tenant(), 7)], &[]));
        directory.take(HUBS[1], &said(1, false, &[Key::Cell(tenant(), 9)], &[]));
        assert_eq!(directory.wanting(tenant(), van(1), &[7]), [HUBS[0]], "once, although twice wanted");
        assert_eq!(directory.wanting(tenant(), van(2), &[9]), [HUBS[1]]);
        assert_eq!(directory.wanting(tenant(), van(1), &[8, 9]), HUBS);
        directory.take(HUBS[1], &said(1, false, &[Key::Tenant(tenant())], &[Key::Cell(tenant(), 9)]));
        assert_eq!(directory.wanting(tenant(), van(2), &[1]), [HUBS[1]]);
        assert!(directory.wanting(TenantId::new("other").expect("a name"), van(1), &[7]).is_empty());
    }

    #[test]
    fn what_a_hub_wanted_ends_with_its_life() {
        let mut directory = directory();
        let key = Key::Vehicle(tenant(), van(1));
        directory.take(HUBS[0], &said(1, false, &[key], &[]));
        directory.take(HUBS[0], &said(2, false, &[], &[]));
        assert_eq!(directory.said(HUBS[0]), Some((1, 1)), "a change of another life says nothing");
        directory.take(HUBS[0], &said(2, true, &[], &[]));
        assert!(directory.wanting(tenant(), van(1), &[]).is_empty());
        directory.take(HUBS[0], &said(2, false, &[key], &[]));
        directory.set_hubs(&HUBS[1..]);
        assert!(directory.wanting(tenant(), van(1), &[]).is_empty(), "discovery says that it is gone");
        directory.take(HUBS[0], &said(2, false, &[key], &[]));
        assert!(directory.wanting(tenant(), van(1), &[]).is_empty(), "and who is not there wants nothing");
        directory.set_hubs(&HUBS);
        assert!(directory.wanting(tenant(), van(1), &[]).is_empty(), "it has not said yet what it wants");
        directory.take(HUBS[0], &InterestInfo { everything: Some(true), ..said(3, true, &[], &[]) });
        assert_eq!(directory.wanting(tenant(), van(1), &[]), [HUBS[0]], "more than it could list");
    }

    #[test]
    fn the_planted_bug_keeps_what_another_life_wanted() {
        let mut directory = Directory::new(true);
        directory.set_hubs(&HUBS[..1]);
        directory.take(HUBS[0], &said(1, true, &[Key::Tenant(tenant())], &[]));
        directory.take(HUBS[0], &said(2, true, &[], &[]));
        assert_eq!(directory.wanting(tenant(), van(1), &[]), [HUBS[0]]);
    }
}
