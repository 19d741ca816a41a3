//! From a request to an answer: who asks, what for, which handler.

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use drover_auth::{Principal, Scope, ShareSecret, Tickets, TokenError, Verifier};
use drover_bus::{CallError, CallOptions, Pool, Route, Tool, carry_out};
use drover_env::{Env, Value};
use drover_model::orders::{Action, Command, Verdict};
use drover_model::{CommandId, TenantId, VehicleId, WallTime};
use http_body_util::{BodyExt, Limited};
use hyper::body::Body;
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::{Method, Request, StatusCode};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::arguments::{Query, happened_at};
use crate::notes::Notes;
use crate::problem::Problem;
use crate::rates::{Rates, network_of};
use crate::routes::{self, Handler, Table};
use crate::view;

/// Longest body of a request: a route with the most points that it may have.
pub const BODY_BYTES_MAX: usize = 2 << 20;

/// Requests that one address (of IPv6: one /64) may make for each one that a caller may: people share addresses.
const CALLERS_PER_ADDRESS: u32 = 10;

/// What a secret or token that is none costs, in requests: who guesses may do so a twentieth as often as others ask.
const GUESS_COSTS: u32 = 20;

/// How the API behaves.
#[derive(Debug, Clone)]
pub struct Config {
    /// Longest that an agent may take to answer.
    pub answer_within: Duration,
    /// What links to deliveries begin with, such as `https://map.example.com`; nothing, and they begin with `/`.
    pub public_url: String,
    /// How long a share link lasts unless its maker says otherwise.
    pub share_lasts: Duration,
    /// A share link shows its vehicle once no more than so many stops are before its own; without it from when the vehicle sets out.
    pub share_from_stops_before: Option<u32>,
    /// Longest that somebody who waits for a change is kept waiting.
    pub wait_max: Duration,
    /// Requests that whoever has a token may make in a second; an address ten times as many.
    pub requests_per_s: u32,
    /// The same at once.
    pub requests_burst: u32,
    /// How long a token lasts that a share link gives for the live map: so long the vehicle may still be seen after a delivery.
    pub ticket_lasts: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            answer_within: Duration::from_secs(5),
            public_url: String::new(),
            share_lasts: Duration::from_secs(24 * 3600),
            share_from_stops_before: None,
            wait_max: Duration::from_secs(25),
            ticket_lasts: Duration::from_secs(60),
            requests_per_s: 50,
            requests_burst: 200,
        }
    }
}

/// What is known of vehicles without asking a store: whoever takes fresh fixes knows more of them, and sooner.
pub trait Fleet: Send + Sync {
    /// Vehicles of `tenant` that `may_see` allows, as GeoJSON features; `None` if nobody here knows.
    fn features(
        &self,
        tenant: TenantId,
        may_see: &dyn Fn(VehicleId) -> bool,
        with_engine: bool,
    ) -> Option<Vec<serde_json::Value>>;

    /// One vehicle of `tenant`, without its engine's values.
    fn feature(&self, tenant: TenantId, vehicle: VehicleId) -> Option<serde_json::Value> {
        self.features(tenant, &|other| other == vehicle, false)?.into_iter().next()
    }

    /// Where whoever watches that vehicle alone does it best, as an origin; `None`: where they are.
    fn home(&self, _tenant: TenantId, _vehicle: VehicleId) -> Option<String> {
        None
    }
}

/// The HTTP API of one node. Clones share everything.
#[derive(Clone)]
pub struct Api {
    pub(crate) env: Env,
    pub(crate) pool: Pool,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) fleet: Arc<dyn Fleet>,
    pub(crate) config: Arc<Config>,
    pub(crate) tickets: Option<Arc<Tickets>>,
    table: Arc<Table>,
    rng: Arc<Mutex<ChaCha8Rng>>,
    callers: Arc<Mutex<Rates<(TenantId, String)>>>,
    /// By whom an address belongs to.
    addresses: Arc<Mutex<Rates<IpAddr>>>,
    pub(crate) notes: Notes,
}

/// A request that somebody may make.
pub(crate) struct Asked {
    pub(crate) principal: Principal,
    pub(crate) query: Query,
    pub(crate) body: Bytes,
    pub(crate) headers: HeaderMap,
    /// The parts of the path that have names.
    pub(crate) path: Vec<String>,
    /// From where.
    pub(crate) peer: IpAddr,
}

impl Asked {
    /// Refuses who does not have `scope`.
    pub(crate) fn need(&self, scope: Scope) -> Result<(), Problem> {
        if self.principal.scopes.has(scope) {
            return Ok(());
        }
        Err(Problem::forbidden(format!(
            "this needs the scope {scope}; the token has: {}",
            self.principal.scopes
        )))
    }

    /// The vehicle in the path, if the caller may see it. What they may not see is not there for them.
    pub(crate) fn vehicle(&self) -> Result<VehicleId, Problem> {
        let name = &self.path[0];
        let vehicle: VehicleId = crate::arguments::parsed("vehicle", name)?;
        if self.principal.may_see(self.principal.tenant, vehicle) {
            Ok(vehicle)
        } else {
            Err(Problem::missing(format!("there is no vehicle {vehicle} that this token may see")))
        }
    }
}

impl Api {
    /// An API whose answers come from the agents of `pool`.
    ///
    /// `tickets` are what share links give for the live map; without them they show no vehicle.
    pub fn new(
        env: Env,
        pool: Pool,
        verifier: Arc<Verifier>,
        tickets: Option<Arc<Tickets>>,
        fleet: Arc<dyn Fleet>,
        config: Config,
    ) -> Self {
        let rng = Arc::new(Mutex::new(env.rng("api")));
        let notes = Notes::new(env.clone());
        let (per_s, burst) = (config.requests_per_s, config.requests_burst);
        let of_address = |most: u32| most.saturating_mul(CALLERS_PER_ADDRESS);
        Self {
            env,
            pool,
            verifier,
            tickets,
            fleet,
            config: Arc::new(config),
            table: Arc::new(Table::new()),
            rng,
            callers: Arc::new(Mutex::new(Rates::new(per_s, burst))),
            addresses: Arc::new(Mutex::new(Rates::new(of_address(per_s), of_address(burst)))),
            notes,
        }
    }

    /// True if `path` is the API's to answer.
    pub fn is_of(path: &str) -> bool {
        path == "/api" || path.starts_with("/api/")
    }

    /// Answers a request of a client at `peer`.
    pub async fn answer<B>(&self, request: Request<B>, peer: IpAddr) -> Answer
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send,
    {
        let path = request.uri().path().to_owned();
        let mut who = None;
        let answered = self.try_answer(request, peer, &mut who).await;
        let status = match &answered {
            Ok(answer) => answer.status(),
            Err(problem) => problem.status,
        };
        self.env.event("api.answered", &[("status", Value::U64(status.as_u16().into()))]);
        if let Err(problem) = &answered
            && matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        {
            let text = peer.to_string();
            let fields = [("reason", Value::Str(problem.code)), ("peer", Value::Str(&text))];
            self.env.event("api.refused", &fields);
            self.notes.refused(who.as_ref(), &path, problem.code, peer);
        }
        if let Err(Problem { code: "too_many", .. }) = &answered {
            self.env.event("api.held_back", &[]);
        }
        answered.unwrap_or_else(Into::into)
    }

    /// `who` becomes whoever asks, once their token is believed.
    async fn try_answer<B>(
        &self,
        request: Request<B>,
        peer: IpAddr,
        who: &mut Option<Principal>,
    ) -> Result<Answer, Problem>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send,
    {
        held_back(&self.addresses, network_of(peer))?;
        let (parts, body) = request.into_parts();
        let (path, handlers) = self.table.find(parts.uri.path())?;
        let endpoint = handlers.of(&parts.method)?;
        let query = Query::of(parts.uri.query(), endpoint.parameters)?;
        let token = bearer(&parts.headers);
        match &endpoint.handler {
            Handler::Public(handle) => handle(self),
            Handler::Shared(handle) => {
                let secret: ShareSecret = token.ok_or_else(unauthenticated)?.parse().map_err(|error| {
                    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", format!("{error}"))
                })?;
                let answered = handle(self.clone(), secret).await;
                if let Err(Problem { status: StatusCode::NOT_FOUND, .. }) = answered {
                    self.notes.refused(None, parts.uri.path(), "unknown_link", peer);
                    self.guessed(peer);
                }
                answered
            }
            Handler::Known(handle) => {
                let token = token.ok_or_else(unauthenticated)?;
                let principal = self.verifier.verify(token, self.env.wall()).inspect_err(|error| {
                    // A page that was left open is no guess.
                    if !matches!(error, TokenError::Expired(_) | TokenError::Revoked) {
                        self.guessed(peer);
                    }
                })?;
                held_back(&self.callers, (principal.tenant, principal.subject.clone()))?;
                self.notes.seen(&principal, peer);
                *who = Some(principal.clone());
                let body = read(&parts.method, body).await?;
                let asked = Asked { principal, query, body, headers: parts.headers, path, peer };
                handle(self.clone(), asked).await
            }
        }
    }

    /// Somebody has shown what is no token or no link.
    fn guessed(&self, peer: IpAddr) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.punish(Instant::now(), network_of(peer), GUESS_COSTS);
    }

    /// Asks an agent.
    pub(crate) async fn ask<T: Tool>(&self, input: &T::Input) -> Result<T::Output, Problem> {
        let options = CallOptions::within(self.config.answer_within);
        Ok(self.pool.call::<T>(Route::RoundRobin, input, options).await?)
    }

    /// Has a change carried out; says what became of it, if that was not what was wished for.
    pub(crate) async fn change(&self, asked: &Asked, id: CommandId, action: Action) -> Result<(), Problem> {
        let (principal, now) = (&asked.principal, self.env.wall());
        // A driver without a link says later what was done when.
        let at = happened_at(&asked.headers)?.filter(|at| *at <= now).unwrap_or(now);
        let command = Command { tenant: principal.tenant, id, at, action };
        command.check().map_err(Problem::bad)?;
        let options = CallOptions::within(self.config.answer_within);
        let done = carry_out(&self.pool, Route::RoundRobin, &command, options).await;
        let result = match done {
            Ok(result) => result,
            Err(CallError::Refused(detail)) => {
                return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key_reused", detail));
            }
            Err(error) => return Err(error.into()),
        };
        let verdict = result.verdict.as_deref().and_then(Verdict::named);
        let fields = [
            ("actor", Value::Str(&principal.subject)),
            ("action", Value::Str(view::kind_of(&command.action))),
            ("verdict", Value::Str(verdict.map_or("unknown", Verdict::as_str))),
        ];
        self.env.event("api.change", &fields);
        self.notes.changed(asked, &command.action, verdict.map_or("unknown", Verdict::as_str));
        let conflict = |code, detail: &str| Err(Problem::new(StatusCode::CONFLICT, code, detail));
        match verdict {
            Some(Verdict::Applied) => Ok(()),
            Some(Verdict::Exists) => {
                conflict("exists", "something has this identity already; nothing was changed")
            }
            Some(Verdict::Missing) => Err(Problem::missing("there is no such thing; nothing was changed")),
            Some(Verdict::Elsewhere) => {
                conflict("elsewhere", "it is not in the state that was given as from; nothing was changed")
            }
            Some(Verdict::NotAStep) => {
                conflict("not_a_step", "no step leads from there to that state; nothing was changed")
            }
            None => Err(Problem::new(
                StatusCode::BAD_GATEWAY,
                "unknown_verdict",
                "an agent gave a verdict that this program does not know",
            )),
        }
    }

    /// 128 bits that nobody has drawn before.
    pub(crate) fn draw(&self) -> u128 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    /// Now, as answers write it.
    pub(crate) fn now(&self) -> WallTime {
        self.env.wall()
    }
}

fn held_back<K: Eq + Hash>(rates: &Mutex<Rates<K>>, key: K) -> Result<(), Problem> {
    let taken = rates.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now(), key);
    taken.map_err(|wait| {
        let seconds = wait.as_secs() + 1;
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many",
            format!("too many requests: again in {seconds} s"),
        )
        .with("retry_after_s", seconds)
    })
}

fn unauthenticated() -> Problem {
    let detail = "this needs a token: Authorization: Bearer TOKEN (drover token makes one)";
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn read<B>(method: &Method, body: B) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send,
{
    if *method == Method::GET || *method == Method::DELETE {
        return Ok(Bytes::new());
    }
    let limited = Limited::new(body, BODY_BYTES_MAX).collect().await;
    limited.map(http_body_util::Collected::to_bytes).map_err(|_| {
        let detail = format!("the body is longer than {BODY_BYTES_MAX} bytes, or was cut off");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    })
}

pub(crate) use routes::Endpoint;
