//! Bodies of the commands that vehicles get ([`Command`](crate::geostream::Command)): what a tracker is to show.
//!
//! The name of a command says which of them its body is: [`MESSAGE`] or [`ROUTE`].

use drover_model::Position;
use prost::Message;

use crate::scan::{Iibin, Kind, Schema, schema};

/// Name of a command whose body is a [`MessageBody`].
pub const MESSAGE: &str = "message";
/// Name of a command whose body is a [`RouteBody`].
pub const ROUTE: &str = "route";
/// Largest body: a frame has room for it, and for much beside it.
pub const BODY_BYTES_MAX: usize = 48 * 1024;
/// Steps of a degree in a path: a tenth of a metre.
const STEPS_PER_DEGREE: f64 = 1e6;

/// How far a command came, as a [`CommandAck`](crate::geostream::CommandAck) says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommandState {
    /// The tracker has it.
    Delivered,
    /// It is durable on board, and carried out.
    Applied,
    /// It came after its time, or after something newer.
    Expired,
    /// The tracker can not carry it out; the detail says why.
    Failed,
}

impl CommandState {
    /// The number in the acknowledgement.
    pub const fn code(self) -> u32 {
        self as u32 + 1
    }

    /// The state with that number.
    pub const fn from_code(code: u32) -> Option<Self> {
        match code {
            1 => Some(Self::Delivered),
            2 => Some(Self::Applied),
            3 => Some(Self::Expired),
            4 => Some(Self::Failed),
            _ => None,
        }
    }

    /// Its name, for events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Applied => "applied",
            Self::Expired => "expired",
            Self::Failed => "failed",
        }
    }
}

/// Words for the driver.
#[derive(Clone, PartialEq, Message)]
pub struct MessageBody {
    /// Identity of the message, a UUID.
    #[prost(string, optional, tag = "1")]
    pub message_id: Option<String>,
    /// What it says.
    #[prost(string, optional, tag = "2")]
    pub text: Option<String>,
    /// When it was written: Unix microseconds.
    #[prost(uint64, optional, tag = "3")]
    pub sent_us: Option<u64>,
}

impl Iibin for MessageBody {
    const SCHEMA: &'static Schema = &schema(&[]);
}

/// The way to drive from now on.
#[derive(Clone, PartialEq, Message)]
pub struct RouteBody {
    /// Identity of the route, a UUID.
    #[prost(string, optional, tag = "1")]
    pub route_id: Option<String>,
    /// Which version of it.
    #[prost(uint32, optional, tag = "2")]
    pub version: Option<u32>,
    /// When it was planned: Unix microseconds. Of two routes the later one holds.
    #[prost(uint64, optional, tag = "3")]
    pub planned_us: Option<u64>,
    /// Identities of the stops, in the order in which they are driven.
    #[prost(string, repeated, tag = "4")]
    pub stop_ids: Vec<String>,
    /// What the driver is told of it.
    #[prost(string, optional, tag = "5")]
    pub reason: Option<String>,
    /// The line to drive, if it is known: latitude and longitude by turns in millionths of a degree, each but the first two as the
    /// difference from the point before.
    #[prost(sint32, repeated, tag = "6")]
    pub path: Vec<i32>,
}

impl Iibin for RouteBody {
    // Zigzag: 32 bits as they are on the wire.
    const SCHEMA: &'static Schema = &schema(&[(2, Kind::Uint32), (6, Kind::PackedUint32)]);
}

/// A line as [`RouteBody::path`] has it.
pub fn path_to_wire(points: &[Position]) -> Vec<i32> {
    let step = |degrees: f64| (degrees * STEPS_PER_DEGREE).round() as i32;
    let mut before = (0, 0);
    let mut path = Vec::with_capacity(points.len() * 2);
    for point in points {
        let now = (step(point.lat()), step(point.lon()));
        path.extend([now.0 - before.0, now.1 - before.1]);
        before = now;
    }
    path
}

/// The line of a [`RouteBody::path`]; `None` if it leaves the earth, or ends within a point.
pub fn path_from_wire(path: &[i32]) -> Option<Vec<Position>> {
    let (pairs, rest) = path.as_chunks::<2>();
    let mut now = (0_i64, 0_i64);
    let points = pairs.iter().map(|&[lat, lon]| {
        now = (now.0.saturating_add(lat.into()), now.1.saturating_add(lon.into()));
        Position::new(now.0 as f64 / STEPS_PER_DEGREE, now.1 as f64 / STEPS_PER_DEGREE).ok()
    });
    if rest.is_empty() { points.collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_comes_back_to_a_tenth_of_a_metre_from_anywhere() {
        let points: Vec<Position> = [(60.169_9, 24.938_4), (-90.0, 180.0), (90.0, -180.0), (60.17, 24.94)]
            .map(|(lat, lon)| Position::new(lat, lon).expect("in range"))
            .into();
        let again = path_from_wire(&path_to_wire(&points)).expect("a path");
        assert_eq!(again.len(), points.len());
        for (there, back) in points.iter().zip(again) {
            assert!((there.lat() - back.lat()).abs() < 1e-6 && (there.lon() - back.lon()).abs() < 1e-6);
        }
    }

    #[test]
    fn a_path_that_leaves_the_earth_or_is_cut_is_none() {
        assert_eq!(path_from_wire(&[]), Some(vec![]));
        assert_eq!(path_from_wire(&[60_000_000]), None);
        assert_eq!(path_from_wire(&[91_000_000, 0]), None);
        assert_eq!(path_from_wire(&[i32::MAX, i32::MAX, i32::MAX, i32::MIN]), None);
    }

    #[test]
    fn states_have_the_numbers_that_the_frame_names() {
        for code in 1..=4 {
            assert_eq!(CommandState::from_code(code).map(CommandState::code), Some(code));
        }
        assert_eq!((CommandState::from_code(0), CommandState::from_code(5)), (None, None));
        assert_eq!(CommandState::Failed.code(), 4);
    }
}
