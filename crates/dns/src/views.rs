//! What DNS keeps of each Service and EndpointSlice, and the indices it looks them up by.

use client::{Item, Projection};
use serde::{Deserialize, Deserializer};
use std::net::IpAddr;

/// Services by cluster address; endpoints with a host name by theirs.
pub(crate) const BY_ADDRESS: &str = "address";
/// Slices by `namespace/service`.
pub(crate) const BY_SERVICE: &str = "service";

const SERVICE_NAME: &str = "kubernetes.io/service-name";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    pub name: String,
    pub protocol: String,
    /// None: the endpoints declare no port.
    pub number: Option<u16>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Addresses(Vec<IpAddr>),
    Headless,
    /// The name that stands for the service.
    External(String),
}

#[derive(Debug)]
pub(crate) struct ServiceView {
    pub kind: Kind,
    pub ports: Vec<Port>,
}

#[derive(Debug)]
pub(crate) struct EndpointView {
    pub address: IpAddr,
    /// The name that the endpoint itself asks for.
    pub hostname: Option<String>,
}

impl EndpointView {
    /// Its label under the service's name.
    pub fn label(&self) -> String {
        match &self.hostname {
            Some(hostname) => hostname.to_lowercase(),
            None => self.address.to_string().replace(['.', ':'], "-"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct SliceView {
    /// The ready ones.
    pub endpoints: Vec<EndpointView>,
    pub ports: Vec<Port>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPort {
    name: Option<String>,
    protocol: Option<String>,
    port: Option<u16>,
}

impl From<RawPort> for Port {
    fn from(raw: RawPort) -> Self {
        let protocol = raw.protocol.filter(|protocol| !protocol.is_empty()).unwrap_or_else(|| "TCP".to_owned());
        Port { name: raw.name.unwrap_or_default().to_lowercase(), protocol: protocol.to_lowercase(), number: raw.port }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawSpec {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Vec<String>,
    external_name: String,
    ports: Vec<RawPort>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawService {
    spec: RawSpec,
}

impl Projection for ServiceView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let RawService { spec } = serde_json::from_slice(object)?;
        let kind = if spec.kind == "ExternalName" {
            Kind::External(spec.external_name)
        } else if spec.cluster_ip == "None" {
            Kind::Headless
        } else {
            let more = spec.cluster_ips.iter().filter(|address| **address != spec.cluster_ip);
            let addresses = std::iter::once(&spec.cluster_ip).chain(more);
            Kind::Addresses(addresses.filter_map(|address| address.parse().ok()).collect())
        };
        Ok(ServiceView { kind, ports: spec.ports.into_iter().map(Port::from).collect() })
    }

    fn index(item: &Item<Self>, add: &mut dyn FnMut(&'static str, &str)) {
        if let Kind::Addresses(addresses) = &item.view.kind {
            addresses.iter().for_each(|address| add(BY_ADDRESS, &address.to_string()));
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawConditions {
    ready: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawEndpoint {
    addresses: Vec<String>,
    conditions: RawConditions,
    hostname: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawSlice {
    // Both are written as null where there are none.
    #[serde(deserialize_with = "null_as_empty")]
    endpoints: Vec<RawEndpoint>,
    #[serde(deserialize_with = "null_as_empty")]
    ports: Vec<RawPort>,
}

fn null_as_empty<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Vec<T>, D::Error> {
    Option::deserialize(value).map(Option::unwrap_or_default)
}

impl Projection for SliceView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let slice: RawSlice = serde_json::from_slice(object)?;
        let ready = slice.endpoints.into_iter().filter(|endpoint| endpoint.conditions.ready.unwrap_or(true));
        let endpoints = ready.flat_map(|endpoint| {
            let hostname = endpoint.hostname.filter(|hostname| !hostname.is_empty());
            let addresses = endpoint.addresses.into_iter().filter_map(|address| address.parse().ok());
            addresses.map(move |address| EndpointView { address, hostname: hostname.clone() }).collect::<Vec<_>>()
        });
        let mut ports: Vec<Port> = slice.ports.into_iter().map(Port::from).collect();
        if ports.is_empty() {
            ports.push(Port { name: String::new(), protocol: String::new(), number: None });
        }
        Ok(SliceView { endpoints: endpoints.collect(), ports })
    }

    fn index(item: &Item<Self>, add: &mut dyn FnMut(&'static str, &str)) {
        let Some(service) = item.meta.labels.get(SERVICE_NAME) else { return };
        add(BY_SERVICE, &format!("{}/{service}", item.meta.namespace));
        for endpoint in item.view.endpoints.iter().filter(|endpoint| endpoint.hostname.is_some()) {
            add(BY_ADDRESS, &endpoint.address.to_string());
        }
    }
}

/// The service of a slice.
pub(crate) fn service_of(item: &Item<SliceView>) -> &str {
    item.meta.labels.get(SERVICE_NAME).map_or("", String::as_str)
}
