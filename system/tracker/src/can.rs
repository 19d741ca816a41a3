//! Frames of a vehicle's bus to the readings that travel with fixes.
//!
//! Pure cores; no bus, clock or file. [`CandumpReader`] reads logs, [`Database`] knows messages, [`CanReader`] puts both
//! together with the layers between: J1939-21 and ISO 15765-2 for messages larger than a frame, DM1 and OBD-II for trouble
//! codes. Any bytes are survived; what gives no reading is counted by reason.

mod candump;
mod dbc;
mod dm1;
mod frame;
mod input;
mod isotp;
mod obd;
mod quantity;
mod reader;
mod readings;
mod signal;
mod transport;

pub use candump::{CandumpCounts, CandumpReader, LogFrame, Stamp};
pub use dbc::{BUILT_IN, DBC_BYTES_MAX, Database, DbcError, Message, Problem, Sample, Samples};
pub use frame::{CanFrame, CanId, DATA_BYTES_MAX, FrameError, J1939Id};
pub use input::CanInput;
pub use isotp::IsoTpCounts;
pub use quantity::Quantity;
pub use reader::{BindProblem, CanCounts, CanReader, Catalog};
pub use readings::FAULT_CODES_MAX;
pub use signal::{ByteOrder, Kind, Layout, Signal, Status};
pub use transport::TransportCounts;
