//! What controllers need of a Service.

use client::Projection;
use meta::labels::Selector;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    IPv4,
    IPv6,
}

impl Family {
    /// As IP families and address types are spelt.
    pub fn as_str(self) -> &'static str {
        match self {
            Family::IPv4 => "IPv4",
            Family::IPv6 => "IPv6",
        }
    }

    pub fn of(address: &str) -> Self {
        if address.contains(':') { Family::IPv6 } else { Family::IPv4 }
    }
}

/// Where a Service's port leads to in a pod.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Target {
    Number(i32),
    Name(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    #[serde(default)]
    pub name: String,
    #[serde(default = "tcp")]
    pub protocol: String,
    pub port: i32,
    target_port: Option<Target>,
    pub app_protocol: Option<String>,
}

fn tcp() -> String {
    "TCP".to_owned()
}

impl ServicePort {
    pub fn target(&self) -> Target {
        match &self.target_port {
            Some(target) => target.clone(),
            None => Target::Number(self.port),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServiceView {
    /// Empty: its endpoints are made by somebody else.
    pub selector: BTreeMap<String, String>,
    pub external_name: bool,
    pub headless: bool,
    pub publish_not_ready: bool,
    pub ports: Vec<ServicePort>,
    pub families: Vec<Family>,
    pub traffic_distribution: String,
    /// Its endpoints are shared out among zones.
    pub is_topology_aware: bool,
}

impl ServiceView {
    /// Whether controllers find its endpoints.
    pub fn selects(&self) -> bool {
        !self.selector.is_empty() && !self.external_name
    }

    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.selects() && Selector::from_set(&self.selector).matches(labels)
    }
}

impl Projection for ServiceView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let Service { metadata, spec } = serde_json::from_slice(object)?;
        // The older annotation goes before the newer.
        let topology = TOPOLOGY.iter().find_map(|name| metadata.annotations.get(*name));
        let headless = spec.cluster_ip == "None";
        let mut families: Vec<Family> =
            spec.ip_families.iter().map(|family| if family == "IPv6" { Family::IPv6 } else { Family::IPv4 }).collect();
        if families.is_empty() {
            families.push(Family::of(&spec.cluster_ip));
        }
        Ok(ServiceView {
            selector: spec.selector,
            external_name: spec.kind == "ExternalName",
            headless,
            publish_not_ready: spec.publish_not_ready_addresses,
            ports: spec.ports,
            families,
            traffic_distribution: spec.traffic_distribution,
            is_topology_aware: topology.is_some_and(|mode| mode == "Auto" || mode == "auto"),
        })
    }
}

const TOPOLOGY: [&str; 2] = ["service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"];

#[derive(Deserialize)]
struct Service {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    #[serde(deserialize_with = "meta::null_as_default")]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(deserialize_with = "meta::null_as_default")]
    selector: BTreeMap<String, String>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    publish_not_ready_addresses: bool,
    #[serde(deserialize_with = "meta::null_as_default")]
    ports: Vec<ServicePort>,
    #[serde(deserialize_with = "meta::null_as_default")]
    ip_families: Vec<String>,
    traffic_distribution: String,
}
