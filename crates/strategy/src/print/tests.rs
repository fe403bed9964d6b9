//! Rows as upstream prints them.

use super::{ALL, find, human_duration};
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

#[test]
fn spans_of_time() {
    for (seconds, text) in [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (150, "2m30s"),
        (600, "10m"),
        (179 * 60, "179m"),
        (3 * 3600 + 300, "3h5m"),
        (47 * 3600, "47h"),
        (51 * 3600, "2d3h"),
        (100 * 86400, "100d"),
        (745 * 86400, "2y15d"),
        (9 * 365 * 86400, "9y"),
    ] {
        assert_eq!(human_duration(seconds), text, "{seconds}");
    }
}

/// Ready, status and restarts of pods in every state that has a word of its own.
#[test]
fn the_word_for_a_pod() {
    let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    let ended = |code: i64, reason: &str| json!({"terminated": {"exitCode": code, "reason": reason}});
    let waits = |reason: &str| json!({"waiting": {"reason": reason}});
    let one = json!({"containers": [{"name": "a"}]});
    let two = json!({"containers": [{"name": "a"}, {"name": "b"}]});
    let init = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "i"}, {"name": "j"}]});
    let sidecar = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]});
    let restarted = json!([{"name": "a", "ready": true, "state": running.clone(), "restartCount": 1,
        "lastState": {"terminated": {"finishedAt": "2026-01-01T00:55:00Z"}}}]);
    let initialized = json!([{"type": "Initialized", "status": "True"}]);
    let rows: &[(&Value, Value, &str)] = &[
        (&one, json!({"phase": "Pending"}), "0/1 Pending 0"),
        (
            &one,
            json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}),
            "0/1 SchedulingGated 0",
        ),
        (&one, json!({"phase": "Failed", "reason": "Evicted"}), "0/1 Evicted 0"),
        (
            &one,
            json!({"phase": "Pending", "containerStatuses": [{"state": waits("ContainerCreating")}]}),
            "0/1 ContainerCreating 0",
        ),
        (&one, json!({"phase": "Running", "containerStatuses": [{"state": running, "ready": true}]}), "1/1 Running 0"),
        (&one, json!({"phase": "Running", "containerStatuses": restarted}), "1/1 Running 1 (5m ago)"),
        (
            &one,
            json!({"phase": "Running", "containerStatuses": [{"state": waits("CrashLoopBackOff"), "restartCount": 4}]}),
            "0/1 CrashLoopBackOff 4",
        ),
        (
            &one,
            json!({"phase": "Succeeded", "containerStatuses": [{"state": ended(0, "Completed")}]}),
            "0/1 Completed 0",
        ),
        (&one, json!({"phase": "Failed", "containerStatuses": [{"state": ended(3, "")}]}), "0/1 ExitCode:3 0"),
        (
            &one,
            json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 137, "signal": 9}}}]}),
            "0/1 Signal:9 0",
        ),
        (
            &two,
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [
            {"state": ended(0, "Completed")}, {"state": running, "ready": true}]}),
            "1/2 Running 0",
        ),
        (
            &two,
            json!({"phase": "Running", "containerStatuses": [
            {"state": ended(0, "Completed")}, {"state": running, "ready": true}]}),
            "1/2 NotReady 0",
        ),
        (
            &init,
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": running}]}),
            "0/1 Init:0/2 0",
        ),
        (
            &init,
            json!({"phase": "Pending", "initContainerStatuses": [
            {"name": "i", "state": ended(0, "Completed")}, {"name": "j", "state": waits("PodInitializing")}]}),
            "0/1 Init:1/2 0",
        ),
        (
            &init,
            json!({"phase": "Pending", "initContainerStatuses": [
            {"name": "i", "state": waits("CrashLoopBackOff"), "restartCount": 2}]}),
            "0/1 Init:CrashLoopBackOff 2",
        ),
        (
            &init,
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": ended(1, "Error")}]}),
            "0/1 Init:Error 0",
        ),
        (
            &init,
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": ended(7, "")}]}),
            "0/1 Init:ExitCode:7 0",
        ),
        (
            &init,
            json!({"phase": "Running", "conditions": initialized, "containerStatuses": [{"state": running, "ready": true}],
            "initContainerStatuses": [{"name": "i", "state": ended(0, ""), "restartCount": 9},
            {"name": "j", "state": ended(0, "")}]}),
            "1/1 Running 0",
        ),
        (
            &sidecar,
            json!({"phase": "Running", "containerStatuses": [{"state": running, "ready": true}],
            "initContainerStatuses": [{"name": "s", "state": running, "started": true, "ready": true, "restartCount": 2}]}),
            "2/2 Running 2",
        ),
    ];
    for (spec, status, expected) in rows {
        let cells = row("", "Pod", &json!({"metadata": {"name": "p"}, "spec": spec, "status": status}));
        assert_eq!(cells[1..4].join(" "), *expected, "{status}");
    }
    let mut going =
        json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": one, "status": {"phase": "Running"}});
    assert_eq!(row("", "Pod", &going)[2], "Terminating");
    going["status"] = json!({"phase": "Running", "reason": "NodeLost"});
    assert_eq!(row("", "Pod", &going)[2], "Unknown");
    going["status"] = json!({"phase": "Succeeded"});
    assert_eq!(row("", "Pod", &going)[2], "Succeeded");
}

/// Whole rows, wide columns too.
#[test]
fn rows_read_as_upstream_prints_them() {
    let born = "2026-01-01T00:00:00Z";
    let template = json!({"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j"}]}});
    let metadata = json!({"name": "n", "creationTimestamp": born});
    let rows: &[(&str, &str, Value, &str)] = &[
        (
            "",
            "Node",
            json!({"metadata": {"name": "n", "creationTimestamp": born,
                "labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}],
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                "nodeInfo": {"kubeletVersion": "v1.37.0", "osImage": "Debian", "kernelVersion": "6.1",
                    "containerRuntimeVersion": "kutter://1"}}}),
            "n|NotReady,SchedulingDisabled|control-plane,worker|60m|v1.37.0|10.0.0.1|<none>|Debian|6.1|kutter://1",
        ),
        (
            "apps",
            "Deployment",
            json!({"metadata": metadata, "spec": {"replicas": 3, "template": template,
                "selector": {"matchLabels": {"app": "x"}, "matchExpressions": [{"key": "t", "operator": "In", "values": ["b", "a"]}]}},
            "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}}),
            "n|1/3|2|1|60m|a,b|i:1,j|app=x,t in (a,b)",
        ),
        (
            "",
            "ReplicationController",
            json!({"metadata": metadata, "spec": {"replicas": 1, "selector": {"b": "1", "a": "2"},
                "template": template}, "status": {"replicas": 1}}),
            "n|1|1|0|60m|a,b|i:1,j|a=2,b=1",
        ),
        (
            "",
            "Service",
            json!({"metadata": metadata, "spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.9"],
                "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}}),
            "n|LoadBalancer|10.0.0.9|<pending>|80:30080/TCP,53/UDP|60m|<none>",
        ),
        (
            "",
            "Service",
            json!({"metadata": metadata, "spec": {"type": "ClusterIP", "clusterIPs": ["None"],
                "selector": {"app": "x"}}}),
            "n|ClusterIP|None|<none>|<none>|60m|app=x",
        ),
        (
            "",
            "Endpoints",
            json!({"metadata": metadata, "subsets": [{"ports": [{"port": 1}, {"port": 2}],
                "addresses": [{"ip": "1.1.1.1"}, {"ip": "fd00::1"}]}]}),
            "n|1.1.1.1:1,[fd00::1]:1,1.1.1.1:2 + 1 more...|60m",
        ),
        (
            "discovery.k8s.io",
            "EndpointSlice",
            json!({"metadata": metadata, "addressType": "IPv4", "ports": [{"port": 80}],
                "endpoints": []}),
            "n|IPv4|80|<unset>|60m",
        ),
        (
            "batch",
            "Job",
            json!({"metadata": metadata, "spec": {"completions": 2, "template": template},
                "status": {"succeeded": 1, "startTime": "2026-01-01T00:58:00Z"}}),
            "n|Running|1/2|2m|60m|a,b|i:1,j|<none>",
        ),
        (
            "batch",
            "CronJob",
            json!({"metadata": metadata, "spec": {"schedule": "* * * * *", "suspend": false,
                "jobTemplate": {"spec": {"template": template}}}, "status": {"lastScheduleTime": "2026-01-01T00:59:30Z"}}),
            "n|* * * * *|<none>|False|0|30s|60m|a,b|i:1,j|<none>",
        ),
        (
            "networking.k8s.io",
            "Ingress",
            json!({"metadata": metadata, "spec": {"tls": [{}], "rules": [{"host": "a"}, {"host": "b"},
                {"host": "c"}, {"host": "d"}]}, "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}),
            "n|<none>|a,b,c + 1 more...|1.2.3.4|80, 443|60m",
        ),
        (
            "",
            "PersistentVolumeClaim",
            json!({"metadata": metadata, "spec": {"volumeName": "v", "storageClassName": "s",
                "volumeMode": "Filesystem"}, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteMany", "ReadWriteOnce"]}}),
            "n|Bound|v|1Gi|RWO,RWX|s|<unset>|60m|Filesystem",
        ),
        (
            "",
            "Event",
            json!({"metadata": {"name": "e"}, "type": "Normal", "reason": "Pulled", "message": " done \n",
                "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec"}, "source": {"component": "kubelet", "host": "h"},
                "firstTimestamp": "2026-01-01T00:50:00Z", "lastTimestamp": "2026-01-01T00:59:00Z", "count": 0}),
            "60s|Normal|Pulled|pod/p|spec|kubelet, h|done|10m|1|e",
        ),
        (
            "certificates.k8s.io",
            "CertificateSigningRequest",
            json!({"metadata": metadata, "spec": {"signerName": "s/x",
                "username": "u", "expirationSeconds": 86400}, "status": {"conditions": [{"type": "Approved"}], "certificate": "QQ=="}}),
            "n|60m|s/x|u|24h|Approved,Issued",
        ),
        (
            "rbac.authorization.k8s.io",
            "RoleBinding",
            json!({"metadata": metadata, "roleRef": {"kind": "Role", "name": "r"},
                "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "namespace": "x", "name": "y"}]}),
            "n|Role/r|60m|u||x/y",
        ),
        (
            "autoscaling",
            "HorizontalPodAutoscaler",
            json!({"metadata": metadata, "spec": {"maxReplicas": 4,
                "scaleTargetRef": {"kind": "Deployment", "name": "d"}, "metrics": [{"type": "Resource", "resource":
                {"name": "cpu", "target": {"averageUtilization": 80}}}]}, "status": {"currentReplicas": 1}}),
            "n|Deployment/d|cpu: <unknown>/80%|<unset>|4|1|60m",
        ),
        (
            "",
            "ResourceQuota",
            json!({"metadata": metadata, "status": {"hard": {"pods": "4", "limits.cpu": "2"},
                "used": {"pods": "1", "limits.cpu": "500m"}}}),
            "n|pods: 1/4|limits.cpu: 500m/2|60m",
        ),
        (
            "apps",
            "ControllerRevision",
            json!({"metadata": {"name": "n", "creationTimestamp": born, "ownerReferences":
                [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "controller": true}]}, "revision": 2}),
            "n|daemonset.apps/d|2|60m",
        ),
    ];
    for (group, kind, object, expected) in rows {
        assert_eq!(row(group, kind, object).join("|"), *expected, "{kind}");
    }
}
