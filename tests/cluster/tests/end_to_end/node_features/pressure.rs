//! Pods that take more than they may, and a node that is short of memory: by a threshold that every
//! machine meets.

use super::ended;
use cluster_tests::kubectl::Kubectl;
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use serde_json::{Value, json};

fn pod(namespace: &str, name: &str, more: &Value) -> String {
    let container = json!({"name": "c", "image": "busybox:1.28", "command": ["sleep", "7400"]});
    let mut spec = json!({"terminationGracePeriodSeconds": 0, "containers": [container]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let metadata = json!({"name": name, "namespace": namespace});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}).to_string()
}

/// All pods of these tests, so that they start together.
pub fn make(kubectl: &Kubectl<'_>) {
    kubectl.apply(&pod("default", "victim", &json!({})));
    kubectl.apply(&pod("kube-system", "needed", &json!({"priorityClassName": "system-node-critical"})));
    for (name, mebibytes) in [("greedy", "3"), ("modest", "0")] {
        let write = format!("dd if=/dev/zero of=/v/file bs=1M count={mebibytes} && sleep 7400");
        let container = json!({"name": "c", "image": "busybox:1.28", "command": ["sh", "-c", write],
            "volumeMounts": [{"name": "v", "mountPath": "/v"}]});
        let volumes = json!([{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]);
        kubectl.apply(&pod("default", name, &json!({"containers": [container], "volumes": volumes})));
    }
}

pub fn limits_of_volumes(kubectl: &Kubectl<'_>) {
    let evicted = ended(kubectl, "greedy", "Failed");
    assert_eq!(evicted["status"]["reason"], "Evicted", "{}", evicted["status"]);
    assert_eq!(evicted["status"]["message"], "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ");
    kubectl.container("modest", "running", "");
    kubectl.ok("delete pod modest --wait=false");
}

/// From its next start on.
pub fn make_short(kutter: &mut Kutter) {
    kutter.drop_arguments(&["--eviction-hard", "memory.available<100Mi"]);
    kutter.add_arguments(&["--eviction-hard", "memory.available<99.9%"]);
}

pub fn pods_are_evicted(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    let evicted = ended(&kubectl, "victim", "Failed");
    let status = &evicted["status"];
    assert_eq!(status["reason"], "Evicted", "{status}");
    let message = status["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("The node was low on resource: memory. Threshold quantity: "), "{message}");
    assert!(message.ends_with(", request is 0, has larger consumption of memory. "), "{message}");
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let target = conditions.iter().find(|one| one["type"] == "DisruptionTarget").unwrap_or(&Value::Null);
    assert_eq!((&target["status"], &target["reason"]), (&json!("True"), &json!("TerminationByKubelet")));
    until("the event tells what was short", 20, || {
        let events = kubectl.json("get events --field-selector involvedObject.name=victim,reason=Evicted");
        holds(events["items"][0]["metadata"]["annotations"]["starved_resource"] == "memory", events)
    });
    until("the node is tainted", 60, || {
        let node = kubectl.json("get node n1");
        let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        let is_it = |one: &Value| one["key"] == "node.kubernetes.io/memory-pressure" && one["effect"] == "NoSchedule";
        holds(taints.iter().any(is_it), taints)
    });
    kubectl.apply(&pod("default", "late", &json!({"nodeName": "n1"})));
    let refused = ended(&kubectl, "late", "Failed");
    assert_eq!(refused["status"]["message"], "Pod was rejected: The node had condition: [MemoryPressure]. ");
    let needed = kubectl.json("get pod needed -n kube-system");
    assert_eq!(needed["status"]["phase"], "Running", "the system needs it: {}", needed["status"]);
}
