//! Merging an applied object into the live one, taking items away, and checking that an applied
//! object can be told apart field by field.

use super::elements::{Division, division, element, element_at};
use super::fieldset::{FieldSet, Node, is_member};
use crate::place::Place;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// `live` with what `config` sets.
pub(super) fn merge(live: Value, config: Value, place: Place<'_>) -> Value {
    match (division(&place, Some(&config)), live, config) {
        // Null for a container is nothing applied in it.
        (Division::Fields | Division::Items(_), live, Value::Null) => live,
        (Division::Fields, Value::Object(mut live), Value::Object(config)) => {
            for (name, value) in config {
                let child = place.child(&name);
                let old = live.remove(&name).unwrap_or(Value::Null);
                live.insert(name, merge(old, value, child));
            }
            Value::Object(live)
        }
        (Division::Items(keys), Value::Array(live), Value::Array(config)) => {
            Value::Array(merge_items(live, config, keys, place.item()))
        }
        (_, _, config) => config,
    }
}

/// The applied order, with items that only the live list has where they stood.
fn merge_items(
    live: Vec<Value>,
    config: Vec<Value>,
    keys: Option<&[crate::schema::Name]>,
    place: Place<'_>,
) -> Vec<Value> {
    let name = |(at, one): (usize, &Value)| element_at(at, one, keys, &place);
    let live_names: Vec<String> = live.iter().enumerate().map(name).collect();
    let config_names: Vec<String> = config.iter().enumerate().map(name).collect();
    let applied: BTreeSet<&str> = config_names.iter().map(String::as_str).collect();
    let mut by_name: BTreeMap<&str, Value> = live_names.iter().map(String::as_str).zip(live).collect();
    let shared: Vec<&str> = config_names.iter().map(String::as_str).filter(|name| by_name.contains_key(name)).collect();
    let mut next_shared = shared.into_iter().peekable();
    let mut left = live_names.iter().map(String::as_str).peekable();
    let mut right = config_names.iter().map(String::as_str).zip(config).peekable();
    let mut merged = Vec::new();
    loop {
        match (left.peek().copied(), right.peek().map(|(name, _)| *name)) {
            (None, None) => return merged,
            (Some(l), _) if !applied.contains(l) => {
                merged.extend(by_name.remove(l));
                left.next();
            }
            // Shared, but its turn comes elsewhere in the applied order.
            (Some(l), r) if r.is_none() || (Some(l) != r && next_shared.peek() != Some(&l)) => {
                left.next();
            }
            (l, _) => {
                let Some((name, value)) = right.next() else { return merged };
                let old = by_name.remove(name).unwrap_or(Value::Null);
                merged.push(merge(old, value, place));
                if next_shared.peek() == Some(&name) {
                    next_shared.next();
                }
                if l == Some(name) {
                    left.next();
                }
            }
        }
    }
}

/// Takes the members of a set out of a value, with all below them.
pub(super) fn remove_items(value: &mut Value, set: &FieldSet, place: Place<'_>) {
    remove_below(value, &set.0, place);
}

fn remove_below(value: &mut Value, node: &Node, place: Place<'_>) {
    match (division(&place, Some(value)), value) {
        (Division::Fields, Value::Object(map)) => {
            for (key, inner) in super::fieldset::children(node) {
                let Some(name) = key.strip_prefix("f:") else { continue };
                let Some(field) = map.get_mut(name) else { continue };
                if is_member(inner) || emptied(field, inner, place.child(name)) {
                    map.remove(name);
                }
            }
        }
        (Division::Items(keys), Value::Array(list)) => {
            let item = place.item();
            let mut at = 0;
            list.retain_mut(|one| {
                let name = element_at(at, one, keys, &item);
                at += 1;
                match node.get(&name).and_then(Value::as_object) {
                    Some(inner) if is_member(inner) => false,
                    Some(inner) => {
                        remove_below(one, inner, item);
                        true
                    }
                    None => true,
                }
            });
        }
        _ => {}
    }
}

/// Removes below a value, and says whether that left nothing of it.
fn emptied(value: &mut Value, node: &Node, place: Place<'_>) -> bool {
    let empty = |value: &Value| match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    let was_empty = empty(value);
    remove_below(value, node, place);
    !was_empty && empty(value)
}

/// Refuses fields that the schema does not know, items without their keys, and items given twice.
pub(super) fn check(value: &Value, place: Place<'_>) -> Result<(), String> {
    check_below(value, place, &mut String::new())
}

fn check_below(value: &Value, place: Place<'_>, path: &mut String) -> Result<(), String> {
    let length = path.len();
    match (division(&place, Some(value)), value) {
        (_, Value::Null) => {}
        (Division::Fields, Value::Object(map)) => check_fields(map, place, path)?,
        (Division::Fields, other) if place.shape().is_some() => {
            return Err(format!("{path}: expected map, got {}", described(other)));
        }
        (Division::Items(keys), Value::Array(list)) => {
            let item = place.item();
            let mut seen = BTreeSet::new();
            for (at, one) in list.iter().enumerate() {
                let name = element(one, keys, &item).map_err(|key| {
                    format!("{path}: element {at}: associative list with keys has an element that omits key field {key:?} (and doesn't have default value)")
                })?;
                let printed = FieldSet(Node::from_iter([(name.clone(), Value::Object(Node::new()))])).paths().concat();
                if !seen.insert(name) {
                    return Err(format!("{path}: duplicate entries for key {printed}"));
                }
                path.push_str(&printed);
                check_below(one, item, path)?;
                path.truncate(length);
            }
        }
        (Division::Items(_), other) => return Err(format!("{path}: expected list, got {}", described(other))),
        (Division::Leaf | Division::Fields, _) => {}
    }
    Ok(())
}

fn check_fields(map: &Map<String, Value>, place: Place<'_>, path: &mut String) -> Result<(), String> {
    let length = path.len();
    for (name, inner) in map {
        let child = place.child(name);
        path.push('.');
        path.push_str(name);
        let closed = place.structure().is_some_and(|structure| !structure.preserve_unknown);
        // apiVersion and kind stand outside of most structs' field lists.
        let type_meta = length == 0 && matches!(name.as_str(), "apiVersion" | "kind");
        if closed && child.shape().is_none() && !type_meta {
            return Err(format!("{path}: field not declared in schema"));
        }
        check_below(inner, child, path)?;
        path.truncate(length);
    }
    Ok(())
}

/// The paths of all lists and maps in a value that are indivisible.
pub(super) fn atomics(value: &Value, place: Place<'_>) -> Vec<String> {
    let mut found = Vec::new();
    atomics_below(value, place, String::new(), &mut found);
    found
}

fn atomics_below(value: &Value, place: Place<'_>, path: String, found: &mut Vec<String>) {
    match (division(&place, Some(value)), value) {
        (Division::Fields, Value::Object(map)) => {
            for (name, inner) in map {
                atomics_below(inner, place.child(name), format!("{path}.{name}"), found);
            }
        }
        (Division::Items(keys), Value::Array(list)) => {
            let item = place.item();
            for (at, one) in list.iter().enumerate() {
                let name = element_at(at, one, keys, &item);
                let printed = FieldSet(Node::from_iter([(name, Value::Object(Node::new()))])).paths().concat();
                atomics_below(one, item, format!("{path}{printed}"), found);
            }
        }
        (Division::Leaf, Value::Object(_) | Value::Array(_)) => found.push(path),
        _ => {}
    }
}

fn described(value: &Value) -> String {
    format!("&{{{value}}}")
}
