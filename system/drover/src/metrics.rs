//! Counts of a process, as a log and as Prometheus read them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use drover_env::real::Metrics;

/// How often each event occurred: its name, with its reason in brackets if it has one.
pub(crate) fn by_event(metrics: &Metrics) -> BTreeMap<String, u64> {
    let named = metrics.counts().into_iter().map(|(name, reason, count)| {
        let key = if reason.is_empty() { name.to_owned() } else { format!("{name}[{reason}]") };
        (key, count)
    });
    named.collect()
}

/// What events were about, added up: by event and by what.
pub(crate) fn amounts(metrics: &Metrics) -> BTreeMap<&'static str, BTreeMap<&'static str, u64>> {
    let mut amounts = BTreeMap::<_, BTreeMap<_, _>>::new();
    for (event, of, sum) in metrics.amounts() {
        amounts.entry(event).or_default().insert(of, sum);
    }
    amounts
}

/// The text format of Prometheus, version 0.0.4 (prometheus.io, "Exposition formats").
pub(crate) fn prometheus(metrics: &Metrics, node: &str, uptime: Duration) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &str| {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}");
    };
    let version = env!("CARGO_PKG_VERSION");
    let info = format!("drover_info{{node=\"{}\",version=\"{version}\"}} 1\n", escaped(node));
    family("drover_info", "gauge", "Who this process is.", &info);
    let uptime = format!("drover_uptime_seconds {}\n", uptime.as_secs_f64());
    family("drover_uptime_seconds", "gauge", "Seconds since this process was started.", &uptime);
    let mut events = String::new();
    for (name, reason, count) in metrics.counts() {
        let reason = escaped(&reason);
        let _ = writeln!(events, "drover_events_total{{event=\"{name}\",reason=\"{reason}\"}} {count}");
    }
    family("drover_events_total", "counter", "Events of this process, by name and reason.", &events);
    let mut amounts = String::new();
    for (event, of, sum) in metrics.amounts() {
        let _ = writeln!(amounts, "drover_amounts_total{{event=\"{event}\",of=\"{of}\"}} {sum}");
    }
    family("drover_amounts_total", "counter", "Rows and fixes that events were about, added up.", &amounts);
    text
}

/// A value of a label: backslash, quote and line feed have escapes.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use drover_env::{EventSink, Value};

    use super::*;

    #[test]
    fn events_are_counted_by_name_and_reason() {
        let metrics = Metrics::default();
        metrics.event("gateway.connected", &[]);
        for reason in ["of \"range\"", "of \"range\"", "old\nand\\gone"] {
            metrics.event("gateway.refused", &[("reason", Value::Str(reason))]);
        }
        for rows in [40, 2] {
            metrics
                .event("persistence.committed", &[("rows", Value::U64(rows)), ("duplicates", Value::U64(9))]);
        }
        let text = prometheus(&metrics, "drover://svc/gateway/0", Duration::from_millis(1500));
        let expected = "# HELP drover_uptime_seconds Seconds since this process was started.\n\
            # TYPE drover_uptime_seconds gauge\n\
            drover_uptime_seconds 1.5\n\
            # HELP drover_events_total Events of this process, by name and reason.\n\
            # TYPE drover_events_total counter\n\
            drover_events_total{event=\"gateway.connected\",reason=\"\"} 1\n\
            drover_events_total{event=\"gateway.refused\",reason=\"of \\\"range\\\"\"} 2\n\
            drover_events_total{event=\"gateway.refused\",reason=\"old\\nand\\\\gone\"} 1\n\
            drover_events_total{event=\"persistence.committed\",reason=\"\"} 2\n\
            # HELP drover_amounts_total Rows and fixes that events were about, added up.\n\
            # TYPE drover_amounts_total counter\n\
            drover_amounts_total{event=\"persistence.committed\",of=\"rows\"} 42\n";
        assert!(text.ends_with(expected), "{text}");
        assert_eq!(amounts(&metrics)["persistence.committed"]["rows"], 42);
        assert_eq!(by_event(&metrics).get("gateway.connected"), Some(&1));
    }
}
