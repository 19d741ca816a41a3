//! The tool that tells gateways and hubs which certificates and tokens are believed no longer.

use std::sync::Arc;

use drover_bus::history::ROWS_MAX;
use drover_bus::revocations::{RevocationInfo, RevocationList, RevocationQuery, Revocations};
use drover_bus::{AgentBuilder, CallError};
use drover_env::Env;
use drover_model::WallTime;
use drover_store::{Revoked, Revoking};

use crate::arguments::micros;
use crate::history::away;

/// Adds the tool to an agent.
pub(crate) fn with_tool(agent: AgentBuilder, env: &Env, revoking: &Arc<dyn Revoking>) -> AgentBuilder {
    let (env, revoking) = (env.clone(), revoking.clone());
    agent.tool::<Revocations, _, _>(move |_, query| revoked(revoking.clone(), env.wall(), query))
}

async fn revoked(
    revoking: Arc<dyn Revoking>,
    now: WallTime,
    query: RevocationQuery,
) -> Result<RevocationList, CallError> {
    let after = query.after.unwrap_or_default();
    let revoked = revoking.revoked_after(after, now, ROWS_MAX).await.map_err(away)?;
    let info = |Revoked { version, serial, expires }: Revoked| RevocationInfo {
        version: Some(version),
        serial: Some(serial),
        expires_us: expires.and_then(micros),
    };
    Ok(RevocationList { revocations: revoked.into_iter().map(info).collect() })
}
