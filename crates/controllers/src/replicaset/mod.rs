//! ReplicaSets and ReplicationControllers: as many pods as wanted, no more, no fewer.
//!
//! One logic for both kinds ([`Flavour`] says what differs). Looks at sets and pods; creates and
//! deletes pods, adopts and releases them, writes the set's status.

mod plan;
mod rank;
mod status;
#[cfg(test)]
mod tests;

pub use rank::first_to_go;

use crate::action::Plan;
use crate::kinds::{kind, resource};
use crate::ownership::{self, Owner, own_or_free};
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::{PodView, spec_of};
use base::Timestamp;
use base::collections::HashMap;
use client::queue::RETRY;
use client::{Cache, Change, Item, Key, Projection, WorkQueue};
use meta::labels::{Selector, SelectorError};
use meta::{GroupVersionKind, GroupVersionResource, ObjectMeta};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

pub const REPLICA_SET: Def = Def {
    name: "replicaset-controller",
    identity: "replicaset-controller",
    component: "replicaset-controller",
    workers: 5,
    retry: RETRY,
    build: build::<ReplicaSet>,
};

pub const REPLICATION_CONTROLLER: Def = Def {
    name: "replicationcontroller-controller",
    identity: "replication-controller",
    component: "replication-controller",
    workers: 5,
    retry: RETRY,
    build: build::<ReplicationController>,
};

/// What differs between the two kinds.
pub trait Flavour: Send + Sync + 'static {
    const KIND: GroupVersionKind;
    const RESOURCE: GroupVersionResource;
    fn selector(spec: &Value) -> Result<Selector, SelectorError>;
}

pub struct ReplicaSet;

impl Flavour for ReplicaSet {
    const KIND: GroupVersionKind = kind::REPLICA_SETS;
    const RESOURCE: GroupVersionResource = resource::REPLICA_SETS;

    fn selector(spec: &Value) -> Result<Selector, SelectorError> {
        Selector::from_json(&spec["selector"])
    }
}

pub struct ReplicationController;

impl Flavour for ReplicationController {
    const KIND: GroupVersionKind = kind::REPLICATION_CONTROLLERS;
    const RESOURCE: GroupVersionResource = resource::REPLICATION_CONTROLLERS;

    fn selector(spec: &Value) -> Result<Selector, SelectorError> {
        let labels: BTreeMap<String, String> = serde_json::from_value(spec["selector"].clone()).unwrap_or_default();
        if labels.is_empty() { Ok(Selector::nothing()) } else { Ok(Selector::from_set(&labels)) }
    }
}

/// A set's selector, by which pods find their sets. An unreadable one matches nothing.
pub(crate) struct SetView<F> {
    pub selector: Selector,
    flavour: PhantomData<F>,
}

impl<F: Flavour> Projection for SetView<F> {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let selector = F::selector(&spec_of(object)?).unwrap_or_else(|_| Selector::nothing());
        Ok(SetView { selector, flavour: PhantomData })
    }
}

/// A set as the plan reads it.
#[derive(Debug, Clone, Deserialize)]
struct Set {
    metadata: ObjectMeta,
    spec: Spec,
    #[serde(default)]
    status: Value,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default = "one")]
    replicas: i32,
    #[serde(default)]
    min_ready_seconds: i32,
    #[serde(default)]
    template: Value,
}

fn one() -> i32 {
    1
}

/// All that a plan depends on.
struct Observed {
    owner: Owner,
    set: Set,
    selector: Selector,
    /// Its pods and those it might adopt.
    pods: Vec<Arc<Item<PodView>>>,
    /// Active pods by node, of this set and of the others of its owner: where two versions of a
    /// Deployment stand side by side, the doubled-up pod goes first.
    neighbours: HashMap<String, usize>,
}

struct Sets<F: Flavour> {
    sets: Arc<Cache<SetView<F>>>,
    pods: Arc<Cache<PodView>>,
}

fn build<F: Flavour>(rig: &Rig) -> Box<dyn Room> {
    let sets = rig.cache::<SetView<F>>(&F::RESOURCE);
    let pods = rig.cache::<PodView>(&resource::PODS);
    rig.on_itself(&sets);
    let of_pod = sets.clone();
    rig.on(&pods, move |change, queue| pod_changed(&of_pod, change, queue));
    Box::new(Sets { sets, pods })
}

/// Wakes the set a pod belongs to or left; of a pod that nobody controls, all sets that match it.
fn pod_changed<F: Flavour>(sets: &Cache<SetView<F>>, change: &Change<PodView>, queue: &WorkQueue<Key>) {
    ownership::wake_controller(|owner| is_kind::<F>(&owner.api_version, &owner.kind), change, queue);
    ownership::wake_matching(sets, |view| &view.selector, change, queue);
}

fn is_kind<F: Flavour>(api_version: &str, name: &str) -> bool {
    name == F::KIND.kind && api_version == F::KIND.group_version().to_string()
}

impl<F: Flavour> Sets<F> {
    fn observe(&self, key: &Key) -> Result<Option<Observed>, RoomError> {
        let Some(item) = self.sets.get_key(key) else { return Ok(None) };
        let set: Set = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let pods = own_or_free(&self.pods, &item.meta, &item.view.selector);
        let mut neighbours = HashMap::default();
        // Only who has to choose between its pods looks at the others'.
        let active = pods.iter().filter(|pod| is_active(pod)).count();
        if usize::try_from(set.spec.replicas).is_ok_and(|wanted| active > wanted) {
            for pod in self.related(&item).iter().filter(|pod| is_active(pod)) {
                *neighbours.entry(pod.view.node.clone()).or_insert(0) += 1;
            }
        }
        let owner = Owner::new(F::KIND, F::RESOURCE, &set.metadata);
        Ok(Some(Observed { owner, set, selector: item.view.selector.clone(), pods, neighbours }))
    }

    /// The pods of all sets that share this set's owner.
    fn related(&self, set: &Item<SetView<F>>) -> Vec<Arc<Item<PodView>>> {
        match set.meta.controller() {
            None => self.pods.controlled_by(&set.meta.uid),
            Some(owner) => {
                let siblings = self.sets.controlled_by(&owner.uid);
                siblings.iter().flat_map(|set| self.pods.controlled_by(&set.meta.uid)).collect()
            }
        }
    }
}

impl<F: Flavour> Room for Sets<F> {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        Ok(self.observe(key)?.map(|observed| plan::plan(&observed, now)).unwrap_or_default())
    }
}

/// Counts towards the replicas: neither ended nor being ended.
fn is_active(pod: &Item<PodView>) -> bool {
    !pod.view.is_finished() && !pod.meta.is_deleting()
}
