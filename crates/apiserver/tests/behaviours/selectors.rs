//! Field selectors of custom resources, in lists and watches, over two versions that are converted.

use crate::rig::{Rig, parse, place};
use client::{Event, EventType, Options, Request, Verb, Watch};
use futures_util::StreamExt as _;
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::time::Duration;

const V1: GroupVersionResource = GroupVersionResource::of("example.com", "v1", "shirts");
const V2: GroupVersionResource = GroupVersionResource::of("example.com", "v2", "shirts");

fn definition() -> Value {
    let version = |name: &str, storage: bool, more: &str| {
        let text = json!({"type": "string"});
        let spec = json!({"type": "object", "properties": {"color": text, "size": text}});
        json!({
            "name": name, "served": true, "storage": storage,
            "selectableFields": [{"jsonPath": ".spec.color"}, {"jsonPath": format!(".spec.{more}")}],
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
        })
    };
    json!({"metadata": {"name": "shirts.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced", "names": {"plural": "shirts", "kind": "Shirt"},
        // Each version has fields of its own to select by.
        "versions": [version("v1", true, "size"), {
            "name": "v2", "served": true, "storage": false, "selectableFields": [{"jsonPath": ".spec.color"}],
            "schema": version("v2", false, "size")["schema"]}]}})
}

fn selecting(verb: Verb, resource: &GroupVersionResource, selector: &str) -> Request {
    let options = Options { field_selector: Some(selector.to_owned()), ..Options::default() };
    place(verb, resource).options(options)
}

async fn next(rig: &Rig, watch: &mut Watch) -> (EventType, String) {
    let event = rig.env.clock.timeout(Duration::from_secs(60), watch.next()).await.unwrap();
    let Event { kind, object, .. } = event.unwrap().unwrap();
    (kind, parse(&object)["metadata"]["name"].as_str().unwrap().to_owned())
}

async fn names(rig: &Rig, request: Request) -> Vec<String> {
    let found = rig.send(request).await.unwrap();
    found.as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn custom_resources_are_listed_and_watched_by_their_fields() {
    let rig = Rig::start().await;
    rig.establish(&definition()).await;
    let mut blue = rig.watch(selecting(Verb::Watch, &V1, "spec.color=blue")).await;
    let mut blue_too = rig.watch(selecting(Verb::Watch, &V2, "spec.color=blue")).await;
    let mut small = rig.watch(selecting(Verb::Watch, &V1, "spec.color=green,spec.size=S")).await;
    for (name, version, color, size) in
        [("a", "v1", "blue", "S"), ("b", "v2", "blue", "M"), ("c", "v2", "green", "M"), ("d", "v1", "green", "S")]
    {
        let resource = if version == "v1" { &V1 } else { &V2 };
        let object = json!({"apiVersion": format!("example.com/{version}"), "kind": "Shirt",
            "metadata": {"name": name}, "spec": {"color": color, "size": size}});
        rig.create(resource, &object).await.unwrap();
    }
    for (resource, selector, wanted) in [
        (&V1, "spec.color=blue", &["a", "b"][..]),
        (&V2, "spec.color=blue", &["a", "b"]),
        (&V1, "spec.color!=blue", &["c", "d"]),
        (&V1, "spec.color=green,spec.size=S", &["d"]),
        (&V1, "spec.color=blue,metadata.name=b", &["b"]),
        (&V2, "spec.color=red", &[]),
    ] {
        assert_eq!(names(&rig, selecting(Verb::List, resource, selector)).await, wanted, "{selector}");
    }
    let refusal = rig.send(selecting(Verb::List, &V2, "spec.size=S")).await.unwrap_err();
    assert_eq!(refusal.status().unwrap().code, 400, "{refusal}");

    for watch in [&mut blue, &mut blue_too] {
        assert_eq!(next(&rig, watch).await, (EventType::Added, "a".to_owned()));
        assert_eq!(next(&rig, watch).await, (EventType::Added, "b".to_owned()));
    }
    assert_eq!(next(&rig, &mut small).await, (EventType::Added, "d".to_owned()));
    // An object that no longer matches leaves, and one that does comes.
    rig.merge(&V2, "a", &json!({"spec": {"color": "green"}})).await.unwrap();
    rig.merge(&V1, "c", &json!({"spec": {"color": "blue"}})).await.unwrap();
    rig.send(place(Verb::Delete, &V2).name("b")).await.unwrap();
    for watch in [&mut blue, &mut blue_too] {
        assert_eq!(next(&rig, watch).await, (EventType::Deleted, "a".to_owned()));
        assert_eq!(next(&rig, watch).await, (EventType::Added, "c".to_owned()));
        assert_eq!(next(&rig, watch).await, (EventType::Deleted, "b".to_owned()));
    }
    assert_eq!(next(&rig, &mut small).await, (EventType::Added, "a".to_owned()));
    assert_eq!(names(&rig, selecting(Verb::List, &V1, "spec.color=blue")).await, ["c"]);
    rig.send(selecting(Verb::DeleteCollection, &V2, "spec.color=green")).await.unwrap();
    assert_eq!(names(&rig, place(Verb::List, &V1)).await, ["c"]);
    assert_eq!(next(&rig, &mut small).await.0, EventType::Deleted);
}
