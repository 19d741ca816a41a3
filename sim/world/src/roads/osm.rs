//! Reads the streets of an OpenStreetMap extract in PBF form.
//!
//! Read are the highway class, oneway, junction, maxspeed, tunnel and access. Keys for one sort of vehicle (psv, hgv,
//! motor_vehicle) are not: which of them bind a delivery van differs from town to town. Service roads are left out, as
//! most are yards and car parks, and so are turn restrictions, which are relations.

use std::panic::{AssertUnwindSafe, catch_unwind};

use drover_model::Position;
use osmpbf::{BlobDecode, BlobReader, Element, HeaderBlock, PrimitiveBlock, Way};
use rustc_hash::FxHashMap;

use super::RoadsError;
use super::network::{Street, Streets};

/// Asked for by the Open Database License, wherever the data is shown.
pub(super) const ATTRIBUTION: &str =
    "© OpenStreetMap contributors, ODbL 1.0, https://www.openstreetmap.org/copyright";

pub(super) const KM_PER_HOUR_PER_MPS: f64 = 3.6;
const KM_PER_MILE: f64 = 1.609_344;

/// A region's worth. Numbers of points are u32, and each may be in two edges.
const POINTS_MAX: usize = 50_000_000;

/// Limits outside are typing errors or not meant for vans.
const LIMIT_MIN_KM_PER_HOUR: f64 = 5.0;
const LIMIT_MAX_KM_PER_HOUR: f64 = 150.0;

/// Classes of road that a van drives on, each with the limit where no sign gives one, in km/h.
const CLASSES: [(&str, f64); 13] = [
    ("motorway", 120.0),
    ("trunk", 80.0),
    ("primary", 50.0),
    ("secondary", 50.0),
    ("tertiary", 50.0),
    ("unclassified", 40.0),
    ("residential", 30.0),
    ("living_street", 10.0),
    ("motorway_link", 60.0),
    ("trunk_link", 50.0),
    ("primary_link", 40.0),
    ("secondary_link", 40.0),
    ("tertiary_link", 40.0),
];

/// Features of the format that this reader knows.
const FEATURES: [&str; 2] = ["OsmSchema-V0.6", "DenseNodes"];

pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Streets, RoadsError> {
    // The decoder adds up what a file gives it with plain arithmetic: in builds that check for overflow, a made-up
    // file makes it panic. Nothing of ours is shared with it, so what it leaves behind can be thrown away.
    let read = catch_unwind(AssertUnwindSafe(|| read_blocks(name, bytes)));
    read.unwrap_or_else(|_| Err(not_pbf(name, "its numbers are beyond any map")))
}

fn read_blocks(name: &str, bytes: &[u8]) -> Result<Streets, RoadsError> {
    // Ways come after the nodes that they are made of, so a first pass finds which nodes are wanted.
    let mut found = Found::default();
    for_each_block(name, bytes, |block| {
        for way in block.groups().flat_map(|group| group.ways()) {
            found.add_way(&way);
        }
    })?;
    if found.numbers.len() > POINTS_MAX {
        return Err(RoadsError::TooLarge { name: name.to_owned(), max: POINTS_MAX });
    }
    found.positions = vec![None; found.numbers.len()];
    for_each_block(name, bytes, |block| {
        for element in block.elements() {
            match element {
                Element::Node(node) => found.add_node(node.id(), node.lat(), node.lon()),
                Element::DenseNode(node) => found.add_node(node.id(), node.lat(), node.lon()),
                Element::Way(_) | Element::Relation(_) => {}
            }
        }
    })?;
    Ok(found.into_streets())
}

/// Decodes block after block: a country would not fit in memory at once.
fn for_each_block(name: &str, bytes: &[u8], mut read: impl FnMut(&PrimitiveBlock)) -> Result<(), RoadsError> {
    let mut headed = false;
    for blob in BlobReader::new(bytes) {
        let decoded = blob.and_then(|blob| match blob.decode()? {
            BlobDecode::OsmHeader(header) => Ok(Some(Block::Header(header))),
            BlobDecode::OsmData(block) => Ok(Some(Block::Data(block))),
            BlobDecode::Unknown(_) => Ok(None),
        });
        match decoded.map_err(|error| not_pbf(name, &error.to_string()))? {
            Some(Block::Header(header)) => {
                check_features(name, &header)?;
                headed = true;
            }
            Some(Block::Data(block)) if headed => read(&block),
            Some(Block::Data(_)) => return Err(not_pbf(name, "its header is missing")),
            None => {}
        }
    }
    if headed { Ok(()) } else { Err(not_pbf(name, "its header is missing")) }
}

enum Block {
    Header(Box<HeaderBlock>),
    Data(PrimitiveBlock),
}

fn check_features(name: &str, header: &HeaderBlock) -> Result<(), RoadsError> {
    let unknown = header.required_features().iter().find(|feature| !FEATURES.contains(&feature.as_str()));
    match unknown {
        Some(feature) => Err(RoadsError::Feature { name: name.to_owned(), feature: feature.clone() }),
        None => Ok(()),
    }
}

fn not_pbf(name: &str, reason: &str) -> RoadsError {
    RoadsError::NotPbf { name: name.to_owned(), reason: reason.to_owned() }
}

/// What is found so far. Points are numbered as ways name them.
#[derive(Default)]
struct Found {
    numbers: FxHashMap<i64, u32>,
    positions: Vec<Option<Position>>,
    streets: Vec<Street>,
}

impl Found {
    fn add_way(&mut self, way: &Way<'_>) {
        let Some(rules) = Rules::of(way) else { return };
        let mut id = 0_i64;
        let mut points = Vec::with_capacity(way.raw_refs().len());
        for delta in way.raw_refs() {
            id = id.wrapping_add(*delta);
            let next = self.numbers.len() as u32;
            points.push(*self.numbers.entry(id).or_insert(next));
        }
        self.streets.push(rules.street(points));
    }

    fn add_node(&mut self, id: i64, lat: f64, lon: f64) {
        if let Some(&number) = self.numbers.get(&id) {
            // A place off the earth is as good as missing.
            self.positions[number as usize] = Position::new(lat, lon).ok();
        }
    }

    /// Leaves out the points that the extract does not have: a street goes on beyond them as another.
    fn into_streets(self) -> Streets {
        let mut numbers = vec![None; self.positions.len()];
        let mut found = Streets::default();
        for street in &self.streets {
            for run in street.points.split(|&point| self.positions[point as usize].is_none()) {
                let mut points: Vec<u32> = run.to_vec();
                points.dedup();
                if points.len() < 2 {
                    continue;
                }
                for point in &mut points {
                    let position = self.positions[*point as usize].expect("runs end at missing points");
                    *point = *numbers[*point as usize].get_or_insert_with(|| {
                        found.positions.push(position);
                        found.positions.len() as u32 - 1
                    });
                }
                found.streets.push(Street { points, ..street.clone() });
            }
        }
        found
    }
}

/// What a way's tags say about driving on it.
struct Rules {
    limit_km_per_hour: f64,
    tunnel: bool,
    forward: bool,
    backward: bool,
}

impl Rules {
    /// `None` if a van may not, or can not, drive there.
    fn of(way: &Way<'_>) -> Option<Self> {
        let tag = |wanted: &str| way.tags().find(|(key, _)| *key == wanted).map(|(_, value)| value);
        let class = tag("highway")?;
        let (_, usual_limit) = CLASSES.into_iter().find(|(name, _)| *name == class)?;
        if matches!(tag("access"), Some("private" | "no")) || tag("area") == Some("yes") {
            return None;
        }
        let round = matches!(tag("junction"), Some("roundabout" | "circular"));
        let (forward, backward) = match tag("oneway") {
            Some("yes" | "true" | "1") => (true, false),
            Some("-1" | "reverse") => (false, true),
            Some("no" | "false" | "0") => (true, true),
            // Nothing, or what changes with the hour, such as `reversible`.
            _ => (true, !round && class != "motorway"),
        };
        let tunnel = tag("tunnel").is_some_and(|kind| kind != "no");
        let limit_km_per_hour = tag("maxspeed").and_then(limit_of).unwrap_or(usual_limit);
        Some(Self { limit_km_per_hour, tunnel, forward, backward })
    }

    fn street(&self, points: Vec<u32>) -> Street {
        Street {
            points,
            limit_mps: self.limit_km_per_hour / KM_PER_HOUR_PER_MPS,
            tunnel: self.tunnel,
            forward: self.forward,
            backward: self.backward,
        }
    }
}

/// A limit in km/h as `maxspeed` writes it: `30`, `20 mph`. What names a rule instead, such as `FI:urban`, leaves the
/// class to decide.
fn limit_of(text: &str) -> Option<f64> {
    let (number, unit_km) = match text.strip_suffix("mph") {
        Some(number) => (number, KM_PER_MILE),
        None => (text, 1.0),
    };
    let limit = number.trim().parse::<f64>().ok()? * unit_km;
    (LIMIT_MIN_KM_PER_HOUR..=LIMIT_MAX_KM_PER_HOUR).contains(&limit).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_in_either_unit_and_names_of_rules_are_not() {
        assert_eq!(limit_of("30"), Some(30.0));
        assert_eq!(limit_of("20 mph").map(|limit| (limit * 100.0) as u32), Some(3218));
        for text in ["FI:urban", "none", "walk", "50;30", "0", "-30", "1000", "nan", ""] {
            assert_eq!(limit_of(text), None, "{text}");
        }
    }
}
