//! Tables of expressions: what holds, what fails and how, what does not compile, what it costs.

mod building;
mod costs;
mod failing;
mod holding;
mod hostile;

use crate::{Environment, Outcome, Program, Scope, Type, Value, compile};
use serde_json::{Value as Json, json};

pub fn schema() -> Json {
    json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string", "maxLength": 10},
        "replicas": {"type": "integer"},
        "minReplicas": {"type": "integer"},
        "ratio": {"type": "number"},
        "paused": {"type": "boolean"},
        "port": {"x-kubernetes-int-or-string": true},
        "tags": {"type": "array", "maxItems": 5, "items": {"type": "string", "maxLength": 8}},
        "names": {"type": "array", "items": {"type": "string"}},
        "numbers": {"type": "array", "items": {"type": "integer"}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "started": {"type": "string", "format": "date-time"},
        "wait": {"type": "string", "format": "duration"},
        "data": {"type": "string", "format": "byte"},
        "namespace": {"type": "string"},
        "a-b": {"type": "string"},
        "c.d/e__f": {"type": "string"},
        "missing": {"type": "string"},
        "nothing": {"type": "string", "nullable": true},
        "inner": {"type": "object", "properties": {"x": {"type": "integer"}, "gone": {"type": "integer"}}},
        "containers": {"type": "array", "items": {"type": "object", "properties": {
            "name": {"type": "string"}, "ports": {"type": "array", "items": {"type": "integer"}}}}},
    }})
}

pub fn object() -> Json {
    json!({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "thing-1", "labels": {"hidden": "yes"}},
        "name": "web", "replicas": 3, "minReplicas": 1, "ratio": 1, "paused": false, "port": "http",
        "tags": ["a", "b", "c"], "names": ["x", "y"], "numbers": [3, 1, 2], "labels": {"app": "web", "tier": "front"},
        "started": "2026-01-02T03:04:05Z", "wait": "1h30m", "data": "aGVsbG8=", "namespace": "ns", "a-b": "dash",
        "c.d/e__f": "odd", "nothing": null, "inner": {"x": 7},
        "containers": [{"name": "one", "ports": [80, 443]}, {"name": "two", "ports": []}]})
}

pub fn self_type() -> Type {
    Type::from_schema(&schema(), true).unwrap()
}

pub fn environment() -> Environment {
    Environment::new().with("self", self_type()).with("any", Type::DYN).with("variables.three", Type::Int)
}

pub fn program(source: &str) -> Result<Program, String> {
    compile(source, &environment(), &[]).map_err(|error| error.to_string())
}

/// Runs an expression over [`object`] and shows what came of it to `look`.
pub fn run<T>(source: &str, limit: u64, look: impl Fn(&Outcome<'_>) -> T) -> Result<T, String> {
    let (object, kind, any) = (object(), self_type(), json!({"n": 1, "s": "t", "l": [1, "a", 2.5], "m": {"k": null}}));
    let program = program(source)?;
    let scope = Scope::new().json("self", &object, &kind).json("any", &any, &Type::DYN);
    let scope = scope.value("variables.three", Value::Int(3));
    Ok(look(&program.evaluate(&scope, limit)))
}
