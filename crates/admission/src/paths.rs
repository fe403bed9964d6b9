//! Reading and writing places in an object's JSON. Plugins see objects before validation, so that
//! every step may find something else than it expects.

use serde_json::Value;

/// The text at `path`, or nothing.
pub(crate) fn text<'v>(value: &'v Value, path: &[&str]) -> &'v str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// What stands at `path`; null counts as absent.
pub(crate) fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |here, key| here.get(key)).filter(|found| !found.is_null())
}

/// The items of the list at `path`, none where there is no list.
pub(crate) fn items<'v>(value: &'v Value, path: &[&str]) -> &'v [Value] {
    at(value, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The list at `path` for writing, made where absent. None where something else stands in its way.
pub(crate) fn items_mut<'v>(value: &'v mut Value, path: &[&str]) -> Option<&'v mut Vec<Value>> {
    let slot = slot(value, path)?;
    if slot.is_null() {
        *slot = Value::Array(Vec::new());
    }
    slot.as_array_mut()
}

/// The place `path` names, its parents made as objects where absent.
pub(crate) fn slot<'v>(value: &'v mut Value, path: &[&str]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |here, key| {
        if here.is_null() {
            *here = Value::Object(serde_json::Map::new());
        }
        here.as_object_mut().map(|fields| fields.entry(*key).or_insert(Value::Null))
    })
}

/// The labels or annotations of an object.
pub(crate) fn labels<'v>(object: &'v Value, key: &str) -> impl Iterator<Item = (&'v str, &'v str)> {
    let entries = at(object, &["metadata", key]).and_then(Value::as_object);
    entries.into_iter().flatten().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
}

/// One of the object's annotations.
pub(crate) fn annotation<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    at(object, &["metadata", "annotations", name]).and_then(Value::as_str)
}

/// The lists of containers a pod's spec has, in the order they are looked at.
pub(crate) const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// All containers of a pod's spec.
pub(crate) fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    CONTAINER_LISTS.iter().flat_map(|list| items(spec, &[list]))
}
