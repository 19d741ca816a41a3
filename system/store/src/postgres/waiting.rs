//! What waits for the trackers of vehicles.

use drover_model::{TenantId, VehicleId, WallTime};
use sqlx::postgres::PgConnection;

use super::desk::{ROUTE, route};
use super::error::describe_any;
use super::orders::{MESSAGE, message};
use crate::Waiting;
use crate::orders::in_turn;

/// Of which no end was said, and which are not over. The number of each vehicle's is bounded here, so that no answer is long.
const OPEN: &str = "tenant_id = $1 AND vehicle_id = vehicle AND expires_at > public.micros($3) \
     AND applied_at IS NULL AND expired_at IS NULL AND refused_at IS NULL";

pub(super) async fn waiting(
    connection: &mut PgConnection,
    tenant: TenantId,
    vehicles: &[VehicleId],
    now: WallTime,
    each: usize,
) -> Result<Vec<Waiting>, String> {
    let names: Vec<&str> = vehicles.iter().map(VehicleId::as_str).collect();
    let (each_bound, now_us) = (i64::try_from(each).unwrap_or(i64::MAX), now.as_micros());
    let of_each = |table: &str, and: &str, by: &str| {
        format!(
            "(SELECT its.* FROM unnest($2::text[]) AS vehicle, LATERAL (SELECT * FROM public.{table} WHERE {OPEN} {and} \
             ORDER BY created_at, {by} LIMIT $4) AS its) AS {table}"
        )
    };
    let messages = format!("SELECT {MESSAGE} FROM {}", of_each("messages", "AND to_vehicle", "message_id"));
    let routes =
        format!("SELECT {}", ROUTE.replace("public.routes", &of_each("routes", "", "route_id, version")));
    let mut found = Vec::new();
    for (text, is_route) in [(messages, false), (routes, true)] {
        let rows = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(tenant.as_str())
            .bind(&names)
            .bind(now_us)
            .bind(each_bound)
            .fetch_all(&mut *connection)
            .await
            .map_err(|error| describe_any(&error))?;
        for row in &rows {
            found.push(if is_route { Waiting::Route(route(row)?) } else { Waiting::Message(message(row)?) });
        }
    }
    Ok(in_turn(found, each))
}
