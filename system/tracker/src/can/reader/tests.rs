use proptest::prelude::*;

use super::*;

const SECOND_US: i64 = 1_000_000;

fn frame(text: &str) -> CanFrame {
    let (id, data) = text.split_once('#').expect("id#data");
    let value = u32::from_str_radix(id, 16).expect("hexadecimal");
    let id = if id.len() == 3 { CanId::standard(value as u16) } else { CanId::extended(value) };
    let bytes: Vec<u8> = (0..data.len() / 2)
        .map(|at| u8::from_str_radix(&data[2 * at..2 * at + 2], 16).expect("hexadecimal"))
        .collect();
    CanFrame::new(id.expect("in range"), &bytes).expect("8 bytes at most")
}

/// A reader that has heard these frames, all at once.
fn heard(frames: &[&str]) -> CanReader {
    let mut reader = CanReader::new(Arc::new(Catalog::built_in()));
    frames.iter().for_each(|text| reader.handle_frame(0, &frame(text)));
    reader
}

#[test]
fn every_field_is_filled_from_its_j1939_parameter() {
    let reader = heard(&[
        "0CF00400#F0FFA0102700FFFF", // EEC1: 1250 rpm
        "0CF00300#FF7D50FFFFFFFFFF", // EEC2: pedal 50 %, load 80 %
        "18F0010B#FF19FFFFFFFFFFFF", // EBC1: brake 10 %
        "18FEEE00#82FFFFFFFFFFFFFF", // ET1: 90 degC
        "18FEF200#F401FFFFFFFFFFFF", // LFE1: 25 l/h
        "18FEF700#FFFFFFFFF800F800", // VEP1: 12.4 V
        "18FEFC17#FF96FFFFFFFFFFFF", // DD1: 60 %
        "18FEC117#D2040000FFFFFFFF", // VDHR: 1234 * 5 m
        "18FDD431#FFFFDFFFFFFFFFFF", // CM3: ignition on
        "18FECA00#04FF6E000001FFFF", // DM1: SPN 110 FMI 0
        "18FE6BEE#442D37372A2AFFFF", // DI: D-77
    ]);
    let expected = Engine {
        odometer_m: Some(6170),
        fuel_level_percent: Some(60.0),
        fuel_rate_l_per_h: Some(25.0),
        engine_speed_rpm: Some(1250.0),
        engine_load_percent: Some(80.0),
        coolant_celsius: Some(90.0),
        battery_volts: Some(12.4),
        throttle_percent: Some(50.0),
        brake_percent: Some(10.0),
        ignition: Some(true),
        fault_codes: vec![110 << 5],
        driver: DriverId::new("D-77").ok(),
    };
    assert_eq!(reader.engine(0), expected);
    let counts = reader.counts();
    assert_eq!((counts.frames, counts.known, counts.unknown), (11, 11, 0));
    assert!(counts.skipped().iter().all(|(_, count)| *count == 0), "{counts:?}");
}

#[test]
fn what_is_not_available_or_in_error_is_absent() {
    let blank = ["0CF00400#FFFFFFFFFFFFFFFF", "18FEEE00#FEFFFFFFFFFFFFFF", "18FDD431#FFFFEFFFFFFFFFFF"];
    let reader = heard(&blank);
    assert_eq!(reader.engine(0), Engine::default());
    assert_eq!(reader.counts().not_available, 3);
    // A sensor that breaks takes its reading back, another controller's blank does not.
    let reader = heard(&["18FEEE00#82FFFFFFFFFFFFFF", "18FEEE21#FFFFFFFFFFFFFFFF"]);
    assert_eq!(reader.engine(0).coolant_celsius, Some(90.0));
    let reader = heard(&["18FEEE00#82FFFFFFFFFFFFFF", "18FEEE00#FEFFFFFFFFFFFFFF"]);
    assert_eq!(reader.engine(0).coolant_celsius, None);
}

#[test]
fn the_key_switch_is_known_by_its_voltage_if_by_nothing_else() {
    let ignition = |frames: &[&str]| heard(frames).engine(0).ignition;
    assert_eq!(ignition(&["18FEF700#FFFFFFFFF800F800"]), Some(true));
    assert_eq!(ignition(&["18FEF700#FFFFFFFFF8000200"]), Some(false));
    assert_eq!(ignition(&["18FEF700#FFFFFFFFF800FFFF"]), None);
    assert_eq!(ignition(&["18FEF700#FFFFFFFFF800F800", "18FDD431#FFFFCFFFFFFFFFFF"]), Some(false));
}

#[test]
fn many_faults_come_in_packets() {
    // BAM of 14 bytes: lamps and three codes.
    let mut reader =
        heard(&["1CECFF00#200E0002FFCAFE00", "1CEBFF00#0104FF6E000301BE", "1CEBFF00#02000205F300047E"]);
    let codes = reader.engine(0).fault_codes;
    assert_eq!(codes, [110 << 5 | 3, 190 << 5 | 2, 243 << 5 | 4]);
    assert_eq!(reader.counts().transport.complete, 1);
    // The last one is repaired.
    reader.handle_frame(SECOND_US, &frame("18FECA00#00FF00000000FFFF"));
    assert_eq!(reader.engine(SECOND_US).fault_codes, [0u32; 0]);
}

#[test]
fn a_long_group_of_the_dbc_is_decoded_from_packets() {
    let dbc = b"BO_ 2566844926 LONG: 20 X\n SG_ far : 128|16@1+ (1,0) [0|0] \"rpm\" X\n";
    let (database, _) = Database::load(&[("t", dbc)], false).expect("good");
    let names = BTreeMap::from([("LONG.far".to_owned(), "engine_speed_rpm".to_owned())]);
    let mut reader = CanReader::new(Arc::new(Catalog::new(database, &names).expect("bound")));
    for text in [
        "1CECFF00#20140003FFF1FE00",
        "1CEBFF00#0100000000000000",
        "1CEBFF00#0200000000000000",
        "1CEBFF00#030000E803000000",
    ] {
        reader.handle_frame(0, &frame(text));
    }
    assert_eq!(reader.engine(0).engine_speed_rpm, Some(1000.0));
}

#[test]
fn a_driver_is_taken_from_one_frame_or_many_and_leaves_again() {
    let mut reader = CanReader::new(Arc::new(Catalog::built_in()));
    for text in ["1CECFFEE#200D0002FF6BFE00", "1CEBFFEE#014452495645522D", "1CEBFFEE#02303034322A2AFF"] {
        reader.handle_frame(0, &frame(text));
    }
    assert_eq!(reader.engine(0).driver, DriverId::new("DRIVER-0042").ok());
    reader.handle_frame(0, &frame("18FE6BEE#FFFFFFFFFFFFFFFF"));
    assert!(reader.engine(0).driver.is_some(), "not available takes nothing back");
    reader.handle_frame(0, &frame("18FE6BEE#2A2AFFFFFFFFFFFF"));
    assert_eq!(reader.engine(0).driver, None);
    reader.handle_frame(0, &frame("18FE6BEE#4A2052262AFFFFFF"));
    assert_eq!((reader.engine(0).driver, reader.counts().bad_driver), (None, 1));
}

#[test]
fn answers_of_obd_fill_a_fix_too() {
    let reader = heard(&[
        "7E8#04410C1AF8000000",
        "7E8#0341055A00000000",
        "7E8#0641A600012345AA",
        "7EA#03412F80AAAAAAAA",
        "7E8#0441425FB4AAAAAA",
        "7E8#0343000000000000",
        "18DAF110#04415E00C8AAAAAA",
        // Three values in one answer, in two frames.
        "7E8#100841045A0D3C11",
        "7E8#218040AAAAAAAAAA",
        "7E9#037F0112AAAAAAAA",
    ]);
    let engine = reader.engine(0);
    assert_eq!(engine.engine_speed_rpm, Some(1726.0));
    assert_eq!(engine.coolant_celsius, Some(50.0));
    assert_eq!(engine.odometer_m, Some(7_456_500));
    assert_eq!(engine.fuel_rate_l_per_h, Some(10.0));
    assert_eq!(engine.battery_volts, Some(24.5));
    assert!(engine.engine_load_percent.is_some_and(|load| (load - 35.294_118).abs() < 1e-4));
    assert!(engine.throttle_percent.is_some_and(|valve| (valve - 50.196_08).abs() < 1e-4));
    assert!(engine.fuel_level_percent.is_some_and(|level| (level - 50.196_08).abs() < 1e-4));
    let counts = reader.counts();
    assert_eq!((counts.obd_refused, counts.bad_obd, counts.obd_unread), (1, 0, 1));
}

#[test]
fn trouble_codes_of_obd_come_in_packets_and_stay_apart_from_j1939() {
    let reader = heard(&["7E8#100843030301C123", "7E8#2142AFAAAAAAAAAA", "18FECA00#04FF6E000001FFFF"]);
    let codes = reader.engine(0).fault_codes;
    let codes: Vec<_> =
        codes.into_iter().filter_map(FaultCode::from_bits).map(|code| code.to_string()).collect();
    assert_eq!(codes, ["SPN 110 FMI 0", "P0301", "C02AF", "U0123"]);
}

#[test]
fn a_short_frame_is_counted_and_its_other_signals_kept() {
    let reader = heard(&["0CF00300#FF7D", "18FEF700#FFFFFFFFF800"]);
    let engine = reader.engine(0);
    assert_eq!((engine.throttle_percent, engine.engine_load_percent), (Some(50.0), None));
    assert_eq!((engine.battery_volts, reader.counts().short), (Some(12.4), 2));
}

#[test]
fn signals_of_any_bus_are_bound_by_name() {
    let dbc = b"BO_ 293 MOTOR: 8 X\n SG_ Rpm : 7|16@0+ (1,0) [0|0] \"1/min\" X\n \
                SG_ Water : 16|8@1+ (1,-48) [0|0] \"degF\" X\n SG_ Odd : 24|8@1+ (1,0) [0|0] \"furlong\" X\n";
    let bind = |names: &[(&str, &str)]| {
        let (database, _) = Database::load(&[("van.dbc", dbc)], false).expect("good");
        let names = names.iter().map(|(name, field)| ((*name).to_owned(), (*field).to_owned()));
        Catalog::new(database, &names.collect()).map(|catalog| CanReader::new(Arc::new(catalog)))
    };
    let mut reader =
        bind(&[("MOTOR.Rpm", "engine_speed_rpm"), ("MOTOR.Water", "coolant_celsius")]).expect("bound");
    reader.handle_frame(0, &frame("125#03E8FF0000000000"));
    assert_eq!(reader.engine(0).engine_speed_rpm, Some(1000.0));
    assert_eq!(reader.engine(0).coolant_celsius, Some(97.222_22));
    let refused = |name, field, expected: &str| {
        let error = bind(&[(name, field)]).map(|_| ()).expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
    };
    refused("MOTOR.Rpn", "engine_speed_rpm", "\"MOTOR.Rpn\" is no signal of the DBC: write MESSAGE.Signal");
    refused("MOTOR.Rpm", "speed", "can not give \"speed\": it is one of odometer_m, fuel_level_percent");
    refused("MOTOR.Odd", "odometer_m", "gives odometer_m in \"furlong\", which is none of m, km, mi, mile");
}

#[test]
fn a_frame_allocates_nothing() {
    let (mut reader, frame) =
        (CanReader::new(Arc::new(Catalog::built_in())), frame("0CF00400#F0FFA0102700FFFF"));
    let dm1 = self::frame("18FECA00#04FF6E000001FFFF");
    let obd = self::frame("7E8#04410C1AF8000000");
    // The first of a kind makes its place.
    [frame, dm1, obd].iter().for_each(|frame| reader.handle_frame(0, frame));
    let spent = allocation_counter::measure(|| {
        for at_us in 0..1000 {
            [frame, dm1, obd].iter().for_each(|frame| reader.handle_frame(at_us, frame));
            let message = reader.catalog.database().message(frame.id()).expect("EEC1");
            assert_eq!(message.decode(frame.data()).count(), 8);
        }
    });
    assert_eq!(spent.count_total, 0);
}

proptest! {
    #[test]
    fn any_frames_give_readings_that_a_gateway_takes(
        frames in prop::collection::vec(
            (
                prop_oneof![
                    any::<u32>(),
                    Just(0x8CF0_0400u32), Just(0x98FE_CA00), Just(0x9CEC_FF00), Just(0x9CEB_FF00),
                    Just(0x98FE_6BEE), Just(0x7E8), Just(0x7E9), Just(0x98DA_F110), Just(0x98FE_F700),
                ],
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..=8),
                    Just(vec![32, 20, 0, 3, 255, 0xCA, 0xFE, 0]),
                    (1..5u8, any::<[u8; 7]>()).prop_map(|(number, data)| [&[number][..], &data].concat()),
                    (prop_oneof![Just(0x41u8), Just(0x43)], any::<[u8; 5]>())
                        .prop_map(|(service, data)| [&[6, service][..], &data].concat()),
                ],
                0..100_000i64,
            ),
            0..100,
        ),
    ) {
        let (mut reader, mut now_us) = (CanReader::new(Arc::new(Catalog::built_in())), 0);
        for (id, data, later_us) in frames {
            now_us += later_us;
            let id = if id >> 31 == 1 { CanId::extended(id & 0x1FFF_FFFF) } else { CanId::standard(id as u16 & 0x7FF) };
            reader.handle_frame(now_us, &CanFrame::new(id.expect("masked"), &data).expect("8 bytes"));
            let engine = reader.engine(now_us);
            let fix = drover_model::Fix {
                sequence: 0,
                time: drover_model::WallTime::UNIX_EPOCH,
                position: drover_model::Position::new(0.0, 0.0).expect("in range"),
                speed: None,
                heading: None,
                altitude: None,
                accuracy: None,
                satellites: None,
                flags: drover_model::FixFlags::default(),
                engine,
            };
            let wire = drover_wire::fix_to_wire(&fix);
            prop_assert_eq!(drover_wire::fix_from_wire(&wire), Ok(fix));
        }
    }
}
