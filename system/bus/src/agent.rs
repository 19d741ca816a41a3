//! What a node offers: its tools, its subscriptions, and who may use them.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drover_env::{BoxFuture, Env};
use drover_model::NodeName;
use drover_quic::{Identity, Profile, QuicError, ServerSetup, Trust};
use drover_wire::{decode, mcp};
use prost::Message as _;
use quinn::Endpoint;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::CallError;
use crate::policy::Policy;
use crate::serve;
use crate::tool::{Tool, ToolInfo, ToolList};
use crate::tools::ListTools;

/// Longer than any deadline of today's tools.
const DRAIN: Duration = Duration::from_secs(10);

/// Sends a call's progress to its caller.
type ProgressSink = Arc<dyn Fn(f64, Bytes) + Send + Sync>;
type Handler = Arc<dyn Fn(CallContext, &[u8]) -> BoxFuture<'static, Result<Bytes, CallError>> + Send + Sync>;
type Subscriber = Arc<dyn Fn(Message) -> BoxFuture<'static, ()> + Send + Sync>;

/// What a tool knows of the call.
#[derive(Clone)]
pub struct CallContext {
    /// Who calls, by certificate.
    pub caller: NodeName,
    /// When the caller no longer waits.
    pub deadline: Instant,
    /// On whose behalf, as the caller says. Only services can call, so it is as good as they are.
    pub tenant: Option<String>,
    pub(crate) progress: Option<ProgressSink>,
}

impl CallContext {
    /// Tells the caller how far the call has come: `fraction` of 0 to 1, and a body that the tool defines. Without
    /// effect unless the tool is [`Tool::STREAMED`].
    pub fn progress(&self, fraction: f64, body: Bytes) {
        if let Some(sink) = &self.progress {
            sink(fraction, body);
        }
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext").field("caller", &self.caller).finish_non_exhaustive()
    }
}

/// A published message.
#[derive(Debug, Clone)]
pub struct Message {
    /// Who published it, by certificate.
    pub from: NodeName,
    /// Such as `vehicle:TRUCK-042`.
    pub topic: String,
    /// IIBIN body; its schema follows from the topic.
    pub body: Bytes,
}

pub(crate) struct ToolEntry {
    pub(crate) info: ToolInfo,
    pub(crate) deadline: Duration,
    pub(crate) handler: Handler,
}

/// An agent: serves its tools to every connection of an endpoint.
pub struct Agent {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) name: &'static str,
    pub(crate) policy: Policy,
    pub(crate) tools: BTreeMap<&'static str, ToolEntry>,
    subscribers: Vec<(&'static str, Subscriber)>,
    pub(crate) drain: Duration,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

/// Collects what an agent offers.
pub struct AgentBuilder {
    shared: Shared,
}

impl fmt::Debug for AgentBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentBuilder").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl Agent {
    /// An agent called `name`, which offers nothing yet to nobody.
    pub const fn builder(name: &'static str) -> AgentBuilder {
        let policy = Policy::deny_all();
        let shared = Shared { name, policy, tools: BTreeMap::new(), subscribers: Vec::new(), drain: DRAIN };
        AgentBuilder { shared }
    }

    /// Serves every connection of `endpoint` until `cancel`; then takes no new calls, answers those in progress (see
    /// [`AgentBuilder::drain`]), and closes the endpoint.
    pub async fn serve(&self, env: Env, endpoint: Endpoint, cancel: CancellationToken) {
        serve::serve(env, self.shared.clone(), endpoint, cancel).await;
    }
}

/// Opens the endpoint on which services call an agent, for [`Agent::serve`].
///
/// # Errors
/// The address can not be bound, or the certificates are unusable.
pub fn listen(
    env: &Env,
    addr: SocketAddr,
    identity: &Identity,
    trust: &Trust,
) -> Result<Endpoint, QuicError> {
    let setup = ServerSetup {
        identity,
        trust,
        alpn: mcp::ALPN,
        profile: &Profile::service(),
        reset_key: identity.derive_key("reset"),
    };
    drover_quic::server(env, addr, &setup)
}

impl AgentBuilder {
    /// Who may use what. Without it nobody may use anything.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.shared.policy = policy;
        self
    }

    /// On shutdown: longest wait for calls in progress and for peers to take their answers; 10 s without it.
    #[must_use]
    pub const fn drain(mut self, drain: Duration) -> Self {
        self.shared.drain = drain;
        self
    }

    /// Offers the tool `T`.
    ///
    /// # Panics
    /// The tool's name does not begin with the agent's name and a dot, or is offered twice: a mistake of the program.
    #[must_use]
    pub fn tool<T, F, Fut>(mut self, run: F) -> Self
    where
        T: Tool,
        F: Fn(CallContext, T::Input) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T::Output, CallError>> + Send + 'static,
    {
        let agent = T::NAME.split('.').next().unwrap_or_default();
        assert_eq!(agent, self.shared.name, "{} is not a tool of this agent", T::NAME);
        let handler: Handler = Arc::new(move |context, arguments| match decode::<T::Input>(arguments) {
            Ok(input) => {
                let running = run(context, input);
                Box::pin(async move { running.await.map(|output| Bytes::from(output.encode_to_vec())) })
            }
            Err(error) => Box::pin(std::future::ready(Err(CallError::BadArguments(error.to_string())))),
        });
        let entry = ToolEntry { info: ToolInfo::of::<T>(), deadline: T::DEADLINE, handler };
        assert!(self.shared.tools.insert(T::NAME, entry).is_none(), "{} is offered twice", T::NAME);
        self
    }

    /// Takes messages whose topic begins with `prefix`. Messages of one publisher come one after the other: the next is
    /// handed over when the future of the one before is ready, and a slow subscriber so slows its publisher.
    #[must_use]
    pub fn subscribe<F, Fut>(mut self, prefix: &'static str, take: F) -> Self
    where
        F: Fn(Message) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let subscriber: Subscriber = Arc::new(move |message| Box::pin(take(message)));
        self.shared.subscribers.push((prefix, subscriber));
        self
    }

    /// The agent.
    pub fn build(self) -> Agent {
        Agent { shared: Arc::new(self.shared) }
    }
}

impl Shared {
    /// The tool that `caller` asked for.
    pub(crate) fn find(&self, caller: NodeName, tool: &str) -> Result<&ToolEntry, CallError> {
        // Whoever may not use a tool does not learn whether it exists.
        if !self.policy.allows(caller.kind, tool) {
            return Err(CallError::Refused(format!("{caller} may not call {tool}")));
        }
        self.tools.get(tool).ok_or_else(|| CallError::UnknownTool(format!("{} offers no {tool}", self.name)))
    }

    /// Answers the built-in [`ListTools`].
    pub(crate) fn list(&self, caller: NodeName, tool: &str) -> Option<Bytes> {
        if tool != ListTools::NAME {
            return None;
        }
        let allowed = self.tools.iter().filter(|(name, _)| self.policy.allows(caller.kind, name));
        let list = ToolList { tools: allowed.map(|(_, entry)| entry.info.clone()).collect() };
        Some(list.encode_to_vec().into())
    }

    /// Hands a message to whoever wants it; `None` if nobody does or the publisher may not.
    pub(crate) fn deliver(&self, message: Message) -> Option<BoxFuture<'static, ()>> {
        if !self.policy.allows(message.from.kind, &message.topic) {
            return None;
        }
        let wanted = |(prefix, _): &&(&'static str, Subscriber)| message.topic.starts_with(prefix);
        let (_, subscriber) = self.subscribers.iter().find(wanted)?;
        Some(subscriber(message))
    }
}
