//! Policies and bindings over Deployments: what is refused, warned of, recorded and changed.

use super::*;
use crate::testing::{AsIs, World};
use crate::webhook::Reinvocation;
use crate::{Notes, Operation};
use meta::{GroupVersionKind, GroupVersionResource, Status, User};
use serde_json::json;

struct Case {
    policies: Policies,
    world: World,
    object: Value,
    old: Option<Value>,
}

struct Outcome {
    result: Result<(), Status>,
    notes: Notes,
    object: Value,
}

fn policy(spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["matchConstraints"] = json!({"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"], "resources": ["deployments"], "scope": "*"}]});
    json!({"metadata": {"name": "rule"}, "spec": spec})
}

fn binding(spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["policyName"] = "rule".into();
    json!({"metadata": {"name": "here"}, "spec": spec})
}

fn validating(spec: &Value, bound: &Value) -> Case {
    let policies = Policies::default();
    policies.observe("validatingadmissionpolicies", "rule", Some(&policy(spec)));
    policies.observe("validatingadmissionpolicybindings", "here", Some(&binding(bound)));
    case(policies)
}

fn mutating(spec: &Value) -> Case {
    let policies = Policies::default();
    policies.observe("mutatingadmissionpolicies", "rule", Some(&policy(spec)));
    policies.observe("mutatingadmissionpolicybindings", "here", Some(&binding(&json!({}))));
    case(policies)
}

fn case(policies: Policies) -> Case {
    let namespace = json!({"metadata": {"name": "shop", "labels": {"env": "prod"}}});
    let limits =
        json!({"metadata": {"name": "limits", "namespace": "shop", "labels": {"of": "rule"}}, "data": {"max": "3"}});
    let world = World {
        objects: vec![("namespaces", namespace), ("configmaps", limits)],
        allowed: vec!["jane break deployments web", "system:serviceaccount:shop:bot get /healthz "],
    };
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}}, "spec": {"replicas": 5}});
    Case { policies, world, object, old: None }
}

impl Case {
    fn run(&self) -> Outcome {
        let mut object = self.object.clone();
        let user = User::new("jane", &["system:authenticated"]);
        let mut request = Attributes {
            operation: if self.old.is_some() { Operation::Update } else { Operation::Create },
            kind: GroupVersionKind::of("apps", "v1", "Deployment"),
            resource: GroupVersionResource::of("apps", "v1", "deployments"),
            subresource: "",
            namespace: "shop",
            name: "web",
            object: (&mut object).into(),
            old_object: self.old.as_ref(),
            user: &user,
            dry_run: false,
            options: &Value::Null,
            audit: BTreeMap::new(),
        };
        let (mut notes, mut rounds) = (Notes::default(), Reinvocation::default());
        let changed = self.policies.mutate(&mut request, &self.world, &AsIs, &mut rounds);
        let result = changed.and_then(|()| self.policies.validate(&request, &self.world, &AsIs, &mut notes));
        Outcome { result, notes, object }
    }

    fn refusal(&self) -> String {
        self.run().result.err().map(|status| status.message).unwrap_or_default()
    }
}

const DENY: &str =
    r#"deployments.apps "web" is forbidden: ValidatingAdmissionPolicy 'rule' with binding 'here' denied request: "#;

#[test]
fn a_bound_policy_refuses_what_breaks_its_rule() {
    let spec = json!({"validations": [{"expression": "object.spec.replicas <= 3"}]});
    let mut case = validating(&spec, &json!({"validationActions": ["Deny"]}));
    let status = case.run().result.unwrap_err();
    assert_eq!(status.message, format!("{DENY}failed expression: object.spec.replicas <= 3"));
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    case.object["spec"]["replicas"] = 3.into();
    assert!(case.run().result.is_ok());
    case.object["spec"]["replicas"] = 9.into();
    case.policies.observe("validatingadmissionpolicybindings", "here", None);
    assert!(!case.policies.any_validating() && case.run().result.is_ok());
}

#[test]
fn expressions_may_refer_to_variables() {
    let spec = json!({
        "variables": [
            {"name": "replicas", "expression": "object.spec.replicas"},
            {"name": "oddReplicas", "expression": "variables.replicas % 2 == 1"},
        ],
        "validations": [
            {"expression": "variables.replicas > 1", "message": "too few"},
            {"expression": "variables.oddReplicas", "messageExpression": "'%d is even'.format([variables.replicas])"},
        ],
    });
    let mut case = validating(&spec, &json!({"validationActions": ["Deny"]}));
    assert_eq!(case.refusal(), "");
    case.object["spec"]["replicas"] = 1.into();
    assert_eq!(case.refusal(), format!("{DENY}too few"));
    case.object["spec"]["replicas"] = 4.into();
    assert_eq!(case.refusal(), format!("{DENY}4 is even"));
}

#[test]
fn expressions_see_the_request_and_who_asks() {
    for (expression, holds) in [
        ("request.operation == 'CREATE' && request.userInfo.username == 'jane' && request.name == 'web'", true),
        ("request.resource.resource == 'deployments' && request.kind.version == 'v1' && !request.dryRun", true),
        ("oldObject == null", true),
        ("namespaceObject.metadata.labels.env == 'prod'", true),
        ("authorizer.requestResource.check('break').allowed()", true),
        ("authorizer.requestResource.check('make').allowed()", false),
        ("authorizer.serviceAccount('shop', 'bot').path('/healthz').check('get').allowed()", true),
        ("authorizer.group('apps').resource('deployments').name('web').check('break').allowed()", true),
    ] {
        let spec = json!({"validations": [{"expression": expression}]});
        let case = validating(&spec, &json!({"validationActions": ["Deny"]}));
        assert_eq!(case.run().result.is_ok(), holds, "{expression}: {:?}", case.refusal());
    }
}

#[test]
fn failures_are_the_failure_policys_affair() {
    let spec =
        |policy: &str| json!({"failurePolicy": policy, "validations": [{"expression": "object.spec.none == 1"}]});
    let why = "expression 'object.spec.none == 1' resulted in error: no such key: none";
    let fails = validating(&spec("Fail"), &json!({"validationActions": ["Deny"]}));
    assert_eq!(fails.refusal(), format!("{DENY}{why}"));
    assert!(validating(&spec("Ignore"), &json!({"validationActions": ["Deny"]})).run().result.is_ok());
}

#[test]
fn bindings_say_what_follows() {
    let spec = json!({"validations": [{"expression": "false", "message": "no", "reason": "Forbidden"}],
        "auditAnnotations": [{"key": "replicas", "valueExpression": "string(object.spec.replicas)"},
            {"key": "none", "valueExpression": "null"}]});
    let outcome = validating(&spec, &json!({"validationActions": ["Warn", "Audit"]})).run();
    assert!(outcome.result.is_ok());
    assert_eq!(
        outcome.notes.warnings,
        ["Validation failed for ValidatingAdmissionPolicy 'rule' with binding 'here': no"]
    );
    assert_eq!(outcome.notes.audit["rule/replicas"], "5");
    assert!(!outcome.notes.audit.contains_key("rule/none"));
    let failure: Value =
        serde_json::from_str(&outcome.notes.audit["validation.policy.admission.k8s.io/validation_failure"]).unwrap();
    assert_eq!(
        failure,
        json!([{"message": "no", "policy": "rule", "binding": "here", "expressionIndex": 0,
            "validationActions": ["Warn", "Audit"]}])
    );
    let denied = validating(&spec, &json!({"validationActions": ["Deny"]})).run().result.unwrap_err();
    assert_eq!((denied.code, denied.reason.as_str()), (403, "Forbidden"));
}

#[test]
fn conditions_and_selectors_narrow_what_is_judged() {
    let never = |conditions: Value, bound: Value| {
        let spec = json!({"validations": [{"expression": "false"}], "matchConditions": conditions});
        let mut bound = bound;
        bound["validationActions"] = json!(["Deny"]);
        validating(&spec, &bound).run().result.is_err()
    };
    let condition = |expression: &str| json!([{"name": "a", "expression": expression}]);
    let rules = |names: Value| {
        json!({"matchResources": {"resourceRules": [{"apiGroups": ["*"], "apiVersions": ["*"],
        "operations": ["*"], "resources": ["*"], "resourceNames": names}]}})
    };
    for (conditions, bound, judged) in [
        (json!([]), json!({}), true),
        (condition("object.metadata.name == 'web'"), json!({}), true),
        (condition("object.metadata.name == 'db'"), json!({}), false),
        (condition("object.none == 1"), json!({}), true),
        (json!([]), json!({"matchResources": {"namespaceSelector": {"matchLabels": {"env": "prod"}}}}), true),
        (json!([]), json!({"matchResources": {"namespaceSelector": {"matchLabels": {"env": "test"}}}}), false),
        (json!([]), json!({"matchResources": {"objectSelector": {"matchLabels": {"app": "db"}}}}), false),
        (json!([]), rules(json!(["web"])), true),
        (json!([]), rules(json!(["db"])), false),
        (
            json!([]),
            json!({"matchResources": {"excludeResourceRules": [{"apiGroups": ["apps"], "apiVersions": ["*"],
                "operations": ["*"], "resources": ["deployments"]}]}}),
            false,
        ),
    ] {
        assert_eq!(never(conditions.clone(), bound.clone()), judged, "{conditions} {bound}");
    }
}

#[test]
fn parameters_come_by_name_or_selector() {
    let spec = json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{"expression": "object.spec.replicas <= int(params.data.max)",
            "messageExpression": "'at most ' + params.data.max"}]});
    let missing = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction";
    for (reference, told) in [
        (json!({"name": "limits", "parameterNotFoundAction": "Deny"}), "at most 3"),
        (json!({"selector": {"matchLabels": {"of": "rule"}}, "parameterNotFoundAction": "Deny"}), "at most 3"),
        (json!({"name": "limits", "namespace": "other", "parameterNotFoundAction": "Deny"}), missing),
        (json!({"name": "limits", "namespace": "other", "parameterNotFoundAction": "Allow"}), ""),
    ] {
        let case = validating(&spec, &json!({"validationActions": ["Deny"], "paramRef": reference}));
        let wanted = if told.is_empty() { String::new() } else { format!("{DENY}{told}") };
        assert_eq!(case.refusal(), wanted, "{reference}");
    }
    let unknown =
        json!({"paramKind": {"apiVersion": "x.io/v1", "kind": "Rule"}, "validations": [{"expression": "true"}]});
    let bound = json!({"validationActions": ["Deny"], "paramRef": {"name": "a", "parameterNotFoundAction": "Deny"}});
    assert!(validating(&unknown, &bound).refusal().ends_with("{APIVersion:x.io/v1,Kind:Rule,}` not known"));
}

#[test]
fn a_policy_changes_a_deployment() {
    let spec = json!({"mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {
        "expression": "Object{spec: Object.spec{replicas: object.spec.replicas + 1}}"}}]});
    let outcome = mutating(&spec).run();
    assert_eq!((outcome.result, &outcome.object["spec"]["replicas"]), (Ok(()), &json!(6)));
}

#[test]
fn a_policy_adds_annotations_to_a_deployment() {
    let spec = json!({"mutations": [
        {"patchType": "ApplyConfiguration", "applyConfiguration": {
            "expression": "Object{metadata: Object.metadata{annotations: {'by': request.userInfo.username}}}"}},
        {"patchType": "JSONPatch", "jsonPatch": {"expression":
            "[JSONPatch{op: 'add', path: '/metadata/annotations/' + jsonpatch.escapeKey('a/b'), value: object.metadata.annotations.by}]"}},
    ]});
    let outcome = mutating(&spec).run();
    assert!(outcome.result.is_ok());
    assert_eq!(outcome.object["metadata"]["annotations"], json!({"by": "jane", "a/b": "jane"}));
}

#[test]
fn changes_that_cannot_be_made_refuse() {
    for (mutation, why) in [
        (
            json!({"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'test', path: '/kind', value: 'x'}]"}}),
            "JSON Patch: ",
        ),
        (
            json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{kind: 'Pod'}"}}),
            "invalid ApplyConfiguration: may not mutate kind",
        ),
        (
            json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{spec: Object.x{}}"}}),
            "type mismatch: unexpected type name \"Object.x\"",
        ),
    ] {
        let told = mutating(&json!({"mutations": [mutation]})).refusal();
        assert!(told.contains("policy 'rule' with binding 'here' denied request: "), "{told}");
        assert!(told.contains(why), "{told}");
        let ignored = mutating(&json!({"failurePolicy": "Ignore", "mutations": [mutation]}));
        assert!(ignored.run().result.is_ok());
    }
}
