//! Typed errors of calls, on both sides of the wire.

use drover_wire::mcp::CallFailed;

/// Why a call has no result: the word of the tool, or of the bus on either side of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The agent offers no tool of that name.
    #[error("unknown tool {0}")]
    UnknownTool(String),
    /// The arguments are no valid input, or the result is no valid output.
    #[error("bad arguments: {0}")]
    BadArguments(String),
    /// Not allowed, or understood and not done: repeating will not help.
    #[error("refused: {0}")]
    Refused(String),
    /// Too much to do at present.
    #[error("overloaded: {0}")]
    Overloaded(String),
    /// Not answered in time. It may have been done all the same.
    #[error("deadline passed: {0}")]
    Deadline(String),
    /// Nobody who offers the tool can be reached, or what the tool needs is away. It may have been done all the same.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

impl CallError {
    /// The name in metrics and logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::UnknownTool(_) => "unknown_tool",
            Self::BadArguments(_) => "bad_arguments",
            Self::Refused(_) => "refused",
            Self::Overloaded(_) => "overloaded",
            Self::Deadline(_) => "deadline",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// True if the same call may succeed later or elsewhere. Whether it may be made again is the tool's to say
    /// ([`crate::Tool::SAFE_TO_REPEAT`]).
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Overloaded(_) | Self::Deadline(_) | Self::Unavailable(_) => true,
            Self::UnknownTool(_) | Self::BadArguments(_) | Self::Refused(_) => false,
        }
    }

    const fn code(&self) -> u32 {
        match self {
            Self::UnknownTool(_) => 1,
            Self::BadArguments(_) => 2,
            Self::Refused(_) => 3,
            Self::Overloaded(_) => 4,
            Self::Deadline(_) => 5,
            Self::Unavailable(_) => 6,
        }
    }

    fn detail(&self) -> &str {
        match self {
            Self::UnknownTool(text)
            | Self::BadArguments(text)
            | Self::Refused(text)
            | Self::Overloaded(text)
            | Self::Deadline(text)
            | Self::Unavailable(text) => text,
        }
    }

    pub(crate) fn to_wire(&self, id: u64) -> CallFailed {
        CallFailed { id: Some(id), code: Some(self.code()), message: Some(self.detail().to_owned()) }
    }

    /// A code that this version does not know counts as refused: repeating an error that nobody understands helps nobody.
    pub(crate) fn from_wire(failed: &CallFailed) -> Self {
        let text = failed.message.clone().unwrap_or_default();
        match failed.code.unwrap_or_default() {
            1 => Self::UnknownTool(text),
            2 => Self::BadArguments(text),
            4 => Self::Overloaded(text),
            5 => Self::Deadline(text),
            6 => Self::Unavailable(text),
            _ => Self::Refused(text),
        }
    }
}

/// Why a message was not published. Publishing never waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The receiver has not yet taken what was published before.
    #[error("the receiver takes no more at present")]
    Full,
    /// The receiver is not connected.
    #[error("the receiver is not connected")]
    Unavailable,
    /// Larger than the shared stream carries.
    #[error("a message of {len_bytes} bytes is too large to publish")]
    Oversize {
        /// Length of the body.
        len_bytes: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_cross_the_wire_unchanged() {
        let text = || "why".to_owned();
        for error in [
            CallError::UnknownTool(text()),
            CallError::BadArguments(text()),
            CallError::Refused(text()),
            CallError::Overloaded(text()),
            CallError::Deadline(text()),
            CallError::Unavailable(text()),
        ] {
            assert_eq!(CallError::from_wire(&error.to_wire(7)), error);
        }
        let newer = CallFailed { code: Some(99), ..CallFailed::default() };
        assert!(!CallError::from_wire(&newer).is_retryable());
    }
}
