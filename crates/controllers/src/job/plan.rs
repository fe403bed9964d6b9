//! From the count of pods to pods made and ended, and to the status: noted first, then let go, then
//! counted, so that a crash in between loses nothing.

use super::backoff::Backoffs;
use super::pod::{self, Pod};
use super::policy::Verdict;
use super::status::{self, Ending};
use super::tally::{Batch, Tally};
use super::{Job, Observed, create};
use crate::action::{Action, Create, Delete, Outcome, Plan};
use crate::kinds::resource;
use crate::ownership;
use crate::replicaset::first_to_go;
use base::Timestamp;
use base::collections::HashMap;
use jiff::SignedDuration;
use meta::time;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Pods made or ended in one go.
const BURST: usize = 500;

/// A job being worked out.
struct Work {
    observed: Observed,
    tally: Tally,
    now: Timestamp,
    /// The status to be.
    status: Value,
    ending: Option<Ending>,
    doomed: Vec<Pod>,
    created: Vec<Create>,
    /// Pods written before those that are created.
    touched: usize,
    events: Vec<Action>,
    again: Option<SignedDuration>,
}

pub(super) fn plan(observed: Observed, backoffs: &Arc<Backoffs>, now: Timestamp) -> Plan {
    let candidates = observed.pods.iter().cloned();
    let claimed = ownership::claim(&observed.owner, &observed.selector, &resource::PODS, candidates);
    let tally = Tally::of(&observed.job, claimed.owned, observed.record, now);
    let mut status = observed.job.status.clone();
    if !status.is_object() {
        status = json!({});
    }
    let touched = claimed.actions.iter().filter(|action| matches!(action, Action::Patch(_))).count();
    let (ending, again) = (None, None);
    let (doomed, created, events) = (Vec::new(), Vec::new(), Vec::new());
    let mut work = Work { observed, tally, now, status, ending, doomed, created, touched, events, again };
    work.start();
    work.ending = work.find_ending();
    work.manage();
    let mut actions = claimed.actions;
    work.send(&mut actions);
    let again = work.again.and_then(|wait| Duration::try_from(wait).ok());
    let backoffs = backoffs.clone();
    Plan::of(actions).again(again).then(move |outcome| work.note(outcome, backoffs))
}

impl Work {
    fn job(&self) -> &Job {
        &self.observed.job
    }

    fn wake_in(&mut self, wait: SignedDuration) {
        self.again = self.again.into_iter().chain([wait]).min();
    }

    /// A job that is not suspended has a time it started at.
    fn start(&mut self) {
        if self.status["startTime"].is_null() && !self.job().spec.suspend {
            self.status["startTime"] = json!(time::format(self.now));
        }
    }

    fn find_ending(&mut self) -> Option<Ending> {
        if let Some(announced) = Ending::announced(&self.job().status) {
            return Some(announced);
        }
        let (job, tally) = (&self.observed.job, &self.tally);
        let failed = tally.pods.iter().filter(|pod| pod::is_tracked(pod) && pod::is_failed(pod, job));
        if job.spec.pod_failure_policy.is_some() {
            let message = failed.map(|pod| pod::judge(pod, job)).find_map(|verdict| match verdict {
                Verdict::FailsJob(message) => Some(message),
                _ => None,
            });
            if let Some(message) = message {
                return Some(Ending::failure("PodFailurePolicy", message));
            }
        }
        if tally.failed > job.spec.backoff_limit || self.restarted_too_often() {
            return Some(Ending::failure("BackoffLimitExceeded", "Job has reached the specified backoff limit"));
        }
        if let Some(left) = self.time_left() {
            if !left.is_positive() {
                let message = "Job was active longer than specified deadline";
                return Some(Ending::failure("DeadlineExceeded", message));
            }
            self.wake_in(left);
        }
        self.find_index_ending()
    }

    /// Containers that restart in place count their restarts themselves.
    fn restarted_too_often(&self) -> bool {
        if self.job().spec.template["spec"]["restartPolicy"] != "OnFailure" {
            return false;
        }
        let restarted = self.tally.pods.iter().filter(|pod| pod.view.restarts > 0 && !pod.view.is_finished());
        let total: i64 = restarted.map(pod::restarts).sum();
        let limit = self.job().spec.backoff_limit;
        if limit == 0 { total > 0 } else { total >= limit }
    }

    /// None: it may take for ever.
    fn time_left(&self) -> Option<SignedDuration> {
        let allowed = self.job().spec.active_deadline_seconds.filter(|_| !self.job().spec.suspend)?;
        let started = time::parse(self.job().status["startTime"].as_str()?).ok();
        let due = started.unwrap_or(self.now).checked_add(SignedDuration::from_secs(allowed)).ok()?;
        Some(due.duration_since(self.now))
    }

    fn find_index_ending(&self) -> Option<Ending> {
        let (spec, tally) = (&self.job().spec, &self.tally);
        let completions = self.job().indexed()?;
        if let Some(failed) = tally.failed_indexes.as_ref().map(super::indexes::Indexes::total) {
            if spec.max_failed_indexes.is_some_and(|most| failed > most) {
                let message = "Job has exceeded the specified maximal number of failed indexes";
                return Some(Ending::failure("MaxFailedIndexesExceeded", message));
            }
            if failed > 0 && failed + tally.done.total() >= completions {
                return Some(Ending::failure("FailedIndexes", "Job has failed indexes"));
            }
        }
        let met = spec.success_policy.as_ref()?.met(&tally.done, completions)?;
        Some(Ending::success("SuccessPolicy", met))
    }

    /// Decides which pods are made and which end.
    fn manage(&mut self) {
        if self.ending.is_some() {
            self.doomed = self.tally.active.clone();
            return;
        }
        if !self.observed.owner.deleting {
            self.adjust();
        }
        let active = self.tally.active.len() - self.doomed.len() + self.created.len();
        let complete = match self.job().spec.completions {
            None => self.tally.succeeded > 0 && active == 0,
            Some(wanted) => self.tally.succeeded >= wanted && active == 0,
        };
        if complete {
            let message = "Reached expected number of succeeded pods";
            self.ending = Some(Ending::success("CompletionsReached", message));
        } else if !self.observed.owner.deleting {
            self.note_suspension();
        }
    }

    fn adjust(&mut self) {
        let spec = &self.job().spec;
        let active = i64::try_from(self.tally.active.len()).unwrap_or(i64::MAX);
        let wanted = match spec.completions {
            _ if spec.suspend => 0,
            // One success is enough; those that run may finish.
            None if self.tally.succeeded > 0 => active,
            None => spec.parallelism,
            Some(completions) => (completions - self.tally.succeeded).clamp(0, spec.parallelism.max(0)),
        };
        let surplus = usize::try_from(active - wanted).unwrap_or(0);
        self.doomed = self.removable(surplus);
        self.doomed.truncate(BURST);
        // Either pods go or pods come: what comes is decided when those are gone.
        if !self.doomed.is_empty() || self.job().spec.suspend {
            return;
        }
        let held = if self.job().waits_for_failed() { self.tally.terminating } else { 0 };
        let missing = usize::try_from(wanted - held - active).unwrap_or(0).min(BURST);
        if missing > 0 {
            self.make(missing);
        }
    }

    fn make(&mut self, count: usize) {
        let by_index = self.tally.failed_indexes.is_some();
        if let Some(left) = self.tally.record.left(self.now).filter(|_| !by_index) {
            return self.wake_in(left);
        }
        let Some(completions) = self.job().indexed() else {
            self.created = create::plain(&self.observed, count);
            return;
        };
        let mut taken = self.tally.done.with(self.tally.active.iter().filter_map(pod::index));
        if let Some(failed) = &self.tally.failed_indexes {
            taken = taken.with((0..completions).filter(|index| failed.contains(*index)));
        }
        if self.job().waits_for_failed() {
            taken = taken.with(self.tally.pods.iter().filter(|pod| pod::is_terminating(pod)).filter_map(pod::index));
        }
        let indexes = taken.first_missing(count, completions);
        let wait = |index: &i64| self.tally.delayed.get(index).and_then(|pod| pod::left(pod, self.now));
        let (later, ready): (Vec<i64>, Vec<i64>) =
            indexes.into_iter().partition(|index| by_index && wait(index).is_some());
        if let Some(first) = later.iter().filter_map(wait).min() {
            self.wake_in(first);
        }
        self.created = create::indexed(&self.observed, &ready, &self.tally.delayed);
    }

    /// At least so many of the active pods; of an index that is taken twice or does not exist, all
    /// that are too many.
    fn removable(&self, least: usize) -> Vec<Pod> {
        let first = |pods: &[Pod], count: usize| first_to_go(pods, count, &HashMap::default(), self.now);
        let Some(completions) = self.job().indexed() else {
            return first(&self.tally.active, least);
        };
        let mut by_index: BTreeMap<i64, Vec<Pod>> = BTreeMap::new();
        let mut doomed = Vec::new();
        for pod in &self.tally.active {
            match pod::index(pod).filter(|index| *index < completions) {
                Some(index) => by_index.entry(index).or_default().push(pod.clone()),
                None => doomed.push(pod.clone()),
            }
        }
        let mut left = Vec::new();
        for pods in by_index.into_values() {
            let twins = first(&pods, pods.len() - 1);
            left.extend(pods.into_iter().filter(|pod| !twins.iter().any(|twin| twin.meta.uid == pod.meta.uid)));
            doomed.extend(twins);
        }
        if doomed.len() < least {
            doomed.extend(first(&left, least - doomed.len()));
        }
        doomed
    }

    fn note_suspension(&mut self) {
        let about = self.observed.owner.about(&self.job().metadata);
        let (kind, now) = ("Suspended", self.now);
        if self.job().spec.suspend {
            if status::set(&mut self.status, kind, true, "JobSuspended", "Job suspended", now) {
                self.events.push(Action::event(&about, false, "Suspended", "Job suspended"));
            }
        } else if status::set(&mut self.status, kind, false, "JobResumed", "Job resumed", now) {
            self.events.push(Action::event(&about, false, "Resumed", "Job resumed"));
            // Its time counts anew.
            self.status["startTime"] = json!(time::format(now));
        }
    }

    fn send(&mut self, actions: &mut Vec<Action>) {
        let about = self.observed.owner.about(&self.job().metadata);
        let delete = |pod: &Pod| Delete::new(&resource::PODS, &pod.key, &pod.meta.uid).announce(&about);
        // Pods that a living job ends itself count for nothing.
        let uncounted = self.doomed.iter().filter(|pod| self.ending.is_none() && pod::is_tracked(pod));
        let patches: Vec<_> = uncounted.map(pod::release).collect();
        if !patches.is_empty() {
            self.touched += patches.len();
            actions.push(Action::PatchAll(patches));
        }
        if !self.doomed.is_empty() {
            actions.push(Action::Delete(self.doomed.iter().map(delete).collect()));
        }
        if !self.created.is_empty() {
            actions.push(Action::Create(std::mem::take(&mut self.created)));
        }
    }

    /// Writes down which pods ended, before any of them may go.
    fn note(mut self, outcome: &Outcome, backoffs: Arc<Backoffs>) -> Plan {
        let made = outcome.written.len().saturating_sub(self.touched);
        let went = if outcome.failure.is_some() { 0 } else { self.doomed.len() };
        let ready = |pods: &[Pod]| pods.iter().filter(|pod| pod.view.ready).count();
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let active = count(self.tally.active.len() - went + made);
        let gone_ready = if went == 0 { 0 } else { ready(&self.doomed) };
        let terminating = self.tally.terminating + count(went);
        self.status["active"] = json!(active);
        self.status["ready"] = json!(ready(&self.tally.active) - gone_ready);
        self.status["terminating"] = json!(terminating);

        let (ends, fails) = (self.ending.is_some(), self.ending.as_ref().is_some_and(|ending| ending.fails));
        let batch = self.tally.note(&self.observed.job, ends, fails);
        self.write_counts();
        if let Some(ending) = &self.ending {
            status::announce(&mut self.status, ending, self.now);
        }
        let is_over = ends && active == 0 && terminating == 0 && !batch.more;
        if batch.release.is_empty() {
            let concluded = if is_over { self.conclude() } else { Vec::new() };
            let mut actions = self.patch_noted();
            actions.extend(concluded);
            return Plan::of(actions)
                .then(move |outcome| remember(&self.observed, self.tally.record, &backoffs, outcome));
        }
        Plan::of(self.patch_noted()).then(move |outcome| self.release(batch, is_over, outcome, &backoffs))
    }

    /// The status over the version it was made from, and the Events that go with it.
    fn patch_noted(&mut self) -> Vec<Action> {
        let (owner, version) = (&self.observed.owner, &self.job().metadata.resource_version);
        let patch = status::patch(owner, version, &self.job().status, &self.status);
        patch.into_iter().chain(std::mem::take(&mut self.events)).collect()
    }

    fn write_counts(&mut self) {
        self.status["uncountedTerminatedPods"] = self.tally.uncounted.to_json();
        self.status["failed"] = json!(self.tally.counted.1);
        self.status["succeeded"] = json!(self.tally.counted.0);
        if self.job().indexed().is_some() {
            self.status["succeeded"] = json!(self.tally.known.total());
            self.write_indexes("completedIndexes", self.tally.known.to_string());
            if let Some(failed) = &self.tally.failed_indexes {
                self.status["failedIndexes"] = json!(failed.to_string());
            }
        }
    }

    fn write_indexes(&mut self, field: &str, text: String) {
        if !text.is_empty() || !self.status[field].is_null() {
            self.status[field] = json!(text);
        } else if let Some(fields) = self.status.as_object_mut() {
            fields.remove(field);
        }
    }

    /// Lets the noted pods go, now that the status knows them.
    fn release(self, batch: Batch, is_over: bool, outcome: &Outcome, backoffs: &Backoffs) -> Plan {
        if outcome.failure.is_some() {
            return Plan::nothing();
        }
        backoffs.set(&self.observed.owner.key, &self.observed.owner.uid, self.tally.record);
        let version = outcome.written.last().and_then(version_of);
        let version = version.unwrap_or_else(|| self.job().metadata.resource_version.clone());
        let patches = batch.release.iter().map(pod::release).collect();
        Plan::of(vec![Action::PatchAll(patches)]).then(move |outcome| self.count(&batch, is_over, &version, outcome))
    }

    /// Counts those that are gone, and ends the job if they were the last.
    fn count(mut self, batch: &Batch, is_over: bool, version: &str, outcome: &Outcome) -> Plan {
        if outcome.failure.is_some() {
            return Plan::nothing();
        }
        self.observed.released.note(&self.observed.owner.key, &batch.release);
        let noted = self.status.clone();
        let (succeeded, failed) =
            self.tally.uncounted.count(|uid| batch.release.iter().any(|pod| pod.meta.uid == *uid));
        self.tally.counted.0 += succeeded;
        self.tally.counted.1 += failed;
        self.write_counts();
        let concluded = if is_over { self.conclude() } else { Vec::new() };
        let patch = status::patch(&self.observed.owner, version, &noted, &self.status);
        Plan::of(patch.into_iter().chain(concluded).collect())
    }

    /// The end itself; nothing may be left uncounted.
    fn conclude(&mut self) -> Vec<Action> {
        match self.ending.clone().filter(|_| self.tally.uncounted.is_empty()) {
            Some(ending) => {
                status::conclude(&mut self.status, &ending, &self.observed.job, &self.observed.owner, self.now)
            }
            None => Vec::new(),
        }
    }
}

fn remember(observed: &Observed, record: super::Record, backoffs: &Backoffs, outcome: &Outcome) -> Plan {
    if outcome.failure.is_none() {
        backoffs.set(&observed.owner.key, &observed.owner.uid, record);
    }
    Plan::nothing()
}

fn version_of(body: &bytes::Bytes) -> Option<String> {
    let object: Value = serde_json::from_slice(body).ok()?;
    object["metadata"]["resourceVersion"].as_str().map(str::to_owned)
}
