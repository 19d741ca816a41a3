//! Real services together in one process, on real sockets: see `tests/it`. Here is what they stand on: throw-away servers of
//! PostgreSQL.

pub mod postgres;
mod small_disk;

pub use postgres::{Disk, Postgres, postgres_is_installed};
pub use small_disk::SmallDisk;
