//! Work that threads may share: each takes a run of vehicles, and nothing depends on who takes which.
//!
//! What a vehicle brings is kept with the piece that it was in and read in the order of the vehicles, so that any
//! number of threads gives the same outputs.

use bevy_ecs::prelude::*;

/// Nobody starts a thread for fewer vehicles: it costs some 10 us a step, as much as a hundred of them.
const PIECE_MIN: usize = 50;

/// How many threads share the work of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Resource)]
pub(crate) struct Threads(pub(crate) usize);

impl Threads {
    /// Vehicles for each thread.
    pub(crate) fn piece_len(self, vehicles: usize) -> usize {
        vehicles.div_ceil(self.0.max(1)).max(PIECE_MIN)
    }
}

/// Does `work` on all pieces at once: the first on this thread, and one thread for each of the others. All have ended
/// when it returns.
pub(crate) fn share<P: Send>(pieces: impl Iterator<Item = P>, work: impl Fn(P) + Sync) {
    let mut pieces = pieces;
    let Some(first) = pieces.next() else { return };
    #[expect(
        clippy::disallowed_methods,
        reason = "all threads have ended when this returns, whatever their order"
    )]
    std::thread::scope(|scope| {
        for piece in pieces {
            scope.spawn(|| work(piece));
        }
        work(first);
    });
}
