//! The live path: fresh fixes to whoever shows them. Never waits, and never holds up persistence.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use drover_bus::hub::{CELL_RESOLUTION, InterestQuery, WatchInterest};
use drover_bus::{CallOptions, Pool, Route, live_topic};
use drover_env::{Env, Task, Value};
use drover_model::{NodeName, TenantId, VehicleId};
use h3o::{LatLng, Resolution};
use tokio::time::sleep;

use crate::config::Delivery;
use crate::directory::Directory;

/// How long a hub keeps a question for what it wants: less than an attempt of a call may take, or it would be asked twice.
const ASK_WAIT: Duration = Duration::from_millis(1_500);
/// How long its answer may be on its way, beside that.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Wait after a question that failed.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Publishes to the hubs. Clones share them.
#[derive(Clone)]
pub(crate) struct Live {
    shared: Arc<Shared>,
}

struct Shared {
    env: Env,
    pool: Pool,
    delivery: Delivery,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    hubs: Vec<NodeName>,
    directory: Directory,
    /// What asks each hub for what it wants.
    asking: BTreeMap<NodeName, Task<()>>,
}

/// Where a vehicle was last seen by its session, for hubs that have to learn that it left.
#[derive(Debug, Default)]
pub(crate) struct LastCell(Option<u64>);

impl Live {
    pub(crate) fn new(env: Env, pool: Pool, delivery: Delivery) -> Self {
        let directory = Directory::new(env.planted("lease_never_expires"));
        let state = Mutex::new(State { directory, ..State::default() });
        Self { shared: Arc::new(Shared { env, pool, delivery, state }) }
    }

    /// These are the hubs from now on.
    pub(crate) fn set_hubs(&self, hubs: Vec<NodeName>) {
        let mut state = self.shared.lock();
        if self.shared.delivery == Delivery::Directory {
            state.directory.set_hubs(&hubs);
            let gone: Vec<_> = state.asking.keys().filter(|hub| !hubs.contains(hub)).copied().collect();
            for hub in gone {
                state.asking.remove(&hub).into_iter().for_each(|task| task.abort());
            }
            for hub in &hubs {
                let asking = || self.shared.env.spawn("gateway.interest", ask(self.shared.clone(), *hub));
                state.asking.entry(*hub).or_insert_with(asking);
            }
        }
        state.hubs = hubs;
    }

    /// Publishes fresh fixes. A hub that has no room misses them and gets newer ones soon: counted, not queued.
    ///
    /// `batch` is an encoded `RecordBatch` of fixes at these places, in degrees of latitude and longitude; `last` is where the
    /// vehicle's session was before.
    pub(crate) fn publish(
        &self,
        (tenant, vehicle): (TenantId, VehicleId),
        batch: &Bytes,
        places: &[(f64, f64)],
        last: &mut LastCell,
    ) {
        let shared = &self.shared;
        let hubs = match shared.delivery {
            Delivery::Broadcast => shared.lock().hubs.clone(),
            Delivery::Directory => {
                let mut cells: Vec<u64> = places.iter().filter_map(|place| cell_of(*place)).collect();
                // Whoever watches the cell that it comes from has to see it go.
                let newest = cells.last().copied();
                cells.extend(std::mem::replace(&mut last.0, newest));
                cells.sort_unstable();
                cells.dedup();
                shared.lock().directory.wanting(tenant, vehicle, &cells)
            }
        };
        let fields = [("hubs", Value::U64(hubs.len() as u64)), ("fixes", Value::U64(places.len() as u64))];
        shared.env.event("gateway.fanned_out", &fields);
        let topic = live_topic(vehicle);
        for hub in hubs {
            if let Err(error) = shared.pool.publish(Route::Node(hub), &topic, batch.clone()) {
                tracing::debug!(%error, node.id = %hub, "live fixes dropped");
                shared.env.event("gateway.live_dropped", &[("fixes", Value::U64(places.len() as u64))]);
            }
        }
    }

    /// Ends what asks the hubs.
    pub(crate) fn stop(&self) {
        std::mem::take(&mut self.shared.lock().asking).into_values().for_each(|task| task.abort());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks one hub what it wants, again and again: the answer comes when that changes.
async fn ask(shared: Arc<Shared>, hub: NodeName) {
    loop {
        let said = shared.lock().directory.said(hub);
        let query = InterestQuery {
            life: said.map(|(life, _)| life),
            version: said.map(|(_, version)| version),
            wait_ms: u32::try_from(ASK_WAIT.as_millis()).ok(),
        };
        let options = CallOptions::within(ASK_WAIT + ANSWER_WITHIN);
        match shared.pool.call::<WatchInterest>(Route::Node(hub), &query, options).await {
            Ok(info) => shared.lock().directory.take(hub, &info),
            Err(error) => {
                tracing::debug!(%error, node.id = %hub, "a hub does not say what it wants");
                sleep(AGAIN_AFTER).await;
            }
        }
    }
}

/// The directory's cell of a place. An admitted fix has a good one.
fn cell_of((lat, lon): (f64, f64)) -> Option<u64> {
    let resolution = Resolution::try_from(CELL_RESOLUTION).ok()?;
    LatLng::new(lat, lon).ok().map(|place| place.to_cell(resolution).into())
}
