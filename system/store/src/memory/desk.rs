//! Orders in memory: every command with its verdict, in the order in which they were carried out, and what they have led to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use drover_model::orders::{
    Action, Change, Command, Cursor, Geofence, Message, MessageState, Order, OrderState, Passage,
    PassageState, ROUTE_GOOD_FOR, Route, RouteState, ShareLink, Stop, StopState, Verdict,
};
use drover_model::{
    CommandId, GeofenceId, MessageId, OrderId, RouteId, ShareHash, ShareLinkId, StopId, TenantId, VehicleId,
    WallTime,
};

use crate::orders::in_turn;
use crate::{OrdersError, Outcome, Waiting, Which, WhichMessages};

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
    /// Vehicles that had the order of a step until then, by the step's place in the log.
    had_by: BTreeMap<usize, VehicleId>,
    orders: BTreeMap<(TenantId, OrderId), Order>,
    /// The order that each stop belongs to.
    stops: BTreeMap<(TenantId, StopId), OrderId>,
    messages: BTreeMap<(TenantId, MessageId), Message>,
    /// The same in the order in which they were made.
    messages_in_order: BTreeSet<(TenantId, WallTime, MessageId)>,
    links: BTreeMap<(TenantId, ShareLinkId), (ShareHash, ShareLink)>,
    geofences: BTreeMap<(TenantId, GeofenceId), Geofence>,
    routes: BTreeMap<(TenantId, RouteId, u32), Route>,
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
        self.settle(Settled { command, verdict });
        Ok(Outcome { verdict, is_repeat: false })
    }

    /// Writes a command down, and does it if it is to be done.
    fn settle(&mut self, settled: Settled) {
        let (command, place) = (&settled.command, self.log.len());
        if settled.verdict == Verdict::Applied {
            if let Action::ChangeOrder { order, .. } = &command.action
                && let Some(vehicle) =
                    self.orders.get(&(command.tenant, *order)).and_then(|order| order.vehicle)
            {
                self.had_by.insert(place, vehicle);
            }
            self.apply(command);
        }
        self.by_id.insert((command.tenant, command.id), place);
        self.log.push(settled);
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
            Action::ChangeRoute { route, version, from, to } => {
                let is = self.routes.get(&(tenant, *route, *version)).map(|route| route.state);
                self.step(is, *from, *to, RouteState::may_become)
            }
            Action::PassMessage { message, vehicle, to } => {
                let it = self.messages.get(&(tenant, *message));
                let its = it.filter(|it| it.vehicle == *vehicle && it.to_vehicle);
                pass(its.map(|it| it.passage), *to)
            }
            Action::PassRoute { route, version, vehicle, to } => {
                let it = self.routes.get(&(tenant, *route, *version));
                pass(it.filter(|it| it.vehicle == *vehicle).map(|it| it.passage), *to)
            }
            Action::ShareOrder { link, order, secret, .. } => {
                let taken = self.links.contains_key(&(tenant, *link))
                    || self.links.values().any(|(known, _)| known == secret);
                match self.orders.contains_key(&(tenant, *order)) {
                    false => Verdict::Missing,
                    true if taken => Verdict::Exists,
                    true => Verdict::Applied,
                }
            }
            Action::RevokeShareLink { link } => match self.links.get(&(tenant, *link)) {
                None => Verdict::Missing,
                Some((_, link)) if link.revoked.is_some() => Verdict::Elsewhere,
                Some(_) => Verdict::Applied,
            },
            Action::DrawGeofence { geofence, .. } => {
                match self.geofences.contains_key(&(tenant, *geofence)) {
                    true => Verdict::Exists,
                    false => Verdict::Applied,
                }
            }
            Action::ChangeGeofence { geofence, .. } | Action::RemoveGeofence { geofence } => {
                match self.geofences.contains_key(&(tenant, *geofence)) {
                    true => Verdict::Applied,
                    false => Verdict::Missing,
                }
            }
            Action::PlanRoute { route, version, .. } => {
                let newer = (tenant, *route, *version)..=(tenant, *route, u32::MAX);
                if self.routes.range(newer).next().is_some() { Verdict::Exists } else { Verdict::Applied }
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
        let (tenant, at) = (command.tenant, command.at);
        match &command.action {
            Action::CreateOrder { order, customer, stops } => {
                self.stops.extend(stops.iter().map(|stop| ((tenant, stop.id), *order)));
                let stops = stops.iter().map(|made| Stop {
                    made: made.clone(),
                    state: StopState::Planned,
                    changed: at,
                });
                let (customer, stops) = (customer.clone(), stops.collect());
                let state = OrderState::Planned;
                let made =
                    Order { id: *order, customer, state, vehicle: None, created: at, changed: at, stops };
                self.orders.insert((tenant, *order), made);
            }
            Action::ChangeOrder { order, to, vehicle, .. } => {
                let Some(order) = self.orders.get_mut(&(tenant, *order)) else { return };
                (order.state, order.changed) = (*to, at);
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
                stops.filter(|there| there.made.id == *stop).for_each(|there| {
                    (there.state, there.changed) = (*to, at);
                });
            }
            Action::SendMessage { message, vehicle, to_vehicle, body, expires } => {
                let sent = Message {
                    id: *message,
                    vehicle: *vehicle,
                    to_vehicle: *to_vehicle,
                    body: body.clone(),
                    expires: *expires,
                    state: MessageState::Queued,
                    created: at,
                    changed: at,
                    passage: Passage::default(),
                };
                self.messages_in_order.insert((tenant, at, *message));
                self.messages.insert((tenant, *message), sent);
            }
            Action::ChangeMessage { message, to, .. } => {
                if let Some(message) = self.messages.get_mut(&(tenant, *message)) {
                    (message.state, message.changed) = (*to, at);
                    if *to == MessageState::Expired && message.to_vehicle {
                        message.passage.note(PassageState::Expired, at);
                    }
                }
            }
            Action::ChangeRoute { route, version, to, .. } => {
                if let Some(route) = self.routes.get_mut(&(tenant, *route, *version)) {
                    (route.state, route.changed) = (*to, at);
                    if *to == RouteState::Expired {
                        route.passage.note(PassageState::Expired, at);
                    }
                }
            }
            Action::PassMessage { message, to, .. } => {
                if let Some(message) = self.messages.get_mut(&(tenant, *message)) {
                    message.passage.note(*to, at);
                }
            }
            Action::PassRoute { route, version, to, .. } => {
                if let Some(route) = self.routes.get_mut(&(tenant, *route, *version)) {
                    route.passage.note(*to, at);
                }
            }
            Action::ShareOrder { link, order, secret, expires } => {
                let (id, order, expires) = (*link, *order, *expires);
                let made = ShareLink { id, tenant, order, created: at, expires, revoked: None };
                self.links.insert((tenant, id), (*secret, made));
            }
            Action::RevokeShareLink { link } => {
                if let Some((_, link)) = self.links.get_mut(&(tenant, *link)) {
                    link.revoked = Some(at);
                }
            }
            Action::DrawGeofence { geofence, title, corners } => {
                let drawn = Geofence { id: *geofence, title: title.clone(), corners: corners.clone() };
                self.geofences.insert((tenant, *geofence), drawn);
            }
            Action::ChangeGeofence { geofence, title, corners } => {
                if let Some(area) = self.geofences.get_mut(&(tenant, *geofence)) {
                    area.title = title.clone().unwrap_or_else(|| std::mem::take(&mut area.title));
                    area.corners = corners.clone().unwrap_or_else(|| std::mem::take(&mut area.corners));
                }
            }
            Action::RemoveGeofence { geofence } => drop(self.geofences.remove(&(tenant, *geofence))),
            Action::PlanRoute { route, version, vehicle, stops, path, reason } => {
                let over =
                    |there: &&mut Route| there.vehicle == *vehicle && there.state != RouteState::Expired;
                let of_tenant = self.routes.iter_mut().filter(|((of, ..), _)| *of == tenant);
                of_tenant.map(|(_, route)| route).filter(over).for_each(|route| {
                    (route.state, route.changed) = (RouteState::Expired, at);
                    route.passage.note(PassageState::Expired, at);
                });
                let planned = Route {
                    id: *route,
                    version: *version,
                    vehicle: *vehicle,
                    stops: stops.clone(),
                    path: path.clone(),
                    reason: reason.clone(),
                    state: RouteState::Queued,
                    created: at,
                    changed: at,
                    expires: at.plus(ROUTE_GOOD_FOR),
                    passage: Passage::default(),
                };
                self.routes.insert((tenant, *route, *version), planned);
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
        log.into_iter().for_each(|settled| self.settle(settled));
        #[cfg(feature = "bite")]
        {
            self.planted = planted;
        }
    }

    pub(super) fn orders<'a>(
        &'a self,
        tenant: TenantId,
        which: &'a Which,
    ) -> impl Iterator<Item = &'a Order> {
        let is_open =
            |state| matches!(state, OrderState::Planned | OrderState::Assigned | OrderState::UnderWay);
        let of_stop = |stop: &StopId| self.stops.get(&(tenant, *stop)).copied();
        let with_stops: BTreeSet<OrderId> = which.stops.iter().filter_map(of_stop).collect();
        let these: BTreeSet<OrderId> = which.orders.iter().copied().collect();
        let begin = match which.after {
            Some(after) => Bound::Excluded((tenant, after)),
            None => Bound::Included((tenant, OrderId::from_bits(0))),
        };
        let of_tenant = self.orders.range((begin, Bound::Included((tenant, OrderId::from_bits(u128::MAX)))));
        of_tenant.map(|(_, order)| order).filter(move |order| {
            (which.vehicle.is_none() || order.vehicle == which.vehicle)
                && (!which.open || is_open(order.state))
                && which.state.is_none_or(|state| state == order.state)
                && (these.is_empty() || these.contains(&order.id))
                && (which.stops.is_empty() || with_stops.contains(&order.id))
        })
    }

    pub(super) fn links(&self, tenant: TenantId, order: OrderId) -> impl Iterator<Item = &ShareLink> {
        let of_tenant = self.links.iter().filter(move |((of, _), _)| *of == tenant);
        of_tenant.map(|(_, (_, link))| link).filter(move |link| link.order == order)
    }

    pub(super) fn link(&self, secret: ShareHash) -> Option<&ShareLink> {
        self.links.values().find(|(known, _)| *known == secret).map(|(_, link)| link)
    }

    pub(super) fn geofences(&self, tenant: TenantId) -> impl Iterator<Item = &Geofence> {
        self.geofences.iter().filter(move |((of, _), _)| *of == tenant).map(|(_, geofence)| geofence)
    }

    pub(super) fn geofence(&self, tenant: TenantId, geofence: GeofenceId) -> Option<&Geofence> {
        self.geofences.get(&(tenant, geofence))
    }

    /// Newest first; of those of one moment the higher version, then the higher identity.
    pub(super) fn routes(&self, tenant: TenantId, vehicle: VehicleId) -> Vec<&Route> {
        let of_tenant = self.routes.iter().filter(|((of, ..), _)| *of == tenant).map(|(_, route)| route);
        let mut routes: Vec<&Route> = of_tenant.filter(|route| route.vehicle == vehicle).collect();
        routes.sort_by_key(|route| std::cmp::Reverse((route.created, route.version, route.id)));
        routes
    }

    pub(super) fn waiting(
        &self,
        tenant: TenantId,
        vehicles: &[VehicleId],
        now: WallTime,
        each: usize,
    ) -> Vec<Waiting> {
        let open = |passage: &Passage, expires: WallTime| !passage.state().is_final() && expires > now;
        let messages = self.messages.iter().filter(|((of, _), message)| {
            *of == tenant
                && message.to_vehicle
                && vehicles.contains(&message.vehicle)
                && open(&message.passage, message.expires)
        });
        let routes = self.routes.iter().filter(|((of, ..), route)| {
            *of == tenant && vehicles.contains(&route.vehicle) && open(&route.passage, route.expires)
        });
        let messages = messages.map(|(_, message)| Waiting::Message(message.clone()));
        in_turn(messages.chain(routes.map(|(_, route)| Waiting::Route(route.clone()))).collect(), each)
    }

    /// The place of an entry is its number in the log.
    pub(super) fn changes(&self, tenant: TenantId, after: Cursor) -> impl Iterator<Item = Change> {
        let entries = (1..).zip(self.log.iter().enumerate()).filter(move |(number, (_, settled))| {
            Cursor(0, *number) > after
                && settled.command.tenant == tenant
                && settled.verdict == Verdict::Applied
        });
        entries.map(|(number, (place, settled))| Change {
            cursor: Cursor(0, number),
            at: settled.command.at,
            action: settled.command.action.clone(),
            had_by: self.had_by.get(&place).copied(),
        })
    }

    pub(super) fn messages(&self, tenant: TenantId, which: &WhichMessages) -> Vec<&Message> {
        let edge = |at: i64, id| (tenant, WallTime::from_micros(at), MessageId::from_bits(id));
        let (mut begin, mut end) =
            (Bound::Included(edge(i64::MIN, 0)), Bound::Included(edge(i64::MAX, u128::MAX)));
        if let Some((at, id)) = which.after {
            let after = Bound::Excluded((tenant, at, id));
            if which.newest_first { end = after } else { begin = after }
        }
        let these: BTreeSet<MessageId> = which.messages.iter().copied().collect();
        let wanted = |(tenant, _, id): &(TenantId, WallTime, MessageId)| {
            let message = self.messages.get(&(*tenant, *id))?;
            let is_it = which.vehicle.is_none_or(|of| message.vehicle == of)
                && (these.is_empty() || these.contains(id));
            is_it.then_some(message)
        };
        let most = which.first.unwrap_or(usize::MAX);
        let of_tenant = self.messages_in_order.range((begin, end));
        match which.newest_first {
            true => of_tenant.rev().filter_map(wanted).take(most).collect(),
            false => of_tenant.filter_map(wanted).take(most).collect(),
        }
    }
}

/// Whether something changes if a tracker says that it got so far.
fn pass(is: Option<Passage>, to: PassageState) -> Verdict {
    match is {
        None => Verdict::Missing,
        Some(mut passage) => match passage.note(to, WallTime::UNIX_EPOCH) {
            true => Verdict::Applied,
            false => Verdict::Elsewhere,
        },
    }
}
