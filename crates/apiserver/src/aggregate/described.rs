//! What an aggregated server says of its group and version in OpenAPI v2: the part of its document that
//! goes into `/openapi/v2`, and the same as version 3 for servers that know no other.
//!
//! Kept from look to look, so only what paths and kinds need is taken.

use kinds::openapi::{Document, Others};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

const V2: &str = "#/definitions/";
const V3: &str = "#/components/schemas/";
const IDENTITY: &str = "x-kubernetes-group-version-kind";

#[derive(Debug, PartialEq)]
pub struct Described {
    paths: Map<String, Value>,
    definitions: Map<String, Value>,
    /// Changes with the rest.
    pub fingerprint: u64,
}

impl Described {
    /// `root` is `/apis/GROUP/VERSION`. None: the document is none, or says nothing of it.
    pub fn read(document: &[u8], root: &str) -> Option<Self> {
        let Value::Object(mut document) = serde_json::from_slice(document).ok()? else { return None };
        let mut paths = object(document.remove("paths"));
        paths.retain(|path, _| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
        let mut definitions = object(document.remove("definitions"));
        let mut used = BTreeSet::new();
        paths.values().for_each(|path| references(path, &mut used));
        for (name, definition) in &definitions {
            let mut kinds = definition[IDENTITY].as_array().into_iter().flatten();
            if kinds.any(|kind| root == format!("/apis/{}/{}", text(kind, "group"), text(kind, "version"))) {
                used.insert(name.clone());
            }
        }
        let mut open: Vec<String> = used.iter().cloned().collect();
        while let Some(name) = open.pop() {
            let mut next = BTreeSet::new();
            definitions.get(&name).into_iter().for_each(|definition| references(definition, &mut next));
            open.extend(next.into_iter().filter(|name| used.insert(name.clone())));
        }
        definitions.retain(|name, _| used.contains(name));
        if paths.is_empty() {
            return None;
        }
        let fingerprint = fingerprint(&json!([paths, definitions]).to_string());
        Some(Described { paths, definitions, fingerprint })
    }

    /// As a server that knows version 3 would say it.
    pub fn as_v3(&self) -> Document {
        let paths: Map<String, Value> =
            self.paths.iter().map(|(path, item)| (path.clone(), path_of_v3(item))).collect();
        let mut document = json!({
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "unversioned"},
            "paths": paths,
            "components": {"schemas": self.definitions},
        });
        rename(&mut document, &|name| name.strip_prefix(V2).map(|name| format!("{V3}{name}")));
        Document {
            body: document.to_string().into(),
            media_type: "application/json",
            etag: format!("\"{:016X}\"", self.fingerprint),
        }
    }
}

/// Another server's words as a number of ours.
pub fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// All of them in one: definitions of one name that say different things are told apart by a number.
pub fn merged(all: &[Arc<Described>]) -> Others {
    let mut others = Others::default();
    for one in all {
        others.fingerprint = others.fingerprint.rotate_left(7) ^ one.fingerprint;
        let taken = |name: &str, others: &Others| {
            let before = others.definitions.get(name);
            before.is_some_and(|before| *before != one.definitions[name])
        };
        let clashes: Vec<&String> = one.definitions.keys().filter(|name| taken(name, &others)).collect();
        let suffix = (2..)
            .map(|number| format!("_v{number}"))
            .find(|suffix| clashes.iter().all(|name| !others.definitions.contains_key(&format!("{name}{suffix}"))));
        let suffix = suffix.unwrap_or_default();
        let own_name = |name: &str| match clashes.iter().any(|clash| *clash == name) {
            true => format!("{name}{suffix}"),
            false => name.to_owned(),
        };
        let adjusted = |value: &Value| {
            let mut value = value.clone();
            rename(&mut value, &|name| name.strip_prefix(V2).map(|name| format!("{V2}{}", own_name(name))));
            value
        };
        for (path, item) in &one.paths {
            others.paths.insert(path.clone(), adjusted(item));
        }
        for (name, definition) in &one.definitions {
            others.definitions.insert(own_name(name), adjusted(definition));
        }
    }
    others
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_default()
}

/// The names of the definitions that a part refers to.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(name) = map.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix(V2)) {
                found.insert(name.to_owned());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

fn rename(value: &mut Value, new: &dyn Fn(&str) -> Option<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value.as_str().filter(|_| key == "$ref").and_then(new) {
                    Some(name) => *value = name.into(),
                    None => rename(value, new),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| rename(value, new)),
        _ => {}
    }
}

fn path_of_v3(item: &Value) -> Value {
    let mut item = object(Some(item.clone()));
    for (key, part) in &mut item {
        match key.as_str() {
            "parameters" => *part = parameters(part).into(),
            "get" | "put" | "post" | "delete" | "options" | "head" | "patch" => *part = operation(part),
            _ => {}
        }
    }
    item.into()
}

fn operation(given: &Value) -> Value {
    let mut operation = object(Some(given.clone()));
    let media = |field: &str| {
        let named: Vec<String> =
            given[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        if named.is_empty() { vec!["*/*".to_owned()] } else { named }
    };
    let content = |media: Vec<String>, schema: &Value| -> Value {
        media.into_iter().map(|media| (media, json!({"schema": schema}))).collect::<Map<_, _>>().into()
    };
    ["consumes", "produces", "schemes"].iter().for_each(|field| {
        operation.remove(*field);
    });
    let all = given["parameters"].as_array().cloned().unwrap_or_default();
    if let Some(body) = all.iter().find(|one| one["in"] == "body") {
        let mut request = json!({"content": content(media("consumes"), &body["schema"])});
        if body["required"] == true {
            request["required"] = true.into();
        }
        operation.insert("requestBody".to_owned(), request);
    }
    if given["parameters"].is_array() {
        operation.insert("parameters".to_owned(), parameters(&given["parameters"]).into());
    }
    if let Some(Value::Object(responses)) = operation.get_mut("responses") {
        for response in responses.values_mut().filter_map(Value::as_object_mut) {
            if let Some(schema) = response.remove("schema") {
                response.insert("content".to_owned(), content(media("produces"), &schema));
            }
        }
    }
    operation.into()
}

/// Those that are no body: what they are like moves into a schema.
fn parameters(given: &Value) -> Vec<Value> {
    let parameters =
        given.as_array().into_iter().flatten().filter(|one| one["in"] != "body" && one["in"] != "formData");
    let moved = parameters.map(|one| {
        let (mut parameter, mut schema) = (Map::new(), Map::new());
        for (key, value) in one.as_object().into_iter().flatten() {
            let stays =
                ["name", "in", "required", "description", "$ref"].contains(&key.as_str()) || key.starts_with("x-");
            let part = if stays { &mut parameter } else { &mut schema };
            part.insert(key.clone(), value.clone());
        }
        if !schema.is_empty() {
            parameter.insert("schema".to_owned(), schema.into());
        }
        Value::Object(parameter)
    });
    moved.collect()
}

#[cfg(test)]
mod tests;
