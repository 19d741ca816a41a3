//! What holds for any datagram, and that none of them costs an allocation.

mod allocations;
mod corpus;
