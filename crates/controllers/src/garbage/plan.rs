//! What to do with one object, given its owners and dependents.

use super::{FOREGROUND, ORPHAN, Object, Observed, OwnerState, blocks, has_finalizer, waits_for_dependents};
use crate::action::{Action, Delete, Outcome, Patch, Plan};
use bytes::Bytes;
use client::events::ObjectRef;
use meta::{ObjectMeta, OwnerReference};
use serde_json::json;

pub(super) fn plan(observed: Observed) -> Plan {
    if observed.object.meta.is_deleting() {
        return finish_deletion(&observed);
    }
    if observed.owners.is_empty() {
        return Plan::nothing();
    }
    let undecided = |state: &OwnerState| !matches!(state, OwnerState::Solid);
    if !observed.owners.iter().any(|(_, state)| undecided(state)) {
        return Plan::nothing();
    }
    if observed.owners.iter().any(|(_, state)| *state == OwnerState::UnknownKind) {
        // Its kind may be served later; deleting on a guess would lose data.
        return Plan::nothing();
    }
    // The object as it is now, and the owners that the caches do not show.
    let mut reads = vec![Action::Read { resource: observed.object.resource.clone(), key: observed.object.key() }];
    for (_, state) in &observed.owners {
        if let OwnerState::Unseen { resource, key } = state {
            reads.push(Action::Read { resource: resource.clone(), key: key.clone() });
        }
    }
    Plan::of(reads).then(move |outcome| judge(&observed, outcome))
}

/// Foreground deletion ends when nothing blocks it any more; orphaning when nothing names the owner.
fn finish_deletion(observed: &Observed) -> Plan {
    let Object { meta, .. } = &observed.object;
    if has_finalizer(meta, ORPHAN) {
        let cut = |dependent: &Object| without_owners(dependent, &[meta.uid.as_str()]);
        let mut actions: Vec<Action> = observed.dependents.iter().map(cut).collect();
        actions.push(without_finalizer(&observed.object, ORPHAN));
        return Plan::of(actions);
    }
    if !has_finalizer(meta, FOREGROUND) {
        return Plan::nothing();
    }
    if !observed.dependents.iter().any(|dependent| blocks(&dependent.meta, &meta.uid)) {
        return Plan::of(vec![without_finalizer(&observed.object, FOREGROUND)]);
    }
    match observed.circle.is_empty() {
        true => Plan::nothing(),
        false => Plan::of(vec![unblock(&observed.object, |owner| observed.circle.contains(&owner.uid))]),
    }
}

/// Decides with what the server said.
fn judge(observed: &Observed, outcome: &Outcome) -> Plan {
    if outcome.failure.is_some() {
        return Plan::nothing();
    }
    let mut reads = outcome.reads.iter().map(|body| body.as_ref().and_then(meta_of));
    let Some(live) = reads.next().flatten() else { return Plan::nothing() };
    let known = &observed.object.meta;
    if live.uid != known.uid || live.is_deleting() || live.owner_references != known.owner_references {
        // It changed meanwhile, and its change brings us back.
        return Plan::nothing();
    }
    let (mut solid, mut waiting, mut absent) = (0, Vec::new(), Vec::new());
    let mut is_settled = true;
    let mut actions = Vec::new();
    for (reference, state) in &observed.owners {
        match state {
            OwnerState::Solid => solid += 1,
            OwnerState::Waiting => waiting.push(reference.uid.as_str()),
            OwnerState::UnknownKind => return Plan::nothing(),
            OwnerState::OutOfReach => {
                actions.push(out_of_reach(&observed.object, reference));
                absent.push(reference.uid.as_str());
            }
            OwnerState::Unseen { .. } => match reads.next().flatten().filter(|owner| owner.uid == reference.uid) {
                Some(owner) if waits_for_dependents(&owner) => waiting.push(reference.uid.as_str()),
                // It may be gone before any cache shows it, which nobody would tell of.
                Some(_) => {
                    solid += 1;
                    is_settled = false;
                }
                None => absent.push(reference.uid.as_str()),
            },
        }
    }
    let object = Object { meta: live, ..observed.object.clone() };
    if solid > 0 {
        let gone: Vec<&str> = waiting.into_iter().chain(absent).collect();
        if !gone.is_empty() {
            actions.push(without_owners(&object, &gone));
        }
        let plan = Plan::of(actions);
        return if is_settled { plan } else { plan.unfinished() };
    }
    if object.meta.namespace.is_empty() && actions.len() == observed.owners.len() {
        // Only owners that cannot be: upstream tells of it and leaves the object alone.
        return Plan::of(actions);
    }
    if waiting.is_empty() || observed.dependents.is_empty() {
        actions.push(delete(&object, None));
        return Plan::of(actions);
    }
    if observed.dependents.iter().any(|dependent| waits_for_dependents(&dependent.meta)) {
        // A circle of owners: somebody must stop waiting for the other.
        actions.push(unblock(&object, |_| true));
        return Plan::of(actions).then(move |outcome| match outcome.failure {
            Some(_) => Plan::nothing(),
            None => Plan::of(vec![delete(&Object { meta: unversioned(&object.meta), ..object }, Some("Foreground"))]),
        });
    }
    actions.push(delete(&object, Some("Foreground")));
    Plan::of(actions)
}

/// Deletes the very object that was judged. It keeps the way of ending it was asked to take.
fn delete(object: &Object, policy: Option<&'static str>) -> Action {
    let meta = &object.meta;
    let own = match meta {
        meta if has_finalizer(meta, ORPHAN) => "Orphan",
        meta if has_finalizer(meta, FOREGROUND) => "Foreground",
        _ => "Background",
    };
    let mut delete = Delete::new(&object.resource, &object.key(), &meta.uid).policy(policy.unwrap_or(own));
    delete.version = Some(meta.resource_version.clone()).filter(|version| !version.is_empty());
    Action::Delete(vec![delete])
}

fn unversioned(meta: &ObjectMeta) -> ObjectMeta {
    ObjectMeta { resource_version: String::new(), ..meta.clone() }
}

fn with_owners(object: &Object, owners: &[OwnerReference]) -> Action {
    let body = json!({"metadata": {"resourceVersion": object.meta.resource_version, "ownerReferences": owners}});
    Action::Patch(Patch::merge(&object.resource, &object.key(), body))
}

fn without_owners(object: &Object, uids: &[&str]) -> Action {
    let mut owners = object.meta.owner_references.clone();
    owners.retain(|owner| !uids.contains(&owner.uid.as_str()));
    with_owners(object, &owners)
}

/// Lets those owners go before the object does.
fn unblock(object: &Object, which: impl Fn(&OwnerReference) -> bool) -> Action {
    let mut owners = object.meta.owner_references.clone();
    let blocking = owners.iter_mut().filter(|owner| owner.block_owner_deletion == Some(true) && which(owner));
    blocking.for_each(|owner| owner.block_owner_deletion = Some(false));
    with_owners(object, &owners)
}

fn without_finalizer(object: &Object, finalizer: &str) -> Action {
    let mut finalizers = object.meta.finalizers.clone();
    finalizers.retain(|name| name != finalizer);
    let body = json!({"metadata": {"resourceVersion": object.meta.resource_version, "finalizers": finalizers}});
    Action::Patch(Patch::merge(&object.resource, &object.key(), body))
}

fn out_of_reach(object: &Object, owner: &OwnerReference) -> Action {
    let namespace = &object.meta.namespace;
    let told = format!(
        "[{}/{}, namespace: {namespace}, name: {}, uid: {}]",
        owner.api_version, owner.kind, owner.name, owner.uid
    );
    let message = format!("ownerRef {told} does not exist in namespace \"{namespace}\"");
    Action::event(&ObjectRef::of(&object.kind, &object.meta), true, "OwnerRefInvalidNamespace", message)
}

fn meta_of(body: &Bytes) -> Option<ObjectMeta> {
    #[derive(serde::Deserialize)]
    struct Envelope {
        metadata: ObjectMeta,
    }
    serde_json::from_slice::<Envelope>(body).ok().map(|envelope| envelope.metadata)
}
