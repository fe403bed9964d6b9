//! Budgets over fake pods.

use super::*;
use crate::kinds::resource::{CUSTOM_RESOURCE_DEFINITIONS, DEPLOYMENTS, DISRUPTION_BUDGETS, PODS, REPLICA_SETS};
use crate::testing::Stage;
use serde_json::json;

fn budget(spec: Value) -> Value {
    let mut spec = spec;
    spec["selector"] = json!({"matchLabels": {"app": "web"}});
    json!({"metadata": {"namespace": "ns", "name": "guard", "generation": 1, "uid": "b"}, "spec": spec})
}

fn pod(name: &str, owner: Option<(&str, &str)>) -> Value {
    let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let mut pod = json!({
        "metadata": {"namespace": "ns", "name": name, "uid": name, "labels": {"app": "web"}},
        "spec": {"nodeName": "n1"}, "status": {"phase": "Running", "conditions": [ready]},
    });
    if let Some((kind, name)) = owner {
        let api_version = match kind {
            "Job" => "batch/v1",
            "Widget" | "Gadget" => "example.com/v1",
            _ => "apps/v1",
        };
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": api_version, "kind": kind, "name": name, "uid": name, "controller": true}]);
    }
    pod
}

/// A Deployment's ReplicaSet, and the Deployment.
fn scaled(replicas: i64) -> Vec<(meta::GroupVersionResource, Value)> {
    let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "d", "controller": true}]);
    vec![
        (
            DEPLOYMENTS,
            json!({"metadata": {"namespace": "ns", "name": "d", "uid": "d"}, "spec": {"replicas": replicas}}),
        ),
        (
            REPLICA_SETS,
            json!({"metadata": {"namespace": "ns", "name": "rs", "uid": "rs", "ownerReferences": owner},
                   "spec": {"replicas": 1}}),
        ),
    ]
}

fn status(stage: &Stage) -> Value {
    stage.api.get(&DISRUPTION_BUDGETS, "ns", "guard").unwrap()["status"].clone()
}

/// currentHealthy, desiredHealthy, expectedPods, disruptionsAllowed.
fn numbers(stage: &Stage) -> [i64; 4] {
    let status = status(stage);
    ["currentHealthy", "desiredHealthy", "expectedPods", "disruptionsAllowed"]
        .map(|field| status[field].as_i64().unwrap_or(-1))
}

#[tokio::test(start_paused = true)]
async fn budgets_count_against_pods_or_against_scale() {
    let cases = [
        (json!({"minAvailable": 2}), [3, 2, 3, 1]),
        (json!({"minAvailable": 5}), [3, 5, 3, 0]),
        (json!({"minAvailable": "50%"}), [3, 3, 5, 0]),
        (json!({"minAvailable": "21%"}), [3, 2, 5, 1]),
        (json!({"maxUnavailable": 3}), [3, 2, 5, 1]),
        (json!({"maxUnavailable": "41%"}), [3, 2, 5, 1]),
        (json!({"maxUnavailable": 9}), [3, 0, 5, 3]),
    ];
    for (spec, wanted) in cases {
        let mut objects = scaled(5);
        objects.extend(["a", "b", "c"].map(|name| (PODS, pod(name, Some(("ReplicaSet", "rs"))))));
        objects.push((DISRUPTION_BUDGETS, budget(spec.clone())));
        let objects: Vec<_> = objects.iter().map(|(resource, object)| (resource, object.clone())).collect();
        let stage = Stage::new(&DEF, &objects).await;
        stage.settle(1).await;
        assert_eq!(numbers(&stage), wanted, "{spec}");
        let condition = &status(&stage)["conditions"][0];
        let wanted = if wanted[3] > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        assert_eq!((&condition["status"], &condition["reason"]), (&json!(wanted.0), &json!(wanted.1)));
        assert_eq!(condition["observedGeneration"], json!(1));
        stage.writes();
        stage.settle(3600).await;
        assert!(stage.writes().is_empty(), "nothing changes, nothing is written");
    }
}

#[tokio::test(start_paused = true)]
async fn unready_going_and_evicted_pods_are_not_healthy() {
    let mut sick = pod("b", None);
    sick["status"]["conditions"][0]["status"] = json!("False");
    let mut going = pod("c", None);
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let mut guard = budget(json!({"minAvailable": 1}));
    guard["status"] = json!({"disruptedPods": {"d": "2026-01-01T00:00:00Z", "gone": "2026-01-01T00:00:00Z"}});
    let objects =
        [(&PODS, pod("a", None)), (&PODS, sick), (&PODS, going), (&PODS, pod("d", None)), (&DISRUPTION_BUDGETS, guard)];
    let stage = Stage::new(&DEF, &objects).await;
    stage.settle(1).await;
    assert_eq!(numbers(&stage), [1, 1, 4, 0]);
    assert_eq!(status(&stage)["disruptedPods"], json!({"d": "2026-01-01T00:00:00Z"}));
    // Nobody took the pod: it counts again.
    stage.settle(125).await;
    assert_eq!(numbers(&stage), [2, 1, 4, 1]);
    assert!(status(&stage)["disruptedPods"].as_object().is_none_or(|pods| pods.is_empty()));
    assert_eq!(stage.events(), ["NotDeleted Pod was expected by PDB ns/guard to be deleted but it wasn't"]);
}

#[tokio::test(start_paused = true)]
async fn a_scale_that_nobody_knows_allows_nothing() {
    let objects = [(&PODS, pod("a", Some(("Job", "j")))), (&DISRUPTION_BUDGETS, budget(json!({"maxUnavailable": 1})))];
    let stage = Stage::new(&DEF, &objects).await;
    stage.settle(1).await;
    let condition = status(&stage)["conditions"][0].clone();
    assert_eq!(condition["reason"], json!("SyncFailed"));
    assert_eq!(condition["message"], json!("jobs.batch does not implement the scale subresource"));
    assert_eq!(
        stage.events(),
        ["CalculateExpectedPodCountFailed Failed to calculate the number of expected pods: jobs.batch does not \
             implement the scale subresource"]
    );
}

fn definition(plural: &str, kind: &str, subresources: Value) -> Value {
    json!({"metadata": {"name": format!("{plural}.example.com")},
           "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
                    "versions": [{"name": "v1", "served": true, "storage": true, "subresources": subresources}]},
           "status": {"conditions": [{"type": "Established", "status": "True"}]}})
}

#[tokio::test(start_paused = true)]
async fn custom_controllers_are_asked_for_their_scale() {
    const WIDGETS: meta::GroupVersionResource = meta::GroupVersionResource::of("example.com", "v1", "widgets");
    let scale = json!({"scale": {"specReplicasPath": ".spec.replicas"}});
    let widget = json!({"metadata": {"namespace": "ns", "name": "w", "uid": "w"}, "spec": {"replicas": 5}});
    let definitions = [definition("widgets", "Widget", scale), definition("gadgets", "Gadget", json!({}))];
    let no_scale = "gadgets.example.com does not implement the scale subresource";
    let nowhere = "no matches for kind \"Widget\" in version \"example.com/v1\"";
    let cases = [
        (("Widget", "w"), &definitions[..], [2, 4, 5, 0], ""),
        (("Widget", "x"), &definitions[..], [-1, -1, -1, 0], "found no controllers for pod \"a\""),
        (("Gadget", "g"), &definitions[..], [-1, -1, -1, 0], no_scale),
        (("Widget", "w"), &definitions[..0], [-1, -1, -1, 0], nowhere),
    ];
    for (owner, definitions, wanted, why) in cases {
        let mut objects = vec![(WIDGETS, widget.clone()), (DISRUPTION_BUDGETS, budget(json!({"maxUnavailable": 1})))];
        objects.extend(definitions.iter().map(|definition| (CUSTOM_RESOURCE_DEFINITIONS, definition.clone())));
        objects.extend(["a", "b"].map(|name| (PODS, pod(name, Some(owner)))));
        let objects: Vec<_> = objects.iter().map(|(resource, object)| (resource, object.clone())).collect();
        let stage = Stage::new(&DEF, &objects).await;
        stage.settle(1).await;
        assert_eq!(numbers(&stage), wanted, "{owner:?} {why}");
        let told = status(&stage)["conditions"][0]["message"].clone();
        assert_eq!(told.as_str().unwrap_or_default(), why);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_asked_again() {
    let scale = json!({"scale": {}});
    let objects = [
        (&CUSTOM_RESOURCE_DEFINITIONS, definition("widgets", "Widget", scale)),
        (&DISRUPTION_BUDGETS, budget(json!({"maxUnavailable": 1}))),
    ];
    let stage = Stage::new(&DEF, &objects).await;
    stage.refuse("get widgets", meta::Status::internal("not now").into());
    stage.api.put(&PODS, pod("a", Some(("Widget", "w"))));
    stage.settle(5).await;
    assert_eq!(status(&stage)["conditions"][0]["reason"], json!("SyncFailed"));
    stage.api.clear_faults();
    let widgets = meta::GroupVersionResource::of("example.com", "v1", "widgets");
    let widget = json!({"metadata": {"namespace": "ns", "name": "w", "uid": "w"}, "spec": {"replicas": 1}});
    stage.api.put(&widgets, widget);
    stage.settle(1000).await;
    assert_eq!(numbers(&stage), [1, 0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_disruption_that_never_came_is_taken_back() {
    let mut marked = pod("a", None);
    let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                           "lastTransitionTime": "2026-01-01T00:00:00Z"});
    marked["status"]["conditions"].as_array_mut().unwrap().push(condition);
    let stage = Stage::new(&DEF, &[(&PODS, marked)]).await;
    stage.settle(110).await;
    assert!(stage.writes().is_empty());
    stage.settle(20).await;
    assert_eq!(stage.writes(), ["patch pods/status ns/a"]);
}
