//! Real services together in one process, on real sockets: see `tests/it`. Holds no code of its own.
