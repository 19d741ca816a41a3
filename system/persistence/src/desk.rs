//! The tools of share links, areas, routes and the feed of changes.

use drover_bus::desk::{
    CHANGES_MAX, ChangeGeofence, ChangeInfo, ChangeList, ChangeQuery, ChangeRoute, Changes, DrawGeofence,
    Ending, FindGeofences, FindRoutes, FindShareLinks, GeofenceDraft, GeofenceInfo, GeofenceList,
    GeofenceQuery, PlanRoute, ROUTES_MAX, RemoveGeofence, RevokeShareLink, RouteChange, RouteDraft,
    RouteInfo, RouteList, RouteQuery, ShareLinkDraft, ShareLinkInfo, ShareLinkList, ShareLinkQuery,
    ShareOrder,
};
use drover_bus::history::{Corner, ROWS_MAX};
use drover_bus::orders::CommandResult;
use drover_bus::{AgentBuilder, CallError};
use drover_model::Position;
use drover_model::orders::{Action, Change, Cursor, Geofence, Route, ShareLink};

use crate::arguments::{micros, missing, parsed, place, tenant, time, vehicle};
use crate::history::away;
use crate::orders::{Desk, on, over_at};

/// Actions of one answer, in bytes of JSON: well within one message.
const CHANGES_BYTES_MAX: usize = 2 << 20;

/// Adds the tools to an agent.
pub(crate) fn with_tools(agent: AgentBuilder, desk: &Desk) -> AgentBuilder {
    agent
        .tool::<ShareOrder, _, _>(on(desk, share))
        .tool::<RevokeShareLink, _, _>(on(desk, revoke))
        .tool::<FindShareLinks, _, _>(on(desk, share_links))
        .tool::<DrawGeofence, _, _>(on(desk, draw))
        .tool::<ChangeGeofence, _, _>(on(desk, change_geofence))
        .tool::<RemoveGeofence, _, _>(on(desk, remove))
        .tool::<FindGeofences, _, _>(on(desk, geofences))
        .tool::<PlanRoute, _, _>(on(desk, plan))
        .tool::<ChangeRoute, _, _>(on(desk, change_route))
        .tool::<FindRoutes, _, _>(on(desk, routes))
        .tool::<Changes, _, _>(on(desk, changes))
}

async fn share(desk: Desk, draft: ShareLinkDraft) -> Result<CommandResult, CallError> {
    let action = Action::ShareOrder {
        link: parsed(draft.link_id.as_deref(), "link_id")?,
        order: parsed(draft.order_id.as_deref(), "order_id")?,
        secret: parsed(draft.secret_sha256.as_deref(), "secret_sha256")?,
        expires: time(draft.expires_us.ok_or_else(|| missing("expires_us"))?),
    };
    desk.carry_out(draft.tenant, draft.command_id, action).await
}

async fn revoke(desk: Desk, ending: Ending) -> Result<CommandResult, CallError> {
    let action = Action::RevokeShareLink { link: parsed(ending.id.as_deref(), "id")? };
    desk.carry_out(ending.tenant, ending.command_id, action).await
}

async fn share_links(desk: Desk, query: ShareLinkQuery) -> Result<ShareLinkList, CallError> {
    let links = match (&query.secret_sha256, &query.order_id) {
        (Some(_), Some(_)) => {
            let both = "links are given by an order or by a secret, not by both";
            return Err(CallError::BadArguments(both.to_owned()));
        }
        (Some(secret), None) => desk.orders.share_link(parsed(Some(secret), "secret_sha256")?).await,
        (None, order) => {
            let (tenant, order) = (tenant(query.tenant.as_deref())?, parsed(order.as_deref(), "order_id")?);
            desk.orders.share_links(tenant, order, ROWS_MAX).await
        }
    };
    let info = |link: &ShareLink| ShareLinkInfo {
        link_id: Some(link.id.to_string()),
        tenant: Some(link.tenant.to_string()),
        order_id: Some(link.order.to_string()),
        created_us: micros(link.created),
        expires_us: micros(link.expires),
        revoked_us: link.revoked.and_then(micros),
    };
    Ok(ShareLinkList { links: links.map_err(away)?.iter().map(info).collect() })
}

async fn draw(desk: Desk, draft: GeofenceDraft) -> Result<CommandResult, CallError> {
    let action = Action::DrawGeofence {
        geofence: parsed(draft.geofence_id.as_deref(), "geofence_id")?,
        title: draft.title.ok_or_else(|| missing("title"))?,
        corners: positions(&draft.corners)?,
    };
    desk.carry_out(draft.tenant, draft.command_id, action).await
}

async fn change_geofence(desk: Desk, draft: GeofenceDraft) -> Result<CommandResult, CallError> {
    let corners = positions(&draft.corners)?;
    let action = Action::ChangeGeofence {
        geofence: parsed(draft.geofence_id.as_deref(), "geofence_id")?,
        title: draft.title,
        corners: Some(corners).filter(|corners| !corners.is_empty()),
    };
    desk.carry_out(draft.tenant, draft.command_id, action).await
}

async fn remove(desk: Desk, ending: Ending) -> Result<CommandResult, CallError> {
    let action = Action::RemoveGeofence { geofence: parsed(ending.id.as_deref(), "id")? };
    desk.carry_out(ending.tenant, ending.command_id, action).await
}

async fn geofences(desk: Desk, query: GeofenceQuery) -> Result<GeofenceList, CallError> {
    let drawn = desk.orders.geofences(tenant(query.tenant.as_deref())?, ROWS_MAX).await.map_err(away)?;
    let info = |geofence: &Geofence| GeofenceInfo {
        geofence_id: Some(geofence.id.to_string()),
        title: Some(geofence.title.clone()),
        corners: geofence.corners.iter().map(corner).collect(),
    };
    Ok(GeofenceList { geofences: drawn.iter().map(info).collect() })
}

async fn plan(desk: Desk, draft: RouteDraft) -> Result<CommandResult, CallError> {
    let stops = draft.stop_ids.iter().map(|stop| parsed(Some(stop), "stop_ids"));
    let action = Action::PlanRoute {
        route: parsed(draft.route_id.as_deref(), "route_id")?,
        version: draft.version.ok_or_else(|| missing("version"))?,
        vehicle: vehicle(draft.vehicle_id.as_deref())?,
        stops: stops.collect::<Result<_, _>>()?,
        path: positions(&draft.path)?,
        reason: draft.reason.unwrap_or_default(),
    };
    desk.carry_out(draft.tenant, draft.command_id, action).await
}

async fn change_route(desk: Desk, change: RouteChange) -> Result<CommandResult, CallError> {
    let action = Action::ChangeRoute {
        route: parsed(change.route_id.as_deref(), "route_id")?,
        version: change.version.ok_or_else(|| missing("version"))?,
        from: parsed(change.from.as_deref(), "from")?,
        to: parsed(change.to.as_deref(), "to")?,
    };
    desk.carry_out(change.tenant, change.command_id, action).await
}

async fn routes(desk: Desk, query: RouteQuery) -> Result<RouteList, CallError> {
    let (tenant, vehicle) = (tenant(query.tenant.as_deref())?, vehicle(query.vehicle_id.as_deref())?);
    let limit = (query.routes_max.unwrap_or(1) as usize).min(ROUTES_MAX);
    let routes = desk.orders.routes(tenant, vehicle, limit).await.map_err(away)?;
    let now = desk.env.wall();
    let info = |route: &Route| RouteInfo {
        route_id: Some(route.id.to_string()),
        version: Some(route.version),
        vehicle_id: Some(route.vehicle.to_string()),
        stop_ids: route.stops.iter().map(ToString::to_string).collect(),
        path: route.path.iter().map(corner).collect(),
        reason: Some(route.reason.clone()),
        state: Some(route.state.to_string()),
        created_us: micros(route.created),
        changed_us: micros(route.changed),
        delivered_us: route.passage.delivered.and_then(micros),
        applied_us: route.passage.applied.and_then(micros),
        expired_us: over_at(&route.passage, route.expires, now),
        refused_us: route.passage.refused.and_then(micros),
    };
    Ok(RouteList { routes: routes.iter().map(info).collect() })
}

async fn changes(desk: Desk, query: ChangeQuery) -> Result<ChangeList, CallError> {
    let tenant = tenant(query.tenant.as_deref())?;
    if query.from_end.unwrap_or_default() {
        let end = desk.orders.changes_end(tenant).await.map_err(away)?;
        let end = end.first().copied().unwrap_or_default();
        return Ok(ChangeList { changes: Vec::new(), next: Some(end.to_string()) });
    }
    let after = match &query.after {
        Some(after) => parsed(Some(after), "after")?,
        None => Cursor::default(),
    };
    let limit = query.changes_max.map_or(CHANGES_MAX, |most| (most as usize).min(CHANGES_MAX));
    let found = desk.orders.changes(tenant, after, limit).await.map_err(away)?;
    let mut bytes = 0;
    let mut changes = Vec::with_capacity(found.len());
    for Change { cursor, at, action, had_by } in found {
        let action =
            serde_json::to_string(&action).map_err(|error| CallError::Unavailable(error.to_string()))?;
        bytes += action.len();
        // The first goes in whatever its size, so that a reader gets on.
        if bytes > CHANGES_BYTES_MAX && !changes.is_empty() {
            break;
        }
        changes.push(ChangeInfo {
            cursor: Some(cursor.to_string()),
            at_us: micros(at),
            action: Some(action),
            had_by: had_by.map(|vehicle| vehicle.to_string()),
        });
    }
    let next = changes.last().and_then(|change| change.cursor.clone()).unwrap_or_else(|| after.to_string());
    Ok(ChangeList { changes, next: Some(next) })
}

fn positions(corners: &[Corner]) -> Result<Vec<Position>, CallError> {
    corners.iter().map(|corner| place(corner.lat, corner.lon)).collect()
}

fn corner(position: &Position) -> Corner {
    Corner { lat: Some(position.lat()), lon: Some(position.lon()) }
}
