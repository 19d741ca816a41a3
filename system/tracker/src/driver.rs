//! Owns socket, spool, timer and cancellation, and carries out what the cores decide.

mod can;
mod downlink;
mod intake;
mod names;
mod told;
mod uplink;

use std::future::{Future, pending};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drover_env::{Chain, Env};
use drover_model::Fix;
use drover_quic::Routers;
use drover_wire::geostream::{Channel, close};
use quinn::{ClientConfig, Endpoint};
use rand::RngExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::can::Can;
use self::downlink::Downlink;
use self::names::{Looked, Names, looked};
use self::told::Telling;
use crate::Arrived;
use crate::dialer::Dialer;
use crate::link::{AttemptError, Fresh, Link, LinkEvent, Loss};
use crate::liveness::{Doubt, Liveness};
use crate::session::Session;
use crate::spool::Recovery;
use crate::{Config, Newest, NmeaCounts, NmeaReader, Spool, SpoolError, Summary, Tracker};

/// How often the local address and the liveness of the session are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How much later that may be, so that it is done on the way of something else and wakes nobody by itself.
const LOOK_SLACK: Duration = Duration::from_millis(500);
/// On the way out: how long the goodbye may take to leave.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

type Attempt = Pin<Box<dyn Future<Output = Result<Fresh, AttemptError>> + Send>>;

pub(crate) struct Driver {
    env: Env,
    config: Config,
    endpoint: Endpoint,
    /// What the endpoint sends through, if its servers are routers.
    routers: Option<Arc<Routers>>,
    /// Where those are found, if they have a name.
    names: Option<Names>,
    shares_endpoint: bool,
    client: ClientConfig,
    gps: mpsc::Receiver<Arrived<Bytes>>,
    gps_ended: bool,
    nmea: NmeaReader,
    can: Option<Can>,
    newest: Newest,
    /// Fixes on their way from the reader to the spool; empty between inputs.
    fixes: Vec<Fix>,
    spool: Spool,
    recovery: Option<Recovery>,
    committed_at: Option<Instant>,
    commit_due: Option<Instant>,
    session: Session,
    downlink: Downlink,
    liveness: Liveness,
    dialer: Dialer,
    link: Option<Link>,
    attempt: Option<Attempt>,
    /// Why the attempt was begun, if a session is kept meanwhile.
    doubt: Option<Doubt>,
    look_at: Instant,
    source: Option<IpAddr>,
    summary: Summary,
    told: Told,
}

/// What was told as events last.
#[derive(Debug, Default)]
struct Told {
    waiting_len: usize,
    spool_bytes: u64,
    nmea: NmeaCounts,
}

enum Input {
    Time,
    Cancelled,
    Gps(Option<Arrived<Bytes>>),
    Attempted(Result<Fresh, AttemptError>),
    Looked(Box<Looked>),
    Link(LinkEvent),
}

impl Driver {
    pub(crate) fn start(tracker: Tracker) -> Result<Self, SpoolError> {
        let Tracker {
            env,
            config,
            endpoint,
            routers,
            client,
            gps,
            can,
            newest,
            told,
            shares_endpoint,
            first_send,
        } = tracker;
        let now = Instant::now();
        let mut config = config.buggified(&env);
        if env.planted("never_resent") {
            config.ack_timeout = Duration::from_secs(1 << 30);
        }
        let (spool, recovery) = Spool::open(&env, &config)?;
        // Trackers start at all times but also, after a power cut, all at once.
        let interval_us = config.send_interval.as_micros() as u64;
        let at_random = || now + Duration::from_micros(env.rng("phase").random_range(0..interval_us));
        let phase = first_send.unwrap_or_else(at_random);
        let mut names = routers.as_ref().and_then(|_| Names::new(&env, &config, now));
        if let Some(names) = &mut names {
            names.refresh(now);
        }
        let mut session = Session::new(config.send_interval, config.ack_timeout, phase);
        session.newest_first = env.planted("backlog_newest_first");
        Ok(Self {
            source: config.way_out().and_then(|server| env.source_ip(server).ok()),
            session,
            downlink: Downlink::open(&env, told),
            liveness: Liveness::new(config.silence_max, config.stalled_max, config.router_silence),
            dialer: Dialer::new(now, &config, env.rng("dial")),
            env,
            config,
            endpoint,
            routers,
            names,
            shares_endpoint,
            client,
            gps,
            gps_ended: false,
            nmea: NmeaReader::new(),
            can: can.map(|input| Can::new(input, now)),
            newest,
            fixes: Vec::new(),
            spool,
            recovery: Some(recovery),
            committed_at: None,
            commit_due: Some(now),
            link: None,
            attempt: None,
            doubt: None,
            look_at: now + LOOK_INTERVAL,
            summary: Summary::default(),
            told: Told::default(),
        })
    }

    /// Runs until `cancel`, or until there is nothing left to do.
    pub(crate) async fn run(&mut self, cancel: &CancellationToken) {
        let mut timer = Box::pin(sleep_until(Instant::now()));
        loop {
            self.act().await;
            if self.is_finished() {
                return;
            }
            let due = self.poll_timeout();
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            match self.input(&mut timer, cancel).await {
                Input::Time => {}
                Input::Cancelled => return,
                Input::Gps(bytes) => self.take_gps(bytes),
                Input::Attempted(result) => self.take_attempt(result),
                Input::Looked(looked) => self.take_looked(looked),
                Input::Link(event) => self.take_link_event(event),
            }
        }
    }

    async fn input(&mut self, timer: &mut Pin<Box<Sleep>>, cancel: &CancellationToken) -> Input {
        let (attempt, link, names) = (&mut self.attempt, &mut self.link, &mut self.names);
        let is_looking = names.as_ref().is_some_and(Names::is_looking);
        tokio::select! {
            biased;
            () = timer => Input::Time,
            () = cancel.cancelled() => Input::Cancelled,
            bytes = self.gps.recv(), if !self.gps_ended => Input::Gps(bytes),
            result = attempted(attempt), if attempt.is_some() => Input::Attempted(result),
            looked = looked(names), if is_looking => Input::Looked(looked),
            event = next_event(link), if link.is_some() => Input::Link(event),
        }
    }

    /// Does everything that is due.
    async fn act(&mut self) {
        let now = Instant::now();
        if now >= self.look_at {
            self.look_around(now);
        }
        self.end_cycles(now);
        // What goes live now must be recorded first.
        let live_waits = self.session.live_is_due(now) && self.spool.waiting_len() > 0;
        if self.commit_due.is_some_and(|due| due <= now || live_waits) {
            self.commit(now).await;
        }
        self.session.expire(now);
        self.carry_out(now).await;
        self.send(now);
        self.dial(now);
    }

    /// When something is due again.
    fn poll_timeout(&self) -> Instant {
        let mut due = self.look_at + LOOK_SLACK;
        let live_room = self.link.as_ref().is_some_and(|link| link.has_room(Channel::Live));
        let others = [
            self.nmea.poll_timeout(),
            self.commit_due,
            self.session.poll_timeout(live_room),
            self.dialer.poll_timeout(),
            self.downlink.poll_timeout(),
        ];
        for other in others.into_iter().flatten() {
            due = due.min(other);
        }
        due
    }

    fn is_finished(&self) -> bool {
        self.config.exit_at_end
            && self.gps_ended
            && self.spool.waiting_len() == 0
            && self.spool.holdings().is_settled()
    }

    /// Records what came before the end, and says goodbye.
    pub(crate) async fn stop(mut self) -> Summary {
        let now = Instant::now();
        self.nmea.finish(now, &mut self.fixes);
        self.offer_fixes(now);
        self.commit(now).await;
        let closed = self.spool.close(&mut Telling { env: &self.env, summary: &mut self.summary }).await;
        if let Err(error) = closed {
            warn!(error = %Chain(&error), "what is settled was not written: it is sent again after the next start");
        }
        self.tell_skipped();
        self.attempt = None;
        if let Some(link) = self.link.take() {
            link.close(close::DONE, "the tracker stops");
            self.tell_disconnected(Loss::Done);
        }
        if self.shares_endpoint {
            return self.summed_up();
        }
        self.endpoint.close(close::DONE.into(), b"the tracker stops");
        // A goodbye that does not get through is as good as a vehicle that drives out of coverage.
        let _ = timeout(GOODBYE_MAX, self.endpoint.wait_idle()).await;
        self.summed_up()
    }

    fn summed_up(&self) -> Summary {
        let can = self.can.as_ref().map(Can::counts).unwrap_or_default();
        Summary { pending: self.spool.holdings().len(), nmea: *self.nmea.counts(), can, ..self.summary }
    }

    /// Looks at what changes without a word: the local address, and whether the gateway is heard.
    fn look_around(&mut self, now: Instant) {
        self.look_at = now + LOOK_INTERVAL;
        self.read_bus(now);
        self.tell_skipped();
        self.follow_address();
        let Some(link) = &self.link else { return };
        let (received, sent) = link.datagrams();
        let owed = self.session.is_owed();
        let heard = self.liveness.observe(now, received, sent, owed);
        self.session.set_reachable(now, self.liveness.is_reachable(now));
        if heard && self.doubt == Some(Doubt::Silent) {
            self.end_doubt();
        }
        if self.liveness.router_is_silent(now) {
            self.change_router(now);
        }
        // Behind routers there are others, even if only one is known.
        let others = self.config.servers.len() > 1 || self.routers.is_some();
        if let (None, Some(doubt)) = (self.doubt, self.liveness.doubt(now, owed, others)) {
            self.begin_doubt(now, doubt);
        }
    }

    /// Uses another router, and asks for their name again: the one that was used may be gone for good.
    fn change_router(&mut self, now: Instant) {
        if self.routers.is_none() {
            return;
        }
        if self.take_other_router(now) {
            info!("another router");
            self.env.event("tracker.router_changed", &[]);
        }
        if let Some(names) = &mut self.names {
            names.refresh(now);
        }
    }

    /// Uses the next router; false if there is none, or if others that share the endpoint have only just done so.
    fn take_other_router(&self, now: Instant) -> bool {
        let tried = if self.shares_endpoint { self.config.router_silence } else { Duration::ZERO };
        self.routers.as_ref().is_some_and(|routers| routers.change(now, tried))
    }

    fn take_looked(&mut self, looked: Box<Looked>) {
        let (Some(names), Some(routers)) = (&mut self.names, &self.routers) else { return };
        let now = Instant::now();
        if names.take(now, looked, routers) && self.link.is_none() {
            self.dialer.hurry(now);
        }
    }

    /// Moves the session along when this vehicle has come into another network.
    fn follow_address(&mut self) {
        let Some(server) = self.config.way_out().filter(|_| !self.shares_endpoint) else { return };
        // Without a route there is nothing to move to yet.
        let Ok(source) = self.env.source_ip(server) else { return };
        if self.source == Some(source) {
            return;
        }
        match drover_quic::rebind(
            &self.env,
            &self.endpoint,
            rebind_addr(self.config.bind),
            self.routers.as_ref(),
        ) {
            Ok(()) => {
                let moved = self.source.replace(source).is_some() && self.link.is_some();
                if moved {
                    info!("the session moves to another network");
                    self.env.event("tracker.migrated", &[]);
                }
            }
            Err(error) => warn!(error = %Chain(&error), "open a socket in the new network"),
        }
    }
}

/// A fixed port is still taken by the socket that is to be replaced.
const fn rebind_addr(mut bind: SocketAddr) -> SocketAddr {
    bind.set_port(0);
    bind
}

async fn attempted(attempt: &mut Option<Attempt>) -> Result<Fresh, AttemptError> {
    match attempt {
        Some(attempt) => attempt.await,
        None => pending().await,
    }
}

async fn next_event(link: &mut Option<Link>) -> LinkEvent {
    match link {
        Some(link) => link.next().await,
        None => pending().await,
    }
}
