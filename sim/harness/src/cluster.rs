//! The cluster of a run: every node with its address, certificate and service, started, crashed and drained.

mod addresses;
#[cfg(test)]
mod tests;
mod vehicles;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use drover_bus::NodeAddr;
use drover_dns::Dns;
use drover_env::{Chain, Env, SeedTree, Value};
use drover_gateway::{Cordon, Gateway};
use drover_health::Health;
use drover_hub::{Door, Hub};
use drover_model::{NodeKind, NodeName, TenantId, VehicleId};
use drover_persistence::Persistence;
use drover_quic::{Ca, ClusterKeys, ClusterSecret, Identity, PkiError, Principal, Trust};
use drover_router::Router;
use drover_simnet::{Access, Burst, Medium, Sim};
use drover_tracker::can::{CanFrame, CanId, CanInput, CanReader, Catalog};
use drover_tracker::{Arrived, Spool, Tracker};
use drover_world::{Action, LinkEffect, LinkRule};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::configs::Configs;
use crate::db::Db;
use crate::dispatch::Dispatch;
use crate::door::{TwinDoor, customer_token, dispatcher_token};
use crate::links::Links;
use crate::observer;
use crate::questions::{self, Questions};
use crate::scenario::Scenario;
use crate::watcher::{self, Crowd, Entrances};
use addresses::service_ip;
pub(crate) use addresses::{clients_addr, inner_addr, live_addr, live_inner_addr, service_addr};
use vehicles::Translation;

/// The live path's observer. The hub takes its place when there is one.
pub(crate) const OBSERVER: NodeName = NodeName::new(NodeKind::Hub, 0);
/// The dispatcher of a scenario with orders: what asks for changes of them is a hub's to ask, and comes after the others.
pub(crate) fn dispatcher(scenario: &Scenario) -> NodeName {
    NodeName::new(NodeKind::Hub, scenario.cluster.hub.max(1))
}

/// Those who ask questions, in a scenario with some: they ask as a hub does, and come after the dispatcher.
pub(crate) fn asker(scenario: &Scenario) -> NodeName {
    NodeName::new(NodeKind::Hub, dispatcher(scenario).index + 1)
}

/// The database.
pub(crate) const DB: NodeName = NodeName::new(NodeKind::Db, 0);

/// Chunks of a receiver's output that wait for the tracker: a serial port's buffer. More are lost.
const GPS_CHUNKS_MAX: usize = 256;

/// Batches of frames that wait for the tracker: each is one step of the world. More are lost.
const CAN_BATCHES_MAX: usize = 64;

/// Name of the vehicle with this index.
///
/// # Panics
/// Never: it is a good name for every index.
pub fn vehicle_id(index: u32) -> VehicleId {
    VehicleId::new(&format!("VAN-{index:05}")).expect("letters, digits and a hyphen, at most 32")
}

/// Whose vehicles all of them are.
pub fn tenant() -> TenantId {
    TenantId::new("helsinki").expect("letters, at most 32")
}

struct Running {
    cancel: CancellationToken,
    /// Set when the service has ended by itself.
    ended: Arc<AtomicBool>,
}

/// All nodes of one run.
pub(crate) struct Cluster {
    sim: Sim,
    configs: Configs,
    links: Links,
    translation: Option<Translation>,
    ca: Ca,
    pki_seeds: SeedTree,
    trust: Trust,
    /// What routers and gateways share, if there are routers.
    keys: Option<ClusterKeys>,
    identities: BTreeMap<NodeName, Identity>,
    running: BTreeMap<NodeName, Running>,
    started_before: BTreeMap<NodeName, u64>,
    pub(crate) db: Db,
    pub(crate) dispatch: Dispatch,
    pub(crate) questions: Questions,
    gps: Vec<Option<mpsc::Sender<Arrived<Bytes>>>>,
    /// Of each vehicle whose tracker hears its bus.
    can: Vec<Option<mpsc::Sender<Arrived<Vec<CanFrame>>>>>,
    hears_bus: Vec<bool>,
    messages: Arc<Catalog>,
    next_address: u32,
    next_private: u32,
    /// How often each vehicle's address translation started afresh.
    rebinds: BTreeMap<u32, u32>,
    /// Shares that crowds take of cells.
    taken: BTreeMap<(i32, i32), f64>,
    /// Of each gateway, closed as long as a fault says so.
    cordons: BTreeMap<NodeName, Cordon>,
    /// Nodes that a fault keeps down, and devices that sleep: neither is started before both are over.
    down: BTreeSet<NodeName>,
    asleep: BTreeSet<NodeName>,
    /// The node that asks for changes of orders, and the one that asks questions.
    dispatcher: NodeName,
    asker: NodeName,
    /// Hubs, as who calls them has them.
    called_hubs: Vec<NodeAddr>,
    /// True if hubs are hubs, and not the observer.
    hubs: bool,
    crowd: Crowd,
    /// Who may come in at hubs.
    door: Arc<dyn Door>,
    /// First vehicle of each group, and whether its devices lose their power when they sleep.
    power_cut: Vec<(u32, bool)>,
}

impl Cluster {
    pub(crate) fn new(
        sim: Sim,
        scenario: &Scenario,
        configs: Configs,
        seeds: &SeedTree,
        db: Db,
    ) -> Result<Self, PkiError> {
        let pki_seeds = seeds.child("pki");
        let ca = Ca::new(&pki_seeds, scenario.world.start)?;
        let trust = ca.trust()?;
        let groups = scenario.vehicles.iter();
        let hears_bus = groups.flat_map(|group| (0..group.count).map(|_| group.can));
        let nodes = |kind, count: u32| (0..count).map(move |index| NodeName::new(kind, index));
        let routers = nodes(NodeKind::Router, scenario.cluster.router);
        let entrances = Entrances {
            hubs: nodes(NodeKind::Hub, scenario.cluster.hub).map(clients_addr).collect(),
            routers: routers.map(|router| (clients_addr(router), live_addr(router))).collect(),
        };
        let mut cluster = Self {
            links: Links::of(&scenario.radio),
            translation: Translation::of(scenario),
            sim,
            configs,
            ca,
            pki_seeds,
            trust,
            keys: cluster_keys(scenario, seeds),
            identities: BTreeMap::new(),
            running: BTreeMap::new(),
            started_before: BTreeMap::new(),
            db,
            dispatch: Dispatch::new(scenario.orders.unwrap_or_default()),
            questions: Questions::new(scenario.questions.unwrap_or_default()),
            gps: (0..scenario.vehicles_len()).map(|_| None).collect(),
            can: (0..scenario.vehicles_len()).map(|_| None).collect(),
            hears_bus: hears_bus.collect(),
            messages: Arc::new(Catalog::built_in()),
            next_address: 0,
            next_private: 0,
            rebinds: BTreeMap::new(),
            taken: BTreeMap::new(),
            cordons: BTreeMap::new(),
            down: BTreeSet::new(),
            asleep: BTreeSet::new(),
            dispatcher: dispatcher(scenario),
            asker: asker(scenario),
            called_hubs: nodes(NodeKind::Hub, scenario.cluster.hub)
                .map(|name| NodeAddr { name, addr: service_addr(name) })
                .collect(),
            hubs: scenario.cluster.hub > 0,
            crowd: Crowd::new(scenario, entrances, tenant()),
            door: Arc::new(TwinDoor),
            power_cut: scenario.groups().map(|(first, group)| (first, group.device.power_cut)).collect(),
        };
        for node in cluster.services(scenario) {
            cluster.sim.add_node(node, service_ip(node), Access::data_centre());
        }
        for index in 0..scenario.vehicles_len() {
            cluster.add_vehicle(index);
        }
        Ok(cluster)
    }

    /// Every node but the vehicles, in the order of their start: whoever is called comes before its callers.
    pub(crate) fn services(&self, scenario: &Scenario) -> Vec<NodeName> {
        let of = |kind, count| (0..count).map(move |index| NodeName::new(kind, index));
        [DB].into_iter()
            .chain((scenario.cluster.hub == 0).then_some(OBSERVER))
            .chain(of(NodeKind::Agent, scenario.cluster.agent))
            .chain(of(NodeKind::Hub, scenario.cluster.hub))
            .chain(of(NodeKind::Health, scenario.cluster.health))
            .chain(of(NodeKind::Persistence, scenario.cluster.persistence))
            .chain(of(NodeKind::Gateway, scenario.cluster.gateway))
            .chain(of(NodeKind::Router, scenario.cluster.router))
            .chain(of(NodeKind::Dns, scenario.cluster.dns))
            .chain(scenario.orders.map(|_| dispatcher(scenario)))
            .chain(scenario.questions.map(|_| asker(scenario)))
            .chain(of(NodeKind::Watcher, scenario.watchers_len()))
            .collect()
    }

    /// Hands a receiver's output to its tracker.
    pub(crate) fn gps(&self, vehicle: u32, chunk: &[u8]) {
        let Some(Some(port)) = self.gps.get(vehicle as usize) else { return };
        if port.try_send(Arrived::now(Bytes::copy_from_slice(chunk))).is_err() {
            self.sim.event(NodeName::new(NodeKind::Vehicle, vehicle), "gps.overrun", &[]);
        }
    }

    /// Hands what a vehicle's controllers sent to its tracker.
    pub(crate) fn can(&self, vehicle: u32, frames: &[drover_world::CanFrame]) {
        let Some(Some(port)) = self.can.get(vehicle as usize) else { return };
        if port.try_send(Arrived::now(frames.iter().map(frame_of).collect())).is_err() {
            self.sim.event(NodeName::new(NodeKind::Vehicle, vehicle), "can.overrun", &[]);
        }
    }

    /// Carries out what the world's fault schedule says.
    pub(crate) fn apply(&mut self, action: &Action) -> Result<(), PkiError> {
        match action {
            Action::Crash(node) => {
                self.down.insert(*node);
                self.crash(*node);
            }
            Action::Start(node) => {
                self.down.remove(node);
                self.start(*node)?;
            }
            Action::Pause(node) => self.sim.set_paused(*node, true),
            Action::Resume(node) => self.sim.set_paused(*node, false),
            Action::Drain(node) => {
                self.down.insert(*node);
                self.drain(*node);
            }
            Action::AddRule { id, rule } => self.sim.add_rule(*id, rule_of(rule)),
            Action::RemoveRule { id } => self.sim.remove_rule(*id),
            Action::DbAway(_, away) => self.db.set_away(*away),
            Action::DiskFull(node, full) => self.sim.set_disk_full(*node, *full),
            Action::DiskSlow(node, by) => self.sim.set_disk_slow(*node, *by),
            Action::Slow(node, by) => self.sim.set_slow(*node, *by),
            Action::ClockSkew(node, skew_ms) => self.sim.set_clock_skew(*node, *skew_ms),
            Action::Rebind(node) => self.rebind(node.index),
            Action::Cordon(node, closed) => self.cordons.entry(*node).or_default().set(*closed),
            Action::ClockDrift(node, drift_ppm) => {
                self.sim.set_clock_drift(*node, i64::from(*drift_ppm) * 1_000);
            }
            Action::CommitUnknown(_, probability) => self.db.set_unknown(*probability),
            Action::FailOver(node) => {
                self.down.insert(*node);
                self.fail_over(*node);
            }
            Action::WipeDisk(node) => {
                self.sim.wipe_disk(*node);
                self.count_lost(*node);
            }
            Action::DamageDisk(node, bytes) => {
                self.sim.damage_disk(*node, *bytes);
                self.count_lost(*node);
            }
            // The world carries these out itself: its receivers go wrong, its devices sleep, its cells are out of order.
            Action::Gps { .. } | Action::Sleep(..) | Action::CellOutage { .. } => {}
        }
        Ok(())
    }

    fn crash(&mut self, node: NodeName) {
        if self.sim.crash(node) {
            self.running.remove(&node);
            if node == DB {
                self.db.store.crash();
            }
            self.sim.event(node, "node.crashed", &[]);
        }
    }

    fn fail_over(&mut self, node: NodeName) {
        self.db.fail_over(&self.sim);
        if self.sim.crash(node) {
            self.running.remove(&node);
            self.sim.event(node, "db.failed_over", &[]);
        }
    }

    /// Reads what is left on a vehicle's disk, so that what went with the rest is not taken for lost on the way.
    fn count_lost(&mut self, node: NodeName) {
        let Some(env) = self.halt(node) else { return };
        // A disk that can not be read holds nothing.
        let held = Spool::inspect(&env).unwrap_or_default();
        self.sim.stopped(node);
        let lost = self.db.history().disk_spoilt(self.sim.now(), node.index as usize, &held);
        self.sim.event(node, "disk.spoilt", &[("lost", Value::U64(lost))]);
    }

    fn drain(&mut self, node: NodeName) {
        if let Some(running) = self.running.get(&node) {
            running.cancel.cancel();
            self.sim.event(node, "node.draining", &[]);
        }
    }

    /// Takes nodes off the network whose service has ended by itself.
    pub(crate) fn reap(&mut self) {
        let ended: Vec<_> =
            self.running.iter().filter(|(_, run)| run.ended.load(Ordering::Relaxed)).collect();
        let ended: Vec<NodeName> = ended.into_iter().map(|(node, _)| *node).collect();
        for node in ended {
            self.running.remove(&node);
            self.sim.stopped(node);
            self.sim.event(node, "node.stopped", &[]);
        }
    }

    /// Ends a node at once but politely for its disk, so that what it left can be read.
    pub(crate) fn halt(&mut self, node: NodeName) -> Option<Env> {
        self.running.remove(&node);
        self.sim.stopped(node);
        self.sim.start(node)
    }

    /// Starts a node that is down; one that is still draining is ended first. A device that sleeps goes on sleeping.
    pub(crate) fn start(&mut self, node: NodeName) -> Result<(), PkiError> {
        if self.asleep.contains(&node) { Ok(()) } else { self.start_node(node, "node.started_again") }
    }

    /// `again` is the event that says that it is not the first time.
    fn start_node(&mut self, node: NodeName, again: &'static str) -> Result<(), PkiError> {
        if self.running.remove(&node).is_some() {
            self.sim.stopped(node);
        }
        let Some(env) = self.sim.start(node) else { return Ok(()) };
        let starts = self.started_before.entry(node).or_default();
        *starts += 1;
        if *starts > 1 {
            self.sim.event(node, again, &[]);
        }
        let identity = self.identity(node)?;
        let (cancel, ended) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
        self.running.insert(node, Running { cancel: cancel.clone(), ended: ended.clone() });
        let service = self.service(node, env.clone(), identity, cancel);
        let failed = env.clone();
        drop(env.spawn("service", async move {
            if let Err(reason) = service.await {
                // Only a wrong config or a bug leads here: it must be seen.
                error!(node.id = %node, %reason, "service could not start");
                failed.event("node.failed", &[("reason", Value::Str(&reason))]);
            }
            ended.store(true, Ordering::Relaxed);
        }));
        Ok(())
    }

    /// The production service of a node, as a future of its whole life.
    fn service(
        &mut self,
        node: NodeName,
        env: Env,
        identity: Identity,
        cancel: CancellationToken,
    ) -> drover_env::BoxFuture<'static, Result<(), String>> {
        let trust = self.trust.clone();
        let text = |error: &dyn std::error::Error| Chain(error).to_string();
        match node.kind {
            NodeKind::Db => {
                self.db.start(&env, &self.sim);
                Box::pin(async move {
                    cancel.cancelled().await;
                    Ok(())
                })
            }
            NodeKind::Hub if node == self.dispatcher => {
                let agents = self.configs.gateway.persistence.iter();
                let agents = agents.map(|peer| NodeAddr { name: peer.node, addr: peer.addr }).collect();
                let (dispatch, bind) = (self.dispatch.clone(), service_addr(node));
                Box::pin(async move {
                    dispatch.run(env, identity, trust, bind, agents, cancel).await.map_err(|e| text(&e))
                })
            }
            NodeKind::Hub if node == self.asker => {
                let (asking, bind, hubs) =
                    (self.questions.clone(), service_addr(node), self.called_hubs.clone());
                Box::pin(async move {
                    asking.run(env, identity, trust, bind, hubs, cancel).await.map_err(|e| text(&e))
                })
            }
            NodeKind::Hub if self.hubs => {
                let mut config = self.configs.hub.clone();
                (config.listen, config.bus_listen) = (clients_addr(node), service_addr(node));
                if let Some(quic) = &mut config.quic {
                    quic.listen = clients_addr(node);
                }
                let (keys, door) = (self.keys.clone(), self.door.clone());
                Box::pin(async move {
                    let hub = Hub::bind_with(env, config, &identity, &trust, keys, door).await;
                    hub.map_err(|e| text(&e))?.run(cancel).await;
                    Ok(())
                })
            }
            NodeKind::Agent => {
                let listen = service_addr(node);
                Box::pin(async move {
                    questions::run_agent(env, listen, &identity, &trust, cancel).await.map_err(|e| text(&e))
                })
            }
            NodeKind::Watcher => {
                let bounds = self.crowd.bounds(node.index);
                let plan = self.crowd.plan(node.index, |vehicle| match vehicle {
                    Some(vehicle) => customer_token(node.index, vehicle, bounds),
                    None => dispatcher_token(node.index),
                });
                Box::pin(async move { watcher::run(env, plan, trust, cancel).await })
            }
            NodeKind::Hub => {
                let listen = service_addr(node);
                Box::pin(async move {
                    observer::run(env, listen, &identity, &trust, cancel).await.map_err(|e| text(&e))
                })
            }
            NodeKind::Persistence => {
                let mut config = self.configs.persistence.clone();
                config.listen = service_addr(node);
                let store = Arc::new(self.db.client(&self.sim, node, env.clone()));
                Box::pin(async move {
                    let agent = Persistence::bind(env, config, &identity, &trust, store.clone())
                        .map_err(|e| text(&e))?;
                    let agent = agent.with_history(store.clone()).with_orders(store);
                    agent.run(cancel).await;
                    Ok(())
                })
            }
            NodeKind::Gateway => {
                let mut config = self.configs.gateway.clone();
                config.listen = service_addr(node);
                let keys = self.keys.clone();
                let cordon = self.cordons.entry(node).or_default().clone();
                Box::pin(async move {
                    let gateway =
                        Gateway::bind_with(env, config, &identity, &trust, keys).map_err(|e| text(&e))?;
                    gateway.with_cordon(cordon).run(cancel).await;
                    Ok(())
                })
            }
            NodeKind::Vehicle => {
                let config = self.configs.tracker(node.index);
                let (port, gps) = mpsc::channel(GPS_CHUNKS_MAX);
                if let Some(place) = self.gps.get_mut(node.index as usize) {
                    *place = Some(port);
                }
                let bus = self.bus(node.index);
                Box::pin(async move {
                    let mut tracker =
                        Tracker::bind(env, config, identity, trust, gps).map_err(|e| text(&e))?;
                    if let Some(bus) = bus {
                        tracker = tracker.with_can(bus);
                    }
                    tracker.run(cancel).await.map(|_| ()).map_err(|e| text(&e))
                })
            }
            NodeKind::Router => {
                let mut config = self.configs.router.clone();
                (config.listen, config.inner) = (service_addr(node), inner_addr(node));
                if let Some(tcp) = &mut config.tcp {
                    tcp.listen = clients_addr(node);
                }
                if let Some(live) = &mut config.live {
                    (live.listen, live.inner) = (live_addr(node), live_inner_addr(node));
                }
                let keys = self.keys.clone();
                Box::pin(async move {
                    let keys = keys.ok_or("a cluster with routers has keys")?;
                    let router =
                        Router::bind_as(env, config, keys, &identity, &trust).map_err(|e| text(&e))?;
                    let router = router.listen().await.map_err(|e| text(&e))?;
                    router.run(cancel).await;
                    Ok(())
                })
            }
            NodeKind::Dns => {
                let mut config = self.configs.dns.clone();
                config.listen = service_addr(node);
                let keys = self.keys.clone();
                Box::pin(async move {
                    let keys = keys.ok_or("without routers there are no keys")?;
                    let dns = Dns::bind(env, config, &identity, &trust, keys).await.map_err(|e| text(&e))?;
                    dns.run(cancel).await;
                    Ok(())
                })
            }
            NodeKind::Health => {
                let config = drover_health::Config {
                    listen: service_addr(node),
                    probe_bind: SocketAddr::new(service_ip(node), 0),
                    ..self.configs.health.clone()
                };
                Box::pin(async move {
                    let agent = Health::bind(env, config, &identity, &trust).map_err(|e| text(&e))?;
                    agent.run(cancel).await;
                    Ok(())
                })
            }
        }
    }

    fn power_cut(&self, vehicle: u32) -> bool {
        self.power_cut.iter().rev().find(|(first, _)| *first <= vehicle).is_some_and(|(_, cut)| *cut)
    }

    /// The bus of a vehicle whose tracker is about to start, if it hears it.
    fn bus(&mut self, vehicle: u32) -> Option<CanInput> {
        let hears = self.hears_bus.get(vehicle as usize).copied().unwrap_or_default();
        let place = self.can.get_mut(vehicle as usize).filter(|_| hears)?;
        let (port, frames) = mpsc::channel(CAN_BATCHES_MAX);
        *place = Some(port);
        Some(CanInput::new(CanReader::new(self.messages.clone()), frames))
    }

    fn identity(&mut self, node: NodeName) -> Result<Identity, PkiError> {
        if let Some(identity) = self.identities.get(&node) {
            return Ok(identity.clone());
        }
        let who = match node.kind {
            NodeKind::Vehicle => Principal::Vehicle { tenant: tenant(), vehicle: vehicle_id(node.index) },
            _ => Principal::Service(node),
        };
        let identity = self.ca.issue(&who, &self.pki_seeds)?;
        self.identities.insert(node, identity.clone());
        Ok(identity)
    }
}

/// A frame of the world as a tracker hears it.
///
/// # Panics
/// The world made a frame that no bus has.
pub fn frame_of(frame: &drover_world::CanFrame) -> CanFrame {
    let id = if frame.extended { CanId::extended(frame.id) } else { CanId::standard(frame.id as u16) };
    let id = id.expect("the world keeps to 11 and 29 bits");
    CanFrame::new(id, &frame.data[..usize::from(frame.len)]).expect("the world's frames have 8 bytes at most")
}

/// What routers and gateways of a run share; nothing without routers.
pub fn cluster_keys(scenario: &Scenario, seeds: &SeedTree) -> Option<ClusterKeys> {
    let secret = ClusterSecret::from_bytes(seeds.child("cluster").bytes());
    let keys = ClusterKeys::new(secret).with_rotation(scenario.cluster.rotate);
    (scenario.cluster.router > 0).then_some(keys)
}

/// What the simulated network calls a rule.
pub fn rule_of(rule: &LinkRule) -> drover_simnet::Rule {
    let effect = match rule.effect {
        LinkEffect::Partition => drover_simnet::Effect::Partition,
        LinkEffect::Loss(probability) => drover_simnet::Effect::Loss(probability),
        LinkEffect::Delay { delay, jitter } => drover_simnet::Effect::Delay { delay, jitter },
        LinkEffect::Duplicate(probability) => drover_simnet::Effect::Duplicate(probability),
        LinkEffect::Clog => drover_simnet::Effect::Clog,
        LinkEffect::Corrupt(probability) => drover_simnet::Effect::Corrupt(probability),
        LinkEffect::BurstLoss { enter, leave, loss } => {
            drover_simnet::Effect::BurstLoss(Burst { enter, leave, loss })
        }
        LinkEffect::Narrow { bandwidth_kbit_s, queue } => drover_simnet::Effect::Narrow(Medium {
            bandwidth_bit_s: u64::from(bandwidth_kbit_s) * 1_000,
            queue,
        }),
        LinkEffect::Mtu { bytes } => drover_simnet::Effect::Mtu(bytes as usize),
    };
    drover_simnet::Rule { from: rule.from, to: rule.to, both_ways: rule.both_ways, effect }
}
