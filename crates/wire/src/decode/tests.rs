//! A small schema by hand: the rules, not the kinds. The kinds' own tests decode real objects.

use super::*;
use crate::schema::{AnyForm, Field, List, Map, Omit, Struct};
use serde_json::json;

const STRING: Shape = Shape::String { enum_type: None };

fn field(name: &'static str, shape: Shape) -> Field {
    Field { pointer: false, ..Field::new(name, shape) }
}

fn list(item: Shape) -> Shape {
    Shape::List(Box::new(List::of(item)))
}

fn schema() -> (Schema, TypeId) {
    let mut schema = Schema::default();
    let fields = vec![
        field("name", STRING),
        field("port", Shape::Int32),
        field("limit", Shape::Quantity),
        field("target", Shape::IntOrString),
    ];
    let item = schema.add(Struct { name: "core.v1.Item".into(), fields, ..Struct::default() });
    let fields = vec![
        Field { omit: Omit::Never, ..field("items", list(Shape::Struct(item))) },
        field("labels", Shape::Map(Box::new(Map::of(STRING)))),
        field("args", list(STRING)),
        field("data", Shape::Bytes),
        field("at", Shape::Time),
        field("raw", Shape::Any(AnyForm::Extension)),
        Field::new("count", Shape::Int32),
        Field::new("on", Shape::Bool),
        Field::new("first", Shape::Struct(item)),
    ];
    let root = schema.add(Struct { name: "core.v1.Root".into(), fields, ..Struct::default() });
    (schema, root)
}

fn decode(text: &str, strictness: Strictness) -> Decoded {
    let (schema, id) = schema();
    let decoded = decode_json(text.as_bytes(), &schema, id, strictness);
    if let Ok(value) = serde_json::from_str::<Value>(text)
        && !text.contains("twice")
    {
        assert_eq!(from_value(value, &schema, id, strictness), decoded, "{text}: a parsed value decodes otherwise");
    }
    decoded
}

#[test]
fn values_become_canonical() {
    for (text, wanted) in [
        (
            r#"{"items":[{"limit":"1000m"},{"limit":0.5},{"limit":"1.5Gi"}]}"#,
            json!({"items": [{"limit": "1"}, {"limit": "500m"}, {"limit": "1536Mi"}]}),
        ),
        (
            r#"{"labels":{"a":null,"b":"c"},"args":[null,"x"],"items":[null]}"#,
            json!({"labels": {"a": "", "b": "c"}, "args": ["", "x"], "items": [{}]}),
        ),
        (r#"{"labels":null,"items":null,"count":null,"at":null,"first":null}"#, json!({})),
        (
            r#"{"labels":{},"args":[],"items":[],"count":0,"on":false,"data":""}"#,
            json!({"items": [], "count": 0, "on": false}),
        ),
        (
            r#"{"data":"aGVs\nbG8=","at":"2024-01-01T01:00:00.5+01:00"}"#,
            json!({"data": "aGVsbG8=", "at": "2024-01-01T00:00:00Z"}),
        ),
        (r#"{"raw":{"z":null,"a":[1,2.5,{}]}}"#, json!({"raw": {"z": null, "a": [1, 2.5, {}]}})),
        (r#"{"items":[{"target":8080},{"target":"http"}]}"#, json!({"items": [{"target": 8080}, {"target": "http"}]})),
        ("null", json!({})),
    ] {
        assert_eq!(decode(text, Strictness::Strict), Ok((wanted, vec![])), "{text}");
    }
}

#[test]
fn unknown_and_duplicate_fields_are_told_by_their_path() {
    let text = r#"{"foo":1,"items":[{"name":"a"},{"Name":"b","bar":{"deep":1}}],"args":["twice"],"args":[],"labels":{"x":"1","x":"2"}}"#;
    let errors = [
        r#"unknown field "foo""#,
        r#"unknown field "items[1].Name""#,
        r#"unknown field "items[1].bar""#,
        r#"duplicate field "args""#,
        r#"duplicate field "labels.x""#,
    ];
    let (value, warnings) = decode(text, Strictness::Warn).unwrap();
    assert_eq!(warnings, errors);
    assert_eq!(value, json!({"items": [{"name": "a"}, {}], "labels": {"x": "2"}}));
    let error = decode(text, Strictness::Strict).unwrap_err();
    assert_eq!(error.to_string(), format!("strict decoding error: {}", errors.join(", ")));
    assert_eq!(decode(text, Strictness::Ignore).unwrap().1, Vec::<String>::new());
}

#[test]
fn strict_errors_end_at_a_hundred() {
    let fields: Vec<String> = (0..150).map(|at| format!("\"x{at:03}\":1")).collect();
    let (_, warnings) = decode(&format!("{{{}}}", fields.join(",")), Strictness::Warn).unwrap();
    assert_eq!(warnings.len(), 100);
}

#[test]
fn wrong_types_are_refused_in_gos_words() {
    for (text, message) in [
        (
            r#"{"labels":"x"}"#,
            "json: cannot unmarshal string into Go struct field Root.labels of type map[string]string",
        ),
        (r#"{"labels":{"a":1}}"#, "json: cannot unmarshal number into Go struct field Root.labels of type string"),
        (r#"{"items":{"a":1}}"#, "json: cannot unmarshal object into Go struct field Root.items of type []v1.Item"),
        (r#"{"items":["a"]}"#, "json: cannot unmarshal string into Go struct field Root.items of type v1.Item"),
        (
            r#"{"items":[{"port":"80"}]}"#,
            "json: cannot unmarshal string into Go struct field Item.items.port of type int32",
        ),
        (
            r#"{"items":[{"port":80.5}]}"#,
            "json: cannot unmarshal number 80.5 into Go struct field Item.items.port of type int32",
        ),
        (
            r#"{"count":3000000000}"#,
            "json: cannot unmarshal number 3000000000 into Go struct field Root.count of type int32",
        ),
        (r#"{"on":"true","foo":1}"#, "json: cannot unmarshal string into Go struct field Root.on of type bool"),
        (r#"{"data":"abc"}"#, "illegal base64 data at input byte 0"),
        (r#"{"on":1,"items":[{"limit":"1mm"}]}"#, "unable to parse quantity's suffix"),
        (
            r#"{"items":[{"target":true}]}"#,
            "json: cannot unmarshal bool into Go struct field Item.items.target of type int32",
        ),
        (r#"{"at":5}"#, "json: cannot unmarshal number into Go struct field Root.at of type string"),
        (r#"{"at":"5"}"#, r#"parsing time "5" as "2006-01-02T15:04:05Z07:00": cannot parse "5" as "2006""#),
        ("[]", "json: cannot unmarshal array into Go value of type v1.Root"),
        ("{\"a\":}", "invalid character '}' looking for beginning of value"),
        ("{} {}", "invalid character '{' after top-level value"),
    ] {
        let error = decode(text, Strictness::Strict).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
    }
}

#[test]
fn deep_nesting_is_refused() {
    let text = format!("{{\"raw\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(decode(&text, Strictness::Strict), Err(DecodeError::Syntax(_))));
}

#[test]
fn of_a_changed_value_only_what_differs_is_read() {
    let (schema, id) = schema();
    let known = json!({
        "labels": {"a": "b", "c": "d"}, "first": {"name": "x", "limit": "1", "gone": true}, "args": ["1"], "old": 1,
    });
    let changed = json!({
        "labels": {"a": "b", "c": null}, "args": ["2"], "count": null, "new": 1, "old": 1,
        "first": {"name": "x", "limit": "2000m", "gone": true, "typo": 1},
    });
    let read = from_changed(changed.clone(), &known, &schema, id, Strictness::Warn).unwrap();
    // What stands in both is nobody's to check again, not even where it is unknown.
    let wanted = json!({
        "labels": {"a": "b", "c": ""}, "args": ["2"], "old": 1, "first": {"name": "x", "limit": "2", "gone": true},
    });
    assert_eq!(read, (wanted, vec!["unknown field \"first.typo\"".to_owned(), "unknown field \"new\"".to_owned()]));
    // Nothing known: all is read, as it would be without.
    for known in [Value::Null, json!({}), json!({"labels": [], "first": 1})] {
        let all = from_changed(changed.clone(), &known, &schema, id, Strictness::Warn);
        assert_eq!(all, from_value(changed.clone(), &schema, id, Strictness::Warn), "{known}");
    }
    let wrong = json!({"labels": {"a": "b"}, "first": {"name": "x", "port": "no"}});
    assert_eq!(
        from_changed(wrong.clone(), &known, &schema, id, Strictness::Warn),
        from_value(wrong, &schema, id, Strictness::Warn),
    );
}

#[test]
fn what_is_passed_over_is_no_deeper_than_in_go() {
    let (schema, id) = schema();
    let body = |depth: usize| format!("{{\"unknown\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    for strictness in [Strictness::Ignore, Strictness::Warn] {
        assert!(decode_json(body(9_999).as_bytes(), &schema, id, strictness).is_ok());
        let refused = decode_json(body(10_000).as_bytes(), &schema, id, strictness).unwrap_err();
        assert_eq!(refused, DecodeError::Syntax("invalid character '[' exceeded max depth".to_owned()));
    }
}
