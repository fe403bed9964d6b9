//! The device taint evictor: deletes pods that use devices with NoExecute taints that their claims do
//! not tolerate, or no longer tolerate. Drivers taint devices in their slices, administrators by
//! rules; a rule's status tells how far its evictions are.
//!
//! [`world`] says when a pod goes, [`rule`] what a rule's status says. Keys with a namespace are
//! pods, keys without are rules.

mod rule;
#[cfg(test)]
mod tests;
mod views;
mod world;

use crate::action::{Action, Delete, Outcome, Patch, Plan};
use crate::kinds::{kind, resource};
use crate::resource_claim::has_claims;
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::PodView;
use base::Timestamp;
use base::metrics::{Counter, Histogram};
use client::events::ObjectRef;
use client::queue::RETRY;
use client::{Cache, Change, Item, Key, WorkQueue};
use meta::conditions::{self, Condition};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use views::{ClaimView, NO_EXECUTE, POOL, RuleView, SliceView, pool};
use world::{End, Rules, World};

pub const DEF: Def = Def {
    name: "device-taint-eviction-controller",
    identity: "device-taint-eviction-controller",
    component: "device-taint-eviction-controller",
    workers: 10,
    retry: RETRY,
    build,
};

const REASON: &str = "DeviceTaintManagerEviction";
/// Seconds; upstream's.
const BUCKETS: [f64; 12] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0, 120.0, 180.0, 240.0];

struct Evictor {
    pods: Arc<Cache<PodView>>,
    world: Arc<World>,
    /// The pods whose end is set, to tell when it is called off.
    doomed: Mutex<BTreeSet<Key>>,
    tally: Arc<Tally>,
}

/// What was done so far.
struct Tally {
    /// How many pods a rule (by uid) has ended.
    by_rule: Mutex<BTreeMap<String, u64>>,
    deletions: Counter,
    latency: Histogram,
    queue: WorkQueue<Key>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let pods = rig.cache::<PodView>(&resource::PODS);
    let world = Arc::new(World {
        claims: rig.cache(&resource::RESOURCE_CLAIMS),
        slices: rig.cache(&resource::RESOURCE_SLICES),
        rules: rig.cache(&resource::DEVICE_TAINT_RULES),
    });
    rig.on(&pods, |change, queue| {
        let placed = change.new.as_ref().filter(|pod| !pod.view.node.is_empty() && has_claims(pod));
        placed.into_iter().for_each(|pod| queue.add(pod.key.clone()));
    });
    rig.on(&world.claims, claim_changed);
    let claims = Arc::downgrade(&world.claims);
    rig.on(&world.slices, move |change, queue| {
        if let Some(claims) = claims.upgrade() {
            slice_changed(&claims, change, queue);
        }
    });
    let tally = Arc::new(Tally::new(rig));
    let (claims, counts) = (Arc::downgrade(&world.claims), tally.clone());
    rig.on(&world.rules, move |change, queue| {
        if let Some(claims) = claims.upgrade() {
            rule_changed(&claims, &counts, change, queue);
        }
    });
    Box::new(Evictor { pods, world, doomed: Mutex::default(), tally })
}

fn wake(claim: &Item<ClaimView>, queue: &WorkQueue<Key>) {
    claim.view.consumers.iter().for_each(|pod| queue.add(Key::new(&claim.meta.namespace, &pod.name)));
}

fn claim_changed(change: &Change<ClaimView>, queue: &WorkQueue<Key>) {
    if let (Some(old), Some(new)) = (&change.old, &change.new)
        && old.view == new.view
    {
        return;
    }
    change.states().filter(|claim| !claim.view.devices.is_empty()).for_each(|claim| wake(claim, queue));
}

/// Any slice may change which generation of its pool counts, and so all the pool's devices.
fn slice_changed(claims: &Cache<ClaimView>, change: &Change<SliceView>, queue: &WorkQueue<Key>) {
    if let (Some(old), Some(new)) = (&change.old, &change.new)
        && old.view == new.view
    {
        return;
    }
    for slice in change.states() {
        let pool = pool(&slice.view.driver, &slice.view.pool);
        claims.by_index(POOL, pool.as_str()).iter().for_each(|claim| wake(claim, queue));
    }
}

/// Rules hardly ever change: everybody who has such a device is looked at.
fn rule_changed(claims: &Cache<ClaimView>, tally: &Tally, change: &Change<RuleView>, queue: &WorkQueue<Key>) {
    if let (Some(old), Some(new)) = (&change.old, &change.new)
        && old.view == new.view
        && old.meta.uid == new.meta.uid
    {
        return;
    }
    if let Some(gone) = change.old.as_ref().filter(|_| change.new.is_none()) {
        tally.by_rule().remove(&gone.meta.uid);
    }
    // First the status: it tells what is to come.
    change.new.iter().for_each(|rule| queue.add(rule.key.clone()));
    for claim in claims.list() {
        let is_meant = |rule: &Arc<Item<RuleView>>| selects(&rule.view, &claim.view);
        if change.states().any(is_meant) {
            wake(&claim, queue);
        }
    }
}

fn selects(rule: &RuleView, claim: &ClaimView) -> bool {
    claim.devices.iter().any(|given| rule.is_about(&given.driver, &given.pool, &given.device))
}

/// A pod that devices can be taken from: it has a node, and neither ended nor is ending.
fn is_running(pod: &Item<PodView>) -> bool {
    !pod.view.node.is_empty() && !pod.view.is_finished() && !pod.meta.is_deleting()
}

impl Room for Evictor {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        match key.namespace() {
            "" => self.of_rule(key, now),
            _ => self.of_pod(key, now),
        }
    }
}

impl Evictor {
    fn of_pod(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let mut doomed = self.doomed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(item) = self.pods.get_key(key).filter(|pod| is_running(pod)) else {
            doomed.remove(key);
            return Ok(Plan::nothing());
        };
        let pod: Value = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let about = ObjectRef::of(&kind::PODS, &item.meta);
        let Some(end) = self.world.end_of(&pod, &item.meta, &self.world.evicting(), now) else {
            let actions = match doomed.remove(key) {
                true => vec![Action::event(&about, false, REASON, "Cancelling deletion")],
                false => Vec::new(),
            };
            return Ok(Plan::of(actions));
        };
        doomed.insert(key.clone());
        self.tally.look_later(&end);
        if end.at > now {
            return Ok(Plan::nothing().again(Duration::try_from(end.at.duration_since(now)).ok()));
        }
        let tally = self.tally.clone();
        let done = move |outcome: &Outcome| {
            if outcome.failure.is_none() {
                tally.count(&end, now);
            }
            Plan::nothing()
        };
        Ok(Plan::of(evict(&item, &pod, &about, now)).then(done))
    }

    fn of_rule(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let Some(item) = self.world.rules.get_key(key) else { return Ok(Plan::nothing()) };
        let object: Value = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        if let Some(wait) = rule::wait(&object, &item.meta, now) {
            return Ok(Plan::nothing().again(Some(wait)));
        }
        let mut counts = rule::Counts {
            evicted: self.tally.by_rule().get(&item.meta.uid).copied().unwrap_or(0),
            ..rule::Counts::default()
        };
        match item.view.taint.effect.as_str() {
            NO_EXECUTE => (counts.pods, counts.namespaces) = self.pending(&item, &self.world.evicting(), now),
            // What would be, were the rule in earnest.
            "None" => {
                (counts.pods, counts.namespaces) = self.pending(&item, &[in_earnest(&item)], now);
                (counts.published, counts.allocated) = self.world.count_devices(&item.view);
            }
            _ => {}
        }
        Ok(Plan::of(rule::tell(&object, &item.meta, &counts, now)))
    }

    /// How many pods go because of the rule, and in how many namespaces.
    fn pending(&self, rule: &Item<RuleView>, rules: &Rules, now: Timestamp) -> (usize, usize) {
        let mut pods: BTreeSet<Key> = BTreeSet::new();
        for claim in self.world.claims.list().iter().filter(|claim| selects(&rule.view, &claim.view)) {
            for consumer in &claim.view.consumers {
                let found = self.pods.get(&claim.meta.namespace, &consumer.name);
                let Some(pod) = found.filter(|pod| pod.meta.uid == consumer.uid && is_running(pod)) else { continue };
                let object: Value = pod.decode().unwrap_or_default();
                let end = self.world.end_of(&object, &pod.meta, rules, now);
                if end.is_some_and(|end| end.rules.contains_key(&rule.meta.uid)) {
                    pods.insert(pod.key.clone());
                }
            }
        }
        let namespaces: BTreeSet<&str> = pods.iter().map(Key::namespace).collect();
        (pods.len(), namespaces.len())
    }
}

/// The same rule with the effect that ends pods.
fn in_earnest(rule: &Item<RuleView>) -> Arc<Item<RuleView>> {
    let (key, bytes, meta, version) = (rule.key.clone(), rule.bytes.clone(), rule.meta.clone(), rule.version);
    Arc::new(Item { key, bytes, meta, version, view: rule.view.with_effect(NO_EXECUTE) })
}

/// Asks the server first: a pod may have gone, or another have come in its place.
fn evict(item: &Item<PodView>, pod: &Value, about: &ObjectRef, now: Timestamp) -> Vec<Action> {
    let mut list = pod["status"]["conditions"].clone();
    let message = "Device Taint manager: deleting due to NoExecute taint";
    let reason = "DeletionByDeviceTaintManager";
    let new = Condition { kind: "DisruptionTarget", status: "True", reason, message, observed_generation: 0 };
    conditions::set(&mut list, new, now);
    let (key, uid) = (&item.key, &item.meta.uid);
    let body = json!({"metadata": {"uid": uid}, "status": {"conditions": list}});
    vec![
        Action::Confirm { resource: resource::PODS, key: key.clone(), uid: uid.clone() },
        Action::event(about, false, REASON, "Marking for deletion"),
        Action::Patch(Patch::strategic(&resource::PODS, key, body).subresource("status")),
        Action::Delete(vec![Delete::new(&resource::PODS, key, uid)]),
    ]
}

impl Tally {
    fn new(rig: &Rig) -> Self {
        let metrics = &rig.env.metrics;
        Tally {
            by_rule: Mutex::default(),
            deletions: metrics.register(
                "device_taint_eviction_controller_pod_deletions",
                "Number of pods that were deleted for the taints of their devices.",
                Counter::default(),
            ),
            latency: metrics.register(
                "device_taint_eviction_controller_pod_deletion_duration_seconds",
                "Seconds from when a device's taint came to count to the deletion of a pod that uses it.",
                Histogram::new(BUCKETS),
            ),
            queue: rig.queue.clone(),
        }
    }

    fn by_rule(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u64>> {
        self.by_rule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Not at once: more pods may follow.
    fn look_later(&self, end: &End) {
        end.rules.values().for_each(|name| self.queue.add_after(Key::new("", name), rule::PERIOD));
    }

    fn count(&self, end: &End, now: Timestamp) {
        self.deletions.inc();
        self.latency.observe(now.duration_since(end.at).as_secs_f64().max(0.0));
        end.rules.keys().for_each(|uid| *self.by_rule().entry(uid.clone()).or_default() += 1);
        self.look_later(end);
    }
}
