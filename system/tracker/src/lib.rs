//! The on-board client: NMEA, store-and-forward spool, QUIC session.
