//! What the server keeps in order by itself: every Service's address has its IPAddress, ServiceCIDRs
//! add ranges, damage is mended; stored objects are written anew. And the operations on the kinds
//! that have to do with it.

#![allow(clippy::unwrap_used)]

mod started;

use apiserver::{Identity, Limits, Local, Server};
use base::Env;
use client::{Api, Error, Options, PatchType, Request, Response, Verb};
use futures_util::StreamExt as _;
use jiff::SignedDuration;
use meta::{GroupVersionResource, Reason, User};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::MemoryStore;

const SERVICES: GroupVersionResource = GroupVersionResource::of("", "v1", "services");
const ADDRESSES: GroupVersionResource = GroupVersionResource::of("networking.k8s.io", "v1", "ipaddresses");
const RANGES: GroupVersionResource = GroupVersionResource::of("networking.k8s.io", "v1", "servicecidrs");
const EVENTS: GroupVersionResource = GroupVersionResource::of("events.k8s.io", "v1", "events");
const MIGRATIONS: GroupVersionResource =
    GroupVersionResource::of("storagemigration.k8s.io", "v1", "storageversionmigrations");

/// A server with the namespace `shop`, and who may do everything there.
async fn root(env: &Env) -> Local {
    Local::new(server(env).await, User::new("root", &["system:masters"]))
}

async fn server(env: &Env) -> Arc<Server> {
    let store = MemoryStore::new(env);
    let server = started::server(env, store, Identity::default(), &["ServiceAccount"], Limits::default()).await;
    env.tasks.spawn("upkeep", server.clone().upkeep());
    let root = Local::new(server.clone(), User::new("root", &["system:masters"]));
    for name in ["shop", "default", "kube-system"] {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let request = Request::new(Verb::Create, GroupVersionResource::of("", "v1", "namespaces"));
        send(&root, request, &body).await.unwrap();
    }
    server
}

async fn send(api: &Local, request: Request, body: &Value) -> Result<Value, Error> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    match api.call(Request { body: body.into(), ..request }).await? {
        Response::Object { body, .. } => Ok(serde_json::from_slice(&body).unwrap()),
        Response::List(list) => {
            Ok(list.items.iter().map(|item| -> Value { serde_json::from_slice(item).unwrap() }).collect())
        }
        Response::Watch(_) => panic!("not a watch"),
    }
}

fn service(name: &str, spec: &Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec});
    object["spec"]["ports"] = json!([{"port": 80}]);
    object
}

fn of_shop(verb: Verb, name: &str) -> Request {
    let request = Request::new(verb, SERVICES).namespace("shop");
    if name.is_empty() { request } else { request.name(name) }
}

async fn addresses(api: &Local) -> Vec<String> {
    let all = send(api, Request::new(Verb::List, ADDRESSES), &Value::Null).await.unwrap();
    let name = |one: &Value| one["metadata"]["name"].as_str().unwrap().to_owned();
    all.as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn an_address_comes_with_its_service_and_goes_with_it() {
    let root = root(&Env::real()).await;
    let post = || of_shop(Verb::Create, "");
    let dry = Options { dry_run: Some("All".to_owned()), ..Options::default() };
    send(&root, post().options(dry), &service("web", &json!({}))).await.unwrap();
    assert!(addresses(&root).await.is_empty(), "a dry run takes nothing");
    let web = send(&root, post(), &service("web", &json!({}))).await.unwrap();
    let address = web["spec"]["clusterIP"].as_str().unwrap().to_owned();
    let object = send(&root, Request::new(Verb::Get, ADDRESSES).name(address.clone()), &Value::Null).await.unwrap();
    let labels = json!({
        "ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    });
    assert_eq!(object["metadata"]["labels"], labels);
    // The empty group of Services is not written, as upstream leaves empty texts out.
    let parent = json!({"resource": "services", "namespace": "shop", "name": "web"});
    assert_eq!(object["spec"]["parentRef"], parent);

    let twice = send(&root, post(), &service("web", &json!({}))).await.unwrap_err();
    assert!(twice.is(Reason::AlreadyExists), "{twice}");
    send(&root, post(), &service("none", &json!({"clusterIP": "None"}))).await.unwrap();
    assert_eq!(addresses(&root).await, std::slice::from_ref(&address));
    let taken = service("other", &json!({"clusterIP": address}));
    let refusal = send(&root, post(), &taken).await.unwrap_err().to_string();
    assert!(refusal.ends_with("provided IP is already allocated"), "{refusal}");

    let patch = |body: Value| (of_shop(Verb::Patch(PatchType::Merge), "web"), body);
    let (request, body) = patch(json!({"spec": {"type": "ExternalName", "externalName": "example.com",
        "clusterIP": "", "clusterIPs": null}}));
    send(&root, request, &body).await.unwrap();
    assert!(addresses(&root).await.is_empty(), "an external name has no address");
    let (request, body) = patch(json!({"spec": {"type": "ClusterIP", "externalName": null}}));
    let web = send(&root, request, &body).await.unwrap();
    assert_eq!(addresses(&root).await, [web["spec"]["clusterIP"].as_str().unwrap()]);
    send(&root, of_shop(Verb::Delete, "web"), &Value::Null).await.unwrap();
    assert!(addresses(&root).await.is_empty());
}

#[tokio::test]
async fn an_address_of_somebody_else_is_not_given_out() {
    let root = root(&Env::real()).await;
    let parent = json!({"group": "example.com", "resource": "gateways", "name": "g"});
    let object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
        "metadata": {"name": "10.96.7.7"}, "spec": {"parentRef": parent}});
    send(&root, Request::new(Verb::Create, ADDRESSES), &object).await.unwrap();
    let asked = service("web", &json!({"clusterIP": "10.96.7.7"}));
    let refusal = send(&root, of_shop(Verb::Create, ""), &asked).await.unwrap_err().to_string();
    assert!(refusal.ends_with("provided IP is already allocated"), "{refusal}");
}

#[tokio::test]
async fn a_range_gives_addresses_while_it_is_ready_and_stays() {
    let root = root(&Env::real()).await;
    let ask = |name: &'static str, address: &str| {
        let (root, body) = (root.clone(), service(name, &json!({"clusterIP": address})));
        async move { send(&root, of_shop(Verb::Create, ""), &body).await }
    };
    let outside = "the provided network does not contain the provided IP";
    assert!(ask("a", "10.97.0.5").await.unwrap_err().to_string().ends_with(outside));
    let range = json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": "more", "finalizers": ["networking.k8s.io/service-cidr-finalizer"]},
        "spec": {"cidrs": ["10.97.0.0/28"]}});
    send(&root, Request::new(Verb::Create, RANGES), &range).await.unwrap();
    ask("a", "10.97.0.5").await.unwrap();
    assert!(addresses(&root).await.contains(&"10.97.0.5".to_owned()));
    send(&root, Request::new(Verb::Delete, RANGES).name("more"), &Value::Null).await.unwrap();
    assert!(ask("b", "10.97.0.6").await.unwrap_err().to_string().ends_with(outside));
    let label = json!({"metadata": {"labels": {"still": "here"}}});
    send(&root, of_shop(Verb::Patch(PatchType::Merge), "a"), &label).await.unwrap();
}

/// Reason and message of every Event of the repair.
async fn told(api: &Local) -> Vec<String> {
    let events = send(api, Request::new(Verb::List, EVENTS), &Value::Null).await.unwrap();
    let text = |event: &Value| format!("{} {}", event["reason"].as_str().unwrap(), event["note"].as_str().unwrap());
    events.as_array().unwrap().iter().map(text).collect()
}

#[tokio::test]
async fn damage_is_mended_and_told_of() {
    let env = Env::simulated(1, "2026-01-01T00:00:00Z".parse().unwrap());
    let root = root(&env).await;
    let web = send(&root, of_shop(Verb::Create, ""), &service("web", &json!({}))).await.unwrap();
    let address = web["spec"]["clusterIP"].as_str().unwrap().to_owned();
    let managed = json!({"ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"});
    for (name, parent) in [
        ("10.96.9.1", json!({"resource": "services", "namespace": "shop", "name": "gone"})),
        ("10.96.9.2", json!({"resource": "services", "namespace": "shop", "name": "web"})),
        ("10.96.9.3", json!({"group": "example.com", "resource": "gateways", "name": "g"})),
    ] {
        let object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
            "metadata": {"name": name, "labels": managed}, "spec": {"parentRef": parent}});
        send(&root, Request::new(Verb::Create, ADDRESSES), &object).await.unwrap();
    }
    // No Service can still be on its way.
    env.clock.jump(SignedDuration::from_secs(120));
    send(&root, Request::new(Verb::Delete, ADDRESSES).name(address.clone()), &Value::Null).await.unwrap();
    let wanted = [
        format!("ClusterIPNotAllocated Cluster IP [IPv4]: {address} is not allocated; repairing"),
        "IPAddressNotAllocated IPAddress: 10.96.9.1 for Service shop/gone appears to have leaked: cleaning up"
            .to_owned(),
        "IPAddressWrongReference IPAddress: 10.96.9.2 for Service shop/web has a wrong reference; cleaning up"
            .to_owned(),
        "IPAddressNotAllocated IPAddress 10.96.9.3 appears to have been modified, not referencing a Service \
         &{example.com gateways  g}: cleaning up"
            .to_owned(),
    ];
    let mended = async {
        loop {
            let told = told(&root).await;
            if addresses(&root).await == [address.clone()] && wanted.iter().all(|event| told.contains(event)) {
                return;
            }
            env.clock.sleep(Duration::from_millis(100)).await;
        }
    };
    if env.clock.timeout(Duration::from_secs(30), mended).await.is_err() {
        panic!("{:?} {:?}", addresses(&root).await, told(&root).await);
    }
    assert!(send(&root, Request::new(Verb::Get, RANGES).name("kubernetes"), &Value::Null).await.is_ok());
}

/// Every verb on a cluster-scoped kind; `status` is a merge patch of its status.
async fn walk(resource: &GroupVersionResource, kind: &str, names: [&str; 3], spec: &Value, status: Option<Value>) {
    let env = Env::real();
    let root = root(&env).await;
    let request = |verb| Request::new(verb, resource.clone());
    let selected = || Options { label_selector: Some("tried=yes".to_owned()), ..Options::default() };
    let Response::Watch(mut watch) = root.call(request(Verb::Watch).options(selected())).await.unwrap() else {
        panic!("a watch is answered with one")
    };
    for name in names {
        let body = json!({"apiVersion": format!("{}/{}", resource.group, resource.version), "kind": kind,
            "metadata": {"name": name, "labels": {"tried": "yes"}}, "spec": spec});
        send(&root, request(Verb::Create), &body).await.unwrap();
    }
    let listed = send(&root, request(Verb::List).options(selected()), &Value::Null).await.unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 3);
    let name = names[0];
    let note = |key: &str| json!({"metadata": {"annotations": {key: "yes"}}});
    send(&root, request(Verb::Patch(PatchType::Merge)).name(name), &note("patched")).await.unwrap();
    let mut object = send(&root, request(Verb::Get).name(name), &Value::Null).await.unwrap();
    assert_eq!(object["metadata"]["annotations"]["patched"], "yes");
    object["metadata"]["annotations"]["updated"] = json!("yes");
    let updated = send(&root, request(Verb::Update).name(name), &object).await.unwrap();
    assert_eq!(updated["metadata"]["annotations"], json!({"patched": "yes", "updated": "yes"}));
    if let Some(status) = status {
        let patching = request(Verb::Patch(PatchType::Merge)).name(name).subresource("status");
        let mut patched = send(&root, patching, &json!({"status": status})).await.unwrap();
        assert_eq!(patched["status"]["conditions"][0]["reason"], "Tried");
        patched["status"]["conditions"][0]["reason"] = json!("Updated");
        let updating = request(Verb::Update).name(name).subresource("status");
        let updated = send(&root, updating, &patched).await.unwrap();
        assert_eq!(updated["status"]["conditions"][0]["reason"], "Updated");
        let read = request(Verb::Get).name(name).subresource("status");
        let read = send(&root, read, &Value::Null).await.unwrap();
        assert_eq!((&read["status"], &read["spec"]), (&updated["status"], &object["spec"]));
    }
    send(&root, request(Verb::Delete).name(name), &Value::Null).await.unwrap();
    let gone = send(&root, request(Verb::Get).name(name), &Value::Null).await.unwrap_err();
    assert!(gone.is(Reason::NotFound), "{gone}");
    send(&root, request(Verb::DeleteCollection).options(selected()), &Value::Null).await.unwrap();
    let left = send(&root, request(Verb::List).options(selected()), &Value::Null).await.unwrap();
    assert_eq!(left, json!([]));
    let mut ends = 0;
    while ends < 3 {
        let event = env.clock.timeout(Duration::from_secs(20), watch.next()).await.unwrap().unwrap().unwrap();
        ends += usize::from(event.kind == client::EventType::Deleted);
    }
}

fn condition() -> Option<Value> {
    let condition = json!({"type": "Tried", "status": "True", "reason": "Tried", "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    Some(json!({"conditions": [condition]}))
}

#[tokio::test]
async fn ip_addresses_take_every_verb() {
    let spec = json!({"parentRef": {"group": "example.com", "resource": "gateways", "namespace": "shop", "name": "g"}});
    walk(&ADDRESSES, "IPAddress", ["192.168.1.1", "192.168.1.2", "2001:db8::ffff"], &spec, None).await;
}

#[tokio::test]
async fn service_ranges_take_every_verb() {
    let spec = json!({"cidrs": ["10.1.1.0/24", "2001:db8:1::/112"]});
    walk(&RANGES, "ServiceCIDR", ["a", "b", "c"], &spec, condition()).await;
}

#[tokio::test]
async fn storage_version_migrations_take_every_verb() {
    // The core group is the empty text.
    let spec = json!({"resource": {"group": "", "resource": "widgets"}});
    walk(&MIGRATIONS, "StorageVersionMigration", ["a", "b", "c"], &spec, condition()).await;
}

#[tokio::test]
async fn the_migrator_writes_what_does_not_change() {
    let server = server(&Env::real()).await;
    let root = Local::new(server.clone(), User::new("root", &["system:masters"]));
    let maps = || GroupVersionResource::of("", "v1", "configmaps");
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}});
    let made = send(&root, Request::new(Verb::Create, maps()).namespace("shop"), &body).await.unwrap();
    let patch = || Request::new(Verb::Patch(PatchType::Merge), maps()).namespace("shop").name("c");
    let at = |object: &Value| {
        json!({"metadata": {"uid": object["metadata"]["uid"],
        "resourceVersion": object["metadata"]["resourceVersion"]}})
    };
    let same = send(&root, patch(), &at(&made)).await.unwrap();
    assert_eq!(same, made);
    let name = "system:serviceaccount:kube-system:storage-version-migrator-controller";
    let migrator = Local::new(server, User::new(name, &["system:masters"]));
    let written = send(&migrator, patch(), &at(&made)).await.unwrap();
    assert_ne!(written["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    assert_eq!(written["data"], made["data"]);
    let late = send(&migrator, patch(), &at(&made)).await.unwrap_err();
    assert!(late.is(Reason::Conflict), "{late}");
}
