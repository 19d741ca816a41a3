//! The agent on the bus: its tools, and one writer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use drover_bus::discovery::{About, Discovery, Member, Purpose};
use drover_bus::{Agent, CallContext, CallError, Policy, ProbeStore, RecordTelemetry, RecordTelemetryBatch};
use drover_env::Env;
use drover_model::{Epoch, NodeKind, Refusal, TenantId, VehicleId};
use drover_quic::{Identity, Principal, QuicError, Trust};
use drover_store::{History, Orders, Origin, Revoking, Row, Store, Trail};
use drover_wire::{Ack, GeoTelemetry, RecordBatch, RecordOutcome, RefusedFix, VehicleBatch, fix_from_wire};
use quinn::Endpoint;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::board::Board;
use crate::commit::RowVerdict;
use crate::writer::{Inbox, writer};
use crate::{history, orders, revocations, trail};

/// Why the agent can not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A setting that can not be.
    #[error("config: {0}")]
    Config(String),
    /// Its endpoint.
    #[error("open the bus endpoint")]
    Endpoint(#[source] QuicError),
    /// Its certificate is not a persistence agent's.
    #[error("the certificate names {found}, not a persistence agent (drover://svc/persistence/<index>)")]
    Identity {
        /// Who it names.
        found: String,
    },
}

/// A persistence agent, bound and ready to run.
pub struct Persistence {
    env: Env,
    config: Config,
    endpoint: Endpoint,
    store: Arc<dyn Store>,
    offers: Offers,
    member: Option<Member>,
}

/// What an agent offers beside its writing: each may be left out.
#[derive(Default)]
struct Offers {
    history: Option<Arc<dyn History>>,
    orders: Option<Arc<dyn Orders>>,
    revoking: Option<Arc<dyn Revoking>>,
    trail: Option<Arc<dyn Trail>>,
}

impl Persistence {
    /// Opens the agent's endpoint, and joins its cluster if the config names health agents.
    ///
    /// # Errors
    /// The address is taken, the certificate is not one of a persistence agent, or the config is wrong.
    pub fn bind(
        env: Env,
        config: Config,
        identity: &Identity,
        trust: &Trust,
        store: Arc<dyn Store>,
    ) -> Result<Self, BindError> {
        match identity.principal() {
            Some(Principal::Service(node)) if node.kind == NodeKind::Persistence => {}
            other => {
                let found = other.map_or_else(|| "nobody".to_owned(), |who| who.to_string());
                return Err(BindError::Identity { found });
            }
        }
        config.check().map_err(BindError::Config)?;
        let config = config.buggified(&env);
        let endpoint =
            drover_bus::listen(&env, config.listen, identity, trust).map_err(BindError::Endpoint)?;
        let bound = endpoint
            .local_addr()
            .map_err(|source| BindError::Endpoint(QuicError::Socket { addr: config.listen, source }))?;
        let about = About {
            addresses: [(Purpose::Bus, config.discovery.advertised(bound))].into(),
            tools: ["PersistenceService".to_owned()].into(),
            capacity: u32::try_from(config.rows_pending_max).unwrap_or(u32::MAX),
        };
        let member = Member::join_from(&env, &config.discovery, identity, trust, about)
            .map_err(BindError::Endpoint)?;
        Ok(Self { env, config, endpoint, store, offers: Offers::default(), member })
    }

    /// What it hears of others, if it has joined a cluster.
    pub fn discovery(&self) -> Option<Discovery> {
        self.member.as_ref().map(Member::discovery)
    }

    /// Offers what is stored to be read, by hubs.
    #[must_use]
    pub fn with_history(mut self, history: Arc<dyn History>) -> Self {
        self.offers.history = Some(history);
        self
    }

    /// Offers orders to be changed and read, by hubs.
    #[must_use]
    pub fn with_orders(mut self, orders: Arc<dyn Orders>) -> Self {
        self.offers.orders = Some(orders);
        self
    }

    /// Offers the list of revoked certificates and tokens, to gateways and hubs.
    #[must_use]
    pub fn with_revocations(mut self, revoking: Arc<dyn Revoking>) -> Self {
        self.offers.revoking = Some(revoking);
        self
    }

    /// Offers the audit trail to be written and read, by hubs.
    #[must_use]
    pub fn with_trail(mut self, trail: Arc<dyn Trail>) -> Self {
        self.offers.trail = Some(trail);
        self
    }

    /// Where the agent listens.
    ///
    /// # Errors
    /// The socket is closed.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Serves until `cancel`, then finishes the calls in progress, writes what is buffered, and ends.
    pub async fn run(self, cancel: CancellationToken) {
        let drain = self.config.drain;
        let (inbox, writer) = writer(self.env.clone(), self.config, self.store);
        let writing = self.env.spawn("persistence.writer", writer.run());
        let life = u64::try_from(self.env.wall().as_micros()).unwrap_or_default().max(1);
        let board = Board::new(life, cancel.clone());
        let agent = agent(&self.env, inbox.clone(), drain, &self.offers, board);
        match &self.member {
            None => {
                drop(inbox);
                agent.serve(self.env, self.endpoint, cancel).await;
            }
            Some(member) => {
                let stop = CancellationToken::new();
                let joined = async {
                    member.serve(&cancel, || inbox.load_percent()).await;
                    stop.cancel();
                };
                tokio::join!(agent.serve(self.env, self.endpoint, stop.clone()), joined);
                drop(inbox);
            }
        }
        // The agent held the last way into the buffer: with it gone, the writer writes the rest and ends.
        drop(agent);
        // Lost means that the node itself is going down.
        let _ = writing.await;
    }
}

fn agent(env: &Env, inbox: Inbox, drain: Duration, offers: &Offers, board: Board) -> Agent {
    let (single, probed) = (inbox.clone(), inbox.clone());
    // Gateways write, and read nothing but whom not to believe and what waits for vehicles; hubs read, and change orders.
    let policy = Policy::deny_all()
        .allow(NodeKind::Gateway, "PersistenceService.record")
        .allow(NodeKind::Gateway, "PersistenceService.revocations")
        .allow(NodeKind::Hub, "PersistenceService.revocations")
        .allow(NodeKind::Gateway, "PersistenceService.downlink.")
        .allow(NodeKind::Hub, "PersistenceService.history.")
        .allow(NodeKind::Hub, "PersistenceService.orders.")
        .allow(NodeKind::Hub, "PersistenceService.trail.")
        .allow(NodeKind::Health, "PersistenceService.probe");
    let mut agent = Agent::builder("PersistenceService")
        .policy(policy)
        .drain(drain)
        .tool::<RecordTelemetryBatch, _, _>(move |call, batch| record_batch(inbox.clone(), call, batch))
        .tool::<RecordTelemetry, _, _>(move |call, message| record_one(single.clone(), call, message))
        .tool::<ProbeStore, _, _>(move |_, _| probe(probed.clone()));
    if let Some(history) = &offers.history {
        agent = history::with_tools(agent, history);
    }
    if let Some(orders) = &offers.orders {
        agent = orders::with_tools(agent, env, orders, board);
    }
    if let Some(revoking) = &offers.revoking {
        agent = revocations::with_tool(agent, env, revoking);
    }
    if let Some(trail) = &offers.trail {
        agent = trail::with_tools(agent, trail);
    }
    agent.build()
}

async fn record_batch(
    inbox: Inbox,
    call: CallContext,
    batch: RecordBatch,
) -> Result<RecordOutcome, CallError> {
    let batch = match VehicleBatch::try_from(&batch) {
        Ok(batch) => batch,
        // Asks whether the store answers: no rows, no vehicle.
        Err(_) if batch == RecordBatch::default() => {
            write(&inbox, Vec::new(), call.deadline).await?;
            return Ok(RecordOutcome::default());
        }
        Err(invalid) => return Err(CallError::BadArguments(invalid.to_string())),
    };
    let (tenant, vehicle, origin) = (batch.tenant, batch.vehicle, Origin::Spool(batch.epoch));
    let rows: Vec<Row> = batch.fixes.into_iter().map(|fix| Row { tenant, vehicle, origin, fix }).collect();
    let sequences: Vec<u64> = rows.iter().map(|row| row.fix.sequence).collect();
    let verdicts = write(&inbox, rows, call.deadline).await?;
    let mut outcome = RecordOutcome { stored: Some(0), duplicates: Some(0), refused: Vec::new() };
    for (sequence, verdict) in sequences.into_iter().zip(verdicts) {
        match verdict {
            RowVerdict::Stored => outcome.stored = outcome.stored.map(|count| count + 1),
            RowVerdict::Duplicate => outcome.duplicates = outcome.duplicates.map(|count| count + 1),
            RowVerdict::Refused(reason, detail) => {
                outcome.refused.push(RefusedFix::new(sequence, reason, detail));
            }
        }
    }
    Ok(outcome)
}

/// The contracts' form: one report, and `OK` once it is durable. The tenant is the caller's word, as the vehicle is.
async fn record_one(inbox: Inbox, call: CallContext, message: GeoTelemetry) -> Result<Ack, CallError> {
    let bad = |detail: String| CallError::BadArguments(detail);
    let vehicle = message.vehicle_id.as_deref().unwrap_or_default();
    let vehicle = VehicleId::new(vehicle).map_err(|error| bad(format!("vehicle: {error}")))?;
    let tenant = call.tenant.as_deref().unwrap_or("default");
    let tenant = TenantId::new(tenant).map_err(|error| bad(format!("tenant: {error}")))?;
    let mut fix = fix_from_wire(&message).map_err(|invalid| bad(invalid.to_string()))?;
    let origin = origin(&message)?;
    if origin == Origin::Legacy {
        // Without an epoch it says nothing.
        fix.sequence = 0;
    }
    let verdicts = write(&inbox, vec![Row { tenant, vehicle, origin, fix }], call.deadline).await?;
    match verdicts.into_iter().next() {
        Some(RowVerdict::Refused(Refusal::IdentityReused, detail)) => Err(CallError::Refused(detail)),
        Some(RowVerdict::Refused(reason, detail)) => Err(CallError::Refused(format!("{reason}: {detail}"))),
        Some(RowVerdict::Stored | RowVerdict::Duplicate) | None => Ok(Ack::ok()),
    }
}

async fn probe(inbox: Inbox) -> Result<Ack, CallError> {
    let full = |_| CallError::Overloaded("too many rows wait for the store".to_owned());
    let taken = inbox.probe().map_err(full)?;
    taken.await.map_err(|_| CallError::Unavailable("the agent is stopping".to_owned()))?;
    Ok(Ack::ok())
}

/// A report with sequence and epoch is one of a spool, and as unique as they are.
fn origin(message: &GeoTelemetry) -> Result<Origin, CallError> {
    match (message.sequence, message.epoch) {
        (Some(_), Some(epoch)) => match Epoch::new(epoch) {
            Ok(epoch) => Ok(Origin::Spool(epoch)),
            Err(error) => Err(CallError::BadArguments(error.to_string())),
        },
        _ => Ok(Origin::Legacy),
    }
}

async fn write(inbox: &Inbox, rows: Vec<Row>, deadline: Instant) -> Result<Vec<RowVerdict>, CallError> {
    let verdicts = inbox
        .put(rows, deadline)
        .map_err(|_| CallError::Overloaded("too many rows wait for the store".to_owned()))?;
    match verdicts.await {
        Ok(Ok(verdicts)) => Ok(verdicts),
        Ok(Err(error)) => Err(CallError::Unavailable(error.to_string())),
        Err(_) => Err(CallError::Unavailable("the agent is stopping".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_beyond_63_bits_is_refused_and_not_cut() {
        let of = |epoch| origin(&GeoTelemetry { sequence: Some(3), epoch, ..GeoTelemetry::default() });
        assert_eq!(of(Some(7)), Ok(Origin::Spool(Epoch::from_bits(7))));
        assert_eq!(of(None), Ok(Origin::Legacy));
        let error = of(Some((1 << 63) + 7)).expect_err("too large").to_string();
        assert_eq!(error, "bad arguments: epoch of 9223372036854775815 exceeds 63 bits");
    }
}
