//! Types from structural OpenAPI schemas, with bounds on how large their values can be.

use crate::syntax::RESERVED;
use crate::types::{Bound, Field, ObjectType, Type};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A request's body has at most so many bytes, so nothing in one is larger.
const MAX_REQUEST: u64 = 3 * 1024 * 1024;
/// Deeper schemas are refused when they are defined.
const MAX_DEPTH: usize = 200;

/// Words of the language, which a field may be called by.
fn is_keyword(word: &str) -> bool {
    ["true", "false", "null"].contains(&word) || RESERVED.contains(&word)
}

const ESCAPES: [(&str, &str); 4] = [("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")];

/// The name under which expressions find a field; None: they cannot.
pub fn escape(name: &str) -> Option<String> {
    if is_keyword(name) {
        return Some(format!("__{name}__"));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(fits) {
        return None;
    }
    let mut escaped = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        match ESCAPES.iter().find(|(plain, _)| rest.starts_with(plain)) {
            Some((plain, written)) => {
                escaped.push_str(written);
                rest = &rest[plain.len()..];
            }
            None => {
                escaped.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    Some(escaped)
}

/// The inverse of [`escape`].
pub fn unescape(name: &str) -> String {
    if let Some(word) = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"))
        && is_keyword(word)
    {
        return word.to_owned();
    }
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        match ESCAPES.iter().find(|(_, written)| rest.starts_with(written)) {
            Some((text, written)) => {
                plain.push_str(text);
                rest = &rest[written.len()..];
            }
            None => {
                plain.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    plain
}

/// How many values of a schema one request can hold at most.
pub fn most_values(schema: &Value) -> u64 {
    // A comma stands between any two.
    MAX_REQUEST / (smallest(schema, 0) + 1)
}

impl Type {
    /// The type that a schema describes; None: expressions cannot see such a value. A resource
    /// (the root, an embedded one) has the fields that all objects have.
    pub fn from_schema(schema: &Value, is_resource: bool) -> Option<Type> {
        at_depth(schema, is_resource, 0)
    }
}

fn is(schema: &Value, mark: &str) -> bool {
    schema.get(mark) == Some(&Value::Bool(true))
}

fn count(schema: &Value, name: &str) -> Option<u64> {
    schema.get(name).and_then(Value::as_u64)
}

fn at_depth(schema: &Value, is_resource: bool, depth: usize) -> Option<Type> {
    if depth > MAX_DEPTH {
        return None;
    }
    if is(schema, "x-kubernetes-int-or-string") {
        return Some(Type::Dyn(Bound(MAX_REQUEST - 2)));
    }
    match schema.get("type").and_then(Value::as_str)? {
        "boolean" => Some(Type::Bool),
        "integer" => Some(Type::Int),
        "number" => Some(Type::Double),
        "string" => Some(text(schema)),
        "array" => {
            let item = schema.get("items")?;
            let most = (MAX_REQUEST - 2) / (smallest(item, 0) + 1);
            let bound = count(schema, "maxItems").unwrap_or(most);
            Some(Type::List(Arc::new(at_depth(item, is(item, EMBEDDED), depth + 1)?), Bound(bound)))
        }
        "object" => object(schema, is_resource, depth),
        _ => None,
    }
}

const EMBEDDED: &str = "x-kubernetes-embedded-resource";

fn text(schema: &Value) -> Type {
    match schema.get("format").and_then(Value::as_str) {
        Some("duration") => return Type::Duration,
        Some("date" | "date-time") => return Type::Timestamp,
        Some("byte") => return Type::Bytes(Bound(count(schema, "maxLength").unwrap_or(MAX_REQUEST - 2))),
        _ => {}
    }
    let choices = schema.get("enum").and_then(Value::as_array);
    let longest = choices.and_then(|choices| choices.iter().filter_map(Value::as_str).map(str::len).max());
    let bound = count(schema, "maxLength").or(longest.map(|longest| longest as u64));
    Type::String(Bound(bound.unwrap_or(MAX_REQUEST - 2)))
}

fn object(schema: &Value, is_resource: bool, depth: usize) -> Option<Type> {
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        // Each entry has at least a quoted key, a colon and a comma beside its value.
        let most = (MAX_REQUEST - 2) / (smallest(values, 0) + 6);
        let bound = count(schema, "maxProperties").unwrap_or(most);
        let value = at_depth(values, is(values, EMBEDDED), depth + 1)?;
        return Some(Type::Map(Arc::new(Type::String(Bound(MAX_REQUEST - 2))), Arc::new(value), Bound(bound)));
    }
    let mut fields = BTreeMap::new();
    for (name, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let Some(written) = escape(name) else { continue };
        if let Some(kind) = at_depth(inner, is(inner, EMBEDDED), depth + 1) {
            fields.insert(written, Field { json: name.clone(), kind });
        }
    }
    if is_resource || is(schema, EMBEDDED) {
        let text = || Type::String(Bound(MAX_REQUEST - 2));
        let metadata = Type::object("metadata", [("name", text()), ("generateName", text())]);
        for (name, kind) in [("apiVersion", text()), ("kind", text()), ("metadata", metadata)] {
            fields.insert(name.to_owned(), Field { json: name.to_owned(), kind });
        }
    }
    Some(Type::Object(Arc::new(ObjectType { name: "object".to_owned(), fields })))
}

/// How many bytes a value has at least, as JSON.
fn smallest(schema: &Value, depth: usize) -> u64 {
    if depth > MAX_DEPTH || is(schema, "x-kubernetes-int-or-string") {
        return 1;
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("boolean") => 4,
        Some("array") => 2,
        Some("string") => match schema.get("format").and_then(Value::as_str) {
            Some("duration") => 4,
            Some("date-time") => 22,
            Some("date") => 12,
            _ => 2,
        },
        Some("object") => {
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            let fields = required.filter_map(|name| {
                let inner = schema.get("properties")?.get(name.as_str()?)?;
                let given = inner.get("default").is_none();
                given.then(|| name.as_str().map_or(0, str::len) as u64 + 4 + smallest(inner, depth + 1))
            });
            2 + fields.sum::<u64>()
        }
        _ => 1,
    }
}
