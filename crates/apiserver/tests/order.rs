//! What the server computes of an object follows from what admission has made of it, not from what was
//! sent: mutation comes before preparation, on creates and updates.

#![allow(clippy::unwrap_used)]

mod started;

use apiserver::{Identity, Limits, Local};
use base::Env;
use client::{Api as _, PatchType, Request, Response, Verb};
use meta::{GroupVersionResource, User};
use serde_json::{Value, json};
use store::MemoryStore;

const PODS: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");
const DEPLOYMENTS: GroupVersionResource = GroupVersionResource::of("apps", "v1", "deployments");
const ADMISSION: &str = "admissionregistration.k8s.io";

async fn root() -> Local {
    let env = Env::real();
    let store = MemoryStore::new(&env);
    let server = started::server(&env, store, Identity::default(), &["ServiceAccount"], Limits::default()).await;
    let root = Local::new(server, User::new("root", &["system:masters"]));
    let namespaces = GroupVersionResource::of("", "v1", "namespaces");
    send(&root, Request::new(Verb::Create, namespaces), &json!({"metadata": {"name": "home"}})).await;
    root
}

async fn send(api: &Local, request: Request, body: &Value) -> Value {
    match api.call(Request { body: body.to_string().into(), ..request }).await.unwrap() {
        Response::Object { body, .. } => serde_json::from_slice(&body).unwrap(),
        _ => panic!("an object is answered with one"),
    }
}

/// From now on these JSON patches are made on what is written of a resource.
async fn mutate(api: &Local, group: &str, resource: &str, operation: &str, patches: &str) {
    let rule = json!({"apiGroups": [group], "apiVersions": ["v1"], "operations": [operation], "resources": [resource]});
    let policy = json!({"metadata": {"name": resource}, "spec": {
        "matchConstraints": {"resourceRules": [rule]},
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": format!("[{patches}]")}}],
    }});
    let binding = json!({"metadata": {"name": resource}, "spec": {"policyName": resource}});
    for (kind, object) in [("mutatingadmissionpolicies", policy), ("mutatingadmissionpolicybindings", binding)] {
        let of = GroupVersionResource { group: ADMISSION.into(), version: "v1".into(), resource: kind.into() };
        send(api, Request::new(Verb::Create, of), &object).await;
    }
}

#[tokio::test]
async fn selectors_of_a_new_pod_see_labels_that_admission_adds() {
    let root = root().await;
    let add = "JSONPatch{op: 'add', path: '/metadata/labels/rev', value: '7'}";
    mutate(&root, "", "pods", "CREATE", add).await;
    let pod = json!({"metadata": {"name": "web", "labels": {"app": "web"}}, "spec": {
        "containers": [{"name": "c", "image": "i"}],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "web"}}, "matchLabelKeys": ["rev"]}],
    }});
    let made = send(&root, Request::new(Verb::Create, PODS).namespace("home"), &pod).await;
    let selector = &made["spec"]["topologySpreadConstraints"][0]["labelSelector"];
    assert_eq!(selector["matchExpressions"], json!([{"key": "rev", "operator": "In", "values": ["7"]}]), "{made:#}");
}

#[tokio::test]
async fn an_update_counts_what_admission_changes_and_keeps_status_from_it() {
    let root = root().await;
    let labels = json!({"app": "web"});
    let deployment = json!({"metadata": {"name": "web"}, "spec": {"replicas": 5, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let made = send(&root, Request::new(Verb::Create, DEPLOYMENTS).namespace("home"), &deployment).await;
    assert_eq!(made["metadata"]["generation"], 1);
    let change = "JSONPatch{op: 'replace', path: '/spec/replicas', value: 2}, \
                  JSONPatch{op: 'add', path: '/status', value: {'replicas': 9}}";
    mutate(&root, "apps", "deployments", "UPDATE", change).await;
    let annotate = json!({"metadata": {"annotations": {"a": "b"}}});
    let patch = Request::new(Verb::Patch(PatchType::Merge), DEPLOYMENTS).namespace("home").name("web");
    let changed = send(&root, patch, &annotate).await;
    assert_eq!(
        (&changed["spec"]["replicas"], &changed["metadata"]["generation"]),
        (&json!(2), &json!(2)),
        "{changed:#}"
    );
    assert_eq!(changed["status"], json!({}), "{changed:#}");
}
