//! Patches by example: object, patch, result. The small schema stands for what `kinds` fills in.

use super::*;
use crate::schema::{Field, List, ListKind, Map, Omit, Patch, Schema, Shape, Struct, TypeId};
use serde_json::{Value, json};

fn field(name: &'static str, shape: Shape, retain_keys: bool) -> Field {
    Field {
        name: name.into(),
        shape,
        number: 1,
        omit: Omit::Empty,
        pointer: false,
        nullable: false,
        required: false,
        default: None,
        atomic: false,
        patch: Patch { retain_keys, ..Patch::default() },
        embedded_in: None,
        feature_gate: None,
        markers: None,
    }
}

fn text() -> Shape {
    Shape::String { enum_type: None }
}

fn list(item: Shape, merge: bool, key: Option<&'static str>, retain_keys: bool) -> Shape {
    let patch = Patch { merge, merge_key: key.map(Into::into), retain_keys };
    Shape::List(Box::new(List { item, kind: ListKind::Atomic, patch }))
}

/// An object with one list of each kind, a map, and a struct that wants `$retainKeys`.
fn schema() -> Schema {
    let mut schema = Schema::default();
    let ports = list(Shape::Struct(TypeId(0)), true, Some("port"), false);
    // A type may refer to itself, so ids are known before the types are added.
    let item = Struct {
        name: "Item".into(),
        fields: vec![
            field("port", Shape::Int32, false),
            field("name", text(), false),
            field("value", text(), false),
            field("ports", ports, false),
        ],
        ..Struct::default()
    };
    let item = schema.add(item);
    let strategy =
        Struct { fields: vec![field("type", text(), false), field("rolling", text(), false)], ..Struct::default() };
    let strategy = schema.add(strategy);
    let map = Shape::Map(Box::new(Map { value: text(), atomic: false }));
    let root = Struct {
        fields: vec![
            field("items", list(Shape::Struct(item), true, Some("name"), false), false),
            field("volumes", list(Shape::Struct(item), true, Some("name"), true), false),
            field("plain", list(Shape::Struct(item), false, None, false), false),
            field("words", list(text(), true, None, false), false),
            field("labels", map, false),
            field("strategy", Shape::Struct(strategy), true),
            field("replicas", Shape::Int32, false),
        ],
        ..Struct::default()
    };
    schema.add(root);
    schema
}

fn strategic(original: Value, patch: Value) -> Result<Value, String> {
    let schema = schema();
    strategic_merge(&original, &patch, &schema.cursor(TypeId(2))).map_err(|e| e.to_string())
}

#[test]
fn strategic_merges() {
    let rows = [
        ("scalar", json!({"replicas": 1}), json!({"replicas": 2}), json!({"replicas": 2})),
        (
            "null deletes",
            json!({"replicas": 1, "labels": {"a": "b"}}),
            json!({"replicas": null}),
            json!({"labels": {"a": "b"}}),
        ),
        (
            "maps merge",
            json!({"labels": {"a": "1", "b": "2"}}),
            json!({"labels": {"b": null, "c": "3"}}),
            json!({"labels": {"a": "1", "c": "3"}}),
        ),
        (
            "replace a map",
            json!({"labels": {"a": "1"}}),
            json!({"labels": {"$patch": "replace", "c": "3"}}),
            json!({"labels": {"c": "3"}}),
        ),
        ("delete a map", json!({"labels": {"a": "1"}}), json!({"labels": {"$patch": "delete"}}), json!({"labels": {}})),
        (
            "keyed lists merge",
            json!({"items": [{"name": "a", "value": "1"}, {"name": "b"}]}),
            json!({"items": [{"name": "a", "value": "2"}]}),
            json!({"items": [{"name": "a", "value": "2"}, {"name": "b"}]}),
        ),
        (
            "new items come after",
            json!({"items": [{"name": "a"}]}),
            json!({"items": [{"name": "b"}]}),
            json!({"items": [{"name": "b"}, {"name": "a"}]}),
        ),
        (
            "item deleted",
            json!({"items": [{"name": "a"}, {"name": "b"}]}),
            json!({"items": [{"name": "a", "$patch": "delete"}]}),
            json!({"items": [{"name": "b"}]}),
        ),
        (
            "list replaced",
            json!({"items": [{"name": "a"}, {"name": "b"}]}),
            json!({"items": [{"name": "c"}, {"$patch": "replace"}]}),
            json!({"items": [{"name": "c"}]}),
        ),
        (
            "nested keyed lists",
            json!({"items": [{"name": "a", "ports": [{"port": 80, "value": "x"}]}]}),
            json!({"items": [{"name": "a", "ports": [{"port": 80, "name": "http"}]}]}),
            json!({"items": [{"name": "a", "ports": [{"port": 80, "value": "x", "name": "http"}]}]}),
        ),
        (
            "atomic list",
            json!({"plain": [{"name": "a"}]}),
            json!({"plain": [{"name": "b"}]}),
            json!({"plain": [{"name": "b"}]}),
        ),
        ("words add up", json!({"words": ["a", "b"]}), json!({"words": ["b", "c"]}), json!({"words": ["a", "b", "c"]})),
        (
            "words deleted",
            json!({"words": ["a", "b"]}),
            json!({"$deleteFromPrimitiveList/words": ["a"]}),
            json!({"words": ["b"]}),
        ),
        (
            "words ordered",
            json!({"words": ["a", "b", "c"]}),
            json!({"$setElementOrder/words": ["c", "d", "a"], "words": ["d"]}),
            json!({"words": ["b", "c", "d", "a"]}),
        ),
        (
            "order alone",
            json!({"items": [{"name": "a"}, {"name": "b"}]}),
            json!({"$setElementOrder/items": [{"name": "b"}, {"name": "a"}]}),
            json!({"items": [{"name": "b"}, {"name": "a"}]}),
        ),
        (
            "order with a server's item",
            json!({"items": [{"name": "a"}, {"name": "s"}, {"name": "b"}]}),
            json!({"$setElementOrder/items": [{"name": "b"}, {"name": "c"}], "items": [{"name": "c"}]}),
            json!({"items": [{"name": "a"}, {"name": "s"}, {"name": "b"}, {"name": "c"}]}),
        ),
        (
            "retained keys",
            json!({"strategy": {"type": "R", "rolling": "x"}}),
            json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
            json!({"strategy": {"type": "Recreate"}}),
        ),
        (
            "nothing to act on",
            json!({}),
            json!({"items": [{"name": "a", "value": null}, {"name": "b", "$patch": "delete"}], "strategy": {"$retainKeys": ["type"], "type": "x"}}),
            json!({"items": [{"name": "a"}], "strategy": {"type": "x"}}),
        ),
        (
            "retained in items",
            json!({"volumes": [{"name": "v", "value": "1"}]}),
            json!({"volumes": [{"name": "v", "$retainKeys": ["name", "port"], "port": 1}]}),
            json!({"volumes": [{"name": "v", "port": 1}]}),
        ),
        ("type changed", json!({"labels": "x"}), json!({"labels": {"a": "b"}}), json!({"labels": {"a": "b"}})),
        ("unknown fields", json!({"x": {"y": [1]}}), json!({"x": {"y": [2]}}), json!({"x": {"y": [2]}})),
    ];
    for (name, original, patch, expected) in rows {
        assert_eq!(strategic(original, patch), Ok(expected), "{name}");
    }
}

#[test]
fn strategic_refusals() {
    let rows = [
        (json!({"labels": {"$patch": "merge"}}), "unknown patch type: merge in map: {}"),
        (json!({"items": [{"value": "x"}]}), "map: {\"value\":\"x\"} does not contain declared merge key: name"),
        (json!({"strategy": {"$retainKeys": ["type"], "rolling": "x"}}), "invalid patch format of retainKeys"),
        (json!({"$deleteFromPrimitiveList/words": "a"}), "invalid patch format of primitive list"),
        (json!({"$setElementOrder/words": "a"}), "invalid patch format of setElementOrder list"),
    ];
    let original = json!({"labels": {"a": "b"}, "items": [{"name": "a"}], "strategy": {}, "words": ["a"]});
    for (patch, message) in rows {
        assert_eq!(strategic(original.clone(), patch.clone()), Err(message.to_owned()), "{patch}");
    }
}

fn three_way(original: Value, modified: Value, current: Value) -> Value {
    let schema = schema();
    let cursor = schema.cursor(TypeId(2));
    let patch = strategic_diff(&original, &modified, &current, &cursor).unwrap();
    // Whatever the patch is, applying it twice must give the same.
    let once = strategic_merge(&current, &patch, &cursor).unwrap();
    let again = strategic_diff(&modified, &modified, &once, &cursor).unwrap();
    let twice = strategic_merge(&once, &again, &cursor).unwrap();
    assert_eq!(once, twice);
    patch
}

#[test]
fn three_way_patches() {
    let rows = [
        ("nothing", json!({"replicas": 1}), json!({"replicas": 1}), json!({"replicas": 1}), json!({})),
        ("set", json!({"replicas": 1}), json!({"replicas": 2}), json!({"replicas": 1}), json!({"replicas": 2})),
        ("drifted", json!({"replicas": 1}), json!({"replicas": 1}), json!({"replicas": 5}), json!({"replicas": 1})),
        ("others' fields stay", json!({}), json!({}), json!({"replicas": 5, "labels": {"a": "b"}}), json!({})),
        (
            "no longer wanted",
            json!({"replicas": 1, "labels": {"a": "b", "c": "d"}}),
            json!({"labels": {"a": "b"}}),
            json!({"replicas": 1, "labels": {"a": "b", "c": "d"}}),
            json!({"replicas": null, "labels": {"c": null}}),
        ),
        (
            "an item's field",
            json!({"items": [{"name": "a", "value": "1"}]}),
            json!({"items": [{"name": "a", "value": "2"}]}),
            json!({"items": [{"name": "a", "value": "1", "port": 1}]}),
            json!({"$setElementOrder/items": [{"name": "a"}], "items": [{"name": "a", "value": "2"}]}),
        ),
        (
            "item gone",
            json!({"items": [{"name": "a"}, {"name": "b"}]}),
            json!({"items": [{"name": "b"}]}),
            json!({"items": [{"name": "a"}, {"name": "b"}]}),
            json!({"$setElementOrder/items": [{"name": "b"}], "items": [{"name": "a", "$patch": "delete"}]}),
        ),
        (
            "words",
            json!({"words": ["a", "b"]}),
            json!({"words": ["b", "c"]}),
            json!({"words": ["a", "b", "s"]}),
            json!({"$setElementOrder/words": ["b", "c"], "words": ["c"], "$deleteFromPrimitiveList/words": ["a"]}),
        ),
        (
            "retain keys",
            json!({"strategy": {"type": "R", "rolling": "x"}}),
            json!({"strategy": {"type": "Recreate"}}),
            json!({"strategy": {"type": "R", "rolling": "x"}}),
            json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate", "rolling": null}}),
        ),
    ];
    for (name, original, modified, current, expected) in rows {
        assert_eq!(three_way(original, modified, current), expected, "{name}");
    }
}

#[test]
fn merge_patches() {
    let merged = |doc: Value, patch: Value| merge_patch(&doc, patch.to_string().as_bytes()).unwrap();
    assert_eq!(
        merged(json!({"a": 1, "b": {"c": 2}}), json!({"a": null, "b": {"d": 3}})),
        json!({"b": {"c": 2, "d": 3}})
    );
    assert_eq!(merged(json!({"a": [1]}), json!({"a": [2]})), json!({"a": [2]}));
    assert_eq!(merged(json!({}), json!({"a": {"b": null}})), json!({"a": {}}));
    let refused = merge_patch(&json!({}), b"{").unwrap_err();
    assert_eq!(refused.status().message, "invalid JSON patch");
    assert_eq!(
        json_merge_diff(
            &json!({"a": 1, "x": {"y": 1}}),
            &json!({"b": 2, "x": {}}),
            &json!({"a": 1, "x": {"y": 1, "z": 2}})
        ),
        json!({"a": null, "b": 2, "x": {"y": null}})
    );
}

#[test]
fn json_patches() {
    let doc = json!({"a": [1, 2], "b": {"c/d": 1}, "s": "x"});
    let rows = [
        (json!([{"op": "add", "path": "/a/1", "value": 9}]), json!({"a": [1, 9, 2], "b": {"c/d": 1}, "s": "x"})),
        (json!([{"op": "add", "path": "/a/-", "value": 9}]), json!({"a": [1, 2, 9], "b": {"c/d": 1}, "s": "x"})),
        (
            json!([{"op": "remove", "path": "/a/-1"}, {"op": "remove", "path": "/b/c~1d"}]),
            json!({"a": [1], "b": {}, "s": "x"}),
        ),
        (json!([{"op": "replace", "path": "/s", "value": null}]), json!({"a": [1, 2], "b": {"c/d": 1}, "s": null})),
        (json!([{"op": "move", "from": "/s", "path": "/t"}]), json!({"a": [1, 2], "b": {"c/d": 1}, "t": "x"})),
        (
            json!([{"op": "copy", "from": "/s", "path": "/t"}]),
            json!({"a": [1, 2], "b": {"c/d": 1}, "s": "x", "t": "x"}),
        ),
        (
            json!([{"op": "test", "path": "/a", "value": [1.0, 2]}, {"op": "test", "path": "/no", "value": null}]),
            doc.clone(),
        ),
    ];
    for (patch, expected) in rows {
        assert_eq!(json_patch(&doc, patch.to_string().as_bytes()), Ok(expected), "{patch}");
    }
    for patch in [
        json!([{"op": "test", "path": "/s", "value": "y"}]),
        json!([{"op": "remove", "path": "/no"}]),
        json!([{"op": "replace", "path": "/no", "value": 1}]),
        json!([{"op": "add", "path": "/a/5", "value": 1}]),
        json!([{"op": "add", "path": "/no/x", "value": 1}]),
        json!([{"op": "add", "path": "/s"}]),
        json!([{"op": "nap", "path": "/s"}]),
    ] {
        let refused = json_patch(&doc, patch.to_string().as_bytes()).unwrap_err().status();
        assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"), "{patch}");
    }
    assert_eq!(json_patch(&doc, b"{}").unwrap_err().status().code, 400);
}

#[test]
fn json_patches_are_bounded() {
    let test = json!({"op": "test", "path": "/a", "value": 1});
    let many = Value::from(vec![test; MAX_OPERATIONS + 1]).to_string();
    let status = json_patch(&json!({"a": 1}), many.as_bytes()).unwrap_err().status();
    assert_eq!(status.code, 413);
    let message = "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001";
    assert_eq!(status.message, message);
    // Each copy doubles the document.
    let copies: Vec<Value> = (0..60).map(|n| json!({"op": "copy", "from": "", "path": format!("/c{n}")})).collect();
    let doc = json!({"a": "x".repeat(1000)});
    assert!(json_patch(&doc, Value::from(copies).to_string().as_bytes()).is_err());
}
