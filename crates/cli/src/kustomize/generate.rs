//! ConfigMaps and Secrets from literals, files and env files, and the hashes in their names.

use super::file::{Kustomization, pairs};
use super::load;
use super::resource::{Resource, effective};
use crate::failure::{Failure, Outcome};
use base64::Engine;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;

/// Lines of encoded bytes are cut here.
const LINE: usize = 70;

pub fn generate(root: &Path, file: &Kustomization, all: &mut Vec<Resource>) -> Outcome {
    for (field, kind) in [("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")] {
        for entry in file.list(field) {
            let made = make(root, entry, kind, file.get("generatorOptions"))?;
            let behavior = entry["behavior"].as_str().unwrap_or("create");
            place(all, made, behavior)?;
        }
    }
    Ok(())
}

fn make(root: &Path, entry: &Value, kind: &str, common: &Value) -> Outcome<Resource> {
    let own = &entry["options"];
    let mut metadata = json!({"name": entry["name"].as_str().unwrap_or_default()});
    if let Some(namespace) = entry["namespace"].as_str() {
        metadata["namespace"] = json!(namespace);
    }
    for field in ["labels", "annotations"] {
        let mut all = pairs(&common[field]);
        all.extend(pairs(&own[field]));
        if !all.is_empty() {
            metadata[field] = Value::Object(all);
        }
    }
    let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": metadata});
    let is_secret = kind == "Secret";
    if is_secret {
        object["type"] = json!(entry["type"].as_str().unwrap_or("Opaque"));
    }
    for (key, bytes) in data(root, entry)? {
        let field = match String::from_utf8(bytes) {
            Ok(text) if !is_secret => {
                object["data"][key] = json!(text);
                continue;
            }
            Ok(text) => ("data", text.into_bytes()),
            Err(why) => (if is_secret { "data" } else { "binaryData" }, why.into_bytes()),
        };
        object[field.0][key] = json!(encode(&field.1));
    }
    if own["immutable"] == true || common["immutable"] == true {
        object["immutable"] = json!(true);
    }
    let mut resource = Resource::new(object);
    resource.hashed = common["disableNameSuffixHash"] != true && own["disableNameSuffixHash"] != true;
    Ok(resource)
}

fn encode(bytes: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    if text.len() <= LINE {
        return text;
    }
    let lines = text.as_bytes().chunks(LINE).map(String::from_utf8_lossy);
    lines.map(|line| format!("{line}\n")).collect()
}

fn data(root: &Path, entry: &Value) -> Outcome<Vec<(String, Vec<u8>)>> {
    let texts = |field: &str| entry[field].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut data: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |key: &str, bytes: Vec<u8>| {
        if data.iter().any(|(known, _)| known == key) {
            let text = format!("cannot add key {key}, another key by that name already exists");
            return Err(Failure::message(text));
        }
        data.push((key.to_owned(), bytes));
        Ok(())
    };
    for name in texts("envs").chain(entry["env"].as_str()) {
        for line in load::read(root, name)?.lines().map(str::trim_start) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.split_once('=') {
                Some((key, value)) => add(key, value.as_bytes().to_vec())?,
                None => add(line, std::env::var(line).unwrap_or_default().into_bytes())?,
            }
        }
    }
    for literal in texts("literals") {
        let Some((key, value)) = literal.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(Failure::message(format!("invalid literal source {literal}, expected key=value")));
        };
        add(key, unquoted(value).as_bytes().to_vec())?;
    }
    for source in texts("files") {
        let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let (key, path) = match source.split_once('=') {
            Some((key, path)) => (key.to_owned(), path),
            None => (base(source), source),
        };
        add(&key, load::read_bytes(root, path)?)?;
    }
    Ok(data)
}

fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    value
}

/// Adds what was generated, or lays it over (or in place of) what a layer below generated.
fn place(all: &mut Vec<Resource>, made: Resource, behavior: &str) -> Outcome {
    let is_it = |one: &&mut Resource| {
        one.kind() == made.kind()
            && one.api_version() == made.api_version()
            && one.was_called(made.name())
            && (made.namespace().is_empty() || one.was_in(made.namespace()))
    };
    let known = all.iter_mut().find(is_it);
    match (behavior, known) {
        ("create" | "unspecified", None) => {
            all.push(made);
            Ok(())
        }
        ("create" | "unspecified", Some(one)) if effective(one.namespace()) == effective(made.namespace()) => {
            Err(Failure::message(format!(
                "merging from generator: id {} exists; behavior must be merge or replace",
                made.shown()
            )))
        }
        ("create" | "unspecified", Some(_)) => {
            all.push(made);
            Ok(())
        }
        ("merge" | "replace", Some(one)) => {
            lay_over(one, &made, behavior == "merge");
            Ok(())
        }
        ("merge" | "replace", None) => Err(Failure::message(format!(
            "merging from generator: id {} does not exist; cannot merge or replace",
            made.shown()
        ))),
        (other, _) => Err(Failure::message(format!("illegal behavior: {other}"))),
    }
}

fn lay_over(one: &mut Resource, made: &Resource, merges: bool) {
    for field in ["labels", "annotations"] {
        let mut all = pairs(&one.object["metadata"][field]);
        all.extend(pairs(&made.object["metadata"][field]));
        if !all.is_empty() {
            one.object["metadata"][field] = Value::Object(all);
        }
    }
    for field in ["data", "binaryData"] {
        let mut all = if merges { one.object[field].as_object().cloned().unwrap_or_default() } else { Map::new() };
        all.extend(made.object[field].as_object().cloned().unwrap_or_default());
        if all.is_empty() {
            one.object.as_object_mut().map(|map| map.remove(field));
        } else {
            one.object[field] = Value::Object(all);
        }
    }
    for field in ["type", "immutable"] {
        if let Some(value) = made.object.get(field) {
            one.object[field] = value.clone();
        }
    }
    one.hashed = made.hashed;
}

/// The content of a ConfigMap, a Secret or anything else, in a few letters. kustomize leaves the
/// name out of it.
pub fn hash(object: &Value) -> String {
    hash_named(object, "")
}

/// The same as `--append-hash` makes it, with the name.
pub fn hash_named(object: &Value, name: &str) -> String {
    let kind = object["kind"].as_str().unwrap_or_default();
    let encoded = match kind {
        "ConfigMap" | "Secret" => {
            let mut content = json!({"kind": kind, "name": name});
            // Without data kustomize counts an empty text, kubectl an empty map.
            content["data"] = match object.get("data") {
                Some(data) => data.clone(),
                None if name.is_empty() => json!(""),
                None => json!({}),
            };
            for field in ["binaryData", "stringData"] {
                if object[field].is_object() {
                    content[field] = object[field].clone();
                }
            }
            if kind == "Secret" {
                content["type"] = json!(object["type"].as_str().unwrap_or_default());
            }
            content
        }
        _ => object.clone(),
    };
    let digest = Sha256::digest(crate::print::json::compact(&encoded).as_bytes());
    let letters: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    // Neither vowels nor what looks like them, so that no words come out.
    let letter = |c: char| match c {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        other => other,
    };
    letters.chars().map(letter).collect()
}
