//! Service environment variables: what `kubectl explain pod.spec.enableServiceLinks` promises.

use client::{Cache, Item, Projection};
use k8s_openapi::api::core::v1::{Service, ServicePort};
use std::collections::BTreeMap;

/// Of each service only what variables are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceView {
    /// Empty: headless or without an address, so without variables.
    pub cluster_ip: String,
    pub ports: Vec<Port>,
    /// Empty: it chooses no pods by itself.
    pub selector: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    pub protocol: String,
    pub number: i32,
}

impl Projection for ServiceView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let service: Service = serde_json::from_slice(object)?;
        let spec = service.spec.unwrap_or_default();
        let cluster_ip = spec.cluster_ip.filter(|address| address != "None").unwrap_or_default();
        let port = |port: ServicePort| Port {
            name: port.name.unwrap_or_default(),
            protocol: port.protocol.unwrap_or_else(|| "TCP".to_owned()),
            number: port.port,
        };
        let ports = spec.ports.unwrap_or_default().into_iter().map(port).collect();
        Ok(ServiceView { cluster_ip, ports, selector: spec.selector.unwrap_or_default() })
    }
}

/// Whether clients may be reaching a pod with these labels through a service.
pub fn serve(cache: &Cache<ServiceView>, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
    cache.list_in(namespace).iter().any(|service| {
        let selector = &service.view.selector;
        !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    })
}

/// The variables of all services of the namespace (with `links`) and of `kubernetes` in `default`.
pub fn variables(cache: &Cache<ServiceView>, namespace: &str, links: bool) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    if let Some(master) = cache.get("default", "kubernetes") {
        add(&master, &mut all);
    }
    if links {
        // The namespace's own `kubernetes` takes the place of the one in `default`.
        cache.list_in(namespace).iter().for_each(|service| add(service, &mut all));
    }
    all
}

fn add(item: &Item<ServiceView>, all: &mut BTreeMap<String, String>) {
    let view = &item.view;
    let Some(first) = view.ports.first().filter(|_| !view.cluster_ip.is_empty()) else { return };
    let prefix = item.meta.name.to_uppercase().replace('-', "_");
    let address = &view.cluster_ip;
    let mut set = |name: String, value: String| {
        all.insert(name, value);
    };
    set(format!("{prefix}_SERVICE_HOST"), address.clone());
    set(format!("{prefix}_SERVICE_PORT"), first.number.to_string());
    for port in view.ports.iter().filter(|port| !port.name.is_empty()) {
        let name = port.name.to_uppercase().replace('-', "_");
        set(format!("{prefix}_SERVICE_PORT_{name}"), port.number.to_string());
    }
    let host = if address.contains(':') { format!("[{address}]") } else { address.clone() };
    for (index, port) in view.ports.iter().enumerate() {
        let protocol = port.protocol.to_lowercase();
        let url = format!("{protocol}://{host}:{}", port.number);
        if index == 0 {
            set(format!("{prefix}_PORT"), url.clone());
        }
        let port_prefix = format!("{prefix}_PORT_{}_{}", port.number, port.protocol.to_uppercase());
        set(port_prefix.clone(), url);
        set(format!("{port_prefix}_PROTO"), protocol);
        set(format!("{port_prefix}_PORT"), port.number.to_string());
        set(format!("{port_prefix}_ADDR"), address.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_upstreams_variables() {
        let json = r#"{"metadata":{"name":"redis-master","namespace":"default"},"spec":{"clusterIP":"10.0.0.11",
            "ports":[{"port":6379,"protocol":"TCP"},{"name":"p-2","port":53,"protocol":"UDP"}]}}"#;
        let item = Item::<ServiceView>::read(bytes::Bytes::from(json)).unwrap();
        let mut all = BTreeMap::new();
        add(&item, &mut all);
        for (name, value) in [
            ("REDIS_MASTER_SERVICE_HOST", "10.0.0.11"),
            ("REDIS_MASTER_SERVICE_PORT", "6379"),
            ("REDIS_MASTER_SERVICE_PORT_P_2", "53"),
            ("REDIS_MASTER_PORT", "tcp://10.0.0.11:6379"),
            ("REDIS_MASTER_PORT_6379_TCP", "tcp://10.0.0.11:6379"),
            ("REDIS_MASTER_PORT_6379_TCP_PROTO", "tcp"),
            ("REDIS_MASTER_PORT_53_UDP_PORT", "53"),
            ("REDIS_MASTER_PORT_53_UDP_ADDR", "10.0.0.11"),
        ] {
            assert_eq!(all.get(name).map(String::as_str), Some(value), "{name}");
        }
        let headless = json.replace("10.0.0.11", "None");
        let mut none = BTreeMap::new();
        add(&Item::<ServiceView>::read(bytes::Bytes::from(headless)).unwrap(), &mut none);
        assert!(none.is_empty());
    }
}
