//! Values: scalars, and lists and maps that borrow the JSON they come from until something is built.

use crate::library::Held;
use crate::types::{ObjectType, Type};
use base64::Engine as _;
use jiff::Timestamp;
use serde_json::Value as Json;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Text<'a>),
    Bytes(Arc<[u8]>),
    /// In nanoseconds.
    Duration(i64),
    Timestamp(Timestamp),
    List(List<'a>),
    Map(Map<'a>),
    Optional(Option<Arc<Value<'a>>>),
    Type(&'static str),
    Opaque(Arc<Held<'a>>),
}

#[derive(Debug, Clone)]
pub enum Text<'a> {
    Borrowed(&'a str),
    Shared(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

#[derive(Debug, Clone)]
pub enum List<'a> {
    Own(Arc<[Value<'a>]>),
    Json(&'a [Json], &'a Type),
}

#[derive(Debug, Clone)]
pub enum Map<'a> {
    Own(Arc<BTreeMap<Key, (Value<'a>, Value<'a>)>>),
    /// The same, which has an empty map under every key that it lacks.
    Open(Arc<BTreeMap<Key, (Value<'a>, Value<'a>)>>),
    /// A value of the named type, which the expression built.
    Built(Arc<str>, Arc<BTreeMap<Key, (Value<'a>, Value<'a>)>>),
    Json(&'a serde_json::Map<String, Json>, &'a Type),
    /// Has the declared fields alone, under their escaped names.
    Object(&'a serde_json::Map<String, Json>, &'a ObjectType),
}

/// A map's key as it is compared: int and uint of one amount are one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Bool(bool),
    Number(i128),
    String(Arc<str>),
}

impl Key {
    pub fn of(value: &Value<'_>) -> Option<Key> {
        Some(match value {
            Value::Bool(value) => Key::Bool(*value),
            Value::Int(number) => Key::Number(i128::from(*number)),
            Value::Uint(number) => Key::Number(i128::from(*number)),
            Value::Double(number) if number.fract() == 0.0 && number.abs() < 1e19 => Key::Number(*number as i128),
            Value::String(text) => Key::String(Arc::from(&**text)),
            _ => return None,
        })
    }
}

static DYN: Type = Type::DYN;

impl<'a> Value<'a> {
    /// A JSON value as one of a declared type; what does not fit the type is what it looks like.
    pub fn from_json(json: &'a Json, kind: &'a Type) -> Self {
        match (json, kind) {
            (Json::Null, _) => Value::Null,
            (Json::Bool(value), _) => Value::Bool(*value),
            (Json::Number(number), Type::Double) => Value::Double(number.as_f64().unwrap_or_default()),
            (Json::Number(number), Type::Int) => match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => Value::Int(number),
                (None, Some(double)) if double.fract() == 0.0 => Value::Int(double as i64),
                (None, double) => Value::Double(double.unwrap_or_default()),
            },
            (Json::Number(number), _) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Value::Int(number),
                (_, Some(number)) => Value::Uint(number),
                _ => Value::Double(number.as_f64().unwrap_or_default()),
            },
            (Json::String(text), Type::Timestamp) => {
                crate::library::time::instant(text).map_or_else(|| Value::text(text), Value::Timestamp)
            }
            (Json::String(text), Type::Duration) => {
                meta::time::parse_duration(text).map_or_else(|_| Value::text(text), Value::Duration)
            }
            (Json::String(text), Type::Bytes(_)) => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(text);
                bytes.map_or_else(|_| Value::text(text), |bytes| Value::Bytes(bytes.into()))
            }
            (Json::String(text), _) => Value::text(text),
            (Json::Array(items), Type::List(item, _)) => Value::List(List::Json(items, item)),
            (Json::Array(items), _) => Value::List(List::Json(items, &DYN)),
            (Json::Object(fields), Type::Object(object)) => Value::Map(Map::Object(fields, object)),
            (Json::Object(fields), Type::Map(_, value, _)) => Value::Map(Map::Json(fields, value)),
            (Json::Object(fields), _) => Value::Map(Map::Json(fields, &DYN)),
        }
    }

    pub fn text(text: &'a str) -> Self {
        Value::String(Text::Borrowed(text))
    }

    pub fn string(text: impl Into<Arc<str>>) -> Self {
        Value::String(Text::Shared(text.into()))
    }

    pub fn list(items: Vec<Value<'a>>) -> Self {
        Value::List(List::Own(items.into()))
    }

    pub(crate) fn held(held: Held<'a>) -> Self {
        Value::Opaque(Arc::new(held))
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// What `size()` says, and one for values without a size: the measure of costs.
    pub(crate) fn size(&self) -> u64 {
        let size = match self {
            Value::String(text) if text.is_ascii() => text.len(),
            Value::String(text) => text.chars().count(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(list) => list.len(),
            Value::Map(map) => map.len(),
            Value::Opaque(held) => return held.size(),
            _ => 1,
        };
        size as u64
    }

    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null_type",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint",
            Value::Double(_) => "double",
            Value::String(_) => "string",
            Value::Bytes(_) => "bytes",
            Value::Duration(_) => "google.protobuf.Duration",
            Value::Timestamp(_) => "google.protobuf.Timestamp",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Optional(_) => "optional_type",
            Value::Type(_) => "type",
            Value::Opaque(held) => held.kind().name(),
        }
    }

    /// Ordered where both are numbers or of one ordered type.
    pub(crate) fn compare(&self, other: &Value<'_>) -> Option<Ordering> {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::String(a), Value::String(b)) => Some((**a).cmp(&**b)),
            (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
            (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
            (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
            _ => compare_numbers(self, other),
        }
    }
}

fn compare_numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    let whole = |value: &Value<'_>| match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::Uint(number) => Some(i128::from(*number)),
        _ => None,
    };
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(a), b) => compare_whole(whole(b)?, *a).map(Ordering::reverse),
        (a, Value::Double(b)) => compare_whole(whole(a)?, *b),
        _ => Some(whole(a)?.cmp(&whole(b)?)),
    }
}

/// Exact, where turning the integer into a double would round.
fn compare_whole(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double.abs() >= 1e20 {
        return Some(if double > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    let floor = double.floor();
    let order = whole.cmp(&(floor as i128));
    Some(if order == Ordering::Equal && double > floor { Ordering::Less } else { order })
}

impl<'a> List<'a> {
    pub fn len(&self) -> usize {
        match self {
            List::Own(items) => items.len(),
            List::Json(items, _) => items.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn get(&self, at: usize) -> Option<Value<'a>> {
        match self {
            List::Own(items) => items.get(at).cloned(),
            List::Json(items, kind) => items.get(at).map(|item| Value::from_json(item, kind)),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|at| self.get(at))
    }
}

impl<'a> Map<'a> {
    pub fn len(&self) -> usize {
        match self {
            Map::Own(entries) | Map::Open(entries) | Map::Built(_, entries) => entries.len(),
            Map::Json(entries, _) => entries.len(),
            Map::Object(entries, object) => object
                .fields
                .values()
                .filter(|field| entries.get(&field.json).is_some_and(|value| !value.is_null()))
                .count(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        match self {
            Map::Own(_) | Map::Open(_) | Map::Built(..) => self.get(&Value::string(name)),
            Map::Json(entries, kind) => entries.get(name).map(|value| Value::from_json(value, kind)),
            Map::Object(entries, object) => {
                let field = object.fields.get(name)?;
                // A field that is null is as good as absent.
                let value = entries.get(&field.json).filter(|value| !value.is_null())?;
                Some(Value::from_json(value, &field.kind))
            }
        }
    }

    pub fn get(&self, key: &Value<'_>) -> Option<Value<'a>> {
        match (self, key) {
            (Map::Own(entries) | Map::Built(_, entries), key) => {
                entries.get(&Key::of(key)?).map(|(_, value)| value.clone())
            }
            (Map::Open(entries), key) => {
                let found = entries.get(&Key::of(key)?).map(|(_, value)| value.clone());
                Some(found.unwrap_or_else(|| Value::Map(Map::Own(Arc::default()))))
            }
            (_, Value::String(name)) => self.field(name),
            _ => None,
        }
    }

    /// Whether the key is truly there.
    pub fn has(&self, key: &Value<'_>) -> bool {
        match self {
            Map::Open(entries) => Key::of(key).is_some_and(|key| entries.contains_key(&key)),
            _ => self.get(key).is_some(),
        }
    }

    pub fn entries(&self) -> Vec<(Value<'a>, Value<'a>)> {
        match self {
            Map::Own(entries) | Map::Open(entries) | Map::Built(_, entries) => entries.values().cloned().collect(),
            Map::Json(entries, kind) => {
                entries.iter().map(|(key, value)| (Value::text(key), Value::from_json(value, kind))).collect()
            }
            Map::Object(_, object) => {
                let names = object.fields.keys();
                names.filter_map(|name| Some((Value::text(name), self.field(name)?))).collect()
            }
        }
    }
}
