//! HorizontalPodAutoscaler: every fifteen seconds, as many replicas as the metrics ask for.
//!
//! Looks at autoscalers and pods in caches; asks the server for scales and metrics, sets the scale and
//! keeps the status. Counting stands in `calculate`, bounds and rates in `normalize`; both are pure. What
//! was recommended lately is remembered here and nowhere else, as upstream does.

mod calculate;
mod compute;
mod measure;
mod normalize;
mod object;
mod plan;
mod target;
#[cfg(test)]
mod tests;

use crate::action::Plan;
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::{DefinitionView, PodView};
use base::Timestamp;
use client::{Cache, Change, Item, Key, Projection, WorkQueue};
use jiff::SignedDuration;
use meta::labels::Selector;
use normalize::History;
use object::{Autoscaler, Pod, Spec};
use plan::Look;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use target::Kinds;

pub const DEF: Def = Def {
    name: "horizontal-pod-autoscaler-controller",
    identity: "horizontal-pod-autoscaler",
    component: "horizontal-pod-autoscaler",
    workers: 5,
    retry: (PERIOD, PERIOD),
    build,
};

/// Upstream's `--horizontal-pod-autoscaler-sync-period`.
const PERIOD: Duration = Duration::from_secs(15);
/// A look that comes sooner than this after the last one is one too many, unless the spec is new.
const TOO_SOON: SignedDuration = SignedDuration::from_secs(14);

/// The part of an autoscaler whose change makes for a look of its own.
struct SpecView(Option<Spec>);

impl Projection for SpecView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Specified {
            spec: Option<Spec>,
        }
        serde_json::from_slice::<Specified>(object).map(|object| SpecView(object.spec))
    }
}

/// What is remembered of one autoscaler.
#[derive(Default)]
struct Entry {
    history: History,
    /// The pods it scaled when it was last looked at.
    selector: Option<Selector>,
    looked: Option<Timestamp>,
    spec: Option<Spec>,
}

/// What is remembered of all of them, for as long as they stand.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<Key, Entry>>);

impl Memory {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Key, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, key: &Key, work: impl FnOnce(&mut Entry) -> T) -> T {
        work(self.all().entry(key.clone()).or_default())
    }

    /// Begins a look if it is time for one, or says how long to wait for it.
    fn begin(&self, key: &Key, spec: &Spec, now: Timestamp) -> Result<(), Duration> {
        self.with(key, |entry| {
            let since = entry.looked.map(|looked| now.duration_since(looked));
            let early = since.filter(|since| *since < TOO_SOON && !since.is_negative());
            if let Some(since) = early.filter(|_| entry.spec.as_ref() == Some(spec)) {
                return Err(PERIOD.saturating_sub(since.unsigned_abs()));
            }
            entry.looked = Some(now);
            entry.spec = Some(spec.clone());
            Ok(())
        })
    }

    /// The autoscalers of a namespace that scale any of these pods, as upstream prints them.
    fn scaling(&self, namespace: &str, pods: &[Arc<Item<PodView>>]) -> Vec<String> {
        let all = self.all();
        let scales = |entry: &Entry| {
            let selector = entry.selector.as_ref();
            selector.is_some_and(|selector| pods.iter().any(|pod| selector.matches(&pod.meta.labels)))
        };
        let here = all.iter().filter(|(key, entry)| key.namespace() == namespace && scales(entry));
        here.map(|(key, _)| format!("{{{} {}}}", key.name(), key.namespace())).collect()
    }
}

/// What every look has at hand.
struct Desk {
    autoscalers: Arc<Cache<SpecView>>,
    pods: Arc<Cache<PodView>>,
    kinds: Kinds,
    memory: Memory,
}

impl Desk {
    /// The pods that a selector takes, read in full for this look only.
    fn pods(&self, namespace: &str, selector: &Selector) -> Vec<Arc<Item<PodView>>> {
        let mut pods = self.pods.list_in(namespace);
        pods.retain(|pod| selector.matches(&pod.meta.labels));
        pods
    }

    fn read(pods: &[Arc<Item<PodView>>]) -> Vec<Pod> {
        pods.iter().filter_map(|pod| pod.decode().ok()).collect()
    }
}

struct Horizontal(Arc<Desk>);

fn build(rig: &Rig) -> Box<dyn Room> {
    let autoscalers = rig.cache::<SpecView>(&resource::HORIZONTAL_POD_AUTOSCALERS);
    let pods = rig.cache::<PodView>(&resource::PODS);
    let definitions = rig.cache::<DefinitionView>(&resource::CUSTOM_RESOURCE_DEFINITIONS);
    rig.on(&autoscalers, changed);
    Box::new(Horizontal(Arc::new(Desk { autoscalers, pods, kinds: Kinds(definitions), memory: Memory::default() })))
}

/// News of the status are our own: the period alone brings the next look.
fn changed(change: &Change<SpecView>, queue: &WorkQueue<Key>) {
    if let (Some(old), Some(new)) = (&change.old, &change.new)
        && old.view.0 == new.view.0
    {
        return;
    }
    change.latest().into_iter().for_each(|item| queue.add(item.key.clone()));
}

impl Room for Horizontal {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let desk = &self.0;
        let Some(item) = desk.autoscalers.get_key(key) else {
            desk.memory.all().remove(key);
            return Ok(Plan::nothing());
        };
        let autoscaler: Autoscaler = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        if let Err(wait) = desk.memory.begin(key, &autoscaler.spec, now) {
            return Ok(Plan::nothing().again(Some(wait)));
        }
        let object = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        Ok(Look::new(desk.clone(), key.clone(), autoscaler, object, now).begin().again(Some(PERIOD)))
    }
}
