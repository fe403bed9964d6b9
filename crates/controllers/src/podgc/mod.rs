//! The pod collector: clears away pods that nobody else will end. Every 20 seconds, as nothing tells
//! of what it looks for.
//!
//! Ended pods beyond a number, pods of nodes that are gone, pods being deleted that never got a node,
//! pods on nodes declared out of service.

#[cfg(test)]
mod tests;

use crate::action::{Action, Delete, Outcome, Patch, Plan};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::{NodeView, PodView};
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Item, Key};
use jiff::SignedDuration;
use meta::conditions::{self, Condition};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub const DEF: Def = Def {
    name: "pod-garbage-collector-controller",
    identity: "pod-garbage-collector",
    component: "pod-garbage-collector",
    workers: 1,
    retry: RETRY,
    build,
};

const PERIOD: Duration = Duration::from_secs(20);
/// A node must be gone for this long before its pods go: it may be about to register again.
const QUARANTINE: SignedDuration = SignedDuration::from_secs(40);
/// Ended pods kept for people to look at.
const ENDED_LIMIT: usize = 12_500;
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// A pod that goes, and what its condition says of it, if anything.
struct Doomed {
    pod: Arc<Item<PodView>>,
    message: Option<&'static str>,
}

struct Collector {
    pods: Arc<Cache<PodView>>,
    nodes: Arc<Cache<NodeView>>,
    /// Since when nodes that pods name are missing.
    missing: Mutex<BTreeMap<String, Timestamp>>,
}

/// There is one key: the whole cluster.
fn build(rig: &Rig) -> Box<dyn Room> {
    let pods = rig.cache::<PodView>(&resource::PODS);
    let nodes = rig.cache::<NodeView>(&resource::NODES);
    rig.queue.add(Key::new("", "cluster"));
    Box::new(Collector { pods, nodes, missing: Mutex::default() })
}

impl Room for Collector {
    fn reconcile(&self, _key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let pods = self.pods.list();
        let gone = self.quarantined(&pods, now);
        let mut doomed = ended_beyond(&pods, ENDED_LIMIT);
        doomed.extend(pods.iter().filter_map(|pod| self.stranded(pod)));
        let actions = doomed.iter().flat_map(|it| clear(it, now)).collect();
        let plan = Plan::of(actions).again(Some(PERIOD));
        if gone.is_empty() {
            return Ok(plan);
        }
        // The cache may be behind: only a node that the server does not know either is gone.
        let reads = gone.iter().map(|node| Action::Read { resource: resource::NODES, key: Key::new("", node) });
        let Plan { mut actions, again, .. } = plan;
        actions.splice(..0, reads);
        Ok(Plan::of(actions).again(again).then(move |outcome| orphans(&pods, &gone, outcome, now)))
    }
}

impl Collector {
    /// The nodes that pods name and that have been missing long enough.
    fn quarantined(&self, pods: &[Arc<Item<PodView>>], now: Timestamp) -> Vec<String> {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        let named = pods.iter().map(|pod| &pod.view.node).filter(|node| !node.is_empty());
        let absent: Vec<_> = named.filter(|node| self.nodes.get("", node).is_none()).cloned().collect();
        missing.retain(|node, _| absent.contains(node));
        absent.into_iter().for_each(|node| {
            // A clock that was set back must not make the wait longer.
            missing.entry(node).and_modify(|since| *since = now.min(*since)).or_insert(now);
        });
        let long = missing.iter().filter(|(_, since)| now.duration_since(**since) >= QUARANTINE);
        long.map(|(node, _)| node.clone()).collect()
    }

    /// Being deleted, but nobody is there to end it.
    fn stranded(&self, pod: &Arc<Item<PodView>>) -> Option<Doomed> {
        if !pod.meta.is_deleting() {
            return None;
        }
        if pod.view.node.is_empty() {
            return Some(Doomed { pod: pod.clone(), message: None });
        }
        let node = self.nodes.get("", &pod.view.node)?;
        let out = node.view.taints.iter().any(|taint| taint.key == OUT_OF_SERVICE) && !node.view.is_ready();
        out.then(|| Doomed { pod: pod.clone(), message: None })
    }
}

/// The ended pods that are too many: first those that their node threw out, then the oldest.
fn ended_beyond(pods: &[Arc<Item<PodView>>], limit: usize) -> Vec<Doomed> {
    let mut ended: Vec<_> = pods.iter().filter(|pod| pod.view.is_finished()).cloned().collect();
    let surplus = ended.len().saturating_sub(limit);
    if surplus == 0 {
        return Vec::new();
    }
    ended.sort_by_cached_key(|pod| (!was_evicted(pod), pod.meta.creation_timestamp.clone(), pod.key.clone()));
    ended.truncate(surplus);
    ended.into_iter().map(|pod| Doomed { pod, message: None }).collect()
}

fn was_evicted(pod: &Item<PodView>) -> bool {
    pod.decode::<Value>().is_ok_and(|pod| pod["status"]["phase"] == "Failed" && pod["status"]["reason"] == "Evicted")
}

fn orphans(pods: &[Arc<Item<PodView>>], gone: &[String], outcome: &Outcome, now: Timestamp) -> Plan {
    let absent: Vec<&String> =
        gone.iter().zip(&outcome.reads).filter(|(_, read)| read.is_none()).map(|(node, _)| node).collect();
    let message = "PodGC: node no longer exists";
    let orphan = pods.iter().filter(|pod| absent.contains(&&pod.view.node));
    let doomed = orphan.map(|pod| Doomed { pod: pod.clone(), message: Some(message) });
    Plan::of(doomed.flat_map(|it| clear(&it, now)).collect())
}

/// Says that it failed, and why, then deletes at once: no kubelet will answer. Who replaces failed pods
/// waits for that word.
fn clear(doomed: &Doomed, now: Timestamp) -> Vec<Action> {
    let pod = &doomed.pod;
    let mut actions = Vec::new();
    if !pod.view.is_finished() {
        let mut status = json!({"phase": "Failed"});
        if let Some(message) = doomed.message {
            let mut list = pod.decode::<Value>().unwrap_or_default()["status"]["conditions"].take();
            let reason = "DeletionByPodGC";
            let new = Condition { kind: "DisruptionTarget", status: "True", reason, message, observed_generation: 0 };
            conditions::set(&mut list, new, now);
            status["conditions"] = list;
        }
        let body = json!({"metadata": {"uid": pod.meta.uid}, "status": status});
        actions.push(Action::Patch(Patch::strategic(&resource::PODS, &pod.key, body).subresource("status")));
    }
    let mut delete = Delete::new(&resource::PODS, &pod.key, &pod.meta.uid);
    delete.grace = Some(0);
    actions.push(Action::Delete(vec![delete]));
    actions
}
