//! What must hold for any bytes: one function per fuzz target. The tests call them too, with every input of the corpus.
//!
//! Each asserts more than the absence of a panic: what was decoded encodes to bytes that decode to the same. Messages are
//! compared by those bytes, since a NaN does not equal itself.

use bytes::{Bytes, BytesMut};
use drover_wire::{
    Ack, FrameDecoder, FrameError, GeoTelemetry, Iibin, RecordBatch, RecordOutcome, VehicleBatch, decode,
    downlink, fix_from_wire, fix_to_wire, geostream, live_map, mcp, probe as probes, proxy,
};
use prost::Message;

/// Bytes that a frame may have in [`frame_decoder`]: small, so that a fuzzer finds the limit.
const FRAME_BYTES_MAX: usize = 64;

/// Decodes one report.
pub fn geo_telemetry(data: &[u8]) {
    message::<GeoTelemetry>(data);
}

/// Decodes an answer to a single report.
pub fn ack(data: &[u8]) {
    message::<Ack>(data);
}

/// Decodes a batch between services, and checks it if it is one.
pub fn record_batch(data: &[u8]) {
    let Some(batch) = message::<RecordBatch>(data) else { return };
    assert!(batch.fixes.len() <= 4096, "more fixes than a batch may have");
    let Ok(checked) = VehicleBatch::try_from(&batch) else { return };
    assert_eq!(VehicleBatch::try_from(&checked.to_wire()).as_ref(), Ok(&checked));
    assert_eq!(batch.epoch, Some(checked.epoch.value()), "the epoch was cut");
}

/// Decodes the answer to a batch.
pub fn record_outcome(data: &[u8]) {
    if let Some(outcome) = message::<RecordOutcome>(data) {
        assert!(outcome.refused.len() <= 4096, "more refusals than a batch has fixes");
    }
}

/// Decodes a frame of `geostream/1.0`: the kind byte and the body.
pub fn geostream_frames(data: &[u8]) {
    let Some((&kind, body)) = data.split_first() else { return };
    let Ok(frame) = geostream::Frame::decode(kind, body) else { return };
    let encoded = encoded(|out| frame.encode(out));
    let (again_kind, again_body) = only_frame(&encoded);
    assert_eq!(again_kind, kind);
    assert_length(&again_body, body);
    let again = geostream::Frame::decode(kind, &again_body).expect("what was encoded decodes");
    assert_eq!(again.name(), frame.name());
    assert_eq!(self::encoded(|out| again.encode(out)), encoded);
    if let geostream::Frame::DurableAck(ack) = &frame {
        durable(ack);
    }
}

/// Decodes the body of a command, as either kind that there is: a path that is one comes back the same.
pub fn command_bodies(data: &[u8]) {
    message::<downlink::MessageBody>(data);
    let Some(route) = message::<downlink::RouteBody>(data) else { return };
    if let Some(points) = downlink::path_from_wire(&route.path) {
        assert_eq!(points.len() * 2, route.path.len());
        assert_eq!(downlink::path_from_wire(&downlink::path_to_wire(&points)), Some(points));
    }
}

/// Decodes a frame of the bus: the kind byte and the body.
pub fn mcp_frames(data: &[u8]) {
    let Some((&kind, body)) = data.split_first() else { return };
    let Ok(frame) = mcp::Frame::decode(kind, body) else { return };
    let encoded = encoded(|out| frame.encode(out));
    let (again_kind, again_body) = only_frame(&encoded);
    assert_eq!(again_kind, kind);
    assert_length(&again_body, body);
    let again = mcp::Frame::decode(kind, &again_body).expect("what was encoded decodes");
    assert_eq!(again.name(), frame.name());
    assert_eq!(self::encoded(|out| again.encode(out)), encoded);
}

/// Cuts a stream into frames, once whole and once in pieces of the first byte's length.
pub fn frame_decoder(data: &[u8]) {
    let Some((&piece, stream)) = data.split_first() else { return };
    let whole = frames(stream, stream.len().max(1));
    assert_eq!(whole, frames(stream, usize::from(piece).max(1)), "the pieces' size changes the frames");
    // What came out is what went in, but for the spelling of the lengths.
    let mut rebuilt = FrameDecoder::new(FRAME_BYTES_MAX);
    for (kind, body) in &whole.0 {
        rebuilt.push(&[body.len() as u8 + 1, *kind]);
        rebuilt.push(body);
        assert_eq!(rebuilt.next_frame(), Ok(Some((*kind, body.clone()))));
    }
    assert_eq!(rebuilt.pending_bytes(), 0);
}

/// Turns a message into a fix and back.
pub fn fix_conversion(data: &[u8]) {
    let Ok(message) = decode::<GeoTelemetry>(data) else { return };
    match fix_from_wire(&message) {
        Ok(fix) => {
            let wire = fix_to_wire(&fix);
            assert_eq!(fix_from_wire(&wire).as_ref(), Ok(&fix));
            let again: GeoTelemetry = decode(&wire.encode_to_vec()).expect("what was encoded decodes");
            assert_eq!(again, wire);
            assert_eq!(wire.sequence, Some(message.sequence.unwrap_or_default()));
            assert!(message.time_us.is_none_or(|us| wire.time_us == Some(us)), "the time changed");
            assert_eq!(wire.odometer_m, message.odometer_m);
            assert_eq!(wire.fault_codes, message.fault_codes);
            assert_eq!(wire.driver, message.driver);
        }
        Err(invalid) => assert!(invalid.detail.len() <= 96, "the reason is long: {}", invalid.detail),
    }
}

fn message<M: Iibin + PartialEq>(data: &[u8]) -> Option<M> {
    let message = decode::<M>(data).ok()?;
    let encoded = message.encode_to_vec();
    assert_length(&encoded, data);
    let again = decode::<M>(&encoded).expect("what was encoded decodes");
    assert_eq!(again.encode_to_vec(), encoded);
    Some(message)
}

/// What is spelled longer than it need be goes out shorter. A lone unpacked element goes out packed, with a length that it
/// did not have, and so may do the messages around it; no more than that.
fn assert_length(encoded: &[u8], data: &[u8]) {
    assert!(encoded.len() <= 2 * data.len(), "{} bytes became {}", data.len(), encoded.len());
}

/// The sequences that an acknowledgement names are a set, whatever it says.
fn durable(ack: &geostream::DurableAck) {
    let set = ack.durable();
    assert!(set.ranges_len() <= ack.ranges.len() / 2);
    assert!(ack.ranges.len() > 1 || set.is_empty());
    assert!(set.difference(&set).is_empty());
    let mut rest = set.clone();
    if let Some(range) = set.iter_ranges().next() {
        assert!(set.contains(*range.start()) && set.contains(*range.end()));
        let members = set.len();
        assert!(members >= set.ranges_len() as u64, "{members} members");
        rest.remove_through(*range.end());
        assert_eq!(rest.ranges_len() + 1, set.ranges_len());
    }
}

fn encoded(encode: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    encode(&mut out);
    out
}

/// The one frame in `bytes`.
fn only_frame(bytes: &[u8]) -> (u8, Bytes) {
    let mut decoder = FrameDecoder::new(mcp::OWN_FRAME_BYTES_MAX);
    decoder.push(bytes);
    let frame = decoder.next_frame().expect("a good length").expect("a whole frame");
    assert_eq!(decoder.pending_bytes(), 0);
    frame
}

/// Reads a health agent's datagram: a question is answered once, by as many bytes, with its number.
pub fn probe(data: &[u8]) {
    let Some(answer) = probes::answer_to(data) else {
        if let Some(number) = probes::answered(data) {
            assert_eq!(
                probes::answer_to(&probes::question(number)).as_ref().map(|bytes| &bytes[..]),
                Some(data)
            );
        }
        return;
    };
    assert_eq!(answer.len(), data.len());
    assert_eq!(probes::answer_to(&answer), None, "an answer is answered");
    let number = probes::answered(&answer).expect("an answer");
    assert_eq!(&probes::question(number)[..], data);
}

/// Reads what a router says in front of a connection: the same however it comes, and again what it is written as.
pub fn proxy_header(data: &[u8]) {
    let parsed = proxy::parse(data);
    // In pieces: what is read of the whole is said as soon as it is there, or wrong, and nothing else before.
    let first = (0..=data.len()).map(|len| proxy::parse(&data[..len])).find(|parsed| *parsed != Ok(None));
    match (first, parsed) {
        (None, parsed) => {
            assert_eq!(parsed, Ok(None));
            assert!(data.len() < proxy::HEADER_BYTES_MAX, "{} bytes are not enough", data.len());
        }
        (Some(first), parsed) => assert_eq!(first, parsed),
    }
    let Ok(Some((proxied, len))) = parsed else { return };
    assert!((proxy::FIXED_BYTES..=proxy::HEADER_BYTES_MAX).contains(&len) && len <= data.len());
    let again = proxy::Header::of(proxied);
    assert_eq!(proxy::parse(again.as_bytes()), Ok(Some((proxied, again.as_bytes().len()))));
}

/// Reads a live map's stream: the same however it comes, and each frame again as what it is written as.
pub fn live_map_frames(data: &[u8]) {
    let read = |piece: usize| {
        let (mut decoder, mut found) = (FrameDecoder::new(FRAME_BYTES_MAX), Vec::new());
        for piece in data.chunks(piece) {
            decoder.push(piece);
            loop {
                match live_map::Frame::next(&mut decoder) {
                    Ok(Some(frame)) => found.push(frame),
                    Ok(None) => break,
                    Err(error) => return (found, Some(error)),
                }
            }
        }
        (found, None)
    };
    let whole = read(data.len().max(1));
    assert_eq!(read(1), whole);
    for frame in whole.0 {
        let bytes = encoded(|out| frame.push(out));
        let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX + 5);
        decoder.push(&bytes);
        assert_eq!(live_map::Frame::next(&mut decoder), Ok(Some(frame)));
        assert_eq!(decoder.pending_bytes(), 0);
    }
}

/// The frames of a stream that comes in pieces, and how it ends.
fn frames(stream: &[u8], piece: usize) -> (Vec<(u8, Bytes)>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
    let mut frames = Vec::new();
    for piece in stream.chunks(piece) {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        // A frame that is not whole, and the longest spelling of its length.
        assert!(decoder.pending_bytes() < FRAME_BYTES_MAX + 5);
    }
    (frames, None)
}
