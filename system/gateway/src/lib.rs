//! Ingestion gateway: ends the vehicles' QUIC sessions, checks fixes, passes them on.
