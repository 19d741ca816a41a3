//! What a world is made of.

use std::sync::Arc;
use std::time::Duration;

use drover_model::{NodeName, WallTime};

use crate::{BusSpec, Fault, Roads, Wear};

/// Everything that decides what a world does.
#[derive(Debug, Clone)]
pub struct WorldSpec {
    /// Source of every random number.
    pub seed: u64,
    /// UTC at the start of the run.
    pub start: WallTime,
    /// Where vehicles drive.
    pub roads: Arc<Roads>,
    /// The vehicles, numbered from 0 through all fleets in this order.
    pub fleets: Vec<Fleet>,
    /// Cells and coverage.
    pub radio: RadioSpec,
    /// Every node that faults can name. Vehicles are nodes too.
    pub nodes: Vec<NodeName>,
    /// What breaks, in any order.
    pub faults: Vec<Fault>,
}

/// A group of like vehicles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fleet {
    /// How many.
    pub count: u32,
    /// What they are.
    pub kind: VehicleKind,
    /// How often the receiver gives a fix. Counts in whole milliseconds, and not faster than the world's tick.
    pub fix_interval: Duration,
    /// The bus that trackers hear. `None`: they are not connected to it.
    pub can: Option<BusSpec>,
    /// What wears out.
    pub wear: Wear,
}

impl Default for Fleet {
    /// One new van, a fix and a turn of its bus every second.
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self {
            count: 1,
            kind: VehicleKind::DeliveryVan,
            fix_interval: second,
            can: Some(BusSpec { interval: second }),
            wear: Wear::default(),
        }
    }
}

/// What a vehicle is, and how it drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VehicleKind {
    /// A van of 3.5 t on delivery rounds: drives to an address, idles, drives on.
    DeliveryVan,
    /// A box truck of 12 t on the same rounds.
    Truck,
    /// A compact petrol car.
    Car,
}

/// The mobile network, as far as it depends on where a vehicle is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RadioSpec {
    /// Width of the square cells, in metres. `None`: one cell.
    pub cell_m: Option<f64>,
    /// A vehicle also changes cell this often, wherever it is. `None`: never.
    pub cell_change_interval: Option<Duration>,
    /// Circles without coverage.
    pub zones: Vec<Zone>,
}

/// A circle without coverage.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// What reports call it.
    pub name: String,
    /// Latitude of its middle, in degrees.
    pub lat: f64,
    /// Longitude of its middle, in degrees.
    pub lon: f64,
    /// Its radius, in metres.
    pub radius_m: f64,
}
