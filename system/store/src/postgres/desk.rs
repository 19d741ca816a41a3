//! Share links, areas, routes, and the feed of what was carried out.

use drover_model::orders::{Action, Change, Cursor, Geofence, Route, ShareLink};
use drover_model::{OrderId, Position, ShareHash, StopId, TenantId, VehicleId};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::types::Json;

use super::error::describe_any;
use super::orders::{parsed, passage};
use super::reading::{get, one_more, time, time_if_any};

const LINK: &str = "tenant_id::text, share_link_id::text, order_id::text, (extract(epoch FROM created_at) * 1000000)::bigint AS created_us, \
     (extract(epoch FROM expires_at) * 1000000)::bigint AS expires_us, (extract(epoch FROM revoked_at) * 1000000)::bigint AS revoked_us";
const LINKS_OF: &str =
    "FROM public.share_links WHERE tenant_id = $1 AND order_id = $2::uuid ORDER BY share_link_id LIMIT $3";
/// An area that somebody has drawn by hand may have several parts; the first has the name here.
const GEOFENCES: &str = "SELECT geofence_id::text, title, lons, lats FROM public.geofences, LATERAL (SELECT \
     array_agg(ST_X(geom) ORDER BY path) AS lons, array_agg(ST_Y(geom) ORDER BY path) AS lats \
     FROM ST_DumpPoints(ST_ExteriorRing(ST_GeometryN(area, 1)))) AS corners WHERE tenant_id = $1 ORDER BY geofence_id LIMIT $2";
/// What is read of a route, and where from.
pub(super) const ROUTE: &str = "route_id::text, version, vehicle_id::text, stops::text[] AS stops, reason, state, lons, lats, \
     (extract(epoch FROM created_at) * 1000000)::bigint AS created_us, (extract(epoch FROM changed_at) * 1000000)::bigint AS changed_us, \
     (extract(epoch FROM coalesce(expires_at, created_at)) * 1000000)::bigint AS expires_us, \
     (extract(epoch FROM delivered_at) * 1000000)::bigint AS delivered_us, (extract(epoch FROM applied_at) * 1000000)::bigint AS applied_us, \
     (extract(epoch FROM expired_at) * 1000000)::bigint AS expired_us, (extract(epoch FROM refused_at) * 1000000)::bigint AS refused_us \
     FROM public.routes, LATERAL (SELECT array_agg(ST_X(geom) ORDER BY dump.path) AS lons, \
     array_agg(ST_Y(geom) ORDER BY dump.path) AS lats FROM ST_DumpPoints(routes.path) AS dump) AS points";
const ROUTES: &str =
    "WHERE tenant_id = $1 AND vehicle_id = $2 ORDER BY created_at DESC, version DESC, route_id DESC LIMIT $3";
/// As far as every transaction that began before has ended.
const CHANGES: &str = "SELECT xid::text AS began, number, action, had_by::text, (extract(epoch FROM at) * 1000000)::bigint AS at_us FROM public.commands \
     WHERE tenant_id = $1 AND verdict = 'applied' AND (xid, number) > ($2::text::xid8, $3) \
     AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid, number LIMIT $4";

const CHANGES_END: &str = "SELECT xid::text AS began, number FROM public.commands WHERE tenant_id = $1 AND verdict = 'applied' \
     AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid DESC, number DESC LIMIT 1";

pub(super) async fn share_links(
    connection: &mut PgConnection,
    tenant: TenantId,
    order: OrderId,
    limit: usize,
) -> Result<Vec<ShareLink>, String> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT {LINK} {LINKS_OF}")))
        .bind(tenant.as_str())
        .bind(order.to_string())
        .bind(one_more(limit))
        .fetch_all(connection)
        .await
        .map_err(|error| describe_any(&error))?;
    rows.iter().map(link).collect()
}

pub(super) async fn share_link(
    connection: &mut PgConnection,
    secret: ShareHash,
) -> Result<Vec<ShareLink>, String> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT {LINK} FROM public.share_link_of($1)")))
        .bind(&secret.0[..])
        .fetch_all(connection)
        .await
        .map_err(|error| describe_any(&error))?;
    rows.iter().map(link).collect()
}

fn link(row: &PgRow) -> Result<ShareLink, String> {
    Ok(ShareLink {
        id: parsed(row, "share_link_id")?,
        tenant: parsed(row, "tenant_id")?,
        order: parsed(row, "order_id")?,
        created: time(row, "created_us")?,
        expires: time(row, "expires_us")?,
        revoked: time_if_any(row, "revoked_us")?,
    })
}

pub(super) async fn geofences(
    connection: &mut PgConnection,
    tenant: TenantId,
    limit: usize,
) -> Result<Vec<Geofence>, String> {
    let rows = sqlx::query(GEOFENCES)
        .bind(tenant.as_str())
        .bind(one_more(limit))
        .fetch_all(connection)
        .await
        .map_err(|error| describe_any(&error))?;
    let geofence = |row: &PgRow| {
        let mut corners = points(row)?;
        // A ring of PostGIS ends where it began.
        corners.pop();
        Ok(Geofence { id: parsed(row, "geofence_id")?, title: get(row, "title")?, corners })
    };
    rows.iter().map(geofence).collect()
}

pub(super) async fn routes(
    connection: &mut PgConnection,
    tenant: TenantId,
    vehicle: VehicleId,
    limit: usize,
) -> Result<Vec<Route>, String> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT {ROUTE} {ROUTES}")))
        .bind(tenant.as_str())
        .bind(vehicle.as_str())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await
        .map_err(|error| describe_any(&error))?;
    rows.iter().map(route).collect()
}

pub(super) fn route(row: &PgRow) -> Result<Route, String> {
    let stops: Vec<String> = get(row, "stops")?;
    let stops = stops.iter().map(|stop| stop.parse());
    let version: i32 = get(row, "version")?;
    Ok(Route {
        id: parsed(row, "route_id")?,
        version: version.unsigned_abs(),
        vehicle: parsed(row, "vehicle_id")?,
        stops: stops
            .collect::<Result<Vec<StopId>, _>>()
            .map_err(|error: drover_model::UuidError| error.to_string())?,
        path: points(row)?,
        reason: get(row, "reason")?,
        state: parsed(row, "state")?,
        created: time(row, "created_us")?,
        changed: time(row, "changed_us")?,
        expires: time(row, "expires_us")?,
        passage: passage(row)?,
    })
}

/// None of a line that is not there.
fn points(row: &PgRow) -> Result<Vec<Position>, String> {
    let lons: Option<Vec<f64>> = get(row, "lons")?;
    let lats: Option<Vec<f64>> = get(row, "lats")?;
    let point = |(lon, lat)| Position::new(lat, lon).map_err(|error| error.to_string());
    lons.unwrap_or_default().into_iter().zip(lats.unwrap_or_default()).map(point).collect()
}

pub(super) async fn changes(
    connection: &mut PgConnection,
    tenant: TenantId,
    after: Cursor,
    limit: usize,
) -> Result<Vec<Change>, String> {
    let rows = sqlx::query(CHANGES)
        .bind(tenant.as_str())
        .bind(after.0.to_string())
        .bind(i64::try_from(after.1).unwrap_or(i64::MAX))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await
        .map_err(|error| describe_any(&error))?;
    let change = |row: &PgRow| {
        let number: i64 = get(row, "number")?;
        let Json(action): Json<Action> = get(row, "action")?;
        let had_by: Option<String> = get(row, "had_by")?;
        let had_by = had_by.map(|name| name.parse()).transpose();
        Ok(Change {
            cursor: Cursor(parsed(row, "began")?, number.unsigned_abs()),
            at: time(row, "at_us")?,
            action,
            had_by: had_by.map_err(|error: drover_model::NameError| error.to_string())?,
        })
    };
    rows.iter().map(change).collect()
}

pub(super) async fn changes_end(
    connection: &mut PgConnection,
    tenant: TenantId,
) -> Result<Vec<Cursor>, String> {
    let rows = sqlx::query(CHANGES_END)
        .bind(tenant.as_str())
        .fetch_all(connection)
        .await
        .map_err(|error| describe_any(&error))?;
    let cursor = |row: &PgRow| {
        let number: i64 = get(row, "number")?;
        Ok(Cursor(parsed(row, "began")?, number.unsigned_abs()))
    };
    rows.iter().map(cursor).collect()
}
