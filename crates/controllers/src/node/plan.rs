//! What to write about one node.

use super::zones::Verdict;
use super::{LEASES_NAMESPACE, Observed, PERIOD, taint};
use crate::action::{Action, Patch, Plan};
use crate::kinds::{kind, resource};
use crate::views::{NodeView, PodView, Taint};
use base::Timestamp;
use client::events::ObjectRef;
use client::{Item, Key};
use meta::time;
use serde_json::{Value, json};
use std::time::Duration;

/// Silence after which nobody knows how the node is.
const GRACE: Duration = Duration::from_secs(50);
/// The same for a node that has never said anything.
const STARTUP_GRACE: Duration = Duration::from_secs(60);

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
const NO_SCHEDULE: &str = "NoSchedule";
const NO_EXECUTE: &str = "NoExecute";

/// The conditions a kubelet keeps, which become unknown with it.
const KEPT: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// Conditions, the status that is bad, and the taint that tells of it.
const TAINTED: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

pub(super) fn plan(observed: &Observed, now: Timestamp) -> Result<Plan, serde_json::Error> {
    let (node, about) = (&observed.node, &observed.about);
    let name = &node.meta.name;
    let mut actions = Vec::new();
    if observed.is_new {
        let message = format!("Node {name} event: Registered Node {name} in Controller");
        actions.push(Action::event(about, false, "RegisteredNode", message));
    }
    if observed.was_ready && !node.view.is_ready() && !observed.is_new {
        let message = format!("Node {name} status is now: NodeNotReady");
        actions.push(Action::event(about, false, "NodeNotReady", message));
        for pod in observed.pods.iter().filter(|pod| pod.view.ready) {
            actions.extend(mark_pod(pod, now)?);
        }
    }
    let (taints, wait) = taints(&node.view, observed.zone, now);
    if taints != node.view.taints {
        let body = json!({"metadata": {"resourceVersion": node.meta.resource_version}, "spec": {"taints": taints}});
        actions.push(Action::Patch(Patch::merge(&resource::NODES, &node.key, body)));
    }
    let plan = Plan::of(actions).again(Some(wait.unwrap_or(PERIOD).min(PERIOD)));
    Ok(match unknown_conditions(observed, now)? {
        Some(conditions) => mark_silent(observed, plan, conditions),
        None => plan,
    })
}

pub(super) fn removed(about: &ObjectRef) -> Plan {
    let message = format!("Node {0} event: Removing Node {0} from Controller", about.name);
    Plan::of(vec![Action::event(about, false, "RemovingNode", message)])
}

/// Before a node is marked, its lease is read from the server: it may be our cache that is silent.
fn mark_silent(observed: &Observed, mut plan: Plan, conditions: Value) -> Plan {
    let lease = Key::new(LEASES_NAMESPACE, &observed.node.meta.name);
    plan.actions.push(Action::Read { resource: resource::LEASES, key: lease });
    let (key, known) = (observed.node.key.clone(), observed.lease.clone());
    let version = observed.node.meta.resource_version.clone();
    plan.then(move |outcome| {
        if outcome.failure.is_some() {
            return Plan::nothing();
        }
        let live = outcome.reads.first().and_then(Option::as_ref);
        let live: Option<Value> = live.and_then(|body| serde_json::from_slice(body).ok());
        let renewed = live.and_then(|lease| lease["spec"]["renewTime"].as_str().map(str::to_owned));
        if renewed != known {
            return Plan::nothing();
        }
        let body = json!({"metadata": {"resourceVersion": version}, "status": {"conditions": conditions}});
        Plan::of(vec![Action::Patch(Patch::strategic(&resource::NODES, &key, body).subresource("status"))])
    })
}

/// The node's conditions with those unknown that nobody keeps any more; None: it is not silent, or
/// they say so already.
fn unknown_conditions(observed: &Observed, now: Timestamp) -> Result<Option<Value>, serde_json::Error> {
    let node = &observed.node;
    let spoke = !node.view.condition("Ready").is_empty();
    if observed.silence <= if spoke { GRACE } else { STARTUP_GRACE } {
        return Ok(None);
    }
    let object: Value = node.decode()?;
    let mut list = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let before = list.clone();
    let now = json!(time::format(now));
    for kind in KEPT {
        match list.iter_mut().find(|condition| condition["type"] == kind) {
            Some(condition) if condition["status"] == "Unknown" => {}
            Some(condition) => {
                condition["status"] = json!("Unknown");
                condition["reason"] = json!("NodeStatusUnknown");
                condition["message"] = json!("Kubelet stopped posting node status.");
                condition["lastTransitionTime"] = now.clone();
            }
            None => list.push(json!({
                "type": kind, "status": "Unknown", "reason": "NodeStatusNeverUpdated",
                "message": "Kubelet never posted node status.",
                "lastHeartbeatTime": node.meta.creation_timestamp, "lastTransitionTime": now,
            })),
        }
    }
    Ok((list != before).then_some(Value::Array(list)))
}

/// The taints the node is to have; and when those that must wait may be added.
fn taints(node: &NodeView, zone: Verdict, now: Timestamp) -> (Vec<Taint>, Option<Duration>) {
    let wanted = |key: &str| {
        let by_condition = TAINTED.iter().any(|(kind, status, taint)| *taint == key && node.condition(kind) == *status);
        by_condition || (key == UNSCHEDULABLE && node.unschedulable)
    };
    let managed = TAINTED.iter().map(|(_, _, taint)| *taint).chain([UNSCHEDULABLE]);
    let mut taints = node.taints.clone();
    for key in managed {
        set(&mut taints, key, NO_SCHEDULE, wanted(key), now);
    }
    if node.condition("Ready").is_empty() {
        return (taints, None);
    }
    let mut wait = None;
    let marked = node.has_taint(NOT_READY, NO_EXECUTE) || node.has_taint(UNREACHABLE, NO_EXECUTE);
    for key in [NOT_READY, UNREACHABLE] {
        let add = match zone {
            _ if !wanted(key) => false,
            Verdict::Now => true,
            Verdict::Nowhere => false,
            Verdict::Never => marked,
            Verdict::In(turn) => {
                wait = Some(turn);
                marked
            }
        };
        set(&mut taints, key, NO_EXECUTE, add, now);
    }
    (taints, wait)
}

fn set(taints: &mut Vec<Taint>, key: &str, effect: &str, wanted: bool, now: Timestamp) {
    let standing = taints.iter().any(|taint| taint.key == key && taint.effect == effect);
    match (standing, wanted) {
        (false, true) => taints.push(taint(key, effect, now)),
        (true, false) => taints.retain(|taint| !(taint.key == key && taint.effect == effect)),
        _ => {}
    }
}

/// A pod on a silent node serves nobody.
fn mark_pod(pod: &Item<PodView>, now: Timestamp) -> Result<[Action; 2], serde_json::Error> {
    let object: Value = pod.decode()?;
    let mut list = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    for condition in list.iter_mut().filter(|condition| condition["type"] == "Ready") {
        condition["status"] = json!("False");
        condition["lastTransitionTime"] = json!(time::format(now));
    }
    let body = json!({"metadata": {"uid": pod.meta.uid}, "status": {"conditions": list}});
    let event = Action::event(&ObjectRef::of(&kind::PODS, &pod.meta), true, "NodeNotReady", "Node is not ready");
    Ok([event, Action::Patch(Patch::strategic(&resource::PODS, &pod.key, body).subresource("status"))])
}
