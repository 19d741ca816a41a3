//! Things as answers show them.

use drover_bus::desk::{ChangeInfo, GeofenceInfo, RouteInfo, ShareLinkInfo};
use drover_bus::orders::{MessageInfo, OrderInfo, StopInfo};
use drover_model::orders::{Action, NewStop, OrderState, StopState};
use drover_model::{OrderId, ShareLinkId, StopId, VehicleId, WallTime};
use serde_json::{Map, Value, json};

/// A time as answers write it (RFC 3339, milliseconds).
pub(crate) fn time(micros: u64) -> Value {
    let millis = i64::try_from(micros / 1_000).unwrap_or(i64::MAX / 1_000);
    let time = WallTime::from_micros(millis * 1_000).to_string();
    // Whole seconds and shorter fractions are written out, so that texts sort as times do.
    let head = time.strip_suffix('Z').unwrap_or(&time);
    Value::String(match head.split_once('.') {
        Some((seconds, fraction)) => format!("{seconds}.{fraction:0<3}Z"),
        None => format!("{head}.000Z"),
    })
}

fn time_if_any(micros: Option<u64>) -> Value {
    micros.map_or(Value::Null, time)
}

fn position(lat: Option<f64>, lon: Option<f64>) -> Value {
    json!({ "lon": lon, "lat": lat })
}

pub(crate) fn order(order: &OrderInfo) -> Value {
    let stops: Vec<Value> =
        order.stops.iter().enumerate().map(|(sequence, info)| stop(info, sequence)).collect();
    json!({
        "id": order.order_id, "customer": order.customer, "state": order.state, "vehicle": order.vehicle_id,
        "created": time_if_any(order.created_us), "changed": time_if_any(order.changed_us), "stops": stops,
    })
}

pub(crate) fn stop(stop: &StopInfo, sequence: usize) -> Value {
    json!({
        "id": stop.stop_id, "sequence": sequence, "position": position(stop.lat, stop.lon), "state": stop.state,
        "due_from": time_if_any(stop.due_from_us), "due_until": time_if_any(stop.due_until_us),
        "changed": time_if_any(stop.changed_us),
        // When it came to where it is: a stop that is done does not keep when its vehicle arrived.
        "arrived": if stop.state.as_deref() == Some("arrived") { time_if_any(stop.changed_us) } else { Value::Null },
        "done": if stop.state.as_deref() == Some("done") { time_if_any(stop.changed_us) } else { Value::Null },
    })
}

/// When a message or a route got how far on its way to the tracker of its vehicle.
fn states(queued: Option<u64>, [delivered, applied, expired, refused]: [Option<u64>; 4]) -> Value {
    json!({
        "queued": time_if_any(queued), "delivered": time_if_any(delivered), "applied": time_if_any(applied),
        "expired": time_if_any(expired), "refused": time_if_any(refused),
    })
}

pub(crate) fn message(message: &MessageInfo) -> Value {
    let times = [message.delivered_us, message.applied_us, message.expired_us, message.refused_us];
    let to_vehicle = message.to_vehicle.unwrap_or_default();
    json!({
        "states": if to_vehicle { states(message.created_us, times) } else { Value::Null },
        "id": message.message_id, "vehicle": message.vehicle_id, "to_vehicle": message.to_vehicle, "body": message.body,
        "state": message.state, "created": time_if_any(message.created_us), "changed": time_if_any(message.changed_us),
        "expires": time_if_any(message.expires_us),
    })
}

/// `previous` is the revision that this one replaces.
pub(crate) fn route(route: &RouteInfo) -> Value {
    let version = route.version.unwrap_or_default();
    let times = [route.delivered_us, route.applied_us, route.expired_us, route.refused_us];
    let line: Vec<[Option<f64>; 2]> = route.path.iter().map(|point| [point.lon, point.lat]).collect();
    json!({
        "id": route.route_id, "revision": version, "vehicle": route.vehicle_id, "stops": route.stop_ids,
        "polyline": if line.is_empty() { Value::Null } else { json!(line) }, "reason": route.reason,
        "state": route.state, "created": time_if_any(route.created_us), "changed": time_if_any(route.changed_us),
        "states": states(route.created_us, times),
        "previous": if version > 1 { json!(version - 1) } else { Value::Null },
    })
}

/// A link without its secret, which nobody knows any more.
pub(crate) fn share_link(link: &ShareLinkInfo) -> Value {
    json!({
        "id": link.link_id, "order": link.order_id, "created": time_if_any(link.created_us),
        "expires": time_if_any(link.expires_us), "revoked": time_if_any(link.revoked_us),
    })
}

/// A GeoJSON feature (RFC 7946).
pub(crate) fn geofence(geofence: &GeofenceInfo) -> Value {
    let mut ring: Vec<[Option<f64>; 2]> =
        geofence.corners.iter().map(|corner| [corner.lon, corner.lat]).collect();
    ring.extend(ring.first().copied());
    json!({
        "type": "Feature", "id": geofence.geofence_id, "properties": { "name": geofence.title },
        "geometry": { "type": "Polygon", "coordinates": [ring] },
    })
}

/// The kind of thing that an action is about.
pub(crate) const fn kind_of(action: &Action) -> &'static str {
    match action {
        Action::CreateOrder { .. } | Action::ChangeOrder { .. } => "order",
        Action::ChangeStop { .. } => "stop",
        Action::SendMessage { .. } | Action::ChangeMessage { .. } | Action::PassMessage { .. } => "message",
        Action::ShareOrder { .. } | Action::RevokeShareLink { .. } => "share_link",
        Action::DrawGeofence { .. } | Action::ChangeGeofence { .. } | Action::RemoveGeofence { .. } => {
            "geofence"
        }
        Action::PlanRoute { .. } | Action::ChangeRoute { .. } | Action::PassRoute { .. } => "route",
    }
}

/// An entry of the feed: its place, its time, what it is about, and the fields that the change has set.
fn change(info: &ChangeInfo, action: &Action) -> Value {
    let mut entry = Map::new();
    entry.insert("cursor".to_owned(), json!(info.cursor));
    entry.insert("at".to_owned(), time_if_any(info.at_us));
    entry.insert("kind".to_owned(), json!(kind_of(action)));
    let at = time_if_any(info.at_us);
    let fields = match action {
        Action::CreateOrder { order, customer, stops } => json!({
            "id": order, "customer": customer, "state": "planned", "vehicle": null, "created": at, "changed": at,
            "stops": stops.iter().enumerate().map(|(sequence, stop)| new_stop(stop, sequence, &at)).collect::<Vec<_>>(),
        }),
        Action::ChangeOrder { order, to, vehicle, .. } => match vehicle {
            Some(vehicle) => json!({ "id": order, "state": to, "changed": at, "vehicle": vehicle }),
            None => json!({ "id": order, "state": to, "changed": at }),
        },
        Action::ChangeStop { stop, to, .. } => json!({ "id": stop, "state": to, "changed": at }),
        Action::SendMessage { message, vehicle, to_vehicle, body, expires } => json!({
            "id": message, "vehicle": vehicle, "to_vehicle": to_vehicle, "body": body, "state": "queued",
            "created": at, "changed": at, "expires": expires,
            "states": if *to_vehicle { json!({ "queued": at }) } else { Value::Null },
        }),
        Action::ChangeMessage { message, to, .. } => json!({ "id": message, "state": to, "changed": at }),
        // What the tracker says leaves the state alone, which is people's.
        Action::PassMessage { message, vehicle, to } => {
            json!({ "id": message, "vehicle": vehicle, "states": { to.as_str(): at } })
        }
        Action::PassRoute { route, version, vehicle, to } => {
            json!({ "id": route, "revision": version, "vehicle": vehicle, "states": { to.as_str(): at } })
        }
        Action::ShareOrder { link, order, expires, .. } => {
            json!({ "id": link, "order": order, "created": at, "expires": expires })
        }
        Action::RevokeShareLink { link } => json!({ "id": link, "revoked": at }),
        Action::DrawGeofence { geofence, title, .. } => json!({ "id": geofence, "name": title }),
        Action::ChangeGeofence { geofence, title: Some(title), .. } => {
            json!({ "id": geofence, "name": title, "changed": at })
        }
        Action::ChangeGeofence { geofence, title: None, .. } => json!({ "id": geofence, "changed": at }),
        Action::RemoveGeofence { geofence } => json!({ "id": geofence, "removed": at }),
        Action::PlanRoute { route, version, vehicle, stops, reason, .. } => json!({
            "id": route, "revision": version, "vehicle": vehicle, "stops": stops, "reason": reason, "state": "queued",
            "states": { "queued": at },
        }),
        Action::ChangeRoute { route, version, to, .. } => {
            json!({ "id": route, "revision": version, "state": to })
        }
    };
    if let Value::Object(fields) = fields {
        entry.extend(fields);
    }
    Value::Object(entry)
}

fn new_stop(stop: &NewStop, sequence: usize, at: &Value) -> Value {
    json!({
        "id": stop.id, "sequence": sequence, "state": "planned", "due_from": stop.due_from, "due_until": stop.due_until,
        "position": { "lon": stop.position.lon(), "lat": stop.position.lat() }, "changed": at,
    })
}

/// What was done, by an entry of the feed. `None` of what this program does not know: an agent of a later version may know more.
pub fn action(info: &ChangeInfo) -> Option<Action> {
    serde_json::from_str(info.action.as_deref()?).ok()
}

/// An entry of the feed as readers are told it, and the vehicle that it is about, if it says so: then whoever may see that vehicle
/// may hear of it. A step of an order is about the vehicle that gets it, or else about the one that had it.
pub fn event(info: &ChangeInfo, action: &Action) -> (Value, Option<VehicleId>) {
    let vehicle = match action {
        Action::ChangeOrder { vehicle, .. } => vehicle.or_else(|| info.had_by.as_deref()?.parse().ok()),
        Action::SendMessage { vehicle, .. }
        | Action::PlanRoute { vehicle, .. }
        | Action::PassMessage { vehicle, .. }
        | Action::PassRoute { vehicle, .. } => Some(*vehicle),
        Action::CreateOrder { .. }
        | Action::ChangeStop { .. }
        | Action::ChangeMessage { .. }
        | Action::ShareOrder { .. }
        | Action::RevokeShareLink { .. }
        | Action::DrawGeofence { .. }
        | Action::ChangeGeofence { .. }
        | Action::RemoveGeofence { .. }
        | Action::ChangeRoute { .. } => None,
    };
    (change(info, action), vehicle)
}

/// What is over for those who have come by a share link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A link: it was taken back.
    Link(ShareLinkId),
    /// An order: it is no longer under way.
    Order(OrderId),
    /// A stop: the vehicle was there, or does not come. It ends what is seen by those alone who wait at it.
    Stop(StopId),
}

/// What an action ends.
pub const fn ended(action: &Action) -> Option<Ended> {
    match action {
        Action::RevokeShareLink { link } => Some(Ended::Link(*link)),
        // Nobody sees it before.
        Action::ChangeOrder { order, from: OrderState::UnderWay, .. } => Some(Ended::Order(*order)),
        Action::ChangeStop { stop, to: StopState::Done | StopState::Failed | StopState::Skipped, .. } => {
            Some(Ended::Stop(*stop))
        }
        _ => None,
    }
}

/// The stop that an action takes up again after it had ended.
pub const fn reopened(action: &Action) -> Option<StopId> {
    match action {
        Action::ChangeStop { stop, to: StopState::Planned, .. } => Some(*stop),
        _ => None,
    }
}

/// The order that sets out by an action: whoever is to see it from then on has a token that says when that was.
pub const fn set_out(action: &Action) -> Option<OrderId> {
    match action {
        Action::ChangeOrder { order, to: OrderState::UnderWay, .. } => Some(*order),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_share_link_shows_ends_with_it_and_with_the_way_of_its_order() {
        let (order, link, stop) = (OrderId::from_bits(12), ShareLinkId::from_bits(7), StopId::from_bits(90));
        let step = |from, to| ended(&Action::ChangeOrder { order, from, to, vehicle: None });
        assert_eq!(ended(&Action::RevokeShareLink { link }), Some(Ended::Link(link)));
        assert_eq!(step(OrderState::UnderWay, OrderState::Delivered), Some(Ended::Order(order)));
        assert_eq!(step(OrderState::UnderWay, OrderState::Failed), Some(Ended::Order(order)));
        assert_eq!(step(OrderState::Assigned, OrderState::UnderWay), None, "it begins");
        assert_eq!(step(OrderState::Planned, OrderState::Assigned), None);
        let sets_out = |from, to| set_out(&Action::ChangeOrder { order, from, to, vehicle: None });
        assert_eq!(sets_out(OrderState::Assigned, OrderState::UnderWay), Some(order));
        assert_eq!(sets_out(OrderState::UnderWay, OrderState::Failed), None);
        let halt = |from, to| Action::ChangeStop { stop, from, to };
        for (from, to) in [
            (StopState::Arrived, StopState::Done),
            (StopState::Arrived, StopState::Failed),
            (StopState::Planned, StopState::Skipped),
        ] {
            assert_eq!(ended(&halt(from, to)), Some(Ended::Stop(stop)), "{to}");
            assert_eq!(reopened(&halt(from, to)), None, "{to}");
        }
        assert_eq!(ended(&halt(StopState::Planned, StopState::Arrived)), None, "it is at the door");
        let again = halt(StopState::Failed, StopState::Planned);
        assert_eq!((ended(&again), reopened(&again)), (None, Some(stop)));
    }

    #[test]
    fn times_have_milliseconds_always() {
        for (micros, expected) in [
            (1_772_434_800_000_000, "2026-03-02T07:00:00.000Z"),
            (1_772_434_800_120_999, "2026-03-02T07:00:00.120Z"),
            (1_772_434_800_123_456, "2026-03-02T07:00:00.123Z"),
        ] {
            assert_eq!(time(micros), expected);
        }
    }
}
