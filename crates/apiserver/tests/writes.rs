//! Answers to writes through the whole path of a request: PUT of what is not there, for the kinds
//! whose updates may create, and what DELETE shows.

#![allow(clippy::unwrap_used)]

use apiserver::{Access, Apis, Identity, Limits, Local, Server, Settings};
use base::Env;
use client::{Api, Error, Request, Response, Verb};
use meta::{GroupVersionResource, Reason, User};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::MemoryStore;

async fn root() -> Local {
    let env = Env::real();
    let setup = admission::Setup { clock: env.clock.clone(), rng: env.rng.clone(), gates: Default::default() };
    let chain = admission::Chain::from_flags(&setup, &[], &["ServiceAccount"]).unwrap();
    let settings = Settings {
        service_cidr: "10.96.0.0/16".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        ca_pem: String::new(),
        feature_gates: BTreeMap::new(),
        apis: Apis::default(),
        limits: Limits::default(),
        audiences: Vec::new(),
    };
    let store = Arc::new(MemoryStore::new(&env));
    let server = Server::start(env, store, chain, Access::standard(), Identity::default(), settings).await.unwrap();
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
    let root = root().await;
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
    let root = root().await;
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
