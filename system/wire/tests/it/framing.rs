//! The frame decoder, however the bytes come.

use bytes::Bytes;
use drover_wire::{FrameDecoder, FrameError, geostream};
use proptest::prelude::*;
use prost::Message;

use crate::samples::{frame_bytes, geostream_frames, mcp_frames, rng};

fn frames_of(decoder: &mut FrameDecoder) -> Result<Vec<(u8, Bytes)>, FrameError> {
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next_frame()? {
        frames.push(frame);
    }
    Ok(frames)
}

proptest! {
    #[test]
    fn cutting_the_bytes_changes_no_frame(
        seed: u64,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let rng = &mut rng(seed);
        let mut bytes = Vec::new();
        geostream_frames(rng).iter().for_each(|frame| bytes.extend(frame_bytes(|out| frame.encode(out))));
        mcp_frames(rng).iter().for_each(|frame| bytes.extend(frame_bytes(|out| frame.encode(out))));
        let mut whole = FrameDecoder::new(1 << 20);
        whole.push(&bytes);
        let expected = frames_of(&mut whole)?;
        prop_assert_eq!(expected.len(), 14);

        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let mut decoder = FrameDecoder::new(1 << 20);
        let (mut found, mut from) = (Vec::new(), 0);
        for cut in cuts {
            decoder.push(&bytes[from..cut]);
            found.extend(frames_of(&mut decoder)?);
            from = cut;
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!(decoder.pending_bytes(), 0);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_wait_within_the_limit(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..32),
    ) {
        let mut decoder = FrameDecoder::new(100);
        for chunk in chunks {
            decoder.push(&chunk);
            if frames_of(&mut decoder).is_err() {
                break;
            }
            prop_assert!(decoder.pending_bytes() <= 100 + 5);
        }
    }
}

fn check(bytes: &[u8], expected: Result<Option<(u8, &[u8])>, FrameError>) {
    let mut decoder = FrameDecoder::new(geostream::FRAME_BYTES_MAX);
    decoder.push(bytes);
    let found = decoder.next_frame();
    assert_eq!(found, expected.map(|frame| frame.map(|(kind, body)| (kind, Bytes::copy_from_slice(body)))));
}

#[test]
fn a_frame_is_length_kind_and_body() {
    check(&[1, 5], Ok(Some((5, &[]))));
    check(&[3, 2, 8, 1], Ok(Some((2, &[8, 1]))));
    // A length need not be as short as it could be.
    check(&[0x83, 0x00, 2, 8, 1], Ok(Some((2, &[8, 1]))));
    check(&[], Ok(None));
    check(&[0x83], Ok(None));
    check(&[3, 2, 8], Ok(None));
}

#[test]
fn a_wrong_length_is_refused_before_the_frame_has_come() {
    let max_bytes = geostream::FRAME_BYTES_MAX;
    let oversize = |len_bytes| Err(FrameError::Oversize { len_bytes, max_bytes });
    check(&[0x80, 0x80, 0x04], Ok(None));
    check(&[0x81, 0x80, 0x04], oversize(max_bytes as u64 + 1));
    check(&[0xff, 0xff, 0xff, 0xff, 0x0f], oversize(u64::from(u32::MAX)));
    check(&[0xff, 0xff, 0xff, 0xff, 0x7f], oversize((1 << 35) - 1));
    check(&[0], Err(FrameError::Length));
    check(&[0x80, 0], Err(FrameError::Length));
    check(&[0x80, 0x80, 0x80, 0x80, 0x80], Err(FrameError::Length));
    check(&[0xff; 11], Err(FrameError::Length));
}

#[test]
fn a_refused_stream_stays_refused() {
    let mut decoder = FrameDecoder::new(10);
    decoder.push(&[11]);
    assert!(decoder.next_frame().is_err());
    decoder.push(&[1, 5]);
    assert!(decoder.next_frame().is_err(), "where the next frame begins is unknown");
}

#[test]
fn an_unknown_kind_is_refused() {
    for kind in [0, 8, 255] {
        assert_eq!(geostream::Frame::decode(kind, &[]), Err(FrameError::Kind { kind }));
        assert_eq!(drover_wire::mcp::Frame::decode(kind, &[]), Err(FrameError::Kind { kind }));
    }
}

#[test]
fn a_batch_of_encoded_fixes_has_the_bytes_of_a_batch() {
    let rng = &mut rng(11);
    for _ in 0..200 {
        let [_, geostream::Frame::Batch(batch), ..] = geostream_frames(rng) else {
            panic!("kind 2 is a batch")
        };
        let fixes = batch.fixes.iter().map(|fix| fix.encode_to_vec().into()).collect();
        let encoded = geostream::EncodedBatch { epoch: batch.epoch, fixes };
        let expected = frame_bytes(|out| geostream::Frame::Batch(batch).encode(out));
        assert_eq!(frame_bytes(|out| encoded.encode_frame(out)), expected);
    }
}
