//! What hostile bytes cost in memory: no more than a small multiple of themselves.

use drover_wire::geostream::{BATCH_FIXES_MAX, FRAME_BYTES_MAX, Frame};
use drover_wire::{
    DecodeError, FrameError, GeoTelemetry, MESSAGE_BYTES_MAX, RecordBatch, RecordOutcome, decode, mcp,
};

use crate::samples::frame_bytes;

/// Heap that the fixes hold, without their texts, which are never longer than on the wire.
fn heap_bytes(fixes: &Vec<GeoTelemetry>) -> usize {
    let codes: usize = fixes.iter().map(|fix| fix.fault_codes.capacity() * size_of::<u32>()).sum();
    fixes.capacity() * size_of::<GeoTelemetry>() + codes
}

/// A body of a batch: the fix `inside`, as often as it fits.
fn body_of(tag: u8, inside: &[u8], len: usize) -> Vec<u8> {
    let mut fix = vec![tag << 3 | 2, inside.len() as u8];
    fix.extend_from_slice(inside);
    fix.repeat(len / fix.len())
}

#[test]
fn empty_fixes_in_a_frame_are_refused_before_memory_is_taken() {
    let elements = |len_max| DecodeError::Elements { tag: 2, len_max };
    for (kind, name) in [(2, "batch"), (4, "refused")] {
        let found = Frame::decode(kind, &body_of(2, &[], FRAME_BYTES_MAX - 2));
        assert_eq!(found, Err(FrameError::Body { kind: name, source: elements(BATCH_FIXES_MAX) }));
        assert!(Frame::decode(kind, &[0x12, 0].repeat(BATCH_FIXES_MAX)).is_ok());
    }
}

#[test]
fn empty_fixes_in_a_message_are_refused_before_memory_is_taken() {
    let batch = decode::<RecordBatch>(&body_of(4, &[], MESSAGE_BYTES_MAX));
    assert_eq!(batch, Err(DecodeError::Elements { tag: 4, len_max: 4096 }));
    let outcome = decode::<RecordOutcome>(&body_of(3, &[], MESSAGE_BYTES_MAX));
    assert_eq!(outcome, Err(DecodeError::Elements { tag: 3, len_max: 4096 }));
    assert!(decode::<RecordBatch>(&[0x22, 0].repeat(4096)).is_ok());
}

#[test]
fn a_frame_takes_less_than_a_mebibyte_whatever_is_in_it() {
    // One byte is four as a fault code and eight as a sequence, and a growing vector has room for twice as many.
    let codes = [&[0xca, 0x01, 0x7c][..], &[1; 124]].concat();
    let Ok(Frame::Batch(batch)) = Frame::decode(2, &body_of(2, &codes, BATCH_FIXES_MAX * 129)) else {
        panic!("a valid batch");
    };
    assert_eq!(batch.fixes[0].fault_codes.len(), 124);
    assert!(heap_bytes(&batch.fixes) < 1 << 20, "{} bytes", heap_bytes(&batch.fixes));

    let Ok(Frame::Batch(batch)) = Frame::decode(2, &[0x12, 0].repeat(BATCH_FIXES_MAX)) else {
        panic!("a valid batch");
    };
    assert!(heap_bytes(&batch.fixes) < 1 << 18, "{} bytes", heap_bytes(&batch.fixes));

    let ranges = [&[0x12, 0xfb, 0xff, 0x03][..], &[1; FRAME_BYTES_MAX - 5]].concat();
    let Ok(Frame::DurableAck(ack)) = Frame::decode(3, &ranges) else { panic!("a valid ack") };
    assert_eq!(ack.ranges.len(), FRAME_BYTES_MAX - 5);
    assert!(ack.ranges.capacity() * size_of::<u64>() <= 1 << 20, "{} elements", ack.ranges.capacity());
    assert_eq!(ack.durable().ranges_len(), 0, "an odd list");
}

#[test]
fn a_frame_above_the_limit_is_refused_without_a_decoder_too() {
    let check = |found: Result<(), FrameError>, max_bytes: usize| {
        let len_bytes = max_bytes as u64 + 1;
        assert_eq!(found, Err(FrameError::Oversize { len_bytes, max_bytes }));
    };
    check(Frame::decode(1, &vec![0; FRAME_BYTES_MAX]).map(drop), FRAME_BYTES_MAX);
    let max_bytes = mcp::OWN_FRAME_BYTES_MAX;
    check(mcp::Frame::decode(1, &vec![0; max_bytes]).map(drop), max_bytes);
}

#[test]
fn a_call_carries_the_largest_message() {
    let call = mcp::Call {
        id: Some(u64::MAX),
        tool: Some("PersistenceService.recordBatch".to_owned()),
        arguments: Some(vec![0; MESSAGE_BYTES_MAX].into()),
        deadline_ms: Some(30_000),
        ..mcp::Call::default()
    };
    let frame = mcp::Frame::Call(call);
    let bytes = frame_bytes(|out| frame.encode(out));
    let mut decoder = drover_wire::FrameDecoder::new(mcp::OWN_FRAME_BYTES_MAX);
    decoder.push(&bytes);
    let (kind, body) = decoder.next_frame().expect("within the limit").expect("a whole frame");
    assert_eq!(mcp::Frame::decode(kind, &body), Ok(frame));
}

#[test]
fn a_frame_holds_as_many_fixes_as_its_limit_says() {
    let len = |fix: &GeoTelemetry| prost::Message::encoded_len(fix) + 3;
    let position = GeoTelemetry {
        lat: Some(60.1699),
        lon: Some(24.9384),
        sequence: Some(1 << 27),
        time_us: Some(1_772_434_800_000_000),
        speed_mps: Some(23.6),
        altitude_m: Some(10.0),
        heading_deg: Some(90.0),
        accuracy_m: Some(2.5),
        satellites: Some(11),
        ..GeoTelemetry::default()
    };
    let full = GeoTelemetry {
        odometer_m: Some(412_345_678),
        fuel_level_percent: Some(61.6),
        fuel_rate_l_per_h: Some(18.45),
        engine_speed_rpm: Some(1350.125),
        engine_load_percent: Some(72.0),
        coolant_celsius: Some(80.0),
        battery_volts: Some(27.65),
        throttle_percent: Some(40.4),
        brake_percent: Some(0.0),
        ignition: Some(true),
        fault_codes: vec![110 << 5 | 3],
        driver: Some("DRIVER-1007".to_owned()),
        ..position.clone()
    };
    let largest = GeoTelemetry {
        sequence: Some(i64::MAX as u64),
        time_us: Some(i64::MAX as u64),
        flags: Some(u32::MAX),
        satellites: Some(255),
        odometer_m: Some(i64::MAX as u64),
        fault_codes: vec![u32::MAX; 64],
        driver: Some("x".repeat(32)),
        ..full.clone()
    };
    assert_eq!([&position, &full, &largest].map(|fix| FRAME_BYTES_MAX / len(fix)), [897, 439, 129]);
}
