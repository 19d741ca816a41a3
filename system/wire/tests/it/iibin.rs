//! The rules of IIBIN, edge by edge: the vectors of the contracts, and what the scan refuses that protobuf lets pass.

use std::fmt::Debug;

use drover_wire::DecodeError::{Key, Malformed, Range, Truncated, Varint};
use drover_wire::geostream::{DurableAck, Hello};
use drover_wire::{
    Ack, DecodeError, GeoTelemetry, Iibin, MESSAGE_BYTES_MAX, RecordBatch, RecordOutcome, decode,
};

use crate::golden::bytes_of;

fn check<M: Iibin + PartialEq + Debug>(hex: &str, expected: M) {
    assert_eq!(decode(&bytes_of(hex)), Ok(expected), "{hex}");
}

fn refuse<M: Iibin + PartialEq + Debug>(hex: &str, expected: DecodeError) {
    assert_eq!(decode::<M>(&bytes_of(hex)), Err(expected), "{hex}");
}

fn epoch(epoch: u64) -> DurableAck {
    DurableAck { epoch: Some(epoch), ranges: Vec::new() }
}

fn ranges(ranges: &[u64]) -> DurableAck {
    DurableAck { epoch: None, ranges: ranges.to_vec() }
}

fn stored(stored: u32) -> RecordOutcome {
    RecordOutcome { stored: Some(stored), ..RecordOutcome::default() }
}

#[test]
fn the_contracts_vectors_decode_as_they_say() {
    check("08ffffffff0f", stored(u32::MAX));
    check("08ffffffff0f", epoch(u32::MAX.into()));
    check("1203010302", ranges(&[1, 3, 2]));
    refuse::<DurableAck>("80", Truncated { tag: 0, at: 1 });
    refuse::<DurableAck>("0880808080808080808002", Varint { at: 1 });
}

#[test]
fn minus_one_is_the_largest_number_of_64_bits_and_none_of_32() {
    // No schema has an int32 or an enum. Their -1 is ten bytes, which a uint32 refuses.
    check("08ffffffffffffffffff01", epoch(u64::MAX));
    refuse::<RecordOutcome>("08ffffffffffffffffff01", Range { tag: 1, value: u64::MAX });
    check("50ffffffffffffffffff01", DurableAck::default());
}

#[test]
fn a_32_bit_field_refuses_more_in_every_form() {
    let beyond = |tag| Range { tag, value: 1 << 32 };
    refuse::<RecordOutcome>("088080808010", beyond(1));
    refuse::<GeoTelemetry>("208080808010", beyond(4));
    refuse::<GeoTelemetry>("688080808010", beyond(13));
    refuse::<GeoTelemetry>("708080808010", beyond(14));
    refuse::<GeoTelemetry>("c8018080808010", beyond(25));
    refuse::<GeoTelemetry>("ca0106018080808010", beyond(25));
    // Inside the fixes of a batch too.
    refuse::<RecordBatch>("2206208080808010", beyond(4));
    refuse::<Hello>("208080808010", beyond(4));
}

#[test]
fn groups_and_unknown_wire_types_are_refused_even_in_unknown_fields() {
    let refused = |tag, wire_type| Key { tag, wire_type };
    refuse::<Ack>("0b0c", refused(1, 3));
    refuse::<Ack>("0c", refused(1, 4));
    refuse::<Ack>("0e", refused(1, 6));
    refuse::<Ack>("0f", refused(1, 7));
    refuse::<Ack>("a30fa40f", refused(244, 3));
    refuse::<Ack>("a40f", refused(244, 4));
    refuse::<Ack>("a60f", refused(244, 6));
    refuse::<Ack>("a70f", refused(244, 7));
    refuse::<RecordBatch>("2202a60f", refused(244, 6));
    // The body of an unknown field is its own affair.
    check("a20f02a60f", Ack::default());
}

#[test]
fn a_tag_is_1_to_29_bits() {
    let refused = |tag, wire_type| Key { tag, wire_type };
    refuse::<Ack>("0001", refused(0, 0));
    refuse::<Ack>("0200", refused(0, 2));
    check("f8ffffff0f01", Ack::default());
    refuse::<Ack>("808080801001", refused(1 << 29, 0));
    refuse::<Ack>("f8ffffffffffffffff0101", refused(u64::MAX >> 3, 0));
}

#[test]
fn a_varint_has_ten_bytes_and_64_bits_at_most() {
    check("08ffffffffffffffffff01", epoch(u64::MAX));
    refuse::<DurableAck>("08ffffffffffffffffff02", Varint { at: 1 });
    refuse::<DurableAck>("08ffffffffffffffffffff01", Varint { at: 1 });
    refuse::<DurableAck>("0affffffffffffffffff7f", Varint { at: 1 });
    refuse::<DurableAck>("ffffffffffffffffff02", Varint { at: 0 });
    // Longer than it need be is allowed, as in protobuf.
    check("08818000", epoch(1));
    check("88800001", epoch(1));
}

#[test]
fn packed_and_unpacked_elements_mix_and_keep_their_order() {
    check("100110031002", ranges(&[1, 3, 2]));
    check("1001120203021009", ranges(&[1, 3, 2, 9]));
    check("1200", ranges(&[]));
    let faults = |codes: &[u32]| GeoTelemetry { fault_codes: codes.to_vec(), ..GeoTelemetry::default() };
    check("c80101ca01020302c80109", faults(&[1, 3, 2, 9]));
    refuse::<GeoTelemetry>("ca010180", Truncated { tag: 25, at: 1 });
    assert!(matches!(decode::<DurableAck>(&bytes_of("120180")), Err(Malformed(_))));
}

#[test]
fn unknown_fields_are_skipped() {
    for unknown in ["a00f01", "a10f0102030405060708", "a20f03010203", "a50f01020304", "a20f00"] {
        check(&format!("{unknown}0a024f4b{unknown}"), Ack::ok());
    }
}

#[test]
fn the_last_value_wins_and_the_order_of_tags_is_free() {
    check("080108020803", epoch(3));
    check("0a034261640a024f4b", Ack::ok());
    check("10020801", DurableAck { epoch: Some(1), ranges: vec![2] });
}

#[test]
fn a_present_zero_is_written_and_an_absent_field_is_not() {
    use prost::Message;
    let check = |message: GeoTelemetry, hex: &str| {
        assert_eq!(message.encode_to_vec(), bytes_of(hex));
        assert_eq!(decode::<GeoTelemetry>(&bytes_of(hex)), Ok(message));
    };
    let empty = GeoTelemetry::default;
    check(empty(), "");
    check(GeoTelemetry { vehicle_id: Some(String::new()), ..empty() }, "0a00");
    check(GeoTelemetry { lat: Some(0.0), ..empty() }, "110000000000000000");
    check(GeoTelemetry { speed_kmh: Some(0), ..empty() }, "2000");
    check(GeoTelemetry { timestamp: Some(0), ..empty() }, "2800");
    check(GeoTelemetry { coolant_celsius: Some(0.0), ..empty() }, "a50100000000");
    check(GeoTelemetry { ignition: Some(false), ..empty() }, "c00100");
    check(GeoTelemetry { fault_codes: vec![0], ..empty() }, "ca010100");
}

#[test]
fn any_number_but_zero_is_true() {
    let ignition = |on| GeoTelemetry { ignition: Some(on), ..GeoTelemetry::default() };
    check("c00102", ignition(true));
    check("c001ffffffffffffffffff01", ignition(true));
    check("c0018000", ignition(false));
}

#[test]
fn a_message_cut_anywhere_but_between_fields_is_truncated() {
    let whole = bytes_of("0a09545255434b2d3034321176711b0de06d4840194260e5d0225b0240205528808ea3c206");
    let between = [0, 11, 20, 29, 31, 37];
    for cut in 0..whole.len() {
        let found = decode::<GeoTelemetry>(&whole[..cut]);
        match found {
            Ok(_) => assert!(between.contains(&cut), "cut at {cut}"),
            Err(Truncated { at, .. }) => assert!(at == cut && !between.contains(&cut), "cut at {cut}"),
            Err(other) => panic!("cut at {cut}: {other}"),
        }
    }
    // A length beyond the end, up to the largest that a varint holds.
    refuse::<Ack>("0a034f4b", Truncated { tag: 1, at: 4 });
    refuse::<Ack>("0affffffffffffffffff014f4b", Truncated { tag: 1, at: 13 });
    refuse::<RecordBatch>("22021100", Truncated { tag: 2, at: 2 });
}

#[test]
fn a_wrong_wire_type_or_text_is_malformed() {
    // Unlike protobuf, which keeps a known field of another wire type as an unknown one.
    for hex in
        ["0801", "15000000000000000000", "0d00000000", "1005", "25010000", "2101000000000000000a", "2200"]
    {
        assert!(decode::<GeoTelemetry>(&bytes_of(hex)).is_err(), "{hex}");
    }
    for hex in ["0a01ff", "0a02c0af", "0a03eda080", "0a04f8888080"] {
        assert!(matches!(decode::<Ack>(&bytes_of(hex)), Err(Malformed(_))), "{hex}");
    }
}

#[test]
fn a_message_above_four_mebibytes_is_refused_unread() {
    let len_bytes = MESSAGE_BYTES_MAX + 1;
    assert_eq!(decode::<Ack>(&vec![0xff; len_bytes]), Err(DecodeError::Oversize { len_bytes }));
    // 1 byte of key and 4 of length.
    let largest = Ack { status: Some("x".repeat(MESSAGE_BYTES_MAX - 5)) };
    let bytes = prost::Message::encode_to_vec(&largest);
    assert_eq!(bytes.len(), MESSAGE_BYTES_MAX);
    assert_eq!(decode::<Ack>(&bytes), Ok(largest));
}
