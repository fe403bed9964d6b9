//! One schema, one value, and every message that upstream has for it.

use super::*;
use serde_json::json;

fn told(schema: &Value, value: &Value, old: Option<&Value>) -> Vec<String> {
    let mut errors = ErrorList::new();
    Check::new(schema).run(value, old, &Path::root(), &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

fn spec(inner: &Value) -> Value {
    json!({"type": "object", "properties": {"spec": inner}})
}

#[test]
fn values_that_do_not_fit_are_told_in_upstreams_words() {
    let list_map = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "items": {"type": "object", "properties": {"name": {"type": "string"}}}});
    for (schema, value, message) in [
        (
            json!({"type": "integer"}),
            json!("a"),
            r#"spec: Invalid value: "string": spec in body must be of type integer: "string""#,
        ),
        (
            json!({"type": "integer"}),
            json!(1.5),
            r#"spec: Invalid value: "number": spec in body must be of type integer: "number""#,
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            r#"spec: Invalid value: "boolean": spec in body must be of type integer,string: "boolean""#,
        ),
        (json!({"type": "object", "required": ["a"]}), json!({}), "spec.a: Required value"),
        (
            json!({"type": "string", "enum": ["a", "b"]}),
            json!("c"),
            r#"spec: Unsupported value: "c": supported values: "a", "b""#,
        ),
        (
            json!({"type": "string", "pattern": "^a+$"}),
            json!("b"),
            r#"spec: Invalid value: "b": spec in body should match '^a+$'"#,
        ),
        (
            json!({"type": "string", "minLength": 2}),
            json!("b"),
            r#"spec: Invalid value: "b": spec in body should be at least 2 chars long"#,
        ),
        (json!({"type": "string", "maxLength": 2}), json!("bcd"), "spec: Too long: may not be more than 2 bytes"),
        (
            json!({"type": "integer", "minimum": 1}),
            json!(0),
            "spec: Invalid value: 0: spec in body should be greater than or equal to 1",
        ),
        (
            json!({"type": "integer", "maximum": 10, "exclusiveMaximum": true}),
            json!(10),
            "spec: Invalid value: 10: spec in body should be less than 10",
        ),
        (
            json!({"type": "number", "multipleOf": 0.5}),
            json!(0.7),
            "spec: Invalid value: 0.7: spec in body should be a multiple of 0.5",
        ),
        (
            json!({"type": "array", "maxItems": 1, "items": {"type": "string"}}),
            json!(["a", "b"]),
            "spec: Too many: 2: must have at most 1 item",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            json!([1]),
            r#"spec[0]: Invalid value: "integer": spec[0] in body must be of type string: "integer""#,
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("x"),
            r#"spec: Invalid value: "x": spec in body must be of type date-time: "x""#,
        ),
        (
            json!({"type": "string"}),
            json!(null),
            r#"spec: Invalid value: "null": spec in body must be of type string: "null""#,
        ),
        (
            json!({"not": {"required": ["a"]}}),
            json!({"a": 1}),
            r#"Invalid value: "": "spec" must not validate the schema (not)"#,
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}),
            json!(["a", "a"]),
            r#"spec[1]: Duplicate value: "a""#,
        ),
        (list_map, json!([{"name": "a"}, {"name": "a"}]), r#"spec[1]: Duplicate value: {"name":"a"}"#),
    ] {
        assert_eq!(told(&spec(&schema), &json!({"spec": value}), None), [message], "{schema}");
    }
}

#[test]
fn values_that_fit_pass() {
    for (schema, value) in [
        (json!({"type": "integer"}), json!(1.0)),
        (json!({"type": "number"}), json!(1)),
        (json!({"type": "string", "nullable": true}), json!(null)),
        (json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}), json!("5%")),
        (json!({"type": "object", "additionalProperties": {"type": "integer"}}), json!({"a": 1})),
        (json!({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}), json!({"a": 1})),
    ] {
        assert_eq!(told(&spec(&schema), &json!({"spec": value}), None), Vec::<String>::new(), "{schema}");
    }
}

#[test]
fn alternatives_tell_what_came_closest() {
    let schema = spec(&json!({"oneOf": [{"required": ["a"]}, {"required": ["b", "c"]}]}));
    assert_eq!(
        told(&schema, &json!({"spec": {}}), None),
        [
            r#"Invalid value: "": "spec" must validate one and only one schema (oneOf). Found none valid"#,
            "spec.a: Required value"
        ]
    );
    let both = json!({"spec": {"a": 1, "b": 1, "c": 1}});
    assert_eq!(told(&schema, &both, None).len(), 1);
}

#[test]
fn what_was_wrong_before_may_stay() {
    let schema = spec(&json!({"type": "object", "properties": {
        "a": {"type": "integer", "minimum": 5},
        "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer", "minimum": 5}}}},
    }}));
    let old = json!({"spec": {"a": 1, "list": [{"name": "x", "n": 1}]}});
    let mut new = old.clone();
    new["spec"]["b"] = 1.into();
    new["spec"]["list"] = json!([{"name": "y", "n": 9}, {"name": "x", "n": 1}]);
    assert_eq!(told(&schema, &new, Some(&old)), Vec::<String>::new());
    new["spec"]["a"] = 2.into();
    assert_eq!(told(&schema, &new, Some(&old)).len(), 1);
}
