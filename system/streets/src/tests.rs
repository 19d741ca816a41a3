use super::*;

const HELSINKI: &[u8] = include_bytes!("../../../fixtures/roads/helsinki_center.osm.pbf");

#[test]
fn an_extract_is_one_document_with_streets_and_their_names() {
    let streets = Streets::from_pbf("helsinki", HELSINKI).expect("a map");
    let text = streets.to_geojson();
    assert!(text.len() < DOCUMENT_BYTES_MAX, "{} bytes", text.len());
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let features = document["features"].as_array().expect("features");
    let named = |name: &str| features.iter().any(|feature| feature["properties"]["name"] == name);
    assert!(named("Mannerheimintie") && named("Aleksanterinkatu"), "{} features", features.len());
    let [west, south, east, north] = streets.bounds();
    assert!(24.8 < west && west < 24.95 && 24.95 < east && east < 25.1, "{west} {east}");
    assert!(60.1 < south && south < 60.17 && 60.17 < north && north < 60.3, "{south} {north}");
}

/// The parts of a tile that a reader needs (vector_tile.proto).
#[derive(Clone, PartialEq, prost::Message)]
struct ReadTile {
    #[prost(message, repeated, tag = "3")]
    layers: Vec<ReadLayer>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReadLayer {
    #[prost(string, required, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    features: Vec<ReadFeature>,
    #[prost(string, repeated, tag = "3")]
    keys: Vec<String>,
    #[prost(uint32, optional, tag = "5")]
    extent: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReadFeature {
    #[prost(uint32, repeated, tag = "4")]
    geometry: Vec<u32>,
}

#[test]
fn tiles_hold_what_is_there_and_nothing_is_no_tile() {
    let streets = Streets::from_pbf("helsinki", HELSINKI).expect("a map");
    // The tile with 24.94 east, 60.17 north.
    let bytes = streets.tile(14, 9327, 4742).expect("a tile");
    let tile: ReadTile = prost::Message::decode(&bytes[..]).expect("a tile");
    let layer = &tile.layers[0];
    assert_eq!((layer.name.as_str(), layer.extent), (LAYER, Some(4096)));
    assert!(layer.features.len() > 100 && layer.keys.iter().any(|key| key == "class"));
    assert!(layer.features.iter().all(|feature| feature.geometry.len() >= 6));
    let coarse = streets.tile(10, 9327 >> 4, 4742 >> 4).expect("a tile");
    assert!(coarse.len() < bytes.len(), "far away there are main roads alone");
    assert_eq!(streets.tile(14, 0, 0), None);
    assert_eq!(streets.tile(14, 99_999, 0), None);
    assert_eq!(streets.tile(22, 9327, 4742), None);
}

#[test]
fn what_is_no_extract_is_said() {
    let said = |bytes: &[u8]| {
        Streets::from_pbf("map.pbf", bytes).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(
        said(b"<osm>").starts_with("map.pbf is no OpenStreetMap extract in PBF form"),
        "{}",
        said(b"<osm>")
    );
    assert_eq!(said(b""), "nothing in map.pbf can be drawn: it has no street, water or park");
    for cut in [1, 1_000, HELSINKI.len() / 2] {
        assert!(!said(&HELSINKI[..cut]).is_empty());
    }
}

#[test]
fn lines_of_others_are_drawn_too_and_names_are_quoted() {
    let line = (Class::Primary, Some("\"High\" Street".to_owned()), vec![(24.9, 60.1), (24.95, 60.1)]);
    let point = (Class::Service, None, vec![(24.9, 60.1)]);
    let streets = Streets::from_lines([line, point]);
    let document: serde_json::Value = serde_json::from_str(&streets.to_geojson()).expect("JSON");
    assert_eq!(document["features"].as_array().map(Vec::len), Some(1));
    assert_eq!(document["features"][0]["properties"]["name"], "\"High\" Street");
    assert_eq!(streets.bounds(), [24.9, 60.1, 24.95, 60.1]);
}
