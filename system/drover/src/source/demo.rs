//! A receiver for a cluster that has no vehicle yet: it drives a round through the middle of Helsinki, for ever.

use std::time::Duration;

use bytes::Bytes;
use drover_env::real::wall;
use drover_model::WallTime;
use drover_tracker::Arrived;
use tokio::sync::mpsc;

/// Corners of the round, latitude and longitude in degrees: from Senate Square along the harbour and back by Esplanadi.
const ROUND: [(f64, f64); 6] = [
    (60.169_50, 24.952_30),
    (60.169_10, 24.957_90),
    (60.167_40, 24.957_30),
    (60.167_20, 24.952_20),
    (60.167_80, 24.944_40),
    (60.169_20, 24.944_90),
];
/// About 31 km/h.
const SPEED_MPS: f64 = 8.6;
const METRES_PER_DEGREE: f64 = 111_320.0;
const KNOTS_PER_MPS: f64 = 1.943_844;
const INTERVAL: Duration = Duration::from_secs(1);

/// Writes sentences once a second, until nobody listens.
pub(super) fn drive(send: &mpsc::Sender<Arrived<Bytes>>) {
    let mut driven_m = 0.0;
    loop {
        let text = sentences(wall(), driven_m);
        if send.blocking_send(Arrived::now(Bytes::from(text))).is_err() {
            return;
        }
        std::thread::sleep(INTERVAL);
        driven_m += SPEED_MPS * INTERVAL.as_secs_f64();
    }
}

/// Where the round is after so many metres: latitude, longitude, and direction in degrees.
fn place(driven_m: f64) -> (f64, f64, f64) {
    let legs = ROUND.iter().zip(ROUND.iter().cycle().skip(1));
    let measured: Vec<_> = legs
        .map(|(from, to)| {
            let north = (to.0 - from.0) * METRES_PER_DEGREE;
            let east = (to.1 - from.1) * METRES_PER_DEGREE * from.0.to_radians().cos();
            (from, to, north.hypot(east), east.atan2(north).to_degrees().rem_euclid(360.0))
        })
        .collect();
    let mut left = driven_m % measured.iter().map(|leg| leg.2).sum::<f64>();
    for (from, to, length, heading) in &measured {
        if left <= *length {
            let share = left / length;
            return (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share, *heading);
        }
        left -= length;
    }
    (ROUND[0].0, ROUND[0].1, 0.0)
}

/// RMC and GGA of one second.
fn sentences(now: WallTime, driven_m: f64) -> String {
    let (lat, lon, heading) = place(driven_m);
    let angle = |degrees: f64, width: usize| {
        let (whole, minutes) = (degrees.trunc(), degrees.fract() * 60.0);
        format!("{whole:0width$.0}{minutes:07.4}")
    };
    let (lat, lon) = (angle(lat, 2), angle(lon, 3));
    // "2026-03-02T07:00:00Z"; whole seconds, as the receiver counts them.
    let text = WallTime::from_micros(now.as_secs() * 1_000_000).to_string();
    let digits = |from: usize| text.get(from..from + 2).unwrap_or("00");
    let time = format!("{}{}{}.00", digits(11), digits(14), digits(17));
    let date = format!("{}{}{}", digits(8), digits(5), digits(2));
    let knots = SPEED_MPS * KNOTS_PER_MPS;
    [
        format!("GPRMC,{time},A,{lat},N,{lon},E,{knots:.1},{heading:.1},{date},,,A"),
        format!("GPGGA,{time},{lat},N,{lon},E,1,10,0.9,12.0,M,17.0,M,,"),
    ]
    .map(|body| format!("${body}*{:02X}\r\n", body.bytes().fold(0, |sum, byte| sum ^ byte)))
    .concat()
}

#[cfg(test)]
mod tests {
    use drover_tracker::NmeaReader;
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn the_round_is_driven_at_one_speed_and_comes_back() {
        let start: WallTime = "2026-03-02T07:00:00.4Z".parse().expect("a time");
        let (mut reader, mut fixes) = (NmeaReader::new(), Vec::new());
        let origin = Instant::now();
        for second in 0..300u64 {
            let later = Duration::from_secs(second);
            let text = sentences(start.plus(later), SPEED_MPS * second as f64);
            reader.push(origin + later, text.as_bytes(), &mut fixes);
        }
        reader.finish(origin + Duration::from_secs(300), &mut fixes);
        assert_eq!(fixes.len(), 300);
        assert_eq!(fixes[0].time.to_string(), "2026-03-02T07:00:00Z");
        for pair in fixes.windows(2) {
            let (from, to) = (pair[0].position, pair[1].position);
            let north = (to.lat() - from.lat()) * METRES_PER_DEGREE;
            let east = (to.lon() - from.lon()) * METRES_PER_DEGREE * 0.497;
            assert!(north.hypot(east) < SPEED_MPS * 1.1, "{from:?} {to:?}");
        }
        let turned: std::collections::BTreeSet<u64> =
            fixes.iter().filter_map(|fix| fix.heading).map(|heading| heading.value() as u64).collect();
        assert_eq!(turned.len(), ROUND.len());
    }
}
