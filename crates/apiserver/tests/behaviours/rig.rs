//! A server behind TLS, and a client that may do everything: by verbs, and by raw requests where
//! headers matter.

use crate::{listening, started};
use apiserver::{Identity, Limits, Server};
use auth::authn::{Issuer, Verifier};
use auth::pki::Key;
use base::Env;
use bytes::Bytes;
use client::{Api, Error, Https, PatchType, Request, Response, Verb, Watch};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::MemoryStore;

pub const NAMESPACES: GroupVersionResource = GroupVersionResource::of("", "v1", "namespaces");
pub const DEFINITIONS: GroupVersionResource =
    GroupVersionResource::of("apiextensions.k8s.io", "v1", "customresourcedefinitions");
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// Where most tests put their objects.
pub const HOME: &str = "home";
/// Long enough for any machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Rig {
    pub env: Env,
    pub server: Arc<Server>,
    pub api: Https,
}

impl Rig {
    pub async fn start() -> Self {
        let env = Env::real();
        let server = started::server(&env, MemoryStore::new(&env), identity(), &["ServiceAccount"], Limits::default());
        let server = server.await;
        env.tasks.spawn("upkeep", server.clone().upkeep());
        let place = listening::listen(&env, listening::front(&env, server.clone())).await;
        let api = place.client(&env, "secret");
        let rig = Rig { env, server, api };
        rig.create(&NAMESPACES, &json!({"metadata": {"name": HOME}})).await.unwrap();
        rig
    }

    /// The object, or the items of the list, that a request is answered with.
    pub async fn send(&self, request: Request) -> Result<Value, Error> {
        match self.api.call(request).await? {
            Response::Object { body, .. } => Ok(parse(&body)),
            Response::List(list) => Ok(list.items.iter().map(parse).collect()),
            Response::Watch(_) => panic!("a watch"),
        }
    }

    pub async fn create(&self, resource: &GroupVersionResource, object: &Value) -> Result<Value, Error> {
        self.send(place(Verb::Create, resource).body(object.to_string())).await
    }

    pub async fn get(&self, resource: &GroupVersionResource, name: &str) -> Result<Value, Error> {
        self.send(place(Verb::Get, resource).name(name)).await
    }

    pub async fn merge(&self, resource: &GroupVersionResource, name: &str, patch: &Value) -> Result<Value, Error> {
        self.send(place(Verb::Patch(PatchType::Merge), resource).name(name).body(patch.to_string())).await
    }

    pub async fn watch(&self, request: Request) -> Watch {
        match self.api.call(request).await.unwrap() {
            Response::Watch(watch) => watch,
            _ => panic!("no watch"),
        }
    }

    /// Any request, with its status, its answer's media type and its JSON.
    pub async fn raw(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Raw {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let answer = self.api.raw(method, path, map, Bytes::from(body.to_owned())).await.unwrap();
        let status = answer.status().as_u16();
        let media = answer.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned());
        let body = answer.into_body().collect(64 << 20).await.unwrap();
        Raw { status, media: media.unwrap_or_default(), body: serde_json::from_slice(&body).unwrap_or_default() }
    }

    pub async fn document(&self, path: &str) -> Value {
        let raw = self.raw(Method::GET, path, &[], "").await;
        assert_eq!(raw.status, 200, "{path}");
        raw.body
    }

    /// Creates a definition and waits until it is established.
    pub async fn establish(&self, definition: &Value) {
        let name = definition["metadata"]["name"].as_str().unwrap();
        self.create(&DEFINITIONS, definition).await.unwrap();
        self.until("the definition is established", async || {
            let found = self.get(&DEFINITIONS, name).await.unwrap();
            let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|one| one["type"] == "Established" && one["status"] == "True")
        })
        .await;
    }

    pub async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let end = self.env.clock.instant() + PATIENCE;
        while !holds().await {
            assert!(self.env.clock.instant() < end, "not reached: {what}");
            self.env.clock.sleep(Duration::from_millis(10)).await;
        }
    }
}

pub struct Raw {
    pub status: u16,
    pub media: String,
    pub body: Value,
}

/// A request about `resource`: in the usual namespace, where the kind has one.
pub fn place(verb: Verb, resource: &GroupVersionResource) -> Request {
    let request = Request::new(verb, resource.clone());
    match *resource == NAMESPACES || *resource == DEFINITIONS {
        true => request,
        false => request.namespace(HOME),
    }
}

pub fn parse(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn identity() -> Identity {
    let key = Arc::new(Key::generate().unwrap());
    let audiences = vec![ISSUER.to_owned()];
    let verifier =
        Verifier { keys: vec![key.public().clone()], issuers: audiences.clone(), audiences: audiences.clone() };
    let issuer = Issuer { key, issuer: ISSUER.to_owned(), audiences, extends: true };
    Identity { verifier: Some(verifier), issuer: Some(issuer), ..listening::known("") }
}
