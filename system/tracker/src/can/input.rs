//! How frames come into a tracker.

use tokio::sync::mpsc;

use super::frame::CanFrame;
use super::reader::CanReader;
use crate::Arrived;

/// A bus for a tracker: a channel of frames, and what they mean.
#[derive(Debug)]
pub struct CanInput {
    pub(crate) reader: CanReader,
    pub(crate) frames: mpsc::Receiver<Arrived<Vec<CanFrame>>>,
}

impl CanInput {
    /// Reads frames in the order they were on the bus. Its sender stamps what it has at once, and decides what happens when
    /// the channel is full.
    pub const fn new(reader: CanReader, frames: mpsc::Receiver<Arrived<Vec<CanFrame>>>) -> Self {
        Self { reader, frames }
    }
}
