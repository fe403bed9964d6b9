//! StatefulSets: pods with names, each with its own claims, made, updated and ended in order.
//!
//! Looks at StatefulSets, their pods, claims and ControllerRevisions; creates and deletes pods, creates
//! claims and says whom they go with, writes the set's status. Never are there two pods of one name:
//! the API server sees to that, and nothing is made before the old one is gone.

mod claims;
mod member;
mod plan;
mod rolling;
mod status;
#[cfg(test)]
mod tests;

use crate::action::Plan;
use crate::kinds::{kind, resource};
use crate::ownership::{self, Owner, own_or_free};
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::{PodView, SelectorView};
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Change, Item, Key, WorkQueue};
use meta::labels::Selector;
use meta::{ObjectMeta, OwnerReference};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

pub const DEF: Def = Def {
    name: "statefulset-controller",
    identity: "statefulset-controller",
    component: "statefulset-controller",
    workers: 5,
    retry: RETRY,
    build,
};

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
    replicas: i64,
    #[serde(default)]
    service_name: String,
    #[serde(default)]
    selector: Value,
    #[serde(default)]
    template: Value,
    #[serde(default)]
    pod_management_policy: String,
    #[serde(default)]
    update_strategy: UpdateStrategy,
    #[serde(default)]
    min_ready_seconds: i32,
    revision_history_limit: Option<i64>,
    #[serde(default)]
    ordinals: Ordinals,
    #[serde(default)]
    volume_claim_templates: Vec<Value>,
    #[serde(default)]
    persistent_volume_claim_retention_policy: Retention,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UpdateStrategy {
    #[serde(rename = "type")]
    kind: String,
    rolling_update: Value,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Ordinals {
    start: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Retention {
    when_deleted: String,
    when_scaled: String,
}

fn one() -> i64 {
    1
}

impl Set {
    /// One pod after the other.
    fn is_ordered(&self) -> bool {
        self.spec.pod_management_policy != "Parallel"
    }

    fn is_rolling(&self) -> bool {
        self.spec.update_strategy.kind != "OnDelete"
    }

    /// The place from which on pods are updated.
    fn partition(&self) -> usize {
        let partition = self.spec.update_strategy.rolling_update["partition"].as_i64().unwrap_or(0);
        usize::try_from(partition).unwrap_or(0)
    }
}

/// All that a plan depends on.
struct Observed {
    owner: Owner,
    set: Set,
    selector: Selector,
    /// Its pods and those it might adopt.
    pods: Vec<Arc<Item<PodView>>>,
    revisions: Vec<Arc<Item<()>>>,
    /// The claims of its pods that there are, by name.
    claims: BTreeMap<String, Arc<Item<()>>>,
}

struct Sets {
    sets: Arc<Cache<SelectorView>>,
    pods: Arc<Cache<PodView>>,
    revisions: Arc<Cache<()>>,
    claims: Arc<Cache<()>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let sets = rig.cache::<SelectorView>(&resource::STATEFUL_SETS);
    let pods = rig.cache::<PodView>(&resource::PODS);
    let revisions = rig.cache::<()>(&resource::CONTROLLER_REVISIONS);
    let claims = rig.cache::<()>(&resource::PERSISTENT_VOLUME_CLAIMS);
    rig.on_itself(&sets);
    let all = sets.clone();
    rig.on(&pods, move |change, queue| owned_changed(&all, change, queue));
    let all = sets.clone();
    rig.on(&revisions, move |change, queue| owned_changed(&all, change, queue));
    let all = sets.clone();
    rig.on(&claims, move |change, queue| claim_changed(&all, change, queue));
    Box::new(Sets { sets, pods, revisions, claims })
}

/// Wakes the set that a pod or revision belongs to or left; of one that nobody controls, all that match.
fn owned_changed<P>(sets: &Cache<SelectorView>, change: &Change<P>, queue: &WorkQueue<Key>) {
    ownership::wake_controller(is_stateful_set, change, queue);
    ownership::wake_matching(sets, |view| &view.selector, change, queue);
}

/// Wakes the sets whose pod a claim that is gone may have been for: one that waits needs it made again.
fn claim_changed(sets: &Cache<SelectorView>, change: &Change<()>, queue: &WorkQueue<Key>) {
    let (None, Some(gone)) = (&change.new, &change.old) else { return };
    let meta = &gone.meta;
    for set in sets.list_in(&meta.namespace) {
        if claims::may_be_of(&meta.name, set.key.name()) {
            queue.add(set.key.clone());
        }
    }
}

fn is_stateful_set(owner: &OwnerReference) -> bool {
    owner.kind == kind::STATEFUL_SETS.kind && owner.api_version.starts_with("apps/")
}

impl Sets {
    fn observe(&self, key: &Key) -> Result<Option<Observed>, RoomError> {
        let Some(item) = self.sets.get_key(key) else { return Ok(None) };
        let set: Set = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let selector = item.view.selector.clone();
        let mut pods = self.pods.controlled_by(&item.meta.uid);
        let is_candidate = |pod: &Arc<Item<PodView>>| {
            selector.matches(&pod.meta.labels) && member::ordinal(&pod.meta.name, key.name()).is_some()
        };
        pods.extend(self.pods.orphans_in(key.namespace()).into_iter().filter(is_candidate));
        let revisions = own_or_free(&self.revisions, &item.meta, &selector);
        let owner = Owner::new(kind::STATEFUL_SETS, resource::STATEFUL_SETS, &item.meta);
        let claims = self.claims_of(&set, &pods);
        Ok(Some(Observed { owner, set, selector, pods, revisions, claims }))
    }

    fn claims_of(&self, set: &Set, pods: &[Arc<Item<PodView>>]) -> BTreeMap<String, Arc<Item<()>>> {
        if set.spec.volume_claim_templates.is_empty() {
            return BTreeMap::new();
        }
        let wanted = (0..set.spec.replicas).map(|place| place + set.spec.ordinals.start);
        let standing = pods.iter().filter_map(|pod| member::ordinal(&pod.meta.name, &set.metadata.name));
        let names = wanted.chain(standing).flat_map(|ordinal| claims::names(set, ordinal));
        let find = |name: String| Some((name.clone(), self.claims.get(&set.metadata.namespace, &name)?));
        names.filter_map(find).collect()
    }
}

impl Room for Sets {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        match self.observe(key)? {
            Some(observed) => plan::plan(observed, now),
            None => Ok(Plan::nothing()),
        }
    }
}
