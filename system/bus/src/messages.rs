//! How messages of tools are declared: every field is optional, and so is each tag for whoever reads it.

/// Declares a message of single fields.
macro_rules! message {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $kind:ident $tag:tt,)* } $schema:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* #[prost($kind, optional, tag = $tag)] pub $field: Option<$type>,)*
        }

        impl Iibin for $name {
            const SCHEMA: &'static Schema = &schema($schema);
        }
    };
}

/// Declares a message of many equal ones.
macro_rules! list {
    ($(#[$doc:meta])* $name:ident, $field:ident: $of:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Message, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            /// In the order that the tool states.
            #[prost(message, repeated, tag = "1")]
            pub $field: Vec<$of>,
        }

        impl Iibin for $name {
            const SCHEMA: &'static Schema = &schema(&[(1, drover_wire::Kind::Messages($of::SCHEMA, $crate::history::ROWS_MAX))]);
        }
    };
}

/// Declares a tool of `PersistenceService.orders`. All of them may be called twice: changes by their identity, questions because they are.
macro_rules! orders_tool {
    ($tool:ident, $name:literal, $input:ident, $output:ident, $description:literal) => {
        #[doc = $description]
        #[derive(Debug)]
        pub struct $tool;

        impl Tool for $tool {
            type Input = $input;
            type Output = $output;
            const NAME: &'static str = concat!("PersistenceService.orders.", $name);
            const DESCRIPTION: &'static str = $description;
            const OFFERED_BY: NodeKind = NodeKind::Persistence;
            const SAFE_TO_REPEAT: bool = true;
        }
    };
}

pub(crate) use {list, message, orders_tool};
