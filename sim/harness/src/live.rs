//! What a run with real processes takes from the harness: the same world, the same names, the same configs.

pub use crate::cluster::{rule_of, vehicle_id};
pub use crate::configs::Configs;
pub use crate::report::driving;
pub use crate::spec::world_spec;
