//! What changed between two objects, and what an object sets, as field sets.

use super::elements::{Division, always_written, division, element_at, in_step};
use super::fieldset::{Element, FieldSet, Node};
use crate::place::Place;
use serde_json::{Map, Value};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct Changes<'v> {
    /// Added or modified.
    pub changed: FieldSet<'v>,
    pub removed: FieldSet<'v>,
}

impl Changes<'_> {
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }

    pub fn into_owned(self) -> Changes<'static> {
        Changes { changed: self.changed.into_owned(), removed: self.removed.into_owned() }
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

    /// This side of a field, in which `inside` stands.
    fn child(self, inside: Option<&'v Value>, place: &Place<'_>) -> Side<'v> {
        match inside {
            Some(value) => Side::Value(value),
            None if !self.is_absent() && always_written(place) => Side::Zero,
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
pub(super) fn compare<'v>(old: Option<&'v Value>, new: &'v Value, place: Place<'_>) -> Changes<'v> {
    let old = old.map_or(Side::Zero, Side::Value);
    let (changed, removed) = walk(old, Side::Value(new), place);
    let set = |node: Option<Node<'v>>| FieldSet(Node { member: false, ..node.unwrap_or_default() });
    Changes { changed: set(changed), removed: set(removed) }
}

/// The changed and removed nodes below a place, each None where there are none.
type Pair<'v> = (Option<Node<'v>>, Option<Node<'v>>);

fn walk<'v>(old: Side<'v>, new: Side<'v>, place: Place<'_>) -> Pair<'v> {
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
        changed.get_or_insert_default().member = true;
    } else if new.is_absent() {
        removed.get_or_insert_default().member = true;
    }
    (changed, removed)
}

fn leaf<'v>(old: Side<'v>, new: Side<'v>) -> Pair<'v> {
    match (old, new) {
        (Side::Absent, Side::Absent) => (None, None),
        (Side::Absent, _) => (Some(Node::leaf()), None),
        (_, Side::Absent) => (None, Some(Node::leaf())),
        _ if old.is_empty() && new.is_empty() => (None, None),
        _ => (Some(Node::leaf()), None),
    }
}

/// What was found below a place.
#[derive(Default)]
struct Found<'v> {
    changed: Vec<(Element<'v>, Node<'v>)>,
    removed: Vec<(Element<'v>, Node<'v>)>,
}

impl<'v> Found<'v> {
    fn add(&mut self, (changed, removed): Pair<'v>, element: impl Fn() -> Element<'v>) {
        self.changed.extend(changed.map(|node| (element(), node)));
        self.removed.extend(removed.map(|node| (element(), node)));
    }

    fn into_pair(self) -> Pair<'v> {
        let node = |below: Vec<_>| (!below.is_empty()).then(|| Node::above(below));
        (node(self.changed), node(self.removed))
    }
}

fn fields<'v>(old: Side<'v>, new: Side<'v>, place: Place<'_>) -> Pair<'v> {
    let (before, after) = (map_of(old), map_of(new));
    // Of something new all is.
    let room = if before.is_none() { after.map_or(0, Map::len) } else { 0 };
    let mut found = Found { changed: Vec::with_capacity(room), removed: Vec::new() };
    for (name, was, is) in side_by_side(before, after) {
        let child = place.child(name);
        found.add(walk(old.child(was, &child), new.child(is, &child), child), || Element::field(name));
    }
    found.into_pair()
}

/// A field of one or both of two maps.
type Both<'v> = (&'v String, Option<&'v Value>, Option<&'v Value>);

/// All fields of both, in order; nothing is looked up, as both are sorted.
pub(super) fn side_by_side<'v>(
    left: Option<&'v Map<String, Value>>,
    right: Option<&'v Map<String, Value>>,
) -> impl Iterator<Item = Both<'v>> {
    let mut left = left.into_iter().flatten().peekable();
    let mut right = right.into_iter().flatten().peekable();
    std::iter::from_fn(move || {
        let order = match (left.peek(), right.peek()) {
            (Some((l, _)), Some((r, _))) => l.cmp(r),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        let from_left = if order.is_le() { left.next() } else { None };
        let from_right = if order.is_ge() { right.next() } else { None };
        let (name, _) = from_left.or(from_right)?;
        Some((name, from_left.map(|(_, value)| value), from_right.map(|(_, value)| value)))
    })
}

fn map_of(side: Side<'_>) -> Option<&Map<String, Value>> {
    side.value().and_then(Value::as_object)
}

fn list_of(side: Side<'_>) -> &[Value] {
    side.value().and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn items<'v>(old: Side<'v>, new: Side<'v>, keys: Option<&[crate::schema::Name]>, place: Place<'_>) -> Pair<'v> {
    let (before, after) = (list_of(old), list_of(new));
    let item = place.item();
    let mut found = Found::default();
    if in_step(before, after, keys, &item) {
        for (at, (a, b)) in before.iter().zip(after).enumerate() {
            found.add(walk(Side::Value(a), Side::Value(b), item), || element_at(at, b, keys, &item));
        }
        return found.into_pair();
    }
    if before.is_empty() {
        for (at, one) in after.iter().enumerate() {
            found.add(walk(Side::Absent, Side::Value(one), item), || element_at(at, one, keys, &item));
        }
        return found.into_pair();
    }
    let named = |list: &[Value]| -> Vec<Element<'static>> {
        list.iter().enumerate().map(|(at, one)| element_at(at, one, keys, &item)).collect()
    };
    let (before_names, after_names) = (named(before), named(after));
    let by_name: BTreeMap<&Element<'_>, &Value> = before_names.iter().zip(before).collect();
    let kept: BTreeSet<&Element<'_>> = after_names.iter().collect();
    for (name, one) in after_names.iter().zip(after) {
        let was = by_name.get(name).map_or(Side::Absent, |value| Side::Value(value));
        found.add(walk(was, Side::Value(one), item), || name.clone());
    }
    for (name, one) in by_name.iter().filter(|(name, _)| !kept.contains(*name)) {
        found.add(walk(Side::Value(one), Side::Absent, item), || (*name).clone());
    }
    found.into_pair()
}

/// What an applied object sets.
pub(super) fn field_set<'v>(value: &'v Value, place: Place<'_>) -> FieldSet<'v> {
    FieldSet(Node { member: false, ..set_below(value, place).unwrap_or_default() })
}

fn set_below<'v>(value: &'v Value, place: Place<'_>) -> Option<Node<'v>> {
    match (division(&place, Some(value)), value) {
        (Division::Fields, Value::Object(map)) => {
            let mut below = Vec::with_capacity(map.len());
            for (name, inner) in map {
                let child = place.child(name);
                let empty = inner.is_null() || inner.as_object().is_some_and(Map::is_empty);
                let forced = empty || child.field().is_none();
                below.extend(member(set_below(inner, child), forced).map(|node| (Element::field(name), node)));
            }
            (!below.is_empty()).then(|| Node::above(below))
        }
        (Division::Items(keys), Value::Array(list)) => {
            let item = place.item();
            let named = list.iter().enumerate().filter_map(|(at, one)| {
                let node = member(set_below(one, item), true)?;
                Some((element_at(at, one, keys, &item), node))
            });
            let below: Vec<_> = named.collect();
            (!below.is_empty()).then(|| Node::above(below))
        }
        (Division::Fields | Division::Items(_), Value::Null) => None,
        _ => Some(Node::leaf()),
    }
}

fn member(node: Option<Node<'_>>, forced: bool) -> Option<Node<'_>> {
    match (node, forced) {
        (Some(node), true) => Some(Node { member: true, ..node }),
        (None, true) => Some(Node::leaf()),
        (node, false) => node,
    }
}

/// Takes another set's members away, and the named fields above them: a struct's field counts as owned
/// with anything in it.
pub(super) fn subtract_named(from: &mut FieldSet<'_>, other: &FieldSet<'_>, place: Place<'_>) {
    from.0.subtract_all(
        &other.0,
        &mut |place, (element, node)| {
            let child = below(*place, element);
            (node.member || child.field().is_some(), child)
        },
        &place,
    );
}

/// Adds the named fields above members.
pub(super) fn name_parents(set: &mut FieldSet<'_>, place: Place<'_>) {
    name_below(&mut set.0, place);
}

fn name_below(node: &mut Node<'_>, place: Place<'_>) {
    for (element, inner) in &mut node.below {
        let child = below(place, element);
        inner.member |= child.field().is_some();
        name_below(inner, child);
    }
}

fn below<'s>(place: Place<'s>, element: &Element<'_>) -> Place<'s> {
    element.name().map_or_else(|| place.item(), |name| place.child(name))
}
