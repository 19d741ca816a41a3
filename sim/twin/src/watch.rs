//! `twin watch`: a scenario in real time, with pages to look at.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;

use drover_harness::scenario::Roads;
use drover_load::watch::{Options, Seen, watch as run};

use crate::cli::WatchArgs;
use crate::load::stopped;
use crate::run::{INTERRUPT, prepare, watch_interrupt};
use crate::{Stop, complain, files, show};

/// Runs until Ctrl-C.
pub(crate) fn watch(args: &WatchArgs) -> Result<(), Stop> {
    let (mut scenario, path) = files::load(&args.which)?;
    if let Some(vehicles) = args.vehicles {
        let all = scenario.vehicles_len().max(1);
        for group in &mut scenario.vehicles {
            // Of each kind as many as there were of it, of all.
            let share = u64::from(group.count) * u64::from(vehicles) / u64::from(all);
            group.count = u32::try_from(share).unwrap_or(u32::MAX).max(1);
        }
    }
    let extract = match &scenario.world.roads {
        Roads::OsmPbf(extract) => {
            let read = std::fs::read(extract);
            Some(read.map_err(|error| Stop::Usage(format!("read {}: {error}", extract.display())))?)
        }
        Roads::Grid(_) | Roads::City(_) => None,
    };
    let file = path.display().to_string();
    let roads = prepare(&scenario, &file, args.quiet)?;
    watch_interrupt();
    let tell = |pages: &[SocketAddr]| {
        for addr in pages {
            show(&format!(
                "http://{addr}/sign-in      {} vehicles of {}; Ctrl-C ends it\n",
                scenario.vehicles_len(),
                scenario.name
            ));
        }
        show(
            "Everything is in this process and in memory. Faults happen when the dispatcher strikes them, on the page.\n",
        );
    };
    let live = !args.quiet && std::io::stderr().is_terminal();
    let progress = |seen: &Seen| {
        if live {
            let [recorded, durable] = seen.fixes;
            let line = format!(
                "\r{:>6} s  {recorded} fixes recorded, {durable} durable, {} watching ",
                seen.now.as_secs(),
                seen.watchers
            );
            drop(std::io::stderr().write_all(line.as_bytes()));
        }
    };
    let options = Options {
        roads,
        file: &file,
        extract: extract.as_deref(),
        listen: args.listen,
        interrupt: &INTERRUPT,
        ready: &mut { tell },
        progress: &mut { progress },
    };
    run(&scenario, options).map_err(stopped)?;
    if live {
        complain("");
    }
    Ok(())
}
