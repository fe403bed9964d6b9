//! Rows as upstream prints them.

use super::{ALL, find};
use base::Timestamp;
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().expect("a time")
}

fn row(group: &str, kind: &str, object: &Value) -> Vec<String> {
    let printer = find(group, kind).expect("a printer");
    let cells = (printer.cells)(object, now());
    assert_eq!(cells.len(), printer.columns.len(), "{kind}");
    cells.iter().map(|cell| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned)).collect()
}

#[test]
fn every_printer_has_a_kind_and_fills_its_columns_even_from_nothing() {
    for printer in ALL {
        let known = kinds::all().iter().any(|kind| kind.group == printer.group && kind.kind == printer.kind);
        assert!(known || printer.kind == "Scale", "{} {}", printer.group, printer.kind);
        let cells = (printer.cells)(&json!({"metadata": {"name": "a"}}), now());
        assert_eq!(cells.len(), printer.columns.len(), "{}", printer.kind);
    }
    let mut seen: Vec<_> = ALL.iter().map(|printer| (printer.group, printer.kind)).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), ALL.len());
}

const ONE: &str = r#"{"containers": [{"name": "a"}]}"#;
const TWO: &str = r#"{"containers": [{"name": "a"}, {"name": "b"}]}"#;
const INIT: &str = r#"{"containers": [{"name": "a"}], "initContainers": [{"name": "i"}, {"name": "j"}]}"#;
const SIDECAR: &str =
    r#"{"containers": [{"name": "a"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]}"#;

/// A pod's spec and status; ready, status and restarts of its row: every state with a word of its own.
const STATES: &[(&str, &str, &str)] = &[
    (ONE, r#"{"phase": "Pending"}"#, "0/1 Pending 0"),
    (
        ONE,
        r#"{"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}"#,
        "0/1 SchedulingGated 0",
    ),
    (ONE, r#"{"phase": "Failed", "reason": "Evicted"}"#, "0/1 Evicted 0"),
    (
        ONE,
        r#"{"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}"#,
        "0/1 ContainerCreating 0",
    ),
    (ONE, r#"{"phase": "Running", "containerStatuses": [{"state": {"running": {}}, "ready": true}]}"#, "1/1 Running 0"),
    (
        ONE,
        r#"{"phase": "Running", "containerStatuses": [{"name": "a", "ready": true, "state": {"running": {}}, "restartCount": 1, "lastState": {"terminated": {"finishedAt": "2026-01-01T00:55:00Z"}}}]}"#,
        "1/1 Running 1 (5m ago)",
    ),
    (
        ONE,
        r#"{"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 4}]}"#,
        "0/1 CrashLoopBackOff 4",
    ),
    (
        ONE,
        r#"{"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}"#,
        "0/1 Completed 0",
    ),
    (
        ONE,
        r#"{"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3, "reason": ""}}}]}"#,
        "0/1 ExitCode:3 0",
    ),
    (
        ONE,
        r#"{"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 137, "signal": 9}}}]}"#,
        "0/1 Signal:9 0",
    ),
    (
        TWO,
        r#"{"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [ {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}, {"state": {"running": {}}, "ready": true}]}"#,
        "1/2 Running 0",
    ),
    (
        TWO,
        r#"{"phase": "Running", "containerStatuses": [ {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}, {"state": {"running": {}}, "ready": true}]}"#,
        "1/2 NotReady 0",
    ),
    (
        INIT,
        r#"{"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}"#,
        "0/1 Init:0/2 0",
    ),
    (
        INIT,
        r#"{"phase": "Pending", "initContainerStatuses": [ {"name": "i", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}, {"name": "j", "state": {"waiting": {"reason": "PodInitializing"}}}]}"#,
        "0/1 Init:1/2 0",
    ),
    (
        INIT,
        r#"{"phase": "Pending", "initContainerStatuses": [ {"name": "i", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 2}]}"#,
        "0/1 Init:CrashLoopBackOff 2",
    ),
    (
        INIT,
        r#"{"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}"#,
        "0/1 Init:Error 0",
    ),
    (
        INIT,
        r#"{"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 7, "reason": ""}}}]}"#,
        "0/1 Init:ExitCode:7 0",
    ),
    (
        INIT,
        r#"{"phase": "Running", "conditions": [{"type": "Initialized", "status": "True"}], "containerStatuses": [{"state": {"running": {}}, "ready": true}], "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 0, "reason": ""}}, "restartCount": 9}, {"name": "j", "state": {"terminated": {"exitCode": 0, "reason": ""}}}]}"#,
        "1/1 Running 0",
    ),
    (
        SIDECAR,
        r#"{"phase": "Running", "containerStatuses": [{"state": {"running": {}}, "ready": true}], "initContainerStatuses": [{"name": "s", "state": {"running": {}}, "started": true, "ready": true, "restartCount": 2}]}"#,
        "2/2 Running 2",
    ),
];

#[test]
fn the_word_for_a_pod() {
    let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    for (spec, status, expected) in STATES {
        let cells = row("", "Pod", &json!({"metadata": {"name": "p"}, "spec": parse(spec), "status": parse(status)}));
        assert_eq!(cells[1..4].join(" "), *expected, "{status}");
    }
    let mut going = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": parse(ONE)});
    for (status, word) in [
        (json!({"phase": "Running"}), "Terminating"),
        (json!({"phase": "Running", "reason": "NodeLost"}), "Unknown"),
        (json!({"phase": "Succeeded"}), "Succeeded"),
    ] {
        going["status"] = status;
        assert_eq!(row("", "Pod", &going)[2], word);
    }
}

/// Whole rows, wide columns too: group, kind, object, cells. `$M` is metadata of an hour ago, `$T` a
/// template of two containers.
const ROWS: &[(&str, &str, &str, &str)] = &[
    (
        "",
        "Node",
        r#"{"metadata": {"name": "n", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}}, "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}], "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}], "nodeInfo": {"kubeletVersion": "v1.37.0", "osImage": "Debian", "kernelVersion": "6.1", "containerRuntimeVersion": "kutter://1"}}}"#,
        "n|NotReady,SchedulingDisabled|control-plane,worker|60m|v1.37.0|10.0.0.1|<none>|Debian|6.1|kutter://1",
    ),
    (
        "apps",
        "Deployment",
        r#"{"metadata": $M, "spec": {"replicas": 3, "template": $T, "selector": {"matchLabels": {"app": "x"}, "matchExpressions": [{"key": "t", "operator": "In", "values": ["b", "a"]}]}}, "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}}"#,
        "n|1/3|2|1|60m|a,b|i:1,j|app=x,t in (a,b)",
    ),
    (
        "",
        "ReplicationController",
        r#"{"metadata": $M, "spec": {"replicas": 1, "selector": {"b": "1", "a": "2"}, "template": $T}, "status": {"replicas": 1}}"#,
        "n|1|1|0|60m|a,b|i:1,j|a=2,b=1",
    ),
    (
        "",
        "Service",
        r#"{"metadata": $M, "spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.9"], "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}}"#,
        "n|LoadBalancer|10.0.0.9|<pending>|80:30080/TCP,53/UDP|60m|<none>",
    ),
    (
        "",
        "Service",
        r#"{"metadata": $M, "spec": {"type": "ClusterIP", "clusterIPs": ["None"], "selector": {"app": "x"}}}"#,
        "n|ClusterIP|None|<none>|<none>|60m|app=x",
    ),
    (
        "",
        "Endpoints",
        r#"{"metadata": $M, "subsets": [{"ports": [{"port": 1}, {"port": 2}], "addresses": [{"ip": "1.1.1.1"}, {"ip": "fd00::1"}]}]}"#,
        "n|1.1.1.1:1,[fd00::1]:1,1.1.1.1:2 + 1 more...|60m",
    ),
    (
        "discovery.k8s.io",
        "EndpointSlice",
        r#"{"metadata": $M, "addressType": "IPv4", "ports": [{"port": 80}], "endpoints": []}"#,
        "n|IPv4|80|<unset>|60m",
    ),
    (
        "batch",
        "Job",
        r#"{"metadata": $M, "spec": {"completions": 2, "template": $T}, "status": {"succeeded": 1, "startTime": "2026-01-01T00:58:00Z"}}"#,
        "n|Running|1/2|2m|60m|a,b|i:1,j|<none>",
    ),
    (
        "batch",
        "CronJob",
        r#"{"metadata": $M, "spec": {"schedule": "* * * * *", "suspend": false, "jobTemplate": {"spec": {"template": $T}}}, "status": {"lastScheduleTime": "2026-01-01T00:59:30Z"}}"#,
        "n|* * * * *|<none>|False|0|30s|60m|a,b|i:1,j|<none>",
    ),
    (
        "networking.k8s.io",
        "Ingress",
        r#"{"metadata": $M, "spec": {"tls": [{}], "rules": [{"host": "a"}, {"host": "b"}, {"host": "c"}, {"host": "d"}]}, "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}"#,
        "n|<none>|a,b,c + 1 more...|1.2.3.4|80, 443|60m",
    ),
    (
        "",
        "PersistentVolumeClaim",
        r#"{"metadata": $M, "spec": {"volumeName": "v", "storageClassName": "s", "volumeMode": "Filesystem"}, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"]}}"#,
        "n|Bound|v|1Gi|RWO,RWX|s|<unset>|60m|Filesystem",
    ),
    (
        "",
        "Event",
        r#"{"metadata": {"name": "e"}, "type": "Normal", "reason": "Pulled", "message": " done \n", "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec"}, "source": {"component": "kubelet", "host": "h"}, "firstTimestamp": "2026-01-01T00:50:00Z", "lastTimestamp": "2026-01-01T00:59:00Z", "count": 0}"#,
        "60s|Normal|Pulled|pod/p|spec|kubelet, h|done|10m|1|e",
    ),
    (
        "certificates.k8s.io",
        "CertificateSigningRequest",
        r#"{"metadata": $M, "spec": {"signerName": "s/x", "username": "u", "expirationSeconds": 86400}, "status": {"conditions": [{"type": "Approved"}], "certificate": "QQ=="}}"#,
        "n|60m|s/x|u|24h|Approved,Issued",
    ),
    (
        "rbac.authorization.k8s.io",
        "RoleBinding",
        r#"{"metadata": $M, "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "namespace": "x", "name": "y"}]}"#,
        "n|Role/r|60m|u||x/y",
    ),
    (
        "autoscaling",
        "HorizontalPodAutoscaler",
        r#"{"metadata": $M, "spec": {"maxReplicas": 4, "scaleTargetRef": {"kind": "Deployment", "name": "d"}, "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}}]}, "status": {"currentReplicas": 1}}"#,
        "n|Deployment/d|cpu: <unknown>/80%|<unset>|4|1|60m",
    ),
    (
        "",
        "ResourceQuota",
        r#"{"metadata": $M, "status": {"hard": {"pods": "4", "limits.cpu": "2"}, "used": {"pods": "1", "limits.cpu": "500m"}}}"#,
        "n|pods: 1/4|limits.cpu: 500m/2|60m",
    ),
    (
        "apps",
        "ControllerRevision",
        r#"{"metadata": {"name": "n", "creationTimestamp": "2026-01-01T00:00:00Z", "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "controller": true}]}, "revision": 2}"#,
        "n|daemonset.apps/d|2|60m",
    ),
];

#[test]
fn rows_read_as_upstream_prints_them() {
    let metadata = r#"{"name": "n", "creationTimestamp": "2026-01-01T00:00:00Z"}"#;
    let template = r#"{"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j"}]}}"#;
    for (group, kind, object, expected) in ROWS {
        let object = object.replace("$M", metadata).replace("$T", template);
        let object = serde_json::from_str(&object).expect("an object");
        assert_eq!(row(group, kind, &object).join("|"), *expected, "{kind}");
    }
}
