//! A pod of a set: its name, labels and volumes, and what its state means.

use super::{Set, claims};
use crate::history::{self, Revision};
use crate::template;
use crate::views::{Phase, PodView};
use base::Timestamp;
use client::Item;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) const NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
pub(super) const INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

pub(super) type Pod = Arc<Item<PodView>>;

/// The number at the end of the name of a set's pod; None: the name is not one of the set's.
pub(super) fn ordinal(pod: &str, set: &str) -> Option<i64> {
    let digits = pod.strip_prefix(set)?.strip_prefix('-')?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

pub(super) fn name(set: &Set, ordinal: i64) -> String {
    format!("{}-{ordinal}", set.metadata.name)
}

/// The pod of a revision's template.
pub(super) fn new(set: &Set, owner: &Value, revision: &Revision, ordinal: i64) -> Value {
    let mut pod = template::pod(&revision.template(), owner);
    let name = name(set, ordinal);
    pod["metadata"]["name"] = json!(name);
    for (label, value) in labels(&name, ordinal) {
        pod["metadata"]["labels"][label] = json!(value);
    }
    pod["metadata"]["labels"][history::LABEL] = json!(revision.name());
    pod["spec"]["hostname"] = json!(name);
    if !set.spec.service_name.is_empty() {
        pod["spec"]["subdomain"] = json!(set.spec.service_name);
    }
    let mut volumes = claims::volumes(set, ordinal);
    let taken: Vec<Value> = volumes.iter().map(|volume| volume["name"].clone()).collect();
    let others = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
    volumes.extend(others.into_iter().filter(|volume| !taken.contains(&volume["name"])));
    if let Some(spec) = pod["spec"].as_object_mut() {
        match volumes.is_empty() {
            true => drop(spec.remove("volumes")),
            false => drop(spec.insert("volumes".to_owned(), Value::Array(volumes))),
        }
    }
    pod
}

/// By which a pod is found under its name and number.
pub(super) fn labels(name: &str, ordinal: i64) -> [(&'static str, String); 2] {
    [(NAME_LABEL, name.to_owned()), (INDEX_LABEL, ordinal.to_string())]
}

pub(super) fn is_of(pod: &Pod, revision: &Revision) -> bool {
    pod.meta.labels.get(history::LABEL).is_some_and(|name| name == revision.name())
}

pub(super) fn is_ready(pod: &Pod) -> bool {
    pod.view.phase == Phase::Running && pod.view.ready
}

pub(super) fn is_available(pod: &Pod, set: &Set, now: Timestamp) -> bool {
    is_ready(pod) && pod.view.is_available(set.spec.min_ready_seconds, now)
}
