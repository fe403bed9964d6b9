//! A Deployment's status: counts over its sets, and the three conditions.

use super::{Deployment, Set};
use base::Timestamp;
use meta::time;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const FAILURE: &str = "ReplicaFailure";

pub(super) const PAUSED: &str = "DeploymentPaused";
const NEW_AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";

/// A status being worked out.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub value: Value,
    pub now: Timestamp,
}

/// A condition as it is set.
pub(super) struct Said<'a> {
    pub kind: &'a str,
    pub status: &'a str,
    pub reason: &'a str,
    pub message: String,
}

impl Draft {
    pub fn of(deployment: &Deployment, now: Timestamp) -> Self {
        let mut value = deployment.status.clone();
        if !value.is_object() {
            value = json!({});
        }
        if !value["conditions"].is_array() {
            value["conditions"] = json!([]);
        }
        Draft { value, now }
    }

    fn number(&self, field: &str) -> i64 {
        self.value[field].as_i64().unwrap_or(0)
    }

    pub fn condition(&self, kind: &str) -> Option<&Value> {
        self.value["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
    }

    pub fn remove(&mut self, kind: &str) {
        if let Some(list) = self.value["conditions"].as_array_mut() {
            list.retain(|condition| condition["type"] != kind);
        }
    }

    /// Sets a condition unless it stands with this status and reason already.
    pub fn set(&mut self, said: Said<'_>) {
        let standing = self.condition(said.kind);
        if standing.is_some_and(|old| old["status"] == said.status && old["reason"] == said.reason) {
            return;
        }
        self.force(said);
    }

    /// Sets a condition even if only its message and update time are new.
    fn force(&mut self, said: Said<'_>) {
        let now = json!(time::format(self.now));
        let standing = self.condition(said.kind).filter(|old| old["status"] == said.status);
        let since = standing.map_or_else(|| now.clone(), |old| old["lastTransitionTime"].clone());
        let new = json!({
            "type": said.kind, "status": said.status, "lastUpdateTime": now, "lastTransitionTime": since,
            "reason": said.reason, "message": said.message,
        });
        self.remove(said.kind);
        if let Some(list) = self.value["conditions"].as_array_mut() {
            list.push(new);
        }
    }

    /// Counts over all sets, and whether enough pods are available.
    pub fn count(&mut self, deployment: &Deployment, sets: &[&Set], new: Option<&Set>) {
        let sum = |field: fn(&Set) -> i64| sets.iter().map(|set| field(set)).sum::<i64>();
        let available = sum(|set| set.status.available_replicas);
        let unavailable = (sum(|set| set.spec.replicas) - available).max(0);
        let numbers = [
            ("observedGeneration", deployment.metadata.generation),
            ("replicas", sum(|set| set.status.replicas)),
            ("updatedReplicas", new.map_or(0, |set| set.status.replicas)),
            ("readyReplicas", sum(|set| set.status.ready_replicas)),
            ("availableReplicas", available),
            ("unavailableReplicas", unavailable),
            ("terminatingReplicas", sum(|set| set.status.terminating_replicas)),
        ];
        for (field, number) in numbers {
            self.value[field] = json!(number);
        }
        let enough = available >= deployment.spec.replicas - deployment.max_unavailable();
        let (status, reason, message) = match enough {
            true => ("True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
            false => ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."),
        };
        self.set(Said { kind: AVAILABLE, status, reason, message: message.to_owned() });
    }

    /// The rollout's progress, measured against the status before.
    pub fn follow_rollout(&mut self, deployment: &Deployment, sets: &[&Set], new: Option<&Set>) {
        let Some(deadline) = deployment.deadline() else {
            self.remove(PROGRESSING);
            return self.copy_failures(sets, new);
        };
        let reason = self.condition(PROGRESSING).map(|condition| condition["reason"].clone()).unwrap_or_default();
        let settled = self.number("replicas") == self.number("updatedReplicas") && reason == NEW_AVAILABLE;
        let what = match new {
            Some(set) => format!("ReplicaSet \"{}\"", set.metadata.name),
            None => format!("Deployment \"{}\"", deployment.metadata.name),
        };
        let kind = PROGRESSING;
        if settled {
        } else if self.is_complete(deployment) {
            let message = format!("{what} has successfully progressed.");
            self.set(Said { kind, status: "True", reason: NEW_AVAILABLE, message });
        } else if self.has_progressed(deployment) {
            self.force(Said {
                kind,
                status: "True",
                reason: "ReplicaSetUpdated",
                message: format!("{what} is progressing."),
            });
        } else if self.has_timed_out(deadline) {
            let message = format!("{what} has timed out progressing.");
            self.set(Said { kind, status: "False", reason: TIMED_OUT, message });
        }
        self.copy_failures(sets, new);
    }

    pub fn is_complete(&self, deployment: &Deployment) -> bool {
        let wanted = deployment.spec.replicas;
        let all = ["updatedReplicas", "replicas", "availableReplicas"];
        all.iter().all(|field| self.number(field) == wanted)
            && self.number("observedGeneration") >= deployment.metadata.generation
    }

    fn has_progressed(&self, deployment: &Deployment) -> bool {
        let before = Draft { value: deployment.status.clone(), now: self.now };
        let old_pods = |status: &Draft| status.number("replicas") - status.number("updatedReplicas");
        let more = |field| self.number(field) > before.number(field);
        more("updatedReplicas")
            || more("readyReplicas")
            || more("availableReplicas")
            || old_pods(self) < old_pods(&before)
    }

    fn has_timed_out(&self, deadline: i64) -> bool {
        let Some(condition) = self.condition(PROGRESSING) else { return false };
        if condition["reason"] == TIMED_OUT {
            return true;
        }
        condition["reason"] != NEW_AVAILABLE && self.left(deadline).is_some_and(|left| left.is_negative())
    }

    /// How long progress may still take.
    fn left(&self, deadline: i64) -> Option<jiff::SignedDuration> {
        let updated = self.condition(PROGRESSING)?["lastUpdateTime"].as_str()?;
        let due = time::parse(updated).ok()?.checked_add(jiff::SignedDuration::from_secs(deadline)).ok()?;
        Some(due.duration_since(self.now))
    }

    /// When to look whether the rollout has taken too long.
    pub fn check_again(&self, deployment: &Deployment) -> Option<Duration> {
        let deadline = deployment.deadline()?;
        let over = self.condition(PROGRESSING)?["reason"] == TIMED_OUT;
        if over || self.is_complete(deployment) {
            return None;
        }
        let left = Duration::try_from(self.left(deadline)?).unwrap_or_default();
        Some(left + Duration::from_secs(1))
    }

    /// A set that cannot make its pods speaks for the Deployment, the new one before others.
    fn copy_failures(&mut self, sets: &[&Set], new: Option<&Set>) {
        let failure = |set: &Set| {
            let list = set.status.conditions.as_array()?;
            list.iter().find(|condition| condition["type"] == FAILURE).cloned()
        };
        let found = new.and_then(failure).or_else(|| sets.iter().find_map(|set| failure(set)));
        let Some(found) = found else { return self.remove(FAILURE) };
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        let (status, reason) = (text("status"), text("reason"));
        self.set(Said { kind: FAILURE, status: &status, reason: &reason, message: text("message") });
    }

    /// Has the pause of a Deployment show, and its end.
    pub fn note_pause(&mut self, deployment: &Deployment) {
        let reason = self.condition(PROGRESSING).map(|condition| condition["reason"].clone()).unwrap_or_default();
        if deployment.deadline().is_none() || reason == TIMED_OUT {
            return;
        }
        let (kind, status) = (PROGRESSING, "Unknown");
        if deployment.spec.paused && reason != PAUSED {
            self.set(Said { kind, status, reason: PAUSED, message: "Deployment is paused".to_owned() });
        } else if !deployment.spec.paused && reason == PAUSED {
            let reason = "DeploymentResumed";
            self.set(Said { kind, status, reason, message: "Deployment is resumed".to_owned() });
        }
    }

    /// What to write, if anything differs from what stands: the server leaves zeros out.
    pub fn changes(&self, deployment: &Deployment) -> Option<Value> {
        let old = &deployment.status;
        let fields = self.value.as_object()?;
        let same = |name: &str, value: &Value| match value {
            Value::Number(number) => number.as_i64() == Some(old[name].as_i64().unwrap_or(0)),
            Value::Array(list) if list.is_empty() => old[name].as_array().is_none_or(Vec::is_empty),
            value => *value == old[name],
        };
        let changed: serde_json::Map<String, Value> =
            fields.iter().filter(|(name, value)| !same(name, value)).map(|(n, v)| (n.clone(), v.clone())).collect();
        (!changed.is_empty()).then_some(Value::Object(changed))
    }
}
