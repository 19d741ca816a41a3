//! Who may drive where: access tags of ways and nodes, for a motor vehicle of a business.
//!
//! Source: the wiki's Key:access. The more special key wins: motorcar over motor_vehicle over vehicle over access.
//! Conditions (`:conditional`) are not read: what holds at all other times is taken to hold always.

/// Keys that bind a van, the most special first.
const KEYS: [&str; 4] = ["motorcar", "motor_vehicle", "vehicle", "access"];

/// What tags allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody, or nobody says anything.
    Open,
    /// Those who have business there, but nobody who only wants to pass.
    Destination,
    /// Others.
    Closed,
}

/// What `tag` says of one direction, `forward` or `backward`, or of all; `None` if it says nothing.
pub(super) fn of<'t>(tag: impl Fn(&str) -> Option<&'t str>, direction: Option<&str>) -> Option<Access> {
    let value = |key: &&str| {
        let special = direction.and_then(|direction| tag(&format!("{key}:{direction}")));
        access_of(special.or_else(|| tag(key))?)
    };
    KEYS.iter().find_map(value)
}

/// The same of the keys that are about motor vehicles only: these open what its class would close.
pub(super) fn of_motor_vehicles<'t>(tag: impl Fn(&str) -> Option<&'t str>) -> Option<Access> {
    KEYS[..2].iter().find_map(|key| access_of(tag(key)?))
}

fn access_of(value: &str) -> Option<Access> {
    // Of several, such as `bus;delivery`, whoever is named may.
    let one = |value: &str| {
        Some(match value {
            "yes" | "permissive" | "designated" | "official" | "hov" | "motorcar" | "motor_vehicle" => {
                Access::Open
            }
            "destination" | "delivery" | "customers" => Access::Destination,
            "no" | "private" | "agricultural" | "forestry" | "emergency" | "psv" | "bus" | "taxi"
            | "foot" | "bicycle" | "military" | "restricted" | "permit" | "residents" | "employees"
            | "use_sidepath" | "emergency_vehicle" | "share_taxi" | "minibus" => Access::Closed,
            _ => return None,
        })
    };
    value.split(';').filter_map(|value| one(value.trim())).min_by_key(|access| *access as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tags: &[(&str, &str)], direction: Option<&str>, expected: Option<Access>) {
        let tag = |wanted: &str| tags.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
        assert_eq!(of(tag, direction), expected, "{tags:?}");
    }

    #[test]
    fn the_most_special_key_decides() {
        check(&[], None, None);
        check(&[("access", "private")], None, Some(Access::Closed));
        check(&[("access", "no"), ("motor_vehicle", "yes")], None, Some(Access::Open));
        check(&[("motor_vehicle", "no"), ("motorcar", "destination")], None, Some(Access::Destination));
        check(&[("access", "no"), ("bicycle", "yes")], None, Some(Access::Closed));
        check(&[("vehicle", "bus;delivery")], None, Some(Access::Destination));
        check(&[("access", "by the moon")], None, None);
    }

    #[test]
    fn directions_may_differ() {
        let tags = [("motor_vehicle:backward", "no"), ("access", "yes")];
        check(&tags, Some("backward"), Some(Access::Closed));
        check(&tags, Some("forward"), Some(Access::Open));
    }
}
