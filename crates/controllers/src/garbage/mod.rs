//! The garbage collector: objects whose owners are gone go, too; foreground deletion waits for
//! dependents, orphaning cuts them loose.
//!
//! Watches the metadata of every kind that can be deleted, custom resources too. It keeps no graph of its own: the caches
//! know owners by name and dependents by owner uid. Before anything is deleted, the server itself is
//! asked, since a cache may be behind.

mod plan;
#[cfg(test)]
mod tests;

use crate::action::Plan;
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::{CustomKind, DefinitionView};
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Caches, Change, Item, Key, Selection, WorkQueue};
use meta::{GroupVersion, GroupVersionKind, GroupVersionResource, ObjectMeta, OwnerReference};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

pub const DEF: Def = Def {
    name: "garbage-collector-controller",
    identity: "generic-garbage-collector",
    component: "garbage-collector-controller",
    workers: 20,
    retry: RETRY,
    build,
};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// One kind under watch.
struct Watched {
    resource: GroupVersionResource,
    kind: GroupVersionKind,
    namespaced: bool,
    cache: Arc<Cache<()>>,
}

/// All of them, found by group and resource; those of custom resources come and go.
struct World(RwLock<BTreeMap<Place, Arc<Watched>>>);

/// Group and resource.
type Place = (String, String);

/// An object as the plan sees it.
#[derive(Debug, Clone)]
struct Object {
    resource: GroupVersionResource,
    kind: GroupVersionKind,
    meta: ObjectMeta,
}

impl Object {
    fn key(&self) -> Key {
        Key::of(&self.meta)
    }
}

fn has_finalizer(meta: &ObjectMeta, name: &str) -> bool {
    meta.finalizers.iter().any(|finalizer| finalizer == name)
}

/// Is being deleted, and waits for what depends on it.
fn waits_for_dependents(meta: &ObjectMeta) -> bool {
    meta.is_deleting() && has_finalizer(meta, FOREGROUND)
}

/// An owner cannot go before this object has.
fn blocks(meta: &ObjectMeta, owner: &str) -> bool {
    meta.owner_references.iter().any(|reference| reference.uid == owner && reference.block_owner_deletion == Some(true))
}

/// Is being deleted, and goes when its dependents have been seen to.
fn ends_by_us(meta: &ObjectMeta) -> bool {
    meta.is_deleting() && (has_finalizer(meta, FOREGROUND) || has_finalizer(meta, ORPHAN))
}

/// What is known of an owner without asking.
#[derive(Debug, Clone, PartialEq)]
enum OwnerState {
    Solid,
    /// It is being deleted and waits for its dependents.
    Waiting,
    /// Not in the cache: to be asked for.
    Unseen {
        resource: GroupVersionResource,
        key: Key,
    },
    /// It cannot own this object: another namespace, or a namespace where there is none.
    OutOfReach,
    /// Its kind is not served.
    UnknownKind,
}

struct Observed {
    object: Object,
    owners: Vec<(OwnerReference, OwnerState)>,
    dependents: Vec<Object>,
    /// The uids of the owners that wait for this object, while it waits for them.
    circle: BTreeSet<String>,
}

struct Garbage {
    world: Arc<World>,
    /// Tells of custom resources for as long as it is held.
    _definitions: Arc<Cache<DefinitionView>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let watched = collectable().into_iter().map(|kind| {
        let resource = kind.gvr();
        let cache = rig.cache_if_served::<()>(&resource);
        let name = kind.gvk();
        let place = (kind.group.to_string(), kind.resource.to_string());
        (place, Arc::new(Watched { resource, kind: name, namespaced: kind.namespaced, cache }))
    });
    let world = Arc::new(World(RwLock::new(watched.collect())));
    for (place, watched) in world.all() {
        world.follow(place, &watched, &rig.queue);
    }
    let definitions = rig.cache_if_served::<DefinitionView>(&resource::CUSTOM_RESOURCE_DEFINITIONS);
    let (weak, caches) = (Arc::downgrade(&world), rig.options.caches.clone());
    rig.on(&definitions, move |change, queue| {
        let served = |item: &Option<Arc<Item<DefinitionView>>>| item.as_ref().and_then(|item| item.view.served.clone());
        let (old, new) = (served(&change.old), served(&change.new));
        if let Some(world) = weak.upgrade().filter(|_| old != new) {
            old.iter().for_each(|kind| world.close(kind));
            new.into_iter().for_each(|kind| world.open(kind, &caches, queue));
        }
    });
    Box::new(Garbage { world, _definitions: definitions })
}

/// Every kind that can be watched and deleted, once. Events own nothing and are owned by nobody.
fn collectable() -> Vec<&'static kinds::Kind> {
    let mut seen = BTreeSet::new();
    let usable = kinds::all()
        .iter()
        .filter(|kind| kind.served_by_default && ["list", "watch", "delete"].iter().all(|verb| kind.has_verb(verb)));
    let usable = usable.filter(|kind| kind.resource != "events");
    let preferred = usable.filter_map(|kind| kinds::find_resource(&kind.group, &kind.resource));
    preferred.filter(|kind| seen.insert((&kind.group, &kind.resource))).collect()
}

/// Keys name the kind first: `replicasets.apps/namespace/name`.
fn queue_key(place: &(String, String), key: &Key) -> Key {
    Key::new(&format!("{}.{}", place.1, place.0), key.as_str())
}

fn changed(world: &Weak<World>, place: &(String, String), change: &Change<()>, queue: &WorkQueue<Key>) {
    let Some(world) = world.upgrade() else { return };
    let Some(item) = change.latest() else { return };
    let owners = |item: &Option<Arc<Item<()>>>| item.as_ref().map(|item| item.meta.owner_references.clone());
    let (old, new) = (owners(&change.old), owners(&change.new));
    let ending = change.new.as_ref().is_some_and(|item| ends_by_us(&item.meta));
    if ending || (change.new.is_some() && old != new && !item.meta.owner_references.is_empty()) {
        queue.add(queue_key(place, &item.key));
    }
    if ending || change.new.is_none() {
        world.wake_dependents(&item.meta.uid, queue);
    }
    if old != new {
        world.wake_waiting_owners(item, old.iter().flatten(), queue);
    }
}

impl World {
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Place, Arc<Watched>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Place, Arc<Watched>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<(Place, Arc<Watched>)> {
        self.read().iter().map(|(place, watched)| (place.clone(), watched.clone())).collect()
    }

    fn follow(self: &Arc<Self>, place: Place, watched: &Watched, queue: &WorkQueue<Key>) {
        // Weak: the caches would keep each other alive.
        let (weak, queue) = (Arc::downgrade(self), queue.clone());
        watched.cache.subscribe(move |change| changed(&weak, &place, change, &queue));
    }

    /// Custom resources that are served from now on.
    fn open(self: &Arc<Self>, custom: CustomKind, caches: &Caches, queue: &WorkQueue<Key>) {
        let place = (custom.resource.group.to_string(), custom.resource.resource.to_string());
        let cache = caches.watch::<()>(Selection::all(custom.resource.clone()));
        let CustomKind { resource, kind, namespaced, .. } = custom;
        let watched = Arc::new(Watched { resource, kind, namespaced, cache });
        self.write().insert(place.clone(), watched.clone());
        self.follow(place, &watched, queue);
    }

    fn close(&self, custom: &CustomKind) {
        self.write().remove(&(custom.resource.group.to_string(), custom.resource.resource.to_string()));
    }

    fn find(&self, reference: &OwnerReference) -> Option<(Place, Arc<Watched>)> {
        let version = GroupVersion::parse(&reference.api_version)?;
        let known = self.read();
        let entry = match kinds::find_kind(&version.group, &version.version, &reference.kind) {
            // Old versions of a kind are that kind.
            Some(kind) => known.get_key_value(&(kind.storage_group.to_string(), kind.resource.to_string())),
            None => known.iter().find(|(_, one)| one.kind.group == version.group && one.kind.kind == reference.kind),
        };
        entry.map(|(place, watched)| (place.clone(), watched.clone()))
    }

    fn wake_dependents(&self, uid: &str, queue: &WorkQueue<Key>) {
        for (place, watched) in self.all() {
            watched.cache.owned_by(uid).iter().for_each(|item| queue.add(queue_key(&place, &item.key)));
        }
    }

    /// An owner may have waited for this dependent, or failed to cut it loose because it was gone.
    fn wake_waiting_owners<'a>(
        &self,
        item: &Item<()>,
        owners: impl Iterator<Item = &'a OwnerReference>,
        queue: &WorkQueue<Key>,
    ) {
        for reference in owners {
            let Some((place, watched)) = self.find(reference) else { continue };
            let namespace = if watched.namespaced { item.meta.namespace.as_str() } else { "" };
            let owner = watched.cache.get(namespace, &reference.name);
            if let Some(owner) = owner.filter(|owner| ends_by_us(&owner.meta)) {
                queue.add(queue_key(&place, &owner.key));
            }
        }
    }

    fn dependents(&self, uid: &str) -> Vec<Object> {
        let of_kind = |watched: &Arc<Watched>| {
            let object = |item: Arc<Item<()>>| Object {
                resource: watched.resource.clone(),
                kind: watched.kind.clone(),
                meta: ObjectMeta::clone(&item.meta),
            };
            watched.cache.owned_by(uid).into_iter().map(object).collect::<Vec<_>>()
        };
        self.read().values().flat_map(of_kind).collect()
    }

    /// The owners of an object that waits for them to go, as they wait for it: each was deleted in
    /// the foreground on its own, so neither was there for the other to be asked about.
    fn circle(&self, object: &ObjectMeta) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        // Mostly nobody is held up, and there is nothing to look for.
        let holds_up = object.owner_references.iter().any(|owner| owner.block_owner_deletion == Some(true));
        if !(holds_up && waits_for_dependents(object)) {
            return reached;
        }
        let mut next = vec![object.uid.clone()];
        while let Some(uid) = next.pop() {
            let dependents = self.all().into_iter().flat_map(|(_, watched)| watched.cache.owned_by(&uid));
            let waiting = dependents.filter(|item| waits_for_dependents(&item.meta) && blocks(&item.meta, &uid));
            next.extend(waiting.map(|item| item.meta.uid.clone()).filter(|uid| reached.insert(uid.clone())));
        }
        reached.retain(|uid| blocks(object, uid));
        reached
    }

    fn owner_state(&self, object: &ObjectMeta, reference: &OwnerReference) -> OwnerState {
        let Some((_, watched)) = self.find(reference) else { return OwnerState::UnknownKind };
        let namespace = if watched.namespaced { object.namespace.as_str() } else { "" };
        if watched.namespaced && namespace.is_empty() {
            return OwnerState::OutOfReach;
        }
        let key = Key::new(namespace, &reference.name);
        match watched.cache.get_key(&key).filter(|owner| owner.meta.uid == reference.uid) {
            Some(owner) if waits_for_dependents(&owner.meta) => OwnerState::Waiting,
            Some(_) => OwnerState::Solid,
            None => OwnerState::Unseen { resource: watched.resource.clone(), key },
        }
    }
}

impl Room for Garbage {
    fn reconcile(&self, key: &Key, _now: Timestamp) -> Result<Plan, RoomError> {
        let (resource, group) = key.namespace().split_once('.').unwrap_or((key.namespace(), ""));
        let watched = self.world.read().get(&(group.to_owned(), resource.to_owned())).cloned();
        let found = watched.and_then(|watched| {
            let (namespace, name) = key.name().split_once('/').unwrap_or(("", key.name()));
            let item = watched.cache.get(namespace, name)?;
            Some((watched, item))
        });
        let Some((watched, item)) = found else { return Ok(Plan::nothing()) };
        let object = Object {
            resource: watched.resource.clone(),
            kind: watched.kind.clone(),
            meta: ObjectMeta::clone(&item.meta),
        };
        let states = item.meta.owner_references.iter();
        let owners: Vec<_> = states.map(|owner| (owner.clone(), self.world.owner_state(&item.meta, owner))).collect();
        let dependents = self.world.dependents(&item.meta.uid);
        let circle = self.world.circle(&item.meta);
        Ok(plan::plan(Observed { object, owners, dependents, circle }))
    }
}
