//! What a room's plan can ask the executor to do. Plain data: tests compare it, the executor sends
//! it.

use crate::announce::{Announce, Voice};
use bytes::Bytes;
use client::events::{Happening, ObjectRef};
use client::{Error, Key, PatchType, Request};
use meta::GroupVersionResource;
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// The steps of one reconcile, in order. The first that fails ends them.
#[derive(Default)]
pub struct Plan {
    pub actions: Vec<Action>,
    /// Plans on, knowing how the actions went: a status that tells of a failure, a step that depends
    /// on what was read.
    pub then: Option<Then>,
    /// Look again after this long, whatever happens in between.
    pub again: Option<Duration>,
    /// There is more to do that no event will tell of: come back, each time later.
    pub unfinished: bool,
}

pub type Then = Box<dyn FnOnce(&Outcome) -> Plan + Send>;

impl Plan {
    pub fn nothing() -> Self {
        Plan::default()
    }

    pub fn of(actions: Vec<Action>) -> Self {
        Plan { actions, ..Plan::default() }
    }

    pub fn then(mut self, then: impl FnOnce(&Outcome) -> Plan + Send + 'static) -> Self {
        self.then = Some(Box::new(then));
        self
    }

    pub fn unfinished(mut self) -> Self {
        self.unfinished = true;
        self
    }

    pub fn again(mut self, after: Option<Duration>) -> Self {
        self.again = after;
        self
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("actions", &self.actions).field("again", &self.again).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Creates one after another in batches of 1, 2, 4…: a refusal stops the rest.
    Create(Vec<Create>),
    Patch(Patch),
    /// Patches all at once; objects that are gone need no patch.
    PatchAll(Vec<Patch>),
    /// Replaces a whole object, at the version it carries.
    Update(Update),
    /// Deletes all at once; objects that are gone already are as good as deleted.
    Delete(Vec<Delete>),
    /// Deletes a whole collection.
    DeleteAll {
        resource: GroupVersionResource,
        namespace: String,
    },
    /// Asks the server, not a cache, whether the object still stands and is not being deleted. If
    /// not, the plan ends quietly.
    Confirm {
        resource: GroupVersionResource,
        key: Key,
        uid: String,
    },
    /// Asks the server for an object; [`Outcome::reads`] has it.
    Read {
        resource: GroupVersionResource,
        key: Key,
    },
    /// Asks the server for all objects of a namespace; [`Outcome::lists`] has them.
    List {
        resource: GroupVersionResource,
        namespace: String,
    },
    /// Asks the server whatever it is, all at once; [`Outcome::answers`] has what it said to each,
    /// refusals too, which end nothing.
    Ask(Vec<Request>),
    /// Asks the server for one page of a collection; [`Outcome::pages`] has it, refusals too, which
    /// end nothing.
    Page(Box<Request>),
    /// Records an Event.
    Event(Event),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Create {
    pub resource: GroupVersionResource,
    /// Empty: none.
    pub namespace: String,
    pub subresource: Option<&'static str>,
    pub object: Value,
    /// Whom to tell of it in upstream's `SuccessfulCreate` and `FailedCreate`.
    pub announce: Option<Announce>,
    /// One that is there already is as good.
    pub or_exists: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    pub resource: GroupVersionResource,
    pub key: Key,
    pub subresource: Option<&'static str>,
    pub object: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    pub resource: GroupVersionResource,
    pub key: Key,
    pub subresource: Option<&'static str>,
    pub kind: PatchType,
    pub body: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    pub resource: GroupVersionResource,
    pub key: Key,
    /// Only this very object.
    pub uid: String,
    pub grace: Option<i64>,
    /// `Background`, `Foreground`, `Orphan`.
    pub policy: Option<&'static str>,
    /// Only at this version.
    pub version: Option<String>,
    /// Whom to tell of it in upstream's `SuccessfulDelete` and `FailedDelete`.
    pub announce: Option<Announce>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub about: ObjectRef,
    pub warning: bool,
    pub reason: &'static str,
    pub message: String,
}

impl Action {
    pub fn event(about: &ObjectRef, warning: bool, reason: &'static str, message: impl Into<String>) -> Self {
        Action::Event(Event { about: about.clone(), warning, reason, message: message.into() })
    }

    /// A merge patch of an object's status.
    pub fn status(resource: &GroupVersionResource, key: &Key, status: Value) -> Self {
        let body = serde_json::json!({"status": status});
        Action::Patch(Patch::merge(resource, key, body).subresource("status"))
    }
}

impl Create {
    pub fn new(resource: &GroupVersionResource, namespace: &str, object: Value) -> Self {
        let (resource, namespace) = (resource.clone(), namespace.to_owned());
        Create { resource, namespace, subresource: None, object, announce: None, or_exists: false }
    }

    pub fn announce(self, about: &ObjectRef) -> Self {
        self.announce_as(about, Voice::Pod)
    }

    pub fn announce_as(mut self, about: &ObjectRef, voice: Voice) -> Self {
        self.announce = Some(Announce { about: about.clone(), voice });
        self
    }

    pub fn or_exists(mut self) -> Self {
        self.or_exists = true;
        self
    }
}

impl Patch {
    pub fn merge(resource: &GroupVersionResource, key: &Key, body: Value) -> Self {
        Patch { resource: resource.clone(), key: key.clone(), subresource: None, kind: PatchType::Merge, body }
    }

    pub fn strategic(resource: &GroupVersionResource, key: &Key, body: Value) -> Self {
        Patch { kind: PatchType::Strategic, ..Patch::merge(resource, key, body) }
    }

    pub fn subresource(mut self, name: &'static str) -> Self {
        self.subresource = Some(name);
        self
    }
}

impl Delete {
    pub fn new(resource: &GroupVersionResource, key: &Key, uid: &str) -> Self {
        let (resource, key, uid) = (resource.clone(), key.clone(), uid.to_owned());
        Delete { resource, key, uid, grace: None, policy: None, version: None, announce: None }
    }

    pub fn announce(self, about: &ObjectRef) -> Self {
        self.announce_as(about, Voice::Pod)
    }

    pub fn announce_as(mut self, about: &ObjectRef, voice: Voice) -> Self {
        self.announce = Some(Announce { about: about.clone(), voice });
        self
    }

    pub fn policy(mut self, policy: &'static str) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Only as long as nobody wrote it after this version.
    pub fn at(mut self, version: &str) -> Self {
        self.version = Some(version.to_owned());
        self
    }
}

impl From<Event> for Happening {
    fn from(event: Event) -> Self {
        let severity = if event.warning { client::events::Severity::Warning } else { client::events::Severity::Normal };
        Happening::new(event.about, severity, event.reason, event.message)
    }
}

/// How the actions of a plan went.
#[derive(Debug, Default)]
pub struct Outcome {
    pub failure: Option<Error>,
    /// What each [`Action::Read`] found; None: nothing.
    pub reads: Vec<Option<Bytes>>,
    /// What each [`Action::List`] found.
    pub lists: Vec<Result<Vec<Bytes>, Error>>,
    /// What each request of an [`Action::Ask`] was answered: an object, or the items of a list.
    pub answers: Vec<Result<Vec<Bytes>, Error>>,
    /// What each [`Action::Page`] was answered.
    pub pages: Vec<Result<client::List, Error>>,
    /// The objects as written, in order.
    pub written: Vec<Bytes>,
    /// Whether an [`Action::DeleteAll`] was refused, each.
    pub refusals: Vec<(GroupVersionResource, Error)>,
}
