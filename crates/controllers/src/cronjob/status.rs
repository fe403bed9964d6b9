//! The status of a CronJob while a plan changes it: the jobs that run, and the last times.

use super::{CronJob, Job};
use crate::action::{Action, Patch};
use crate::kinds::kind;
use crate::ownership::Owner;
use base::Timestamp;
use meta::time;
use serde_json::{Value, json};

pub(super) struct Draft {
    pub active: Vec<Value>,
    last_schedule: Value,
    last_success: Value,
    before: Value,
}

impl Draft {
    pub fn of(cron_job: &CronJob) -> Self {
        Draft {
            active: cron_job.status["active"].as_array().cloned().unwrap_or_default(),
            last_schedule: cron_job.status["lastScheduleTime"].clone(),
            last_success: cron_job.status["lastSuccessfulTime"].clone(),
            before: cron_job.status.clone(),
        }
    }

    pub fn has(&self, job: &Job) -> bool {
        self.active.iter().any(|one| one["uid"] == job.meta.uid.as_str())
    }

    pub fn has_name(&self, name: &str) -> bool {
        self.active.iter().any(|one| one["name"] == name)
    }

    pub fn drop_uid(&mut self, uid: &str) {
        self.active.retain(|one| one["uid"] != uid);
    }

    /// A job ended well at this time.
    pub fn note_success(&mut self, at: &str) {
        if self.last_success.as_str().is_none_or(|last| last < at) {
            self.last_success = json!(at);
        }
    }

    /// A job was made for this time.
    pub fn note_start(&mut self, job: &Value, at: Timestamp) {
        let field = |name: &str| job["metadata"][name].clone();
        self.active.push(json!({
            "kind": kind::JOBS.kind, "namespace": field("namespace"), "name": field("name"), "uid": field("uid"),
            "apiVersion": "batch/v1", "resourceVersion": field("resourceVersion"),
        }));
        self.last_schedule = json!(time::format(at));
    }

    pub fn serves(&self, at: Timestamp) -> bool {
        self.last_schedule == time::format(at)
    }

    /// What to write, over the version it was made from; None: nothing changed.
    pub fn patch(&self, owner: &Owner, cron_job: &CronJob) -> Option<Action> {
        let mut status = json!({});
        let before = self.before["active"].as_array().cloned().unwrap_or_default();
        if before != self.active {
            status["active"] = json!(self.active);
        }
        for (field, value) in [("lastScheduleTime", &self.last_schedule), ("lastSuccessfulTime", &self.last_success)] {
            if self.before[field] != *value {
                status[field] = value.clone();
            }
        }
        if status.as_object().is_none_or(serde_json::Map::is_empty) {
            return None;
        }
        let body = json!({"metadata": {"resourceVersion": cron_job.metadata.resource_version}, "status": status});
        Some(Action::Patch(Patch::merge(&owner.resource, &owner.key, body).subresource("status")))
    }
}
