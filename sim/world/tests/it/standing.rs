//! Standing receivers: the error that a recording shows, about its own middle, against that of the world's receivers.
//!
//! Nobody knows where a recorded receiver really stood, so what can be compared is how far its fixes lie from their
//! median position, over a window of the same length. `tests/peers/receiver_error.py` works out the same from the
//! sentences, without any code of ours, and prints it recording by recording.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use drover_model::WallTime;
use drover_world::{Fleet, Grade, RadioSpec, ReceiverSpec, Roads, Talker, World, WorldSpec};

/// Recordings shorter than this say nothing of how an error moves.
const FIXES_MIN: usize = 10;
const SPAN_MIN_S: f64 = 9.0;
const INTERVAL_MAX_S: f64 = 2.0;
/// One that ever says that it is faster does not stand, in m/s.
const SPEED_MAX_MPS: f64 = 1.0;
/// One that repeats its position this often holds it.
const HOLDS_FROM: f64 = 0.5;
/// One with a mean dilution beyond has a bad place or a bad antenna.
const WEAK_FROM_HDOP: f64 = 1.8;
/// How far ours may be off.
const TOLERANCE: f64 = 0.2;
/// Below this both are nothing: a hundredth of what a sentence can say.
const NOTHING_M: f64 = 0.002;

const METRES_PER_DEGREE: f64 = 111_195.0;
/// As many windows of a receiver as count, so that short recordings are held against more than a handful.
const WINDOWS_MAX: usize = 12;
const RECEIVERS: u32 = 200;

/// A standing receiver's recording.
struct Recording {
    name: String,
    grade: Grade,
    /// Metres east and north of anywhere.
    places: Vec<(f64, f64)>,
}

/// Latitude, longitude, seconds of the day and dilution of a GGA with a fix of satellites alone or corrected; or the
/// speed of an RMC or VTG.
enum Said {
    Fix(f64, f64, f64, Option<f64>),
    OtherFix,
    Speed(f64),
}

fn parse(line: &str) -> Option<Said> {
    let (body, sum) = line.get(line.rfind('$')? + 1..)?.trim_end().rsplit_once('*')?;
    let found = body.bytes().fold(0, |sum, byte| sum ^ byte);
    if u8::from_str_radix(sum.get(..2)?, 16).ok()? != found {
        return None;
    }
    let fields: Vec<&str> = body.split(',').collect();
    let knots = |at: usize| fields.get(at)?.parse::<f64>().ok().map(|knots| Said::Speed(knots * 0.5144));
    match fields[0].get(2..)? {
        "RMC" if fields.get(2) == Some(&"A") => knots(7),
        "VTG" => knots(5),
        "GGA" if matches!(*fields.get(6)?, "1" | "2") => {
            let angle = |at: usize, digits: usize| -> Option<f64> {
                let (degrees, minutes) = fields.get(at)?.split_at_checked(digits)?;
                let angle = degrees.parse::<f64>().ok()? + minutes.parse::<f64>().ok()? / 60.0;
                Some(if matches!(fields[at + 1], "S" | "W") { -angle } else { angle })
            };
            let time: f64 = fields[1].parse().ok()?;
            let (hours, minutes) = ((time / 1e4).floor(), (time / 100.0).floor() % 100.0);
            let seconds = hours * 3600.0 + minutes * 60.0 + time % 100.0;
            Some(Said::Fix(angle(2, 2)?, angle(4, 3)?, seconds, fields.get(8)?.parse().ok()))
        }
        "GGA" if !matches!(*fields.get(6)?, "" | "0") => Some(Said::OtherFix),
        _ => None,
    }
}

/// Reads a recording; `None` if its receiver moves, or says too little.
fn recording(name: &str, text: &str) -> Option<Recording> {
    let (mut fixes, mut dilutions, mut fastest) = (Vec::new(), Vec::new(), 0.0_f64);
    for said in text.lines().filter_map(parse) {
        match said {
            Said::Fix(lat, lon, seconds, hdop) => {
                if fixes.last().is_none_or(|&(_, _, before)| before != seconds) {
                    fixes.push((lat, lon, seconds));
                    dilutions.extend(hdop);
                }
            }
            Said::OtherFix => return None,
            Said::Speed(mps) => fastest = fastest.max(mps),
        }
    }
    let (first, last) = (fixes.first()?, fixes.last()?);
    let span_s = last.2 - first.2;
    let interval_s = span_s / (fixes.len() - 1) as f64;
    if fixes.len() < FIXES_MIN
        || span_s < SPAN_MIN_S
        || interval_s > INTERVAL_MAX_S
        || fastest >= SPEED_MAX_MPS
    {
        return None;
    }
    let repeats = fixes.windows(2).filter(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1)).count();
    let hdop = dilutions.iter().sum::<f64>() / dilutions.len() as f64;
    let grade = if repeats as f64 >= HOLDS_FROM * (fixes.len() - 1) as f64 {
        Grade::Held
    } else if hdop >= WEAK_FROM_HDOP {
        Grade::Weak
    } else {
        Grade::Modern
    };
    let east_m = METRES_PER_DEGREE * first.0.to_radians().cos();
    let place = |fix: &(f64, f64, f64)| ((fix.1 - first.1) * east_m, (fix.0 - first.0) * METRES_PER_DEGREE);
    Some(Recording { name: name.to_owned(), grade, places: fixes.iter().map(place).collect() })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// How far fixes lie from their median position.
fn errors(places: &[(f64, f64)]) -> Vec<f64> {
    let of = |part: fn(&(f64, f64)) -> f64| median(places.iter().map(part).collect());
    let middle = (of(|place| place.0), of(|place| place.1));
    places.iter().map(|place| (place.0 - middle.0).hypot(place.1 - middle.1)).collect()
}

/// The values below which these shares of the weight lie. Every set weighs the same, however many values it has.
fn quantiles<const N: usize>(sets: &[Vec<f64>], shares: [f64; N]) -> [f64; N] {
    let weigh = |set: &Vec<f64>| set.iter().map(|&value| (value, 1.0 / set.len() as f64)).collect::<Vec<_>>();
    let mut values: Vec<(f64, f64)> = sets.iter().flat_map(weigh).collect();
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    shares.map(|share| {
        let mut rest = share * sets.len() as f64;
        let found = values.iter().find(|(_, weight)| {
            rest -= weight;
            rest <= 0.0
        });
        found.or(values.last()).map_or(0.0, |(value, _)| *value)
    })
}

/// The world's receivers of a grade, standing under open sky: where each says that it is, second by second.
fn stand(grade: Grade, seconds: usize) -> Vec<Vec<(f64, f64)>> {
    let talker = if grade == Grade::Held { Talker::Sirf } else { Talker::Plain };
    let receiver = ReceiverSpec { grade, talker, open_sky: true, ..ReceiverSpec::default() };
    let mut world = World::new(WorldSpec {
        seed: 1,
        start: WallTime::from_secs(1_772_434_800),
        roads: Arc::new(Roads::grid(6, 6, 120.0)),
        fleets: vec![Fleet { count: RECEIVERS, receiver, ..Fleet::default() }],
        radio: RadioSpec::default(),
        nodes: Vec::new(),
        faults: Vec::new(),
        traffic: None,
    });
    world.park();
    let mut places = vec![Vec::new(); RECEIVERS as usize];
    for _ in 0..(seconds + 10) * 10 {
        world.step();
        for (vehicle, chunk) in world.outputs().nmea() {
            let text = std::str::from_utf8(chunk).expect("ASCII");
            if let Some(Said::Fix(lat, lon, ..)) = text.lines().find_map(|line| parse(line).filter(is_fix)) {
                let east_m = METRES_PER_DEGREE * 60.17_f64.to_radians().cos();
                places[vehicle as usize].push((lon * east_m, lat * METRES_PER_DEGREE));
            }
        }
    }
    places
}

fn is_fix(said: &Said) -> bool {
    matches!(said, Said::Fix(..))
}

fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= TOLERANCE * theirs || ours.max(theirs) < NOTHING_M
}

#[test]
fn receivers_err_as_standing_receivers_do() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/nmea");
    let Ok(entries) = folder.read_dir() else {
        println!("SKIP: no recordings in {}", folder.display());
        return;
    };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let mut recordings = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "log")) {
        #[expect(clippy::disallowed_methods, reason = "a test may read what is at hand")]
        let bytes = std::fs::read(path).expect("a readable file");
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        recordings.extend(recording(&name, &String::from_utf8_lossy(&bytes)));
    }
    assert!(recordings.len() >= 15, "only {} standing receivers", recordings.len());
    let mut wrong = String::new();
    for grade in [Grade::Modern, Grade::Held, Grade::Weak] {
        let of_grade: Vec<_> = recordings.iter().filter(|found| found.grade == grade).collect();
        let longest = of_grade.iter().map(|found| found.places.len()).max().unwrap_or_default();
        let standing = stand(grade, longest);
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for found in &of_grade {
            let len = found.places.len();
            let windows =
                standing.iter().flat_map(|places| places.chunks_exact(len).take(WINDOWS_MAX)).map(errors);
            let windows: Vec<_> = windows.collect();
            let [p50, p95] = quantiles(&[errors(&found.places)], [0.5, 0.95]);
            let of_windows = |share| {
                median(windows.iter().map(|set| quantiles(std::slice::from_ref(set), [share])[0]).collect())
            };
            let (our_p50, our_p95) = (of_windows(0.5), of_windows(0.95));
            println!(
                "{grade:?} {:26} {len:4} fixes  p50 {p50:6.3} p95 {p95:7.3}  ours {our_p50:6.3} {our_p95:7.3}",
                found.name
            );
            // The one that is long enough to be held against ours by itself.
            if len > 600 && !(close(our_p50, p50) && close(our_p95, p95)) {
                writeln!(wrong, "{}: {our_p50} {our_p95}, not {p50} {p95}", found.name).expect("a string");
            }
            theirs.push(errors(&found.places));
            ours.push(windows.concat());
        }
        let ([p50, p95], [our_p50, our_p95]) =
            (quantiles(&theirs, [0.5, 0.95]), quantiles(&ours, [0.5, 0.95]));
        println!("{grade:?} together: p50 {p50:.3} p95 {p95:.3}  ours {our_p50:.3} {our_p95:.3}");
        if !(close(our_p50, p50) && close(our_p95, p95)) {
            writeln!(wrong, "{grade:?}: {our_p50} {our_p95}, not {p50} {p95}").expect("a string");
        }
    }
    assert!(wrong.is_empty(), "more than {} % off:\n{wrong}", TOLERANCE * 100.0);
}
