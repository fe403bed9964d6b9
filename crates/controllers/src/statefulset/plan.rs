//! The walk over a set's pods, in order: make what is missing, end what is too many, update the rest.
//! Pure.

use super::claims::{self, Standing};
use super::member::{self, Pod};
use super::{Observed, Set, rolling, status};
use crate::action::{Action, Create, Delete, Patch, Plan};
use crate::announce::Voice;
use crate::history::{self, Revision, Subject};
use crate::kinds::resource;
use crate::ownership;
use crate::rig::RoomError;
use crate::views::Phase;
use base::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// A set's pods as they stand.
pub(super) struct Line<'a> {
    pub observed: &'a Observed,
    pub now: Timestamp,
    /// The template of most pods, and the one to come.
    pub current: &'a Revision,
    pub update: &'a Revision,
    /// By place; None: there is no such pod.
    pub places: Vec<Option<Pod>>,
    /// Those that are too many, the highest number first.
    pub condemned: Vec<Pod>,
}

/// What a walk has come to.
#[derive(Default)]
struct Walk {
    actions: Vec<Action>,
    /// Nothing else may happen before this is through.
    stopped: bool,
    /// Something stands in the way that no event will tell of.
    unfinished: bool,
}

pub(super) fn plan(observed: Observed, now: Timestamp) -> Result<Plan, RoomError> {
    if observed.selector.is_everything() || observed.owner.deleting {
        return Ok(Plan::nothing());
    }
    let set = &observed.set;
    let collisions = set.status["collisionCount"].as_i64().filter(|count| *count > 0);
    let subject = Subject {
        owner: &observed.owner,
        selector: &observed.selector,
        annotations: json!(set.metadata.annotations),
        template: &set.spec.template,
        hash_label: "controller.kubernetes.io/hash",
        collisions,
    };
    let mut history = history::advance(&subject, observed.revisions.clone())?;
    let mut actions = std::mem::take(&mut history.actions);
    let mut claimed = ownership::claim(&observed.owner, &observed.selector, &resource::PODS, observed.pods.clone());
    actions.append(&mut claimed.actions);

    let known = set.status["currentRevision"].as_str().unwrap_or_default();
    let current = history.others.iter().find(|one| one.name() == known).unwrap_or(&history.update);
    let (places, condemned) = line_up(set, &claimed.owned);
    let line = Line { observed: &observed, now, current, update: &history.update, places, condemned };
    let mut walk = Walk::default();
    line.walk(&mut walk);
    actions.append(&mut walk.actions);
    let status = status::next(&line, &claimed.owned, collisions);
    let again = line.next_available();
    let is_live =
        |one: &Revision| one.name() == current.name() || claimed.owned.iter().any(|pod| member::is_of(pod, one));
    let prune = history.prune(set.spec.revision_history_limit, is_live);
    let owner = observed.owner.clone();
    let mut plan = Plan::of(actions).again(again).then(move |outcome| {
        if let Some(plan) = history.collision(&owner, collisions, outcome) {
            return plan;
        }
        let status = status.map(|status| Action::status(&owner.resource, &owner.key, status));
        let prune = prune.filter(|_| outcome.failure.is_none());
        Plan::of(status.into_iter().chain(prune).collect())
    });
    plan.unfinished = walk.unfinished;
    Ok(plan)
}

fn line_up(set: &Set, pods: &[Pod]) -> (Vec<Option<Pod>>, Vec<Pod>) {
    let mut places: Vec<Option<Pod>> = vec![None; usize::try_from(set.spec.replicas).unwrap_or(0)];
    let mut condemned = Vec::new();
    for pod in pods {
        let Some(ordinal) = member::ordinal(&pod.meta.name, &set.metadata.name) else { continue };
        let place = usize::try_from(ordinal - set.spec.ordinals.start).ok();
        match place.and_then(|place| places.get_mut(place)) {
            Some(slot) => *slot = Some(pod.clone()),
            None => condemned.push((ordinal, pod.clone())),
        }
    }
    condemned.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
    (places, condemned.into_iter().map(|(_, pod)| pod).collect())
}

impl Line<'_> {
    pub fn set(&self) -> &Set {
        &self.observed.set
    }

    pub fn is_available(&self, pod: &Pod) -> bool {
        member::is_available(pod, self.set(), self.now)
    }

    fn is_healthy(&self, pod: &Pod) -> bool {
        self.is_available(pod) && !pod.meta.is_deleting()
    }

    fn ordinal(&self, place: usize) -> i64 {
        i64::try_from(place).unwrap_or(i64::MAX).saturating_add(self.set().spec.ordinals.start)
    }

    fn walk(&self, walk: &mut Walk) {
        for place in 0..self.places.len() {
            self.tend(place, walk);
            if walk.stopped && self.set().is_ordered() {
                return;
            }
        }
        walk.stopped = false;
        self.condemn(walk);
        if (walk.stopped && self.set().is_ordered()) || !self.set().is_rolling() {
            return;
        }
        let doomed = rolling::outdated(self);
        if !doomed.is_empty() {
            walk.actions.push(Action::Delete(doomed.iter().map(|pod| self.delete(pod)).collect()));
        }
    }

    /// Sees to one place; stops where an ordered set has to wait for it.
    fn tend(&self, place: usize, walk: &mut Walk) {
        let ordinal = self.ordinal(place);
        let Some(pod) = &self.places[place] else {
            walk.stopped = true;
            if claims::standing(self.observed, ordinal) == Standing::Going {
                walk.unfinished = true;
                return;
            }
            return self.make(place, walk);
        };
        if pod.view.is_finished() {
            walk.stopped = true;
            if !pod.meta.is_deleting() {
                walk.actions.push(self.recreation(pod));
                walk.actions.push(Action::Delete(vec![self.delete(pod)]));
            }
            return;
        }
        if pod.view.phase == Phase::Pending {
            push_creates(&mut walk.actions, claims::missing(self.observed, ordinal));
        }
        if pod.meta.is_deleting() || !self.is_available(pod) {
            walk.stopped = true;
            if self.set().is_ordered() {
                return;
            }
        }
        walk.actions.extend(self.identity(pod, ordinal));
        walk.actions.extend(claims::retention(self.observed, pod, ordinal, false));
    }

    fn make(&self, place: usize, walk: &mut Walk) {
        let ordinal = self.ordinal(place);
        let (set, owner) = (self.set(), self.observed.owner.reference());
        let is_old = set.is_rolling() && place < set.partition();
        let revision = if is_old { self.current } else { self.update };
        let pod = member::new(set, &owner, revision, ordinal);
        let about = self.observed.owner.about(&set.metadata);
        push_creates(&mut walk.actions, claims::missing(self.observed, ordinal));
        let create = Create::new(&resource::PODS, &set.metadata.namespace, pod).announce_as(&about, Voice::Member);
        walk.actions.push(Action::Create(vec![create]));
    }

    fn delete(&self, pod: &Pod) -> Delete {
        let about = self.observed.owner.about(&self.set().metadata);
        Delete::new(&resource::PODS, &pod.key, &pod.meta.uid).announce_as(&about, Voice::Member)
    }

    fn recreation(&self, pod: &Pod) -> Action {
        let about = self.observed.owner.about(&self.set().metadata);
        let (set, name) = (&self.observed.owner.key, &pod.meta.name);
        match pod.view.phase {
            Phase::Failed => {
                let message = format!("StatefulSet {set} is recreating failed Pod {name}");
                Action::event(&about, true, "RecreatingFailedPod", message)
            }
            _ => {
                let message = format!("StatefulSet {set} is recreating terminated Pod {name}");
                Action::event(&about, false, "RecreatingTerminatedPod", message)
            }
        }
    }

    /// The labels by which a pod is found, where it lacks them.
    fn identity(&self, pod: &Pod, ordinal: i64) -> Option<Action> {
        let labels = member::labels(&pod.meta.name, ordinal);
        let lacking: serde_json::Map<String, Value> = labels
            .into_iter()
            .filter(|(label, value)| pod.meta.labels.get(*label) != Some(value))
            .map(|(label, value)| (label.to_owned(), json!(value)))
            .collect();
        let body = json!({"metadata": {"uid": pod.meta.uid, "labels": lacking}});
        (!lacking.is_empty()).then(|| Action::Patch(Patch::merge(&resource::PODS, &pod.key, body)))
    }

    /// Ends the pods that are too many, the highest first; an ordered set ends one at a time, and only
    /// when all others are well.
    fn condemn(&self, walk: &mut Walk) {
        for pod in &self.condemned {
            let ordinal = member::ordinal(&pod.meta.name, &self.set().metadata.name).unwrap_or_default();
            walk.actions.extend(claims::retention(self.observed, pod, ordinal, true));
        }
        let first_ill = self.first_ill();
        let mut doomed = Vec::new();
        for pod in &self.condemned {
            let may_go = self.is_healthy(pod) || first_ill.is_some_and(|ill| ill.meta.uid == pod.meta.uid);
            if self.set().is_ordered() && (pod.meta.is_deleting() || !may_go) {
                walk.stopped = true;
                break;
            }
            if !pod.meta.is_deleting() {
                doomed.push(self.delete(pod));
                if self.set().is_ordered() {
                    walk.stopped = true;
                    break;
                }
            }
        }
        if !doomed.is_empty() {
            walk.actions.push(Action::Delete(doomed));
        }
    }

    /// The pod of the lowest number that is not well. A missing one is the matter of the walk.
    fn first_ill(&self) -> Option<&Pod> {
        let places = self.places.iter().flatten();
        places.chain(self.condemned.iter().rev()).find(|pod| !self.is_healthy(pod))
    }

    /// When the next ready pod becomes available, which no event will tell.
    fn next_available(&self) -> Option<Duration> {
        let seconds = self.set().spec.min_ready_seconds;
        let pods = self.places.iter().flatten().chain(&self.condemned);
        let waiting = pods.filter(|pod| member::is_ready(pod) && !self.is_available(pod));
        let first = waiting.filter_map(|pod| pod.view.available_at(seconds)).min()?;
        Duration::try_from(first.duration_since(self.now)).ok()
    }
}

fn push_creates(actions: &mut Vec<Action>, creates: Vec<Create>) {
    if !creates.is_empty() {
        actions.push(Action::Create(creates));
    }
}
