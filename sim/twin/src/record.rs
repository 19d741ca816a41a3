//! `twin record`: one drive of a scenario's world, as a folder that `replay` takes.

use std::path::Path;

use drover_harness::record::{self as harness_record, Drive};
use drover_harness::run as harness_run;
use drover_harness::scenario::Scenario;

use crate::cli::{RecordArgs, Which};
use crate::run::{COMMIT, stop};
use crate::{Stop, files, show};

/// Records a drive and says where it is.
pub(crate) fn record(args: &RecordArgs) -> Result<(), Stop> {
    let (scenario, path) = files::load(&args.which)?;
    let count = scenario.vehicles_len();
    if args.vehicle >= count {
        let last = count.saturating_sub(1);
        let message =
            format!("no vehicle {} in {}: its vehicles are 0 to {last}", args.vehicle, path.display());
        return Err(Stop::Usage(message));
    }
    let file = path.display().to_string();
    let roads = harness_run::roads(&scenario, &file).map_err(stop)?;
    let drive = harness_record::record(&scenario, roads, &file, args.vehicle).map_err(stop)?;
    let note = note(&scenario, &path, args, &drive);
    let mut written = vec![("drive.nmea", drive.nmea.as_slice()), ("truth.jsonl", drive.truth.as_bytes())];
    if drive.frames > 0 {
        written.push(("drive.can", &drive.can));
    }
    written.push(("README.md", note.as_bytes()));
    files::write_all(&args.out, &written, "--out DIR")?;
    show(&format!(
        "{}: {} fixes, {} frames, {:.0} m in {} s\n",
        args.out.display(),
        drive.fixes,
        drive.frames,
        drive.odometer_m,
        scenario.duration.as_secs_f64(),
    ));
    Ok(())
}

/// Where the drive comes from, so that whoever finds it can make it again.
fn note(scenario: &Scenario, path: &Path, args: &RecordArgs, drive: &Drive) -> String {
    let Which { until, .. } = &args.which;
    let until = until.map(|until| format!(" --until {}", until.as_secs_f64())).unwrap_or_default();
    let command = format!(
        "cargo run --release -- record {} --seed {}{until} --vehicle {} --out {}",
        path.display(),
        scenario.seed,
        args.vehicle,
        args.out.display()
    );
    let can = match drive.frames {
        0 => "There was nothing on its bus.".to_owned(),
        frames => {
            format!("- `drive.can`: {frames} frames of its bus, as `candump -l` of can-utils writes them")
        }
    };
    let licence = match &drive.attribution {
        Some(attribution) => format!("\nThe drive follows roads of others: {attribution}\n"),
        None => String::new(),
    };
    format!(
        "# A drive of the twin\n\n\
         Vehicle {vehicle} of the scenario `{name}`, seed {seed}, from {start} for {seconds} s. Made, not recorded on a road:\n\n\
         ```sh\n{command}\n```\n\n\
         by the commit {COMMIT}. Another may drive otherwise; the same one writes the same bytes.{dirty}\n\n\
         - `drive.nmea`: what its receiver wrote, {fixes} fixes, {metres:.0} m driven\n\
         - `truth.jsonl`: where it really was and what its engine and driver did, second by second\n{can}\n{licence}",
        dirty = if COMMIT.ends_with("-dirty") { " It was changed: nobody else has that." } else { "" },
        vehicle = args.vehicle,
        name = scenario.name,
        seed = scenario.seed,
        start = scenario.world.start,
        seconds = scenario.duration.as_secs_f64(),
        fixes = drive.fixes,
        metres = drive.odometer_m,
    )
}
