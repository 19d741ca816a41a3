//! Real services together in one process, on real sockets: what a vehicle, good or bad, sees of the platform.

mod api;
mod bad_input;
mod cut;
mod journey;
mod names;
mod platform;
mod routers;
mod site;
mod source;
mod store;
mod watchers;

/// How often something is tried: as the environment says, for a long run, or a few times.
#[expect(clippy::disallowed_methods, reason = "whoever starts the tests says how long they may take")]
pub(crate) fn times(name: &str, few: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}
