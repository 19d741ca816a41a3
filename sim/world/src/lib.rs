//! The simulated world: roads, vehicles, receivers, radio; nodes, links and faults as entities. No sockets.
