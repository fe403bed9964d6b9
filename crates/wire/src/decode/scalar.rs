//! Values without parts: their stored text, their zero, when they count as empty, and what Go calls
//! their types.

use crate::schema::{AnyForm, Schema, Shape};
use base64::DecodeError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::borrow::Cow;

pub enum Refusal {
    /// The type's own reader refused: nothing more is read.
    AtOnce(String),
    /// Go remembers the error and reads on.
    Later(String),
}

/// The stored form of a text value of that shape.
pub fn canonical(shape: &Shape, text: Cow<'_, str>) -> Result<String, Refusal> {
    let at_once = |error: &dyn std::error::Error| Refusal::AtOnce(error.to_string());
    match shape {
        Shape::Quantity => {
            let trimmed = text.trim();
            meta::quantity::canonical(trimmed).map(Cow::into_owned).map_err(|error| at_once(&error))
        }
        Shape::Time => meta::time::canonical(&text).map(Cow::into_owned).map_err(|error| at_once(&error)),
        Shape::MicroTime => meta::time::canonical_micro(&text).map(Cow::into_owned).map_err(|error| at_once(&error)),
        Shape::Duration => {
            meta::time::parse_duration(&text).map(meta::time::format_duration).map_err(|error| at_once(&error))
        }
        Shape::Bytes => base64_text(text).map_err(Refusal::Later),
        _ => Ok(text.into_owned()),
    }
}

/// Standard base64; line breaks are passed over, as Go does.
fn base64_text(text: Cow<'_, str>) -> Result<String, String> {
    let joined = if text.contains(['\r', '\n']) { Cow::Owned(text.replace(['\r', '\n'], "")) } else { text };
    match STANDARD.decode(joined.as_bytes()) {
        Ok(_) => Ok(joined.into_owned()),
        Err(error) => {
            let at = match error {
                DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => at,
                DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => joined.len() / 4 * 4,
            };
            Err(format!("illegal base64 data at input byte {at}"))
        }
    }
}

pub fn base64_of(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// What Go has where a list item or map value was null.
pub fn zero(shape: &Shape) -> Value {
    match shape {
        Shape::Bool => Value::Bool(false),
        Shape::Int32 | Shape::Int64 | Shape::Float64 | Shape::IntOrString => 0.into(),
        Shape::String { .. } => Value::String(String::new()),
        Shape::Quantity => Value::String("0".to_owned()),
        Shape::Duration => Value::String("0s".to_owned()),
        Shape::Struct(_) => Value::Object(serde_json::Map::new()),
        Shape::Bytes | Shape::Time | Shape::MicroTime | Shape::Any(_) | Shape::List(_) | Shape::Map(_) => Value::Null,
    }
}

/// Whether Go's `omitempty` leaves the value out: never for what Go has as a struct.
pub fn is_empty(value: &Value, shape: &Shape) -> bool {
    match shape {
        Shape::Bool => value == &Value::Bool(false),
        Shape::Int32 | Shape::Int64 | Shape::Float64 => value.as_f64() == Some(0.0),
        Shape::String { .. } | Shape::Bytes => value.as_str() == Some(""),
        Shape::List(_) => value.as_array().is_some_and(Vec::is_empty),
        Shape::Map(_) => value.as_object().is_some_and(serde_json::Map::is_empty),
        _ => false,
    }
}

/// The type as Go prints it: `map[string]string`, `[]v1.Container`.
pub fn go_type(schema: &Schema, shape: &Shape) -> String {
    match shape {
        Shape::Bool => "bool".to_owned(),
        Shape::Int32 => "int32".to_owned(),
        Shape::Int64 => "int64".to_owned(),
        Shape::Float64 => "float64".to_owned(),
        Shape::String { enum_type: None } => "string".to_owned(),
        Shape::String { enum_type: Some(name) } => without_group(name).to_owned(),
        Shape::Bytes => "[]uint8".to_owned(),
        Shape::Time => "v1.Time".to_owned(),
        Shape::MicroTime => "v1.MicroTime".to_owned(),
        Shape::Duration => "v1.Duration".to_owned(),
        Shape::Quantity => "resource.Quantity".to_owned(),
        Shape::IntOrString => "intstr.IntOrString".to_owned(),
        Shape::Any(AnyForm::Extension) => "runtime.RawExtension".to_owned(),
        Shape::Any(AnyForm::Raw) => "v1.JSON".to_owned(),
        Shape::Any(AnyForm::OrBool(_)) => "v1.JSONSchemaPropsOrBool".to_owned(),
        Shape::Any(AnyForm::OrList(_)) => "v1.JSONSchemaPropsOrArray".to_owned(),
        Shape::Any(AnyForm::OrStrings(_)) => "v1.JSONSchemaPropsOrStringArray".to_owned(),
        Shape::Struct(id) => without_group(&schema.get(*id).name).to_owned(),
        Shape::List(list) => format!("[]{}", go_type(schema, &list.item)),
        Shape::Map(map) => format!("map[string]{}", go_type(schema, &map.value)),
    }
}

/// Go names a package by its last part: `core.v1.Pod` is `v1.Pod`.
fn without_group(name: &str) -> &str {
    name.split_once('.').map_or(name, |(_, rest)| rest)
}
