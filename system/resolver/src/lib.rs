//! A stub resolver: the addresses of a name, from the first of several DNS servers that answers.
//!
//! For what must find its servers by itself, whatever resolver its machine has: a vehicle. Asks servers that are configured,
//! one after the other; follows no delegation and keeps no cache, but tells how long an answer may be kept.

mod lookup;
mod message;
mod stub;

pub use lookup::{LookupError, Resolver};
pub use message::{Answer, Code, read_answer};
pub use stub::{Found, NameError, check_name};
