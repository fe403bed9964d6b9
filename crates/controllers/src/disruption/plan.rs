//! A budget's new status from what is there. Pure (upstream's `disruption.go`).

use super::DISRUPTION_TIMEOUT;
use super::scale::Expected;
use crate::action::{Action, Plan, Update};
use crate::amount::{self, Round};
use crate::go_text;
use crate::kinds::{kind, resource};
use crate::views::PodView;
use base::Timestamp;
use client::events::ObjectRef;
use client::{Item, Key};
use jiff::SignedDuration;
use meta::conditions::{self, Condition};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

type Pods = [Arc<Item<PodView>>];

/// What the budget's numbers come to.
struct Counts {
    expected: i64,
    desired: i64,
    unmanaged: bool,
}

pub fn plan(budget: &Value, pods: &Pods, scale: &dyn Fn(&Pods) -> Result<Expected, String>, now: Timestamp) -> Plan {
    let about = about(budget);
    let counts = match counts(budget, pods, scale) {
        Ok(counts) => counts,
        Err(why) => return fail_safe(budget, &about, &why, now),
    };
    let Disrupted { kept: disrupted, overdue, next } = disrupted(budget, pods, now);
    let healthy = pods
        .iter()
        .filter(|pod| pod.view.ready && !pod.meta.is_deleting() && !disrupted.contains_key(&pod.meta.name))
        .count();
    let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
    let allowed = if counts.expected > 0 { (healthy - counts.desired).max(0) } else { 0 };
    let mut status = json!({
        "currentHealthy": healthy, "desiredHealthy": counts.desired, "expectedPods": counts.expected,
        "disruptionsAllowed": allowed, "observedGeneration": budget["metadata"]["generation"],
        "conditions": budget["status"]["conditions"],
    });
    if !disrupted.is_empty() {
        status["disruptedPods"] = Value::Object(disrupted);
    }
    set_condition(&mut status, allowed, now);
    let mut actions: Vec<Action> = overdue.iter().map(|pod| not_deleted(budget, pod)).collect();
    if is_new(&budget["status"], &status) {
        if pods.is_empty() {
            actions.push(Action::event(&about, false, "NoPods", "No matching pods found"));
        }
        if counts.unmanaged {
            actions.push(Action::event(&about, true, "UnmanagedPods", unmanaged(budget)));
        }
        actions.push(update(budget, status));
    }
    Plan::of(actions).again(next)
}

fn about(budget: &Value) -> ObjectRef {
    let meta = serde_json::from_value(budget["metadata"].clone()).unwrap_or_default();
    ObjectRef::of(&kind::DISRUPTION_BUDGETS, &meta)
}

/// Whether what counts is what the pods' controllers want, not the pods there are.
pub fn counts_scale(budget: &Value) -> bool {
    let spec = &budget["spec"];
    !spec["maxUnavailable"].is_null() || spec["minAvailable"].is_string()
}

fn counts(budget: &Value, pods: &Pods, scale: &dyn Fn(&Pods) -> Result<Expected, String>) -> Result<Counts, String> {
    let spec = &budget["spec"];
    let here = i64::try_from(pods.len()).unwrap_or(i64::MAX);
    if !spec["maxUnavailable"].is_null() {
        let Expected { count, unmanaged } = scale(pods)?;
        let unavailable = amount::of(&spec["maxUnavailable"], count, Round::Up).unwrap_or(0);
        return Ok(Counts { expected: count, desired: (count - unavailable).max(0), unmanaged: !unmanaged.is_empty() });
    }
    if let Some(number) = spec["minAvailable"].as_i64() {
        return Ok(Counts { expected: here, desired: number, unmanaged: false });
    }
    if spec["minAvailable"].is_string() {
        let Expected { count, unmanaged } = scale(pods)?;
        let desired = amount::of(&spec["minAvailable"], count, Round::Up).unwrap_or(0);
        return Ok(Counts { expected: count, desired, unmanaged: !unmanaged.is_empty() });
    }
    Ok(Counts { expected: 0, desired: 0, unmanaged: false })
}

/// Pods that evictions have taken and that still stand.
struct Disrupted {
    kept: Map<String, Value>,
    /// They stand too long.
    overdue: Vec<Arc<Item<PodView>>>,
    /// When to look again.
    next: Option<Duration>,
}

fn disrupted(budget: &Value, pods: &Pods, now: Timestamp) -> Disrupted {
    let (mut kept, mut overdue, mut next) = (Map::new(), Vec::new(), None);
    for (name, at) in budget["status"]["disruptedPods"].as_object().into_iter().flatten() {
        let Some(pod) = pods.iter().find(|pod| pod.meta.name == *name && !pod.meta.is_deleting()) else { continue };
        let since = at.as_str().and_then(|text| meta::time::parse(text).ok()).unwrap_or(now);
        let left = DISRUPTION_TIMEOUT - now.duration_since(since);
        if left <= SignedDuration::ZERO {
            overdue.push(pod.clone());
            continue;
        }
        kept.insert(name.clone(), at.clone());
        let left = Duration::try_from(left).unwrap_or_default();
        next = Some(next.map_or(left, |next: Duration| next.min(left)));
    }
    Disrupted { kept, overdue, next }
}

fn not_deleted(budget: &Value, pod: &Item<PodView>) -> Action {
    let key = key(budget);
    let message = format!("Pod was expected by PDB {}/{} to be deleted but it wasn't", key.namespace(), key.name());
    Action::event(&ObjectRef::of(&kind::PODS, &pod.meta), true, "NotDeleted", message)
}

fn unmanaged(budget: &Value) -> String {
    format!(
        "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the status \
         of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods \
         please set \".spec.minAvailable\" field of the PDB to an integer value.",
        go_text::selector(&budget["spec"]["selector"])
    )
}

/// Nothing may be disrupted while it is unknown what should be there.
fn fail_safe(budget: &Value, about: &ObjectRef, why: &str, now: Timestamp) -> Plan {
    let mut status = budget["status"].clone();
    status["disruptionsAllowed"] = json!(0);
    let condition = Condition {
        kind: "DisruptionAllowed",
        status: "False",
        reason: "SyncFailed",
        message: why,
        observed_generation: budget["status"]["observedGeneration"].as_i64().unwrap_or(0),
    };
    conditions::set(&mut status["conditions"], condition, now);
    if !is_new(&budget["status"], &status) {
        return Plan::nothing();
    }
    let message = format!("Failed to calculate the number of expected pods: {why}");
    let event = Action::event(about, true, "CalculateExpectedPodCountFailed", message);
    Plan::of(vec![event, update(budget, status)])
}

fn set_condition(status: &mut Value, allowed: i64, now: Timestamp) {
    let (is, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let generation = status["observedGeneration"].as_i64().unwrap_or(0);
    let condition =
        Condition { kind: "DisruptionAllowed", status: is, reason, message: "", observed_generation: generation };
    conditions::set(&mut status["conditions"], condition, now);
}

/// Absent, null and empty are the same here: the server leaves out what is empty.
fn is_new(old: &Value, new: &Value) -> bool {
    let fields = new.as_object().into_iter().flatten();
    let changed = |(name, value): (&String, &Value)| match value {
        Value::Null => false,
        Value::Array(_) if name == "conditions" => !same_conditions(&old["conditions"], value),
        value => old[name.as_str()] != *value && !(old[name.as_str()].is_null() && *value == json!(0)),
    };
    let forgotten =
        new["disruptedPods"].is_null() && old["disruptedPods"].as_object().is_some_and(|old| !old.is_empty());
    fields.into_iter().any(changed) || forgotten || old.is_null()
}

fn same_conditions(old: &Value, new: &Value) -> bool {
    let plain = |conditions: &Value| {
        let mut conditions = conditions.clone();
        for condition in conditions.as_array_mut().into_iter().flatten() {
            if condition["message"].is_null() {
                condition["message"] = json!("");
            }
        }
        conditions
    };
    plain(old) == plain(new)
}

fn key(budget: &Value) -> Key {
    let text = |field: &str| budget["metadata"][field].as_str().unwrap_or_default();
    Key::new(text("namespace"), text("name"))
}

/// The whole budget at the version it was read at: an eviction that came between must not be lost.
fn update(budget: &Value, status: Value) -> Action {
    let mut object = budget.clone();
    object["status"] = status;
    Action::Update(Update {
        resource: resource::DISRUPTION_BUDGETS,
        key: key(budget),
        subresource: Some("status"),
        object,
    })
}
