//! A virtual agent: answers questions in words as their script has it, step by step.

use std::net::SocketAddr;

use drover_bus::ask::{Answer, Question, Reply, Step};
use drover_bus::{Agent, CallContext, CallError, Policy};
use drover_env::Env;
use drover_model::NodeKind;
use drover_quic::{Identity, QuicError, Trust};
use prost::Message;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Script;

/// Offers to answer until `cancel`; then takes nothing new, and finishes what it has begun.
///
/// # Errors
/// Its socket can not be opened, or its certificate can not be used.
pub(crate) async fn run(
    env: Env,
    listen: SocketAddr,
    identity: &Identity,
    trust: &Trust,
    cancel: CancellationToken,
) -> Result<(), QuicError> {
    let endpoint = drover_bus::listen(&env, listen, identity, trust)?;
    let agent = Agent::builder("AgentService")
        .policy(Policy::deny_all().allow(NodeKind::Hub, "AgentService."))
        .tool::<Answer, _, _>(answer)
        .build();
    agent.serve(env, endpoint, cancel).await;
    Ok(())
}

async fn answer(call: CallContext, question: Question) -> Result<Reply, CallError> {
    let text = question.text.unwrap_or_default();
    let script =
        Script::read(&text).ok_or_else(|| CallError::BadArguments(format!("nobody can answer {text:?}")))?;
    for step in 1..=script.steps() {
        sleep(script.each()).await;
        let body = Step { text: Some(script.step(step)) }.encode_to_vec();
        call.progress(f64::from(step) / f64::from(script.steps()), body.into());
    }
    Ok(Reply { text: Some(script.answer()), agent: None })
}
