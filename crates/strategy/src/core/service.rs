//! Service. Addresses and node ports are given out by the API server.

use crate::tree::{default, default_text, items, items_mut, text};
use crate::{Strategy, check};
use meta::field::{ErrorList, FieldError, Path};
use meta::validation;
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

    fn allow_create_on_update(&self) -> bool {
        true
    }

    fn validate(&self, new: &Value, old: Option<&Value>, errors: &mut ErrorList) {
        let (spec, path) = (&new["spec"], Path::new("spec"));
        let kind = text(spec, "type");
        let is_headless = text(spec, "clusterIP") == "None";
        if items(spec, "ports").is_empty() && !is_headless && kind != "ExternalName" {
            errors.push(FieldError::required(&path.child("ports"), ""));
        }
        check::required_one_of(
            errors,
            &path.child("type"),
            kind,
            &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
        );
        if is_headless && matches!(kind, "LoadBalancer" | "NodePort") {
            let why = format!("may not be set to 'None' for {kind} services");
            errors.push(FieldError::invalid(&path.child("clusterIPs").index(0), "None", &why));
        }
        if kind == "ExternalName" {
            external_name(spec, &path, errors);
        }
        // What a change of type leaves behind is the API server's to clear.
        let is_plain = kind == "ClusterIP" && old.is_none_or(|old| text(&old["spec"], "type") == "ClusterIP");
        ports(items(spec, "ports"), is_plain, &path.child("ports"), errors);
        check::labels(errors, &path.child("selector"), &spec["selector"]);
        traffic(spec, &path, errors);
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let spec = &new["spec"];
        let mut warnings = Vec::new();
        if text(spec, "type") == "ExternalName" && !items(spec, "externalIPs").is_empty() {
            warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
        }
        if text(spec, "clusterIP") == "None" && !matches!(text(spec, "sessionAffinity"), "" | "None") {
            warnings.push("spec.SessionAffinity is ignored for headless services".to_owned());
        }
        warnings
    }

    fn prepare_create(&self, object: &mut Value, _context: &crate::Context<'_>) {
        object["status"] = json!({"loadBalancer": {}});
    }

    fn selectable_fields(&self, object: &Value) -> crate::Fields {
        let spec = &object["spec"];
        vec![
            ("spec.clusterIP".into(), text(spec, "clusterIP").to_owned()),
            ("spec.type".into(), text(spec, "type").to_owned()),
        ]
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        meta::validation::dns1035_label(&crate::complete(name, prefix))
    }
}

fn external_name(spec: &Value, path: &Path, errors: &mut ErrorList) {
    if !items(spec, "clusterIPs").is_empty() {
        let why = "may not be set for ExternalName services";
        errors.push(FieldError::forbidden(&path.child("clusterIPs"), why));
    }
    let (here, name) = (path.child("externalName"), text(spec, "externalName"));
    let name = name.strip_suffix('.').unwrap_or(name);
    if check::required(errors, &here, name) {
        check::all(errors, &here, name, validation::dns1123_subdomain(name));
    }
}

fn ports(ports: &[Value], is_plain: bool, path: &Path, errors: &mut ErrorList) {
    let (mut names, mut taken): (Vec<&str>, Vec<(&str, i64)>) = (Vec::new(), Vec::new());
    for (at, port) in ports.iter().enumerate() {
        let (here, name) = (path.index(at), text(port, "name"));
        if name.is_empty() && ports.len() > 1 {
            errors.push(FieldError::required(&here.child("name"), ""));
        } else if !name.is_empty() {
            check::all(errors, &here.child("name"), name, validation::dns1123_label(name));
            if names.contains(&name) {
                errors.push(FieldError::duplicate(&here.child("name"), name));
            }
            names.push(name);
        }
        let (number, protocol) = (port["port"].as_i64().unwrap_or_default(), text(port, "protocol"));
        check::all(errors, &here.child("port"), number, validation::port_number(number));
        check::required_one_of(errors, &here.child("protocol"), protocol, &["SCTP", "TCP", "UDP"]);
        check::port(errors, &here.child("targetPort"), &port["targetPort"]);
        if is_plain && port["nodePort"].as_i64().unwrap_or_default() != 0 {
            let why = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(&here.child("nodePort"), why));
        }
        if taken.contains(&(protocol, number)) {
            errors.push(FieldError::duplicate(&here, json!({"port": number, "protocol": protocol})));
        }
        taken.push((protocol, number));
    }
}

fn traffic(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let affinity = text(spec, "sessionAffinity");
    check::required_one_of(errors, &path.child("sessionAffinity"), affinity, &["ClientIP", "None"]);
    let timeout = &spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"];
    if let Some(seconds) = timeout.as_i64().filter(|seconds| affinity == "ClientIP" && !(1..=86_400).contains(seconds))
    {
        let here = path.child("sessionAffinityConfig").child("clientIP").child("timeoutSeconds");
        errors.push(FieldError::invalid(&here, seconds, "must be greater than 0 and less than 86400"));
    }
    for field in ["externalTrafficPolicy", "internalTrafficPolicy"] {
        check::one_of(errors, &path.child(field), text(spec, field), &["Cluster", "Local"]);
    }
    for (at, ip) in items(spec, "externalIPs").iter().enumerate() {
        check::ip(errors, &path.child("externalIPs").index(at), ip.as_str().unwrap_or_default());
    }
    let (ranges, here) = (items(spec, "loadBalancerSourceRanges"), path.child("loadBalancerSourceRanges"));
    if !ranges.is_empty() && text(spec, "type") != "LoadBalancer" {
        let why = "may only be used when `type` is 'LoadBalancer'";
        errors.push(FieldError::forbidden(&here, why));
    }
    for (at, range) in ranges.iter().enumerate() {
        check::cidr(errors, &here.index(at), range.as_str().unwrap_or_default().trim());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_checked() {
        let many = json!({"ports": [{"port": 1, "name": "a"}, {"port": 2}]});
        for (spec, expected) in [
            (json!({"ports": [{"port": 80}]}), ""),
            (json!({"clusterIP": "None"}), ""),
            (json!({}), "spec.ports: Required value"),
            (many, "spec.ports[1].name: Required value"),
            (
                json!({"ports": [{"port": 0}]}),
                "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive; \
                spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
            ),
            (
                json!({"ports": [{"port": 80, "nodePort": 30000}]}),
                "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
            ),
            (json!({"type": "ExternalName"}), "spec.externalName: Required value"),
            (
                json!({"type": "X", "ports": [{"port": 80}]}),
                "spec.type: Unsupported value: \"X\": supported values: \
                \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
            ),
        ] {
            let mut service = json!({"spec": spec});
            Service.default(&mut service);
            let mut errors = ErrorList::new();
            Service.validate(&service, None, &mut errors);
            let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(told.join("; "), expected, "{spec}");
        }
    }
}
