//! From JSON bytes (or a value already parsed) to a canonical value of one API type, in one pass:
//! unknown and duplicate fields are reported, wrong types refused, quantities, times and bytes
//! brought to their stored form, Go's nulls and empty values dropped.
//!
//! Says what Go's decoder says, in its words, as clients show these texts. Knows no kind and no
//! validation rule; defaults are put in afterwards by [`crate::defaults`].

mod scalar;
mod seed;
mod untyped;

use crate::schema::{Schema, Shape, TypeId};
use crate::syntax;
pub(crate) use scalar::{is_empty, zero};
pub(crate) use seed::is_omitted;
use seed::{Context, Seed};
use serde::de::DeserializeSeed;
use serde_json::{Map, Value};
pub use untyped::decode_untyped;

/// What to do about unknown and duplicate fields (`fieldValidation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    Ignore,
    #[default]
    Warn,
    Strict,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON at all.
    #[error("{0}")]
    Syntax(String),
    /// A value of the wrong type or form.
    #[error("{0}")]
    Type(String),
    /// Unknown and duplicate fields, where those are forbidden.
    #[error("strict decoding error: {}", .0.join(", "))]
    Strict(Vec<String>),
}

/// The canonical value, and the warnings to send along.
pub type Decoded = Result<(Value, Vec<String>), DecodeError>;

/// Upstream stops counting strict errors there.
const MAX_STRICT_ERRORS: usize = 100;

/// Reads JSON bytes as the struct `id`.
pub fn decode_json(body: &[u8], schema: &Schema, id: TypeId, strictness: Strictness) -> Decoded {
    let shape = Shape::Struct(id);
    let mut context = Context::new(schema, strictness);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = Seed { context: &mut context, shape: &shape, owner: "" }.deserialize(&mut deserializer);
    let value = value.and_then(|value| deserializer.end().map(|()| value));
    if context.passed_over
        && let (Ok(_), Some(why)) = (&value, syntax::error(body))
    {
        return Err(DecodeError::Syntax(why));
    }
    finish(context, value, strictness, || syntax::error(body))
}

/// Reads a value that was parsed before (YAML, the result of a patch) as the struct `id`.
pub fn from_value(value: Value, schema: &Schema, id: TypeId, strictness: Strictness) -> Decoded {
    let shape = Shape::Struct(id);
    let mut context = Context::new(schema, strictness);
    let value = Seed { context: &mut context, shape: &shape, owner: "" }.deserialize(value);
    finish(context, value, strictness, || None)
}

/// The same for a value that was made from `known`, which is canonical: what stands in both stays as
/// it is, and only what differs is read.
pub fn from_changed(mut value: Value, known: &Value, schema: &Schema, id: TypeId, strictness: Strictness) -> Decoded {
    let same = match (&mut value, known) {
        (Value::Object(value), Value::Object(known)) => take_same(value, known),
        _ => Map::new(),
    };
    let (mut value, found) = from_value(value, schema, id, strictness)?;
    if let Value::Object(value) = &mut value {
        put_back(value, same);
    }
    Ok((value, found))
}

/// Takes out of an object what stands in the other one too, as far down as both are objects.
fn take_same(value: &mut Map<String, Value>, known: &Map<String, Value>) -> Map<String, Value> {
    let mut same = Map::new();
    for (name, mut field) in std::mem::take(value) {
        let before = known.get(&name);
        if before == Some(&field) {
            same.insert(name, field);
            continue;
        }
        if let (Value::Object(field), Some(Value::Object(before))) = (&mut field, before) {
            let inner = take_same(field, before);
            if !inner.is_empty() {
                same.insert(name.clone(), Value::Object(inner));
            }
        }
        value.insert(name, field);
    }
    same
}

fn put_back(into: &mut Map<String, Value>, same: Map<String, Value>) {
    for (name, field) in same {
        match (into.get_mut(&name), field) {
            (Some(Value::Object(into)), Value::Object(field)) => put_back(into, field),
            (_, field) => {
                into.insert(name, field);
            }
        }
    }
}

fn finish(
    context: Context<'_>,
    value: serde_json::Result<Value>,
    strictness: Strictness,
    syntax: impl FnOnce() -> Option<String>,
) -> Decoded {
    let value = match (value, context.fatal) {
        (Ok(value), None) => value,
        (_, Some(message)) => return Err(DecodeError::Type(message)),
        (Err(error), None) => return Err(DecodeError::Syntax(syntax().unwrap_or_else(|| error.to_string()))),
    };
    if let Some(message) = context.mismatch {
        return Err(DecodeError::Type(message));
    }
    let value = if value.is_null() { Value::Object(Map::new()) } else { value };
    match strictness {
        Strictness::Strict if !context.strict_errors.is_empty() => Err(DecodeError::Strict(context.strict_errors)),
        _ => Ok((value, context.strict_errors)),
    }
}

#[cfg(test)]
mod tests;
