//! Host ports: which ports of this node lead to which of its pods.

use client::Projection;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What the network needs of a Pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PodPorts {
    /// None: none yet, ended, or the host's own network.
    pub address: Option<Ipv4Addr>,
    pub ports: Vec<Port>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    pub protocol: u8,
    /// None: all of the node's addresses.
    pub host_address: Option<Ipv4Addr>,
    pub host: u16,
    pub container: u16,
}

/// The node's side of a host port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub address: Option<Ipv4Addr>,
    pub protocol: u8,
    pub port: u16,
}

/// The protocol's number; TCP where nothing is said.
pub(crate) fn protocol(name: &str) -> Option<u8> {
    match name {
        "" | "TCP" => Some(6),
        "UDP" => Some(17),
        "SCTP" => Some(132),
        _ => None,
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ContainerPort {
    container_port: u16,
    host_port: u16,
    #[serde(rename = "hostIP")]
    host_ip: String,
    protocol: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    ports: Vec<ContainerPort>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    host_network: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    spec: Spec,
    status: Status,
}

impl Projection for PodPorts {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let pod: Pod = serde_json::from_slice(object)?;
        let ended = matches!(pod.status.phase.as_str(), "Succeeded" | "Failed");
        if ended || pod.spec.host_network {
            return Ok(PodPorts::default());
        }
        let containers = pod.spec.containers.iter().chain(&pod.spec.init_containers);
        let ports = containers.flat_map(|container| &container.ports).filter(|port| port.host_port > 0);
        let ports = ports.filter_map(|port| {
            let host_address = port.host_ip.parse().ok().filter(|address: &Ipv4Addr| !address.is_unspecified());
            Some(Port {
                protocol: protocol(&port.protocol)?,
                host_address,
                host: port.host_port,
                container: port.container_port,
            })
        });
        Ok(PodPorts { address: pod.status.pod_ip.parse().ok(), ports: ports.collect() })
    }
}

/// The entries of all pods. Of two pods with one port (the scheduler does not allow it) the first
/// has it.
pub(crate) fn plan<'a>(pods: impl Iterator<Item = &'a PodPorts>) -> BTreeMap<Entry, (Ipv4Addr, u16)> {
    let mut entries = BTreeMap::new();
    for pod in pods {
        let Some(address) = pod.address else { continue };
        for port in &pod.ports {
            let entry = Entry { address: port.host_address, protocol: port.protocol, port: port.host };
            entries.entry(entry).or_insert((address, port.container));
        }
    }
    entries
}
