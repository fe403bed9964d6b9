//! Reading a pod's spec: its containers of all kinds under one roof, its policies, its names.

use k8s_openapi::api::core::v1::{Container, ContainerPort, EphemeralContainer, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::borrow::Cow;

/// Which container of a pod, by its place in the spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    Init(usize),
    Main(usize),
    Ephemeral(usize),
}

/// A pod by all its names.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodRef {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

impl PodRef {
    pub fn of(pod: &Pod) -> Self {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let meta = &pod.metadata;
        PodRef { namespace: text(&meta.namespace), name: text(&meta.name), uid: text(&meta.uid) }
    }
}

/// As upstream writes a pod into messages: `web_default(uid)`.
impl std::fmt::Display for PodRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}({})", self.name, self.namespace, self.uid)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl RestartPolicy {
    fn parse(text: Option<&str>) -> Self {
        match text {
            Some("Never") => RestartPolicy::Never,
            Some("OnFailure") => RestartPolicy::OnFailure,
            _ => RestartPolicy::Always,
        }
    }
}

pub fn spec(pod: &Pod) -> Cow<'_, PodSpec> {
    pod.spec.as_ref().map_or_else(|| Cow::Owned(PodSpec::default()), Cow::Borrowed)
}

pub fn restart_policy(pod: &Pod) -> RestartPolicy {
    RestartPolicy::parse(pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()))
}

pub fn init_containers(pod: &Pod) -> &[Container] {
    pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref()).unwrap_or(&[])
}

pub fn main_containers(pod: &Pod) -> &[Container] {
    pod.spec.as_ref().map_or(&[], |spec| &spec.containers)
}

pub fn ephemeral_containers(pod: &Pod) -> &[EphemeralContainer] {
    pod.spec.as_ref().and_then(|spec| spec.ephemeral_containers.as_deref()).unwrap_or(&[])
}

/// The container in a slot; ephemeral ones are turned into the same type.
pub fn container(pod: &Pod, slot: Slot) -> Option<Cow<'_, Container>> {
    match slot {
        Slot::Init(index) => init_containers(pod).get(index).map(Cow::Borrowed),
        Slot::Main(index) => main_containers(pod).get(index).map(Cow::Borrowed),
        Slot::Ephemeral(index) => ephemeral_containers(pod).get(index).map(|found| Cow::Owned(from_ephemeral(found))),
    }
}

/// Every slot of the pod, in order of start.
pub fn slots(pod: &Pod) -> Vec<Slot> {
    let init = (0..init_containers(pod).len()).map(Slot::Init);
    let main = (0..main_containers(pod).len()).map(Slot::Main);
    init.chain(main).chain((0..ephemeral_containers(pod).len()).map(Slot::Ephemeral)).collect()
}

pub fn slot_of(pod: &Pod, name: &str) -> Option<Slot> {
    slots(pod).into_iter().find(|slot| container(pod, *slot).is_some_and(|found| found.name == name))
}

/// An init container that runs beside the others to the end of the pod.
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// Where events about the container point.
pub fn field_path(slot: Slot, name: &str) -> String {
    match slot {
        Slot::Init(_) => format!("spec.initContainers{{{name}}}"),
        Slot::Main(_) => format!("spec.containers{{{name}}}"),
        Slot::Ephemeral(_) => format!("spec.ephemeralContainers{{{name}}}"),
    }
}

/// Whether a container that ended with this code is to run again.
pub fn restarts(pod: &Pod, slot: Slot, container: &Container, exit_code: i32) -> bool {
    if matches!(slot, Slot::Ephemeral(_)) {
        return false;
    }
    if rule_restarts(container, exit_code) {
        return true;
    }
    match (slot, effective_policy(pod, container)) {
        (Slot::Init(_), RestartPolicy::Always) => is_sidecar(container) || exit_code != 0,
        (_, RestartPolicy::Always) => true,
        (_, RestartPolicy::OnFailure) => exit_code != 0,
        (_, RestartPolicy::Never) => false,
    }
}

/// The container's own policy, or else the pod's.
fn effective_policy(pod: &Pod, container: &Container) -> RestartPolicy {
    match container.restart_policy.as_deref() {
        Some(own) => RestartPolicy::parse(Some(own)),
        None => restart_policy(pod),
    }
}

fn rule_restarts(container: &Container, exit_code: i32) -> bool {
    let mut rules = container.restart_policy_rules.iter().flatten();
    let matched = rules.find(|rule| {
        rule.exit_codes.as_ref().is_some_and(|codes| {
            let listed = codes.values.iter().flatten().any(|code| *code == exit_code);
            listed == (codes.operator == "In")
        })
    });
    matched.is_some_and(|rule| rule.action == "Restart")
}

/// Seconds that the pod's containers get to end.
pub fn grace_period(pod: &Pod) -> i64 {
    let meta = &pod.metadata;
    let own = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
    if meta.deletion_timestamp.is_some() { meta.deletion_grace_period_seconds.unwrap_or(own) } else { own }
}

pub fn is_host_network(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true))
}

/// The number behind a port of a probe or hook.
pub fn port_number(port: &IntOrString, ports: Option<&Vec<ContainerPort>>) -> Option<u16> {
    match port {
        IntOrString::Int(number) => u16::try_from(*number).ok().filter(|number| *number != 0),
        IntOrString::String(name) => {
            let named = ports.into_iter().flatten().find(|port| port.name.as_deref() == Some(name));
            let number = named.map(|port| port.container_port).or_else(|| name.parse().ok());
            number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number != 0)
        }
    }
}

/// Tells whether a container's definition changed so that it must be made anew: only its name and
/// image do that (FNV-1a).
pub fn hash(container: &Container) -> String {
    let image = container.image.as_deref().unwrap_or("");
    let bytes = container.name.bytes().chain([0]).chain(image.bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{hash:x}")
}

fn from_ephemeral(source: &EphemeralContainer) -> Container {
    let source = source.clone();
    Container {
        args: source.args,
        command: source.command,
        env: source.env,
        env_from: source.env_from,
        image: source.image,
        image_pull_policy: source.image_pull_policy,
        lifecycle: source.lifecycle,
        liveness_probe: source.liveness_probe,
        name: source.name,
        ports: source.ports,
        readiness_probe: source.readiness_probe,
        resize_policy: source.resize_policy,
        resources: source.resources,
        restart_policy: source.restart_policy,
        restart_policy_rules: source.restart_policy_rules,
        security_context: source.security_context,
        startup_probe: source.startup_probe,
        stdin: source.stdin,
        stdin_once: source.stdin_once,
        termination_message_path: source.termination_message_path,
        termination_message_policy: source.termination_message_policy,
        tty: source.tty,
        volume_devices: source.volume_devices,
        volume_mounts: source.volume_mounts,
        working_dir: source.working_dir,
    }
}
