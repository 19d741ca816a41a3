//! Messages of more than 8 bytes to everyone: the broadcast announce message of J1939-21 and its packets.

use super::layout::identifier;

const CONNECTION_MANAGEMENT: u32 = 0xECFF;
const DATA_TRANSFER: u32 = 0xEBFF;
const PRIORITY: u32 = 7;
const ANNOUNCE: u8 = 32;
const PACKET_LEN: usize = 7;

/// One message under way.
#[derive(Debug, Clone)]
pub(super) struct Broadcast {
    group: u32,
    source: u8,
    message: Vec<u8>,
    /// 0 is the announcement, then packets from 1.
    next: u8,
}

impl Broadcast {
    /// A message of 9 to 1785 bytes.
    pub(super) fn new(group: u32, source: u8, message: Vec<u8>) -> Self {
        Self { group, source, message, next: 0 }
    }

    pub(super) fn is_of(&self, group: u32) -> bool {
        self.group == group
    }

    fn packets(&self) -> u8 {
        self.message.len().div_ceil(PACKET_LEN) as u8
    }

    /// The announcement, then packet after packet.
    pub(super) fn next_packet(&mut self) -> (u32, [u8; 8]) {
        let sequence = self.next;
        self.next += 1;
        if sequence == 0 {
            let [low, high] = (self.message.len() as u16).to_le_bytes();
            let [group_low, group_mid, group_high, _] = self.group.to_le_bytes();
            let data = [ANNOUNCE, low, high, self.packets(), 0xFF, group_low, group_mid, group_high];
            return (identifier(PRIORITY, CONNECTION_MANAGEMENT, self.source), data);
        }
        let mut data = [0xFF; 8];
        data[0] = sequence;
        let part = self.message.chunks(PACKET_LEN).nth(usize::from(sequence) - 1).unwrap_or_default();
        data[1..=part.len()].copy_from_slice(part);
        (identifier(PRIORITY, DATA_TRANSFER, self.source), data)
    }

    pub(super) fn is_done(&self) -> bool {
        self.next > self.packets()
    }
}
