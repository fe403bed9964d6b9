//! Rules that judge a node by what is on others.

use crate::fixture::{Fixture, node, placed};
use serde_json::{Value, json};

fn zones() -> Vec<Value> {
    vec![
        node("a1", json!({"zone": "a"})),
        node("a2", json!({"zone": "a"})),
        node("b1", json!({"zone": "b"})),
        node("none", json!({})),
    ]
}

fn spreading(key: &str, skew: i64, more: Value) -> Value {
    let mut constraint = json!({
        "maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "x"}},
    });
    constraint.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    json!({"metadata": {"labels": {"app": "x", "rev": "2"}}, "spec": {"topologySpreadConstraints": [constraint]}})
}

#[tokio::test]
async fn hard_constraints_bound_the_skew() {
    let mut cluster = Fixture::new(&zones()).await;
    let pod = spreading("zone", 1, json!({}));
    assert_eq!(cluster.verdict(&pod), "a1 a2 b1");
    cluster.add_pod(&placed("one", "a1", json!({"app": "x"})));
    assert_eq!(cluster.verdict(&pod), "b1");
    cluster.add_pod(&placed("two", "b1", json!({"app": "x"})));
    assert_eq!(cluster.verdict(&pod), "a1 a2 b1");
    cluster.add_pod(&placed("three", "a2", json!({"app": "x"})));
    assert_eq!(cluster.verdict(&pod), "b1");
    assert_eq!(cluster.verdict(&spreading("zone", 2, json!({}))), "a1 a2 b1");
    // Three domains are wanted and there are two: the emptiest counts as empty.
    assert_eq!(
        cluster.verdict(&spreading("zone", 1, json!({"minDomains": 3}))),
        "0/4 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label), 3 \
         node(s) didn't match pod topology spread constraints."
    );
    // Pods of another revision are not counted.
    assert_eq!(cluster.verdict(&spreading("zone", 1, json!({"matchLabelKeys": ["rev"]}))), "a1 a2 b1");
    cluster.remove_pod("three");
    cluster.remove_pod("one");
    assert_eq!(cluster.verdict(&pod), "a1 a2");
}

#[tokio::test]
async fn policies_say_which_nodes_count() {
    let mut objects = zones();
    objects[2]["spec"] = json!({"taints": [{"key": "k", "effect": "NoSchedule"}]});
    let mut cluster = Fixture::new(&objects).await;
    cluster.add_pod(&placed("one", "a1", json!({"app": "x"})));
    // Zone b is empty and out of reach: it holds zone a back, but where taints are honoured.
    let message = "0/4 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required \
                   label), 1 node(s) had untolerated taint(s), 2 node(s) didn't match pod topology spread constraints.";
    assert_eq!(cluster.verdict(&spreading("zone", 1, json!({}))), message);
    assert_eq!(cluster.verdict(&spreading("zone", 1, json!({"nodeTaintsPolicy": "Honor"}))), "a1 a2");
    let mut selecting = spreading("zone", 1, json!({}));
    selecting["spec"]["nodeSelector"] = json!({"zone": "a"});
    assert_eq!(cluster.verdict(&selecting), "a1 a2");
    selecting["spec"]["topologySpreadConstraints"][0]["nodeAffinityPolicy"] = json!("Ignore");
    assert!(cluster.verdict(&selecting).starts_with("0/4"), "{}", cluster.verdict(&selecting));
}

#[tokio::test]
async fn soft_constraints_and_the_defaults_score() {
    let mut objects = zones();
    objects.truncate(3);
    objects.push(json!({
        "kind": "Service", "metadata": {"name": "s", "namespace": "d"}, "spec": {"selector": {"app": "x"}},
    }));
    let mut cluster = Fixture::new(&objects).await;
    for name in ["1", "2"] {
        cluster.add_pod(&placed(name, "a1", json!({"app": "x"})));
    }
    let mut soft = spreading("zone", 1, json!({}));
    soft["spec"]["topologySpreadConstraints"][0]["whenUnsatisfiable"] = json!("ScheduleAnyway");
    assert_eq!(cluster.scores(&soft, "PodTopologySpread"), [0, 0, 100]);
    // Without constraints of its own, a pod is spread with those of its service.
    let plain = json!({"metadata": {"labels": {"app": "x"}}});
    let scores = cluster.scores(&plain, "PodTopologySpread");
    assert!(scores[0] < scores[1] && scores[1] == scores[2], "{scores:?}");
    assert_eq!(cluster.scores(&json!({}), "PodTopologySpread"), [0, 0, 0]);
}

fn affine(kind: &str, key: &str, more: Value) -> Value {
    let mut term = json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": "x"}}});
    term.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    json!({
        "metadata": {"name": "new", "labels": {"app": "y"}},
        "spec": {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}},
    })
}

#[tokio::test]
async fn pods_go_with_and_away_from_others() {
    let mut cluster = Fixture::new(&zones()).await;
    let with = affine("podAffinity", "zone", json!({}));
    let away = affine("podAntiAffinity", "zone", json!({}));
    let alone = "0/4 nodes are available: 4 node(s) didn't match pod affinity rules.";
    assert_eq!(cluster.verdict(&with), alone);
    assert_eq!(cluster.verdict(&away), "a1 a2 b1 none");
    // The first of its kind may go wherever there is such a topology.
    let mut first = with.clone();
    first["metadata"]["labels"] = json!({"app": "x"});
    assert_eq!(cluster.verdict(&first), "a1 a2 b1");
    cluster.add_pod(&placed("one", "a1", json!({"app": "x"})));
    assert_eq!(cluster.verdict(&with), "a1 a2");
    assert_eq!(cluster.verdict(&first), "a1 a2");
    assert_eq!(cluster.verdict(&away), "b1 none");
    let hosts = affine("podAntiAffinity", "kubernetes.io/hostname", json!({}));
    assert_eq!(cluster.verdict(&hosts), "a2 b1 none");
    cluster.add_pod(&placed("two", "b1", json!({"app": "x"})));
    let mut elsewhere = away.clone();
    elsewhere["spec"]["nodeSelector"] = json!({"zone": "b"});
    assert_eq!(
        cluster.verdict(&elsewhere),
        "0/4 nodes are available: 1 node(s) didn't match pod anti-affinity rules, 3 node(s) didn't match Pod's node \
         affinity/selector."
    );
}

#[tokio::test]
async fn placed_pods_keep_newcomers_away() {
    let mut objects = zones();
    objects.push(json!({"kind": "Namespace", "metadata": {"name": "d", "labels": {"team": "t"}}}));
    objects.push(json!({"kind": "Namespace", "metadata": {"name": "e", "labels": {"team": "u"}}}));
    let mut cluster = Fixture::new(&objects).await;
    let selecting = json!({"namespaceSelector": {"matchLabels": {"team": "t"}}});
    let mut guard = affine("podAntiAffinity", "zone", selecting);
    guard["metadata"]["name"] = json!("guard");
    guard["metadata"]["namespace"] = json!("e");
    guard["spec"]["nodeName"] = json!("a1");
    cluster.add_pod(&guard);
    let pod = |namespace: &str| json!({"metadata": {"namespace": namespace, "labels": {"app": "x"}}});
    assert_eq!(cluster.verdict(&pod("d")), "b1 none");
    assert_eq!(cluster.verdict(&pod("e")), "a1 a2 b1 none");
    let mut elsewhere = pod("d");
    elsewhere["spec"] = json!({"nodeSelector": {"zone": "a"}});
    assert_eq!(
        cluster.verdict(&elsewhere),
        "0/4 nodes are available: 2 node(s) didn't match Pod's node affinity/selector, 2 node(s) didn't satisfy \
         existing pods anti-affinity rules."
    );
}

#[tokio::test]
async fn preferences_of_both_sides_score() {
    let mut cluster = Fixture::new(&zones()).await;
    cluster.add_pod(&placed("one", "a1", json!({"app": "x"})));
    let preferring = |kind: &str| {
        let term = json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "x"}}});
        json!({"metadata": {"name": "new"}, "spec": {"affinity": {kind: {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 10, "podAffinityTerm": term}],
        }}}})
    };
    assert_eq!(cluster.scores(&preferring("podAffinity"), "InterPodAffinity"), [100, 100, 0, 0]);
    assert_eq!(cluster.scores(&preferring("podAntiAffinity"), "InterPodAffinity"), [0, 0, 100, 100]);
    // A placed pod that requires the newcomer's company draws it a little.
    let mut friend = affine("podAffinity", "zone", json!({}));
    friend["metadata"]["name"] = json!("friend");
    friend["spec"]["nodeName"] = json!("b1");
    cluster.add_pod(&friend);
    let wanted = json!({"metadata": {"name": "new", "labels": {"app": "x"}}});
    assert_eq!(cluster.scores(&wanted, "InterPodAffinity"), [0, 0, 100, 0]);
    cluster.profile.args.affinity.hard_weight = 0;
    assert_eq!(cluster.scores(&wanted, "InterPodAffinity"), [0, 0, 0, 0]);
}
