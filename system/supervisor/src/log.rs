//! What the processes say, each line with the name of its node.

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

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
    /// Writes to `out` on the thread of the supervisor: it should not wait for long.
    pub fn to(out: impl Write + Send + 'static) -> Self {
        let out = Mutex::new(out);
        Self(Arc::new(move |node, line| {
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            // A reader that went away, or a disk that is full, ends no service.
            drop(writeln!(out, "{}", named(node, line)));
        }))
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
