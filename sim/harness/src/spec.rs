//! From a scenario to the world that it asks for.

use std::path::Path;
use std::sync::Arc;

use drover_model::{NodeKind, NodeName};
use drover_world::{BusSpec, Crowd, Fleet, RadioSpec, Recording, ReplaySpec, Roads, WorldSpec, Zone};

use crate::scenario::{AtEnd, Radio, Replay, Scenario, ScenarioErrors, Traffic};

/// The world of a scenario. `services` are the nodes beside the vehicles that faults can name; `file` is the scenario's
/// name, for errors.
///
/// # Errors
/// A recording can not be read, or replayed; with its place in the scenario.
pub fn world_spec(
    scenario: &Scenario,
    services: impl Iterator<Item = NodeName>,
    roads: Arc<Roads>,
    file: &str,
) -> Result<WorldSpec, ScenarioErrors> {
    let vehicles = (0..scenario.vehicles_len()).map(|index| NodeName::new(NodeKind::Vehicle, index));
    let wrong = |key: &str, message: String| scenario.problem(file, key, &message);
    let mut fleets = Vec::new();
    for (index, group) in scenario.vehicles.iter().enumerate() {
        let replay = group.replay.as_ref().map(|replay| {
            read_drive(replay).map_err(|message| wrong(&format!("vehicles[{index}].replay"), message))
        });
        let drivers = group.drivers.resolve();
        fleets.push(Fleet {
            count: group.count,
            kind: group.kind.resolve(),
            fix_interval: group.fix_interval,
            can: group.can.then_some(BusSpec { interval: group.can_interval }),
            wear: group.wear.resolve(),
            receiver: group.receiver.spec(),
            device: group.device.spec(),
            replay: replay.transpose()?,
            drivers: drivers
                .map_err(|error| wrong(&format!("vehicles[{index}].drivers"), error.to_string()))?,
            demand: group.demand.into(),
        });
    }
    let traffic = scenario.world.traffic.as_ref().map(Traffic::resolve);
    Ok(WorldSpec {
        seed: scenario.seed,
        start: scenario.world.start,
        roads,
        fleets,
        radio: radio_spec(&scenario.radio),
        nodes: services.chain(vehicles).collect(),
        faults: scenario.faults(),
        traffic: traffic
            .transpose()
            .map_err(|error| wrong("world.traffic.demand_by_hour", error.to_string()))?,
    })
}

fn radio_spec(radio: &Radio) -> RadioSpec {
    let zones = radio.zones.iter().map(|zone| Zone {
        name: zone.name.clone(),
        lat: zone.center[1],
        lon: zone.center[0],
        radius_m: zone.radius_m,
    });
    let crowds = radio.crowds.iter().map(|crowd| Crowd {
        name: crowd.name.clone(),
        lat: crowd.center[1],
        lon: crowd.center[0],
        radius_m: crowd.radius_m,
        at: crowd.at,
        lasts: crowd.lasts,
        share: crowd.share,
    });
    RadioSpec {
        cell_m: radio.cell_m,
        cell_change_interval: radio.cell_change_interval,
        zones: zones.collect(),
        fades: radio.border.is_some(),
        rebind_interval: radio.nat_rebind_interval,
        crowds: crowds.collect(),
    }
}

/// Reads a recorded drive.
///
/// # Errors
/// What is wrong with which file, and the way out.
fn read_drive(replay: &Replay) -> Result<ReplaySpec, String> {
    let nmea = read(&replay.nmea)?;
    let can = replay.can.as_deref().map(|path| read(path).map(|bytes| (path.display().to_string(), bytes)));
    let can = can.transpose()?;
    let name = replay.nmea.display().to_string();
    let bus = can.as_ref().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let recording = Recording::read((&name, &nmea), bus).map_err(|error| error.to_string())?;
    Ok(ReplaySpec { recording: Arc::new(recording), looped: replay.at_end == AtEnd::Loop })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    #[expect(clippy::disallowed_methods, reason = "before a run begins: no env has a file of the machine")]
    std::fs::read(path).map_err(|error| {
        format!("read {}: {error}; paths are meant from the top of the checkout", path.display())
    })
}
