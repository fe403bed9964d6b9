//! The taint evictor: deletes pods from nodes with NoExecute taints that they do not tolerate, or no
//! longer tolerate.

#[cfg(test)]
mod tests;

use crate::action::{Action, Delete, Patch, Plan};
use crate::kinds::{kind, resource};
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::{NodeView, PodView, Taint, Toleration};
use base::Timestamp;
use client::events::ObjectRef;
use client::queue::RETRY;
use client::{Cache, Change, Key, WorkQueue};
use jiff::SignedDuration;
use meta::conditions::{self, Condition};
use meta::{ObjectMeta, time};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub const DEF: Def = Def {
    name: "taint-eviction-controller",
    identity: "node-controller",
    component: "taint-eviction-controller",
    workers: 8,
    retry: RETRY,
    build,
};

const NO_EXECUTE: &str = "NoExecute";
const REASON: &str = "TaintManagerEviction";

#[derive(Debug, Deserialize)]
struct Pod {
    metadata: ObjectMeta,
    spec: Spec,
    #[serde(default)]
    status: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    tolerations: Vec<Toleration>,
}

/// What is to become of a pod.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Stays,
    GoesAt(Timestamp),
}

struct Evictor {
    pods: Arc<Cache<PodView>>,
    nodes: Arc<Cache<NodeView>>,
    /// The pods whose end is set, to tell when it is called off.
    doomed: Mutex<BTreeSet<Key>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let pods = rig.cache::<PodView>(&resource::PODS);
    let nodes = rig.cache::<NodeView>(&resource::NODES);
    let on_node = pods.clone();
    rig.on(&nodes, move |change, queue| node_changed(&on_node, change, queue));
    rig.on(&pods, |change, queue| {
        // Tolerations may be added to a running pod; its status does not matter.
        let placed = change.new.as_ref().filter(|pod| !pod.view.node.is_empty());
        placed.into_iter().for_each(|pod| queue.add(pod.key.clone()));
    });
    Box::new(Evictor { pods, nodes, doomed: Mutex::default() })
}

fn node_changed(pods: &Cache<PodView>, change: &Change<NodeView>, queue: &WorkQueue<Key>) {
    let taints = |node: &NodeView| node.taints.iter().filter(|it| it.effect == NO_EXECUTE).cloned().collect::<Vec<_>>();
    let old = change.old.as_ref().map(|node| taints(&node.view)).unwrap_or_default();
    let new = change.new.as_ref().map(|node| taints(&node.view)).unwrap_or_default();
    let (false, Some(node)) = (old == new, change.latest()) else { return };
    pods.by_index(crate::views::NODE, &node.meta.name).iter().for_each(|pod| queue.add(pod.key.clone()));
}

/// Tolerated for as long as the shortest of the tolerations that apply; one taint that none applies
/// to is enough to go now. Time counts from when both taint and pod were there.
fn fate(taints: &[&Taint], tolerations: &[Toleration], created: Option<Timestamp>, now: Timestamp) -> Fate {
    let mut fate = Fate::Stays;
    for taint in taints {
        let mut tolerating = tolerations.iter().filter(|toleration| toleration.tolerates(taint)).peekable();
        if tolerating.peek().is_none() {
            return Fate::GoesAt(now);
        }
        let Some(seconds) = tolerating.filter_map(|toleration| toleration.toleration_seconds).min() else { continue };
        let added = taint.time_added.as_deref().and_then(|text| time::parse(text).ok());
        let since = added.into_iter().chain(created).max().unwrap_or(now);
        let due = since.saturating_add(SignedDuration::from_secs(seconds.max(0))).unwrap_or(now);
        fate = match fate {
            Fate::GoesAt(earlier) if earlier <= due => fate,
            _ => Fate::GoesAt(due),
        };
    }
    fate
}

impl Room for Evictor {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let mut doomed = self.doomed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(item) = self.pods.get_key(key).filter(|pod| !pod.meta.is_deleting()) else {
            doomed.remove(key);
            return Ok(Plan::nothing());
        };
        let node = self.nodes.get("", &item.view.node);
        let taints: Vec<&Taint> =
            node.iter().flat_map(|node| &node.view.taints).filter(|taint| taint.effect == NO_EXECUTE).collect();
        if taints.is_empty() && !doomed.contains(key) {
            return Ok(Plan::nothing());
        }
        let pod: Pod = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let created = pod.metadata.creation_timestamp.as_deref().and_then(|text| time::parse(text).ok());
        let about = ObjectRef::of(&kind::PODS, &pod.metadata);
        match fate(&taints, &pod.spec.tolerations, created, now) {
            Fate::Stays if doomed.remove(key) => {
                let message = format!("Cancelling deletion of Pod {key}");
                Ok(Plan::of(vec![Action::event(&about, false, REASON, message)]))
            }
            Fate::Stays => Ok(Plan::nothing()),
            Fate::GoesAt(due) if due > now => {
                doomed.insert(key.clone());
                Ok(Plan::nothing().again(Duration::try_from(due.duration_since(now)).ok()))
            }
            Fate::GoesAt(_) => {
                doomed.remove(key);
                Ok(Plan::of(evict(key, &pod, &about, now)))
            }
        }
    }
}

fn evict(key: &Key, pod: &Pod, about: &ObjectRef, now: Timestamp) -> Vec<Action> {
    let mut list = pod.status["conditions"].clone();
    let message = "Taint manager: deleting due to NoExecute taint";
    let reason = "DeletionByTaintManager";
    let new = Condition { kind: "DisruptionTarget", status: "True", reason, message, observed_generation: 0 };
    conditions::set(&mut list, new, now);
    let body = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": list}});
    vec![
        Action::event(about, false, REASON, format!("Marking for deletion Pod {key}")),
        Action::Patch(Patch::strategic(&resource::PODS, key, body).subresource("status")),
        Action::Delete(vec![Delete::new(&resource::PODS, key, &pod.metadata.uid)]),
    ]
}
