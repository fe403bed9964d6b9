//! What a pod needs in all: at its worst moment, with its overhead, while a resize is under way.

use crate::amounts::{Amounts, add, amounts, raise};
use base::Timestamp;
use meta::{Quantity, quantity::Format};
use serde_json::Value;

/// Requested by the pod as it is specified, or as it runs where that is more.
pub fn requests(pod: &Value) -> Amounts {
    total(pod, "requests")
}

/// The pod's limits, likewise.
pub fn limits(pod: &Value) -> Amounts {
    total(pod, "limits")
}

/// Containers and sidecars together, or an init container beside the sidecars started before it, the
/// larger; pod-level resources where given; and the overhead.
fn total(pod: &Value, field: &str) -> Amounts {
    let spec = &pod["spec"];
    let mut running = Amounts::new();
    for container in list(spec, "containers") {
        add(&mut running, &of_container(pod, container, "containerStatuses", field));
    }
    let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
    for container in list(spec, "initContainers") {
        let own = of_container(pod, container, "initContainerStatuses", field);
        if container["restartPolicy"] == "Always" {
            add(&mut running, &own);
            add(&mut sidecars, &own);
            raise(&mut peak, &sidecars);
        } else {
            let mut moment = sidecars.clone();
            add(&mut moment, &own);
            raise(&mut peak, &moment);
        }
    }
    raise(&mut running, &peak);
    for (name, amount) in amounts(&spec["resources"][field]) {
        running.insert(name, amount);
    }
    for (name, amount) in amounts(&spec["overhead"]) {
        // A limit that is not set stays unset.
        if field == "requests" || running.contains_key(&name) {
            *running.entry(name).or_insert(Quantity::ZERO) += amount;
        }
    }
    running
}

/// A container that is being resized counts what it has until it has what it wants.
fn of_container(pod: &Value, container: &Value, statuses: &str, field: &str) -> Amounts {
    let mut wanted = amounts(&container["resources"][field]);
    let status = list(&pod["status"], statuses).iter().find(|status| status["name"] == container["name"]);
    let Some(status) = status.filter(|status| status["resources"].is_object()) else { return wanted };
    let infeasible = list(&pod["status"], "conditions").iter().any(|condition| {
        condition["type"] == "PodResizePending" && condition["status"] == "True" && condition["reason"] == "Infeasible"
    });
    let mut actual = amounts(&status["resources"][field]);
    if field == "requests" {
        raise(&mut actual, &amounts(&status["allocatedResources"]));
    }
    if infeasible && !actual.is_empty() {
        return actual;
    }
    raise(&mut wanted, &actual);
    wanted
}

/// What a pod counts. One that has ended, or should have by now, counts no more than an object.
pub(crate) fn usage(pod: &Value, now: Timestamp) -> Amounts {
    let one = Quantity::new(1, Format::DecimalSi);
    let mut used = Amounts::from([("count/pods".to_owned(), one)]);
    if is_over(pod, now) {
        return used;
    }
    used.insert("pods".to_owned(), one);
    for (name, amount) in requests(pod) {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-") {
            used.insert(name.clone(), amount);
            used.insert(format!("requests.{name}"), amount);
        } else if is_extended(&name) {
            used.insert(format!("requests.{name}"), amount);
        }
    }
    for (name, amount) in limits(pod) {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            used.insert(format!("limits.{name}"), amount);
        }
    }
    used
}

/// Resources of other people's domains.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

fn is_over(pod: &Value, now: Timestamp) -> bool {
    if matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
        return true;
    }
    let metadata = &pod["metadata"];
    let deletion = metadata["deletionTimestamp"].as_str().and_then(|text| meta::time::parse(text).ok());
    match (deletion, metadata["deletionGracePeriodSeconds"].as_i64()) {
        (Some(deletion), Some(grace)) => {
            let until = deletion.checked_add(jiff::SignedDuration::from_secs(grace)).unwrap_or(deletion);
            now > until
        }
        _ => false,
    }
}

/// Kinds of resources that every container must state where a quota limits them.
const MUST_BE_STATED: [&str; 6] = ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];

/// Which containers leave out what quotas on these names require; None: all state it.
pub(crate) fn unstated(pod: &Value, required: &[&String]) -> Option<String> {
    let spec = &pod["spec"];
    let states = |of: &Value, name: &str| {
        let (field, resource) = match name.split_once('.') {
            Some((field, resource)) => (field, resource),
            None => ("requests", name),
        };
        !of["resources"][field][resource].is_null()
    };
    let mut missing = Vec::new();
    for name in MUST_BE_STATED.iter().filter(|name| required.iter().any(|required| required == *name)) {
        if states(spec, name) {
            continue;
        }
        let all = list(spec, "containers").iter().chain(list(spec, "initContainers"));
        let mut silent: Vec<&str> = all
            .filter(|container| !states(container, name))
            .filter_map(|container| container["name"].as_str())
            .collect();
        silent.sort_unstable();
        silent.dedup();
        if !silent.is_empty() {
            missing.push(format!("{name} for: {}", silent.join(",")));
        }
    }
    (!missing.is_empty()).then(|| format!("must specify {}", missing.join("; ")))
}

pub(crate) fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}
