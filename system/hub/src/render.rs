//! Positions as clients read them: GeoJSON features (RFC 7946) and binary records. A feature is written once per change and
//! audience, and its bytes are shared; only its age, which comes last, is written for each message.

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};
use drover_model::WallTime;

use crate::fleet::Vehicle;

/// Of a binary record.
pub(crate) const RECORD_BYTES: u16 = 24;
/// Kind of a binary message with positions.
const KIND_POSITIONS: u8 = 1;
/// Flag of a binary message that is a snapshot's.
const FLAG_SNAPSHOT: u8 = 1;
/// Bytes in front of the records.
pub(crate) const HEADER_BYTES: usize = 16;
/// The name under which a customer sees the vehicle that comes.
const DELIVERY: &str = "delivery";

/// For whom a feature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Sees engine values.
    Full,
    /// Sees where it is and how it moves.
    Plain,
    /// Sees that of one vehicle whose name it does not learn.
    Customer,
}

/// Appends a feature with its age to `out`.
pub(crate) fn push_feature(out: &mut BytesMut, vehicle: &mut Vehicle, audience: Audience, now: WallTime) {
    let age_ms = now.since(vehicle.fix.time).as_millis() as u64;
    let head = match audience {
        Audience::Full => &mut vehicle.rendered.full,
        Audience::Plain => &mut vehicle.rendered.plain,
        Audience::Customer => &mut vehicle.rendered.customer,
    };
    match head {
        Some(head) => out.extend_from_slice(head),
        None => {
            let fresh = head_of(vehicle, audience);
            out.extend_from_slice(&fresh);
            match audience {
                Audience::Full => vehicle.rendered.full = Some(fresh),
                Audience::Plain => vehicle.rendered.plain = Some(fresh),
                Audience::Customer => vehicle.rendered.customer = Some(fresh),
            }
        }
    }
    out.extend_from_slice(itoa::Buffer::new().format(age_ms).as_bytes());
    out.extend_from_slice(b"}}");
}

/// A feature with its age, as a message of its own: those who are told at the same time share its bytes.
pub(crate) fn feature(vehicle: &mut Vehicle, audience: Audience, now: WallTime) -> Bytes {
    let age_ms = now.since(vehicle.fix.time).as_millis() as u64;
    if let Some((of, age, whole)) = &vehicle.rendered.whole
        && (*of, *age) == (audience, age_ms)
    {
        return whole.clone();
    }
    let mut text = BytesMut::with_capacity(384);
    push_feature(&mut text, vehicle, audience, now);
    let whole = text.freeze();
    vehicle.rendered.whole = Some((audience, age_ms, whole.clone()));
    whole
}

/// A feature up to its age. Names are of letters, digits and a few signs, so that nothing needs escaping.
fn head_of(vehicle: &Vehicle, audience: Audience) -> Bytes {
    let fix = &vehicle.fix;
    let customer = audience == Audience::Customer;
    let id = if customer { DELIVERY } else { vehicle.id.as_str() };
    let named = if customer { String::new() } else { format!(r#""vehicle_id":"{id}","#) };
    let mut text = String::with_capacity(320);
    // Writing to a string never fails.
    let _ = write!(
        text,
        r#"{{"type":"Feature","id":"{id}","geometry":{{"type":"Point","coordinates":[{},{}]}},"properties":{{{named}"timestamp":{},"time_ms":{}"#,
        degrees(fix.position.lon()),
        degrees(fix.position.lat()),
        fix.time.as_secs(),
        fix.time.as_micros().div_euclid(1_000),
    );
    if let Some(speed) = fix.speed {
        let _ = write!(text, r#","speed_kmh":{}"#, speed.to_km_per_hour());
    }
    if let Some(heading) = fix.heading {
        let _ = write!(text, r#","heading_deg":{}"#, heading.value().round());
    }
    let _ = write!(text, r#","status":"{}""#, vehicle.status.name());
    if let Some(accuracy) = fix.accuracy {
        let _ = write!(text, r#","accuracy_m":{}"#, (accuracy.value() * 10.0).round() / 10.0);
    }
    if !customer {
        match &vehicle.group {
            Some(group) => drop(write!(text, r#","group":"{group}""#)),
            None => text.push_str(r#","group":null"#),
        }
    }
    if audience == Audience::Full {
        push_engine(&mut text, vehicle);
    }
    text.push_str(r#","age_ms":"#);
    text.into()
}

fn push_engine(text: &mut String, vehicle: &Vehicle) {
    let engine = &vehicle.fix.engine;
    let tenths = |value: f32| (f64::from(value) * 10.0).round() / 10.0;
    let values = [
        ("rpm", engine.engine_speed_rpm.map(|rpm| f64::from(rpm).round())),
        ("coolant_c", engine.coolant_celsius.map(tenths)),
        ("fuel_percent", engine.fuel_level_percent.map(tenths)),
        ("battery_v", engine.battery_volts.map(tenths)),
        ("odometer_km", engine.odometer_m.map(|metres| (metres as f64 / 100.0).round() / 10.0)),
    ];
    let mut known = values.iter().filter_map(|(name, value)| value.map(|value| (name, value))).peekable();
    if known.peek().is_none() {
        return;
    }
    text.push_str(r#","engine":{"#);
    for (index, (name, value)) in known.enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(text, r#"{comma}"{name}":{value}"#);
    }
    text.push('}');
}

/// Seven digits behind the point: a centimetre.
fn degrees(value: f64) -> f64 {
    (value * 1e7).round() / 1e7
}

/// Begins a binary message.
pub(crate) fn push_header(out: &mut BytesMut, snapshot: bool, seq: u32, now: WallTime) {
    out.put_u8(KIND_POSITIONS);
    out.put_u8(if snapshot { FLAG_SNAPSHOT } else { 0 });
    out.put_u16_le(RECORD_BYTES);
    out.put_u32_le(seq);
    out.put_f64_le(now.as_micros() as f64 / 1_000.0);
}

/// Appends a vehicle's record, under the name that this client knows it by.
pub(crate) fn push_record(out: &mut BytesMut, vehicle: &Vehicle, handle: u32, now: WallTime) {
    let fix = &vehicle.fix;
    let (lat_e7, lon_e7) = fix.position.to_e7();
    let hundredths = |value: f64, max: f64| (value * 100.0).round().clamp(0.0, max) as u16;
    out.put_u32_le(handle);
    out.put_i32_le(lon_e7);
    out.put_i32_le(lat_e7);
    out.put_u16_le(fix.speed.map_or(u16::MAX, |speed| hundredths(speed.value(), 65_534.0)));
    out.put_u16_le(fix.heading.map_or(u16::MAX, |heading| hundredths(heading.value(), 35_999.0)));
    out.put_u8(vehicle.status.code());
    out.put_u8(0);
    let age_ds = now.since(fix.time).as_millis() / 100;
    out.put_u16_le(u16::try_from(age_ds).unwrap_or(u16::MAX));
    out.put_u32_le(fix.time.as_micros().div_euclid(1_000) as u32);
}

#[cfg(test)]
mod tests {
    use drover_model::{Degrees, Fix, Meters, MetersPerSecond, Position, TenantId, VehicleId};
    use serde_json::{Value, json};
    use tokio::time::Instant;

    use super::*;
    use crate::fleet::{Fleet, Taken};

    fn fleet() -> (Fleet, crate::fleet::Place) {
        let mut fleet = Fleet::new(4, false);
        let (tenant, id) = (TenantId::new("acme").expect("a name"), VehicleId::new("VAN-7").expect("a name"));
        fleet.set_group(tenant, id, "south");
        let mut fix = Fix::bare(
            9,
            WallTime::from_micros(1_749_600_000_123_456),
            Position::new(60.170_000_04, -24.94).expect("a place"),
        );
        fix.speed = MetersPerSecond::new(12.0).ok();
        fix.heading = Degrees::new(271.25).ok();
        fix.accuracy = Meters::new(4.12).ok();
        fix.engine.engine_speed_rpm = Some(1_800.4);
        fix.engine.battery_volts = Some(13.84);
        fix.engine.odometer_m = Some(123_456);
        let Taken::Newest { place, .. } = fleet.take(Instant::now(), tenant, id, 1, fix) else {
            panic!("new")
        };
        (fleet, place)
    }

    fn feature(audience: Audience) -> Value {
        let (mut fleet, place) = fleet();
        let now = WallTime::from_micros(1_749_600_000_953_456);
        let mut out = BytesMut::new();
        push_feature(&mut out, fleet.vehicle_mut(place), audience, now);
        let first = out.split();
        push_feature(&mut out, fleet.vehicle_mut(place), audience, now);
        assert_eq!(first, out, "the shared bytes are the same as the fresh ones");
        let vehicle = fleet.vehicle_mut(place);
        let other = if audience == Audience::Full { Audience::Customer } else { Audience::Full };
        assert_ne!(super::feature(vehicle, other, now), out);
        assert_eq!(
            [(); 2].map(|()| super::feature(vehicle, audience, now)),
            [first.freeze(), out.clone().freeze()]
        );
        let later = super::feature(vehicle, audience, now.plus(std::time::Duration::from_millis(1)));
        assert!(later.ends_with(b"\"age_ms\":831}}"), "its age is that of its message");
        serde_json::from_slice(&out).expect("JSON")
    }

    #[tokio::test(start_paused = true)]
    async fn a_feature_says_what_its_audience_may_know() {
        let full = feature(Audience::Full);
        let expected = json!({
            "type": "Feature", "id": "VAN-7",
            "geometry": {"type": "Point", "coordinates": [-24.94, 60.17]},
            "properties": {
                "vehicle_id": "VAN-7", "timestamp": 1_749_600_000, "time_ms": 1_749_600_000_123_u64, "speed_kmh": 43,
                "heading_deg": 271, "status": "moving", "accuracy_m": 4.1, "group": "south",
                "engine": {"rpm": 1800, "battery_v": 13.8, "odometer_km": 123.5}, "age_ms": 830,
            },
        });
        assert_eq!(full, expected);
        assert_eq!(feature(Audience::Plain)["properties"].get("engine"), None);
        let customer = feature(Audience::Customer).to_string();
        assert!(
            !customer.contains("VAN") && !customer.contains("south") && !customer.contains("engine"),
            "{customer}"
        );
        assert_eq!(feature(Audience::Customer)["id"], "delivery");
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_keeps_its_bytes() {
        let (fleet, place) = fleet();
        let mut out = BytesMut::new();
        let now = WallTime::from_micros(1_749_600_000_953_456);
        push_header(&mut out, true, 5, now);
        push_record(&mut out, fleet.vehicle(place), 12, now);
        assert_eq!(out.len(), HEADER_BYTES + usize::from(RECORD_BYTES));
        assert_eq!(out[..8], [1, 1, 24, 0, 5, 0, 0, 0]);
        assert_eq!(f64::from_le_bytes(out[8..16].try_into().expect("eight")), 1_749_600_000_953.456);
        let record = &out[16..];
        assert_eq!(record[..4], 12_u32.to_le_bytes());
        assert_eq!(record[4..8], (-249_400_000_i32).to_le_bytes());
        assert_eq!(record[8..12], 601_700_000_i32.to_le_bytes());
        assert_eq!(record[12..14], 1_200_u16.to_le_bytes());
        assert_eq!(record[14..16], 27_125_u16.to_le_bytes());
        assert_eq!(record[16..20], [0, 0, 8, 0]);
        assert_eq!(record[20..], (1_749_600_000_123_u64 as u32).to_le_bytes());
    }
}
