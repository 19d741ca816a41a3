//! The tools of orders: a wish from the bus, checked; the store's verdict.

use std::fmt::Display;
use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use drover_bus::history::ROWS_MAX;
use drover_bus::orders::{
    ChangeMessage, ChangeOrder, ChangeStop, CommandResult, CreateOrder, FindMessages, FindOrders,
    MessageDraft, MessageInfo, MessageList, MessageQuery, OrderDraft, OrderInfo, OrderList, OrderQuery,
    SendMessage, StateChange, StopDraft, StopInfo,
};
use drover_bus::{AgentBuilder, CallContext, CallError};
use drover_env::{Env, Value};
use drover_model::orders::{Action, Command, Message, NewStop, Order, Passage, Stop, Verdict};
use drover_model::{VehicleId, WallTime};
use drover_store::{Orders, OrdersError, Outcome, Which, WhichMessages};

use crate::arguments::{micros, missing, parsed, place, tenant, time, vehicle};
use crate::board::Board;
use crate::history::away;

/// What is said later than this to have happened happens now: a driver's phone lies in a drawer for a week at most.
const LATE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// What every tool of orders needs.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) env: Env,
    pub(crate) board: Board,
    pub(crate) orders: Arc<dyn Orders>,
}

/// Gives each call the desk.
pub(crate) fn on<I, O, F>(
    desk: &Desk,
    act: impl Fn(Desk, I) -> F + Send + Sync + 'static,
) -> impl Fn(CallContext, I) -> F + Send + Sync + 'static
where
    F: Future<Output = Result<O, CallError>> + Send + 'static,
{
    let desk = desk.clone();
    move |_, input| act(desk.clone(), input)
}

/// Adds the tools of orders to an agent.
pub(crate) fn with_tools(
    agent: AgentBuilder,
    env: &Env,
    orders: &Arc<dyn Orders>,
    board: Board,
) -> AgentBuilder {
    let desk = &Desk { env: env.clone(), board, orders: orders.clone() };
    let agent = crate::downlink::with_tools(crate::desk::with_tools(agent, desk), desk);
    agent
        .tool::<CreateOrder, _, _>(on(desk, create))
        .tool::<ChangeOrder, _, _>(on(desk, change_order))
        .tool::<ChangeStop, _, _>(on(desk, change_stop))
        .tool::<SendMessage, _, _>(on(desk, send))
        .tool::<ChangeMessage, _, _>(on(desk, change_message))
        .tool::<FindOrders, _, _>(on(desk, find))
        .tool::<FindMessages, _, _>(on(desk, messages))
}

async fn create(desk: Desk, draft: OrderDraft) -> Result<CommandResult, CallError> {
    let action = Action::CreateOrder {
        order: parsed(draft.order_id.as_deref(), "order")?,
        customer: draft.customer.unwrap_or_default(),
        stops: draft.stops.iter().map(new_stop).collect::<Result<_, _>>()?,
    };
    desk.carry_out(draft.tenant, draft.command_id, action).await
}

fn new_stop(draft: &StopDraft) -> Result<NewStop, CallError> {
    Ok(NewStop {
        id: parsed(draft.stop_id.as_deref(), "stop")?,
        position: place(draft.lat, draft.lon)?,
        due_from: draft.due_from_us.map(time),
        due_until: draft.due_until_us.map(time),
    })
}

async fn change_order(desk: Desk, change: StateChange) -> Result<CommandResult, CallError> {
    let action = Action::ChangeOrder {
        order: parsed(change.id.as_deref(), "order")?,
        from: parsed(change.from.as_deref(), "from")?,
        to: parsed(change.to.as_deref(), "to")?,
        vehicle: change.vehicle_id.as_deref().map(|name| vehicle(Some(name))).transpose()?,
    };
    desk.carry_out_of(change.tenant, change.command_id, change.at_us, action).await
}

async fn change_stop(desk: Desk, change: StateChange) -> Result<CommandResult, CallError> {
    only_orders_have_vehicles(&change)?;
    let action = Action::ChangeStop {
        stop: parsed(change.id.as_deref(), "stop")?,
        from: parsed(change.from.as_deref(), "from")?,
        to: parsed(change.to.as_deref(), "to")?,
    };
    desk.carry_out_of(change.tenant, change.command_id, change.at_us, action).await
}

async fn change_message(desk: Desk, change: StateChange) -> Result<CommandResult, CallError> {
    only_orders_have_vehicles(&change)?;
    let action = Action::ChangeMessage {
        message: parsed(change.id.as_deref(), "message")?,
        from: parsed(change.from.as_deref(), "from")?,
        to: parsed(change.to.as_deref(), "to")?,
    };
    desk.carry_out_of(change.tenant, change.command_id, change.at_us, action).await
}

fn only_orders_have_vehicles(change: &StateChange) -> Result<(), CallError> {
    match &change.vehicle_id {
        Some(_) => Err(CallError::BadArguments("vehicle_id: only an order is given to a vehicle".to_owned())),
        None => Ok(()),
    }
}

async fn send(desk: Desk, draft: MessageDraft) -> Result<CommandResult, CallError> {
    let action = Action::SendMessage {
        message: parsed(draft.message_id.as_deref(), "message")?,
        vehicle: vehicle(draft.vehicle_id.as_deref())?,
        to_vehicle: draft.to_vehicle.ok_or_else(|| missing("to_vehicle"))?,
        body: draft.body.ok_or_else(|| missing("body"))?,
        expires: time(draft.expires_us.ok_or_else(|| missing("expires_us"))?),
    };
    desk.carry_out_of(draft.tenant, draft.command_id, draft.at_us, action).await
}

impl Desk {
    /// Carries out a command of now, and says what became of it.
    pub(crate) async fn carry_out(
        &self,
        owner: Option<String>,
        id: Option<String>,
        action: Action,
    ) -> Result<CommandResult, CallError> {
        self.carry_out_of(owner, id, None, action).await
    }

    /// Carries out a command of a moment that may have passed: no later than now, and no longer ago than [`LATE_MAX`].
    pub(crate) async fn carry_out_of(
        &self,
        owner: Option<String>,
        id: Option<String>,
        at_us: Option<u64>,
        action: Action,
    ) -> Result<CommandResult, CallError> {
        let (tenant, id) = (tenant(owner.as_deref())?, parsed(id.as_deref(), "command_id")?);
        let now = self.env.wall();
        let at = at_us.map(time).filter(|at| *at <= now && now.since(*at) <= LATE_MAX).unwrap_or(now);
        let command = Command { tenant, id, at, action };
        let downlink = for_tracker(&command.action);
        let mut done = self.orders.carry_out(command).await;
        if matches!(done, Err(OrdersError::Unknown { .. })) && self.env.planted("lost_command_taken_as_done")
        {
            done = Ok(Outcome { verdict: Verdict::Applied, is_repeat: false });
        }
        // What is not known to have been done may have been; and what was done before may not have been told.
        if let Some(vehicle) = downlink
            && matches!(
                done,
                Ok(Outcome { verdict: Verdict::Applied, .. }) | Err(OrdersError::Unknown { .. })
            )
        {
            self.board.tell(tenant, vehicle);
        }
        match done {
            Ok(Outcome { verdict, is_repeat }) => {
                let name = if is_repeat { "persistence.command_repeated" } else { "persistence.command" };
                self.env.event(name, &[("verdict", Value::Str(verdict.as_str()))]);
                Ok(CommandResult { verdict: Some(verdict.as_str().to_owned()), is_repeat: Some(is_repeat) })
            }
            Err(error @ (OrdersError::Unavailable { .. } | OrdersError::Unknown { .. })) => {
                self.env.event("persistence.command_failed", &[]);
                Err(CallError::Unavailable(error.to_string()))
            }
            Err(OrdersError::Bad { detail }) => Err(CallError::BadArguments(detail)),
            Err(error @ OrdersError::Reused { .. }) => Err(CallError::Refused(error.to_string())),
        }
    }
}

/// The vehicle whose tracker is to get what the action makes.
const fn for_tracker(action: &Action) -> Option<VehicleId> {
    match action {
        Action::SendMessage { vehicle, to_vehicle: true, .. } | Action::PlanRoute { vehicle, .. } => {
            Some(*vehicle)
        }
        _ => None,
    }
}

async fn find(desk: Desk, query: OrderQuery) -> Result<OrderList, CallError> {
    let tenant = tenant(query.tenant.as_deref())?;
    let of = query.vehicle_id.as_deref().map(|name| vehicle(Some(name))).transpose()?;
    let which = Which {
        vehicle: of,
        open: query.open.unwrap_or_default(),
        state: query.state.as_deref().map(|state| parsed(Some(state), "state")).transpose()?,
        orders: ids(query.order_ids.iter().chain(&query.order_id), "order_ids")?,
        stops: ids(query.stop_ids.iter(), "stop_ids")?,
        after: query.after.as_deref().map(|id| parsed(Some(id), "after")).transpose()?,
        first: query.orders_max.map(|most| (most as usize).min(ROWS_MAX)),
    };
    let orders = desk.orders.orders(tenant, which, ROWS_MAX).await.map_err(away)?;
    Ok(OrderList { orders: orders.iter().map(order_info).collect() })
}

/// Identities that were asked for.
fn ids<'a, T: FromStr<Err: Display>>(
    named: impl Iterator<Item = &'a String>,
    what: &str,
) -> Result<Vec<T>, CallError> {
    let ids: Vec<T> = named.map(|id| parsed(Some(id), what)).collect::<Result<_, _>>()?;
    if ids.len() > ROWS_MAX {
        return Err(CallError::BadArguments(format!(
            "{what} has {} entries, at most {ROWS_MAX} may be",
            ids.len()
        )));
    }
    Ok(ids)
}

/// When it was over for a tracker: as was said, or by its own time if nothing ended it before.
pub(crate) fn over_at(passage: &Passage, expires: WallTime, now: WallTime) -> Option<u64> {
    let by_itself = (!passage.state().is_final() && expires <= now).then_some(expires);
    passage.expired.or(by_itself).and_then(micros)
}

async fn messages(desk: Desk, query: MessageQuery) -> Result<MessageList, CallError> {
    let tenant = tenant(query.tenant.as_deref())?;
    let vehicle = query.vehicle_id.as_deref().map(|name| vehicle(Some(name))).transpose()?;
    let after = match (query.after_us, query.after_id.as_deref()) {
        (None, None) => None,
        (at, id) => Some((time(at.ok_or_else(|| missing("after_us"))?), parsed(id, "after_id")?)),
    };
    let which = WhichMessages {
        vehicle,
        messages: ids(query.message_ids.iter(), "message_ids")?,
        newest_first: query.newest_first.unwrap_or_default(),
        after,
        first: query.messages_max.map(|most| (most as usize).min(ROWS_MAX)),
    };
    let messages = desk.orders.messages(tenant, which, ROWS_MAX).await.map_err(away)?;
    let now = desk.env.wall();
    Ok(MessageList { messages: messages.iter().map(|message| message_info(message, now)).collect() })
}

fn order_info(order: &Order) -> OrderInfo {
    OrderInfo {
        order_id: Some(order.id.to_string()),
        customer: Some(order.customer.clone()),
        state: Some(order.state.to_string()),
        vehicle_id: order.vehicle.map(|vehicle| vehicle.to_string()),
        stops: order.stops.iter().map(stop_info).collect(),
        created_us: micros(order.created),
        changed_us: micros(order.changed),
    }
}

fn stop_info(stop: &Stop) -> StopInfo {
    StopInfo {
        stop_id: Some(stop.made.id.to_string()),
        lat: Some(stop.made.position.lat()),
        lon: Some(stop.made.position.lon()),
        due_from_us: stop.made.due_from.and_then(micros),
        due_until_us: stop.made.due_until.and_then(micros),
        state: Some(stop.state.to_string()),
        changed_us: micros(stop.changed),
    }
}

fn message_info(message: &Message, now: WallTime) -> MessageInfo {
    let passage = &message.passage;
    MessageInfo {
        message_id: Some(message.id.to_string()),
        vehicle_id: Some(message.vehicle.to_string()),
        to_vehicle: Some(message.to_vehicle),
        body: Some(message.body.clone()),
        expires_us: micros(message.expires),
        state: Some(message.state.to_string()),
        created_us: micros(message.created),
        changed_us: micros(message.changed),
        delivered_us: passage.delivered.and_then(micros),
        applied_us: passage.applied.and_then(micros),
        expired_us: over_at(passage, message.expires, now).filter(|_| message.to_vehicle),
        refused_us: passage.refused.and_then(micros),
    }
}
