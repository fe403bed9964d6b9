//! Migrations of stored objects: writes every object of a resource once more, page by page, so that
//! all are stored in today's version and sealed with today's key.
//!
//! A patch that changes nothing is enough: the server writes what it would store differently. An
//! object that somebody else wrote meanwhile needs none. After a restart a migration begins anew.

#[cfg(test)]
mod tests;

use crate::action::{Action, Patch, Plan, Update};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use base::Timestamp;
use base::collections::HashMap;
use bytes::Bytes;
use client::queue::RETRY;
use client::{Cache, Key, List, PatchType, Request, Verb};
use meta::conditions::{self, Condition};
use meta::{GroupVersionResource, ObjectMeta, Reason};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub const DEF: Def = Def {
    name: "storage-version-migrator-controller",
    identity: "storage-version-migrator-controller",
    component: "storage-version-migrator-controller",
    workers: 5,
    retry: RETRY,
    build,
};

/// Objects of one page; between two pages other migrations have their turn.
const PAGE: u64 = 200;
const NOT_FOUND: &str = "resource not found";
const UNHANDLED: &str = "migration encountered unhandled error";

/// How far a migration has come.
#[derive(Clone)]
enum Stage {
    /// The next page is the one after the token; None: the first.
    Writing {
        of: Target,
        token: Option<String>,
    },
    Ended {
        of: Option<Target>,
        failure: Option<&'static str>,
    },
}

/// What is migrated.
#[derive(Clone)]
struct Target {
    resource: GroupVersionResource,
    /// The definition of a custom resource, by name.
    definition: Option<String>,
}

#[derive(Clone, Default)]
struct Stages(Arc<Mutex<HashMap<Key, Stage>>>);

impl Stages {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Stage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next reconcile, which comes at once, goes on from there.
    fn go_on(&self, key: &Key, stage: Stage) -> Plan {
        self.lock().insert(key.clone(), stage);
        Plan::nothing().again(Some(Duration::ZERO))
    }

    fn end(&self, key: &Key, of: Option<Target>, failure: Option<&'static str>) -> Plan {
        self.go_on(key, Stage::Ended { of, failure })
    }
}

struct Migrator {
    migrations: Arc<Cache<()>>,
    stages: Stages,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let migrations = rig.cache::<()>(&resource::STORAGE_VERSION_MIGRATIONS);
    rig.on_itself(&migrations);
    Box::new(Migrator { migrations, stages: Stages::default() })
}

impl Room for Migrator {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let item = self.migrations.get_key(key).filter(|item| !item.meta.is_deleting());
        let Some(item) = item else {
            self.stages.lock().remove(key);
            return Ok(Plan::nothing());
        };
        let migration: Value = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let conditions = &migration["status"]["conditions"];
        if ["Succeeded", "Failed"].iter().any(|over| conditions::is_true(conditions, over)) {
            self.stages.lock().remove(key);
            return Ok(Plan::nothing());
        }
        let stage = self.stages.lock().get(key).cloned();
        Ok(match stage {
            None => begin(&self.stages, key, &migration["spec"]["resource"]),
            Some(Stage::Writing { of, token }) => write_page(&self.stages, key, &migration, of, token, now),
            Some(Stage::Ended { of, failure }) => end(key, migration, of, failure, now),
        })
    }
}

/// Finds out what is to be migrated.
fn begin(stages: &Stages, key: &Key, wanted: &Value) -> Plan {
    let text = |field: &str| wanted[field].as_str().unwrap_or_default();
    let (group, plural) = (text("group"), text("resource"));
    let versions = kinds::versions(group, plural);
    let stored = versions.iter().find(|kind| kind.is_storage_version()).or(versions.first());
    if let Some(kind) = stored {
        let of = Target { resource: kind.gvr(), definition: None };
        return match kind.is_stored() {
            true => stages.go_on(key, Stage::Writing { of, token: None }),
            false => stages.end(key, None, Some(NOT_FOUND)),
        };
    }
    let definition = format!("{plural}.{group}");
    let (stages, key) = (stages.clone(), key.clone());
    let read = Action::Read { resource: resource::CUSTOM_RESOURCE_DEFINITIONS, key: Key::new("", &definition) };
    Plan::of(vec![read]).then(move |outcome| {
        let found = match outcome.reads.first() {
            Some(Some(body)) => serde_json::from_slice(body).ok(),
            Some(None) => None,
            // The failure is the executor's to tell.
            None => return Plan::nothing(),
        };
        match found.as_ref().and_then(custom) {
            Some(resource) => {
                let of = Target { resource, definition: Some(definition) };
                stages.go_on(&key, Stage::Writing { of, token: None })
            }
            None => stages.end(&key, None, Some(NOT_FOUND)),
        }
    })
}

/// What a definition stores.
fn custom(definition: &Value) -> Option<GroupVersionResource> {
    let spec = &definition["spec"];
    let version = spec["versions"].as_array()?.iter().find(|version| version["storage"] == true)?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (group, version) = (text(&spec["group"])?, text(&version["name"])?);
    let resource = text(&spec["names"]["plural"])?;
    Some(GroupVersionResource { group: group.into(), version: version.into(), resource: resource.into() })
}

fn write_page(
    stages: &Stages,
    key: &Key,
    migration: &Value,
    of: Target,
    token: Option<String>,
    now: Timestamp,
) -> Plan {
    let options = client::Options { limit: Some(PAGE), continue_token: token.clone(), ..client::Options::default() };
    let request = Request::new(Verb::List, of.resource.clone()).options(options);
    let (stages, key, migration) = (stages.clone(), key.clone(), migration.clone());
    Plan::of(vec![Action::Page(Box::new(request))]).then(move |outcome| match outcome.pages.first() {
        Some(Ok(page)) => rewrite(&stages, &key, migration, of, page, now),
        Some(Err(error)) if error.is(Reason::NotFound) => stages.end(&key, Some(of), Some(NOT_FOUND)),
        // The list the token was for is forgotten: it begins anew.
        Some(Err(error)) if error.is(Reason::Expired) && token.is_some() => {
            stages.go_on(&key, Stage::Writing { of, token: None })
        }
        _ => Plan::nothing().unfinished(),
    })
}

/// Patches what a page holds, and says first that the work has begun.
fn rewrite(stages: &Stages, key: &Key, migration: Value, of: Target, page: &List, now: Timestamp) -> Plan {
    let patches: Vec<Request> = page.items.iter().filter_map(|item| patch(&of.resource, item)).collect();
    let mut actions = Vec::new();
    if !conditions::is_true(&migration["status"]["conditions"], "Running") {
        let mut begun = migration;
        begun["status"]["resourceVersion"] = json!(page.resource_version);
        actions.push(say(key, begun, "Running", "", now));
    }
    actions.push(Action::Ask(patches));
    let (stages, key, token) = (stages.clone(), key.clone(), page.continue_token.clone());
    Plan::of(actions).then(move |outcome| {
        if outcome.failure.is_some() {
            return Plan::nothing();
        }
        let is_done = |answer: &Result<Vec<Bytes>, client::Error>| match answer {
            Ok(_) => true,
            // Written or deleted meanwhile: there is nothing left to do for it.
            Err(error) => error.is(Reason::Conflict) || error.is(Reason::NotFound),
        };
        match outcome.answers.iter().find(|answer| !is_done(answer)) {
            Some(Err(error)) if error.is(Reason::TooManyRequests) => Plan::nothing().unfinished(),
            Some(_) => stages.end(&key, Some(of), Some(UNHANDLED)),
            None if token.is_some() => stages.go_on(&key, Stage::Writing { of, token }),
            None => stages.end(&key, Some(of), None),
        }
    })
}

/// Changes nothing of the object, at the version it was listed with.
fn patch(resource: &GroupVersionResource, item: &Bytes) -> Option<Request> {
    #[derive(serde::Deserialize)]
    struct Envelope {
        metadata: ObjectMeta,
    }
    let Envelope { metadata } = serde_json::from_slice(item).ok()?;
    let body = json!({"metadata": {"uid": metadata.uid, "resourceVersion": metadata.resource_version}});
    let request = Request::new(Verb::Patch(PatchType::Merge), resource.clone()).name(metadata.name);
    let request = match metadata.namespace.is_empty() {
        true => request,
        false => request.namespace(metadata.namespace),
    };
    Some(request.body(body.to_string()))
}

fn end(key: &Key, migration: Value, of: Option<Target>, failure: Option<&'static str>, now: Timestamp) -> Plan {
    let mut actions = Vec::new();
    if let (None, Some(Target { resource: of, definition: Some(name) })) = (failure, &of) {
        // Nothing is stored in any other version now.
        let body = json!({"status": {"storedVersions": [of.version]}});
        let definition = Key::new("", name);
        let patch = Patch::merge(&resource::CUSTOM_RESOURCE_DEFINITIONS, &definition, body);
        actions.push(Action::Patch(patch.subresource("status")));
    }
    let kind = if failure.is_some() { "Failed" } else { "Succeeded" };
    actions.push(say(key, migration, kind, failure.unwrap_or_default(), now));
    Plan::of(actions)
}

/// Writes a condition; the last one ends `Running`.
fn say(key: &Key, mut migration: Value, kind: &str, message: &str, now: Timestamp) -> Action {
    let all = &mut migration["status"]["conditions"];
    let condition = |kind, status, reason, message| Condition { kind, status, reason, message, observed_generation: 0 };
    let reason = match kind {
        "Running" => "StorageVersionMigrationInProgress",
        "Succeeded" => "StorageVersionMigrationSucceeded",
        _ => "StorageVersionMigrationFailed",
    };
    if kind != "Running" && conditions::is_true(all, "Running") {
        conditions::set(all, condition("Running", "False", reason, ""), now);
    }
    conditions::set(all, condition(kind, "True", reason, message), now);
    let (resource, key) = (resource::STORAGE_VERSION_MIGRATIONS, key.clone());
    Action::Update(Update { resource, key, subresource: Some("status"), object: migration })
}
