use proptest::prelude::*;

use super::*;

fn read(text: &[u8]) -> (Vec<LogFrame>, CandumpCounts) {
    let (mut reader, mut frames) = (CandumpReader::new(""), Vec::new());
    reader.push(text, &mut frames);
    reader.finish();
    (frames, *reader.counts())
}

#[test]
fn both_forms_of_candump_are_read() {
    let check = |line: &str, stamp: Stamp, frame: &str| {
        let (frames, counts) = read(format!("{line}\n").as_bytes());
        assert_eq!(frames.len(), 1, "{line}: {counts:?}");
        assert_eq!((frames[0].stamp, frames[0].frame.to_string().as_str()), (stamp, frame), "{line}");
    };
    let absolute = Stamp::Absolute(1_436_509_052_249_713);
    check("(1436509052.249713) vcan0 044#2A366C2BBA", absolute, "044#2A366C2BBA");
    check("(1436509052.249713) can0 18FEEE00#6BFFFFFFFFFFFFFF", absolute, "18FEEE00#6BFFFFFFFFFFFFFF");
    check("(1436509052.249713713) can0 044#2A R", absolute, "044#2A");
    check("(1436509052.249713) can0 044#11.22.33\r", absolute, "044#112233");
    check("(1436509052.249713) can0 044#1122334455667788_9", absolute, "044#1122334455667788");
    check("(1436509052.249713) can0 044#", absolute, "044#");
    check("  can0  18FEEE00   [8]  6B FF FF FF FF FF FF FF", Stamp::None, "18FEEE00#6BFFFFFFFFFFFFFF");
    check("  can0  123   [3]  11 22 33", Stamp::None, "123#112233");
    check("  can0  123   [0]", Stamp::None, "123#");
    check("  can0  123   [3]  11 22 33            '.\"3'", Stamp::None, "123#112233");
    check(" (1436509052.249713)  can0  123   [1]  11", absolute, "123#11");
    check(" (2015-07-10 06:17:32.249713)  can0  123   [1]  11", absolute, "123#11");
    check(" (000.001250)  can0  123   [1]  11", Stamp::Relative(1250), "123#11");
    check("  can0  RX - -  123   [1]  11", Stamp::None, "123#11");
    // Older versions pad identifiers with spaces.
    check("  can0   44   [1]  11", Stamp::None, "044#11");
    check("  can0        44   [1]  11", Stamp::None, "00000044#11");
}

#[test]
fn a_line_that_gives_no_frame_is_counted_by_its_reason() {
    let check = |line: &[u8], reason: &str| {
        let (frames, counts) = read(&[line, b"\n"].concat());
        let skipped: Vec<_> = counts.skipped().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!((frames.len(), skipped.as_slice()), (0, [(reason, 1)].as_slice()), "{line:?}");
    };
    check(b"(1436509052.249713) vcan0 044#R", "remote");
    check(b"  can0  123   [4]  remote request", "remote");
    check(b"(1436509052.249713) can0 20000080#0000000000000000", "error_frame");
    check(b"  can0  20000004   [8]  00 04 00 00 00 00 00 00   ERRORFRAME", "error_frame");
    check(b"(1436509052.249713) can0 044##1AABB", "fd");
    check(b"  can0  123  [12]  00 00 00 00 00 00 00 00 00 00 00 00", "fd");
    check(b"DROPCOUNT: dropped 1 CAN frame on 'can0' socket (total drops 1)", "not_candump");
    check(b"hello", "not_candump");
    check(b"(1436509052.249713) can0 044#\xFF\xFE", "not_text");
    check(&[b'x'; 300], "too_long");
    check(b"(yesterday) can0 044#11", "bad_stamp");
    check(b"(1436509052) can0 044#11", "bad_stamp");
    check(b"(99999999999999999999.0) can0 044#11", "bad_stamp");
    check(b"(1436509052.249713) can0 0G4#11", "bad_id");
    check(b"(1436509052.249713) can0 800#11", "bad_id");
    check(b"(1436509052.249713) can0 FFFFFFFF#11", "bad_id");
    check(b"(1436509052.249713) can0 +44#11", "bad_id");
    check(b"(1436509052.249713) can0 044#1", "bad_data");
    check(b"(1436509052.249713) can0 044#1G", "bad_data");
    check(b"  can0  123   [2]  11`22", "bad_data");
    check(b"(1436509052.249713) can0 044#112233445566778899", "bad_length");
    check(b"  can0  123   [3]  11 22", "bad_length");
    check(b"  can0  123   [9]  11 22", "bad_length");
    check(b"  can0  123   [1]  11 22", "bad_length");
}

#[test]
fn a_log_that_is_cut_gives_no_frame_for_its_last_line() {
    // Cut between two bytes, the line still looks whole.
    let (frames, counts) = read(b"(1436509052.249713) can0 044#2A36\n(1436509052.249714) can0 044#2A");
    assert_eq!((frames.len(), counts.cut_off), (1, 1));
    assert_eq!(read(b"(1436509052.249713) can0 044#2A36\n").1.cut_off, 0);
}

#[test]
fn only_the_asked_interface_is_read() {
    let (mut reader, mut frames) = (CandumpReader::new("can1"), Vec::new());
    reader.push(b"(1.0) can0 044#11\n(1.1) can1 044#22\n", &mut frames);
    assert_eq!((frames.len(), reader.counts().other_interface), (1, 1));
    assert_eq!(frames[0].frame.data(), [0x22]);
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_are_survived(
        pieces in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..80),
                "[ (]{0,2}[0-9.-]{0,18}\\)? {0,2}can0 {1,9}[0-9A-F]{0,9}(#|  \\[)[0-9A-FR#.\\]' ]{0,30}\n"
                    .prop_map(String::into_bytes),
                Just(b"(1436509052.249713) can0 18FEEE00#6BFF\n".to_vec()),
            ],
            0..30,
        ),
        cut in 1..50usize,
    ) {
        let bytes = pieces.concat();
        let run = |cut: usize| {
            let (mut reader, mut frames) = (CandumpReader::new(""), Vec::new());
            bytes.chunks(cut).for_each(|piece| reader.push(piece, &mut frames));
            reader.finish();
            prop_assert_eq!(reader.counts().frames, frames.len() as u64);
            Ok((frames, *reader.counts()))
        };
        prop_assert_eq!(run(cut)?, run(bytes.len().max(1))?);
    }

    #[test]
    fn a_frame_is_read_back_as_it_prints(
        extended in any::<bool>(),
        id in any::<u32>(),
        data in prop::collection::vec(any::<u8>(), 0..=8),
    ) {
        use super::super::frame::CanId;
        let id = if extended { CanId::extended(id >> 3) } else { CanId::standard((id >> 21) as u16) };
        let frame = CanFrame::new(id.expect("in range"), &data).expect("8 bytes at most");
        let (frames, _) = read(format!("(1436509052.249713) can0 {frame}\n").as_bytes());
        prop_assert_eq!(frames.first().map(|read| read.frame), Some(frame));
    }
}
