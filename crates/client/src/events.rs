//! Recording Events: repeated ones are counted, similar ones combined, floods cut off, in upstream's
//! measure (client-go `tools/record` and `tools/events`).
//!
//! Recording never fails, and never waits unless it is asked to: an Event that cannot be written is
//! dropped.

mod correlate;
#[cfg(test)]
mod tests;

use crate::{Api, Error, PatchType, Request, Verb};
use base::{Env, Timestamp};
use correlate::{Correlator, Verdict};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use meta::{GroupVersionKind, GroupVersionResource, ObjectMeta, Reason};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::{debug, warn};

/// Events waiting to be written; more are dropped.
const QUEUE: usize = 1000;
/// Events being written at once.
const WRITES: usize = 16;
/// How often and how long apart an Event is tried while the server is away.
const TRIES: u32 = 12;
const TRY_DELAY: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Normal,
    Warning,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        }
    }
}

/// Which of the two Event APIs a component writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `v1`, with counts: everything but the scheduler and kube-proxy.
    Core,
    /// `events.k8s.io/v1`, with series.
    Series,
}

/// What an Event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field_path: String,
}

impl ObjectRef {
    pub fn of(kind: &GroupVersionKind, meta: &ObjectMeta) -> Self {
        ObjectRef {
            kind: kind.kind.to_string(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            api_version: kind.group_version().to_string(),
            resource_version: meta.resource_version.clone(),
            field_path: String::new(),
        }
    }

    /// A part of the object, such as `spec.containers{web}`.
    pub fn field(mut self, path: impl Into<String>) -> Self {
        self.field_path = path.into();
        self
    }
}

/// What happened.
#[derive(Debug, Clone)]
pub struct Happening {
    pub about: ObjectRef,
    pub severity: Severity,
    pub reason: String,
    pub message: String,
    /// Style::Series only: what was done (`Binding`), and another object that took part.
    pub action: String,
    pub related: Option<ObjectRef>,
    /// Of the Event itself.
    pub annotations: BTreeMap<String, String>,
}

impl Happening {
    pub fn new(about: ObjectRef, severity: Severity, reason: &str, message: impl Into<String>) -> Self {
        let (reason, message) = (reason.to_owned(), message.into());
        let (action, annotations) = (String::new(), BTreeMap::new());
        Happening { about, severity, reason, message, action, related: None, annotations }
    }

    pub fn annotations(mut self, annotations: BTreeMap<String, String>) -> Self {
        self.annotations = annotations;
        self
    }

    pub fn action(mut self, action: &str) -> Self {
        self.action = action.to_owned();
        self
    }

    pub fn related(mut self, related: ObjectRef) -> Self {
        self.related = Some(related);
        self
    }
}

/// Records Events of one component. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<(Timestamp, Happening)>,
    env: Env,
}

impl Recorder {
    /// `component` as upstream names it (`replicaset-controller`); `host` is the node, or empty.
    pub fn new(api: Arc<dyn Api>, env: &Env, component: &str, host: &str, style: Style) -> Self {
        Recorder::with_queue(QUEUE, api, env, component, host, style)
    }

    /// For a component that has much to tell at once: so many may wait.
    pub fn with_queue(queue: usize, api: Arc<dyn Api>, env: &Env, component: &str, host: &str, style: Style) -> Self {
        let (queue, waiting) = mpsc::channel(queue);
        let sender = Sender { api, env: env.clone(), component: component.to_owned(), host: host.to_owned(), style };
        let writer = Writer { sender: Arc::new(sender), correlator: Correlator::new(style), last_name: 0 };
        env.tasks.spawn("event recorder", writer.run(waiting));
        Recorder { queue, env: env.clone() }
    }

    pub fn normal(&self, about: ObjectRef, reason: &str, message: impl Into<String>) {
        self.record(Happening::new(about, Severity::Normal, reason, message));
    }

    pub fn warning(&self, about: ObjectRef, reason: &str, message: impl Into<String>) {
        self.record(Happening::new(about, Severity::Warning, reason, message));
    }

    pub fn record(&self, happening: Happening) {
        if self.queue.try_send((self.env.clock.now(), happening)).is_err() {
            debug!("an event was dropped: too many are waiting");
        }
    }

    /// The same for one who can wait a little where too many are waiting already.
    pub async fn record_within(&self, patience: Duration, happening: Happening) {
        let sent = self.queue.send((self.env.clock.now(), happening));
        if !matches!(self.env.clock.timeout(patience, sent).await, Ok(Ok(()))) {
            debug!("an event was dropped: too many are waiting");
        }
    }
}

/// Has a few Events written at once; those about one object follow each other.
struct Writer {
    sender: Arc<Sender>,
    correlator: Correlator,
    /// The number in the last Event's name: two of one instant must differ.
    last_name: i128,
}

struct Sender {
    api: Arc<dyn Api>,
    env: Env,
    component: String,
    host: String,
    style: Style,
}

/// An Event on its way to the server.
struct Writing {
    when: Timestamp,
    happening: Happening,
    earlier: Option<correlate::Earlier>,
    /// Of the object that is made where there is none to count on at.
    name: String,
    /// That object was made.
    is_new: bool,
}

impl Writer {
    async fn run(mut self, mut waiting: mpsc::Receiver<(Timestamp, Happening)>) {
        let mut writing = FuturesUnordered::new();
        let mut busy: Vec<ObjectRef> = Vec::new();
        let mut next: Option<(Timestamp, Happening)> = None;
        let mut is_closed = false;
        loop {
            let has_room = writing.len() < WRITES;
            if let Some((when, happening)) = next.take_if(|(_, next)| has_room && !busy.contains(&object(next))) {
                if let Some(start) = self.judge(when, happening) {
                    busy.push(object(&start.happening));
                    writing.push(self.sender.clone().write(start));
                }
                continue;
            }
            tokio::select! {
                biased;
                Some(done) = writing.next(), if !writing.is_empty() => {
                    let about = object(&done.happening);
                    busy.retain(|other| *other != about);
                    if done.is_new {
                        self.correlator.written(&done.happening, &done.name);
                    }
                }
                got = waiting.recv(), if next.is_none() && !is_closed => match got {
                    Some(one) => next = Some(one),
                    None => is_closed = true,
                },
                else => return,
            }
        }
    }

    fn judge(&mut self, when: Timestamp, happening: Happening) -> Option<Writing> {
        let Verdict::Write { happening, earlier } = self.correlator.judge(happening, when.as_second()) else {
            return None;
        };
        self.last_name = when.as_nanosecond().max(self.last_name + 1);
        let name = format!("{}.{:x}", happening.about.name, self.last_name);
        Some(Writing { when, happening: *happening, earlier, name, is_new: false })
    }
}

/// The object that an Event is about, whatever its version and whichever part of it.
fn object(happening: &Happening) -> ObjectRef {
    ObjectRef { resource_version: String::new(), field_path: String::new(), ..happening.about.clone() }
}

impl Sender {
    /// Counts on at the earlier Event, or makes a new one.
    async fn write(self: Arc<Self>, mut writing: Writing) -> Writing {
        let Writing { when, happening, earlier, name, .. } = &writing;
        if let Some(earlier) = earlier {
            let patch = self.patch(*when, happening, earlier.count);
            let request = self.request(Verb::Patch(PatchType::Strategic), happening).name(earlier.name.clone());
            match self.send(request.body(patch.to_string())).await {
                Err(error) if error.is(Reason::NotFound) => {}
                outcome => {
                    report(outcome);
                    return writing;
                }
            }
        }
        let event = self.event(*when, happening, name);
        let request = self.request(Verb::Create, happening).body(event.to_string());
        let outcome = self.send(request).await;
        writing.is_new = outcome.is_ok();
        report(outcome);
        writing
    }

    async fn send(&self, request: Request) -> Result<(), Error> {
        let mut tries = 0;
        loop {
            match self.api.call(request.clone()).await {
                Ok(_) => return Ok(()),
                Err(Error::Connection(_)) if tries < TRIES => {
                    tries += 1;
                    self.env.clock.sleep(TRY_DELAY).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn request(&self, verb: Verb, happening: &Happening) -> Request {
        let group = if self.style == Style::Core { "" } else { "events.k8s.io" };
        let resource = GroupVersionResource::of(group, "v1", "events");
        Request::new(verb, resource).namespace(namespace(&happening.about))
    }

    fn event(&self, when: Timestamp, happening: &Happening, name: &str) -> Value {
        let mut metadata = json!({"name": name, "namespace": namespace(&happening.about)});
        if !happening.annotations.is_empty() {
            metadata["annotations"] = json!(happening.annotations);
        }
        match self.style {
            Style::Core => {
                let time = format!("{when:.0}");
                let mut source = json!({"component": self.component});
                if !self.host.is_empty() {
                    source["host"] = json!(self.host);
                }
                json!({
                    "apiVersion": "v1", "kind": "Event", "metadata": metadata,
                    "involvedObject": happening.about, "reason": happening.reason, "message": happening.message,
                    "source": source, "firstTimestamp": time, "lastTimestamp": time, "count": 1,
                    "type": happening.severity.as_str(),
                    "reportingComponent": self.component, "reportingInstance": self.host,
                })
            }
            Style::Series => {
                let mut event = json!({
                    "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": metadata,
                    "regarding": happening.about, "reason": happening.reason, "note": happening.message,
                    "eventTime": format!("{when:.6}"), "action": happening.action,
                    "type": happening.severity.as_str(), "reportingController": self.component,
                    "reportingInstance": format!("{}-{}", self.component, self.host),
                });
                if let Some(related) = &happening.related {
                    event["related"] = json!(related);
                }
                event
            }
        }
    }

    fn patch(&self, when: Timestamp, happening: &Happening, count: u32) -> Value {
        match self.style {
            Style::Core => {
                json!({"count": count, "lastTimestamp": format!("{when:.0}"), "message": happening.message})
            }
            Style::Series => json!({"series": {"count": count, "lastObservedTime": format!("{when:.6}")}}),
        }
    }
}

/// Events about objects without a namespace go to `default`.
fn namespace(about: &ObjectRef) -> &str {
    if about.namespace.is_empty() { "default" } else { &about.namespace }
}

fn report(outcome: Result<(), Error>) {
    match outcome {
        Ok(()) => {}
        Err(error) if refused_for_ending(&error) => debug!(%error, "an event about something ending was refused"),
        Err(error) => warn!(%error, "an event was not written"),
    }
}

/// Nothing new may be made in a namespace that is being deleted.
pub fn refused_for_ending(error: &Error) -> bool {
    let cause = |status: &meta::Status| {
        let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
        causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
    };
    error.is(Reason::NotFound) || error.status().is_some_and(cause)
}
