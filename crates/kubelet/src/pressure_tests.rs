//! Scenarios of a node that runs short, on a machine that is made up.

use crate::scenario_tests::{Node, one};
use crate::{EvictionOptions, Observed, Signal};
use container::runtime::Stats;
use meta::GroupVersionResource;
use serde_json::{Value, json};

fn condition(status: &Value, kind: &str) -> Value {
    let all = status["conditions"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
}

fn pressure(node: &Node, kind: &str) -> Value {
    let nodes = GroupVersionResource::of("", "v1", "nodes");
    let object = node.api.get(&nodes, "", "node").unwrap();
    condition(&object["status"], kind)["status"].clone()
}

fn left(node: &Node, signal: Signal, available: i64) {
    node.signals.0.lock().unwrap().insert(signal, Observed { available, capacity: 1000 << 20 });
}

fn uses(node: &Node, name: &str, mebibytes: u64) {
    let stats = Stats { memory_working_set_bytes: mebibytes << 20, ..Stats::default() };
    node.runtime.state.lock().unwrap().stats.insert(name.to_owned(), stats);
}

fn named(container: &str, priority: i32) -> Value {
    let mut spec = one(json!({"name": container}));
    spec["priority"] = json!(priority);
    spec
}

#[tokio::test(start_paused = true)]
async fn pods_go_one_by_one_while_memory_is_short() {
    let hard = "memory.available<100Mi".parse().unwrap();
    let node = Node::with(EvictionOptions { hard, ..EvictionOptions::none() }).await;
    left(&node, Signal::MemoryAvailable, 500 << 20);
    for (pod, container, priority, used) in
        [("small", "cs", 0, 10), ("big", "cb", 0, 60), ("system", "cc", 2_000_000_000, 400)]
    {
        node.create(pod, named(container, priority));
        uses(&node, pod, used);
        uses(&node, container, used);
    }
    node.wait(15).await;
    assert_eq!(pressure(&node, "MemoryPressure"), "False");
    node.runtime.take_log();
    left(&node, Signal::MemoryAvailable, 50 << 20);
    node.wait(20).await;
    assert_eq!(pressure(&node, "MemoryPressure"), "True");
    let status = node.status("big");
    assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("Evicted")), "{status}");
    let message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container cb was \
                   using 60Mi, request is 0, has larger consumption of memory. ";
    assert_eq!(status["message"], message);
    let target = condition(&status, "DisruptionTarget");
    assert_eq!((&target["status"], &target["reason"]), (&json!("True"), &json!("TerminationByKubelet")));
    assert_eq!(target["message"], message);
    let told = node.events("Evicted");
    assert_eq!(told[0], message);
    assert!(told[1].contains("Container cs was using 10Mi, request is 0"), "{told:?}");
    assert_eq!(node.events("EvictionThresholdMet")[0], "Attempting to reclaim memory");
    let told = node.api.all(&GroupVersionResource::of("", "v1", "events"));
    let told = told.iter().find(|event| event["reason"] == "Evicted").unwrap();
    assert_eq!(told["metadata"]["annotations"]["offending_containers_usage"], "60Mi", "{told}");
    let log = node.runtime.take_log();
    let place = |text: &str| log.iter().position(|line| line == text);
    assert!(place("ended cb").is_some() && place("ended cb") < place("stop cs 1s"), "one after the other: {log:?}");
    assert_eq!(node.status("small")["reason"], "Evicted");
    node.wait(60).await;
    assert_eq!(node.status("system")["phase"], "Running", "the system needs it");
    node.create("late", one(json!({})));
    node.wait(2).await;
    let refused = node.status("late");
    assert_eq!((&refused["phase"], &refused["reason"]), (&json!("Failed"), &json!("Evicted")));
    assert_eq!(refused["message"], "Pod was rejected: The node had condition: [MemoryPressure]. ");
    left(&node, Signal::MemoryAvailable, 500 << 20);
    node.wait(200).await;
    assert_eq!(pressure(&node, "MemoryPressure"), "True", "it could come back");
    node.wait(120).await;
    assert_eq!(pressure(&node, "MemoryPressure"), "False");
    let text = node.env.metrics.render();
    assert!(text.contains("kubelet_evictions{eviction_signal=\"memory.available\"} 2\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_soft_threshold_lets_pods_end_in_peace() {
    let mut options = EvictionOptions { soft: "memory.available<100Mi".parse().unwrap(), ..EvictionOptions::none() };
    (options.soft_grace, options.max_pod_grace) = ("memory.available=1m".parse().unwrap(), 12);
    let node = Node::with(options).await;
    node.create("a", one(json!({})));
    node.wait(2).await;
    left(&node, Signal::MemoryAvailable, 50 << 20);
    node.wait(50).await;
    assert_eq!(node.status("a")["phase"], "Running");
    assert_eq!(pressure(&node, "MemoryPressure"), "True");
    node.runtime.take_log();
    node.wait(40).await;
    assert_eq!(node.status("a")["reason"], "Evicted");
    assert!(node.runtime.take_log().contains(&"stop c 12s".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_pod_beyond_its_own_limit_is_evicted_alone() {
    let node = Node::new().await;
    for (name, size) in [("greedy", "64Ki"), ("modest", "1Mi")] {
        let mut spec = one(json!({"name": name, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}));
        spec["volumes"] = json!([{"name": "v", "emptyDir": {"sizeLimit": size}}]);
        node.create(name, spec);
    }
    node.wait(2).await;
    for pod in ["greedy", "modest"] {
        let volume = format!("kubelet/pods/uid-{pod}/volumes/kubernetes.io~empty-dir/v/file");
        std::fs::write(node.directory.path().join(volume), vec![7; 200_000]).unwrap();
    }
    node.wait(30).await;
    let status = node.status("greedy");
    assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("Evicted")), "{status}");
    assert_eq!(status["message"], "Usage of EmptyDir volume \"v\" exceeds the limit \"64Ki\". ");
    assert!(condition(&status, "DisruptionTarget").is_null(), "it is its own fault");
    assert_eq!(node.status("modest")["phase"], "Running");
    assert!(!node.directory.path().join("kubelet/pods/uid-greedy/volumes").exists(), "its files are gone");
}
