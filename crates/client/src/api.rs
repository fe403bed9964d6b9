//! The [`Api`] trait: one request in, one response out, the same in process and over HTTPS.

use bytes::Bytes;
use futures_util::Stream;
use meta::{GroupVersionResource, ObjectMeta, Status};
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where requests go. Implemented by `apiserver::Local` (in process, under one identity),
/// [`crate::Https`] and the simulator's faulty wire.
pub trait Api: Send + Sync {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response, Error>>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch(PatchType),
    Delete,
    DeleteCollection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl Verb {
    /// As RBAC names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch(_) => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }
}

impl PatchType {
    pub fn media_type(self) -> &'static str {
        match self {
            PatchType::Json => "application/json-patch+json",
            PatchType::Merge => "application/merge-patch+json",
            PatchType::Strategic => "application/strategic-merge-patch+json",
            PatchType::Apply => "application/apply-patch+yaml",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub verb: Verb,
    pub resource: GroupVersionResource,
    /// None: cluster-scoped, or all namespaces.
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub subresource: Option<String>,
    pub options: Options,
    /// JSON: the object, the patch, or the DeleteOptions. Apply patches may be YAML.
    pub body: Bytes,
}

/// The query parameters of all verbs; each verb reads its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    pub label_selector: Option<String>,
    pub field_selector: Option<String>,
    /// Which series of a custom metric.
    pub metric_label_selector: Option<String>,
    pub limit: Option<u64>,
    pub continue_token: Option<String>,
    pub resource_version: Option<String>,
    /// `Exact` or `NotOlderThan`.
    pub resource_version_match: Option<String>,
    pub timeout_seconds: Option<u64>,
    pub allow_watch_bookmarks: bool,
    pub send_initial_events: Option<bool>,
    /// `All`.
    pub dry_run: Option<String>,
    pub field_manager: Option<String>,
    /// `Strict`, `Warn` or `Ignore`.
    pub field_validation: Option<String>,
    pub force: Option<bool>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_period_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preconditions: Option<Preconditions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphan_dependents: Option<bool>,
    /// `Orphan`, `Background` or `Foreground`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagation_policy: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dry_run: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_store_read_error_with_cluster_breaking_potential: Option<bool>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Preconditions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

pub enum Response {
    /// One object (or a Status of success) as JSON.
    Object {
        body: Bytes,
        created: bool,
    },
    List(List),
    Watch(Watch),
}

/// A list taken apart: in process its items share the server's bytes.
#[derive(Debug, Clone, Default)]
pub struct List {
    pub resource_version: String,
    pub continue_token: Option<String>,
    pub remaining: Option<i64>,
    pub items: Vec<Bytes>,
    /// Of each item; empty where nothing was read ahead.
    pub metadata: Vec<ReadAhead>,
}

/// An object's metadata, where the sender shares them: within a process they are read once, however
/// many caches hold the object.
pub type ReadAhead = Option<Arc<ObjectMeta>>;

/// Ends when the server ends it; an error item is the last.
pub type Watch = Pin<Box<dyn Stream<Item = Result<Event, Error>> + Send>>;

#[derive(Debug, Clone)]
pub struct Event {
    pub kind: EventType,
    /// The object as JSON, with its resourceVersion.
    pub object: Bytes,
    pub metadata: ReadAhead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    Added,
    Modified,
    Deleted,
    Bookmark,
}

impl EventType {
    pub fn as_str(self) -> &'static str {
        match self {
            EventType::Added => "ADDED",
            EventType::Modified => "MODIFIED",
            EventType::Deleted => "DELETED",
            EventType::Bookmark => "BOOKMARK",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [EventType::Added, EventType::Modified, EventType::Deleted, EventType::Bookmark]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The server refused. An `Expired` or `Gone` here on a watch means: list again.
    #[error("{0}")]
    Status(Box<Status>),
    /// The server could not be reached or the connection broke; the request may have been done.
    #[error("cannot reach the API server: {0}")]
    Connection(String),
    #[error("cannot read the API server's answer: {0}")]
    Decode(String),
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Error::Status(Box::new(status))
    }
}

impl Error {
    pub fn status(&self) -> Option<&Status> {
        match self {
            Error::Status(status) => Some(status),
            _ => None,
        }
    }

    pub fn is(&self, reason: meta::Reason) -> bool {
        self.status().is_some_and(|status| status.is(reason))
    }

    /// Whether the request may have been done all the same: the answer was lost, or the server failed
    /// on the way, be it after it had written.
    pub fn leaves_doubt(&self) -> bool {
        self.status().is_none_or(|status| status.code >= 500)
    }
}

impl Request {
    pub fn new(verb: Verb, resource: GroupVersionResource) -> Self {
        Request {
            verb,
            resource,
            namespace: None,
            name: None,
            subresource: None,
            options: Options::default(),
            body: Bytes::new(),
        }
    }

    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    pub fn subresource(mut self, subresource: impl Into<String>) -> Self {
        self.subresource = Some(subresource.into());
        self
    }

    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}
