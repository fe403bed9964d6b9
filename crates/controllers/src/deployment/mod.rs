//! Deployments: move pods from one template to the next by growing and shrinking ReplicaSets.
//!
//! Looks at Deployments, their ReplicaSets and (for Recreate) pods; writes ReplicaSets and the
//! Deployment's status. Pods are the ReplicaSets' business.

mod plan;
mod revision;
mod rolling;
mod status;
#[cfg(test)]
mod tests;

use crate::action::Plan;
use crate::kinds::{kind, resource};
use crate::ownership::{Owner, own_or_free};
use crate::replicaset::{ReplicaSet, SetView};
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::{PodView, SelectorView};
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Change, Item, Key, WorkQueue};
use meta::labels::Selector;
use meta::{ObjectMeta, OwnerReference};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

pub const DEF: Def = Def {
    name: "deployment-controller",
    identity: "deployment-controller",
    component: "deployment-controller",
    workers: 5,
    retry: RETRY,
    build,
};

#[derive(Debug, Clone, Deserialize)]
struct Deployment {
    metadata: ObjectMeta,
    spec: Spec,
    #[serde(default)]
    status: Value,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default = "one")]
    replicas: i64,
    #[serde(default)]
    selector: Value,
    #[serde(default)]
    template: Value,
    #[serde(default)]
    strategy: Strategy,
    #[serde(default)]
    min_ready_seconds: i64,
    revision_history_limit: Option<i64>,
    progress_deadline_seconds: Option<i64>,
    #[serde(default)]
    paused: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Strategy {
    #[serde(rename = "type")]
    kind: String,
    rolling_update: Value,
}

fn one() -> i64 {
    1
}

impl Deployment {
    fn is_rolling(&self) -> bool {
        self.spec.strategy.kind != "Recreate"
    }

    /// None: it may take for ever.
    fn deadline(&self) -> Option<i64> {
        self.spec.progress_deadline_seconds.filter(|seconds| *seconds != i64::from(i32::MAX))
    }
}

/// A ReplicaSet as the plan sees and changes it; the differences become patches.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Set {
    metadata: ObjectMeta,
    spec: SetSpec,
    #[serde(default)]
    status: SetStatus,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SetSpec {
    #[serde(default = "one")]
    replicas: i64,
    #[serde(default)]
    min_ready_seconds: i64,
    #[serde(default)]
    template: Value,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SetStatus {
    replicas: i64,
    ready_replicas: i64,
    available_replicas: i64,
    terminating_replicas: i64,
    observed_generation: i64,
    conditions: Value,
}

impl Set {
    fn key(&self) -> Key {
        Key::of(&self.metadata)
    }

    /// Oldest first; of one second, by name.
    fn age(&self) -> (Option<String>, String) {
        (self.metadata.creation_timestamp.clone(), self.metadata.name.clone())
    }
}

/// All that a plan depends on.
struct Observed {
    owner: Owner,
    deployment: Deployment,
    selector: Selector,
    /// Its ReplicaSets and those it might adopt.
    sets: Vec<Arc<Item<SetView<ReplicaSet>>>>,
    /// The uids of those of its ReplicaSets that still have pods which have not ended, even if they
    /// are being deleted.
    populated: Vec<String>,
}

struct Deployments {
    deployments: Arc<Cache<SelectorView>>,
    sets: Arc<Cache<SetView<ReplicaSet>>>,
    pods: Arc<Cache<PodView>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let deployments = rig.cache::<SelectorView>(&resource::DEPLOYMENTS);
    let sets = rig.cache::<SetView<ReplicaSet>>(&resource::REPLICA_SETS);
    let pods = rig.cache::<PodView>(&resource::PODS);
    rig.on_itself(&deployments);
    let all = deployments.clone();
    rig.on(&sets, move |change, queue| set_changed(&all, change, queue));
    let all = sets.clone();
    rig.on(&pods, move |change, queue| pod_changed(&all, change, queue));
    Box::new(Deployments { deployments, sets, pods })
}

/// Wakes the Deployment a ReplicaSet belongs to or left; of one that nobody controls, all that match.
fn set_changed(deployments: &Cache<SelectorView>, change: &Change<SetView<ReplicaSet>>, queue: &WorkQueue<Key>) {
    for set in change.states() {
        if let Some(owner) = set.meta.controller().filter(|owner| is_deployment(owner)) {
            queue.add(Key::new(&set.meta.namespace, &owner.name));
        }
    }
    let Some(set) = change.new.as_ref().filter(|set| set.meta.controller().is_none() && !set.meta.is_deleting()) else {
        return;
    };
    for deployment in deployments.list_in(&set.meta.namespace) {
        if deployment.view.selector.matches(&set.meta.labels) {
            queue.add(deployment.key.clone());
        }
    }
}

/// A pod that ended or went may be the last one that a Recreate waits for.
fn pod_changed(sets: &Cache<SetView<ReplicaSet>>, change: &Change<PodView>, queue: &WorkQueue<Key>) {
    if change.new.as_ref().is_some_and(|pod| !pod.view.is_finished()) {
        return;
    }
    let Some(pod) = change.old.as_ref() else { return };
    let Some(owner) = pod.meta.controller().filter(|owner| owner.kind == kind::REPLICA_SETS.kind) else { return };
    let Some(set) = sets.get(&pod.meta.namespace, &owner.name) else { return };
    if let Some(owner) = set.meta.controller().filter(|owner| is_deployment(owner)) {
        queue.add(Key::new(&set.meta.namespace, &owner.name));
    }
}

fn is_deployment(owner: &OwnerReference) -> bool {
    owner.kind == kind::DEPLOYMENTS.kind && owner.api_version.starts_with("apps/")
}

impl Deployments {
    fn observe(&self, key: &Key) -> Result<Option<Observed>, RoomError> {
        let Some(item) = self.deployments.get_key(key) else { return Ok(None) };
        let deployment: Deployment = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let sets = own_or_free(&self.sets, &item.meta, &item.view.selector);
        let has_pods = |uid: &String| self.pods.controlled_by(uid).iter().any(|pod| !pod.view.is_finished());
        let populated = match deployment.is_rolling() {
            true => Vec::new(),
            false => sets.iter().map(|set| set.meta.uid.clone()).filter(has_pods).collect(),
        };
        let owner = Owner::new(kind::DEPLOYMENTS, resource::DEPLOYMENTS, &item.meta);
        Ok(Some(Observed { owner, deployment, selector: item.view.selector.clone(), sets, populated }))
    }
}

impl Room for Deployments {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        match self.observe(key)? {
            Some(observed) => plan::plan(&observed, now),
            None => Ok(Plan::nothing()),
        }
    }
}
