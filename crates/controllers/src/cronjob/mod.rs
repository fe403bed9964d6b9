//! CronJobs: a job each time the clock says so.
//!
//! Looks at CronJobs and their jobs; creates and deletes jobs, keeps the list of those that run and the
//! last time in the CronJob's status. A job is named after its time, so that none is made twice.

mod due;
mod plan;
mod status;
#[cfg(test)]
mod tests;

use crate::action::Plan;
use crate::kinds::{kind, resource};
use crate::ownership::Owner;
use crate::rig::{Def, Rig, Room, RoomError};
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Change, Item, Key, Projection, WorkQueue};
use meta::{ObjectMeta, conditions, time};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

pub const DEF: Def = Def {
    name: "cronjob-controller",
    identity: "cronjob-controller",
    component: "cronjob-controller",
    workers: 5,
    retry: RETRY,
    build,
};

/// What others need of a job: whether it is over, since when it ran, and when it ended well.
#[derive(Debug, Clone, Default)]
pub(crate) struct JobView {
    /// `Complete` or `Failed`; None: it runs.
    pub end: Option<&'static str>,
    pub ended: Option<Timestamp>,
    started: Option<String>,
    completed: Option<String>,
    /// Seconds it is kept for after its end.
    pub keep: Option<i64>,
}

impl Projection for JobView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Job {
            #[serde(default)]
            spec: Value,
            #[serde(default)]
            status: Value,
        }
        let job: Job = serde_json::from_slice(object)?;
        let list = &job.status["conditions"];
        let end = ["Complete", "Failed"].into_iter().find(|kind| conditions::is_true(list, kind));
        let condition = end.and_then(|kind| conditions::find(list, kind));
        let at = condition.and_then(|condition| condition["lastTransitionTime"].as_str());
        let text = |field: &str| job.status[field].as_str().map(str::to_owned);
        Ok(JobView {
            end,
            ended: at.and_then(|text| time::parse(text).ok()),
            started: text("startTime"),
            completed: text("completionTime"),
            keep: job.spec["ttlSecondsAfterFinished"].as_i64(),
        })
    }
}

#[derive(Debug, Clone, Deserialize)]
struct CronJob {
    metadata: ObjectMeta,
    spec: Spec,
    #[serde(default)]
    status: Value,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    schedule: String,
    time_zone: Option<String>,
    starting_deadline_seconds: Option<i64>,
    #[serde(default)]
    concurrency_policy: String,
    #[serde(default)]
    suspend: bool,
    #[serde(default)]
    job_template: Value,
    successful_jobs_history_limit: Option<i64>,
    failed_jobs_history_limit: Option<i64>,
}

type Job = Arc<Item<JobView>>;

/// All that a plan depends on.
struct Observed {
    owner: Owner,
    cron_job: CronJob,
    jobs: Vec<Job>,
}

struct CronJobs {
    cron_jobs: Arc<Cache<()>>,
    jobs: Arc<Cache<JobView>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let cron_jobs = rig.cache::<()>(&resource::CRON_JOBS);
    let jobs = rig.cache::<JobView>(&resource::JOBS);
    rig.on_itself(&cron_jobs);
    rig.on(&jobs, job_changed);
    Box::new(CronJobs { cron_jobs, jobs })
}

fn job_changed(change: &Change<JobView>, queue: &WorkQueue<Key>) {
    for job in change.states() {
        let is_cron_job = |owner: &&meta::OwnerReference| owner.kind == kind::CRON_JOBS.kind;
        if let Some(owner) = job.meta.controller().filter(is_cron_job) {
            queue.add(Key::new(&job.meta.namespace, &owner.name));
        }
    }
}

impl Room for CronJobs {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let Some(item) = self.cron_jobs.get_key(key) else { return Ok(Plan::nothing()) };
        let cron_job: CronJob = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let jobs = self.jobs.controlled_by(&item.meta.uid);
        let owner = Owner::new(kind::CRON_JOBS, resource::CRON_JOBS, &item.meta);
        Ok(plan::plan(Observed { owner, cron_job, jobs }, now))
    }
}
