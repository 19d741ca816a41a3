//! What the mobile network is, as far as it depends on where a vehicle is.

use std::time::Duration;

/// The mobile network. How fast and how lossy it is belongs to whoever carries the datagrams: the world says where a
/// vehicle is in its cell, and what cells have to bear.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RadioSpec {
    /// Width of the square cells, in metres. `None`: one cell.
    pub cell_m: Option<f64>,
    /// A vehicle also changes cell this often, wherever it is. `None`: never.
    pub cell_change_interval: Option<Duration>,
    /// Circles without coverage.
    pub zones: Vec<Zone>,
    /// True if the signal fades from the mast, in the middle of a cell, to its border.
    pub fades: bool,
    /// A vehicle's address translation starts afresh this often, without the vehicle's knowing. `None`: never.
    pub rebind_interval: Option<Duration>,
    /// Crowds, whose telephones take a share of what their cells can carry.
    pub crowds: Vec<Crowd>,
}

/// A circle without coverage.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// What reports call it.
    pub name: String,
    /// Latitude of its middle, in degrees.
    pub lat: f64,
    /// Longitude of its middle, in degrees.
    pub lon: f64,
    /// Its radius, in metres.
    pub radius_m: f64,
}

/// Many people in one place for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct Crowd {
    /// What reports call it.
    pub name: String,
    /// Latitude of its middle, in degrees.
    pub lat: f64,
    /// Longitude of its middle, in degrees.
    pub lon: f64,
    /// Its radius, in metres: cells whose mast stands inside are crowded.
    pub radius_m: f64,
    /// When it comes, after the start of the run.
    pub at: Duration,
    /// How long it stays; `None`: until the run settles.
    pub lasts: Option<Duration>,
    /// Share of its cells' capacity that it takes, 0 to 1.
    pub share: f64,
}

/// A cell of the mobile network, as one vehicle sees it. Another one means another address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cell {
    /// Place in the grid, from west to east; 0 is at the middle of the roads.
    pub column: i32,
    /// Place in the grid, from south to north.
    pub row: i32,
    /// How often the network has moved the vehicle to another cell in the same place.
    pub change: u32,
}

impl Cell {
    /// Its place in the grid: what vehicles in the same cell share.
    pub const fn place(self) -> (i32, i32) {
        (self.column, self.row)
    }
}

/// How far a vehicle's signal has faded, in steps from the best to that at the border of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Fading(u8);

impl Fading {
    /// Steps between the best and the worst: finer ones would change links all the time and be seen by nobody.
    pub const STEPS: u8 = 16;
    /// Within this share of the way to the border all is as good as at the mast.
    const NEAR_SHARE: f64 = 0.2;

    /// The fading at a distance from the mast, as a share of that of the border. A signal falls evenly, in dB, with the
    /// logarithm of the distance, and what a link carries falls about evenly with the dB.
    pub(crate) fn at(share: f64) -> Self {
        let near = Self::NEAR_SHARE;
        let faded = 1.0 - crate::math::ln(share.max(near)) / crate::math::ln(near);
        Self((faded.clamp(0.0, 1.0) * f64::from(Self::STEPS) + 0.5) as u8)
    }

    /// 0 at its best to 1 at the border.
    pub fn share(self) -> f64 {
        f64::from(self.0) / f64::from(Self::STEPS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_fades_fast_near_the_mast_and_slowly_far_away() {
        let share = |of_way: f64| Fading::at(of_way).share();
        assert_eq!((share(0.0), share(0.2), share(1.0), share(2.0)), (0.0, 0.0, 1.0, 1.0));
        // Half of the dB between 20 % and 100 % of the way are lost at the geometric mean of both.
        assert_eq!(share(0.2_f64.sqrt()), 0.5);
        assert!(share(0.6) > share(0.5) && share(0.5) > share(0.3));
    }
}
