//! Pods that wait to be counted by a job that never will: it is gone, or finished, or another now
//! has its name. Their finalizers go.

use super::{Observed, pod};
use crate::action::{Action, Plan};
use crate::kinds::resource;
use crate::views::{PodView, SelectorView, TRACKED};
use client::{Cache, Item, Key};
use serde_json::Value;
use std::sync::Arc;

/// The pods that wait for a job of this name, but not for this one.
pub(super) fn find(pods: &Cache<PodView>, key: &Key, job: Option<&Item<SelectorView>>) -> Vec<Arc<Item<PodView>>> {
    let waits_in_vain = |pod: &Arc<Item<PodView>>| match (pod.meta.controller(), job) {
        (Some(owner), Some(job)) => owner.uid != job.meta.uid,
        // It may yet be adopted.
        (None, Some(job)) => job.meta.is_deleting() || !job.view.selector.matches(&pod.meta.labels),
        (_, None) => true,
    };
    pods.by_index(TRACKED, key.as_str()).into_iter().filter(waits_in_vain).collect()
}

/// Asks the server first: the cache of jobs may be behind that of pods.
pub(super) fn release(key: &Key, strays: Vec<Arc<Item<PodView>>>) -> Plan {
    let read = Action::Read { resource: resource::JOBS, key: key.clone() };
    Plan::of(vec![read])
        .then(move |outcome| {
            let Some(found) = outcome.reads.first() else { return Plan::nothing() };
            let job = found.as_ref().and_then(|body| serde_json::from_slice::<Value>(body).ok()).unwrap_or_default();
            let is_of = |pod: &Arc<Item<PodView>>| {
                pod.meta.controller().is_some_and(|owner| job["metadata"]["uid"] == owner.uid.as_str())
            };
            let patches = strays.iter().filter(|pod| !is_of(pod)).map(pod::release).collect();
            Plan::of(vec![Action::PatchAll(patches)])
        })
        .unfinished()
}

pub(super) fn release_finished(observed: &Observed) -> Plan {
    let own = |pod: &&Arc<Item<PodView>>| {
        pod.meta.controller().is_some_and(|owner| owner.uid == observed.owner.uid) && pod::is_tracked(pod)
    };
    let patches: Vec<_> = observed.pods.iter().filter(own).map(pod::release).collect();
    if patches.is_empty() { Plan::nothing() } else { Plan::of(vec![Action::PatchAll(patches)]) }
}
