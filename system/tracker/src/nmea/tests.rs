use std::time::Duration;

use drover_model::{FixFlags, WallTime};
use proptest::prelude::*;

use super::*;

/// A whole line of `body`.
fn line(body: &str) -> String {
    let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("${body}*{sum:02X}\r\n")
}

fn read(input: &str) -> (Vec<Fix>, NmeaCounts) {
    let (mut reader, mut fixes) = (NmeaReader::new(), Vec::new());
    reader.push(Instant::now(), input.as_bytes(), &mut fixes);
    reader.finish(Instant::now(), &mut fixes);
    (fixes, *reader.counts())
}

fn rmc(time: &str, lat: &str, date: &str) -> String {
    line(&format!("GNRMC,{time},A,{lat},N,02456.4000,E,10.0,90.5,{date},,,A"))
}

fn gga(time: &str, lat: &str) -> String {
    line(&format!("GNGGA,{time},{lat},N,02456.4000,E,2,09,0.9,31.5,M,17.0,M,,"))
}

fn vtg() -> String {
    line("GNVTG,90.5,T,,M,10.0,N,18.5,K,A")
}

#[tokio::test(start_paused = true)]
async fn the_sentences_of_one_moment_are_one_fix() {
    let input = rmc("120000.00", "6010.2000", "020326") + &gga("120000.00", "6010.2000") + &vtg();
    let (fixes, counts) = read(&input);
    let [fix] = &fixes[..] else { panic!("{fixes:?}") };
    assert_eq!(fix.time, "2026-03-02T12:00:00Z".parse::<WallTime>().expect("a time"));
    assert!((fix.position.lat() - 60.17).abs() < 1e-9 && (fix.position.lon() - 24.94).abs() < 1e-9);
    assert!(fix.speed.is_some_and(|speed| (speed.value() - 5.144).abs() < 1e-3));
    assert_eq!(fix.heading.map(|heading| heading.value()), Some(90.5));
    assert_eq!(fix.altitude.map(|altitude| altitude.value()), Some(31.5));
    assert!(fix.accuracy.is_some_and(|accuracy| (accuracy.value() - 1.8).abs() < 1e-6));
    assert_eq!((fix.satellites, fix.flags), (Some(9), FixFlags::DIFFERENTIAL));
    assert_eq!((counts.fixes, counts.sentences), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_known_cycle_needs_no_wait_and_an_unknown_one_a_pause() {
    let (mut reader, mut fixes) = (NmeaReader::new(), Vec::new());
    let now = Instant::now();
    let cycle = |second: u32| {
        let time = format!("1200{second:02}.00");
        rmc(&time, "6010.2000", "020326") + &gga(&time, "6010.2000")
    };
    reader.push(now, cycle(0).as_bytes(), &mut fixes);
    assert_eq!(fixes.len(), 0);
    assert_eq!(reader.poll_timeout(), Some(now + Duration::from_millis(300)));
    reader.handle_timeout(now + Duration::from_millis(300), &mut fixes);
    assert_eq!(fixes.len(), 1);
    let cycle = cycle(1);
    let (start, end) = cycle.split_at(40);
    reader.push(now + Duration::from_secs(1), start.as_bytes(), &mut fixes);
    reader.push(now + Duration::from_secs(1), end.as_bytes(), &mut fixes);
    assert_eq!((fixes.len(), reader.poll_timeout()), (2, None));
    // A VTG that turns up behind the fix makes the next cycle wait for its own.
    reader.push(now + Duration::from_secs(1), vtg().as_bytes(), &mut fixes);
    reader.push(now + Duration::from_secs(2), cycle.replace("120001", "120002").as_bytes(), &mut fixes);
    assert_eq!(fixes.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_vtg_before_its_cycle_gives_the_speed() {
    let zda = line("GPZDA,120000.00,02,03,2026,,");
    let (fixes, _) = read(&(vtg() + &gga("120000.00", "6010.2000") + &zda));
    assert!(fixes[0].speed.is_some());
    assert_eq!(fixes[0].time.to_string(), "2026-03-02T12:00:00Z");
}

#[tokio::test(start_paused = true)]
async fn the_date_rolls_over_at_midnight_without_a_new_one() {
    let input = rmc("235959.00", "6010.2000", "280226") + &gga("000000.00", "6010.2000");
    let (fixes, _) = read(&input);
    let times: Vec<_> = fixes.iter().map(|fix| fix.time.to_string()).collect();
    assert_eq!(times, ["2026-02-28T23:59:59Z", "2026-03-01T00:00:00Z"]);
}

#[tokio::test(start_paused = true)]
async fn an_impossible_step_is_marked_there_and_back() {
    let input = rmc("120000.00", "6010.2000", "020326")
        + &rmc("120001.00", "6010.2500", "020326")
        + &rmc("120002.00", "6110.2500", "020326")
        + &rmc("120003.00", "6010.2500", "020326")
        + &rmc("120004.00", "6010.3000", "020326");
    let marked: Vec<_> = read(&input).0.iter().map(|fix| fix.flags.contains(FixFlags::JUMP)).collect();
    assert_eq!(marked, [false, false, true, true, false]);
}

#[tokio::test(start_paused = true)]
async fn what_is_skipped_is_counted_by_reason() {
    let check = |input: &str, reason: &str| {
        let (fixes, counts) = read(input);
        let skipped: Vec<_> = counts.skipped().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!((fixes.len(), &skipped[..]), (0, &[(reason, 1)][..]), "{input:?}");
    };
    let good = rmc("120000.00", "6010.2000", "020326");
    check(&good.replace("6010.2", "6010.3"), "bad_checksum");
    check(
        good.split('*').next().map(|body| format!("{body}\r\n")).as_deref().unwrap_or_default(),
        "bad_checksum",
    );
    check(&format!("${}\r\n", "x".repeat(500)), "too_long");
    check("\u{1}\u{2}UBX noise\r\n", "not_nmea");
    check(&rmc("12zz00.00", "6010.2000", "020326"), "unparsed");
    check(&rmc("120000.00", "6010.2000", "020326").replace("*", "\u{80}*"), "not_nmea");
    check(&line("GPRMC,120000.00,V,,,,,,,020326,,,N"), "no_fix");
    check(&line("GPRMC,,V,,,,,,,,,,N"), "no_fix");
    check(&line("GPGGA,120000.00,6010.2,N,02456.4,E,8,09,0.9,31.5,M,17.0,M,,"), "no_fix");
    check(&gga("120000.00", "6010.2000"), "no_date");
    check(&rmc("120000.00", "9910.2000", "020326"), "out_of_range");
}

#[tokio::test(start_paused = true)]
async fn the_first_moment_waits_for_its_date() {
    // The first RMC is lost on the way, so that a cycle looks like a GGA alone.
    let text = [
        gga("120000.00", "6010.2000"),
        gga("120001.00", "6010.2001"),
        rmc("120001.00", "6010.2001", "020326"),
    ];
    let (fixes, counts) = read(&text.concat());
    assert_eq!((fixes.len(), counts.no_date, counts.late), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_cut_off_costs_only_itself() {
    let good = rmc("120000.00", "6010.2000", "020326");
    let (fixes, counts) = read(&format!("{}{good}", &good[..30]));
    assert_eq!((fixes.len(), counts.not_nmea), (1, 1));
    // The beginning is missing: what the port gave before the tracker listened.
    let (fixes, counts) = read(&format!("{}{good}", &good[30..]));
    assert_eq!((fixes.len(), counts.not_nmea), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_last_line_without_its_end_counts_if_its_checksum_is_right() {
    let whole = rmc("120000.00", "6010.2000", "020326");
    let (fixes, counts) = read(whole.trim_end());
    assert_eq!((fixes.len(), counts.cut_off), (1, 0));
    let (fixes, counts) = read(&format!("{whole}{}", &whole[..40]));
    assert_eq!((fixes.len(), counts.cut_off), (1, 1));
    assert!(counts.skipped().contains(&("cut_off", 1)));
}

#[tokio::test(start_paused = true)]
async fn dead_reckoning_is_marked_and_has_no_accuracy() {
    let estimated = gga("120000.00", "6010.2000").replace(",E,2,", ",E,6,");
    let body = estimated.trim_start_matches('$').split('*').next().expect("a body").to_owned();
    let (fixes, _) = read(&(line("GPZDA,120000.00,02,03,2026,,") + &line(&body)));
    assert_eq!((fixes[0].flags, fixes[0].accuracy), (FixFlags::ESTIMATED, None));
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_are_survived(
        pieces in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..80),
                "G[NP](RMC|GGA|VTG|ZDA),[-0-9.,NSEWAVDM]{0,70}".prop_map(|body| line(&body).into_bytes()),
                Just(rmc("120000.00", "6010.2000", "020326").into_bytes()),
            ],
            0..30,
        ),
        cut in 1..50usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let _guard = runtime.as_ref().expect("a runtime").enter();
        let bytes = pieces.concat();
        let now = Instant::now();
        let run = |cut: usize| {
            let (mut reader, mut fixes) = (NmeaReader::new(), Vec::new());
            bytes.chunks(cut).for_each(|piece| reader.push(now, piece, &mut fixes));
            reader.finish(now, &mut fixes);
            (fixes, *reader.counts())
        };
        prop_assert_eq!(run(cut), run(bytes.len().max(1)));
    }
}
