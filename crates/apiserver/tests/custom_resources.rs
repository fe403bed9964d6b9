//! Custom resources over a real connection: from their definition to its end.

#![allow(clippy::unwrap_used)]

mod listening;
mod started;

use apiserver::Limits;
use base::Env;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use client::{Api, Error, EventType, Https, Options, PatchType, Request, Response, Verb, Watch};
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Full};
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::time::Duration;
use store::MemoryStore;
use tokio::net::TcpListener;

const DEFINITIONS: GroupVersionResource =
    GroupVersionResource::of("apiextensions.k8s.io", "v1", "customresourcedefinitions");
const CATS: GroupVersionResource = GroupVersionResource::of("example.com", "v1", "cats");
const OLD_CATS: GroupVersionResource = GroupVersionResource::of("example.com", "v1alpha1", "cats");

struct Rig {
    env: Env,
    api: Https,
}

impl Rig {
    async fn start() -> Self {
        let env = Env::real();
        let server = started::server(&env, MemoryStore::new(&env), listening::known(""), &[], Limits::default()).await;
        env.tasks.spawn("upkeep", server.clone().upkeep());
        let place = listening::listen(&env, listening::front(&env, server)).await;
        let rig = Rig { api: place.client(&env, "secret"), env };
        let namespaces = GroupVersionResource::of("", "v1", "namespaces");
        rig.send(Request::new(Verb::Create, namespaces).body(json!({"metadata": {"name": "home"}}).to_string()))
            .await
            .unwrap();
        rig
    }

    async fn call(&self, request: Request) -> Result<Response, Error> {
        self.api.call(request).await
    }

    /// The object that a request is answered with.
    async fn send(&self, request: Request) -> Result<Value, Error> {
        match self.call(request).await? {
            Response::Object { body, .. } => Ok(serde_json::from_slice(&body).unwrap()),
            Response::List(list) => Ok(list.items.iter().map(parse).collect()),
            Response::Watch(_) => panic!("a watch"),
        }
    }

    async fn create(&self, resource: &GroupVersionResource, object: &Value) -> Result<Value, Error> {
        self.send(in_home(Verb::Create, resource).body(object.to_string())).await
    }

    async fn refusal(&self, request: Request) -> Value {
        let error = self.send(request).await.unwrap_err();
        serde_json::to_value(error.status().unwrap()).unwrap()
    }

    async fn watch(&self, resource: &GroupVersionResource) -> Watch {
        match self.call(in_home(Verb::Watch, resource)).await.unwrap() {
            Response::Watch(watch) => watch,
            _ => panic!("no watch"),
        }
    }

    async fn establish(&self, definition: &Value) {
        self.send(Request::new(Verb::Create, DEFINITIONS).body(definition.to_string())).await.unwrap();
        self.until(|found| found["status"]["conditions"][1]["reason"] == "InitialNamesAccepted").await;
    }

    async fn until(&self, holds: impl Fn(&Value) -> bool) {
        for _ in 0..500 {
            let found = self.send(Request::new(Verb::Get, DEFINITIONS).name("cats.example.com")).await;
            if holds(&found.unwrap_or_default()) {
                return;
            }
            self.env.clock.sleep(Duration::from_millis(10)).await;
        }
        panic!("the definition did not get there");
    }
}

fn parse(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn in_home(verb: Verb, resource: &GroupVersionResource) -> Request {
    Request::new(verb, resource.clone()).namespace("home")
}

fn definition() -> Value {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "required": ["color"], "properties": {
            "color": {"type": "string", "enum": ["black", "red"]},
            "lives": {"type": "integer", "minimum": 1, "default": 9},
            "kittens": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string"}, "age": {"type": "integer"}}}},
        }},
        "status": {"type": "object", "properties": {"mood": {"type": "string"}}},
    }});
    let version = |name: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": schema}})
    };
    json!({"metadata": {"name": "cats.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced", "names": {"plural": "cats", "kind": "Cat"},
        "versions": [version("v1", true), version("v1alpha1", false)]}})
}

fn cat(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Cat", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn a_custom_resource_lives_as_any_other() {
    let rig = Rig::start().await;
    rig.establish(&definition()).await;
    let mut watch = rig.watch(&CATS).await;

    // Defaults come in, unknown fields go, and status waits for its own door.
    let mut tom = cat("tom", &json!({"color": "red", "odd": 1}));
    tom["status"] = json!({"mood": "good"});
    let made = rig.create(&CATS, &tom).await.unwrap();
    assert_eq!((&made["spec"], &made["status"]), (&json!({"color": "red", "lives": 9}), &Value::Null));
    assert_eq!(made["metadata"]["generation"], 1);
    let event = watch.next().await.unwrap().unwrap();
    assert_eq!((event.kind, parse(&event.object)), (EventType::Added, made.clone()));

    // The other version shows the same object.
    let old = rig.send(in_home(Verb::Get, &OLD_CATS).name("tom")).await.unwrap();
    assert_eq!((&old["apiVersion"], &old["spec"]), (&json!("example.com/v1alpha1"), &made["spec"]));

    let body = json!({"status": {"mood": "good"}, "spec": {"lives": 3}}).to_string();
    let patch = in_home(Verb::Patch(PatchType::Merge), &OLD_CATS).name("tom").subresource("status").body(body);
    let patched = rig.send(patch).await.unwrap();
    assert_eq!((&patched["status"]["mood"], &patched["spec"]["lives"]), (&json!("good"), &json!(9)));
    assert_eq!(patched["metadata"]["generation"], 1);
    let event = watch.next().await.unwrap().unwrap();
    assert_eq!((event.kind, &parse(&event.object)["apiVersion"]), (EventType::Modified, &json!("example.com/v1")));
}

#[tokio::test]
async fn wrong_objects_get_upstreams_status() {
    let rig = Rig::start().await;
    rig.establish(&definition()).await;
    let bad = cat("tom", &json!({"color": "blue", "lives": 0, "kittens": [{"age": "x"}]}));
    let status = rig.refusal(in_home(Verb::Create, &CATS).body(bad.to_string())).await;
    assert_eq!(
        status,
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Invalid", "code": 422,
            "message": "Cat.example.com \"tom\" is invalid: [spec.color: Unsupported value: \"blue\": supported values: \
                \"black\", \"red\", spec.kittens[0].name: Required value, spec.kittens[0].age: Invalid value: \"string\": \
                spec.kittens[0].age in body must be of type integer: \"string\", spec.lives: Invalid value: 0: spec.lives \
                in body should be greater than or equal to 1]",
            "details": {"name": "tom", "group": "example.com", "kind": "Cat", "causes": [
                {"reason": "FieldValueNotSupported", "field": "spec.color",
                    "message": "Unsupported value: \"blue\": supported values: \"black\", \"red\""},
                {"reason": "FieldValueRequired", "field": "spec.kittens[0].name", "message": "Required value"},
                {"reason": "FieldValueTypeInvalid", "field": "spec.kittens[0].age",
                    "message": "Invalid value: \"string\": spec.kittens[0].age in body must be of type integer: \"string\""},
                {"reason": "FieldValueInvalid", "field": "spec.lives",
                    "message": "Invalid value: 0: spec.lives in body should be greater than or equal to 1"},
            ]},
        })
    );
    let strict = Options { field_validation: Some("Strict".to_owned()), ..Options::default() };
    let odd = cat("tom", &json!({"color": "red", "odd": 1})).to_string();
    let status = rig.refusal(in_home(Verb::Create, &CATS).options(strict).body(odd)).await;
    let wanted = "Cat in version \"v1\" cannot be handled as a Cat: strict decoding error: unknown field \"spec.odd\"";
    assert_eq!((status["code"].as_u64(), status["message"].as_str()), (Some(400), Some(wanted)));
    rig.create(&CATS, &cat("tom", &json!({"color": "red"}))).await.unwrap();
    let merge = in_home(Verb::Patch(PatchType::Strategic), &CATS).name("tom").body("{}");
    assert_eq!(rig.refusal(merge).await["code"], 415);
}

#[tokio::test]
async fn appliers_share_an_object_by_its_schema() {
    let rig = Rig::start().await;
    rig.establish(&definition()).await;
    let apply = |manager: &str, resource: &GroupVersionResource, spec: &Value| {
        let mut object = cat("tom", spec);
        object["apiVersion"] = format!("example.com/{}", resource.version).into();
        let options = Options { field_manager: Some(manager.to_owned()), ..Options::default() };
        in_home(Verb::Patch(PatchType::Apply), resource).name("tom").options(options).body(object.to_string())
    };
    rig.send(apply("a", &CATS, &json!({"color": "red", "kittens": [{"name": "x", "age": 1}]}))).await.unwrap();
    let both = rig.send(apply("b", &OLD_CATS, &json!({"color": "red", "kittens": [{"name": "y"}]}))).await.unwrap();
    assert_eq!(both["spec"]["kittens"], json!([{"name": "x", "age": 1}, {"name": "y"}]));
    let conflict = rig.refusal(apply("b", &OLD_CATS, &json!({"color": "black"}))).await;
    assert_eq!(conflict["message"], "Apply failed with 1 conflict: conflict with \"a\": .spec.color");
    // What nobody applies any more goes.
    let left = rig.send(apply("a", &CATS, &json!({"color": "red"}))).await.unwrap();
    assert_eq!(left["spec"]["kittens"], json!([{"name": "y"}]));
}

/// A webhook that calls `color` in v1 what is `hue` in v1alpha1; its URL and certificate.
async fn converter(env: &Env) -> (String, String) {
    let (acceptor, pem) = listening::certified(&[b"http/1.1"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tasks = env.tasks.clone();
    env.tasks.spawn("converter", async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tasks.spawn("conversion", async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async {
                    let body = request.into_body().collect().await?.to_bytes();
                    let answer = convert(&serde_json::from_slice(&body).unwrap()).to_string();
                    Ok::<_, hyper::Error>(http::Response::new(Full::new(Bytes::from(answer))))
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (format!("https://localhost:{port}/convert"), pem)
}

fn convert(review: &Value) -> Value {
    let version = review["request"]["desiredAPIVersion"].clone();
    let (from, to) = if version == "example.com/v1" { ("hue", "color") } else { ("color", "hue") };
    let objects = review["request"]["objects"].as_array().unwrap().iter().map(|object| {
        let mut object = object.clone();
        object["apiVersion"] = version.clone();
        if let Some(value) = object["spec"].as_object_mut().unwrap().remove(from) {
            object["spec"][to] = value;
        }
        object
    });
    let objects: Vec<Value> = objects.collect();
    json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response":
        {"uid": review["request"]["uid"], "result": {"status": "Success"}, "convertedObjects": objects}})
}

#[tokio::test]
async fn a_webhook_converts_between_versions() {
    let rig = Rig::start().await;
    let (url, pem) = converter(&rig.env).await;
    let mut definition = definition();
    definition["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {
        "conversionReviewVersions": ["v1"], "clientConfig": {"url": url, "caBundle": STANDARD.encode(pem)}}});
    definition["spec"]["versions"][1]["schema"]["openAPIV3Schema"] = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"hue": {"type": "string"}, "lives": {"type": "integer"}}}}});
    rig.establish(&definition).await;
    let mut watch = rig.watch(&OLD_CATS).await;
    rig.create(&CATS, &cat("tom", &json!({"color": "red"}))).await.unwrap();
    let shown = json!({"hue": "red", "lives": 9});
    assert_eq!(rig.send(in_home(Verb::Get, &OLD_CATS).name("tom")).await.unwrap()["spec"], shown);
    assert_eq!(rig.send(in_home(Verb::List, &OLD_CATS)).await.unwrap()[0]["spec"], shown);
    assert_eq!(parse(&watch.next().await.unwrap().unwrap().object)["spec"], shown);
    let mut kit = cat("kit", &json!({"hue": "black", "lives": 1}));
    kit["apiVersion"] = "example.com/v1alpha1".into();
    let made = rig.create(&OLD_CATS, &kit).await.unwrap();
    assert_eq!(made["spec"], json!({"hue": "black", "lives": 1}));
    let stored = rig.send(in_home(Verb::Get, &CATS).name("kit")).await.unwrap();
    assert_eq!(stored["spec"], json!({"color": "black", "lives": 1}));
    assert_eq!(stored["metadata"]["uid"], made["metadata"]["uid"]);
    let body = json!({"spec": {"hue": "red"}}).to_string();
    rig.send(in_home(Verb::Patch(PatchType::Merge), &OLD_CATS).name("kit").body(body)).await.unwrap();
    assert_eq!(rig.send(in_home(Verb::Get, &CATS).name("kit")).await.unwrap()["spec"]["color"], "red");
    rig.send(in_home(Verb::Delete, &OLD_CATS).name("kit")).await.unwrap();
}

#[tokio::test]
async fn with_its_definition_everything_goes() {
    let rig = Rig::start().await;
    rig.establish(&definition()).await;
    rig.create(&CATS, &cat("tom", &json!({"color": "red"}))).await.unwrap();
    let mut held = cat("kit", &json!({"color": "red"}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    rig.create(&CATS, &held).await.unwrap();
    let mut watch = rig.watch(&CATS).await;
    for _ in 0..2 {
        assert_eq!(watch.next().await.unwrap().unwrap().kind, EventType::Added);
    }
    rig.send(Request::new(Verb::Delete, DEFINITIONS).name("cats.example.com")).await.unwrap();
    rig.until(|found| found["status"]["conditions"][2]["reason"] == "InstanceDeletionInProgress").await;
    let late = rig.refusal(in_home(Verb::Create, &CATS).body(cat("new", &json!({"color": "red"})).to_string())).await;
    assert_eq!(late["message"], "create not allowed while custom resource definition is terminating");
    let body = json!({"metadata": {"finalizers": null}}).to_string();
    rig.send(in_home(Verb::Patch(PatchType::Merge), &CATS).name("kit").body(body)).await.unwrap();
    rig.until(Value::is_null).await;
    let mut gone = Vec::new();
    while let Some(Ok(event)) = watch.next().await {
        if event.kind == EventType::Deleted {
            gone.push(parse(&event.object)["metadata"]["name"].as_str().unwrap().to_owned());
        }
    }
    gone.sort_unstable();
    assert_eq!(gone, ["kit", "tom"]);
    assert_eq!(rig.refusal(in_home(Verb::List, &CATS)).await["code"], 404);
    // The same definition again begins anew.
    rig.establish(&definition()).await;
    assert_eq!(rig.send(in_home(Verb::List, &CATS)).await.unwrap(), json!([]));
}
