//! What is worth knowing about a map that can be used all the same.

use std::fmt;

/// Something about a file of roads that its owner may want to put right. Shown as one sentence with the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// Streets that one can not drive to, or not back from.
    Disconnected {
        /// The file.
        name: String,
        /// Directions of streets that are left out.
        dropped: usize,
        /// Of so many.
        of: usize,
    },
    /// Nodes of streets that are on no map.
    OffEarth {
        /// The file.
        name: String,
        /// How many.
        points: usize,
    },
    /// Restrictions that name what the file does not have.
    RestrictionsIncomplete {
        /// The file.
        name: String,
        /// How many.
        count: usize,
        /// Of so many.
        of: usize,
    },
    /// So many buildings that streets are not measured against them.
    TooManyBuildings {
        /// The file.
        name: String,
        /// The most corners of buildings that are read.
        max: usize,
    },
    /// Restrictions over more than one junction.
    RestrictionsOverWays {
        /// The file.
        name: String,
        /// How many.
        count: usize,
    },
}

impl Note {
    /// True if vehicles will miss what is left out: a tenth of the streets or more, or a damaged file.
    pub fn is_grave(&self) -> bool {
        match self {
            Self::Disconnected { dropped, of, .. } => dropped * 10 > *of,
            Self::OffEarth { .. } => true,
            Self::RestrictionsIncomplete { .. }
            | Self::TooManyBuildings { .. }
            | Self::RestrictionsOverWays { .. } => false,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected { name, dropped, of } => write!(
                f,
                "{name}: {dropped} of {of} directions of streets are left out, as one can not drive there and back \
                 from the largest connected part; an extract of a larger area may connect them"
            ),
            Self::OffEarth { name, points } => write!(
                f,
                "{name}: {points} nodes of streets have coordinates that are nowhere on the earth and are left out; \
                 the file is damaged: get it again"
            ),
            Self::RestrictionsIncomplete { name, count, of } => write!(
                f,
                "{name}: {count} of {of} turn restrictions name ways or nodes that the file does not have and are \
                 left out; cut extracts with complete relations, such as by osmium extract --strategy smart"
            ),
            Self::TooManyBuildings { name, max } => write!(
                f,
                "{name}: with more than {max} corners of buildings, streets are as wide as is usual for their class; \
                 take an extract of a smaller area to have them measured"
            ),
            Self::RestrictionsOverWays { name, count } => write!(
                f,
                "{name}: {count} turn restrictions lead over ways and are left out: only those over a node are read; \
                 vehicles may turn there"
            ),
        }
    }
}
