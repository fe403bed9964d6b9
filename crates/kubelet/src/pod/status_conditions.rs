//! The conditions of a pod's status that the node owns.

use super::spec;
use super::status::{Inputs, whole_second};
use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

struct Finding {
    kind: &'static str,
    status: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Finding {
    fn yes(kind: &'static str) -> Self {
        Finding { kind, status: true, reason: None, message: None }
    }

    fn no(kind: &'static str, reason: Option<&'static str>, message: Option<String>) -> Self {
        Finding { kind, status: false, reason, message }
    }
}

pub fn conditions(
    inputs: &Inputs<'_>,
    old: &PodStatus,
    phase: &str,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
) -> Vec<PodCondition> {
    let containers_ready = containers_ready(inputs, phase, init, main);
    let ready = ready(inputs, &containers_ready);
    [
        sandbox_ready(inputs),
        initialized(inputs, phase, init, main),
        ready,
        containers_ready,
        Finding::yes("PodScheduled"),
    ]
    .into_iter()
    .chain(inputs.resize.map(|held| Finding {
        kind: held.condition,
        status: true,
        reason: Some(held.reason),
        message: Some(held.message.clone()),
    }))
    .chain(disrupted(inputs))
    .map(|finding| finish(inputs, old, finding))
    .collect()
}

fn disrupted(inputs: &Inputs<'_>) -> Option<Finding> {
    let (_, message) = inputs.failure.filter(|_| inputs.disrupted)?;
    let message = Some(message.to_owned());
    Some(Finding { reason: Some("TerminationByKubelet"), message, ..Finding::yes("DisruptionTarget") })
}

/// The time of the last change stays where nothing changed.
fn finish(inputs: &Inputs<'_>, old: &PodStatus, finding: Finding) -> PodCondition {
    let status = if finding.status { "True" } else { "False" };
    let known = old.conditions.iter().flatten().find(|known| known.type_ == finding.kind);
    let since = known.filter(|known| known.status == status).and_then(|known| known.last_transition_time.clone());
    PodCondition {
        type_: finding.kind.to_owned(),
        status: status.to_owned(),
        reason: finding.reason.map(str::to_owned),
        message: finding.message,
        last_transition_time: since.or(Some(Time(whole_second(inputs.now)))),
        observed_generation: inputs.pod.metadata.generation,
        ..PodCondition::default()
    }
}

fn sandbox_ready(inputs: &Inputs<'_>) -> Finding {
    let ready = inputs
        .runtime
        .sandboxes
        .first()
        .is_some_and(|sandbox| sandbox.ready && (sandbox.config.host_network || !sandbox.addresses.is_empty()));
    let kind = "PodReadyToStartContainers";
    if ready { Finding::yes(kind) } else { Finding::no(kind, None, None) }
}

fn initialized(inputs: &Inputs<'_>, phase: &str, init: &[ContainerStatus], main: &[ContainerStatus]) -> Finding {
    let kind = "Initialized";
    let containers = spec::init_containers(inputs.pod);
    if phase == "Succeeded" && !containers.is_empty() {
        return Finding { reason: Some("PodCompleted"), ..Finding::yes(kind) };
    }
    if main.iter().any(|status| status.container_id.is_some()) {
        return Finding::yes(kind);
    }
    let done = |(container, status): &(&k8s_openapi::api::core::v1::Container, &ContainerStatus)| {
        if spec::is_sidecar(container) { status.started == Some(true) } else { status.ready }
    };
    let missing: Vec<&str> =
        containers.iter().zip(init).filter(|pair| !done(pair)).map(|(container, _)| container.name.as_str()).collect();
    if missing.is_empty() {
        return Finding::yes(kind);
    }
    let message = format!("containers with incomplete status: [{}]", missing.join(" "));
    Finding::no(kind, Some("ContainersNotInitialized"), Some(message))
}

fn containers_ready(inputs: &Inputs<'_>, phase: &str, init: &[ContainerStatus], main: &[ContainerStatus]) -> Finding {
    let kind = "ContainersReady";
    match phase {
        "Succeeded" => return Finding::no(kind, Some("PodCompleted"), None),
        "Failed" => return Finding::no(kind, Some("PodFailed"), None),
        _ => {}
    }
    let sidecars = spec::init_containers(inputs.pod).iter().zip(init);
    let sidecars = sidecars.filter(|(container, _)| spec::is_sidecar(container)).map(|(_, status)| status);
    let unready: Vec<&str> =
        sidecars.chain(main).filter(|status| !status.ready).map(|status| status.name.as_str()).collect();
    if unready.is_empty() {
        return Finding::yes(kind);
    }
    let message = format!("containers with unready status: [{}]", unready.join(" "));
    Finding::no(kind, Some("ContainersNotReady"), Some(message))
}

/// Ready needs the containers and every readiness gate.
fn ready(inputs: &Inputs<'_>, containers: &Finding) -> Finding {
    let kind = "Ready";
    if !containers.status {
        return Finding::no(kind, containers.reason, containers.message.clone());
    }
    let mut closed = Vec::new();
    // Others write these, so the API server knows best.
    let shown = inputs.pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    for gate in inputs.pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten()) {
        let name = &gate.condition_type;
        match shown.clone().find(|condition| condition.type_ == *name) {
            None => closed.push(format!("corresponding condition of pod readiness gate {name:?} does not exist.")),
            Some(condition) if condition.status != "True" => {
                closed.push(format!(
                    "the status of pod readiness gate {name:?} is not \"True\", but {}",
                    condition.status
                ));
            }
            Some(_) => {}
        }
    }
    if closed.is_empty() {
        return Finding::yes(kind);
    }
    Finding::no(kind, Some("ReadinessGatesNotReady"), Some(closed.join(", ")))
}
