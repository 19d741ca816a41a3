//! Who wants what: an index from a vehicle's names and place to the sessions that see it, and what of all that the hub wants from
//! gateways. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use drover_bus::hub::Key;
use drover_model::{TenantId, VehicleId};
use h3o::{CellIndex, Resolution};
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use crate::cells::{DIRECTORY, coarser};
use crate::fleet::Vehicle;

/// Changes of keys that are kept for gateways that ask; whoever is further behind is told everything.
const CHANGES_MAX: usize = 8192;
/// A viewport with coarser cells is in the directory as its whole tenant: a cell of this resolution has 49 of the directory's.
const COARSEST_KEYED: Resolution = Resolution::Four;

/// A session, by its place among all of the hub's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub(crate) u64);

/// One thing that a session wants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Want {
    All(TenantId),
    Vehicle(TenantId, VehicleId),
    Group(TenantId, String),
    Cell(TenantId, CellIndex),
    Events(TenantId),
}

/// The index.
#[derive(Debug, Default)]
pub(crate) struct Interest {
    wants: FxHashMap<Want, BTreeSet<SessionKey>>,
    /// Cells that are wanted, by resolution: what nobody uses is not looked up.
    cells: [usize; 16],
    /// How many sessions want each key.
    keys: BTreeMap<Key, u32>,
    version: u64,
    /// What changed: true if a key was added.
    changes: VecDeque<(u64, Key, bool)>,
    /// When a key was given up last.
    given_up: Option<Instant>,
    /// Keys that came to be wanted: what happened before nobody has told the hub. Asked for once, by [`Self::take_fresh`].
    fresh: BTreeSet<Key>,
}

impl Interest {
    /// `session` wants this from now on. `members` are the vehicles of a group.
    pub(crate) fn add(&mut self, want: Want, session: SessionKey, members: &[VehicleId]) {
        if !self.wants.entry(want.clone()).or_default().insert(session) {
            return;
        }
        for key in keys_of(&want, members) {
            let count = self.keys.entry(key).or_default();
            *count += 1;
            if *count == 1 {
                self.changed(key, true);
            }
        }
        if let Want::Cell(_, cell) = &want {
            self.cells[usize::from(u8::from(cell.resolution()))] += 1;
        }
    }

    /// It no longer does. Only what was added before, with the same `members`.
    pub(crate) fn remove(&mut self, now: Instant, want: &Want, session: SessionKey, members: &[VehicleId]) {
        let Some(sessions) = self.wants.get_mut(want) else { return };
        if !sessions.remove(&session) {
            return;
        }
        if sessions.is_empty() {
            self.wants.remove(want);
        }
        if let Want::Cell(_, cell) = want {
            self.cells[usize::from(u8::from(cell.resolution()))] -= 1;
        }
        for key in keys_of(want, members) {
            let Some(count) = self.keys.get_mut(&key) else { continue };
            *count -= 1;
            if *count == 0 {
                self.keys.remove(&key);
                self.changed(key, false);
                self.given_up = Some(now);
            }
        }
    }

    fn changed(&mut self, key: Key, added: bool) {
        let covered = !matches!(key, Key::Tenant(_)) && self.keys.contains_key(&tenant_of(key));
        if added && !covered {
            self.fresh.insert(key);
        } else {
            self.fresh.remove(&key);
        }
        self.version += 1;
        self.changes.push_back((self.version, key, added));
        if self.changes.len() > CHANGES_MAX {
            self.changes.pop_front();
        }
    }

    /// Sessions that want a vehicle where it is, in order, each once.
    pub(crate) fn of(&self, vehicle: &Vehicle) -> Vec<SessionKey> {
        let mut found = Vec::new();
        let mut look = |want: &Want| found.extend(self.wants.get(want).into_iter().flatten());
        look(&Want::All(vehicle.tenant));
        look(&Want::Vehicle(vehicle.tenant, vehicle.id));
        if let Some(group) = &vehicle.group {
            look(&Want::Group(vehicle.tenant, group.clone()));
        }
        self.in_cells(vehicle.tenant, vehicle.cell, &mut look);
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Sessions that look at a cell.
    pub(crate) fn watching(&self, tenant: TenantId, cell: CellIndex) -> Vec<SessionKey> {
        let mut found = Vec::new();
        self.in_cells(tenant, cell, &mut |want| found.extend(self.wants.get(want).into_iter().flatten()));
        found
    }

    fn in_cells(&self, tenant: TenantId, cell: CellIndex, look: &mut impl FnMut(&Want)) {
        for resolution in Resolution::range(Resolution::Zero, cell.resolution()) {
            if self.cells[usize::from(u8::from(resolution))] > 0 {
                look(&Want::Cell(tenant, coarser(cell, resolution)));
            }
        }
    }

    /// Tenants of which somebody wants to hear what else happens, in order.
    pub(crate) fn event_tenants(&self) -> Vec<TenantId> {
        let all = self.wants.iter().filter(|(_, sessions)| sessions.iter().next().is_some());
        let mut tenants: Vec<TenantId> = all
            .filter_map(|(want, _)| match want {
                Want::Events(tenant) => Some(*tenant),
                _ => None,
            })
            .collect();
        tenants.sort_unstable();
        tenants
    }

    /// Sessions that want to hear what else happens at a tenant.
    pub(crate) fn listeners(&self, tenant: TenantId) -> Vec<SessionKey> {
        self.wants.get(&Want::Events(tenant)).into_iter().flatten().copied().collect()
    }

    /// True if gateways were asked for a vehicle that is in one of these cells of the directory.
    pub(crate) fn wants(&self, tenant: TenantId, vehicle: VehicleId, cells: &[u64]) -> bool {
        let mut keys = [Key::Tenant(tenant), Key::Vehicle(tenant, vehicle)]
            .into_iter()
            .chain(cells.iter().map(|cell| Key::Cell(tenant, *cell)));
        keys.any(|key| self.keys.contains_key(&key))
    }

    /// Keys of which what happened before is to be asked for, by tenant: each is given once. One whose whole tenant is wanted already is
    /// none of them.
    pub(crate) fn take_fresh(&mut self) -> BTreeMap<TenantId, BTreeSet<Key>> {
        let mut by_tenant: BTreeMap<TenantId, BTreeSet<Key>> = BTreeMap::new();
        for key in std::mem::take(&mut self.fresh) {
            if let Key::Tenant(tenant) = tenant_of(key) {
                by_tenant.entry(tenant).or_default().insert(key);
            }
        }
        by_tenant
    }

    /// What was to be asked for got no answer: it is to be asked for again, as far as it is still wanted.
    pub(crate) fn keep_fresh(&mut self, keys: BTreeSet<Key>) {
        self.fresh.extend(keys.into_iter().filter(|key| self.keys.contains_key(key)));
    }

    /// When it last gave up something that it had asked for.
    pub(crate) const fn given_up(&self) -> Option<Instant> {
        self.given_up
    }

    /// Counts changes of the keys.
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    /// Every key that some session wants.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.keys.keys().copied()
    }

    /// What changed after `version`, as it is now: keys, and whether they are wanted. `None` if that is too long ago.
    pub(crate) fn changes_since(&self, version: u64) -> Option<BTreeMap<Key, bool>> {
        let oldest = self.changes.front().map_or(self.version + 1, |(version, ..)| *version);
        if version > self.version || version + 1 < oldest {
            return None;
        }
        let newer = self.changes.iter().filter(|(changed, ..)| *changed > version);
        Some(newer.map(|(_, key, added)| (*key, *added)).collect())
    }
}

/// The key of all that belongs to a key's tenant.
const fn tenant_of(key: Key) -> Key {
    match key {
        Key::Tenant(tenant) | Key::Vehicle(tenant, _) | Key::Cell(tenant, _) => Key::Tenant(tenant),
    }
}

/// The keys that gateways must know for this. Of cells that are smaller than the directory's the one around, of larger ones all
/// inside.
fn keys_of(want: &Want, members: &[VehicleId]) -> Vec<Key> {
    match want {
        Want::All(tenant) => vec![Key::Tenant(*tenant)],
        Want::Vehicle(tenant, vehicle) => vec![Key::Vehicle(*tenant, *vehicle)],
        Want::Group(tenant, _) => members.iter().map(|vehicle| Key::Vehicle(*tenant, *vehicle)).collect(),
        Want::Cell(tenant, cell) if cell.resolution() >= DIRECTORY => {
            vec![Key::Cell(*tenant, coarser(*cell, DIRECTORY).into())]
        }
        Want::Cell(tenant, cell) if cell.resolution() >= COARSEST_KEYED => {
            cell.children(DIRECTORY).map(|child| Key::Cell(*tenant, child.into())).collect()
        }
        Want::Cell(tenant, _) => vec![Key::Tenant(*tenant)],
        Want::Events(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::cell_of;
    use crate::fleet::{Fleet, Taken};
    use drover_model::{Fix, Position, WallTime};

    fn now() -> Instant {
        Instant::now()
    }

    fn tenant() -> TenantId {
        TenantId::new("acme").expect("a name")
    }

    fn van() -> VehicleId {
        VehicleId::new("VAN-1").expect("a name")
    }

    fn fleet() -> (Fleet, crate::fleet::Place) {
        let mut fleet = Fleet::new(9, false);
        fleet.set_group(tenant(), van(), "south");
        let fix = Fix::bare(1, WallTime::from_secs(1), Position::new(60.17, 24.94).expect("a place"));
        let Taken::Newest { place, .. } = fleet.take(Instant::now(), tenant(), van(), 1, fix) else {
            panic!("new")
        };
        (fleet, place)
    }

    #[tokio::test(start_paused = true)]
    async fn a_vehicle_is_seen_by_whoever_wants_it_and_by_each_once() {
        let (fleet, place) = fleet();
        let vehicle = fleet.vehicle(place);
        let mut interest = Interest::default();
        let session = SessionKey;
        interest.add(Want::All(tenant()), session(4), &[]);
        interest.add(Want::Vehicle(tenant(), van()), session(4), &[]);
        interest.add(Want::Vehicle(tenant(), van()), session(1), &[]);
        interest.add(Want::Group(tenant(), "south".to_owned()), session(2), &[van()]);
        let around = coarser(cell_of(vehicle.fix.position), Resolution::Five);
        interest.add(Want::Cell(tenant(), around), session(3), &[]);
        interest.add(Want::All(TenantId::new("other").expect("a name")), session(9), &[]);
        assert_eq!(interest.of(vehicle), [1, 2, 3, 4].map(session));
        interest.remove(now(), &Want::All(tenant()), session(4), &[]);
        assert_eq!(interest.of(vehicle), [1, 2, 3, 4].map(session), "it wants the vehicle itself, too");
        interest.remove(now(), &Want::Cell(tenant(), around), session(3), &[]);
        assert_eq!(interest.of(vehicle), [1, 2, 4].map(session));
    }

    #[test]
    fn gateways_are_told_of_the_first_who_wants_and_the_last_who_no_longer_does() {
        let mut interest = Interest::default();
        let want = || Want::Vehicle(tenant(), van());
        let key = Key::Vehicle(tenant(), van());
        interest.add(want(), SessionKey(1), &[]);
        let first = interest.version();
        interest.add(want(), SessionKey(2), &[]);
        assert_eq!(interest.version(), first, "the second changes nothing");
        assert_eq!(interest.changes_since(0), Some([(key, true)].into()));
        interest.remove(now(), &want(), SessionKey(1), &[]);
        interest.remove(now(), &want(), SessionKey(1), &[]);
        assert_eq!(interest.keys().collect::<Vec<_>>(), [key]);
        interest.remove(now(), &want(), SessionKey(2), &[]);
        assert_eq!(interest.changes_since(first), Some([(key, false)].into()));
        assert_eq!(interest.changes_since(interest.version()), Some(BTreeMap::new()));
        assert_eq!(interest.changes_since(99), None, "of another life");
        for _ in 0..CHANGES_MAX {
            interest.add(want(), SessionKey(1), &[]);
            interest.remove(now(), &want(), SessionKey(1), &[]);
        }
        assert_eq!(interest.changes_since(first), None, "too long ago");
    }

    #[test]
    fn what_came_to_be_wanted_is_asked_for_once_and_again_without_an_answer() {
        let mut interest = Interest::default();
        let (vehicle, all) = (Key::Vehicle(tenant(), van()), Key::Tenant(tenant()));
        let want = || Want::Vehicle(tenant(), van());
        let fresh =
            |keys: &[Key]| BTreeMap::from([(tenant(), keys.iter().copied().collect::<BTreeSet<_>>())]);
        interest.add(want(), SessionKey(1), &[]);
        interest.add(want(), SessionKey(2), &[]);
        assert_eq!(interest.take_fresh(), fresh(&[vehicle]));
        assert_eq!(interest.take_fresh(), BTreeMap::new(), "once");
        interest.keep_fresh([vehicle].into());
        assert_eq!(interest.take_fresh(), fresh(&[vehicle]), "nobody has answered");
        for session in [1, 2] {
            interest.remove(now(), &want(), SessionKey(session), &[]);
        }
        interest.keep_fresh([vehicle].into());
        assert_eq!(interest.take_fresh(), BTreeMap::new(), "nobody wants it any more");
        interest.add(want(), SessionKey(1), &[]);
        assert_eq!(interest.take_fresh(), fresh(&[vehicle]), "what happened meanwhile nobody has told");
        interest.remove(now(), &want(), SessionKey(1), &[]);
        interest.add(Want::All(tenant()), SessionKey(3), &[]);
        interest.add(want(), SessionKey(1), &[]);
        assert_eq!(interest.take_fresh(), fresh(&[all]), "with all of them this one, too");
    }

    #[test]
    fn cells_become_those_of_the_directory() {
        let fine = cell_of(Position::new(60.17, 24.94).expect("a place"));
        let keys = |resolution| keys_of(&Want::Cell(tenant(), coarser(fine, resolution)), &[]);
        assert_eq!(keys(Resolution::Nine), keys(Resolution::Six));
        assert_eq!(keys(Resolution::Six).len(), 1);
        assert_eq!(keys(Resolution::Four).len(), 49);
        assert_eq!(keys(Resolution::Three), [Key::Tenant(tenant())]);
    }
}
