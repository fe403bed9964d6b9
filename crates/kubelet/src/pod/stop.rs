//! Ending containers and pods in upstream's order: preStop hook, stop signal, grace period, kill;
//! sidecars after the containers they serve, in reverse order of their start.

use super::runtime_view::PodRuntime;
use super::spec::{self, PodRef, Slot, field_path};
use crate::agent::Agent;
use crate::events::Kind;
use crate::{hooks, names};
use container::runtime::{ContainerState, ContainerStatus, RuntimeError};
use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{ContainerPort, LifecycleHandler, Pod};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use sys::pod_network::PodIdentity;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

/// However long a preStop hook took, a container gets this long after its stop signal.
const LEAST: Duration = Duration::from_secs(2);

/// How long the way out of the endpoints may take: slice, watch, service proxy, on every node. A
/// pod that is still sent connections must not have stopped listening.
const WAY_OUT: Duration = Duration::from_millis(100);

/// Containers whose preStop hook has been run; a second attempt to stop them must not run it again.
pub type Hooked = Mutex<BTreeSet<String>>;

/// One container to be stopped.
pub struct Stop<'a> {
    pub pod: &'a PodRef,
    /// None where the API server no longer knows it.
    pub spec: Option<&'a Pod>,
    pub status: &'a ContainerStatus,
    pub address: Option<IpAddr>,
    pub hooked: &'a Hooked,
}

/// Stops one container; returns when it has ended.
///
/// # Errors
/// The runtime could not stop it.
pub async fn container(agent: &Agent, stop: &Stop<'_>, message: &str, grace: Duration) -> Result<(), RuntimeError> {
    let status = stop.status;
    let slot = stop.spec.and_then(|pod| spec::slot_of(pod, &status.name)).unwrap_or(Slot::Main(0));
    let first = stop.hooked.lock().unwrap_or_else(PoisonError::into_inner).insert(status.id.clone());
    if first {
        agent.events.pod(stop.pod, Some(field_path(slot, &status.name)), Kind::Normal, "Killing", message);
    }
    let started = agent.env.clock.instant();
    if first && !grace.is_zero() && status.state == ContainerState::Running {
        pre_stop(agent, stop, slot, grace).await;
    }
    let rest = grace.saturating_sub(started.elapsed()).max(LEAST.min(grace));
    match agent.runtime.stop_container(&status.id, rest).await {
        Ok(()) | Err(RuntimeError::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    agent.view.refresh_container(&status.id).await.map(drop)
}

async fn pre_stop(agent: &Agent, stop: &Stop<'_>, slot: Slot, grace: Duration) {
    let Some(hook) = hook_of(stop) else { return };
    let ports = ports_of(stop);
    let run = hooks::run(agent, &hook, &stop.status.id, ports.as_ref(), stop.address);
    let failed = match agent.env.clock.timeout(grace, run).await {
        Ok(Ok(())) => return,
        Ok(Err(why)) => why,
        // The grace period is over: the container is stopped at once.
        Err(_) => return,
    };
    warn!(pod = %stop.pod, container = stop.status.name, why = failed, "preStop hook failed");
    let path = field_path(slot, &stop.status.name);
    agent.events.pod(stop.pod, Some(path), Kind::Warning, "FailedPreStopHook", "PreStopHook failed");
}

/// From the spec, or from what was noted when the container was made.
fn hook_of(stop: &Stop<'_>) -> Option<LifecycleHandler> {
    if let Some(container) = stop.spec.and_then(|pod| spec::container(pod, spec::slot_of(pod, &stop.status.name)?)) {
        return container.lifecycle.as_ref()?.pre_stop.clone();
    }
    serde_json::from_str(stop.status.annotations.get(names::PRE_STOP)?).ok()
}

fn ports_of(stop: &Stop<'_>) -> Option<Vec<ContainerPort>> {
    if let Some(container) = stop.spec.and_then(|pod| spec::container(pod, spec::slot_of(pod, &stop.status.name)?)) {
        return container.ports.clone();
    }
    serde_json::from_str(stop.status.annotations.get(names::PORTS)?).ok()
}

/// Stops all containers of a pod and then its sandboxes. Safe to abandon and begin again.
///
/// # Errors
/// Something is still there; try again.
pub async fn pod(
    agent: &Agent,
    pod: &PodRef,
    spec: Option<&Pod>,
    grace: Duration,
    hooked: &Hooked,
) -> Result<(), RuntimeError> {
    // What was being made when the worker turned to stopping is found only by asking.
    agent.view.relist().await?;
    let runtime = agent.view.pod(&pod.uid);
    if !grace.is_zero() && runtime.containers.iter().any(|status| status.state == ContainerState::Running) {
        agent.env.clock.sleep(WAY_OUT.min(grace)).await;
    }
    containers(agent, pod, spec, &runtime, grace, hooked).await?;
    sandboxes(agent, pod, &runtime).await
}

async fn containers(
    agent: &Agent,
    pod: &PodRef,
    spec: Option<&Pod>,
    runtime: &PodRuntime,
    grace: Duration,
    hooked: &Hooked,
) -> Result<(), RuntimeError> {
    let address = runtime.sandboxes.first().and_then(|sandbox| sandbox.addresses.first().copied());
    let alive = |status: &&Arc<ContainerStatus>| !matches!(status.state, ContainerState::Exited);
    let statuses: Vec<&Arc<ContainerStatus>> = runtime.containers.iter().filter(alive).collect();
    let ranks: Vec<usize> = statuses.iter().map(|status| rank(spec, &status.name)).collect();
    let deadline = agent.env.clock.instant() + grace;
    let (ended, _) = watch::channel(vec![false; statuses.len()]);
    let stops = statuses.iter().enumerate().map(|(index, status)| {
        let (ended, ranks) = (&ended, &ranks);
        async move {
            wait_turn(agent, ended, ranks, ranks[index], deadline).await;
            let message = format!("Stopping container {}", status.name);
            let stop = Stop { pod, spec, status, address, hooked };
            let left = if grace.is_zero() { grace } else { rest(agent, deadline).max(LEAST) };
            let outcome = container(agent, &stop, &message, left.min(grace)).await;
            ended.send_modify(|ended| ended[index] = true);
            outcome
        }
    });
    join_all(stops).await.into_iter().collect()
}

fn rest(agent: &Agent, deadline: Instant) -> Duration {
    deadline.saturating_duration_since(agent.env.clock.instant())
}

/// Those of a lower rank go first. Sidecars rank by their place from the end; all others go at
/// once.
fn rank(spec: Option<&Pod>, name: &str) -> usize {
    let Some(pod) = spec else { return 0 };
    let init = spec::init_containers(pod);
    match init.iter().position(|container| container.name == name && spec::is_sidecar(container)) {
        Some(index) => init.len() - index,
        None => 0,
    }
}

/// Waits for the containers of lower ranks, at most until the deadline.
async fn wait_turn(agent: &Agent, ended: &watch::Sender<Vec<bool>>, ranks: &[usize], own: usize, deadline: Instant) {
    let mut receiver = ended.subscribe();
    let over = receiver.wait_for(|ended| ended.iter().zip(ranks).all(|(ended, rank)| *ended || *rank >= own));
    // Past the deadline everything is stopped together.
    let _ = agent.env.clock.timeout(rest(agent, deadline), over).await;
}

/// Takes the network away and stops the sandboxes.
///
/// # Errors
/// The runtime could not stop one.
pub async fn sandboxes(agent: &Agent, pod: &PodRef, runtime: &PodRuntime) -> Result<(), RuntimeError> {
    for sandbox in &runtime.sandboxes {
        // One that has ended by itself still holds its addresses and cgroups.
        if !sandbox.config.host_network
            && let Err(error) = agent.options.network.teardown(&identity(pod, &sandbox.id)).await
        {
            warn!(%pod, %error, "cannot take the pod's network away");
        }
        match agent.runtime.stop_sandbox(&sandbox.id).await {
            Ok(()) | Err(RuntimeError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    agent.view.refresh_sandboxes().await.map(drop)
}

/// Removes what is left of a pod that is gone: containers, sandboxes, files, logs.
///
/// # Errors
/// The runtime still holds something; try again.
pub async fn remove(agent: &Agent, pod: &PodRef) -> Result<(), RuntimeError> {
    let runtime = agent.view.pod(&pod.uid);
    for status in &runtime.containers {
        remove_container(agent, &status.id).await?;
    }
    for sandbox in &runtime.sandboxes {
        remove_sandbox(agent, &sandbox.id).await?;
    }
    Ok(())
}

/// # Errors
/// The runtime could not remove it.
pub async fn remove_sandbox(agent: &Agent, id: &str) -> Result<(), RuntimeError> {
    match agent.runtime.remove_sandbox(id).await {
        Ok(()) | Err(RuntimeError::NotFound { .. }) => {
            agent.view.remove_sandbox(id);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// # Errors
/// The runtime could not remove it.
pub async fn remove_container(agent: &Agent, id: &str) -> Result<(), RuntimeError> {
    match agent.runtime.remove_container(id).await {
        Ok(()) | Err(RuntimeError::NotFound { .. }) => {
            agent.view.remove_container(id);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

pub fn identity(pod: &PodRef, sandbox: &str) -> PodIdentity {
    PodIdentity {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        sandbox: sandbox.to_owned(),
    }
}
