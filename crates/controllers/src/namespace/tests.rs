//! Emptying namespaces on the fake API server.

use super::*;
use crate::kinds::resource::{CONFIG_MAPS, NAMESPACES, PODS};
use crate::testing::Stage;
use meta::conditions;
use serde_json::json;

fn ending() -> Value {
    json!({
        "metadata": {"name": "ns", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Terminating"},
    })
}

fn named(name: &str) -> Value {
    json!({"metadata": {"namespace": "ns", "name": name}})
}

fn bound_pod() -> Value {
    json!({"metadata": {"namespace": "ns", "name": "p"}, "spec": {"nodeName": "n1"}})
}

fn condition(stage: &Stage, kind: &str) -> Value {
    let namespace = stage.api.get(&NAMESPACES, "", "ns").unwrap();
    conditions::find(&namespace["status"]["conditions"], kind).cloned().unwrap_or_default()
}

fn finalizers(stage: &Stage) -> Value {
    stage.api.get(&NAMESPACES, "", "ns").unwrap()["spec"]["finalizers"].clone()
}

#[tokio::test(start_paused = true)]
async fn pods_go_first_and_then_the_rest() {
    let stage = Stage::new(&DEF, &[(&NAMESPACES, ending()), (&PODS, bound_pod()), (&CONFIG_MAPS, named("a"))]).await;
    assert_eq!(stage.api.all(&CONFIG_MAPS).len(), 1, "a pod still ends and may use it");
    let remaining = condition(&stage, "NamespaceContentRemaining");
    assert_eq!(remaining["message"], "Some resources are remaining: pods. has 1 resource instances");
    assert_eq!(finalizers(&stage), json!(["kubernetes"]));
    stage.api.remove(&PODS, "ns", "p");
    stage.settle(1).await;
    assert!(stage.api.all(&CONFIG_MAPS).is_empty());
    assert_eq!(finalizers(&stage), json!([]));
    assert!(stage.writes().contains(&"update namespaces/finalize ns".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn foreign_finalizers_are_told_and_waited_for_ever_more_seldom() {
    let mut held = named("a");
    held["metadata"]["finalizers"] = json!(["example.com/keep"]);
    let stage = Stage::new(&DEF, &[(&NAMESPACES, ending()), (&CONFIG_MAPS, held)]).await;
    stage.settle(5).await;
    let told = condition(&stage, "NamespaceFinalizersRemaining");
    let message = "Some content in the namespace has finalizers remaining: example.com/keep in 1 resource instances";
    assert_eq!((&told["status"], &told["message"]), (&json!("True"), &json!(message)));
    stage.writes();
    stage.settle(600).await;
    let writes = stage.writes();
    assert!((5..30).contains(&writes.len()), "{writes:?}");
    stage.api.remove(&CONFIG_MAPS, "ns", "a");
    stage.settle(61).await;
    assert_eq!(finalizers(&stage), json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_refused_deletion_shows() {
    let stage = Stage::new(&DEF, &[(&CONFIG_MAPS, named("a"))]).await;
    stage.refuse("deletecollection configmaps", meta::Status::failure(meta::Reason::Forbidden, "not you").into());
    stage.api.put(&NAMESPACES, ending());
    stage.settle(2).await;
    let told = condition(&stage, "NamespaceDeletionContentFailure");
    assert_eq!(told["message"], "Failed to delete all resource types, 1 remaining: not you");
    assert_eq!(finalizers(&stage), json!(["kubernetes"]));
}

#[tokio::test(start_paused = true)]
async fn living_namespaces_are_left_alone() {
    let living = json!({"metadata": {"name": "ns"}, "spec": {"finalizers": ["kubernetes"]}});
    let stage = Stage::new(&DEF, &[(&NAMESPACES, living), (&CONFIG_MAPS, named("a"))]).await;
    assert!(stage.writes().is_empty());
    assert!(built_in().len() > 20, "the table of kinds must be there");
}

#[tokio::test(start_paused = true)]
async fn another_of_the_same_name_keeps_what_it_has() {
    let mut old = ending();
    old["metadata"]["uid"] = json!("old");
    let stage = Stage::new(&DEF, &[(&NAMESPACES, old), (&PODS, bound_pod()), (&CONFIG_MAPS, named("a"))]).await;
    // The cache will learn of the new one, but not before it was asked about the old one.
    stage.edit(&NAMESPACES, "", "ns", |namespace| {
        *namespace = json!({"metadata": {"name": "ns", "uid": "new"}, "spec": {"finalizers": ["kubernetes"]}});
    });
    stage.api.remove(&PODS, "ns", "p");
    stage.writes();
    stage.settle(60).await;
    assert!(stage.writes().is_empty());
    assert_eq!(stage.api.all(&CONFIG_MAPS).len(), 1);
}
