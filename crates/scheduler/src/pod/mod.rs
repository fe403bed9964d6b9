//! Pods as the scheduler sees them: what is kept of every pod, read once when it comes in.

mod affinity;
mod claims;
mod requests;
mod spread;
#[cfg(test)]
mod tests;
mod volumes;

pub use affinity::{Affinity, NodeRequirement, NodeTerm, Term};
pub use claims::PodClaim;
pub use requests::HostPort;
pub use spread::Spread;
pub use volumes::{Disk, Volume};

use crate::resources::{Quantities, Resources};
use crate::selectors::Labels;
use client::cache::{Item, Projection};
use requests::{Container, ContainerStatus};
use serde::Deserialize;
use std::sync::Arc;

pub type PodItem = Arc<Item<PodView>>;

/// The index of pods without a node by the claims of devices (`namespace/name`) that they name.
pub const CLAIMING: &str = "claiming";

/// What is kept of every pod.
#[derive(Debug, Clone)]
pub struct PodView {
    pub node_name: String,
    pub nominated_node: String,
    /// Succeeded or failed: uses nothing any more.
    pub is_over: bool,
    /// The scheduler chose it as a victim.
    pub is_preempted: bool,
    /// RFC 3339 in UTC sorts as text; empty before the node has seen it.
    pub started: String,
    /// What the condition PodScheduled says while it is False: reason and message.
    pub unscheduled: Option<(String, String)>,
    /// Its claims of devices.
    pub claims: Box<[PodClaim]>,
    pub spec: Arc<PodSpec>,
}

/// What scheduling depends on, but for labels: pods of equal specs fit the same nodes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodSpec {
    pub scheduler_name: String,
    pub priority: i32,
    pub never_preempts: bool,
    pub is_gated: bool,
    pub requests: Resources,
    /// The requests as scoring counts them.
    pub scored: Resources,
    pub host_ports: Vec<HostPort>,
    pub images: Vec<String>,
    pub tolerations: Vec<Toleration>,
    pub node_selector: Labels,
    /// None: any node. Terms are alternatives.
    pub required_nodes: Option<Vec<NodeTerm>>,
    pub preferred_nodes: Vec<(i32, NodeTerm)>,
    pub affinity: Affinity,
    pub spread: Vec<Spread>,
    pub volumes: Vec<Volume>,
    /// What its node must declare that it can do.
    pub features: Vec<&'static str>,
}

#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(default)]
pub struct Toleration {
    pub key: String,
    pub operator: String,
    pub value: String,
    pub effect: String,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    name: String,
    namespace: String,
    labels: Labels,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: String,
    scheduler_name: String,
    priority: i32,
    preemption_policy: String,
    scheduling_gates: Vec<serde::de::IgnoredAny>,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    overhead: Quantities,
    resources: Option<requests::Requirements>,
    tolerations: Vec<Toleration>,
    node_selector: Labels,
    affinity: Option<affinity::Wire>,
    topology_spread_constraints: Vec<spread::Wire>,
    volumes: Vec<volumes::Wire>,
    host_network: bool,
    host_users: Option<bool>,
    resource_claims: Vec<claims::Wire>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
    nominated_node_name: String,
    start_time: String,
    conditions: Vec<Condition>,
    container_statuses: Vec<ContainerStatus>,
    resource_claim_statuses: Vec<claims::Status>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: String,
    message: String,
}

impl Projection for PodView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let Wire { metadata, mut spec, status } = serde_json::from_slice(object)?;
        let mut unscheduled = None;
        let mut is_preempted = false;
        for condition in status.conditions {
            match (condition.kind.as_str(), condition.status.as_str()) {
                ("PodScheduled", "False") => unscheduled = Some((condition.reason, condition.message)),
                ("DisruptionTarget", "True") => is_preempted = condition.reason == "PreemptionByScheduler",
                _ => {}
            }
        }
        Ok(PodView {
            node_name: std::mem::take(&mut spec.node_name),
            nominated_node: status.nominated_node_name,
            is_over: matches!(status.phase.as_str(), "Succeeded" | "Failed"),
            is_preempted,
            started: status.start_time,
            unscheduled,
            claims: claims::read(std::mem::take(&mut spec.resource_claims), &status.resource_claim_statuses),
            spec: Arc::new(read_spec(&metadata, spec, &status.container_statuses)),
        })
    }

    fn index(item: &Item<Self>, add: &mut dyn FnMut(&'static str, &str)) {
        if !item.view.node_name.is_empty() {
            return;
        }
        for claim in &item.view.claims {
            if let PodClaim::Named { name, .. } = claim {
                add(CLAIMING, &format!("{}/{name}", item.meta.namespace));
            }
        }
    }
}

fn read_spec(metadata: &Metadata, spec: Spec, statuses: &[ContainerStatus]) -> PodSpec {
    let images = spec.init_containers.iter().chain(&spec.containers).map(|one| full_image_name(&one.image));
    let rules = spec.affinity.unwrap_or_default();
    let (required_nodes, preferred_nodes) = rules.nodes();
    let all = || spec.containers.iter().chain(&spec.init_containers);
    let features = [
        ("RestartAllContainersOnContainerExits", all().any(Container::restarts_all)),
        ("UserNamespacesHostNetworkSupport", spec.host_network && spec.host_users == Some(false)),
    ];
    PodSpec {
        features: features.iter().filter(|(_, needed)| *needed).map(|(name, _)| *name).collect(),
        is_gated: !spec.scheduling_gates.is_empty(),
        requests: requests::total(&spec.containers, &spec.init_containers, &spec.resources, &spec.overhead, statuses),
        scored: requests::scored(&spec.containers, &spec.init_containers, &spec.resources, &spec.overhead, statuses),
        host_ports: requests::host_ports(&spec.containers, &spec.init_containers),
        images: images.collect(),
        never_preempts: spec.preemption_policy == "Never",
        scheduler_name: spec.scheduler_name,
        priority: spec.priority,
        tolerations: spec.tolerations,
        node_selector: spec.node_selector,
        required_nodes,
        preferred_nodes,
        affinity: rules.pods(&metadata.namespace, &metadata.labels),
        spread: spec.topology_spread_constraints.into_iter().map(|one| one.read(&metadata.labels)).collect(),
        volumes: spec.volumes.into_iter().filter_map(|one| one.read(&metadata.name)).collect(),
    }
}

/// With the registry and tag that a name without them means, as nodes report images.
fn full_image_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    let tagged = if last.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") };
    match tagged.split_once('/') {
        None => format!("docker.io/library/{tagged}"),
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => tagged,
        Some(_) => format!("docker.io/{tagged}"),
    }
}

impl PodSpec {
    /// The claims of its volumes, by name.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        self.volumes.iter().filter_map(|volume| match volume {
            Volume::Claim { name, .. } => Some(name.as_str()),
            Volume::Disk(_) => None,
        })
    }
}
