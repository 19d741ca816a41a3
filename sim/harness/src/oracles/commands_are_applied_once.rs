//! Invariant 27.

use drover_model::orders::{Message, Passage, PassageState, Route, message_command, route_command};
use drover_model::{TenantId, VehicleId, WallTime};
use drover_store::{MemoryStore, Orders, WhichMessages};
use futures_util::FutureExt;

use super::result;
use crate::history::Commands;
use crate::report::OracleResult;

/// What the store has for one vehicle at the end.
struct Sent {
    vehicle: usize,
    messages: Vec<Message>,
    routes: Vec<Route>,
}

/// A command for a vehicle is carried out once at most, and never after its time. Once the run has settled, none that could still be
/// carried out waits for a vehicle that has a session, and of each the store says what its tracker did.
///
/// `reached` says which vehicles have a session now, in the order of their indices.
pub fn commands_are_applied_once(
    commands: &Commands,
    store: &MemoryStore,
    (tenant, vehicles): (TenantId, &[VehicleId]),
    reached: &[bool],
    now: WallTime,
    settled: bool,
) -> OracleResult {
    let (mut checks, told) = commands.judged();
    let mut violation = told;
    for (vehicle, name) in vehicles.iter().enumerate() {
        let sent = sent_to(store, tenant, vehicle, *name);
        checks += (sent.messages.len() + sent.routes.len()) as u64;
        let has_session = settled && reached.get(vehicle).copied().unwrap_or_default();
        violation = violation.or_else(|| judge(commands, &sent, has_session, now));
    }
    let statement = "A command is carried out once, in time, and the store knows what became of it.";
    result("commands_are_applied_once", statement, checks, violation)
}

fn sent_to(store: &MemoryStore, tenant: TenantId, vehicle: usize, name: VehicleId) -> Sent {
    let which = WhichMessages { vehicle: Some(name), ..WhichMessages::default() };
    let messages = store.messages_now(tenant, which, usize::MAX).unwrap_or_default();
    let routes =
        store.routes(tenant, name, usize::MAX).now_or_never().and_then(Result::ok).unwrap_or_default();
    let messages = messages.into_iter().filter(|message| message.to_vehicle).collect();
    Sent { vehicle, messages, routes }
}

fn judge(commands: &Commands, sent: &Sent, has_session: bool, now: WallTime) -> Option<String> {
    let messages = sent.messages.iter().map(|message| {
        (message_command(message.id), &message.passage, message.expires, format!("message {}", message.id))
    });
    let routes = sent.routes.iter().map(|route| {
        let what = format!("route {} version {}", route.id, route.version);
        (route_command(route.id, route.version), &route.passage, route.expires, what)
    });
    messages.chain(routes).find_map(|(id, passage, expires, what)| {
        let said = of_one(commands, (sent.vehicle, id), passage, has_session && expires > now)?;
        Some(format!("{what} for vehicle/{} {said}", sent.vehicle))
    })
}

fn of_one(commands: &Commands, (vehicle, id): (usize, u64), passage: &Passage, due: bool) -> Option<String> {
    let applied = commands.was_applied(vehicle, id);
    match passage.state() {
        PassageState::Applied if !applied => {
            Some("is applied in the store, and on board it is not".to_owned())
        }
        PassageState::Refused => Some("was refused by its tracker".to_owned()),
        state @ (PassageState::Queued | PassageState::Delivered) if due => Some(format!("is still {state}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use drover_model::orders::{Action, Command};
    use drover_model::{CommandId, MessageId};

    use super::*;

    const NOW: WallTime = WallTime::from_secs(1_772_434_800);

    fn check(to: Option<PassageState>, lasts_s: i64, reached: bool, settled: bool, expected: &str) {
        let (tenant, vehicle): (TenantId, VehicleId) =
            ("acme".parse().expect("a name"), "V".parse().expect("a name"));
        let store = MemoryStore::new();
        let message = MessageId::from_bits(1);
        let expires = WallTime::from_secs(1_772_434_800 + lasts_s);
        let send = Action::SendMessage { message, vehicle, to_vehicle: true, body: String::new(), expires };
        let pass = to.map(|to| Action::PassMessage { message, vehicle, to });
        for (id, action) in (1..).zip(std::iter::once(send).chain(pass)) {
            let command = Command { tenant, id: CommandId::from_bits(id), at: NOW, action };
            store.carry_out_now(command).expect("an outcome");
        }
        let commands = Commands::default();
        let found =
            commands_are_applied_once(&commands, &store, (tenant, &[vehicle]), &[reached], NOW, settled);
        let violation = found.violation.unwrap_or_default();
        assert!(violation.contains(expected) && violation.is_empty() == expected.is_empty(), "{violation}");
    }

    #[test]
    fn what_waits_for_a_vehicle_that_is_there_is_found() {
        check(None, 60, true, true, "is still queued");
        check(Some(PassageState::Delivered), 60, true, true, "is still delivered");
        check(None, 60, false, true, "");
        check(None, 60, true, false, "");
        check(None, 0, true, true, "");
        check(Some(PassageState::Expired), 60, true, true, "");
    }

    #[test]
    fn what_the_store_says_and_no_tracker_did_is_found() {
        check(Some(PassageState::Applied), 60, true, true, "is applied in the store, and on board it is not");
        check(Some(PassageState::Refused), 60, false, false, "was refused");
    }
}
