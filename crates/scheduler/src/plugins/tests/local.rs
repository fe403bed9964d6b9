//! Rules that judge a node by itself.

use crate::config::{DefaultSpread, FitArgs, Strategy};
use crate::fixture::{Fixture, node, placed};
use serde_json::{Value, json};

fn wanting(cpu: &str, memory: &str) -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}}]}})
}

#[tokio::test]
async fn filters_say_no_in_upstreams_words() {
    let spec = |node: Value, spec: Value| {
        let mut node = node;
        node["spec"] = spec;
        node
    };
    let objects = [
        node("plain", json!({"zone": "a", "cores": "8"})),
        spec(node("tainted", json!({})), json!({"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]})),
        spec(node("cordoned", json!({})), json!({"unschedulable": true})),
    ];
    let mut cluster = Fixture::new(&objects).await;
    let affinity = |rule: Value| {
        json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [rule]}}}}})
    };
    let expression = |rule: Value| affinity(json!({"matchExpressions": [rule]}));
    let names =
        |names: Value| affinity(json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": names}]}));
    for (pod, wanted) in [
        (json!({}), "plain"),
        (json!({"spec": {"tolerations": [{"operator": "Exists"}]}}), "cordoned plain tainted"),
        (json!({"spec": {"tolerations": [{"key": "k", "value": "v"}]}}), "plain tainted"),
        (json!({"spec": {"nodeSelector": {"zone": "a"}}}), "plain"),
        (
            json!({"spec": {"nodeSelector": {"zone": "b"}}}),
            "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated \
             taint(s), 1 node(s) were unschedulable.",
        ),
        (expression(json!({"key": "zone", "operator": "In", "values": ["a", "b"]})), "plain"),
        (expression(json!({"key": "cores", "operator": "Gt", "values": ["7"]})), "plain"),
        (names(json!(["plain", "elsewhere"])), "plain"),
        (
            names(json!(["tainted"])),
            "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 node(s) didn't satisfy plugin(s) \
             [NodeAffinity].",
        ),
        (
            wanting("5", "1Gi"),
            "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), 1 node(s) were \
             unschedulable.",
        ),
        (
            wanting("5", "9Gi"),
            "0/3 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 node(s) had untolerated taint(s), 1 \
             node(s) were unschedulable.",
        ),
    ] {
        assert_eq!(cluster.verdict(&pod), wanted, "{pod}");
    }
    assert_eq!(Fixture::new(&[]).await.verdict(&json!({})), "no nodes available to schedule pods");
}

#[tokio::test]
async fn room_and_ports_are_counted() {
    let port = |address: &str| {
        json!({"spec": {"containers": [{"name": "c", "ports":
            [{"containerPort": 80, "hostPort": 80, "hostIP": address}]}]}})
    };
    let mut standing = port("10.0.0.1");
    standing["metadata"] = json!({"name": "a"});
    standing["spec"]["nodeName"] = json!("n");
    let mut cluster = Fixture::new(&[node("n", json!({}))]).await;
    cluster.add_pod(&standing);
    let taken = "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.";
    assert_eq!(cluster.verdict(&port("0.0.0.0")), taken);
    assert_eq!(cluster.verdict(&port("10.0.0.1")), taken);
    assert_eq!(cluster.verdict(&port("10.0.0.2")), "n");
    for name in 1..10 {
        cluster.add_pod(&placed(&name.to_string(), "n", json!({})));
    }
    assert_eq!(cluster.verdict(&json!({})), "0/1 nodes are available: 1 Too many pods.");
    cluster.remove_pod("3");
    assert_eq!(cluster.verdict(&json!({})), "n");
}

#[tokio::test]
async fn fit_scores_by_strategy() {
    let mut full = wanting("2", "2Gi");
    full["metadata"] = json!({"name": "standing"});
    full["spec"]["nodeName"] = json!("full");
    let mut cluster = Fixture::new(&[node("empty", json!({})), node("full", json!({}))]).await;
    cluster.add_pod(&full);
    let pod = wanting("1", "2Gi");
    let fit = "NodeResourcesFit";
    // Empty: (75 + 75) / 2; full: (25 + 50) / 2.
    assert_eq!(cluster.scores(&pod, fit), [75, 37]);
    cluster.profile.args.fit.strategy = Strategy::MostAllocated;
    assert_eq!(cluster.scores(&pod, fit), [25, 62]);
    cluster.profile.args.fit =
        FitArgs { strategy: Strategy::RequestedToCapacityRatio, shape: vec![(0, 0), (100, 100)], ..FitArgs::default() };
    assert_eq!(cluster.scores(&pod, fit), [25, 63]);
    // cpu 25% and memory 25% lie together, 75% and 50% are 12.5 points from their middle.
    assert_eq!(cluster.scores(&pod, "NodeResourcesBalancedAllocation"), [100, 87]);
}

#[tokio::test]
async fn images_taints_and_preferences_attract() {
    let mut near = node("near", json!({"disk": "ssd"}));
    near["status"] = json!({
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"},
        "images": [{"names": ["docker.io/library/big:1"], "sizeBytes": 1000 << 20}],
    });
    let mut soft = node("soft", json!({}));
    soft["spec"] = json!({"taints": [{"key": "k", "effect": "PreferNoSchedule"}]});
    let mut cluster = Fixture::new(&[near, soft]).await;
    let pod = json!({"spec": {
        "containers": [{"name": "c", "image": "big:1"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 7, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}},
        ]}},
    }});
    // The image is on one node of two: half its size counts.
    assert_eq!(cluster.scores(&pod, "ImageLocality"), [48, 0]);
    assert_eq!(cluster.scores(&pod, "TaintToleration"), [100, 0]);
    assert_eq!(cluster.scores(&pod, "NodeAffinity"), [100, 0]);
    cluster.profile.args.spread = DefaultSpread::List(Vec::new());
    assert_eq!(cluster.scores(&pod, "PodTopologySpread"), [0, 0]);
}
