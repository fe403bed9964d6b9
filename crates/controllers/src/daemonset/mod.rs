//! DaemonSets: one pod on every node that suits, changed node by node.
//!
//! Looks at DaemonSets, nodes, pods and ControllerRevisions; creates and deletes pods that are tied to
//! their node, keeps the history of templates, writes the set's status.

mod failures;
mod placement;
mod plan;
mod pod;
mod rolling;
mod status;
#[cfg(test)]
mod tests;

use crate::action::Plan;
use crate::kinds::{kind, resource};
use crate::ownership::{self, Owner, own_or_free};
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::{NodeView, PodView, selector_of, spec_of};
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Change, Item, Key, Projection, WorkQueue};
use failures::Failures;
use meta::labels::Selector;
use meta::{ObjectMeta, OwnerReference};
use placement::Placement;
use serde::Deserialize;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

pub const DEF: Def = Def {
    name: "daemonset-controller",
    identity: "daemon-set-controller",
    component: "daemonset-controller",
    workers: 2,
    retry: RETRY,
    build,
};

/// What finds a set from its pods and nodes: its selector, and which nodes suit it.
struct SetView {
    selector: Selector,
    placement: Placement,
}

impl Projection for SetView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let spec = spec_of(object)?;
        Ok(SetView { selector: selector_of(&spec), placement: Placement::of(&spec["template"]["spec"])? })
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
    #[serde(default)]
    min_ready_seconds: i32,
    #[serde(default)]
    template: Value,
    #[serde(default)]
    update_strategy: UpdateStrategy,
    revision_history_limit: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UpdateStrategy {
    #[serde(rename = "type")]
    kind: String,
    rolling_update: Value,
}

impl Set {
    /// How often the template changed, as the server counts in an annotation.
    fn generation(&self) -> Option<&str> {
        self.metadata.annotations.get(pod::TEMPLATE_GENERATION).map(String::as_str)
    }

    fn is_rolling(&self) -> bool {
        self.spec.update_strategy.kind != "OnDelete"
    }
}

/// All that a plan depends on.
struct Observed {
    owner: Owner,
    set: Set,
    selector: Selector,
    /// What each node is to this set.
    nodes: Vec<Place>,
    /// Its pods and those it might adopt.
    pods: Vec<Arc<Item<PodView>>>,
    revisions: Vec<Arc<Item<()>>>,
}

/// A node as a set sees it.
struct Place {
    node: String,
    verdict: placement::Verdict,
}

struct Sets {
    sets: Arc<Cache<SetView>>,
    pods: Arc<Cache<PodView>>,
    nodes: Arc<Cache<NodeView>>,
    revisions: Arc<Cache<()>>,
    failures: Mutex<Failures>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let sets = rig.cache::<SetView>(&resource::DAEMON_SETS);
    let pods = rig.cache::<PodView>(&resource::PODS);
    let nodes = rig.cache::<NodeView>(&resource::NODES);
    let revisions = rig.cache::<()>(&resource::CONTROLLER_REVISIONS);
    rig.on_itself(&sets);
    let all = sets.clone();
    rig.on(&pods, move |change, queue| owned_changed(&all, change, queue));
    let all = sets.clone();
    rig.on(&revisions, move |change, queue| owned_changed(&all, change, queue));
    let all = sets.clone();
    rig.on(&nodes, move |change, queue| node_changed(&all, change, queue));
    Box::new(Sets { sets, pods, nodes, revisions, failures: Mutex::default() })
}

/// Wakes the set that a pod or revision belongs to or left; of one that nobody controls, all that match.
fn owned_changed<P>(sets: &Cache<SetView>, change: &Change<P>, queue: &WorkQueue<Key>) {
    ownership::wake_controller(is_daemon_set, change, queue);
    ownership::wake_matching(sets, |view| &view.selector, change, queue);
}

/// Wakes the sets that this change of a node means something to.
fn node_changed(sets: &Cache<SetView>, change: &Change<NodeView>, queue: &WorkQueue<Key>) {
    for set in sets.list() {
        let verdict = |node: &Option<Arc<Item<NodeView>>>| node.as_ref().map(|node| set.view.placement.verdict(node));
        if verdict(&change.old) != verdict(&change.new) {
            queue.add(set.key.clone());
        }
    }
}

fn is_daemon_set(owner: &OwnerReference) -> bool {
    owner.kind == kind::DAEMON_SETS.kind && owner.api_version.starts_with("apps/")
}

impl Sets {
    fn observe(&self, key: &Key) -> Result<Option<Observed>, RoomError> {
        let Some(item) = self.sets.get_key(key) else { return Ok(None) };
        let set: Set = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let selector = item.view.selector.clone();
        let pods = own_or_free(&self.pods, &item.meta, &selector);
        let revisions = own_or_free(&self.revisions, &item.meta, &selector);
        let place = |node: &Arc<Item<NodeView>>| Place {
            node: node.meta.name.clone(),
            verdict: item.view.placement.verdict(node),
        };
        let nodes = self.nodes.list().iter().map(place).collect();
        let owner = Owner::new(kind::DAEMON_SETS, resource::DAEMON_SETS, &item.meta);
        Ok(Some(Observed { owner, set, selector, nodes, pods, revisions }))
    }
}

impl Room for Sets {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match self.observe(key)? {
            Some(observed) => plan::plan(observed, &mut failures, now),
            None => {
                failures.forget(key);
                Ok(Plan::nothing())
            }
        }
    }
}
