//! What a CronJob does now: takes note of jobs that ended, makes the one that is due, clears away old
//! ones. Pure.

use super::due::{Due, Timetable};
use super::status::Draft;
use super::{Job, Observed};
use crate::action::{Action, Create, Delete, Outcome, Plan};
use crate::announce::Voice;
use crate::kinds::resource;
use base::Timestamp;
use client::Key;
use client::events::ObjectRef;
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::time::Duration;

const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// The clock may be set, and a machine that slept wakes up later than its timers think: no CronJob is late
/// for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

struct Work {
    observed: Observed,
    about: ObjectRef,
    now: Timestamp,
    draft: Draft,
    actions: Vec<Action>,
    /// Jobs that make room for the next one, by name and uid.
    replaced: Vec<(String, String)>,
}

pub(super) fn plan(observed: Observed, now: Timestamp) -> Plan {
    let about = observed.owner.about(&observed.cron_job.metadata);
    let draft = Draft::of(&observed.cron_job);
    let mut work = Work { observed, about, now, draft, actions: Vec::new(), replaced: Vec::new() };
    work.take_note();
    let missing = work.missing();
    if missing.is_empty() {
        return work.carry_on();
    }
    // The cache of jobs may be behind: only a job that the server does not know either went missing.
    let namespace = work.observed.owner.key.namespace().to_owned();
    let reads =
        missing.iter().map(|(name, _)| Action::Read { resource: resource::JOBS, key: Key::new(&namespace, name) });
    Plan::of(reads.collect()).then(move |outcome| {
        for ((name, uid), _) in missing.iter().zip(&outcome.reads).filter(|(_, read)| read.is_none()) {
            work.event(false, "MissingJob", format!("Active job went missing: {name}"));
            work.draft.drop_uid(uid);
        }
        if outcome.failure.is_some() { Plan::nothing() } else { work.carry_on() }
    })
}

impl Work {
    fn event(&mut self, warning: bool, reason: &'static str, message: String) {
        self.actions.push(Action::event(&self.about, warning, reason, message));
    }

    /// Takes jobs that are over off the list.
    fn take_note(&mut self) {
        for job in self.observed.jobs.clone() {
            let is_listed = self.draft.has(&job);
            match job.view.end {
                None if !is_listed && !self.is_ours(&job) => {
                    let message = format!("Saw a job that the controller did not create or forgot: {}", job.meta.name);
                    self.event(true, "UnexpectedJob", message);
                }
                Some(end) if is_listed => {
                    self.draft.drop_uid(&job.meta.uid);
                    let message = format!("Saw completed job: {}, condition: {end}", job.meta.name);
                    self.event(false, "SawCompletedJob", message);
                }
                _ => {}
            }
            if let Some(at) = job.view.completed.as_deref().filter(|_| job.view.end == Some("Complete")) {
                self.draft.note_success(at);
            }
        }
    }

    /// Made for a time, just before the status could tell of it.
    fn is_ours(&self, job: &Job) -> bool {
        job.meta.annotations.contains_key(SCHEDULED_AT)
    }

    /// The jobs that run, by name and uid.
    fn listed(&self) -> Vec<(String, String)> {
        let text = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
        self.draft.active.iter().map(|one| (text(one, "name"), text(one, "uid"))).collect()
    }

    /// Those of them of which there is no trace.
    fn missing(&self) -> Vec<(String, String)> {
        let is_there = |uid: &str| self.observed.jobs.iter().any(|job| job.meta.uid == uid);
        let mut listed = self.listed();
        listed.retain(|(_, uid)| !is_there(uid));
        listed
    }

    fn carry_on(mut self) -> Plan {
        self.clear_history();
        if self.observed.owner.deleting {
            return self.finish(None);
        }
        let spec = self.observed.cron_job.spec.clone();
        let Some(zone) = cron::zone(spec.time_zone.as_deref().unwrap_or_default()) else {
            let name = spec.time_zone.unwrap_or_default();
            self.event(true, "UnknownTimeZone", format!("invalid timeZone: \"{name}\": unknown time zone {name}"));
            return self.finish(None);
        };
        if spec.suspend {
            return self.finish(None);
        }
        let schedule = match cron::Schedule::parse(&spec.schedule) {
            Ok(schedule) => schedule,
            Err(error) => {
                let message = format!("unparseable schedule: \"{}\" : {error}", spec.schedule);
                self.event(true, "UnparseableSchedule", message);
                return self.finish(None);
            }
        };
        let timetable = Timetable { schedule, zone };
        let due = timetable.due(&self.observed.cron_job, self.now);
        match due.filter(|due| self.may_start(due)) {
            Some(due) => self.start(due.at, timetable),
            None => self.finish(Some(&timetable)),
        }
    }

    /// Whether a time that has come is to be served; tells why if not.
    fn may_start(&mut self, due: &Due) -> bool {
        let spec = self.observed.cron_job.spec.clone();
        if due.too_many {
            let message =
                "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            self.event(true, "TooManyMissedTimes", message.to_owned());
        }
        let deadline = spec.starting_deadline_seconds.map(SignedDuration::from_secs);
        if deadline.is_some_and(|deadline| self.now.duration_since(due.at) > deadline) {
            let at = due.at.strftime("%a, %d %b %Y %H:%M:%S +0000");
            self.event(true, "MissSchedule", format!("Missed scheduled time to start a job: {at}"));
            return false;
        }
        if self.draft.serves(due.at) || self.draft.has_name(&self.job_name(due.at)) {
            return false;
        }
        if spec.concurrency_policy == "Forbid" && !self.draft.active.is_empty() {
            let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
            self.event(false, "JobAlreadyActive", message.to_owned());
            return false;
        }
        if spec.concurrency_policy == "Replace" {
            // Those that the cache does not show yet, too.
            self.replaced = self.listed();
        }
        true
    }

    fn job_name(&self, at: Timestamp) -> String {
        format!("{}-{}", self.observed.cron_job.metadata.name, at.as_second() / 60)
    }

    /// Has jobs go, by name and uid.
    fn delete(&mut self, jobs: &[(String, String)]) {
        let namespace = self.observed.owner.key.namespace();
        let delete = |(name, uid): &(String, String)| {
            let delete = Delete::new(&resource::JOBS, &Key::new(namespace, name), uid).policy("Background");
            delete.announce_as(&self.about, Voice::Job)
        };
        let deletes: Vec<Delete> = jobs.iter().map(delete).collect();
        if !deletes.is_empty() {
            self.actions.push(Action::Delete(deletes));
        }
    }

    /// Jobs that are over beyond the limits, those first that started first.
    fn clear_history(&mut self) {
        let spec = &self.observed.cron_job.spec;
        let limits = [("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit)];
        for (end, limit) in limits {
            let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { continue };
            let over = |job: &&Job| job.view.end == Some(end) && !job.meta.is_deleting();
            let mut jobs: Vec<Job> = self.observed.jobs.iter().filter(over).cloned().collect();
            jobs.sort_by_key(|job| (job.view.started.is_none(), job.view.started.clone(), job.meta.name.clone()));
            jobs.truncate(jobs.len().saturating_sub(limit));
            let jobs: Vec<_> = jobs.iter().map(|job| (job.meta.name.clone(), job.meta.uid.clone())).collect();
            self.delete(&jobs);
        }
    }

    /// The next job is made once those it replaces are on their way: as long as they are not, they run
    /// and stay listed.
    fn start(mut self, at: Timestamp, timetable: Timetable) -> Plan {
        let replaced = std::mem::take(&mut self.replaced);
        self.delete(&replaced);
        Plan::of(std::mem::take(&mut self.actions)).then(move |outcome| match outcome.failure {
            Some(_) => self.finish(None),
            None => {
                replaced.iter().for_each(|(_, uid)| self.draft.drop_uid(uid));
                self.create(at, timetable)
            }
        })
    }

    fn create(self, at: Timestamp, timetable: Timetable) -> Plan {
        let job = self.job(at, &timetable);
        let namespace = self.observed.owner.key.namespace().to_owned();
        let create = Create::new(&resource::JOBS, &namespace, job).announce_as(&self.about, Voice::Job).or_exists();
        let key = Key::new(&namespace, &self.job_name(at));
        Plan::of(vec![Action::Create(vec![create])]).then(move |outcome| match outcome.written.last() {
            Some(body) => self.note_start(body, at, &timetable),
            None if outcome.failure.is_some() => self.finish(None),
            // It is there already: whose is it?
            None => Plan::of(vec![Action::Read { resource: resource::JOBS, key }])
                .then(move |outcome| self.note_found(outcome, at, &timetable)),
        })
    }

    fn note_start(mut self, body: &[u8], at: Timestamp, timetable: &Timetable) -> Plan {
        let job: Value = serde_json::from_slice(body).unwrap_or_default();
        self.draft.note_start(&job, at);
        self.observed.cron_job.status["lastScheduleTime"] = json!(meta::time::format(at));
        self.finish(Some(timetable))
    }

    fn note_found(self, outcome: &Outcome, at: Timestamp, timetable: &Timetable) -> Plan {
        let Some(body) = outcome.reads.first().and_then(Option::as_ref) else { return self.finish(None) };
        let job: Value = serde_json::from_slice(body).unwrap_or_default();
        let owners = job["metadata"]["ownerReferences"].as_array();
        let ours = owners.into_iter().flatten().any(|owner| owner["uid"] == self.observed.owner.uid.as_str());
        if ours { self.note_start(&body.clone(), at, timetable) } else { self.finish(Some(timetable)) }
    }

    fn job(&self, at: Timestamp, timetable: &Timetable) -> Value {
        let template = &self.observed.cron_job.spec.job_template;
        let mut metadata = json!({"name": self.job_name(at), "ownerReferences": [self.observed.owner.reference()]});
        for field in ["labels", "annotations"] {
            if template["metadata"][field].is_object() {
                metadata[field] = template["metadata"][field].clone();
            }
        }
        let local = at.to_zoned(timetable.zone.clone());
        let is_utc = local.offset().is_zero();
        let text = local.strftime(if is_utc { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%:z" }).to_string();
        metadata["annotations"][SCHEDULED_AT] = json!(text);
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]})
    }

    fn finish(mut self, timetable: Option<&Timetable>) -> Plan {
        let patch = self.draft.patch(&self.observed.owner, &self.observed.cron_job);
        self.actions.extend(patch);
        let again = timetable.and_then(|timetable| timetable.wait(&self.observed.cron_job, self.now));
        Plan::of(self.actions).again(again.map(|wait| wait.min(LONGEST_WAIT)))
    }
}
