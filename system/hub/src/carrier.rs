//! What carries a session: a WebSocket, or a stream of QUIC. Whatever it is, it is written to in the same way.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use drover_env::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::core::{Collected, Encoding, Farewell, SUBPROTOCOL_BINARY, SUBPROTOCOL_JSON, SessionKey, Turned};
use crate::live::Live;

/// How long a client may take for the end of a session and its answer.
pub(crate) const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// How a session's carrier ended.
pub(crate) enum Ended {
    /// The hub closes it, with this code and reason.
    Closed(u16, &'static str),
    /// The client closes it.
    ByClient,
    /// There is nobody to say anything to.
    Gone,
}

/// How a write ended.
pub(crate) enum Written {
    /// All of it is out.
    All,
    /// All of it is, and it was the last.
    Goodbye(Farewell),
    /// The client is gone, or takes too little.
    Gone,
}

/// Takes messages in its own frames.
pub(crate) trait Writes: Send {
    /// Takes what `collect` gives: it goes out next. `None`, without asking, while something is half out.
    fn take(&mut self, collect: impl FnOnce() -> Collected) -> Option<Collected>;

    /// Waits until all that was taken is out; `None` if there is nobody any more.
    fn finish(&mut self) -> impl Future<Output = Option<()>> + Send;
}

/// Writes what the session has to say. A client that does not take it is left there when the core says so.
pub(crate) async fn write(
    live: &Arc<Live>,
    key: SessionKey,
    carrier: &mut impl Writes,
    woken: &Notify,
) -> Written {
    loop {
        let finished = {
            let mut finishing = pin!(carrier.finish());
            loop {
                if live.farewell(key).is_some() {
                    // Whoever is let go has a moment for what is left: without a bound, one that reads nothing would never go.
                    break timeout(GOODBYE_MAX, &mut finishing).await.ok().flatten();
                }
                tokio::select! {
                    biased;
                    finished = &mut finishing => break finished,
                    () = woken.notified() => {}
                }
            }
        };
        if finished.is_none() {
            return Written::Gone;
        }
        if let Some(Collected { messages, farewell }) = carrier.take(|| live.wrote(key))
            && messages.is_empty()
        {
            return farewell.map_or(Written::All, Written::Goodbye);
        }
    }
}

/// Counts a client that broke the rules of its carrier, and is let go for it.
pub(crate) fn count_breach(live: &Live, key: SessionKey, reason: &'static str) {
    live.env.event("hub.let_go", &[("reason", Value::Str(reason)), ("session", Value::U64(key.0))]);
}

/// Asks the core for a session; `over` is what carries it.
pub(crate) fn open(
    live: &Arc<Live>,
    over: &'static str,
    peer: IpAddr,
    encoding: Encoding,
    token: Option<&str>,
) -> Result<SessionKey, Turned> {
    let shown = token.map(|token| live.verify(peer, token));
    let wall = live.env.wall();
    let key = live.decide(|core| core.open(Instant::now(), wall, peer, encoding, shown))?;
    live.env.event("hub.opened", &[("reason", Value::Str(over))]);
    Ok(key)
}

/// The form of positions that a subprotocol names.
pub(crate) fn encoding_named(name: &str) -> Option<Encoding> {
    match name {
        SUBPROTOCOL_BINARY => Some(Encoding::Binary),
        SUBPROTOCOL_JSON => Some(Encoding::Json),
        "" => Some(Encoding::Features),
        _ => None,
    }
}
