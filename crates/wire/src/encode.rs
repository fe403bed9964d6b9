//! Canonical JSON, byte for byte what Go's encoder writes for the same object: struct field order,
//! sorted map keys, `omitempty`, nulls, HTML escapes, Go's floats.
//!
//! Values are expected as [`crate::decode`] leaves them; what the schema does not know is not
//! written. Free-form values and custom resources go through [`write_any`].

use crate::schema::{AnyForm, Field, Omit, Schema, Shape, Struct, TypeId};
use serde_json::{Map, Number, Value};
use std::io::Write as _;

/// The canonical JSON of an object of the struct `id`.
pub fn to_json(value: &Value, schema: &Schema, id: TypeId) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    write_shape(&mut out, value, schema, &Shape::Struct(id));
    out
}

/// Compact JSON of any value, keys sorted: how Go writes what has no struct.
pub fn any_to_json(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    write_any(&mut out, value);
    out
}

fn write_shape(out: &mut Vec<u8>, value: &Value, schema: &Schema, shape: &Shape) {
    match (shape, value) {
        (Shape::Struct(id), Value::Object(object)) => write_struct(out, object, schema, schema.get(*id)),
        (Shape::List(list), Value::Array(items)) => {
            write_joined(out, b"[]", items, |out, item| write_shape(out, item, schema, &list.item));
        }
        (Shape::Map(map), Value::Object(entries)) => write_entries(out, entries, |out, value| {
            write_shape(out, value, schema, &map.value);
        }),
        (Shape::Any(AnyForm::OrBool(id) | AnyForm::OrList(id) | AnyForm::OrStrings(id)), Value::Object(object)) => {
            write_struct(out, object, schema, schema.get(*id));
        }
        (Shape::Any(AnyForm::OrList(id)), Value::Array(items)) => {
            write_joined(out, b"[]", items, |out, item| write_shape(out, item, schema, &Shape::Struct(*id)));
        }
        _ => write_any(out, value),
    }
}

fn write_struct(out: &mut Vec<u8>, object: &Map<String, Value>, schema: &Schema, structure: &Struct) {
    out.push(b'{');
    let mut first = true;
    let given = Given::of(object, structure);
    for (at, field) in structure.fields.iter().enumerate() {
        let value = given.value(at, object, field).filter(|value| !value.is_null());
        if is_left_out(value, field) {
            continue;
        }
        write_key(out, &mut first, &field.name);
        match value {
            Some(value) => write_shape(out, value, schema, &field.shape),
            None => write_zero(out, schema, field),
        }
    }
    if structure.preserve_unknown || structure.additional.is_some() {
        for (key, value) in sorted(object) {
            if structure.position(key).is_none() {
                write_key(out, &mut first, key);
                write_any(out, value);
            }
        }
    }
    out.push(b'}');
}

/// Most structs have no more fields than this.
const SLOTS: usize = 64;

/// The values of an object in the order of its struct's fields. Objects have few of the fields that
/// they could have: finding each value's field is quicker than asking for each field's value.
struct Given<'v> {
    slots: [Option<&'v Value>; SLOTS],
    fits: bool,
}

impl<'v> Given<'v> {
    fn of(object: &'v Map<String, Value>, structure: &Struct) -> Self {
        let mut given = Given { slots: [None; SLOTS], fits: structure.fields.len() <= SLOTS };
        if given.fits {
            for (name, value) in object {
                if let Some(at) = structure.position(name) {
                    given.slots[at] = Some(value);
                }
            }
        }
        given
    }

    fn value(&self, at: usize, object: &'v Map<String, Value>, field: &Field) -> Option<&'v Value> {
        if self.fits { self.slots[at] } else { object.get(field.name.as_ref()) }
    }
}

fn is_left_out(value: Option<&Value>, field: &Field) -> bool {
    match (field.omit, value) {
        (Omit::Never, _) | (Omit::Zero, Some(_)) => false,
        (Omit::Zero, None) => true,
        // Go's omitempty never leaves a struct out, only a nil pointer to one.
        (Omit::Empty, None) => field.pointer || !is_go_struct(&field.shape),
        (Omit::Empty, Some(value)) => !field.pointer && crate::decode::is_empty(value, &field.shape),
    }
}

/// Shapes that are structs in Go, whatever they look like in JSON.
fn is_go_struct(shape: &Shape) -> bool {
    match shape {
        Shape::Struct(_) | Shape::Time | Shape::MicroTime | Shape::Duration | Shape::Quantity => true,
        Shape::IntOrString | Shape::Any(_) => true,
        Shape::Bool | Shape::Int32 | Shape::Int64 | Shape::Float64 | Shape::String { .. } => false,
        Shape::Bytes | Shape::List(_) | Shape::Map(_) => false,
    }
}

/// What Go writes for a field that was never set.
fn write_zero(out: &mut Vec<u8>, schema: &Schema, field: &Field) {
    match &field.shape {
        _ if field.pointer => out.extend_from_slice(b"null"),
        Shape::Struct(id) => write_struct(out, &Map::new(), schema, schema.get(*id)),
        shape => write_any(out, &crate::decode::zero(shape)),
    }
}

/// Any value, map keys sorted.
pub fn write_any(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(out, number),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => write_joined(out, b"[]", items, write_any),
        Value::Object(entries) => write_entries(out, entries, write_any),
    }
}

fn write_joined(out: &mut Vec<u8>, brackets: &[u8; 2], items: &[Value], mut write: impl FnMut(&mut Vec<u8>, &Value)) {
    out.push(brackets[0]);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(brackets[1]);
}

fn write_entries(out: &mut Vec<u8>, entries: &Map<String, Value>, mut write: impl FnMut(&mut Vec<u8>, &Value)) {
    out.push(b'{');
    let mut first = true;
    for (key, value) in sorted(entries) {
        write_key(out, &mut first, key);
        write(out, value);
    }
    out.push(b'}');
}

/// serde_json's map is sorted unless some crate asked it to keep insertion order; then this sorts.
fn sorted(entries: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let in_order = entries.keys().zip(entries.keys().skip(1)).all(|(one, next)| one <= next);
    let mut late: Vec<_> = if in_order { Vec::new() } else { entries.iter().collect() };
    late.sort_unstable_by_key(|entry| entry.0);
    entries.iter().filter(move |_| in_order).chain(late)
}

fn write_key(out: &mut Vec<u8>, first: &mut bool, key: &str) {
    if !std::mem::take(first) {
        out.push(b',');
    }
    write_string(out, key);
    out.push(b':');
}

fn write_number(out: &mut Vec<u8>, number: &Number) {
    // Writing to memory does not fail.
    let _ = match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(number), _, _) => write!(out, "{number}"),
        (_, Some(number), _) => write!(out, "{number}"),
        (_, _, number) => out.write_all(float(number.unwrap_or_default()).as_bytes()),
    };
}

/// Go's float form: the shortest digits, an exponent below 1e-6 and from 1e21 on.
fn float(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return format!("{number}");
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => text,
    }
}

/// A JSON string with Go's escapes: `<`, `>`, `&` and the two line separators too.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut clean_from = 0;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let length = match byte {
            b'"' | b'\\' | b'<' | b'>' | b'&' | 0..=0x1f => 1,
            // U+2028 and U+2029, which end lines in JavaScript.
            0xe2 if bytes[at + 1] == 0x80 && matches!(bytes[at + 2], 0xa8 | 0xa9) => 3,
            _ => {
                at += 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[clean_from..at]);
        escape(out, &bytes[at..at + length]);
        at += length;
        clean_from = at;
    }
    out.extend_from_slice(&bytes[clean_from..]);
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes {
        b"\"" => out.extend_from_slice(b"\\\""),
        b"\\" => out.extend_from_slice(b"\\\\"),
        b"\n" => out.extend_from_slice(b"\\n"),
        b"\r" => out.extend_from_slice(b"\\r"),
        b"\t" => out.extend_from_slice(b"\\t"),
        b"\x08" => out.extend_from_slice(b"\\b"),
        b"\x0c" => out.extend_from_slice(b"\\f"),
        [0xe2, 0x80, last] => out.extend_from_slice(if *last == 0xa8 { b"\\u2028" } else { b"\\u2029" }),
        _ => {
            let _ = write!(out, "\\u{:04x}", bytes[0]);
        }
    }
}

#[cfg(test)]
mod tests;
