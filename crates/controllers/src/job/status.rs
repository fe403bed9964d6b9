//! A job's status as it is to be written: its conditions, and what of it changed.

use super::Job;
use crate::action::{Action, Patch};
use crate::ownership::Owner;
use base::Timestamp;
use meta::{conditions, time};
use serde_json::{Map, Value, json};

/// Why a job ends, told first by a condition that announces the end and then by the one that it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ending {
    pub fails: bool,
    pub reason: String,
    pub message: String,
}

impl Ending {
    pub fn success(reason: &str, message: impl Into<String>) -> Self {
        Ending { fails: false, reason: reason.to_owned(), message: message.into() }
    }

    pub fn failure(reason: &str, message: impl Into<String>) -> Self {
        Ending { fails: true, reason: reason.to_owned(), message: message.into() }
    }

    /// The end that the status announced before.
    pub fn announced(status: &Value) -> Option<Self> {
        let found = |kind: &str| {
            conditions::find(&status["conditions"], kind).filter(|condition| condition["status"] == "True")
        };
        let read = |condition: &Value, fails: bool| {
            let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
            Ending { fails, reason: text("reason"), message: text("message") }
        };
        let success = found("SuccessCriteriaMet").map(|condition| read(condition, false));
        success.or_else(|| found("FailureTarget").map(|condition| read(condition, true)))
    }

    fn herald(&self) -> &'static str {
        if self.fails { "FailureTarget" } else { "SuccessCriteriaMet" }
    }
}

/// Sets a condition; a new one that is not true is as good as none. Says whether anything changed.
pub(super) fn set(status: &mut Value, kind: &str, is_true: bool, reason: &str, message: &str, now: Timestamp) -> bool {
    let word = if is_true { "True" } else { "False" };
    let at = time::format(now);
    let new = json!({
        "type": kind, "status": word, "lastProbeTime": at, "lastTransitionTime": at,
        "reason": reason, "message": message,
    });
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(list) = status["conditions"].as_array_mut() else { return false };
    match list.iter_mut().find(|condition| condition["type"] == kind) {
        Some(old) if old["status"] == word && old["reason"] == reason && old["message"] == message => false,
        Some(old) => {
            *old = new;
            true
        }
        None if is_true => {
            list.push(new);
            true
        }
        None => false,
    }
}

/// Announces the end.
pub(super) fn announce(status: &mut Value, ending: &Ending, now: Timestamp) {
    if conditions::find(&status["conditions"], ending.herald()).is_none() {
        set(status, ending.herald(), true, &ending.reason, &ending.message, now);
    }
}

/// Makes the end known, once every pod is counted and gone; the Event that tells of it.
pub(super) fn conclude(status: &mut Value, ending: &Ending, job: &Job, owner: &Owner, now: Timestamp) -> Vec<Action> {
    let about = owner.about(&job.metadata);
    let kind = if ending.fails { "Failed" } else { "Complete" };
    set(status, kind, true, &ending.reason, &ending.message, now);
    if ending.fails {
        let reason = REASONS.iter().copied().find(|reason| *reason == ending.reason).unwrap_or("Failed");
        return vec![Action::event(&about, true, reason, ending.message.clone())];
    }
    status["completionTime"] = json!(time::format(now));
    let mut events = Vec::new();
    let surplus = job.spec.completions.is_some_and(|wanted| status["succeeded"].as_i64().unwrap_or(0) > wanted);
    if surplus {
        let message = "Too many succeeded pods running after completion count reached";
        events.push(Action::event(&about, true, "TooManySucceededPods", message));
    }
    events.push(Action::event(&about, false, "Completed", "Job completed"));
    events
}

/// Why jobs fail.
const REASONS: &[&str] =
    &["BackoffLimitExceeded", "DeadlineExceeded", "PodFailurePolicy", "MaxFailedIndexesExceeded", "FailedIndexes"];

/// The patch from one status to the next, only over the version it was made from: a job that moved on
/// meanwhile would count its pods twice.
pub(super) fn patch(owner: &Owner, version: &str, old: &Value, new: &Value) -> Option<Action> {
    let (old, empty) = (old.as_object(), Map::new());
    let new = new.as_object()?;
    let old = old.unwrap_or(&empty);
    let mut changed = Map::new();
    for (field, value) in new {
        let before = old.get(field).unwrap_or(&Value::Null);
        // These are left out where they are zero.
        let silent = before.is_null() && *value == 0 && ["active", "succeeded", "failed"].contains(&field.as_str());
        if before != value && !silent {
            changed.insert(field.clone(), value.clone());
        }
    }
    for field in old.keys().filter(|field| !new.contains_key(*field)) {
        changed.insert(field.clone(), Value::Null);
    }
    if let Some(lists) = changed.get_mut("uncountedTerminatedPods").and_then(Value::as_object_mut) {
        for name in ["succeeded", "failed"] {
            lists.entry(name).or_insert(Value::Null);
        }
    }
    if changed.is_empty() {
        return None;
    }
    let body = json!({"metadata": {"resourceVersion": version}, "status": changed});
    Some(Action::Patch(Patch::merge(&owner.resource, &owner.key, body).subresource("status")))
}
