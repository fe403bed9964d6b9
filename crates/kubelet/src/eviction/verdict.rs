//! Why a pod is evicted, in upstream's words. Pure.

use super::memory::Observations;
use super::ranking::Candidate;
use super::thresholds::Threshold;
use super::usage::PodUsage;
use crate::pod::spec;
use crate::resources::{Qos, limit_sum, qos};
use k8s_openapi::api::core::v1::{Pod, Toleration};
use meta::Quantity;
use std::collections::BTreeMap;
use volumes::fields::limit_of;

/// The reason of the pod's status and of its event.
pub const REASON: &str = "Evicted";
/// Seconds that a pod gets where nothing can wait.
const AT_ONCE: u64 = 1;
const MEMORY_TAINT: &str = "node.kubernetes.io/memory-pressure";

/// A pod's end by the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub message: String,
    /// Of the event.
    pub annotations: BTreeMap<String, String>,
    /// Seconds to end in, at most.
    pub grace: u64,
    /// Not the pod's own fault: others may make it anew without counting a failure.
    pub disrupts: bool,
    /// What the metric counts it as.
    pub signal: &'static str,
}

/// For what the node is short of.
pub fn of_pressure(
    candidate: &Candidate,
    due: &[Threshold],
    observed: &Observations,
    max_pod_grace: u64,
) -> Option<Verdict> {
    let first = due.first()?;
    let resource = first.signal.resource();
    let mut message = format!("The node was low on resource: {resource}. ");
    if let Some(found) = observed.get(&first.signal) {
        let available = first.signal.quantity(found.available);
        message += &format!("Threshold quantity: {}, available: {available}. ", first.quantity(found.capacity));
    }
    let mut offenders: Vec<(&str, String)> = Vec::new();
    for usage in &candidate.usage.containers {
        let all = spec::main_containers(&candidate.pod);
        let Some(container) = all.iter().find(|container| container.name == usage.name) else { continue };
        let used = match resource {
            "memory" => usage.memory,
            "ephemeral-storage" => usage.root.bytes + usage.logs.bytes,
            _ => continue,
        };
        let requested = container.resources.as_ref().and_then(|own| own.requests.as_ref()?.get(resource));
        let request: Quantity = requested.and_then(|text| text.0.parse().ok()).unwrap_or(Quantity::ZERO);
        let used = Quantity::bytes(used);
        if used > request {
            message += &format!(
                "Container {} was using {used}, request is {request}, has larger consumption of {resource}. ",
                usage.name
            );
            offenders.push((&usage.name, used.to_string()));
        }
    }
    let (names, amounts): (Vec<&str>, Vec<String>) = offenders.into_iter().unzip();
    let annotations = [
        ("offending_containers", names.join(",")),
        ("offending_containers_usage", amounts.join(",")),
        ("starved_resource", resource.to_owned()),
    ];
    let own = candidate.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    let own = own.and_then(|own| u64::try_from(own).ok()).unwrap_or(max_pod_grace);
    Some(Verdict {
        message,
        annotations: annotations.map(|(name, value)| (name.to_owned(), value)).into(),
        grace: if first.grace.is_some() { own.min(max_pod_grace) } else { AT_ONCE },
        disrupts: true,
        signal: first.signal.name(),
    })
}

/// For what the pod itself was not to go beyond on the disk; `one_disk`: where containers write.
pub fn of_limits(pod: &Pod, usage: &PodUsage, one_disk: bool) -> Option<Verdict> {
    let (message, signal) = beyond_volume(pod, usage)
        .map(|message| (message, "emptydirfs.limit"))
        .or_else(|| Some((beyond_pod(pod, usage)?, "ephemeralpodfs.limit")))
        .or_else(|| Some((beyond_container(pod, usage, one_disk)?, "ephemeralcontainerfs.limit")))?;
    Some(Verdict { message, annotations: BTreeMap::new(), grace: AT_ONCE, disrupts: false, signal })
}

fn beyond_volume(pod: &Pod, usage: &PodUsage) -> Option<String> {
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()).find_map(|volume| {
        let limit: Quantity = volume.empty_dir.as_ref()?.size_limit.as_ref()?.0.parse().ok()?;
        let used = usage.volumes.get(&volume.name)?;
        let is_over = limit > Quantity::ZERO && Quantity::bytes(used.bytes) > limit;
        is_over.then(|| format!("Usage of EmptyDir volume {:?} exceeds the limit \"{limit}\". ", volume.name))
    })
}

fn beyond_pod(pod: &Pod, usage: &PodUsage) -> Option<String> {
    let limit = limit_sum(pod, "ephemeral-storage")?;
    let containers = usage.containers.iter().map(|own| own.root.bytes + own.logs.bytes).sum::<i64>();
    let volumes = usage.volumes.values().map(|own| own.bytes).sum::<i64>();
    let is_over = Quantity::bytes(containers + volumes) > limit;
    is_over.then(|| format!("Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "))
}

fn beyond_container(pod: &Pod, usage: &PodUsage, one_disk: bool) -> Option<String> {
    usage.containers.iter().find_map(|own| {
        let container = spec::main_containers(pod).iter().find(|container| container.name == own.name)?;
        let limit = limit_of(container.resources.as_ref(), "ephemeral-storage").filter(|limit| !limit.is_zero())?;
        let used = own.logs.bytes + if one_disk { own.root.bytes } else { 0 };
        (Quantity::bytes(used) > limit)
            .then(|| format!("Container {} exceeded its local ephemeral storage limit \"{limit}\". ", own.name))
    })
}

/// Whether `of_limits` can find anything.
pub fn has_limits(pod: &Pod) -> bool {
    let volumes = || pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    limit_sum(pod, "ephemeral-storage").is_some()
        || volumes().any(|volume| volume.empty_dir.as_ref().is_some_and(|own| own.size_limit.is_some()))
}

/// Why a pod that is not a static one may not start while the node has these conditions.
pub fn refusal(pod: &Pod, conditions: &[&str]) -> Option<String> {
    if conditions.is_empty() || crate::resources::is_critical(pod) {
        return None;
    }
    let tolerates = |toleration: &Toleration| {
        let effect = toleration.effect.as_deref().unwrap_or("");
        let key = toleration.key.as_deref().unwrap_or("");
        let any = toleration.operator.as_deref() == Some("Exists");
        let value = toleration.value.as_deref().unwrap_or("");
        matches!(effect, "" | "NoSchedule")
            && (key == MEMORY_TAINT || key.is_empty() && any)
            && (any || value.is_empty())
    };
    let mut tolerations = pod.spec.iter().flat_map(|spec| spec.tolerations.iter().flatten());
    let only_memory = conditions == ["MemoryPressure"];
    if only_memory && (qos(pod) != Qos::BestEffort || tolerations.any(tolerates)) {
        return None;
    }
    Some(format!("The node had condition: [{}]. ", conditions.join(" ")))
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
