//! Others on the road, and who drives.

use drover_world::{DayCurve, Demand, DriverShares, NoCurve, NoShares, TrafficSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Others on the road: vehicles follow each other, stop at signals and give way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Traffic {
    /// Cars without a tracker that only fill the road: so many are under way at the busiest hour. Default 0.
    #[schemars(range(min = 0, max = 200_000))]
    pub background: u32,
    /// How the background, and groups of vehicles whose demand is `day`, follow the hours. Default `weekday`.
    pub demand: Curve,
    /// A curve of one's own instead: 24 shares of the busiest hour, 0 to 1, from midnight on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demand_by_hour: Option<[f64; 24]>,
    /// What local clocks are ahead of UTC, in hours: the curve goes by them. Default 0.
    #[schemars(range(min = -12.0, max = 14.0))]
    pub utc_offset_h: f64,
    /// Where the roads have no signals and signs of their own, as a grid, signals stand at one in so many crossings; 0 for
    /// none. Default 4.
    #[schemars(range(min = 0, max = 1_000))]
    pub signals_every: u32,
}

impl Default for Traffic {
    fn default() -> Self {
        let signals_every = TrafficSpec::default().signals_every;
        Self { background: 0, demand: Curve::Weekday, demand_by_hour: None, utc_offset_h: 0.0, signals_every }
    }
}

/// The hours of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Curve {
    /// A working day with its rush hours.
    Weekday,
    /// The busiest hour all day.
    Steady,
}

/// When a group drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupDemand {
    /// One delivery after the other, whatever the hour.
    #[default]
    Steady,
    /// As the day's curve says: the quieter the hour, the longer are the stays between deliveries.
    Day,
}

/// Shares of driving styles; only their ratio counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drivers {
    /// Keep to limits and keep a distance. Default 0, if the others are given.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub calm: f64,
    /// Speed, follow closely, brake late, corner fast. Default 0.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub hurried: f64,
    /// See late what happens ahead. Default 0.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub tired: f64,
}

impl Default for Drivers {
    fn default() -> Self {
        Self { calm: 1.0, hurried: 0.0, tired: 0.0 }
    }
}

impl Traffic {
    /// As the world takes it.
    ///
    /// # Errors
    /// The curve of one's own is none.
    pub fn resolve(&self) -> Result<TrafficSpec, NoCurve> {
        let curve = match (self.demand_by_hour, self.demand) {
            (Some(hours), _) => DayCurve::new(&hours)?,
            (None, Curve::Weekday) => DayCurve::WORKING_DAY,
            (None, Curve::Steady) => DayCurve::STEADY,
        };
        Ok(TrafficSpec {
            background: self.background,
            curve,
            utc_offset_s: (self.utc_offset_h * 3_600.0) as i32,
            signals_every: self.signals_every,
        })
    }
}

impl Drivers {
    /// As the world takes them.
    ///
    /// # Errors
    /// All shares are zero.
    pub fn resolve(&self) -> Result<DriverShares, NoShares> {
        DriverShares::new(self.calm, self.hurried, self.tired)
    }
}

impl From<GroupDemand> for Demand {
    fn from(demand: GroupDemand) -> Self {
        match demand {
            GroupDemand::Steady => Self::Steady,
            GroupDemand::Day => Self::Day,
        }
    }
}
