//! `twin bite`: plants bugs, one at a time, and sees whether the oracles find them. Built only with the feature `bite`.
//!
//! The sweep that looks for a bug does not know its name: it sees a run that fails, as it would for a bug of our own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use drover_harness::report::Verdict;
use drover_harness::run as harness_run;
use drover_harness::scenario::Scenario;
use drover_harness::sweep::Cause;
use drover_world::Roads;

use crate::cli::{BiteArgs, SeedRange};
use crate::run::{INTERRUPT, stop, virtual_only, watch_interrupt};
use crate::shrink::{Runner, Shrunk};
use crate::stopwatch::Stopwatch;
use crate::sweep::Sweep;
use crate::{Stop, complain, files, show};

/// Where the report on all bugs goes.
const REPORT: &str = "reports/bite.md";
/// Faults that may be left of a failing run: with more of them nobody sees why it fails.
const FAULTS_MAX: usize = 3;

/// A bug that can be planted: its name, and what it is.
type Bug = (&'static str, &'static str);

/// Every bug, by the scenario that has what it needs to show. Those of the first are looked for where `--scenario` says.
const BUGS: [(&str, &[Bug]); 10] = [
    // Everything fails in its turn.
    (
        "chaos",
        &[
            ("ack_before_commit", "persistence answers before the transaction has committed"),
            ("outage_taken_as_stored", "persistence takes a refused connection for a commit"),
            ("unknown_taken_as_stored", "persistence takes a lost answer for a commit"),
            (
                "duplicate_refused",
                "persistence refuses a fix that is stored already, as if its identity had been used again",
            ),
            ("dedupe_off", "the table has no unique index"),
            ("deadline_taken_as_answer", "the bus takes a call that nobody answered in time for answered"),
            (
                "answer_to_another",
                "the bus hands an answer to the newest call that waits, whatever it answers",
            ),
            ("ack_without_outcome", "the gateway acknowledges a batch that was not persisted"),
            ("ack_off_by_one", "the gateway acknowledges the fix after the batch too"),
            (
                "ack_ignores_gaps",
                "the gateway acknowledges from the first to the last, whatever is missing between",
            ),
            ("spool_freed_when_sent", "the tracker forgets a fix when it is sent"),
            ("never_resent", "the tracker does not send again what was never answered"),
            ("credit_ignored", "the tracker sends backlog without credit"),
            ("sync_skipped", "the tracker counts a fix as recorded before it is on disk"),
            ("good_fix_refused", "the gateway refuses one fix in a hundred as too old"),
            ("shed_with_room", "the tracker drops its oldest segment although its spool has room"),
            ("refusal_taken_as_ack", "the tracker takes a refusal for a durable ack"),
            (
                "torn_tail_accepted",
                "the tracker leaves a half-written record where it is, and writes behind it",
            ),
            ("backlog_newest_first", "the tracker sends the newest of its backlog first"),
            (
                "random_reset_key",
                "a gateway that comes back can not tell its vehicles that it has forgotten them",
            ),
            ("drain_ignored", "the gateway goes on when it is told to stop"),
            ("servers_swapped", "a router sends each gateway's packets to the next one"),
            ("shim_trusted_from_anyone", "a gateway believes anyone whom a packet is from, whatever the tag"),
            ("nonce_reused", "a gateway counts its connection ids from zero each time it starts"),
            ("snapshot_never_refreshed", "a service believes the first news of health agents for ever"),
            ("epoch_not_changed", "a spool that may have lost its end begins anew under the same epoch"),
        ],
    ),
    // A gateway is lost for a minute.
    ("scale_out", &[("dead_node_kept", "a health agent goes on calling healthy what is dead")]),
    // Gateways are closed.
    (
        "rolling_restart",
        &[("draining_given_new", "a router gives new vehicles to gateways that take nothing new")],
    ),
    // Vans bring orders.
    (
        "deliveries",
        &[
            (
                "lost_command_taken_as_done",
                "persistence takes a lost answer about an order for a change that was made",
            ),
            ("command_forgotten", "the database does not know a command that was there before"),
            ("any_step_taken", "the database lets any state of an order follow any other"),
        ],
    ),
    // Vehicles are told something, and can not always be reached.
    (
        "downlink",
        &[
            ("applied_forgotten", "a tracker forgets in a crash which commands it has carried out"),
            ("expiry_ignored", "a tracker carries out a command whose time is over"),
            (
                "delivered_taken_as_applied",
                "a gateway takes a command that a tracker has for one that it has carried out",
            ),
        ],
    ),
    // Vehicles ask for routers.
    ("dns_loss", &[("dead_node_answered", "a DNS server names routers that are dead")]),
    // What was published comes late, and a hub comes back without its clients.
    (
        "hub_loss",
        &[
            ("older_fix_wins", "a hub shows the fix that came last, however old it is"),
            ("lease_never_expires", "a gateway sends a hub for ever what an earlier life of it wanted"),
        ],
    ),
    // Clients do not read, and share links begin and end.
    (
        "lunch_rush",
        &[
            ("slow_client_blocks", "a hub tells nobody anything while one client does not read"),
            ("share_link_too_wide", "a hub shows whoever comes by a share link what a dispatcher sees"),
        ],
    ),
    // Vehicles stand.
    (
        "parked",
        &[(
            "stored_never_asked",
            "a hub does not ask what is stored of a vehicle that somebody comes to watch",
        )],
    ),
    // Agents die in the middle of their answers.
    (
        "questions",
        &[(
            "asked_again",
            "a hub asks another agent when one dies in the middle of its answer, and passes on both",
        )],
    ),
];

/// What became of one bug.
enum Outcome {
    /// An invariant was broken, and little is left of the run.
    Found(String),
    /// Nothing saw it, or more than [`FAULTS_MAX`] faults are left.
    Missed(String),
    /// Somebody ended it.
    Interrupted,
}

/// Where a bug is looked for.
struct Ground {
    scenario: Scenario,
    path: PathBuf,
    roads: Arc<Roads>,
}

impl Ground {
    fn read(which: &Path) -> Result<Self, Stop> {
        let (scenario, path) = files::read(which)?;
        virtual_only(&scenario, &path)?;
        let roads = harness_run::roads(&scenario, &path.display().to_string()).map_err(stop)?;
        Ok(Self { scenario, path, roads })
    }
}

/// Plants every bug and reports what found it. Returns the exit code.
pub(crate) fn bite(args: &BiteArgs) -> Result<u8, Stop> {
    let bugs = chosen(args.only.as_deref())?;
    let usual = BUGS[0].0;
    let mut grounds = BTreeMap::new();
    for (scenario, _) in &bugs {
        if !grounds.contains_key(scenario) {
            let which = if *scenario == usual { &args.scenario } else { Path::new(scenario) };
            grounds.insert(*scenario, Ground::read(which)?);
        }
    }
    watch_interrupt();
    let (mut rows, mut missed) = (String::new(), 0);
    for (scenario, (name, what)) in &bugs {
        let watch = Stopwatch::start();
        let ground = &grounds[scenario];
        let (head, row) = match look_for(name, ground, args.seeds) {
            Outcome::Found(row) => ("FOUND ", row),
            Outcome::Missed(row) => {
                missed += 1;
                ("MISSED", row)
            }
            Outcome::Interrupted => {
                show(&format!("INTERRUPTED  at {name}: no report is written\n"));
                return Ok(Verdict::Interrupted.exit_code());
            }
        };
        complain(&format!("{head}  {name} | {row} {:.0} s", watch.wall().as_secs_f64()));
        rows += &(format!("| `{name}` | {what} | `{}` | {row}", ground.scenario.name) + "\n");
    }
    let found = format!("{} of {} bugs found", bugs.len() - missed, bugs.len());
    // The table of all is not overwritten with a single row of it.
    let whole = args.only.is_none().then_some(Path::new(REPORT));
    match args.out.as_deref().or(whole) {
        Some(out) => {
            let (folder, name) =
                (out.parent().unwrap_or(Path::new(".")), out.file_name().unwrap_or_default());
            files::write(folder, &name.to_string_lossy(), &report(&rows))?;
            show(&format!("{found}; {}\n", out.display()));
        }
        None => show(&format!("{found}\n")),
    }
    Ok(u8::from(missed > 0))
}

/// Plants one bug, runs seed by seed until an invariant breaks, and shrinks that run. A run that only fails of the harness, or
/// says too little, has found nothing. The outcome is the rest of the bug's row.
fn look_for(name: &str, ground: &Ground, seeds: SeedRange) -> Outcome {
    let Ground { scenario, path, roads } = ground;
    let sweep = Sweep::new(scenario, path, roads.clone(), seeds).planting(name);
    let found = sweep.first_broken();
    if INTERRUPT.load(Ordering::Relaxed) {
        return Outcome::Interrupted;
    }
    let Some((tried, seed)) = found else {
        return Outcome::Missed(format!("none of {} | | |", seeds.len()));
    };
    let file = path.display().to_string();
    let runner = Runner { file: &file, roads, planted: Some(name), interrupt: &INTERRUPT };
    let failing = sweep.day(seed);
    let first = runner.run(&failing);
    let cause = first.cause.clone().unwrap_or(Cause::Invalid);
    let Shrunk { small, interrupted, .. } = runner.smallest(&failing, first, &cause, &mut |_, _, _| true);
    if interrupted {
        return Outcome::Interrupted;
    }
    let (faults, vehicles) = (small.faults.len(), small.vehicles_len());
    let row =
        format!("{tried} | {cause} | {faults} faults, {vehicles} vehicles, {} s |", small.duration.as_secs());
    if faults > FAULTS_MAX { Outcome::Missed(row) } else { Outcome::Found(row) }
}

fn report(rows: &str) -> String {
    format!(
        "# Planted bugs\n\nGenerated by `just bite`: each bug is planted in turn, a scenario that has what it needs is run seed by seed until an oracle\n\
         fails, and the run is shrunk as long as it fails for the same cause. At most {FAULTS_MAX} faults may be left.\n\n\
         | bug | what it does | scenario | seeds needed | found by | left of it |\n|---|---|---|---|---|---|\n{rows}"
    )
}

/// All bugs with their scenarios, or the one that is asked for.
fn chosen(only: Option<&str>) -> Result<Vec<(&'static str, Bug)>, Stop> {
    let all = || BUGS.iter().flat_map(|(scenario, bugs)| bugs.iter().map(|bug| (*scenario, *bug)));
    let bugs: Vec<_> = all().filter(|(_, (name, _))| only.is_none_or(|only| only == *name)).collect();
    if bugs.is_empty() {
        let names = all().map(|(_, (name, _))| name).collect::<Vec<_>>().join(", ");
        return Err(Stop::Usage(format!(
            "--only {}: there is no such bug; there are {names}",
            only.unwrap_or_default()
        )));
    }
    Ok(bugs)
}
