//! Classes of road, from the largest to the smallest, and what each is like where nothing else is said.

/// How important a road is. The smaller class gives way to the larger one, and `Ord` puts the larger one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// Carriageways of their own, without crossings.
    Motorway,
    /// Important roads that are no motorways.
    Trunk,
    /// Between large towns; the arterials of a city.
    Primary,
    /// Between towns and districts; the collectors of a city.
    Secondary,
    /// Between villages and neighbourhoods.
    Tertiary,
    /// Public roads of no class.
    Unclassified,
    /// Where people live.
    Residential,
    /// Where people walk and play on the road.
    LivingStreet,
    /// To a building, a yard, a car park.
    Service,
}

/// What a class is like where no tag says otherwise.
pub(super) struct Usual {
    /// Lawful speed, in km/h: what most of Europe's rules give for where such roads mostly are.
    pub(super) limit_km_per_hour: f64,
    /// Mean speed of a car under way, in km/h, with all that is in its way.
    pub(super) expected_km_per_hour: f64,
    /// The same on the ramps of this class.
    pub(super) ramp_km_per_hour: f64,
    /// Lanes in each direction.
    pub(super) lanes: u8,
    /// From wall to wall, in metres, where houses stand along it.
    pub(super) width_m: f64,
}

impl Class {
    /// All classes, the largest first.
    pub const ALL: [Self; 9] = [
        Self::Motorway,
        Self::Trunk,
        Self::Primary,
        Self::Secondary,
        Self::Tertiary,
        Self::Unclassified,
        Self::Residential,
        Self::LivingStreet,
        Self::Service,
    ];

    /// What reports call it: OpenStreetMap's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Motorway => "motorway",
            Self::Trunk => "trunk",
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Tertiary => "tertiary",
            Self::Unclassified => "unclassified",
            Self::Residential => "residential",
            Self::LivingStreet => "living_street",
            Self::Service => "service",
        }
    }

    pub(super) fn usual(self) -> Usual {
        // The expected speeds are those of OSRM's car profile, which its authors fitted to how long drives take.
        let (limit, expected, ramp, lanes, width_m) = match self {
            Self::Motorway => (120.0, 90.0, 45.0, 2, 60.0),
            Self::Trunk => (80.0, 85.0, 40.0, 2, 45.0),
            Self::Primary => (50.0, 65.0, 30.0, 1, 30.0),
            Self::Secondary => (50.0, 55.0, 25.0, 1, 25.0),
            Self::Tertiary => (50.0, 40.0, 20.0, 1, 22.0),
            Self::Unclassified => (40.0, 25.0, 25.0, 1, 20.0),
            Self::Residential => (30.0, 25.0, 25.0, 1, 20.0),
            Self::LivingStreet => (10.0, 10.0, 10.0, 1, 15.0),
            Self::Service => (20.0, 15.0, 15.0, 1, 15.0),
        };
        Usual {
            limit_km_per_hour: limit,
            expected_km_per_hour: expected,
            ramp_km_per_hour: ramp,
            lanes,
            width_m,
        }
    }
}
