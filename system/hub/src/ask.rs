//! Questions in words: passed on to an agent that offers to answer, and what it tells on its way passed back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use drover_bus::ask::{Answer, Ask, QUESTION_BYTES_MAX, Question, Reply};
use drover_bus::discovery::{Discovery, NodeState, Snapshot};
use drover_bus::{AgentBuilder, CallContext, CallError, CallOptions, Pool, Route, Tool};
use drover_env::{Env, Value};
use drover_model::{NodeKind, NodeName, TenantId, VehicleId};
use tokio::time::Instant;

/// What passing on needs. Clones share it.
#[derive(Clone)]
pub(crate) struct Asking {
    env: Env,
    pool: Pool,
    discovery: Option<Discovery>,
    /// Agents of the config.
    listed: Vec<NodeName>,
    turns: Arc<AtomicUsize>,
}

impl Asking {
    pub(crate) fn new(env: Env, pool: Pool, discovery: Option<Discovery>, listed: Vec<NodeName>) -> Self {
        Self { env, pool, discovery, listed, turns: Arc::default() }
    }

    /// Who answers next: of those that offer to and are connected, by turns.
    fn next(&self) -> Result<NodeName, CallError> {
        let snapshot = self.discovery.as_ref().map(Discovery::snapshot);
        let offering = match &snapshot {
            Some(snapshot) => offering(snapshot, &self.listed),
            None => self.listed.clone(),
        };
        if offering.is_empty() {
            return Err(CallError::Unavailable("no agent offers to answer questions".to_owned()));
        }
        let connected = self.pool.connected();
        let there: Vec<_> = offering.into_iter().filter(|agent| connected.contains(agent)).collect();
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let agent = there.get(turn % there.len().max(1)).copied();
        agent.ok_or_else(|| {
            CallError::Unavailable("no agent that answers questions can be reached".to_owned())
        })
    }

    async fn answer(self, call: CallContext, question: Question) -> Result<Reply, CallError> {
        let tenant = check(&question)?;
        let agent = self.next().inspect_err(|_| self.env.event("hub.ask_unavailable", &[]))?;
        self.env.event("hub.asked", &[("agent", Value::Str(&agent.to_string()))]);
        let answered = self.put(agent, tenant, &call, &question).await;
        let again = answered.is_err() && self.env.planted("asked_again");
        let (agent, mut reply) = match again {
            false => (agent, answered?),
            true => {
                let next = self.next()?;
                (next, self.put(next, tenant, &call, &question).await?)
            }
        };
        // Who has answered is known by its certificate, whatever it says.
        reply.agent = Some(agent.to_string());
        Ok(reply)
    }

    /// Asks one agent. What it tells on its way goes back at once, so that nobody else can be asked after it.
    async fn put(
        &self,
        agent: NodeName,
        tenant: TenantId,
        call: &CallContext,
        question: &Question,
    ) -> Result<Reply, CallError> {
        let within = call.deadline.saturating_duration_since(Instant::now());
        let back = call.clone();
        let options = CallOptions::within(within)
            .for_tenant(tenant)
            .on_progress(move |progress| back.progress(progress.fraction, progress.body));
        self.pool.call::<Answer>(Route::Node(agent), question, options).await
    }
}

/// Adds the tool to the hub's agent.
pub(crate) fn offered(agent: AgentBuilder, asking: &Asking) -> AgentBuilder {
    let asking = asking.clone();
    agent.tool::<Ask, _, _>(move |call, question| asking.clone().answer(call, question))
}

/// Agents that offer to answer and are not called dead, by the news; those of the config that nobody has heard of, too.
fn offering(snapshot: &Snapshot, listed: &[NodeName]) -> Vec<NodeName> {
    let offers = |tools: &std::collections::BTreeSet<String>| {
        tools.iter().any(|tool| Answer::NAME.starts_with(tool.as_str()))
    };
    let known = snapshot.of_kind(NodeKind::Agent);
    let known = known.filter(|(_, node)| node.state != NodeState::Dead && offers(&node.tools));
    let unknown = listed.iter().copied().filter(|agent| snapshot.node(*agent).is_none());
    known.map(|(name, _)| name).chain(unknown).collect()
}

fn check(question: &Question) -> Result<TenantId, CallError> {
    let bad = CallError::BadArguments;
    let text = question.text.as_deref().unwrap_or_default();
    if text.trim().is_empty() || text.len() > QUESTION_BYTES_MAX {
        return Err(bad(format!("text of {} bytes: a question has 1 to {QUESTION_BYTES_MAX}", text.len())));
    }
    if let Some(vehicle) = &question.vehicle_id {
        VehicleId::new(vehicle).map_err(|error| bad(format!("vehicle_id: {error}")))?;
    }
    TenantId::new(question.tenant.as_deref().unwrap_or_default())
        .map_err(|error| bad(format!("tenant: {error}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use drover_bus::discovery::{Node, Proof};
    use drover_model::WallTime;

    use super::*;

    fn node(state: NodeState, tools: &[&str]) -> Node {
        Node {
            proof: Proof { incarnation: 1, lived_ms: 0 },
            state,
            load_percent: 0,
            capacity: 0,
            zone: None,
            addresses: std::collections::BTreeMap::new(),
            tools: tools.iter().map(|tool| (*tool).to_owned()).collect::<BTreeSet<_>>(),
            seen_at: WallTime::UNIX_EPOCH,
        }
    }

    const fn agent(index: u32) -> NodeName {
        NodeName::new(NodeKind::Agent, index)
    }

    #[test]
    fn only_agents_that_live_and_offer_it_are_asked() {
        let nodes = [
            (agent(0), node(NodeState::Healthy, &["AgentService.ask"])),
            (agent(1), node(NodeState::Healthy, &["AgentService"])),
            (agent(2), node(NodeState::Healthy, &["AgentService.plan"])),
            (agent(3), node(NodeState::Dead, &["AgentService"])),
            (NodeName::new(NodeKind::Hub, 0), node(NodeState::Healthy, &["AgentService"])),
        ];
        let snapshot = Snapshot { nodes: nodes.into(), ..Snapshot::default() };
        assert_eq!(offering(&snapshot, &[agent(3), agent(9)]), [agent(0), agent(1), agent(9)]);
        assert_eq!(offering(&Snapshot::default(), &[]), []);
    }

    #[test]
    fn a_question_is_checked() {
        let question = |text: &str, vehicle: Option<&str>| Question {
            tenant: Some("acme".to_owned()),
            text: Some(text.to_owned()),
            vehicle_id: vehicle.map(str::to_owned),
        };
        assert!(check(&question("where is it?", Some("VAN-1"))).is_ok());
        let refused = |question: Question, expected: &str| {
            let problem = check(&question).expect_err("refused").to_string();
            assert!(problem.contains(expected), "{problem}");
        };
        refused(question(" ", None), "a question has 1 to 4000");
        refused(question(&"x".repeat(4_001), None), "text of 4001 bytes");
        refused(question("x", Some("a b")), "vehicle_id: name");
        refused(Question { tenant: None, ..question("x", None) }, "tenant: name is empty");
    }
}
