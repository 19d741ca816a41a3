//! The tools of the downlink: what waits for the trackers of vehicles, as these get it; for whom there is something new; and how far
//! it came.

use drover_bus::downlink::{
    COMMANDS_EACH_MAX, DownlinkInfo, DownlinkList, DownlinkQuery, PassageReport, ReportPassage, VehicleKey,
    WaitingDownlinks, WatchDownlinks,
};
use drover_bus::orders::CommandResult;
use drover_bus::{AgentBuilder, CallError};
use drover_model::orders::{Action, Message, PassageState, Route, message_command, route_command};
use drover_model::{CommandId, Position, TenantId, VehicleId, WallTime};
use drover_store::Waiting;
use drover_wire::downlink::{BODY_BYTES_MAX, MESSAGE, MessageBody, ROUTE, RouteBody, path_to_wire};
use prost::Message as _;

use crate::arguments::{micros, missing, parsed, tenant, vehicle};
use crate::board::answer;
use crate::history::away;
use crate::orders::{Desk, on};

/// Bodies of one answer, in bytes: well within one message.
const ANSWER_BYTES_MAX: usize = 2 << 20;

/// Adds the tools to an agent.
pub(crate) fn with_tools(agent: AgentBuilder, desk: &Desk) -> AgentBuilder {
    agent
        .tool::<WaitingDownlinks, _, _>(on(desk, waiting))
        .tool::<ReportPassage, _, _>(on(desk, report))
        .tool::<WatchDownlinks, _, _>(on(desk, |desk: Desk, query| async move {
        Ok(answer(&desk.board, query).await)
    }))
}

async fn waiting(desk: Desk, query: DownlinkQuery) -> Result<DownlinkList, CallError> {
    let mut of_tenants: Vec<(TenantId, Vec<VehicleId>)> = Vec::new();
    for key in &query.vehicles {
        let (tenant, vehicle) = (tenant(key.tenant.as_deref())?, vehicle(key.vehicle_id.as_deref())?);
        match of_tenants.iter_mut().find(|(of, _)| *of == tenant) {
            Some((_, vehicles)) if vehicles.contains(&vehicle) => {}
            Some((_, vehicles)) => vehicles.push(vehicle),
            None => of_tenants.push((tenant, vec![vehicle])),
        }
    }
    let (now, mut list, mut bytes) = (desk.env.wall(), DownlinkList::default(), 0);
    for (tenant, vehicles) in of_tenants {
        let found = desk.orders.waiting(tenant, vehicles, now, COMMANDS_EACH_MAX).await.map_err(away)?;
        for of_vehicle in found.chunk_by(|one, next| one.vehicle() == next.vehicle()) {
            let mut taken = 0;
            for thing in of_vehicle {
                let info = command_of(tenant, thing);
                let len = info.body.as_ref().map_or(0, Vec::len);
                // The first of all goes in whatever its size.
                if bytes > 0 && bytes + len > ANSWER_BYTES_MAX {
                    break;
                }
                bytes += len;
                taken += 1;
                list.commands.push(info);
            }
            if let Some(first) = of_vehicle.first()
                && (taken < of_vehicle.len() || taken == COMMANDS_EACH_MAX)
            {
                list.more.push(key_of(tenant, first.vehicle()));
            }
        }
    }
    Ok(list)
}

/// How the bus names a vehicle.
pub(crate) fn key_of(tenant: TenantId, vehicle: VehicleId) -> VehicleKey {
    VehicleKey { tenant: Some(tenant.to_string()), vehicle_id: Some(vehicle.to_string()) }
}

fn command_of(tenant: TenantId, waiting: &Waiting) -> DownlinkInfo {
    match waiting {
        Waiting::Message(message) => message_info(tenant, message),
        Waiting::Route(route) => route_info(tenant, route),
    }
}

fn message_info(tenant: TenantId, message: &Message) -> DownlinkInfo {
    let body = MessageBody {
        message_id: Some(message.id.to_string()),
        text: Some(message.body.clone()),
        sent_us: micros(message.created),
    };
    DownlinkInfo {
        id: Some(message_command(message.id)),
        name: Some(MESSAGE.to_owned()),
        message_id: Some(message.id.to_string()),
        ..info(tenant, message.vehicle, message.expires, body.encode_to_vec())
    }
}

fn route_info(tenant: TenantId, route: &Route) -> DownlinkInfo {
    let mut path = route.path.clone();
    let body = loop {
        let body = RouteBody {
            route_id: Some(route.id.to_string()),
            version: Some(route.version),
            planned_us: micros(route.created),
            stop_ids: route.stops.iter().map(ToString::to_string).collect(),
            reason: Some(route.reason.clone()),
            path: path_to_wire(&path),
        };
        let bytes = body.encode_to_vec();
        if bytes.len() <= BODY_BYTES_MAX || path.is_empty() {
            break bytes;
        }
        path = every_other(&path);
    };
    DownlinkInfo {
        id: Some(route_command(route.id, route.version)),
        name: Some(ROUTE.to_owned()),
        route_id: Some(route.id.to_string()),
        version: Some(route.version),
        ..info(tenant, route.vehicle, route.expires, body)
    }
}

fn info(tenant: TenantId, vehicle: VehicleId, expires: WallTime, body: Vec<u8>) -> DownlinkInfo {
    DownlinkInfo {
        tenant: Some(tenant.to_string()),
        vehicle_id: Some(vehicle.to_string()),
        expires_us: micros(expires),
        body: Some(body),
        ..DownlinkInfo::default()
    }
}

/// Every other point of a line, and its last; nothing of one that has only its ends.
fn every_other(path: &[Position]) -> Vec<Position> {
    let Some(last) = path.len().checked_sub(1).filter(|last| *last > 1) else { return Vec::new() };
    let kept = path.iter().enumerate().filter(|(place, _)| place.is_multiple_of(2) || *place == last);
    kept.map(|(_, point)| *point).collect()
}

async fn report(desk: Desk, report: PassageReport) -> Result<CommandResult, CallError> {
    let vehicle = vehicle(report.vehicle_id.as_deref())?;
    let to: PassageState = parsed(report.to.as_deref(), "to")?;
    let action = match (&report.message_id, &report.route_id) {
        (Some(message), None) => {
            Action::PassMessage { message: parsed(Some(message), "message_id")?, vehicle, to }
        }
        (None, Some(route)) => {
            let version = report.version.ok_or_else(|| missing("version"))?;
            Action::PassRoute { route: parsed(Some(route), "route_id")?, version, vehicle, to }
        }
        _ => return Err(CallError::BadArguments("either message_id or route_id says what it is".to_owned())),
    };
    let id = report_id(&action).to_string();
    desk.carry_out_of(report.tenant, Some(id), report.at_us, action).await
}

/// The identity of what a tracker says: the same whichever gateway passes it on, and however often. FNV-1a of 128 bits over what is
/// said.
fn report_id(action: &Action) -> CommandId {
    let said = match action {
        Action::PassMessage { message, vehicle, to } => format!("message {message} {vehicle} {to}"),
        Action::PassRoute { route, version, vehicle, to } => {
            format!("route {route} {version} {vehicle} {to}")
        }
        other => format!("{other:?}"),
    };
    let offset = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128;
    let fold = |hash: u128, byte: u8| (hash ^ u128::from(byte)).wrapping_mul((1 << 88) + 0x13b);
    CommandId::from_bits(said.bytes().fold(offset, fold))
}

#[cfg(test)]
mod tests {
    use drover_model::orders::{Passage, RouteState};
    use drover_model::{MessageId, RouteId};
    use drover_wire::decode;

    use super::*;

    fn names() -> (TenantId, VehicleId) {
        ("acme".parse().expect("a name"), "V".parse().expect("a name"))
    }

    #[test]
    fn a_path_that_is_too_long_for_a_frame_is_thinned_and_keeps_its_ends() {
        let (tenant, vehicle) = names();
        let point =
            |n: u32| Position::new(60.0 + f64::from(n % 7) * 0.01, f64::from(n) * 0.01).expect("in range");
        let route = Route {
            id: RouteId::from_bits(1),
            version: 3,
            vehicle,
            stops: vec![],
            path: (0..10_000).map(point).collect(),
            reason: "r".repeat(4_096),
            state: RouteState::Queued,
            created: WallTime::from_secs(5),
            changed: WallTime::from_secs(5),
            expires: WallTime::from_secs(9),
            passage: Passage::default(),
        };
        let info = route_info(tenant, &route);
        let body = info.body.expect("a body");
        assert!(body.len() <= BODY_BYTES_MAX, "{}", body.len());
        let body: RouteBody = decode(&body).expect("a route");
        let path = drover_wire::downlink::path_from_wire(&body.path).expect("a path");
        assert!(path.len() > 2_000, "{}", path.len());
        let near = |one: &Position, other: &Position| (one.lon() - other.lon()).abs() < 1e-5;
        assert!(near(&path[0], &route.path[0]) && near(&path[path.len() - 1], &route.path[9_999]));
        assert_eq!(every_other(&route.path[..2]), []);
    }

    #[test]
    fn what_is_said_twice_has_one_identity_and_other_words_another() {
        let (_, vehicle) = names();
        let said =
            |bits, to| report_id(&Action::PassMessage { message: MessageId::from_bits(bits), vehicle, to });
        assert_eq!(said(1, PassageState::Applied), said(1, PassageState::Applied));
        assert_ne!(said(1, PassageState::Applied), said(1, PassageState::Delivered));
        assert_ne!(said(1, PassageState::Applied), said(2, PassageState::Applied));
    }
}
