//! The objects that loads are made of, as JSON: pods of the size that real ones have, nodes that
//! look like real ones. Pure.

use serde_json::{Value, json};

pub const NAMESPACE: &str = "bench";

/// Stands once in every pod, as a label, and nowhere else in it.
pub const MARK: &str = "\"bench.kutter.io/pod\":\"";

/// Nobody schedules these: a scheduler at work would be measured with the API server.
pub const NOBODY: &str = "nobody";

pub fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

pub fn service_account(namespace: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}})
}

pub fn pods_path(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

pub fn pod_name(number: u64) -> String {
    format!("pod-{number:06}")
}

/// A pod as a Deployment's template makes it: 3.4 KB once it is stored.
pub fn pod(namespace: &str, name: &str, scheduler: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app": "web", "tier": "front", "bench.kutter.io/pod": name},
            "annotations": {"example.com/owner": "team-web@example.com"},
        },
        "spec": {
            "schedulerName": scheduler,
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "server",
                "image": "registry.example.com/team/web-server:v1.24.3",
                "imagePullPolicy": "IfNotPresent",
                "args": ["--listen=:8080", "--log-level=info", "--config=/etc/web/config.yaml"],
                "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                "env": [
                    {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                    {"name": "DATABASE_URL", "value": "postgres://web@db.bench.svc.cluster.local:5432/web"},
                    {"name": "CACHE_SIZE", "value": "512"},
                ],
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
                "volumeMounts": [{"name": "config", "mountPath": "/etc/web", "readOnly": true}],
            }],
            "volumes": [{"name": "config", "configMap": {"name": "web-config", "defaultMode": 420}}],
            "nodeSelector": {"kubernetes.io/os": "linux"},
        },
    })
}

/// A Deployment as charts make them: 5 KB as it is sent. Nobody acts on it.
pub fn deployment(name: &str, tag: &str) -> Value {
    let labels = json!({"app.kubernetes.io/name": "web", "app.kubernetes.io/instance": name});
    let variable = |number: u64| {
        let from =
            json!({"configMapKeyRef": {"name": "web-config", "key": format!("setting-{number}"), "optional": true}});
        match number % 3 {
            0 => json!({"name": format!("WEB_SETTING_{number}"), "valueFrom": from}),
            _ => {
                json!({"name": format!("WEB_SETTING_{number}"), "value": format!("some text of the length texts have {number}")})
            }
        }
    };
    let probe =
        |path: &str| json!({"httpGet": {"path": path, "port": "http"}, "periodSeconds": 5, "failureThreshold": 3});
    let container = |name: &str, port: u64| {
        json!({
            "name": name,
            "image": format!("registry.example.com/team/{name}:{tag}"),
            "imagePullPolicy": "IfNotPresent",
            "args": ["--listen=:8080", "--log-level=info", "--config=/etc/web/config.yaml"],
            "ports": [{"name": "http", "containerPort": port, "protocol": "TCP"}],
            "env": (0..18).map(variable).collect::<Vec<_>>(),
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
            "readinessProbe": probe("/ready"),
            "livenessProbe": probe("/live"),
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/web", "readOnly": true}],
        })
    };
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels, "annotations": {"example.com/owner": "team-web@example.com"}},
        "spec": {
            "replicas": 0,
            "paused": true,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [container("server", 8080), container("proxy", 8081)],
                    "volumes": [{"name": "config", "configMap": {"name": "web-config"}}],
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                },
            },
        },
    })
}

/// A definition of custom resources with rules in CEL, one of them about changes.
pub fn definition(number: u64) -> Value {
    let rule = |rule: &str, message: &str| json!({"rule": rule, "message": message});
    let item = json!({
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string", "maxLength": 63}, "weight": {"type": "integer", "minimum": 0}},
        "x-kubernetes-validations": [rule("self.weight <= 100", "a weight is at most 100")],
    });
    let spec = json!({
        "type": "object",
        "required": ["replicas", "mode"],
        "properties": {
            "replicas": {"type": "integer", "minimum": 0},
            "most": {"type": "integer", "default": 10},
            "mode": {"type": "string", "maxLength": 20},
            "items": {"type": "array", "maxItems": 10, "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        },
        "x-kubernetes-validations": [
            rule("self.replicas <= self.most", "no more replicas than the most"),
            rule("self.mode == oldSelf.mode", "a mode stays"),
            rule("!has(self.items) || self.items.all(i, i.name.matches('^[a-z]+$'))", "names are of letters"),
        ],
    });
    let schema = json!({"type": "object", "properties": {"spec": spec, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    let names = json!({"plural": format!("widgets{number}"), "singular": format!("widget{number}"), "kind": format!("Widget{number}")});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("widgets{number}.bench.kutter.io")},
        "spec": {"group": "bench.kutter.io", "scope": "Namespaced", "names": names, "versions": [{
            "name": "v1", "served": true, "storage": true, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": schema},
        }]},
    })
}

/// An object of such a definition.
pub fn custom(number: u64, name: &str) -> Value {
    let item = |name: &str| json!({"name": name, "weight": 50});
    json!({
        "apiVersion": "bench.kutter.io/v1",
        "kind": format!("Widget{number}"),
        "metadata": {"name": name},
        "spec": {"replicas": 3, "mode": "fast", "items": [item("a"), item("b"), item("c")]},
    })
}

/// A small pod that wants a node.
pub fn plain_pod(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "web", "bench.kutter.io/pod": name}},
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "pause",
                "image": "registry.k8s.io/pause:3.2",
                "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}},
            }],
        },
    })
}

/// One that keeps away from its own kind: a group of `group` pods, no two on a host, evenly over zones.
pub fn affine_pod(namespace: &str, name: &str, group: u64) -> Value {
    let mut pod = plain_pod(namespace, name);
    let labels = json!({"group": format!("g{group}")});
    pod["metadata"]["labels"]["group"] = labels["group"].clone();
    pod["spec"]["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"},
    ]}});
    pod["spec"]["topologySpreadConstraints"] = json!([{
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": labels},
    }]);
    pod
}

pub fn node_name(number: u64) -> String {
    format!("node-{number:05}")
}

/// A node of 32 cores in one of ten zones.
pub fn node(number: u64) -> Value {
    let name = node_name(number);
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "topology.kubernetes.io/zone": format!("zone-{}", number % 10),
        }},
        "status": node_status("1970-01-01T00:00:00Z"),
    })
}

pub fn node_status(now: &str) -> Value {
    let amounts = json!({"cpu": "32", "memory": "128Gi", "pods": "110", "ephemeral-storage": "100Gi"});
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": "as a fake node has it",
            "lastHeartbeatTime": now, "lastTransitionTime": now})
    };
    json!({
        "capacity": amounts,
        "allocatable": amounts,
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID"),
            condition("Ready", "True", "KubeletReady"),
        ],
    })
}

/// What a kubelet writes once a pod runs.
pub fn running_status(number: u64, now: &str) -> Value {
    let condition =
        |kind: &str| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    json!({"status": {
        "phase": "Running",
        "hostIP": "10.0.0.1",
        "podIP": format!("10.244.{}.{}", number / 250 % 250, number % 250 + 1),
        "startTime": now,
        "conditions": [condition("Initialized"), condition("Ready"), condition("ContainersReady"), condition("PodScheduled")],
        "containerStatuses": [{
            "name": "server",
            "image": "registry.example.com/team/web-server:v1.24.3",
            "imageID": "registry.example.com/team/web-server@sha256:0d17b565c37bcbd895e9d92315a05c1c3c9a29f762b011a10c54a66cd53c9b31",
            "containerID": format!("containerd://{number:064x}"),
            "ready": true,
            "started": true,
            "restartCount": 0,
            "state": {"running": {"startedAt": now}},
            "lastState": {},
        }],
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_has_the_size_it_is_measured_for() {
        let length = deployment("web-000001", "v1").to_string().len();
        assert!((4_600..5_400).contains(&length), "{length}");
    }

    #[test]
    fn the_mark_stands_once_in_each_pod() {
        for pod in [pod("a", "pod-1", NOBODY), plain_pod("a", "pod-1"), affine_pod("a", "pod-1", 3)] {
            assert_eq!(pod.to_string().matches(MARK).count(), 1, "{pod}");
        }
    }
}
