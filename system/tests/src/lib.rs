//! Real services together in one process, on real sockets.
