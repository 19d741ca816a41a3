//! `decode(encode(x)) == x`, for every message and frame. Compared by bytes and flat form, in which a NaN equals itself.

use drover_wire::{FrameDecoder, geostream, mcp};
use proptest::prelude::*;

use crate::samples::{KINDS, frame_bytes, geostream_frames, mcp_frames, rng};

proptest! {
    #[test]
    fn every_message_reads_back_as_it_was(kind in 0..KINDS.len(), seed: u64) {
        let sample = (KINDS[kind].random)(&mut rng(seed));
        prop_assert_eq!((KINDS[kind].reread)(&sample.encoded), Ok(sample), "{}", KINDS[kind].name);
    }

    #[test]
    fn every_geostream_frame_reads_back_as_it_was(seed: u64) {
        for (frame, number) in geostream_frames(&mut rng(seed)).iter().zip(1u8..) {
            let bytes = frame_bytes(|out| frame.encode(out));
            let mut decoder = FrameDecoder::new(geostream::FRAME_BYTES_MAX);
            decoder.push(&bytes);
            let (kind, body) = decoder.next_frame()?.expect("a whole frame");
            prop_assert_eq!(kind, number);
            let again = geostream::Frame::decode(kind, &body)?;
            prop_assert_eq!(again.name(), frame.name());
            prop_assert_eq!(frame_bytes(|out| again.encode(out)), bytes);
        }
    }

    #[test]
    fn every_bus_frame_reads_back_as_it_was(seed: u64) {
        for (frame, number) in mcp_frames(&mut rng(seed)).iter().zip(1u8..) {
            let bytes = frame_bytes(|out| frame.encode(out));
            let mut decoder = FrameDecoder::new(mcp::OWN_FRAME_BYTES_MAX);
            decoder.push(&bytes);
            let (kind, body) = decoder.next_frame()?.expect("a whole frame");
            prop_assert_eq!(kind, number);
            let again = mcp::Frame::decode(kind, &body)?;
            prop_assert_eq!(again.name(), frame.name());
            prop_assert_eq!(frame_bytes(|out| again.encode(out)), bytes);
        }
    }

    #[test]
    fn a_damaged_message_is_refused_or_reads_back_as_what_it_became(
        kind in 0..KINDS.len(),
        seed: u64,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = (KINDS[kind].random)(&mut rng(seed)).encoded;
        for (at, byte) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        if let Ok(sample) = (KINDS[kind].reread)(&bytes) {
            prop_assert_eq!((KINDS[kind].reread)(&sample.encoded), Ok(sample));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512), number: u8) {
        for kind in KINDS {
            drop((kind.reread)(&bytes));
        }
        drop(geostream::Frame::decode(number, &bytes));
        drop(mcp::Frame::decode(number, &bytes));
    }
}
