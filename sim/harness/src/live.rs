//! What a run with real processes takes from the harness: the same world, the same names, the same configs.

pub use crate::cluster::{cluster_keys, frame_of, rule_of, tenant, vehicle_id};
pub use crate::configs::Configs;
pub use crate::dispatch::Dispatch;
pub use crate::report::driving;
pub use crate::spec::world_spec;
pub use crate::watcher::{Crowd, Entrances, Plan, Tally, run as attend};
