//! Reads the streets of an OpenStreetMap extract in PBF form.
//!
//! Two passes: ways and relations first, which say which nodes are wanted, then the nodes. In between there are only
//! flat arrays of numbers, so that memory grows with the streets and not with the file: some 60 bytes per point.

use std::io::{Read, Seek};

use drover_model::Position;
use osmpbf::{Element, RelMemberType, Relation, Way};

use super::control::{self, Mark, PointRule};
use super::kind::Kind;
use super::notes::Note;
use super::pbf::Extract;
use super::pieces::Streets;
use super::restrictions::TurnRule;
use super::walls::Walls;
use super::{Preparing, RoadsError, way};

/// Asked for by the Open Database License, wherever the data is shown.
pub(super) const ATTRIBUTION: &str =
    "© OpenStreetMap contributors, ODbL 1.0, https://www.openstreetmap.org/copyright";

/// A large country's worth. Numbers of points are u32, and each may be in two edges.
const POINTS_MAX: usize = 100_000_000;

/// With more corners of buildings than this, streets are as wide as is usual for their class.
const CORNERS_MAX: usize = 10_000_000;

/// The streets of an extract, and what is to be told about it.
pub(super) fn read(
    name: &str,
    reader: impl Read + Seek + Send,
    progress: &mut dyn FnMut(Preparing),
) -> Result<(Streets, Vec<Note>), RoadsError> {
    let mut extract = Extract::new(name, reader)?;
    let mut ways = Ways::default();
    extract.for_each_block(
        |block| {
            for group in block.groups() {
                group.ways().for_each(|way| ways.add(&way));
                group.relations().for_each(|relation| ways.add_relation(&relation));
            }
        },
        |share| progress(Preparing::Streets { share }),
    )?;
    if ways.too_many {
        return Err(RoadsError::TooLarge { name: name.to_owned(), max: POINTS_MAX });
    }
    ways.members.sort_unstable();
    ways.members.dedup();
    let mut points = Points::of(&ways);
    let mut corners = Places::of(&ways.corners);
    extract.for_each_block(
        |block| {
            block.for_each_element(|element| match element {
                Element::Node(node) => {
                    let place = e7((node.nano_lat(), node.nano_lon()));
                    points.add(node.id(), place, node.tags());
                    corners.add(node.id(), place);
                }
                Element::DenseNode(node) => {
                    let place = e7((node.nano_lat(), node.nano_lon()));
                    points.add(node.id(), place, node.tags());
                    corners.add(node.id(), place);
                }
                Element::Way(way) => ways.see(way.id()),
                Element::Relation(_) => {}
            });
        },
        |share| progress(Preparing::Points { share }),
    )?;
    progress(Preparing::Network);
    let walls = ways.walls(&corners);
    let (mut streets, notes) = points.streets(name, ways);
    streets.walls = walls;
    Ok((streets, notes))
}

/// The streets, by the ids of their nodes.
#[derive(Default)]
struct Ways {
    ways: Vec<WayFound>,
    /// The nodes of all streets, street after street.
    nodes: Vec<i64>,
    too_many: bool,
    /// The nodes of all buildings, building after building, and where each ends among them.
    corners: Vec<i64>,
    buildings: Vec<u32>,
    too_many_buildings: bool,
    rules: Vec<RuleFound>,
    /// The ways that restrictions name, sorted once the first pass is over, and whether the file has them.
    members: Vec<(i64, bool)>,
    /// Restrictions without one of their members.
    rules_incomplete: usize,
    /// Restrictions that lead over ways, which are not read.
    rules_over_ways: usize,
}

struct WayFound {
    id: i64,
    first: usize,
    len: usize,
    kind: Kind,
}

struct RuleFound {
    only: bool,
    from: i64,
    via: i64,
    to: i64,
}

impl Ways {
    fn add(&mut self, way: &Way<'_>) {
        let tag = |wanted: &str| way.tags().find(|(key, _)| *key == wanted).map(|(_, value)| value);
        let Some(kind) = way::kind_of(tag) else {
            if tag("building").is_some_and(|kind| kind != "no") {
                self.add_building(way);
            }
            return;
        };
        self.too_many |= self.nodes.len() + way.raw_refs().len() > POINTS_MAX;
        if self.too_many {
            return;
        }
        let first = self.nodes.len();
        let mut id = 0_i64;
        self.nodes.extend(way.raw_refs().iter().map(|delta| {
            id = id.wrapping_add(*delta);
            id
        }));
        self.ways.push(WayFound { id: way.id(), first, len: self.nodes.len() - first, kind });
    }

    fn add_building(&mut self, way: &Way<'_>) {
        self.too_many_buildings |= self.corners.len() + way.raw_refs().len() > CORNERS_MAX;
        if self.too_many_buildings {
            (self.corners, self.buildings) = (Vec::new(), Vec::new());
            return;
        }
        self.corners.extend(way.refs());
        self.buildings.push(self.corners.len() as u32);
    }

    /// The walls of the buildings whose corners the file has.
    fn walls(&self, corners: &Places) -> Walls {
        let starts = std::iter::once(0).chain(self.buildings.iter().copied());
        let outlines = starts.zip(&self.buildings).map(|(start, &end)| {
            let nodes = &self.corners[start as usize..end as usize];
            nodes.iter().filter_map(|&id| corners.get(id)).collect::<Vec<_>>()
        });
        let outlines: Vec<Vec<(i32, i32)>> = outlines.collect();
        Walls::of(outlines.iter().map(Vec::as_slice))
    }

    fn add_relation(&mut self, relation: &Relation<'_>) {
        let tag = |wanted: &str| relation.tags().find(|(key, _)| *key == wanted).map(|(_, value)| value);
        let Some(only) = restriction_of(tag) else { return };
        let (mut from, mut via, mut to, mut over_way) = (Vec::new(), None, Vec::new(), false);
        for member in relation.members() {
            match (member.role(), member.member_type) {
                (Ok("from"), RelMemberType::Way) => from.push(member.member_id),
                (Ok("to"), RelMemberType::Way) => to.push(member.member_id),
                (Ok("via"), RelMemberType::Node) => via = Some(member.member_id),
                (Ok("via"), _) => over_way = true,
                _ => {}
            }
        }
        if over_way {
            self.rules_over_ways += 1;
            return;
        }
        let Some(via) = via.filter(|_| !from.is_empty() && !to.is_empty()) else {
            self.rules_incomplete += 1;
            return;
        };
        // `no_entry` has several ways from, `no_exit` several to.
        self.members.extend(from.iter().chain(&to).map(|&way| (way, false)));
        let pairs = from.iter().flat_map(|&from| to.iter().map(move |&to| (from, to)));
        self.rules.extend(pairs.map(|(from, to)| RuleFound { only, from, via, to }));
    }

    /// Second pass: the file has this way.
    fn see(&mut self, way: i64) {
        if let Ok(at) = self.members.binary_search_by_key(&way, |&(id, _)| id) {
            self.members[at].1 = true;
        }
    }

    fn has(&self, way: i64) -> bool {
        self.members.binary_search_by_key(&way, |&(id, _)| id).is_ok_and(|at| self.members[at].1)
    }
}

/// Whether a relation is a turn restriction for vans, and if so, whether it allows only its turn.
fn restriction_of<'t>(tag: impl Fn(&str) -> Option<&'t str>) -> Option<bool> {
    if !tag("type")?.starts_with("restriction") {
        return None;
    }
    let excepted = |vehicle: &str| matches!(vehicle.trim(), "motorcar" | "motor_vehicle" | "vehicle");
    if tag("except").is_some_and(|all| all.split(';').any(excepted)) {
        return None;
    }
    let keys = ["restriction:motorcar", "restriction:motor_vehicle", "restriction:vehicle", "restriction"];
    let value = keys.into_iter().find_map(tag)?;
    match value.split_once('_')?.0 {
        "only" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// Where nodes are.
struct Places {
    /// Ascending.
    ids: Vec<i64>,
    /// Latitude and longitude in units of 1e-7 degrees, as the file has them.
    places: Vec<Option<(i32, i32)>>,
}

impl Places {
    fn of(nodes: &[i64]) -> Self {
        let mut ids = nodes.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let places = vec![None; ids.len()];
        Self { ids, places }
    }

    /// Notes where a node is; returns its place among those that are wanted.
    fn add(&mut self, id: i64, place: Option<(i32, i32)>) -> Option<usize> {
        let at = self.number(id)?;
        self.places[at] = place;
        Some(at)
    }

    fn get(&self, id: i64) -> Option<(i32, i32)> {
        self.places[self.number(id)?]
    }

    fn number(&self, id: i64) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }
}

/// The nodes of streets: where they are and what stands there.
struct Points {
    places: Places,
    marks: Vec<(u32, Mark)>,
    blocked: Vec<u32>,
    off_earth: usize,
}

impl Points {
    fn of(ways: &Ways) -> Self {
        Self { places: Places::of(&ways.nodes), marks: Vec::new(), blocked: Vec::new(), off_earth: 0 }
    }

    fn add<'t>(
        &mut self,
        id: i64,
        place: Option<(i32, i32)>,
        tags: impl Iterator<Item = (&'t str, &'t str)> + Clone,
    ) {
        let Some(at) = self.places.add(id, place) else { return };
        self.off_earth += usize::from(place.is_none());
        if tags.clone().next().is_none() {
            return;
        }
        let tag = |wanted: &str| tags.clone().find(|(key, _)| *key == wanted).map(|(_, value)| value);
        match control::rule_of(tag) {
            Some(PointRule::Blocked) => self.blocked.push(at as u32),
            Some(PointRule::Marked(mark)) => self.marks.push((at as u32, mark)),
            None => {}
        }
    }

    /// Puts ways and nodes together.
    fn streets(mut self, name: &str, ways: Ways) -> (Streets, Vec<Note>) {
        let mut streets = Streets::default();
        let numbers = self.number(&mut streets.positions);
        self.blocked.sort_unstable();
        for way in &ways.ways {
            let nodes = &ways.nodes[way.first..way.first + way.len];
            let at = nodes.iter().map(|&id| self.places.number(id).expect("ids are those of all ways"));
            let points: Vec<(Option<u32>, bool)> =
                at.map(|at| (numbers[at], self.blocked.binary_search(&(at as u32)).is_ok())).collect();
            add_way(way, &points, &mut streets);
        }
        streets.marks =
            self.marks.iter().filter_map(|&(at, mark)| Some((numbers[at as usize]?, mark))).collect();
        streets.marks.sort_unstable_by_key(|&(point, _)| point);
        let mut incomplete = ways.rules_incomplete;
        for rule in &ways.rules {
            let via = self.places.number(rule.via).and_then(|at| numbers[at]);
            let RuleFound { only, from: from_way, to: to_way, .. } = *rule;
            match via.filter(|_| ways.has(from_way) && ways.has(to_way)) {
                Some(via_point) => streets.rules.push(TurnRule { only, from_way, via_point, to_way }),
                None => incomplete += 1,
            }
        }
        (streets, notes(name, &ways, incomplete, self.off_earth))
    }

    /// Numbers the nodes that the file has, in the order of their ids.
    fn number(&self, positions: &mut Vec<Position>) -> Vec<Option<u32>> {
        let number = |place: &Option<(i32, i32)>| {
            positions.push(position((*place)?)?);
            Some(positions.len() as u32 - 1)
        };
        self.places.places.iter().map(number).collect()
    }
}

/// A place in units of 1e-7 degrees; `None` if it is off the earth.
fn e7(nano: (i64, i64)) -> Option<(i32, i32)> {
    let e7 = |nano: i64| i32::try_from(nano / 100).ok();
    let place = (e7(nano.0)?, e7(nano.1)?);
    position(place).map(|_| place)
}

fn position((lat_e7, lon_e7): (i32, i32)) -> Option<Position> {
    Position::new(f64::from(lat_e7) / 1e7, f64::from(lon_e7) / 1e7).ok()
}

/// Adds a way as one street or several: it ends where the file lacks a node, and goes on beyond; and it ends on both
/// sides of a barrier, at points of their own that nothing connects.
fn add_way(way: &WayFound, points: &[(Option<u32>, bool)], streets: &mut Streets) {
    for run in points.split(|(point, _)| point.is_none()) {
        let mut part: Vec<u32> = Vec::with_capacity(run.len());
        for &(point, blocked) in run {
            let Some(point) = point else { continue };
            if !blocked {
                if part.last() != Some(&point) {
                    part.push(point);
                }
                continue;
            }
            let position = streets.positions[point as usize];
            for side in 0..2 {
                streets.positions.push(position);
                part.push(streets.positions.len() as u32 - 1);
                if side == 0 {
                    flush(way, &mut part, streets);
                }
            }
        }
        flush(way, &mut part, streets);
    }
}

fn flush(way: &WayFound, part: &mut Vec<u32>, streets: &mut Streets) {
    if part.len() > 1 {
        streets.add(way.id, part.iter().copied(), way.kind);
    }
    part.clear();
}

fn notes(name: &str, ways: &Ways, incomplete: usize, off_earth: usize) -> Vec<Note> {
    let name = name.to_owned();
    let mut notes = Vec::new();
    if off_earth > 0 {
        notes.push(Note::OffEarth { name: name.clone(), points: off_earth });
    }
    if incomplete > 0 {
        let of = ways.rules.len() + ways.rules_incomplete;
        notes.push(Note::RestrictionsIncomplete { name: name.clone(), count: incomplete, of });
    }
    if ways.too_many_buildings {
        notes.push(Note::TooManyBuildings { name: name.clone(), max: CORNERS_MAX });
    }
    if ways.rules_over_ways > 0 {
        notes.push(Note::RestrictionsOverWays { name, count: ways.rules_over_ways });
    }
    notes
}
