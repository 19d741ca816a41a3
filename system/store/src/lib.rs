//! The Store trait and the in-memory store.
