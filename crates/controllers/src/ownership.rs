//! Who controls what: owners take matching objects that nobody controls, and let go of their own
//! that match no longer.
//!
//! Shared by all rooms whose objects own others by selector. Decides only.

use crate::action::{Action, Patch};
use client::events::ObjectRef;
use client::{Cache, Change, Item, Key, Projection, WorkQueue};
use meta::labels::Selector;
use meta::{GroupVersionKind, GroupVersionResource, ObjectMeta, OwnerReference};
use serde_json::{Value, json};
use std::sync::Arc;

/// An object that controls others.
#[derive(Debug, Clone)]
pub struct Owner {
    pub kind: GroupVersionKind,
    pub resource: GroupVersionResource,
    pub key: Key,
    pub uid: String,
    pub deleting: bool,
    /// What keeps its objects until it has taken note of their end: given on adoption, taken on release.
    pub finalizer: Option<&'static str>,
}

impl Owner {
    pub fn new(kind: GroupVersionKind, resource: GroupVersionResource, meta: &ObjectMeta) -> Self {
        let (key, uid, deleting) = (Key::of(meta), meta.uid.clone(), meta.is_deleting());
        Owner { kind, resource, key, uid, deleting, finalizer: None }
    }

    pub fn with_finalizer(mut self, finalizer: &'static str) -> Self {
        self.finalizer = Some(finalizer);
        self
    }

    /// The reference that its objects carry.
    pub fn reference(&self) -> Value {
        json!({
            "apiVersion": self.kind.group_version().to_string(), "kind": self.kind.kind, "name": self.key.name(),
            "uid": self.uid, "controller": true, "blockOwnerDeletion": true,
        })
    }

    /// Whom its Events are about.
    pub fn about(&self, meta: &ObjectMeta) -> ObjectRef {
        ObjectRef::of(&self.kind, meta)
    }
}

/// Wakes the owners that an object has or had.
pub fn wake_controller<P>(is_owner: fn(&OwnerReference) -> bool, change: &Change<P>, queue: &WorkQueue<Key>) {
    for item in change.states() {
        if let Some(owner) = item.meta.controller().filter(|owner| is_owner(owner)) {
            queue.add(Key::new(&item.meta.namespace, &owner.name));
        }
    }
}

/// Wakes all that might adopt an object which nobody controls, unless they knew of it.
pub fn wake_matching<S: Projection, P>(
    owners: &Cache<S>,
    selector: fn(&S) -> &Selector,
    change: &Change<P>,
    queue: &WorkQueue<Key>,
) {
    let is_free = |item: &&Arc<Item<P>>| item.meta.controller().is_none() && !item.meta.is_deleting();
    let Some(item) = change.new.as_ref().filter(is_free) else { return };
    let old = change.old.as_ref();
    if old.is_some_and(|old| old.meta.labels == item.meta.labels && old.meta.controller().is_none()) {
        return;
    }
    for owner in owners.list_in(&item.meta.namespace) {
        if selector(&owner.view).matches(&item.meta.labels) {
            queue.add(owner.key.clone());
        }
    }
}

/// The objects that an owner controls, and those that its selector finds and nobody controls.
pub fn own_or_free<P: Projection>(cache: &Cache<P>, owner: &ObjectMeta, selector: &Selector) -> Vec<Arc<Item<P>>> {
    let mut found = cache.controlled_by(&owner.uid);
    let free = cache.orphans_in(&owner.namespace);
    found.extend(free.into_iter().filter(|item| selector.matches(&item.meta.labels)));
    found
}

/// The objects of an owner, and what must be written for it to be so.
pub struct Claimed<P> {
    /// Those it owns, those to adopt among them.
    pub owned: Vec<Arc<Item<P>>>,
    pub actions: Vec<Action>,
}

impl<P> Default for Claimed<P> {
    fn default() -> Self {
        Claimed { owned: Vec::new(), actions: Vec::new() }
    }
}

/// Sorts out which of `candidates` are the owner's. `resource` is theirs.
pub fn claim<P: Projection>(
    owner: &Owner,
    selector: &Selector,
    resource: &GroupVersionResource,
    candidates: impl IntoIterator<Item = Arc<Item<P>>>,
) -> Claimed<P> {
    let mut claimed = Claimed::default();
    let mut adoptions = Vec::new();
    for item in candidates {
        let matches = selector.matches(&item.meta.labels);
        match item.meta.controller() {
            Some(controller) if controller.uid != owner.uid => {}
            Some(_) if matches => claimed.owned.push(item),
            Some(_) if owner.deleting => {}
            Some(_) => claimed.actions.push(Action::Patch(release(owner, resource, &item))),
            None if matches && !owner.deleting && !item.meta.is_deleting() => {
                adoptions.push(Action::Patch(adopt(owner, resource, &item)));
                claimed.owned.push(item);
            }
            None => {}
        }
    }
    if !adoptions.is_empty() {
        // A cache may still show an owner that is gone; what it adopted would be collected at once.
        let (resource, key, uid) = (owner.resource.clone(), owner.key.clone(), owner.uid.clone());
        claimed.actions.push(Action::Confirm { resource, key, uid });
        claimed.actions.append(&mut adoptions);
    }
    claimed
}

fn adopt<P>(owner: &Owner, resource: &GroupVersionResource, item: &Item<P>) -> Patch {
    let mut body = json!({"metadata": {"ownerReferences": [owner.reference()], "uid": item.meta.uid}});
    if let Some(finalizer) = owner.finalizer {
        body["metadata"]["finalizers"] = json!([finalizer]);
    }
    Patch::strategic(resource, &item.key, body)
}

fn release<P>(owner: &Owner, resource: &GroupVersionResource, item: &Item<P>) -> Patch {
    let leave = json!({"$patch": "delete", "uid": owner.uid});
    let mut body = json!({"metadata": {"ownerReferences": [leave], "uid": item.meta.uid}});
    if let Some(finalizer) = owner.finalizer {
        body["metadata"]["$deleteFromPrimitiveList/finalizers"] = json!([finalizer]);
    }
    Patch::strategic(resource, &item.key, body)
}
