//! The plan of a Deployment: work on copies of its sets, then write the differences.

use super::status::{Draft, PROGRESSING, Said};
use super::{Deployment, Observed, Set, revision, rolling};
use crate::action::{Action, Create, Delete, Outcome, Patch, Plan};
use crate::kinds::resource;
use crate::ownership::{self, Owner};
use crate::rig::RoomError;
use base::Timestamp;
use client::Error;
use client::events::ObjectRef;
use meta::Reason;
use serde_json::{Value, json};

const SCALED: &str = "ScalingReplicaSet";

/// The sets of a Deployment while a plan changes them.
struct Sets {
    before: Vec<Set>,
    all: Vec<Set>,
    /// Which of them has the Deployment's template.
    new: Option<usize>,
    /// The new set is yet to be created.
    is_fresh: bool,
}

pub(super) fn plan(observed: &Observed, now: Timestamp) -> Result<Plan, RoomError> {
    let deployment = &observed.deployment;
    let about = observed.owner.about(&deployment.metadata);
    if observed.selector.is_everything() {
        return Ok(refuse_everything(observed, &about));
    }
    let claimed =
        ownership::claim(&observed.owner, &observed.selector, &resource::REPLICA_SETS, observed.sets.iter().cloned());
    let decode = |item: &std::sync::Arc<client::Item<_>>| {
        item.decode::<Set>().map_err(|why| RoomError::Decode { key: item.key.clone(), why })
    };
    let sets: Vec<Set> = claimed.owned.iter().map(decode).collect::<Result<_, _>>()?;
    let mut work = Work {
        deployment,
        about,
        now,
        populated: &observed.populated,
        sets: Sets::new(deployment, sets),
        draft: Draft::of(deployment, now),
        cleanup: false,
    };
    let mut actions = claimed.actions;
    if !observed.owner.deleting {
        if let Some(rollback) =
            deployment.metadata.annotations.get(revision::ROLLBACK).filter(|_| !deployment.spec.paused)
        {
            actions.extend(work.roll_back(rollback));
            return Ok(Plan::of(actions));
        }
        work.decide();
    } else {
        work.count();
    }
    work.finish(&observed.owner, actions)
}

/// A Deployment that selects everything would take all pods of its namespace.
fn refuse_everything(observed: &Observed, about: &ObjectRef) -> Plan {
    let message = "This deployment is selecting all pods. A non-empty selector is required.";
    let mut actions = vec![Action::event(about, true, "SelectingAll", message)];
    let generation = observed.deployment.metadata.generation;
    if observed.deployment.status["observedGeneration"].as_i64().unwrap_or(0) < generation {
        let status = json!({"observedGeneration": generation});
        actions.push(Action::status(&resource::DEPLOYMENTS, &observed.owner.key, status));
    }
    Plan::of(actions)
}

impl Sets {
    fn new(deployment: &Deployment, sets: Vec<Set>) -> Self {
        let new = revision::position_of_new(deployment, &sets);
        Sets { before: sets.clone(), all: sets, new, is_fresh: false }
    }

    fn new_set(&self) -> Option<&Set> {
        self.new.map(|at| &self.all[at])
    }

    fn new_set_mut(&mut self) -> Option<&mut Set> {
        self.new.map(|at| &mut self.all[at])
    }

    fn old(&self) -> impl Iterator<Item = &Set> {
        self.all.iter().enumerate().filter(|(at, _)| Some(*at) != self.new).map(|(_, set)| set)
    }

    /// The old sets that have replicas, by age, and the new set.
    fn split(&mut self) -> (Vec<&mut Set>, Option<&mut Set>) {
        let place = self.new;
        let (mut old, mut new) = (Vec::new(), None);
        for (at, set) in self.all.iter_mut().enumerate() {
            if Some(at) == place {
                new = Some(set);
            } else if set.spec.replicas > 0 {
                old.push(set);
            }
        }
        old.sort_by_key(|set| set.age());
        (old, new)
    }

    fn total(&self) -> i64 {
        self.all.iter().map(|set| set.spec.replicas).sum()
    }

    fn is_active(set: &Set) -> bool {
        set.spec.replicas > 0
    }
}

struct Work<'a> {
    deployment: &'a Deployment,
    about: ObjectRef,
    now: Timestamp,
    populated: &'a [String],
    sets: Sets,
    draft: Draft,
    /// Old sets beyond the history limit go.
    cleanup: bool,
}

impl Work<'_> {
    fn decide(&mut self) {
        self.draft.note_pause(self.deployment);
        let resized =
            self.sets.all.iter().any(|set| Sets::is_active(set) && revision::was_resized(self.deployment, set));
        if self.deployment.spec.paused || resized {
            self.adopt_new(false);
            self.scale();
            self.cleanup = self.deployment.spec.paused;
            return self.count();
        }
        if self.deployment.is_rolling() {
            self.roll()
        } else {
            self.recreate()
        }
        self.count();
        let sets: Vec<&Set> = self.sets.all.iter().collect();
        self.draft.follow_rollout(self.deployment, &sets, self.sets.new.map(|at| &self.sets.all[at]));
    }

    fn count(&mut self) {
        let sets: Vec<&Set> = self.sets.all.iter().collect();
        self.draft.count(self.deployment, &sets, self.sets.new.map(|at| &self.sets.all[at]));
    }

    /// Brings the new set's annotations up to date; makes one if there is none and `create`.
    fn adopt_new(&mut self, create: bool) {
        let revision = self.sets.old().map(revision::of).max().unwrap_or(0) + 1;
        let deployment = self.deployment;
        if let Some(set) = self.sets.new_set_mut() {
            revision::annotate(deployment, set, revision);
            set.spec.min_ready_seconds = deployment.spec.min_ready_seconds;
            let name = set.metadata.name.clone();
            if deployment.deadline().is_some() && self.draft.condition(PROGRESSING).is_none() {
                let message = format!("Found new replica set \"{name}\"");
                self.draft.set(Said { kind: PROGRESSING, status: "True", reason: "FoundNewReplicaSet", message });
            }
        } else if create {
            let mut set = revision::new_set(deployment);
            set.spec.replicas = rolling::new_set_size(deployment, self.sets.total(), 0);
            revision::annotate(deployment, &mut set, revision);
            revision::note_sizes(deployment, &mut set);
            if deployment.deadline().is_some() {
                let message = format!("Created new replica set \"{}\"", set.metadata.name);
                self.draft.set(Said { kind: PROGRESSING, status: "True", reason: "NewReplicaSetCreated", message });
            }
            self.sets.all.push(set);
            self.sets.new = Some(self.sets.all.len() - 1);
            self.sets.is_fresh = true;
        }
    }

    /// One step of a rolling update: grow, or else shrink, or else clean up.
    fn roll(&mut self) {
        self.adopt_new(true);
        let (deployment, total) = (self.deployment, self.sets.total());
        let (mut old, new) = self.sets.split();
        let Some(new) = new else { return };
        let wanted = deployment.spec.replicas;
        let size = match new.spec.replicas {
            replicas if replicas > wanted => wanted,
            replicas => rolling::new_set_size(deployment, total, replicas),
        };
        if size != new.spec.replicas {
            new.spec.replicas = size;
        } else if !rolling::shrink_old(deployment, &mut old, new) {
            self.cleanup = Draft::of(deployment, self.now).is_complete(deployment);
        }
    }

    /// All old pods go before the first new one comes.
    fn recreate(&mut self) {
        self.adopt_new(false);
        let (old, _) = self.sets.split();
        let shrinking = !old.is_empty();
        old.into_iter().for_each(|set| set.spec.replicas = 0);
        if shrinking || self.old_pods_run() {
            return;
        }
        self.adopt_new(true);
        let deployment = self.deployment;
        if let Some(new) = self.sets.new_set_mut() {
            new.spec.replicas = deployment.spec.replicas;
        }
        self.cleanup = Draft::of(deployment, self.now).is_complete(deployment);
    }

    fn old_pods_run(&self) -> bool {
        let new = self.sets.new_set().map(|set| &set.metadata.uid);
        let counted = self.sets.old().any(|set| set.status.replicas > 0);
        counted || self.populated.iter().any(|uid| Some(uid) != new)
    }

    /// Follows a change of size, without changing the mix of templates.
    fn scale(&mut self) {
        let deployment = self.deployment;
        let wanted = deployment.spec.replicas;
        let active = self.sets.all.iter().filter(|set| Sets::is_active(set)).count();
        if active <= 1 {
            let newest = self.sets.all.iter().enumerate().max_by_key(|(_, set)| set.age()).map(|(at, _)| at);
            let only = self.sets.all.iter().position(Sets::is_active);
            if let Some(at) = only.or(self.sets.new).or(newest) {
                self.sets.all[at].spec.replicas = wanted;
            }
        } else if self.sets.new_set().is_some_and(|set| revision::is_saturated(deployment, set)) {
            let (old, _) = self.sets.split();
            old.into_iter().for_each(|set| set.spec.replicas = 0);
        } else if deployment.is_rolling() {
            let active = self.sets.all.iter_mut().filter(|set| Sets::is_active(set)).collect();
            rolling::scale_in_proportion(deployment, active);
        }
        // Sets that were scaled, and those that keep their size while others change, know the new
        // measure from now on.
        self.sets
            .all
            .iter_mut()
            .filter(|set| Sets::is_active(set))
            .for_each(|set| revision::note_sizes(deployment, set));
    }

    /// Turns the differences into actions.
    fn finish(mut self, owner: &Owner, mut actions: Vec<Action>) -> Result<Plan, RoomError> {
        let fresh = self.sets.new_set().filter(|_| self.sets.is_fresh).cloned();
        if let Some(set) = &fresh {
            let object = revision::object(self.deployment, set, &owner.reference());
            let create = Create::new(&resource::REPLICA_SETS, &set.metadata.namespace, object);
            actions.push(Action::Create(vec![create]));
            actions.extend(scaling_event(&self.about, &set.metadata.name, 0, set.spec.replicas));
        }
        for (at, before) in self.sets.before.iter().enumerate() {
            let set = &mut self.sets.all[at];
            if set.spec.replicas != before.spec.replicas {
                revision::note_sizes(self.deployment, set);
            }
            actions.extend(set_patch(before, set));
            actions.extend(scaling_event(&self.about, &set.metadata.name, before.spec.replicas, set.spec.replicas));
        }
        if self.cleanup {
            actions.extend(self.prune());
        }
        if let Some(revision) = self.sets.new_set().and_then(|set| set.metadata.annotations.get(revision::REVISION))
            && self.deployment.metadata.annotations.get(revision::REVISION) != Some(revision)
        {
            let body = json!({"metadata": {"annotations": {revision::REVISION: revision}}});
            actions.push(Action::Patch(Patch::merge(&resource::DEPLOYMENTS, &owner.key, body)));
        }
        let again = self.draft.check_again(self.deployment);
        let (owner, deployment, draft, about) = (owner.clone(), self.deployment.clone(), self.draft, self.about);
        let then = move |outcome: &Outcome| conclude(&owner, &deployment, draft, &about, fresh.as_ref(), outcome);
        Ok(Plan::of(actions).again(again).then(then))
    }

    /// Old sets beyond the limit, the oldest revisions first.
    fn prune(&self) -> Option<Action> {
        let limit = self.deployment.spec.revision_history_limit.filter(|limit| *limit != i64::from(i32::MAX))?;
        let mut old: Vec<&Set> = self.sets.old().filter(|set| !set.metadata.is_deleting()).collect();
        let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        old.sort_by_key(|set| (revision::of(set), set.age()));
        let idle = |set: &&&Set| {
            set.status.replicas == 0
                && set.spec.replicas == 0
                && set.metadata.generation <= set.status.observed_generation
        };
        let doomed = old.iter().take(surplus).filter(idle);
        let delete = |set: &&Set| Delete::new(&resource::REPLICA_SETS, &set.key(), &set.metadata.uid);
        let deletes: Vec<_> = doomed.map(delete).collect();
        (!deletes.is_empty()).then_some(Action::Delete(deletes))
    }

    /// Returns to an earlier revision's template, as clients of the first API asked for.
    fn roll_back(&self, wanted: &str) -> Vec<Action> {
        let mut revisions: Vec<i64> = self.sets.all.iter().map(revision::of).collect();
        revisions.sort_unstable_by(|a, b| b.cmp(a));
        let revision = match wanted.parse().unwrap_or(0) {
            0 => revisions.get(1).copied().unwrap_or(0),
            revision => revision,
        };
        let clear = json!({"metadata": {"annotations": {revision::ROLLBACK: null}}});
        let patch = |body| {
            Action::Patch(Patch::merge(&resource::DEPLOYMENTS, &client::Key::of(&self.deployment.metadata), body))
        };
        let name = &self.deployment.metadata.name;
        let target = self.sets.all.iter().find(|set| revision > 0 && revision::of(set) == revision);
        let Some(target) = target else {
            let message = if revision == 0 {
                "Unable to find last revision."
            } else {
                "Unable to find the revision to rollback to."
            };
            let event = Action::event(&self.about, true, "DeploymentRollbackRevisionNotFound", message);
            return vec![event, patch(clear)];
        };
        let template = revision::without_hash(&target.spec.template);
        if template == revision::without_hash(&self.deployment.spec.template) {
            let message = format!("The rollback revision contains the same template as current deployment \"{name}\"");
            return vec![
                Action::event(&self.about, true, "DeploymentRollbackTemplateUnchanged", message),
                patch(clear),
            ];
        }
        let body = json!([
            {"op": "replace", "path": "/spec/template", "value": template},
            {"op": "remove", "path": format!("/metadata/annotations/{}", revision::ROLLBACK)},
        ]);
        let key = client::Key::of(&self.deployment.metadata);
        let replace = Patch { kind: client::PatchType::Json, ..Patch::merge(&resource::DEPLOYMENTS, &key, body) };
        let message = format!("Rolled back deployment \"{name}\" to revision {revision}");
        vec![Action::Patch(replace), Action::event(&self.about, false, "DeploymentRollback", message)]
    }
}

/// What of a set changed, to be written only over the version it was decided on.
fn set_patch(before: &Set, after: &Set) -> Option<Action> {
    if before == after {
        return None;
    }
    let mut body = json!({"metadata": {"resourceVersion": before.metadata.resource_version}});
    for (name, value) in &after.metadata.annotations {
        if before.metadata.annotations.get(name) != Some(value) {
            body["metadata"]["annotations"][name] = json!(value);
        }
    }
    if before.spec.replicas != after.spec.replicas {
        body["spec"]["replicas"] = json!(after.spec.replicas);
    }
    if before.spec.min_ready_seconds != after.spec.min_ready_seconds {
        body["spec"]["minReadySeconds"] = json!(after.spec.min_ready_seconds);
    }
    Some(Action::Patch(Patch::merge(&resource::REPLICA_SETS, &before.key(), body)))
}

fn scaling_event(about: &ObjectRef, set: &str, from: i64, to: i64) -> Option<Action> {
    let way = if to > from { "up" } else { "down" };
    let message = format!("Scaled {way} replica set {set} from {from} to {to}");
    (from != to).then(|| Action::event(about, false, SCALED, message))
}

/// Writes the status once it is known how the sets fared.
fn conclude(
    owner: &Owner,
    deployment: &Deployment,
    draft: Draft,
    about: &ObjectRef,
    fresh: Option<&Set>,
    outcome: &Outcome,
) -> Plan {
    let write = |draft: &Draft| {
        let changes = draft.changes(deployment)?;
        Some(Action::status(&resource::DEPLOYMENTS, &owner.key, changes))
    };
    match (&outcome.failure, fresh) {
        (None, _) => Plan::of(write(&draft).into_iter().collect()),
        (Some(error), Some(set)) if error.is(Reason::AlreadyExists) => look_at_namesake(owner, deployment, set),
        (Some(error), Some(set)) if !error.is(Reason::Conflict) && !matches!(error, Error::Connection(_)) => {
            let message = format!("Failed to create new replica set \"{}\": {error}", set.metadata.name);
            let reason = "ReplicaSetCreateError";
            let event = Action::event(about, true, reason, message.clone());
            let mut failed = Draft::of(deployment, draft.now);
            if deployment.deadline().is_some() {
                failed.set(Said { kind: PROGRESSING, status: "False", reason, message });
            }
            Plan::of([Some(event), write(&failed)].into_iter().flatten().collect())
        }
        // Another writer was quicker, or the server is away: the next reconcile sees more.
        (Some(_), _) => Plan::nothing(),
    }
}

/// Is the set of this name ours, and only the cache behind? If not, two templates have one hash:
/// counting the collision makes the next hash another.
fn look_at_namesake(owner: &Owner, deployment: &Deployment, set: &Set) -> Plan {
    let read = Action::Read { resource: resource::REPLICA_SETS, key: set.key() };
    let (owner, template) = (owner.clone(), revision::without_hash(&deployment.spec.template));
    let count = deployment.status["collisionCount"].as_i64().unwrap_or(0);
    Plan::of(vec![read]).then(move |outcome| {
        let found = outcome.reads.first().and_then(Option::as_ref);
        let Some(found) = found.and_then(|body| serde_json::from_slice::<Value>(body).ok()) else {
            return Plan::nothing();
        };
        let references = found["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        let ours = references
            .iter()
            .any(|reference| reference["controller"] == true && reference["uid"] == owner.uid.as_str());
        if ours && revision::without_hash(&found["spec"]["template"]) == template {
            return Plan::nothing();
        }
        let status = json!({"collisionCount": count + 1});
        Plan::of(vec![Action::status(&resource::DEPLOYMENTS, &owner.key, status)])
    })
}
