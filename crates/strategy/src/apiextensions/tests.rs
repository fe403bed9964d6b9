//! Definitions that upstream takes, and what it says of those it does not.

use super::*;

fn definition(schema: Value) -> Value {
    json!({
        "metadata": {"name": "cats.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "conversion": {"strategy": "None"},
            "names": {"plural": "cats", "singular": "cat", "kind": "Cat", "listKind": "CatList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
        "status": {"storedVersions": ["v1"]},
    })
}

fn told(definition: &Value, old: Option<&Value>) -> Vec<String> {
    let mut errors = ErrorList::new();
    check(definition, old, &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_plain_definition_passes_and_is_filled_in() {
    let mut plain = definition(json!({"type": "object", "properties": {"spec": {"type": "object",
        "properties": {"n": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            "size": {"type": "string", "default": "small", "enum": ["small", "large"]}}}}}));
    plain["spec"]["names"] = json!({"plural": "cats", "kind": "Cat"});
    CustomResourceDefinition.default(&mut plain);
    assert_eq!(plain["spec"]["names"]["listKind"], "CatList");
    assert_eq!(told(&plain, None), Vec::<String>::new());
}

#[test]
fn schemas_must_be_structural() {
    let field = |field: Value| definition(json!({"type": "object", "properties": {"spec": field}}));
    let at = "spec.validation.openAPIV3Schema.properties[spec]";
    for (definition, message) in [
        (
            definition(json!({})),
            "spec.validation.openAPIV3Schema.type: Required value: must not be empty at the root".to_owned(),
        ),
        (
            definition(json!({"type": "array", "items": {"type": "string"}})),
            r#"spec.validation.openAPIV3Schema.type: Invalid value: "array": must be object at the root"#.to_owned(),
        ),
        (field(json!({})), format!("{at}.type: Required value: must not be empty for specified object fields")),
        (field(json!({"type": "array"})), format!("{at}.items: Required value: must be specified")),
        (
            field(json!({"type": "string", "uniqueItems": true})),
            format!(
                "{at}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
            ),
        ),
        (
            field(json!({"type": "object", "anyOf": [{"description": "x"}]})),
            format!("{at}.anyOf[0].description: Forbidden: must be empty to be structural"),
        ),
        (
            field(json!({"type": "string", "default": 1})),
            format!(
                r#"{at}.default: Invalid value: "integer": {at}.default in body must be of type string: "integer""#
            ),
        ),
        (
            field(json!({"type": "object", "default": {"x": 1}})),
            format!(r#"{at}.default: Invalid value: {{"x":1}}: must not have unknown fields"#),
        ),
    ] {
        assert_eq!(told(&definition, None), [message]);
    }
}

#[test]
fn names_and_versions_are_checked() {
    let good = definition(json!({"type": "object"}));
    let with = |pointer: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        bad
    };
    for (bad, message) in [
        (
            with("/metadata/name", json!("dogs.example.com")),
            r#"metadata.name: Invalid value: "dogs.example.com": must be spec.names.plural+"."+spec.group"#,
        ),
        (
            with("/spec/scope", json!("Galaxy")),
            r#"spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced""#,
        ),
        (
            with("/spec/names/listKind", json!("Cat")),
            r#"spec.names.listKind: Invalid value: "Cat": kind and listKind may not be the same"#,
        ),
        (
            with("/spec/versions/0/schema", json!(null)),
            "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required",
        ),
    ] {
        assert_eq!(told(&bad, None), [message]);
    }
    let mut old = good.clone();
    old["status"]["conditions"] = json!([{"type": "Established", "status": "True"}]);
    assert_eq!(
        told(&with("/spec/scope", json!("Cluster")), Some(&old)),
        [r#"spec.scope: Invalid value: "Cluster": field is immutable"#]
    );
}

#[test]
fn what_was_stored_stays_a_version() {
    let mut definition = definition(json!({"type": "object"}));
    definition["status"]["storedVersions"] = json!(["v0", "v1"]);
    let mut errors = ErrorList::new();
    check_stored(&definition, &mut errors);
    assert_eq!(errors[0].to_string(), r#"status.storedVersions[0]: Invalid value: "v0": must appear in spec.versions"#);
}

#[test]
fn bad_rules_are_told_when_they_are_defined() {
    let with = |rule: Value, inner: Value| {
        definition(json!({"type": "object", "properties": {"spec": {"type": "object", "properties": inner,
            "x-kubernetes-validations": [rule]}}}))
    };
    let at = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0]";
    let plain = json!({"n": {"type": "integer"}});
    for (rule, inner, told_of, why) in [
        (
            json!({"rule": "self.m > 0"}),
            plain.clone(),
            ".rule",
            "compilation failed: ERROR: <input>:1:5: undefined field 'm'",
        ),
        (json!({"rule": "self.n"}), plain.clone(), ".rule", "cel expression must evaluate to a bool"),
        (
            json!({"rule": "true", "messageExpression": "1"}),
            plain.clone(),
            ".messageExpression",
            "messageExpression must evaluate to a string",
        ),
        (json!({"rule": " "}), plain.clone(), ".rule", "Required value: rule is not specified"),
        (json!({"rule": "true\n"}), plain.clone(), "", ""),
        (
            json!({"rule": "true &&\ntrue"}),
            plain.clone(),
            ".message",
            "message must be specified if rule contains line breaks",
        ),
        (
            json!({"rule": "true", "reason": "x"}),
            plain.clone(),
            ".reason",
            "Unsupported value: \"x\": supported values: \"FieldValueDuplicate\"",
        ),
        (
            json!({"rule": "true", "fieldPath": ".m"}),
            plain.clone(),
            ".fieldPath",
            "fieldPath must be a valid path: does not refer to a valid field",
        ),
        (
            json!({"rule": "true", "optionalOldSelf": true}),
            plain.clone(),
            ".optionalOldSelf",
            "may not be set if oldSelf is not used in rule",
        ),
        (
            json!({"rule": "self.l.all(a, self.l.all(b, a == b))"}),
            json!({"l": {"type": "array", "items": {"type": "string"}}}),
            ".rule",
            "Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding \
             maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)",
        ),
    ] {
        let errors = told(&with(rule.clone(), inner), None);
        if told_of.is_empty() {
            assert!(errors.is_empty(), "{errors:?}");
            continue;
        }
        assert!(errors[0].starts_with(&format!("{at}{told_of}: ")), "{rule}: {errors:?}");
        assert!(errors[0].contains(why), "{rule}: {errors:?}");
    }
    let list = with(
        json!({"rule": "true"}),
        json!({"l": {"type": "array", "maxItems": 3, "items": {"type": "integer",
        "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}}}),
    );
    let within = "within spec.validation.openAPIV3Schema.properties[spec].properties[l]";
    assert!(told(&list, None)[0].ends_with(within), "{:?}", told(&list, None));
}
