//! For which vehicles the agent has stored something that their trackers are to get: told to gateways that ask, as it comes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drover_bus::downlink::{NEWS_MAX, NewsInfo, NewsQuery};
use drover_env::Watched;
use drover_model::{TenantId, VehicleId};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::downlink::key_of;

/// Longest a question is kept without an answer.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What was stored lately. Clones share it.
#[derive(Clone)]
pub(crate) struct Board {
    /// Which life of the agent.
    life: u64,
    news: Arc<Mutex<News>>,
    changes: Watched<u64>,
    /// The agent stops: nobody is kept waiting.
    stop: CancellationToken,
}

/// The newest entries. Invariant: the last of them has the number `version`.
#[derive(Debug, Default)]
struct News {
    version: u64,
    entries: VecDeque<(TenantId, VehicleId)>,
}

impl News {
    fn push(&mut self, tenant: TenantId, vehicle: VehicleId) {
        self.version += 1;
        self.entries.push_back((tenant, vehicle));
        if self.entries.len() > NEWS_MAX {
            self.entries.pop_front();
        }
    }

    /// Whose came after `version`; `None` if that is not known any more, or never was.
    fn since(&self, version: u64) -> Option<Vec<(TenantId, VehicleId)>> {
        let missed = usize::try_from(self.version.checked_sub(version)?).ok()?;
        let skip = self.entries.len().checked_sub(missed)?;
        let mut vehicles: Vec<_> = self.entries.iter().skip(skip).copied().collect();
        vehicles.sort_unstable();
        vehicles.dedup();
        Some(vehicles)
    }
}

impl Board {
    /// The board of an agent's life; `stop` ends all waiting.
    pub(crate) fn new(life: u64, stop: CancellationToken) -> Self {
        Self { life, news: Arc::default(), changes: Watched::new(0), stop }
    }

    fn lock(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something new may wait for this vehicle.
    pub(crate) fn tell(&self, tenant: TenantId, vehicle: VehicleId) {
        let version = {
            let mut news = self.lock();
            news.push(tenant, vehicle);
            news.version
        };
        self.changes.set(version);
    }
}

/// Answers a gateway: what came since what it knows; at once if there is something, else when there is.
pub(crate) async fn answer(board: &Board, query: NewsQuery) -> NewsInfo {
    let known = (query.life == Some(board.life)).then(|| query.version.unwrap_or_default());
    let mut changes = board.changes.watch();
    if known == Some(board.lock().version) {
        let wait = Duration::from_millis(query.wait_ms.unwrap_or_default().into()).min(WAIT_MAX);
        tokio::select! {
            biased;
            () = board.stop.cancelled() => {}
            _ = timeout(wait, changes.changed()) => {}
        }
    }
    let news = board.lock();
    let vehicles = known.and_then(|known| news.since(known));
    NewsInfo {
        life: Some(board.life),
        version: Some(news.version),
        any: Some(vehicles.is_none()),
        vehicles: vehicles.into_iter().flatten().map(|(tenant, vehicle)| key_of(tenant, vehicle)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(vehicle: &str) -> (TenantId, VehicleId) {
        ("acme".parse().expect("a name"), vehicle.parse().expect("a name"))
    }

    fn told(info: &NewsInfo) -> Vec<&str> {
        info.vehicles.iter().filter_map(|key| key.vehicle_id.as_deref()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_is_told_what_came_since_and_waits_for_more() {
        let board = Board::new(7, CancellationToken::new());
        let ask =
            |life, version| NewsQuery { life: Some(life), version: Some(version), wait_ms: Some(1_000) };
        let first = answer(&board, NewsQuery::default()).await;
        assert_eq!(
            (first.any, first.version),
            (Some(true), Some(0)),
            "whoever comes does not know what it missed"
        );
        let (tenant, vehicle) = names("A");
        board.tell(tenant, vehicle);
        board.tell(tenant, vehicle);
        let news = answer(&board, ask(7, 0)).await;
        assert_eq!((told(&news), news.any), (vec!["A"], Some(false)));
        let tells = async {
            tokio::task::yield_now().await;
            board.tell(names("B").0, names("B").1);
        };
        let (news, ()) = tokio::join!(answer(&board, ask(7, 2)), tells);
        assert_eq!(told(&news), ["B"]);
        assert_eq!(answer(&board, ask(6, 3)).await.any, Some(true), "of another life nothing is known");
        assert_eq!(answer(&board, ask(7, 9)).await.any, Some(true), "nor of what has not come yet");
        board.stop.cancel();
        assert!(told(&answer(&board, ask(7, 3)).await).is_empty());
    }

    #[test]
    fn who_has_missed_more_than_is_kept_is_told_that_it_may_be_anyone() {
        let mut news = News::default();
        let (tenant, vehicle) = names("A");
        (0..NEWS_MAX + 5).for_each(|_| news.push(tenant, vehicle));
        assert_eq!(news.since(4), None);
        assert_eq!(news.since(5), Some(vec![(tenant, vehicle)]));
        assert_eq!(news.since(news.version), Some(vec![]));
    }
}
