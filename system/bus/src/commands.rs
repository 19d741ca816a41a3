//! Commands on their way to an agent: each kind of action has a tool.

use drover_model::orders::{Action, Command, NewStop, PassageState};
use drover_model::{Position, VehicleId, WallTime};

use crate::desk::{
    ChangeGeofence, ChangeRoute, DrawGeofence, Ending, GeofenceDraft, PlanRoute, RemoveGeofence,
    RevokeShareLink, RouteChange, RouteDraft, ShareLinkDraft, ShareOrder,
};
use crate::downlink::{PassageReport, ReportPassage};
use crate::history::Corner;
use crate::orders::{
    ChangeMessage, ChangeOrder, ChangeStop, CommandResult, CreateOrder, MessageDraft, OrderDraft,
    SendMessage, StateChange, StopDraft,
};
use crate::{CallError, CallOptions, Pool, Route};

/// Asks an agent to carry out `command`, and others if that one does not answer. Of a step and of a message the moment goes along; of
/// all else it is the agent's.
///
/// # Errors
/// As [`Pool::call`]. After an error that says that repeating helps, the same command tells what became of it.
pub async fn carry_out(
    pool: &Pool,
    route: Route,
    command: &Command,
    options: CallOptions,
) -> Result<CommandResult, CallError> {
    let (tenant, id) = (Some(command.tenant.to_string()), Some(command.id.to_string()));
    let wish = Wish { tenant, id, at_us: micros(command.at) };
    match &command.action {
        Action::CreateOrder { order, customer, stops } => {
            let draft = OrderDraft {
                tenant: wish.tenant,
                command_id: wish.id,
                order_id: Some(order.to_string()),
                customer: Some(customer.clone()),
                stops: stops.iter().map(stop_draft).collect(),
            };
            pool.call::<CreateOrder>(route, &draft, options).await
        }
        Action::ChangeOrder { order, from, to, vehicle } => {
            let change = wish.step(order.to_string(), from.as_str(), to.as_str(), vehicle.as_ref());
            pool.call::<ChangeOrder>(route, &change, options).await
        }
        Action::ChangeStop { stop, from, to } => {
            let change = wish.step(stop.to_string(), from.as_str(), to.as_str(), None);
            pool.call::<ChangeStop>(route, &change, options).await
        }
        Action::SendMessage { message, vehicle, to_vehicle, body, expires } => {
            let draft = MessageDraft {
                tenant: wish.tenant,
                command_id: wish.id,
                message_id: Some(message.to_string()),
                vehicle_id: Some(vehicle.to_string()),
                to_vehicle: Some(*to_vehicle),
                body: Some(body.clone()),
                expires_us: micros(*expires),
                at_us: wish.at_us,
            };
            pool.call::<SendMessage>(route, &draft, options).await
        }
        Action::ChangeMessage { message, from, to } => {
            let change = wish.step(message.to_string(), from.as_str(), to.as_str(), None);
            pool.call::<ChangeMessage>(route, &change, options).await
        }
        Action::PassMessage { message, vehicle, to } => {
            let message_id = Some(message.to_string());
            let report = PassageReport { message_id, ..wish.passage(vehicle, *to) };
            pool.call::<ReportPassage>(route, &report, options).await
        }
        Action::PassRoute { route: id, version, vehicle, to } => {
            let route_id = Some(id.to_string());
            let report = PassageReport { route_id, version: Some(*version), ..wish.passage(vehicle, *to) };
            pool.call::<ReportPassage>(route, &report, options).await
        }
        Action::ShareOrder { link, order, secret, expires } => {
            let draft = ShareLinkDraft {
                tenant: wish.tenant,
                command_id: wish.id,
                link_id: Some(link.to_string()),
                order_id: Some(order.to_string()),
                secret_sha256: Some(secret.to_string()),
                expires_us: micros(*expires),
            };
            pool.call::<ShareOrder>(route, &draft, options).await
        }
        Action::RevokeShareLink { link } => {
            pool.call::<RevokeShareLink>(route, &wish.ending(link.to_string()), options).await
        }
        Action::DrawGeofence { geofence, title, corners } => {
            let draft = GeofenceDraft {
                tenant: wish.tenant,
                command_id: wish.id,
                geofence_id: Some(geofence.to_string()),
                title: Some(title.clone()),
                corners: corners.iter().map(corner).collect(),
            };
            pool.call::<DrawGeofence>(route, &draft, options).await
        }
        Action::ChangeGeofence { geofence, title, corners } => {
            let draft = GeofenceDraft {
                tenant: wish.tenant,
                command_id: wish.id,
                geofence_id: Some(geofence.to_string()),
                title: title.clone(),
                corners: corners.iter().flatten().map(corner).collect(),
            };
            pool.call::<ChangeGeofence>(route, &draft, options).await
        }
        Action::RemoveGeofence { geofence } => {
            pool.call::<RemoveGeofence>(route, &wish.ending(geofence.to_string()), options).await
        }
        Action::PlanRoute { route: id, version, vehicle, stops, path, reason } => {
            let draft = RouteDraft {
                tenant: wish.tenant,
                command_id: wish.id,
                route_id: Some(id.to_string()),
                version: Some(*version),
                vehicle_id: Some(vehicle.to_string()),
                stop_ids: stops.iter().map(ToString::to_string).collect(),
                path: path.iter().map(corner).collect(),
                reason: Some(reason.clone()),
            };
            pool.call::<PlanRoute>(route, &draft, options).await
        }
        Action::ChangeRoute { route: id, version, from, to } => {
            let change = RouteChange {
                tenant: wish.tenant,
                command_id: wish.id,
                route_id: Some(id.to_string()),
                version: Some(*version),
                from: Some(from.to_string()),
                to: Some(to.to_string()),
            };
            pool.call::<ChangeRoute>(route, &change, options).await
        }
    }
}

/// Whose wish it is, and which.
struct Wish {
    tenant: Option<String>,
    id: Option<String>,
    at_us: Option<u64>,
}

impl Wish {
    fn step(self, id: String, from: &str, to: &str, vehicle: Option<&VehicleId>) -> StateChange {
        StateChange {
            tenant: self.tenant,
            command_id: self.id,
            id: Some(id),
            from: Some(from.to_owned()),
            to: Some(to.to_owned()),
            vehicle_id: vehicle.map(ToString::to_string),
            at_us: self.at_us,
        }
    }

    /// What a tracker says has an identity of its own, which the agent makes.
    fn passage(self, vehicle: &VehicleId, to: PassageState) -> PassageReport {
        PassageReport {
            tenant: self.tenant,
            vehicle_id: Some(vehicle.to_string()),
            to: Some(to.to_string()),
            at_us: self.at_us,
            ..PassageReport::default()
        }
    }

    fn ending(self, id: String) -> Ending {
        Ending { tenant: self.tenant, command_id: self.id, id: Some(id) }
    }
}

fn stop_draft(stop: &NewStop) -> StopDraft {
    StopDraft {
        stop_id: Some(stop.id.to_string()),
        lat: Some(stop.position.lat()),
        lon: Some(stop.position.lon()),
        due_from_us: stop.due_from.and_then(micros),
        due_until_us: stop.due_until.and_then(micros),
    }
}

fn corner(position: &Position) -> Corner {
    Corner { lat: Some(position.lat()), lon: Some(position.lon()) }
}

fn micros(time: WallTime) -> Option<u64> {
    u64::try_from(time.as_micros()).ok()
}
