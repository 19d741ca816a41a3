//! The metrics that a report has, by their dotted keys. What is not named here can have no gate.

use drover_model::Refusal;

/// Latencies, each with `count`, `p50`, `p90`, `p99`, `p999` and `max`, in milliseconds, counted from when the receiver
/// was due to give the fix.
pub const LATENCIES: [(&str, &str); 5] = [
    ("fix_to_durable", "until the tracker saw the durable ack"),
    ("fix_to_published", "until the live path delivered it to an observer"),
    ("fix_to_stored", "until its row was committed"),
    (
        "end_to_news",
        "from the end of a service until each that listens to health agents knew of it: of services, not of fixes",
    ),
    (
        "fix_to_watcher",
        "until a watcher that takes what it is told saw it, or a newer one in its place; what it began with does not count. With real processes from when the vehicle \
         was due to send it, of fixes that were due after the watcher came",
    ),
];

/// Latencies that only a run with real processes has.
pub const LIVE_LATENCIES: [(&str, &str); 5] = [
    (
        "send_due_to_durable",
        "from when the vehicle was due to send the fix, whatever cluster and generator did, until the tracker saw the durable ack",
    ),
    ("spared_calm", "the same, of fixes that were due before the first crash"),
    (
        "spared_struck",
        "the same, of fixes that were due within ten seconds of the end of a gateway or router, and of vehicles whose session no such end has cost",
    ),
    (
        "crash_to_resumed",
        "from when a service was seen to be gone until a vehicle that lost its session had one again",
    ),
    (
        "lost_to_watching",
        "from when a watcher that takes what it is told lost its hub until it saw a vehicle again",
    ),
];

/// Of whom a run with real processes measures the CPU time per durable fix.
pub const LIVE_CPU: [&str; 8] =
    ["router", "dns", "health", "gateway", "persistence", "hub", "database", "total"];

/// What watchers of a run with real processes are told, and what that costs: the medians of its windows.
pub const LIVE_WATCHING: [(&str, &str); 4] = [
    ("messages_per_s", "messages that watchers read"),
    ("positions_per_s", "positions in them"),
    ("hub_cpu_us_per_message", "CPU time of hubs for each message, in microseconds"),
    ("hub_cpu_us_per_position", "CPU time of hubs for each position, in microseconds"),
];

/// Reference loops of a run with real processes: what a gate may be reckoned from.
pub const REFERENCES: [(&str, &str); 6] = [
    ("bare_forward", "CPU time to receive a datagram of 200 bytes and send it on, in microseconds"),
    (
        "bare_quic_sink",
        "CPU time per fix of a bare QUIC server that answers each message with ten bytes, in microseconds: fixes share messages as \
         in the scenario",
    ),
    ("bare_copy", "rows per second of binary COPY alone, 5,000 to a transaction"),
    ("bare_copy_cpu", "CPU time of the database per row of it, in microseconds"),
    (
        "bare_fan_out",
        "CPU time per message of a bare WebSocket server that writes the same 300 bytes to one client after the other, in microseconds",
    ),
    ("fsync", "time to write 8 KiB and sync them, in milliseconds"),
];

/// Those that are CPU time, of which the services' can be multiples.
pub const CPU_REFERENCES: [&str; 4] = ["bare_forward", "bare_quic_sink", "bare_copy_cpu", "bare_fan_out"];

/// Of which services a run in which another build serves beside this one measures by how much a fix costs more in this one.
pub const BESIDE: [&str; 2] = ["gateway", "persistence"];

/// Name of what the same metric was in an accepted run.
pub const BASELINE: &str = "baseline";

/// Figures of one latency.
pub const LATENCY_FIGURES: [&str; 6] = ["count", "p50", "p90", "p99", "p999", "max"];

/// Rates: fixes that had got there when vehicles parked, divided by the seconds that they drove.
pub const THROUGHPUTS: [(&str, &str); 4] = [
    ("recorded_per_s", "fixes appended to a spool"),
    ("durable_per_s", "fixes whose durable ack the tracker saw"),
    ("stored_per_s", "fixes committed"),
    ("published_per_s", "fixes that the live path delivered"),
];

/// How vehicles got on, as it really was.
pub const DRIVING: [(&str, &str); 8] = [
    ("driven_km", "driven by all vehicles with a tracker"),
    ("standing_share", "of their time on the road, how much all vehicles stood: in traffic, 0 to 1"),
    ("queue_longest", "vehicles that stood in one lane between two junctions, at most"),
    ("pulled_over", "a vehicle was stuck for five minutes and let others pass"),
    ("harsh_braking", "a driver braked harder than 2.7 m/s²"),
    ("harsh_acceleration", "a driver sped up by more than 2.5 m/s²"),
    ("harsh_cornering", "a driver took a corner with more than 3.4 m/s² sideways"),
    ("speeding", "a driver went more than 3 km/h over the limit"),
];

/// What went from gateways to hubs.
pub const FANOUT: [(&str, &str); 3] = [
    ("fixes", "fixes that went live"),
    ("messages", "messages to hubs with them: each has all that a vehicle sent at once"),
    ("messages_per_fix", "the second divided by the first"),
];

/// Recovery paths and their causes: how often each was taken.
pub const EVENTS: [(&str, &str); 64] = [
    ("connect", "a vehicle's first session was set up"),
    ("reconnect", "a vehicle set up a session after it had lost one"),
    ("reconnect_most", "sessions that one vehicle lost, at most"),
    ("reconnect_untouched", "a vehicle lost a session with a gateway that nothing had happened to"),
    ("newcomer_session", "a gateway that had started while the run went on took a session"),
    ("newcomer_commit", "an agent that had started while the run went on committed rows"),
    ("migration", "a session went on from another address"),
    ("router_change", "a vehicle that heard nothing went on through another router"),
    ("lookup", "a vehicle learned from a DNS server where the routers are"),
    ("lookup_failed", "no DNS server told it"),
    ("ids_rotated", "a gateway turned to the next key of connection ids"),
    ("nat_rebind", "a vehicle's address translation started afresh behind its back"),
    ("device_sleep", "the device of a parked vehicle was switched off"),
    ("device_wake", "it was switched on again"),
    ("fix_falsified", "a receiver gave a fix that a fault had falsified"),
    ("gateway_crash", "a gateway ended without a goodbye"),
    ("node_crash", "any node ended without a goodbye"),
    ("node_restart", "a node started again"),
    ("batch_resent", "a tracker sent fixes again that were not acknowledged"),
    ("duplicate_dropped", "a fix arrived that was stored already, and was acknowledged again"),
    ("credit_withheld", "a gateway held back credit for backlog"),
    ("store_error", "the database refused or dropped a request"),
    ("store_failover", "another database took over"),
    ("commit_unknown", "the answer to a commit was lost"),
    ("bus_retry", "a call between services was made again"),
    ("dead_letter", "a fix was put aside because the store can not hold it"),
    ("refused", "a fix was refused for good"),
    ("shed", "a full spool dropped a fix"),
    ("torn_tail_cut", "a spool's half-written end was cut off after a crash"),
    ("disk_spoilt", "a fault emptied or damaged a vehicle's disk"),
    ("fix_lost", "a tracker found that damage to its spool had taken a fix"),
    ("epoch_abandoned", "a spool began a new epoch, since damage may have taken the end of the one before"),
    ("disk_error", "a tracker's disk did not write or read what it was asked to"),
    ("unrecorded", "a fix fell off the queue in front of a full disk before it was recorded"),
    ("stale_answer", "an answer came for an epoch that was settled and gone"),
    ("drain_completed", "a gateway that was told to stop had handed over all of its sessions"),
    ("overloaded", "a gateway turned a vehicle away, because it had too many sessions"),
    ("persist_failed", "a gateway's call to persistence gave no outcome"),
    ("live_dropped", "a fix did not go live, because its receiver had no room"),
    ("command", "a change of an order got its verdict"),
    ("command_repeated", "a change of an order came again, and got the verdict of before"),
    ("command_failed", "a change of an order found the database away, or lost its answer"),
    ("downlink_sent", "a gateway sent a vehicle a message or a route"),
    ("downlink_applied", "a tracker wrote a message or a route down, and so carried it out"),
    ("downlink_late", "a message or a route reached its tracker after its time, or after a newer one"),
    ("downlink_known", "a tracker was sent what it had carried out before, and said so again"),
    ("downlink_unknown", "a gateway could not learn what waits for its vehicles"),
    ("report_dropped", "a gateway gave up saying what a tracker had said"),
    ("commands_cut", "a tracker found the beginning of a record at the end of its journal of commands"),
    ("batch_given_up", "an agent gave up rows for which nobody waited any longer"),
    ("called_dead", "a health agent called a node dead"),
    ("node_state", "a health agent called a node something else"),
    ("agent_blind", "a health agent heard of nobody"),
    ("watcher_connect", "a watcher had a session with a hub"),
    ("watcher_resume", "a watcher went on where it was before it lost its connection"),
    ("watcher_router_change", "a watcher went on by another router, with the session that it had"),
    ("watcher_move", "a watcher moved to another port"),
    ("watcher_refused", "a hub refused what a watcher asked"),
    ("slow_let_go", "a hub let a watcher go that took too little of what it had asked for"),
    ("vehicle_recalled", "a hub showed where a vehicle is by what is stored, because it had not heard of it"),
    ("question_answered", "a question got its whole answer"),
    ("question_unanswered", "a question ended without a word of an answer"),
    ("question_broken_off", "a question ended after some steps of its answer"),
    ("news_old", "a service went on for a second with news that was more than two seconds old"),
];

/// Terms of the ledger that are plain counts.
const LEDGER: [&str; 10] = [
    "recorded",
    "durable",
    "stored",
    "pending",
    "stored_or_pending",
    "refused_total",
    "shed",
    "lost",
    "missing",
    "duplicates_stored",
];

/// Every metric, by its dotted key.
pub fn all() -> Vec<String> {
    let ledger = LEDGER.iter().map(|term| format!("ledger.{term}"));
    let refused = Refusal::ALL.iter().map(|reason| format!("ledger.refused.{reason}"));
    let latencies = LATENCIES.iter().chain(&LIVE_LATENCIES).flat_map(|(name, _)| {
        LATENCY_FIGURES.iter().map(move |figure| format!("latency_ms.{name}.{figure}"))
    });
    let throughputs = THROUGHPUTS.iter().map(|(name, _)| format!("throughput.{name}"));
    let fanout = FANOUT.iter().map(|(name, _)| format!("fanout.{name}"));
    let driving = DRIVING.iter().map(|(name, _)| format!("driving.{name}"));
    let events = EVENTS.iter().map(|(name, _)| format!("events.{name}"));
    let cpu = LIVE_CPU.iter().map(|service| format!("cpu_us_per_fix.{service}"));
    let multiples = LIVE_CPU.iter().flat_map(|service| {
        CPU_REFERENCES.iter().map(move |of| format!("live.multiples.cpu_us_per_fix.{service}.{of}.median"))
    });
    let beside = BESIDE.iter().map(|service| format!("{BESIDE_PREFIX}{service}.median"));
    let watching = LIVE_WATCHING.iter().map(|(name, _)| format!("live.watching.{name}.median"));
    let settled =
        ["settled_after_s", "live.durable_per_s.median", "live.recovered_after_s"].map(str::to_owned);
    ledger
        .chain(refused)
        .chain(latencies)
        .chain(throughputs)
        .chain(driving)
        .chain(fanout)
        .chain(events)
        .chain(cpu)
        .chain(multiples)
        .chain(beside)
        .chain(watching)
        .chain(settled)
        .collect()
}

/// True if only a run with real processes has this metric.
pub fn is_live_only(metric: &str) -> bool {
    let of =
        |prefix: &str, name: &str| metric.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(name));
    let live = ["cpu_us_per_fix.", "live."];
    live.iter().any(|prefix| metric.starts_with(prefix))
        || LIVE_LATENCIES.iter().any(|(name, _)| of("latency_ms.", name))
}

/// What the metrics begin with that hold two builds against each other.
const BESIDE_PREFIX: &str = "live.beside.cpu_ratio.";

/// True if only a run in which another build serves beside this one has this metric.
pub fn is_beside(metric: &str) -> bool {
    metric.starts_with(BESIDE_PREFIX)
}

/// True if a report has this metric.
pub fn exists(metric: &str) -> bool {
    all().iter().any(|known| known == metric)
}

/// The metric whose key is most like `metric`.
pub fn nearest(metric: &str) -> String {
    // Edit distance, not Jaro-Winkler: long common beginnings would make every latency look alike. A bare name counts
    // as if its table stood in front.
    let bare = |known: &str| known.split_once('.').map_or(known.to_owned(), |(_, name)| name.to_owned());
    let distance = |known: &String| {
        strsim::osa_distance(metric, known).min(strsim::osa_distance(metric, &bare(known)) + 1)
    };
    all().into_iter().min_by_key(distance).unwrap_or_default()
}
