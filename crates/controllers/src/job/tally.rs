//! The count of a job's pods: those that run, those that ended and are yet to be written down, and
//! which of these may go once they are.

use super::Job;
use super::backoff::Record;
use super::indexes::Indexes;
use super::pod::{self, Pod};
use super::policy::Verdict;
use crate::views::Phase;
use base::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Ends written down in one go.
const MAX_UNCOUNTED: usize = 500;

/// Pods that ended and are noted by name in the status, but still there.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Uncounted {
    pub succeeded: BTreeSet<String>,
    pub failed: BTreeSet<String>,
}

impl Uncounted {
    fn read(status: &Value) -> Self {
        let list = |field: &str| {
            let uids = status["uncountedTerminatedPods"][field].as_array();
            uids.into_iter().flatten().filter_map(|uid| uid.as_str().map(str::to_owned)).collect()
        };
        Uncounted { succeeded: list("succeeded"), failed: list("failed") }
    }

    pub fn is_empty(&self) -> bool {
        self.succeeded.is_empty() && self.failed.is_empty()
    }

    pub fn to_json(&self) -> Value {
        let mut lists = json!({});
        for (name, uids) in [("succeeded", &self.succeeded), ("failed", &self.failed)] {
            if !uids.is_empty() {
                lists[name] = json!(uids);
            }
        }
        lists
    }

    /// Forgets those that are gone for good; says how many succeeded and failed.
    pub fn count(&mut self, is_gone: impl Fn(&String) -> bool) -> (i64, i64) {
        let take = |list: &mut BTreeSet<String>| {
            let before = list.len();
            list.retain(|uid| !is_gone(uid));
            i64::try_from(before - list.len()).unwrap_or(i64::MAX)
        };
        (take(&mut self.succeeded), take(&mut self.failed))
    }
}

pub(super) struct Tally {
    pub pods: Vec<Pod>,
    pub active: Vec<Pod>,
    pub terminating: i64,
    /// Those the status counts already.
    pub counted: (i64, i64),
    pub uncounted: Uncounted,
    pub succeeded: i64,
    pub failed: i64,
    /// The indexes that the status says succeeded, and with those that did since.
    pub known: Indexes,
    pub done: Indexes,
    /// None: its indexes cannot fail by themselves.
    pub failed_indexes: Option<Indexes>,
    /// The last failure of each index that waits for its next pod.
    pub delayed: BTreeMap<i64, Pod>,
    pub record: Record,
}

/// Ends that are written down now, whose pods may go then.
#[derive(Default)]
pub(super) struct Batch {
    pub release: Vec<Pod>,
    /// There are more than fit.
    pub more: bool,
}

impl Tally {
    pub fn of(job: &Job, pods: Vec<Pod>, record: Record, now: Timestamp) -> Self {
        let status = |field: &str| job.status[field].as_i64().unwrap_or(0);
        let mut uncounted = Uncounted::read(&job.status);
        let tracked: BTreeSet<&String> =
            pods.iter().filter(|pod| pod::is_tracked(pod)).map(|pod| &pod.meta.uid).collect();
        let (succeeded, failed) = uncounted.count(|uid| !tracked.contains(uid));
        let counted = (status("succeeded") + succeeded, status("failed") + failed);

        let is_new = |pod: &&Pod, noted: &BTreeSet<String>| {
            pod::is_tracked(pod) && !noted.contains(&pod.meta.uid) && pod::is_placed(pod, job)
        };
        let new_succeeded: Vec<&Pod> =
            pods.iter().filter(|pod| pod.view.phase == Phase::Succeeded && is_new(pod, &uncounted.succeeded)).collect();
        let new_failed: Vec<&Pod> = pods
            .iter()
            .filter(|pod| pod::is_failed(pod, job) && is_new(pod, &uncounted.failed))
            .filter(|pod| pod::judge(pod, job) != Verdict::Ignored)
            .collect();
        let count = |listed: usize| i64::try_from(listed).unwrap_or(i64::MAX);
        let completions = job.indexed();
        let parse = |field: &str| {
            Indexes::parse(job.status[field].as_str().unwrap_or_default(), completions.unwrap_or_default())
        };
        let known = parse("completedIndexes");
        let done = known.with(new_succeeded.iter().filter_map(|pod| pod::index(pod)).filter(|_| completions.is_some()));
        let succeeded = match completions {
            Some(_) => done.total(),
            None => counted.0 + count(uncounted.succeeded.len()) + count(new_succeeded.len()),
        };
        let failed = counted.1 + count(uncounted.failed.len()) + count(new_failed.len());
        let times = |list: &[&Pod]| list.iter().map(|pod| pod::ended(pod, now)).collect::<Vec<_>>();
        let record = record.after(&times(&new_succeeded), &times(&new_failed));
        let by_index = completions.is_some() && job.spec.backoff_limit_per_index.is_some();
        let failed_indexes = by_index.then(|| failed_indexes(job, &parse("failedIndexes"), &done, &pods));
        let active: Vec<Pod> = pods.iter().filter(|pod| pod::is_active(pod)).cloned().collect();
        let delayed =
            failed_indexes.as_ref().map(|failed| delayed(job, failed, &done, &active, &pods)).unwrap_or_default();
        let terminating = count(pods.iter().filter(|pod| pod::is_terminating(pod)).count());
        Tally {
            active,
            terminating,
            counted,
            uncounted,
            succeeded,
            failed,
            known,
            done,
            failed_indexes,
            delayed,
            record,
            pods,
        }
    }

    /// Notes the pods that ended, or that the job's own end makes an end of.
    pub fn note(&mut self, job: &Job, ends: bool, fails: bool) -> Batch {
        let mut batch = Batch::default();
        let mut new = Vec::new();
        for pod in self.pods.iter().filter(|pod| pod::is_tracked(pod)) {
            let failed = pod::is_failed(pod, job);
            let succeeded = pod.view.phase == Phase::Succeeded;
            let waits = pod::index(pod).and_then(|index| self.delayed.get(&index));
            let is_delayed = waits.is_some_and(|last| last.meta.uid == pod.meta.uid);
            if !(ends || job.metadata.is_deleting() || succeeded || (failed && !is_delayed)) {
                continue;
            }
            if batch.release.len() >= MAX_UNCOUNTED {
                batch.more = true;
                break;
            }
            batch.release.push(pod.clone());
            let uid = &pod.meta.uid;
            if !pod::is_placed(pod, job) || self.uncounted.failed.contains(uid) {
                continue;
            }
            if succeeded {
                match pod::index(pod).filter(|_| job.indexed().is_some()) {
                    Some(index) => new.push(index),
                    None => drop(self.uncounted.succeeded.insert(uid.clone())),
                }
            } else if (failed || fails) && pod::judge(pod, job) != Verdict::Ignored {
                self.uncounted.failed.insert(uid.clone());
            }
        }
        self.known = self.known.with(new);
        batch
    }
}

fn failed_indexes(job: &Job, known: &Indexes, done: &Indexes, pods: &[Pod]) -> Indexes {
    let failed = |pod: &&Pod| {
        pod::is_tracked(pod) && pod::is_placed(pod, job) && pod::is_failed(pod, job) && pod::fails_index(pod, job)
    };
    let new = pods.iter().filter(failed).filter_map(pod::index);
    known.with(new.filter(|index| !done.contains(*index)))
}

/// Of each index that is to be tried again and has no running pod, the pod that failed last: it stays
/// until the next is there, as it holds the count of failures.
fn delayed(job: &Job, failed: &Indexes, done: &Indexes, active: &[Pod], pods: &[Pod]) -> BTreeMap<i64, Pod> {
    let running: BTreeSet<i64> = active.iter().filter_map(pod::index).collect();
    let mut last: BTreeMap<i64, Pod> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod::is_tracked(pod) && pod::is_placed(pod, job) && pod::is_failed(pod, job)) {
        let Some(index) = pod::index(pod) else { continue };
        if running.contains(&index) || failed.contains(index) || done.contains(index) {
            continue;
        }
        match last.get(&index) {
            Some(other) if pod::failures(other) >= pod::failures(pod) => {}
            _ => drop(last.insert(index, pod.clone())),
        }
    }
    last
}
