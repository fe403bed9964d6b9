//! Expressions, checked and run over one object within a budget.
#![no_main]

use expressions::{Environment, Scope, Type, compile};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use std::sync::LazyLock;

static OBJECT: LazyLock<Value> = LazyLock::new(|| {
    json!({"name": "web", "replicas": 3, "ratio": 1.5, "port": "http", "tags": ["a", "b"], "labels": {"app": "web"},
        "started": "2026-01-02T03:04:05Z", "wait": "1h30m", "data": "aGVsbG8="})
});
static KIND: LazyLock<Type> = LazyLock::new(|| {
    let schema = json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string", "maxLength": 10}, "replicas": {"type": "integer"}, "ratio": {"type": "number"},
        "port": {"x-kubernetes-int-or-string": true}, "tags": {"type": "array", "items": {"type": "string"}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "started": {"type": "string", "format": "date-time"}, "wait": {"type": "string", "format": "duration"},
        "data": {"type": "string", "format": "byte"}}});
    Type::from_schema(&schema, true).expect("a schema with types")
});
static ENVIRONMENT: LazyLock<Environment> =
    LazyLock::new(|| Environment::new().with("self", KIND.clone()).with("any", Type::DYN));

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match compile(text, &ENVIRONMENT, &[]) {
        Ok(program) => {
            let scope = Scope::new().json("self", &OBJECT, &KIND).json("any", &OBJECT, &Type::DYN);
            let outcome = program.evaluate(&scope, 1_000_000);
            let _ = format!("{:?}", outcome.result);
        }
        Err(refused) => drop(refused.to_string()),
    }
});
