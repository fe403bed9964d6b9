//! Merging an applied object into the live one, taking items away, and checking that an applied
//! object can be told apart field by field.

use super::compare::side_by_side;
use super::elements::{Division, division, element, element_at, in_step, key_value, same_item};
use super::fieldset::{Element, FieldSet, Node};
use crate::place::Place;
use crate::schema::Name;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// `live` with what `config` sets, and without the field of `live` that the path `without` names.
pub(super) fn merge(live: &Value, config: &Value, place: Place<'_>, without: &[&str]) -> Value {
    match (division(&place, Some(config)), live, config) {
        // Null for a container is nothing applied in it.
        (Division::Fields | Division::Items(_), live, Value::Null) => live.clone(),
        (Division::Fields, Value::Object(live), Value::Object(config)) => {
            let merged = side_by_side(Some(live), Some(config)).filter_map(|(name, old, value)| {
                let below = if without.first() == Some(&name.as_str()) { &without[1..] } else { &[] };
                let merged = match (old.filter(|_| without != [name.as_str()]), value) {
                    (Some(old), Some(value)) => merge(old, value, place.child(name), below),
                    (Some(old), None) => without_field(old, below),
                    (None, value) => value?.clone(),
                };
                Some((name.clone(), merged))
            });
            Value::Object(merged.collect())
        }
        (Division::Items(keys), Value::Array(live), Value::Array(config)) => {
            Value::Array(merge_items(live, config, keys, place.item()))
        }
        (_, _, config) => config.clone(),
    }
}

/// A copy without the field at the path.
fn without_field(value: &Value, path: &[&str]) -> Value {
    let (Some((first, rest)), Value::Object(map)) = (path.split_first(), value) else { return value.clone() };
    let kept = map.iter().filter(|(name, _)| !(rest.is_empty() && name == first));
    let copied = kept.map(|(name, field)| match name == first {
        true => (name.clone(), without_field(field, rest)),
        false => (name.clone(), field.clone()),
    });
    Value::Object(copied.collect())
}

/// The applied order, with items that only the live list has where they stood.
fn merge_items(live: &[Value], config: &[Value], keys: Option<&[Name]>, place: Place<'_>) -> Vec<Value> {
    if in_step(live, config, keys, &place) {
        return live.iter().zip(config).map(|(old, value)| merge(old, value, place, &[])).collect();
    }
    let name = |(at, one): (usize, &Value)| element_at(at, one, keys, &place);
    let live_names: Vec<Element<'_>> = live.iter().enumerate().map(name).collect();
    let config_names: Vec<Element<'_>> = config.iter().enumerate().map(name).collect();
    let applied: BTreeSet<&Element<'_>> = config_names.iter().collect();
    let mut by_name: BTreeMap<&Element<'_>, &Value> = live_names.iter().zip(live).collect();
    let shared: Vec<&Element<'_>> = config_names.iter().filter(|name| by_name.contains_key(name)).collect();
    let mut next_shared = shared.into_iter().peekable();
    let mut left = live_names.iter().peekable();
    let mut right = config_names.iter().zip(config).peekable();
    let mut merged = Vec::with_capacity(live.len().max(config.len()));
    loop {
        match (left.peek().copied(), right.peek().map(|(name, _)| *name)) {
            (None, None) => return merged,
            (Some(l), _) if !applied.contains(l) => {
                merged.extend(by_name.remove(l).cloned());
                left.next();
            }
            // Shared, but its turn comes elsewhere in the applied order.
            (Some(l), r) if r.is_none() || (Some(l) != r && next_shared.peek() != Some(&l)) => {
                left.next();
            }
            (l, _) => {
                let Some((name, value)) = right.next() else { return merged };
                let old = by_name.remove(name).unwrap_or(&Value::Null);
                merged.push(merge(old, value, place, &[]));
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
pub(super) fn remove_items(value: &mut Value, set: &FieldSet<'_>, place: Place<'_>) {
    remove_below(value, &set.0, place);
}

fn remove_below(value: &mut Value, node: &Node<'_>, place: Place<'_>) {
    match (division(&place, Some(value)), value) {
        (Division::Fields, Value::Object(map)) => {
            for (element, inner) in &node.below {
                let Some(name) = element.name() else { continue };
                let Some(field) = map.get_mut(name) else { continue };
                if inner.member || emptied(field, inner, place.child(name)) {
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
                match node.get(&name) {
                    Some(inner) if inner.member => false,
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
fn emptied(value: &mut Value, node: &Node<'_>, place: Place<'_>) -> bool {
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
    check_below(value, place, &Trail { above: None, step: Step::Root })
}

/// The way from the root, spelled out only where something is wrong.
struct Trail<'t> {
    above: Option<&'t Trail<'t>>,
    step: Step<'t>,
}

enum Step<'t> {
    Root,
    Field(&'t str),
    Item(&'t Value, Option<&'t [Name]>, Place<'t>),
}

impl Trail<'_> {
    /// Right below the root.
    fn is_first(&self) -> bool {
        self.above.is_some_and(|above| matches!(above.step, Step::Root))
    }

    fn printed(&self) -> String {
        let above = self.above.map(Trail::printed).unwrap_or_default();
        match &self.step {
            Step::Root => above,
            Step::Field(name) => format!("{above}.{name}"),
            Step::Item(item, keys, place) => {
                let element = element(item, *keys, place);
                format!("{above}{}", element.map(|element| element.printed()).unwrap_or_default())
            }
        }
    }
}

fn check_below(value: &Value, place: Place<'_>, trail: &Trail<'_>) -> Result<(), String> {
    match (division(&place, Some(value)), value) {
        (_, Value::Null) => {}
        (Division::Fields, Value::Object(map)) => check_fields(map, place, trail)?,
        (Division::Fields, other) if place.shape().is_some() => {
            return Err(format!("{}: expected map, got {}", trail.printed(), described(other)));
        }
        (Division::Items(keys), Value::Array(list)) => check_items(list, keys, place.item(), trail)?,
        (Division::Items(_), other) => {
            return Err(format!("{}: expected list, got {}", trail.printed(), described(other)));
        }
        (Division::Leaf | Division::Fields, _) => {}
    }
    Ok(())
}

/// Comparing each item with all others is quickest where they are few.
const FEW: usize = 64;

fn check_items(list: &[Value], keys: Option<&[Name]>, item: Place<'_>, trail: &Trail<'_>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (at, one) in list.iter().enumerate() {
        let missing = keys.into_iter().flatten().find(|key| key_value(one, key, &item).is_none());
        if let Some(key) = missing {
            return Err(format!(
                "{}: element {at}: associative list with keys has an element that omits key field {:?} (and doesn't have default value)",
                trail.printed(),
                key.as_ref()
            ));
        }
        let is_twice = match list.len() {
            0..=FEW => list[..at].iter().any(|other| same_item(other, one, keys, &item)),
            _ => !seen.insert(element_at(at, one, keys, &item)),
        };
        if is_twice {
            let printed = element_at(at, one, keys, &item).printed();
            return Err(format!("{}: duplicate entries for key {printed}", trail.printed()));
        }
        check_below(one, item, &Trail { above: Some(trail), step: Step::Item(one, keys, item) })?;
    }
    Ok(())
}

fn check_fields(map: &Map<String, Value>, place: Place<'_>, trail: &Trail<'_>) -> Result<(), String> {
    let closed = place.structure().is_some_and(|structure| !structure.preserve_unknown);
    for (name, inner) in map {
        let child = place.child(name);
        let trail = Trail { above: Some(trail), step: Step::Field(name) };
        // apiVersion and kind stand outside of most structs' field lists.
        let type_meta = trail.is_first() && matches!(name.as_str(), "apiVersion" | "kind");
        if closed && child.shape().is_none() && !type_meta {
            return Err(format!("{}: field not declared in schema", trail.printed()));
        }
        check_below(inner, child, &trail)?;
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
                let printed = element_at(at, one, keys, &item).printed();
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
