//! What apply sees at a place: one indivisible value, named fields, or items told apart by keys.

use super::fieldset::Element;
use crate::place::Place;
use crate::schema::{ListKind, Omit, Shape};
use serde_json::Value;

/// How a value is divided among owners.
pub(super) enum Division<'a> {
    /// One owner for all of it.
    Leaf,
    /// An owner per field or entry.
    Fields,
    /// An owner per item; the keys of a map-like list, or None for a set.
    Items(Option<&'a [crate::schema::Name]>),
}

/// Divides by the schema; where it says nothing, by what the value looks like.
pub(super) fn division<'a>(place: &Place<'a>, value: Option<&Value>) -> Division<'a> {
    match place.shape() {
        _ if place.field().is_some_and(|field| field.atomic) => Division::Leaf,
        _ if place.structure().is_some_and(|structure| structure.atomic) => Division::Leaf,
        // A custom resource may hold anything where its schema says nothing.
        Some(Shape::Struct(_)) if value.is_none_or(|value| value.is_object() || value.is_null()) => Division::Fields,
        Some(Shape::Map(map)) if !map.atomic => Division::Fields,
        Some(Shape::List(list)) => match &list.kind {
            ListKind::Atomic => Division::Leaf,
            ListKind::Set => Division::Items(None),
            ListKind::Map { keys } => Division::Items(Some(keys)),
        },
        None if value.is_some_and(Value::is_object) => Division::Fields,
        _ => Division::Leaf,
    }
}

/// The value of a list item's key, or the schema's default for it.
pub(super) fn key_value<'v>(item: &'v Value, key: &str, place: &Place<'v>) -> Option<&'v Value> {
    let given = item.get(key).filter(|value| !value.is_null());
    given.or_else(|| place.child(key).field()?.default.as_ref())
}

/// An item's path element: `k:{"name":"a"}` or `v:"a"`. Err names the key that is missing.
pub(super) fn element(
    item: &Value,
    keys: Option<&[crate::schema::Name]>,
    place: &Place<'_>,
) -> Result<Element<'static>, String> {
    let Some(keys) = keys else { return Ok(Element::value(item)) };
    let mut named = Vec::with_capacity(keys.len());
    for key in keys {
        named.push((key.as_ref(), key_value(item, key, place).ok_or_else(|| key.to_string())?));
    }
    named.sort_unstable_by_key(|(key, _)| *key);
    let mut out = Vec::with_capacity(64);
    for (key, value) in named {
        out.push(if out.is_empty() { b'{' } else { b',' });
        // Writing to memory does not fail, and what is written is UTF-8.
        let _ = serde_json::to_writer(&mut out, key);
        out.push(b':');
        let _ = serde_json::to_writer(&mut out, value);
    }
    out.push(b'}');
    Ok(Element::keys(String::from_utf8(out).unwrap_or_default()))
}

/// The same, for objects that are already stored: an item without its keys is told by its place.
pub(super) fn element_at(
    at: usize,
    item: &Value,
    keys: Option<&[crate::schema::Name]>,
    place: &Place<'_>,
) -> Element<'static> {
    element(item, keys, place).unwrap_or_else(|_| Element::index(at))
}

/// Whether two lists have the same items in the same order, as far as keys tell.
pub(super) fn in_step(a: &[Value], b: &[Value], keys: Option<&[crate::schema::Name]>, place: &Place<'_>) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_item(a, b, keys, place))
}

/// Whether two items have the same keys, without spelling them out.
pub(super) fn same_item(a: &Value, b: &Value, keys: Option<&[crate::schema::Name]>, place: &Place<'_>) -> bool {
    match keys {
        None => a == b,
        Some(keys) => keys.iter().all(|key| {
            let value = key_value(a, key, place);
            value.is_some() && value == key_value(b, key, place)
        }),
    }
}

/// Whether Go writes this field even where nothing was set, so that it is never new to an object
/// that exists: structs by value, and anything without omitempty. Custom resources (whose fields
/// have no protobuf numbers) have no such fields.
pub(super) fn always_written(place: &Place<'_>) -> bool {
    let Some(field) = place.field() else { return false };
    if field.number == 0 || field.pointer {
        return false;
    }
    match field.shape {
        Shape::Struct(_) | Shape::Time | Shape::MicroTime => field.omit != Omit::Zero,
        _ => field.omit == Omit::Never,
    }
}
