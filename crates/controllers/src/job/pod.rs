//! What a job reads from its pods.

use super::policy::Verdict;
use super::{Job, backoff};
use crate::action::Patch;
use crate::kinds::resource;
use crate::views::{JOB_TRACKING, Phase, PodView};
use base::Timestamp;
use client::Item;
use jiff::SignedDuration;
use meta::time;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

pub(super) type Pod = Arc<Item<PodView>>;

/// It is yet to be counted.
pub(super) fn is_tracked(pod: &Pod) -> bool {
    pod.meta.finalizers.iter().any(|one| one == JOB_TRACKING)
}

pub(super) fn is_active(pod: &Pod) -> bool {
    !pod.view.is_finished() && !pod.meta.is_deleting()
}

pub(super) fn is_terminating(pod: &Pod) -> bool {
    !pod.view.is_finished() && pod.meta.is_deleting()
}

pub(super) fn is_failed(pod: &Pod, job: &Job) -> bool {
    if pod.view.phase == Phase::Failed {
        return true;
    }
    // A pod that is deleted may never come to say how it ended.
    let waits = job.waits_for_failed() || job.spec.pod_failure_policy.is_some();
    !waits && pod.meta.is_deleting() && pod.view.phase != Phase::Succeeded
}

pub(super) fn index(pod: &Pod) -> Option<i64> {
    pod.meta.annotations.get(INDEX)?.parse().ok().filter(|index| *index >= 0)
}

/// Whether a pod of an indexed job has an index there is; pods of others need none.
pub(super) fn is_placed(pod: &Pod, job: &Job) -> bool {
    job.indexed().is_none_or(|completions| index(pod).is_some_and(|index| index < completions))
}

fn number(pod: &Pod, annotation: &str) -> i64 {
    pod.meta.annotations.get(annotation).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The pod's status, read anew: only ends are looked at so closely.
fn status(pod: &Pod) -> Value {
    pod.decode::<Value>().map(|mut pod| pod["status"].take()).unwrap_or_default()
}

/// What the job's policy makes of a failed pod.
pub(super) fn judge(pod: &Pod, job: &Job) -> Verdict {
    match &job.spec.pod_failure_policy {
        Some(policy) => policy.judge(&pod.meta.namespace, &pod.meta.name, &status(pod)),
        None => Verdict::Counts,
    }
}

/// Whether its end was the last that its index may have.
pub(super) fn fails_index(pod: &Pod, job: &Job) -> bool {
    match judge(pod, job) {
        Verdict::FailsIndex => true,
        Verdict::Ignored => false,
        _ => number(pod, FAILURES) >= job.spec.backoff_limit_per_index.unwrap_or(i64::MAX),
    }
}

/// The annotations of the pod that comes after these failures of its index.
pub(super) fn failure_counts(before: Option<&Pod>, job: &Job) -> [(&'static str, i64); 2] {
    let Some(before) = before else { return [(FAILURES, 0), (IGNORED_FAILURES, 0)] };
    let ignored = judge(before, job) == Verdict::Ignored;
    [
        (FAILURES, number(before, FAILURES) + i64::from(!ignored)),
        (IGNORED_FAILURES, number(before, IGNORED_FAILURES) + i64::from(ignored)),
    ]
}

/// All failures of its index up to it, those that count and those that do not.
pub(super) fn failures(pod: &Pod) -> i64 {
    number(pod, FAILURES) + number(pod, IGNORED_FAILURES) + 1
}

/// What is left to wait before the next pod of its index.
pub(super) fn left(pod: &Pod, now: Timestamp) -> Option<SignedDuration> {
    backoff::left(u32::try_from(failures(pod)).unwrap_or(u32::MAX), ended(pod, now), now)
}

/// When a pod ended, as far as can be told.
pub(super) fn ended(pod: &Pod, now: Timestamp) -> Timestamp {
    let status = status(pod);
    let at = |value: &Value| value.as_str().and_then(|text| time::parse(text).ok());
    let containers = status["containerStatuses"].as_array().into_iter().flatten();
    let finished = containers.filter_map(|container| at(&container["state"]["terminated"]["finishedAt"])).max();
    let deleted = || {
        let due = time::parse(pod.meta.deletion_timestamp.as_deref()?).ok()?;
        let grace = SignedDuration::from_secs(pod.meta.deletion_grace_period_seconds.unwrap_or(0));
        due.checked_sub(grace).ok()
    };
    finished.or_else(deleted).or(pod.view.ready_since).unwrap_or(now).min(now)
}

/// How often the containers of a pod restarted.
pub(super) fn restarts(pod: &Pod) -> i64 {
    let status = status(pod);
    let lists = ["initContainerStatuses", "containerStatuses"];
    let all = lists.iter().flat_map(|list| status[*list].as_array().into_iter().flatten());
    all.map(|container| container["restartCount"].as_i64().unwrap_or(0)).sum()
}

/// Lets a pod go that has been counted.
pub(super) fn release(pod: &Pod) -> Patch {
    let body = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": [JOB_TRACKING], "uid": pod.meta.uid}});
    Patch::strategic(&resource::PODS, &pod.key, body)
}
