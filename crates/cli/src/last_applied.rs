//! The annotation in which client-side apply remembers what it applied.

use crate::print::json::compact;
use serde_json::{Value, json};

pub const KEY: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What was applied last time, as text.
pub fn of(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"][KEY].as_str()
}

/// Writes the object's own configuration into its annotation.
pub fn record(object: &mut Value) {
    *object = without(std::mem::take(object));
    if object.is_object() {
        let text = format!("{}\n", compact(object));
        object["metadata"]["annotations"][KEY] = json!(text);
    }
}

/// The configuration as it is remembered: it has annotations, if only none.
pub fn without(mut object: Value) -> Value {
    let Some(map) = object.as_object_mut() else { return object };
    let metadata = map.entry("metadata").or_insert_with(|| json!({}));
    if !metadata["annotations"].is_object() {
        metadata["annotations"] = json!({});
    }
    if let Some(annotations) = metadata["annotations"].as_object_mut() {
        annotations.remove(KEY);
    }
    object
}
