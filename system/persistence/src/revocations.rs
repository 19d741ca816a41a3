//! The tool that tells gateways and hubs which certificates and tokens are believed no longer.

use std::sync::Arc;

use drover_bus::history::ROWS_MAX;
use drover_bus::revocations::{RevocationInfo, RevocationList, RevocationQuery, Revocations};
use drover_bus::{AgentBuilder, CallError};
use drover_store::{Revoked, Revoking};

use crate::history::away;

/// Adds the tool to an agent.
pub(crate) fn with_tool(agent: AgentBuilder, revoking: &Arc<dyn Revoking>) -> AgentBuilder {
    let revoking = revoking.clone();
    agent.tool::<Revocations, _, _>(move |_, query| revoked(revoking.clone(), query))
}

async fn revoked(revoking: Arc<dyn Revoking>, query: RevocationQuery) -> Result<RevocationList, CallError> {
    let after = query.after.unwrap_or_default();
    let revoked = revoking.revoked_after(after, ROWS_MAX).await.map_err(away)?;
    let info = |Revoked { version, serial }: Revoked| RevocationInfo {
        version: Some(version),
        serial: Some(serial),
    };
    Ok(RevocationList { revocations: revoked.into_iter().map(info).collect() })
}
