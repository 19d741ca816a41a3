//! What wears out in a group of vehicles.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quantity::seconds;

/// Parts that wear out; those left out stay as new. Signals drift first, then trouble codes come and go, then they stay,
/// then the part has failed; vehicles drive on.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Wear {
    /// The starter pulls an old battery's voltage down further. Ages by the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub battery: Option<Decay>,
    /// Charges with less and less voltage, and then not at all. Ages while the engine runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alternator: Option<Decay>,
    /// Moves less and less coolant, which gets hotter. Ages while the engine runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coolant_pump: Option<Decay>,
    /// One tyre loses air. Ages by the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tyre: Option<Decay>,
    /// One brake's lining. Wears with the energy that the brakes take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brake_lining: Option<Decay>,
}

/// How one part wears out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decay {
    /// Share of the group's vehicles that it befalls, 0 to 1. Default 1.
    #[serde(default = "all")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: f64,
    /// It begins at a random moment up to this long after the start, in seconds. Default 0.
    #[serde(rename = "onset_s", with = "seconds", default)]
    #[schemars(with = "f64", range(min = 0.0, max = 604_800.0))]
    pub onset: Duration,
    /// From then to failure in typical use, in seconds.
    #[serde(rename = "life_s", with = "seconds")]
    #[schemars(with = "f64", range(min = 1.0, max = 604_800.0))]
    pub life: Duration,
    /// Lives differ by up to this share, 0 to 0.9. Default 0.2.
    #[serde(default = "fifth")]
    #[schemars(range(min = 0.0, max = 0.9))]
    pub spread: f64,
}

fn all() -> f64 {
    1.0
}

fn fifth() -> f64 {
    0.2
}

impl Wear {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The same, as the world takes it.
    pub fn resolve(&self) -> drover_world::Wear {
        let resolve = |decay: Option<Decay>| {
            decay.map(|Decay { share, onset, life, spread }| drover_world::Decay {
                share,
                onset,
                life,
                spread,
            })
        };
        drover_world::Wear {
            battery: resolve(self.battery),
            alternator: resolve(self.alternator),
            coolant_pump: resolve(self.coolant_pump),
            tyre: resolve(self.tyre),
            brake_lining: resolve(self.brake_lining),
        }
    }
}
