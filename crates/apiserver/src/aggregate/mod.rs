//! Aggregated API servers: groups and versions that another server answers, reached through a
//! Service, as their APIServices say.
//!
//! Requests are passed on whole, watches and upgrades too, under a client certificate of the front
//! proxy and with the caller's name in headers. A server that does not answer costs its own
//! callers a 503 and nobody else anything.

mod ask;
mod available;
pub(crate) mod described;
pub(crate) mod fetch;
mod local;
pub(crate) mod pass;
pub(crate) mod shown;

use crate::access::Observer;
use crate::object::Object;
use crate::resources::Resource;
use base::Env;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::https::{ClientCertificate, Roots, client_config};
use described::Described;
use meta::{GroupVersionResource, User};
use rustls::ClientConfig;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use tokio::time::Instant;

const GROUP: &str = "apiregistration.k8s.io";
const RESOURCE: &str = "apiservices";
const SERVICES: GroupVersionResource = GroupVersionResource::of(GROUP, "v1", RESOURCE);

/// A group and version that another server answers.
pub struct Remote {
    pub name: String,
    pub group: String,
    pub version: String,
    pub namespace: String,
    pub service: String,
    pub port: u16,
    pub group_priority: i64,
    pub version_priority: i64,
    pub is_available: bool,
    roots: Roots,
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
    /// What it was last seen to serve.
    seen: Mutex<Seen>,
}

/// A server's own documents, as of the last look.
#[derive(Default, Clone)]
pub struct Seen {
    /// Its APIResourceList.
    pub resources: Option<Arc<Value>>,
    /// The hash of its OpenAPI document of version 3, where it has one.
    pub openapi: Option<String>,
    /// What it says in version 2, and when it said so.
    pub described: Option<(Arc<Described>, Instant)>,
}

impl Seen {
    pub fn speaks_v2_alone(&self) -> bool {
        self.openapi.is_none() && self.described.is_some()
    }
}

/// All of them, kept current by the store's sink.
#[derive(Clone, Default)]
pub struct Remotes(Arc<RwLock<ByVersion>>);

/// By group and version.
type ByVersion = BTreeMap<(String, String), Arc<Remote>>;

/// What it takes to reach them.
pub struct Aggregator {
    env: Env,
    certificate: Arc<ClientCertificate>,
}

impl Remotes {
    pub fn find(&self, group: &str, version: &str) -> Option<Arc<Remote>> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        // Mostly there are none, and then nothing is copied.
        if all.is_empty() { None } else { all.get(&(group.to_owned(), version.to_owned())).cloned() }
    }

    pub fn all(&self) -> Vec<Arc<Remote>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl Observer for Remotes {
    fn wants(&self, group: &str, resource: &str) -> bool {
        group == GROUP && resource == RESOURCE
    }

    fn observe(&self, _resource: &Resource, object: &Object, deleted: bool) {
        let remote = object.value().ok().filter(|_| !deleted).and_then(|value| Remote::read(&value));
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let name = &object.index.name;
        let before = all.values().find(|known| known.name == *name).cloned();
        all.retain(|_, known| known.name != *name);
        if let Some(remote) = remote {
            // What was seen stays until the next look.
            if let Some(before) = before {
                remote.see(before.seen());
            }
            all.insert((remote.group.clone(), remote.version.clone()), Arc::new(remote));
        }
    }
}

impl Remote {
    /// None for versions that this server answers itself.
    fn read(value: &Value) -> Option<Self> {
        let spec = value.get("spec")?;
        let service = spec.get("service").filter(|service| service.is_object())?;
        let text = |from: &Value, field: &str| from[field].as_str().unwrap_or_default().to_owned();
        let bundle = STANDARD.decode(text(spec, "caBundle")).unwrap_or_default();
        let roots = match (spec["insecureSkipTLSVerify"] == true, bundle.is_empty()) {
            (true, _) => Roots::Unchecked,
            (false, true) => Roots::System,
            (false, false) => Roots::Pem(bundle),
        };
        let conditions = value.pointer("/status/conditions").and_then(Value::as_array);
        let is_available = conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "Available" && condition["status"] == "True");
        Some(Remote {
            name: text(&value["metadata"], "name"),
            group: text(spec, "group"),
            version: text(spec, "version"),
            namespace: text(service, "namespace"),
            service: text(service, "name"),
            port: service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443),
            group_priority: spec["groupPriorityMinimum"].as_i64().unwrap_or_default(),
            version_priority: spec["versionPriority"].as_i64().unwrap_or_default(),
            is_available,
            roots,
            tls: OnceLock::new(),
            seen: Mutex::default(),
        })
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn see(&self, seen: Seen) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// What the server's certificate must be for.
    fn server_name(&self) -> String {
        format!("{}.{}.svc", self.service, self.namespace)
    }

    /// `/apis/GROUP/VERSION`
    pub fn path(&self) -> String {
        format!("/apis/{}/{}", self.group, self.version)
    }
}

impl Aggregator {
    /// `certificate` is the front proxy's, by which the servers know who calls.
    pub fn new(env: Env, certificate: Arc<ClientCertificate>) -> Self {
        Aggregator { env, certificate }
    }

    fn tls(&self, remote: &Remote) -> Result<Arc<ClientConfig>, String> {
        let make = || {
            let config = client_config(&remote.roots, Some(&self.certificate), &[b"http/1.1"]);
            config.map(Arc::new).map_err(|error| error.to_string())
        };
        remote.tls.get_or_init(make).clone()
    }
}

fn own_user() -> User {
    User::new(auth::names::API_SERVER, &[auth::names::MASTERS])
}
