//! Whom a preemption evicts.

use crate::fixture::{Fixture, node, pod};
use serde_json::{Value, json};

fn sized(name: &str, cpu: &str, priority: i32) -> Value {
    json!({
        "kind": "Pod", "metadata": {"name": name, "namespace": "d", "labels": {"app": name}},
        "spec": {
            "priority": priority,
            "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}],
        },
        "status": {"startTime": "2026-01-01T00:00:00Z"},
    })
}

fn on(node: &str, mut pod: Value) -> Value {
    pod["spec"]["nodeName"] = json!(node);
    pod
}

#[tokio::test]
async fn as_few_as_possible_of_the_least_important_go() {
    let objects = [
        node("n1", json!({})),
        node("n2", json!({})),
        on("n1", sized("low", "1", 1)),
        on("n1", sized("mid", "2", 5)),
        on("n2", sized("high", "3", 8)),
    ];
    let mut cluster = Fixture::new(&objects).await;
    assert_eq!(cluster.preempt(&sized("new", "2", 10)), "n1: low (0)");
    assert_eq!(cluster.preempt(&sized("new", "3", 10)), "n1: mid (0)");
    assert_eq!(cluster.preempt(&sized("new", "4", 10)), "n1: mid low (0)");
    assert_eq!(
        cluster.preempt(&sized("new", "2", 0)),
        "0/2 nodes are available: 2 No preemption victims found for incoming pod."
    );
    assert_eq!(
        cluster.preempt(&sized("new", "5", 10)),
        "0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    );
    // Nothing has moved by asking.
    assert_eq!(cluster.verdict(&sized("new", "1", 0)), "n1 n2");
    let mut peaceful = sized("new", "2", 10);
    peaceful["spec"]["preemptionPolicy"] = json!("Never");
    assert_eq!(cluster.preempt(&peaceful), "not eligible due to preemptionPolicy=Never.");
}

#[tokio::test]
async fn budgets_are_broken_last() {
    let objects = [
        node("n1", json!({})),
        node("n2", json!({})),
        on("n1", sized("guarded", "4", 1)),
        on("n2", sized("other", "4", 2)),
        json!({
            "kind": "PodDisruptionBudget", "metadata": {"name": "b", "namespace": "d"},
            "spec": {"selector": {"matchLabels": {"app": "guarded"}}}, "status": {"disruptionsAllowed": 0},
        }),
    ];
    let mut cluster = Fixture::new(&objects).await;
    assert_eq!(cluster.preempt(&sized("new", "1", 10)), "n2: other (0)");
    cluster.remove_pod("other");
    cluster.add_pod(&on("n2", sized("equal", "4", 10)));
    assert_eq!(cluster.preempt(&sized("new", "1", 10)), "n1: guarded (1)");
}

#[tokio::test]
async fn the_younger_pods_go() {
    let mut old = on("n1", sized("old", "4", 1));
    old["status"]["startTime"] = json!("2025-01-01T00:00:00Z");
    let objects = [node("n1", json!({})), node("n2", json!({})), old, on("n2", sized("young", "4", 1))];
    let mut cluster = Fixture::new(&objects).await;
    assert_eq!(cluster.preempt(&sized("new", "1", 10)), "n2: young (0)");
}

#[tokio::test]
async fn room_that_is_being_made_is_kept() {
    let mut leaving = on("n1", sized("leaving", "4", 1));
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    leaving["status"]["conditions"] =
        json!([{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]);
    let mut cluster = Fixture::new(&[node("n1", json!({})), leaving]).await;
    let preemptor = sized("preemptor", "4", 10);
    cluster.snapshot.nominate(&pod(&preemptor), "n1");
    assert_eq!(cluster.preempt(&preemptor), "not eligible due to a terminating pod on the nominated node.");
    cluster.remove_pod("leaving");
    assert_eq!(cluster.verdict(&preemptor), "n1");
    // Others as important or less see the node as full, more important ones do not.
    assert_eq!(cluster.verdict(&sized("late", "1", 10)), "0/1 nodes are available: 1 Insufficient cpu.");
    assert_eq!(cluster.verdict(&sized("urgent", "1", 11)), "n1");
}

#[tokio::test]
async fn a_nomination_told_of_late_moves_no_pod() {
    let mut cluster = Fixture::new(&[node("n1", json!({})), node("n2", json!({}))]).await;
    let bound = pod(&sized("bound", "4", 10));
    cluster.snapshot.assume(bound.clone(), "n1");
    cluster.snapshot.nominate(&bound, "n2");
    let late = sized("late", "4", 1);
    assert_eq!((cluster.verdict(&late), cluster.verdict(&late)), ("n2".to_owned(), "n2".to_owned()));
}

#[tokio::test]
async fn anti_affinity_is_overcome_by_evicting() {
    let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}});
    let mut standing = on("n1", sized("standing", "1", 1));
    standing["metadata"]["labels"] = json!({"app": "x"});
    let mut away = sized("new", "1", 10);
    away["spec"]["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    let mut cluster = Fixture::new(&[node("n1", json!({})), standing, on("n1", sized("free", "1", 1))]).await;
    assert_eq!(cluster.preempt(&away), "n1: standing (0)");
}
