//! The newest fix of each vehicle, and what that says of it. Pure: times come in.

use bytes::Bytes;
use drover_model::{Fix, TenantId, VehicleId, WallTime};
use h3o::CellIndex;
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use crate::cells::cell_of;
use crate::render::Audience;

/// From this speed on a vehicle moves: slower is a receiver's noise.
const MOVING_MPS: f64 = 3.0 / 3.6;

/// What a vehicle does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It drives.
    Moving,
    /// It stands, and its engine runs.
    Idling,
    /// It stands.
    Stopped,
    /// Nothing was heard of it for a while.
    Silent,
}

impl Status {
    /// As messages write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Moving => "moving",
            Self::Idling => "idling",
            Self::Stopped => "stopped",
            Self::Silent => "silent",
        }
    }

    /// As binary records write it.
    pub const fn code(self) -> u8 {
        match self {
            Self::Moving => 0,
            Self::Idling => 1,
            Self::Stopped => 2,
            Self::Silent => 3,
        }
    }

    fn of(fix: &Fix) -> Self {
        let runs =
            fix.engine.ignition == Some(true) || fix.engine.engine_speed_rpm.is_some_and(|rpm| rpm > 0.0);
        match fix.speed {
            Some(speed) if speed.value() >= MOVING_MPS => Self::Moving,
            _ if runs => Self::Idling,
            _ => Self::Stopped,
        }
    }
}

/// Place of a vehicle in the fleet. It keeps it for the hub's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place(pub(crate) u32);

/// What a feature was rendered as; forgotten with the next change.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    pub(crate) full: Option<Bytes>,
    pub(crate) plain: Option<Bytes>,
    pub(crate) customer: Option<Bytes>,
    /// With its age at some time, as a message of its own.
    pub(crate) whole: Option<(Audience, u64, Bytes)>,
}

/// A vehicle and the newest that is known of it.
#[derive(Debug)]
pub(crate) struct Vehicle {
    pub(crate) tenant: TenantId,
    pub(crate) id: VehicleId,
    pub(crate) group: Option<String>,
    pub(crate) epoch: u64,
    pub(crate) fix: Fix,
    pub(crate) status: Status,
    pub(crate) cell: CellIndex,
    /// When it was last heard of.
    pub(crate) heard: Instant,
    pub(crate) rendered: Rendered,
}

impl Vehicle {
    /// Where the fix stands among all of its vehicle: time, then life of the spool, then sequence.
    fn order(&self) -> (WallTime, u64, u64) {
        (self.fix.time, self.epoch, self.fix.sequence)
    }
}

/// What became of a fix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is the newest now. `from` is the cell that the vehicle was in, if it was known.
    Newest { place: Place, from: Option<CellIndex>, was_silent: bool },
    /// A newer one is known, or the same.
    Older,
    /// There are as many vehicles as the hub may know.
    NoRoom,
}

/// The vehicles that the hub has heard of.
#[derive(Debug)]
pub(crate) struct Fleet {
    vehicles: Vec<Vehicle>,
    places: FxHashMap<(TenantId, VehicleId), Place>,
    groups: FxHashMap<(TenantId, VehicleId), String>,
    vehicles_max: usize,
    /// Planted: the fix that came last wins.
    older_wins: bool,
}

impl Fleet {
    pub(crate) fn new(vehicles_max: usize, older_wins: bool) -> Self {
        let (places, groups) = (FxHashMap::default(), FxHashMap::default());
        Self { vehicles: Vec::new(), places, groups, vehicles_max, older_wins }
    }

    /// Puts a vehicle into a group. Only before it is heard of.
    pub(crate) fn set_group(&mut self, tenant: TenantId, vehicle: VehicleId, group: &str) {
        self.groups.insert((tenant, vehicle), group.to_owned());
    }

    /// The group of a vehicle, whether it was heard of or not.
    pub(crate) fn members(&self, tenant: TenantId, group: &str) -> Vec<VehicleId> {
        let all = self.groups.iter();
        let mut members: Vec<_> = all
            .filter(|((of, _), name)| *of == tenant && name.as_str() == group)
            .map(|((_, vehicle), _)| *vehicle)
            .collect();
        members.sort_unstable();
        members
    }

    /// Takes a fix, if it is newer than what is known.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        tenant: TenantId,
        id: VehicleId,
        epoch: u64,
        fix: Fix,
    ) -> Taken {
        let (status, cell) = (Status::of(&fix), cell_of(fix.position));
        if let Some(place) = self.places.get(&(tenant, id)).copied() {
            let vehicle = &mut self.vehicles[place.0 as usize];
            if (fix.time, epoch, fix.sequence) <= vehicle.order() && !self.older_wins {
                return Taken::Older;
            }
            let (from, was_silent) = (vehicle.cell, vehicle.status == Status::Silent);
            (vehicle.epoch, vehicle.fix, vehicle.status, vehicle.cell) = (epoch, fix, status, cell);
            (vehicle.heard, vehicle.rendered) = (now, Rendered::default());
            return Taken::Newest { place, from: Some(from), was_silent };
        }
        if self.vehicles.len() >= self.vehicles_max {
            return Taken::NoRoom;
        }
        let place = Place(self.vehicles.len() as u32);
        let group = self.groups.get(&(tenant, id)).cloned();
        let rendered = Rendered::default();
        self.vehicles.push(Vehicle { tenant, id, group, epoch, fix, status, cell, heard: now, rendered });
        self.places.insert((tenant, id), place);
        Taken::Newest { place, from: None, was_silent: false }
    }

    /// Nothing was heard of it for a while. Returns whether that is news.
    pub(crate) fn silence(&mut self, place: Place) -> bool {
        let vehicle = &mut self.vehicles[place.0 as usize];
        let news = vehicle.status != Status::Silent;
        if news {
            (vehicle.status, vehicle.rendered) = (Status::Silent, Rendered::default());
        }
        news
    }

    /// Where a vehicle is kept.
    pub(crate) fn place(&self, tenant: TenantId, id: VehicleId) -> Option<Place> {
        self.places.get(&(tenant, id)).copied()
    }

    pub(crate) fn vehicle(&self, place: Place) -> &Vehicle {
        &self.vehicles[place.0 as usize]
    }

    pub(crate) fn vehicle_mut(&mut self, place: Place) -> &mut Vehicle {
        &mut self.vehicles[place.0 as usize]
    }

    /// Every vehicle of a tenant, in the order in which they were first heard of.
    pub(crate) fn of_tenant(&self, tenant: TenantId) -> impl Iterator<Item = (Place, &Vehicle)> {
        let all = (0..).map(Place).zip(&self.vehicles);
        all.filter(move |(_, vehicle)| vehicle.tenant == tenant)
    }

    /// How many it has.
    pub(crate) fn len(&self) -> usize {
        self.vehicles.len()
    }
}

#[cfg(test)]
mod tests {
    use drover_model::{MetersPerSecond, Position};

    use super::*;

    fn fix(time_s: i64, sequence: u64) -> Fix {
        Fix::bare(sequence, WallTime::from_secs(time_s), Position::new(60.17, 24.94).expect("a place"))
    }

    fn names() -> (TenantId, VehicleId) {
        (TenantId::new("acme").expect("a name"), VehicleId::new("VAN-1").expect("a name"))
    }

    #[tokio::test(start_paused = true)]
    async fn never_an_older_fix_over_a_newer_one() {
        let (mut fleet, (tenant, id)) = (Fleet::new(10, false), names());
        let mut take = |epoch, time, sequence| {
            matches!(fleet.take(Instant::now(), tenant, id, epoch, fix(time, sequence)), Taken::Newest { .. })
        };
        assert!(take(1, 100, 7));
        assert!(!take(1, 100, 7), "the same again");
        assert!(!take(1, 99, 8), "older, although its sequence is not");
        assert!(take(1, 100, 8), "the same moment, later recorded");
        assert!(take(2, 100, 0), "the same moment, another life of the spool");
        assert!(take(1, 101, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_vehicle_is_what_its_fix_says_until_it_is_silent() {
        let (mut fleet, (tenant, id)) = (Fleet::new(10, false), names());
        let now = Instant::now();
        let mut status = |time_s, speed: Option<f64>, ignition, rpm| {
            let mut fix = fix(time_s, 1);
            fix.speed = speed.map(|speed| MetersPerSecond::new(speed).expect("a speed"));
            (fix.engine.ignition, fix.engine.engine_speed_rpm) = (ignition, rpm);
            let Taken::Newest { place, .. } = fleet.take(now, tenant, id, 1, fix) else { panic!("newer") };
            (place, fleet.vehicle(place).status)
        };
        assert_eq!(status(1, Some(0.84), None, None).1, Status::Moving);
        assert_eq!(status(2, Some(0.83), Some(true), None).1, Status::Idling);
        assert_eq!(status(3, None, None, Some(700.0)).1, Status::Idling);
        assert_eq!(status(4, Some(0.0), Some(false), None).1, Status::Stopped);
        let (place, status) = status(5, None, None, None);
        assert_eq!(status, Status::Stopped);
        assert!(fleet.silence(place) && !fleet.silence(place), "told once");
    }

    #[tokio::test(start_paused = true)]
    async fn more_vehicles_than_there_is_room_for_are_not_taken() {
        let (mut fleet, (tenant, id)) = (Fleet::new(1, false), names());
        assert!(matches!(fleet.take(Instant::now(), tenant, id, 1, fix(1, 1)), Taken::Newest { .. }));
        let other = TenantId::new("other").expect("a name");
        assert_eq!(fleet.take(Instant::now(), other, id, 1, fix(1, 1)), Taken::NoRoom);
    }
}
