//! Tells gateways which vehicles the hub wants, whenever that changes.

use std::sync::Arc;
use std::time::Duration;

use drover_bus::CallError;
use drover_bus::hub::{INTEREST_KEYS_MAX, InterestInfo, InterestQuery};
use tokio::time::timeout;

use crate::live::Live;

/// Longest a question is kept without an answer.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Answers a gateway: what changed since what it knows, or everything; at once if there is something, else when there is.
pub(crate) async fn answer(
    live: Arc<Live>,
    life: u64,
    query: InterestQuery,
) -> Result<InterestInfo, CallError> {
    let known = (query.life == Some(life)).then(|| query.version.unwrap_or_default());
    let mut changes = live.interest.watch();
    if let Some(known) = known
        && live.decide(|core| core.interest_version()) == known
    {
        let wait = Duration::from_millis(query.wait_ms.unwrap_or_default().into()).min(WAIT_MAX);
        let _ = timeout(wait, changes.changed()).await;
    }
    Ok(live.decide(|core| {
        let mut info = InterestInfo {
            life: Some(life),
            version: Some(core.interest_version()),
            ..InterestInfo::default()
        };
        match known.and_then(|known| core.keys_since(known)) {
            Some(changed) if changed.len() <= INTEREST_KEYS_MAX => {
                for (key, wanted) in changed {
                    if wanted { &mut info.added } else { &mut info.removed }.push(key.into());
                }
            }
            _ => {
                info.full = Some(true);
                let keys = core.keys();
                // More than a message holds: then the hub gets everything, and takes what it wants.
                info.everything = (keys.len() > INTEREST_KEYS_MAX).then_some(true);
                if info.everything.is_none() {
                    info.added = keys.into_iter().map(Into::into).collect();
                }
            }
        }
        info
    }))
}
