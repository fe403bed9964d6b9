//! What upstream says of webhooks, policies and bindings that are not as they should be.

use super::*;

fn told(check: fn(&Value, Option<&Value>, &mut ErrorList), object: &Value) -> Vec<String> {
    let mut errors = ErrorList::new();
    check(object, None, &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

fn constraints() -> Value {
    json!({"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}, "resourceRules": [
        {"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "scope": "*"}]})
}

fn policy(spec: Value) -> Value {
    let mut spec = spec;
    default(&mut spec, "matchConstraints", constraints());
    default(&mut spec, "failurePolicy", "Fail");
    json!({"metadata": {"name": "rule"}, "spec": spec})
}

#[test]
fn policies_are_compiled() {
    for (spec, at, why) in [
        (json!({"validations": [{"expression": "object.a.b == 1"}]}), "", ""),
        (json!({}), "spec.validations", "validations or auditAnnotations must contain at least one item"),
        (
            json!({"validations": [{"expression": " "}]}),
            "spec.validations[0].expression",
            "expression is not specified",
        ),
        (
            json!({"validations": [{"expression": "object.a >"}]}),
            "spec.validations[0].expression",
            "compilation failed: ERROR: <input>:1:",
        ),
        (
            json!({"validations": [{"expression": "1"}]}),
            "spec.validations[0].expression",
            "Invalid value: \"1\": must evaluate to bool",
        ),
        (
            json!({"validations": [{"expression": "request.nam == ''"}]}),
            "spec.validations[0].expression",
            "undefined field 'nam'",
        ),
        (
            json!({"validations": [{"expression": "params.x"}]}),
            "spec.validations[0].expression",
            "undeclared reference to 'params'",
        ),
        (
            json!({"validations": [{"expression": "variables.x"}]}),
            "spec.validations[0].expression",
            "undefined field 'x'",
        ),
        (
            json!({"validations": [{"expression": "true", "messageExpression": "string(authorizer == null)"}]}),
            "spec.validations[0].messageExpression",
            "undeclared reference to 'authorizer'",
        ),
        (
            json!({"validations": [{"expression": "true", "reason": "NotFound"}]}),
            "spec.validations[0].reason",
            "Unsupported value: \"NotFound\": supported values: \"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\", \"Unauthorized\"",
        ),
        (
            json!({"validations": [{"expression": "true &&\n true"}]}),
            "spec.validations[0].message",
            "message must be specified if expression contains line breaks",
        ),
        (
            json!({"variables": [{"name": "1x", "expression": "1"}], "validations": [{"expression": "true"}]}),
            "spec.variables[0].name",
            "name is not a valid CEL identifier",
        ),
        (
            json!({"auditAnnotations": [{"key": "a", "valueExpression": "1"}]}),
            "spec.auditAnnotations[0].valueExpression",
            "must evaluate to one of [string null",
        ),
        (
            json!({"paramKind": {"apiVersion": "a/b/c", "kind": "X"}, "validations": [{"expression": "params == null"}]}),
            "spec.paramKind.apiVersion",
            "unexpected GroupVersion string: a/b/c",
        ),
        (
            json!({"matchConstraints": {}, "validations": [{"expression": "true"}]}),
            "spec.matchConstraints.matchPolicy",
            "Required value",
        ),
        (
            json!({"matchConditions": [{"name": "a", "expression": "true"}, {"name": "a", "expression": "true"}],
                "validations": [{"expression": "true"}]}),
            "spec.matchConditions[1].name",
            "Duplicate value: \"a\"",
        ),
    ] {
        let errors = told(policies::validating, &policy(spec.clone()));
        if at.is_empty() {
            assert!(errors.is_empty(), "{errors:?}");
            continue;
        }
        assert!(errors[0].starts_with(&format!("{at}: ")) && errors[0].contains(why), "{spec}: {errors:?}");
    }
}

#[test]
fn changes_build_objects_or_patches() {
    let mutation = |mutation: Value| policy(json!({"reinvocationPolicy": "Never", "mutations": [mutation]}));
    let apply = |source: &str| {
        mutation(json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": source}}))
    };
    let patch = |source: &str| mutation(json!({"patchType": "JSONPatch", "jsonPatch": {"expression": source}}));
    for (policy, why) in [
        (apply("Object{spec: Object.spec{replicas: 3}}"), ""),
        (patch("[JSONPatch{op: 'add', path: '/a', value: Object.a{b: 1}}]"), ""),
        (
            apply("{'spec': 1}"),
            "spec.mutations[0].applyConfiguration.expression: Invalid value: \"{'spec': 1}\": must evaluate to Object",
        ),
        (patch("JSONPatch{op: 'add'}"), "must evaluate to list(JSONPatch)"),
        (mutation(json!({"patchType": "x"})), "spec.mutations[0].patchType: Unsupported value: \"x\""),
        (
            mutation(json!({"patchType": "JSONPatch"})),
            "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
        ),
    ] {
        let errors = told(policies::mutating, &policy);
        assert_eq!(errors.is_empty(), why.is_empty(), "{errors:?}");
        assert!(why.is_empty() || errors[0].contains(why), "{errors:?}");
    }
}

#[test]
fn bindings_name_a_policy_and_what_follows() {
    let bound = |actions: Value, reference: Value| json!({"spec": {"policyName": "rule", "validationActions": actions, "paramRef": reference}});
    for (binding, why) in [
        (bound(json!(["Deny", "Audit"]), Value::Null), ""),
        (
            bound(json!(["Deny", "Warn"]), Value::Null),
            "spec.validationActions: Invalid value: [\"Deny\",\"Warn\"]: must not contain both Deny and Warn",
        ),
        (bound(json!([]), Value::Null), "at least one validation action is required"),
        (
            bound(json!(["Deny"]), json!({"parameterNotFoundAction": "Deny"})),
            "spec.paramRef: Required value: one of name or selector must be specified",
        ),
        (
            bound(json!(["Deny"]), json!({"name": "a", "selector": {}, "parameterNotFoundAction": "Deny"})),
            "name and selector are mutually exclusive",
        ),
        (bound(json!(["Deny"]), json!({"name": "a"})), "spec.paramRef.parameterNotFoundAction: Required value"),
    ] {
        let errors = told(policies::validating_binding, &binding);
        assert_eq!(errors.is_empty(), why.is_empty(), "{errors:?}");
        assert!(why.is_empty() || errors[0].contains(why), "{errors:?}");
    }
}

#[test]
fn webhooks_with_match_conditions_are_taken() {
    assert_eq!(
        webhooks_told("request.name == 'a' && !authorizer.group('').resource('pods').check('get').allowed()"),
        Vec::<String>::new()
    );
}

#[test]
fn webhooks_with_invalid_match_conditions_are_refused() {
    let errors = webhooks_told("... [] bad expression");
    assert!(
        errors[0].starts_with(
            "webhooks[0].matchConditions[0].expression: Invalid value: \"... [] bad expression\": compilation failed: "
        ),
        "{errors:?}"
    );
    assert!(webhooks_told("object.x + 1")[0].ends_with("must evaluate to bool") || !webhooks_told("'x'").is_empty());
}

fn webhooks_told(expression: &str) -> Vec<String> {
    told(
        webhooks,
        &json!({"webhooks": [{"name": "a.b.c", "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "clientConfig": {"url": "https://x/y"}, "matchConditions": [{"name": "one", "expression": expression}],
        "rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]}]}),
    )
}
