//! What a new cluster holds before anybody asks: namespaces, priority classes, the RBAC policy, the
//! `kubernetes` and `kube-dns` services, what joining nodes and extension servers must know.
//!
//! [`all`] lists it; [`ensure`] brings a cluster up to it at every start of a server.

mod access;
mod ensure;
mod network;

pub use access::{DNS_ACCOUNT, PROXY_ACCOUNT};
pub use ensure::{Error, ensure};

use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::net::IpAddr;

/// What the objects depend on.
#[derive(Debug, Clone)]
pub struct ObjectOptions {
    /// PEM of the authority that clients and nodes trust.
    pub ca: String,
    /// PEM of the authority of front proxies.
    pub front_proxy_ca: String,
    /// Where nodes and clients outside reach the API server: `https://host:port`.
    pub server: String,
    /// Where the `kubernetes` service leads to.
    pub advertise_address: IpAddr,
    pub advertise_port: u16,
    pub pod_cidr: String,
    pub cluster_domain: String,
    pub service_cidr: String,
    /// The first address of it, for `kubernetes`.
    pub service_address: IpAddr,
    /// The tenth, for `kube-dns`.
    pub dns_address: IpAddr,
}

/// How an object that is there already is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// Left alone.
    Once,
    /// Brought back to what is written here; more than that stays.
    Kept,
    /// As upstream reconciles its RBAC policy.
    Policy,
}

#[derive(Debug, Clone)]
pub struct Object {
    pub resource: GroupVersionResource,
    pub upkeep: Upkeep,
    pub value: Value,
}

impl Object {
    fn new(upkeep: Upkeep, resource: GroupVersionResource, value: Value) -> Self {
        Object { resource, upkeep, value }
    }

    pub fn namespace(&self) -> Option<&str> {
        self.value["metadata"]["namespace"].as_str()
    }

    pub fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }
}

/// Everything, namespaces first.
pub fn all(options: &ObjectOptions) -> Vec<Object> {
    let mut objects: Vec<Object> = ["default", "kube-system", "kube-public", "kube-node-lease"].map(namespace).into();
    objects.extend(priority_classes());
    objects.extend(access::all());
    objects.extend(network::all(options));
    objects.extend(config_maps(options));
    objects
}

fn namespace(name: &str) -> Object {
    let value = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
    });
    Object::new(Upkeep::Once, GroupVersionResource::of("", "v1", "namespaces"), value)
}

fn priority_classes() -> [Object; 2] {
    [
        (
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
        (
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
    ]
    .map(|(name, number, description)| {
        let value = json!({
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": number,
            "globalDefault": false,
            "description": description,
            "preemptionPolicy": "PreemptLowerPriority",
        });
        Object::new(Upkeep::Once, GroupVersionResource::of("scheduling.k8s.io", "v1", "priorityclasses"), value)
    })
}

fn config_maps(options: &ObjectOptions) -> [Object; 3] {
    let maps = GroupVersionResource::of("", "v1", "configmaps");
    let extension = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {
            "client-ca-file": options.ca,
            "requestheader-allowed-names": "[\"front-proxy-client\"]",
            "requestheader-client-ca-file": options.front_proxy_ca,
            "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
            "requestheader-group-headers": "[\"X-Remote-Group\"]",
            "requestheader-uid-headers": "[\"X-Remote-Uid\"]",
            "requestheader-username-headers": "[\"X-Remote-User\"]",
        },
    });
    [
        Object::new(Upkeep::Kept, maps.clone(), crate::kubeconfig::cluster_info(&options.server, &options.ca)),
        Object::new(Upkeep::Kept, maps.clone(), extension),
        Object::new(Upkeep::Kept, maps, configuration(options)),
    ]
}

/// What nodes must know of the cluster, where and as kubeadm writes it.
fn configuration(options: &ObjectOptions) -> Value {
    let text = format!(
        "apiVersion: kubeadm.k8s.io/v1beta4\nclusterName: kubernetes\ncontrolPlaneEndpoint: {}\nkind: \
         ClusterConfiguration\nnetworking:\n  dnsDomain: {}\n  podSubnet: {}\n  serviceSubnet: {}\n",
        options.server.trim_start_matches("https://"),
        options.cluster_domain,
        options.pod_cidr,
        options.service_cidr
    );
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIGURATION, "namespace": "kube-system"},
        "data": {"ClusterConfiguration": text},
    })
}

/// Name of the ConfigMap with the cluster's configuration.
pub(crate) const CONFIGURATION: &str = "kubeadm-config";

#[cfg(test)]
mod tests;
