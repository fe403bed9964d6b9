//! Structural schemas: what an openAPIV3Schema may say, and where.

use crate::custom::{Check, Compiled};
use crate::tree::{items, text};
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;

/// Upstream stops reading deeper.
const MAX_DEPTH: usize = 100;
const JUNCTORS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Field,
    Item,
}

pub fn check(openapi: &Value, path: &Path, errors: &mut ErrorList) {
    let kind = text(openapi, "type");
    if !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(&path.child("type"), kind, "must be object at the root"));
    }
    if openapi["nullable"] == true {
        errors.push(FieldError::forbidden(&path.child("nullable"), "nullable cannot be true at the root"));
    }
    node(openapi, Level::Root, path, 0, errors);
    let metadata = &openapi["properties"]["metadata"];
    if let Some(metadata) = metadata.as_object() {
        let known = |field: &String| matches!(field.as_str(), "type" | "properties" | "description" | "title");
        let properties = metadata.get("properties").and_then(Value::as_object);
        let own = properties.into_iter().flatten().all(|(name, _)| name == "name" || name == "generateName");
        if !metadata.keys().all(known) || !own {
            let why =
                "must not specify anything other than name and generateName, but metadata is implicitly specified";
            errors.push(FieldError::forbidden(&path.child("properties").key("metadata"), why));
        }
    }
    if errors.is_empty() {
        defaults(openapi, path, errors);
    }
}

/// Marks that only schemas of whole fields may have.
const STRUCTURAL: [&str; 7] = [
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
];

fn is(schema: &Value, mark: &str) -> bool {
    schema[mark] == true
}

fn node(schema: &Value, level: Level, path: &Path, depth: usize, errors: &mut ErrorList) {
    if depth > MAX_DEPTH {
        errors.push(FieldError::forbidden(path, "schema is nested too deeply"));
        return;
    }
    unsupported(schema, path, errors);
    check_type(schema, level, path, errors);
    marks(schema, path, errors);
    if let Some(pattern) = schema["pattern"].as_str()
        && let Err(error) = regex::Regex::new(pattern)
    {
        let why = format!("must be a valid regular expression, but isn't: {error}");
        errors.push(FieldError::invalid(&path.child("pattern"), pattern, &why));
    }
    let properties = schema["properties"].as_object();
    for (name, inner) in properties.into_iter().flatten() {
        let at_root = level == Level::Root && matches!(name.as_str(), "apiVersion" | "kind" | "metadata");
        if !at_root {
            node(inner, Level::Field, &path.child("properties").key(name), depth + 1, errors);
        }
    }
    if schema["additionalProperties"].is_object() {
        node(&schema["additionalProperties"], Level::Field, &path.child("additionalProperties"), depth + 1, errors);
    }
    if schema["items"].is_object() {
        node(&schema["items"], Level::Item, &path.child("items"), depth + 1, errors);
    }
    for junctor in JUNCTORS {
        for (at, inner) in items(schema, junctor).iter().enumerate() {
            nested(inner, schema, &path.child(junctor).index(at), depth + 1, errors);
        }
    }
    if schema["not"].is_object() {
        nested(&schema["not"], schema, &path.child("not"), depth + 1, errors);
    }
}

fn check_type(schema: &Value, level: Level, path: &Path, errors: &mut ErrorList) {
    let here = path.child("type");
    let kind = text(schema, "type");
    if is(schema, "x-kubernetes-int-or-string") {
        if !kind.is_empty() {
            errors.push(FieldError::invalid(&here, kind, "must be empty if x-kubernetes-int-or-string is true"));
        }
        return;
    }
    if kind.is_empty() {
        let why = match level {
            Level::Root => "must not be empty at the root",
            Level::Field => "must not be empty for specified object fields",
            Level::Item => "must not be empty for specified array items",
        };
        if !is(schema, "x-kubernetes-preserve-unknown-fields") || level == Level::Root {
            errors.push(FieldError::required(&here, why));
        }
    } else if !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(&here, kind, &TYPES));
    }
    if kind == "array" && !schema["items"].is_object() {
        let why = match schema["items"].is_array() {
            true => "items must be a schema object and not an array",
            false => "must be specified",
        };
        match schema["items"].is_array() {
            true => errors.push(FieldError::forbidden(&path.child("items"), why)),
            false => errors.push(FieldError::required(&path.child("items"), why)),
        }
    }
}

/// What OpenAPI has and definitions may not use.
fn unsupported(schema: &Value, path: &Path, errors: &mut ErrorList) {
    for field in ["$ref", "id", "definitions", "dependencies", "patternProperties", "additionalItems"] {
        let given = &schema[field];
        let is_set = match given {
            Value::Null => false,
            Value::Object(entries) => !entries.is_empty() || field == "additionalItems",
            Value::String(text) => !text.is_empty(),
            _ => true,
        };
        if is_set {
            errors.push(FieldError::forbidden(&path.child(field), &format!("{field} is not supported")));
        }
    }
    if is(schema, "uniqueItems") {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(&path.child("uniqueItems"), why));
    }
    if schema["additionalProperties"] == false {
        let why = "additionalProperties cannot be set to false";
        errors.push(FieldError::forbidden(&path.child("additionalProperties"), why));
    } else if !schema["additionalProperties"].is_null()
        && schema["properties"].as_object().is_some_and(|properties| !properties.is_empty())
    {
        let why = "additionalProperties and properties are mutual exclusive";
        errors.push(FieldError::forbidden(&path.child("additionalProperties"), why));
    }
}

/// Kubernetes' own marks.
fn marks(schema: &Value, path: &Path, errors: &mut ErrorList) {
    let kind = text(schema, "type");
    if is(schema, "x-kubernetes-preserve-unknown-fields") && !kind.is_empty() && kind != "object" {
        let why = "must be object if x-kubernetes-preserve-unknown-fields is true";
        errors.push(FieldError::invalid(&path.child("type"), kind, why));
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == false {
        let why = "must be true or undefined";
        errors.push(FieldError::invalid(&path.child("x-kubernetes-preserve-unknown-fields"), false, why));
    }
    if is(schema, "x-kubernetes-embedded-resource") {
        if kind != "object" {
            let why = "must be object if x-kubernetes-embedded-resource is true";
            errors.push(FieldError::invalid(&path.child("type"), kind, why));
        }
        if !is(schema, "x-kubernetes-preserve-unknown-fields")
            && schema["properties"].as_object().is_none_or(|it| it.is_empty())
        {
            let why = "must not be empty if x-kubernetes-embedded-resource is true without \
                       x-kubernetes-preserve-unknown-fields";
            errors.push(FieldError::required(&path.child("properties"), why));
        }
    }
    list_marks(schema, kind, path, errors);
    let map_type = text(schema, "x-kubernetes-map-type");
    if !map_type.is_empty() {
        if kind != "object" {
            let why = "must be object if x-kubernetes-map-type is specified";
            errors.push(FieldError::invalid(&path.child("type"), kind, why));
        }
        if !matches!(map_type, "atomic" | "granular") {
            errors.push(FieldError::not_supported(
                &path.child("x-kubernetes-map-type"),
                map_type,
                &["atomic", "granular"],
            ));
        }
    }
}

fn list_marks(schema: &Value, kind: &str, path: &Path, errors: &mut ErrorList) {
    let list_type = text(schema, "x-kubernetes-list-type");
    let keys = items(schema, "x-kubernetes-list-map-keys");
    let keys_at = path.child("x-kubernetes-list-map-keys");
    if !list_type.is_empty() {
        if kind != "array" {
            let why = "must be array if x-kubernetes-list-type is specified";
            errors.push(FieldError::invalid(&path.child("type"), kind, why));
        }
        if !matches!(list_type, "atomic" | "set" | "map") {
            let here = path.child("x-kubernetes-list-type");
            errors.push(FieldError::not_supported(&here, list_type, &["atomic", "set", "map"]));
        }
    }
    if list_type != "map" {
        if !keys.is_empty() {
            let here = path.child("x-kubernetes-list-type");
            let why = "must be map if x-kubernetes-list-map-keys is non-empty";
            match list_type {
                "" => errors.push(FieldError::required(&here, why)),
                other => errors.push(FieldError::invalid(&here, other, why)),
            }
        }
        return;
    }
    let inner = &schema["items"];
    if keys.is_empty() {
        let why = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required(&keys_at, why));
    }
    if text(inner, "type") != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(&path.child("items").child("type"), text(inner, "type"), why));
    }
    let required: Vec<&str> = items(inner, "required").iter().filter_map(Value::as_str).collect();
    for (at, key) in keys.iter().enumerate() {
        let key = key.as_str().unwrap_or_default();
        let Some(field) = inner["properties"].get(key) else {
            let why = "must be a property of the items schema";
            errors.push(FieldError::invalid(&keys_at.index(at), key, why));
            continue;
        };
        if matches!(text(field, "type"), "array" | "object") {
            let here = path.child("items").child("properties").key(key).child("type");
            let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(&here, text(field, "type"), why));
        }
        if field.get("default").is_none() && !required.contains(&key) {
            let here = path.child("items").child("properties").key(key).child("default");
            let why =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(&here, why));
        }
    }
}

/// Inside allOf, anyOf, oneOf and not: values may be narrowed there, nothing else said.
fn nested(schema: &Value, outer: &Value, path: &Path, depth: usize, errors: &mut ErrorList) {
    if depth > MAX_DEPTH {
        errors.push(FieldError::forbidden(path, "schema is nested too deeply"));
        return;
    }
    let is_alternative = is(outer, "x-kubernetes-int-or-string");
    for field in ["type", "description", "title", "default", "nullable", "additionalProperties"] {
        let given = &schema[field];
        let is_set = !given.is_null() && *given != false && *given != "";
        let allowed = field == "type" && is_alternative;
        if is_set && !allowed {
            errors.push(FieldError::forbidden(&path.child(field), "must be empty to be structural"));
        }
    }
    for mark in STRUCTURAL {
        if !schema[mark].is_null() {
            errors.push(FieldError::forbidden(&path.child(mark), "must be empty to be structural"));
        }
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let here = path.child("properties").key(name);
        nested(inner, &outer["properties"][name.as_str()], &here, depth + 1, errors);
    }
    if schema["items"].is_object() {
        nested(&schema["items"], &outer["items"], &path.child("items"), depth + 1, errors);
    }
    for junctor in JUNCTORS {
        for (at, inner) in items(schema, junctor).iter().enumerate() {
            nested(inner, outer, &path.child(junctor).index(at), depth + 1, errors);
        }
    }
    if schema["not"].is_object() {
        nested(&schema["not"], outer, &path.child("not"), depth + 1, errors);
    }
}

/// Defaults must be what the schema itself would take.
fn defaults(schema: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(value) = schema.get("default").filter(|value| !value.is_null()) {
        let here = path.child("default");
        let wrapped = serde_json::json!({"type": "object", "properties": {"default": schema}});
        let compiled = Compiled::new("", &wrapped, false);
        let mut pruned = serde_json::json!({"default": value});
        if !wire::prune::prune(&mut pruned, &compiled.schema, compiled.root).is_empty() {
            errors.push(FieldError::invalid(&here, value.clone(), "must not have unknown fields"));
        } else {
            Check::new(schema).run(value, None, &here, errors);
            if let Some(rules) = crate::custom::cel::Node::of_part(schema).filter(|_| errors.is_empty()) {
                errors.extend(rules.refusals_at(value, &here));
            }
        }
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        defaults(inner, &path.child("properties").key(name), errors);
    }
    for field in ["additionalProperties", "items"] {
        if schema[field].is_object() {
            defaults(&schema[field], &path.child(field), errors);
        }
    }
}
