//! What holds for any message, what others make of the answers, and how it is over real sockets.

mod allocations;
mod answers;
mod corpus;
mod queries;
mod sockets;
