//! Services and EndpointSlices as far as packets care. Read from the API's JSON, which has been
//! validated; what cannot be read is as if it were not set.

use client::Key;
use meta::ObjectMeta;
use serde::{Deserialize, Deserializer};
use std::net::Ipv4Addr;

/// The label by which a slice names its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Services with this label are another proxy's.
const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
const HEADLESS: &str = "service.kubernetes.io/headless";
const DEFAULT_AFFINITY_SECONDS: u32 = 10_800;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Service {
    pub metadata: ObjectMeta,
    pub spec: ServiceSpec,
    pub status: ServiceStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ServiceSpec {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<String>,
    #[serde(rename = "externalIPs")]
    pub external_ips: Vec<String>,
    pub ports: Vec<ServicePort>,
    pub session_affinity: String,
    pub session_affinity_config: Option<SessionAffinityConfig>,
    pub external_traffic_policy: String,
    pub internal_traffic_policy: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ServicePort {
    pub name: String,
    pub protocol: String,
    pub port: u16,
    pub node_port: u16,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SessionAffinityConfig {
    #[serde(rename = "clientIP")]
    client_ip: Option<ClientIp>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClientIp {
    timeout_seconds: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ServiceStatus {
    load_balancer: LoadBalancer,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct LoadBalancer {
    ingress: Vec<Ingress>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Ingress {
    ip: String,
    ip_mode: String,
}

impl Service {
    /// Whether this proxy is to do anything for the service.
    pub fn is_ours(&self) -> bool {
        let labels = &self.metadata.labels;
        let external_name = self.spec.kind == "ExternalName";
        let headless = labels.contains_key(HEADLESS) || self.cluster_addresses().next().is_none();
        !external_name && !headless && !labels.contains_key(PROXY_NAME)
    }

    pub fn cluster_addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        let more = self.spec.cluster_ips.iter().filter(|address| **address != self.spec.cluster_ip);
        std::iter::once(&self.spec.cluster_ip).chain(more).filter_map(|address| address.parse().ok())
    }

    /// External addresses, and those of a load balancer that hands packets on as they are.
    pub fn external_addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        let ingress = self.status.load_balancer.ingress.iter();
        let balanced = ingress.filter(|ingress| ingress.ip_mode != "Proxy").map(|ingress| &ingress.ip);
        self.spec.external_ips.iter().chain(balanced).filter_map(|address| address.parse().ok())
    }

    pub fn affinity_seconds(&self) -> Option<u32> {
        let config = self.spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
        let seconds = config.and_then(|client| client.timeout_seconds).unwrap_or(DEFAULT_AFFINITY_SECONDS);
        (self.spec.session_affinity == "ClientIP").then_some(seconds)
    }
}

impl ServicePort {
    /// The protocol's number.
    pub fn protocol_number(&self) -> Option<u8> {
        match self.protocol.as_str() {
            "" | "TCP" => Some(6),
            "UDP" => Some(17),
            "SCTP" => Some(132),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Slice {
    pub address_type: String,
    // Both are written as null where there are none.
    #[serde(deserialize_with = "null_as_empty")]
    pub endpoints: Vec<SliceEndpoint>,
    #[serde(deserialize_with = "null_as_empty")]
    pub ports: Vec<SlicePort>,
}

fn null_as_empty<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Vec<T>, D::Error> {
    Option::deserialize(value).map(Option::unwrap_or_default)
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct SliceEndpoint {
    pub addresses: Vec<String>,
    pub conditions: Conditions,
    pub node_name: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Conditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SlicePort {
    pub name: Option<String>,
    pub protocol: Option<String>,
    pub port: Option<u16>,
}

impl Conditions {
    /// What is not said counts as ready.
    pub fn is_ready(&self) -> bool {
        self.ready.unwrap_or(true)
    }

    /// Better than nothing, where no endpoint is ready.
    pub fn serves_while_terminating(&self) -> bool {
        self.serving.unwrap_or(true) && self.terminating == Some(true)
    }
}

/// The service that a slice belongs to.
pub(crate) fn service_of(slice: &ObjectMeta) -> Option<Key> {
    slice.labels.get(SERVICE_NAME).map(|service| Key::new(&slice.namespace, service))
}
