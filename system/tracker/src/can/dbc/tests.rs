use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn load(text: &str) -> Result<Database, DbcError> {
    Database::load(&[("t.dbc", text.as_bytes())], false).map(|(database, _)| database)
}

fn standard(id: u16) -> CanId {
    CanId::standard(id).expect("11 bits")
}

fn extended(id: u32) -> CanId {
    CanId::extended(id).expect("29 bits")
}

/// Name and value of all signals that a frame holds.
fn decode(database: &Database, id: CanId, data: &[u8]) -> Vec<(String, f64)> {
    let message = database.message(id).expect("a known message");
    message.decode(data).map(|sample| (sample.signal().name().to_owned(), sample.physical())).collect()
}

fn check_values(text: &str, id: CanId, data: &[u8], expected: &[(&str, f64)]) {
    let found = decode(&load(text).expect("a good file"), id, data);
    let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn the_built_in_file_is_without_problems() {
    let (database, problems) = Database::load(&[("built-in", BUILT_IN.as_bytes())], false).expect("good");
    assert_eq!((problems, database.messages().len()), (vec![], 23));
    assert_eq!(database, Database::built_in());
}

#[test]
fn a_parameter_group_is_found_whoever_sends_it() {
    let database = Database::built_in();
    let name = |id| database.message(extended(id)).map(Message::name);
    for id in [0x0CF0_0400, 0x18F0_0427, 0x00F0_04FE] {
        assert_eq!(name(id), Some("EEC1"), "{id:X}");
    }
    // PDU1: whoever it is for.
    assert_eq!((name(0x0C00_000B), name(0x0C00_2103)), (Some("TSC1"), Some("TSC1")));
    // Another data page is another group, and an 11-bit identifier is none.
    assert_eq!(name(0x0DF0_0400), None);
    assert_eq!(database.message(standard(0x400)), None);
    assert_eq!(database.message(standard(0x7E8)).map(Message::name), Some("OBD2_ANSWER"));
    assert_eq!(database.message(extended(0x0765_07E8)), None);
}

#[test]
fn a_sender_may_have_a_message_of_its_own() {
    let text = "BO_ 2364540160 OTHER: 8 X\n SG_ a : 0|8@1+ (1,0) [0|0] \"\" X\n\
                BO_ 2364540158 ANY: 8 X\n SG_ b : 0|8@1+ (1,0) [0|0] \"\" X\n\
                BO_ 2364539904 ENGINE: 8 X\n SG_ c : 0|8@1+ (1,0) [0|0] \"\" X\n\
                BA_DEF_ BO_ \"VFrameFormat\" ENUM \"StandardCAN\",\"ExtendedCAN\",\"reserved\",\"J1939PG\";\n\
                BA_DEF_DEF_ \"VFrameFormat\" \"J1939PG\";\n";
    let database = load(text).expect("a good file");
    let name = |id| database.message(extended(id)).map(Message::name);
    assert_eq!(name(0x0CF0_0400), Some("ENGINE"));
    assert_eq!(name(0x0CF0_0421), Some("ANY"));
    assert_eq!(name(0x0CF0_0500), Some("OTHER"));
}

#[test]
fn an_extended_identifier_that_is_no_group_is_matched_whole() {
    let text = "BO_ 2566844672 PLAIN: 8 X\n SG_ a : 0|8@1+ (1,0) [0|0] \"\" X\n";
    let database = load(text).expect("a good file");
    assert!(database.message(extended(0x18FE_F100)).is_some_and(|message| !message.is_j1939()));
    assert_eq!(database.message(extended(0x18FE_F101)), None);
    // The null address is nobody's: the file means any sender.
    let database = load(&text.replace("2566844672", "2566844926")).expect("a good file");
    assert!(database.message(extended(0x0CFE_F101)).is_some_and(Message::is_j1939));
}

#[test]
fn both_byte_orders_signs_and_scales_are_read() {
    let signal = |layout: &str| format!("BO_ 5 M: 8 X\n SG_ s : {layout} [0|0] \"\" X\n");
    let check = |layout: &str, data: &[u8], expected: f64| {
        check_values(&signal(layout), standard(5), data, &[("s", expected)]);
    };
    check("8|16@1+ (0.125,0)", &[0, 0x10, 0x27, 0, 0, 0, 0, 0], 1250.0);
    check("15|16@0+ (0.125,0)", &[0, 0x27, 0x10, 0, 0, 0, 0, 0], 1250.0);
    check("4|12@1- (1,0)", &[0x00, 0x80, 0, 0, 0, 0, 0, 0], -2048.0);
    check("3|12@0- (0.1,0)", &[0x0F, 0xFF, 0, 0, 0, 0, 0, 0], -0.1);
    check("0|64@1+ (1,0)", &[0xFF; 8], u64::MAX as f64);
    check("7|64@0- (1,5)", &[0xFF; 8], 4.0);
    check("63|1@1+ (1,0)", &[0, 0, 0, 0, 0, 0, 0, 0x80], 1.0);
    check("56|1@0- (1,0)", &[0, 0, 0, 0, 0, 0, 0, 0x01], -1.0);
}

#[test]
fn floats_are_read_in_both_orders() {
    let text = "BO_ 5 M: 12 X\n SG_ f : 0|32@1- (2,1) [0|0] \"\" X\n SG_ d : 39|64@0- (1,0) [0|0] \"\" X\n\
                SIG_VALTYPE_ 5 f : 1;\nSIG_VALTYPE_ 5 d : 2;\n";
    let data = [&1.5f32.to_le_bytes()[..], &(-0.125f64).to_be_bytes()].concat();
    check_values(text, standard(5), &data, &[("f", 4.0), ("d", -0.125)]);
}

#[test]
fn a_switch_selects_its_signals() {
    let text = "BO_ 5 M: 8 X\n SG_ always : 8|8@1+ (1,0) [0|0] \"\" X\n SG_ sw M : 0|4@1+ (1,0) [0|0] \"\" X\n\
                \u{20}SG_ zero m0 : 16|8@1+ (1,0) [0|0] \"\" X\n SG_ seven m7 : 16|8@1+ (2,0) [0|0] \"\" X\n";
    let id = standard(5);
    check_values(text, id, &[7, 1, 2, 0, 0, 0, 0, 0], &[("always", 1.0), ("sw", 7.0), ("seven", 4.0)]);
    check_values(text, id, &[0, 1, 2, 0, 0, 0, 0, 0], &[("always", 1.0), ("sw", 0.0), ("zero", 2.0)]);
    check_values(text, id, &[3, 1, 2, 0, 0, 0, 0, 0], &[("always", 1.0), ("sw", 3.0)]);
}

#[test]
fn switches_may_be_selected_by_switches_and_by_ranges() {
    let database = Database::built_in();
    let answer = |data: &[u8]| decode(&database, standard(0x7E8), data);
    let named = |found: &[(String, f64)], name: &str| found.iter().find(|(n, _)| n == name).map(|of| of.1);
    let speed = answer(&[4, 0x41, 0x0C, 0x1A, 0xF8, 0, 0, 0]);
    assert_eq!(named(&speed, "Pid0CEngineSpeed"), Some(1726.0));
    assert_eq!((named(&speed, "Dtc1"), named(&speed, "PidA6Odometer")), (None, None));
    // With another service the byte of the PID is something else.
    let codes = answer(&[6, 0x43, 0x0C, 0x03, 0x01, 0, 0, 0]);
    assert_eq!((named(&codes, "Pid"), named(&codes, "Pid0CEngineSpeed")), (None, None));
    assert_eq!(named(&codes, "Dtc1"), Some(769.0));
    let text = "BO_ 5 M: 8 X\n SG_ sw M : 0|8@1+ (1,0) [0|0] \"\" X\n SG_ a m0 : 8|8@1+ (1,0) [0|0] \"\" X\n\
                SG_MUL_VAL_ 5 a sw 3-5, 9-9;\n";
    for (value, there) in [(2, false), (3, true), (5, true), (6, false), (9, true)] {
        assert_eq!(decode(&load(text).expect("good"), standard(5), &[value, 1]).len() == 2, there);
    }
}

#[test]
fn a_short_frame_keeps_the_signals_that_it_holds() {
    let database = Database::built_in();
    let message = database.message(extended(0x0CF0_0400)).expect("EEC1");
    let mut samples = message.decode(&[0, 125, 150, 0x00, 0x20]);
    let found: Vec<_> = samples.by_ref().map(|sample| sample.signal().name().to_owned()).collect();
    assert_eq!(found.last().map(String::as_str), Some("EngineSpeed"));
    assert_eq!(samples.missing(), 3);
    assert!(message.is_short(5) && !message.is_short(8));
    // Half a signal is none.
    assert!(message.decode(&[0, 125, 150, 0x00]).all(|sample| sample.signal().name() != "EngineSpeed"));
}

#[test]
fn the_top_of_a_j1939_range_is_no_value() {
    let database = Database::built_in();
    let check = |id: u32, data: [u8; 8], name: &str, expected: Status| {
        let message = database.message(extended(id)).expect("known");
        let sample = message.decode(&data).find(|sample| sample.signal().name() == name).expect("there");
        assert_eq!(sample.status(), expected, "{name} of {data:X?}");
    };
    let speed = |high, expected| {
        check(0x0CF0_0400, [0, 0, 0, 0, high, 0, 0, 0], "EngineSpeed", expected);
    };
    speed(0xFA, Status::Valid);
    speed(0xFB, Status::Special);
    speed(0xFD, Status::Special);
    speed(0xFE, Status::Error);
    speed(0xFF, Status::NotAvailable);
    let pedal = |raw, expected| {
        check(0x0CF0_0300, [0, raw, 0, 0, 0, 0, 0, 0], "AcceleratorPedalPosition", expected);
    };
    pedal(250, Status::Valid);
    pedal(254, Status::Error);
    pedal(255, Status::NotAvailable);
    let key = |bits: u8, expected| {
        check(0x18FD_D431, [0, 0, bits << 4, 0, 0, 0, 0, 0], "KeySwitchIgnition", expected);
    };
    key(1, Status::Valid);
    key(2, Status::Error);
    key(3, Status::NotAvailable);
    check(0x18FE_E017, [0, 0, 0, 0, 0, 0, 0, 0xFA], "TotalDistance", Status::Valid);
    check(0x18FE_E017, [0, 0, 0, 0, 0, 0, 0, 0xFB], "TotalDistance", Status::Special);
}

#[test]
fn what_makes_no_sense_is_named_with_its_line_and_the_way_out() {
    let check = |signals: &str, expected: &str| {
        let text = format!("VERSION \"\"\n\nBO_ 5 M: 2 X\n{signals}");
        let error = load(&text).expect_err(signals).to_string();
        assert!(error.contains(expected), "{error}\ndoes not contain\n{expected}");
        assert!(error.contains("lenient_dbc"), "{error}");
        let (_, problems) = Database::load(&[("t.dbc", text.as_bytes())], true).expect("lenient");
        assert!(!problems.is_empty());
    };
    let signal = |name: &str, layout: &str| format!(" SG_ {name} : {layout} (1,0) [0|0] \"\" X\n");
    check(
        &(signal("a", "0|8@1+") + &signal("b", "7|4@1+")),
        "t.dbc:5: message M: signals a and b overlap at bit 7: move one, or multiplex them",
    );
    // Motorola: from bit 3 down to 0, then bit 15 of the next byte.
    check(&(signal("a", "3|8@0+") + &signal("b", "15|1@1+")), "overlap at bit 15");
    check(
        &signal("a", "8|16@1+"),
        "t.dbc:4: message M: signal a needs 3 bytes, the message has 2: correct its start bit",
    );
    check(&signal("a", "0|65@1+"), "signal a has 65 bits: 1 to 64 can be read");
    check(&signal("a", "0|0@1+"), "signal a has 0 bits");
    check(&signal("a", "99999|8@1+"), "signal a starts at bit 99999, beyond any message");
    check(&(signal("a", "0|8@1+") + &signal("a", "8|8@1+")), "t.dbc:5: message M: signal a is there twice");
    check(" SG_ a : 0|8@1+ (0,0) [0|0] \"\" X\n", "signal a has a scale of 0");
    check(
        " SG_ a m1 : 0|8@1+ (1,0) [0|0] \"\" X\n",
        "signal a is multiplexed, but no signal is the switch (M)",
    );
    check(
        " SG_ a M : 0|8@1+ (1,0) [0|0] \"\" X\n SG_ b M : 8|4@1+ (1,0) [0|0] \"\" X\n\
         \u{20}SG_ c m1 : 12|4@1+ (1,0) [0|0] \"\" X\n",
        "a and b are both switches (M): say with SG_MUL_VAL_",
    );
    check(
        " SG_ a m1M : 0|8@1+ (1,0) [0|0] \"\" X\n SG_ b m1M : 8|8@1+ (1,0) [0|0] \"\" X\n\
         SG_MUL_VAL_ 5 a b 1-1;\nSG_MUL_VAL_ 5 b a 1-1;\n",
        "the switches of signal a form a ring",
    );
    check(
        " SG_ a m1 : 0|8@1+ (1,0) [0|0] \"\" X\nSG_MUL_VAL_ 5 a gone 1-1;\n",
        "the switch gone of signal a is no switch (M) of this message",
    );
    check(&(signal("a", "0|8@1-") + "SIG_VALTYPE_ 5 a : 1;\n"), "signal a is a float of 32 bits");
    check("BO_ 5 N: 8 X\n", "t.dbc:4: message N: its identifier is M's, too");
    check("BO_ 70000 N: 8 X\n", "identifier 70000 has more than 11 bits: add 2147483648");
    check("BO_ 6 N: 2000 X\n", "2000 bytes exceed the 1785 that J1939 transports");
}

#[test]
fn a_lenient_reader_keeps_what_makes_sense() {
    let text = "BO_ 5 M: 2 X\n SG_ good : 0|8@1+ (1,0) [0|0] \"\" X\n SG_ far : 60|8@1+ (1,0) [0|0] \"\" X\n\
                BO_ 5 TWICE: 8 X\nBO_ 6 N: 1 X\n SG_ n : 0|8@1+ (1,0) [0|0] \"\" X\n";
    let (database, problems) = Database::load(&[("t.dbc", text.as_bytes())], true).expect("lenient");
    assert_eq!((database.messages().len(), problems.len()), (2, 2));
    assert_eq!(problems.iter().map(Problem::line).collect::<Vec<_>>(), [Some(3), Some(4)]);
    assert_eq!(decode(&database, standard(5), &[9, 9]), [("good".to_owned(), 9.0)]);
}

#[test]
fn what_a_dropped_switch_selects_goes_with_it() {
    let text = "BO_ 5 M: 2 X\n SG_ a : 0|8@1+ (1,0) [0|0] \"\" X\n SG_ x m0M : 8|4@1+ (1,0) [0|0] \"\" X\n\
                \u{20}SG_ y m0 : 12|4@1+ (1,0) [0|0] \"\" X\nSG_MUL_VAL_ 5 x gone 0-0;\nSG_MUL_VAL_ 5 y x 0-0;\n";
    let (database, _) = Database::load(&[("t.dbc", text.as_bytes())], true).expect("lenient");
    assert_eq!(decode(&database, standard(5), &[9, 0]), [("a".to_owned(), 9.0)]);
}

#[test]
fn a_file_that_is_no_dbc_is_refused_in_words() {
    let check = |bytes: &[u8], expected: &str| {
        let error = Database::load(&[("t.dbc", bytes)], true).expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(b"\x7FELF\x02\x01\x01\0\0\0", "t.dbc is no DBC: byte 4 is no text");
    check(b"hello there", "t.dbc is no DBC: ");
    check(b"VERSION \"\"\n\nBO_ five M: 8 X\n", "3:");
    check(b"<?xml version=\"1.0\"?>", "t.dbc is no DBC: ");
}

#[test]
fn a_file_in_another_code_page_is_read_all_the_same() {
    let text = b"BO_ 5 M: 8 X\n SG_ t : 0|8@1+ (1,-40) [0|0] \"\xB0C\" X\n";
    let (database, _) = Database::load(&[("t.dbc", text)], false).expect("Latin-1");
    assert_eq!(database.messages()[0].signals()[0].unit(), "°C");
    let bom = [b"\xEF\xBB\xBFVERSION \"\"\n".as_slice(), text].concat();
    assert!(Database::load(&[("t.dbc", &bom)], false).is_ok());
}

#[test]
fn files_are_put_together() {
    let own = b"BO_ 5 M: 8 X\n SG_ t : 0|8@1+ (1,0) [0|0] \"\" X\n";
    let (database, _) =
        Database::load(&[("built-in", BUILT_IN.as_bytes()), ("own", own)], false).expect("good");
    assert_eq!(database.messages().len(), 24);
    let error = Database::load(&[("one", own), ("two", own)], false).expect_err("twice").to_string();
    assert!(error.contains("two:1: message M: its identifier is M's, too"), "{error}");
}

/// A signal anywhere in a message of `size` bytes.
fn any_signal(size: u16) -> impl Strategy<Value = String> {
    (any::<bool>(), any::<bool>(), 0..size * 8, 1..=64u16).prop_map(move |(big, signed, start, bits)| {
        // Motorola counts down within the byte and on in the next one.
        let first = if big { start - start % 8 + 7 - start % 8 } else { start };
        let bits = bits.min(size * 8 - first);
        let (order, sign) = (u8::from(!big), if signed { '-' } else { '+' });
        format!("SG_ s : {start}|{bits}@{order}{sign} (1,0) [0|0] \"\" X")
    })
}

proptest! {
    #[test]
    fn a_signal_means_the_same_wherever_its_message_begins(
        signal in any_signal(8),
        data in prop::array::uniform8(any::<u8>()),
        ahead in 1..20u16,
    ) {
        // Bytes beyond the eighth are read by another path than those before.
        let moved = {
            let (head, rest) = signal.split_once(" : ").expect("as made");
            let (start, rest) = rest.split_once('|').expect("as made");
            format!("{head} : {}|{rest}", start.parse::<u16>().expect("as made") + ahead * 8)
        };
        let text = format!("BO_ 5 M: 8 X\n {signal}\nBO_ 6 N: {} X\n {moved}\n", ahead + 8);
        let database = load(&text).expect("a good file");
        let long = [vec![0xA5; usize::from(ahead)], data.to_vec()].concat();
        prop_assert_eq!(decode(&database, standard(5), &data), decode(&database, standard(6), &long));
    }

    #[test]
    fn any_bytes_as_a_file_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Database::load(&[("t.dbc", &bytes)], true);
    }

    #[test]
    fn any_damage_to_a_file_is_survived(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..40usize, "[ -~\n]{0,12}"), 1..6),
        data in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let mut text = String::from(
            "VERSION \"\"\nNS_ :\nBS_:\nBU_: X Y\nBO_ 5 M: 8 X\n SG_ sw M : 0|4@1+ (1,0) [0|0] \"\" X\n \
             SG_ a m0M : 4|4@1+ (1,0) [0|0] \"\" X\n SG_ b m1 : 15|16@0- (0.5,-3) [0|9] \"km/h\" X,Y\n\
             BO_ 2364540158 EEC1: 8 Y\n SG_ n : 24|16@1+ (0.125,0) [0|8031.875] \"rpm\" X\n\
             CM_ SG_ 5 a \"one\ntwo\";\nBA_DEF_ SG_ \"SPN\" INT 0 524287;\nBA_DEF_DEF_ \"SPN\" 0;\n\
             BA_ \"SPN\" SG_ 2364540158 n 190;\nVAL_ 5 a 1 \"on\" 0 \"off\" ;\nSIG_VALTYPE_ 5 b : 0;\n\
             SG_MUL_VAL_ 5 a sw 0-0;\nSG_MUL_VAL_ 5 b a 1-3, 7-7;\n",
        );
        for (at, len, put) in cuts {
            let at = at.index(text.len() + 1);
            text.replace_range(at..(at + len).min(text.len()), &put);
        }
        let mut shown = String::new();
        match Database::load(&[("t.dbc", text.as_bytes())], true) {
            Ok((database, problems)) => {
                for message in database.messages() {
                    let sum: f64 = message.decode(&data).map(|sample| sample.physical()).sum();
                    let _ = write!(shown, "{} {sum}", message.name());
                }
                for problem in problems {
                    let _ = write!(shown, "{problem}");
                }
            }
            Err(error) => shown = error.to_string(),
        }
        prop_assert!(shown.len() < 100_000);
    }

    #[test]
    fn any_frame_is_decoded_within_its_bytes(id in any::<u32>(), data in prop::collection::vec(any::<u8>(), 0..=8)) {
        let database = Database::built_in();
        let group = database.messages()[id as usize % database.messages().len()].id();
        for id in [group, extended(id >> 3), standard((id & 0x7FF) as u16)] {
            let Some(message) = database.message(id) else { continue };
            let mut samples = message.decode(&data);
            prop_assert!(samples.by_ref().all(|sample| sample.physical().is_finite()));
            prop_assert!(samples.missing() == 0 || message.is_short(data.len()));
        }
    }
}
