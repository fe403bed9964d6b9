//! Pods as the scheduler sees them: a small view of every pod, and the full picture of the one
//! being scheduled.

use crate::resources::{Quantities, Requirements, Resources};
use client::cache::{Item, Key, Projection};
use k8s_openapi::api::core::v1 as core;
use serde::Deserialize;

/// What is kept of every pod.
#[derive(Debug, Clone)]
pub struct PodView {
    pub node_name: String,
    pub scheduler_name: String,
    pub priority: i32,
    /// Succeeded or failed: uses nothing any more.
    pub is_over: bool,
    pub is_gated: bool,
    pub requests: Resources,
    /// The requests as scoring counts them.
    pub scored: Resources,
    pub host_ports: Vec<HostPort>,
}

/// A port on the node; an empty address means all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    pub address: String,
    pub protocol: String,
    pub port: u16,
}

impl HostPort {
    pub fn clashes_with(&self, other: &HostPort) -> bool {
        let same_address = self.address.is_empty() || other.address.is_empty() || self.address == other.address;
        self.port == other.port && self.protocol == other.protocol && same_address
    }
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: String,
    scheduler_name: String,
    priority: i32,
    scheduling_gates: Vec<serde::de::IgnoredAny>,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    overhead: Quantities,
    resources: Option<Requirements>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    phase: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    resources: Requirements,
    ports: Vec<Port>,
    restart_policy: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Port {
    host_port: u16,
    #[serde(rename = "hostIP")]
    host_ip: String,
    protocol: String,
}

impl Projection for PodView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let Wire { spec, status } = serde_json::from_slice(object)?;
        let host_ports = host_ports(&spec);
        Ok(PodView {
            is_over: matches!(status.phase.as_str(), "Succeeded" | "Failed"),
            is_gated: !spec.scheduling_gates.is_empty(),
            requests: requests(&spec, |resources| resources),
            scored: requests(&spec, Resources::or_default),
            host_ports,
            node_name: spec.node_name,
            scheduler_name: spec.scheduler_name,
            priority: spec.priority,
        })
    }
}

/// What a pod needs at its busiest: all containers and sidecars together, or a single init
/// container beside the sidecars that started before it.
fn requests(spec: &Spec, count: fn(Resources) -> Resources) -> Resources {
    let of = |container: &Container| count(Resources::of(&container.resources.requests));
    let mut total = Resources::default();
    for container in &spec.containers {
        total.add(&of(container));
    }
    let mut sidecars = Resources::default();
    let mut busiest = Resources::default();
    for container in &spec.init_containers {
        if container.restart_policy == "Always" {
            sidecars.add(&of(container));
            busiest.raise(&sidecars);
        } else {
            let mut here = sidecars.clone();
            here.add(&of(container));
            busiest.raise(&here);
        }
    }
    total.add(&sidecars);
    total.raise(&busiest);
    if let Some(whole) = &spec.resources {
        let whole_pod = Resources::of(&whole.requests);
        if whole_pod.milli_cpu > 0 {
            total.milli_cpu = whole_pod.milli_cpu;
        }
        if whole_pod.memory > 0 {
            total.memory = whole_pod.memory;
        }
    }
    total.add(&Resources::of(&spec.overhead));
    total
}

fn host_ports(spec: &Spec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().filter(|container| container.restart_policy == "Always");
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
    ports
        .filter(|port| port.host_port != 0)
        .map(|port| HostPort {
            address: if port.host_ip == "0.0.0.0" { String::new() } else { port.host_ip.clone() },
            protocol: if port.protocol.is_empty() { "TCP".to_owned() } else { port.protocol.clone() },
            port: port.host_port,
        })
        .collect()
}

/// The pod being scheduled, with everything its rules look at.
pub struct Candidate {
    pub key: Key,
    pub uid: String,
    pub view: PodView,
    pub tolerations: Vec<core::Toleration>,
    pub node_selector: Vec<(String, String)>,
    pub affinity: Option<core::NodeAffinity>,
    pub images: Vec<String>,
    /// Inter-pod rules that this scheduler does not judge yet; such a pod is told so.
    pub unsupported: Option<&'static str>,
}

impl Candidate {
    pub fn read(item: &Item<PodView>) -> Result<Self, serde_json::Error> {
        let pod: core::Pod = item.decode()?;
        let spec = pod.spec.unwrap_or_default();
        let affinity = spec.affinity.unwrap_or_default();
        let required = |terms: Option<&Vec<core::PodAffinityTerm>>| terms.is_some_and(|terms| !terms.is_empty());
        let pod_affinity = affinity.pod_affinity.as_ref();
        let anti_affinity = affinity.pod_anti_affinity.as_ref();
        let spreads = spec.topology_spread_constraints.iter().flatten();
        let unsupported = if required(
            pod_affinity.and_then(|rules| rules.required_during_scheduling_ignored_during_execution.as_ref()),
        ) || required(
            anti_affinity.and_then(|rules| rules.required_during_scheduling_ignored_during_execution.as_ref()),
        ) {
            Some("required pod affinity")
        } else if spreads.into_iter().any(|spread| spread.when_unsatisfiable == "DoNotSchedule") {
            Some("topologySpreadConstraints with DoNotSchedule")
        } else {
            None
        };
        Ok(Candidate {
            key: item.key.clone(),
            uid: item.meta.uid.clone(),
            view: item.view.clone(),
            tolerations: spec.tolerations.unwrap_or_default(),
            node_selector: spec.node_selector.unwrap_or_default().into_iter().collect(),
            affinity: affinity.node_affinity,
            images: spec.containers.into_iter().filter_map(|container| container.image).collect(),
            unsupported,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_needs_what_it_needs_at_its_busiest() {
        let cpu = |amount: &str| serde_json::json!({"requests": {"cpu": amount}});
        let pod = serde_json::json!({"spec": {
            "overhead": {"cpu": "10m"},
            "initContainers": [
                {"resources": cpu("50m"), "restartPolicy": "Always"},
                {"resources": cpu("1")}
            ],
            "containers": [{"resources": cpu("100m")}, {"resources": cpu("200m")}]
        }});
        let view = PodView::project(pod.to_string().as_bytes()).unwrap();
        assert_eq!(view.requests.milli_cpu, 1060);
        assert_eq!(view.scored.memory, 600 << 20);
    }

    #[test]
    fn host_ports_clash_by_address() {
        let port = |address: &str| HostPort { address: address.to_owned(), protocol: "TCP".to_owned(), port: 80 };
        assert!(port("").clashes_with(&port("10.0.0.1")));
        assert!(!port("10.0.0.2").clashes_with(&port("10.0.0.1")));
    }
}
