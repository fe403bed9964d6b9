//! Every kind answers all eight verbs, its status apart from its spec, and its watch tells of it all.

mod kinds;

use bytes::Bytes;
use client::{Api as _, Error, EventType, Https, Options, Request, Response, Verb, Watch};
use cluster_tests::admin::{self, run};
use cluster_tests::kutter::Kutter;
use futures_util::StreamExt as _;
use kinds::Kind;
use meta::{GroupVersionResource, Reason};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::net::{Shape, World, eventually};

const SPACES: [&str; 2] = ["first", "second"];
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const LABEL: &str = "tried=yes";
/// Of nobody: bundles want a certificate.
const CERTIFICATE: &str = include_str!("certificate.pem");
/// Kinds with a `scale` of their own.
const SCALED: [&str; 4] = ["deployments", "replicasets", "replicationcontrollers", "statefulsets"];
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn every_kind_answers_all_verbs() {
    let world = World::new(Shape::Switch);
    let mut kutter = Kutter::new(&world, 1);
    kutter.add_arguments(&["--no-node"]);
    kutter.start();
    for space in SPACES {
        kutter.kubectl().ok(&format!("create namespace {space}"));
    }
    let failed: Vec<String> = run(&kutter, async {
        let https = admin::https(&kutter).await;
        let mut failed = Vec::new();
        for kind in kinds::ALL {
            let subject = Subject::new(&https, kind);
            if let Err(why) = subject.walk().await {
                failed.push(format!("{}: {why}", kind.of));
            }
        }
        failed
    });
    assert_eq!(failed, Vec::<String>::new());
    kutter.down();
}

/// Where clients in pods look for the server, it stands with the port that it is asked at.
#[test]
fn the_server_is_found_behind_its_service() {
    let world = World::new(Shape::Switch);
    let mut kutter = Kutter::new(&world, 1);
    kutter.add_arguments(&["--no-node"]);
    kutter.start();
    let kubectl = kutter.kubectl();
    let port = &kubectl.json("get service kubernetes")["spec"]["ports"][0];
    expect("the service's port", &json!([port["name"], port["port"]]), &json!(["https", 443])).unwrap();
    eventually("the server is in Endpoints", || {
        let subset = &kubectl.try_json("get endpoints kubernetes")["subsets"][0];
        subset["addresses"][0]["ip"] == *kutter.address() && subset["ports"][0]["port"] == 6443
    });
    eventually("the server is in an EndpointSlice", || {
        let slices = kubectl.try_json("get endpointslices -l kubernetes.io/service-name=kubernetes");
        let slice = &slices["items"][0];
        slice["endpoints"][0]["addresses"] == json!([kutter.address()])
            && slice["endpoints"][0]["conditions"]["ready"] == true
            && slice["ports"][0]["port"] == 6443
    });
    kutter.down();
}

struct Subject<'a> {
    https: &'a Https,
    kind: &'a Kind,
    resource: GroupVersionResource,
    version: String,
    kind_name: &'a str,
}

/// What went wrong, in words.
type Tried<T = ()> = Result<T, String>;

impl<'a> Subject<'a> {
    fn new(https: &'a Https, kind: &'a Kind) -> Self {
        let words: Vec<&'static str> = kind.of.split(' ').collect();
        let (group, version) = words[0].split_once('/').unwrap_or(("", words[0]));
        let resource = GroupVersionResource::of(group, version, words[1]);
        Subject { https, kind, resource, version: words[0].to_owned(), kind_name: words[2] }
    }

    async fn walk(&self) -> Tried {
        self.discovered().await?;
        for (name, space) in [("a", 0), ("b", 0), ("c", 1)] {
            let made = self.object(self.request(Verb::Create, space).body(self.body(name))).await?;
            expect("the created name", &made["metadata"]["name"], &json!(name))?;
        }
        let everywhere = Request::new(Verb::List, self.resource.clone()).options(selected(None));
        let (names, revision) = self.list(everywhere).await?;
        expect("the list", &json!(names), &json!(["a", "b", "c"]))?;
        let mut watch = self.watch(&revision).await?;
        self.change().await?;
        if let Some(status) = self.kind.status {
            self.change_status(&serde_json::from_str(status).map_err(|error| error.to_string())?).await?;
        }
        if SCALED.contains(&&*self.resource.resource) {
            self.change_scale().await?;
        }
        self.object(self.request(Verb::Delete, 0).name("a").body(r#"{"propagationPolicy": "Background"}"#)).await?;
        self.gone(0, "a").await?;
        self.delete_collections().await?;
        self.told(&mut watch).await
    }

    /// The group's own document lists the resource with all verbs.
    async fn discovered(&self) -> Tried {
        let root = if self.resource.group.is_empty() { "api" } else { "apis" };
        let path = format!("/{root}/{}", self.version);
        let answer = self.https.raw(http::Method::GET, &path, http::HeaderMap::new(), Bytes::new()).await;
        let body = answer.map_err(said)?.into_body().collect(1 << 20).await.map_err(said)?;
        let document: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let named = |name: &str| {
            let mut all = document["resources"].as_array().into_iter().flatten();
            all.find(|one| one["name"] == name).cloned().ok_or_else(|| format!("{name} is not in {path}"))
        };
        let own = named(&self.resource.resource)?;
        let verbs = own["verbs"].as_array().into_iter().flatten();
        let lacks = VERBS.iter().find(|verb| !verbs.clone().any(|one| one == *verb));
        expect("the verb that discovery lacks", &json!(lacks), &Value::Null)?;
        match self.kind.status {
            Some(_) => named(&format!("{}/status", self.resource.resource)).map(|_| ()),
            None => Ok(()),
        }
    }

    async fn change(&self) -> Tried {
        let patch = json!({"metadata": {"annotations": {"patched": "yes"}}}).to_string();
        let patching = Verb::Patch(client::PatchType::Merge);
        self.object(self.request(patching, 0).name("a").body(patch)).await?;
        let generation = self.replace(|object| object["metadata"]["annotations"]["updated"] = json!("yes")).await?;
        let read = self.read().await?;
        let annotations = &read["metadata"]["annotations"];
        expect("the annotations", &json!([annotations["patched"], annotations["updated"]]), &json!(["yes", "yes"]))?;
        expect("the generation, as only metadata changed", &read["metadata"]["generation"], &generation)
    }

    /// Through `/status`: the status changes, by patch and by update, and the spec stays though the
    /// patch would take it away. Its fields may change meanwhile, as controllers see the object.
    async fn change_status(&self, status: &Value) -> Tried {
        let spec = self.read().await?["spec"].clone();
        let patch = json!({"spec": null, "status": status}).to_string();
        let request = || self.request(Verb::Get, 0).name("a").subresource("status");
        let merging = Request { verb: Verb::Patch(client::PatchType::Merge), ..request() };
        let patched = self.object(merging.body(patch)).await?;
        expect("the patched status", &holds(&patched["status"], status), &Value::Null)?;
        for round in 0.. {
            let mut object = self.object(request()).await?;
            for (field, value) in status.as_object().into_iter().flatten() {
                object["status"][field] = value.clone();
            }
            let updating = Request { verb: Verb::Update, ..request() };
            match self.call(updating.body(object.to_string())).await {
                Err(error) if error.is(Reason::Conflict) && round < 10 => {}
                updated => {
                    let updated = object_of(updated)?;
                    expect("the updated status", &holds(&updated["status"], status), &Value::Null)?;
                    break;
                }
            }
        }
        let after = self.read().await?;
        let lost: Vec<&String> = spec
            .as_object()
            .into_iter()
            .flatten()
            .map(|(field, _)| field)
            .filter(|field| after["spec"][field].is_null())
            .collect();
        expect("what the spec has lost", &json!(lost), &json!([]))
    }

    /// Through `/scale`: the replicas change, by update and by patch.
    async fn change_scale(&self) -> Tried {
        let request = || self.request(Verb::Get, 0).name("a").subresource("scale");
        let mut scale = self.object(request()).await?;
        expect("the scale", &scale["spec"]["replicas"], &json!(1))?;
        scale["spec"]["replicas"] = json!(2);
        // Whatever the object's controller has written meanwhile.
        scale["metadata"]["resourceVersion"] = Value::Null;
        let updating = Request { verb: Verb::Update, ..request() };
        self.object(updating.body(scale.to_string())).await?;
        expect("the replicas after an update", &self.read().await?["spec"]["replicas"], &json!(2))?;
        let merging = Request { verb: Verb::Patch(client::PatchType::Merge), ..request() };
        self.object(merging.body(json!({"spec": {"replicas": 3}}).to_string())).await?;
        expect("the replicas after a patch", &self.read().await?["spec"]["replicas"], &json!(3))
    }

    async fn delete_collections(&self) -> Tried {
        self.call(self.request(Verb::DeleteCollection, 0).options(selected(None))).await.map_err(said)?;
        self.gone(0, "b").await?;
        let there = self.object(self.request(Verb::Get, 1).name("c")).await;
        if self.kind.namespaced {
            there.map_err(|why| format!("the other namespace lost its object: {why}"))?;
            self.call(self.request(Verb::DeleteCollection, 1).options(selected(None))).await.map_err(said)?;
        }
        self.gone(1, "c").await
    }

    /// The watch tells of each object's end, and of two changes of the first at least.
    async fn told(&self, watch: &mut Watch) -> Tried {
        let (mut modified, mut deleted) = (0, Vec::new());
        while deleted.len() < 3 {
            let next = tokio::time::timeout(PATIENCE, watch.next()).await;
            let Ok(Some(event)) = next else { return Err(format!("the watch told of the end of {deleted:?} alone")) };
            let event = event.map_err(said)?;
            let object: Value = serde_json::from_slice(&event.object).map_err(|error| error.to_string())?;
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            match event.kind {
                EventType::Modified if name == "a" => modified += 1,
                EventType::Deleted => deleted.push(name),
                _ => {}
            }
        }
        deleted.sort();
        expect("the deleted ones", &json!(deleted), &json!(["a", "b", "c"]))?;
        if modified < 2 { Err(format!("{modified} changes were told of")) } else { Ok(()) }
    }

    fn request(&self, verb: Verb, space: usize) -> Request {
        let request = Request::new(verb, self.resource.clone());
        if self.kind.namespaced { request.namespace(SPACES[space]) } else { request }
    }

    fn body(&self, name: &str) -> String {
        let text = self.kind.body.replace("NAME", name).replace("\"PEM\"", &json!(CERTIFICATE).to_string());
        let mut body: Value = serde_json::from_str(&text).unwrap();
        body["apiVersion"] = json!(self.version);
        body["kind"] = json!(self.kind_name);
        body["metadata"] = json!({"name": name, "labels": {"tried": "yes"}});
        body.to_string()
    }

    async fn call(&self, request: Request) -> Result<Response, Error> {
        self.https.call(request).await
    }

    async fn object(&self, request: Request) -> Tried<Value> {
        let verb = request.verb.as_str();
        object_of(self.call(request).await).map_err(|why| format!("{verb}: {why}"))
    }

    async fn read(&self) -> Tried<Value> {
        self.object(self.request(Verb::Get, 0).name("a")).await
    }

    /// PUT, again after conflicts with the kind's own controller. Returns the generation.
    async fn replace(&self, change: impl Fn(&mut Value)) -> Tried<Value> {
        for _ in 0..10 {
            let mut object = self.read().await?;
            change(&mut object);
            match self.call(self.request(Verb::Update, 0).name("a").body(object.to_string())).await {
                Err(error) if error.is(Reason::Conflict) => {}
                updated => return object_of(updated).map(|updated| updated["metadata"]["generation"].clone()),
            }
        }
        Err("ten conflicts in a row".to_owned())
    }

    async fn list(&self, request: Request) -> Tried<(Vec<String>, String)> {
        let Response::List(list) = self.call(request).await.map_err(said)? else { return Err("no list".to_owned()) };
        let name = |item: &Bytes| {
            let object: Value = serde_json::from_slice(item).unwrap_or_default();
            object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
        };
        Ok((list.items.iter().map(name).collect(), list.resource_version))
    }

    async fn watch(&self, revision: &str) -> Tried<Watch> {
        let request = Request::new(Verb::Watch, self.resource.clone());
        match self.call(request.options(selected(Some(revision)))).await.map_err(said)? {
            Response::Watch(watch) => Ok(watch),
            _ => Err("no watch".to_owned()),
        }
    }

    async fn gone(&self, space: usize, name: &str) -> Tried {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.call(self.request(Verb::Get, space).name(name)).await {
                Err(error) if error.is(Reason::NotFound) => return Ok(()),
                Err(error) => return Err(error.to_string()),
                Ok(_) if tokio::time::Instant::now() > deadline => {
                    let left = self.object(self.request(Verb::Get, space).name(name)).await;
                    return Err(format!("{name} does not go: {left:?}"));
                }
                Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

fn selected(revision: Option<&str>) -> Options {
    let resource_version = revision.map(str::to_owned);
    Options { label_selector: Some(LABEL.to_owned()), resource_version, ..Options::default() }
}

fn object_of(answer: Result<Response, Error>) -> Tried<Value> {
    match answer.map_err(said)? {
        Response::Object { body, .. } => serde_json::from_slice(&body).map_err(|error| error.to_string()),
        _ => Err("no object".to_owned()),
    }
}

fn said(error: Error) -> String {
    error.to_string()
}

fn expect(what: &str, seen: &Value, wanted: &Value) -> Tried {
    if seen == wanted { Ok(()) } else { Err(format!("{what}: {seen} instead of {wanted}")) }
}

/// The first field of `wanted` that `seen` has otherwise; null where it has them all. Lists may hold
/// more.
fn holds(seen: &Value, wanted: &Value) -> Value {
    for (field, value) in wanted.as_object().into_iter().flatten() {
        let there = match (&seen[field], value) {
            (Value::Array(seen), Value::Array(wanted)) => {
                wanted.iter().all(|one| seen.iter().any(|other| holds(other, one).is_null()))
            }
            (Value::Null, Value::Array(wanted)) => wanted.is_empty(),
            (seen, wanted) => seen == wanted,
        };
        if !there {
            return json!({field: seen[field]});
        }
    }
    Value::Null
}
