//! The HTTP API: what dispatchers, drivers, customers and their programs ask for under `/api/v1`, answered by tools of persistence
//! agents.
//!
//! Holds no socket: whoever has a connection hands requests in. Holds no state but the secret that it draws identities from; every
//! answer is what an agent said just now. A change is said to an agent until its verdict is known or the time is up, under the
//! caller's `Idempotency-Key`, so that a caller may repeat it. Documented as OpenAPI 3.1 at `/api/v1/openapi.json`.

mod answer;
mod api;
mod arguments;
mod arrival;
mod notes;
mod openapi;
mod problem;
mod rates;
mod routes;
mod view;

pub use answer::{Answer, json};
pub use api::{Api, BODY_BYTES_MAX, Config, Fleet};
pub use arguments::named_by;
pub use problem::Problem;
pub use rates::{Rates, network_of};
pub use view::{Ended, action, ended, event, reopened, set_out};
