//! One round for a pod that is to run: report its status, set up its volumes, then do what the plan
//! says. Returns when it is worth looking again.

use super::plan::{Kill, KillCause, Plan, plan};
use super::runtime_view::PodRuntime;
use super::spec::{self, PodRef, Slot};
use super::start::{self, Place};
use super::stop;
use super::volumes::{self, PodVolumes, Standing};
use super::worker::PodState;
use crate::agent::Agent;
use crate::events::Kind;
use crate::network_files::{hostname, hosts_file, resolv_conf};
use crate::{names, resources};
use base::Timestamp;
use container::runtime::{ContainerState, SandboxConfig, SandboxStatus};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// Volumes that fail this long get a second, summary event (upstream's 2 min 3 s).
const VOLUMES_PATIENCE: i64 = 123;
/// What could not be ended is ended again after this.
const KILL_RETRY: Duration = Duration::from_secs(1);

pub async fn sync(agent: &Arc<Agent>, pod: &Pod, state: &mut PodState) -> Option<Timestamp> {
    let pod_ref = PodRef::of(pod);
    super::report::read_messages(agent, &pod_ref, state);
    super::report::publish(agent, pod, state, false);
    let runtime = agent.view.pod(&pod_ref.uid);
    watch_probes(agent, pod, &runtime);
    let mut todo = plan(pod, &runtime, agent.probes.as_ref());
    super::resize::resize(agent, pod, &pod_ref, &runtime, &mut todo, state).await;
    let volumes = match set_up_volumes(agent, pod, &pod_ref, state).await {
        Ok(volumes) => volumes,
        // What runs goes on; nothing new starts without its volumes.
        Err(retry) => return Some(retry),
    };
    let again = execute(agent, pod, &pod_ref, &runtime, todo, &volumes, state).await;
    super::report::publish(agent, pod, state, false);
    let waiting = state.waiting.values().filter_map(|waiting| waiting.retry_at);
    waiting.chain(state.sandbox_retry.map(|(at, _)| at)).chain(again).min()
}

fn after(agent: &Agent, wait: Duration) -> Timestamp {
    let now = agent.env.clock.now();
    SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok()).unwrap_or(now)
}

/// Probes of what runs, and of nothing else.
fn watch_probes(agent: &Arc<Agent>, pod: &Pod, runtime: &PodRuntime) {
    let uid = PodRef::of(pod).uid;
    let own = runtime.sandboxes.first().and_then(|sandbox| sandbox.addresses.first().copied());
    let address = own.or(agent.options.node_ips.first().copied());
    for status in runtime.running() {
        let Some(slot) = spec::slot_of(pod, &status.name) else { continue };
        let known = start::known_status(pod, slot, &status.name);
        let id = format!("{}://{}", names::RUNTIME, status.id);
        let was_ready = known.is_some_and(|known| known.ready && known.container_id.as_deref() == Some(id.as_str()));
        agent.probes.watch(agent, pod, slot, status, address, was_ready);
    }
    agent.probes.retain(&uid, |id, _| runtime.running().any(|status| status.id == id));
}

async fn set_up_volumes(
    agent: &Agent,
    pod: &Pod,
    pod_ref: &PodRef,
    state: &mut PodState,
) -> Result<PodVolumes, Timestamp> {
    let Standing { ready, failures, stale } = volumes::set_up(agent, pod).await;
    let event = |text: String| agent.events.pod(pod_ref, None, Kind::Warning, "FailedMount", text);
    for (volume, error) in failures.iter().chain(&stale) {
        event(format!("MountVolume.SetUp failed for volume {volume:?} : {error}"));
    }
    if failures.is_empty() {
        state.volumes_failing_since = None;
        state.volume_backoff.reset();
        return Ok(ready);
    }
    let now = agent.env.clock.now();
    let since = *state.volumes_failing_since.get_or_insert(now);
    if now.as_second() - since.as_second() >= VOLUMES_PATIENCE {
        state.volumes_failing_since = Some(now);
        let names: Vec<&str> = failures.iter().map(|(volume, _)| volume.as_str()).collect();
        event(format!(
            "Unable to attach or mount volumes: unmounted volumes=[{}], unattached volumes=[], failed to process volumes=[]: timed out waiting for the condition",
            names.join(" ")
        ));
    }
    Err(after(agent, state.volume_backoff.next(&agent.env.rng)))
}

/// Does what was planned. When to try again, if something could not be ended: what is to take its
/// place may not run beside it.
async fn execute(
    agent: &Arc<Agent>,
    pod: &Pod,
    pod_ref: &PodRef,
    runtime: &PodRuntime,
    todo: Plan,
    volumes: &PodVolumes,
    state: &mut PodState,
) -> Option<Timestamp> {
    let mut ended = !todo.kill_pod || runtime.is_empty() || kill(agent, pod, pod_ref, runtime, &todo, state).await;
    for doomed in &todo.kill {
        ended &= kill_container(agent, pod, pod_ref, runtime, doomed, state).await;
    }
    if !ended {
        return Some(after(agent, KILL_RETRY));
    }
    let sandbox = match (todo.create_sandbox, &todo.sandbox) {
        (Some(attempt), _) => create_sandbox(agent, pod, pod_ref, attempt, state).await,
        (None, Some(id)) => runtime.sandboxes.iter().find(|sandbox| sandbox.id == *id).map(|found| (**found).clone()),
        (None, None) => None,
    };
    let sandbox = sandbox?;
    let place = Place { pod, sandbox: &sandbox, volumes };
    let several = todo.start.len() > 1;
    for slot in todo.start {
        start::start(agent, &place, slot, state).await;
        watch_probes(agent, pod, &agent.view.pod(&pod_ref.uid));
        if several {
            // The next one may have to wait for its image.
            super::report::publish(agent, pod, state, false);
        }
    }
    None
}

/// Stops the pod's containers and sandboxes; whether they are gone.
async fn kill(agent: &Agent, pod: &Pod, pod_ref: &PodRef, runtime: &PodRuntime, todo: &Plan, state: &PodState) -> bool {
    let active = runtime.sandboxes.iter().any(|sandbox| sandbox.ready)
        || runtime.containers.iter().any(|status| status.state != ContainerState::Exited);
    if todo.create_sandbox.is_some() {
        let text = "Pod sandbox changed, it will be killed and re-created.";
        agent.events.pod(pod_ref, None, Kind::Normal, "SandboxChanged", text);
    } else if !active {
        return true;
    }
    let grace = Duration::from_secs(u64::try_from(spec::grace_period(pod)).unwrap_or(30));
    match stop::pod(agent, pod_ref, Some(pod), grace, &state.hooked).await {
        Ok(()) => true,
        Err(error) => {
            agent.events.pod(pod_ref, None, Kind::Warning, "FailedKillPod", format!("error killing pod: {error}"));
            false
        }
    }
}

/// Stops one container; whether it is gone.
async fn kill_container(
    agent: &Agent,
    pod: &Pod,
    pod_ref: &PodRef,
    runtime: &PodRuntime,
    kill: &Kill,
    state: &mut PodState,
) -> bool {
    let Some(status) = runtime.containers.iter().find(|status| status.id == kill.id) else { return true };
    let container = spec::container(pod, kill.slot);
    let probe = container.as_ref().and_then(|container| match kill.cause {
        KillCause::Liveness => container.liveness_probe.as_ref(),
        KillCause::Startup => container.startup_probe.as_ref(),
        KillCause::Changed | KillCause::Lost => None,
    });
    let own = probe.and_then(|probe| probe.termination_grace_period_seconds);
    let grace = own.unwrap_or_else(|| spec::grace_period(pod));
    let address = runtime.sandboxes.first().and_then(|sandbox| sandbox.addresses.first().copied());
    let stop = stop::Stop { pod: pod_ref, spec: Some(pod), status, address, hooked: &state.hooked };
    let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(30));
    let stopped = stop::container(agent, &stop, &kill.message, grace).await;
    if let Err(error) = &stopped {
        warn!(pod = %pod_ref, container = status.name, %error, "cannot stop the container; trying again");
    }
    super::report::read_messages(agent, pod_ref, state);
    stopped.is_ok()
}

async fn create_sandbox(
    agent: &Agent,
    pod: &Pod,
    pod_ref: &PodRef,
    attempt: u32,
    state: &mut PodState,
) -> Option<SandboxStatus> {
    let now = agent.env.clock.now();
    if state.sandbox_retry.is_some_and(|(at, _)| now < at) {
        return None;
    }
    match try_create_sandbox(agent, pod, pod_ref, attempt).await {
        Ok(sandbox) => {
            state.sandbox_retry = None;
            Some(sandbox)
        }
        Err((reason, text)) => {
            agent.events.pod(pod_ref, None, Kind::Warning, reason, text);
            let failures = state.sandbox_retry.map_or(0, |(_, failures)| failures + 1);
            let wait = Duration::from_secs(1 << failures.min(4));
            state.sandbox_retry = Some((after(agent, wait), failures));
            None
        }
    }
}

type Failure = (&'static str, String);

async fn try_create_sandbox(
    agent: &Agent,
    pod: &Pod,
    pod_ref: &PodRef,
    attempt: u32,
) -> Result<SandboxStatus, Failure> {
    let host_network = spec::is_host_network(pod);
    if !host_network && let Err(error) = agent.options.network.ready() {
        return Err(("NetworkNotReady", format!("network is not ready: {error}")));
    }
    let prepared = super::claims::prepare(agent, pod, pod_ref).await;
    prepared.map_err(|why| {
        let text = format!("Failed to prepare dynamic resources: prepare dynamic resources: {why}");
        ("FailedPrepareDynamicResources", text)
    })?;
    let failed = |error: String| ("FailedCreatePodSandBox", format!("Failed to create pod sandbox: {error}"));
    super::runtime_class::check(agent, pod).await.map_err(failed)?;
    let config = sandbox_config(agent, pod, pod_ref, attempt).map_err(failed)?;
    let directories = [config.log_directory.clone(), agent.pod_directory(&pod_ref.uid).join("containers")];
    for directory in directories {
        std::fs::create_dir_all(&directory)
            .map_err(|error| ("Failed", format!("error making pod data directories: {error}")))?;
    }
    let mut sandbox = agent.runtime.run_sandbox(config).await.map_err(|error| failed(error.to_string()))?;
    if let (false, Some(netns)) = (host_network, sandbox.netns.clone()) {
        let identity = stop::identity(pod_ref, &sandbox.id);
        let network = match agent.options.network.setup(&identity, &netns).await {
            Ok(addresses) => {
                sandbox.addresses.clone_from(&addresses);
                agent.runtime.set_addresses(&sandbox.id, addresses).await.map_err(|error| error.to_string())
            }
            Err(error) => Err(format!("failed to setup network for sandbox {:?}: {error}", sandbox.id)),
        };
        if let Err(why) = network {
            undo_sandbox(agent, pod_ref, &sandbox).await;
            return Err(failed(why));
        }
    }
    agent.view.put_sandbox(sandbox.clone());
    write_hosts(agent, pod, &sandbox).map_err(failed)?;
    Ok(sandbox)
}

async fn undo_sandbox(agent: &Agent, pod_ref: &PodRef, sandbox: &SandboxStatus) {
    if let Err(error) = agent.options.network.teardown(&stop::identity(pod_ref, &sandbox.id)).await {
        warn!(pod = %pod_ref, %error, "cannot take the pod's network away");
    }
    let stopped = agent.runtime.stop_sandbox(&sandbox.id).await;
    if let Err(error) = stopped.and(agent.runtime.remove_sandbox(&sandbox.id).await) {
        warn!(pod = %pod_ref, %error, "cannot remove a sandbox without network");
    }
    agent.view.remove_sandbox(&sandbox.id);
}

fn sandbox_config(agent: &Agent, pod: &Pod, pod_ref: &PodRef, attempt: u32) -> Result<SandboxConfig, String> {
    let spec = spec::spec(pod);
    let hostname = hostname(pod, &agent.cluster_dns.domain, &agent.hostname)?;
    let (dns, complaints) = resolv_conf(pod, &agent.cluster_dns);
    for (reason, text) in complaints {
        agent.events.pod(pod_ref, None, Kind::Warning, reason, text);
    }
    let labels =
        [(names::POD_NAME, &pod_ref.name), (names::POD_NAMESPACE, &pod_ref.namespace), (names::POD_UID, &pod_ref.uid)];
    let mut annotations = BTreeMap::from([(names::POD_GRACE_PERIOD.to_owned(), spec::grace_period(pod).to_string())]);
    if agent.is_static(&pod_ref.uid) {
        annotations.insert(names::CONFIG_SOURCE.to_owned(), "file".to_owned());
    }
    let sysctls = spec.security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
    Ok(SandboxConfig {
        namespace: pod_ref.namespace.clone(),
        name: pod_ref.name.clone(),
        uid: pod_ref.uid.clone(),
        attempt,
        hostname: hostname.shown,
        labels: labels.map(|(key, value)| (key.to_owned(), value.clone())).into(),
        annotations,
        log_directory: agent.log_directory(pod_ref),
        cgroup_parent: resources::cgroup_parent(pod, &pod_ref.uid),
        host_network: spec.host_network == Some(true),
        host_pid: spec.host_pid == Some(true),
        host_ipc: spec.host_ipc == Some(true),
        share_process_namespace: spec.share_process_namespace == Some(true),
        sysctls: sysctls.map(|own| (own.name.clone(), own.value.clone())).collect(),
        resolv_conf: dns.render(),
        resources: resources::of_pod(pod),
    })
}

fn write_hosts(agent: &Agent, pod: &Pod, sandbox: &SandboxStatus) -> Result<(), String> {
    let hostname = hostname(pod, &agent.cluster_dns.domain, &agent.hostname)?;
    let path = agent.pod_directory(&PodRef::of(pod).uid).join("etc-hosts");
    std::fs::write(&path, hosts_file(pod, &sandbox.addresses, &hostname))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Whether the pod has nothing left to run.
pub fn is_finished(pod: &Pod, state: &PodState, runtime: &PodRuntime) -> bool {
    let done = |slot: Slot| {
        let Some(container) = spec::container(pod, slot) else { return true };
        let ended = runtime.latest(&container.name).filter(|status| status.state == ContainerState::Exited);
        ended.is_some_and(|status| !spec::restarts(pod, slot, &container, status.exit_code))
    };
    let failed_init = (0..spec::init_containers(pod).len()).map(Slot::Init).any(|slot| {
        let sidecar = spec::container(pod, slot).is_some_and(|container| spec::is_sidecar(&container));
        !sidecar && done(slot) && ended_badly(pod, slot, runtime)
    });
    state.failure.is_some() || failed_init || (0..spec::main_containers(pod).len()).map(Slot::Main).all(done)
}

fn ended_badly(pod: &Pod, slot: Slot, runtime: &PodRuntime) -> bool {
    let Some(container) = spec::container(pod, slot) else { return false };
    runtime.latest(&container.name).is_some_and(|status| status.exit_code != 0)
}
