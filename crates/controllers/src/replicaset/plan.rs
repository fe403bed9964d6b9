//! From what is to what is to be done. Pure.

use super::{Observed, is_active, rank, status};
use crate::action::{Action, Create, Delete, Plan};
use crate::kinds::{kind, resource};
use crate::ownership;
use crate::template;
use crate::views::PodView;
use base::Timestamp;
use client::Item;
use meta::Reason;
use serde_json::{Value, json};
use std::sync::Arc;

/// Pods made or ended in one go.
const BURST: usize = 500;

pub(super) fn plan(observed: &Observed, now: Timestamp) -> Plan {
    let (active, ended): (Vec<_>, Vec<_>) = observed.pods.iter().cloned().partition(|pod| is_active(pod));
    let claimed = ownership::claim(&observed.owner, &observed.selector, &resource::PODS, active);
    let terminating = (observed.owner.kind == kind::REPLICA_SETS).then(|| terminating(observed, &ended));
    let active = claimed.owned;
    let mut actions = claimed.actions;
    let wanted = usize::try_from(observed.set.spec.replicas).unwrap_or(0);
    if !observed.owner.deleting {
        actions.extend(scale(observed, &active, wanted, now));
    }
    let facts = status::Facts::gather(&observed.set, &active, terminating, now);
    let (owner, set) = (observed.owner.clone(), observed.set.clone());
    let growing = active.len() < wanted;
    let status = move |failure: Option<&client::Error>| {
        // Who chose by what has changed meanwhile looks again.
        let failure = failure.filter(|error| !error.is(Reason::Conflict));
        let failure = failure.map(|error| (if growing { "FailedCreate" } else { "FailedDelete" }, error.to_string()));
        let new = status::next(&set, &facts, failure, now)?;
        Some(Action::status(&owner.resource, &owner.key, new))
    };
    let again = next_available(observed, &active, now);
    Plan::of(actions).again(again).then(move |outcome| Plan::of(status(outcome.failure.as_ref()).into_iter().collect()))
}

fn scale(observed: &Observed, active: &[Arc<Item<PodView>>], wanted: usize, now: Timestamp) -> Option<Action> {
    let about = observed.owner.about(&observed.set.metadata);
    if active.len() < wanted {
        let pod = pod(observed);
        let create = Create::new(&resource::PODS, &observed.set.metadata.namespace, pod).announce(&about);
        return Some(Action::Create(vec![create; (wanted - active.len()).min(BURST)]));
    }
    let surplus = (active.len() - wanted).min(BURST);
    let doomed = rank::first_to_go(active, surplus, &observed.neighbours, now);
    // One that was not ready when it was chosen may be by now, and the others not.
    let delete = |pod: &Arc<Item<PodView>>| {
        Delete::new(&resource::PODS, &pod.key, &pod.meta.uid).at(&pod.meta.resource_version).announce(&about)
    };
    (surplus > 0).then(|| Action::Delete(doomed.iter().map(delete).collect()))
}

/// The pod of the set's template.
fn pod(observed: &Observed) -> Value {
    let mut pod = template::pod(&observed.set.spec.template, &observed.owner.reference());
    pod["metadata"]["generateName"] = json!(format!("{}-", observed.set.metadata.name));
    pod
}

/// How many of its pods are on their way out.
fn terminating(observed: &Observed, ended: &[Arc<Item<PodView>>]) -> i64 {
    let own = |pod: &&Arc<Item<PodView>>| {
        let controller = pod.meta.controller().is_some_and(|owner| owner.uid == observed.owner.uid);
        controller && pod.meta.is_deleting() && !pod.view.is_finished()
    };
    i64::try_from(ended.iter().filter(own).count()).unwrap_or(i64::MAX)
}

/// When the next ready pod becomes available, which no event will tell.
fn next_available(observed: &Observed, active: &[Arc<Item<PodView>>], now: Timestamp) -> Option<std::time::Duration> {
    let seconds = observed.set.spec.min_ready_seconds;
    let waiting = active.iter().filter(|pod| pod.view.ready && !pod.view.is_available(seconds, now));
    let first = waiting.filter_map(|pod| pod.view.available_at(seconds)).min()?;
    std::time::Duration::try_from(first.duration_since(now)).ok()
}
