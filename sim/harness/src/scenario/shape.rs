//! Reads TOML against the JSON Schema of the grammar and collects every departure from it, each with its place.
//!
//! The schema comes from the same structs that are filled in afterwards, so that keys, types and ranges are said once.
//! serde alone would stop at the first problem, and would know neither the nearest key nor the range.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use drover_model::{NodePattern, WallTime};
use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Link, Problem};

/// What was read: the part of the file that has the right shape, and what is wrong with the rest.
pub(super) struct Shape<'t> {
    text: &'t str,
    /// Everything that has the right shape.
    pub(super) value: toml::Value,
    /// What has not.
    pub(super) problems: Vec<Problem>,
    /// Where each value is, by its dotted path: `faults[1].kill`.
    places: BTreeMap<String, Range<usize>>,
    /// Paths of what was left out, and of the tables around: what seems to be missing there may only be misspelt.
    broken: BTreeSet<String>,
}

/// Reads `text` as far as `schema` allows.
///
/// # Errors
/// The problems of a text that is not TOML.
pub(super) fn read<'t>(text: &'t str, schema: &Json) -> Result<Shape<'t>, Vec<Problem>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let at = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
        let problem =
            |error| Problem::at_byte(text, at(error), format!("not TOML: {}", error.message().trim()));
        return Err(errors.iter().map(problem).collect());
    }
    let mut shape = Shape {
        text,
        value: toml::Value::Table(toml::Table::new()),
        problems: Vec::new(),
        places: BTreeMap::from([(String::new(), 0..0)]),
        broken: BTreeSet::new(),
    };
    let table = shape.table(schema, schema, root.get_ref(), 0..0, "");
    shape.value = toml::Value::Table(table);
    Ok(shape)
}

impl Shape<'_> {
    /// Adds a problem with the value at `path`, or with the nearest table around it if the file does not say it.
    pub(super) fn problem_at(&mut self, path: &str, message: String) {
        let mut around = path;
        let place = loop {
            match self.places.get(around) {
                Some(place) => break place.start,
                None => around = parent(around),
            }
        };
        self.problems.push(Problem::at_byte(self.text, place, message));
    }

    /// True if the value at `path`, or something in the table at `path`, was left out.
    pub(super) fn is_broken(&self, path: &str) -> bool {
        self.broken.contains(path)
    }

    fn wrong(&mut self, path: &str, span: &Range<usize>, message: String) {
        self.broken.extend([path.to_owned(), parent(path).to_owned()]);
        self.problems.push(Problem::at_byte(self.text, span.start, message));
    }

    fn table(
        &mut self,
        root: &Json,
        schema: &Json,
        table: &DeTable<'_>,
        span: Range<usize>,
        path: &str,
    ) -> toml::Table {
        let mut read = toml::Table::new();
        let known = properties(schema);
        let mut misspelt = BTreeSet::new();
        for (key, value) in table {
            let name: &str = key.get_ref();
            let inner = join(path, name);
            match known.get(name) {
                Some(expected) => {
                    self.places.insert(inner.clone(), value.span());
                    if let Some(value) = self.value(root, expected, value, &inner) {
                        read.insert(name.to_owned(), value);
                    }
                }
                None => {
                    let message = unknown_key(root, &known, name, path);
                    misspelt.extend(nearest(name, known.keys().copied()));
                    self.wrong(&inner, &key.span(), message);
                }
            }
        }
        let required = schema.get("required").and_then(Json::as_array).into_iter().flatten();
        for name in required.filter_map(Json::as_str) {
            if read.contains_key(name) {
                continue;
            }
            let form = known.get(name).copied().unwrap_or(&Json::Null);
            // A key that is misspelt, or has a wrong value, is there already with that problem.
            if !table.contains_key(name) && !misspelt.contains(name) {
                let message = format!("missing key `{name}` {}: {}", place_text(path), first_sentence(form));
                self.problems.push(Problem::at_byte(self.text, span.start, message));
            }
            self.broken.extend([join(path, name), path.to_owned()]);
            read.insert(name.to_owned(), stand_in(form));
        }
        read
    }

    fn value(
        &mut self,
        root: &Json,
        schema: &Json,
        value: &Spanned<DeValue<'_>>,
        path: &str,
    ) -> Option<toml::Value> {
        let span = value.span();
        if let Some(words) = words(schema) {
            return self.word(&words, value, path);
        }
        if schema.get("oneOf").is_some() {
            return self.choice(root, schema, value, path);
        }
        match (type_of(schema, value.get_ref()), value.get_ref()) {
            (Some("object"), DeValue::Table(table)) => {
                Some(toml::Value::Table(match schema.get("properties") {
                    Some(_) => self.table(root, schema, table, span, path),
                    None => return self.anything(value, path),
                }))
            }
            (Some("array"), DeValue::Array(items)) => {
                let expected = schema.get("items").unwrap_or(&Json::Null);
                let mut read = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    let inner = format!("{path}[{index}]");
                    self.places.insert(inner.clone(), item.span());
                    read.push(self.value(root, expected, item, &inner));
                }
                let len = items.len() as u64;
                match schema.get("minItems").and_then(Json::as_u64) {
                    Some(wanted) if wanted != len => {
                        self.wrong(
                            path,
                            &span,
                            format!("{} needs {wanted} numbers, found {len}", name_of(path)),
                        );
                        None
                    }
                    // Without one of its items the others would move: then the whole list is left out.
                    _ => read.into_iter().collect::<Option<Vec<_>>>().map(toml::Value::Array),
                }
            }
            (Some("number" | "integer"), DeValue::Integer(_) | DeValue::Float(_)) => {
                self.number(schema, value, path)
            }
            (Some("boolean"), &DeValue::Boolean(value)) => Some(toml::Value::Boolean(value)),
            (Some("string"), DeValue::String(text)) => self.text(schema, text, &span, path),
            // A time without quotes is TOML's own date-time, and means the same.
            (Some("string"), DeValue::Datetime(time)) if format_of(schema) == Some("date-time") => {
                self.text(schema, &time.to_string(), &span, path)
            }
            (expected, found) => {
                let expected = type_text(expected.unwrap_or_default(), schema);
                let message = format!("{} must be {expected}, found {}", name_of(path), found_text(found));
                self.wrong(path, &span, message);
                None
            }
        }
    }

    /// A text from a fixed list.
    fn word(&mut self, words: &[&str], value: &Spanned<DeValue<'_>>, path: &str) -> Option<toml::Value> {
        match value.get_ref().as_str() {
            Some(text) if words.contains(&text) => Some(toml::Value::String(text.to_owned())),
            Some(text) => {
                let available = list(words);
                let near = nearest(text, words.iter().copied());
                let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                let name = name_of(path);
                let message = format!(
                    "{name}: \"{text}\" is not available in this version, which has {available}{hint}"
                );
                self.wrong(path, &value.span(), message);
                None
            }
            None => {
                let found = found_text(value.get_ref());
                let message = format!("{} must be one of {}, found {found}", name_of(path), list(words));
                self.wrong(path, &value.span(), message);
                None
            }
        }
    }

    /// A table with exactly one of several keys, each with a form of its own.
    fn choice(
        &mut self,
        root: &Json,
        schema: &Json,
        value: &Spanned<DeValue<'_>>,
        path: &str,
    ) -> Option<toml::Value> {
        let (name, known) = (name_of(path), properties(schema));
        let choices: Vec<&str> = known.keys().copied().collect();
        let Some(table) = value.get_ref().as_table() else {
            let found = found_text(value.get_ref());
            let example = "{ osm_pbf = \"file\" }, { city = { width_km = 8, height_km = 6 } } or { grid = { columns = 40, rows = 30 } }";
            self.wrong(
                path,
                &value.span(),
                format!("{name} must be a table such as {example}, found {found}"),
            );
            return None;
        };
        let before = self.problems.len();
        let read = self.table(root, schema, table, value.span(), path);
        let given: Vec<&str> = table.keys().map(|key| key.get_ref().as_ref()).collect();
        if self.problems.len() == before && given.len() != 1 {
            let found = if given.is_empty() { "none".to_owned() } else { list(&given) };
            let message = format!("{name} takes exactly one of {}, found {found}", list(&choices));
            self.wrong(path, &value.span(), message);
        }
        if self.problems.len() > before {
            self.broken.extend([path.to_owned(), parent(path).to_owned()]);
            return None;
        }
        Some(toml::Value::Table(read))
    }

    fn number(&mut self, schema: &Json, value: &Spanned<DeValue<'_>>, path: &str) -> Option<toml::Value> {
        let name = name_of(path);
        let whole = schema.get("type").and_then(Json::as_str) == Some("integer");
        let read = match value.get_ref() {
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(toml::Value::Integer)
            }
            DeValue::Float(number) if !whole => number.as_str().parse().ok().map(toml::Value::Float),
            _ => {
                let found = found_text(value.get_ref());
                self.wrong(path, &value.span(), format!("{name} must be a whole number, found {found}"));
                return None;
            }
        };
        let number = match &read {
            Some(toml::Value::Integer(number)) => *number as f64,
            Some(toml::Value::Float(number)) => *number,
            _ => f64::NAN,
        };
        let limit = |key: &str| schema.get(key).and_then(Json::as_f64);
        let (min, max) = (limit("minimum"), limit("maximum"));
        let inside =
            number.is_finite() && min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max);
        if inside {
            return read;
        }
        let range = match (min, max) {
            (Some(min), Some(max)) if min == max => format!("{min}"),
            (Some(min), Some(max)) => format!("{min} to {max}"),
            (Some(min), None) => format!("at least {min}"),
            _ => "a finite number".to_owned(),
        };
        let found = found_text(value.get_ref());
        self.wrong(path, &value.span(), format!("{name} must be {range}, found {found}"));
        None
    }

    /// A text, which some formats restrict.
    fn text(&mut self, schema: &Json, text: &str, span: &Range<usize>, path: &str) -> Option<toml::Value> {
        let error = match format_of(schema) {
            Some("date-time") => text.parse::<WallTime>().err().map(|error| error.to_string()),
            Some("nodes") => text.parse::<NodePattern>().err().map(|error| error.to_string()),
            Some("link") => text.parse::<Link>().err().map(|error| error.to_string()),
            _ => None,
        };
        match error {
            None => Some(toml::Value::String(text.to_owned())),
            Some(error) => {
                self.wrong(path, span, format!("{}: {error}", name_of(path)));
                None
            }
        }
    }

    /// A value that someone else will judge.
    fn anything(&mut self, value: &Spanned<DeValue<'_>>, path: &str) -> Option<toml::Value> {
        self.places.insert(path.to_owned(), value.span());
        Some(match value.get_ref() {
            DeValue::Table(table) => {
                let mut read = toml::Table::new();
                for (key, value) in table {
                    let name: &str = key.get_ref();
                    if let Some(value) = self.anything(value, &join(path, name)) {
                        read.insert(name.to_owned(), value);
                    }
                }
                toml::Value::Table(read)
            }
            DeValue::Array(items) => {
                let mut read = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    read.extend(self.anything(item, &format!("{path}[{index}]")));
                }
                toml::Value::Array(read)
            }
            DeValue::Integer(_) | DeValue::Float(_) => return self.number(&Json::Null, value, path),
            DeValue::String(text) => toml::Value::String(text.to_string()),
            &DeValue::Boolean(value) => toml::Value::Boolean(value),
            DeValue::Datetime(time) => toml::Value::Datetime(*time),
        })
    }
}

/// The candidate that is most like `text`, if one is like it at all.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Jaro-Winkler forgives a missing unit (`latency` for `latency_ms`), which edit distance does not.
    const LIKE: f64 = 0.8;
    let rated = candidates.into_iter().map(|candidate| (strsim::jaro_winkler(text, candidate), candidate));
    let best = rated.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    (best.0 >= LIKE).then_some(best.1)
}

/// TOML has no null: says of an optional value only what it is when it is there. Optional keys stay optional.
pub(super) fn drop_nulls(schema: &mut Json) {
    match schema {
        Json::Object(object) => {
            if let Some(Json::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Json::Array(mut choices)) = object.remove("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
                match choices.pop() {
                    Some(Json::Object(only)) if choices.is_empty() => {
                        for (key, value) in only {
                            object.entry(key).or_insert(value);
                        }
                    }
                    last => {
                        choices.extend(last);
                        object.insert("anyOf".to_owned(), Json::Array(choices));
                    }
                }
            }
            if object.get("default").is_some_and(Json::is_null) {
                object.remove("default");
            }
            object.values_mut().for_each(drop_nulls);
        }
        Json::Array(items) => items.iter_mut().for_each(drop_nulls),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// The keys that a table may have, with the form of each. The forms of a choice are put together.
fn properties(schema: &Json) -> BTreeMap<&str, &Json> {
    let choices = schema.get("oneOf").and_then(Json::as_array).into_iter().flatten();
    let tables = std::iter::once(schema).chain(choices);
    let objects = tables.filter_map(|table| table.get("properties")?.as_object());
    objects.flat_map(|object| object.iter().map(|(key, form)| (key.as_str(), form))).collect()
}

/// The type that a value should have. Where a form has several, it is the value's own, or the first.
fn type_of<'a>(schema: &'a Json, value: &DeValue<'_>) -> Option<&'a str> {
    let of_text = |name: &Json| (name == "string") == matches!(value, DeValue::String(_));
    match schema.get("type")? {
        Json::Array(types) => types.iter().find(|name| of_text(name)).or(types.first())?.as_str(),
        name => name.as_str(),
    }
}

/// Something of the right type in place of a required value that is not there, so that the rest can be read.
fn stand_in(schema: &Json) -> toml::Value {
    let min = schema.get("minimum").and_then(Json::as_f64).unwrap_or_default();
    match schema.get("type").and_then(Json::as_str) {
        Some("number") => toml::Value::Float(min),
        Some("integer") => toml::Value::Integer(min as i64),
        Some("array") => toml::Value::Array(match schema.get("minItems").and_then(Json::as_u64) {
            Some(len) => vec![toml::Value::Float(0.0); len as usize],
            None => Vec::new(),
        }),
        Some("object") => toml::Value::Table(toml::Table::new()),
        _ => toml::Value::String(String::new()),
    }
}

/// The texts allowed, if the form is a list of texts.
fn words(schema: &Json) -> Option<Vec<&str>> {
    if let Some(words) = schema.get("enum").and_then(Json::as_array) {
        return Some(words.iter().filter_map(Json::as_str).collect());
    }
    schema.get("oneOf")?.as_array()?.iter().map(|choice| choice.get("const")?.as_str()).collect()
}

fn unknown_key(root: &Json, known: &BTreeMap<&str, &Json>, name: &str, path: &str) -> String {
    if let Some(near) = nearest(name, known.keys().copied()) {
        return format!("unknown key `{name}`; did you mean `{near}`?");
    }
    let place = place_text(path);
    let top = properties(root);
    if top.contains_key(name) {
        return format!(
            "unknown key `{name}` {place}; it belongs at the top of the file, before the first [table]"
        );
    }
    let inside = |form: &&Json| properties(form).contains_key(name);
    if let Some((table, _)) = top.iter().find(|(_, form)| inside(form)) {
        return format!("unknown key `{name}` {place}; it belongs in [{table}]");
    }
    let keys: Vec<&str> = known.keys().copied().collect();
    format!("unknown key `{name}` {place}; known are {}", list(&keys))
}

/// `a`, `b`, `c`.
pub(super) fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The path of the table or list around: of `faults[1].kill` it is `faults[1]`, of that `faults`.
fn parent(path: &str) -> &str {
    path.rfind(['.', '[']).map_or("", |end| &path[..end])
}

/// The last key of a path, as messages show it. An item is called by its list.
fn name_of(path: &str) -> String {
    let name = path.rsplit('.').next().unwrap_or(path);
    format!("`{}`", name.split('[').next().unwrap_or(name))
}

/// Where a table is: `in [[faults]]`.
fn place_text(path: &str) -> String {
    let mut plain = String::new();
    for part in path.split('.') {
        let name = part.split('[').next().unwrap_or(part);
        plain = join(&plain, name);
    }
    match path {
        "" => "at the top of the file".to_owned(),
        item if item.ends_with(']') => format!("in [[{plain}]]"),
        _ => format!("in [{plain}]"),
    }
}

fn first_sentence(schema: &Json) -> &str {
    let text = schema.get("description").and_then(Json::as_str).unwrap_or_default();
    let text = text.split('\n').next().unwrap_or(text);
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

fn format_of(schema: &Json) -> Option<&str> {
    schema.get("format").and_then(Json::as_str)
}

fn type_text(name: &str, schema: &Json) -> &'static str {
    match name {
        "number" => "a number",
        "integer" => "a whole number",
        "boolean" => "true or false",
        "array"
            if schema.get("items").is_some_and(|items| items.get("type") == Some(&Json::from("object"))) =>
        {
            "one or more [[tables]]"
        }
        "array" => "a list in brackets",
        "object" => "a table",
        _ => "a text in quotes",
    }
}

fn found_text(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => format!("the time {time}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
