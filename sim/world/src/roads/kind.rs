//! What a street is like.

use super::class::Class;

/// What all pieces of a street have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Kind {
    pub(super) class: Class,
    /// A ramp that leads to or from a road of this class.
    pub(super) link: bool,
    pub(super) roundabout: bool,
    pub(super) tunnel: bool,
    pub(super) bridge: bool,
    /// Above (positive) or below the ground: -9 to 9.
    pub(super) layer: i8,
    /// Width of the carriageway in metres, if somebody measured it.
    pub(super) carriageway_m: Option<f64>,
    /// In the order of its points, if it is open that way.
    pub(super) forward: Option<Direction>,
    /// Against it.
    pub(super) backward: Option<Direction>,
}

/// One direction of a street.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Direction {
    /// What the law allows.
    pub(super) limit_mps: f64,
    /// How fast traffic moves on average.
    pub(super) expected_mps: f64,
    pub(super) lanes: u8,
    /// Not for passing through.
    pub(super) destination_only: bool,
}

impl Kind {
    /// A street of a class that is open both ways and has nothing special, with this limit.
    pub(super) fn plain(class: Class, limit_mps: f64) -> Self {
        // As on streets with a signed limit: see `way`.
        let expected_mps = limit_mps * UNDER_WAY_SHARE;
        let lanes = class.usual().lanes;
        let direction = Direction { limit_mps, expected_mps, lanes, destination_only: false };
        Self {
            class,
            link: false,
            roundabout: false,
            tunnel: false,
            bridge: false,
            layer: 0,
            carriageway_m: None,
            forward: Some(direction),
            backward: Some(direction),
        }
    }

    /// The same with so many lanes in each direction.
    pub(super) fn with_lanes(mut self, lanes: u8) -> Self {
        for direction in [&mut self.forward, &mut self.backward].into_iter().flatten() {
            direction.lanes = lanes;
        }
        self
    }

    /// From wall to wall, in metres, where no buildings are known.
    pub(super) fn street_width_m(&self) -> f64 {
        let usual_m = self.class.usual().width_m;
        // Pavements and front gardens beside what was measured.
        self.carriageway_m.map_or(usual_m, |carriageway_m| usual_m.max(carriageway_m + PAVEMENTS_M))
    }

    /// The direction with (`backward` false) or against the order of its points.
    pub(super) fn direction(&self, backward: bool) -> Option<Direction> {
        if backward { self.backward } else { self.forward }
    }
}

/// Share of a signed limit at which traffic is under way on average; OSRM's car profile uses the same.
pub(super) const UNDER_WAY_SHARE: f64 = 0.8;

/// Both pavements of a street, in metres.
const PAVEMENTS_M: f64 = 5.0;
