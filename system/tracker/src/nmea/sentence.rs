//! Lines to the four sentences that make a fix.

use chrono::Timelike;
use nmea::sentences::rmc::RmcStatusOfFix;
use nmea::sentences::{
    FaaMode, FixType, RmcData, VtgData, ZdaData, parse_gga, parse_rmc, parse_vtg, parse_zda,
};
use nmea::{NmeaSentence, SentenceType};

/// Metres per second in a knot.
const KNOT_MPS: f64 = 1852.0 / 3600.0;
/// Microseconds in a second.
pub(super) const SECOND_US: i64 = 1_000_000;

/// A sentence whose fields make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unparsed;

/// What a receiver says of the quality of a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quality {
    /// No position, or an invented one (manual input, simulator).
    None,
    /// Dead reckoning.
    Estimated,
    /// Satellites alone.
    Autonomous,
    /// Corrected by a reference station or a geostationary satellite.
    Differential,
    /// Carrier phase, ambiguities not resolved.
    FloatRtk,
    /// Carrier phase, resolved.
    FixedRtk,
}

/// What any sentence of a moment says of movement.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Motion {
    /// Metres per second, unchecked.
    pub(super) speed: Option<f64>,
    /// Degrees from true north, unchecked.
    pub(super) course: Option<f64>,
}

/// RMC: recommended minimum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rmc {
    pub(super) time_us: Option<i64>,
    /// Midnight of its date, in Unix microseconds.
    pub(super) day_us: Option<i64>,
    pub(super) lat_lon: Option<(f64, f64)>,
    pub(super) quality: Quality,
    pub(super) motion: Motion,
}

/// GGA: position with its quality.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Gga {
    pub(super) time_us: Option<i64>,
    pub(super) lat_lon: Option<(f64, f64)>,
    pub(super) quality: Quality,
    pub(super) satellites: Option<u32>,
    pub(super) hdop: Option<f64>,
    pub(super) altitude_m: Option<f64>,
}

/// A sentence, whoever its talker is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sentence {
    Rmc(Rmc),
    Gga(Gga),
    Vtg(Motion),
    /// Date and time, in Unix microseconds; `None` before the receiver knows them.
    Zda(Option<i64>),
    /// Not needed.
    Other,
}

/// Reads what stands between `$` and `*`.
pub(super) fn parse(body: &str) -> Result<Sentence, Unparsed> {
    // Address: two letters of talker, three of type. Proprietary ones begin with P and have their own layout.
    let (Some(talker), Some(kind), Some(data)) = (body.get(..2), body.get(2..5), body.get(6..)) else {
        return Ok(Sentence::Other);
    };
    if talker.starts_with('P') || body.as_bytes().get(5) != Some(&b',') {
        return Ok(Sentence::Other);
    }
    let sentence = |message_id| NmeaSentence { talker_id: talker, message_id, data, checksum: 0 };
    match kind {
        "RMC" => parse_rmc(sentence(SentenceType::RMC)).map(rmc).map_err(|_| Unparsed),
        "GGA" => parse_gga(sentence(SentenceType::GGA)).map(gga).map_err(|_| Unparsed),
        "VTG" => parse_vtg(sentence(SentenceType::VTG)).map(vtg).map_err(|_| Unparsed),
        "ZDA" => parse_zda(sentence(SentenceType::ZDA)).map(zda).map_err(|_| Unparsed),
        _ => Ok(Sentence::Other),
    }
}

fn rmc(data: RmcData) -> Sentence {
    let quality = match (data.status_of_fix, data.faa_mode) {
        (RmcStatusOfFix::Invalid, _) => Quality::None,
        (_, Some(FaaMode::DataNotValid | FaaMode::Manual | FaaMode::Simulator)) => Quality::None,
        (_, Some(FaaMode::Estimated)) => Quality::Estimated,
        (_, Some(FaaMode::FloatRtk)) => Quality::FloatRtk,
        (_, Some(FaaMode::FixedRtk)) => Quality::FixedRtk,
        (RmcStatusOfFix::Differential, _) | (_, Some(FaaMode::Differential)) => Quality::Differential,
        (RmcStatusOfFix::Autonomous, _) => Quality::Autonomous,
    };
    Sentence::Rmc(Rmc {
        time_us: data.fix_time.map(of_day),
        day_us: data.fix_date.map(|date| date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros()),
        lat_lon: data.lat.zip(data.lon),
        quality,
        motion: motion(data.speed_over_ground, data.true_course),
    })
}

fn gga(data: nmea::sentences::GgaData) -> Sentence {
    let quality = match data.fix_type {
        None | Some(FixType::Invalid | FixType::Manual | FixType::Simulation) => Quality::None,
        Some(FixType::Estimated) => Quality::Estimated,
        Some(FixType::Gps | FixType::Pps) => Quality::Autonomous,
        Some(FixType::DGps) => Quality::Differential,
        Some(FixType::FloatRtk) => Quality::FloatRtk,
        Some(FixType::Rtk) => Quality::FixedRtk,
    };
    Sentence::Gga(Gga {
        time_us: data.fix_time.map(of_day),
        lat_lon: data.latitude.zip(data.longitude),
        quality,
        satellites: data.fix_satellites,
        hdop: data.hdop.map(f64::from),
        altitude_m: data.altitude.map(f64::from),
    })
}

fn vtg(data: VtgData) -> Sentence {
    Sentence::Vtg(motion(data.speed_over_ground, data.true_course))
}

fn zda(data: ZdaData) -> Sentence {
    Sentence::Zda(data.utc_date_time().map(|time| time.and_utc().timestamp_micros()))
}

fn motion(knots: Option<f32>, course: Option<f32>) -> Motion {
    Motion { speed: knots.map(|knots| f64::from(knots) * KNOT_MPS), course: course.map(f64::from) }
}

/// Microseconds since midnight.
fn of_day(time: chrono::NaiveTime) -> i64 {
    i64::from(time.num_seconds_from_midnight()) * SECOND_US + i64::from(time.nanosecond() / 1000)
}
