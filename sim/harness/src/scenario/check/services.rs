//! `[dns]`, `[router]`, `[health]`, `[hub]`, `[gateway]`, `[persistence]` and `[tracker]`: the services' own keys, as the services judge
//! them.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::Scenario;
use super::super::shape::{Shape, list, nearest};
use crate::configs::{self, Configs};

pub(super) fn check(scenario: &Scenario, shape: &mut Shape<'_>) {
    let keys = [
        check_keys::<drover_dns::Config>("dns", &scenario.dns, &configs::DNS_SET, shape),
        check_keys::<drover_router::Config>("router", &scenario.router, &configs::ROUTER_SET, shape),
        check_keys::<drover_health::Config>("health", &scenario.health, &configs::HEALTH_SET, shape),
        check_keys::<drover_hub::Config>("hub", &scenario.hub, &configs::HUB_SET, shape),
        check_keys::<drover_gateway::Config>("gateway", &scenario.gateway, &configs::GATEWAY_SET, shape),
        check_keys::<drover_persistence::Config>(
            "persistence",
            &scenario.persistence,
            &configs::PERSISTENCE_SET,
            shape,
        ),
        check_keys::<drover_tracker::Config>("tracker", &scenario.tracker, &configs::TRACKER_SET, shape),
    ];
    // What a value means can be judged only where every value is one.
    if keys.into_iter().all(|good| good)
        && let Err(problems) = Configs::of(scenario)
    {
        for (table, message) in problems {
            let key = message.split(' ').next().unwrap_or_default();
            shape.problem_at(&format!("{table}.{key}"), format!("[{table}]: {message}"));
        }
    }
}

/// Checks each key by itself. `set` are those that the runner sets, with where their value comes from.
fn check_keys<T: Default + Serialize + DeserializeOwned>(
    name: &str,
    table: &toml::Table,
    set: &[(&str, &str)],
    shape: &mut Shape<'_>,
) -> bool {
    let known = toml::Table::try_from(T::default()).unwrap_or_default();
    let known: BTreeSet<&str> = known.keys().map(String::as_str).collect();
    let mut good = true;
    for (key, value) in table {
        let alone = toml::Table::from_iter([(key.clone(), value.clone())]);
        let message = if let Some((_, origin)) = set.iter().find(|(name, _)| name == key) {
            format!("`{key}` is set by {origin}: leave it out")
        } else if !known.contains(key.as_str()) {
            let hint = match nearest(key, known.iter().copied()) {
                Some(near) => format!("; did you mean `{near}`?"),
                None => format!("; known are {}", list(&known.iter().copied().collect::<Vec<_>>())),
            };
            format!("unknown key `{key}` in [{name}]{hint}")
        } else if let Err(error) = alone.try_into::<T>() {
            format!("`{key}`: {}", error.message().trim())
        } else {
            continue;
        };
        good = false;
        shape.problem_at(&format!("{name}.{key}"), message);
    }
    good
}
