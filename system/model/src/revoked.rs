//! How long it matters that something was revoked.

use std::time::Duration;

use crate::WallTime;

/// How long after its end something that was revoked is remembered: clocks of services are less far apart, and none of them believes by
/// then what has expired.
pub const REVOKED_KEPT: Duration = Duration::from_secs(3_600);

/// True if what ends at `expires` is believed by nobody at `now`, revoked or not. Without an end that is known it never is.
pub fn is_forgotten(expires: Option<WallTime>, now: WallTime) -> bool {
    expires.is_some_and(|expires| now >= expires.plus(REVOKED_KEPT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_revoked_is_remembered_for_an_hour_after_its_end() {
        let at = |secs| Some(WallTime::from_secs(secs));
        assert!(!is_forgotten(at(1_000), WallTime::from_secs(4_599)));
        assert!(is_forgotten(at(1_000), WallTime::from_secs(4_600)));
        assert!(!is_forgotten(None, WallTime::from_secs(i64::MAX)));
        assert!(!is_forgotten(at(i64::MAX), WallTime::from_secs(4_600)));
    }
}
