//! Facts about small networks, and about files that are none.

mod extracts;
mod pbf_writer;

use proptest::prelude::*;

use super::kind::Kind;
use super::pieces::Streets;
use super::*;
use pbf_writer::{dense_block, with_block};

const HELSINKI: &[u8] = include_bytes!("../../../../fixtures/roads/helsinki_center.osm.pbf");

/// Points on a straight line to the east, ten metres or so apart, with one more to the north of the second.
fn points(count: u32) -> Vec<Position> {
    let place = |index: u32| Position::new(60.0, 25.0 + f64::from(index) * 0.0002).expect("in range");
    let mut points: Vec<Position> = (0..count).map(place).collect();
    points.push(Position::new(60.001, 25.0002).expect("in range"));
    points
}

struct Street(Vec<u32>, Kind);

fn street(points: &[u32], forward: bool, backward: bool) -> Street {
    let mut kind = Kind::plain(Class::Residential, 10.0);
    kind.forward = kind.forward.filter(|_| forward);
    kind.backward = kind.backward.filter(|_| backward);
    Street(points.to_vec(), kind)
}

fn build(streets: Vec<Street>, count: u32) -> Option<Roads> {
    let mut source = Streets { positions: points(count), ..Streets::default() };
    for Street(points, kind) in streets {
        source.add(0, points, kind);
    }
    network::build(&source, |_| {}).map(|(roads, _)| roads)
}

fn check(streets: Vec<Street>, count: u32, edges: usize, junctions: usize, kept: usize) {
    let roads = build(streets, count).expect("a strong component");
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
    assert!(build(vec![street(&[0, 1, 2, 3], true, false)], 4).is_none());
}

#[test]
fn a_loop_can_be_driven_round() {
    // A drop at the end of a street: the loop gets two junctions of its own.
    check(vec![street(&[0, 1, 2, 4, 1], true, true)], 4, 8, 4, 4);
}

#[test]
fn the_faster_of_two_streets_between_the_same_junctions_is_taken() {
    let slow = Street(vec![0, 1, 2], Kind::plain(Class::Residential, 0.5));
    let roads = build(vec![slow, street(&[0, 4, 2], true, true)], 4).expect("strong");
    let route = roads.wayfinder().between(0, 1).expect("they are connected");
    assert_eq!(route.edges.len(), 1);
    assert_eq!(roads.edges[route.edges[0] as usize].limit_mps, 10.0);
}

#[test]
fn turning_on_the_spot_is_for_dead_ends() {
    // A street with a fork at its end: back to its start from the first fork one drives to a dead end.
    let roads =
        build(vec![street(&[0, 1, 2, 3], true, true), street(&[1, 4], true, true)], 4).expect("strong");
    let edge = |from: u32, to: u32| {
        let found = (0..).zip(&roads.edges).find(|(_, edge)| (edge.from, edge.to) == (from, to));
        found.map(|(number, _)| number).expect("is an edge")
    };
    // Junctions: 0, 1, 3 and 4 in the source, numbered 0 to 3.
    let route = roads.route(&mut roads.paths(), edge(0, 1), edge(1, 0));
    assert_eq!(route, [edge(1, 2), edge(2, 1)]);
    assert_eq!(roads.turns(edge(0, 1)).collect::<Vec<_>>(), [edge(1, 2), edge(1, 3)]);
    assert_eq!(roads.turns(edge(1, 2)).collect::<Vec<_>>(), [edge(2, 1)]);
}

#[test]
fn a_grid_is_as_large_as_it_says_and_every_route_in_it_is_a_chain() {
    let roads = Roads::grid(4, 3, 100.0);
    assert_eq!((roads.junctions_len(), roads.edges.len()), (12, 34));
    assert!(roads.edges().all(|edge| (edge.length_m - 100.0).abs() < 0.5), "blocks of a hundred metres");
    assert_eq!(roads.streets().count(), 17);
    assert_eq!(roads.attribution(), None);
    let mut wayfinder = roads.wayfinder();
    for (from, to) in [(0, 11), (11, 0), (3, 8)] {
        let mut at = from;
        for edge in wayfinder.between(from, to).expect("they are connected").edges {
            assert_eq!(roads.edges[edge as usize].from, at);
            at = roads.edges[edge as usize].to;
        }
        assert_eq!(at, to);
    }
    assert_eq!(wayfinder.between(5, 5), None);
    assert_eq!(wayfinder.between(5, 12), None);
    // Sizes out of range are taken as the nearest in range.
    assert_eq!(Roads::grid(0, 1, f64::NAN).junctions_len(), 4);
}

#[test]
fn a_place_on_an_edge_is_found_by_its_offset() {
    let roads = build(vec![street(&[0, 1, 2, 3], true, true)], 4).expect("strong");
    let length_m = roads.edges[0].length_m;
    assert_eq!(roads.locate(0, 0.0), (0, 0.0));
    assert_eq!(roads.locate(0, length_m * 0.5).0, 1);
    let (segment, along_m) = roads.locate(0, length_m + 5.0);
    assert_eq!(roads.place(segment, along_m), *roads.points(&roads.edges[0]).last().expect("has points"));
}

fn refusal(bytes: &[u8]) -> String {
    let mut text = Roads::from_osm_pbf("town.osm.pbf", bytes).expect_err("is no extract").to_string();
    assert!(text.starts_with("town.osm.pbf "), "{text}");
    text.split_off("town.osm.pbf ".len())
}

#[test]
fn what_is_no_extract_is_refused_by_name_with_a_remedy() {
    let check = |bytes: &[u8], reason: &str| {
        let expected = format!("is not an OpenStreetMap extract in PBF form: {reason}");
        let text = refusal(bytes);
        assert!(text.starts_with(&expected), "{text}");
        assert!(text.ends_with("; get one that ends in .osm.pbf, whole"), "{text}");
    };
    check(b"", "it is empty");
    check(b"<?xml version=\"1.0\"?><osm version=\"0.6\">", "it is XML; convert it: osmium cat");
    check(b"\xef\xbb\xbf<osm version=\"0.6\">", "it is XML; convert it: osmium cat");
    check(b"\x1f\x8b\x08\0\0\0\0\0", "it is compressed with gzip; unpack it");
    check(b"BZh91AY&SY", "it is compressed with bzip2; convert it");
    check(b"PK\x03\x04\x14\0", "it is a ZIP archive; unpack it");
    check(b"{\"type\": \"FeatureCollection\"}", "it is JSON");
    check(&[0; 64], "");
    check(&[0xff; 64], "blob header is too big");
    check(b"\0\0\0\x02\x0a", "");
    check(b"no map at all, only a few words", "blob header is too big");
    check(&HELSINKI[..HELSINKI.len() - 10], "");
    let cut = refusal(&HELSINKI[..HELSINKI.len() - 10]);
    assert!(cut.contains("it ends in the middle of a block"), "{cut}");
    check(&HELSINKI[..500], "");
}

#[test]
fn an_extract_without_a_street_is_refused_with_a_remedy() {
    let no_street = "has no drivable street that leads anywhere and back; take an extract of a larger area";
    // The header alone is a valid file.
    let header_only =
        (50..1_000).map(|end| refusal(&HELSINKI[..end])).find(|text| !text.starts_with("is not"));
    assert_eq!(header_only.as_deref(), Some(no_street));
    let mut footpaths = pbf_writer::Extract::default();
    footpaths.nodes(3).way(1, &[1, 2, 3], &[("highway", "footway")]);
    assert_eq!(refusal(&footpaths.bytes()), no_street);
    // One street, one way: nobody comes back.
    let mut one_way = pbf_writer::Extract::default();
    one_way.nodes(3).way(1, &[1, 2, 3], &[("highway", "primary"), ("oneway", "yes")]);
    assert_eq!(refusal(&one_way.bytes()), no_street);
    // Streets without a single node.
    let mut nowhere = pbf_writer::Extract::default();
    nowhere.way(1, &[1, 2, 3], &[("highway", "primary")]);
    assert_eq!(refusal(&nowhere.bytes()), no_street);
}

#[test]
fn a_file_that_can_not_be_read_is_named_with_the_cause() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is on fire"))
        }
    }
    impl Seek for Broken {
        fn seek(&mut self, _: io::SeekFrom) -> io::Result<u64> {
            Ok(0)
        }
    }
    let error = Roads::read_osm_pbf("town.osm.pbf", Broken, &mut |_| {}).expect_err("is broken");
    assert_eq!(error.to_string(), "read town.osm.pbf; see that it is there, whole, and yours to read");
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(cause.as_deref(), Some("the disk is on fire"));
}

#[test]
fn what_goes_on_is_told_from_the_first_block_to_the_router() {
    let mut told = Vec::new();
    let roads =
        Roads::read_osm_pbf("helsinki", Cursor::new(HELSINKI), &mut |what| told.push(what)).expect("valid");
    assert!(matches!(told[0], Preparing::Streets { share } if share == 0.0), "{told:?}");
    assert!(told.iter().any(|what| matches!(what, Preparing::Points { share } if *share > 0.0)), "{told:?}");
    let (rest, last) = told.split_at(told.len() - 2);
    assert_eq!(last, [Preparing::Network, Preparing::Routes { junctions: roads.junctions_len() }]);
    assert!(!rest.contains(&Preparing::Network));
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

    #[test]
    fn made_up_streets_never_panic(
        places in prop::collection::vec((-91.0..91.0_f64, -181.0..181.0_f64), 1..8),
        ways in prop::collection::vec(prop::collection::vec(0..9_i64, 0..6), 1..6),
        rule in (0..6_i64, 0..9_i64, 0..6_i64),
    ) {
        let mut extract = pbf_writer::Extract::default();
        for (id, &(lat, lon)) in (0..).zip(&places) {
            extract.node(id, lat, lon, &[("highway", "traffic_signals")]);
        }
        for (id, nodes) in (0..).zip(&ways) {
            extract.way(id, nodes, &[("highway", "residential")]);
        }
        let (from, via, to) = rule;
        let tags = [("type", "restriction"), ("restriction", "only_left_turn")];
        extract.relation(1, &[("from", from, 1), ("via", via, 0), ("to", to, 1)], &tags);
        if let Ok(roads) = Roads::from_osm_pbf("town.osm.pbf", &extract.bytes()) {
            let last = roads.edges.len() as u32 - 1;
            let mut paths = roads.paths();
            for (first, next) in [(0, last), (last, 0), (0, 0)] {
                let route = roads.route(&mut paths, first, next);
                let chain: Vec<u32> = [vec![first], route, vec![next]].concat();
                prop_assert!(chain.windows(2).all(|step| roads.turns(step[0]).any(|turn| turn == step[1])));
            }
        }
    }
}
