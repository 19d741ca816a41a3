//! Every answer that can be given, ready to be copied. Never changes: a new table takes its place.

use std::collections::BTreeMap;
use std::net::IpAddr;

use drover_model::NodeName;
use rand::Rng;
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use crate::candidate::Candidate;
use crate::choose::{Bounds, has_near, turns};
use crate::config::{Config, NODES_LABEL, ServiceName};
use crate::cookie::CookieKeys;
use crate::name::{Name, is_within};
use crate::nearby::{Place, PlaceMap};
use crate::query::kinds;
use crate::records::{ANY_DATA, Prepared, address, authority, https, record, service};
use crate::view::Listings;

/// Answers to one type of one name.
#[derive(Debug)]
struct Set {
    kind: u16,
    /// By place, which of `answers`; the same for all places if it is empty.
    by_place: Vec<usize>,
    /// Answers to give in turn; none: there is nobody to name.
    answers: Vec<Vec<Prepared>>,
}

impl Set {
    fn one(kind: u16, prepared: Prepared) -> Self {
        Self { kind, by_place: Vec::new(), answers: vec![vec![prepared]] }
    }
}

/// What the table has for a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found<'t> {
    /// Records. `is_tailored`: others get others.
    Records { prepared: &'t Prepared, is_tailored: bool },
    /// The name is there, and has no such records.
    NoData,
    /// There is no such name.
    NoName,
    /// Another zone's.
    Elsewhere,
}

/// Names of a zone and their answers.
#[derive(Debug)]
pub struct Table {
    zone: Name,
    names: FxHashMap<Box<[u8]>, Vec<Set>>,
    any: Prepared,
    /// The SOA record of negative answers, from its type on.
    pub(crate) negative: Vec<u8>,
    pub(crate) places: PlaceMap,
    pub(crate) cookies: CookieKeys,
    nodes: usize,
}

impl Table {
    /// The answers of a zone from these nodes. `serial` is the zone's (RFC 1035 section 3.3.13); `rng` decides who comes after
    /// the first in an answer.
    ///
    /// # Errors
    /// A name of the config is too long.
    pub fn new(
        config: &Config,
        candidates: &[Candidate],
        cookies: CookieKeys,
        serial: u32,
        rng: &mut impl Rng,
    ) -> Result<Self, String> {
        let zones = zones(config);
        let number = |zone: &str| 1 + zones.iter().position(|other| *other == zone).unwrap_or_default();
        let prefixes: Vec<_> = config.nearby.iter().map(|near| (near.prefix, number(&near.zone))).collect();
        let mut builder = Builder { config, zones: &zones, rng, names: BTreeMap::new() };
        for name in &config.names {
            builder.service(name, candidates)?;
        }
        builder.nodes(candidates)?;
        let soa = builder.apex(serial)?;
        let mut any = Prepared::default();
        any.answer(kinds::HINFO, seconds(config.ttl), ANY_DATA);
        let names = builder.names.into_iter().map(|(name, sets)| (name.into_boxed_slice(), sets));
        Ok(Self {
            zone: config.zone.clone(),
            names: names.collect(),
            any,
            negative: record(kinds::SOA, seconds(config.negative_ttl), &soa),
            places: PlaceMap::new(&prefixes),
            cookies,
            nodes: candidates.iter().filter(|candidate| candidate.health.is_eligible()).count(),
        })
    }

    /// The same from the nodes of the newest of `listings`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn from_listings(
        config: &Config,
        listings: &Listings,
        cookies: CookieKeys,
        serial: u32,
        rng: &mut impl Rng,
    ) -> Result<Self, String> {
        let view = listings.view(Instant::now(), &config.nodes, config.stale_max);
        Self::new(config, &view.nodes, cookies, serial, rng)
    }

    /// Nodes that may be named.
    pub const fn nodes(&self) -> usize {
        self.nodes
    }

    /// Bytes of the zone's name.
    pub(crate) const fn zone_bytes(&self) -> usize {
        self.zone.as_bytes().len()
    }

    /// What there is for a name in wire form and lower case. `turn` is any number.
    #[inline]
    pub(crate) fn find(&self, name: &[u8], kind: u16, place: Place, turn: usize) -> Found<'_> {
        let Some(sets) = self.names.get(name) else {
            return if is_within(name, self.zone.as_bytes()) { Found::NoName } else { Found::Elsewhere };
        };
        if kind == kinds::ANY {
            return Found::Records { prepared: &self.any, is_tailored: false };
        }
        let Some(set) = sets.iter().find(|set| set.kind == kind) else { return Found::NoData };
        let which = set.by_place.get(place).copied().unwrap_or_default();
        let answers = set.answers.get(which).map(Vec::as_slice).unwrap_or_default();
        match answers.get(turn % answers.len().max(1)) {
            Some(prepared) => Found::Records { prepared, is_tailored: !set.by_place.is_empty() },
            None => Found::NoData,
        }
    }
}

/// Zones that some client is near to.
fn zones(config: &Config) -> Vec<&str> {
    let mut zones: Vec<&str> = config.nearby.iter().map(|near| near.zone.as_str()).collect();
    zones.sort_unstable();
    zones.dedup();
    zones
}

/// Whole seconds, as records have them.
pub(crate) const fn seconds(duration: std::time::Duration) -> u32 {
    duration.as_secs() as u32
}

struct Builder<'a, R> {
    config: &'a Config,
    zones: &'a [&'a str],
    rng: &'a mut R,
    names: BTreeMap<Vec<u8>, Vec<Set>>,
}

impl<R: Rng> Builder<'_, R> {
    /// A name in the zone; those between have no records, but are there.
    fn add(&mut self, name: &Name, sets: Vec<Set>) {
        for above in name.ancestors() {
            if above.len() <= self.config.zone.as_bytes().len() {
                break;
            }
            self.names.entry(above.to_vec()).or_default();
        }
        self.names.entry(name.as_bytes().to_vec()).or_default().extend(sets);
    }

    fn child(&self, text: &str) -> Result<Name, String> {
        self.config.zone.child(text).map_err(|error| error.to_string())
    }

    /// Answers of one type in turn, for every place.
    fn set(
        &mut self,
        kind: u16,
        candidates: &[&Candidate],
        prepare: impl Fn(&[&Candidate]) -> Prepared,
    ) -> Set {
        let bounds = Bounds { nodes_max: self.config.nodes_max, near_min: self.config.near_min };
        let mut of = |zone| {
            let all = turns(candidates, zone, bounds, self.rng);
            all.iter().map(|order| prepare(order)).collect::<Vec<_>>()
        };
        let mut answers = vec![of(None)];
        let mut by_place = vec![0];
        for zone in self.zones {
            let is_special = has_near(candidates, zone);
            by_place.push(if is_special { answers.len() } else { 0 });
            if is_special {
                answers.push(of(Some(zone)));
            }
        }
        if answers.len() == 1 {
            by_place.clear();
        }
        Set { kind, by_place, answers }
    }

    /// A service's name, and the one of its SRV record.
    fn service(&mut self, name: &ServiceName, candidates: &[Candidate]) -> Result<(), String> {
        let ttl_s = seconds(self.config.ttl);
        let ours: Vec<&Candidate> =
            candidates.iter().filter(|candidate| name.takes(candidate.node)).collect();
        let mut sets = Vec::new();
        for (kind, is_v4) in [(kinds::A, true), (kinds::AAAA, false)] {
            let has = |candidate: &&&Candidate| candidate.addrs.iter().any(|addr| addr.is_ipv4() == is_v4);
            let ours: Vec<&Candidate> = ours.iter().filter(has).copied().collect();
            sets.push(self.set(kind, &ours, |order| addresses(order, is_v4, ttl_s)));
        }
        if !name.alpn.is_empty() {
            // Of one port: a record has no more, and the first node's is as good as any.
            sets.push(self.set(kinds::HTTPS, &ours, |order| {
                let port = order.first().map_or(443, |first| first.port);
                let alike = order.iter().filter(|candidate| candidate.port == port);
                let addrs: Vec<IpAddr> = alike.flat_map(|candidate| candidate.addrs.clone()).collect();
                let mut prepared = Prepared::default();
                prepared.answer(kinds::HTTPS, ttl_s, &https(&name.alpn, port, &addrs));
                prepared
            }));
        }
        self.add(&self.child(&name.name)?, sets);
        if !name.service.is_empty() {
            let targets = ours.iter().map(|candidate| Ok((candidate.node, self.node_name(candidate.node)?)));
            let targets = targets.collect::<Result<BTreeMap<NodeName, Name>, String>>()?;
            let set = self.set(kinds::SRV, &ours, |order| services(order, &targets, ttl_s));
            self.add(&self.child(&format!("{}.{}", name.service, name.name))?, vec![set]);
        }
        Ok(())
    }

    fn node_name(&self, node: NodeName) -> Result<Name, String> {
        self.child(&format!("{}-{}.{NODES_LABEL}", node.kind.name(), node.index))
    }

    /// Each node's own name. One that leaves or is gone keeps its name, and nothing else.
    fn nodes(&mut self, candidates: &[Candidate]) -> Result<(), String> {
        self.add(&self.child(NODES_LABEL)?, Vec::new());
        for candidate in candidates {
            let name = self.node_name(candidate.node)?;
            let addrs = if candidate.health.is_eligible() { &*candidate.addrs } else { &[] };
            let sets = self.own_addresses(addrs);
            self.add(&name, sets);
        }
        Ok(())
    }

    /// The addresses of a name that has always the same.
    fn own_addresses(&self, addrs: &[IpAddr]) -> Vec<Set> {
        let mut sets: Vec<Set> = Vec::new();
        for (kind, is_v4) in [(kinds::A, true), (kinds::AAAA, false)] {
            let mut prepared = Prepared::default();
            for addr in addrs.iter().filter(|addr| addr.is_ipv4() == is_v4) {
                prepared.answer(kind, seconds(self.config.ttl), &address(*addr).1);
            }
            if prepared.answers > 0 {
                sets.push(Set::one(kind, prepared));
            }
        }
        sets
    }

    /// The zone's own name and its servers. Returns the data of its SOA record.
    fn apex(&mut self, serial: u32) -> Result<Vec<u8>, String> {
        let config = self.config;
        let ttl_s = seconds(config.ttl);
        let mut servers = Prepared::default();
        let mut names = Vec::new();
        for server in &config.nameservers {
            names.push((self.child(&server.name)?, &server.addrs));
        }
        for (name, _) in &names {
            servers.answer(kinds::NS, ttl_s, name.as_bytes());
        }
        for (name, addrs) in &names {
            servers.address_additions(name, ttl_s, addrs);
            let sets = self.own_addresses(addrs);
            self.add(name, sets);
        }
        let first = names.first().map_or(&config.zone, |(name, _)| name);
        let soa = authority(first, &config.contact, serial, ttl_s, seconds(config.negative_ttl));
        let mut prepared = Prepared::default();
        prepared.answer(kinds::SOA, ttl_s, &soa);
        let mut sets = vec![Set::one(kinds::SOA, prepared)];
        if servers.answers > 0 {
            sets.push(Set::one(kinds::NS, servers));
        }
        self.add(&config.zone, sets);
        Ok(soa)
    }
}

fn addresses(order: &[&Candidate], is_v4: bool, ttl_s: u32) -> Prepared {
    let mut prepared = Prepared::default();
    for addr in order.iter().flat_map(|candidate| &candidate.addrs).filter(|addr| addr.is_ipv4() == is_v4) {
        let (kind, data) = address(*addr);
        prepared.answer(kind, ttl_s, &data);
    }
    prepared
}

fn services(order: &[&Candidate], targets: &BTreeMap<NodeName, Name>, ttl_s: u32) -> Prepared {
    let mut prepared = Prepared::default();
    // Weights have 16 bits: the largest share has all of them.
    let largest = order.iter().map(|candidate| candidate.weight()).max().unwrap_or(1);
    let named = || order.iter().filter_map(|candidate| Some((*candidate, targets.get(&candidate.node)?)));
    for (candidate, target) in named() {
        let weight = u128::from(candidate.weight()) * u128::from(u16::MAX) / u128::from(largest);
        prepared.answer(kinds::SRV, ttl_s, &service((weight as u16).max(1), candidate.port, target));
    }
    for (candidate, target) in named() {
        prepared.address_additions(target, ttl_s, &candidate.addrs);
    }
    prepared
}
