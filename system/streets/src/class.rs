//! What is drawn, and from which zoom on.

macro_rules! classes {
    ($($(#[$doc:meta])* $class:ident = $name:literal, from $zoom:literal;)*) => {
        /// What a line or an area is. Pages draw each class in its own width and colour.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Class {
            $($(#[$doc])* $class,)*
        }

        impl Class {
            /// All there are.
            pub const ALL: &'static [Self] = &[$(Self::$class),*];

            /// Its name in documents and tiles.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$class => $name,)* }
            }

            /// The first zoom at which it is in tiles.
            pub(crate) const fn zoom_min(self) -> u8 {
                match self { $(Self::$class => $zoom,)* }
            }
        }
    };
}

classes! {
    /// Lakes, rivers with banks.
    Water = "water", from 8;
    /// Parks, woods, meadows.
    Park = "park", from 10;
    /// Motorways.
    Motorway = "motorway", from 5;
    /// Roads between cities.
    Trunk = "trunk", from 6;
    /// Main roads.
    Primary = "primary", from 8;
    /// Roads between towns.
    Secondary = "secondary", from 9;
    /// Roads between villages or quarters.
    Tertiary = "tertiary", from 11;
    /// Streets where people live.
    Residential = "residential", from 12;
    /// Ways to houses, yards, fields.
    Service = "service", from 13;
    /// Ways for people on foot or on a bicycle.
    Footway = "footway", from 14;
}

impl Class {
    /// True if it is drawn filled.
    pub const fn is_area(self) -> bool {
        matches!(self, Self::Water | Self::Park)
    }

    /// Of a way with these tags (`key`, `value`); `closed` if it ends where it begins.
    pub(crate) fn of<'a>(tags: impl Iterator<Item = (&'a str, &'a str)>, closed: bool) -> Option<Self> {
        let mut class = None;
        for (key, value) in tags {
            class = class.or(match (key, value) {
                ("area", "yes") => return None,
                ("highway", value) => Self::of_highway(value),
                ("natural", "water") | ("waterway", "riverbank") | ("landuse", "reservoir" | "basin")
                    if closed =>
                {
                    Some(Self::Water)
                }
                ("leisure", "park" | "garden" | "pitch" | "golf_course")
                | (
                    "landuse",
                    "forest" | "grass" | "meadow" | "cemetery" | "recreation_ground" | "village_green",
                )
                | ("natural", "wood" | "scrub" | "grassland")
                    if closed =>
                {
                    Some(Self::Park)
                }
                _ => None,
            });
        }
        class
    }

    fn of_highway(value: &str) -> Option<Self> {
        Some(match value {
            "motorway" | "motorway_link" => Self::Motorway,
            "trunk" | "trunk_link" => Self::Trunk,
            "primary" | "primary_link" => Self::Primary,
            "secondary" | "secondary_link" => Self::Secondary,
            "tertiary" | "tertiary_link" => Self::Tertiary,
            "residential" | "unclassified" | "living_street" | "road" => Self::Residential,
            "service" | "track" => Self::Service,
            "pedestrian" | "footway" | "path" | "cycleway" | "steps" | "bridleway" => Self::Footway,
            _ => return None,
        })
    }
}
