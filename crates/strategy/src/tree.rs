//! Small accessors on JSON trees, so that rules read like the fields they are about.

use serde_json::{Map, Value};

/// The text at a field, or nothing.
pub fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list field, none where it is absent.
pub fn items<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub fn items_mut<'v>(value: &'v mut Value, field: &str) -> impl Iterator<Item = &'v mut Value> {
    value.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

/// What stands at a path of fields; a pointer's text would be taken apart each time.
pub fn at_mut<'v>(value: &'v mut Value, path: &[&str]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, field| value.get_mut(*field))
}

/// The fields of an object, made where absent; None where something else stands there.
pub fn object<'v>(value: &'v mut Value, field: &str) -> Option<&'v mut Map<String, Value>> {
    let fields = value.as_object_mut()?;
    let slot = fields.entry(field).or_insert_with(|| Value::Object(Map::new()));
    if slot.is_null() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut()
}

/// Sets a field that is absent or null.
pub fn default(value: &mut Value, field: &str, to: impl Into<Value>) {
    let Some(fields) = value.as_object_mut() else { return };
    let slot = fields.entry(field).or_insert(Value::Null);
    if slot.is_null() {
        *slot = to.into();
    }
}

/// Sets a text field that is absent or empty.
pub fn default_text(value: &mut Value, field: &str, to: &str) {
    let Some(fields) = value.as_object_mut() else { return };
    let slot = fields.entry(field).or_insert(Value::Null);
    if slot.as_str().is_none_or(str::is_empty) {
        *slot = Value::String(to.to_owned());
    }
}
