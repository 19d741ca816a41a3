//! Events of the services and of the simulation, each to what keeps account of it.

use std::time::Duration;

use drover_env::Value;
use drover_model::{NodeKind, NodeName, VehicleId, WallTime};
use drover_simnet::Observer;

use super::state::State;
use super::{HighWater, History, micros};
use crate::model::Step;
use crate::report::TimelineEvent;

/// Lines of the timeline that are kept; a storm of reconnects must not fill memory.
const TIMELINE_MAX: usize = 50_000;

/// Events that are counted and have no line in the timeline: there are too many.
const UNTOLD: [&str; 12] = [
    "duplicate_dropped",
    "credit_withheld",
    "persist_failed",
    "live_dropped",
    "disk_error",
    "unrecorded",
    "overloaded",
    "command",
    "news_old",
    "watcher_connect",
    "watcher_move",
    "vehicle_recalled",
];

/// The fields of an event, by position.
pub(super) struct Fields<'a>(&'a [(&'static str, Value<'a>)]);

impl<'a> Fields<'a> {
    #[cfg(test)]
    pub(super) const fn new(fields: &'a [(&'static str, Value<'a>)]) -> Self {
        Self(fields)
    }
}

impl Fields<'_> {
    pub(super) fn number(&self, name: &str) -> u64 {
        match self.0.iter().find(|(key, _)| *key == name) {
            Some((_, Value::U64(value))) => *value,
            Some((_, Value::I64(value))) => *value as u64,
            _ => 0,
        }
    }

    pub(super) fn vehicle(&self) -> Option<VehicleId> {
        self.0.iter().find_map(|(_, value)| match value {
            Value::Vehicle(vehicle) => Some(*vehicle),
            _ => None,
        })
    }

    pub(super) fn text(&self, name: &str) -> &str {
        match self.0.iter().find(|(key, _)| *key == name) {
            Some((_, Value::Str(value))) => value,
            _ => "",
        }
    }
}

impl Observer for History {
    fn event(&self, at: Duration, node: NodeName, name: &'static str, fields: &[(&'static str, Value<'_>)]) {
        let now = self.start.plus(at);
        let (mut state, values) = (self.lock(), Fields(fields));
        *state.raw_events.entry(name).or_default() += 1;
        state.session_event(at, node, name, &values);
        state.drains.event(at, node, name);
        state.packets.event(at, now, node, name, &values);
        state.news.event(at, node, name, &values);
        state.watching.event(at, now, node, name, &values);
        state.links.event(at, node, name, &values);
        state.recalls.event(at, node, name, &values);
        if node.kind == NodeKind::Vehicle {
            state.vehicle_event(at, now, node, name, &values);
            state.commands.event(at, now, node.index as usize, name, &values);
        }
        state.service_event(at, now, node, name, &values);
        let Some((event, count)) = counted_as(name, &values) else { return };
        state.count(event, count);
        if event == "node_crash" && node.kind == NodeKind::Gateway {
            state.count("gateway_crash", 1);
        }
        // Per-fix and per-batch events would drown the rest.
        if !UNTOLD.contains(&event) {
            state.note(at, node, event, fields);
        }
    }
}

/// The recovery path that an event shows, and how often it was taken.
fn counted_as(name: &str, values: &Fields<'_>) -> Option<(&'static str, u64)> {
    Some(match name {
        "tracker.connected" if values.number("reconnect") == 0 => ("connect", 1),
        "tracker.connected" => ("reconnect", 1),
        "tracker.router_changed" => ("router_change", 1),
        "tracker.resolved" => ("lookup", 1),
        "tracker.lookup_failed" => ("lookup_failed", 1),
        "quic.ids_rotated" => ("ids_rotated", 1),
        "tracker.migrated" => ("migration", 1),
        "tracker.resent" => ("batch_resent", 1),
        "tracker.refused" => ("refused", 1),
        "tracker.shed" => ("shed", values.number("last") - values.number("first") + 1),
        "tracker.lost" => ("fix_lost", values.number("last") - values.number("first") + 1),
        "tracker.torn_tail_cut" => ("torn_tail_cut", 1),
        "tracker.epoch_abandoned" => ("epoch_abandoned", 1),
        "tracker.disk_error" => ("disk_error", 1),
        "tracker.unrecorded" => ("unrecorded", values.number("count")),
        "tracker.stale_answer" => ("stale_answer", 1),
        "gateway.stopped" if values.number("drained") == 1 => ("drain_completed", 1),
        "gateway.overloaded" => ("overloaded", 1),
        "gateway.persist_failed" => ("persist_failed", 1),
        "gateway.live_dropped" => ("live_dropped", values.number("fixes")),
        "persistence.batch_given_up" => ("batch_given_up", 1),
        "gateway.credit_withheld" => ("credit_withheld", 1),
        "persistence.duplicate_dropped" => ("duplicate_dropped", values.number("count")),
        "persistence.dead_letter" => ("dead_letter", 1),
        "persistence.command" => ("command", 1),
        "persistence.command_repeated" => ("command_repeated", 1),
        "persistence.command_failed" => ("command_failed", 1),
        "gateway.command_sent" => ("downlink_sent", 1),
        "gateway.downlink_unknown" => ("downlink_unknown", 1),
        "gateway.report_dropped" => ("report_dropped", 1),
        "tracker.command_applied" => ("downlink_applied", 1),
        "tracker.command_expired" => ("downlink_late", 1),
        "tracker.command_repeated" => ("downlink_known", 1),
        "tracker.commands_cut" => ("commands_cut", 1),
        "bus.retry" => ("bus_retry", 1),
        "db.error" => ("store_error", 1),
        "db.commit_unknown" => ("commit_unknown", 1),
        "nat.rebound" => ("nat_rebind", 1),
        "device.slept" => ("device_sleep", 1),
        "device.woke" => ("device_wake", 1),
        "health.state" if values.text("state") == "dead" => ("called_dead", 1),
        "health.state" => ("node_state", 1),
        "health.blind" => ("agent_blind", 1),
        "discovery.news_old" => ("news_old", 1),
        "watcher.connected" => ("watcher_connect", 1),
        "watcher.resumed" => ("watcher_resume", 1),
        "watcher.router_changed" => ("watcher_router_change", 1),
        "watcher.moved" => ("watcher_move", 1),
        "watcher.refused" => ("watcher_refused", 1),
        "hub.let_go" if values.text("reason") == "slow" => ("slow_let_go", 1),
        "hub.recalled" => ("vehicle_recalled", 1),
        "question.answered" => ("question_answered", 1),
        "question.unanswered" if values.number("steps") > 0 => ("question_broken_off", 1),
        "question.unanswered" => ("question_unanswered", 1),
        "node.crashed" => ("node_crash", 1),
        "db.failed_over" => ("store_failover", 1),
        "disk.spoilt" => ("disk_spoilt", 1),
        "node.started_again" => ("node_restart", 1),
        _ => return None,
    })
}

impl State {
    fn service_event(
        &mut self,
        at: Duration,
        now: WallTime,
        node: NodeName,
        name: &str,
        values: &Fields<'_>,
    ) {
        match name {
            "tracker.protocol_error" => self.protocol_break(at, node),
            "gateway.session_refused" if values.text("reason") == "protocol" => self.protocol_break(at, node),
            "hub.fix" => {
                let time = WallTime::from_micros(values.number("time_us") as i64);
                self.to_published.saturating_record(micros(now.since(time)));
                self.fix_event(at, values, Step::Published(time));
            }
            "gateway.refused" => {
                self.fix_event(at, values, Step::Denied(values.text("reason")));
                self.judge_refusal(at, now, node, values);
            }
            "gateway.backlog" => {
                self.judge_backlog(at, node, values);
            }
            "queue" => {
                let key = (node, values.text("name").to_owned());
                let seen = HighWater { len: values.number("len"), max: values.number("max") };
                let high = self.queues.entry(key).or_insert(seen);
                *high = high.fuller(seen);
            }
            _ => {}
        }
    }

    fn protocol_break(&mut self, at: Duration, node: NodeName) {
        self.protocol_breaks += 1;
        let first = || format!("at {:.3} s {node} ended a session for it", at.as_secs_f64());
        self.first_protocol_break.get_or_insert_with(first);
    }

    fn session_event(&mut self, at: Duration, node: NodeName, name: &str, values: &Fields<'_>) {
        match name {
            "gateway.connected" => {
                *self.sessions.entry(node).or_default() += 1;
                let vehicle = values.vehicle().map_or(usize::MAX, |vehicle| self.index(vehicle));
                self.restarts.connected(vehicle, node);
                self.moves.connected(vehicle, node);
            }
            "gateway.disconnected" => {
                let open = self.sessions.entry(node).or_default();
                *open = open.saturating_sub(1);
            }
            "node.draining" => self.moves.touch(node),
            "persistence.committed" => self.moves.committed(node),
            // Whatever it had is gone with it.
            "node.crashed" | "node.stopped" | "node.started_again" => {
                self.sessions.remove(&node);
                self.moves.touch(node);
                match name {
                    "node.crashed" => self.restarts.crashed(node),
                    "node.started_again" => {
                        self.restarts.started_again(at, node);
                        self.moves.started(node);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, at: Duration, node: NodeName, event: &str, fields: &[(&'static str, Value<'_>)]) {
        if self.timeline.len() >= TIMELINE_MAX {
            self.timeline_cut += 1;
            return;
        }
        let json = |value: &Value<'_>| match value {
            Value::U64(number) => (*number).into(),
            Value::I64(number) => (*number).into(),
            Value::Str(_) | Value::Vehicle(_) => value.to_string().into(),
        };
        self.timeline.push(TimelineEvent {
            t_s: at.as_secs_f64(),
            node: node.to_string(),
            event: event.to_owned(),
            fields: fields.iter().map(|(key, value)| ((*key).to_owned(), json(value))).collect(),
        });
    }
}
