//! What customers were shown by share links, for the oracle that holds it against what was stored.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_model::{NodeKind, NodeName, VehicleId};

use super::events::Fields;

/// How long after its end a hub may still show by a link what is newer: it looks at its sessions every five seconds, and tells of a
/// vehicle on its tick.
pub const ENDED_WITHIN: Duration = Duration::from_secs(6);

/// Latitude and longitude in units of 1e-7 degrees.
pub type PlaceE7 = (i32, i32);

/// A share link: whose, and its bounds as times of fixes, in Unix milliseconds.
#[derive(Debug, Clone, Copy)]
struct Link {
    vehicle: VehicleId,
    from_ms: u64,
    until_ms: u64,
}

/// Positions that customers were shown.
#[derive(Debug, Clone, Default)]
pub struct Links {
    /// True if places are to be kept: a run in which nobody reads what is stored has no use for them.
    judged: bool,
    links: BTreeMap<NodeName, Link>,
    /// Where each vehicle was shown by links to it, by the time of the fix in Unix milliseconds, and to whom first.
    shown: BTreeMap<(VehicleId, u64), BTreeMap<PlaceE7, NodeName>>,
    /// Positions that were held against the bounds of their link.
    pub seen: u64,
    /// The first that was none of its delivery's time, or a name that a customer was told.
    pub first_outside: Option<String>,
}

impl Links {
    /// What is shown will be held against what is stored.
    pub(super) const fn set_judged(&mut self) {
        self.judged = true;
    }

    pub(super) fn event(&mut self, at: Duration, node: NodeName, name: &str, values: &Fields<'_>) {
        if node.kind != NodeKind::Watcher || !self.judged {
            return;
        }
        match name {
            "watcher.subscribed" => {
                let Some(vehicle) = values.vehicle() else { return };
                let (from_ms, until_ms) = (values.number("from_ms"), values.number("until_ms"));
                self.links.insert(node, Link { vehicle, from_ms, until_ms });
            }
            "watcher.seen" => self.see(at, node, values),
            "watcher.told_name" => self.outside(at, node, "was told the name of a vehicle"),
            _ => {}
        }
    }

    fn see(&mut self, at: Duration, node: NodeName, values: &Fields<'_>) {
        // A dispatcher has none.
        let Some(Link { vehicle, from_ms, until_ms }) = self.links.get(&node).copied() else { return };
        let time_ms = values.number("time_ms");
        self.seen += 1;
        if time_ms < from_ms {
            let early_s = (from_ms - time_ms) as f64 / 1_000.0;
            self.outside(
                at,
                node,
                &format!("was shown where {vehicle} was {early_s:.3} s before its delivery"),
            );
        }
        let late_ms = time_ms.saturating_sub(until_ms);
        if u128::from(late_ms) > ENDED_WITHIN.as_millis() {
            let late_s = late_ms as f64 / 1_000.0;
            self.outside(
                at,
                node,
                &format!("was shown where {vehicle} was {late_s:.3} s after its delivery"),
            );
        }
        let e7 = |name| values.number(name) as i64 as i32;
        let places = self.shown.entry((vehicle, time_ms)).or_default();
        places.entry((e7("lat_e7"), e7("lon_e7"))).or_insert(node);
    }

    fn outside(&mut self, at: Duration, node: NodeName, what: &str) {
        self.first_outside.get_or_insert_with(|| format!("at {:.3} s {node} {what}", at.as_secs_f64()));
    }

    /// Where vehicles were shown by links to them: vehicle, time of the fix in Unix milliseconds, place, and to whom first.
    pub fn shown(&self) -> impl Iterator<Item = (VehicleId, u64, PlaceE7, NodeName)> {
        self.shown.iter().flat_map(|((vehicle, time_ms), places)| {
            places.iter().map(|(place, node)| (*vehicle, *time_ms, *place, *node))
        })
    }
}
