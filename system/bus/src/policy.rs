//! Who may call what.

use drover_model::NodeKind;

/// Allows peers of a kind to use tools and topics by the beginning of their names. What nothing allows is refused.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    allowed: Vec<(NodeKind, String)>,
}

impl Policy {
    /// Nobody may do anything, but for listing the tools.
    pub const fn deny_all() -> Self {
        Self { allowed: Vec::new() }
    }

    /// Services of `kind` may use every tool and topic whose name begins with `prefix`.
    #[must_use]
    pub fn allow(mut self, kind: NodeKind, prefix: impl Into<String>) -> Self {
        self.allowed.push((kind, prefix.into()));
        self
    }

    pub(crate) fn allows(&self, kind: NodeKind, name: &str) -> bool {
        self.allowed.iter().any(|(allowed, prefix)| *allowed == kind && name.starts_with(prefix.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_kind_may_use_only_the_named_tools() {
        let policy = Policy::deny_all().allow(NodeKind::Gateway, "PersistenceService.");
        assert!(policy.allows(NodeKind::Gateway, "PersistenceService.recordTelemetry"));
        assert!(!policy.allows(NodeKind::Hub, "PersistenceService.recordTelemetry"));
        assert!(!policy.allows(NodeKind::Gateway, "HealthService.report"));
    }
}
