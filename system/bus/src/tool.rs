//! Tools: a name, a description, schemas derived from the same Rust types as their bytes, a deadline, and whether a call
//! may be made twice.

use std::time::Duration;

use drover_model::NodeKind;
use drover_wire::{Iibin, Kind, Schema, schema};
use prost::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most tools that a listing shows.
const TOOLS_MAX: usize = 256;

/// A tool as both sides know it.
pub trait Tool: Send + Sync + 'static {
    /// What it is called with.
    type Input: Iibin + JsonSchema;
    /// What it gives.
    type Output: Iibin + JsonSchema;
    /// `Agent.tool`, unique in the platform.
    const NAME: &'static str;
    /// What it does, for people and models.
    const DESCRIPTION: &'static str;
    /// Which kind of node offers it.
    const OFFERED_BY: NodeKind;
    /// How long a caller waits unless it says otherwise. Five seconds unless the tool knows better: longer than a commit
    /// that is tried again, shorter than anybody's patience.
    const DEADLINE: Duration = Duration::from_secs(5);
    /// True if doing it twice is the same as doing it once. Only then is a failed call made again.
    const SAFE_TO_REPEAT: bool;
    /// True if it tells its progress or may take long: each call then has a stream of its own.
    const STREAMED: bool = false;
}

/// One tool, as a listing shows it.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ToolInfo {
    /// `Agent.tool`.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// What it does.
    #[prost(string, optional, tag = "2")]
    pub description: Option<String>,
    /// JSON Schema of the input.
    #[prost(string, optional, tag = "3")]
    pub input_schema: Option<String>,
    /// JSON Schema of the output.
    #[prost(string, optional, tag = "4")]
    pub output_schema: Option<String>,
    /// How long a caller waits unless it says otherwise, in milliseconds.
    #[prost(uint64, optional, tag = "5")]
    pub deadline_ms: Option<u64>,
    /// True if a call may be made twice.
    #[prost(bool, optional, tag = "6")]
    pub safe_to_repeat: Option<bool>,
}

impl Iibin for ToolInfo {
    const SCHEMA: &'static Schema = &schema(&[]);
}

impl ToolInfo {
    pub(crate) fn of<T: Tool>() -> Self {
        Self {
            name: Some(T::NAME.to_owned()),
            description: Some(T::DESCRIPTION.to_owned()),
            input_schema: Some(schemars::schema_for!(T::Input).to_value().to_string()),
            output_schema: Some(schemars::schema_for!(T::Output).to_value().to_string()),
            deadline_ms: Some(T::DEADLINE.as_millis() as u64),
            safe_to_repeat: Some(T::SAFE_TO_REPEAT),
        }
    }
}

/// Every tool of an agent that the caller may use, by name.
#[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ToolList {
    /// The tools.
    #[prost(message, repeated, tag = "1")]
    pub tools: Vec<ToolInfo>,
}

impl Iibin for ToolList {
    const SCHEMA: &'static Schema = &schema(&[(1, Kind::Messages(ToolInfo::SCHEMA, TOOLS_MAX))]);
}

#[cfg(test)]
mod tests {
    use drover_wire::decode;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_listing_keeps_its_bytes() {
        let tool = ToolInfo {
            name: Some("A.b".to_owned()),
            deadline_ms: Some(300),
            safe_to_repeat: Some(false),
            ..ToolInfo::default()
        };
        let list = ToolList { tools: vec![tool] };
        let golden = [0x0A, 0x0A, 0x0A, 3, b'A', b'.', b'b', 0x28, 0xAC, 2, 0x30, 0];
        assert_eq!(list.encode_to_vec(), golden);
        assert_eq!(decode::<ToolList>(&golden), Ok(list));
    }

    #[test]
    fn a_listing_of_too_many_tools_is_refused() {
        let list = ToolList { tools: vec![ToolInfo::default(); TOOLS_MAX + 1] };
        assert!(decode::<ToolList>(&list.encode_to_vec()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(list) = decode::<ToolList>(&bytes) {
                prop_assert_eq!(decode::<ToolList>(&list.encode_to_vec()), Ok(list));
            }
        }
    }
}
