//! Each rule on small nodes and pods, as upstream judges them.

use crate::framework::Rejection;
use crate::node::{Node, NodeView, Placed};
use crate::plugins::ALL;
use crate::pod::{Candidate, PodView};
use client::cache::{Item, Key, Projection};
use serde_json::{Value, json};

fn node(spec: Value, labels: Value) -> Node {
    let object = json!({"spec": spec, "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "3"}}});
    Node {
        name: "n1".to_owned(),
        labels: serde_json::from_value(labels).unwrap(),
        view: NodeView::project(object.to_string().as_bytes()).unwrap(),
        ..Node::default()
    }
}

fn pod(spec: Value) -> Candidate {
    let mut spec = spec;
    if spec["containers"].is_null() {
        spec["containers"] = json!([{"name": "c"}]);
    }
    let object = json!({"metadata": {"name": "p", "namespace": "d"}, "spec": spec});
    Candidate::read(&Item::<PodView>::read(object.to_string().into()).unwrap()).unwrap()
}

fn verdict(pod: &Candidate, node: &Node) -> Option<Rejection> {
    ALL.iter().filter_map(|plugin| plugin.filter).find_map(|filter| filter(pod, node).err())
}

fn reasons(pod: &Candidate, node: &Node) -> Vec<String> {
    verdict(pod, node).map(|rejection| rejection.reasons).unwrap_or_default()
}

#[test]
fn filters_say_no_in_upstreams_words() {
    let plain = node(json!({}), json!({"zone": "a", "cores": "8"}));
    let tainted = node(json!({"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}), json!({}));
    let cordoned = node(json!({"unschedulable": true}), json!({}));
    let terms = |rule: Value| {
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}}}})
    };
    let tolerating = |toleration: Value| json!({"tolerations": [toleration]});
    let affinity = "node(s) didn't match Pod's node affinity/selector";
    for (spec, node, wanted) in [
        (json!({}), &plain, None),
        (json!({"nodeSelector": {"zone": "b"}}), &plain, Some(affinity)),
        (json!({"nodeSelector": {"zone": "a"}}), &plain, None),
        (terms(json!({"key": "zone", "operator": "In", "values": ["a", "b"]})), &plain, None),
        (terms(json!({"key": "cores", "operator": "Gt", "values": ["8"]})), &plain, Some(affinity)),
        (terms(json!({"key": "gpu", "operator": "DoesNotExist"})), &plain, None),
        (json!({}), &tainted, Some("node(s) had untolerated taint(s)")),
        (tolerating(json!({"key": "k", "operator": "Exists"})), &tainted, None),
        (tolerating(json!({"key": "k", "value": "v"})), &tainted, None),
        (
            tolerating(json!({"operator": "Exists", "effect": "NoExecute"})),
            &tainted,
            Some("node(s) had untolerated taint(s)"),
        ),
        (json!({}), &cordoned, Some("node(s) were unschedulable")),
        (tolerating(json!({"operator": "Exists"})), &cordoned, None),
        (
            json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "3"}}}]}),
            &plain,
            Some("Insufficient cpu"),
        ),
    ] {
        let found = reasons(&pod(spec.clone()), node);
        assert_eq!(found.first().map(String::as_str), wanted, "{spec}");
    }
}

#[test]
fn room_and_ports_are_counted() {
    let wants_port = json!({"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]});
    let one = pod(wants_port);
    let mut node = node(json!({}), json!({}));
    node.place(Key::new("d", "a"), Placed::of(&one.view));
    assert_eq!(reasons(&one, &node), ["node(s) didn't have free ports for the requested pod ports"]);
    let other = pod(json!({}));
    node.place(Key::new("d", "b"), Placed::of(&other.view));
    node.place(Key::new("d", "c"), Placed::of(&other.view));
    assert_eq!(reasons(&other, &node), ["Too many pods"]);
    node.remove(&Key::new("d", "c"));
    assert_eq!(reasons(&other, &node), Vec::<String>::new());
}

#[test]
fn an_empty_node_scores_higher_than_a_full_one() {
    let one = pod(json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}]}));
    let empty = node(json!({}), json!({}));
    let mut full = empty.clone();
    full.place(Key::new("d", "a"), Placed::of(&one.view));
    let total =
        |node: &Node| -> i64 { ALL.iter().filter_map(|plugin| plugin.score).map(|score| score(&one, node)).sum() };
    assert!(total(&empty) > total(&full));
}
