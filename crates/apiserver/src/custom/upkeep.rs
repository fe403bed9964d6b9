//! Looks after definitions: accepts their names, says so in their conditions, and empties those that
//! are being deleted before they go.

use super::conditions::{is_settled, set, settled};
use super::{ESTABLISHED, GROUP, RESOURCE};
use crate::object::Object;
use crate::read::collection_of;
use crate::resources::Resource;
use crate::server::Server;
use crate::write::{Caller, Media};
use base::collections::HashSet;
use client::{Request, Verb};
use meta::{GroupVersionResource, Status, User};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use strategy::custom::Definition;
use tracing::warn;

const DEFINITIONS: GroupVersionResource = GroupVersionResource::of(GROUP, "v1", RESOURCE);
pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
const TERMINATING: &str = "Terminating";
const BATCH: usize = 256;
/// How soon an object that would not go is deleted again, and a failed write is made again.
const AGAIN: Duration = Duration::from_secs(5);

/// Definitions that are being emptied right now.
#[derive(Clone, Default)]
struct Ending(Arc<Mutex<HashSet<String>>>);

impl Server {
    /// Runs for as long as the server does.
    pub(crate) async fn keep_definitions(self: Arc<Self>) {
        let Some(resource) = self.resources.find(GROUP, "v1", RESOURCE) else { return };
        let Ok(collection) = collection_of(&resource, "watch").cloned() else { return };
        let ending = Ending::default();
        'lists: loop {
            let (objects, _, mut place) = collection.snapshot_and_place();
            for object in objects.values().filter(|object| self.needs_a_look(object)) {
                self.settle_definition(&object.index.name, &ending).await;
            }
            loop {
                collection.grown_past(place).await;
                // Fallen behind: everything is looked at again.
                let Ok((changes, _)) = collection.changes(place, BATCH) else { continue 'lists };
                place += changes.len() as u64;
                for change in &changes {
                    let name = &change.object.index.name;
                    let has_moved = match change.deleted {
                        true => {
                            self.settle_neighbours(name, &ending).await;
                            true
                        }
                        false => self.settle_definition(name, &ending).await,
                    };
                    if let Some((_, group)) = name.split_once('.').filter(|_| has_moved) {
                        self.register_local(Some(group)).await;
                    }
                }
            }
        }
    }

    /// Most definitions of a start-up are served already, and need nothing.
    fn needs_a_look(&self, object: &Object) -> bool {
        let rows = self.resources.of_definition(&object.index.name);
        let custom = rows.first().and_then(|row| row.custom.as_ref());
        custom.is_none_or(|custom| custom.is_ending() || !custom.definition.is_true(ESTABLISHED))
    }

    /// Names that a definition had are free now.
    async fn settle_neighbours(&self, name: &str, ending: &Ending) {
        let Some((_, group)) = name.split_once('.') else { return };
        let Some(resource) = self.resources.find(GROUP, "v1", RESOURCE) else { return };
        let Some(collection) = &resource.collection else { return };
        let (objects, _) = collection.snapshot();
        let waits = |name: &&Arc<str>| {
            name.split_once('.').is_some_and(|(_, other)| other == group)
                && self.resources.of_definition(name).is_empty()
        };
        let waiting: Vec<Arc<str>> = objects.keys().filter(waits).cloned().collect();
        for name in waiting {
            self.settle_definition(&name, ending).await;
        }
    }

    /// Whether the definition is served now.
    async fn settle_definition(&self, name: &str, ending: &Ending) -> bool {
        let resource = self.resources.find(GROUP, "v1", RESOURCE);
        let object = resource.and_then(|resource| self.get(&resource, "", name).ok());
        let Some(object) = object else { return false };
        let Ok(definition) = Definition::read(&object.json) else { return false };
        if definition.metadata.deletion_timestamp.is_some() {
            if definition.metadata.finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
                self.end_definition(name, ending);
            }
        } else if !is_settled(&definition)
            && let Ok(value) = object.value()
        {
            let rows = self.resources.customs();
            let others: Vec<&Definition> = rows.iter().filter_map(|row| neighbour(row, &definition)).collect();
            let status = settled(&value, &definition, &others, self.env.clock.now());
            if value.get("status") != Some(&status) {
                self.write_status(value, status).await;
            }
        }
        definition.is_true(ESTABLISHED)
    }

    async fn write_status(&self, mut value: Value, status: Value) {
        value["status"] = status;
        let outcome = self.put_definition(&value, Some("status")).await;
        // After a conflict the newer state comes by itself.
        if let Err(status) = outcome
            && !status.is(meta::Reason::Conflict)
            && !status.is(meta::Reason::NotFound)
        {
            warn!(error = %status.message, "cannot write the status of a definition");
        }
    }

    async fn put_definition(&self, value: &Value, subresource: Option<&str>) -> Result<(), Status> {
        let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let mut request = Request::new(Verb::Update, DEFINITIONS).name(name).body(value.to_string());
        request.subresource = subresource.map(str::to_owned);
        let user = own_user();
        let mut warnings = Vec::new();
        let mut caller = Caller { user: &user, user_agent: "kube-apiserver", warnings: &mut warnings, record: None };
        self.handle(&request, Media::Json, &mut caller).await.map(|_| ())
    }

    fn end_definition(&self, name: &str, ending: &Ending) {
        let Some(server) = self.own() else { return };
        if !ending.lock().insert(name.to_owned()) {
            return;
        }
        let (name, ending) = (name.to_owned(), ending.clone());
        self.env.tasks.spawn("definition ends", async move {
            while let Err(status) = server.empty_definition(&name).await {
                if status.is(meta::Reason::NotFound) {
                    break;
                }
                server.env.clock.sleep(AGAIN).await;
            }
            ending.lock().remove(&name);
        });
    }

    /// Deletes all objects of a definition, waits until they are gone, and lets it go.
    async fn empty_definition(&self, name: &str) -> Result<(), Status> {
        self.tell_ending(name, ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress"))
            .await?;
        if let Some(row) = self.resources.of_definition(name).first() {
            self.empty_row(row).await?;
        }
        self.tell_ending(name, ("False", "InstanceDeletionCompleted", "removed all instances")).await?;
        let mut value = self.definition(name)?;
        if let Some(finalizers) = value.pointer_mut("/metadata/finalizers").and_then(Value::as_array_mut) {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        self.put_definition(&value, None).await
    }

    async fn empty_row(&self, row: &Arc<Resource>) -> Result<(), Status> {
        let collection = collection_of(row, "delete")?.clone();
        let user = own_user();
        loop {
            let (objects, _, place) = collection.snapshot_and_place();
            if objects.is_empty() {
                return Ok(());
            }
            let mut warnings = Vec::new();
            let mut caller =
                Caller { user: &user, user_agent: "kube-apiserver", warnings: &mut warnings, record: None };
            let request = Request::new(Verb::DeleteCollection, row.gvr());
            self.delete_collection(row, &request, &mut caller).await?;
            if collection.len() > 0 {
                // Finalizers hold some: their owners' writes wake this, or time does.
                let _ = self.env.clock.timeout(AGAIN, collection.grown_past(place + objects.len() as u64)).await;
            }
        }
    }

    fn definition(&self, name: &str) -> Result<Value, Status> {
        let resource = self.resources.find(GROUP, "v1", RESOURCE).ok_or_else(Status::no_such_path)?;
        self.get(&resource, "", name)?.value()
    }

    async fn tell_ending(&self, name: &str, what: (&str, &str, &str)) -> Result<(), Status> {
        let mut value = self.definition(name)?;
        let before = value.clone();
        set(&mut value["status"], TERMINATING, what, self.env.clock.now());
        if value == before { Ok(()) } else { self.put_definition(&value, Some("status")).await }
    }
}

impl Ending {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The definition behind a row, if it is another one of the same group.
fn neighbour<'a>(row: &'a Resource, of: &Definition) -> Option<&'a Definition> {
    let other = &*row.custom.as_ref()?.definition;
    (other.spec.group == of.spec.group && other.metadata.name != of.metadata.name).then_some(other)
}

fn own_user() -> User {
    User::new(auth::names::API_SERVER, &[auth::names::MASTERS])
}
