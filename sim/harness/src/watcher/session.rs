//! One session of a watcher: its handshake, what it asks, and what it is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use drover_env::{Env, Value};
use drover_model::{NodeKind, NodeName, VehicleId, WallTime};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Plan;
use super::link::{Caller, Link, Said};
use super::told::{Place, Told};

/// How long a hub may take to let a watcher in.
const HANDSHAKE_MAX: Duration = Duration::from_secs(3);
/// A page asks so often whether its hub is still there, and gives it up after so long without a word.
const PING_EVERY: Duration = Duration::from_secs(4);
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Silence after which one that may tries another router.
const ROUTER_SILENCE: Duration = Duration::from_secs(5);
/// One that has stopped reading is gone after so long, and comes back.
const FROZEN_FOR: Duration = Duration::from_secs(60);

/// How a session ended.
pub(super) enum Ended {
    /// The hub did not let it in, or is not there.
    Unreached,
    /// It broke off.
    Lost,
    /// The watcher left it.
    Left,
    /// The hub stops.
    Drained,
}

/// What a watcher keeps from one session to the next.
#[derive(Default)]
pub(super) struct Known {
    session: Option<String>,
    seq: u32,
    /// Where vehicles were seen last, in degrees of longitude and latitude.
    places: BTreeMap<VehicleId, (f64, f64)>,
}

/// What a watcher keeps for one session.
struct Attending<'a> {
    env: &'a Env,
    plan: &'a Plan,
    caller: &'a Caller,
    /// The hub, once it has said which it is.
    hub: Option<NodeName>,
    known: &'a mut Known,
    handles: BTreeMap<u32, VehicleId>,
    drained: bool,
}

/// Attends one session until it ends. `hub` is whose address it is, if it is a hub's.
pub(super) async fn attend(
    (env, plan, caller): (&Env, &Plan, &Caller),
    (hub, addr): (Option<NodeName>, SocketAddr),
    known: &mut Known,
    rng: &mut ChaCha8Rng,
) -> Ended {
    let Ok(Some(mut link)) = timeout(HANDSHAKE_MAX, caller.call(env, plan, addr)).await else {
        return Ended::Unreached;
    };
    let resumes = known.session.take();
    let mut attending = Attending { env, plan, caller, hub, known, handles: BTreeMap::new(), drained: false };
    let asked = attending.begin(&mut link, resumes).await;
    let ended = match asked {
        Some(()) => attending.watch(&mut link, rng).await,
        None => Ended::Lost,
    };
    let left = matches!(ended, Ended::Left);
    env.event("watcher.lost", &[("left", Value::U64(u64::from(left)))]);
    ended
}

impl Attending<'_> {
    /// Says who it is, and asks for what it wants: what it had before, if the hub still knows that.
    async fn begin(&mut self, link: &mut Link, resumes: Option<String>) -> Option<()> {
        if self.hub.is_some() {
            self.tell_connected();
        }
        if !self.plan.says_in_request() {
            link.say(&json!({"action": "AUTHENTICATE", "token": self.plan.token})).await?;
        }
        if self.hub.is_none() {
            // Which hub it is that it has come to.
            let welcomed = timeout(HANDSHAKE_MAX, async {
                while self.hub.is_none() {
                    let said = link.next().await?;
                    self.take(&said);
                }
                Some(())
            });
            welcomed.await.ok()??;
            self.tell_connected();
        }
        if let Some(session) = resumes {
            link.say(&json!({"action": "RESUME", "session": session, "seq": self.known.seq, "id": 1}))
                .await?;
            let answered = timeout(HANDSHAKE_MAX, async {
                loop {
                    let message = link.next().await?;
                    let resumed = self.take(&message);
                    if let Some(resumed) = resumed {
                        return Some(resumed);
                    }
                }
            });
            let resumed = answered.await.ok()??;
            if resumed {
                self.env.event("watcher.resumed", &[]);
                self.tell_subscribed();
                return Some(());
            }
        }
        // Sequences begin anew with the session.
        self.known.seq = 0;
        if self.plan.group.pan_every.is_none() {
            link.say(&json!({"action": "SUBSCRIBE", "topic": self.plan.topic(), "id": 2})).await?;
            self.tell_subscribed();
        }
        Some(())
    }

    fn tell_connected(&self) {
        let fields = [
            ("hub", Value::U64(self.hub.map_or(u64::MAX, |hub| u64::from(hub.index)))),
            ("healthy", Value::U64(u64::from(self.plan.group.is_healthy()))),
            ("routed", Value::U64(u64::from(self.plan.group.via_routers))),
        ];
        self.env.event("watcher.connected", &fields);
    }

    fn tell_subscribed(&self) {
        match self.plan.vehicle {
            Some(vehicle) => {
                let millis = |at: WallTime| at.as_micros().max(0) as u64 / 1_000;
                let fields = [
                    ("vehicle", Value::Vehicle(vehicle)),
                    ("from_ms", Value::U64(self.plan.bounds.from.map_or(0, millis))),
                    ("until_ms", Value::U64(self.plan.bounds.until.map_or(u64::MAX, millis))),
                ];
                self.env.event("watcher.subscribed", &fields);
            }
            None if self.plan.group.pan_every.is_none() => self.env.event("watcher.subscribed", &[]),
            None => {}
        }
    }

    /// Watches until the session ends.
    async fn watch(&mut self, link: &mut Link, rng: &mut ChaCha8Rng) -> Ended {
        let group = self.plan.group;
        if group.frozen {
            // What it has asked for piles up in front of it.
            sleep(FROZEN_FOR).await;
            return Ended::Left;
        }
        let start = Instant::now();
        let leaves_at = group.churn_every.map(|every| start + every.mul_f64(rng.random_range(0.5..1.5)));
        let (mut pings_at, mut pans_at, mut heard) = (start + PING_EVERY, start, start);
        let mut moves_at = group.rebind_every.map(|every| start + every.mul_f64(rng.random_range(0.5..1.5)));
        loop {
            let pans = group.pan_every.filter(|_| self.plan.vehicle.is_none());
            let message = tokio::select! {
                biased;
                () = sleep_until(leaves_at.unwrap_or(start)), if leaves_at.is_some() => {
                    if rng.random_bool(0.5) {
                        self.known.session = None;
                        let _ = timeout(HANDSHAKE_MAX, link.close()).await;
                    }
                    return Ended::Left;
                }
                () = sleep_until(moves_at.unwrap_or(start)), if moves_at.is_some() => {
                    moves_at = group.rebind_every.map(|every| Instant::now() + every);
                    self.caller.move_on(self.env);
                    continue;
                }
                () = sleep_until(pings_at) => {
                    pings_at = Instant::now() + PING_EVERY;
                    if heard.elapsed() > ROUTER_SILENCE {
                        self.caller.change_router(self.env, ROUTER_SILENCE);
                    }
                    if heard.elapsed() > SILENCE_MAX || link.say(&json!({"action": "PING"})).await.is_none() {
                        return Ended::Lost;
                    }
                    continue;
                }
                () = sleep_until(pans_at), if pans.is_some() => {
                    pans_at = Instant::now() + pans.unwrap_or_default();
                    if self.pan(link, rng).await.is_none() {
                        return Ended::Lost;
                    }
                    continue;
                }
                message = link.next() => message,
            };
            let Some(message) = message else {
                return if self.drained { Ended::Drained } else { Ended::Lost };
            };
            heard = Instant::now();
            self.take(&message);
            if !group.slow.is_zero() {
                sleep(group.slow).await;
            }
        }
    }

    /// Looks at the surroundings of some vehicle, or of the whole fleet while it has seen none.
    async fn pan(&mut self, link: &mut Link, rng: &mut ChaCha8Rng) -> Option<()> {
        let places: Vec<_> = self.known.places.values().copied().collect();
        if places.is_empty() {
            let everywhere = json!({"west": -180.0, "south": -85.0, "east": 180.0, "north": 85.0, "zoom": 1});
            return link.say(&json!({"action": "SUBSCRIBE", "viewport": everywhere})).await;
        }
        let (lon, lat) = places[rng.random_range(0..places.len())];
        let half_lat = self.plan.group.view_m / 2.0 / 111_320.0;
        // Twice is as good as the cosine of sixty degrees.
        let half_lon = half_lat * 2.0;
        let viewport = json!({"west": (lon - half_lon).max(-180.0), "south": (lat - half_lat).max(-90.0),
            "east": (lon + half_lon).min(180.0), "north": (lat + half_lat).min(90.0), "zoom": 14});
        link.say(&json!({"action": "SUBSCRIBE", "viewport": viewport})).await
    }

    /// Takes a message; gives whether the session was resumed, if that is what it says.
    fn take(&mut self, message: &Said) -> Option<bool> {
        match message {
            Said::Text(text) => {
                self.plan.tally.message();
                let Ok(message) = serde_json::from_str::<Told<'_>>(text) else {
                    self.env.event("watcher.malformed", &[]);
                    return None;
                };
                self.take_json(&message)
            }
            Said::Binary(bytes) => {
                self.plan.tally.message();
                if self.take_binary(bytes).is_none() {
                    self.env.event("watcher.malformed", &[]);
                }
                None
            }
            Said::Nothing => None,
        }
    }

    fn take_json(&mut self, message: &Told<'_>) -> Option<bool> {
        if let Some(seq) = message.seq {
            self.known.seq = seq;
        }
        let features = message.features.iter().map(Some);
        match message.kind {
            "Feature" => self.see(message.feature().as_ref(), true),
            "update" => features.for_each(|feature| self.see(feature, true)),
            "snapshot" => features.for_each(|feature| self.see(feature, false)),
            "welcome" => {
                self.known.session = message.session.map(str::to_owned);
                let hub = message.hub.and_then(|hub| hub.parse::<NodeName>().ok());
                self.hub = self.hub.or(hub.filter(|hub| hub.kind == NodeKind::Hub));
            }
            "handles" => {
                let names = message.handles.iter();
                let read = names.filter_map(|(handle, name)| Some((*handle, self.name(name)?)));
                let read: Vec<_> = read.collect();
                self.handles.extend(read);
            }
            "closing" => {
                let reason = message.reason.unwrap_or_default();
                self.drained = reason == "draining";
                self.env.event("watcher.let_go", &[("reason", Value::Str(reason))]);
            }
            "error" => {
                let code = message.code.unwrap_or_default();
                self.env.event("watcher.refused", &[("reason", Value::Str(code))]);
            }
            "resumed" => return message.resumed,
            _ => {}
        }
        None
    }

    /// The vehicle of that name; a customer's is the one that it waits for.
    fn name(&self, name: &str) -> Option<VehicleId> {
        match (name, self.plan.vehicle) {
            ("delivery", vehicle) => vehicle,
            // A customer must not learn whose vehicle it is.
            (_, Some(_)) => None,
            (name, None) => VehicleId::new(name).ok(),
        }
    }

    fn see(&mut self, place: Option<&Place<'_>>, live: bool) {
        let seen = place.and_then(|place| Some((self.name(place.id)?, place)));
        match seen {
            Some((vehicle, place)) => {
                let [lon, lat] = place.geometry.coordinates;
                self.saw(vehicle, place.properties.time_ms, (lon, lat), live);
            }
            // A customer must not learn whose vehicle it is.
            None if place.is_some() && self.plan.vehicle.is_some() => {
                self.env.event("watcher.told_name", &[]);
            }
            None => self.env.event("watcher.malformed", &[]),
        }
    }

    fn saw(&mut self, vehicle: VehicleId, time_ms: u64, place: (f64, f64), live: bool) {
        self.plan.tally.position();
        // Only who moves about on the map goes by where vehicles are.
        if self.plan.group.pan_every.is_some() {
            self.known.places.insert(vehicle, place);
        }
        let e7 = |degrees: f64| Value::I64((degrees * 1e7).round() as i64);
        let fields = [
            ("vehicle", Value::Vehicle(vehicle)),
            ("time_ms", Value::U64(time_ms)),
            ("live", Value::U64(u64::from(live))),
            ("lon_e7", e7(place.0)),
            ("lat_e7", e7(place.1)),
        ];
        self.env.event("watcher.seen", &fields);
    }

    /// Reads a binary message; `None` if it is none.
    fn take_binary(&mut self, bytes: &[u8]) -> Option<()> {
        let (head, records) = bytes.split_at_checked(16)?;
        let live = head[1] & 1 == 0;
        self.known.seq = u32::from_le_bytes(head[4..8].try_into().ok()?);
        let server_ms = f64::from_le_bytes(head[8..16].try_into().ok()?) as u64;
        if head[0] != 1 || head[2..4] != 24_u16.to_le_bytes() || records.len() % 24 != 0 {
            return None;
        }
        for record in records.chunks_exact(24) {
            let word = |at: usize| record.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
            let vehicle = *self.handles.get(&word(0)?)?;
            let degrees = |word: u32| f64::from(word as i32) / 1e7;
            let place = (degrees(word(4)?), degrees(word(8)?));
            // The time of the server tells which of all times with these low bits is meant.
            let late = (server_ms as u32).wrapping_sub(word(20)?) as i32;
            self.saw(vehicle, server_ms.saturating_add_signed(-i64::from(late)), place, live);
        }
        Some(())
    }
}
