//! Policies and rules in CEL on the whole path of a request: served, checked when they are written,
//! enforced on what is written after.

#![allow(clippy::unwrap_used)]

mod started;

use apiserver::{Identity, Limits, Local};
use base::Env;
use client::{Api as _, Error, Options, PatchType, Request, Response, Verb};
use meta::{GroupVersionResource, User};
use serde_json::{Value, json};
use std::time::Duration;
use store::MemoryStore;

const GROUP: &str = "admissionregistration.k8s.io";
const VALIDATING: GroupVersionResource = GroupVersionResource::of(GROUP, "v1", "validatingadmissionpolicies");
const VALIDATING_BINDINGS: GroupVersionResource =
    GroupVersionResource::of(GROUP, "v1", "validatingadmissionpolicybindings");
const MUTATING: GroupVersionResource = GroupVersionResource::of(GROUP, "v1", "mutatingadmissionpolicies");
const MUTATING_BINDINGS: GroupVersionResource =
    GroupVersionResource::of(GROUP, "v1", "mutatingadmissionpolicybindings");
const DEPLOYMENTS: GroupVersionResource = GroupVersionResource::of("apps", "v1", "deployments");
const DEFINITIONS: GroupVersionResource =
    GroupVersionResource::of("apiextensions.k8s.io", "v1", "customresourcedefinitions");
const CATS: GroupVersionResource = GroupVersionResource::of("example.com", "v1", "cats");

struct Rig {
    env: Env,
    api: Local,
}

impl Rig {
    async fn start() -> Self {
        let env = Env::real();
        let server = started::server(&env, MemoryStore::new(&env), Identity::default(), &[], Limits::default()).await;
        env.tasks.spawn("upkeep", server.clone().upkeep());
        let rig = Rig { env, api: Local::new(server, User::new("admin", &["system:masters"])) };
        let namespaces = GroupVersionResource::of("", "v1", "namespaces");
        rig.send(Request::new(Verb::Create, namespaces).body(json!({"metadata": {"name": "home"}}).to_string()))
            .await
            .unwrap();
        rig
    }

    async fn send(&self, request: Request) -> Result<Value, Error> {
        match self.api.call(request).await? {
            Response::Object { body, .. } => Ok(serde_json::from_slice(&body).unwrap()),
            Response::List(list) => {
                Ok(list.items.iter().map(|item| serde_json::from_slice::<Value>(item).unwrap()).collect())
            }
            Response::Watch(_) => Ok(json!("watch")),
        }
    }

    async fn create(&self, resource: &GroupVersionResource, object: &Value) -> Result<Value, Error> {
        self.send(Request::new(Verb::Create, resource.clone()).body(object.to_string())).await
    }

    async fn deploy(&self, name: &str, replicas: u32) -> Result<Value, String> {
        let labels = json!({"app": name});
        let object = json!({"metadata": {"name": name}, "spec": {"replicas": replicas,
            "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
                "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
        let request = Request::new(Verb::Create, DEPLOYMENTS).namespace("home").body(object.to_string());
        self.send(request).await.map_err(told)
    }

    async fn cat(&self, verb: Verb, name: &str, object: &Value) -> Result<Value, String> {
        let mut request = Request::new(verb, CATS).namespace("home").body(object.to_string());
        if verb != Verb::Create {
            request = request.name(name);
        }
        self.send(request).await.map_err(told)
    }

    /// All that can be done with objects of a cluster's resource.
    async fn try_all_verbs(&self, resource: &GroupVersionResource, spec: &Value) {
        let of = |verb: Verb| Request::new(verb, resource.clone());
        let object = |name: &str| json!({"metadata": {"name": name, "labels": {"of": "test"}}, "spec": spec});
        let mut found = self.create(resource, &object("one")).await.unwrap();
        self.create(resource, &object("two")).await.unwrap();
        assert_eq!(self.send(of(Verb::Get).name("one")).await.unwrap()["spec"], found["spec"]);
        assert_eq!(self.send(of(Verb::List)).await.unwrap().as_array().unwrap().len(), 2);
        assert_eq!(self.send(of(Verb::Watch)).await.unwrap(), "watch");
        let patch = json!({"metadata": {"annotations": {"patched": "true"}}}).to_string();
        let patched = self.send(of(Verb::Patch(PatchType::Merge)).name("one").body(patch)).await.unwrap();
        found["metadata"] = patched["metadata"].clone();
        found["metadata"]["annotations"]["updated"] = "true".into();
        let updated = self.send(of(Verb::Update).name("one").body(found.to_string())).await.unwrap();
        assert_eq!(updated["metadata"]["annotations"], json!({"patched": "true", "updated": "true"}));
        self.send(of(Verb::Delete).name("one")).await.unwrap();
        let all = Options { label_selector: Some("of=test".to_owned()), ..Options::default() };
        let mut clear = of(Verb::DeleteCollection);
        clear.options = all;
        self.send(clear).await.unwrap();
        assert_eq!(self.send(of(Verb::List)).await.unwrap(), json!([]));
    }
}

fn told(error: Error) -> String {
    error.status().map(|status| status.message.clone()).unwrap_or_default()
}

fn constraints() -> Value {
    json!({"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["deployments"]}]})
}

fn named(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn validating_policies_support_all_operations() {
    let rig = Rig::start().await;
    let spec = json!({"matchConstraints": constraints(), "validations": [{"expression": "true"}]});
    rig.try_all_verbs(&VALIDATING, &spec).await;
    let mut made = rig.create(&VALIDATING, &named("status", spec)).await.unwrap();
    assert_eq!((&made["metadata"]["generation"], &made["spec"]["failurePolicy"]), (&json!(1), &json!("Fail")));
    made["status"] = json!({"observedGeneration": 1});
    let mut status = Request::new(Verb::Update, VALIDATING).name("status").body(made.to_string());
    status.subresource = Some("status".to_owned());
    assert_eq!(rig.send(status).await.unwrap()["status"]["observedGeneration"], 1);
}

#[tokio::test]
async fn validating_bindings_support_all_operations() {
    let spec = json!({"policyName": "a", "validationActions": ["Deny"]});
    Rig::start().await.try_all_verbs(&VALIDATING_BINDINGS, &spec).await;
}

#[tokio::test]
async fn mutating_policies_support_all_operations() {
    let spec = json!({"matchConstraints": constraints(), "reinvocationPolicy": "Never", "mutations": [
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}}]});
    Rig::start().await.try_all_verbs(&MUTATING, &spec).await;
}

#[tokio::test]
async fn mutating_bindings_support_all_operations() {
    Rig::start().await.try_all_verbs(&MUTATING_BINDINGS, &json!({"policyName": "a"})).await;
}

#[tokio::test]
async fn deployments_are_judged_and_changed() {
    let rig = Rig::start().await;
    let spec = json!({"matchConstraints": constraints(), "validations": [{"expression": "object.spec.replicas <= 3"}]});
    rig.create(&VALIDATING, &named("few", spec)).await.unwrap();
    assert!(rig.deploy("unbound", 5).await.is_ok());
    let bound = json!({"policyName": "few", "validationActions": ["Deny"]});
    rig.create(&VALIDATING_BINDINGS, &named("few-here", bound)).await.unwrap();
    assert_eq!(
        rig.deploy("many", 5).await.unwrap_err(),
        "deployments.apps \"many\" is forbidden: ValidatingAdmissionPolicy 'few' with binding 'few-here' denied request: \
         failed expression: object.spec.replicas <= 3"
    );
    let changes = json!({"matchConstraints": constraints(), "reinvocationPolicy": "IfNeeded", "mutations": [
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
            "Object{spec: Object.spec{replicas: 2, template: Object.spec.template{spec: Object.spec.template.spec{
                containers: [Object.spec.template.spec.containers{name: 'c', imagePullPolicy: 'Never'}]}}}}"}},
        {"patchType": "JSONPatch", "jsonPatch": {"expression":
            "[JSONPatch{op: 'add', path: '/metadata/labels', value: {'a/b': string(object.spec.replicas)}}]"}}]});
    rig.create(&MUTATING, &named("two", changes)).await.unwrap();
    rig.create(&MUTATING_BINDINGS, &named("two-here", json!({"policyName": "two"}))).await.unwrap();
    let made = rig.deploy("changed", 5).await.unwrap();
    assert_eq!((&made["spec"]["replicas"], &made["metadata"]["labels"]), (&json!(2), &json!({"a/b": "2"})));
    let container = &made["spec"]["template"]["spec"]["containers"][0];
    assert_eq!((&container["image"], &container["imagePullPolicy"]), (&json!("i"), &json!("Never")));
    let bad = json!({"matchConstraints": constraints(), "reinvocationPolicy": "Never", "mutations": [
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
            "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{
                containers: [Object.spec.template.spec.containers{name: 'c', args: ['x']}]}}}}"}}]});
    rig.create(&MUTATING, &named("atomic", bad)).await.unwrap();
    rig.create(&MUTATING_BINDINGS, &named("atomic-here", json!({"policyName": "atomic"}))).await.unwrap();
    let why = rig.deploy("refused", 1).await.unwrap_err();
    let told = "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: \
                .spec.template.spec.containers[name=\"c\"].args";
    assert!(why.ends_with(told), "{why}");
}

fn cats() -> Value {
    json!({"metadata": {"name": "cats.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
        "names": {"plural": "cats", "singular": "cat", "kind": "Cat", "listKind": "CatList"},
        "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": {"lives": {"type": "integer"}, "name": {"type": "string"}},
                    "x-kubernetes-validations": [
                        {"rule": "self.lives <= 9", "messageExpression": "'no cat has %d lives'.format([self.lives])"},
                        {"rule": "self.name == oldSelf.name", "message": "a cat keeps its name"}]},
                "status": {"type": "object", "properties": {"lives": {"type": "integer"}}}},
                "x-kubernetes-validations": [
                    {"rule": "!has(self.status) || self.status.lives <= self.spec.lives"}]}}}]}})
}

#[tokio::test]
async fn custom_resources_keep_their_rules() {
    let rig = Rig::start().await;
    let mut wrong = cats();
    wrong["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"][0]["rule"] = "self.x".into();
    let refused = rig.create(&DEFINITIONS, &wrong).await.map_err(told).unwrap_err();
    assert!(
        refused.contains("spec.validation.openAPIV3Schema.x-kubernetes-validations[0].rule: Invalid value: "),
        "{refused}"
    );
    assert!(
        refused.contains("compilation failed: ERROR: <input>:1:5: undefined field 'x'\n | self.x\n | ....^"),
        "{refused}"
    );
    rig.create(&DEFINITIONS, &cats()).await.unwrap();
    let cat = |lives: u32, name: &str| {
        json!({"apiVersion": "example.com/v1", "kind": "Cat", "metadata": {"name": "tom"},
            "spec": {"lives": lives, "name": name}})
    };
    let mut refused = String::new();
    for _ in 0..500 {
        refused = rig.cat(Verb::Create, "", &cat(10, "Tom")).await.unwrap_err();
        if !refused.contains("could not find") && !refused.is_empty() {
            break;
        }
        rig.env.clock.sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(refused, "Cat.example.com \"tom\" is invalid: spec: Invalid value: \"object\": no cat has 10 lives");
    let mut made = rig.cat(Verb::Create, "", &cat(9, "Tom")).await.unwrap();
    made["spec"]["name"] = "Bob".into();
    let refused = rig.cat(Verb::Update, "tom", &made).await.unwrap_err();
    assert!(refused.ends_with("spec: Invalid value: \"object\": a cat keeps its name"), "{refused}");
    made["spec"]["name"] = "Tom".into();
    made["status"] = json!({"lives": 20});
    let mut status = Request::new(Verb::Update, CATS).namespace("home").name("tom").body(made.to_string());
    status.subresource = Some("status".to_owned());
    let refused = rig.send(status).await.map_err(told).unwrap_err();
    assert!(refused.contains("failed rule: !has(self.status) || self.status.lives <= self.spec.lives"), "{refused}");
    let applied = json!({"apiVersion": "example.com/v1", "kind": "Cat", "spec": {"lives": 11}});
    let mut apply = Request::new(Verb::Patch(PatchType::Apply), CATS).namespace("home").name("tom");
    apply.options = Options { field_manager: Some("test".to_owned()), force: Some(true), ..Options::default() };
    let refused = rig.send(apply.body(applied.to_string())).await.map_err(told).unwrap_err();
    assert!(refused.ends_with("no cat has 11 lives"), "{refused}");
}

/// A policy bound everywhere, for what is written to a subresource; it goes by the kind that is sent.
async fn forbid(rig: &Rig, name: &str, operation: &str, groups: &str, resource: &str, rule: &str) {
    let rules = json!({"resourceRules": [{"apiGroups": [groups], "apiVersions": ["v1"], "operations": [operation],
        "resources": [resource]}]});
    let spec = json!({"matchConstraints": rules, "validations": [{"expression": rule, "message": "not so"}]});
    rig.create(&VALIDATING, &named(name, spec)).await.unwrap();
    let bound = json!({"policyName": name, "validationActions": ["Deny"]});
    rig.create(&VALIDATING_BINDINGS, &named(name, bound)).await.unwrap();
}

#[tokio::test]
async fn policies_see_what_is_sent_to_a_subresource() {
    let rig = Rig::start().await;
    let scale = "object.kind == 'Scale' && oldObject.spec.replicas == 1 && object.spec.replicas < 5";
    forbid(&rig, "scale", "UPDATE", "apps", "deployments/scale", scale).await;
    forbid(&rig, "binding", "CREATE", "", "pods/binding", "object.target.name != 'bad'").await;
    let token = "request.kind.kind == 'TokenRequest' && object.spec.expirationSeconds <= 3600";
    forbid(&rig, "token", "CREATE", "", "serviceaccounts/token", token).await;
    rig.deploy("web", 1).await.unwrap();
    let part = |verb: Verb, resource: &GroupVersionResource, part: &str, body: &Value| {
        let request = Request::new(verb, resource.clone()).namespace("home").name("web");
        request.subresource(part).body(body.to_string())
    };
    let scaled = |replicas: u32| {
        let patch = json!({"spec": {"replicas": replicas}});
        part(Verb::Patch(PatchType::Merge), &DEPLOYMENTS, "scale", &patch)
    };
    let refused = rig.send(scaled(5)).await.map_err(told).unwrap_err();
    assert!(refused.ends_with("denied request: not so"), "{refused}");
    assert_eq!(rig.send(scaled(4)).await.unwrap()["spec"]["replicas"], 4);

    let core = |resource| GroupVersionResource::of("", "v1", resource);
    let account = json!({"metadata": {"name": "web", "namespace": "home"}});
    let made = Request::new(Verb::Create, core("serviceaccounts")).namespace("home").body(account.to_string());
    rig.send(made).await.unwrap();
    // Nobody issues tokens here; admission comes first.
    let wanted = |seconds: u32| {
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": ["x"], "expirationSeconds": seconds}});
        part(Verb::Create, &core("serviceaccounts"), "token", &body)
    };
    let refused = rig.send(wanted(3601)).await.map_err(told).unwrap_err();
    assert!(refused.ends_with("denied request: not so"), "{refused}");
    let refused = rig.send(wanted(3600)).await.map_err(told).unwrap_err();
    assert!(refused.ends_with("this server issues no tokens"), "{refused}");

    let pod = json!({"metadata": {"name": "web"}, "spec": {"automountServiceAccountToken": false,
        "serviceAccountName": "web", "containers": [{"name": "c", "image": "i"}]}});
    let made = Request::new(Verb::Create, core("pods")).namespace("home").body(pod.to_string());
    rig.send(made).await.unwrap();
    let bind = |node: &str| {
        let body = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "web"},
            "target": {"kind": "Node", "name": node}});
        part(Verb::Create, &core("pods"), "binding", &body)
    };
    let refused = rig.send(bind("bad")).await.map_err(told).unwrap_err();
    assert!(refused.ends_with("denied request: not so"), "{refused}");
    rig.send(bind("good")).await.unwrap();
    let found = rig.send(Request::new(Verb::Get, core("pods")).namespace("home").name("web")).await.unwrap();
    assert_eq!(found["spec"]["nodeName"], "good");
}

#[tokio::test]
async fn policies_get_their_parameters_in_the_version_they_name() {
    let rig = Rig::start().await;
    let autoscaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "limits"}, "spec": {"maxReplicas": 3,
            "scaleTargetRef": {"kind": "Deployment", "name": "web"}, "metrics": [{"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 2}}}]}});
    let resource = GroupVersionResource::of("autoscaling", "v2", "horizontalpodautoscalers");
    let made = Request::new(Verb::Create, resource).namespace("home").body(autoscaler.to_string());
    rig.send(made).await.unwrap();
    // Only the old version has this field.
    let spec = json!({"paramKind": {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler"},
        "matchConstraints": constraints(), "validations": [
            {"expression": "object.spec.replicas <= params.spec.targetCPUUtilizationPercentage"}]});
    rig.create(&VALIDATING, &named("limited", spec)).await.unwrap();
    let bound = json!({"policyName": "limited", "validationActions": ["Deny"],
        "paramRef": {"name": "limits", "namespace": "home", "parameterNotFoundAction": "Deny"}});
    rig.create(&VALIDATING_BINDINGS, &named("limited", bound)).await.unwrap();
    rig.deploy("few", 2).await.unwrap();
    let refused = rig.deploy("many", 3).await.unwrap_err();
    assert!(refused.contains("failed expression: object.spec.replicas <= params.spec"), "{refused}");
}
