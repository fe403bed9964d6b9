//! What targets share: cutting an input into documents, and finding the schema of an object.
//!
//! Each target feeds one decoder or evaluator and checks what must hold of whatever comes out. Inputs
//! are text where the decoder's are, so that seeds can be written and findings read by hand.

use serde_json::Value;
use wire::decode::{Strictness, from_value};
use wire::schema::{Cursor, TypeId};

/// Between the documents of one input, as in a stream of manifests.
const SEPARATOR: &str = "\n---\n";

/// The first `N` documents of an input; those that are missing are empty.
pub fn documents<const N: usize>(data: &[u8]) -> Option<[&str; N]> {
    let mut parts = std::str::from_utf8(data).ok()?.splitn(N, SEPARATOR);
    Some([(); N].map(|()| parts.next().unwrap_or_default()))
}

/// The same as JSON.
pub fn values<const N: usize>(data: &[u8]) -> Option<[Value; N]> {
    let mut all = [const { Value::Null }; N];
    for (value, text) in all.iter_mut().zip(documents::<N>(data)?) {
        *value = serde_json::from_str(text).ok()?;
    }
    Some(all)
}

/// The struct that a value says it is; a Pod where it says nothing that is known.
pub fn type_of(value: &Value) -> TypeId {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let named = kinds::type_of_version(text("apiVersion"), text("kind"));
    named.or_else(|| kinds::type_of("", "v1", "Pod")).expect("the table has pods")
}

pub fn cursor_of(value: &Value) -> Cursor<'static> {
    kinds::schema().cursor(type_of(value))
}

/// The value as the server would store it.
pub fn canonical(value: Value) -> Option<Value> {
    let id = type_of(&value);
    Some(from_value(value, kinds::schema(), id, Strictness::Warn).ok()?.0)
}

/// A folder of one run's own, in memory where there is such a place: many are made.
pub fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder")
}
