//! Quotas that are new, charged too much or too little, on the fake API server.

use super::plan::{self, Verdict};
use super::*;
use crate::kinds::resource::{CUSTOM_RESOURCE_DEFINITIONS, PODS, RESOURCE_QUOTAS};
use crate::testing::Stage;
use jiff::SignedDuration;
use serde_json::json;

fn quota(hard: Value, used: Value) -> Value {
    let metadata = json!({"namespace": "ns", "name": "all", "uid": "q"});
    let mut quota = json!({"metadata": metadata, "spec": {"hard": hard}});
    if used.is_object() {
        quota["status"] = json!({"hard": hard, "used": used});
    }
    quota
}

fn pod(name: &str, cpu: &str) -> Value {
    let resources = json!({"requests": {"cpu": cpu}});
    let spec = json!({"containers": [{"name": "a", "resources": resources}]});
    json!({"metadata": {"namespace": "ns", "name": name}, "spec": spec, "status": {"phase": "Running"}})
}

fn used(stage: &Stage) -> Value {
    stage.api.get(&RESOURCE_QUOTAS, "ns", "all").unwrap()["status"]["used"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_new_quota_learns_what_is_used() {
    let hard = json!({"pods": "5", "requests.cpu": "2", "secrets": "3", "count/deployments.apps": "1"});
    let objects = [(&RESOURCE_QUOTAS, quota(hard, Value::Null)), (&PODS, pod("a", "200m")), (&PODS, pod("b", "300m"))];
    let stage = Stage::new(&DEF, &objects).await;
    stage.settle(5).await;
    let wanted = json!({"count/deployments.apps": "0", "pods": "2", "requests.cpu": "500m", "secrets": "0"});
    assert_eq!(used(&stage), wanted);
    stage.writes();
    stage.settle(3600).await;
    assert!(stage.writes().is_empty(), "nothing changes, nothing is written");
}

#[tokio::test(start_paused = true)]
async fn what_went_is_given_back_once_nobody_charges() {
    let objects = [
        (&RESOURCE_QUOTAS, quota(json!({"pods": "5"}), json!({"pods": "2"}))),
        (&PODS, pod("a", "1")),
        (&PODS, pod("b", "1")),
    ];
    let stage = Stage::new(&DEF, &objects).await;
    stage.settle(5).await;
    stage.edit(&RESOURCE_QUOTAS, "ns", "all", |quota| quota["status"]["used"]["pods"] = json!("3"));
    stage.api.remove(&PODS, "ns", "a");
    // A pod that was charged is not there yet.
    assert_eq!(used(&stage), json!({"pods": "3"}));
    stage.api.put(&PODS, pod("c", "1"));
    stage.settle(5).await;
    assert_eq!(used(&stage), json!({"pods": "2"}));
    stage.edit(&PODS, "ns", "c", |pod| pod["status"]["phase"] = json!("Succeeded"));
    stage.settle(5).await;
    assert_eq!(used(&stage), json!({"pods": "1"}));
}

#[tokio::test(start_paused = true)]
async fn custom_resources_count_from_when_they_are_defined() {
    const WIDGETS: GroupVersionResource = GroupVersionResource::of("example.com", "v1", "widgets");
    let widget = |name: &str| json!({"metadata": {"namespace": "ns", "name": name}});
    let hard = json!({"count/widgets.example.com": "5"});
    let objects = [(&RESOURCE_QUOTAS, quota(hard, Value::Null)), (&WIDGETS, widget("a")), (&WIDGETS, widget("b"))];
    let stage = Stage::new(&DEF, &objects).await;
    stage.settle(5).await;
    let count = |stage: &Stage| used(stage)["count/widgets.example.com"].clone();
    assert_eq!(count(&stage), json!("0"), "nobody knows what a widget is");
    let definition = json!({"metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
                 "versions": [{"name": "v1", "served": true, "storage": true}]},
        "status": {"conditions": [{"type": "Established", "status": "True"}]}});
    stage.api.put(&CUSTOM_RESOURCE_DEFINITIONS, definition);
    stage.settle(20).await;
    assert_eq!(count(&stage), json!("2"));
    stage.api.remove(&WIDGETS, "ns", "a");
    stage.settle(5).await;
    assert_eq!(count(&stage), json!("1"));
    // What can no longer be counted stays as it was.
    stage.api.remove(&CUSTOM_RESOURCE_DEFINITIONS, "", "widgets.example.com");
    stage.settle(1000).await;
    assert_eq!(count(&stage), json!("1"));
}

#[test]
fn verdicts() {
    let old = |hard: Value, used: Value| quota(hard, used);
    let of = |value: Value| quota::amounts(&value);
    let cases = [
        (old(json!({"pods": "2"}), json!({"pods": "1"})), json!({"pods": "1"}), Verdict::Right),
        (old(json!({"pods": "2"}), json!({"pods": "2"})), json!({"pods": "1"}), Verdict::TooMuch),
        (
            old(json!({"pods": "2"}), json!({"pods": "1"})),
            json!({"pods": "2"}),
            Verdict::Write(json!({"hard": {"pods": "2"}, "used": {"pods": "2"}})),
        ),
        (
            old(json!({"pods": "2", "secrets": "1"}), json!({"pods": "2"})),
            json!({"pods": "1", "secrets": "0"}),
            Verdict::Write(json!({"hard": {"pods": "2", "secrets": "1"}, "used": {"pods": "2", "secrets": "0"}})),
        ),
    ];
    for (quota, counted, wanted) in cases {
        let hard = of(quota["spec"]["hard"].clone());
        assert_eq!(plan::verdict(&quota, &hard, &of(counted)), wanted, "{quota}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_keeps_nothing_charged() {
    let objects = [(&RESOURCE_QUOTAS, quota(json!({"pods": "5"}), json!({"pods": "1"}))), (&PODS, pod("a", "1"))];
    let stage = Stage::new(&DEF, &objects).await;
    stage.settle(5).await;
    stage.api.remove(&PODS, "ns", "a");
    stage.env.clock.sleep(Duration::from_millis(100)).await;
    stage.env.clock.jump(-SignedDuration::from_mins(10));
    stage.settle(5).await;
    assert_eq!(used(&stage), json!({"pods": "0"}));
}
