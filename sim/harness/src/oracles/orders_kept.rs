//! Invariant 17.

use std::collections::BTreeMap;

use drover_model::orders::{Action, Command, Verdict};
use drover_model::{CommandId, TenantId};
use drover_store::{MemoryStore, Settled, Which, WhichMessages};

use super::result;
use crate::dispatch::Asked;
use crate::report::OracleResult;

/// Every step that there is, written down once more: an error in the table that the services use does not cancel one here.
const STEPS: [(&str, &[(&str, &str)]); 3] = [
    (
        "order",
        &[
            ("planned", "assigned"),
            ("planned", "cancelled"),
            ("assigned", "planned"),
            ("assigned", "under_way"),
            ("assigned", "cancelled"),
            ("under_way", "delivered"),
            ("under_way", "failed"),
            ("failed", "planned"),
        ],
    ),
    (
        "stop",
        &[
            ("planned", "arrived"),
            ("planned", "skipped"),
            ("arrived", "done"),
            ("arrived", "failed"),
            ("failed", "planned"),
            ("skipped", "planned"),
        ],
    ),
    ("message", &[("queued", "delivered"), ("queued", "expired"), ("delivered", "read")]),
];

/// A change of an order that was answered is stored once, with the verdict that was told; no state follows another that it can
/// not follow; and at the end everything is where the confirmed steps have brought it.
pub fn orders_kept(
    asked: &[Asked],
    broken: Option<String>,
    store: &MemoryStore,
    settled: bool,
) -> OracleResult {
    let mut log = store.commands();
    // What trackers say comes by gateways, and is judged by itself.
    log.retain(|entry| {
        !matches!(entry.command.action, Action::PassMessage { .. } | Action::PassRoute { .. })
    });
    let violation = broken
        .or_else(|| answers_are_stored(asked, &log, settled))
        .or_else(|| steps_are_allowed(&log, store));
    let checks = (asked.len() + log.len()) as u64;
    result(
        "orders_kept",
        "An answered change of an order is stored once, and every step is allowed.",
        checks,
        violation,
    )
}

fn answers_are_stored(asked: &[Asked], log: &[Settled], settled: bool) -> Option<String> {
    let mut stored: BTreeMap<(TenantId, CommandId), Vec<&Settled>> = BTreeMap::new();
    for entry in log {
        stored.entry((entry.command.tenant, entry.command.id)).or_default().push(entry);
    }
    for Asked { command, expected, answers } in asked {
        let entries = stored.remove(&(command.tenant, command.id)).unwrap_or_default();
        let id = command.id;
        if entries.len() > 1 {
            return Some(format!("command {id} was carried out {} times", entries.len()));
        }
        let Some(entry) = entries.first() else {
            match answers.first() {
                Some(answer) => {
                    return Some(format!(
                        "command {id} was answered `{}`, and is not stored",
                        answer.as_str()
                    ));
                }
                None if settled => return Some(format!("command {id} was never answered")),
                None => continue,
            }
        };
        if entry.command.action != command.action {
            return Some(format!("command {id} is stored as {:?}", entry.command.action));
        }
        let told = answers.iter().find(|answer| **answer != entry.verdict);
        if let Some(answer) = told {
            let verdict = entry.verdict.as_str();
            return Some(format!(
                "command {id} was answered `{}`, and is stored as `{verdict}`",
                answer.as_str()
            ));
        }
        if entry.verdict != *expected {
            let (found, expected) = (entry.verdict.as_str(), expected.as_str());
            return Some(format!("command {id} is `{found}`, not `{expected}`: {:?}", command.action));
        }
    }
    stored.keys().next().map(|(_, id)| format!("command {id} is stored, and nobody asked for it"))
}

/// What a thing is, and its identity.
type Thing = (&'static str, u128);

fn steps_are_allowed(log: &[Settled], store: &MemoryStore) -> Option<String> {
    let mut states: BTreeMap<Thing, &str> = BTreeMap::new();
    for Settled { command, verdict } in log {
        if *verdict != Verdict::Applied {
            continue;
        }
        match step_of(command) {
            Step::Made(things) => {
                for (thing, state) in things {
                    if states.insert(thing, state).is_some() {
                        return Some(format!("{} {:032x} was made twice", thing.0, thing.1));
                    }
                }
            }
            Step::Apart => {}
            Step::Moved(thing, from, to) => {
                let is = states.insert(thing, to).unwrap_or("missing");
                let allowed = STEPS
                    .iter()
                    .find(|(kind, _)| *kind == thing.0)
                    .is_some_and(|(_, steps)| steps.contains(&(from, to)));
                if is != from || !allowed {
                    return Some(format!("{} {:032x} went from {is} to {to} (as {from})", thing.0, thing.1));
                }
            }
        }
    }
    states_are_those(&states, log, store)
}

fn states_are_those(states: &BTreeMap<Thing, &str>, log: &[Settled], store: &MemoryStore) -> Option<String> {
    let mut found: BTreeMap<Thing, &str> = BTreeMap::new();
    let mut tenants: Vec<TenantId> = log.iter().map(|settled| settled.command.tenant).collect();
    tenants.dedup();
    let mut vehicles = BTreeMap::new();
    for Settled { command, .. } in log {
        if let Action::SendMessage { vehicle, .. } = command.action {
            vehicles.insert((command.tenant, vehicle), ());
        }
    }
    for tenant in tenants {
        for order in store.orders_now(tenant, Which::default(), usize::MAX).unwrap_or_default() {
            found.insert(("order", order.id.to_bits()), order.state.as_str());
            found.extend(
                order.stops.iter().map(|stop| (("stop", stop.made.id.to_bits()), stop.state.as_str())),
            );
        }
    }
    for (tenant, vehicle) in vehicles.into_keys() {
        let which = WhichMessages { vehicle: Some(vehicle), ..WhichMessages::default() };
        let messages = store.messages_now(tenant, which, usize::MAX).unwrap_or_default();
        found.extend(
            messages.iter().map(|message| (("message", message.id.to_bits()), message.state.as_str())),
        );
    }
    if found == *states {
        return None;
    }
    let differs = states.iter().find(|(thing, state)| found.get(*thing) != Some(*state));
    Some(match differs {
        Some(((kind, id), state)) => {
            let is = found.get(&(*kind, *id)).copied().unwrap_or("missing");
            format!("{kind} {id:032x} is {is}, and its commands have brought it to {state}")
        }
        None => "the store has things that no command has made".to_owned(),
    })
}

/// What a command that was carried out has done.
enum Step {
    Made(Vec<(Thing, &'static str)>),
    Moved(Thing, &'static str, &'static str),
    /// Something that no desk of the twin asks for.
    Apart,
}

fn step_of(command: &Command) -> Step {
    match &command.action {
        Action::CreateOrder { order, stops, .. } => {
            let stops = stops.iter().map(|stop| (("stop", stop.id.to_bits()), "planned"));
            Step::Made(std::iter::once((("order", order.to_bits()), "planned")).chain(stops).collect())
        }
        Action::SendMessage { message, .. } => Step::Made(vec![(("message", message.to_bits()), "queued")]),
        Action::ChangeOrder { order, from, to, .. } => {
            Step::Moved(("order", order.to_bits()), from.as_str(), to.as_str())
        }
        Action::ChangeStop { stop, from, to } => {
            Step::Moved(("stop", stop.to_bits()), from.as_str(), to.as_str())
        }
        Action::ChangeMessage { message, from, to } => {
            Step::Moved(("message", message.to_bits()), from.as_str(), to.as_str())
        }
        Action::PassMessage { .. }
        | Action::PassRoute { .. }
        | Action::ShareOrder { .. }
        | Action::RevokeShareLink { .. }
        | Action::DrawGeofence { .. }
        | Action::ChangeGeofence { .. }
        | Action::RemoveGeofence { .. }
        | Action::PlanRoute { .. }
        | Action::ChangeRoute { .. } => Step::Apart,
    }
}

#[cfg(test)]
mod tests {
    use drover_model::orders::{NewStop, OrderState};
    use drover_model::{OrderId, WallTime};
    use drover_model::{Position, StopId};

    use super::*;
    use crate::report::OracleOutcome;

    fn command(id: u128, action: Action) -> Command {
        Command {
            tenant: "acme".parse().expect("a valid name"),
            id: CommandId::from_bits(id),
            at: WallTime::UNIX_EPOCH,
            action,
        }
    }

    fn create() -> Command {
        let position = Position::new(60.0, 24.0).expect("in range");
        let stop = NewStop { id: StopId::from_bits(1), position, due_from: None, due_until: None };
        let (order, customer) = (OrderId::from_bits(1), String::new());
        command(1, Action::CreateOrder { order, customer, stops: vec![stop] })
    }

    fn cancel(id: u128) -> Command {
        let (order, from, to) = (OrderId::from_bits(1), OrderState::Planned, OrderState::Cancelled);
        command(id, Action::ChangeOrder { order, from, to, vehicle: None })
    }

    fn asked(command: Command, expected: Verdict, answers: &[Verdict]) -> Asked {
        Asked { command, expected, answers: answers.to_vec() }
    }

    fn judge(done: &[Command], asked: &[Asked]) -> OracleResult {
        let store = MemoryStore::new();
        for command in done {
            store.carry_out_now(command.clone()).expect("an outcome");
        }
        orders_kept(asked, None, &store, true)
    }

    #[test]
    fn what_was_answered_and_is_not_stored_so_is_found() {
        let good = asked(create(), Verdict::Applied, &[Verdict::Applied; 2]);
        let check = |done: &[Command], asked: &[Asked], expected: &str| {
            let violation = judge(done, asked).violation.unwrap_or_default();
            assert!(
                violation.contains(expected) && violation.is_empty() == expected.is_empty(),
                "{violation}"
            );
        };
        check(&[create()], std::slice::from_ref(&good), "");
        check(&[], std::slice::from_ref(&good), "was answered `applied`, and is not stored");
        check(
            &[create()],
            &[asked(create(), Verdict::Applied, &[Verdict::Exists])],
            "answered `exists`, and is stored as `applied`",
        );
        check(&[create()], &[asked(create(), Verdict::Exists, &[])], "is `applied`, not `exists`");
        check(&[create()], &[], "nobody asked for it");
        check(&[], &[asked(create(), Verdict::Applied, &[])], "was never answered");
        let late = asked(cancel(3), Verdict::Elsewhere, &[Verdict::Elsewhere]);
        let all = [good, asked(cancel(2), Verdict::Applied, &[Verdict::Applied]), late];
        check(&[create(), cancel(2), cancel(3)], &all, "");
        assert_eq!(judge(&[], &[]).outcome, OracleOutcome::NotChecked);
    }

    #[test]
    fn a_step_that_nobody_may_take_is_found() {
        let store = MemoryStore::new();
        let settled = |command| Settled { command, verdict: Verdict::Applied };
        let log = [settled(create()), settled(cancel(2)), settled(cancel(3))];
        let violation = steps_are_allowed(&log, &store).unwrap_or_default();
        assert!(violation.contains("went from cancelled to cancelled (as planned)"), "{violation}");
        let violation = steps_are_allowed(&log[..2], &store).unwrap_or_default();
        assert!(
            violation.contains("is missing, and its commands have brought it to cancelled"),
            "{violation}"
        );
    }
}
