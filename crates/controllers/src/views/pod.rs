//! What controllers need of a pod.

use super::{CLAIM, JOB_NAME, JOB_TRACKING, NODE, TRACKED};
use base::Timestamp;
use client::{Item, Key, Projection};
use meta::{ObjectMeta, time};
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Pending,
    /// Also what an empty phase is taken for.
    #[default]
    Unknown,
    Running,
    Succeeded,
    Failed,
}

/// A port that a container gave a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPort {
    pub name: String,
    pub port: i32,
    pub protocol: String,
}

/// What the claim behind a volume is called.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ClaimName {
    Given(String),
    /// After the pod and this volume of it.
    Made(String),
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct PodView {
    pub phase: Phase,
    pub ready: bool,
    /// Since when it is ready, or is not.
    pub ready_since: Option<Timestamp>,
    /// Empty: not scheduled.
    pub node: String,
    pub host_network: bool,
    pub addresses: Vec<String>,
    pub hostname: String,
    pub subdomain: String,
    /// The restarts of the container that restarted most.
    pub restarts: i32,
    pub ports: Vec<NamedPort>,
    /// Since when something is about to end it.
    pub disrupted_since: Option<Timestamp>,
    /// Pods that never restart a container are of no use to a Service once they ended.
    pub restarts_never: bool,
    claims: Vec<ClaimName>,
}

impl PodView {
    /// The names of the claims that the pod's volumes are made of; `meta` is the pod's.
    pub fn claims(&self, meta: &ObjectMeta) -> impl Iterator<Item = String> {
        self.claims.iter().map(move |claim| match claim {
            ClaimName::Given(name) => name.clone(),
            ClaimName::Made(volume) => format!("{}-{volume}", meta.name),
        })
    }

    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Ready for at least `seconds`. Where none are asked for, times do not matter: its node's clock
    /// may be ahead.
    pub fn is_available(&self, seconds: i32, now: Timestamp) -> bool {
        self.ready && (seconds == 0 || self.available_at(seconds).is_some_and(|at| at <= now))
    }

    /// When a ready pod will have been ready for `seconds`.
    pub fn available_at(&self, seconds: i32) -> Option<Timestamp> {
        let span = jiff::SignedDuration::from_secs(i64::from(seconds));
        match self.ready_since {
            Some(since) => since.checked_add(span).ok(),
            None if seconds == 0 => Some(Timestamp::MIN),
            None => None,
        }
    }
}

impl Projection for PodView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let pod: Pod = serde_json::from_slice(object)?;
        let ready = pod.status.conditions.iter().find(|condition| condition.kind == "Ready");
        let disrupted = pod
            .status
            .conditions
            .iter()
            .find(|condition| condition.kind == "DisruptionTarget" && condition.status == "True");
        let addresses: Vec<String> = match pod.status.pod_ips.is_empty() {
            true => pod.status.pod_ip.into_iter().collect(),
            false => pod.status.pod_ips.into_iter().map(|address| address.ip).collect(),
        };
        let containers =
            pod.spec.containers.into_iter().chain(pod.spec.init_containers.into_iter().filter(|container| {
                // Sidecars serve, other init containers are over when the pod serves.
                container.restart_policy == "Always"
            }));
        let ports = containers.flat_map(|container| container.ports).filter(|port| !port.name.is_empty());
        Ok(PodView {
            phase: match pod.status.phase.as_str() {
                "Pending" => Phase::Pending,
                "Running" => Phase::Running,
                "Succeeded" => Phase::Succeeded,
                "Failed" => Phase::Failed,
                _ => Phase::Unknown,
            },
            ready: ready.is_some_and(|condition| condition.status == "True"),
            ready_since: ready.and_then(|condition| time::parse(&condition.last_transition_time).ok()),
            node: pod.spec.node_name,
            host_network: pod.spec.host_network,
            addresses: addresses.into_iter().filter(|address| !address.is_empty()).collect(),
            hostname: pod.spec.hostname,
            subdomain: pod.spec.subdomain,
            restarts: pod.status.container_statuses.iter().map(|status| status.restart_count).max().unwrap_or(0),
            ports: ports
                .map(|port| NamedPort { name: port.name, port: port.number, protocol: port.protocol })
                .collect(),
            disrupted_since: disrupted.and_then(|condition| time::parse(&condition.last_transition_time).ok()),
            restarts_never: pod.spec.restart_policy == "Never",
            claims: pod.spec.volumes.into_iter().filter_map(Volume::claim).collect(),
        })
    }

    fn index(item: &Item<Self>, add: &mut dyn FnMut(&'static str, &str)) {
        add(NODE, &item.view.node);
        item.view.claims(&item.meta).for_each(|claim| add(CLAIM, Key::new(&item.meta.namespace, &claim).as_str()));
        if item.meta.finalizers.iter().any(|one| one == JOB_TRACKING) {
            let by_label = || item.meta.labels.get(JOB_NAME).map(String::as_str);
            let owner = item.meta.controller().filter(|owner| owner.kind == "Job").map(|owner| owner.name.as_str());
            add(TRACKED, Key::new(&item.meta.namespace, owner.or_else(by_label).unwrap_or_default()).as_str());
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pod {
    spec: Spec,
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: String,
    host_network: bool,
    hostname: String,
    subdomain: String,
    restart_policy: String,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    volumes: Vec<Volume>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Volume {
    name: String,
    persistent_volume_claim: Option<ClaimSource>,
    ephemeral: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSource {
    claim_name: String,
}

impl Volume {
    fn claim(self) -> Option<ClaimName> {
        match self.persistent_volume_claim {
            Some(source) => Some(ClaimName::Given(source.claim_name)),
            None => self.ephemeral.map(|_| ClaimName::Made(self.name)),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    ports: Vec<Port>,
    restart_policy: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Port {
    name: String,
    #[serde(rename = "containerPort")]
    number: i32,
    protocol: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
    conditions: Vec<Condition>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Vec<Address>,
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(deserialize_with = "meta::null_as_default")]
    last_transition_time: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Address {
    ip: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus {
    restart_count: i32,
}
