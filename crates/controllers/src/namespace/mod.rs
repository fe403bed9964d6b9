//! Namespaces that are being deleted: empty them, pods first, and let them go.
//!
//! Says in the Namespace's conditions what is in the way. Objects are deleted by collection; their
//! own finalizers and graceful ends are waited for.

mod plan;
#[cfg(test)]
mod tests;

use crate::action::{Action, Plan};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::{DefinitionView, PodView};
use base::Timestamp;
use client::{Cache, Key};
use meta::{GroupVersionResource, ObjectMeta};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub const DEF: Def = Def {
    name: "namespace-controller",
    identity: "namespace-controller",
    component: "namespace-controller",
    workers: 10,
    retry: (Duration::from_millis(5), Duration::from_secs(60)),
    build,
};

#[derive(Debug, Clone, Deserialize)]
struct Namespace {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Value,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Spec {
    finalizers: Vec<String>,
}

struct Observed {
    namespace: Namespace,
    /// The object as the server has it.
    object: Value,
    /// What a namespace may hold, in the versions to ask for.
    contents: Vec<GroupVersionResource>,
}

struct Namespaces {
    namespaces: Arc<Cache<()>>,
    definitions: Arc<Cache<DefinitionView>>,
    built_in: Vec<GroupVersionResource>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let namespaces = rig.cache::<()>(&resource::NAMESPACES);
    let pods = rig.cache::<PodView>(&resource::PODS);
    rig.on(&namespaces, |change, queue| {
        let ending = change.new.as_ref().filter(|namespace| namespace.meta.is_deleting());
        ending.into_iter().for_each(|namespace| queue.add(namespace.key.clone()));
    });
    let all = namespaces.clone();
    // The last pod that went is what an ending namespace waits for most of all.
    rig.on(&pods, move |change, queue| {
        let gone = change.old.as_ref().filter(|_| change.new.is_none());
        let namespace = gone.and_then(|pod| all.get("", &pod.meta.namespace));
        namespace.filter(|namespace| namespace.meta.is_deleting()).into_iter().for_each(|it| queue.add(it.key.clone()));
    });
    let definitions = rig.cache_if_served::<DefinitionView>(&resource::CUSTOM_RESOURCE_DEFINITIONS);
    Box::new(Namespaces { namespaces, definitions, built_in: built_in() })
}

/// Every built-in kind that lives in namespaces and can be listed and deleted, once.
fn built_in() -> Vec<GroupVersionResource> {
    let mut seen = BTreeSet::new();
    let kinds = kinds::all()
        .iter()
        .filter(|kind| kind.namespaced && kind.served_by_default && kind.has_verb("list") && kind.has_verb("delete"));
    // Events exist in two groups; they are the same objects.
    let kinds = kinds.filter(|kind| !(kind.group == "events.k8s.io" && kind.resource == "events"));
    let preferred = kinds.filter_map(|kind| kinds::find_resource(&kind.group, &kind.resource));
    let once = preferred.filter(|kind| seen.insert((&kind.group, &kind.resource)));
    once.map(kinds::Kind::gvr).collect()
}

impl Namespaces {
    /// What a namespace may hold as of now.
    fn contents(&self) -> Vec<GroupVersionResource> {
        let mut contents = self.built_in.clone();
        let served = self.definitions.list().into_iter().filter_map(|definition| definition.view.served.clone());
        contents.extend(served.filter(|kind| kind.namespaced).map(|kind| kind.resource));
        contents
    }
}

impl Room for Namespaces {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let Some(item) = self.namespaces.get_key(key).filter(|item| item.meta.is_deleting()) else {
            return Ok(Plan::nothing());
        };
        // The cache may be behind: by now another of that name may stand there, which is to keep what it has.
        let (contents, key, uid) = (self.contents(), key.clone(), item.meta.uid.clone());
        let read = Action::Read { resource: resource::NAMESPACES, key: key.clone() };
        Ok(Plan::of(vec![read]).then(move |outcome| {
            let live = outcome.reads.first().and_then(Option::as_ref);
            let read =
                live.and_then(|body| Some((serde_json::from_slice(body).ok()?, serde_json::from_slice(body).ok()?)));
            let Some((namespace, object)) = read else { return Plan::nothing() };
            let observed = Observed { namespace, object, contents };
            let meta = &observed.namespace.metadata;
            if meta.uid == uid && meta.is_deleting() { plan::plan(&observed, now) } else { Plan::nothing() }
        }))
    }
}
