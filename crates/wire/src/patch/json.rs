//! JSON patch (RFC 6902), with what upstream's library adds: negative list indices, and a bound on
//! what `copy` may add, since a few doubling copies would fill the memory.

use super::PatchError;
use serde::Deserialize;
use serde_json::Value;

/// Upstream's limit on the operations of one patch.
pub const MAX_OPERATIONS: usize = 10_000;
/// Upstream's limit on the bytes that all `copy` operations of one patch add: that of a body.
const MAX_COPIED: usize = 3 * 1024 * 1024;

#[derive(Deserialize)]
struct Operation {
    op: String,
    path: String,
    from: Option<String>,
    /// Absent and null differ: `add` needs one.
    #[serde(default, deserialize_with = "present")]
    value: Option<Value>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// `doc` with all operations done, or none.
pub fn json_patch(doc: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    let operations: Vec<Operation> = serde_json::from_slice(patch).map_err(|e| PatchError::Decode(e.to_string()))?;
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooManyOperations { count: operations.len(), limit: MAX_OPERATIONS });
    }
    let mut doc = doc.clone();
    let mut copied = 0;
    for operation in operations {
        apply(&mut doc, operation, &mut copied)?;
    }
    Ok(doc)
}

fn apply(doc: &mut Value, operation: Operation, copied: &mut usize) -> Result<(), PatchError> {
    let path = operation.path.as_str();
    let from = || operation.from.as_deref().ok_or_else(|| missing("from"));
    let value = || operation.value.clone().ok_or_else(|| missing("value"));
    match operation.op.as_str() {
        "add" => add(doc, path, value()?),
        "remove" => remove(doc, path).map(drop),
        "replace" => {
            let value = value()?;
            *resolve(doc, path)? = value;
            Ok(())
        }
        "move" => {
            let value = remove(doc, from()?)?;
            add(doc, path, value)
        }
        "copy" => {
            let value = resolve(doc, from()?)?.clone();
            *copied += value.to_string().len();
            if *copied > MAX_COPIED {
                let message = format!("the accumulated size increase of JSON copy is {copied}, exceeding the limit");
                return Err(PatchError::Unprocessable(message));
            }
            add(doc, path, value)
        }
        "test" => {
            let expected = operation.value.clone().unwrap_or(Value::Null);
            // Upstream's library takes an absent field for null.
            let found = resolve(doc, path).map_or(Value::Null, |value| value.clone());
            if same(&found, &expected) {
                return Ok(());
            }
            Err(PatchError::Unprocessable(format!("testing value {path} failed")))
        }
        other => Err(PatchError::Unprocessable(format!("Unexpected kind: {other}"))),
    }
}

fn missing(what: &str) -> PatchError {
    PatchError::Unprocessable(format!("missing {what}"))
}

fn no_path(path: &str) -> PatchError {
    PatchError::Unprocessable(format!("doc is missing path: {path}: missing value"))
}

/// Numbers compare by value: 1 and 1.0 are the same.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(key, value)| y.get(key).is_some_and(|other| same(value, other)))
        }
        _ => a == b,
    }
}

/// The steps of a JSON pointer, unescaped.
fn steps(path: &str) -> Result<Vec<String>, PatchError> {
    match path.strip_prefix('/') {
        Some(rest) => Ok(rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect()),
        None if path.is_empty() => Ok(Vec::new()),
        None => Err(no_path(path)),
    }
}

/// A list index; negative ones count from the end.
fn index(step: &str, length: usize) -> Option<usize> {
    match step.strip_prefix('-') {
        Some(back) => length.checked_sub(back.parse::<usize>().ok()?),
        None => step.parse().ok(),
    }
}

fn descend<'v>(value: &'v mut Value, step: &str) -> Option<&'v mut Value> {
    match value {
        Value::Object(map) => map.get_mut(step),
        Value::Array(list) => {
            let at = index(step, list.len())?;
            list.get_mut(at)
        }
        _ => None,
    }
}

fn resolve<'v>(doc: &'v mut Value, path: &str) -> Result<&'v mut Value, PatchError> {
    let steps = steps(path)?;
    steps.iter().try_fold(doc, |value, step| descend(value, step)).ok_or_else(|| no_path(path))
}

/// What contains the end of a path, and the last step.
fn parent<'v>(doc: &'v mut Value, path: &str) -> Result<Option<(&'v mut Value, String)>, PatchError> {
    let mut steps = steps(path)?;
    let Some(last) = steps.pop() else { return Ok(None) };
    let parent = steps.iter().try_fold(doc, |value, step| descend(value, step)).ok_or_else(|| no_path(path))?;
    Ok(Some((parent, last)))
}

fn add(doc: &mut Value, path: &str, value: Value) -> Result<(), PatchError> {
    let Some((parent, last)) = parent(doc, path)? else {
        *doc = value;
        return Ok(());
    };
    match parent {
        Value::Object(map) => {
            map.insert(last, value);
            Ok(())
        }
        Value::Array(list) if last == "-" => {
            list.push(value);
            Ok(())
        }
        Value::Array(list) => match index(&last, list.len() + usize::from(last.starts_with('-'))) {
            Some(at) if at <= list.len() => {
                list.insert(at, value);
                Ok(())
            }
            _ => Err(no_path(path)),
        },
        _ => Err(no_path(path)),
    }
}

fn remove(doc: &mut Value, path: &str) -> Result<Value, PatchError> {
    let Some((parent, last)) = parent(doc, path)? else { return Err(no_path(path)) };
    let removed = match parent {
        Value::Object(map) => map.remove(&last),
        Value::Array(list) => index(&last, list.len()).filter(|at| *at < list.len()).map(|at| list.remove(at)),
        _ => None,
    };
    removed.ok_or_else(|| no_path(path))
}
