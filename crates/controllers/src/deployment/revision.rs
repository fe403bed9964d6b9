//! Which ReplicaSet is the new one, what it is called, and the annotations by which revisions are
//! remembered.

use super::{Deployment, Set};
use crate::history;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
pub(super) const ROLLBACK: &str = "deprecated.deployment.rollback.to";
pub(super) const HASH: &str = "pod-template-hash";

/// What a ReplicaSet does not inherit of its Deployment's annotations.
const OWN: [&str; 6] =
    ["kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, MAX_REPLICAS, ROLLBACK];

/// The longest list of earlier revisions, in characters.
const HISTORY_LIMIT: usize = 2000;

/// The template without the label that tells the sets of a Deployment apart.
pub(super) fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH);
    }
    template
}

/// The oldest set that has the Deployment's template.
pub(super) fn position_of_new(deployment: &Deployment, sets: &[Set]) -> Option<usize> {
    let wanted = without_hash(&deployment.spec.template);
    let matching = (0..sets.len()).filter(|at| without_hash(&sets[*at].spec.template) == wanted);
    matching.min_by_key(|at| sets[*at].age())
}

pub(super) fn number(set: &Set, annotation: &str) -> Option<i64> {
    set.metadata.annotations.get(annotation)?.parse().ok()
}

pub(super) fn of(set: &Set) -> i64 {
    number(set, REVISION).unwrap_or(0)
}

/// Whether the set has grown to all that was wanted of it.
pub(super) fn is_saturated(deployment: &Deployment, set: &Set) -> bool {
    let wanted = deployment.spec.replicas;
    set.spec.replicas == wanted && number(set, DESIRED) == Some(wanted) && set.status.available_replicas == wanted
}

/// Whether the Deployment's size changed since the set was last touched.
pub(super) fn was_resized(deployment: &Deployment, set: &Set) -> bool {
    number(set, DESIRED).is_some_and(|desired| desired != deployment.spec.replicas)
}

/// Notes on a set the sizes it was made for.
pub(super) fn note_sizes(deployment: &Deployment, set: &mut Set) {
    let (desired, most) = (deployment.spec.replicas, deployment.spec.replicas + deployment.max_surge());
    set.metadata.annotations.insert(DESIRED.to_owned(), desired.to_string());
    set.metadata.annotations.insert(MAX_REPLICAS.to_owned(), most.to_string());
}

/// Gives the new set the Deployment's annotations and a revision above all old ones; the revisions
/// it had before (it was rolled back to) are kept.
pub(super) fn annotate(deployment: &Deployment, set: &mut Set, revision: i64) {
    let annotations = &mut set.metadata.annotations;
    for (name, value) in &deployment.metadata.annotations {
        if !OWN.contains(&name.as_str()) {
            annotations.insert(name.clone(), value.clone());
        }
    }
    let had = annotations.get(REVISION).cloned();
    let before: i64 = match had.as_deref().map(str::parse) {
        None => 0,
        Some(Ok(before)) => before,
        Some(Err(_)) => return,
    };
    if before >= revision {
        return;
    }
    annotations.insert(REVISION.to_owned(), revision.to_string());
    if let Some(had) = had {
        let history = annotations.get(HISTORY).cloned().unwrap_or_default();
        annotations.insert(HISTORY.to_owned(), longer_history(&history, &had));
    }
}

fn longer_history(history: &str, revision: &str) -> String {
    let mut revisions: Vec<&str> = history.split(',').filter(|text| !text.is_empty()).collect();
    revisions.push(revision);
    while revisions.len() > 1 && revisions.join(",").len() > HISTORY_LIMIT {
        revisions.remove(0);
    }
    revisions.join(",")
}

/// A new set for the Deployment's template, without replicas yet.
pub(super) fn new_set(deployment: &Deployment) -> Set {
    let collisions = deployment.status["collisionCount"].as_i64();
    let hash = history::hash(&without_hash(&deployment.spec.template), collisions);
    let mut template = deployment.spec.template.clone();
    template["metadata"]["labels"][HASH] = json!(hash);
    let labels: BTreeMap<String, String> =
        serde_json::from_value(template["metadata"]["labels"].clone()).unwrap_or_default();
    let metadata = meta::ObjectMeta {
        namespace: deployment.metadata.namespace.clone(),
        name: format!("{}-{hash}", deployment.metadata.name),
        labels,
        ..meta::ObjectMeta::default()
    };
    let min_ready_seconds = deployment.spec.min_ready_seconds;
    Set { metadata, spec: super::SetSpec { replicas: 0, min_ready_seconds, template }, status: Default::default() }
}

/// The new set as an object to create.
pub(super) fn object(deployment: &Deployment, set: &Set, owner: &Value) -> Value {
    let mut selector = deployment.spec.selector.clone();
    selector["matchLabels"][HASH] = json!(set.metadata.labels.get(HASH));
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": set.metadata.name, "namespace": set.metadata.namespace, "labels": set.metadata.labels,
            "annotations": set.metadata.annotations, "ownerReferences": [owner],
        },
        "spec": {
            "replicas": set.spec.replicas, "minReadySeconds": set.spec.min_ready_seconds,
            "selector": selector, "template": set.spec.template,
        },
    })
}
