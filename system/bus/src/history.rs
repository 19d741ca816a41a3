//! Tools by which services read stored fixes: hubs, pages and agents ask a persistence agent, never its database.
//!
//! Every question names its tenant; the agent believes the services that its policy lets ask. Times are Unix microseconds, places
//! degrees of WGS 84.

use drover_model::NodeKind;
use drover_wire::{GeoTelemetry, Iibin, Kind, Schema, schema};
use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::messages::{list, message};
use crate::tool::Tool;

/// Most vehicles, points, visits, trips or totals in one answer: well within one message.
pub const ROWS_MAX: usize = 10_000;
/// Most corners of an area.
const CORNERS_MAX: usize = 1_000;

message! {
    /// Which part of the map; it does not cross the date line.
    AreaQuery {
        /// Whose vehicles.
        tenant: String = string "1",
        /// Southern edge.
        south: f64 = double "2",
        /// Western edge.
        west: f64 = double "3",
        /// Northern edge.
        north: f64 = double "4",
        /// Eastern edge.
        east: f64 = double "5",
    } &[]
}

/// Which vehicles.
#[derive(Clone, PartialEq, Eq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VehiclesQuery {
    /// Whose.
    #[prost(string, optional, tag = "1")]
    pub tenant: Option<String>,
    /// Which ones, [`ROWS_MAX`] at most.
    #[prost(string, repeated, tag = "2")]
    pub vehicle_ids: Vec<String>,
}

impl Iibin for VehiclesQuery {
    const SCHEMA: &'static Schema = &schema(&[]);
}

message! {
    /// Which vehicle, from when to before when.
    VehicleQuery {
        /// Whose vehicle.
        tenant: String = string "1",
        /// Which one.
        vehicle_id: String = string "2",
        /// First moment.
        from_us: u64 = uint64 "3",
        /// First moment after the last one.
        until_us: u64 = uint64 "4",
        /// For tracks: points at most; 1,000 without it.
        points_max: u32 = uint32 "5",
    } &[(5, Kind::Uint32)]
}

message! {
    /// From when to before when.
    SpanQuery {
        /// Whose vehicles.
        tenant: String = string "1",
        /// First moment.
        from_us: u64 = uint64 "2",
        /// First moment after the last one.
        until_us: u64 = uint64 "3",
    } &[]
}

message! {
    /// A corner of an area.
    Corner {
        /// Degrees, south negative.
        lat: f64 = double "1",
        /// Degrees, west negative.
        lon: f64 = double "2",
    } &[]
}

/// Which area, from when to before when.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VisitQuery {
    /// Whose vehicles.
    #[prost(string, optional, tag = "1")]
    pub tenant: Option<String>,
    /// First moment.
    #[prost(uint64, optional, tag = "2")]
    pub from_us: Option<u64>,
    /// First moment after the last one.
    #[prost(uint64, optional, tag = "3")]
    pub until_us: Option<u64>,
    /// Corners of the area, three at least; it is closed by itself. Or none, and `geofence_id`.
    #[prost(message, repeated, tag = "4")]
    pub corners: Vec<Corner>,
    /// An area of the tenant that has a name: a UUID.
    #[prost(string, optional, tag = "5")]
    pub geofence_id: Option<String>,
}

impl Iibin for VisitQuery {
    const SCHEMA: &'static Schema = &schema(&[(4, Kind::Messages(Corner::SCHEMA, CORNERS_MAX))]);
}

message! {
    /// A vehicle inside an area.
    VisitInfo {
        /// Which one.
        vehicle_id: String = string "1",
        /// Its first fix inside.
        entered_us: u64 = uint64 "2",
        /// Its last fix inside before it left, or before the span ended.
        last_inside_us: u64 = uint64 "3",
    } &[]
}

message! {
    /// A drive between two stops.
    TripInfo {
        /// Last fix before it moved.
        started_us: u64 = uint64 "1",
        /// First fix at which it stood again.
        ended_us: u64 = uint64 "2",
        /// Way between its fixes, in metres.
        distance_m: f64 = double "3",
        /// Where it began, degrees north.
        from_lat: f64 = double "4",
        /// Where it began, degrees east.
        from_lon: f64 = double "5",
        /// Where it ended, degrees north.
        to_lat: f64 = double "6",
        /// Where it ended, degrees east.
        to_lon: f64 = double "7",
    } &[]
}

message! {
    /// What a vehicle did on one day of UTC.
    TotalInfo {
        /// Which one.
        vehicle_id: String = string "1",
        /// Where the day begins.
        day_us: u64 = uint64 "2",
        /// Its fixes.
        fixes: u64 = uint64 "3",
        /// Way between its fixes, in metres.
        distance_m: f64 = double "4",
        /// Time in which it moved, in seconds.
        moving_s: f64 = double "5",
        /// Its highest speed, in metres per second.
        speed_max_mps: f64 = double "6",
        /// Time in which it stood with its engine running, in seconds, if it tells how fast that turns.
        idling_s: f64 = double "7",
        /// What it burnt, in litres, if it tells that.
        fuel_l: f64 = double "8",
    } &[]
}

list! {
    /// Positions.
    FixList, fixes: GeoTelemetry
}
list! {
    /// Visits of an area.
    VisitList, visits: VisitInfo
}
list! {
    /// Trips of a vehicle.
    TripList, trips: TripInfo
}
list! {
    /// Totals of days.
    TotalList, totals: TotalInfo
}

/// Declares a tool that reads.
macro_rules! reader {
    ($tool:ident, $name:literal, $input:ident, $output:ident, $description:literal) => {
        #[doc = $description]
        #[derive(Debug)]
        pub struct $tool;

        impl Tool for $tool {
            type Input = $input;
            type Output = $output;
            const NAME: &'static str = concat!("PersistenceService.history.", $name);
            const DESCRIPTION: &'static str = $description;
            const OFFERED_BY: NodeKind = NodeKind::Persistence;
            const SAFE_TO_REPEAT: bool = true;
        }
    };
}

reader!(
    NewestPositions,
    "newestPositions",
    AreaQuery,
    FixList,
    "Newest position of every vehicle in an area, by vehicle."
);
reader!(
    NewestOf,
    "newestOf",
    VehiclesQuery,
    FixList,
    "Newest position of each of some vehicles, by vehicle; of one that has none, nothing."
);
reader!(
    Track,
    "track",
    VehicleQuery,
    FixList,
    "Where a vehicle was in a span, in the order in which it was there, simplified to as many points as are asked for."
);
reader!(
    Visits,
    "visits",
    VisitQuery,
    VisitList,
    "Vehicles that entered an area in a span, by the time of entering, and when each was last seen inside."
);
reader!(
    Trips,
    "trips",
    VehicleQuery,
    TripList,
    "Trips of a vehicle in a span; between two of them it stood for five minutes or longer."
);
reader!(
    DailyTotals,
    "dailyTotals",
    SpanQuery,
    TotalList,
    "Fixes, way and moving time of every vehicle and day of UTC that begins in a span; of today, what there is so far."
);

#[cfg(test)]
mod tests {
    use drover_wire::decode;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_question_keeps_its_bytes() {
        let query = VehicleQuery {
            tenant: Some("acme".to_owned()),
            vehicle_id: Some("V".to_owned()),
            from_us: Some(0),
            points_max: Some(300),
            ..VehicleQuery::default()
        };
        let golden = [0x0A, 4, b'a', b'c', b'm', b'e', 0x12, 1, b'V', 0x18, 0, 0x28, 0xAC, 2];
        assert_eq!(query.encode_to_vec(), golden);
        assert_eq!(decode::<VehicleQuery>(&golden), Ok(query));
    }

    #[test]
    fn an_answer_of_too_many_rows_is_refused() {
        let list = VisitList { visits: vec![VisitInfo::default(); ROWS_MAX + 1] };
        assert!(decode::<VisitList>(&list.encode_to_vec()).is_err());
        let query = VisitQuery { corners: vec![Corner::default(); CORNERS_MAX + 1], ..VisitQuery::default() };
        assert!(decode::<VisitQuery>(&query.encode_to_vec()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(query) = decode::<VisitQuery>(&bytes) {
                prop_assert_eq!(decode::<VisitQuery>(&query.encode_to_vec()), Ok(query));
            }
            let _ = decode::<FixList>(&bytes);
            let _ = decode::<TotalList>(&bytes);
        }
    }
}
