//! What changed between two objects, and what an object sets, as field sets.

use super::elements::{Division, always_written, division, element_at, same_item};
use super::fieldset::{FieldSet, Node, mark_member};
use crate::place::Place;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Added or modified.
    pub changed: FieldSet,
    pub removed: FieldSet,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }
}

/// One side of a comparison.
#[derive(Clone, Copy)]
enum Side<'v> {
    Absent,
    /// Not there, but Go would write its zero value.
    Zero,
    Value(&'v Value),
}

impl<'v> Side<'v> {
    fn value(self) -> Option<&'v Value> {
        match self {
            Side::Value(value) => Some(value),
            _ => None,
        }
    }

    fn is_absent(self) -> bool {
        matches!(self, Side::Absent)
    }

    fn is_empty(self) -> bool {
        match self {
            Side::Value(value) => is_zero(value),
            _ => true,
        }
    }

    fn child(self, name: &str, place: &Place<'_>) -> Side<'v> {
        let inside = match self {
            Side::Absent => return Side::Absent,
            Side::Zero => None,
            Side::Value(value) => value.get(name),
        };
        match inside {
            Some(value) => Side::Value(value),
            None if always_written(place) => Side::Zero,
            None => Side::Absent,
        }
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// Compares two objects; `old` None stands for one just made, with nothing set.
pub(super) fn compare(old: Option<&Value>, new: &Value, place: Place<'_>) -> Changes {
    let old = old.map_or(Side::Zero, Side::Value);
    let (changed, removed) = walk(old, Side::Value(new), place);
    Changes { changed: FieldSet(changed.unwrap_or_default()), removed: FieldSet(removed.unwrap_or_default()) }
}

/// The changed and removed nodes below a place, each None where there are none.
type Pair = (Option<Node>, Option<Node>);

fn walk(old: Side<'_>, new: Side<'_>, place: Place<'_>) -> Pair {
    match (old, new) {
        (Side::Value(a), Side::Value(b)) if a == b => return (None, None),
        (Side::Absent, Side::Absent) => return (None, None),
        _ => {}
    }
    let division = division(&place, new.value().or(old.value()));
    let (mut changed, mut removed) = match division {
        Division::Fields if !(old.is_empty() && new.is_empty()) => fields(old, new, place),
        Division::Items(keys) if !(old.is_empty() && new.is_empty()) => items(old, new, keys, place),
        _ => return leaf(old, new),
    };
    // Containers that come or go are members themselves.
    if old.is_absent() {
        mark_member(changed.get_or_insert_default());
    } else if new.is_absent() {
        mark_member(removed.get_or_insert_default());
    }
    (changed, removed)
}

fn leaf(old: Side<'_>, new: Side<'_>) -> Pair {
    match (old, new) {
        (Side::Absent, Side::Absent) => (None, None),
        (Side::Absent, _) => (Some(Node::new()), None),
        (_, Side::Absent) => (None, Some(Node::new())),
        _ if old.is_empty() && new.is_empty() => (None, None),
        _ => (Some(Node::new()), None),
    }
}

fn gather(pair: Pair, key: impl Fn() -> String, into: &mut Pair) {
    if let Some(node) = pair.0 {
        into.0.get_or_insert_default().insert(key(), Value::Object(node));
    }
    if let Some(node) = pair.1 {
        into.1.get_or_insert_default().insert(key(), Value::Object(node));
    }
}

fn fields(old: Side<'_>, new: Side<'_>, place: Place<'_>) -> Pair {
    let empty = Map::new();
    let (before, after) = (map_of(old, &empty), map_of(new, &empty));
    let mut pair = (None, None);
    let names = after.keys().chain(before.keys().filter(|name| !after.contains_key(*name)));
    for name in names {
        let child = place.child(name);
        let found = walk(old.child(name, &child), new.child(name, &child), child);
        gather(found, || format!("f:{name}"), &mut pair);
    }
    pair
}

fn map_of<'v>(side: Side<'v>, empty: &'v Map<String, Value>) -> &'v Map<String, Value> {
    side.value().and_then(Value::as_object).unwrap_or(empty)
}

fn list_of(side: Side<'_>) -> &[Value] {
    side.value().and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn items(old: Side<'_>, new: Side<'_>, keys: Option<&[crate::schema::Name]>, place: Place<'_>) -> Pair {
    let (before, after) = (list_of(old), list_of(new));
    let item = place.item();
    let mut pair = (None, None);
    let in_step = before.len() == after.len() && before.iter().zip(after).all(|(a, b)| same_item(a, b, keys, &item));
    if in_step {
        for (at, (a, b)) in before.iter().zip(after).enumerate() {
            let found = walk(Side::Value(a), Side::Value(b), item);
            gather(found, || element_at(at, b, keys, &item), &mut pair);
        }
        return pair;
    }
    if before.is_empty() {
        for (at, one) in after.iter().enumerate() {
            gather(walk(Side::Absent, Side::Value(one), item), || element_at(at, one, keys, &item), &mut pair);
        }
        return pair;
    }
    let named = |list: &'_ [Value]| -> Vec<String> {
        list.iter().enumerate().map(|(at, one)| element_at(at, one, keys, &item)).collect()
    };
    let (before_names, after_names) = (named(before), named(after));
    let by_name: BTreeMap<&str, &Value> = before_names.iter().map(String::as_str).zip(before).collect();
    let kept: BTreeMap<&str, ()> = after_names.iter().map(|name| (name.as_str(), ())).collect();
    for (name, one) in after_names.iter().zip(after) {
        let was = by_name.get(name.as_str()).map_or(Side::Absent, |value| Side::Value(value));
        gather(walk(was, Side::Value(one), item), || name.clone(), &mut pair);
    }
    for (name, one) in by_name.iter().filter(|(name, _)| !kept.contains_key(*name)) {
        gather(walk(Side::Value(one), Side::Absent, item), || (*name).to_owned(), &mut pair);
    }
    pair
}

/// What an applied object sets.
pub(super) fn field_set(value: &Value, place: Place<'_>) -> FieldSet {
    FieldSet(set_below(value, place).unwrap_or_default())
}

fn set_below(value: &Value, place: Place<'_>) -> Option<Node> {
    match (division(&place, Some(value)), value) {
        (Division::Fields, Value::Object(map)) => {
            let mut node = Node::new();
            for (name, inner) in map {
                let child = place.child(name);
                let empty = inner.is_null() || inner.as_object().is_some_and(Map::is_empty);
                let forced = empty || child.field().is_none();
                if let Some(found) = member(set_below(inner, child), forced) {
                    node.insert(format!("f:{name}"), Value::Object(found));
                }
            }
            (!node.is_empty()).then_some(node)
        }
        (Division::Items(keys), Value::Array(list)) => {
            let item = place.item();
            let named = list.iter().enumerate().filter_map(|(at, one)| {
                let node = member(set_below(one, item), true)?;
                Some((element_at(at, one, keys, &item), Value::Object(node)))
            });
            let node: Node = named.collect();
            (!node.is_empty()).then_some(node)
        }
        (Division::Fields | Division::Items(_), Value::Null) => None,
        _ => Some(Node::new()),
    }
}

fn member(node: Option<Node>, forced: bool) -> Option<Node> {
    match (node, forced) {
        (Some(mut node), true) => {
            mark_member(&mut node);
            Some(node)
        }
        (None, true) => Some(Node::new()),
        (node, false) => node,
    }
}

/// Adds the named fields above members: a struct's field counts as owned with anything in it.
pub(super) fn with_named_parents(set: &FieldSet, place: Place<'_>) -> FieldSet {
    FieldSet(named_parents(&set.0, place))
}

fn named_parents(node: &Node, place: Place<'_>) -> Node {
    let mut out = Node::new();
    for (key, value) in node {
        let Some(inner) = value.as_object().filter(|_| key != ".") else {
            out.insert(key.clone(), value.clone());
            continue;
        };
        let child = match key.strip_prefix("f:") {
            Some(name) => place.child(name),
            None => place.item(),
        };
        let mut inner = named_parents(inner, child);
        if child.field().is_some() {
            mark_member(&mut inner);
        }
        out.insert(key.clone(), Value::Object(inner));
    }
    out
}
