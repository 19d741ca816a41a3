//! The mobile network, as far as it depends on where a vehicle is: cells and coverage.

use std::time::Duration;

use bevy_ecs::prelude::*;

use crate::motion::{Drive, Map};
use crate::outputs::Outputs;
use crate::plane::{Plane, Point};
use crate::tick::{TICK_MS, Tick};
use crate::{RadioSpec, Roads};

/// A modem looks around this often, in ticks; vehicles take turns.
const LOOK_TICKS: u64 = 5;
/// A cell is left only this far beyond its border, as a share of its width and in metres at most, so that a vehicle
/// on the border does not change address at every look.
const CELL_MARGIN_SHARE: f64 = 0.1;
const CELL_MARGIN_MAX_M: f64 = 30.0;
/// A zone is left only this far outside, in metres.
const ZONE_MARGIN_M: f64 = 5.0;

/// A cell of the mobile network, as one vehicle sees it. Another one means another address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cell {
    /// Place in the grid, from west to east; 0 is at the middle of the roads.
    pub column: i32,
    /// Place in the grid, from south to north.
    pub row: i32,
    /// How often the network has moved the vehicle to another cell in the same place.
    pub change: u32,
}

/// The network.
#[derive(Debug, Clone, Resource)]
pub(crate) struct Network {
    cell_m: Option<f64>,
    change_interval_ms: Option<u64>,
    /// Middle and radius of each zone.
    zones: Vec<(Point, f64)>,
    /// Set once zones have ended for good.
    healed: bool,
    /// Set while every vehicle is to look at once.
    all_look: bool,
}

/// One vehicle's modem.
#[derive(Debug, Clone, Copy, Component)]
pub(crate) struct Modem {
    vehicle: u32,
    cell: Cell,
    pub(crate) covered: bool,
    /// When the network moves it to another cell, in milliseconds since the start.
    change_ms: u64,
}

impl Network {
    pub(crate) fn new(spec: &RadioSpec, plane: &Plane) -> Self {
        let zones = spec.zones.iter().map(|zone| (plane.point_of(zone.lat, zone.lon), zone.radius_m));
        let interval_ms = |interval: Duration| (interval.as_millis() as u64).max(TICK_MS);
        Self {
            cell_m: spec.cell_m.filter(|width| width.is_finite() && *width > 0.0),
            change_interval_ms: spec.cell_change_interval.map(interval_ms),
            zones: zones.collect(),
            healed: false,
            all_look: false,
        }
    }

    /// Coverage everywhere from the next step on, and no more moves of parked vehicles.
    pub(crate) fn heal(&mut self) {
        self.healed = true;
        self.all_look = true;
    }

    fn is_static(&self) -> bool {
        self.cell_m.is_none() && (self.change_interval_ms.is_none() || self.healed) && self.zones.is_empty()
    }

    fn covers(&self, place: Point, covered_before: bool) -> bool {
        let margin_m = if covered_before { 0.0 } else { ZONE_MARGIN_M };
        let outside = |(middle, radius_m): &(Point, f64)| place.distance_to(*middle) > radius_m + margin_m;
        self.healed || self.zones.iter().all(outside)
    }
}

impl Modem {
    /// A modem that is registered where its vehicle stands. Whether it is covered it finds out at its first look.
    pub(crate) fn new(vehicle: u32, drive: &Drive, roads: &Roads, network: &Network) -> Self {
        let place = roads.place_on_plane(drive.segment, drive.along_m);
        let index = |metres: f64| network.cell_m.map_or(0, |width| (metres / width).floor() as i32);
        let interval_ms = network.change_interval_ms.unwrap_or(u64::MAX);
        Self {
            vehicle,
            cell: Cell { column: index(place.east), row: index(place.north), change: 0 },
            covered: true,
            change_ms: phase(vehicle, interval_ms),
        }
    }

    fn look(&mut self, place: Point, tick: Tick, network: &Network) -> Cell {
        let mut cell = self.cell;
        if let Some(width) = network.cell_m {
            cell.column = settle(place.east, cell.column, width);
            cell.row = settle(place.north, cell.row, width);
        }
        if let Some(interval_ms) = network.change_interval_ms.filter(|_| !network.healed) {
            while self.change_ms <= tick.elapsed_ms() {
                self.change_ms += interval_ms;
                cell.change = cell.change.wrapping_add(1);
            }
        }
        cell
    }
}

/// When in the interval a vehicle changes for the first time: by the golden ratio, which spreads any number of them
/// evenly, and leaves the others alone when one is added.
fn phase(vehicle: u32, interval_ms: u64) -> u64 {
    let turn = (vehicle.wrapping_add(1)).wrapping_mul(0x9E37_79B9);
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
    mut vehicles: Query<(&mut Modem, &Drive)>,
) {
    let all_look = std::mem::take(&mut network.all_look);
    if network.is_static() {
        return;
    }
    for (mut modem, drive) in &mut vehicles {
        if !all_look && tick.0 % LOOK_TICKS != u64::from(modem.vehicle) % LOOK_TICKS {
            continue;
        }
        let place = map.roads.place_on_plane(drive.segment, drive.along_m);
        let covered = network.covers(place, modem.covered);
        if covered != modem.covered {
            modem.covered = covered;
            outputs.coverage.push((modem.vehicle, covered));
        }
        let cell = modem.look(place, *tick, &network);
        if cell != modem.cell {
            modem.cell = cell;
            outputs.cells.push((modem.vehicle, cell));
        }
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
        let mut phases: Vec<u64> = (0..100).map(|vehicle| phase(vehicle, 60_000)).collect();
        phases.sort_unstable();
        assert!(phases.iter().all(|&phase| phase < 60_000));
        // Each tenth of the interval has its tenth of the fleet, give or take.
        for tenth in 0..10 {
            let count = phases.iter().filter(|&&phase| phase / 6_000 == tenth).count();
            assert!((8..=12).contains(&count), "{count} in tenth {tenth}");
        }
    }
}
