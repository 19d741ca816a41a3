//! Real services together in one process, on real sockets: see `tests/it`. Here is what they stand on: throw-away servers of
//! PostgreSQL.

pub mod postgres;

pub use postgres::{Disk, Postgres};
