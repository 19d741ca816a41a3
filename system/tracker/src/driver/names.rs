//! Finding routers by their name: at the start, and again when those that are known bring no answer.

use std::future::pending;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use drover_env::{Chain, Env, Value};
use drover_quic::Routers;
use drover_resolver::{Found, LookupError, Resolver};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::Config;

/// After a look-up that failed. What was found before is used meanwhile.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

type Lookup = Pin<Box<dyn Future<Output = Box<Looked>> + Send>>;

/// A look-up's end, with what does the next one.
pub(super) struct Looked {
    resolver: Resolver,
    result: Result<Found, LookupError>,
}

/// The routers' name.
pub(super) struct Names {
    env: Env,
    port: u16,
    /// `None` while it looks up.
    resolver: Option<Resolver>,
    lookup: Option<Lookup>,
    /// When what was found is to be looked up again, should it be needed.
    stale_at: Instant,
}

impl Names {
    /// As the config has it; `None` if it names no name.
    pub(super) fn new(env: &Env, config: &Config, now: Instant) -> Option<Self> {
        let (name, port) = config.router_name()?;
        let is_v4 = config.bind.is_ipv4();
        // The config has been checked: what is no name does not come so far.
        let resolver =
            Resolver::new(env.clone(), name, is_v4, &config.dns_servers, config.dns_timeout).ok()?;
        Some(Self { env: env.clone(), port, resolver: Some(resolver), lookup: None, stale_at: now })
    }

    /// Looks the name up, unless what is known of it is new enough or it does so already.
    pub(super) fn refresh(&mut self, now: Instant) {
        if now < self.stale_at {
            return;
        }
        if let Some(mut resolver) = self.resolver.take() {
            self.lookup = Some(Box::pin(async move {
                let result = resolver.look_up().await;
                Box::new(Looked { resolver, result })
            }));
        }
    }

    pub(super) const fn is_looking(&self) -> bool {
        self.lookup.is_some()
    }

    /// Takes the end of a look-up. Returns whether the routers are known now.
    pub(super) fn take(&mut self, now: Instant, looked: Box<Looked>, routers: &Arc<Routers>) -> bool {
        self.lookup = None;
        self.resolver = Some(looked.resolver);
        match looked.result {
            Ok(found) => {
                self.stale_at = now + found.ttl.max(AGAIN_AFTER);
                let addrs: Vec<_> = found.addrs.iter().map(|ip| SocketAddr::new(*ip, self.port)).collect();
                let text = addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
                info!(addrs = text, "routers found by name");
                let server = found.server.to_string();
                let fields = [("addrs", Value::Str(&text)), ("server", Value::Str(&server))];
                self.env.event("tracker.resolved", &fields);
                let had_one = routers.current().is_some();
                if routers.replace(now, addrs) && had_one {
                    self.env.event("tracker.router_changed", &[]);
                }
                true
            }
            Err(error) => {
                self.stale_at = now + AGAIN_AFTER;
                warn!(error = %Chain(&error), "the routers' name leads nowhere");
                self.env.event("tracker.lookup_failed", &[("reason", Value::Str(error.name()))]);
                false
            }
        }
    }
}

/// The end of a look-up, if one is under way. Safe to drop while waiting.
pub(super) async fn looked(names: &mut Option<Names>) -> Box<Looked> {
    match names.as_mut().and_then(|names| names.lookup.as_mut()) {
        Some(lookup) => lookup.await,
        None => pending().await,
    }
}
