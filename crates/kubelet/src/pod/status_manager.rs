//! Tells the API server what became of pods: the newest status of each, in the background, as
//! patches of what differs; and removes a pod's object when all of it is gone from the node.
//!
//! A server that cannot be reached holds nobody up: workers hand a status over and go on.

use super::PodRef;
use base::Env;
use bytes::Bytes;
use client::{Api, DeleteOptions, PatchType, Preconditions, Request, Response, Verb};
use k8s_openapi::api::core::v1::PodStatus;
use meta::{GroupVersionResource, Reason};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{debug, warn};

pub const PODS: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");

/// Statuses sent side by side.
const SENDERS: usize = 4;
const RETRY: Duration = Duration::from_secs(2);
/// The fields of status that the node owns.
const FIELDS: [&str; 14] = [
    "phase",
    "reason",
    "message",
    "hostIP",
    "hostIPs",
    "podIP",
    "podIPs",
    "startTime",
    "qosClass",
    "observedGeneration",
    "conditions",
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
];

pub struct StatusManager {
    api: Arc<dyn Api>,
    env: Env,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<String, Job>,
    sending: std::collections::BTreeSet<String>,
    /// What each pod's status was last found or made to be, and at which version.
    known: BTreeMap<String, Known>,
}

#[derive(Clone)]
struct Job {
    pod: PodRef,
    status: Value,
    delete: bool,
}

struct Known {
    version: u64,
    status: Bytes,
}

impl StatusManager {
    pub fn start(api: Arc<dyn Api>, env: &Env) -> Arc<Self> {
        let manager = Arc::new(StatusManager { api, env: env.clone(), state: Mutex::default(), wake: Notify::new() });
        for _ in 0..SENDERS {
            env.tasks.spawn("pod status", manager.clone().send());
        }
        manager
    }

    /// What the API server holds, as a watch tells it.
    pub fn seen(&self, uid: &str, version: u64, object: &[u8]) {
        let newer = self.lock().known.get(uid).is_none_or(|known| known.version < version);
        if newer && let Some(status) = status_of(object) {
            self.lock().known.insert(uid.to_owned(), Known { version, status });
        }
    }

    /// Takes a pod's newest status; with `delete` its object is removed after that.
    pub fn set(&self, pod: &PodRef, status: &PodStatus, delete: bool) {
        let Ok(status) = serde_json::to_value(status) else { return };
        let mut state = self.lock();
        if !delete
            && let Some(known) = state.known.get(&pod.uid)
            && difference(&known.status, &status).is_none()
        {
            // Nothing to tell, unless something else is on its way.
            if !state.sending.contains(&pod.uid) {
                state.waiting.remove(&pod.uid);
                return;
            }
        }
        state.waiting.insert(pod.uid.clone(), Job { pod: pod.clone(), status, delete });
        drop(state);
        self.wake.notify_one();
    }

    pub fn forget(&self, uid: &str) {
        let mut state = self.lock();
        state.known.remove(uid);
        state.waiting.remove(uid);
    }

    async fn send(self: Arc<Self>) {
        loop {
            let woken = self.wake.notified();
            let Some(job) = self.take() else {
                woken.await;
                continue;
            };
            let uid = job.pod.uid.clone();
            let done = self.write(&job).await;
            self.put_back(&uid, (!done).then_some(job));
            if !done {
                self.env.clock.sleep(RETRY).await;
            }
            self.wake.notify_one();
        }
    }

    /// The pod's next status may be sent; this one again, unless there is a newer.
    fn put_back(&self, uid: &str, again: Option<Job>) {
        let mut state = self.lock();
        state.sending.remove(uid);
        if let Some(job) = again {
            state.waiting.entry(uid.to_owned()).or_insert(job);
        }
    }

    fn take(&self) -> Option<Job> {
        let mut state = self.lock();
        let uid = state.waiting.keys().find(|uid| !state.sending.contains(*uid)).cloned()?;
        state.sending.insert(uid.clone());
        let job = state.waiting.remove(&uid);
        if !state.waiting.is_empty() {
            self.wake.notify_one();
        }
        job
    }

    /// Whether it need not be tried again.
    async fn write(&self, job: &Job) -> bool {
        let uid = &job.pod.uid;
        let known = self.lock().known.get(uid).map(|known| known.status.clone()).unwrap_or_default();
        if let Some(patch) = difference(&known, &job.status) {
            let body = json!({"metadata": {"uid": uid}, "status": patch});
            let request =
                self.request(Verb::Patch(PatchType::Strategic), job).subresource("status").body(body.to_string());
            match self.api.call(request).await {
                Ok(Response::Object { body, .. }) => self.remember(uid, &body),
                Ok(_) => {}
                Err(error) if error.is(Reason::NotFound) || error.is(Reason::Conflict) => return true,
                Err(error) => {
                    warn!(pod = %job.pod, %error, "cannot report the pod's status; trying again");
                    return false;
                }
            }
        }
        !job.delete || self.delete(job).await
    }

    async fn delete(&self, job: &Job) -> bool {
        let preconditions = Preconditions { uid: Some(job.pod.uid.clone()), resource_version: None };
        let options = DeleteOptions {
            grace_period_seconds: Some(0),
            preconditions: Some(preconditions),
            ..DeleteOptions::default()
        };
        let Ok(body) = serde_json::to_vec(&options) else { return true };
        match self.api.call(self.request(Verb::Delete, job).body(body)).await {
            Ok(_) => true,
            Err(error) if error.is(Reason::NotFound) || error.is(Reason::Conflict) => true,
            Err(error) => {
                debug!(pod = %job.pod, %error, "cannot remove the pod's object; trying again");
                false
            }
        }
    }

    fn request(&self, verb: Verb, job: &Job) -> Request {
        Request::new(verb, PODS).namespace(&job.pod.namespace).name(&job.pod.name)
    }

    fn remember(&self, uid: &str, object: &[u8]) {
        #[derive(serde::Deserialize)]
        struct Versioned {
            metadata: meta::ObjectMeta,
        }
        if let Ok(object_meta) = serde_json::from_slice::<Versioned>(object) {
            let version = client::cache::parse_version(&object_meta.metadata.resource_version);
            self.seen(uid, version, object);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn status_of(object: &[u8]) -> Option<Bytes> {
    #[derive(serde::Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        status: Option<&'a serde_json::value::RawValue>,
    }
    let envelope: Envelope<'_> = serde_json::from_slice(object).ok()?;
    Some(Bytes::from(envelope.status.map_or("{}", |status| status.get()).to_owned()))
}

/// A strategic patch from the status known to the one wanted; None where they are the same.
fn difference(known: &[u8], wanted: &Value) -> Option<Value> {
    let known: Value = serde_json::from_slice(known).unwrap_or_default();
    let known = lean(&known).unwrap_or_default();
    let wanted = lean(wanted).unwrap_or_default();
    let mut patch = Map::new();
    for field in FIELDS {
        let (old, new) = (&known[field], &wanted[field]);
        if old == new || (field == "conditions" && same_conditions(old, new)) {
            continue;
        }
        let value = match field {
            "conditions" => changed_conditions(old, new),
            "podIPs" | "hostIPs" => merge_addresses(old, new),
            _ => new.clone(),
        };
        patch.insert(field.to_owned(), value);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// Go writes what is unset as null or `{}` in places; neither says anything.
fn lean(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(fields) => {
            let fields: Map<String, Value> =
                fields.iter().filter_map(|(name, value)| Some((name.clone(), lean(value)?))).collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        Value::Array(items) => Some(Value::Array(items.iter().map(|item| lean(item).unwrap_or_default()).collect())),
        other => Some(other.clone()),
    }
}

/// Conditions merge by type, so that those of others stay and do not count.
fn same_conditions(old: &Value, new: &Value) -> bool {
    let old = old.as_array().map_or(&[][..], Vec::as_slice);
    new.as_array().into_iter().flatten().all(|condition| old.contains(condition)) && gone(old, new).next().is_none()
}

/// The conditions that are there only while they hold.
const PASSING: [&str; 2] = ["PodResizePending", "PodResizeInProgress"];

fn gone<'a>(old: &'a [Value], new: &'a Value) -> impl Iterator<Item = &'a str> {
    let holds = |kind: &str| new.as_array().into_iter().flatten().any(|condition| condition["type"] == kind);
    PASSING.into_iter().filter(move |kind| old.iter().any(|before| before["type"] == *kind) && !holds(kind))
}

/// The merge keeps what is not named, so what is no longer so is named as null.
fn changed_conditions(old: &Value, new: &Value) -> Value {
    let old = old.as_array().map_or(&[][..], Vec::as_slice);
    let explicit = |condition: &Value| {
        let mut condition = condition.clone();
        let before = old.iter().find(|before| before["type"] == condition["type"]);
        for field in ["reason", "message"] {
            // A merge would keep what is no longer so.
            if condition[field].is_null() && before.is_some_and(|before| !before[field].is_null()) {
                condition[field] = Value::Null;
            }
        }
        if let Value::Object(fields) = &mut condition {
            let kept = |name: &str| before.is_some_and(|before| !before[name].is_null());
            fields.retain(|name, value| !value.is_null() || kept(name));
        }
        condition
    };
    let removed = gone(old, new).map(|kind| json!({"$patch": "delete", "type": kind}));
    Value::Array(new.as_array().into_iter().flatten().map(explicit).chain(removed).collect())
}

/// Addresses merge by `ip`: those that are no longer there must be taken out by name.
fn merge_addresses(old: &Value, new: &Value) -> Value {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (old, new) = (list(old), list(new));
    let gone = old.iter().filter(|address| !new.contains(address));
    let gone = gone.map(|address| json!({"$patch": "delete", "ip": address["ip"]}));
    Value::Array(gone.chain(new.iter().cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_sent() {
        let known = br#"{"phase":"Pending","qosClass":"BestEffort","nominatedNodeName":"x","podIPs":[{"ip":"1.1.1.1"}],
            "conditions":[{"type":"Ready","status":"False","reason":"ContainersNotReady","lastProbeTime":null},
                {"type":"Theirs","status":"True"}],
            "containerStatuses":[{"name":"c","lastState":{},"ready":false}]}"#;
        let same = json!({"phase": "Pending", "qosClass": "BestEffort", "podIPs": [{"ip": "1.1.1.1"}],
            "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}],
            "containerStatuses": [{"name": "c", "ready": false}]});
        assert_eq!(difference(known, &same), None);
        let mut other = same.clone();
        other["phase"] = json!("Running");
        other["conditions"] = json!([{"type": "Ready", "status": "True"}]);
        other["podIPs"] = json!([{"ip": "2.2.2.2"}]);
        other.as_object_mut().unwrap().remove("qosClass");
        assert_eq!(
            difference(known, &other),
            Some(json!({
                "phase": "Running",
                "qosClass": null,
                "podIPs": [{"$patch": "delete", "ip": "1.1.1.1"}, {"ip": "2.2.2.2"}],
                "conditions": [{"type": "Ready", "status": "True", "reason": null}],
            }))
        );
    }
}
