//! Where messages and signals stand in the text: the parser keeps no lines.

/// Line numbers, from 1, and identifiers as they were written.
#[derive(Debug, Default)]
pub(super) struct Lines {
    messages: Vec<MessageLine>,
}

#[derive(Debug)]
struct MessageLine {
    line: usize,
    /// `None` beyond 32 bits.
    id: Option<u32>,
    signals: Vec<usize>,
}

impl Lines {
    pub(super) fn new(text: &str) -> Self {
        let mut messages: Vec<MessageLine> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("BO_") => messages.push(MessageLine {
                    line: number + 1,
                    id: words.next().and_then(|id| id.parse().ok()),
                    signals: Vec::new(),
                }),
                Some("SG_") => {
                    if let Some(message) = messages.last_mut() {
                        message.signals.push(number + 1);
                    }
                }
                _ => {}
            }
        }
        Self { messages }
    }

    /// Keeps the lines only if they are those of `counts` signals of each message. A comment of several lines may look
    /// like a message.
    pub(super) fn checked(self, counts: impl ExactSizeIterator<Item = usize>) -> Self {
        let as_many = self.messages.len() == counts.len();
        if as_many && self.messages.iter().zip(counts).all(|(line, count)| line.signals.len() == count) {
            self
        } else {
            Self::default()
        }
    }

    pub(super) fn message(&self, message: usize) -> Option<usize> {
        Some(self.messages.get(message)?.line)
    }

    pub(super) fn signal(&self, message: usize, signal: usize) -> Option<usize> {
        self.messages.get(message)?.signals.get(signal).copied()
    }

    /// The identifier as it was written: the parser cuts it to 16 bits.
    pub(super) fn id(&self, message: usize) -> Option<u32> {
        self.messages.get(message)?.id
    }
}
