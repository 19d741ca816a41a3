//! Scenarios: a question, a world, a cluster, faults and gates, read from TOML and checked whole before anything runs.
//!
//! Knows the grammar and what this version's cluster can show. Opens no file: a text and its name come in, and a
//! road extract that is missing or broken is reported by whoever loads it.

mod chaos;
mod check;
mod cluster;
mod device;
mod fault;
mod gate;
mod link;
mod orders;
mod problem;
mod quantity;
mod questions;
mod radio;
mod shape;
mod traffic;
mod watchers;
mod wear;
mod world;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use drover_model::{NodeKind, NodeName, NodePattern};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use chaos::Chaos;
pub use cluster::{Cluster, Store};
pub use device::{AtEnd, Device, Grade, Receiver, Replay, Start, Talker};
pub use fault::{Cells, FaultSpec, Frozen, VERBS};
pub use gate::{Comparison, GateSpec, Limit};
pub use link::{Link, LinkError};
pub use orders::Orders;
pub use problem::{Problem, ScenarioErrors};
pub use questions::Questions;
pub use radio::{Border, BurstLoss, Crowd, Radio, Zone};
pub use shape::nearest;
pub use traffic::{Curve, Drivers, GroupDemand, Traffic};
pub use watchers::{Encoding, Role, Transport, Watchers};
pub use wear::{Decay, Wear};
pub use world::{City, Grid, Roads, VehicleKind, Vehicles, World};

/// The version of the grammar. It rises when a file that was good is read as something else, or not at all.
const FORMAT: u32 = 1;

/// Where a scenario can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// In virtual time, in one process, repeatable byte for byte.
    Virtual,
    /// With real processes, sockets and clocks.
    Live,
}

/// One scenario: a question, and all that is needed to answer it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Drover scenario")]
pub struct Scenario {
    /// Which version of this grammar the file is written in. Default 1, the only one so far.
    #[serde(default = "current_format")]
    pub format: u32,
    /// Short name: lower-case letters, digits and underscores. Names the report's folder.
    pub name: String,
    /// What a run of this scenario answers, in one sentence.
    pub question: String,
    /// Root of every random number. Default 1; at most 9223372036854775807, the largest TOML integer.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// How long vehicles drive and faults happen, in seconds of virtual (or, live, real) time.
    #[serde(rename = "duration_s", with = "quantity::seconds")]
    #[schemars(with = "f64", range(min = 1.0, max = 604_800.0))]
    pub duration: Duration,
    /// Then faults stop, and vehicles drive on for so long in a cluster that is whole again, in seconds: what it promises
    /// then is judged on fresh fixes too. Default 0.
    #[serde(
        rename = "calm_s",
        with = "quantity::seconds",
        default,
        skip_serializing_if = "Duration::is_zero"
    )]
    #[schemars(with = "f64", range(min = 0.0, max = 86_400.0))]
    pub calm: Duration,
    /// Then vehicles park in a cluster that is whole; the run fails if fixes are still pending after this many seconds
    /// more. Default 120.
    #[serde(rename = "settle_s", with = "quantity::seconds", default = "default_settle")]
    #[schemars(with = "f64", range(min = 0.0, max = 86_400.0))]
    pub settle: Duration,
    /// Once faults have stopped, no fix may wait for its durable ack, and no vehicle for a session, for longer than so
    /// many seconds, or the run fails. Default: half of `settle_s`.
    #[serde(
        rename = "converge_s",
        with = "quantity::seconds::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<f64>", range(min = 0.0, max = 86_400.0))]
    pub converge: Option<Duration>,
    /// Where the scenario can run. Default `["virtual"]`.
    #[serde(default = "default_modes")]
    pub modes: Vec<Mode>,
    /// Roads and the time of day.
    #[serde(default)]
    pub world: World,
    /// Groups of like vehicles, numbered on from group to group: vehicle/0, vehicle/1 and so on.
    pub vehicles: Vec<Vehicles>,
    /// The mobile network between vehicles and gateways.
    #[serde(default)]
    pub radio: Radio,
    /// How many nodes of each kind run.
    #[serde(default)]
    pub cluster: Cluster,
    /// Keys of the hubs' configuration that differ from their defaults.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub hub: toml::Table,
    /// Groups of clients that watch the live map, numbered on from group to group: watcher/0, watcher/1 and so on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watchers: Vec<Watchers>,
    /// Keys of the DNS servers' configuration that differ from their defaults.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub dns: toml::Table,
    /// Keys of the routers' configuration that differ from their defaults.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub router: toml::Table,
    /// Keys of the health agents' configuration that differ from their defaults.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub health: toml::Table,
    /// Keys of the gateways' configuration that differ from their defaults.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub gateway: toml::Table,
    /// Keys of the persistence agents' configuration that differ from their defaults.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub persistence: toml::Table,
    /// Keys of the trackers' configuration that differ from their defaults.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub tracker: toml::Table,
    /// How the database behaves behind its node.
    #[serde(default)]
    pub store: Store,
    /// Orders that vans bring while they drive. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<Orders>,
    /// Questions that dispatchers ask of the cluster's agents. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub questions: Option<Questions>,
    /// What breaks, when, and for how long: exactly one verb each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultSpec>,
    /// True if fault sites inside the services fire: tiny batches, short time-outs, small queues. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub buggify: bool,
    /// True if work that is ready at the same time is done in an order that the seed draws: tasks, and datagrams that arrive
    /// in the same instant. Default false: first come, first served.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shuffle: bool,
    /// Faults drawn from the seed, on top of those listed. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chaos: Option<Chaos>,
    /// What must hold of the report for the run to pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateSpec>,
    #[serde(skip)]
    text: Text,
}

/// What a scenario was read from, for the place of a problem that is found only when it runs. Equal to any other.
#[derive(Debug, Clone, Default)]
struct Text(Option<Arc<str>>);

impl PartialEq for Text {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

const fn current_format() -> u32 {
    FORMAT
}

fn default_seed() -> u64 {
    1
}

/// Long enough for every back-off to run out once.
fn default_settle() -> Duration {
    Duration::from_secs(120)
}

fn default_modes() -> Vec<Mode> {
    vec![Mode::Virtual]
}

impl Scenario {
    /// Largest seed: TOML integers are signed, and a resolved scenario must be able to say its seed.
    pub const SEED_MAX: u64 = i64::MAX as u64;

    /// Reads and checks a scenario; `file_name` appears in front of every problem.
    ///
    /// # Errors
    /// Every problem found, each with its place and the way out.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ScenarioErrors> {
        let mut shape =
            shape::read(text, &SCHEMA).map_err(|problems| ScenarioErrors::new(file_name, problems))?;
        if let Some(found) =
            shape.value.get("format").filter(|found| found.as_integer() != Some(FORMAT.into()))
        {
            // Keys of another version would be called misspelt.
            let message = format!(
                "this file is of format {found}, and this twin reads {FORMAT}: run it with the twin that wrote it (one that \
                 `twin` wrote names its commit in its first lines), or write it anew"
            );
            shape.problems.clear();
            shape.problem_at("format", message);
            return Err(ScenarioErrors::new(file_name, shape.problems));
        }
        // What has the wrong shape was left out, so most of the rest can still be judged in the same pass.
        match shape.value.clone().try_into::<Self>() {
            Ok(scenario) => check::check(&scenario, &mut shape),
            Err(error) if shape.problems.is_empty() => shape.problem_at("", error.message().to_owned()),
            Err(_) => {}
        }
        if shape.problems.is_empty() {
            // Nothing was left out, so this is the same value again.
            let scenario: Self = shape.value.try_into().map_err(|error: toml::de::Error| {
                ScenarioErrors::new(file_name, vec![Problem::new(1, 1, error.message().to_owned())])
            })?;
            Ok(Self { text: Text(Some(text.into())), ..scenario })
        } else {
            Err(ScenarioErrors::new(file_name, shape.problems))
        }
    }

    /// A problem with the value of `key`, such as `world.roads.osm_pbf`, that is found only when the scenario runs.
    pub(crate) fn problem(&self, file_name: &str, key: &str, message: &str) -> ScenarioErrors {
        let message = format!("{key}: {message}");
        match &self.text.0 {
            Some(text) => ScenarioErrors::at_key(file_name, text, key, message),
            None => ScenarioErrors::new(file_name, vec![Problem::new(1, 1, message)]),
        }
    }

    /// The same scenario with another seed (cut to [`Self::SEED_MAX`]).
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed & Self::SEED_MAX;
        self
    }

    /// The same scenario with what its seed draws listed as faults, so that it no longer depends on how they are drawn.
    #[must_use]
    pub fn resolved(mut self) -> Self {
        if let Some(chaos) = self.chaos.take() {
            self.faults.extend(crate::chaos::draw(&self, &chaos));
            self.shuffle |= crate::chaos::draws_shuffle(self.seed, &chaos);
            self.faults.sort_by_key(|fault| fault.at);
        }
        self
    }

    /// The same scenario ended at `until`: later faults fall away, and those under way then end with the run. An end
    /// that lies behind the scenario's own changes nothing.
    #[must_use]
    pub fn with_until(mut self, until: Duration) -> Self {
        if until >= self.duration {
            return self;
        }
        self.duration = until.max(Duration::from_secs(1));
        self.radio.crowds.retain(|crowd| crowd.at < self.duration);
        let faults = std::mem::take(&mut self.faults);
        self.faults = faults.into_iter().filter_map(|fault| fault.cut(&self)).collect();
        self
    }

    /// How long vehicles drive: while faults happen, and in the calm after them.
    pub fn driven(&self) -> Duration {
        self.duration + self.calm
    }

    /// How long anything may wait once faults have stopped.
    pub fn converge(&self) -> Duration {
        self.converge.unwrap_or(self.settle / 2)
    }

    /// The faults as the world schedules them, in the order of the file: some are several.
    pub fn faults(&self) -> Vec<drover_world::Fault> {
        self.faults.iter().flat_map(|fault| fault.resolve(self)).collect()
    }

    /// The groups of vehicles, each with the number of its first.
    pub fn groups(&self) -> impl Iterator<Item = (u32, &Vehicles)> {
        let mut first: u32 = 0;
        self.vehicles.iter().map(move |group| {
            let begins = first;
            first = first.saturating_add(group.count);
            (begins, group)
        })
    }

    /// Number of vehicles in all groups.
    pub fn vehicles_len(&self) -> u32 {
        self.vehicles.iter().fold(0, |sum: u32, group| sum.saturating_add(group.count))
    }

    /// Number of watchers in all groups.
    pub fn watchers_len(&self) -> u32 {
        self.watchers.iter().fold(0, |sum: u32, group| sum.saturating_add(group.count))
    }

    /// How many nodes of `kind` there are, vehicles included.
    pub fn nodes_len(&self, kind: NodeKind) -> u32 {
        match kind {
            NodeKind::Router => self.cluster.router,
            NodeKind::Gateway => self.cluster.gateway,
            NodeKind::Persistence => self.cluster.persistence,
            NodeKind::Hub => self.cluster.hub,
            NodeKind::Dns => self.cluster.dns,
            NodeKind::Health => self.cluster.health,
            NodeKind::Db => self.cluster.db,
            NodeKind::Vehicle => self.vehicles_len(),
            NodeKind::Watcher => self.watchers_len(),
            NodeKind::Agent => self.cluster.agent,
        }
    }

    /// The nodes of this scenario that `pattern` means, in ascending order.
    pub fn nodes(&self, pattern: NodePattern) -> Vec<NodeName> {
        let all = (0..self.nodes_len(pattern.kind)).map(|index| NodeName::new(pattern.kind, index));
        all.filter(|&node| pattern.matches(node)).collect()
    }

    /// The resolved scenario as TOML: every default filled in, and read back by [`Self::parse`] as the same.
    ///
    /// # Panics
    /// Never: every field has a TOML form.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every field of a scenario has a TOML form")
    }

    /// The kinds that have at least one node, with their highest index, as messages show them.
    fn nodes_text(&self) -> String {
        let kinds = NodeKind::ALL.into_iter().map(|kind| (kind, self.nodes_len(kind)));
        let texts: Vec<String> = kinds
            .filter(|&(_, count)| count > 0)
            .map(|(kind, count)| match count {
                1 => format!("{kind}/0"),
                _ => format!("{kind}/0 to {kind}/{}", count - 1),
            })
            .collect();
        texts.join(", ")
    }
}

/// The grammar does not change while a program runs, and shrinking reads it again and again.
static SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(schema);

/// JSON Schema (draft 7, which TOML editors understand) of the scenario file.
pub fn schema() -> serde_json::Value {
    let settings = schemars::generate::SchemaSettings::draft07().with(|settings| {
        // Editors and our own checker then need not follow references.
        settings.inline_subschemas = true;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<Scenario>().to_value();
    shape::drop_nulls(&mut schema);
    schema
}

#[cfg(test)]
mod tests;
