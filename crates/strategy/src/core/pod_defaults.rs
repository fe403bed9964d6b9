//! Defaults of a pod's spec, in pods and in every template of one (upstream `core/v1/defaults.go`).

use crate::tree::{at_mut, default, default_text, items, items_mut, object, text};
use serde_json::{Value, json};

/// Fills in a PodSpec.
pub fn pod_spec(spec: &mut Value) {
    if !spec.is_object() {
        return;
    }
    default_text(spec, "dnsPolicy", "ClusterFirst");
    default_text(spec, "restartPolicy", "Always");
    default_text(spec, "schedulerName", "default-scheduler");
    default(spec, "terminationGracePeriodSeconds", 30);
    default(spec, "securityContext", json!({}));
    // Two names for one field; the old one follows.
    let account = text(spec, "serviceAccountName").to_owned();
    match account.is_empty() {
        true if !text(spec, "serviceAccount").is_empty() => {
            let old = text(spec, "serviceAccount").to_owned();
            default_text(spec, "serviceAccountName", &old);
        }
        true => {}
        false => spec["serviceAccount"] = account.into(),
    }
    let host_network = spec.get("hostNetwork").and_then(Value::as_bool) == Some(true);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for one in items_mut(spec, list) {
            container(one);
            if host_network {
                host_ports(one);
            }
        }
    }
    for one in items_mut(spec, "volumes") {
        volume(one);
    }
}

/// Only of pods themselves, not of templates.
pub fn pod(pod: &mut Value) {
    let Some(spec) = pod.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    default(spec, "enableServiceLinks", true);
    for list in ["initContainers", "containers"] {
        for one in items_mut(spec, list) {
            requests_from_limits(one);
        }
    }
}

fn container(container: &mut Value) {
    let policy = pull_policy(text(container, "image"));
    default_text(container, "imagePullPolicy", policy);
    default_text(container, "terminationMessagePath", "/dev/termination-log");
    default_text(container, "terminationMessagePolicy", "File");
    default(container, "resources", json!({}));
    for port in items_mut(container, "ports") {
        default_text(port, "protocol", "TCP");
    }
    for one in items_mut(container, "env") {
        if let Some(reference) = at_mut(one, &["valueFrom", "fieldRef"]) {
            default_text(reference, "apiVersion", "v1");
        }
        if let Some(reference) = at_mut(one, &["valueFrom", "resourceFieldRef"]) {
            default(reference, "divisor", "0");
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(name).filter(|probe| probe.is_object()) {
            self::probe(probe);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(action) = at_mut(container, &["lifecycle", hook, "httpGet"]) {
            http_get(action);
        }
    }
}

/// `latest`, or no tag and no digest, means Always.
pub fn pull_policy(image: &str) -> &'static str {
    if image.contains('@') {
        return "IfNotPresent";
    }
    let last = image.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

fn probe(probe: &mut Value) {
    for (field, number) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        if probe.get(field).and_then(Value::as_i64).unwrap_or(0) == 0 {
            probe[field] = number.into();
        }
    }
    if let Some(action) = probe.get_mut("httpGet").filter(|action| action.is_object()) {
        http_get(action);
    }
    if let Some(action) = probe.get_mut("grpc").filter(|action| action.is_object()) {
        default(action, "service", "");
    }
}

fn http_get(action: &mut Value) {
    default_text(action, "path", "/");
    default_text(action, "scheme", "HTTP");
}

fn host_ports(container: &mut Value) {
    for port in items_mut(container, "ports") {
        if port.get("hostPort").and_then(Value::as_i64).unwrap_or(0) == 0 {
            port["hostPort"] = port["containerPort"].clone();
        }
    }
}

fn requests_from_limits(container: &mut Value) {
    let Some(limits) = container.pointer("/resources/limits").and_then(Value::as_object).cloned() else { return };
    let Some(resources) = container.get_mut("resources") else { return };
    let Some(requests) = object(resources, "requests") else { return };
    for (name, quantity) in limits {
        requests.entry(name).or_insert(quantity);
    }
    if requests.is_empty()
        && let Some(fields) = resources.as_object_mut()
    {
        fields.remove("requests");
    }
}

const VOLUME_MODE: i32 = 0o644;

fn volume(volume: &mut Value) {
    let has_source = volume.as_object().is_some_and(|fields| fields.keys().any(|field| field != "name"));
    if !has_source {
        volume["emptyDir"] = json!({});
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(source).filter(|source| source.is_object()) {
            default(source, "defaultMode", VOLUME_MODE);
        }
    }
    if let Some(host_path) = volume.get_mut("hostPath").filter(|source| source.is_object()) {
        default(host_path, "type", "");
    }
    for kind in ["downwardAPI", "projected"] {
        let Some(source) = volume.get_mut(kind) else { continue };
        downward_items(source);
        for one in items_mut(source, "sources") {
            if let Some(token) = one.get_mut("serviceAccountToken").filter(|token| token.is_object()) {
                default(token, "expirationSeconds", 3600);
            }
            if let Some(downward) = one.get_mut("downwardAPI") {
                downward_items(downward);
            }
        }
    }
    if let Some(claim) = at_mut(volume, &["ephemeral", "volumeClaimTemplate", "spec"]) {
        default_text(claim, "volumeMode", "Filesystem");
    }
    if let Some(image) = volume.get_mut("image").filter(|image| image.is_object()) {
        let policy = pull_policy(text(image, "reference"));
        default_text(image, "pullPolicy", policy);
    }
}

fn downward_items(source: &mut Value) {
    for one in items_mut(source, "items") {
        if let Some(reference) = one.get_mut("fieldRef").filter(|reference| reference.is_object()) {
            default_text(reference, "apiVersion", "v1");
        }
        if let Some(reference) = one.get_mut("resourceFieldRef").filter(|reference| reference.is_object()) {
            default(reference, "divisor", "0");
        }
    }
}

/// Guaranteed, Burstable or BestEffort, by cpu and memory of all containers.
pub fn qos_class(spec: &Value) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    for container in items(spec, "initContainers").iter().chain(items(spec, "containers")) {
        let quantity = |list: &str, name: &str| {
            let text = container["resources"][list][name].as_str();
            text.and_then(|text| meta::Quantity::parse(text).ok()).filter(|quantity| !quantity.is_zero())
        };
        for name in ["cpu", "memory"] {
            let (request, limit) = (quantity("requests", name), quantity("limits", name));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_pulled_by_their_tag() {
        for (image, policy) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.27", "IfNotPresent"),
            ("reg:5000/nginx", "Always"),
            ("reg:5000/nginx:1", "IfNotPresent"),
            ("nginx@sha256:0", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }

    #[test]
    fn a_bare_pod_gets_its_defaults_once() {
        let mut one = json!({"spec": {"containers": [{"name": "a", "image": "b", "resources": {"limits": {"cpu": "1"}}}],
            "volumes": [{"name": "v"}]}});
        pod_spec(&mut one["spec"]);
        pod(&mut one);
        assert_eq!(one["spec"]["volumes"][0]["emptyDir"], json!({}));
        assert_eq!(one["spec"]["containers"][0]["resources"]["requests"]["cpu"], "1");
        assert_eq!(one["spec"]["terminationGracePeriodSeconds"], 30);
        let before = one.clone();
        pod_spec(&mut one["spec"]);
        pod(&mut one);
        assert_eq!(one, before);
    }
}
