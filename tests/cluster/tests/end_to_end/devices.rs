//! Devices of a node, given to pods by claims.

use cluster_tests::kubectl::Kubectl;
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use serde_json::Value;
use testkit::net::{Shape, World};

#[test]
fn a_device_is_one_pods_at_a_time() {
    let world = World::new(Shape::Switch);
    let kutter = Kutter::up(&world, 1);
    let kubectl = kutter.kubectl();
    kubectl.apply_file("devices.yaml");
    let node = kubectl.ok("get nodes -o jsonpath={.items[0].metadata.name}");
    kubectl.apply(&format!(
        "{{apiVersion: resource.k8s.io/v1, kind: ResourceSlice, metadata: {{name: slice}}, spec: {{driver: gpu.example.com, \
         nodeName: {node}, pool: {{name: {node}, generation: 1, resourceSliceCount: 1}}, devices: \
         [{{name: small, attributes: {{size: {{int: 1}}}}}}, {{name: big, attributes: {{size: {{int: 2}}}}}}]}}}}"
    ));

    apply_pod(&kubectl, "first");
    let first = allocated(&kubectl, "first");
    assert_eq!(first["status"]["allocation"]["devices"]["results"][0]["device"], "big");
    let driver = "DRA driver gpu.example.com is not registered";
    until("nobody makes the device ready", 60, || {
        let events = kubectl.events("first");
        holds(events.iter().any(|event| event.contains(driver)), events)
    });

    apply_pod(&kubectl, "second");
    let wanted = "0/1 nodes are available: 1 cannot allocate all claims. still not schedulable, preemption: 0/1 nodes \
                  are available: 1 Preemption is not helpful for scheduling.";
    until("the second waits", 60, || {
        let told = kubectl.say("get pod second -o jsonpath={.status.conditions[?(@.type==\"PodScheduled\")].message}");
        holds(told.out == wanted, told)
    });
    let claims = kubectl.ok("get resourceclaims --no-headers");
    let states: Vec<&str> = claims.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(states, ["allocated,reserved", "pending"], "{claims}");

    kubectl.ok("delete pod first --wait=false");
    let second = allocated(&kubectl, "second");
    assert_eq!(second["status"]["allocation"]["devices"]["results"][0]["device"], "big");
    kubectl.ok("delete pod second --wait=false");
    until("the claims go with their pods", 60, || {
        let claims = kubectl.say("get resourceclaims -o name");
        holds(claims.out.is_empty(), claims)
    });
    kutter.down();
}

fn apply_pod(kubectl: &Kubectl<'_>, name: &str) {
    kubectl.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{resourceClaims: [{{name: gpu, \
         resourceClaimTemplateName: gpu}}], containers: [{{name: c, image: none, resources: {{claims: \
         [{{name: gpu}}]}}}}]}}}}"
    ));
}

/// The pod's claim, once it has a device and is the pod's.
fn allocated(kubectl: &Kubectl<'_>, pod: &str) -> Value {
    let mut found = Value::Null;
    until("the pod has its device and its node", 60, || {
        let object = kubectl.try_json(&format!("get pod {pod}"));
        let name = object["status"]["resourceClaimStatuses"][0]["resourceClaimName"].as_str().unwrap_or("none");
        found = kubectl.try_json(&format!("get resourceclaim {name}"));
        let users = &found["status"]["reservedFor"][0]["uid"];
        let is_there =
            object["spec"]["nodeName"].is_string() && users.is_string() && *users == object["metadata"]["uid"];
        holds(is_there, (&object["status"], &found))
    });
    found
}
