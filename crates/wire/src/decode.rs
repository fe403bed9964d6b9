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
use serde_json::Value;
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
    finish(context, value, strictness, || syntax::error(body))
}

/// Reads a value that was parsed before (YAML, the result of a patch) as the struct `id`.
pub fn from_value(value: Value, schema: &Schema, id: TypeId, strictness: Strictness) -> Decoded {
    let shape = Shape::Struct(id);
    let mut context = Context::new(schema, strictness);
    let value = Seed { context: &mut context, shape: &shape, owner: "" }.deserialize(value);
    finish(context, value, strictness, || None)
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
    let value = if value.is_null() { Value::Object(serde_json::Map::new()) } else { value };
    match strictness {
        Strictness::Strict if !context.strict_errors.is_empty() => Err(DecodeError::Strict(context.strict_errors)),
        _ => Ok((value, context.strict_errors)),
    }
}

#[cfg(test)]
mod tests;
