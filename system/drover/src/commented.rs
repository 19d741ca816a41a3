//! Configs as TOML with what each key is for above it, as the docs of its type say.

use schemars::{JsonSchema, Schema, schema_for};
use serde_json::Value as Json;
use toml::{Table, Value};

/// Columns of a comment.
const WIDTH: usize = 100;

/// A table and what its type says of its keys.
pub(crate) struct Described {
    name: String,
    table: Table,
    schema: Schema,
}

impl Described {
    /// The table called `name` of a config of type `C`.
    pub(crate) fn new<C: JsonSchema>(name: &str, table: Table) -> Self {
        Self { name: name.to_owned(), table, schema: schema_for!(C) }
    }

    /// As TOML: every key with its comment, and those that are not set as comments alone.
    pub(crate) fn write(&self) -> String {
        let mut text = String::new();
        write_table(&mut text, &self.name, &self.table, self.schema.as_value(), self.schema.as_value());
        text
    }
}

fn write_table(text: &mut String, name: &str, table: &Table, schema: &Json, root: &Json) {
    if !text.is_empty() {
        text.push('\n');
    }
    comment(text, schema);
    text.push_str(&format!("[{name}]\n"));
    let is_table = |value: &Value| matches!(value, Value::Table(_));
    for (key, value) in table.iter().filter(|(_, value)| !is_table(value)) {
        comment(text, property(schema, key, root));
        text.push_str(&format!("{key} = {value}\n"));
    }
    let keys = schema.get("properties").and_then(Json::as_object).into_iter().flatten();
    for (key, about) in keys.filter(|(key, _)| !table.contains_key(*key)) {
        comment(text, about);
        text.push_str(&format!("# {key} is not set\n"));
    }
    for (key, value) in table {
        if let Value::Table(inner) = value {
            write_table(text, &format!("{name}.{key}"), inner, property(schema, key, root), root);
        }
    }
}

/// What a schema says of a key; what the key's type says, if it is a table.
fn property<'a>(schema: &'a Json, key: &str, root: &'a Json) -> &'a Json {
    let about = &schema["properties"][key];
    match about["$ref"].as_str().and_then(|place| place.strip_prefix('#')) {
        Some(place) if about.get("description").is_none() => root.pointer(place).unwrap_or(about),
        _ => about,
    }
}

/// The description, broken into lines.
fn comment(text: &mut String, schema: &Json) {
    let description = schema.get("description").and_then(Json::as_str).unwrap_or_default();
    let mut line = String::from("#");
    for word in description.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH && line.len() > 1 {
            text.push_str(&format!("{line}\n"));
            line.truncate(1);
        }
        line.push(' ');
        line.push_str(word);
    }
    if line.len() > 1 {
        text.push_str(&format!("{line}\n"));
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    /// A service.
    #[derive(Serialize, JsonSchema)]
    struct Outer {
        /// How many, which is a number that needs so many words to explain that they do not fit into one line of
        /// text.
        count: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        /// Not needed.
        spare: Option<u32>,
        inner: Inner,
    }

    /// What is inside.
    #[derive(Serialize, JsonSchema)]
    struct Inner {
        /// "Names".
        names: Vec<String>,
    }

    #[test]
    fn every_key_has_its_docs_above_it() {
        let names = vec!["a \"b\"".to_owned()];
        let table = Table::try_from(Outer { count: 3, spare: None, inner: Inner { names } }).expect("TOML");
        let expected = r#"# A service.
[outer]
# How many, which is a number that needs so many words to explain that they do not fit into one line
# of text.
count = 3
# Not needed.
# spare is not set

# What is inside.
[outer.inner]
# "Names".
names = ['a "b"']
"#;
        let text = Described::new::<Outer>("outer", table).write();
        assert_eq!(text, expected);
        assert!(toml::from_str::<Table>(&text).is_ok());
    }
}
