//! Facts about small networks, and about files that are none.

use proptest::prelude::*;

use super::network::{Street, Streets};
use super::*;

const HELSINKI: &[u8] = include_bytes!("../../../../fixtures/roads/helsinki_center.osm.pbf");

/// Points on a straight line to the east, ten metres or so apart, with one more to the north of the second.
fn points(count: u32) -> Vec<Position> {
    let place = |index: u32| Position::new(60.0, 25.0 + f64::from(index) * 0.0002).expect("in range");
    let mut points: Vec<Position> = (0..count).map(place).collect();
    points.push(Position::new(60.001, 25.0002).expect("in range"));
    points
}

fn street(points: &[u32], forward: bool, backward: bool) -> Street {
    Street { points: points.to_vec(), limit_mps: 10.0, tunnel: false, forward, backward }
}

fn check(streets: Vec<Street>, count: u32, edges: usize, junctions: usize, kept: usize) {
    let roads = network::build(&Streets { positions: points(count), streets }).expect("a strong component");
    assert_eq!((roads.edges.len(), roads.junctions_len(), roads.nodes_kept()), (edges, junctions, kept));
}

#[test]
fn streets_are_cut_where_they_meet_and_nowhere_else() {
    check(vec![street(&[0, 1, 2, 3], true, true)], 4, 2, 2, 4);
    check(vec![street(&[0, 1, 2, 3], true, true), street(&[1, 4], true, true)], 4, 6, 4, 5);
}

#[test]
fn a_one_way_street_that_leads_nowhere_back_is_left_out() {
    check(vec![street(&[0, 1, 2], true, true), street(&[2, 3], true, false)], 4, 2, 2, 3);
    check(vec![street(&[0, 1, 2], true, true), street(&[3, 2], false, true)], 4, 2, 2, 3);
    let alone = Streets { positions: points(4), streets: vec![street(&[0, 1, 2, 3], true, false)] };
    assert!(network::build(&alone).is_none());
}

#[test]
fn a_loop_can_be_driven_round() {
    // A drop at the end of a street: the loop gets two junctions of its own.
    check(vec![street(&[0, 1, 2, 4, 1], true, true)], 4, 8, 4, 4);
}

#[test]
fn the_faster_of_two_streets_between_the_same_junctions_is_taken() {
    let slow = Street { limit_mps: 0.5, ..street(&[0, 1, 2], true, true) };
    let fast = street(&[0, 4, 2], true, true);
    let roads = network::build(&Streets { positions: points(4), streets: vec![slow, fast] }).expect("strong");
    let route = roads.route(&mut roads.calculator(), 0, 1);
    assert_eq!(route.len(), 1);
    assert_eq!(roads.edges[route[0] as usize].limit_mps, 10.0);
}

#[test]
fn a_grid_is_as_large_as_it_says_and_every_route_in_it_is_a_chain() {
    let roads = Roads::grid(4, 3, 100.0);
    assert_eq!((roads.junctions_len(), roads.edges.len()), (12, 34));
    assert!(roads.edges().all(|edge| (edge.length_m - 100.0).abs() < 0.5), "blocks of a hundred metres");
    assert_eq!(roads.streets().count(), 17);
    assert_eq!(roads.attribution(), None);
    let mut paths = roads.calculator();
    for (from, to) in [(0, 11), (11, 0), (3, 8), (5, 5)] {
        let mut at = from;
        for edge in roads.route(&mut paths, from, to) {
            assert_eq!(roads.edges[edge as usize].from, at);
            at = roads.edges[edge as usize].to;
        }
        assert_eq!(at, to);
    }
    // Sizes out of range are taken as the nearest in range.
    assert_eq!(Roads::grid(0, 1, f64::NAN).junctions_len(), 4);
}

#[test]
fn a_place_on_an_edge_is_found_by_its_offset() {
    let roads =
        network::build(&Streets { positions: points(4), streets: vec![street(&[0, 1, 2, 3], true, true)] });
    let roads = roads.expect("strong");
    let length_m = roads.edges[0].length_m;
    assert_eq!(roads.locate(0, 0.0), (0, 0.0));
    assert_eq!(roads.locate(0, length_m * 0.5).0, 1);
    let (segment, along_m) = roads.locate(0, length_m + 5.0);
    assert_eq!(roads.place(segment, along_m), *roads.points(&roads.edges[0]).last().expect("has points"));
}

fn refusal(bytes: &[u8]) -> String {
    Roads::from_osm_pbf("town.osm.pbf", bytes).expect_err("is no extract").to_string()
}

#[test]
fn what_is_no_extract_is_refused_by_name_with_a_remedy() {
    let start = "town.osm.pbf is not an OpenStreetMap extract in PBF form: ";
    for bytes in [b"".as_slice(), b"<osm version=\"0.6\">", &[0; 64], &[0xff; 64], b"\0\0\0\x02\x0a"] {
        let text = refusal(bytes);
        assert!(text.starts_with(start) && text.contains("get one that ends in .osm.pbf"), "{text}");
    }
    // The header alone is a valid file without a street.
    let header_len = 4 + u32::from_be_bytes([HELSINKI[0], HELSINKI[1], HELSINKI[2], HELSINKI[3]]) as usize;
    assert!(refusal(&HELSINKI[..header_len]).starts_with(start));
    let header_only =
        (header_len..1_000).map(|end| &HELSINKI[..end]).map(refusal).find(|text| !text.starts_with(start));
    assert_eq!(
        header_only.as_deref(),
        Some(
            "town.osm.pbf has no drivable street that leads anywhere and back; take an extract of a larger area"
        )
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damaged_extracts_never_panic(
        keep in 0..HELSINKI.len(),
        changes in prop::collection::vec((0..HELSINKI.len(), any::<u8>()), 0..20),
    ) {
        let mut bytes = HELSINKI.to_vec();
        for (at, value) in changes {
            bytes[at] ^= value;
        }
        bytes.truncate(keep);
        // Cut exactly between two blocks it may even be read.
        if let Ok(roads) = Roads::from_osm_pbf("town.osm.pbf", &bytes) {
            prop_assert!(roads.edges().len() > 0);
        }
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        prop_assert!(Roads::from_osm_pbf("town.osm.pbf", &bytes).is_err());
    }

    #[test]
    fn blocks_of_random_content_are_refused(
        content in prop::collection::vec(any::<u8>(), 0..300),
        group in prop::collection::vec(any::<i64>(), 0..12),
    ) {
        // Uncompressed blocks have no checksum: what is in them reaches the decoder as it is.
        prop_assert!(Roads::from_osm_pbf("town.osm.pbf", &with_block(&content)).is_err());
        prop_assert!(Roads::from_osm_pbf("town.osm.pbf", &with_block(&dense_block(&group))).is_err());
    }
}

/// An extract of a header and one uncompressed block.
fn with_block(content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, content) in [("OSMHeader", field(4, b"OsmSchema-V0.6")), ("OSMData", content.to_vec())] {
        let blob = field(1, &content);
        let mut header = field(1, kind.as_bytes());
        header.push(3 << 3);
        varint(&mut header, blob.len() as u64);
        bytes.extend((header.len() as u32).to_be_bytes());
        bytes.extend(header);
        bytes.extend(blob);
    }
    bytes
}

/// A block of dense nodes whose differences are as given: their sums overflow.
fn dense_block(numbers: &[i64]) -> Vec<u8> {
    let mut packed = Vec::new();
    for &number in numbers {
        varint(&mut packed, (number << 1 ^ number >> 63) as u64);
    }
    let dense = [field(1, &packed), field(8, &packed), field(9, &packed)].concat();
    [field(1, b""), field(2, &field(2, &dense))].concat()
}

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(&mut out, content.len() as u64);
    out.extend_from_slice(content);
    out
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 127 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}
