//! Owners, dependents and circles on the fake API server.

use super::*;
use crate::kinds::resource::{CONFIG_MAPS, NODES, SECRETS};
use crate::testing::Stage;
use client::{Api, DeleteOptions, Request, Verb};
use serde_json::{Value, json};

/// An object with owners given as `kind/name`, all of them blocking.
fn object(name: &str, owners: &[&str]) -> Value {
    let reference = |owner: &&str| {
        let (kind, name) = owner.split_once('/').unwrap();
        json!({"apiVersion": "v1", "kind": kind, "name": name, "uid": format!("uid-{name}"), "blockOwnerDeletion": true})
    };
    let owners: Vec<_> = owners.iter().map(reference).collect();
    json!({"metadata": {"namespace": "ns", "name": name, "uid": format!("uid-{name}"), "ownerReferences": owners}})
}

async fn delete(stage: &Stage, resource: &GroupVersionResource, name: &str, policy: &str) {
    let options = DeleteOptions { propagation_policy: Some(policy.to_owned()), ..DeleteOptions::default() };
    let request = Request::new(Verb::Delete, resource.clone()).namespace("ns").name(name);
    let body = serde_json::to_vec(&options).unwrap();
    assert!(stage.api.call(request.body(body)).await.is_ok());
    stage.settle(5).await;
}

fn names(stage: &Stage, resource: &GroupVersionResource) -> Vec<String> {
    stage.api.all(resource).iter().map(|it| it["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

/// A chain: the ConfigMap `top` owns `middle`, which owns the Secret `bottom`.
async fn chain() -> Stage {
    let objects = [
        (&CONFIG_MAPS, object("top", &[])),
        (&CONFIG_MAPS, object("middle", &["ConfigMap/top"])),
        (&SECRETS, object("bottom", &["ConfigMap/middle"])),
    ];
    let stage = Stage::new(&DEF, &objects).await;
    stage.settle(5).await;
    assert!(stage.writes().is_empty(), "all owners are there");
    stage
}

#[tokio::test(start_paused = true)]
async fn dependents_follow_their_owner_in_the_background() {
    let stage = chain().await;
    delete(&stage, &CONFIG_MAPS, "top", "Background").await;
    assert!(names(&stage, &CONFIG_MAPS).is_empty() && names(&stage, &SECRETS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn in_the_foreground_the_owner_goes_last() {
    let stage = chain().await;
    stage.edit(&SECRETS, "ns", "bottom", |it| it["metadata"]["finalizers"] = json!(["example.com/hold"]));
    delete(&stage, &CONFIG_MAPS, "top", "Foreground").await;
    assert_eq!(names(&stage, &CONFIG_MAPS), ["middle", "top"], "the last of the chain still stands");
    stage.api.remove(&SECRETS, "ns", "bottom");
    stage.settle(5).await;
    assert!(names(&stage, &CONFIG_MAPS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn orphans_stay_and_forget_their_owner() {
    let stage = chain().await;
    delete(&stage, &CONFIG_MAPS, "top", "Orphan").await;
    assert_eq!(names(&stage, &CONFIG_MAPS), ["middle"]);
    assert_eq!(stage.api.get(&CONFIG_MAPS, "ns", "middle").unwrap()["metadata"]["ownerReferences"], json!([]));
    assert_eq!(names(&stage, &SECRETS), ["bottom"]);
}

#[tokio::test(start_paused = true)]
async fn of_two_owners_one_is_enough() {
    let stage = Stage::new(&DEF, &[(&CONFIG_MAPS, object("a", &[])), (&CONFIG_MAPS, object("b", &[]))]).await;
    stage.api.put(&SECRETS, object("both", &["ConfigMap/a", "ConfigMap/b"]));
    stage.settle(1).await;
    delete(&stage, &CONFIG_MAPS, "a", "Background").await;
    let owners = stage.api.get(&SECRETS, "ns", "both").unwrap()["metadata"]["ownerReferences"].clone();
    assert_eq!(owners.as_array().unwrap().len(), 1);
    assert_eq!(owners[0]["name"], "b");
    delete(&stage, &CONFIG_MAPS, "b", "Background").await;
    assert!(names(&stage, &SECRETS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_owner_replaced_by_its_namesake_is_none() {
    let mut other = object("top", &[]);
    other["metadata"]["uid"] = json!("another");
    let stage = Stage::new(&DEF, &[(&CONFIG_MAPS, other), (&SECRETS, object("bottom", &["ConfigMap/top"]))]).await;
    stage.settle(5).await;
    assert!(names(&stage, &SECRETS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_only_the_cache_misses_is_asked_for() {
    let stage = Stage::new(&DEF, &[]).await;
    stage.api.freeze(true);
    stage.api.put(&CONFIG_MAPS, object("top", &[]));
    stage.api.freeze(false);
    stage.api.put(&SECRETS, object("bottom", &["ConfigMap/top"]));
    stage.settle(5).await;
    assert_eq!(names(&stage, &SECRETS), ["bottom"]);
}

#[tokio::test(start_paused = true)]
async fn circles_are_left_alone_until_one_of_them_is_deleted() {
    for policy in ["Foreground", "Background"] {
        let objects = [(&CONFIG_MAPS, object("a", &["Secret/b"])), (&SECRETS, object("b", &["ConfigMap/a"]))];
        let stage = Stage::new(&DEF, &objects).await;
        stage.settle(5).await;
        assert!(stage.writes().is_empty());
        delete(&stage, &CONFIG_MAPS, "a", policy).await;
        stage.settle(30).await;
        assert!(names(&stage, &CONFIG_MAPS).is_empty() && names(&stage, &SECRETS).is_empty(), "{policy}");
    }
}

/// Whoever comes second finds the first already waiting for it: neither is ever asked about the other.
#[tokio::test(start_paused = true)]
async fn circles_whose_members_are_all_deleted_in_the_foreground_end() {
    let objects = [
        (&CONFIG_MAPS, object("a", &["Secret/c"])),
        (&CONFIG_MAPS, object("b", &["ConfigMap/a"])),
        (&SECRETS, object("c", &["ConfigMap/b"])),
    ];
    let stage = Stage::new(&DEF, &objects).await;
    stage.settle(5).await;
    stage.api.freeze(true);
    for (resource, name) in [(&CONFIG_MAPS, "a"), (&CONFIG_MAPS, "b"), (&SECRETS, "c")] {
        delete(&stage, resource, name, "Foreground").await;
    }
    assert_eq!((names(&stage, &CONFIG_MAPS).len(), names(&stage, &SECRETS).len()), (2, 1), "each waits");
    stage.api.freeze(false);
    stage.api.drop_watches(false);
    stage.settle(30).await;
    assert!(names(&stage, &CONFIG_MAPS).is_empty() && names(&stage, &SECRETS).is_empty());
}

/// That all three wait for what is below them makes no circle.
#[tokio::test(start_paused = true)]
async fn chains_whose_members_are_all_deleted_in_the_foreground_end_from_the_bottom() {
    let stage = chain().await;
    let mut held = object("held", &["Secret/bottom"]);
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    stage.api.put(&SECRETS, held);
    for (resource, name) in [(&SECRETS, "bottom"), (&CONFIG_MAPS, "middle"), (&CONFIG_MAPS, "top")] {
        delete(&stage, resource, name, "Foreground").await;
    }
    stage.settle(30).await;
    assert_eq!(names(&stage, &CONFIG_MAPS), ["middle", "top"]);
    assert_eq!(names(&stage, &SECRETS), ["bottom", "held"]);
    stage.api.remove(&SECRETS, "ns", "held");
    stage.settle(30).await;
    assert!(names(&stage, &CONFIG_MAPS).is_empty() && names(&stage, &SECRETS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_owner_out_of_reach_is_told_and_an_unknown_kind_waited_for() {
    let mut node = object("n1", &["ConfigMap/a"]);
    node["metadata"].as_object_mut().unwrap().remove("namespace");
    let mut odd = object("odd", &["ConfigMap/a"]);
    odd["metadata"]["ownerReferences"][0]["apiVersion"] = json!("example.com/v1");
    let stage = Stage::new(&DEF, &[(&NODES, node), (&SECRETS, odd)]).await;
    stage.settle(5).await;
    assert_eq!((names(&stage, &NODES).len(), names(&stage, &SECRETS).len()), (1, 1));
    assert!(stage.events()[0].starts_with("OwnerRefInvalidNamespace ownerRef [v1/ConfigMap, namespace: , name: a"));
}
