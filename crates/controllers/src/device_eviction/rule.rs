//! What a rule's status says of the evictions that it causes, in upstream's words. Pure.

use crate::action::{Action, Patch};
use crate::kinds::resource;
use base::Timestamp;
use client::Key;
use meta::{ObjectMeta, time};
use serde_json::{Value, json};
use std::time::Duration;

const IN_PROGRESS: &str = "EvictionInProgress";
/// A status that follows what happens does so this often at the most.
pub const PERIOD: Duration = Duration::from_secs(10);

/// What is there to be told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Pods that are to go, or would be, and their namespaces.
    pub pods: usize,
    pub namespaces: usize,
    /// Devices that the rule selects: published ones, and ones in use.
    pub published: usize,
    pub allocated: usize,
    /// Pods that went since this controller began.
    pub evicted: u64,
}

/// The condition that stands, if any.
pub fn condition(rule: &Value) -> Option<&Value> {
    meta::conditions::find(&rule["status"]["conditions"], IN_PROGRESS)
}

/// How long to wait before the status is looked at again; None: now is the time.
pub fn wait(rule: &Value, meta: &ObjectMeta, now: Timestamp) -> Option<Duration> {
    let standing = condition(rule).filter(|standing| standing["observedGeneration"] == meta.generation)?;
    let since = time::parse(standing["lastTransitionTime"].as_str()?).ok()?;
    // A clock that was set back must not make the wait longer.
    let passed = Duration::try_from(now.duration_since(since)).unwrap_or(PERIOD);
    PERIOD.checked_sub(passed).filter(|left| !left.is_zero())
}

/// Writes what is new.
pub fn tell(rule: &Value, meta: &ObjectMeta, counts: &Counts, now: Timestamp) -> Vec<Action> {
    let effect = rule["spec"]["taint"]["effect"].as_str().unwrap_or_default();
    let (status, reason, message) = words(effect, counts);
    let mut new = json!({
        "type": IN_PROGRESS, "status": status, "reason": reason, "message": message,
        "observedGeneration": meta.generation,
    });
    let is_told = condition(rule).is_some_and(|standing| {
        let fields = new.as_object().into_iter().flatten();
        fields.into_iter().all(|(name, value)| standing[name] == *value || (standing[name].is_null() && *value == ""))
    });
    if is_told {
        return Vec::new();
    }
    // The time of any change, not only of the status: it is what the next look is counted from.
    new["lastTransitionTime"] = json!(time::format(now));
    let body = json!({"metadata": {"uid": meta.uid}, "status": {"conditions": [new]}});
    let patch = Patch::strategic(&resource::DEVICE_TAINT_RULES, &Key::of(meta), body);
    vec![Action::Patch(patch.subresource("status"))]
}

/// Status, reason and message.
fn words(effect: &str, counts: &Counts) -> (&'static str, &'static str, String) {
    let spaces = many(counts.namespaces, "namespace", "different namespaces");
    let (status, reason, message) = match effect {
        "NoExecute" if counts.pods > 0 => {
            let pods = many(counts.pods, "pod needs", "pods need");
            ("True", "PodsPendingEviction", format!("{pods} to be evicted in {spaces}."))
        }
        "NoExecute" if counts.evicted > 0 => ("False", "Completed", String::new()),
        "NoExecute" => ("False", "NotStarted", String::new()),
        "None" => {
            let published = many(counts.published, "published device", "published devices");
            let allocated = many(counts.allocated, "allocated device", "allocated devices");
            let pods = many(counts.pods, "pod", "pods");
            let message = format!(
                "{published} selected. {allocated} selected. {pods} would be evicted in {spaces} if the effect was \
                 NoExecute. This information will not be updated again. Recreate the DeviceTaintRule to trigger an \
                 update."
            );
            ("False", "NoEffect", message)
        }
        _ => ("False", "OtherEffect", "Eviction only happens for the NoExecute effect.".to_owned()),
    };
    if counts.evicted == 0 {
        return (status, reason, message);
    }
    let went = if counts.evicted == 1 { "1 pod".to_owned() } else { format!("{} pods", counts.evicted) };
    let space = if message.is_empty() { "" } else { " " };
    (status, reason, format!("{message}{space}{went} evicted since starting the controller."))
}

fn many(number: usize, one: &str, more: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {more}") }
}
