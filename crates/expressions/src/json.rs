//! Values as JSON: what an expression came to, as a patch of an object.

use crate::environment::OBJECT;
use crate::fault::Fault;
use crate::value::{Map, Value};
use base64::Engine as _;
use serde_json::{Map as Fields, Value as Json};

/// Deeper values are no objects.
const MAX_DEPTH: usize = 200;

impl Value<'_> {
    /// # Errors
    /// The value, or one in it, has no JSON form.
    pub fn to_json(&self) -> Result<Json, Fault> {
        convert(self, None, 0)
    }

    /// The same of a value of type `Object`, all types in which must be called by their places.
    ///
    /// # Errors
    /// A type is another place's, or a value has no JSON form.
    pub fn to_object(&self) -> Result<Json, Fault> {
        convert(self, Some(OBJECT), 0)
    }
}

/// `place`: the name that a built value should have here.
fn convert(value: &Value<'_>, place: Option<&str>, depth: usize) -> Result<Json, Fault> {
    if depth > MAX_DEPTH {
        return Err(Fault::new("value is nested too deeply"));
    }
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(number) => (*number).into(),
        Value::Uint(number) => (*number).into(),
        Value::Double(number) => (*number).into(),
        Value::String(text) => (**text).into(),
        Value::Bytes(bytes) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
        Value::Duration(nanoseconds) => format!("{}s", *nanoseconds as f64 / 1e9).into(),
        Value::Timestamp(instant) => instant.to_string().into(),
        Value::List(list) => {
            Json::Array(list.iter().map(|item| convert(&item, place, depth + 1)).collect::<Result<_, _>>()?)
        }
        Value::Map(map) => Json::Object(fields(map, place, depth)?),
        Value::Optional(_) | Value::Type(_) | Value::Opaque(_) => {
            return Err(Fault::new(format!("unsupported type: {}", value.type_name())));
        }
    })
}

fn fields(map: &Map<'_>, place: Option<&str>, depth: usize) -> Result<Fields<String, Json>, Fault> {
    if let (Map::Built(name, _), Some(place)) = (map, place)
        && **name != *place
    {
        let why = format!(
            "unexpected type name {name:?}, expected {place:?}, which matches field name path from root Object type"
        );
        return Err(Fault::new(why));
    }
    let mut fields = Fields::new();
    for (key, value) in map.entries() {
        let Some(key) = key.as_str() else {
            return Err(Fault::new(format!("unsupported map key type: {}", key.type_name())));
        };
        let below = place.map(|place| format!("{place}.{key}"));
        fields.insert(key.to_owned(), convert(&value, below.as_deref(), depth + 1)?);
    }
    Ok(fields)
}
