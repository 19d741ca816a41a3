//! A made-up city: arterials and collectors, neighbourhoods between them, signals, one-way streets, tunnels, and a
//! river with few bridges.
//!
//! It starts as a grid, so that it connects, and is then bent and thinned out. Every decision has a random stream of
//! its own from the city's seed: another share of one-way streets leaves every block where it was.

mod plan;
mod shape;

use super::Roads;
use super::network::build as build_network;

/// What a made-up city is like. The same values give the same city, always.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct City {
    /// Source of every random number; a city has its own, so that runs with other seeds have the same streets.
    pub seed: u64,
    /// From west to east, in metres: 1,000 to 100,000.
    pub width_m: f64,
    /// From south to north, in metres: 1,000 to 100,000.
    pub height_m: f64,
    /// Usual distance between crossings, in metres: 40 to 1,000.
    pub block_m: f64,
    /// Every which street is an arterial; halfway between two of them is a collector. 4 to 40.
    pub arterial_every: u32,
    /// How far it is from a grid: 0 (straight, with all its streets) to 1.
    pub irregularity: f64,
    /// Share of neighbourhoods whose small streets are one-way, in pairs of opposite direction: 0 to 1.
    pub one_way_share: f64,
    /// Bridges over the river; none: no river.
    pub bridges: u32,
    /// Stretches of arterials that are led below a neighbourhood.
    pub tunnels: u32,
}

impl Default for City {
    fn default() -> Self {
        Self {
            seed: 1,
            width_m: 8_000.0,
            height_m: 6_000.0,
            block_m: 120.0,
            arterial_every: 8,
            irregularity: 0.5,
            one_way_share: 0.3,
            bridges: 4,
            tunnels: 3,
        }
    }
}

/// Why a city can not be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CityError {
    /// A value is out of its range.
    #[error("`{key}` must be {min} to {max}, found {found}")]
    OutOfRange {
        /// The field of [`City`].
        key: &'static str,
        /// Its smallest value.
        min: f64,
        /// Its largest value.
        max: f64,
        /// What it is.
        found: f64,
    },
    /// Preparing it would take minutes.
    #[error(
        "a city of {width_km} x {height_km} km with blocks of {block_m} m has {crossings} crossings, and {max} is \
         the most: make it smaller, or its blocks larger"
    )]
    TooLarge {
        /// Kilometres from west to east.
        width_km: f64,
        /// Kilometres from south to north.
        height_km: f64,
        /// Metres between crossings.
        block_m: f64,
        /// What that gives.
        crossings: u64,
        /// The bound.
        max: u64,
    },
    /// Too few streets for what is wanted.
    #[error(
        "a city of {width_km} x {height_km} km with blocks of {block_m} m has {streets} streets one way, too few for \
         an arterial every {arterial_every}: make it larger, or `arterial_every` or its blocks smaller"
    )]
    TooSmall {
        /// Kilometres from west to east.
        width_km: f64,
        /// Kilometres from south to north.
        height_km: f64,
        /// Metres between crossings.
        block_m: f64,
        /// Streets in the direction that has fewer.
        streets: u32,
        /// Every which is to be an arterial.
        arterial_every: u32,
    },
    /// More bridges than large streets.
    #[error(
        "{bridges} bridges are more than the {max} arterials and collectors that come to the river: have fewer"
    )]
    Bridges {
        /// What is wanted.
        bridges: u32,
        /// The most.
        max: u32,
    },
    /// More tunnels than places for them.
    #[error("{tunnels} tunnels are more than the {max} stretches of arterials between crossings: have fewer")]
    Tunnels {
        /// What is wanted.
        tunnels: u32,
        /// The most.
        max: u32,
    },
}

impl City {
    /// The most crossings: these take some fifteen seconds of CPU to prepare.
    pub const CROSSINGS_MAX: u64 = 250_000;

    /// Checks that there can be such a city.
    ///
    /// # Errors
    /// The first thing that can not be, with the way out.
    pub fn check(&self) -> Result<(), CityError> {
        let in_range = |key, found: f64, min, max| match (min..=max).contains(&found) {
            true => Ok(()),
            false => Err(CityError::OutOfRange { key, min, max, found }),
        };
        in_range("width_m", self.width_m, 1_000.0, 100_000.0)?;
        in_range("height_m", self.height_m, 1_000.0, 100_000.0)?;
        in_range("block_m", self.block_m, 40.0, 1_000.0)?;
        in_range("arterial_every", f64::from(self.arterial_every), 4.0, 40.0)?;
        in_range("irregularity", self.irregularity, 0.0, 1.0)?;
        in_range("one_way_share", self.one_way_share, 0.0, 1.0)?;
        let (width_km, height_km) = (self.width_m / 1000.0, self.height_m / 1000.0);
        let (columns, rows) = (self.columns(), self.rows());
        let crossings = u64::from(columns) * u64::from(rows);
        if crossings > Self::CROSSINGS_MAX {
            let max = Self::CROSSINGS_MAX;
            return Err(CityError::TooLarge { width_km, height_km, block_m: self.block_m, crossings, max });
        }
        if columns.min(rows) <= self.arterial_every {
            let Self { block_m, arterial_every, .. } = *self;
            let streets = columns.min(rows);
            return Err(CityError::TooSmall { width_km, height_km, block_m, streets, arterial_every });
        }
        let bridges_max = shape::crossing_columns(self).len() as u32;
        if self.bridges > bridges_max {
            return Err(CityError::Bridges { bridges: self.bridges, max: bridges_max });
        }
        let tunnels_max = shape::tunnel_places(self).len() as u32;
        if self.tunnels > tunnels_max {
            return Err(CityError::Tunnels { tunnels: self.tunnels, max: tunnels_max });
        }
        Ok(())
    }

    /// Streets from south to north.
    fn columns(&self) -> u32 {
        (self.width_m / self.block_m).round() as u32 + 1
    }

    /// Streets from west to east.
    fn rows(&self) -> u32 {
        (self.height_m / self.block_m).round() as u32 + 1
    }
}

pub(super) fn build(city: &City, before_routing: impl FnOnce(usize)) -> Result<Roads, CityError> {
    city.check()?;
    let streets = plan::streets(city);
    let (roads, _) = build_network(&streets, before_routing)
        .expect("the ring around a city is open both ways and has crossings");
    Ok(roads)
}

#[cfg(test)]
mod tests;
