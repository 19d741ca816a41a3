//! The simulated env: datagrams, streams, clock, seeded TLS, disk; node start, crash and pause.
