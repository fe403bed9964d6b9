//! Tolerations as a table; drivers' and administrators' taints on the fake API server.

use super::world::endured_until;
use super::*;
use crate::kinds::resource::{DEVICE_TAINT_RULES, PODS, RESOURCE_CLAIMS, RESOURCE_SLICES};
use crate::testing::Stage;
use crate::views::{Taint, Toleration};
use meta::GroupVersionResource;

const START: &str = "2026-01-01T00:00:00Z";

fn taint(effect: &str) -> Value {
    json!({"key": "broken", "value": "fan", "effect": effect, "timeAdded": START})
}

#[test]
fn the_shortest_toleration_counts_and_one_for_ever_is_enough() {
    let at = |second: i64| Timestamp::from_second(1_767_225_600 + second).unwrap();
    let cases = [
        (json!([]), Some(0)),
        (json!([{"operator": "Exists"}]), None),
        (json!([{"key": "broken", "value": "fan"}]), None),
        (json!([{"key": "broken", "operator": "Equal", "value": "disk"}]), Some(0)),
        (json!([{"key": "broken", "operator": "Exists", "effect": "NoSchedule"}]), Some(0)),
        (json!([{"key": "broken", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]), Some(300)),
        (
            json!([{"operator": "Exists", "tolerationSeconds": 300}, {"operator": "Exists", "tolerationSeconds": 60}]),
            Some(60),
        ),
        (json!([{"operator": "Exists", "tolerationSeconds": 60}, {"operator": "Exists"}]), None),
        (json!([{"operator": "Exists", "tolerationSeconds": -5}]), Some(0)),
    ];
    let taint: Taint = serde_json::from_value(taint("NoExecute")).unwrap();
    for (tolerations, expected) in cases {
        let parsed: Vec<Toleration> = serde_json::from_value(tolerations.clone()).unwrap();
        assert_eq!(endured_until(&taint, &parsed, at(900)), expected.map(at), "{tolerations}");
    }
}

fn pod(name: &str) -> Value {
    let claims = json!([{"name": "gpu", "resourceClaimName": name}]);
    json!({"metadata": {"namespace": "ns", "name": name, "uid": name},
           "spec": {"nodeName": "n1", "resourceClaims": claims}, "status": {"phase": "Running"}})
}

/// The pod's claim has the device of this name.
fn claim(name: &str, device: &str, tolerations: Value) -> Value {
    let result =
        json!({"request": "r", "driver": "d.example.com", "pool": "p", "device": device, "tolerations": tolerations});
    json!({"metadata": {"namespace": "ns", "name": name}, "spec": {}, "status": {
        "allocation": {"devices": {"results": [result]}},
        "reservedFor": [{"resource": "pods", "name": name, "uid": name}]}})
}

fn slice(generation: i64, taints: Value) -> Value {
    json!({"metadata": {"name": format!("s{generation}")}, "spec": {
        "driver": "d.example.com", "nodeName": "n1",
        "pool": {"name": "p", "generation": generation, "resourceSliceCount": 1},
        "devices": [{"name": "a", "taints": taints}, {"name": "b"}]}})
}

fn rule(effect: &str, device: Option<&str>) -> Value {
    json!({"metadata": {"name": "r", "uid": "r", "generation": 1},
           "spec": {"deviceSelector": {"device": device}, "taint": taint(effect)}})
}

fn is_ending(stage: &Stage, name: &str) -> bool {
    stage.api.get(&PODS, "ns", name).unwrap()["metadata"]["deletionTimestamp"].is_string()
}

fn told(stage: &Stage) -> (String, String, String) {
    let rule = stage.api.get(&DEVICE_TAINT_RULES, "", "r").unwrap();
    let condition = rule::condition(&rule).cloned().unwrap_or_default();
    let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"), text("message"))
}

async fn stage(more: &[(&GroupVersionResource, Value)]) -> Stage {
    let patient = json!([{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]);
    let basis = [
        (&PODS, pod("now")),
        (&PODS, pod("later")),
        (&PODS, pod("other")),
        (&RESOURCE_CLAIMS, claim("now", "a", json!([]))),
        (&RESOURCE_CLAIMS, claim("later", "a", patient)),
        (&RESOURCE_CLAIMS, claim("other", "b", json!([]))),
    ];
    let objects: Vec<_> = basis.iter().chain(more).cloned().collect();
    Stage::new(&DEF, &objects).await
}

#[tokio::test(start_paused = true)]
async fn a_drivers_taint_ends_who_does_not_tolerate_it() {
    let stage = stage(&[(&RESOURCE_SLICES, slice(1, json!([taint("NoSchedule")])))]).await;
    assert!(stage.writes().is_empty(), "what keeps others off ends nobody");
    stage.api.put(&RESOURCE_SLICES, slice(1, json!([taint("NoSchedule"), taint("NoExecute")])));
    stage.settle(5).await;
    assert!(is_ending(&stage, "now") && !is_ending(&stage, "later") && !is_ending(&stage, "other"));
    let condition = stage.api.get(&PODS, "ns", "now").unwrap()["status"]["conditions"][0].clone();
    let words = ["type", "status", "reason", "message"].map(|field| condition[field].clone());
    assert_eq!(
        words,
        [
            "DisruptionTarget",
            "True",
            "DeletionByDeviceTaintManager",
            "Device Taint manager: deleting due to NoExecute taint"
        ]
        .map(Value::from)
    );
    stage.settle(280).await;
    assert!(!is_ending(&stage, "later"));
    stage.settle(30).await;
    assert!(is_ending(&stage, "later") && !is_ending(&stage, "other"));
    assert_eq!(stage.events(), ["DeviceTaintManagerEviction Marking for deletion"; 2]);
    stage.writes();
    stage.settle(3600).await;
    assert!(stage.writes().is_empty(), "what is ending is left alone");
}

#[tokio::test(start_paused = true)]
async fn a_taint_that_goes_in_time_spares_the_pod() {
    let stage = stage(&[(&RESOURCE_SLICES, slice(1, json!([taint("NoExecute")])))]).await;
    stage.settle(100).await;
    // A newer generation of the pool says all there is to say.
    stage.api.put(&RESOURCE_SLICES, slice(2, json!([])));
    stage.settle(1000).await;
    assert!(is_ending(&stage, "now") && !is_ending(&stage, "later"));
    assert!(stage.events().contains(&"DeviceTaintManagerEviction Cancelling deletion".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_rule_tells_how_far_it_is() {
    let stage = stage(&[(&DEVICE_TAINT_RULES, rule("NoExecute", Some("a")))]).await;
    stage.settle(3).await;
    assert!(is_ending(&stage, "now") && !is_ending(&stage, "later") && !is_ending(&stage, "other"));
    let (status, reason, message) = told(&stage);
    assert_eq!((status.as_str(), reason.as_str()), ("True", "PodsPendingEviction"));
    assert_eq!(message, "2 pods need to be evicted in 1 namespace.");
    stage.settle(20).await;
    assert_eq!(
        told(&stage).2,
        "1 pod needs to be evicted in 1 namespace. 1 pod evicted since starting the controller."
    );
    stage.settle(320).await;
    assert!(is_ending(&stage, "later"));
    let done = ("False".into(), "Completed".into(), "2 pods evicted since starting the controller.".into());
    assert_eq!(told(&stage), done);
}

#[tokio::test(start_paused = true)]
async fn a_rule_without_effect_tells_what_it_would_do() {
    let stage = stage(&[(&RESOURCE_SLICES, slice(1, json!([]))), (&DEVICE_TAINT_RULES, rule("None", None))]).await;
    stage.settle(30).await;
    let (status, reason, message) = told(&stage);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "NoEffect"));
    let numbers =
        "2 published devices selected. 3 allocated devices selected. 3 pods would be evicted in 1 namespace if";
    assert!(message.starts_with(numbers), "{message}");
    assert!(["now", "later", "other"].iter().all(|name| !is_ending(&stage, name)));
    // The status of another generation is told at once.
    let mut changed = rule("NoSchedule", None);
    changed["metadata"]["generation"] = json!(2);
    changed["status"] = stage.api.get(&DEVICE_TAINT_RULES, "", "r").unwrap()["status"].clone();
    stage.api.put(&DEVICE_TAINT_RULES, changed);
    stage.settle(2).await;
    let words = "Eviction only happens for the NoExecute effect.";
    assert_eq!(told(&stage), ("False".into(), "OtherEffect".into(), words.into()));
}
