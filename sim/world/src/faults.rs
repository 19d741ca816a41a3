//! Faults as data: what breaks, when, and for how long. The world schedules them; the harness carries them out.

mod schedule;

use std::time::Duration;

use drover_model::{NodeName, NodePattern};

pub(crate) use schedule::{Schedule, break_and_heal, heal_all};

/// One scheduled fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// When it starts, after the start of the run.
    pub at: Duration,
    /// How long it lasts. For `Kill`: how long the node stays down; `None` means until the run settles.
    pub lasts: Option<Duration>,
    /// What happens.
    pub verb: Verb,
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq)]
pub enum Verb {
    /// Ends the node at once, without a goodbye; unsynced disk writes are lost. Started again at the fault's end.
    Kill(NodePattern),
    /// Stops the node's tasks from running, as SIGSTOP would.
    Pause(NodePattern),
    /// Kills and starts again at once.
    Restart(NodePattern),
    /// Asks the node to finish its work and stop; started again at the fault's end.
    Drain(NodePattern),
    /// Does something to the datagrams from one group of nodes to another.
    Link(LinkRule),
    /// The database refuses connections and drops those that it has.
    DbAway(NodePattern),
    /// Writes to the node's disk fail for lack of space.
    DiskFull(NodePattern),
    /// Syncing the node's disk takes this much longer; a crash meanwhile loses what was not synced yet.
    DiskSlow {
        /// Whose disk.
        node: NodePattern,
        /// Added to every sync.
        by: Duration,
    },
    /// The node's tasks run this much after they were woken, as on an overloaded machine.
    Slow {
        /// Which node.
        node: NodePattern,
        /// How late each turn of a task is.
        by: Duration,
    },
    /// The node's wall clock is wrong by this many milliseconds (positive is ahead).
    ClockSkew {
        /// Whose clock.
        node: NodePattern,
        /// Error of the clock, in milliseconds.
        skew_ms: i64,
    },
    /// The vehicles' receivers give wrong positions.
    Gps {
        /// Whose receivers.
        nodes: NodePattern,
        /// How they are wrong.
        fault: GpsFault,
    },
    /// Cells of the mobile network are out of order: nothing passes in them.
    CellOutage(CellOutage),
    /// The vehicles' address translation starts afresh, behind their backs.
    Rebind(NodePattern),
    /// The vehicles' devices are switched off, and on again at the fault's end.
    Sleep(NodePattern),
    /// Closes gateways to new vehicles until the fault's end; they keep those that they have.
    Cordon(NodePattern),
    /// The node's wall clock runs too fast by so many millionths, or too slow. Set right at the fault's end.
    ClockDrift {
        /// Whose clock.
        node: NodePattern,
        /// In millionths.
        drift_ppm: i32,
    },
    /// The answer to a commit is lost with this probability, and half of those commits with it.
    CommitUnknown {
        /// Which database.
        node: NodePattern,
        /// 0 to 1.
        probability: f64,
    },
    /// The database ends in the middle of what it does; another takes its place at the fault's end, with what was committed.
    FailOver(NodePattern),
    /// As `Kill`, and the node's disk is empty when it starts again.
    Wipe(NodePattern),
    /// As `Kill`, and bytes on the node's disk have changed when it starts again.
    DiskDamage {
        /// Whose disk.
        node: NodePattern,
        /// How many bytes.
        bytes: u32,
    },
}

/// How a receiver gives wrong positions. Where a bearing is absent, each receiver draws its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GpsFault {
    /// Fixes are displaced.
    Jump {
        /// How far, in metres.
        distance_m: f64,
        /// Which way, in degrees clockwise from north.
        bearing_deg: Option<f64>,
        /// How many in a row; `None`: as long as the fault lasts.
        fixes: Option<u32>,
    },
    /// The receiver repeats what it said last.
    Freeze(Frozen),
    /// Positions are wrong consistently, as a spoofed or an injected signal makes them.
    Lie {
        /// How far from the start, in metres.
        distance_m: f64,
        /// How fast they drift away on top, in m/s; speed and course agree with it.
        drift_mps: f64,
        /// Which way, in degrees clockwise from north.
        bearing_deg: Option<f64>,
        /// True if the receiver says itself that it simulates.
        simulated: bool,
    },
}

/// What a frozen receiver repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frozen {
    /// The position; the time goes on.
    Position,
    /// Whole sentences, time included.
    Sentences,
}

/// Which cells are out of order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CellOutage {
    /// Those whose mast stands in a circle.
    Circle {
        /// Latitude of its middle, in degrees.
        lat: f64,
        /// Longitude of its middle, in degrees.
        lon: f64,
        /// Its radius, in metres.
        radius_m: f64,
    },
    /// This share of all, 0 to 1; which ones follows from the seed and the fault.
    Share(f64),
}

impl Verb {
    /// The word that scenarios and reports use.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::Pause(_) => "pause",
            Self::Restart(_) => "restart",
            Self::Drain(_) => "drain",
            Self::Link(rule) => rule.effect.name(),
            Self::DbAway(_) => "db_away",
            Self::DiskFull(_) => "disk_full",
            Self::DiskSlow { .. } => "disk_slow",
            Self::Slow { .. } => "slow",
            Self::ClockSkew { .. } => "clock_skew",
            Self::Gps { fault: GpsFault::Jump { .. }, .. } => "gps_jump",
            Self::Gps { fault: GpsFault::Freeze(_), .. } => "gps_freeze",
            Self::Gps { fault: GpsFault::Lie { .. }, .. } => "gps_lie",
            Self::CellOutage(_) => "cell_outage",
            Self::Rebind(_) => "rebind",
            Self::Sleep(_) => "sleep",
            Self::Cordon(_) => "cordon",
            Self::ClockDrift { .. } => "clock_drift",
            Self::CommitUnknown { .. } => "commit_unknown",
            Self::FailOver(_) => "failover",
            Self::Wipe(_) => "wipe",
            Self::DiskDamage { .. } => "disk_damage",
        }
    }

    /// True if it is over as soon as it has happened.
    pub const fn is_instant(&self) -> bool {
        matches!(self, Self::Restart(_) | Self::Rebind(_))
    }

    /// True if `node` is affected. For links: if it is on either side.
    pub fn names(&self, node: NodeName) -> bool {
        match self {
            Self::Kill(nodes)
            | Self::Pause(nodes)
            | Self::Restart(nodes)
            | Self::Drain(nodes)
            | Self::DbAway(nodes)
            | Self::DiskFull(nodes)
            | Self::DiskSlow { node: nodes, .. }
            | Self::Slow { node: nodes, .. }
            | Self::ClockSkew { node: nodes, .. }
            | Self::Rebind(nodes)
            | Self::Sleep(nodes)
            | Self::Cordon(nodes)
            | Self::ClockDrift { node: nodes, .. }
            | Self::CommitUnknown { node: nodes, .. }
            | Self::FailOver(nodes)
            | Self::Wipe(nodes)
            | Self::DiskDamage { node: nodes, .. }
            | Self::Gps { nodes, .. } => nodes.matches(node),
            // Which vehicles are in those cells is seen only then.
            Self::CellOutage(_) => false,
            Self::Link(rule) => rule.from.matches(node) || rule.to.matches(node),
        }
    }
}

/// A fault as it is scheduled, with what it resolved to.
#[derive(Debug, Clone, PartialEq)]
pub struct TimelineEntry {
    /// When it starts, after the start of the run.
    pub at: Duration,
    /// When it ends; `None` if everything heals first. What is instant ends as it starts.
    pub until: Option<Duration>,
    /// What happens.
    pub verb: Verb,
    /// Every node affected, in the order of the spec. For links: those on either side.
    pub nodes: Vec<NodeName>,
}

/// Which datagrams are impaired, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkRule {
    /// Senders.
    pub from: NodePattern,
    /// Receivers.
    pub to: NodePattern,
    /// True if the way back is impaired too.
    pub both_ways: bool,
    /// What happens to each datagram.
    pub effect: LinkEffect,
}

/// What an impaired link does to each datagram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LinkEffect {
    /// Nothing passes.
    Partition,
    /// Lost with this probability, 0 to 1.
    Loss(f64),
    /// Later by this much, and by a uniform extra of up to `jitter`.
    Delay {
        /// Added to every datagram.
        delay: Duration,
        /// Largest extra.
        jitter: Duration,
    },
    /// Arrives twice with this probability, 0 to 1.
    Duplicate(f64),
    /// One bit flips with this probability, 0 to 1.
    Corrupt(f64),
    /// Held back until the fault ends, then all let go.
    Clog,
    /// Lost in bursts (Gilbert's model), each way between two nodes by itself.
    BurstLoss {
        /// Probability per datagram that a good way turns bad, 0 to 1.
        enter: f64,
        /// Probability per datagram that a bad way turns good, 0 to 1.
        leave: f64,
        /// Probability of loss while it is bad, 0 to 1.
        loss: f64,
    },
    /// Datagrams take turns, each way between two nodes by itself.
    Narrow {
        /// What passes, in kbit/s.
        bandwidth_kbit_s: u32,
        /// How long one may wait for its turn; what would wait longer is lost.
        queue: Duration,
    },
    /// Lost if it has more bytes of UDP payload.
    Mtu {
        /// Most that pass.
        bytes: u32,
    },
}

impl LinkEffect {
    /// The word that scenarios and reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::Loss(_) => "loss",
            Self::Delay { .. } => "delay",
            Self::Duplicate(_) => "duplicate",
            Self::Corrupt(_) => "corrupt",
            Self::Clog => "clog",
            Self::BurstLoss { .. } => "burst_loss",
            Self::Narrow { .. } => "narrow",
            Self::Mtu { .. } => "mtu",
        }
    }
}

/// What the harness must do now, in the order given.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// End the node without a goodbye.
    Crash(NodeName),
    /// Start the node.
    Start(NodeName),
    /// Stop running its tasks.
    Pause(NodeName),
    /// Run its tasks again.
    Resume(NodeName),
    /// Ask it to finish and stop.
    Drain(NodeName),
    /// Impair datagrams; `id` names the rule for its removal.
    AddRule {
        /// Index of the fault in the timeline.
        id: u32,
        /// The rule.
        rule: LinkRule,
    },
    /// Stop impairing datagrams.
    RemoveRule {
        /// As given to `AddRule`.
        id: u32,
    },
    /// The database goes away (true) or comes back (false).
    DbAway(NodeName, bool),
    /// The disk is full (true) or has space again (false).
    DiskFull(NodeName, bool),
    /// Syncing the disk takes this much longer; zero heals it.
    DiskSlow(NodeName, Duration),
    /// Tasks run this much late; zero heals it.
    Slow(NodeName, Duration),
    /// The wall clock is wrong by this many milliseconds; 0 heals it.
    ClockSkew(NodeName, i64),
    /// The vehicle's receiver begins to be wrong, or is right again. Carried out by the world itself.
    Gps {
        /// Whose receiver.
        node: NodeName,
        /// Index of the fault in the timeline.
        id: u32,
        /// How it is wrong; `None` at the end.
        fault: Option<GpsFault>,
    },
    /// Start the vehicle's address translation afresh.
    Rebind(NodeName),
    /// The vehicle's device is switched off (true), or may be on again (false). Carried out by the world itself, which then
    /// says so in [`crate::Outputs::power`].
    Sleep(NodeName, bool),
    /// The gateway is closed to new vehicles (true), or open again (false).
    Cordon(NodeName, bool),
    /// The wall clock runs too fast by so many millionths; 0 sets it right.
    ClockDrift(NodeName, i32),
    /// The answer to a commit is lost with this probability; 0 heals it.
    CommitUnknown(NodeName, f64),
    /// End the database, and decide what it was doing.
    FailOver(NodeName),
    /// Empty the disk of a node that is down.
    WipeDisk(NodeName),
    /// Change so many bytes on the disk of a node that is down.
    DamageDisk(NodeName, u32),
    /// Cells go out of order, or come back. Carried out by the world itself.
    CellOutage {
        /// Index of the fault in the timeline.
        id: u32,
        /// Which cells; `None` at the end.
        outage: Option<CellOutage>,
    },
}
