//! YAML into values and back: what was written reads as the same value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use wire::yaml;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for document in yaml::documents(text) {
        let _ = yaml::parse(document);
        let Ok(document) = yaml::parse_document(document) else { continue };
        let written = yaml::to_string(&document.value);
        let again = yaml::parse(&written).ok();
        assert!(again.is_some_and(|again| same(&again, &document.value)), "{written}");
    }
});

/// A whole number may have been a float, as in Go.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one.is_f64() || other.is_f64() => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let is_there = |(key, value): (&String, &Value)| other.get(key).is_some_and(|other| same(value, other));
            one.len() == other.len() && one.iter().all(is_there)
        }
        _ => one == other,
    }
}
