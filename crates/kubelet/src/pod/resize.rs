//! Live resize: cpu and memory of containers that run follow the spec, in place where their policy
//! allows it, by a restart otherwise. What does not fit on the node is told and left as it was.

use super::admit::{self, Demand};
use super::plan::{Kill, KillCause, Plan};
use super::runtime_view::PodRuntime;
use super::spec::{self, PodRef, Slot};
use super::start;
use super::worker::PodState;
use crate::agent::Agent;
use crate::events::Kind;
use crate::{names, resources};
use container::runtime::{ContainerState, ContainerStatus};
use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use serde_json::json;

/// Why a resize has not happened, as the pod's conditions tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// `PodResizePending` or `PodResizeInProgress`.
    pub condition: &'static str,
    pub reason: &'static str,
    pub message: String,
}

/// One container whose resources differ from what it runs with.
struct Change {
    slot: Slot,
    container: Container,
    id: String,
    /// What it ran with so far.
    before: ResourceRequirements,
}

/// Brings what runs to what the spec says. Containers that must restart for it go into the plan.
pub async fn resize(
    agent: &Agent,
    pod: &Pod,
    pod_ref: &PodRef,
    runtime: &PodRuntime,
    todo: &mut Plan,
    state: &mut PodState,
) {
    state.applied.retain(|id, _| runtime.containers.iter().any(|status| status.id == *id));
    let changes = changes(pod, runtime, state);
    if changes.is_empty() || todo.kill_pod {
        agent.defer(&pod_ref.uid, false);
        state.resize = None;
        return;
    }
    let held = refused(agent, pod, pod_ref);
    agent.defer(&pod_ref.uid, held.as_ref().is_some_and(|held| held.reason == "Deferred"));
    if let Some(held) = held {
        tell(agent, pod, pod_ref, state, Some(held));
        return;
    }
    agent.events.pod(pod_ref, None, Kind::Normal, "ResizeStarted", format!("Pod resize started: {}", told(pod, None)));
    let (restarts, in_place): (Vec<Change>, Vec<Change>) = changes.into_iter().partition(needs_restart);
    if let Err(why) = apply(agent, pod, runtime, &in_place).await {
        let held = Held { condition: "PodResizeInProgress", reason: "Error", message: why };
        tell(agent, pod, pod_ref, state, Some(held));
        return;
    }
    for change in in_place {
        state.applied.insert(change.id, change.container.resources.unwrap_or_default());
    }
    for change in restarts {
        let message = format!("Container {} resize requires restart", change.container.name);
        if todo.kill.iter().all(|kill| kill.id != change.id) {
            todo.kill.push(Kill { id: change.id, slot: change.slot, message, cause: KillCause::Changed });
            todo.start.push(change.slot);
        }
    }
    agent.admitted().insert(pod_ref.uid.clone(), Demand::of(pod));
    // It may have shrunk.
    agent.wake_deferred();
    state.resize = None;
    agent.events.pod(
        pod_ref,
        None,
        Kind::Normal,
        "ResizeCompleted",
        format!("Pod resize completed: {}", told(pod, None)),
    );
}

fn changes(pod: &Pod, runtime: &PodRuntime, state: &mut PodState) -> Vec<Change> {
    let mut found = Vec::new();
    for slot in spec::slots(pod).into_iter().filter(|slot| !matches!(slot, Slot::Ephemeral(_))) {
        let Some(container) = spec::container(pod, slot).map(std::borrow::Cow::into_owned) else { continue };
        if matches!(slot, Slot::Init(_)) && !spec::is_sidecar(&container) {
            continue;
        }
        let Some(status) = runtime.latest(&container.name).filter(|one| one.state == ContainerState::Running) else {
            continue;
        };
        let wanted = container.resources.clone().unwrap_or_default();
        let before =
            state.applied.entry(status.id.clone()).or_insert_with(|| known(pod, slot, status, &wanted)).clone();
        if differs(&before, &wanted) {
            found.push(Change { slot, container, id: status.id.clone(), before });
        }
    }
    found
}

/// What a container runs with that this kubelet has not started itself: what was reported of it.
fn known(pod: &Pod, slot: Slot, status: &ContainerStatus, wanted: &ResourceRequirements) -> ResourceRequirements {
    let id = format!("{}://{}", names::RUNTIME, status.id);
    let reported = start::known_status(pod, slot, &status.name).filter(|one| one.container_id.as_deref() == Some(&id));
    reported.and_then(|one| one.resources.clone()).unwrap_or_else(|| wanted.clone())
}

const RESIZABLE: [&str; 2] = ["cpu", "memory"];

fn amount(resources: &ResourceRequirements, name: &str) -> (Option<meta::Quantity>, Option<meta::Quantity>) {
    let own = Some(resources);
    (volumes::fields::request_of(own, name), volumes::fields::limit_of(own, name))
}

fn differs(before: &ResourceRequirements, wanted: &ResourceRequirements) -> bool {
    RESIZABLE.iter().any(|name| amount(before, name) != amount(wanted, name))
}

fn needs_restart(change: &Change) -> bool {
    let wanted = change.container.resources.clone().unwrap_or_default();
    let policies = change.container.resize_policy.iter().flatten();
    let restarts = |name: &str| {
        policies.clone().any(|policy| policy.resource_name == name && policy.restart_policy == "RestartContainer")
    };
    RESIZABLE.iter().any(|name| restarts(name) && amount(&change.before, name) != amount(&wanted, name))
}

/// What can never fit here, or does not fit beside the others now.
fn refused(agent: &Agent, pod: &Pod, pod_ref: &PodRef) -> Option<Held> {
    let demand = Demand::of(pod);
    let admitted = agent.admitted();
    let others: Vec<&Demand> = admitted.iter().filter(|(uid, _)| **uid != pod_ref.uid).map(|(_, one)| one).collect();
    let room = &agent.volumes.allocatable;
    let (reason, refusal) = match (admit::check(&demand, &[], room), admit::check(&demand, &others, room)) {
        (Err(refusal), _) => ("Infeasible", refusal),
        (_, Err(refusal)) => ("Deferred", refusal),
        _ => return None,
    };
    let message = refusal.message.trim_start_matches("Pod was rejected: ").to_owned();
    Some(Held { condition: "PodResizePending", reason, message })
}

/// The pod's own limits bound those of its containers, so they are tried before and set after.
async fn apply(agent: &Agent, pod: &Pod, runtime: &PodRuntime, changes: &[Change]) -> Result<(), String> {
    let Some(sandbox) = runtime.sandboxes.first() else { return Ok(()) };
    let whole = resources::of_pod(pod);
    // Growing needs the room first; when shrinking this may be refused and is done below.
    let first = agent.runtime.update_sandbox_resources(&sandbox.id, whole.clone()).await;
    for change in changes {
        let own = resources::of_container(pod, &change.container, agent.node_memory());
        let done = agent.runtime.update_container_resources(&change.id, own).await;
        done.map_err(|error| format!("failed to resize container {:?}: {error}", change.container.name))?;
    }
    if first.is_err() {
        let done = agent.runtime.update_sandbox_resources(&sandbox.id, whole).await;
        done.map_err(|error| format!("failed to resize the pod: {error}"))?;
    }
    Ok(())
}

/// Notes what holds the resize up, and tells it once.
fn tell(agent: &Agent, pod: &Pod, pod_ref: &PodRef, state: &mut PodState, held: Option<Held>) {
    if state.resize == held {
        return;
    }
    if let Some(held) = &held {
        let (reason, verb) = match held.reason {
            "Infeasible" => ("ResizeInfeasible", "Infeasible"),
            "Deferred" => ("ResizeDeferred", "Deferred"),
            _ => ("ResizeError", "error"),
        };
        let text = format!("Pod resize {verb}: {}", told(pod, Some(&held.message)));
        agent.events.pod(pod_ref, None, Kind::Warning, reason, text);
    }
    state.resize = held;
}

/// The resources asked for, as the events show them.
fn told(pod: &Pod, error: Option<&str>) -> String {
    let one = |container: &Container| json!({"name": container.name, "resources": container.resources});
    let mut all = json!({
        "containers": spec::main_containers(pod).iter().map(one).collect::<Vec<_>>(),
        "generation": pod.metadata.generation,
    });
    if !spec::init_containers(pod).is_empty() {
        all["initContainers"] = json!(spec::init_containers(pod).iter().map(one).collect::<Vec<_>>());
    }
    if let Some(error) = error {
        all["error"] = json!(error);
    }
    all.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(policy: &str, before: serde_json::Value, wanted: serde_json::Value) -> Change {
        let container = json!({"name": "c", "resources": wanted,
            "resizePolicy": [{"resourceName": "memory", "restartPolicy": policy}]});
        Change {
            slot: Slot::Main(0),
            container: serde_json::from_value(container).unwrap(),
            id: "id".to_owned(),
            before: serde_json::from_value(before).unwrap(),
        }
    }

    #[test]
    fn amounts_are_compared_and_policies_followed() {
        let cpu = |amount: &str| json!({"requests": {"cpu": amount}});
        let memory = |amount: &str| json!({"limits": {"memory": amount}});
        for (policy, before, wanted, differs_now, restarts) in [
            ("RestartContainer", cpu("1"), cpu("1000m"), false, false),
            ("RestartContainer", cpu("1"), cpu("2"), true, false),
            ("RestartContainer", memory("1Gi"), memory("2Gi"), true, true),
            ("NotRequired", memory("1Gi"), memory("2Gi"), true, false),
        ] {
            let change = change(policy, before, wanted);
            let wanted = change.container.resources.clone().unwrap();
            assert_eq!(
                (differs(&change.before, &wanted), needs_restart(&change)),
                (differs_now, restarts),
                "{wanted:?}"
            );
        }
    }
}
