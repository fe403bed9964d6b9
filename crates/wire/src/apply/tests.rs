//! Ownership by example, on a small schema shaped like a Deployment's.

use super::*;
use crate::schema::{Cursor, Field, List, ListKind, Map, Omit, Patch, Schema, Shape, Struct, TypeId};
use serde_json::{Value, json};

fn field(name: &'static str, shape: Shape) -> Field {
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
        patch: Patch::default(),
        embedded_in: None,
        feature_gate: None,
        markers: None,
    }
}

fn text() -> Shape {
    Shape::String { enum_type: None }
}

fn list(item: Shape, kind: ListKind) -> Shape {
    Shape::List(Box::new(List { item, kind, patch: Patch::default() }))
}

fn map(value: Shape) -> Shape {
    Shape::Map(Box::new(Map { value, atomic: false }))
}

fn keyed(item: TypeId, keys: &[&'static str]) -> Shape {
    list(Shape::Struct(item), ListKind::Map { keys: keys.iter().map(|key| (*key).into()).collect() })
}

fn structure(fields: Vec<Field>) -> Struct {
    Struct { fields, ..Struct::default() }
}

fn schema() -> (Schema, TypeId) {
    let mut schema = Schema::default();
    let protocol = Field { default: Some(json!("TCP")), ..field("protocol", text()) };
    let port = schema.add(structure(vec![field("port", Shape::Int32), protocol, field("name", text())]));
    let resources = schema.add(structure(vec![field("limits", map(Shape::Quantity))]));
    let container = schema.add(structure(vec![
        field("name", text()),
        field("image", text()),
        field("ports", keyed(port, &["port", "protocol"])),
        field("resources", Shape::Struct(resources)),
        field("args", list(text(), ListKind::Atomic)),
    ]));
    let strategy = schema.add(structure(vec![field("type", text()), field("rolling", text())]));
    let selector = Field { atomic: true, ..field("selector", map(text())) };
    let reference = Struct { atomic: true, ..structure(vec![field("kind", text()), field("name", text())]) };
    let reference = Shape::Struct(schema.add(reference));
    let containers = Field { omit: Omit::Never, ..field("containers", keyed(container, &["name"])) };
    let spec = schema.add(structure(vec![
        Field { pointer: true, ..field("replicas", Shape::Int32) },
        selector,
        field("strategy", Shape::Struct(strategy)),
        containers,
        field("nodeName", text()),
        field("target", reference.clone()),
        field("owners", list(reference, ListKind::Map { keys: vec!["name".into()] })),
    ]));
    let managed = field("managedFields", list(Shape::Any(crate::schema::AnyForm::Raw), ListKind::Atomic));
    let metadata = schema.add(structure(vec![
        field("name", text()),
        field("namespace", text()),
        field("resourceVersion", text()),
        field("labels", map(text())),
        field("annotations", map(text())),
        field("finalizers", list(text(), ListKind::Set)),
        managed,
    ]));
    let status = schema.add(structure(vec![field("ready", Shape::Int32), field("phase", text())]));
    let root = schema.add(structure(vec![
        field("apiVersion", text()),
        field("kind", text()),
        field("metadata", Shape::Struct(metadata)),
        field("spec", Shape::Struct(spec)),
        field("status", Shape::Struct(status)),
    ]));
    (schema, root)
}

fn writer(manager: &'static str) -> Writer<'static> {
    let now = Timestamp::from_second(100).unwrap();
    Writer { manager, api_version: "apps/v1", subresource: "", now, reset: &[], versions: None }
}

fn at(second: i64, manager: &'static str) -> Writer<'static> {
    Writer { now: Timestamp::from_second(second).unwrap(), ..writer(manager) }
}

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"}, "spec": spec})
}

fn with_cursor<T>(test: impl FnOnce(&Cursor<'_>) -> T) -> T {
    let (schema, root) = schema();
    test(&schema.cursor(root))
}

fn created(spec: Value, manager: &'static str) -> Value {
    let mut object = deployment(spec);
    with_cursor(|cursor| track_update(None, &mut object, &writer(manager), cursor));
    object
}

fn updated(live: &Value, change: impl FnOnce(&mut Value), writer: &Writer<'_>) -> Value {
    let mut object = live.clone();
    change(&mut object);
    with_cursor(|cursor| track_update(Some(live), &mut object, writer, cursor));
    object
}

fn applied(live: Option<&Value>, spec: Value, writer: &Writer<'_>, force: bool) -> Result<Value, ApplyError> {
    let applied = with_cursor(|cursor| apply(live, &deployment(spec), writer, force, cursor))?;
    Ok(applied.or(live.cloned()).unwrap())
}

/// `manager/operation: paths`, one line an entry.
fn owners(object: &Value) -> Vec<String> {
    let list = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let line = |entry: Value| {
        let set = FieldSet::from_json(entry["fieldsV1"].clone()).unwrap();
        let name = format!("{} {}", entry["manager"].as_str().unwrap(), entry["operation"].as_str().unwrap());
        format!("{name}: {}", set.paths().join(" "))
    };
    list.into_iter().map(line).collect()
}

#[test]
fn a_create_owns_what_it_sets_as_upstream_writes_it() {
    let object = created(
        json!({
            "replicas": 1, "selector": {"app": "web"}, "strategy": {"type": "R"},
            "containers": [{"name": "a", "image": "i", "resources": {}, "args": ["x"], "ports": [{"port": 80, "protocol": "TCP"}]}],
        }),
        "kubectl-create",
    );
    let expected = json!([{
        "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "manager": "kubectl-create", "operation": "Update",
        "time": "1970-01-01T00:01:40Z",
        "fieldsV1": {"f:spec": {
            "f:replicas": {}, "f:selector": {}, "f:strategy": {"f:type": {}},
            "f:containers": {"k:{\"name\":\"a\"}": {
                ".": {}, "f:name": {}, "f:image": {}, "f:resources": {}, "f:args": {},
                "f:ports": {".": {}, "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:protocol": {}}},
            }},
        }},
    }]);
    assert_eq!(object["metadata"]["managedFields"], expected);
}

#[test]
fn structs_marked_atomic_have_one_owner_and_are_replaced_as_one() {
    let target = |kind: &str, name: Option<&str>| match name {
        Some(name) => json!({"target": {"kind": kind, "name": name}}),
        None => json!({"target": {"kind": kind}}),
    };
    let object = created(json!({"target": {"kind": "A", "name": "a"}, "owners": [{"name": "o", "kind": "O"}]}), "a");
    assert_eq!(owners(&object), ["a Update: .spec.owners[name=\"o\"] .spec.owners .spec.target"]);
    let changed = updated(&object, |new| new["spec"]["target"]["name"] = json!("b"), &at(200, "b"));
    assert_eq!(owners(&changed), ["a Update: .spec.owners[name=\"o\"] .spec.owners", "b Update: .spec.target"]);
    let refused = applied(Some(&changed), target("B", None), &at(300, "c"), false).unwrap_err();
    assert_eq!(refused.to_string(), r#"Apply failed with 1 conflict: conflict with "b" using apps/v1: .spec.target"#);
    // What is not named of it is not kept.
    let taken = applied(Some(&changed), target("B", None), &at(300, "c"), true).unwrap();
    assert_eq!(taken["spec"]["target"], json!({"kind": "B"}));
    // Not applied any more: gone as one.
    let left = applied(Some(&taken), json!({}), &at(400, "c"), false).unwrap();
    assert!(left["spec"].get("target").is_none(), "{left}");
    let setting = deployment(target("C", Some("c")));
    let why = with_cursor(|cursor| merge_applied(&object, &setting, cursor)).unwrap_err();
    assert_eq!(why, "may not mutate atomic arrays, maps or structs: .spec.target");
}

#[test]
fn updates_move_ownership() {
    let object = created(json!({"replicas": 1, "nodeName": "n"}), "a");
    let scaled = updated(&object, |new| new["spec"]["replicas"] = json!(2), &at(200, "b"));
    assert_eq!(owners(&scaled), ["a Update: .spec.nodeName", "b Update: .spec.replicas"]);
    // Nothing changed: nothing written.
    let same = updated(&scaled, |_| {}, &at(300, "c"));
    assert_eq!(same, scaled);
    // Left out by a client that does not know the field: kept.
    let unaware = updated(
        &scaled,
        |new| {
            new["metadata"].as_object_mut().unwrap().remove("managedFields");
        },
        &at(300, "c"),
    );
    assert_eq!(unaware, scaled);
    let cleared = updated(&scaled, |new| new["metadata"]["managedFields"] = json!([{}]), &at(300, "c"));
    assert_eq!(owners(&cleared), [""; 0]);
    let removed = updated(
        &scaled,
        |new| {
            new["spec"].as_object_mut().unwrap().remove("replicas");
        },
        &at(300, "c"),
    );
    assert_eq!(owners(&removed), ["a Update: .spec.nodeName"]);
    // The same manager again: one entry, a new time.
    let again = updated(&scaled, |new| new["spec"]["replicas"] = json!(3), &at(400, "b"));
    assert_eq!(again["metadata"]["managedFields"][1]["time"], "1970-01-01T00:06:40Z");
    assert_eq!(owners(&again), owners(&scaled));
}

#[test]
fn subresources_have_entries_of_their_own_and_reset_fields_are_nobodys() {
    let object = created(json!({"replicas": 1}), "a");
    let status = Writer { subresource: "status", reset: &["spec"], ..at(200, "a") };
    let ready = updated(
        &object,
        |new| {
            new["status"] = json!({"ready": 1});
            new["spec"]["replicas"] = json!(7);
        },
        &status,
    );
    assert_eq!(owners(&ready), ["a Update: .spec.replicas", "a Update: .status.ready"]);
    assert_eq!(ready["metadata"]["managedFields"][1]["subresource"], "status");
}

#[test]
fn updaters_are_capped() {
    const NAMES: [&str; 12] = ["m00", "m01", "m02", "m03", "m04", "m05", "m06", "m07", "m08", "m09", "m10", "m11"];
    let mut object = created(json!({}), "none");
    for (n, name) in NAMES.iter().enumerate() {
        let second = 100 + i64::try_from(n).unwrap();
        object = updated(&object, |new| new["metadata"]["labels"][name] = json!("x"), &at(second, name));
    }
    let owners = owners(&object);
    assert_eq!(owners.len(), 10);
    assert!(owners[0].starts_with("ancient-changes Update:"), "{owners:?}");
    assert!(owners[0].contains(".metadata.labels.m02"), "{owners:?}");
}

#[test]
fn applying_creates_changes_and_removes() {
    let first = applied(
        None,
        json!({"replicas": 1, "containers": [{"name": "a", "image": "1"}, {"name": "b"}]}),
        &at(100, "x"),
        false,
    )
    .unwrap();
    assert_eq!(
        owners(&first),
        [
            r#"x Apply: .spec.containers[name="a"].image .spec.containers[name="a"].name .spec.containers[name="a"] .spec.containers[name="b"].name .spec.containers[name="b"] .spec.replicas"#
        ]
    );
    let again = applied(
        Some(&first),
        json!({"replicas": 1, "containers": [{"name": "a", "image": "1"}, {"name": "b"}]}),
        &at(200, "x"),
        false,
    )
    .unwrap();
    assert_eq!(again, first, "an apply that changes nothing changes nothing");
    let second =
        applied(Some(&first), json!({"containers": [{"name": "a", "image": "2"}]}), &at(300, "x"), false).unwrap();
    assert_eq!(second["spec"], json!({"containers": [{"name": "a", "image": "2"}]}));
}

#[test]
fn others_fields_survive_what_is_no_longer_applied() {
    let first = applied(None, json!({"replicas": 1, "nodeName": "n"}), &at(100, "x"), false).unwrap();
    let shared = applied(Some(&first), json!({"replicas": 1}), &at(200, "y"), false).unwrap();
    assert_eq!(owners(&shared), ["x Apply: .spec.nodeName .spec.replicas", "y Apply: .spec.replicas"]);
    let left = applied(Some(&shared), json!({}), &at(300, "x"), false).unwrap();
    assert_eq!(left["spec"], json!({"replicas": 1}));
    assert_eq!(owners(&left), ["y Apply: .spec.replicas", "x Apply: .spec"]);
}

#[test]
fn conflicts_are_told_and_can_be_forced() {
    let live = created(json!({"replicas": 1, "nodeName": "n"}), "kubectl-client-side-apply");
    let refused = applied(Some(&live), json!({"replicas": 2}), &at(200, "x"), false).unwrap_err();
    let message =
        r#"Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas"#;
    assert_eq!(refused.to_string(), message);
    let status = serde_json::to_value(refused.status("")).unwrap();
    assert_eq!(
        status["details"]["causes"],
        json!([{"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-client-side-apply\" using apps/v1", "field": ".spec.replicas"}])
    );
    let refused = applied(Some(&live), json!({"replicas": 2, "nodeName": "m"}), &at(200, "x"), false).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"kubectl-client-side-apply\" using apps/v1:\n- .spec.nodeName\n- .spec.replicas"
    );
    // The same value is no conflict but shared.
    let shared = applied(Some(&live), json!({"replicas": 1}), &at(200, "x"), false).unwrap();
    assert_eq!(owners(&shared).len(), 2);
    let forced = applied(Some(&live), json!({"replicas": 2}), &at(200, "x"), true).unwrap();
    assert_eq!(owners(&forced), ["x Apply: .spec.replicas", "kubectl-client-side-apply Update: .spec.nodeName"]);
    assert_eq!(forced["spec"], json!({"replicas": 2, "nodeName": "n"}));
}

#[test]
fn kubectl_takes_over_from_its_client_side_apply() {
    let mut live = deployment(json!({"replicas": 1}));
    let last = deployment(json!({"replicas": 1})).to_string();
    live["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": last});
    with_cursor(|cursor| track_update(None, &mut live, &writer("kubectl-client-side-apply"), cursor));
    let taken = applied(Some(&live), json!({"replicas": 2}), &at(200, "kubectl"), false).unwrap();
    assert_eq!(taken["spec"]["replicas"], 2);
    let renewed = taken.pointer("/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration").unwrap();
    assert!(renewed.as_str().unwrap().contains(r#""replicas":2"#));
    assert!(applied(Some(&live), json!({"replicas": 2}), &at(200, "x"), false).is_err());
}

#[test]
fn untracked_objects_belong_to_before_first_apply() {
    let live = deployment(json!({"replicas": 1, "nodeName": "n"}));
    let refused = applied(Some(&live), json!({"replicas": 2}), &at(200, "x"), false).unwrap_err();
    assert!(refused.to_string().contains(r#"conflict with "before-first-apply" using apps/v1: .spec.replicas"#));
}

#[test]
fn keys_take_their_defaults_and_order_is_kept() {
    let ports = |list: Value| json!({"containers": [{"name": "a", "ports": list}]});
    let first = applied(
        None,
        ports(json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}])),
        &at(100, "x"),
        false,
    )
    .unwrap();
    let second = applied(Some(&first), ports(json!([{"port": 53, "name": "dns"}])), &at(200, "y"), false).unwrap();
    assert_eq!(
        second["spec"]["containers"][0]["ports"],
        json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP", "name": "dns"}])
    );
    let more = json!({"containers": [{"name": "c"}, {"name": "a"}, {"name": "b"}]});
    let third = applied(Some(&first), more, &at(200, "y"), false).unwrap();
    let names: Vec<&str> =
        third["spec"]["containers"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["c", "a", "b"]);
}

#[test]
fn only_the_very_same_once_more_changes_nothing() {
    let full = || {
        let mut object = deployment(json!({
            "replicas": 2, "selector": {"x": "1"}, "strategy": {}, "target": {"kind": "K", "name": "n"},
            "containers": [
                {"name": "a", "image": "i", "ports": [{"port": 1}, {"port": 1, "protocol": "UDP", "name": "u"}]},
                {"name": "b", "args": ["x", "y"], "resources": {"limits": {"cpu": "1"}}},
            ],
        }));
        object["metadata"]["labels"] = json!({"l": "v", "z": ""});
        object["metadata"]["finalizers"] = json!(["f", "g"]);
        object
    };
    let applied = |live: Option<&Value>, object: &Value, writer: &Writer<'_>| {
        with_cursor(|cursor| apply(live, object, writer, false, cursor)).unwrap()
    };
    let first = applied(None, &full(), &at(100, "x")).unwrap();
    let live = updated(&first, |object| object["status"] = json!({"ready": 2}), &at(150, "node"));
    assert_eq!(applied(Some(&live), &full(), &at(200, "x")), None);
    type Change = fn(&mut Value);
    let changes: &[(&str, Change)] = &[
        ("another value", |object| object["spec"]["containers"][0]["image"] = json!("j")),
        ("another order", |object| object["spec"]["containers"].as_array_mut().unwrap().reverse()),
        ("an item less", |object| drop(object["spec"]["containers"].as_array_mut().unwrap().pop())),
        ("a port less", |object| drop(object["spec"]["containers"][0]["ports"].as_array_mut().unwrap().pop())),
        ("a field less", |object| drop(object["spec"].as_object_mut().unwrap().remove("replicas"))),
        ("a struct less", |object| drop(object["spec"].as_object_mut().unwrap().remove("strategy"))),
        ("a label less", |object| drop(object["metadata"]["labels"].as_object_mut().unwrap().remove("z"))),
        ("a finalizer less", |object| drop(object["metadata"]["finalizers"].as_array_mut().unwrap().pop())),
        ("a field more, that stands there already", |object| object["status"] = json!({"ready": 2})),
        ("a label more", |object| object["metadata"]["labels"]["m"] = json!("")),
        ("an argument less", |object| drop(object["spec"]["containers"][1]["args"].as_array_mut().unwrap().pop())),
    ];
    for (what, change) in changes {
        let mut object = full();
        change(&mut object);
        let again = applied(Some(&live), &object, &at(200, "x"));
        assert_ne!(again.expect(what), live, "{what}");
    }
    let there = applied(Some(&live), &full(), &at(200, "y")).expect("another manager comes to own it");
    assert_ne!(there, live);
    let other = Writer { api_version: "apps/v2", ..at(200, "x") };
    assert!(applied(Some(&live), &full(), &other).is_some(), "through another version");
}

#[test]
fn sets_and_atomic_values() {
    let apply_meta = |live: Option<&Value>, finalizers: Value, selector: Value, who: &'static str| {
        let mut object = deployment(json!({"selector": selector}));
        object["metadata"]["finalizers"] = finalizers;
        with_cursor(|cursor| apply(live, &object, &at(100, who), true, cursor)).unwrap().unwrap()
    };
    let first = apply_meta(None, json!(["a", "b"]), json!({"x": "1"}), "x");
    let second = apply_meta(Some(&first), json!(["c"]), json!({"y": "2"}), "y");
    assert_eq!(second["metadata"]["finalizers"], json!(["a", "b", "c"]));
    assert_eq!(second["spec"]["selector"], json!({"y": "2"}), "atomic: replaced, not merged");
    let third = apply_meta(Some(&second), json!(["b"]), json!({"y": "2"}), "x");
    assert_eq!(third["metadata"]["finalizers"], json!(["b", "c"]));
}

#[test]
fn mistyped_objects_are_refused() {
    let rows = [
        (json!({"foo": 1}), ".spec.foo: field not declared in schema"),
        (
            json!({"containers": [{"name": "a"}, {"name": "a"}]}),
            r#".spec.containers: duplicate entries for key [name="a"]"#,
        ),
        (
            json!({"containers": [{"image": "a"}]}),
            r#".spec.containers: element 0: associative list with keys has an element that omits key field "name" (and doesn't have default value)"#,
        ),
    ];
    for (spec, message) in rows {
        assert_eq!(applied(None, spec, &writer("x"), false).unwrap_err().to_string(), message);
    }
    let mut object = deployment(json!({}));
    object["metadata"]["managedFields"] = json!([]);
    let refused = with_cursor(|cursor| apply(None, &object, &writer("x"), false, cursor)).unwrap_err();
    assert_eq!(refused.status("").code, 400);
}

#[test]
fn sets_are_joined_and_parted() {
    // Of each row: two sets, what is in either, in the first alone, and in both.
    let rows = [
        (json!({"f:a": {}}), json!({"f:b": {}}), json!({"f:a": {}, "f:b": {}}), json!({"f:a": {}}), json!({})),
        (
            json!({"f:a": {".": {}, "f:x": {}}}),
            json!({"f:a": {"f:x": {}}}),
            json!({"f:a": {".": {}, "f:x": {}}}),
            json!({"f:a": {}}),
            json!({"f:a": {"f:x": {}}}),
        ),
        (
            json!({"f:a": {"f:x": {}}}),
            json!({"f:a": {}}),
            json!({"f:a": {".": {}, "f:x": {}}}),
            json!({"f:a": {"f:x": {}}}),
            json!({}),
        ),
        (
            json!({"f:l": {"k:{\"name\":\"a\"}": {".": {}, "f:v": {}}, "v:1": {}, "i:0": {}}}),
            json!({"f:l": {"k:{\"name\":\"a\"}": {"f:v": {}}, "k:{\"name\":\"b\"}": {}, "i:0": {}}, "f:z": {}}),
            json!({
                "f:l": {
                    "k:{\"name\":\"a\"}": {".": {}, "f:v": {}}, "k:{\"name\":\"b\"}": {}, "v:1": {}, "i:0": {},
                },
                "f:z": {},
            }),
            json!({"f:l": {"k:{\"name\":\"a\"}": {}, "v:1": {}}}),
            json!({"f:l": {"k:{\"name\":\"a\"}": {"f:v": {}}, "i:0": {}}}),
        ),
    ];
    for (a, b, either, first, both) in rows {
        let (one, other) = (FieldSet::of(&a).unwrap(), FieldSet::of(&b).unwrap());
        let mut joined = one.clone();
        joined.union(other.clone());
        assert!(one.is_within(&joined) && other.is_within(&joined), "{a} {b}");
        assert_eq!(joined.is_within(&one), joined == one, "{a} {b}");
        let mut parted = one.clone();
        assert_eq!(parted.subtract(&other), parted != one, "{a} {b}");
        let common = one.intersection(&other);
        assert_eq!([joined, parted, common].map(FieldSet::into_json), [either, first, both], "{a} {b}");
        assert_eq!(FieldSet::from_json(a.clone()).unwrap().into_json(), a);
    }
    let odd = json!({"f:a": {".": {}}, "f:gone": {"f:b": 1}, ".": {}});
    assert_eq!(FieldSet::of(&odd).unwrap().into_json(), json!({"f:a": {}}));
    assert_eq!(FieldSet::of(&json!([])), None);
}
