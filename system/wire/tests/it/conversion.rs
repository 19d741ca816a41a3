//! Between wire and model: what is checked comes back as it was, and what is no fix is named.

use drover_model::{
    Degrees, DriverId, Engine, Epoch, Fix, FixFlags, Meters, MetersPerSecond, Position, Refusal, TenantId,
    VehicleId, WallTime,
};
use drover_wire::geostream::{self, BATCH_FIXES_MAX, DurableAck, FRAME_BYTES_MAX, Frame, Refused};
use drover_wire::{GeoTelemetry, RecordBatch, RefusedFix, VehicleBatch, decode, fix_from_wire, fix_to_wire};
use proptest::prelude::*;
use prost::Message;

use crate::samples::{Body, frame_bytes, rng};

fn engines() -> impl Strategy<Value = Engine> {
    let percent = || prop::option::of(0f32..=100.0);
    let readings = (
        (prop::option::of(0..=i64::MAX as u64), percent(), prop::option::of(0f32..=3212.75)),
        (
            prop::option::of(0f32..=16_383.75),
            prop::option::of(0f32..=250.0),
            prop::option::of(-60f32..=250.0),
        ),
        (prop::option::of(0f32..=3276.75), percent(), percent()),
        any::<Option<bool>>(),
        prop::collection::vec(any::<u32>(), 0..=64),
        prop::option::of("[A-Za-z0-9._-]{1,32}"),
    );
    readings.prop_map(|(distance_and_fuel, engine, rest, ignition, fault_codes, driver)| Engine {
        odometer_m: distance_and_fuel.0,
        fuel_level_percent: distance_and_fuel.1,
        fuel_rate_l_per_h: distance_and_fuel.2,
        engine_speed_rpm: engine.0,
        engine_load_percent: engine.1,
        coolant_celsius: engine.2,
        battery_volts: rest.0,
        throttle_percent: rest.1,
        brake_percent: rest.2,
        ignition,
        fault_codes,
        driver: driver.map(|text| DriverId::new(&text).expect("a valid name")),
    })
}

fn fixes() -> impl Strategy<Value = Fix> {
    let meters =
        || prop::option::of((-20_000f64..=100_000.0).prop_map(|m| Meters::new(m).expect("in range")));
    let fix = (
        (0..=i64::MAX as u64, 0..=i64::MAX),
        (-90f64..=90.0, -180f64..=180.0),
        prop::option::of((0f64..=120.0).prop_map(|v| MetersPerSecond::new(v).expect("in range"))),
        prop::option::of((0f64..=360.0).prop_map(|deg| Degrees::new(deg).expect("in range"))),
        (meters(), meters()),
        any::<(Option<u8>, u32)>(),
        engines(),
    );
    fix.prop_map(|((sequence, micros), (lat, lon), speed, heading, (altitude, accuracy), marks, engine)| {
        Fix {
            sequence,
            time: WallTime::from_micros(micros),
            position: Position::new(lat, lon).expect("in range"),
            speed,
            heading,
            altitude,
            accuracy,
            satellites: marks.0,
            flags: FixFlags(marks.1),
            engine,
        }
    })
}

proptest! {
    #[test]
    fn a_fix_comes_back_as_it_was(fix in fixes()) {
        let bytes = fix_to_wire(&fix).encode_to_vec();
        prop_assert_eq!(fix_from_wire(&decode(&bytes)?), Ok(fix));
    }

    #[test]
    fn a_batch_comes_back_as_it_was(fixes in prop::collection::vec(fixes(), 0..5), epoch: u64) {
        let batch = VehicleBatch {
            tenant: TenantId::new("acme").expect("a valid name"),
            vehicle: VehicleId::new("TRUCK-042").expect("a valid name"),
            epoch: Epoch::from_bits(epoch),
            fixes,
        };
        let bytes = batch.to_wire().encode_to_vec();
        prop_assert_eq!(VehicleBatch::try_from(&decode::<RecordBatch>(&bytes)?), Ok(batch));
    }

    #[test]
    fn any_message_is_a_fix_that_comes_back_or_is_refused_briefly(seed: u64) {
        match fix_from_wire(&GeoTelemetry::random(&mut rng(seed))) {
            Ok(fix) => prop_assert_eq!(fix_from_wire(&fix_to_wire(&fix)), Ok(fix)),
            Err(invalid) => prop_assert!(invalid.detail.len() <= 96, "{}", invalid.detail),
        }
    }
}

fn legacy() -> GeoTelemetry {
    GeoTelemetry { lat: Some(1.0), lon: Some(2.0), timestamp: Some(3), ..GeoTelemetry::default() }
}

#[test]
fn a_legacy_report_is_a_fix() {
    let fix = fix_from_wire(&GeoTelemetry { speed_kmh: Some(85), ..legacy() }).expect("a valid fix");
    assert_eq!((fix.sequence, fix.time), (0, WallTime::from_secs(3)));
    assert_eq!(fix.speed.map(MetersPerSecond::to_km_per_hour), Some(85));
}

#[test]
fn exact_values_come_before_the_contracts_rounded_ones() {
    let message =
        GeoTelemetry { speed_kmh: Some(90), speed_mps: Some(24.9), time_us: Some(3_500_000), ..legacy() };
    let fix = fix_from_wire(&message).expect("a valid fix");
    assert_eq!(fix.speed.map(MetersPerSecond::value), Some(24.9));
    assert_eq!(fix.time, WallTime::from_micros(3_500_000));
}

#[test]
fn what_is_no_fix_says_why() {
    let check = |message: GeoTelemetry, expected: &str| {
        let invalid = fix_from_wire(&message).expect_err("no fix");
        assert_eq!((invalid.reason, invalid.to_string().as_str()), (Refusal::OutOfRange, expected));
    };
    check(GeoTelemetry { lat: None, ..legacy() }, "latitude is missing");
    check(GeoTelemetry { lon: None, ..legacy() }, "longitude is missing");
    check(GeoTelemetry { timestamp: None, ..legacy() }, "time is missing");
    check(GeoTelemetry { lat: Some(90.5), ..legacy() }, "latitude of 90.5 deg is outside -90 to 90");
    check(GeoTelemetry { lon: Some(f64::NAN), ..legacy() }, "longitude of NaN deg is outside -180 to 180");
    check(
        GeoTelemetry { speed_kmh: Some(500), ..legacy() },
        "speed of 138.88888888888889 m/s is outside 0 to 120",
    );
    check(GeoTelemetry { satellites: Some(256), ..legacy() }, "256 satellites");
    check(GeoTelemetry { fault_codes: vec![0; 65], ..legacy() }, "65 fault codes exceed the limit of 64");
    check(
        GeoTelemetry { fuel_level_percent: Some(f32::MAX), ..legacy() },
        "fuel level of 3.4028235e38 is outside 0 to 100",
    );
    check(GeoTelemetry { sequence: Some(1 << 63), ..legacy() }, "sequence exceeds 63 bits");
    check(GeoTelemetry { odometer_m: Some(1 << 63), ..legacy() }, "odometer exceeds 63 bits");
    check(GeoTelemetry { time_us: Some(1 << 63), ..legacy() }, "time is beyond the year 290000");
    // Whole seconds that overflow as microseconds are refused, not cut to the last moment there is.
    check(GeoTelemetry { timestamp: Some(1 << 62), ..legacy() }, "time is beyond the year 290000");
    check(GeoTelemetry { timestamp: Some(u64::MAX), ..legacy() }, "time is beyond the year 290000");
}

#[test]
fn a_refusal_does_not_repeat_the_drivers_name() {
    for name in ["Jane Doe", "", &"x".repeat(33)] {
        let invalid = fix_from_wire(&GeoTelemetry { driver: Some(name.to_owned()), ..legacy() });
        assert_eq!(invalid.expect_err("no name").detail, "driver is no valid name");
    }
}

#[test]
fn equal_readings_have_equal_bytes() {
    let fix = |coolant| {
        let message = GeoTelemetry { coolant_celsius: Some(coolant), lat: Some(coolant.into()), ..legacy() };
        fix_to_wire(&fix_from_wire(&message).expect("a valid fix")).encode_to_vec()
    };
    assert_eq!(fix(0.0), fix(-0.0));
}

#[test]
fn a_batch_needs_names_and_an_epoch_of_63_bits() {
    let good = || RecordBatch {
        tenant: Some("acme".to_owned()),
        vehicle_id: Some("TRUCK-042".to_owned()),
        epoch: Some(1),
        fixes: vec![legacy()],
    };
    let check = |batch: RecordBatch, expected: &str| {
        assert_eq!(VehicleBatch::try_from(&batch).expect_err("no batch").detail, expected);
    };
    assert!(VehicleBatch::try_from(&good()).is_ok());
    check(RecordBatch { tenant: None, ..good() }, "tenant: name is empty");
    check(RecordBatch { vehicle_id: None, ..good() }, "vehicle: name is empty");
    check(RecordBatch { epoch: None, ..good() }, "epoch is missing");
    // Cut to 63 bits it would be another epoch.
    check(RecordBatch { epoch: Some(1 << 63 | 1), ..good() }, "epoch of 9223372036854775809 exceeds 63 bits");
    check(RecordBatch { fixes: vec![GeoTelemetry::default()], ..good() }, "latitude is missing");
}

#[test]
fn a_wholly_refused_batch_is_answered_in_one_frame() {
    let detail = "\u{1f69a}".repeat(200);
    let fix = RefusedFix::new(u64::MAX, Refusal::DeadLetter, detail);
    assert_eq!(fix.detail.as_ref().map(String::len), Some(96));
    let frame = Frame::Refused(Refused { epoch: Some(u64::MAX), fixes: vec![fix; BATCH_FIXES_MAX] });
    let bytes = frame_bytes(|out| frame.encode(out));
    assert!(bytes.len() < FRAME_BYTES_MAX, "{} bytes", bytes.len());
}

#[test]
fn an_acknowledgement_that_is_not_ascending_means_nothing() {
    let durable = |ranges: &[u64]| {
        let set = DurableAck { epoch: Some(1), ranges: ranges.to_vec() }.durable();
        set.iter_ranges().collect::<Vec<_>>()
    };
    assert_eq!(durable(&[0, 4, 6, 6]), [0..=4, 6..=6]);
    assert_eq!(durable(&[0, u64::MAX]), [0..=u64::MAX]);
    for ranges in [&[0, 4, 6][..], &[4, 0], &[6, 6, 0, 4], &[0, 4, 6, 5]] {
        assert_eq!(durable(ranges), [], "{ranges:?}");
    }
}

proptest! {
    #[test]
    fn an_acknowledgement_says_which_sequences(members in prop::collection::btree_set(0u64..300, 0..100), epoch: u64) {
        let set = members.into_iter().collect();
        let ack = DurableAck::new(Epoch::from_bits(epoch), &set);
        let read: DurableAck = decode(&ack.encode_to_vec())?;
        prop_assert_eq!(read.durable(), set);
    }
}

#[test]
fn channels_have_the_hellos_numbers() {
    use geostream::Channel;
    for channel in [Channel::Live, Channel::Backlog] {
        assert_eq!(Channel::from_code(channel.code()), Some(channel));
    }
    assert_eq!((Channel::Live.code(), Channel::Backlog.code(), Channel::from_code(2)), (0, 1, None));
}
