//! What expressions build to change objects, and as what JSON it comes out.

use crate::{Environment, JSON_PATCH, OBJECT, PER_CALL_LIMIT, Scope, Type, compile};
use serde_json::{Value as Json, json};

fn built(source: &str, wanted: Type) -> Result<Json, String> {
    let environment = Environment::new().with("object", Type::DYN).building();
    let program = compile(source, &environment, &[wanted]).map_err(|error| error.to_string())?;
    let object = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 2}});
    let scope = Scope::new().json("object", &object, &Type::DYN);
    let value = program.evaluate(&scope, PER_CALL_LIMIT).result.map_err(|fault| fault.to_string())?;
    value.to_object().map_err(|fault| fault.to_string())
}

#[test]
fn objects_are_built_by_their_places() {
    for (source, wanted) in [
        ("Object{}", json!({})),
        (
            "Object{spec: Object.spec{replicas: object.spec.replicas + 1, paused: true}}",
            json!({"spec": {"replicas": 3, "paused": true}}),
        ),
        (
            "Object{metadata: Object.metadata{labels: {'a/b': 'c'}, ?name: object.?none}}",
            json!({"metadata": {"labels": {"a/b": "c"}}}),
        ),
        (
            "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'x'}]}}",
            json!({"spec": {"containers": [{"name": "x"}]}}),
        ),
        ("has(object.x) ? Object{a: 1} : Object{b: Object{b: 1}.b}", json!({"b": 1})),
    ] {
        assert_eq!(built(source, Type::built(OBJECT)).unwrap(), wanted, "{source}");
    }
}

#[test]
fn patches_are_lists_of_operations() {
    let patch = "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b~c'), value: 1}]";
    let environment = Environment::new().building();
    let program = compile(patch, &environment, &[Type::list(Type::built(JSON_PATCH))]).unwrap();
    let value = program.evaluate(&Scope::new(), PER_CALL_LIMIT).result.unwrap().to_json().unwrap();
    assert_eq!(value, json!([{"op": "add", "path": "/metadata/labels/a~1b~0c", "value": 1}]));
}

#[test]
fn what_is_built_wrong_is_told() {
    for (source, why) in [
        ("Thing{a: 1}", "undeclared reference to 'Thing'"),
        ("JSONPatch{op: 1}", "expected type of field 'op' is 'string' but provided type is 'int'"),
        ("JSONPatch{operation: 'add'}", "undefined field 'operation'"),
        ("1", "must evaluate to Object"),
        ("Object{spec: Object.status{a: 1}}", "unexpected type name \"Object.status\", expected \"Object.spec\""),
    ] {
        let told = built(source, Type::built(OBJECT)).unwrap_err();
        assert!(told.contains(why), "{source}: {told}");
    }
    assert!(compile("Object{a: 1}", &Environment::new(), &[]).is_err());
}
