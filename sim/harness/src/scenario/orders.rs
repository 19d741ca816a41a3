//! Orders that vans bring while they drive.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quantity::{millis, seconds};

/// A dispatcher gives vans orders, and their real trips drive them: an order is made, assigned and begun when its van sets off,
/// its stop is where the trip leads, and it is done when the van drives on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Orders {
    /// Share of the trips that bring an order, 0 to 1. Default 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub trip_share: f64,
    /// Share of the orders of which the driver is told by a message, 0 to 1. Default 0.5.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub message_share: f64,
    /// Share of the messages that are of use for `short_message_s`, and not for an hour, 0 to 1: a vehicle that can not be reached gets
    /// them too late. Default 0.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub short_message_share: f64,
    /// How long those are of use, in seconds. Default 15: some send intervals.
    #[serde(rename = "short_message_s", with = "seconds")]
    #[schemars(with = "f64", range(min = 0.1, max = 3_600.0))]
    pub short_message: Duration,
    /// Share of the orders for which the vehicle gets a route, 0 to 1; half of those routes are changed a moment later. Default 0.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub route_share: f64,
    /// Share of the orders that nobody takes at the door, 0 to 1. Default 0.1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub failed_share: f64,
    /// Share of the orders that are cancelled before their van has set off, 0 to 1. Default 0.05.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub cancelled_share: f64,
    /// Share of the commands that are said once more although they were answered, 0 to 1. Default 0.1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub repeat_share: f64,
    /// How many commands that can not be are said beside each good one, 0 to 1: steps that nobody may take, things that are not
    /// there. Default 0.1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub wrong_share: f64,
    /// How long the dispatcher waits for an answer before it says the same command again, in milliseconds. Default 5000.
    #[serde(rename = "answer_within_ms", with = "millis")]
    #[schemars(with = "f64", range(min = 10.0, max = 60_000.0))]
    pub answer_within: Duration,
}

impl Default for Orders {
    fn default() -> Self {
        Self {
            trip_share: 1.0,
            message_share: 0.5,
            short_message_share: 0.0,
            short_message: Duration::from_secs(15),
            route_share: 0.0,
            failed_share: 0.1,
            cancelled_share: 0.05,
            repeat_share: 0.1,
            wrong_share: 0.1,
            answer_within: Duration::from_secs(5),
        }
    }
}
