//! Flow control and audit over a real connection: the objects behind it, floods, what is told of
//! each request, an orderly end.

#![allow(clippy::unwrap_used)]

mod listening;
mod started;

use apiserver::Limits;
use apiserver::http::{Drain, Front};
use audit::{Audit, LogOptions, Policy};
use base::Env;
use bytes::Bytes;
use client::{Api, Error, Https, Options, PatchType, Request, Response, Verb};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::time::Duration;
use store::MemoryStore;

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const SCHEMAS: GroupVersionResource = GroupVersionResource::of(GROUP, "v1", "flowschemas");
const LEVELS: GroupVersionResource = GroupVersionResource::of(GROUP, "v1", "prioritylevelconfigurations");
/// Long enough for any machine.
const PATIENCE: Duration = Duration::from_secs(60);
const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: RequestResponse
  omitManagedFields: true
  verbs: [create]
  resources: [{group: '', resources: [configmaps]}]
- level: Metadata
  omitStages: [RequestReceived]
  resources: [{group: '', resources: [configmaps]}]
";

struct Rig {
    env: Env,
    api: Https,
    place: listening::Place,
    drain: Drain,
    log: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn start(limits: Limits) -> Self {
        let env = Env::real();
        let folder = tempfile::tempdir().unwrap();
        let identity = listening::known("weak,jane,2,\n");
        let server = started::server(&env, MemoryStore::new(&env), identity, &[], limits).await;
        env.tasks.spawn("upkeep", server.clone().upkeep());
        let log = folder.path().join("audit.log");
        let options = LogOptions { path: log.display().to_string(), ..LogOptions::default() };
        let audit = Audit::open(&env, Policy::parse(POLICY).unwrap(), Some(&options), None).await.unwrap();
        let drain = Drain::default();
        let front = Front { audit: Some(audit), drain: drain.clone(), ..listening::front(&env, server) };
        let place = listening::listen(&env, front).await;
        let rig = Rig { api: place.client(&env, "secret"), env, place, drain, log, _folder: folder };
        rig.until_bootstrapped().await;
        rig
    }

    async fn until_bootstrapped(&self) {
        for _ in 0..500 {
            let last = self.send(Request::new(Verb::Get, SCHEMAS).name("catch-all")).await;
            if last.is_ok_and(|schema| schema["status"]["conditions"][0]["status"] == "False") {
                return;
            }
            self.env.clock.sleep(Duration::from_millis(10)).await;
        }
        panic!("the bootstrap objects did not come");
    }

    async fn send(&self, request: Request) -> Result<Value, Error> {
        match self.api.call(request).await? {
            Response::Object { body, .. } => Ok(serde_json::from_slice(&body).unwrap()),
            Response::List(list) => Ok(list.items.iter().map(parse).collect()),
            Response::Watch(_) => panic!("a watch"),
        }
    }

    /// A level of one seat for all that jane asks, in force on return.
    async fn make_narrow(&self, limit_response: &Value) -> Https {
        let level = json!({"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "lendablePercent": 0,
            "borrowingLimitPercent": 0, "limitResponse": limit_response}});
        let level = labelled("PriorityLevelConfiguration", "narrow", &level);
        self.send(Request::new(Verb::Create, LEVELS).body(level.to_string())).await.unwrap();
        let schema = json!({"matchingPrecedence": 5, "priorityLevelConfiguration": {"name": "narrow"}, "rules": [{
            "subjects": [{"kind": "User", "user": {"name": "jane"}}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"],
                "clusterScope": true}]}]});
        let schema = labelled("FlowSchema", "narrow", &schema);
        self.send(Request::new(Verb::Create, SCHEMAS).body(schema.to_string())).await.unwrap();
        let jane = self.place.client(&self.env, "weak");
        let end = self.env.clock.instant() + PATIENCE;
        while self.narrow("DispatchedRequests").await == 0 {
            assert!(self.env.clock.instant() < end, "nothing goes through the level");
            self.get(&jane, "/api/v1/namespaces/default/pods").await;
        }
        jane
    }

    /// Waits until this column of the narrow level says so.
    async fn until_narrow(&self, column: &str, wanted: usize) {
        let end = self.env.clock.instant() + PATIENCE;
        while self.narrow(column).await != wanted {
            assert!(self.env.clock.instant() < end, "{column} is not {wanted}");
            self.env.clock.sleep(Duration::from_millis(20)).await;
        }
    }

    async fn narrow(&self, column: &str) -> usize {
        let (_, _, page) = self.get(&self.api, "/debug/api_priority_and_fairness/dump_priority_levels").await;
        let place = page.lines().next().unwrap().split(',').position(|name| name.trim() == column).unwrap();
        let line = page.lines().find(|line| line.starts_with("narrow,")).unwrap_or_default();
        line.split(',').nth(place).map_or(0, |cell| cell.trim().parse().unwrap())
    }

    async fn make_namespace(&self, name: &str) {
        let namespaces = GroupVersionResource::of("", "v1", "namespaces");
        let object = json!({"metadata": {"name": name}});
        self.send(Request::new(Verb::Create, namespaces).body(object.to_string())).await.unwrap();
    }

    /// Code, headers and body of a plain GET.
    async fn get(&self, api: &Https, path: &str) -> (u16, HeaderMap, String) {
        let answer = api.raw(Method::GET, path, HeaderMap::new(), Bytes::new()).await.unwrap();
        let (code, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.into_body().collect(1 << 20).await.unwrap();
        (code, headers, String::from_utf8_lossy(&body).into_owned())
    }

    /// Asks until it is answered with this code.
    async fn until(&self, api: &Https, path: &str, code: u16) -> (HeaderMap, String) {
        let end = self.env.clock.instant() + PATIENCE;
        loop {
            let (found, headers, body) = self.get(api, path).await;
            if found == code {
                return (headers, body);
            }
            assert!(self.env.clock.instant() < end, "{path} is answered with {found}, not {code}: {body}");
            self.env.clock.sleep(Duration::from_millis(20)).await;
        }
    }

    fn events(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn parse(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn labelled(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "spec": spec,
        "metadata": {"name": name, "labels": {"special": "yes"}}})
}

/// Every verb on objects of one kind, as upstream's conformance test goes through them.
async fn every_verb(rig: &Rig, resource: &GroupVersionResource, kind: &str, spec: Value) {
    let request = |verb| Request::new(verb, resource.clone());
    let selected = || Options { label_selector: Some("special=yes".to_owned()), ..Options::default() };
    let created = rig.send(request(Verb::Create).body(labelled(kind, "one", &spec).to_string())).await.unwrap();
    assert_eq!(created["metadata"]["generation"], 1);
    let found = rig.send(request(Verb::Get).name("one")).await.unwrap();
    assert_eq!(found["metadata"]["uid"], created["metadata"]["uid"]);
    assert_eq!(rig.send(request(Verb::List).options(selected())).await.unwrap().as_array().unwrap().len(), 1);
    let from = created["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let options = Options { resource_version: Some(from), ..selected() };
    let Response::Watch(mut watch) = rig.api.call(request(Verb::Watch).options(options)).await.unwrap() else {
        panic!("no watch")
    };
    let patch = json!({"metadata": {"annotations": {"patched": "true"}}, "spec": {"matchingPrecedence": 9999}});
    let patch = if kind == "FlowSchema" { patch } else { json!({"metadata": {"annotations": {"patched": "true"}}}) };
    let patched = rig.send(request(Verb::Patch(PatchType::Merge)).name("one").body(patch.to_string())).await.unwrap();
    assert_eq!(patched["metadata"]["annotations"]["patched"], "true");
    let mut current = rig.send(request(Verb::Get).name("one")).await.unwrap();
    current["metadata"]["annotations"]["updated"] = "true".into();
    let updated = rig.send(request(Verb::Update).name("one").body(current.to_string())).await.unwrap();
    assert_eq!(updated["metadata"]["annotations"]["updated"], "true");
    let event = watch.next().await.unwrap().unwrap();
    assert_eq!(event.kind.as_str(), "MODIFIED");
    let status = json!({"status": {"conditions": [{"type": "Patched", "status": "False"}]}});
    let patched = request(Verb::Patch(PatchType::Merge)).name("one").subresource("status").body(status.to_string());
    assert_eq!(rig.send(patched).await.unwrap()["status"]["conditions"][0]["type"], "Patched");
    let mut current = rig.send(request(Verb::Get).name("one").subresource("status")).await.unwrap();
    current["status"]["conditions"] = json!([{"type": "Updated", "status": "True"}]);
    let put = request(Verb::Update).name("one").subresource("status").body(current.to_string());
    assert_eq!(rig.send(put).await.unwrap()["status"]["conditions"][0]["type"], "Updated");
    rig.send(request(Verb::Delete).name("one")).await.unwrap();
    assert!(rig.send(request(Verb::Get).name("one")).await.unwrap_err().is(meta::Reason::NotFound));
    for name in ["two", "three"] {
        rig.send(request(Verb::Create).body(labelled(kind, name, &spec).to_string())).await.unwrap();
    }
    rig.send(request(Verb::DeleteCollection).options(selected())).await.unwrap();
    assert_eq!(rig.send(request(Verb::List).options(selected())).await.unwrap(), json!([]));
}

#[tokio::test]
async fn flow_schemas_take_every_verb() {
    let rig = Rig::start(Limits::default()).await;
    let spec = json!({"matchingPrecedence": 10000, "priorityLevelConfiguration": {"name": "global-default"},
        "distinguisherMethod": {"type": "ByUser"}, "rules": [{
            "subjects": [{"kind": "User", "user": {"name": "example-e2e-non-existent-user"}}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]});
    every_verb(&rig, &SCHEMAS, "FlowSchema", spec).await;
}

#[tokio::test]
async fn priority_levels_take_every_verb() {
    let rig = Rig::start(Limits::default()).await;
    let spec = json!({"type": "Limited", "limited": {"nominalConcurrencyShares": 2,
        "limitResponse": {"type": "Reject"}}});
    every_verb(&rig, &LEVELS, "PriorityLevelConfiguration", spec).await;
}

#[tokio::test]
async fn answers_tell_of_their_flow_and_the_crowded_are_sent_away() {
    let rig = Rig::start(Limits { max_requests: 1, max_mutating_requests: 0, ..Limits::default() }).await;
    let (code, headers, _) = rig.get(&rig.api, "/api/v1/namespaces").await;
    let exempt = rig.send(Request::new(Verb::Get, SCHEMAS).name("exempt")).await.unwrap();
    assert_eq!(code, 200);
    assert_eq!(headers["x-kubernetes-pf-flowschema-uid"], exempt["metadata"]["uid"].as_str().unwrap());
    assert!(headers.contains_key("x-kubernetes-pf-prioritylevel-uid") && headers.contains_key("audit-id"));
    // One seat without a queue, held by a request whose body does not come.
    let jane = rig.make_narrow(&json!({"type": "Reject"})).await;
    let mut stream = jane.connect_http1().await.unwrap();
    let slow = "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer weak\r\n\
                Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{";
    tokio::io::AsyncWriteExt::write_all(&mut stream, slow.as_bytes()).await.unwrap();
    let (headers, body) = rig.until(&jane, "/api/v1/namespaces/default/pods", 429).await;
    assert_eq!(body, "Too many requests, please try again later.\n");
    assert_eq!(headers["retry-after"], HeaderValue::from_static("1"));
    let (code, ..) = rig.get(&rig.api, "/api/v1/pods").await;
    assert_eq!(code, 200, "others are not held up");
    let (_, _, page) = rig.get(&rig.api, "/debug/api_priority_and_fairness/dump_priority_levels").await;
    assert!(page.lines().any(|line| line.starts_with("narrow, ")), "{page}");
    let (_, _, page) = rig.get(&rig.api, "/metrics").await;
    for counter in [
        "apiserver_flowcontrol_rejected_requests_total{priority_level=\"narrow\",flow_schema=\"narrow\"",
        "apiserver_request_total{verb=\"GET\"",
        "apiserver_current_inflight_requests{request_kind=\"mutating\"} 1",
        "apiserver_storage_objects{resource=\"flowschemas.flowcontrol.apiserver.k8s.io\"}",
    ] {
        assert!(page.contains(counter), "{counter} is not in\n{page}");
    }
    drop(stream);
    // Once the seat is free again.
    rig.until(&jane, "/api/v1/namespaces/default/pods", 403).await;
}

/// Several users behind one connection, as behind a proxy: bodies that wait for a seat leave room for
/// the others.
#[tokio::test]
async fn bodies_in_a_queue_hold_up_nobody_else() {
    const BODIES: usize = 8;
    let rig = Rig::start(Limits { max_requests: 1, max_mutating_requests: 0, ..Limits::default() }).await;
    rig.make_namespace("a").await;
    let queue = json!({"queues": 1, "handSize": 1, "queueLengthLimit": 50});
    let jane = rig.make_narrow(&json!({"type": "Queue", "queuing": queue})).await;
    let mut holder = jane.connect_http1().await.unwrap();
    let slow = "POST /api/v1/namespaces/a/configmaps HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer weak\r\n\
                Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{";
    tokio::io::AsyncWriteExt::write_all(&mut holder, slow.as_bytes()).await.unwrap();
    rig.until_narrow("ExecutingRequests", 1).await;
    let io = TokioIo::new(rig.api.connect_http1().await.unwrap());
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    rig.env.tasks.spawn("the shared connection", async move { connection.await.unwrap() });
    let post = |token: &str, name: &str, length: usize| {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {"key": "x".repeat(length)}});
        let request = http::Request::post(format!("{}/api/v1/namespaces/a/configmaps", rig.place.url))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(object.to_string())))
            .unwrap();
        sender.clone().send_request(request)
    };
    let mut waiting: FuturesUnordered<_> = (0..BODIES).map(|_| post("weak", "large", 900_000)).collect();
    let until_queued = rig.until_narrow("WaitingRequests", BODIES);
    tokio::select! {
        () = until_queued => {}
        answer = waiting.next() => panic!("{answer:?} before it was its turn"),
    }
    // Whose turn comes is refused: jane may make nothing.
    tokio::select! {
        answer = post("secret", "small", 300_000) => assert_eq!(answer.unwrap().status(), 201),
        answer = waiting.next() => panic!("{answer:?} of those in the queue came first"),
    }
    drop(holder);
    while let Some(answer) = waiting.next().await {
        assert_eq!(answer.unwrap().status(), 403);
    }
}

#[tokio::test]
async fn audit_tells_who_did_what() {
    let rig = Rig::start(Limits::default()).await;
    let maps = GroupVersionResource::of("", "v1", "configmaps");
    rig.make_namespace("a").await;
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"k": "v"}});
    let create = Request::new(Verb::Create, maps.clone()).namespace("a").body(object.to_string());
    rig.send(create).await.unwrap();
    let jane = rig.place.client(&rig.env, "weak");
    let (code, ..) = rig.get(&jane, "/api/v1/namespaces/a/configmaps/one").await;
    assert_eq!(code, 403);
    let events = rig.events();
    let stages: Vec<_> =
        events.iter().map(|event| (event["verb"].as_str().unwrap(), event["stage"].as_str().unwrap())).collect();
    assert_eq!(stages, [("create", "RequestReceived"), ("create", "ResponseComplete"), ("get", "ResponseComplete")]);
    let created = &events[1];
    assert_eq!(created["level"], "RequestResponse");
    assert_eq!(created["auditID"], events[0]["auditID"]);
    assert_eq!(
        created["objectRef"],
        json!({"resource": "configmaps", "namespace": "a", "name": "one", "apiVersion": "v1"})
    );
    assert_eq!(created["responseStatus"], json!({"metadata": {}, "code": 201}));
    assert_eq!(created["requestObject"]["data"], json!({"k": "v"}));
    assert_eq!(created["responseObject"]["metadata"]["managedFields"], Value::Null);
    assert_eq!(created["annotations"]["authorization.k8s.io/decision"], "allow");
    let refused = &events[2];
    assert_eq!(refused["user"]["username"], "jane");
    assert_eq!(refused["responseStatus"]["reason"], "Forbidden");
    assert_eq!(refused["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(refused["requestObject"], Value::Null);
}

/// More of them than go at once, under one record.
#[tokio::test]
async fn a_collection_goes_as_a_whole_and_audit_tells_once() {
    let rig = Rig::start(Limits::default()).await;
    let maps = GroupVersionResource::of("", "v1", "configmaps");
    rig.make_namespace("a").await;
    for number in 0..70 {
        let object = json!({"metadata": {"name": format!("map-{number}"), "labels": {"number": "many"}}});
        rig.send(Request::new(Verb::Create, maps.clone()).namespace("a").body(object.to_string())).await.unwrap();
    }
    let chosen = || Options { label_selector: Some("number=many".to_owned()), ..Options::default() };
    let all = |verb| Request::new(verb, maps.clone()).namespace("a").options(chosen());
    rig.send(all(Verb::DeleteCollection)).await.unwrap();
    assert_eq!(rig.send(all(Verb::List)).await.unwrap(), json!([]));
    let events = rig.events();
    let told: Vec<_> = events.iter().filter(|event| event["verb"] == "deletecollection").collect();
    let [one] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(one["responseStatus"]["code"], 200);
    assert_eq!(one["annotations"]["authorization.k8s.io/decision"], "allow");
}

#[tokio::test]
async fn a_server_that_stops_is_first_not_ready_and_ends_watches() {
    let rig = Rig::start(Limits::default()).await;
    let request = Request::new(Verb::Watch, GroupVersionResource::of("", "v1", "pods"));
    let Response::Watch(mut watch) = rig.api.call(request).await.unwrap() else { panic!("no watch") };
    let (drain, env) = (rig.drain.clone(), rig.env.clone());
    let stopping = async { drain.run(&env, Duration::from_secs(3), 2 * PATIENCE).await };
    let meanwhile = async {
        let (_, ready) = rig.until(&rig.api, "/readyz", 500).await;
        assert!(ready.contains("[-]shutdown failed"), "{ready}");
        assert_eq!(rig.get(&rig.api, "/livez").await.0, 200);
        while watch.next().await.is_some_and(|event| event.is_ok()) {}
    };
    let began = rig.env.clock.instant();
    tokio::join!(stopping, meanwhile);
    assert!(rig.env.clock.instant().duration_since(began) < PATIENCE);
    let gone = rig.api.raw(Method::GET, "/livez", HeaderMap::new(), Bytes::new()).await;
    assert!(gone.is_err(), "nobody listens any more");
}
