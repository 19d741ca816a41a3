//! Questions in words. A hub takes them, and passes them on to an agent that offers to answer; what that agent finds on its way is
//! streamed back.

use std::time::Duration;

use drover_model::NodeKind;
use drover_wire::{Iibin, Schema, schema};
use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::messages::message;
use crate::tool::Tool;

/// Longest question, in bytes.
pub const QUESTION_BYTES_MAX: usize = 4_000;

message! {
    /// What somebody wants to know.
    Question {
        /// Whose vehicles it is about.
        tenant: String = string "1",
        /// In words, at most 4,000 bytes.
        text: String = string "2",
        /// About this vehicle alone, if it is.
        vehicle_id: String = string "3",
    } &[]
}

message! {
    /// What was found.
    Reply {
        /// In words.
        text: String = string "1",
        /// Which agent has answered.
        agent: String = string "2",
    } &[]
}

message! {
    /// Body of a progress: a piece of the answer, or what is being done.
    Step {
        /// In words.
        text: String = string "1",
    } &[]
}

/// Asks whichever agent offers to answer, by way of a hub.
#[derive(Debug)]
pub struct Ask;

impl Tool for Ask {
    type Input = Question;
    type Output = Reply;
    const NAME: &'static str = "HubService.ask";
    const DESCRIPTION: &'static str = "Answers a question about a fleet in words, and tells on its way what it finds. Unavailable while no agent offers to answer.";
    const OFFERED_BY: NodeKind = NodeKind::Hub;
    const DEADLINE: Duration = Duration::from_secs(60);
    // An answer costs, and none is like the one before.
    const SAFE_TO_REPEAT: bool = false;
    const STREAMED: bool = true;
}

/// The same, as an agent offers it.
#[derive(Debug)]
pub struct Answer;

impl Tool for Answer {
    type Input = Question;
    type Output = Reply;
    const NAME: &'static str = "AgentService.ask";
    const DESCRIPTION: &'static str =
        "Answers a question about a fleet in words, and tells on its way what it finds.";
    const OFFERED_BY: NodeKind = NodeKind::Agent;
    const DEADLINE: Duration = Duration::from_secs(60);
    const SAFE_TO_REPEAT: bool = false;
    const STREAMED: bool = true;
}

#[cfg(test)]
mod tests {
    use drover_wire::decode;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_question_keeps_its_bytes() {
        let question =
            Question { tenant: Some("a".to_owned()), text: Some("why?".to_owned()), vehicle_id: None };
        let golden = b"\x0a\x01a\x12\x04why?";
        assert_eq!(question.encode_to_vec(), golden);
        assert_eq!(decode::<Question>(golden), Ok(question));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(question) = decode::<Question>(&bytes) {
                prop_assert_eq!(decode::<Question>(&question.encode_to_vec()), Ok(question));
            }
            let _ = decode::<Reply>(&bytes);
            let _ = decode::<Step>(&bytes);
        }
    }
}
