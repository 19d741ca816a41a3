//! Questions by way of a hub, and an agent that answers them.

use std::sync::{Arc, Mutex, PoisonError};

use drover_bus::ask::{Answer, Ask, Question, Reply, Step};
use drover_bus::{Agent, CallError, CallOptions, ListTools, Policy};
use drover_hub::{Config, Peer};
use drover_model::NodeKind;
use drover_quic::{Profile, ServerSetup};
use drover_wire::{decode, mcp};
use prost::Message as _;
use tokio_util::sync::CancellationToken;

use crate::bench::{AGENT, ANY, AT_HUB, Bench};

fn question(text: &str) -> Question {
    Question { tenant: Some("acme".to_owned()), text: Some(text.to_owned()), vehicle_id: None }
}

/// A hub beside an agent that thinks aloud, and refuses to answer riddles.
async fn beside_an_agent() -> Bench {
    Bench::start_beside(Config::default(), false, |env, identity, trust| {
        let setup = ServerSetup {
            identity: &identity,
            trust,
            alpn: mcp::ALPN,
            profile: &Profile::service(),
            reset_key: identity.derive_key("reset"),
        };
        let endpoint = drover_quic::server(env, ANY, &setup).expect("a socket");
        let addr = endpoint.local_addr().expect("an address");
        let agent = Agent::builder("AgentService")
            .policy(Policy::deny_all().allow(NodeKind::Hub, "AgentService."))
            .tool::<Answer, _, _>(|call, question: Question| async move {
                for (fraction, word) in [(0.25, "looking"), (0.75, "found")] {
                    call.progress(fraction, Step { text: Some(word.to_owned()) }.encode_to_vec().into());
                }
                match question.text.as_deref() {
                    Some("riddle") => Err(CallError::Refused("no riddles".to_owned())),
                    text => {
                        let (caller, tenant) = (call.caller, call.tenant.unwrap_or_default());
                        let text = format!("{caller} asks {} for {tenant}", text.unwrap_or_default());
                        Ok(Reply { text: Some(text), agent: Some("somebody else".to_owned()) })
                    }
                }
            })
            .build();
        let own = env.clone();
        drop(env.spawn("agent", async move { agent.serve(own, endpoint, CancellationToken::new()).await }));
        Some(Peer { node: AGENT, addr })
    })
    .await
}

#[tokio::test]
async fn without_an_agent_the_answer_is_unavailable_and_gateways_may_not_ask() {
    let bench = Bench::start(Config::default()).await;
    let hub = bench.peer(NodeKind::Hub).await;
    let answer = hub.call::<Ask>(AT_HUB, &question("where is it?"), CallOptions::default()).await;
    let expected = CallError::Unavailable("no agent offers to answer questions".to_owned());
    assert_eq!(answer, Err(expected));
    assert_eq!(bench.counted("hub.ask_unavailable"), 1);
    let answer = hub.call::<Ask>(AT_HUB, &question(""), CallOptions::default()).await;
    assert!(matches!(answer, Err(CallError::BadArguments(_))), "{answer:?}");
    let answer = bench.pool.call::<Ask>(AT_HUB, &question("where?"), CallOptions::default()).await;
    assert!(matches!(answer, Err(CallError::Refused(_))), "{answer:?}");
    let tools = hub.call::<ListTools>(AT_HUB, &Default::default(), CallOptions::default()).await;
    let tools = tools.expect("a listing").tools;
    let ask = tools.iter().find(|tool| tool.name.as_deref() == Some("HubService.ask")).expect("offered");
    assert!(ask.input_schema.as_deref().is_some_and(|schema| schema.contains("\"text\"")));
    assert_eq!((ask.deadline_ms, ask.safe_to_repeat), (Some(60_000), Some(false)));
}

#[tokio::test]
async fn a_question_reaches_the_agent_and_its_steps_come_back_before_the_answer() {
    let bench = beside_an_agent().await;
    let hub = bench.peer(NodeKind::Hub).await;
    let seen: Arc<Mutex<Vec<(f64, String)>>> = Arc::default();
    let ask = async |text: &str| loop {
        let steps = seen.clone();
        let options = CallOptions::default().on_progress(move |progress| {
            let step: Step = decode(&progress.body).expect("a step");
            let told = (progress.fraction, step.text.unwrap_or_default());
            steps.lock().unwrap_or_else(PoisonError::into_inner).push(told);
        });
        match hub.call::<Ask>(AT_HUB, &question(text), options).await {
            // The hub is about to connect to the agent.
            Err(CallError::Unavailable(_)) => tokio::task::yield_now().await,
            answer => break answer,
        }
    };
    let reply = ask("where is it?").await.expect("an answer");
    assert_eq!(reply.text.as_deref(), Some("hub/0 asks where is it? for acme"));
    assert_eq!(reply.agent.as_deref(), Some("agent/0"), "known by its certificate");
    let told = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    assert_eq!(told, [(0.25, "looking".to_owned()), (0.75, "found".to_owned())]);
    assert_eq!(ask("riddle").await, Err(CallError::Refused("no riddles".to_owned())));
    assert_eq!(bench.counted("hub.asked"), 2);
}
