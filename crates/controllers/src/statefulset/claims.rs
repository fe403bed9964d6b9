//! The claims of a set's pods: their names, how they are made, and with whom they go.

use super::member::{self, Pod};
use super::{Observed, Set};
use crate::action::{Action, Create, Patch};
use crate::announce::Voice;
use crate::kinds::{kind, resource};
use crate::ownership::Owner;
use client::Item;
use serde_json::{Value, json};

fn template_name(template: &Value) -> &str {
    template["metadata"]["name"].as_str().unwrap_or_default()
}

fn name(set: &Set, template: &Value, ordinal: i64) -> String {
    format!("{}-{}", template_name(template), member::name(set, ordinal))
}

/// Whether a claim is named as one of a set's, by whichever of its templates.
pub(super) fn may_be_of(claim: &str, set: &str) -> bool {
    let Some((stem, ordinal)) = claim.rsplit_once('-') else { return false };
    let is_number = !ordinal.is_empty() && ordinal.bytes().all(|digit| digit.is_ascii_digit());
    is_number && stem.strip_suffix(set).is_some_and(|template| template.ends_with('-'))
}

pub(super) fn names(set: &Set, ordinal: i64) -> Vec<String> {
    set.spec.volume_claim_templates.iter().map(|template| name(set, template, ordinal)).collect()
}

/// The volumes by which a pod mounts its claims.
pub(super) fn volumes(set: &Set, ordinal: i64) -> Vec<Value> {
    let volume = |template: &Value| {
        let claim = json!({"claimName": name(set, template, ordinal)});
        json!({"name": template_name(template), "persistentVolumeClaim": claim})
    };
    set.spec.volume_claim_templates.iter().map(volume).collect()
}

/// Whether a pod can have its claims.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Free,
    /// One is about to go, with the set or with an earlier pod of the name.
    Going,
}

pub(super) fn standing(observed: &Observed, ordinal: i64) -> Standing {
    let pod = member::name(&observed.set, ordinal);
    let is_going = |claim: &Item<()>| {
        let of_earlier_pod = |owner: &meta::OwnerReference| owner.kind == kind::PODS.kind && owner.name == pod;
        claim.meta.is_deleting() || claim.meta.owner_references.iter().any(of_earlier_pod)
    };
    let names = names(&observed.set, ordinal);
    let going = names.iter().filter_map(|name| observed.claims.get(name)).any(|claim| is_going(claim));
    if going { Standing::Going } else { Standing::Free }
}

/// Makes those claims of a pod that there are not.
pub(super) fn missing(observed: &Observed, ordinal: i64) -> Vec<Create> {
    let set = &observed.set;
    let about = observed.owner.about(&set.metadata);
    let voice = Voice::ClaimOf(member::name(set, ordinal));
    let mut creates = Vec::new();
    for template in &set.spec.volume_claim_templates {
        let name = name(set, template, ordinal);
        if observed.claims.contains_key(&name) {
            continue;
        }
        let mut labels = template["metadata"]["labels"].clone();
        for (label, value) in set.spec.selector["matchLabels"].as_object().into_iter().flatten() {
            labels[label.as_str()] = value.clone();
        }
        let mut metadata = json!({"name": name, "labels": labels});
        if !template["metadata"]["annotations"].is_null() {
            metadata["annotations"] = template["metadata"]["annotations"].clone();
        }
        let (with_set, _) = company(set, false);
        if with_set {
            metadata["ownerReferences"] = json!([observed.owner.reference()]);
        }
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"],
        });
        let create = Create::new(&resource::PERSISTENT_VOLUME_CLAIMS, &set.metadata.namespace, claim);
        creates.push(create.announce_as(&about, voice.clone()).or_exists());
    }
    creates
}

/// Whether a claim goes with the set, and whether with its pod, which may be one too many.
fn company(set: &Set, is_condemned: bool) -> (bool, bool) {
    let policy = &set.spec.persistent_volume_claim_retention_policy;
    let with_pod = policy.when_scaled == "Delete" && is_condemned;
    (policy.when_deleted == "Delete" && !with_pod, with_pod)
}

/// Has a pod's claims name those they go with, and no others.
pub(super) fn retention(observed: &Observed, pod: &Pod, ordinal: i64, is_condemned: bool) -> Vec<Action> {
    let set = &observed.set;
    let (with_set, with_pod) = company(set, is_condemned);
    let mut patches = Vec::new();
    for claim in names(set, ordinal).iter().filter_map(|name| observed.claims.get(name)) {
        let foreign = |uid: &String| *uid != observed.owner.uid && *uid != pod.meta.uid;
        if claim.meta.controller().is_some_and(|owner| foreign(&owner.uid)) {
            continue;
        }
        let owner_of_pod = Owner::new(kind::PODS, resource::PODS, &pod.meta);
        let mut references = Vec::new();
        for (wanted, owner) in [(with_set, &observed.owner), (with_pod, &owner_of_pod)] {
            let stands = claim.meta.owner_references.iter().any(|reference| reference.uid == owner.uid);
            match (wanted, stands) {
                (true, false) => references.push(owner.reference()),
                (false, true) => references.push(json!({"$patch": "delete", "uid": owner.uid})),
                _ => {}
            }
        }
        if !references.is_empty() {
            let body = json!({"metadata": {"uid": claim.meta.uid, "ownerReferences": references}});
            patches.push(Action::Patch(Patch::strategic(&resource::PERSISTENT_VOLUME_CLAIMS, &claim.key, body)));
        }
    }
    patches
}
