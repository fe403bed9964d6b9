//! Answers to writes through the whole path of a request: PUT of what is not there, for the kinds
//! whose updates may create, and what DELETE shows.

#![allow(clippy::unwrap_used)]

mod started;

use apiserver::{Identity, Limits, Local};
use base::Env;
use client::{Api, Error, Options, PatchType, Request, Response, Verb};
use meta::{GroupVersionResource, Reason, User};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::{Expect, Fault, Faults, MemoryStore, Store as _, Write};

async fn root(faults: Option<Arc<dyn Faults>>) -> Local {
    let env = Env::real();
    let store = faults.map_or_else(|| MemoryStore::new(&env), |faults| MemoryStore::with_faults(&env, faults));
    over(&env, store).await
}

async fn over(env: &Env, store: MemoryStore) -> Local {
    let server = started::server(env, store, Identity::default(), &["ServiceAccount"], Limits::default()).await;
    let root = Local::new(server, User::new("root", &["system:masters"]));
    let namespaces = GroupVersionResource::of("", "v1", "namespaces");
    let shop = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    send(&root, Request::new(Verb::Create, namespaces), &shop).await.unwrap();
    root
}

async fn send(api: &Local, request: Request, body: &Value) -> Result<(Value, bool), Error> {
    let request = Request { body: body.to_string().into(), ..request };
    match api.call(request).await? {
        Response::Object { body, created } => Ok((serde_json::from_slice(&body).unwrap(), created)),
        _ => panic!("an object is answered with one"),
    }
}

#[tokio::test]
async fn a_version_of_something_gone_does_not_hinder_creation() {
    let root = root(None).await;
    for (resource, kind, creates) in [("endpoints", "Endpoints", true), ("configmaps", "ConfigMap", false)] {
        let resource = GroupVersionResource::of("", "v1", resource);
        let metadata = json!({"name": "web", "resourceVersion": "4711"});
        let body = json!({"apiVersion": "v1", "kind": kind, "metadata": metadata});
        let put = Request::new(Verb::Update, resource.clone()).namespace("shop").name("web");
        match send(&root, put, &body).await {
            Ok((made, created)) => {
                assert!(creates && created, "{kind}");
                assert_ne!(made["metadata"]["resourceVersion"], "4711");
            }
            Err(error) => assert!(!creates && error.is(Reason::NotFound), "{kind}: {error}"),
        }
        // A POST with a version is a mistake of the client's.
        let mut body = body;
        body["metadata"]["name"] = json!("other");
        let post = Request::new(Verb::Create, resource).namespace("shop");
        let refusal = send(&root, post, &body).await.unwrap_err().to_string();
        assert!(refusal.contains("resourceVersion should not be set on objects to be created"), "{refusal}");
    }
}

#[tokio::test]
async fn a_deletion_is_answered_with_the_object_or_a_status() {
    let root = root(None).await;
    for (resource, kind, shown) in
        [("configmaps", "ConfigMap", "Status"), ("podtemplates", "PodTemplate", "PodTemplate")]
    {
        let resource = GroupVersionResource::of("", "v1", resource);
        let template = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
        let mut body = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "web"}});
        if kind == "PodTemplate" {
            body["template"] = template;
        }
        let made = Request::new(Verb::Create, resource.clone()).namespace("shop");
        let (made, _) = send(&root, made, &body).await.unwrap();
        for dry_run in [true, false] {
            let delete = Request::new(Verb::Delete, resource.clone()).namespace("shop").name("web");
            let options = if dry_run { json!({"dryRun": ["All"]}) } else { json!({}) };
            let (answer, _) = send(&root, delete, &options).await.unwrap();
            assert_eq!(answer["kind"], shown, "{kind}");
            let uid = if shown == "Status" { &answer["details"]["uid"] } else { &answer["metadata"]["uid"] };
            assert_eq!(*uid, made["metadata"]["uid"], "{kind}");
        }
    }
}

/// What an older release stored has not all of today's defaults; who writes it has not changed them.
#[tokio::test]
async fn what_a_newer_default_fills_in_is_nobodys_change() {
    let labels = json!({"app": "web"});
    let pod = json!({"containers": [{"name": "c", "image": "i"}]});
    let template = json!({"metadata": {"labels": labels}, "spec": pod});
    let of_deployment = json!({"replicas": 1, "selector": {"matchLabels": labels}, "template": template});
    let mut of_job = of_deployment.clone();
    of_job["manualSelector"] = json!(true);
    of_job["template"]["spec"]["restartPolicy"] = json!("Never");
    for (group, kind, resource, spec) in
        // The template of a Job may not be changed.
        [("apps", "Deployment", "deployments", of_deployment), ("batch", "Job", "jobs", of_job)]
    {
        let env = Env::real();
        let store = MemoryStore::new(&env);
        let stored = json!({
            "apiVersion": format!("{group}/v1"), "kind": kind, "spec": spec,
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "generation": 3},
        });
        let key = format!("/registry/{group}/{resource}/shop/web").into();
        let write = Write { key, expect: Expect::Absent, value: Some(stored.to_string().into()), last: None };
        store.commit(write).await.unwrap();
        let root = over(&env, store).await;
        let patch = Request::new(Verb::Patch(PatchType::Merge), GroupVersionResource::of(group, "v1", resource));
        let patch = patch.namespace("shop").name("web");
        let (patched, _) = send(&root, patch, &json!({"metadata": {"labels": {"a": "b"}}})).await.unwrap();
        assert_eq!(patched["metadata"]["labels"]["a"], "b", "{patched}");
        assert_eq!(patched["metadata"]["generation"], 3, "{patched}");
        let owned = &patched["metadata"]["managedFields"][0]["fieldsV1"];
        assert_eq!(owned["f:spec"], Value::Null, "{patched}");
        let policy = &patched["spec"]["template"]["spec"]["containers"][0]["terminationMessagePolicy"];
        assert_eq!(policy, "File", "it has them from now on: {patched}");
    }
}

#[tokio::test]
async fn a_scale_without_a_version_is_for_whatever_is_there() {
    let root = root(Some(Arc::new(Unhurried))).await;
    let resource = GroupVersionResource::of("apps", "v1", "replicasets");
    let labels = json!({"app": "web"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"replicas": 1, "selector": {"matchLabels": labels}, "template": template});
    let body = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web"}, "spec": spec});
    let (made, _) = send(&root, Request::new(Verb::Create, resource.clone()).namespace("shop"), &body).await.unwrap();
    let put = Request::new(Verb::Update, resource).namespace("shop").name("web").subresource("scale");
    let scale = |replicas: u32, version: Option<&Value>| {
        let metadata = json!({"name": "web", "namespace": "shop", "resourceVersion": version});
        let spec = json!({"replicas": replicas});
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": spec})
    };
    // All start from the same state, so that all but one find another when they commit.
    let wanted = (2..6).map(|replicas| scale(replicas, None)).collect::<Vec<_>>();
    let race = wanted.iter().map(|body| send(&root, put.clone(), body));
    for outcome in futures_util::future::join_all(race).await {
        outcome.unwrap();
    }
    let stale = send(&root, put, &scale(7, Some(&made["metadata"]["resourceVersion"]))).await.unwrap_err();
    assert!(stale.is(Reason::Conflict), "{stale}");
}

#[tokio::test]
async fn who_names_no_version_is_not_told_of_races() {
    const WRITERS: usize = 24;
    let root = root(Some(Arc::new(Unhurried))).await;
    let resource = GroupVersionResource::of("", "v1", "configmaps");
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}});
    send(&root, Request::new(Verb::Create, resource.clone()).namespace("shop"), &body).await.unwrap();
    let patch = Request::new(Verb::Patch(PatchType::Merge), resource.clone()).namespace("shop").name("web");
    // All start from the same state: the last of them loses against each of the others.
    let bodies: Vec<Value> = (0..WRITERS).map(|writer| json!({"data": {format!("key-{writer}"): "here"}})).collect();
    let race = bodies.iter().map(|body| send(&root, patch.clone(), body));
    for outcome in futures_util::future::join_all(race).await {
        outcome.unwrap();
    }
    // So it is with applies and whole objects, whose bodies are read again after each loss.
    let named = |verb| Request::new(verb, resource.clone()).namespace("shop").name("web");
    let race = (0..WRITERS).map(|writer| {
        let options = Options { field_manager: Some(format!("manager-{writer}")), ..Options::default() };
        let mut body = body.clone();
        body["data"] = json!({format!("applied-{writer}"): "here"});
        let request = named(Verb::Patch(PatchType::Apply)).options(options);
        let root = &root;
        async move { send(root, request, &body).await }
    });
    for outcome in futures_util::future::join_all(race).await {
        outcome.unwrap();
    }
    let (map, _) = send(&root, named(Verb::Get), &Value::Null).await.unwrap();
    assert_eq!(map["data"].as_object().map(serde_json::Map::len), Some(2 * WRITERS));
    let race = (0..WRITERS).map(|_| send(&root, named(Verb::Update), &body));
    for outcome in futures_util::future::join_all(race).await {
        outcome.unwrap();
    }
}

/// A disk that takes its time, so that writes meet.
struct Unhurried;

impl Faults for Unhurried {
    fn before_commit(&self, _: &Write) -> Fault {
        Fault::Slow(Duration::from_millis(1))
    }
}
