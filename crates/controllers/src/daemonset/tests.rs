//! Which nodes suit, as a table; rollouts with a pretended node.

use super::*;
use crate::history;
use crate::testing::{Stage, item};
use serde_json::json;

const SETS: meta::GroupVersionResource = resource::DAEMON_SETS;
const PODS: meta::GroupVersionResource = resource::PODS;
const NODES: meta::GroupVersionResource = resource::NODES;
const REVISIONS: meta::GroupVersionResource = resource::CONTROLLER_REVISIONS;

fn set(spec: &Value) -> Value {
    let mut set = json!({
        "metadata": {
            "namespace": "ns", "name": "d", "generation": 1, "uid": "set-d",
            "annotations": {pod::TEMPLATE_GENERATION: "1"},
        },
        "spec": {
            "selector": {"matchLabels": {"app": "d"}}, "revisionHistoryLimit": 1,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "a"}]}},
        },
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        set["spec"][field] = value.clone();
    }
    set
}

fn node(name: &str, more: &Value) -> Value {
    let mut node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "spec": {}});
    for (field, value) in more.as_object().into_iter().flatten() {
        node[field] = value.clone();
    }
    node
}

async fn stage(spec: &Value, nodes: usize) -> Stage {
    let nodes: Vec<Value> = (1..=nodes).map(|number| node(&format!("n{number}"), &json!({}))).collect();
    let (set_resource, node_resource) = (SETS, NODES);
    let mut objects = vec![(&set_resource, set(spec))];
    objects.extend(nodes.into_iter().map(|node| (&node_resource, node)));
    Stage::new(&DEF, &objects).await
}

/// Binds pods to the node they are meant for, ends deleted ones, makes the rest ready.
fn daemons_run(stage: &Stage) {
    for mut pod in stage.api.all(&PODS) {
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        if pod["metadata"]["deletionTimestamp"].is_string() {
            stage.api.remove(&PODS, "ns", &name);
        } else if pod["spec"]["nodeName"].is_null() {
            pod["spec"]["nodeName"] = json!(pod::node(&item::<PodView>(&pod)));
            stage.api.put(&PODS, pod);
        } else if pod["status"]["phase"].is_null() {
            let since = meta::time::format(stage.env.clock.now());
            let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": since});
            pod["status"] = json!({"phase": "Running", "conditions": [ready]});
            stage.api.put(&PODS, pod);
        }
    }
}

async fn rest(stage: &Stage) {
    for _ in 0..30 {
        daemons_run(stage);
        stage.settle(1).await;
    }
}

fn new_image(stage: &Stage, image: &str) {
    stage.edit(&SETS, "ns", "d", |set| {
        set["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        for place in ["/metadata/generation", "/metadata/annotations"] {
            let value = set.pointer_mut(place).unwrap();
            match value.as_i64() {
                Some(count) => *value = json!(count + 1),
                None => {
                    let count: i64 = value[pod::TEMPLATE_GENERATION].as_str().unwrap().parse().unwrap();
                    value[pod::TEMPLATE_GENERATION] = json!((count + 1).to_string());
                }
            }
        }
    });
}

/// The images that run, by node.
fn images(stage: &Stage) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |pod: &Value| (text(&pod["spec"]["nodeName"]), text(&pod["spec"]["containers"][0]["image"]));
    let mut rows: Vec<_> = stage.api.all(&PODS).iter().map(row).collect();
    rows.sort();
    rows
}

fn status(stage: &Stage, field: &str) -> i64 {
    stage.api.get(&SETS, "ns", "d").unwrap()["status"][field].as_i64().unwrap_or(0)
}

#[test]
fn nodes_suit_by_name_labels_affinity_and_taints() {
    let affinity = |operator: &str, values: Value| {
        let rule = json!({"key": "kubernetes.io/hostname", "operator": operator, "values": values});
        let terms = json!({"nodeSelectorTerms": [{"matchExpressions": [rule]}]});
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
    };
    let taint = |key: &str, effect: &str| json!({"spec": {"taints": [{"key": key, "effect": effect}]}});
    let cases = [
        ("any", json!({}), json!({}), (true, true)),
        ("named", json!({"nodeName": "n1"}), json!({}), (true, true)),
        ("another named", json!({"nodeName": "n2"}), json!({}), (false, false)),
        ("selected", json!({"nodeSelector": {"kubernetes.io/hostname": "n1"}}), json!({}), (true, true)),
        ("not selected", json!({"nodeSelector": {"color": "blue"}}), json!({}), (false, false)),
        ("required", affinity("In", json!(["n1"])), json!({}), (true, true)),
        ("excluded", affinity("NotIn", json!(["n1"])), json!({}), (false, false)),
        ("tainted", json!({}), taint("k", "NoSchedule"), (false, true)),
        ("tainted badly", json!({}), taint("k", "NoExecute"), (false, false)),
        ("tainted softly", json!({}), taint("k", "PreferNoSchedule"), (true, true)),
        ("borne", json!({"tolerations": [{"operator": "Exists"}]}), taint("k", "NoExecute"), (true, true)),
        ("not ready", json!({}), taint("node.kubernetes.io/not-ready", "NoExecute"), (true, true)),
        ("cordoned", json!({}), taint("node.kubernetes.io/unschedulable", "NoSchedule"), (true, true)),
        ("without network", json!({}), taint("node.kubernetes.io/network-unavailable", "NoSchedule"), (false, true)),
        (
            "on the host's network",
            json!({"hostNetwork": true}),
            taint("node.kubernetes.io/network-unavailable", "NoSchedule"),
            (true, true),
        ),
    ];
    for (what, spec, more, (runs, stays)) in cases {
        let verdict = Placement::of(&spec).unwrap().verdict(&item(&node("n1", &more)));
        assert_eq!(verdict, placement::Verdict { runs, stays }, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_node_gets_a_pod_of_its_own() {
    let stage = stage(&json!({}), 3).await;
    rest(&stage).await;
    assert_eq!(images(&stage).len(), 3);
    let pod = &stage.api.all(&PODS)[0];
    assert_eq!(pod["metadata"]["labels"]["pod-template-generation"], "1");
    let revision = &stage.api.all(&REVISIONS)[0];
    assert_eq!(pod["metadata"]["labels"][history::LABEL], revision["metadata"]["labels"][history::LABEL]);
    let template = &revision["data"]["spec"]["template"];
    assert_eq!(template["$patch"], "replace");
    assert_eq!(template["metadata"].get("creationTimestamp"), Some(&Value::Null));
    assert_eq!(pod["metadata"].get("creationTimestamp").filter(|time| time.is_null()), None);
    assert_eq!(pod["spec"]["tolerations"].as_array().unwrap().len(), 6);
    for (field, number) in [("desiredNumberScheduled", 3), ("numberAvailable", 3), ("updatedNumberScheduled", 3)] {
        assert_eq!(status(&stage, field), number, "{field}");
    }
    stage.writes();
    stage.settle(3600).await;
    assert!(stage.writes().is_empty(), "an idle cluster makes no writes");

    stage.api.put(&NODES, node("n4", &json!({})));
    stage.edit(&NODES, "", "n1", |node| node["spec"]["taints"] = json!([{"key": "k", "effect": "NoSchedule"}]));
    stage.edit(&NODES, "", "n2", |node| node["spec"]["taints"] = json!([{"key": "k", "effect": "NoExecute"}]));
    rest(&stage).await;
    let nodes: Vec<String> = images(&stage).into_iter().map(|(node, _)| node).collect();
    assert_eq!(nodes, ["n1", "n3", "n4"]);
    assert_eq!((status(&stage, "numberMisscheduled"), status(&stage, "desiredNumberScheduled")), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_goes_node_by_node() {
    for (strategy, most, least) in [
        (json!({"maxUnavailable": 1, "maxSurge": 0}), 4, 3),
        (json!({"maxUnavailable": "50%", "maxSurge": 0}), 4, 2),
        (json!({"maxUnavailable": 0, "maxSurge": 1}), 5, 4),
    ] {
        let spec = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": strategy}});
        let stage = stage(&spec, 4).await;
        rest(&stage).await;
        new_image(&stage, "b");
        for _ in 0..60 {
            daemons_run(&stage);
            let pods = stage.api.all(&PODS);
            let able =
                |pod: &&Value| pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null();
            assert!(pods.len() <= most && pods.iter().filter(able).count() >= least - 1, "{strategy}: {pods:?}");
            stage.settle(1).await;
            let able = stage.api.all(&PODS).iter().filter(able).count();
            assert!(able >= least, "{strategy}: {able}");
        }
        assert!(images(&stage).iter().all(|(_, image)| image == "b"), "{strategy}");
        assert_eq!(images(&stage).len(), 4);
        assert_eq!(status(&stage, "updatedNumberScheduled"), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn on_delete_waits_for_somebody_to_delete() {
    let stage = stage(&json!({"updateStrategy": {"type": "OnDelete"}}), 2).await;
    rest(&stage).await;
    new_image(&stage, "b");
    rest(&stage).await;
    assert!(images(&stage).iter().all(|(_, image)| image == "a"));
    assert_eq!(status(&stage, "updatedNumberScheduled"), 0);
    stage.api.remove(&PODS, "ns", stage.api.all(&PODS)[0]["metadata"]["name"].as_str().unwrap());
    rest(&stage).await;
    assert_eq!(images(&stage).iter().filter(|(_, image)| image == "b").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn history_is_kept_rolled_back_to_and_pruned() {
    let stage = stage(&json!({}), 1).await;
    rest(&stage).await;
    for image in ["b", "c", "b"] {
        new_image(&stage, image);
        rest(&stage).await;
    }
    let mut numbers: Vec<i64> =
        stage.api.all(&REVISIONS).iter().map(|revision| revision["revision"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [3, 4], "one old revision and the newest, which was the second before");
}

#[tokio::test(start_paused = true)]
async fn failed_pods_are_replaced_ever_more_slowly() {
    let stage = stage(&json!({}), 1).await;
    let mut made = 0;
    for _ in 0..120 {
        for mut pod in stage.api.all(&PODS) {
            pod["spec"]["nodeName"] = json!("n1");
            pod["status"] = json!({"phase": "Failed"});
            stage.api.put(&PODS, pod);
        }
        stage.settle(1).await;
        for pod in stage.api.all(&PODS) {
            if pod["metadata"]["deletionTimestamp"].is_string() {
                stage.api.remove(&PODS, "ns", pod["metadata"]["name"].as_str().unwrap());
                made += 1;
            }
        }
    }
    assert!((5..=8).contains(&made), "{made}");
    assert!(stage.events().iter().any(|event| event.starts_with("FailedDaemonPod Found failed daemon pod ns/d-")));
}

/// Upstream's controllers before 1.34 write the empty time, newer ones do not.
#[tokio::test(start_paused = true)]
async fn revisions_of_every_release_are_known_again() {
    for empty_time in [true, false] {
        let mut template = set(&json!({}))["spec"]["template"].clone();
        if empty_time {
            template["metadata"]["creationTimestamp"] = Value::Null;
        }
        template["$patch"] = json!("replace");
        let owner = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "set-d", "controller": true,
        });
        let kept = json!({
            "metadata": {
                "namespace": "ns", "name": "d-old", "labels": {"app": "d", history::LABEL: "old"},
                "ownerReferences": [owner],
            },
            "data": {"spec": {"template": template}}, "revision": 1,
        });
        let objects = [(&SETS, set(&json!({}))), (&NODES, node("n1", &json!({}))), (&REVISIONS, kept)];
        let stage = Stage::new(&DEF, &objects).await;
        rest(&stage).await;
        assert_eq!(stage.api.all(&REVISIONS).len(), 1, "{empty_time}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_taken_name_counts_as_a_collision() {
    let hash = history::hash(&set(&json!({}))["spec"]["template"], None);
    let taken = json!({"metadata": {"namespace": "ns", "name": format!("d-{hash}")}, "data": {}, "revision": 9});
    let objects = [(&SETS, set(&json!({}))), (&NODES, node("n1", &json!({}))), (&REVISIONS, taken)];
    let stage = Stage::new(&DEF, &objects).await;
    stage.settle(5).await;
    assert_eq!(status(&stage, "collisionCount"), 1);
    assert_eq!(stage.api.all(&REVISIONS).len(), 2);
    assert_eq!(stage.api.all(&PODS).len(), 1);
}
