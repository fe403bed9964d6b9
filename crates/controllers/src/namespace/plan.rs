//! Emptying in steps: look at pods, delete them, look at the rest, delete it, say what is left.

use super::Observed;
use crate::action::{Action, Outcome, Plan, Update};
use crate::kinds::resource;
use base::Timestamp;
use client::{Error, Key};
use meta::conditions::{self, Condition};
use meta::{GroupVersionResource, ObjectMeta};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The finalizer that is this controller's.
const KUBERNETES: &str = "kubernetes";

/// What stays the same over the steps.
struct Scene {
    key: Key,
    object: Value,
    status: Value,
    finalizers: Vec<String>,
    others: Vec<GroupVersionResource>,
    now: Timestamp,
}

/// What is still in the namespace.
#[derive(Default)]
struct Left {
    instances: BTreeMap<(String, String), usize>,
    finalizers: BTreeMap<String, usize>,
    failures: Vec<String>,
}

pub(super) fn plan(observed: &Observed, now: Timestamp) -> Plan {
    let namespace = &observed.namespace;
    if !namespace.spec.finalizers.iter().any(|finalizer| finalizer == KUBERNETES) {
        return Plan::nothing();
    }
    let scene = Arc::new(Scene {
        key: Key::of(&namespace.metadata),
        object: observed.object.clone(),
        status: namespace.status.clone(),
        finalizers: namespace.spec.finalizers.clone(),
        others: observed.contents.iter().filter(|resource| **resource != resource::PODS).cloned().collect(),
        now,
    });
    // Pods first: what they use (secrets, policies) must outlast them.
    empty(scene, vec![resource::PODS], |scene, left| {
        if !left.instances.is_empty() || !left.failures.is_empty() {
            return conclude(&scene, &left);
        }
        let others = scene.others.clone();
        empty(scene, others, |scene, left| conclude(&scene, &left))
    })
}

/// Deletes what there is of `resources` and hands on what is left of it.
fn empty(
    scene: Arc<Scene>,
    resources: Vec<GroupVersionResource>,
    next: impl FnOnce(Arc<Scene>, Left) -> Plan + Send + 'static,
) -> Plan {
    let namespace = scene.key.name().to_owned();
    Plan::of(lists(&resources, &namespace)).then(move |outcome| {
        let (held, unlisted) = held(&resources, outcome);
        if held.is_empty() {
            return next(scene, Left { failures: unlisted, ..Left::default() });
        }
        let delete = |resource: &GroupVersionResource| Action::DeleteAll {
            resource: resource.clone(),
            namespace: namespace.clone(),
        };
        let mut actions: Vec<Action> = held.iter().map(delete).collect();
        actions.extend(lists(&held, &namespace));
        Plan::of(actions).then(move |outcome| {
            let mut left = Left::of(&held, outcome);
            left.failures.extend(unlisted);
            next(scene, left)
        })
    })
}

fn lists(resources: &[GroupVersionResource], namespace: &str) -> Vec<Action> {
    let list =
        |resource: &GroupVersionResource| Action::List { resource: resource.clone(), namespace: namespace.to_owned() };
    resources.iter().map(list).collect()
}

/// Which resources have objects, and which could not be looked at.
fn held(resources: &[GroupVersionResource], outcome: &Outcome) -> (Vec<GroupVersionResource>, Vec<String>) {
    let (mut held, mut unlisted) = (Vec::new(), Vec::new());
    for (resource, list) in resources.iter().zip(&outcome.lists) {
        match list {
            Ok(items) if items.is_empty() => {}
            Ok(_) => held.push(resource.clone()),
            Err(error) => unlisted.push(error.to_string()),
        }
    }
    (held, unlisted)
}

impl Left {
    fn of(resources: &[GroupVersionResource], outcome: &Outcome) -> Self {
        let failures = outcome.refusals.iter().map(|(_, error): &(_, Error)| error.to_string()).collect();
        let mut left = Left { failures, ..Left::default() };
        for (resource, list) in resources.iter().zip(&outcome.lists) {
            match list {
                Ok(items) if items.is_empty() => {}
                Ok(items) => {
                    left.instances.insert((resource.resource.to_string(), resource.group.to_string()), items.len());
                    items.iter().flat_map(|item| finalizers(item)).for_each(|finalizer| {
                        *left.finalizers.entry(finalizer).or_insert(0) += 1;
                    });
                }
                Err(error) => left.failures.push(error.to_string()),
            }
        }
        left
    }
}

fn finalizers(object: &[u8]) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Envelope {
        metadata: ObjectMeta,
    }
    serde_json::from_slice::<Envelope>(object).map(|envelope| envelope.metadata.finalizers).unwrap_or_default()
}

/// Writes the conditions, and lets the namespace go if nothing is left.
fn conclude(scene: &Scene, left: &Left) -> Plan {
    let done = left.instances.is_empty() && left.failures.is_empty();
    let mut conditions = scene.status["conditions"].clone();
    let mut changed = scene.status["phase"] != "Terminating";
    for (kind, status, reason, message) in told(left) {
        let new = Condition { kind, status, reason, message: &message, observed_generation: 0 };
        changed |= conditions::set(&mut conditions, new, scene.now);
    }
    let mut actions = Vec::new();
    if changed && !done {
        let status = json!({"phase": "Terminating", "conditions": conditions});
        actions.push(Action::status(&resource::NAMESPACES, &scene.key, status));
    }
    if !done {
        return Plan::of(actions).unfinished();
    }
    let mut object = scene.object.clone();
    let rest: Vec<_> = scene.finalizers.iter().filter(|finalizer| *finalizer != KUBERNETES).collect();
    object["spec"]["finalizers"] = json!(rest);
    let (resource, key) = (resource::NAMESPACES, scene.key.clone());
    actions.push(Action::Update(Update { resource, key, subresource: Some("finalize"), object }));
    Plan::of(actions)
}

/// Upstream's five conditions in its words: type, status, reason, message.
fn told(left: &Left) -> [(&'static str, &'static str, &'static str, String); 5] {
    let instances: Vec<_> = left
        .instances
        .iter()
        .map(|((resource, group), count)| format!("{resource}.{group} has {count} resource instances"))
        .collect();
    let finalizers: Vec<_> =
        left.finalizers.iter().map(|(finalizer, count)| format!("{finalizer} in {count} resource instances")).collect();
    let either = |bad: bool, told: (&'static str, String), well: (&'static str, &str)| match bad {
        true => ("True", told.0, told.1),
        false => ("False", well.0, well.1.to_owned()),
    };
    let number = left.failures.len();
    let failure = format!("Failed to delete all resource types, {number} remaining: {}", left.failures.join(", "));
    let content = either(
        number > 0,
        ("ContentDeletionFailed", failure),
        ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
    );
    let remaining = either(
        !instances.is_empty(),
        ("SomeResourcesRemain", format!("Some resources are remaining: {}", instances.join(", "))),
        ("ContentRemoved", "All content successfully removed"),
    );
    let held = either(
        !finalizers.is_empty(),
        (
            "SomeFinalizersRemain",
            format!("Some content in the namespace has finalizers remaining: {}", finalizers.join(", ")),
        ),
        ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
    );
    let (discovered, parsed) = ("All resources successfully discovered", "All legacy kube types successfully parsed");
    [
        ("NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered", discovered.to_owned()),
        ("NamespaceDeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions", parsed.to_owned()),
        ("NamespaceDeletionContentFailure", content.0, content.1, content.2),
        ("NamespaceContentRemaining", remaining.0, remaining.1, remaining.2),
        ("NamespaceFinalizersRemaining", held.0, held.1, held.2),
    ]
}
