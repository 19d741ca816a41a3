//! Which nodes there are: by the newest snapshot, or by the static set where there is none that is new enough.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drover_env::{Watched, Watcher};
use drover_model::NodeName;
use tokio::time::Instant;

use crate::candidate::{Candidate, StaticNode};

/// What a snapshot says.
#[derive(Debug, Clone)]
struct Listing {
    /// When it was true.
    at: Instant,
    nodes: Vec<Candidate>,
}

/// The newest snapshot. Clones share it: one side sets it, the server reads it.
#[derive(Debug, Clone)]
pub struct Listings {
    newest: Arc<Mutex<Option<Listing>>>,
    version: Watched<u64>,
}

impl Default for Listings {
    fn default() -> Self {
        Self { newest: Arc::default(), version: Watched::new(0) }
    }
}

impl Listings {
    /// Takes a snapshot that was true at `at`. One that says the same as the one before only makes it younger.
    pub fn set(&self, at: Instant, nodes: Vec<Candidate>) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = newest.as_ref().is_some_and(|newest| newest.nodes == nodes);
        *newest = Some(Listing { at, nodes });
        drop(newest);
        if !is_same {
            self.version.set(self.version.get() + 1);
        }
    }

    /// Awaits other nodes.
    pub(crate) fn watch(&self) -> Watcher<u64> {
        self.version.watch()
    }

    /// What there is now.
    pub(crate) fn view(&self, now: Instant, known: &[StaticNode], stale_max: Duration) -> View {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let age = newest.as_ref().map(|listing| now.saturating_duration_since(listing.at));
        let fresh = newest.as_ref().filter(|_| age.is_some_and(|age| age <= stale_max));
        let mut nodes = fresh.map(|listing| listing.nodes.clone()).unwrap_or_default();
        let listed: BTreeSet<NodeName> = nodes.iter().map(|candidate| candidate.node).collect();
        let missing = known.iter().filter(|known| !listed.contains(&known.node));
        nodes.extend(missing.map(StaticNode::candidate));
        View { is_static: fresh.is_none(), age, nodes }
    }
}

/// The nodes to answer with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// No snapshot is new enough.
    pub(crate) is_static: bool,
    /// Age of the newest snapshot.
    pub(crate) age: Option<Duration>,
    pub(crate) nodes: Vec<Candidate>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidate::Health;

    fn known(index: u32) -> StaticNode {
        let text = format!("node = \"router/{index}\"\naddrs = [\"192.0.2.{index}\"]\nport = 443\n");
        toml::from_str(&text).expect("a node")
    }

    fn seen(index: u32, health: Health) -> Candidate {
        Candidate { health, ..known(index).candidate() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_counts_until_it_is_too_old_and_the_static_set_after_it() {
        let listings = Listings::default();
        let start = Instant::now();
        let known = [known(1), known(2)];
        let view = |after| {
            let view = listings.view(start + Duration::from_secs(after), &known, Duration::from_secs(60));
            let nodes: Vec<_> = view.nodes.iter().map(|node| (node.node.index, node.health)).collect();
            (view.is_static, nodes)
        };
        use Health::{Dead, Healthy, Unknown};
        assert_eq!(view(0), (true, vec![(1, Unknown), (2, Unknown)]));
        listings.set(start, vec![seen(3, Healthy), seen(1, Dead)]);
        let listed = vec![(3, Healthy), (1, Dead), (2, Unknown)];
        assert_eq!(view(60), (false, listed.clone()));
        assert_eq!(view(61), (true, vec![(1, Unknown), (2, Unknown)]));
        listings.set(start + Duration::from_secs(30), vec![seen(3, Healthy), seen(1, Dead)]);
        assert_eq!(view(90), (false, listed));
    }

    #[tokio::test(start_paused = true)]
    async fn only_another_snapshot_wakes() {
        let listings = Listings::default();
        let mut watcher = listings.watch();
        listings.set(Instant::now(), vec![seen(1, Health::Healthy)]);
        assert_eq!(watcher.changed().await, 1);
        listings.set(Instant::now(), vec![seen(1, Health::Healthy)]);
        let woken = tokio::time::timeout(Duration::from_secs(9), watcher.changed()).await;
        assert!(woken.is_err());
    }
}
