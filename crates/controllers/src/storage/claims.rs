//! Claims stay while pods use them: a finalizer holds each. And each bound claim says whether any
//! pod names it, and so since when none does.

use super::{claims_of, text};
use crate::action::{Action, Outcome, Plan, Update};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::{CLAIM, PodView};
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Change, Item, Key, WorkQueue};
use meta::conditions::{self, Condition};
use serde_json::{Value, json};
use std::sync::Arc;

pub const DEF: Def = Def {
    name: "persistentvolumeclaim-protection-controller",
    identity: "pvc-protection-controller",
    component: "pvc-protection-controller",
    workers: 1,
    retry: RETRY,
    build,
};

const FINALIZER: &str = "kubernetes.io/pvc-protection";

struct Claims {
    claims: Arc<Cache<()>>,
    pods: Arc<Cache<PodView>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let claims = rig.cache::<()>(&resource::PERSISTENT_VOLUME_CLAIMS);
    let pods = rig.cache::<PodView>(&resource::PODS);
    rig.on_itself(&claims);
    rig.on(&pods, pod_changed);
    Box::new(Claims { claims, pods })
}

/// A pod that comes, ends or goes.
fn pod_changed(change: &Change<PodView>, queue: &WorkQueue<Key>) {
    if let (Some(old), Some(new)) = (&change.old, &change.new)
        && old.meta.uid == new.meta.uid
        && old.view.is_finished() == new.view.is_finished()
    {
        return;
    }
    for pod in change.states() {
        pod.view.claims(&pod.meta).for_each(|claim| queue.add(Key::new(&pod.meta.namespace, &claim)));
    }
}

impl Room for Claims {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let Some(item) = self.claims.get_key(key) else { return Ok(Plan::nothing()) };
        let claim: Value = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let users = self.pods.by_index(CLAIM, key.as_str());
        let is_held = item.meta.finalizers.iter().any(|name| name == FINALIZER);
        Ok(match (item.meta.is_deleting(), is_held) {
            // A pod without a node will not be started with a claim that is going.
            (true, true) if users.iter().all(|pod| pod.view.node.is_empty()) => let_go(&item, claim),
            (true, _) => Plan::nothing(),
            (false, false) => {
                let mut finalizers = item.meta.finalizers.clone();
                finalizers.push(FINALIZER.to_owned());
                Plan::of(vec![with_finalizers(key, claim, &finalizers)])
            }
            (false, true) => tell(key, claim, users.iter().any(|pod| !pod.view.is_finished()), now),
        })
    }
}

/// The cache may be behind: only what the server has counts, where the claim would be lost.
fn let_go(item: &Item<()>, claim: Value) -> Plan {
    let (key, mut finalizers) = (item.key.clone(), item.meta.finalizers.clone());
    finalizers.retain(|name| name != FINALIZER);
    let pods = Action::List { resource: resource::PODS, namespace: key.namespace().to_owned() };
    Plan::of(vec![pods]).then(move |outcome: &Outcome| match outcome.lists.first() {
        Some(Ok(pods)) if pods.iter().any(|pod| is_user(pod, key.name())) => Plan::nothing(),
        Some(Ok(_)) => Plan::of(vec![with_finalizers(&key, claim, &finalizers)]),
        _ => Plan::nothing().unfinished(),
    })
}

fn is_user(pod: &[u8], claim: &str) -> bool {
    let Ok(pod) = serde_json::from_slice::<Value>(pod) else { return true };
    !text(&pod, "/spec/nodeName").is_empty() && claims_of(&pod).iter().any(|name| name == claim)
}

fn with_finalizers(key: &Key, mut claim: Value, finalizers: &[String]) -> Action {
    claim["metadata"]["finalizers"] = json!(finalizers);
    let (resource, key) = (resource::PERSISTENT_VOLUME_CLAIMS, key.clone());
    Action::Update(Update { resource, key, subresource: None, object: claim })
}

/// Whether a pod that has not ended names the claim; one that waits for a node does, too.
fn tell(key: &Key, mut claim: Value, is_used: bool, now: Timestamp) -> Plan {
    if text(&claim, "/status/phase") != "Bound" {
        return Plan::nothing();
    }
    let (status, reason, message) = match is_used {
        true => ("False", "PodUsingPVC", "A pod is currently referencing this PVC"),
        false => ("True", "NoPodsUsingPVC", "No pods are currently referencing this PVC"),
    };
    let told = conditions::find(&claim["status"]["conditions"], "Unused");
    if told.is_some_and(|told| told["status"] == status && told["reason"] == reason) {
        return Plan::nothing();
    }
    let condition = Condition { kind: "Unused", status, reason, message, observed_generation: 0 };
    conditions::set(&mut claim["status"]["conditions"], condition, now);
    let (resource, key) = (resource::PERSISTENT_VOLUME_CLAIMS, key.clone());
    Plan::of(vec![Action::Update(Update { resource, key, subresource: Some("status"), object: claim })])
}
