//! What a step brought, for whoever owns the world to carry out.

use bevy_ecs::prelude::*;

use crate::can::Heard;
use crate::{Action, CanFrame, Cell};

/// What the last step brought. Vehicles come in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Default, Resource)]
pub struct Outputs {
    pub(crate) actions: Vec<Action>,
    pub(crate) coverage: Vec<(u32, bool)>,
    pub(crate) cells: Vec<(u32, Cell)>,
    chunks: Vec<(u32, usize)>,
    // All chunks, one after the other: a buffer that is used again instead of one allocation per fix.
    bytes: Vec<u8>,
    // One for each piece of the fleet, in the order of the vehicles.
    heard: Vec<Heard>,
}

impl Outputs {
    /// What faults do now, in the order in which to do it.
    pub fn actions(&self) -> std::slice::Iter<'_, Action> {
        self.actions.iter()
    }

    /// Vehicles that came into coverage (true) or lost it (false). All start covered.
    pub fn coverage(&self) -> impl ExactSizeIterator<Item = (u32, bool)> + '_ {
        self.coverage.iter().copied()
    }

    /// Vehicles that came into another cell, and so get another address.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = (u32, Cell)> + '_ {
        self.cells.iter().copied()
    }

    /// What receivers wrote: whole NMEA sentences, up to one fix's worth for each vehicle at a time.
    pub fn nmea(&self) -> impl Iterator<Item = (u32, &[u8])> + '_ {
        let mut start = 0;
        self.chunks.iter().map(move |&(vehicle, end)| {
            let chunk = &self.bytes[start..end];
            start = end;
            (vehicle, chunk)
        })
    }

    /// What vehicles' controllers sent: frames in the order in which they were on the bus.
    pub fn can(&self) -> impl Iterator<Item = (u32, &[CanFrame])> + '_ {
        self.heard.iter().flat_map(Heard::iter)
    }

    /// Where `count` pieces of the fleet put what is heard of them, from piece `first` on.
    pub(crate) fn heard(&mut self, first: usize, count: usize) -> &mut [Heard] {
        if self.heard.len() < first + count {
            self.heard.resize_with(first + count, Heard::default);
        }
        &mut self.heard[first..first + count]
    }

    /// Adds what `write` appends as a vehicle's chunk.
    pub(crate) fn write_chunk(&mut self, vehicle: u32, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.chunks.push((vehicle, self.bytes.len()));
    }

    fn clear(&mut self) {
        self.actions.clear();
        self.coverage.clear();
        self.cells.clear();
        self.chunks.clear();
        self.bytes.clear();
        self.heard.iter_mut().for_each(Heard::clear);
    }
}

/// Forgets the step before.
pub(crate) fn clear(mut outputs: ResMut<Outputs>) {
    outputs.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_back_one_by_one_until_they_are_cleared() {
        let mut outputs = Outputs::default();
        outputs.write_chunk(3, |out| out.extend_from_slice(b"first"));
        outputs.write_chunk(5, |out| out.extend_from_slice(b"second"));
        assert_eq!(outputs.nmea().collect::<Vec<_>>(), [(3, b"first".as_slice()), (5, b"second")]);
        outputs.clear();
        assert_eq!(outputs, Outputs::default());
    }
}
