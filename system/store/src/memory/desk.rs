//! Orders in memory: every command with its verdict, in the order in which they were carried out, and what they have led to.

use std::collections::BTreeMap;

use drover_model::orders::{
    Action, Command, Message, MessageState, Order, OrderState, Stop, StopState, Verdict,
};
use drover_model::{CommandId, MessageId, OrderId, StopId, TenantId, VehicleId};

use crate::{OrdersError, Outcome, Which};

/// A command and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The command.
    pub command: Command,
    /// What became of it.
    pub verdict: Verdict,
}

/// Invariant: everything else follows from `log`.
#[derive(Default)]
pub(super) struct Desk {
    log: Vec<Settled>,
    by_id: BTreeMap<(TenantId, CommandId), usize>,
    orders: BTreeMap<(TenantId, OrderId), Order>,
    /// The order that each stop belongs to.
    stops: BTreeMap<(TenantId, StopId), OrderId>,
    messages: BTreeMap<(TenantId, MessageId), Message>,
    #[cfg(feature = "bite")]
    pub(super) planted: Planted,
}

/// Planted bugs.
#[cfg(feature = "bite")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Planted {
    /// A command that comes again is taken for a new one.
    pub forgets: bool,
    /// Any state may follow any other.
    pub any_step: bool,
}

impl Desk {
    pub(super) fn carry_out(&mut self, command: Command) -> Result<Outcome, OrdersError> {
        command.check().map_err(|detail| OrdersError::Bad { detail })?;
        #[cfg(feature = "bite")]
        let known = !self.planted.forgets;
        #[cfg(not(feature = "bite"))]
        let known = true;
        if let Some(&place) = self.by_id.get(&(command.tenant, command.id)).filter(|_| known) {
            let before = &self.log[place];
            if before.command.action != command.action {
                return Err(OrdersError::Reused { id: command.id });
            }
            return Ok(Outcome { verdict: before.verdict, is_repeat: true });
        }
        let verdict = self.judge(&command);
        if verdict == Verdict::Applied {
            self.apply(&command);
        }
        self.by_id.insert((command.tenant, command.id), self.log.len());
        self.log.push(Settled { command, verdict });
        Ok(Outcome { verdict, is_repeat: false })
    }

    fn judge(&self, command: &Command) -> Verdict {
        let tenant = command.tenant;
        match &command.action {
            Action::CreateOrder { order, stops, .. } => {
                let taken = self.orders.contains_key(&(tenant, *order))
                    || stops.iter().any(|stop| self.stops.contains_key(&(tenant, stop.id)));
                if taken { Verdict::Exists } else { Verdict::Applied }
            }
            Action::SendMessage { message, .. } => {
                let taken = self.messages.contains_key(&(tenant, *message));
                if taken { Verdict::Exists } else { Verdict::Applied }
            }
            Action::ChangeOrder { order, from, to, .. } => {
                let is = self.orders.get(&(tenant, *order)).map(|order| order.state);
                self.step(is, *from, *to, OrderState::may_become)
            }
            Action::ChangeStop { stop, from, to } => {
                self.step(self.stop(tenant, *stop).map(|stop| stop.state), *from, *to, StopState::may_become)
            }
            Action::ChangeMessage { message, from, to } => {
                let is = self.messages.get(&(tenant, *message)).map(|message| message.state);
                self.step(is, *from, *to, MessageState::may_become)
            }
        }
    }

    #[cfg_attr(not(feature = "bite"), expect(clippy::unused_self, reason = "a planted bug lives there"))]
    fn step<S: Copy + PartialEq>(
        &self,
        is: Option<S>,
        from: S,
        to: S,
        may_become: impl Fn(S, S) -> bool,
    ) -> Verdict {
        #[cfg(feature = "bite")]
        let any = self.planted.any_step;
        #[cfg(not(feature = "bite"))]
        let any = false;
        match is {
            None => Verdict::Missing,
            Some(is) if is != from => Verdict::Elsewhere,
            Some(_) if any || may_become(from, to) => Verdict::Applied,
            Some(_) => Verdict::NotAStep,
        }
    }

    fn stop(&self, tenant: TenantId, stop: StopId) -> Option<&Stop> {
        let order = self.orders.get(&(tenant, *self.stops.get(&(tenant, stop))?))?;
        order.stops.iter().find(|there| there.made.id == stop)
    }

    /// Does what was judged to be possible.
    fn apply(&mut self, command: &Command) {
        let tenant = command.tenant;
        match &command.action {
            Action::CreateOrder { order, customer, stops } => {
                self.stops.extend(stops.iter().map(|stop| ((tenant, stop.id), *order)));
                let stops = stops.iter().map(|made| Stop { made: made.clone(), state: StopState::Planned });
                let (customer, stops) = (customer.clone(), stops.collect());
                let made = Order { id: *order, customer, state: OrderState::Planned, vehicle: None, stops };
                self.orders.insert((tenant, *order), made);
            }
            Action::ChangeOrder { order, to, vehicle, .. } => {
                let Some(order) = self.orders.get_mut(&(tenant, *order)) else { return };
                order.state = *to;
                match to {
                    OrderState::Assigned => order.vehicle = *vehicle,
                    OrderState::Planned => order.vehicle = None,
                    OrderState::UnderWay
                    | OrderState::Delivered
                    | OrderState::Failed
                    | OrderState::Cancelled => {}
                }
            }
            Action::ChangeStop { stop, to, .. } => {
                let Some(order) = self.stops.get(&(tenant, *stop)) else { return };
                let stops =
                    self.orders.get_mut(&(tenant, *order)).into_iter().flat_map(|order| &mut order.stops);
                stops.filter(|there| there.made.id == *stop).for_each(|there| there.state = *to);
            }
            Action::SendMessage { message, vehicle, to_vehicle, body, expires } => {
                let sent = Message {
                    id: *message,
                    vehicle: *vehicle,
                    to_vehicle: *to_vehicle,
                    body: body.clone(),
                    expires: *expires,
                    state: MessageState::Queued,
                };
                self.messages.insert((tenant, *message), sent);
            }
            Action::ChangeMessage { message, to, .. } => {
                if let Some(message) = self.messages.get_mut(&(tenant, *message)) {
                    message.state = *to;
                }
            }
        }
    }

    pub(super) fn log(&self) -> &[Settled] {
        &self.log
    }

    /// Forgets all but the first `len` commands, and what came of them.
    pub(super) fn truncate(&mut self, len: usize) {
        let mut log = std::mem::take(&mut self.log);
        log.truncate(len);
        #[cfg(feature = "bite")]
        let planted = self.planted;
        *self = Self::default();
        for settled in log {
            if settled.verdict == Verdict::Applied {
                self.apply(&settled.command);
            }
            self.by_id.insert((settled.command.tenant, settled.command.id), self.log.len());
            self.log.push(settled);
        }
        #[cfg(feature = "bite")]
        {
            self.planted = planted;
        }
    }

    pub(super) fn orders(&self, tenant: TenantId, which: Which) -> impl Iterator<Item = &Order> {
        let of_tenant = self.orders.iter().filter(move |((of, _), _)| *of == tenant).map(|(_, order)| order);
        let is_open =
            |state| matches!(state, OrderState::Planned | OrderState::Assigned | OrderState::UnderWay);
        of_tenant.filter(move |order| {
            (which.vehicle.is_none() || order.vehicle == which.vehicle)
                && (!which.open || is_open(order.state))
        })
    }

    pub(super) fn messages(&self, tenant: TenantId, vehicle: VehicleId) -> impl Iterator<Item = &Message> {
        let of_tenant = self.messages.iter().filter(move |((of, _), _)| *of == tenant);
        of_tenant.map(|(_, message)| message).filter(move |message| message.vehicle == vehicle)
    }
}
