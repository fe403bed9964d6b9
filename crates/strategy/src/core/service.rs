//! Service. Addresses and node ports are given out by the API server.

use crate::Strategy;
use crate::tree::{default, default_text, items_mut, text};
use serde_json::{Value, json};

pub struct Service;

/// Upstream's session affinity timeout, in seconds.
const AFFINITY_SECONDS: i64 = 10_800;

impl Strategy for Service {
    fn group_kind(&self) -> (&'static str, &'static str) {
        ("", "Service")
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) else { return };
        default_text(spec, "sessionAffinity", "None");
        if text(spec, "sessionAffinity") == "ClientIP" {
            if spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"].is_null() {
                spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}});
            }
        } else if let Some(fields) = spec.as_object_mut() {
            fields.remove("sessionAffinityConfig");
        }
        default_text(spec, "type", "ClusterIP");
        for port in items_mut(spec, "ports") {
            default_text(port, "protocol", "TCP");
            let target = &port["targetPort"];
            if target.is_null() || *target == 0 || *target == "" {
                port["targetPort"] = port["port"].clone();
            }
        }
        let kind = text(spec, "type").to_owned();
        if kind != "ExternalName" {
            default_text(spec, "internalTrafficPolicy", "Cluster");
        }
        if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
            default_text(spec, "externalTrafficPolicy", "Cluster");
        }
        if kind == "LoadBalancer" {
            default(spec, "allocateLoadBalancerNodePorts", true);
        }
        default(object, "status", json!({}));
        default(&mut object["status"], "loadBalancer", json!({}));
    }

    fn has_generation(&self) -> bool {
        false
    }

    fn prepare_create(&self, object: &mut Value, _context: &crate::Context<'_>) {
        object["status"] = json!({"loadBalancer": {}});
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let spec = &object["spec"];
        vec![("spec.clusterIP", text(spec, "clusterIP").to_owned()), ("spec.type", text(spec, "type").to_owned())]
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        meta::validation::dns1035_label(&crate::complete(name, prefix))
    }
}
