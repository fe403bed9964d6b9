//! A pod's status from what the runtime shows, in upstream's words. Pure.

use super::resize::Held;
use super::runtime_view::PodRuntime;
use super::spec::{self, RestartPolicy, Slot};
use super::status_conditions::conditions;
use crate::names;
use crate::probe::{ProbeKind, Verdict, Verdicts};
use crate::pull::Waiting;
use base::Timestamp;
use container::runtime::{ContainerState as RunState, ContainerStatus as RunStatus};
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    ContainerUser, HostIP, LinuxContainerUser, Pod, PodIP, PodStatus, ResourceRequirements, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::BTreeMap;
use std::net::IpAddr;

pub struct Inputs<'a> {
    /// With the status the API server had last.
    pub pod: &'a Pod,
    /// What was reported last, which the API server may not show yet: times of changes go by this.
    pub reported: Option<PodStatus>,
    pub runtime: &'a PodRuntime,
    pub verdicts: &'a dyn Verdicts,
    /// Why containers could not be started, by name.
    pub waiting: &'a BTreeMap<String, Waiting>,
    /// Last words, by container id.
    pub messages: &'a BTreeMap<String, String>,
    /// What containers run with, by their ids; the spec's word for those not named.
    pub applied: &'a BTreeMap<String, ResourceRequirements>,
    pub resize: Option<&'a Held>,
    pub node_ips: &'a [IpAddr],
    pub now: Timestamp,
    /// Nothing of the pod will run again.
    pub terminal: bool,
    /// The node ended the pod by itself: reason and message.
    pub failure: Option<(&'a str, &'a str)>,
    /// It did so for its own sake.
    pub disrupted: bool,
}

pub fn generate(inputs: &Inputs<'_>) -> PodStatus {
    let pod = inputs.pod;
    let old = inputs.reported.clone().or_else(|| pod.status.clone()).unwrap_or_default();
    if was_refused(inputs, &old) {
        return refused(inputs, old);
    }
    let init: Vec<ContainerStatus> = statuses(inputs, &old, spec::init_containers(pod).len(), Slot::Init);
    let main = statuses(inputs, &old, spec::main_containers(pod).len(), Slot::Main);
    let ephemeral = statuses(inputs, &old, spec::ephemeral_containers(pod).len(), Slot::Ephemeral);
    let computed = phase(inputs, &init, &main);
    let shown = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let phase = match shown {
        // The end is the end.
        Some(ended @ ("Succeeded" | "Failed")) => ended.to_owned(),
        _ if inputs.failure.is_some() => "Failed".to_owned(),
        _ => computed.to_owned(),
    };
    let conditions = conditions(inputs, &old, &phase, &init, &main);
    let (pod_ips, host_ips) = addresses(inputs);
    let (reason, message) = verdict(inputs, &old);
    PodStatus {
        message,
        reason,
        host_ip: host_ips.first().cloned(),
        host_ips: Some(host_ips.into_iter().map(|ip| HostIP { ip }).collect()),
        pod_ip: pod_ips.first().cloned(),
        pod_ips: some_list(pod_ips.into_iter().map(|ip| PodIP { ip }).collect()),
        start_time: old.start_time.or(Some(Time(whole_second(inputs.now)))),
        conditions: Some(conditions),
        init_container_statuses: some_list(init),
        container_statuses: some_list(main),
        ephemeral_container_statuses: some_list(ephemeral),
        qos_class: qos_class(inputs, old.qos_class),
        observed_generation: pod.metadata.generation,
        phase: Some(phase),
        ..PodStatus::default()
    }
}

fn verdict(inputs: &Inputs<'_>, old: &PodStatus) -> (Option<String>, Option<String>) {
    let own = inputs.failure.map(|(reason, message)| (Some(reason.to_owned()), Some(message.to_owned())));
    own.unwrap_or_else(|| (old.reason.clone(), old.message.clone()))
}

fn qos_class(inputs: &Inputs<'_>, known: Option<String>) -> Option<String> {
    known.or_else(|| Some(crate::resources::qos(inputs.pod).as_str().to_owned()))
}

/// The node, or whoever judged in its place, would not have the pod: nobody has ever told of a container.
fn was_refused(inputs: &Inputs<'_>, old: &PodStatus) -> bool {
    let has_failed = inputs.failure.is_some() || old.phase.as_deref() == Some("Failed");
    let is_untold = old.init_container_statuses.is_none() && old.container_statuses.is_none();
    has_failed && is_untold && inputs.runtime.containers.is_empty()
}

/// Of its containers nothing is told, as upstream has it, so that the reason is what clients show.
fn refused(inputs: &Inputs<'_>, old: PodStatus) -> PodStatus {
    let (reason, message) = verdict(inputs, &old);
    PodStatus {
        message,
        reason,
        start_time: old.start_time.or(Some(Time(whole_second(inputs.now)))),
        conditions: old.conditions,
        qos_class: qos_class(inputs, old.qos_class),
        observed_generation: inputs.pod.metadata.generation,
        phase: Some("Failed".to_owned()),
        ..PodStatus::default()
    }
}

fn some_list<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// Times in status have whole seconds.
pub fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn addresses(inputs: &Inputs<'_>) -> (Vec<String>, Vec<String>) {
    let host: Vec<String> = inputs.node_ips.iter().map(ToString::to_string).collect();
    let sandbox = inputs.runtime.sandboxes.first();
    let own = if spec::is_host_network(inputs.pod) {
        if sandbox.is_some() { host.clone() } else { Vec::new() }
    } else {
        sandbox.map(|sandbox| sandbox.addresses.iter().map(ToString::to_string).collect()).unwrap_or_default()
    };
    (own, host)
}

fn statuses(inputs: &Inputs<'_>, old: &PodStatus, count: usize, slot: fn(usize) -> Slot) -> Vec<ContainerStatus> {
    (0..count).filter_map(|index| container_status(inputs, old, slot(index))).collect()
}

fn container_status(inputs: &Inputs<'_>, old: &PodStatus, slot: Slot) -> Option<ContainerStatus> {
    let container = spec::container(inputs.pod, slot)?;
    let known = match slot {
        Slot::Init(_) => &old.init_container_statuses,
        Slot::Main(_) => &old.container_statuses,
        Slot::Ephemeral(_) => &old.ephemeral_container_statuses,
    };
    let known = known.iter().flatten().find(|status| status.name == container.name);
    let mut history = inputs.runtime.history(&container.name);
    let mut status = match history.next() {
        Some(newest) => {
            let mut status = from_runtime(inputs, slot, &container, newest);
            let before = history.find(|older| older.state == RunState::Exited);
            status.last_state = before.map(|older| terminated(inputs, older)).or_else(|| known?.last_state.clone());
            status
        }
        None => unseen(inputs, slot, &container, known),
    };
    show_waiting(inputs, slot, &container, &mut status);
    Some(status)
}

fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn default_waiting(pod: &Pod) -> ContainerState {
    let reason = if spec::init_containers(pod).is_empty() { "ContainerCreating" } else { "PodInitializing" };
    waiting(reason, None)
}

const GONE: &str = "ContainerStatusUnknown";
const GONE_AT_END: &str = "The container could not be located when the pod was terminated";
const GONE_WHILE_RUNNING: &str =
    "The container could not be located when the pod was deleted.  The container used to be Running";

fn gone(message: &str) -> ContainerState {
    let terminated = ContainerStateTerminated {
        exit_code: 137,
        reason: Some(GONE.to_owned()),
        message: Some(message.to_owned()),
        ..ContainerStateTerminated::default()
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

/// Whether a container without a trace must have been lost once its pod is over: what comes after
/// it was started. One whose turn never came waits for ever.
fn had_its_turn(inputs: &Inputs<'_>, slot: Slot) -> bool {
    let ran = |container: &Container| inputs.runtime.history(&container.name).next().is_some();
    let finished = |container: &Container| match inputs.runtime.history(&container.name).next() {
        Some(run) => spec::is_sidecar(container) || (run.state == RunState::Exited && run.exit_code == 0),
        None => false,
    };
    let (init, main) = (spec::init_containers(inputs.pod), spec::main_containers(inputs.pod));
    match slot {
        Slot::Init(index) => init[index + 1..].iter().chain(main).any(ran),
        Slot::Main(_) => main.iter().any(ran) || init.iter().all(finished),
        Slot::Ephemeral(_) => true,
    }
}

/// A container the runtime does not know: not made yet, or lost.
fn unseen(inputs: &Inputs<'_>, slot: Slot, container: &Container, known: Option<&ContainerStatus>) -> ContainerStatus {
    let is_lost = inputs.terminal && had_its_turn(inputs, slot);
    let mut status = ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        started: Some(false),
        state: Some(default_waiting(inputs.pod)),
        ..ContainerStatus::default()
    };
    let Some(known) = known else {
        if is_lost {
            status.state = Some(gone(GONE_AT_END));
        }
        return status;
    };
    // It had been made, so the next one is another.
    status.restart_count = known.restart_count + i32::from(known.container_id.is_some());
    status.last_state.clone_from(&known.last_state);
    let state = known.state.clone().unwrap_or_default();
    let phase = inputs.pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let over = inputs.terminal || matches!(phase, Some("Succeeded" | "Failed"));
    if state.terminated.is_some() && over {
        return known.clone();
    }
    if state.terminated.is_some() {
        status.last_state = known.state.clone();
    } else if state.running.is_some() {
        status.last_state = Some(gone(GONE_WHILE_RUNNING));
    }
    if is_lost {
        status.state = Some(gone(GONE_AT_END));
    }
    status
}

fn from_runtime(inputs: &Inputs<'_>, slot: Slot, container: &Container, run: &RunStatus) -> ContainerStatus {
    let started = is_started(inputs, container, run);
    let ready = match slot {
        Slot::Init(_) if !spec::is_sidecar(container) => run.state == RunState::Exited && run.exit_code == 0,
        Slot::Ephemeral(_) => false,
        _ => started && is_ready(inputs, container, run),
    };
    let own = || container.resources.clone().unwrap_or_default();
    let resources = inputs.applied.get(&run.id).cloned().unwrap_or_else(own);
    ContainerStatus {
        name: container.name.clone(),
        image: run.image.clone(),
        image_id: run.image_ref.clone(),
        container_id: Some(format!("{}://{}", names::RUNTIME, run.id)),
        ready,
        started: Some(started),
        restart_count: i32::try_from(run.attempt).unwrap_or(i32::MAX),
        state: Some(match run.state {
            RunState::Running => running(run),
            RunState::Exited => terminated(inputs, run),
            RunState::Unknown => gone(GONE_AT_END),
            RunState::Created if inputs.terminal => gone(GONE_AT_END),
            RunState::Created => default_waiting(inputs.pod),
        }),
        allocated_resources: resources.requests.clone(),
        resources: Some(resources),
        user: run.user.as_ref().map(|(uid, gid, groups)| ContainerUser {
            linux: Some(LinuxContainerUser {
                uid: i64::from(*uid),
                gid: i64::from(*gid),
                supplemental_groups: some_list(groups.iter().map(|group| i64::from(*group)).collect()),
            }),
        }),
        volume_mounts: some_list(container.volume_mounts.iter().flatten().map(mount_status).collect()),
        ..ContainerStatus::default()
    }
}

fn mount_status(mount: &k8s_openapi::api::core::v1::VolumeMount) -> VolumeMountStatus {
    let read_only = mount.read_only == Some(true);
    let recursive = match mount.recursive_read_only.as_deref() {
        Some("Enabled" | "IfPossible") => "Enabled",
        _ => "Disabled",
    };
    VolumeMountStatus {
        name: mount.name.clone(),
        mount_path: mount.mount_path.clone(),
        read_only: read_only.then_some(true),
        recursive_read_only: read_only.then(|| recursive.to_owned()),
        ..VolumeMountStatus::default()
    }
}

fn is_started(inputs: &Inputs<'_>, container: &Container, run: &RunStatus) -> bool {
    run.state == RunState::Running
        && (container.startup_probe.is_none()
            || inputs.verdicts.verdict(&run.id, ProbeKind::Startup) == Some(Verdict::Success))
}

fn is_ready(inputs: &Inputs<'_>, container: &Container, run: &RunStatus) -> bool {
    match inputs.verdicts.verdict(&run.id, ProbeKind::Readiness) {
        Some(verdict) => verdict == Verdict::Success,
        None => container.readiness_probe.is_none() && !run.annotations.contains_key(names::AWAITED_PORTS),
    }
}

fn time(nanos: i64) -> Option<Time> {
    Timestamp::from_second(nanos.div_euclid(1_000_000_000)).ok().map(Time)
}

fn running(run: &RunStatus) -> ContainerState {
    let running = ContainerStateRunning { started_at: time(run.started_at) };
    ContainerState { running: Some(running), ..ContainerState::default() }
}

fn terminated(inputs: &Inputs<'_>, run: &RunStatus) -> ContainerState {
    let last_words = inputs.messages.get(&run.id).filter(|text| !text.is_empty()).cloned();
    let by_code = if run.exit_code == 0 { "Completed" } else { "Error" };
    let reason = if run.reason.is_empty() { by_code } else { &run.reason };
    let terminated = ContainerStateTerminated {
        container_id: Some(format!("{}://{}", names::RUNTIME, run.id)),
        exit_code: run.exit_code,
        finished_at: time(run.finished_at),
        started_at: time(run.started_at),
        message: last_words.or_else(|| Some(run.message.clone()).filter(|text| !text.is_empty())),
        reason: Some(reason.to_owned()),
        signal: None,
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

/// A container that is to start (again) but cannot yet shows why; what it was becomes its last
/// state.
fn show_waiting(inputs: &Inputs<'_>, slot: Slot, container: &Container, status: &mut ContainerStatus) {
    let Some(why) = inputs.waiting.get(&container.name) else { return };
    let state = status.state.clone().unwrap_or_default();
    if inputs.terminal || state.running.is_some() {
        return;
    }
    if let Some(ended) = &state.terminated {
        if !spec::restarts(inputs.pod, slot, container, ended.exit_code) {
            return;
        }
        status.last_state = Some(state);
    }
    status.state = Some(waiting(why.reason, Some(why.message.clone())));
    status.started = Some(false);
    status.ready = false;
}

#[derive(Default)]
struct Counts {
    pending_init: usize,
    failed_init: usize,
    pending_sidecars: usize,
    unknown: usize,
    running: usize,
    waiting: usize,
    stopped: usize,
    succeeded: usize,
}

fn phase(inputs: &Inputs<'_>, init: &[ContainerStatus], main: &[ContainerStatus]) -> &'static str {
    let pod = inputs.pod;
    let mut counts = Counts::default();
    for (container, status) in spec::init_containers(pod).iter().zip(init) {
        if spec::is_sidecar(container) { count_sidecar(&mut counts, status) } else { count_init(&mut counts, status) }
    }
    main.iter().for_each(|status| count_main(&mut counts, status));
    let policy = spec::restart_policy(pod);
    if counts.failed_init > 0 && policy == RestartPolicy::Never {
        return "Failed";
    }
    let main_ran = main.iter().any(|status| status.container_id.is_some());
    if inputs.terminal && counts.running == 0 {
        let well = counts.stopped == main.len() && counts.succeeded == counts.stopped;
        return if well { "Succeeded" } else { "Failed" };
    }
    if counts.pending_init > 0
        || counts.failed_init > 0 && !main_ran
        || (counts.pending_sidecars > 0 && !main_ran)
        || counts.waiting > 0
    {
        return "Pending";
    }
    if counts.unknown > 0 {
        return "Pending";
    }
    match (counts.running, counts.stopped) {
        (1.., _) => "Running",
        (0, 1..) if policy == RestartPolicy::Always => "Running",
        (0, 1..) if counts.stopped == counts.succeeded => "Succeeded",
        (0, 1..) if policy == RestartPolicy::Never => "Failed",
        (0, 1..) => "Running",
        (0, 0) => "Pending",
    }
}

fn count_init(counts: &mut Counts, status: &ContainerStatus) {
    let state = status.state.clone().unwrap_or_default();
    let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    match (state.terminated, state.running, last) {
        (Some(ended), _, _) if ended.exit_code == 0 => {}
        (Some(_), _, _) => counts.failed_init += 1,
        (None, None, Some(last)) if last.exit_code != 0 => counts.failed_init += 1,
        _ => counts.pending_init += 1,
    }
}

fn count_sidecar(counts: &mut Counts, status: &ContainerStatus) {
    let state = status.state.clone().unwrap_or_default();
    let ended_before = status.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
    if state.running.is_some() {
        counts.pending_sidecars += usize::from(status.started != Some(true));
        counts.running += 1;
    } else if state.terminated.is_none() && !ended_before {
        counts.pending_sidecars += 1;
        counts.waiting += 1;
    }
}

fn count_main(counts: &mut Counts, status: &ContainerStatus) {
    let Some(state) = &status.state else {
        counts.unknown += 1;
        return;
    };
    let ended_before = status.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
    if state.running.is_some() {
        counts.running += 1;
    } else if let Some(ended) = &state.terminated {
        counts.stopped += 1;
        counts.succeeded += usize::from(ended.exit_code == 0);
    } else if ended_before {
        counts.stopped += 1;
    } else {
        counts.waiting += 1;
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
