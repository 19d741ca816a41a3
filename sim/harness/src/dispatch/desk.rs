//! One van's desk: its order from the moment it sets off until it drives on, one wish after the other.

use std::time::Duration;

use drover_bus::{CallOptions, Route, carry_out};
use drover_env::Value;
use drover_model::orders::{Action, Command, MessageState, NewStop, OrderState, StopState, Verdict};
use drover_model::{CommandId, MessageId, OrderId, Position, RouteId, StopId, VehicleId};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::{Dispatch, News, Service, named};
use crate::scenario;

/// First wait before a command is said again, in milliseconds; doubles.
const AGAIN_MIN_MS: u64 = 100;
/// Longest wait.
const AGAIN_MAX_MS: u64 = 2_000;
/// How long a message is of use.
const MESSAGE_LASTS: Duration = Duration::from_secs(3600);

/// The order that a van brings.
#[derive(Debug, Clone, Copy)]
struct Bringing {
    order: OrderId,
    stop: StopId,
    message: Option<MessageId>,
    arrived: bool,
}

pub(super) struct Desk {
    dispatch: Dispatch,
    service: Service,
    config: scenario::Orders,
    vehicle: VehicleId,
    rng: ChaCha8Rng,
    /// For routes and short messages, so that desks without them do what they did.
    downlink_rng: ChaCha8Rng,
    /// The route that the van was given last.
    route: Option<(RouteId, u32)>,
    bringing: Option<Bringing>,
}

impl Desk {
    pub(super) fn new(dispatch: Dispatch, service: Service, config: scenario::Orders, vehicle: u32) -> Self {
        let rng = service.env.rng(&format!("dispatch {vehicle}"));
        let downlink_rng = service.env.rng(&format!("dispatch downlink {vehicle}"));
        let (vehicle, route, bringing) = (named(vehicle).1, None, None);
        Self { dispatch, service, config, vehicle, rng, downlink_rng, route, bringing }
    }

    pub(super) async fn run(mut self, mut news: mpsc::Receiver<News>) {
        while let Some(news) = news.recv().await {
            match news {
                News::SetOff(to) => {
                    self.finish().await;
                    if self.rng.random_bool(self.config.trip_share) {
                        self.begin(to).await;
                    }
                }
                News::Arrived => self.arrive().await,
            }
            self.dispatch.dealt_with();
        }
    }

    /// A new order, for where the van is going.
    async fn begin(&mut self, to: Position) {
        let (order, stop) = (OrderId::from_bits(self.rng.random()), StopId::from_bits(self.rng.random()));
        let stops = vec![NewStop { id: stop, position: to, due_from: None, due_until: None }];
        let create = Action::CreateOrder { order, customer: format!("customer of {}", self.vehicle), stops };
        self.wish(create.clone()).await;
        if self.rng.random_bool(self.config.wrong_share) {
            // Another wish for the same order.
            self.say(create, Verdict::Exists).await;
        }
        if self.rng.random_bool(self.config.cancelled_share) {
            return self.order(order, OrderState::Planned, OrderState::Cancelled).await;
        }
        self.order(order, OrderState::Planned, OrderState::Assigned).await;
        let message = self.rng.random_bool(self.config.message_share).then(|| self.rng.random());
        let message = message.map(MessageId::from_bits);
        if let Some(message) = message {
            let short = self.downlink_rng.random_bool(self.config.short_message_share);
            let lasts = if short { self.config.short_message } else { MESSAGE_LASTS };
            let expires = self.service.env.wall().plus(lasts);
            let body = format!("next stop: {:.5} {:.5}", to.lat(), to.lon());
            let (vehicle, to_vehicle) = (self.vehicle, true);
            self.wish(Action::SendMessage { message, vehicle, to_vehicle, body, expires }).await;
        }
        if self.downlink_rng.random_bool(self.config.route_share) {
            self.route(stop, to, "a new order").await;
            if self.downlink_rng.random_bool(0.5) {
                self.route(stop, to, "a jam").await;
            }
        }
        self.order(order, OrderState::Assigned, OrderState::UnderWay).await;
        self.bringing = Some(Bringing { order, stop, message, arrived: false });
    }

    /// The next version of the van's route.
    async fn route(&mut self, stop: StopId, to: Position, reason: &str) {
        let first = || (RouteId::from_bits(self.downlink_rng.random()), 1);
        let (route, version) = self.route.map_or_else(first, |(route, version)| (route, version + 1));
        self.route = Some((route, version));
        let (vehicle, stops, path) = (self.vehicle, vec![stop], vec![to, to]);
        self.wish(Action::PlanRoute { route, version, vehicle, stops, path, reason: reason.to_owned() })
            .await;
    }

    /// The van is where its order goes.
    async fn arrive(&mut self) {
        let Some(bringing) = self.bringing.filter(|bringing| !bringing.arrived) else { return };
        self.stop(bringing.stop, StopState::Planned, StopState::Arrived).await;
        if let Some(message) = bringing.message {
            self.message(message, MessageState::Queued, MessageState::Delivered).await;
        }
        self.bringing = Some(Bringing { arrived: true, ..bringing });
    }

    /// The van drives on: what it brought is handed over, or not.
    async fn finish(&mut self) {
        self.arrive().await;
        let Some(bringing) = self.bringing.take() else { return };
        let (stop, order) = match self.rng.random_bool(self.config.failed_share) {
            true => (StopState::Failed, OrderState::Failed),
            false => (StopState::Done, OrderState::Delivered),
        };
        self.stop(bringing.stop, StopState::Arrived, stop).await;
        self.order(bringing.order, OrderState::UnderWay, order).await;
        if let Some(message) = bringing.message {
            self.message(message, MessageState::Delivered, MessageState::Read).await;
        }
    }

    async fn order(&mut self, order: OrderId, from: OrderState, to: OrderState) {
        let vehicle = (to == OrderState::Assigned).then_some(self.vehicle);
        self.wish(Action::ChangeOrder { order, from, to, vehicle }).await;
        if !self.rng.random_bool(self.config.wrong_share) {
            return;
        }
        // A step that leads nowhere, one from where it was, and one of an order that is not there.
        let no_step =
            OrderState::ALL.iter().find(|next| !to.may_become(**next) && **next != OrderState::Assigned);
        let wrong = |order, from, to| Action::ChangeOrder { order, from, to, vehicle: None };
        match (self.rng.random_range(0..3), no_step) {
            (0, Some(next)) => self.say(wrong(order, to, *next), Verdict::NotAStep).await,
            (1, _) => {
                let nowhere = OrderId::from_bits(self.rng.random());
                self.say(wrong(nowhere, to, OrderState::Cancelled), Verdict::Missing).await;
            }
            _ => self.say(wrong(order, from, OrderState::Cancelled), Verdict::Elsewhere).await,
        }
    }

    async fn stop(&mut self, stop: StopId, from: StopState, to: StopState) {
        self.wish(Action::ChangeStop { stop, from, to }).await;
        if self.rng.random_bool(self.config.wrong_share) {
            self.say(Action::ChangeStop { stop, from: to, to: StopState::Arrived }, Verdict::NotAStep).await;
        }
    }

    async fn message(&mut self, message: MessageId, from: MessageState, to: MessageState) {
        self.wish(Action::ChangeMessage { message, from, to }).await;
        if self.rng.random_bool(self.config.wrong_share) {
            let to = MessageState::Expired;
            self.say(Action::ChangeMessage { message, from, to }, Verdict::Elsewhere).await;
        }
    }

    async fn wish(&mut self, action: Action) {
        self.say(action, Verdict::Applied).await;
    }

    /// Says a command until it is answered, and sometimes once more.
    async fn say(&mut self, action: Action, expected: Verdict) {
        let (tenant, id) = (super::tenant(), CommandId::from_bits(self.rng.random()));
        let command = Command { tenant, id, at: self.service.env.wall(), action };
        let place = self.dispatch.ask(command.clone(), expected);
        let times = 1 + u32::from(self.rng.random_bool(self.config.repeat_share));
        for _ in 0..times {
            self.until_answered(place, &command).await;
        }
    }

    async fn until_answered(&mut self, place: usize, command: &Command) {
        let mut wait_ms = AGAIN_MIN_MS;
        loop {
            let options = CallOptions::within(self.config.answer_within);
            let answer = carry_out(&self.service.pool, Route::RoundRobin, command, options).await;
            match answer {
                Ok(result) => {
                    let name = result.verdict.unwrap_or_default();
                    let repeat = u64::from(result.is_repeat.unwrap_or_default());
                    let fields = [("verdict", Value::Str(&name)), ("repeat", Value::U64(repeat))];
                    self.service.env.event("dispatch.answered", &fields);
                    match Verdict::named(&name) {
                        Some(verdict) => self.dispatch.answered(place, verdict),
                        None => {
                            self.dispatch.broke(format!("command {} has the verdict {name:?}", command.id));
                        }
                    }
                    return;
                }
                Err(error) if error.is_retryable() => {
                    self.service.env.event("dispatch.unanswered", &[("reason", Value::Str(error.name()))]);
                }
                Err(error) => {
                    self.service.env.event("dispatch.refused", &[("reason", Value::Str(error.name()))]);
                    return self.dispatch.broke(format!("command {}: {error}", command.id));
                }
            }
            sleep(Duration::from_millis(self.rng.random_range(wait_ms / 2..=wait_ms))).await;
            wait_ms = (wait_ms * 2).min(AGAIN_MAX_MS);
        }
    }
}
