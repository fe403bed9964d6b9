//! A set's pods: how one is made for its node, and how a node, a template and an age are read from one.

use super::Set;
use crate::history::{self, Revision};
use crate::template;
use crate::views::PodView;
use client::Item;
use serde_json::{Value, json};
use std::cmp::Ordering;

/// The server's count of template changes, on the set.
pub(super) const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
/// The same, on pods.
const GENERATION_LABEL: &str = "pod-template-generation";

/// What daemons bear of their nodes, whoever else has to leave.
const BORNE: &[(&str, &str)] = &[
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
/// Pods on the host's network do not need the cluster's.
const BORNE_ON_HOST_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// A template's tolerations and those that all daemons have.
pub(super) fn tolerations(spec: &Value) -> Vec<Value> {
    let mut all = spec["tolerations"].as_array().cloned().unwrap_or_default();
    let on_host = spec["hostNetwork"] == true;
    for (key, effect) in BORNE.iter().chain(on_host.then_some(&BORNE_ON_HOST_NETWORK)) {
        let one = json!({"key": key, "operator": "Exists", "effect": effect});
        let same = |other: &Value| {
            let of = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
            ["key", "operator", "effect", "value"].iter().all(|field| of(other, field) == of(&one, field))
        };
        match all.iter().position(same) {
            Some(at) => all[at] = one,
            None => all.push(one),
        }
    }
    all
}

/// The pod of a set for a node, for the scheduler to put there and nowhere else.
pub(super) fn new(set: &Set, owner: &Value, revision: &Revision, node: &str) -> Value {
    let mut pod = template::pod(&set.spec.template, owner);
    pod["metadata"]["generateName"] = json!(format!("{}-", set.metadata.name));
    if let Some(generation) = set.generation() {
        pod["metadata"]["labels"][GENERATION_LABEL] = json!(generation);
    }
    pod["metadata"]["labels"][history::LABEL] = json!(revision.metadata.labels.get(history::LABEL));
    let spec = &mut pod["spec"];
    spec["tolerations"] = Value::Array(tolerations(spec));
    let here = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
    spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"] =
        json!([here]);
    pod
}

/// The node a pod is on or meant for; None: any.
pub(super) fn node(pod: &Item<PodView>) -> Option<String> {
    if !pod.view.node.is_empty() {
        return Some(pod.view.node.clone());
    }
    let object: Value = pod.decode().ok()?;
    let terms = object["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        ["nodeSelectorTerms"]
        .as_array()?;
    let rules = terms.iter().flat_map(|term| term["matchFields"].as_array().into_iter().flatten());
    let mut named = rules.filter(|rule| rule["key"] == "metadata.name" && rule["operator"] == "In");
    named.find_map(|rule| rule["values"][0].as_str().map(str::to_owned))
}

/// Whether a pod is of the newest template.
pub(super) fn is_new(pod: &Item<PodView>, set: &Set, revision: &Revision) -> bool {
    let label = |name: &str| pod.meta.labels.get(name).map(String::as_str);
    let hash = revision.metadata.labels.get(history::LABEL).map(String::as_str);
    (hash.is_some() && label(history::LABEL) == hash)
        || (set.generation().is_some() && label(GENERATION_LABEL) == set.generation())
}

/// Pods on a node before those that are not, then the oldest first.
pub(super) fn by_age(a: &Item<PodView>, b: &Item<PodView>) -> Ordering {
    let age = |pod: &Item<PodView>| (pod.meta.creation_timestamp.clone(), pod.meta.name.clone());
    a.view.node.is_empty().cmp(&b.view.node.is_empty()).then_with(|| age(a).cmp(&age(b)))
}
