//! What the processes say, each line with the name of its node.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

type Sink = dyn Fn(&str, &str) + Send + Sync;

/// Where lines go. Clones share it.
#[derive(Clone)]
pub struct Log(Arc<Sink>);

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

impl Log {
    /// Calls `sink` with the node and the line, on the thread of the supervisor: it should not wait.
    pub fn to(sink: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Standard error: what reads it sees one log.
    pub fn stderr() -> Self {
        Self::to(|node, line| {
            // A reader that went away is no failure.
            drop(writeln!(std::io::stderr(), "{}", named(node, line)));
        })
    }

    pub(crate) fn write(&self, node: &str, line: &str) {
        (self.0)(node, line);
    }
}

/// The line with its node: in front, or, if the line is an object of JSON, as its first member.
pub(crate) fn named(node: &str, line: &str) -> String {
    match line.strip_prefix('{') {
        Some(rest) if line.ends_with('}') => {
            let comma = if rest == "}" { "" } else { "," };
            format!("{{\"node\":\"{node}\"{comma}{rest}")
        }
        _ => format!("{node:<14} {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_carries_its_node_and_json_stays_json() {
        assert_eq!(named("gateway/0", "INFO it listens"), "gateway/0      INFO it listens");
        assert_eq!(named("gateway/0", "{\"a\":1}"), "{\"node\":\"gateway/0\",\"a\":1}");
        assert_eq!(named("gateway/0", "{}"), "{\"node\":\"gateway/0\"}");
        assert_eq!(named("gateway/0", "{ torn"), "gateway/0      { torn");
    }
}
