//! What surrounds the cluster: roads and vehicles.

use std::path::PathBuf;
use std::time::Duration;

use drover_model::WallTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Wear;
use super::device::{Device, Receiver, Replay};
use super::quantity::seconds;
use super::traffic::{Drivers, GroupDemand, Traffic};

/// Roads and the time of day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct World {
    /// UTC when the run starts, as RFC 3339. Default 2026-03-02T07:00:00Z, a Monday.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub start: WallTime,
    /// Where the roads come from: `{ osm_pbf = "file" }`, `{ city = { .. } }` or `{ grid = { .. } }`.
    pub roads: Roads,
    /// Others on the road. Without this table every vehicle drives as if it were alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
}

impl Default for World {
    fn default() -> Self {
        Self { start: WallTime::from_secs(1_772_434_800), roads: Roads::Grid(Grid::default()), traffic: None }
    }
}

/// Where the roads come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Roads {
    /// An OpenStreetMap extract, by its path from the working directory.
    OsmPbf(PathBuf),
    /// A made-up town of straight streets.
    Grid(Grid),
    /// A made-up city: arterials, one-way streets, signals, tunnels, a river.
    City(City),
}

/// A made-up town of straight streets, all open both ways. Its routes are prepared before the run: a second for
/// 200 x 200 crossings, some 15 for 500 x 500.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grid {
    /// Streets from south to north. Default 40.
    #[schemars(range(min = 2, max = 500))]
    pub columns: u32,
    /// Streets from west to east. Default 30.
    #[schemars(range(min = 2, max = 500))]
    pub rows: u32,
    /// Distance between crossings, in metres. Default 120.
    #[schemars(range(min = 20.0, max = 5_000.0))]
    pub block_m: f64,
}

impl Default for Grid {
    fn default() -> Self {
        Self { columns: 40, rows: 30, block_m: 120.0 }
    }
}

/// A made-up city: arterials and collectors, neighbourhoods between them, signals, one-way streets, tunnels, and a river
/// with few bridges. There is room for some five vehicles per crossing: 8 x 6 km for 10,000, 20 x 18 km for 100,000.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct City {
    /// Source of its random numbers, apart from the run's: another run then has the same streets. Default 1.
    #[schemars(range(min = 0, max = 9_223_372_036_854_775_807_u64))]
    pub seed: u64,
    /// From west to east, in kilometres. Default 8.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub width_km: f64,
    /// From south to north, in kilometres. Default 6.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub height_km: f64,
    /// Usual distance between crossings, in metres. Default 120.
    #[schemars(range(min = 40.0, max = 1_000.0))]
    pub block_m: f64,
    /// Every which street is an arterial; halfway between two of them is a collector. Default 8.
    #[schemars(range(min = 4, max = 40))]
    pub arterial_every: u32,
    /// How far it is from a grid: 0 (straight, with all its streets) to 1. Default 0.5.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub irregularity: f64,
    /// Share of neighbourhoods whose small streets are one-way, in pairs of opposite direction: 0 to 1. Default 0.3.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub one_way_share: f64,
    /// Bridges over the river; 0: no river. Default 4.
    #[schemars(range(min = 0, max = 1_000))]
    pub bridges: u32,
    /// Stretches of arterials that are led below a neighbourhood. Default 3.
    #[schemars(range(min = 0, max = 1_000))]
    pub tunnels: u32,
}

impl Default for City {
    fn default() -> Self {
        let drover_world::City {
            seed,
            width_m,
            height_m,
            block_m,
            arterial_every,
            irregularity,
            one_way_share,
            bridges,
            tunnels,
        } = drover_world::City::default();
        let (width_km, height_km) = (width_m / 1_000.0, height_m / 1_000.0);
        Self {
            seed,
            width_km,
            height_km,
            block_m,
            arterial_every,
            irregularity,
            one_way_share,
            bridges,
            tunnels,
        }
    }
}

impl City {
    /// The same as the world builds it.
    pub fn resolve(self) -> drover_world::City {
        drover_world::City {
            seed: self.seed,
            width_m: self.width_km * 1_000.0,
            height_m: self.height_km * 1_000.0,
            block_m: self.block_m,
            arterial_every: self.arterial_every,
            irregularity: self.irregularity,
            one_way_share: self.one_way_share,
            bridges: self.bridges,
            tunnels: self.tunnels,
        }
    }
}

/// What a vehicle is and how it drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VehicleKind {
    /// A van of 3.5 t on delivery rounds: drives to an address, idles, drives on.
    DeliveryVan,
    /// A box truck of 12 t on the same rounds.
    Truck,
    /// A compact petrol car.
    Car,
}

impl VehicleKind {
    /// The same, as the world takes it.
    pub const fn resolve(self) -> drover_world::VehicleKind {
        match self {
            Self::DeliveryVan => drover_world::VehicleKind::DeliveryVan,
            Self::Truck => drover_world::VehicleKind::Truck,
            Self::Car => drover_world::VehicleKind::Car,
        }
    }
}

/// A group of like vehicles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vehicles {
    /// How many.
    #[schemars(range(min = 1, max = 100_000))]
    pub count: u32,
    /// What they are. Default `delivery_van`.
    #[serde(default = "delivery_van")]
    pub kind: VehicleKind,
    /// How often the receiver gives a fix, in seconds. Default 1.
    #[serde(rename = "fix_interval_s", with = "seconds", default = "fix_interval")]
    #[schemars(with = "f64", range(min = 0.1, max = 3_600.0))]
    pub fix_interval: Duration,
    /// How often the tracker sends what it has recorded, in seconds. Default 5.
    #[serde(rename = "send_interval_s", with = "seconds", default = "send_interval")]
    #[schemars(with = "f64", range(min = 0.1, max = 3_600.0))]
    pub send_interval: Duration,
    /// Whether trackers hear the vehicles' bus: J1939 in vans and trucks, answers of OBD-II in cars. Default true.
    #[serde(default = "connected")]
    pub can: bool,
    /// The most often that a group of signals is sent on it, in seconds; slower ones keep their own rate. Default 1.
    #[serde(rename = "can_interval_s", with = "seconds", default = "can_interval")]
    #[schemars(with = "f64", range(min = 0.1, max = 60.0))]
    pub can_interval: Duration,
    /// Parts that wear out. Default none.
    #[serde(default, skip_serializing_if = "Wear::is_none")]
    pub wear: Wear,
    /// What receivers they carry.
    #[serde(default)]
    pub receiver: Receiver,
    /// What tracking devices they carry.
    #[serde(default)]
    pub device: Device,
    /// A recorded drive that they do again, in place of drives of their own. Absent: they drive themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
    /// Who drives them, by shares, such as { calm = 0.7, hurried = 0.2, tired = 0.1 }. Default { calm = 1 }.
    #[serde(default)]
    pub drivers: Drivers,
    /// When they drive, in a world with traffic. Default `steady`.
    #[serde(default)]
    pub demand: GroupDemand,
}

fn connected() -> bool {
    true
}

fn can_interval() -> Duration {
    Duration::from_secs(1)
}

fn delivery_van() -> VehicleKind {
    VehicleKind::DeliveryVan
}

fn fix_interval() -> Duration {
    Duration::from_secs(1)
}

fn send_interval() -> Duration {
    Duration::from_secs(5)
}
