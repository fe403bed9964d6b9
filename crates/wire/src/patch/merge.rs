//! Merge patch (RFC 7386): objects merge, null deletes, everything else replaces.

use super::PatchError;
use serde_json::{Map, Value};

/// `doc` with `patch` merged in.
pub fn merge_patch(doc: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    let patch: Value =
        serde_json::from_slice(patch).map_err(|_| PatchError::Malformed("invalid JSON patch".to_owned()))?;
    Ok(merge(doc.clone(), patch))
}

fn merge(target: Value, patch: Value) -> Value {
    let Value::Object(patch) = patch else { return patch };
    let mut merged = match target {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    for (key, value) in patch {
        if value.is_null() {
            merged.remove(&key);
        } else {
            let old = merged.remove(&key).unwrap_or(Value::Null);
            merged.insert(key, merge(old, value));
        }
    }
    Value::Object(merged)
}
