//! Patches: strategic merges and JSON patches, for what they name or for all that a target selects.

use super::file::Kustomization;
use super::load;
use super::resource::Resource;
use crate::failure::{Failure, Outcome};
use serde_json::{Map, Value};
use std::path::Path;
use wire::schema::{Cursor, Shape};

/// `patchesStrategicMerge`: files or texts that name what they change.
pub fn strategic(root: &Path, file: &Kustomization, all: &mut Vec<Resource>) -> Outcome {
    for entry in file.texts("patchesStrategicMerge") {
        let text = if entry.contains('\n') { entry.to_owned() } else { load::read(root, entry)? };
        for patch in load::parse(&text, entry)? {
            apply_by_name(all, &patch)?;
        }
    }
    Ok(())
}

/// `patches`: of either form.
pub fn targeted(root: &Path, file: &Kustomization, all: &mut Vec<Resource>) -> Outcome {
    for entry in file.list("patches") {
        let text = text_of(root, entry)?;
        let operations = operations(&text);
        let target = &entry["target"];
        match (operations, target.is_object()) {
            (Some(patch), true) => json_to_all(all, target, &patch)?,
            (Some(_), false) => return Err(Failure::message("must specify a target for JSON patch")),
            (None, false) => {
                for patch in load::parse(&text, "patch")? {
                    apply_by_name(all, &patch)?;
                }
            }
            (None, true) => {
                let patch = wire::yaml::parse(&text).map_err(|why| Failure::message(why.to_string()))?;
                let mut gone = Vec::new();
                for at in selected(all, target)? {
                    // Unless asked, a patch for many does not rename them.
                    if apply(&mut all[at], &patch, target_options(entry))? {
                        gone.push(at);
                    }
                }
                gone.into_iter().rev().for_each(|at| {
                    all.remove(at);
                });
            }
        }
    }
    Ok(())
}

/// `patchesJson6902`.
pub fn json(root: &Path, file: &Kustomization, all: &mut [Resource]) -> Outcome {
    for entry in file.list("patchesJson6902") {
        let text = text_of(root, entry)?;
        let Some(patch) = operations(&text) else {
            return Err(Failure::message(format!("unable to parse a JSON patch from {text:?}")));
        };
        json_to_all(all, &entry["target"], &patch)?;
    }
    Ok(())
}

fn text_of(root: &Path, entry: &Value) -> Outcome<String> {
    match (entry["patch"].as_str(), entry["path"].as_str()) {
        (Some(text), None) => Ok(text.to_owned()),
        (None, Some(path)) => load::read(root, path),
        (None, None) => Err(Failure::message("must specify one of patch and path in a patch")),
        (Some(_), Some(_)) => Err(Failure::message("patch and path can't be set at the same time")),
    }
}

/// The operations of a JSON patch, in JSON or YAML.
fn operations(text: &str) -> Option<String> {
    let value = wire::yaml::parse(text).ok()?;
    value.is_array().then(|| value.to_string())
}

fn json_to_all(all: &mut [Resource], target: &Value, patch: &str) -> Outcome {
    for at in selected(all, target)? {
        let resource = &mut all[at];
        resource.object = wire::patch::json_patch(&resource.object, patch.as_bytes())
            .map_err(|why| Failure::message(format!("{}: {why}", resource.shown())))?;
    }
    Ok(())
}

/// Where the resources stand that a target selects: by kind, by names as whole patterns, by labels.
pub fn selected(all: &[Resource], target: &Value) -> Outcome<Vec<usize>> {
    let text = |field: &str| target[field].as_str().unwrap_or_default();
    let pattern = |field: &str| {
        let whole = if text(field).is_empty() { String::new() } else { format!("^(?:{})$", text(field)) };
        regex::Regex::new(&whole).map_err(|why| Failure::message(why.to_string()))
    };
    let (name, namespace) = (pattern("name")?, pattern("namespace")?);
    let (group, version, kind) = (pattern("group")?, pattern("version")?, pattern("kind")?);
    let selector =
        |field: &str| meta::labels::Selector::parse(text(field)).map_err(|why| Failure::message(why.to_string()));
    let (labels, annotations) = (selector("labelSelector")?, selector("annotationSelector")?);
    let is_meant = |one: &Resource| {
        let metadata = &one.object["metadata"];
        group.is_match(one.group())
            && version.is_match(one.version())
            && kind.is_match(one.kind())
            && one.ids().any(|(_, own)| name.is_match(own))
            && one.ids().any(|(own, _)| text("namespace").is_empty() || namespace.is_match(own))
            && labels.matches_with(|key| metadata["labels"][key].as_str())
            && annotations.matches_with(|key| metadata["annotations"][key].as_str())
    };
    Ok((0..all.len()).filter(|at| is_meant(&all[*at])).collect())
}

#[derive(Clone, Copy)]
struct Options {
    rename: bool,
    change_kind: bool,
}

fn target_options(entry: &Value) -> Options {
    let options = &entry["options"];
    Options { rename: options["allowNameChange"] == true, change_kind: options["allowKindChange"] == true }
}

fn apply_by_name(all: &mut Vec<Resource>, patch: &Value) -> Outcome {
    let like = Resource::new(patch.clone());
    let is_meant = |one: &Resource| {
        one.kind() == like.kind()
            && one.group() == like.group()
            && one.was_called(like.name())
            && (like.namespace().is_empty() || one.was_in(like.namespace()))
    };
    let Some(at) = all.iter().position(is_meant) else {
        return Err(Failure::message(format!(
            "no resource matches strategic merge patch {:?}: no matches for Id {0}; failed to find unique target for patch {0}",
            like.shown()
        )));
    };
    if apply(&mut all[at], patch, Options { rename: false, change_kind: false })? {
        all.remove(at);
    }
    Ok(())
}

/// Whether the patch takes the resource away.
fn apply(resource: &mut Resource, patch: &Value, options: Options) -> Outcome<bool> {
    if patch["$patch"] == "delete" {
        return Ok(true);
    }
    let id = kinds::type_of_version(resource.api_version(), resource.kind());
    let cursor = id.map(|id| kinds::schema().cursor(id));
    let before = resource.object.clone();
    let merged = merge(before.clone(), patch.clone(), cursor.as_ref());
    resource.object = merged.unwrap_or(Value::Null);
    let keep = |object: &mut Value, path: &[&str]| {
        let old = path.iter().fold(&before, |value, key| &value[*key]).clone();
        let new = path.iter().fold(object, |value, key| &mut value[*key]);
        *new = old;
    };
    if !options.rename {
        keep(&mut resource.object, &["metadata", "name"]);
    }
    if !options.change_kind {
        keep(&mut resource.object, &["kind"]);
        keep(&mut resource.object, &["apiVersion"]);
    }
    Ok(false)
}

/// Lays `patch` over `old`; None where it takes the value away. Items of lists that are told apart
/// by a key come in the patch's order, those it does not name behind them.
fn merge(old: Value, patch: Value, cursor: Option<&Cursor<'_>>) -> Option<Value> {
    match (old, patch) {
        (Value::Object(old), Value::Object(patch)) => maps(old, patch, cursor),
        (Value::Array(old), Value::Array(patch)) => Some(Value::Array(lists(old, patch, cursor))),
        (_, Value::Null) => None,
        (_, Value::Object(patch)) => maps(Map::new(), patch, cursor),
        (_, Value::Array(patch)) => Some(Value::Array(lists(Vec::new(), patch, cursor))),
        (_, patch) => Some(patch),
    }
}

fn maps(mut old: Map<String, Value>, mut patch: Map<String, Value>, cursor: Option<&Cursor<'_>>) -> Option<Value> {
    match patch.remove("$patch").as_ref().and_then(Value::as_str) {
        Some("delete") => return None,
        Some("replace") => old.clear(),
        _ => {}
    }
    patch.remove("$retainKeys");
    for (key, value) in patch {
        let child = cursor.and_then(|cursor| cursor.child(&key));
        let known = old.remove(&key).unwrap_or(Value::Null);
        if let Some(merged) = merge(known, value, child.as_ref()) {
            old.insert(key, merged);
        }
    }
    Some(Value::Object(old))
}

fn lists(mut old: Vec<Value>, patch: Vec<Value>, cursor: Option<&Cursor<'_>>) -> Vec<Value> {
    let key = cursor.and_then(|cursor| match cursor.shape.as_ref() {
        Shape::List(list) if list.patch.merge => Some(list.patch.merge_key.as_ref().map(ToString::to_string)),
        _ => None,
    });
    let replaces = patch.iter().any(|item| item["$patch"] == "replace");
    let items = patch.into_iter().filter(|item| item["$patch"] != "replace");
    match key {
        Some(Some(key)) if !replaces => {
            let item_cursor = cursor.and_then(Cursor::item);
            let mut first = Vec::new();
            for item in items {
                let known = old.iter().position(|one| one[&key] == item[&key]);
                let before = known.map_or(Value::Null, |at| old.remove(at));
                first.extend(merge(before, item, item_cursor.as_ref()));
            }
            first.extend(old);
            first
        }
        Some(None) if !replaces => {
            let mut all: Vec<Value> = items.collect();
            let rest: Vec<Value> = old.into_iter().filter(|one| !all.contains(one)).collect();
            all.extend(rest);
            all
        }
        _ => items.collect(),
    }
}
