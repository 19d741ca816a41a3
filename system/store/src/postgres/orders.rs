//! Orders, stops and messages: each command is one call of a function of the schema (migration 5), and so one transaction.

use std::collections::BTreeMap;
use std::str::FromStr;

use drover_env::BoxFuture;
use drover_model::orders::{
    Change, Command, Cursor, Geofence, Message, NewStop, Order, Passage, Route, ShareLink, Stop, Verdict,
};
use drover_model::{OrderId, ShareHash, TenantId, VehicleId, WallTime};
use sqlx::QueryBuilder;
use sqlx::postgres::{PgConnection, PgRow, Postgres};
use tokio::time::{Instant, timeout_at};

use super::error::{Failure, Stage, describe_any};
use super::reading::{get, one_more, place, time, time_if_any, within};
use super::replicated;
use super::{PostgresStore, desk, waiting};
use crate::history::{Answer, HistoryError};
use crate::{Orders, OrdersError, Outcome, StoreError, Waiting, Which, WhichMessages};

const CARRY_OUT: &str = "SELECT verdict, is_repeat FROM public.carry_out($1, $2::uuid, $3::jsonb, $4)";
/// The stops of an order stand beside each other, in the order in which they are driven.
const ORDERS: &str = "SELECT o.order_id::text, o.customer, o.state, o.vehicle_id::text, s.stop_id::text, s.state AS stop_state, \
     (extract(epoch FROM o.created_at) * 1000000)::bigint AS created_us, \
     (extract(epoch FROM o.changed_at) * 1000000)::bigint AS changed_us, \
     (extract(epoch FROM s.changed_at) * 1000000)::bigint AS stop_changed_us, \
     ST_X(s.location) AS lon, ST_Y(s.location) AS lat, (extract(epoch FROM s.due_from) * 1000000)::bigint AS from_us, \
     (extract(epoch FROM s.due_until) * 1000000)::bigint AS until_us \
     FROM (SELECT * FROM public.orders WHERE tenant_id = ";
const THEIR_STOPS: &str = ") AS o LEFT JOIN public.stops s ON s.tenant_id = o.tenant_id AND s.order_id = o.order_id \
     ORDER BY o.order_id, s.place";
/// What is read of a message.
pub(super) const MESSAGE: &str = "message_id::text, vehicle_id::text, to_vehicle, body, state, \
     (extract(epoch FROM expires_at) * 1000000)::bigint AS expires_us, \
     (extract(epoch FROM created_at) * 1000000)::bigint AS created_us, \
     (extract(epoch FROM changed_at) * 1000000)::bigint AS changed_us, \
     (extract(epoch FROM delivered_at) * 1000000)::bigint AS delivered_us, (extract(epoch FROM applied_at) * 1000000)::bigint AS applied_us, \
     (extract(epoch FROM expired_at) * 1000000)::bigint AS expired_us, (extract(epoch FROM refused_at) * 1000000)::bigint AS refused_us";
impl PostgresStore {
    async fn command(&self, command: Command) -> Result<Outcome, OrdersError> {
        command.check().map_err(|detail| OrdersError::Bad { detail })?;
        let give_up = Instant::now() + self.config.commit_timeout;
        let unavailable = |detail: String| OrdersError::Unavailable { detail };
        let mut held = timeout_at(give_up, self.pool.take())
            .await
            .map_err(|_| unavailable("no connection of the pool became free in time".to_owned()))?
            .map_err(|error| unavailable(error.to_string()))?;
        let done = timeout_at(give_up, self.carry_out_on(&mut held.connection, &command)).await;
        match done {
            Ok(Ok((verdict, is_repeat))) => {
                held.give_back();
                match Verdict::named(&verdict) {
                    Some(verdict) => Ok(Outcome { verdict, is_repeat }),
                    None if verdict == "reused" => Err(OrdersError::Reused { id: command.id }),
                    None => Err(unavailable(format!("the database gives a verdict of {verdict:?}"))),
                }
            }
            Ok(Err(failure)) => {
                // The connection goes; what it may have been about is looked at anew.
                self.forget();
                Err(match failure {
                    Failure::Store(StoreError::Unknown { detail }) => OrdersError::Unknown { detail },
                    Failure::Store(StoreError::BadRow { detail }) => OrdersError::Bad { detail },
                    Failure::Store(StoreError::Unavailable { detail }) => unavailable(detail),
                    Failure::Repeated | Failure::NoPartition => unavailable(format!("{failure:?}")),
                })
            }
            Err(_) => {
                self.forget();
                Err(OrdersError::Unknown { detail: "no answer in time".to_owned() })
            }
        }
    }

    async fn carry_out_on(
        &self,
        connection: &mut PgConnection,
        command: &Command,
    ) -> Result<(String, bool), Failure> {
        self.refresh(connection).await?;
        // A statement without BEGIN commits itself: from here on a lost connection leaves it unknown.
        let asked = sqlx::query_as(CARRY_OUT)
            .bind(command.tenant.as_str())
            .bind(command.id.to_string())
            .bind(sqlx::types::Json(&command.action))
            .bind(command.at.as_micros())
            .fetch_one(&mut *connection)
            .await;
        let answer = asked.map_err(|error| Failure::of(&error, Stage::Committing))?;
        if self.is_replicated() {
            replicated::confirm(connection, self.config.replication_timeout).await?;
        }
        Ok(answer)
    }
}

impl Orders for PostgresStore {
    fn carry_out(&self, command: Command) -> BoxFuture<'_, Result<Outcome, OrdersError>> {
        Box::pin(self.command(command))
    }

    fn orders(&self, tenant: TenantId, which: Which, limit: usize) -> Answer<'_, Order> {
        Box::pin(async move {
            within(self.reading(async |link| orders(link, tenant, &which, limit).await).await, limit)
        })
    }

    fn messages(&self, tenant: TenantId, which: WhichMessages, limit: usize) -> Answer<'_, Message> {
        Box::pin(async move {
            within(self.reading(async |link| messages(link, tenant, &which, limit).await).await, limit)
        })
    }

    fn share_links(&self, tenant: TenantId, order: OrderId, limit: usize) -> Answer<'_, ShareLink> {
        Box::pin(async move {
            within(
                self.reading(async |link| desk::share_links(link, tenant, order, limit).await).await,
                limit,
            )
        })
    }

    fn share_link(&self, secret: ShareHash) -> Answer<'_, ShareLink> {
        Box::pin(
            async move { within(self.reading(async |link| desk::share_link(link, secret).await).await, 1) },
        )
    }

    fn geofences(&self, tenant: TenantId, limit: usize) -> Answer<'_, Geofence> {
        Box::pin(async move {
            within(self.reading(async |link| desk::geofences(link, tenant, limit).await).await, limit)
        })
    }

    fn routes(&self, tenant: TenantId, vehicle: VehicleId, limit: usize) -> Answer<'_, Route> {
        Box::pin(async move {
            within(self.reading(async |link| desk::routes(link, tenant, vehicle, limit).await).await, limit)
        })
    }

    fn waiting(
        &self,
        tenant: TenantId,
        vehicles: Vec<VehicleId>,
        now: WallTime,
        each: usize,
    ) -> Answer<'_, Waiting> {
        Box::pin(async move {
            let found =
                self.reading(async |link| waiting::waiting(link, tenant, &vehicles, now, each).await).await;
            found.map_err(|detail| HistoryError::Unavailable { detail })
        })
    }

    fn changes(&self, tenant: TenantId, after: Cursor, limit: usize) -> Answer<'_, Change> {
        Box::pin(async move {
            within(self.reading(async |link| desk::changes(link, tenant, after, limit).await).await, limit)
        })
    }

    fn changes_end(&self, tenant: TenantId) -> Answer<'_, Cursor> {
        Box::pin(
            async move { within(self.reading(async |link| desk::changes_end(link, tenant).await).await, 1) },
        )
    }
}

async fn orders(
    connection: &mut PgConnection,
    tenant: TenantId,
    which: &Which,
    limit: usize,
) -> Result<Vec<Order>, String> {
    // Only what was asked for stands in the question, so that each has a plan of its own.
    let mut asked: QueryBuilder<Postgres> = QueryBuilder::new(ORDERS);
    asked.push_bind(tenant.to_string());
    if let Some(vehicle) = which.vehicle {
        asked.push(" AND vehicle_id = ").push_bind(vehicle.to_string());
    }
    if which.open {
        asked.push(" AND state IN ('planned', 'assigned', 'under_way')");
    }
    if let Some(state) = which.state {
        asked.push(" AND state = ").push_bind(state.as_str());
    }
    if !which.orders.is_empty() {
        asked.push(" AND order_id = ANY (").push_bind(texts(&which.orders)).push("::text[]::uuid[])");
    }
    if !which.stops.is_empty() {
        asked.push(" AND order_id IN (SELECT order_id FROM public.stops WHERE tenant_id = ");
        asked.push_bind(tenant.to_string());
        asked.push(" AND stop_id = ANY (").push_bind(texts(&which.stops)).push("::text[]::uuid[]))");
    }
    if let Some(after) = which.after {
        asked.push(" AND order_id > ").push_bind(after.to_string()).push("::text::uuid");
    }
    asked.push(" ORDER BY order_id LIMIT ").push_bind(first(which.first, limit)).push(THEIR_STOPS);
    let rows = asked.build().fetch_all(connection).await.map_err(|error| describe_any(&error))?;
    let mut orders: BTreeMap<OrderId, Order> = BTreeMap::new();
    for row in &rows {
        let id = parsed(row, "order_id")?;
        let stop = stop(row)?;
        if let Some(order) = orders.get_mut(&id) {
            order.stops.extend(stop);
            continue;
        }
        let vehicle: Option<String> = get(row, "vehicle_id")?;
        let vehicle = vehicle.map(|name| name.parse()).transpose();
        let order = Order {
            id,
            customer: get(row, "customer")?,
            state: parsed(row, "state")?,
            vehicle: vehicle.map_err(|error: drover_model::NameError| error.to_string())?,
            created: time(row, "created_us")?,
            changed: time(row, "changed_us")?,
            stops: stop.into_iter().collect(),
        };
        orders.insert(id, order);
    }
    Ok(orders.into_values().collect())
}

/// Rows that are asked for: as many as the caller wants, or one more than it takes.
fn first(wanted: Option<usize>, limit: usize) -> i64 {
    wanted.and_then(|wanted| i64::try_from(wanted).ok()).unwrap_or(i64::MAX).min(one_more(limit))
}

fn texts(ids: &[impl std::fmt::Display]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// None of an order that somebody has made by hand, without stops.
fn stop(row: &PgRow) -> Result<Option<Stop>, String> {
    if get::<Option<String>>(row, "stop_id")?.is_none() {
        return Ok(None);
    }
    let made = NewStop {
        id: parsed(row, "stop_id")?,
        position: place(row, "lon", "lat")?,
        due_from: time_if_any(row, "from_us")?,
        due_until: time_if_any(row, "until_us")?,
    };
    Ok(Some(Stop { made, state: parsed(row, "stop_state")?, changed: time(row, "stop_changed_us")? }))
}

async fn messages(
    connection: &mut PgConnection,
    tenant: TenantId,
    which: &WhichMessages,
    limit: usize,
) -> Result<Vec<Message>, String> {
    let mut asked: QueryBuilder<Postgres> = QueryBuilder::new("SELECT ");
    asked.push(MESSAGE).push(" FROM public.messages WHERE tenant_id = ").push_bind(tenant.to_string());
    if let Some(vehicle) = which.vehicle {
        asked.push(" AND vehicle_id = ").push_bind(vehicle.to_string());
    }
    if !which.messages.is_empty() {
        asked.push(" AND message_id = ANY (").push_bind(texts(&which.messages)).push("::text[]::uuid[])");
    }
    if let Some((at, id)) = which.after {
        asked.push(" AND (created_at, message_id) ").push(if which.newest_first { "<" } else { ">" });
        asked.push(" (public.micros(").push_bind(at.as_micros()).push("), ");
        asked.push_bind(id.to_string()).push("::text::uuid)");
    }
    // With the table's name: without it the identity would be the text that is read.
    asked.push(match which.newest_first {
        true => " ORDER BY messages.created_at DESC, messages.message_id DESC LIMIT ",
        false => " ORDER BY messages.created_at, messages.message_id LIMIT ",
    });
    asked.push_bind(first(which.first, limit));
    let rows = asked.build().fetch_all(connection).await.map_err(|error| describe_any(&error))?;
    rows.iter().map(message).collect()
}

pub(super) fn message(row: &PgRow) -> Result<Message, String> {
    Ok(Message {
        id: parsed(row, "message_id")?,
        vehicle: parsed(row, "vehicle_id")?,
        to_vehicle: get(row, "to_vehicle")?,
        body: get(row, "body")?,
        expires: time(row, "expires_us")?,
        state: parsed(row, "state")?,
        created: time(row, "created_us")?,
        changed: time(row, "changed_us")?,
        passage: passage(row)?,
    })
}

pub(super) fn passage(row: &PgRow) -> Result<Passage, String> {
    Ok(Passage {
        delivered: time_if_any(row, "delivered_us")?,
        applied: time_if_any(row, "applied_us")?,
        expired: time_if_any(row, "expired_us")?,
        refused: time_if_any(row, "refused_us")?,
    })
}

pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(row: &PgRow, column: &str) -> Result<T, String> {
    let text: String = get(row, column)?;
    text.parse().map_err(|error: T::Err| error.to_string())
}
