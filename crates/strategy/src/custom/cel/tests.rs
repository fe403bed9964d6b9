//! Rules over objects, and what is said of those that break them.

use super::*;
use serde_json::json;

fn told(schema: &Value, value: &Value, old: Option<&Value>) -> Vec<String> {
    Node::of_root(schema).unwrap().refusals(value, old).iter().map(ToString::to_string).collect()
}

fn spec(rules: &Value) -> Value {
    json!({"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-validations": rules,
    "properties": {
        "replicas": {"type": "integer"}, "max": {"type": "integer"},
        "port": {"x-kubernetes-int-or-string": true},
        "a-b": {"type": "string"}, "namespace": {"type": "string"},
        "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
                "x-kubernetes-validations": [{"rule": "self.n >= oldSelf.n", "message": "n may only grow"}]}},
        "atomic": {"type": "array", "items": {"type": "integer",
            "x-kubernetes-validations": [{"rule": "self < 10"}]}},
        "map": {"type": "object", "additionalProperties": {"type": "string",
            "x-kubernetes-validations": [{"rule": "self != ''"}]}},
        "maybe": {"type": "string", "nullable": true, "x-kubernetes-validations": [{"rule": "self == 'yes'"}]},
        "template": {"type": "object", "x-kubernetes-embedded-resource": true,
            "x-kubernetes-preserve-unknown-fields": true,
            "x-kubernetes-validations": [{"rule": "self.kind == 'Pod' && self.metadata.name != 'bad'"}]},
    }}}})
}

#[test]
fn broken_rules_are_told_in_upstreams_words() {
    for (rule, value, message) in [
        (
            json!({"rule": "self.replicas <= self.max"}),
            json!({"replicas": 3, "max": 2}),
            r#"spec: Invalid value: "object": failed rule: self.replicas <= self.max"#,
        ),
        (
            json!({"rule": "self.replicas <= self.max", "message": "too many", "reason": "FieldValueForbidden",
                "fieldPath": ".replicas"}),
            json!({"replicas": 3, "max": 2}),
            "spec.replicas: Forbidden: too many",
        ),
        (
            json!({"rule": "self.replicas <= self.max", "message": "too many",
                "messageExpression": "'at most %d'.format([self.max])"}),
            json!({"replicas": 3, "max": 2}),
            r#"spec: Invalid value: "object": at most 2"#,
        ),
        (
            json!({"rule": "self.replicas <= self.max", "message": "too many", "messageExpression": "'  '"}),
            json!({"replicas": 3, "max": 2}),
            r#"spec: Invalid value: "object": too many"#,
        ),
        (
            json!({"rule": "self.replicas <= self.max"}),
            json!({"replicas": 3}),
            r#"spec: Invalid value: "object": no such key: max evaluating rule: self.replicas <= self.max"#,
        ),
        (
            json!({"rule": "self.port + 1 == 2"}),
            json!({"port": "http"}),
            r#"spec: Invalid value: "object": 'no such overload': call arguments did not match a supported operator, function or macro signature for rule: self.port + 1 == 2"#,
        ),
        (
            json!({"rule": "self.a__dash__b == self.__namespace__"}),
            json!({"a-b": "x", "namespace": "y"}),
            r#"spec: Invalid value: "object": failed rule: self.a__dash__b == self.__namespace__"#,
        ),
        (
            json!({"rule": "true"}),
            json!({"atomic": [1, 10]}),
            r#"spec.atomic[1]: Invalid value: "integer": failed rule: self < 10"#,
        ),
        (
            json!({"rule": "true"}),
            json!({"map": {"k": ""}, "maybe": null}),
            r#"spec.map[k]: Invalid value: "string": failed rule: self != ''"#,
        ),
        (
            json!({"rule": "true"}),
            json!({"template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bad"}}}),
            r#"spec.template: Invalid value: "object": failed rule: self.kind == 'Pod' && self.metadata.name != 'bad'"#,
        ),
    ] {
        assert_eq!(told(&spec(&json!([rule])), &json!({"spec": value}), None), [message], "{rule}");
    }
    let root = json!({"type": "object", "properties": {}, "x-kubernetes-validations": [
        {"rule": "self.metadata.name.startsWith('a')"}]});
    assert_eq!(
        told(&root, &json!({"metadata": {"name": "b"}}), None),
        [r#"<nil>: Invalid value: "object": failed rule: self.metadata.name.startsWith('a')"#]
    );
}

#[test]
fn rules_about_the_change_run_where_the_old_value_is_known() {
    let schema = spec(&json!([
        {"rule": "self.replicas == oldSelf.replicas", "message": "replicas is immutable"},
        {"rule": "oldSelf.hasValue() || self.max < 5", "message": "starts small", "optionalOldSelf": true},
    ]));
    let new = json!({"spec": {"replicas": 2, "max": 9, "list": [{"name": "b", "n": 1}, {"name": "a", "n": 1}]}});
    assert_eq!(told(&schema, &new, None), [r#"spec: Invalid value: "object": starts small"#]);
    let old = json!({"spec": {"replicas": 1, "list": [{"name": "a", "n": 2}]}});
    assert_eq!(
        told(&schema, &new, Some(&old)),
        [
            r#"spec: Invalid value: "object": replicas is immutable"#,
            r#"spec.list[1]: Invalid value: "object": n may only grow"#
        ]
    );
}

#[test]
fn what_was_wrong_before_is_warned_of() {
    let schema = spec(&json!([{"rule": "self.max > 0"}]));
    let old = json!({"spec": {"max": 0, "atomic": [11]}, "status": 1});
    let mut new = old.clone();
    new["status"] = 2.into();
    let node = Node::of_root(&schema).unwrap();
    assert!(node.refusals(&new, Some(&old)).is_empty());
    assert_eq!(
        node.warnings(&new, &old),
        [
            r#"spec: Invalid value: "object": failed rule: self.max > 0"#,
            r#"spec.atomic[0]: Invalid value: "integer": failed rule: self < 10"#
        ]
    );
    new["spec"]["max"] = (-1).into();
    assert_eq!(told(&schema, &new, Some(&old)).len(), 1);
}

#[test]
fn rules_end_with_their_budget() {
    let rule = "self.all(a, self.all(b, self.all(c, a + b + c != -1)))";
    let schema = json!({"type": "object", "properties": {"list": {"type": "array", "items": {"type": "integer"},
        "x-kubernetes-validations": [{"rule": rule}, {"rule": "false"}]}}});
    let list: Vec<u32> = (0..200).collect();
    let why = format!(
        "list: Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further validation rules \
         will be run due to call cost exceeds limit for rule: {rule}"
    );
    assert_eq!(told(&schema, &json!({"list": list}), None), [why]);
    let rule = "self.all(a, self.all(b, a + b != -1))";
    let schema = json!({"type": "object", "properties": {"lists": {"type": "array", "items": {"type": "array",
        "items": {"type": "integer"}, "x-kubernetes-validations": [{"rule": rule}]}}}});
    let lists: Vec<Vec<u32>> = (0..40).map(|_| (0..250).collect()).collect();
    let told = told(&schema, &json!({"lists": lists}), None);
    assert_eq!(told.len(), 1);
    assert!(told[0].ends_with("running out of cost budget, no further validation rules will be run"), "{told:?}");
}

#[test]
fn schemas_without_rules_have_no_tree() {
    assert!(Node::of_root(&json!({"type": "object", "properties": {"a": {"type": "string"}}})).is_none());
}
