//! What a world is made of.

use std::sync::Arc;
use std::time::Duration;

use drover_model::{NodeName, WallTime};

use crate::{
    BusSpec, Demand, DeviceSpec, DriverShares, Fault, RadioSpec, ReceiverSpec, ReplaySpec, Roads,
    TrafficSpec, Wear,
};

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
    /// Others on the road. `None`: vehicles do not see each other, and no signal stops them.
    pub traffic: Option<TrafficSpec>,
}

/// A group of like vehicles.
#[derive(Debug, Clone, PartialEq)]
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
    /// What their receivers are.
    pub receiver: ReceiverSpec,
    /// What their tracking devices are.
    pub device: DeviceSpec,
    /// The drive that they do again, in place of one of their own; kind and receiver are then the recording's.
    pub replay: Option<ReplaySpec>,
    /// Who drives them.
    pub drivers: DriverShares,
    /// When they drive. Counts with traffic only, which has the day's curve.
    pub demand: Demand,
}

impl Default for Fleet {
    /// One new van with a calm driver, a fix and a turn of its bus every second.
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self {
            count: 1,
            kind: VehicleKind::DeliveryVan,
            fix_interval: second,
            can: Some(BusSpec { interval: second }),
            wear: Wear::default(),
            receiver: ReceiverSpec::default(),
            device: DeviceSpec::default(),
            replay: None,
            drivers: DriverShares::CALM,
            demand: Demand::Steady,
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
