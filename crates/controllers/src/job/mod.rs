//! Jobs: pods until enough of them succeeded, each counted exactly once.
//!
//! Looks at Jobs and their pods; creates and deletes pods, and keeps the counts in the Job's status. A
//! finalizer holds every pod until the status knows how it ended, so that no end is missed and none
//! counted twice.

mod backoff;
mod create;
mod indexes;
mod plan;
mod pod;
mod policy;
mod released;
mod status;
mod strays;
mod tally;
#[cfg(test)]
mod tests;

use crate::action::Plan;
use crate::kinds::{kind, resource};
use crate::ownership::{self, Owner};
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::{self, JOB_TRACKING, PodView, SelectorView};
use backoff::{Backoffs, Record};
use base::Timestamp;
use client::{Cache, Change, Item, Key, WorkQueue};
use meta::labels::Selector;
use meta::{ObjectMeta, OwnerReference, conditions};
use policy::{FailurePolicy, SuccessPolicy};
use released::Released;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

pub const DEF: Def = Def {
    name: "job-controller",
    identity: "job-controller",
    component: "job-controller",
    workers: 5,
    retry: (Duration::from_secs(1), Duration::from_secs(60)),
    build,
};

/// The name in managedBy under which a Job is this controller's.
const SELF: &str = "kubernetes.io/job-controller";

/// A job as the plan reads it.
#[derive(Debug, Clone, Deserialize)]
struct Job {
    metadata: ObjectMeta,
    spec: Spec,
    #[serde(default)]
    status: Value,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default = "one")]
    parallelism: i64,
    completions: Option<i64>,
    active_deadline_seconds: Option<i64>,
    #[serde(default = "six")]
    backoff_limit: i64,
    backoff_limit_per_index: Option<i64>,
    max_failed_indexes: Option<i64>,
    #[serde(default)]
    completion_mode: String,
    #[serde(default)]
    suspend: bool,
    pod_failure_policy: Option<FailurePolicy>,
    success_policy: Option<SuccessPolicy>,
    #[serde(default)]
    pod_replacement_policy: String,
    managed_by: Option<String>,
    #[serde(default)]
    template: Value,
}

fn one() -> i64 {
    1
}

fn six() -> i64 {
    6
}

impl Job {
    /// The number of indexes; None: its pods are all the same.
    fn indexed(&self) -> Option<i64> {
        self.spec.completions.filter(|_| self.spec.completion_mode == "Indexed")
    }

    fn is_finished(&self) -> bool {
        ["Complete", "Failed"].iter().any(|kind| conditions::is_true(&self.status["conditions"], kind))
    }

    /// Whether pods on their way out hold their place until they are gone.
    fn waits_for_failed(&self) -> bool {
        self.spec.pod_replacement_policy == "Failed"
    }
}

/// All that a plan depends on.
struct Observed {
    owner: Owner,
    job: Job,
    selector: Selector,
    /// Its pods and those it might adopt.
    pods: Vec<Arc<Item<PodView>>>,
    /// Failures since the last success.
    record: Record,
    released: Arc<Released>,
}

struct Jobs {
    jobs: Arc<Cache<SelectorView>>,
    pods: Arc<Cache<PodView>>,
    backoffs: Arc<Backoffs>,
    released: Arc<Released>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let jobs = rig.cache::<SelectorView>(&resource::JOBS);
    let pods = rig.cache::<PodView>(&resource::PODS);
    rig.on_itself(&jobs);
    let all = jobs.clone();
    rig.on(&pods, move |change, queue| pod_changed(&all, change, queue));
    Box::new(Jobs { jobs, pods, backoffs: Arc::default(), released: Arc::default() })
}

/// Wakes the job a pod belongs to or left, or that has yet to count it; of a pod that nobody controls,
/// all jobs that match it.
fn pod_changed(jobs: &Cache<SelectorView>, change: &Change<PodView>, queue: &WorkQueue<Key>) {
    for pod in change.states() {
        let owner = pod.meta.controller().filter(|owner| is_job(owner)).map(|owner| &owner.name);
        let tracked = pod.meta.finalizers.iter().any(|one| one == JOB_TRACKING);
        let label = pod.meta.labels.get(views::JOB_NAME).filter(|_| tracked && pod.meta.controller().is_none());
        if let Some(name) = owner.or(label) {
            queue.add(Key::new(&pod.meta.namespace, name));
        }
    }
    ownership::wake_matching(jobs, |view| &view.selector, change, queue);
}

fn is_job(owner: &OwnerReference) -> bool {
    owner.kind == kind::JOBS.kind && owner.api_version.starts_with("batch/")
}

impl Jobs {
    fn observe(&self, item: &Item<SelectorView>) -> Result<Observed, RoomError> {
        let key = &item.key;
        let job: Job = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let selector = item.view.selector.clone();
        let mut pods = self.released.sift(key, self.pods.controlled_by(&item.meta.uid));
        pods.extend(self.pods.orphans_in(key.namespace()).into_iter().filter(|pod| selector.matches(&pod.meta.labels)));
        let owner = Owner::new(kind::JOBS, resource::JOBS, &item.meta).with_finalizer(JOB_TRACKING);
        let record = self.backoffs.of(key, &item.meta.uid);
        Ok(Observed { owner, job, selector, pods, record, released: self.released.clone() })
    }
}

impl Room for Jobs {
    fn reconcile(&self, key: &Key, now: Timestamp) -> Result<Plan, RoomError> {
        let item = self.jobs.get_key(key);
        let strays = strays::find(&self.pods, key, item.as_deref());
        if !strays.is_empty() {
            return Ok(strays::release(key, strays));
        }
        let Some(item) = item else {
            self.backoffs.forget(key);
            self.released.sift(key, Vec::new());
            return Ok(Plan::nothing());
        };
        let observed = self.observe(&item)?;
        if observed.job.spec.managed_by.as_deref().is_some_and(|manager| manager != SELF) {
            return Ok(Plan::nothing());
        }
        if observed.job.is_finished() {
            self.backoffs.forget(key);
            return Ok(strays::release_finished(&observed));
        }
        Ok(plan::plan(observed, &self.backoffs, now))
    }
}
