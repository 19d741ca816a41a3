//! Tools and topics that services share. Services never import each other: they meet here.

use drover_model::{NodeKind, VehicleId};
use drover_wire::{Ack, GeoTelemetry, Iibin, RecordBatch, RecordOutcome, Schema, schema};
use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tool::{Tool, ToolList};

/// Topic of the fresh fixes of one vehicle; the body is a `RecordBatch`.
pub fn live_topic(vehicle: VehicleId) -> String {
    format!("vehicle:{vehicle}")
}

/// No input.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Nothing {}

impl Iibin for Nothing {
    const SCHEMA: &'static Schema = &schema(&[]);
}

/// Built into every agent. Shows each caller the tools that it may use.
#[derive(Debug)]
pub struct ListTools;

impl Tool for ListTools {
    type Input = Nothing;
    type Output = ToolList;
    const NAME: &'static str = "tools.list";
    const DESCRIPTION: &'static str =
        "Lists the tools that the caller may use, with the JSON Schemas of input and output.";
    // Every node offers it: the route must name one.
    const OFFERED_BY: NodeKind = NodeKind::Persistence;
    const SAFE_TO_REPEAT: bool = true;
}

/// The contracts' own call: one report, answered once it is durable.
#[derive(Debug)]
pub struct RecordTelemetry;

impl Tool for RecordTelemetry {
    type Input = GeoTelemetry;
    type Output = Ack;
    const NAME: &'static str = "PersistenceService.recordTelemetry";
    const DESCRIPTION: &'static str = "Stores one position report. Answers OK once it is durable; a report that is there already is not stored again.";
    const OFFERED_BY: NodeKind = NodeKind::Persistence;
    const SAFE_TO_REPEAT: bool = true;
}

/// Asks whether the loop that takes rows goes round. It touches no store: one that is away is no reason to stop calling its agents.
#[derive(Debug)]
pub struct ProbeStore;

impl Tool for ProbeStore {
    type Input = Nothing;
    type Output = Ack;
    const NAME: &'static str = "PersistenceService.probe";
    const DESCRIPTION: &'static str = "Answers OK from the loop that takes rows. Stores nothing.";
    const OFFERED_BY: NodeKind = NodeKind::Persistence;
    const SAFE_TO_REPEAT: bool = true;
}

/// The batched form: fixes of one vehicle and epoch.
#[derive(Debug)]
pub struct RecordTelemetryBatch;

impl Tool for RecordTelemetryBatch {
    type Input = RecordBatch;
    type Output = RecordOutcome;
    const NAME: &'static str = "PersistenceService.recordTelemetryBatch";
    const DESCRIPTION: &'static str = "Stores fixes of one vehicle and epoch. When it answers, every fix is durable but for those listed as refused.";
    const OFFERED_BY: NodeKind = NodeKind::Persistence;
    const SAFE_TO_REPEAT: bool = true;
}
