//! The services every cluster has, and the range their addresses are taken from.

use super::{Object, ObjectOptions, Upkeep};
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::net::IpAddr;

pub(super) fn all(options: &ObjectOptions) -> Vec<Object> {
    let kept = |group, version, resource, value| {
        Object::new(Upkeep::Kept, GroupVersionResource::of(group, version, resource), value)
    };
    let range = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": [options.service_cidr]},
    });
    vec![
        Object::new(Upkeep::Once, GroupVersionResource::of("networking.k8s.io", "v1", "servicecidrs"), range),
        kept("", "v1", "services", kubernetes_service(options)),
        kept("", "v1", "endpoints", kubernetes_endpoints(options)),
        kept("discovery.k8s.io", "v1", "endpointslices", kubernetes_slice(options)),
        Object::new(Upkeep::Once, GroupVersionResource::of("", "v1", "services"), dns_service(options)),
    ]
}

fn kubernetes_service(options: &ObjectOptions) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": options.service_address.to_string(),
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": options.advertise_port}],
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
    })
}

fn kubernetes_endpoints(options: &ObjectOptions) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{
            "addresses": [{"ip": options.advertise_address.to_string()}],
            "ports": [{"name": "https", "port": options.advertise_port, "protocol": "TCP"}],
        }],
    })
}

fn kubernetes_slice(options: &ObjectOptions) -> Value {
    let family = if matches!(options.advertise_address, IpAddr::V4(_)) { "IPv4" } else { "IPv6" };
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": family,
        "endpoints": [{"addresses": [options.advertise_address.to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": options.advertise_port, "protocol": "TCP"}],
    })
}

/// Every node answers this address itself; the selector lets pods of that label take over, as
/// CoreDNS would.
fn dns_service(options: &ObjectOptions) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {
                "k8s-app": "kube-dns",
                "kubernetes.io/cluster-service": "true",
                "kubernetes.io/name": "CoreDNS",
            },
        },
        "spec": {
            "clusterIP": options.dns_address.to_string(),
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
            ],
            "selector": {"k8s-app": "kube-dns"},
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
    })
}
