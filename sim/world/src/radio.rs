//! The mobile network, as far as it depends on where a vehicle is: cells and coverage, how far the signal has faded, what
//! crowds leave of a cell, and when address translations start afresh.

mod spec;

use std::collections::BTreeMap;
use std::time::Duration;

use bevy_ecs::prelude::*;

pub use self::spec::{Cell, Crowd, Fading, RadioSpec, Zone};
use crate::motion::{Drive, Map};
use crate::outputs::Outputs;
use crate::plane::{Plane, Point};
use crate::replay::Replay;
use crate::rng::lot;
use crate::tick::{TICK_MS, Tick};
use crate::{Action, CellOutage};

/// A modem looks around this often, in ticks; vehicles take turns.
const LOOK_TICKS: u64 = 5;
/// A cell is left only this far beyond its border, as a share of its width and in metres at most, so that a vehicle
/// on the border does not change address at every look.
const CELL_MARGIN_SHARE: f64 = 0.1;
const CELL_MARGIN_MAX_M: f64 = 30.0;
/// A zone is left only this far outside, in metres.
const ZONE_MARGIN_M: f64 = 5.0;
/// The corner of a square cell, which is farthest from its mast, as a share of its width.
const CORNER_SHARE: f64 = std::f64::consts::FRAC_1_SQRT_2;

/// The network.
#[derive(Debug, Clone, Resource)]
pub(crate) struct Network {
    seed: u64,
    cell_m: Option<f64>,
    change_interval_ms: Option<u64>,
    rebind_interval_ms: Option<u64>,
    fades: bool,
    /// Middle and radius of each zone.
    zones: Vec<(Point, f64)>,
    /// Middle of each crowd, with what it is.
    crowds: Vec<(Point, Crowd)>,
    /// Share of each cell's capacity that is taken, as it was last said; those that nobody takes from are absent.
    taken: BTreeMap<(i32, i32), f64>,
    plane: Plane,
    /// Cells out of order, by their fault.
    outages: Vec<(u32, CellOutage)>,
    /// Set once all disturbances have ended for good.
    healed: bool,
    /// Set while every vehicle is to look at once.
    all_look: bool,
}

/// One vehicle's modem.
#[derive(Debug, Clone, Copy, Component)]
pub(crate) struct Modem {
    vehicle: u32,
    pub(crate) cell: Cell,
    pub(crate) covered: bool,
    fading: Fading,
    /// When the network moves it to another cell, and when its address translation starts afresh, in milliseconds since
    /// the start.
    change_ms: u64,
    rebind_ms: u64,
}

impl Network {
    pub(crate) fn new(seed: u64, spec: &RadioSpec, plane: &Plane) -> Self {
        let zones = spec.zones.iter().map(|zone| (plane.point_of(zone.lat, zone.lon), zone.radius_m));
        let crowds = spec.crowds.iter().map(|crowd| (plane.point_of(crowd.lat, crowd.lon), crowd.clone()));
        let interval_ms = |interval: Duration| (interval.as_millis() as u64).max(TICK_MS);
        let cell_m = spec.cell_m.filter(|width| width.is_finite() && *width > 0.0);
        Self {
            seed,
            cell_m,
            change_interval_ms: spec.cell_change_interval.map(interval_ms),
            rebind_interval_ms: spec.rebind_interval.map(interval_ms),
            fades: spec.fades && cell_m.is_some(),
            zones: zones.collect(),
            crowds: crowds.collect(),
            taken: BTreeMap::new(),
            plane: *plane,
            outages: Vec::new(),
            healed: false,
            all_look: false,
        }
    }

    /// Coverage everywhere from the next step on, no crowd, and no more moves of parked vehicles.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
        self.all_look = true;
    }

    fn is_static(&self) -> bool {
        self.cell_m.is_none()
            && (self.change_interval_ms.is_none() && self.rebind_interval_ms.is_none() || self.healed)
            && self.zones.is_empty()
    }

    fn covers(&self, place: Point, cell: Cell, covered_before: bool) -> bool {
        let margin_m = if covered_before { 0.0 } else { ZONE_MARGIN_M };
        let outside = |(middle, radius_m): &(Point, f64)| place.distance_to(*middle) > radius_m + margin_m;
        self.healed || (self.zones.iter().all(outside) && !self.is_out(cell))
    }

    /// True if a cell is out of order.
    fn is_out(&self, cell: Cell) -> bool {
        let hit = |(id, outage): &(u32, CellOutage)| match *outage {
            CellOutage::Circle { lat, lon, radius_m } => {
                let mast = self.cell_m.map(|width| mast(cell.place(), width)).unwrap_or_default();
                mast.distance_to(self.plane.point_of(lat, lon)) <= radius_m
            }
            CellOutage::Share(share) => {
                let (column, row) = cell.place();
                lot(self.seed, *id, u64::from(column as u32) << 32 | u64::from(row as u32)) < share
            }
        };
        self.outages.iter().any(hit)
    }

    /// Begins and ends outages; true if there was any change.
    pub(crate) fn change_outages(&mut self, actions: &[Action]) -> bool {
        let mut changed = false;
        for action in actions {
            if let Action::CellOutage { id, outage } = action {
                self.outages.retain(|(known, _)| known != id);
                self.outages.extend(outage.map(|outage| (*id, outage)));
                changed = true;
            }
        }
        self.all_look |= changed;
        changed
    }

    /// Share of a cell's capacity that crowds take now: the largest one counts.
    fn taken_of(&self, cell: (i32, i32), now: Duration) -> f64 {
        let Some(width) = self.cell_m.filter(|_| !self.healed) else { return 0.0 };
        let mast = mast(cell, width);
        let here = |(middle, crowd): &&(Point, Crowd)| {
            let there = crowd.at <= now && crowd.lasts.is_none_or(|lasts| now < crowd.at + lasts);
            there && mast.distance_to(*middle) <= crowd.radius_m
        };
        self.crowds.iter().filter(here).fold(0.0, |most: f64, (_, crowd)| most.max(crowd.share))
    }

    /// Says of each of these cells what is taken of it, if that has changed.
    fn tell_taken(&mut self, cells: impl Iterator<Item = (i32, i32)>, now: Duration, outputs: &mut Outputs) {
        for cell in cells {
            let share = self.taken_of(cell, now);
            let before = self.taken.get(&cell).copied().unwrap_or_default();
            if share == before {
                continue;
            }
            if share > 0.0 {
                self.taken.insert(cell, share);
            } else {
                self.taken.remove(&cell);
            }
            outputs.taken.push((cell, share));
        }
    }

    /// True if a crowd comes or goes in the step that ends at `now`.
    fn crowds_change(&self, now: Duration) -> bool {
        let step = |at: Duration| at <= now && now < at + crate::TICK;
        self.crowds
            .iter()
            .any(|(_, crowd)| step(crowd.at) || crowd.lasts.is_some_and(|lasts| step(crowd.at + lasts)))
    }
}

/// Where a cell's mast stands: in its middle.
fn mast((column, row): (i32, i32), width: f64) -> Point {
    Point { east: (f64::from(column) + 0.5) * width, north: (f64::from(row) + 0.5) * width }
}

impl Modem {
    /// A modem that is registered at `place`. Whether it is covered it finds out at its first look.
    pub(crate) fn new(vehicle: u32, place: Point, network: &Network) -> Self {
        let index = |metres: f64| network.cell_m.map_or(0, |width| (metres / width).floor() as i32);
        let cell = Cell { column: index(place.east), row: index(place.north), change: 0 };
        let first_ms = |interval: Option<u64>, turn| phase(vehicle, interval.unwrap_or(u64::MAX), turn);
        Self {
            vehicle,
            cell,
            covered: true,
            fading: network.fading(place, cell),
            change_ms: first_ms(network.change_interval_ms, CHANGE_TURN),
            rebind_ms: first_ms(network.rebind_interval_ms, REBIND_TURN),
        }
    }

    pub(crate) const fn fading(&self) -> Fading {
        self.fading
    }

    fn look(&mut self, place: Point, tick: Tick, network: &Network) -> Cell {
        let mut cell = self.cell;
        if let Some(width) = network.cell_m {
            cell.column = settle(place.east, cell.column, width);
            cell.row = settle(place.north, cell.row, width);
        }
        let interval_ms = network.change_interval_ms.filter(|_| !network.healed);
        cell.change = cell.change.wrapping_add(passed(&mut self.change_ms, interval_ms, tick));
        cell
    }
}

impl Network {
    fn fading(&self, place: Point, cell: Cell) -> Fading {
        let Some(width) = self.cell_m.filter(|_| self.fades) else { return Fading::default() };
        Fading::at(place.distance_to(mast(cell.place(), width)) / (width * CORNER_SHARE))
    }
}

/// How often `next_ms` was due up to now; moves it on.
fn passed(next_ms: &mut u64, interval_ms: Option<u64>, tick: Tick) -> u32 {
    let Some(interval_ms) = interval_ms else { return 0 };
    let mut times = 0;
    while *next_ms <= tick.elapsed_ms() {
        *next_ms += interval_ms;
        times += 1;
    }
    times
}

/// Turns of the golden ratio and of the square root of two, in units of 2^-32.
const CHANGE_TURN: u32 = 0x9E37_79B9;
const REBIND_TURN: u32 = 0x6A09_E667;

/// When in the interval a vehicle changes for the first time: by an irrational turn, which spreads any number of them
/// evenly, and leaves the others alone when one is added.
fn phase(vehicle: u32, interval_ms: u64, turn: u32) -> u64 {
    let turn = (vehicle.wrapping_add(1)).wrapping_mul(turn);
    ((u128::from(interval_ms) * u128::from(turn)) >> 32) as u64
}

/// The row or column for a place, which is the one before unless it is clearly left.
fn settle(metres: f64, before: i32, width: f64) -> i32 {
    let margin_m = (width * CELL_MARGIN_SHARE).min(CELL_MARGIN_MAX_M);
    let start = f64::from(before) * width;
    if (start - margin_m..start + width + margin_m).contains(&metres) {
        before
    } else {
        (metres / width).floor() as i32
    }
}

/// Lets modems look around whose turn it is.
pub(crate) fn listen(
    tick: Res<Tick>,
    map: Res<Map>,
    mut network: ResMut<Network>,
    mut outputs: ResMut<Outputs>,
    mut vehicles: Query<(&mut Modem, Option<&Drive>, Option<&Replay>)>,
) {
    let network = &mut *network;
    let outputs = &mut *outputs;
    network.change_outages(&outputs.actions);
    let all_look = std::mem::take(&mut network.all_look);
    if network.is_static() {
        return;
    }
    for (mut modem, drive, replay) in &mut vehicles {
        if !all_look && tick.0 % LOOK_TICKS != u64::from(modem.vehicle) % LOOK_TICKS {
            continue;
        }
        let place = match (drive, replay) {
            (Some(drive), _) => map.roads.place_on_plane(drive.segment, drive.along_m),
            (None, Some(replay)) => map.roads.plane.point(replay.position()),
            (None, None) => continue,
        };
        let cell = modem.look(place, *tick, network);
        let covered = network.covers(place, cell, modem.covered);
        if covered != modem.covered {
            modem.covered = covered;
            outputs.coverage.push((modem.vehicle, covered));
        }
        if cell != modem.cell {
            modem.cell = cell;
            outputs.cells.push((modem.vehicle, cell));
        }
        let fading = network.fading(place, cell);
        if fading != modem.fading {
            modem.fading = fading;
            outputs.fadings.push((modem.vehicle, fading));
        }
        let interval_ms = network.rebind_interval_ms.filter(|_| !network.healed);
        if passed(&mut modem.rebind_ms, interval_ms, *tick) > 0 {
            outputs.rebinds.push(modem.vehicle);
        }
    }
    if network.crowds.is_empty() {
        return;
    }
    let entered: Vec<_> = outputs.cells.iter().map(|(_, cell)| cell.place()).collect();
    if all_look || network.crowds_change(tick.elapsed()) {
        let mut cells: Vec<_> = vehicles.iter().map(|(modem, ..)| modem.cell.place()).collect();
        cells.extend(network.taken.keys());
        cells.sort_unstable();
        cells.dedup();
        network.tell_taken(cells.into_iter(), tick.elapsed(), outputs);
    } else {
        network.tell_taken(entered.into_iter(), tick.elapsed(), outputs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vehicle_on_the_border_stays_in_its_cell() {
        assert_eq!(settle(305.0, 0, 300.0), 0);
        assert_eq!(settle(331.0, 0, 300.0), 1);
        assert_eq!(settle(295.0, 1, 300.0), 1);
        assert_eq!(settle(-40.0, 0, 300.0), -1);
        assert_eq!(settle(2_950.0, 0, 300.0), 9);
    }

    #[test]
    fn a_fleet_changes_cells_evenly_through_the_interval() {
        let mut phases: Vec<u64> = (0..100).map(|vehicle| phase(vehicle, 60_000, CHANGE_TURN)).collect();
        phases.sort_unstable();
        assert!(phases.iter().all(|&phase| phase < 60_000));
        // Each tenth of the interval has its tenth of the fleet, give or take.
        for tenth in 0..10 {
            let count = phases.iter().filter(|&&phase| phase / 6_000 == tenth).count();
            assert!((8..=12).contains(&count), "{count} in tenth {tenth}");
        }
    }
}
