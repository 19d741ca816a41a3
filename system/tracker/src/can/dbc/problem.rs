//! What is wrong with a DBC file, in words that say where and how to put it right.

use std::fmt;

/// Problems that an error shows; a file with more is told so.
const SHOWN_MAX: usize = 10;

/// One message or signal that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub(super) file: String,
    /// From 1; `None` if the file's lines can not be told apart (texts with line ends).
    pub(super) line: Option<usize>,
    pub(super) message: String,
    pub(super) what: What,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Overlap { signal: String, other: String, bit: u16 },
    BeyondMessage { signal: String, needed: u16, size: u16 },
    Bits { signal: String, bits: u64 },
    Start { signal: String, start: u64 },
    FloatBits { signal: String, bits: u64, expected: u8 },
    Scale { signal: String },
    DuplicateSignal { signal: String },
    DuplicateId { other: String },
    Id { id: u32 },
    Size { size: u64, max: u16 },
    Signals { count: usize, max: usize },
    NoSwitch { signal: String },
    Switch { signal: String, switch: String },
    ManySwitches { signal: String, other: String },
    DeepSwitches { signal: String },
}

impl Problem {
    /// Line in its file, from 1, where it is known.
    pub const fn line(&self) -> Option<usize> {
        self.line
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": message {}: ", self.message)?;
        match &self.what {
            What::Overlap { signal, other, bit } => write!(
                f,
                "signals {other} and {signal} overlap at bit {bit}: move one, or multiplex them (M, m0, m1 ...)"
            ),
            What::BeyondMessage { signal, needed, size } => write!(
                f,
                "signal {signal} needs {needed} bytes, the message has {size}: correct its start bit, its length or the message's"
            ),
            What::Bits { signal, bits } => {
                write!(f, "signal {signal} has {bits} bits: 1 to 64 can be read")
            }
            What::Start { signal, start } => {
                write!(f, "signal {signal} starts at bit {start}, beyond any message")
            }
            What::FloatBits { signal, bits, expected } => write!(
                f,
                "signal {signal} is a float of {expected} bits by SIG_VALTYPE_ and has {bits}: correct either"
            ),
            What::Scale { signal } => {
                write!(f, "signal {signal} has a scale of 0, or a scale or offset that is no number")
            }
            What::DuplicateSignal { signal } => {
                write!(f, "signal {signal} is there twice: rename or remove one")
            }
            What::DuplicateId { other } => {
                write!(
                    f,
                    "its identifier is {other}'s, too: remove one, or give them different source addresses"
                )
            }
            What::Id { id } => write!(
                f,
                "identifier {id} has more than 11 bits: add 2147483648 (bit 31) if it is an extended one"
            ),
            What::Size { size, max } => write!(f, "{size} bytes exceed the {max} that J1939 transports"),
            What::Signals { count, max } => write!(f, "{count} signals exceed the limit of {max}"),
            What::NoSwitch { signal } => {
                write!(f, "signal {signal} is multiplexed, but no signal is the switch (M)")
            }
            What::Switch { signal, switch } => {
                write!(f, "the switch {switch} of signal {signal} is no switch (M) of this message")
            }
            What::ManySwitches { signal, other } => write!(
                f,
                "{other} and {signal} are both switches (M): say with SG_MUL_VAL_ which one selects what"
            ),
            What::DeepSwitches { signal } => {
                write!(f, "the switches of signal {signal} form a ring, or too long a chain")
            }
        }
    }
}

/// Why files give no database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DbcError {
    /// More bytes than any DBC has.
    TooLarge {
        /// Name of the file.
        file: String,
        /// Its size.
        bytes: usize,
    },
    /// Bytes that no text has.
    NotText {
        /// Name of the file.
        file: String,
        /// Where the first such byte is.
        offset: usize,
    },
    /// The text is not that of a DBC.
    Syntax {
        /// Name of the file.
        file: String,
        /// Line, column, and what was expected there.
        detail: String,
    },
    /// Signals or messages that make no sense.
    Problems(Vec<Problem>),
}

impl std::error::Error for DbcError {}

impl fmt::Display for DbcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { file, bytes } => {
                write!(f, "{file} has {bytes} bytes: a DBC of more than {} is not read", super::DBC_BYTES_MAX)
            }
            Self::NotText { file, offset } => {
                write!(
                    f,
                    "{file} is no DBC: byte {offset} is no text; a DBC is a text file that begins with VERSION"
                )
            }
            Self::Syntax { file, detail } => write!(f, "{file} is no DBC: {detail}"),
            Self::Problems(problems) => {
                let shown = &problems[..problems.len().min(SHOWN_MAX)];
                for (number, problem) in shown.iter().enumerate() {
                    write!(f, "{}{problem}", if number == 0 { "" } else { "\n" })?;
                }
                let hidden = problems.len() - shown.len();
                if hidden > 0 {
                    write!(f, "\nand {hidden} more")?;
                }
                f.write_str("\n(lenient_dbc = true leaves out what makes no sense)")
            }
        }
    }
}
