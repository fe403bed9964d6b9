//! ResourceQuotas: counts again what their namespaces hold, and gives back what went.
//!
//! Admission charges quotas before it writes; this room only puts them right. Where a quota would
//! come down, the server itself is asked, and only once nobody has charged the quota for a moment:
//! what was charged is about to be written, and a cache may not show it yet.
//!
//! Custom resources are watched from when the first quota counts them.

mod plan;
#[cfg(test)]
mod tests;

use crate::action::{Action, Plan};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::{CustomKind, DefinitionView, PodView, custom_resource};
use base::{Clock, Timestamp};
use bytes::Bytes;
use client::queue::RETRY;
use client::{Cache, Caches, Change, Item, Key, Projection, Selection, WorkQueue};
use meta::GroupVersionResource;
use quota::Subject;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

pub const DEF: Def = Def {
    name: "resourcequota-controller",
    identity: "resourcequota-controller",
    component: "resourcequota-controller",
    workers: 5,
    retry: RETRY,
    build,
};

/// Everything is counted again this often, whatever events told (upstream's sync period).
const RESYNC: Duration = Duration::from_secs(300);
/// Kinds without a cache are looked at this often.
const POLL: Duration = Duration::from_secs(15);
/// A cache that a quota had opened has its objects by then, mostly.
const OPENING: Duration = Duration::from_secs(1);
/// What was charged is written by then.
const QUIET: Duration = Duration::from_secs(1);

/// Group and resource.
type Place = (String, String);

/// The objects in a namespace; None: the kind is not served, or not known yet.
type InNamespace = Box<dyn Fn(&str) -> Option<Vec<Bytes>> + Send + Sync>;

/// The objects of one kind, by namespace.
struct Counted {
    resource: GroupVersionResource,
    objects: InNamespace,
}

impl Counted {
    fn new<P: Projection>(resource: GroupVersionResource, cache: Arc<Cache<P>>) -> Self {
        let objects = move |namespace: &str| {
            let bytes = |item: Arc<Item<P>>| item.bytes.clone();
            cache.is_synced().then(|| cache.list_in(namespace).into_iter().map(bytes).collect())
        };
        Counted { resource, objects: Box::new(objects) }
    }

    fn place(&self) -> Place {
        (self.resource.group.to_string(), self.resource.resource.to_string())
    }

    fn subject(&self) -> Subject<'_> {
        Subject { group: &self.resource.group, resource: &self.resource.resource }
    }
}

struct Quotas {
    quotas: Arc<Cache<()>>,
    counted: BTreeMap<Place, Arc<Counted>>,
    definitions: Arc<Cache<DefinitionView>>,
    /// The custom resources that quotas have counted.
    customs: Mutex<BTreeMap<Place, Arc<Counted>>>,
    caches: Caches,
    queue: WorkQueue<Key>,
    clock: Clock,
    /// Since when a quota is as it is, by a clock that nobody sets.
    since: Mutex<BTreeMap<Key, (String, Instant)>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let quotas = rig.cache::<()>(&resource::RESOURCE_QUOTAS);
    rig.on_itself(&quotas);
    let mut counted = vec![pods(rig, &quotas)];
    for kind in countable().into_iter().filter(|kind| kind.gvr() != resource::PODS) {
        let cache = rig.cache_if_served::<()>(&kind.gvr());
        let changes_count = matches!((&*kind.group, &*kind.resource), ("", "services" | "persistentvolumeclaims"));
        let all = Arc::downgrade(&quotas);
        rig.on(&cache, move |change, queue| {
            let counts = change.new.is_none() || (changes_count && change.old.is_some());
            if let (true, Some(quotas), Some(object)) = (counts, all.upgrade(), change.latest()) {
                wake(&quotas, &object.meta.namespace, queue);
            }
        });
        counted.push(Counted::new(kind.gvr(), cache));
    }
    Box::new(Quotas {
        quotas,
        counted: counted.into_iter().map(|one| (one.place(), Arc::new(one))).collect(),
        definitions: rig.cache_if_served(&resource::CUSTOM_RESOURCE_DEFINITIONS),
        customs: Mutex::default(),
        caches: rig.options.caches.clone(),
        queue: rig.queue.clone(),
        clock: rig.env.clock.clone(),
        since: Mutex::default(),
    })
}

/// Of pods more counts than whether they are there.
fn pods(rig: &Rig, quotas: &Arc<Cache<()>>) -> Counted {
    let pods = rig.cache::<PodView>(&resource::PODS);
    let all = Arc::downgrade(quotas);
    rig.on(&pods, move |change, queue| {
        if gives_back(change)
            && let (Some(quotas), Some(pod)) = (all.upgrade(), change.latest())
        {
            wake(&quotas, &pod.meta.namespace, queue);
        }
    });
    Counted::new(resource::PODS, pods)
}

/// Every kind that lives in namespaces and can be watched, once. Events count against nothing.
fn countable() -> Vec<&'static kinds::Kind> {
    let mut seen = BTreeSet::new();
    let usable = kinds::all().iter().filter(|kind| {
        kind.namespaced && kind.served_by_default && ["list", "watch", "create"].iter().all(|verb| kind.has_verb(verb))
    });
    let preferred = usable
        .filter(|kind| kind.resource != "events")
        .filter_map(|kind| kinds::find_resource(&kind.group, &kind.resource));
    preferred.filter(|kind| seen.insert((&kind.group, &kind.resource))).collect()
}

/// A pod that is gone, has ended, is going or was resized.
fn gives_back(change: &Change<PodView>) -> bool {
    match (&change.old, &change.new) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(old), Some(new)) => {
            (new.view.is_finished() && !old.view.is_finished())
                || (new.meta.is_deleting() && !old.meta.is_deleting())
                || new.meta.generation != old.meta.generation
        }
    }
}

fn wake(quotas: &Cache<()>, namespace: &str, queue: &WorkQueue<Key>) {
    quotas.list_in(namespace).into_iter().for_each(|quota| queue.add(quota.key.clone()));
}

fn place(subject: &Subject<'_>) -> Place {
    (subject.group.to_owned(), subject.resource.to_owned())
}

impl Room for Quotas {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let Some(item) = self.quotas.get_key(key) else {
            self.since.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
            return Ok(Plan::nothing());
        };
        let quota: Value = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let hard = quota::amounts(&quota["spec"]["hard"]);
        let (mut objects, mut every) = (Vec::new(), RESYNC);
        for subject in plan::subjects(&hard) {
            match self.counted(&subject).map(|counted| (counted.objects)(key.namespace())) {
                Some(Some(bytes)) => objects.push((subject, bytes)),
                Some(None) if !self.counted.contains_key(&place(&subject)) => every = every.min(OPENING),
                _ => every = every.min(POLL),
            }
        }
        let counted = plan::count(&quota, &hard, objects.into_iter(), now);
        Ok(match plan::verdict(&quota, &hard, &counted) {
            plan::Verdict::Right => Plan::nothing().again(Some(every)),
            plan::Verdict::Write(status) => Plan::of(vec![plan::update(&quota, status)]).again(Some(every)),
            plan::Verdict::TooMuch => match self.quiet_for(&item) {
                waited if waited >= QUIET => self.recount(quota, &hard, now).again(Some(every)),
                waited => Plan::nothing().again(Some(QUIET - waited)),
            },
        })
    }
}

impl Quotas {
    /// None: there is no such resource.
    fn counted(&self, subject: &Subject<'_>) -> Option<Arc<Counted>> {
        let place = place(subject);
        if let Some(counted) = self.counted.get(&place) {
            return Some(counted.clone());
        }
        let custom = custom_resource(&self.definitions, subject.group, subject.resource);
        let mut customs = self.customs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(custom) = custom.filter(|custom| custom.namespaced) else {
            customs.remove(&place);
            return None;
        };
        let known = customs.get(&place).filter(|known| known.resource == custom.resource).cloned();
        Some(known.unwrap_or_else(|| {
            let opened = Arc::new(self.open(custom));
            customs.insert(place, opened.clone());
            opened
        }))
    }

    fn open(&self, custom: CustomKind) -> Counted {
        let cache = self.caches.watch::<()>(Selection::all(custom.resource.clone()));
        let (all, queue) = (Arc::downgrade(&self.quotas), self.queue.clone());
        cache.subscribe(move |change| {
            // What is there from the beginning counts, too.
            if let (true, Some(quotas), Some(object)) =
                (change.old.is_none() || change.new.is_none(), all.upgrade(), change.latest())
            {
                wake(&quotas, &object.meta.namespace, &queue);
            }
        });
        Counted::new(custom.resource, cache)
    }

    /// How long the quota has been as it is, as far as this room has seen.
    fn quiet_for(&self, quota: &Item<()>) -> Duration {
        let now = self.clock.instant();
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = since.entry(quota.key.clone()).or_insert_with(|| (quota.meta.resource_version.clone(), now));
        if entry.0 != quota.meta.resource_version {
            *entry = (quota.meta.resource_version.clone(), now);
        }
        now.duration_since(entry.1)
    }

    /// Counts what the server has, not what the caches show, and writes it unless somebody charged the
    /// quota meanwhile.
    fn recount(&self, quota: Value, hard: &quota::Amounts, now: Timestamp) -> Plan {
        let all: Vec<_> = plan::subjects(hard).iter().filter_map(|subject| self.counted(subject)).collect();
        let namespace = quota["metadata"]["namespace"].as_str().unwrap_or_default();
        let list = |counted: &Arc<Counted>| Action::List {
            resource: counted.resource.clone(),
            namespace: namespace.to_owned(),
        };
        let actions = all.iter().map(list).collect();
        let hard = hard.clone();
        Plan::of(actions).then(move |outcome| {
            let mut lists = Vec::new();
            for (counted, list) in all.iter().zip(&outcome.lists) {
                let Ok(list) = list else { return Plan::nothing().unfinished() };
                lists.push((counted.subject(), list.clone()));
            }
            let counted = plan::count(&quota, &hard, lists.into_iter(), now);
            let status = plan::status(&quota, &hard, &counted, true);
            match status == quota["status"] {
                true => Plan::nothing(),
                false => Plan::of(vec![plan::update(&quota, status)]),
            }
        })
    }
}
