//! What a hub says in JSON, as far as a watcher reads it: borrowed from the message, since there are many.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A message of any kind: what a kind has not is absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Told<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: &'a str,
    pub(super) seq: Option<u32>,
    #[serde(borrow)]
    pub(super) features: Vec<Place<'a>>,
    pub(super) session: Option<&'a str>,
    pub(super) hub: Option<&'a str>,
    #[serde(borrow)]
    pub(super) handles: BTreeMap<u32, &'a str>,
    pub(super) reason: Option<&'a str>,
    pub(super) code: Option<&'a str>,
    pub(super) resumed: Option<bool>,
    id: Option<Id<'a>>,
    geometry: Option<Geometry>,
    properties: Option<Properties>,
}

/// Where a vehicle is: a GeoJSON feature (RFC 7946 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Place<'a> {
    pub(super) id: &'a str,
    pub(super) geometry: Geometry,
    pub(super) properties: Properties,
}

/// In degrees: longitude, latitude.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Geometry {
    pub(super) coordinates: [f64; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Properties {
    /// Time of the fix, in Unix milliseconds.
    pub(super) time_ms: u64,
}

/// Name of a feature, or number of a request.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Id<'a> {
    Name(&'a str),
    #[expect(dead_code, reason = "it is told apart from a name, and means nothing")]
    Number(i64),
}

impl<'a> Told<'a> {
    /// The message as a feature, if it is one: the first contract has them bare.
    pub(super) fn feature(&self) -> Option<Place<'a>> {
        let Id::Name(id) = self.id.as_ref()? else { return None };
        Some(Place { id, geometry: self.geometry?, properties: self.properties? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_every_kind_are_read() {
        let read = |text| serde_json::from_str::<Told<'_>>(text).expect("a message");
        let feature = r#"{"type":"Feature","id":"VAN-1","geometry":{"type":"Point","coordinates":[24.94,60.17]},
            "properties":{"vehicle_id":"VAN-1","time_ms":1749600000123,"speed_kmh":43,"group":null}}"#;
        let place = Place {
            id: "VAN-1",
            geometry: Geometry { coordinates: [24.94, 60.17] },
            properties: Properties { time_ms: 1_749_600_000_123 },
        };
        assert_eq!(read(feature).feature(), Some(place));
        let update = format!(r#"{{"type":"update","seq":7,"features":[{feature}]}}"#);
        assert_eq!((read(&update).seq, &read(&update).features[..]), (Some(7), &[place][..]));
        let subscribed = read(r#"{"type":"subscribed","id":2,"topic":"live_updates:all","seq":0}"#);
        assert_eq!((subscribed.kind, subscribed.feature()), ("subscribed", None));
        assert_eq!(read(r#"{"type":"handles","handles":{"12":"VAN-7"}}"#).handles[&12], "VAN-7");
        assert_eq!(read(r#"{"type":"resumed","id":1,"resumed":true,"seq":3}"#).resumed, Some(true));
        assert_eq!(
            read(r#"{"type":"error","id":null,"code":"expired","detail":"a \"b\""}"#).code,
            Some("expired")
        );
        let welcome = r#"{"type":"welcome","session":"s","hub":"hub/0","principal":{"role":"customer"}}"#;
        assert_eq!(read(welcome).session, Some("s"));
    }
}
