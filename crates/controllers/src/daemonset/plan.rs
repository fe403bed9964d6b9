//! From nodes and pods to pods that go and nodes that get one. Pure but for the memory of failures.

use super::failures::Failures;
use super::{Observed, Set, pod, rolling, status};
use crate::action::{Action, Create, Delete, Plan};
use crate::history::{self, Revision, Subject};
use crate::kinds::resource;
use crate::ownership;
use crate::rig::RoomError;
use crate::views::{Phase, PodView};
use base::Timestamp;
use client::Item;
use client::events::ObjectRef;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Pods made or ended in one go.
const BURST: usize = 250;

pub(super) type Pod = Arc<Item<PodView>>;

/// The pods of each node, and nodes of which there are none.
pub(super) type ByNode = BTreeMap<String, Vec<Pod>>;

/// What is to change.
#[derive(Default)]
pub(super) struct Changes {
    pub doomed: Vec<Pod>,
    /// Nodes that get a pod.
    pub wanting: Vec<String>,
}

/// All that deciding about nodes needs to know.
pub(super) struct View<'a> {
    pub observed: &'a Observed,
    pub revision: &'a Revision,
    pub by_node: &'a ByNode,
    pub now: Timestamp,
}

impl View<'_> {
    pub fn set(&self) -> &Set {
        &self.observed.set
    }

    pub fn is_available(&self, pod: &Pod) -> bool {
        pod.view.is_available(self.set().spec.min_ready_seconds, self.now)
    }

    pub fn is_new(&self, pod: &Pod) -> bool {
        pod::is_new(pod, self.set(), self.revision)
    }
}

pub(super) fn plan(observed: Observed, failures: &mut Failures, now: Timestamp) -> Result<Plan, RoomError> {
    let set = &observed.set;
    let about = observed.owner.about(&set.metadata);
    if observed.selector.is_everything() {
        let message = "This daemon set is selecting all pods. A non-empty selector is required.";
        return Ok(Plan::of(vec![Action::event(&about, true, "SelectingAll", message)]));
    }
    if observed.owner.deleting {
        return Ok(Plan::nothing());
    }
    let collisions = set.status["collisionCount"].as_i64();
    let subject = Subject {
        owner: &observed.owner,
        selector: &observed.selector,
        annotations: json!(set.metadata.annotations),
        template: &set.spec.template,
        hash_label: history::LABEL,
        collisions,
    };
    let mut history = history::advance(&subject, observed.revisions.clone())?;
    let mut actions = std::mem::take(&mut history.actions);
    let mut claimed = ownership::claim(&observed.owner, &observed.selector, &resource::PODS, observed.pods.clone());
    actions.append(&mut claimed.actions);

    let by_node = sort_by_node(&claimed.owned);
    failures.keep_nodes(&observed.owner.key, |node| observed.nodes.iter().any(|place| place.node == node));
    let view = View { observed: &observed, revision: &history.update, by_node: &by_node, now };
    let mut again = None;
    let mut changes = manage(&view, failures, &mut actions, &mut again, &about);
    changes.doomed.extend(stranded(&view, &claimed.owned));
    if changes.doomed.is_empty() && changes.wanting.is_empty() && set.is_rolling() {
        changes = rolling::step(&view);
    }
    actions.extend(carry(&view, changes, &about));
    let status = status::next(&view);
    let again = sooner(again, next_available(&view));
    let live = |one: &Revision| {
        let hash = one.metadata.labels.get(history::LABEL);
        claimed.owned.iter().any(|pod| hash.is_some() && pod.meta.labels.get(history::LABEL) == hash)
    };
    let prune = history.prune(set.spec.revision_history_limit, live);
    let owner = observed.owner.clone();
    Ok(Plan::of(actions).again(again).then(move |outcome| {
        if let Some(plan) = history.collision(&owner, collisions, outcome) {
            return plan;
        }
        let status = status.map(|status| Action::status(&owner.resource, &owner.key, status));
        let prune = prune.filter(|_| outcome.failure.is_none());
        Plan::of(status.into_iter().chain(prune).collect())
    }))
}

fn sort_by_node(pods: &[Pod]) -> ByNode {
    let mut by_node = ByNode::new();
    // An ended pod that is being deleted is as good as gone.
    for pod in pods.iter().filter(|pod| !(pod.view.is_finished() && pod.meta.is_deleting())) {
        if let Some(node) = pod::node(pod) {
            by_node.entry(node).or_default().push(pod.clone());
        }
    }
    by_node
}

/// One pod where one should be, none where not; those that ended are replaced.
fn manage(
    view: &View<'_>,
    failures: &mut Failures,
    actions: &mut Vec<Action>,
    again: &mut Option<Duration>,
    about: &ObjectRef,
) -> Changes {
    let mut changes = Changes::default();
    for place in &view.observed.nodes {
        let there = view.by_node.get(&place.node);
        match there {
            None if place.verdict.runs => changes.wanting.push(place.node.clone()),
            None => {}
            Some(pods) if place.verdict.stays => {
                let (ended, mut running): (Vec<Pod>, Vec<Pod>) =
                    pods.iter().filter(|pod| !pod.meta.is_deleting()).cloned().partition(|pod| pod.view.is_finished());
                for pod in ended {
                    match failures.may_replace(&view.observed.owner.key, &place.node, view.now) {
                        Err(wait) if pod.view.phase == Phase::Failed => {
                            *again = sooner(*again, Duration::try_from(wait).ok());
                        }
                        _ => {
                            actions.push(ended_event(about, &pod, &place.node));
                            changes.doomed.push(pod);
                        }
                    }
                }
                running.sort_by(|a, b| pod::by_age(a, b));
                changes.doomed.extend(surplus(view, running));
            }
            Some(pods) => changes.doomed.extend(pods.iter().filter(|pod| !pod.meta.is_deleting()).cloned()),
        }
    }
    changes
}

fn ended_event(about: &ObjectRef, pod: &Pod, node: &str) -> Action {
    if pod.view.phase == Phase::Failed {
        let message = format!("Found failed daemon pod {} on node {node}, will try to kill it", pod.key);
        Action::event(about, true, "FailedDaemonPod", message)
    } else {
        let message = format!("Found succeeded daemon pod {} on node {node}, will try to delete it", pod.key);
        Action::event(about, false, "SucceededDaemonPod", message)
    }
}

/// Of several running pods of one node, oldest first, those that go: all but the oldest; where a
/// surge is on, an old and a new one stand side by side until either will do.
fn surplus(view: &View<'_>, running: Vec<Pod>) -> Vec<Pod> {
    if !rolling::surges(view.set()) {
        return running.into_iter().skip(1).collect();
    }
    if running.len() <= 1 {
        return Vec::new();
    }
    let (mut new, mut old, mut doomed) = (None, None, Vec::new());
    for pod in running {
        let slot = if view.is_new(&pod) { &mut new } else { &mut old };
        match slot {
            None => *slot = Some(pod),
            Some(_) => doomed.push(pod),
        }
    }
    if let (Some(new), Some(old)) = (new, old)
        && (!old.view.ready || view.is_available(&new))
    {
        doomed.push(old);
    }
    doomed
}

/// Pods that wait for a node that is gone.
fn stranded(view: &View<'_>, pods: &[Pod]) -> Vec<Pod> {
    let waits = |pod: &&Pod| pod.view.node.is_empty() && !pod.meta.is_deleting();
    let is_known = |node: &str| view.observed.nodes.iter().any(|place| place.node == node);
    let lost = |pod: &&Pod| pod::node(pod).is_some_and(|node| !is_known(&node));
    pods.iter().filter(waits).filter(lost).cloned().collect()
}

/// Deletions before creations, each up to a bound: the next reconcile does the rest.
fn carry(view: &View<'_>, mut changes: Changes, about: &ObjectRef) -> Vec<Action> {
    changes.doomed.truncate(BURST);
    changes.wanting.truncate(BURST);
    let delete = |pod: &Pod| Delete::new(&resource::PODS, &pod.key, &pod.meta.uid).announce(about);
    let deletes: Vec<Delete> = changes.doomed.iter().map(delete).collect();
    let owner = view.observed.owner.reference();
    let namespace = view.observed.owner.key.namespace();
    let create = |node: &String| {
        let pod = pod::new(view.set(), &owner, view.revision, node);
        Create::new(&resource::PODS, namespace, pod).announce(about)
    };
    let creates: Vec<Create> = changes.wanting.iter().map(create).collect();
    let mut actions = Vec::new();
    if !deletes.is_empty() {
        actions.push(Action::Delete(deletes));
    }
    if !creates.is_empty() {
        actions.push(Action::Create(creates));
    }
    actions
}

/// When the next ready pod becomes available, which no event will tell.
fn next_available(view: &View<'_>) -> Option<Duration> {
    let seconds = view.set().spec.min_ready_seconds;
    let pods = view.by_node.values().flatten().filter(|pod| pod.view.ready && !view.is_available(pod));
    let first = pods.filter_map(|pod| pod.view.available_at(seconds)).min()?;
    Duration::try_from(first.duration_since(view.now)).ok()
}

fn sooner(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}
