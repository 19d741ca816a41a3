//! Measures traffic, for who wants to hold it against something else. Prints one line of numbers for each measurement.
//!
//! `traffic_lab ring LENGTH_M LIMIT_MPS VEHICLE_M HEADWAY_S GAP_M ACCELERATION BRAKING GREEN_S AMBER_S RED_S WARM_UP_S
//! MEASURE_S VEHICLES...` prints vehicles, density per km, flow per hour, speed in m/s, mean queue at the end of red, and
//! the smallest gap in metres. Three zeros for the signal's times mean no signal.

use std::error::Error;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use drover_world::lab::Ring;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((what, rest)) if what == "ring" => ring(rest),
        _ => Err("say what to measure: ring, with its numbers as the source says".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("traffic_lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn number<T: FromStr>(arguments: &[String], index: usize) -> Result<T, Box<dyn Error>> {
    let text = arguments.get(index).ok_or_else(|| format!("number {} is missing", index + 1))?;
    text.parse().map_err(|_| format!("{text:?}, number {}, is none of the kind wanted", index + 1).into())
}

fn ring(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let signal_s = (number(arguments, 7)?, number(arguments, 8)?, number(arguments, 9)?);
    let (warm_up, measure) = (number(arguments, 10)?, number(arguments, 11)?);
    for index in 12..arguments.len() {
        let ring = Ring {
            length_m: number(arguments, 0)?,
            limit_mps: number(arguments, 1)?,
            vehicles: number(arguments, index)?,
            vehicle_m: number(arguments, 2)?,
            headway_s: number(arguments, 3)?,
            gap_m: number(arguments, 4)?,
            acceleration: number(arguments, 5)?,
            braking: number(arguments, 6)?,
            signal_s: (signal_s != (0, 0, 0)).then_some(signal_s),
        };
        let mut run = ring.start().ok_or("so many vehicles do not fit")?;
        run.warm_up(Duration::from_secs(warm_up));
        let found = run.measure(Duration::from_secs(measure));
        println!(
            "{} {:.3} {:.2} {:.4} {:.2} {:.3}",
            ring.vehicles,
            found.density_per_km,
            found.flow_per_h,
            found.speed_mps,
            found.queue,
            found.gap_min_m
        );
    }
    Ok(())
}
