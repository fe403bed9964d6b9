//! A small API server in memory, for tests only: objects, versions, watches, and faults on demand.
//!
//! It checks nothing, defaults nothing and knows no kinds; what a real server does beyond keeping
//! objects is tested in the simulator.

use crate::{Api, BoxFuture, DeleteOptions, Error, Event, EventType, List, PatchType, Request, Response, Verb, Watch};
use bytes::Bytes;
use futures_util::stream;
use meta::{GroupVersionResource, Status};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

type Fault = Box<dyn Fn(&Request) -> Option<Error> + Send + Sync>;

/// Clones are the same server.
#[derive(Clone, Default)]
pub struct FakeApi(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    version: u64,
    objects: BTreeMap<(GroupVersionResource, String, String), Value>,
    history: Vec<(u64, GroupVersionResource, Event)>,
    /// Versions up to here are forgotten.
    compacted: u64,
    watchers: Vec<(GroupVersionResource, mpsc::UnboundedSender<Result<Event, Error>>)>,
    faults: Vec<Fault>,
    log: Vec<String>,
    /// While set, watches get nothing.
    frozen: bool,
    /// Resources whose watches get nothing.
    held: Vec<GroupVersionResource>,
}

impl FakeApi {
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an object in as it is, whoever wrote it.
    pub fn put(&self, resource: &GroupVersionResource, object: Value) -> Value {
        let mut state = self.state();
        let meta = &object["metadata"];
        let text = |field: &str| meta[field].as_str().unwrap_or("").to_owned();
        let place = (resource.clone(), text("namespace"), text("name"));
        state.write(place, object)
    }

    /// Removes an object at once, whatever its finalizers.
    pub fn remove(&self, resource: &GroupVersionResource, namespace: &str, name: &str) {
        self.state().erase(&(resource.clone(), namespace.to_owned(), name.to_owned()));
    }

    pub fn get(&self, resource: &GroupVersionResource, namespace: &str, name: &str) -> Option<Value> {
        self.state().objects.get(&(resource.clone(), namespace.to_owned(), name.to_owned())).cloned()
    }

    pub fn all(&self, resource: &GroupVersionResource) -> Vec<Value> {
        let state = self.state();
        state.objects.iter().filter(|(place, _)| place.0 == *resource).map(|(_, object)| object.clone()).collect()
    }

    /// Makes matching requests fail from now on.
    pub fn fault(&self, fault: impl Fn(&Request) -> Option<Error> + Send + Sync + 'static) {
        self.state().faults.push(Box::new(fault));
    }

    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// Ends every watch; with `forget`, what happened so far can no longer be resumed from (410).
    pub fn drop_watches(&self, forget: bool) {
        let mut state = self.state();
        state.watchers.clear();
        if forget {
            state.compacted = state.version;
        }
    }

    /// Holds events back (they are lost to running watches: drop those to have them resume).
    pub fn freeze(&self, frozen: bool) {
        self.state().frozen = frozen;
    }

    /// The same for one resource.
    pub fn hold(&self, resource: &GroupVersionResource, held: bool) {
        let mut state = self.state();
        state.held.retain(|other| other != resource);
        if held {
            state.held.push(resource.clone());
        }
    }

    /// Sends an event again to all watches of a resource.
    pub fn repeat_last(&self, resource: &GroupVersionResource) {
        let state = self.state();
        let last = state.history.iter().rev().find(|(_, of, _)| of == resource).map(|(_, _, event)| event.clone());
        let Some(event) = last else { return };
        for (_, watcher) in state.watchers.iter().filter(|(of, _)| of == resource) {
            let _ = watcher.send(Ok(event.clone()));
        }
    }

    /// The requests so far as `verb resource/subresource namespace/name`, without lists and watches;
    /// empties the record.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Api for FakeApi {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Response, Error>> {
        Box::pin(async move {
            // A real server answers later, too.
            tokio::task::yield_now().await;
            self.state().answer(&request)
        })
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Result<Response, Error> {
        if !matches!(request.verb, Verb::List | Verb::Watch) {
            self.log.push(describe(request));
        }
        if let Some(error) = self.faults.iter().find_map(|fault| fault(request)) {
            return Err(error);
        }
        let namespace = request.namespace.clone().unwrap_or_default();
        let name = request.name.clone().unwrap_or_default();
        let place = (request.resource.clone(), namespace, name);
        match request.verb {
            Verb::List => Ok(Response::List(self.list(request))),
            Verb::Watch => self.watch(request).map(Response::Watch),
            Verb::Get => self.find(&place).map(object),
            Verb::Create if request.subresource.is_none() => self.create(place, &request.body),
            Verb::Create => Ok(object(&json!({}))),
            Verb::Update => {
                let new = parse(&request.body)?;
                self.expect_version(&place, &new)?;
                Ok(object(&self.write(place, new)))
            }
            Verb::Patch(kind) => self.patch(place, kind, &request.body),
            Verb::Delete => self.delete(&place, &request.body),
            Verb::DeleteCollection => {
                let gone: Vec<_> =
                    self.objects.keys().filter(|key| key.0 == place.0 && key.1 == place.1).cloned().collect();
                gone.iter().try_for_each(|place| self.delete(place, b"{}").map(drop))?;
                Ok(object(&json!({"kind": "Status", "status": "Success"})))
            }
        }
    }

    fn find(&self, place: &(GroupVersionResource, String, String)) -> Result<&Value, Error> {
        let missing = || Status::not_found(&place.0.group_resource(), &place.2).into();
        self.objects.get(place).ok_or_else(missing)
    }

    /// What is written over an object must name the version it was made from, or none.
    fn expect_version(&self, place: &(GroupVersionResource, String, String), written: &Value) -> Result<(), Error> {
        let standing = &self.find(place)?["metadata"]["resourceVersion"];
        let expected = written["metadata"]["resourceVersion"].as_str();
        if expected.is_some_and(|expected| standing != expected) {
            let why = "the object has been modified; please apply your changes to the latest version and try again";
            return Err(Status::conflict(&place.0.group_resource(), &place.2, why).into());
        }
        Ok(())
    }

    fn list(&self, request: &Request) -> List {
        let of_namespace = |namespace: &str| request.namespace.as_deref().is_none_or(|asked| asked == namespace);
        let matching = self.objects.iter().filter(|(place, _)| place.0 == request.resource && of_namespace(&place.1));
        List {
            resource_version: self.version.to_string(),
            items: matching.map(|(_, object)| bytes(object)).collect(),
            ..List::default()
        }
    }

    fn watch(&mut self, request: &Request) -> Result<Watch, Error> {
        let from: u64 = request.options.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0);
        if from < self.compacted {
            return Err(Status::expired(format!("too old resource version: {from} ({})", self.compacted)).into());
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        for (version, resource, event) in &self.history {
            if *version > from && *resource == request.resource {
                let _ = sender.send(Ok(event.clone()));
            }
        }
        self.watchers.push((request.resource.clone(), sender));
        let events = stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
        Ok(Box::pin(events))
    }

    fn create(&mut self, mut place: (GroupVersionResource, String, String), body: &[u8]) -> Result<Response, Error> {
        let mut new = parse(body)?;
        let meta = new["metadata"].as_object_mut().ok_or_else(|| Status::bad_request("no metadata"))?;
        let generated =
            meta.get("generateName").and_then(Value::as_str).map(|prefix| format!("{prefix}{:05}", self.version));
        place.2 = meta.get("name").and_then(Value::as_str).map(str::to_owned).or(generated).unwrap_or_default();
        if self.objects.contains_key(&place) {
            return Err(Status::already_exists(&place.0.group_resource(), &place.2).into());
        }
        meta.insert("name".to_owned(), json!(place.2));
        if !place.1.is_empty() {
            meta.insert("namespace".to_owned(), json!(place.1));
        }
        let written = self.write(place, new);
        Ok(Response::Object { body: bytes(&written), created: true })
    }

    fn patch(
        &mut self,
        place: (GroupVersionResource, String, String),
        kind: PatchType,
        body: &[u8],
    ) -> Result<Response, Error> {
        let mut new = self.find(&place)?.clone();
        let patch = parse(body)?;
        self.expect_version(&place, &patch)?;
        let old = new.clone();
        match kind {
            PatchType::Json => patch.as_array().into_iter().flatten().for_each(|step| operate(&mut new, step)),
            _ => merge(&mut new, &patch),
        }
        if new == old {
            return Ok(object(&new));
        }
        let finalized = new["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
        // Pods wait for their kubelet, namespaces have finalizers of their own.
        let stays = matches!(place.0.resource.as_ref(), "pods" | "namespaces");
        if finalized && new["metadata"]["deletionTimestamp"].is_string() && !stays {
            self.erase(&place);
            return Ok(object(&new));
        }
        Ok(object(&self.write(place, new)))
    }

    fn delete(&mut self, place: &(GroupVersionResource, String, String), body: &[u8]) -> Result<Response, Error> {
        let options: DeleteOptions = serde_json::from_slice(body).unwrap_or_default();
        let mut held = self.find(place)?.clone();
        let wanted = options.preconditions.unwrap_or_default();
        let conditions = [("uid", "UID", wanted.uid), ("resourceVersion", "ResourceVersion", wanted.resource_version)];
        for (field, name, wanted) in conditions {
            if wanted.is_some_and(|wanted| held["metadata"][field] != wanted) {
                let message = format!("the {name} in the precondition");
                return Err(Status::conflict(&place.0.group_resource(), &place.2, &message).into());
            }
        }
        let finalizer = match options.propagation_policy.as_deref() {
            Some("Foreground") => Some("foregroundDeletion"),
            Some("Orphan") => Some("orphan"),
            _ => None,
        };
        if let Some(finalizer) = finalizer {
            held["metadata"]["finalizers"] = json!([finalizer]);
        }
        // Pods stay until their kubelet is done with them.
        let bound = place.0.resource == "pods" && held["spec"]["nodeName"].is_string();
        let kept = held["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        let graceful = bound && options.grace_period_seconds != Some(0);
        if (graceful || kept) && held["metadata"]["deletionTimestamp"].is_null() {
            held["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            return Ok(object(&self.write(place.clone(), held)));
        }
        if !(graceful || kept) {
            self.erase(place);
        }
        Ok(object(&held))
    }

    fn write(&mut self, place: (GroupVersionResource, String, String), mut new: Value) -> Value {
        self.version += 1;
        let old = self.objects.get(&place);
        let uid = old.map_or_else(|| json!(format!("uid-{}", self.version)), |old| old["metadata"]["uid"].clone());
        let kind = if old.is_some() { EventType::Modified } else { EventType::Added };
        let meta = &mut new["metadata"];
        meta["resourceVersion"] = json!(self.version.to_string());
        if meta["uid"].is_null() {
            meta["uid"] = uid;
        }
        if meta["creationTimestamp"].is_null() {
            meta["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        self.objects.insert(place.clone(), new.clone());
        self.publish(&place.0, Event { kind, object: bytes(&new), metadata: None });
        new
    }

    fn erase(&mut self, place: &(GroupVersionResource, String, String)) {
        let Some(mut old) = self.objects.remove(place) else { return };
        self.version += 1;
        old["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.publish(&place.0, Event { kind: EventType::Deleted, object: bytes(&old), metadata: None });
    }

    fn publish(&mut self, resource: &GroupVersionResource, event: Event) {
        self.history.push((self.version, resource.clone(), event.clone()));
        if !self.frozen && !self.held.contains(resource) {
            self.watchers.retain(|(of, watcher)| of != resource || watcher.send(Ok(event.clone())).is_ok());
        }
    }
}

fn describe(request: &Request) -> String {
    let sub = request.subresource.as_ref().map(|sub| format!("/{sub}")).unwrap_or_default();
    let namespace = request.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let name = request.name.as_deref().unwrap_or("");
    let text = format!("{} {}{sub} {namespace}{name}", request.verb.as_str(), request.resource.resource);
    text.trim_end().to_owned()
}

fn object(value: &Value) -> Response {
    Response::Object { body: bytes(value), created: false }
}

fn bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

fn parse(body: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(body).map_err(|error| Status::bad_request(error.to_string()).into())
}

/// One step of a JSON patch, without tests, moves and array indices.
fn operate(target: &mut Value, step: &Value) {
    let path = step["path"].as_str().unwrap_or_default();
    let Some((parent, field)) = path.rsplit_once('/') else { return };
    let Some(fields) = target.pointer_mut(parent).and_then(Value::as_object_mut) else { return };
    if step["op"] == "remove" {
        fields.remove(field);
    } else {
        fields.insert(field.to_owned(), step["value"].clone());
    }
}

/// RFC 7386; strategic and apply patches are taken for merge patches, but for values leaving lists.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = value.as_array().cloned().unwrap_or_default();
            if let Some(list) = fields.get_mut(list).and_then(Value::as_array_mut) {
                list.retain(|one| !gone.contains(one));
            }
        } else if value.as_array().is_some_and(|list| list.iter().any(|one| one["$patch"].is_string())) {
            let list = fields.entry(name.clone()).or_insert_with(|| json!([]));
            list.as_array_mut().into_iter().for_each(|list| merge_by_uid(list, value));
        } else if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// What a strategic patch does to a list of owners from which some leave.
fn merge_by_uid(list: &mut Vec<Value>, patch: &Value) {
    for one in patch.as_array().into_iter().flatten() {
        list.retain(|old| old["uid"] != one["uid"]);
        if one["$patch"].is_null() {
            list.push(one.clone());
        }
    }
}
