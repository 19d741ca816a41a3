//! What happens to fixes, as vehicles and services tell it.

use std::time::Duration;

use drover_model::{Epoch, NodeName, WallTime};

use super::causes::Refused;
use super::events::Fields;
use super::micros;
use super::state::State;
use crate::model::Step;

impl State {
    /// Something that a service did with one fix.
    pub(super) fn fix_event(&mut self, at: Duration, values: &Fields<'_>, step: Step<'_>) {
        let vehicle = values.vehicle().map_or(usize::MAX, |vehicle| self.index(vehicle));
        let (epoch, sequence) = (Epoch::from_bits(values.number("epoch")), values.number("sequence"));
        self.model.take(at, vehicle, epoch, sequence..=sequence, step);
    }

    pub(super) fn judge_refusal(
        &mut self,
        at: Duration,
        now: WallTime,
        gateway: NodeName,
        values: &Fields<'_>,
    ) {
        let vehicle = values.vehicle().map_or(usize::MAX, |vehicle| self.index(vehicle));
        let (epoch, sequence) = (Epoch::from_bits(values.number("epoch")), values.number("sequence"));
        let time = self.model.time(vehicle, epoch, sequence);
        let reason = values.text("reason");
        self.causes.refused(Refused { at, now, gateway, vehicle, epoch, sequence, reason, time });
    }

    pub(super) fn judge_backlog(&mut self, at: Duration, gateway: NodeName, values: &Fields<'_>) {
        let vehicle = values.vehicle().map_or(usize::MAX, |vehicle| self.index(vehicle));
        let (epoch, first) = (Epoch::from_bits(values.number("epoch")), values.number("first"));
        // Without any that is owed, it is one whose answer is on its way.
        let Some(oldest) = self.model.oldest_owed(vehicle, epoch) else { return };
        self.backlogs += 1;
        if first > oldest && self.first_backlog_out_of_order.is_none() {
            self.first_backlog_out_of_order = Some(format!(
                "at {:.3} s {gateway} got fix {epoch}/{first} of vehicle/{vehicle} first, which owes {oldest} too",
                at.as_secs_f64()
            ));
        }
    }

    pub(super) fn vehicle_event(
        &mut self,
        at: Duration,
        now: WallTime,
        node: NodeName,
        name: &'static str,
        values: &Fields<'_>,
    ) {
        let Some(vehicle) = self.vehicles.get_mut(node.index as usize) else { return };
        let epoch = Epoch::from_bits(values.number("epoch"));
        let (first, last) = (values.number("first"), values.number("last"));
        let sequence = values.number("sequence");
        let index = node.index as usize;
        let model = &mut self.model;
        match name {
            "tracker.recorded" => {
                let time = WallTime::from_micros(values.number("time_us") as i64);
                self.restarts.recorded(at, index);
                let added = vehicle.epoch(epoch).record(sequence, time);
                self.totals.recorded += u64::from(added);
                model.take(at, index, epoch, sequence..=sequence, Step::Recorded(time));
            }
            "tracker.recovered" => {
                let (new, unshed) = vehicle.epoch(epoch).recover(first, last);
                self.totals.recorded += new;
                self.totals.shed -= unshed;
                model.take(at, index, epoch, first..=last, Step::Found);
            }
            "tracker.durable" => {
                model.take(at, index, epoch, first..=last, Step::Durable);
                let history = vehicle.epoch(epoch);
                for sequence in first..=last {
                    self.totals.durable += u64::from(history.durable.insert(sequence));
                    self.durable_checks += u64::from(!self.store_untold);
                    let untrue = !self.store_untold && !history.stored.contains(sequence);
                    if untrue && self.first_violation.is_none() {
                        self.first_violation = Some(format!(
                            "at {:.3} s {node} saw a durable ack for {epoch}/{sequence}, which was not stored",
                            at.as_secs_f64()
                        ));
                    }
                    if let Some(time) = history.time(sequence) {
                        let waited = micros(now.since(time));
                        self.to_durable.saturating_record(waited);
                        self.this_second.push(waited);
                        if let Some(quiet) = &mut self.quiet {
                            quiet.durable(at, now.since(time), index, epoch, sequence);
                        }
                    }
                }
            }
            "tracker.refused" => {
                let reason = values.text("reason").to_owned();
                model.take(at, index, epoch, sequence..=sequence, Step::Refused(&reason));
                let new = vehicle.epoch(epoch).refused.insert(sequence, reason).is_none();
                self.totals.refused += u64::from(new);
            }
            "tracker.shed" => {
                let shed = &mut vehicle.epoch(epoch).shed;
                let before = shed.len();
                shed.insert_range(first..=last);
                self.totals.shed += shed.len() - before;
                model.take(at, index, epoch, first..=last, Step::Shed);
            }
            "tracker.lost" => model.take(at, index, epoch, first..=last, Step::Lost),
            "tracker.connected" => {
                let before = std::mem::replace(&mut vehicle.connected, true);
                if !before {
                    self.totals.connected += 1;
                    if let Some(quiet) = &mut self.quiet {
                        quiet.connected(at, vehicle.apart_since, index);
                    }
                }
            }
            "tracker.disconnected" | "node.crashed" | "device.slept" => {
                match name {
                    "tracker.disconnected" => {
                        self.restarts.disconnected(at, index, values.text("reason"));
                        // One that ends with its vehicle is not lost.
                        if values.text("reason") != "done" {
                            self.moves.disconnected(index);
                        }
                    }
                    _ => self.restarts.gone(index),
                }
                let before = std::mem::take(&mut vehicle.connected);
                if before {
                    self.totals.connected -= 1;
                    vehicle.apart_since = at;
                }
            }
            _ => {}
        }
    }
}
