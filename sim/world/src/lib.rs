//! The simulated world: roads, vehicles, drivers, traffic, receivers, radio; nodes, links and faults as entities. No sockets.
//!
//! The world moves in ticks of a tenth of a second and says what comes of it: what receivers write, which vehicles
//! change cell or lose coverage, which faults begin and end. Whoever owns it waits, and carries that out. It holds no
//! clock, opens no file, and draws every random number from its seed: the same spec gives the same outputs, always.

mod can;
mod device;
mod drivers;
mod engine;
mod faults;
mod math;
mod motion;
mod outputs;
mod plane;
mod radio;
mod receiver;
mod replay;
mod rng;
mod roads;
mod spec;
mod threads;
mod tick;
mod traffic;
mod truth;
mod vehicle;
mod wear;
mod world;

pub use can::{BusSpec, CanFrame};
pub use device::{ClockError, DeviceSpec};
pub use drivers::conduct::{Conduct, DrivingEvent};
pub use drivers::{DriverShares, DriverStyle, NoShares};
pub use faults::{Action, CellOutage, Fault, Frozen, GpsFault, LinkEffect, LinkRule, TimelineEntry, Verb};
pub use outputs::Outputs;
pub use radio::{Cell, Crowd, Fading, RadioSpec, Zone};
pub use receiver::{Grade, ReceiverSpec, Start, Talker};
pub use replay::{Recording, RecordingError, ReplaySpec, write_candump};
pub use roads::{
    Bounds, City, CityError, Class, Control, ControlAt, Edge, Junction, Note, Preparing, Roads, RoadsError,
    Way, Wayfinder,
};
pub use spec::{Fleet, VehicleKind, WorldSpec};
pub use tick::TICK;
pub use traffic::lab;
pub use traffic::{DayCurve, Demand, NoCurve, TrafficCounts, TrafficSpec};
pub use truth::{EngineTruth, Falsified, FixTruth, Truth};
pub use wear::{Decay, Part, PartTruth, TroubleCode, Wear};
pub use world::World;
