//! What surrounds the cluster: roads and vehicles.

use std::path::PathBuf;
use std::time::Duration;

use drover_model::WallTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Wear;
use super::device::{Device, Receiver, Replay};
use super::quantity::seconds;

/// Roads and the time of day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct World {
    /// UTC when the run starts, as RFC 3339. Default 2026-03-02T07:00:00Z, a Monday.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub start: WallTime,
    /// Where the roads come from: `{ osm_pbf = "file" }` or `{ grid = { .. } }`.
    pub roads: Roads,
}

impl Default for World {
    fn default() -> Self {
        Self { start: WallTime::from_secs(1_772_434_800), roads: Roads::Grid(Grid::default()) }
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
}

/// A made-up town of straight streets, all open both ways. Its routes are prepared before the run: a second for
/// 100 x 100 crossings, some 20 for 250 x 250.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grid {
    /// Streets from south to north. Default 40.
    #[schemars(range(min = 2, max = 250))]
    pub columns: u32,
    /// Streets from west to east. Default 30.
    #[schemars(range(min = 2, max = 250))]
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
