//! What is asked of stored fixes, apart from any database.

use std::collections::BTreeSet;

use drover_env::BoxFuture;
use drover_model::{Degrees, GeofenceId, Meters, MetersPerSecond, Position, TenantId, VehicleId, WallTime};

/// Where a vehicle was.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Which one.
    pub vehicle: VehicleId,
    /// When.
    pub time: WallTime,
    /// Where.
    pub position: Position,
    /// How fast, if the receiver said so.
    pub speed: Option<MetersPerSecond>,
    /// Which way, if the receiver said so.
    pub heading: Option<Degrees>,
}

/// A part of the map: from the south-west corner to the north-east one. It does not cross the date line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// South-west corner.
    pub min: Position,
    /// North-east corner.
    pub max: Position,
}

impl Bounds {
    /// True on the edge too.
    pub fn contains(&self, place: Position) -> bool {
        (self.min.lat()..=self.max.lat()).contains(&place.lat())
            && (self.min.lon()..=self.max.lon()).contains(&place.lon())
    }
}

/// An area with straight edges, closed by itself. At least three corners.
#[derive(Debug, Clone, PartialEq)]
pub struct Ring(Vec<Position>);

impl Ring {
    /// The area within these corners.
    ///
    /// # Errors
    /// Fewer than three have no inside.
    pub fn new(corners: Vec<Position>) -> Result<Self, String> {
        match corners.len() {
            0..=2 => Err(format!("an area of {} corners has no inside", corners.len())),
            _ => Ok(Self(corners)),
        }
    }

    /// Its corners, the first one once.
    pub fn corners(&self) -> &[Position] {
        &self.0
    }
}

/// Where vehicles may have been.
#[derive(Debug, Clone, PartialEq)]
pub enum Area {
    /// Within these corners.
    Ring(Ring),
    /// Within an area of the tenant that has a name.
    Geofence(GeofenceId),
}

/// A vehicle inside an area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// Which one.
    pub vehicle: VehicleId,
    /// Its first fix inside.
    pub entered: WallTime,
    /// Its last fix inside before it left, or before the span ended.
    pub last_inside: WallTime,
}

/// A drive between two stops.
#[derive(Debug, Clone, PartialEq)]
pub struct Trip {
    /// Last fix before it moved.
    pub started: WallTime,
    /// First fix at which it stood again.
    pub ended: WallTime,
    /// Way between its fixes.
    pub distance: Meters,
    /// Where it began.
    pub from: Position,
    /// Where it ended.
    pub to: Position,
}

/// What a vehicle did on one day of UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct DailyTotal {
    /// Which one.
    pub vehicle: VehicleId,
    /// Where the day begins.
    pub day: WallTime,
    /// Its fixes.
    pub fixes: u64,
    /// Way between its fixes, in metres.
    pub distance_m: f64,
    /// Time in which it moved, in seconds.
    pub moving_s: f64,
    /// Time in which it stood with its engine running, in seconds, if it tells how fast that turns.
    pub idling_s: Option<f64>,
    /// What it burnt, in litres, if it tells that.
    pub fuel_l: Option<f64>,
    /// Its highest speed.
    pub speed_max: Option<MetersPerSecond>,
}

/// Times from the first on and before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first moment.
    pub from: WallTime,
    /// The first moment after it.
    pub until: WallTime,
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The store can not be reached, or did not answer in time.
    #[error("the store is not available: {detail}")]
    Unavailable {
        /// What was found.
        detail: String,
    },
    /// The answer would be longer than the caller takes.
    #[error("the answer has more than {limit} rows: ask for a shorter span or a smaller area")]
    TooMuch {
        /// What the caller takes.
        limit: usize,
    },
    /// The tenant has no such area.
    #[error("there is no geofence {geofence}")]
    NoGeofence {
        /// What was asked for.
        geofence: GeofenceId,
    },
}

/// What the caller gets.
pub type Answer<'a, T> = BoxFuture<'a, Result<Vec<T>, HistoryError>>;

/// A store that can be asked. Each answer is of one tenant, in a stated order, and has `limit` rows at most.
pub trait History: Send + Sync {
    /// Newest position of every vehicle within `bounds`, by vehicle.
    fn newest_in(&self, tenant: TenantId, bounds: Bounds, limit: usize) -> Answer<'_, Seen>;

    /// Newest position of each of `vehicles` that has one, by vehicle.
    fn newest_of(&self, tenant: TenantId, vehicles: BTreeSet<VehicleId>) -> Answer<'_, Seen>;

    /// Where a vehicle was, in the order of event time: late fixes in their place.
    fn track(&self, tenant: TenantId, vehicle: VehicleId, span: Span, limit: usize) -> Answer<'_, Seen>;

    /// Who entered `area` in `span`, by the time of entering.
    fn visits(&self, tenant: TenantId, area: Area, span: Span, limit: usize) -> Answer<'_, Visit>;

    /// Trips of a vehicle, in the order of event time.
    fn trips(&self, tenant: TenantId, vehicle: VehicleId, span: Span, limit: usize) -> Answer<'_, Trip>;

    /// Totals of every vehicle and day that begins in `span`, by day and vehicle; of today, what there is so far.
    fn daily_totals(&self, tenant: TenantId, span: Span, limit: usize) -> Answer<'_, DailyTotal>;
}
