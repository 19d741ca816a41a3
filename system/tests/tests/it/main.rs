//! Real services together in one process, on real sockets: what a vehicle, good or bad, sees of the platform.

mod bad_input;
mod cut;
mod journey;
mod platform;
mod source;
mod store;
