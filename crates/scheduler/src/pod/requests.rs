//! What a pod asks of a node: resources at its busiest, and ports.

use crate::resources::{Quantities, Resources};
use serde::Deserialize;

/// A port on the node; an empty address means all of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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

/// A container's or pod's resource requirements.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Requirements {
    requests: Quantities,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Container {
    name: String,
    pub image: String,
    resources: Requirements,
    ports: Vec<Port>,
    restart_policy: String,
    restart_policy_rules: Vec<RestartRule>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RestartRule {
    action: String,
}

impl Container {
    /// Whether its end may be that of the whole pod's containers.
    pub fn restarts_all(&self) -> bool {
        self.restart_policy_rules.iter().any(|rule| rule.action == "RestartAllContainers")
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Port {
    host_port: u16,
    #[serde(rename = "hostIP")]
    host_ip: String,
    protocol: String,
}

/// What the node says that a container has, which a resize under way makes differ from the spec.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerStatus {
    name: String,
    resources: Option<Requirements>,
    allocated_resources: Quantities,
}

pub(super) fn total(
    containers: &[Container],
    init: &[Container],
    whole: &Option<Requirements>,
    overhead: &Quantities,
    statuses: &[ContainerStatus],
) -> Resources {
    busiest(containers, init, whole, overhead, statuses, |resources| resources)
}

/// The same as scoring counts it: containers that ask for nothing use something.
pub(super) fn scored(
    containers: &[Container],
    init: &[Container],
    whole: &Option<Requirements>,
    overhead: &Quantities,
    statuses: &[ContainerStatus],
) -> Resources {
    busiest(containers, init, whole, overhead, statuses, Resources::or_default)
}

/// All containers and sidecars together, or a single init container beside the sidecars that
/// started before it.
fn busiest(
    containers: &[Container],
    init: &[Container],
    whole: &Option<Requirements>,
    overhead: &Quantities,
    statuses: &[ContainerStatus],
    count: fn(Resources) -> Resources,
) -> Resources {
    let of = |container: &Container| {
        let mut wanted = Resources::of(&container.resources.requests);
        if let Some(status) = statuses.iter().find(|status| status.name == container.name) {
            wanted.raise(&Resources::of(&status.allocated_resources));
            if let Some(actual) = &status.resources {
                wanted.raise(&Resources::of(&actual.requests));
            }
        }
        count(wanted)
    };
    let mut total = Resources::default();
    containers.iter().for_each(|container| total.add(&of(container)));
    let mut sidecars = Resources::default();
    let mut highest = Resources::default();
    for container in init {
        let mut here = sidecars.clone();
        here.add(&of(container));
        if container.restart_policy == "Always" {
            sidecars.clone_from(&here);
        }
        highest.raise(&here);
    }
    total.add(&sidecars);
    total.raise(&highest);
    if let Some(whole) = whole {
        total.replace(&Resources::of(&whole.requests));
    }
    total.add(&Resources::of(overhead));
    total
}

pub(super) fn host_ports(containers: &[Container], init: &[Container]) -> Vec<HostPort> {
    let sidecars = init.iter().filter(|container| container.restart_policy == "Always");
    let ports = containers.iter().chain(sidecars).flat_map(|container| &container.ports);
    ports
        .filter(|port| port.host_port != 0)
        .map(|port| HostPort {
            address: if port.host_ip == "0.0.0.0" { String::new() } else { port.host_ip.clone() },
            protocol: if port.protocol.is_empty() { "TCP".to_owned() } else { port.protocol.clone() },
            port: port.host_port,
        })
        .collect()
}
