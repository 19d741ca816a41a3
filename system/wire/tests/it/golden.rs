//! Known bytes, both ways: what a version in the field has sent must mean the same to every later one.

use std::fmt::Debug;

use bytes::Bytes;
use drover_wire::{Ack, FrameDecoder, GeoTelemetry, Iibin, RefusedFix, decode, geostream, mcp};

use crate::samples::frame_bytes;

const GEOSTREAM: &str = include_str!("../../../../fixtures/wire/geostream.txt");
const MCP: &str = include_str!("../../../../fixtures/wire/mcp.txt");
const MESSAGES: &str = include_str!("../../../../fixtures/wire/messages.txt");

/// Bytes of a hexadecimal text.
pub(crate) fn bytes_of(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "{hex}");
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits"))
        .collect()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The lines `name = hex` of a fixture.
fn lines(fixture: &str) -> impl Iterator<Item = (&str, Vec<u8>)> {
    fixture
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(" = ").map(|(name, hex)| (name, bytes_of(hex))).expect("name = hex"))
}

/// Every golden message: its schema and its bytes.
pub(crate) fn messages() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    lines(MESSAGES).map(|(name, bytes)| (name.split_once(' ').map_or(name, |(schema, _)| schema), bytes))
}

/// Every golden frame of `geostream/1.0`, its length included.
pub(crate) fn geostream_frames() -> impl Iterator<Item = Vec<u8>> {
    lines(GEOSTREAM).map(|(_, bytes)| bytes)
}

/// Every golden frame of the bus, its length included.
pub(crate) fn mcp_frames() -> impl Iterator<Item = Vec<u8>> {
    lines(MCP).map(|(_, bytes)| bytes)
}

/// Compares the fixture's lines with what the crate makes of `expected`, all of them at once.
fn check_lines<T: PartialEq + Debug>(
    fixture: &str,
    expected: &[(&str, T)],
    encode: impl Fn(&T) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> T,
) {
    let found: Vec<_> = lines(fixture).map(|(name, bytes)| format!("{name} = {}", hex_of(&bytes))).collect();
    let written: Vec<_> =
        expected.iter().map(|(name, value)| format!("{name} = {}", hex_of(&encode(value)))).collect();
    assert_eq!(found, written, "this version writes:\n{}\n", written.join("\n"));
    for ((name, value), (_, bytes)) in expected.iter().zip(lines(fixture)) {
        assert_eq!(&decode(&bytes), value, "{name}");
    }
}

/// The one report of the contracts.
fn contracts_fix() -> GeoTelemetry {
    GeoTelemetry {
        vehicle_id: Some("TRUCK-042".to_owned()),
        lat: Some(48.8584),
        lon: Some(2.2945),
        speed_kmh: Some(85),
        timestamp: Some(1_749_600_000),
        ..GeoTelemetry::default()
    }
}

/// A report in which every field is present.
fn full_fix() -> GeoTelemetry {
    GeoTelemetry {
        sequence: Some(7),
        epoch: Some(0x0123_4567_89ab_cdef),
        time_us: Some(1_749_600_000_250_000),
        speed_mps: Some(23.625),
        altitude_m: Some(-3.5),
        heading_deg: Some(271.25),
        accuracy_m: Some(2.5),
        satellites: Some(11),
        flags: Some(4),
        odometer_m: Some(412_345_678),
        fuel_level_percent: Some(61.6),
        fuel_rate_l_per_h: Some(18.45),
        engine_speed_rpm: Some(1350.125),
        engine_load_percent: Some(72.0),
        coolant_celsius: Some(-8.0),
        battery_volts: Some(27.65),
        throttle_percent: Some(40.4),
        brake_percent: Some(0.0),
        ignition: Some(true),
        fault_codes: vec![110 << 5 | 3, 0x7ffff << 5 | 31],
        driver: Some("D-1007".to_owned()),
        ..contracts_fix()
    }
}

fn spooled_fix(sequence: u64) -> GeoTelemetry {
    GeoTelemetry {
        lat: Some(60.1699),
        lon: Some(24.9384),
        sequence: Some(sequence),
        time_us: Some(1_772_434_800_000_000 + sequence * 1_000_000),
        speed_mps: Some(0.0),
        ..GeoTelemetry::default()
    }
}

fn refused_fix() -> RefusedFix {
    RefusedFix { sequence: Some(9), reason: Some(1), detail: Some("latitude is missing".to_owned()) }
}

#[test]
fn the_contracts_messages_have_the_contracts_bytes() {
    fn check<M: Iibin + PartialEq + Debug>(message: &M, hex: &str) {
        assert_eq!(hex_of(&message.encode_to_vec()), hex);
        assert_eq!(decode::<M>(&bytes_of(hex)).as_ref(), Ok(message));
    }
    let hex = "0a09545255434b2d3034321176711b0de06d4840194260e5d0225b0240205528808ea3c206";
    assert_eq!(hex.len(), 2 * 37);
    check(&contracts_fix(), hex);
    check(&Ack::ok(), "0a024f4b");
}

#[test]
fn golden_messages_stay_the_same() {
    use drover_wire::downlink::{MessageBody, RouteBody};
    use drover_wire::{RecordBatch, RecordOutcome};
    fn reread<M: Iibin>(bytes: &[u8]) -> Vec<u8> {
        decode::<M>(bytes).expect("a golden message").encode_to_vec()
    }
    use prost::Message;
    let batch = RecordBatch {
        tenant: Some("acme".to_owned()),
        vehicle_id: Some("TRUCK-042".to_owned()),
        epoch: Some(42),
        fixes: vec![spooled_fix(0), spooled_fix(1)],
    };
    let words = MessageBody {
        message_id: Some("67e55044-10b1-426f-9247-bb680e5fe0c8".to_owned()),
        text: Some("gate 4".to_owned()),
        sent_us: Some(1_772_434_800_000_000),
    };
    let way = RouteBody {
        route_id: Some("67e55044-10b1-426f-9247-bb680e5fe0c8".to_owned()),
        version: Some(2),
        planned_us: Some(1_772_434_800_000_000),
        stop_ids: vec!["7d444840-9dc0-11d1-b245-5ffdce74fad2".to_owned()],
        reason: Some("a jam".to_owned()),
        path: vec![60_169_900, 24_938_400, 100, -1_600],
    };
    let outcome = RecordOutcome { stored: Some(2), duplicates: Some(0), refused: vec![refused_fix()] };
    let expected = [
        ("GeoTelemetry contracts", contracts_fix().encode_to_vec()),
        ("GeoTelemetry full", full_fix().encode_to_vec()),
        ("GeoTelemetry spooled", spooled_fix(300).encode_to_vec()),
        ("Ack ok", Ack::ok().encode_to_vec()),
        ("RecordBatch two", batch.encode_to_vec()),
        ("RecordOutcome mixed", outcome.encode_to_vec()),
        ("RefusedFix alone", refused_fix().encode_to_vec()),
        ("MessageBody words", words.encode_to_vec()),
        ("RouteBody changed", way.encode_to_vec()),
    ];
    check_lines(MESSAGES, &expected, Clone::clone, <[u8]>::to_vec);
    assert_eq!(decode(&expected[1].1), Ok(full_fix()));
    assert_eq!(decode(&expected[4].1), Ok(batch));
    assert_eq!(decode(&expected[5].1), Ok(outcome));
    assert_eq!(decode(&expected[7].1), Ok(words));
    assert_eq!(decode(&expected[8].1), Ok(way));
    for (schema, bytes) in messages() {
        let again = match schema {
            "GeoTelemetry" => reread::<GeoTelemetry>(&bytes),
            "Ack" => reread::<Ack>(&bytes),
            "RecordBatch" => reread::<RecordBatch>(&bytes),
            "RecordOutcome" => reread::<RecordOutcome>(&bytes),
            "RefusedFix" => reread::<RefusedFix>(&bytes),
            "MessageBody" => reread::<MessageBody>(&bytes),
            "RouteBody" => reread::<RouteBody>(&bytes),
            other => panic!("no schema is named {other}"),
        };
        assert_eq!(again, bytes, "{schema}");
    }
}

#[test]
fn golden_geostream_frames_stay_the_same() {
    use geostream::{Batch, Command, CommandAck, Credit, DurableAck, Frame, Hello, Refused};
    let hello = |channel| {
        Frame::Hello(Hello {
            epoch: Some(42),
            first_unacknowledged: Some(0),
            recorded_next: Some(300),
            channel: Some(channel),
        })
    };
    let expected = [
        ("hello live", hello(0)),
        ("hello backlog", hello(1)),
        ("batch", Frame::Batch(Batch { epoch: Some(42), fixes: vec![spooled_fix(0), full_fix()] })),
        (
            "durable ack",
            Frame::DurableAck(DurableAck { epoch: Some(42), ranges: vec![0, 127, 129, 129, 300, 70_000] }),
        ),
        ("refused", Frame::Refused(Refused { epoch: Some(42), fixes: vec![refused_fix()] })),
        ("credit", Frame::Credit(Credit { fixes: Some(500) })),
        (
            "command",
            Frame::Command(Command {
                id: Some(1),
                expires_us: Some(1_772_434_860_000_000),
                name: Some("route".to_owned()),
                body: Some(Bytes::from_static(&[0x08, 0x01])),
            }),
        ),
        (
            "command ack",
            Frame::CommandAck(CommandAck {
                id: Some(1),
                state: Some(4),
                detail: Some("no route".to_owned()),
            }),
        ),
    ];
    check_lines(
        GEOSTREAM,
        &expected,
        |frame| frame_bytes(|out| frame.encode(out)),
        |bytes| {
            let mut decoder = FrameDecoder::new(geostream::FRAME_BYTES_MAX);
            decoder.push(bytes);
            let (kind, body) = decoder.next_frame().expect("a good length").expect("a whole frame");
            Frame::decode(kind, &body).expect("a good body")
        },
    );
}

#[test]
fn golden_bus_frames_stay_the_same() {
    use mcp::{Call, CallFailed, Cancel, Credit, Frame, Progress, Publish};
    let trace = || Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
    let expected = [
        (
            "call",
            Frame::Call(Call {
                id: Some(1),
                tool: Some("PersistenceService.recordTelemetry".to_owned()),
                arguments: Some(Bytes::from_static(b"\x0a\x09TRUCK-042")),
                deadline_ms: Some(30_000),
                trace_context: trace(),
                tenant: Some("acme".to_owned()),
                version: Some(1),
            }),
        ),
        ("reply", Frame::Reply(mcp::Reply { id: Some(1), result: Some(Bytes::from_static(b"\x0a\x02OK")) })),
        (
            "error",
            Frame::Error(CallFailed {
                id: Some(1),
                code: Some(3),
                message: Some("database is away".to_owned()),
            }),
        ),
        ("cancel", Frame::Cancel(Cancel { id: Some(1) })),
        (
            "progress",
            Frame::Progress(Progress {
                id: Some(1),
                fraction: Some(0.5),
                body: Some(Bytes::from_static(b"half")),
            }),
        ),
        (
            "publish",
            Frame::Publish(Publish {
                topic: Some("vehicle:TRUCK-042".to_owned()),
                body: Some(Bytes::from_static(b"\x0a\x09TRUCK-042")),
                trace_context: trace(),
                tenant: Some("acme".to_owned()),
                version: Some(1),
            }),
        ),
        ("credit", Frame::Credit(Credit { messages: Some(1024) })),
    ];
    check_lines(
        MCP,
        &expected,
        |frame| frame_bytes(|out| frame.encode(out)),
        |bytes| {
            let mut decoder = FrameDecoder::new(mcp::SHARED_FRAME_BYTES_MAX);
            decoder.push(bytes);
            let (kind, body) = decoder.next_frame().expect("a good length").expect("a whole frame");
            Frame::decode(kind, &body).expect("a good body")
        },
    );
}
