//! Tools that only these tests know.

use drover_bus::Tool;
use drover_model::NodeKind;
use drover_wire::{Iibin, Schema, schema};
use prost::Message;
use schemars::JsonSchema;

/// Input and output of the test's tools.
#[derive(Clone, PartialEq, Message, JsonSchema)]
pub(crate) struct Text {
    /// Any text.
    #[prost(string, optional, tag = "1")]
    pub(crate) text: Option<String>,
}

impl Iibin for Text {
    const SCHEMA: &'static Schema = &schema(&[]);
}

impl Text {
    pub(crate) fn value(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }
}

pub(crate) fn text(value: &str) -> Text {
    Text { text: Some(value.to_owned()) }
}

/// The same tag with another type.
#[derive(Clone, PartialEq, Message, JsonSchema)]
pub(crate) struct Number {
    #[prost(uint64, optional, tag = "1")]
    pub number: Option<u64>,
}

impl Iibin for Number {
    const SCHEMA: &'static Schema = &schema(&[]);
}

macro_rules! tool {
    ($type:ident, $name:literal, $input:ty, repeat $repeat:literal, streamed $streamed:literal) => {
        pub(crate) struct $type;

        impl Tool for $type {
            type Input = $input;
            type Output = Text;
            const NAME: &'static str = $name;
            const DESCRIPTION: &'static str = "A tool of the tests.";
            const OFFERED_BY: NodeKind = NodeKind::Persistence;
            const SAFE_TO_REPEAT: bool = $repeat;
            const STREAMED: bool = $streamed;
        }
    };
}

tool!(Echo, "Test.echo", Text, repeat true, streamed false);
tool!(BadEcho, "Test.echo", Number, repeat true, streamed false);
tool!(Once, "Test.once", Text, repeat false, streamed false);
tool!(Slow, "Test.slow", Text, repeat false, streamed false);
tool!(Work, "Test.work", Text, repeat true, streamed true);
tool!(Nobody, "Secret.tool", Text, repeat true, streamed false);
