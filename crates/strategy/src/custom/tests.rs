//! A definition as users write it, and what follows from it.

use super::*;
use crate::Strategy as _;
use serde_json::{Value, json};

fn definition() -> Value {
    json!({
        "metadata": {"name": "cats.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "cats", "singular": "cat", "kind": "Cat", "listKind": "CatList"},
            "versions": [
                {"name": "v1beta1", "served": true, "storage": false, "deprecated": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}},
                {"name": "v1", "served": true, "storage": true, "subresources": {"status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
                    "selectableFields": [{"jsonPath": ".spec.color"}],
                    "additionalPrinterColumns": [{"name": "Color", "type": "string", "jsonPath": ".spec.color"},
                        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"}],
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                        "spec": {"type": "object", "properties": {
                            "color": {"type": "string", "default": "black"},
                            "replicas": {"type": "integer"},
                            "maybe": {"type": "string", "nullable": true},
                            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                        }},
                        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
                    }}}},
            ],
        },
        "status": {"conditions": null, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": ["v1"]},
    })
}

fn rules(version: &str) -> Rules {
    let json = definition().to_string();
    let definition = Definition::read(json.as_bytes()).unwrap();
    let version = definition.spec.versions.iter().find(|one| one.name == version).unwrap();
    Rules::new(&definition, version, json.as_bytes().into())
}

#[test]
fn objects_are_pruned_and_defaulted_as_the_schema_says() {
    let rules = rules("v1");
    let compiled = rules.compiled();
    let mut object = json!({"apiVersion": "example.com/v1", "kind": "Cat", "metadata": {"name": "a", "x": 1},
        "spec": {"color": null, "maybe": null, "labels": {"a": "b"}, "other": 1}, "more": {}});
    let gone = wire::prune::prune(&mut object, &compiled.schema, compiled.root);
    assert_eq!(gone, ["metadata.x", "more", "spec.other"]);
    wire::defaults::apply_declared(&mut object, &compiled.schema, compiled.root);
    rules.default(&mut object);
    assert_eq!(object["spec"], json!({"color": "black", "maybe": null, "labels": {"a": "b"}}));
}

#[test]
fn a_version_that_preserves_keeps_everything() {
    let rules = rules("v1beta1");
    let mut object = json!({"metadata": {"name": "a"}, "spec": {"x": {"y": null}}});
    let compiled = rules.compiled();
    assert!(wire::prune::prune(&mut object, &compiled.schema, compiled.root).is_empty());
    assert_eq!(object["spec"], json!({"x": {"y": null}}));
}

#[test]
fn rows_show_the_columns_of_the_definition() {
    let rules = rules("v1");
    let now = "2026-01-01T00:00:10Z".parse().unwrap();
    let object =
        json!({"metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"color": "red"}});
    assert_eq!(rules.cells(&object, now), [json!("a"), json!("red"), json!(null)]);
    assert_eq!(self::rules("v1beta1").cells(&object, now), [json!("a"), json!("10s")]);
    assert_eq!(rules.selectable_fields(&object), [("spec.color".into(), "red".to_owned())]);
}

#[test]
fn versions_are_ordered_and_warned_of() {
    let mut names = vec!["v1", "foo", "v10", "v2beta1", "v11alpha2", "v2", "v1beta2", "bar"];
    names.sort_by_key(|name| std::cmp::Reverse(version_order(name)));
    assert_eq!(names, ["v10", "v2", "v1", "v2beta1", "v1beta2", "v11alpha2", "bar", "foo"]);
    let definition = Definition::read(definition().to_string().as_bytes()).unwrap();
    let warning = definition.deprecation(&definition.spec.versions[0]).unwrap();
    assert_eq!(warning, "example.com/v1beta1 Cat is deprecated; use example.com/v1 Cat");
    assert!(definition.spec.versions[1].has_status() && !definition.spec.versions[0].has_status());
}
