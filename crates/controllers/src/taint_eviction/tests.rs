//! Tolerations as a table; evictions on the fake API server.

use super::*;
use crate::kinds::resource::{NODES, PODS};
use crate::testing::Stage;

fn taint(key: &str, value: &str) -> Value {
    json!({"key": key, "value": value, "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"})
}

#[test]
fn the_shortest_toleration_counts_and_every_taint_needs_one() {
    let at = |second: i64| Fate::GoesAt(Timestamp::from_second(1_767_225_600 + second).unwrap());
    let (now, Fate::GoesAt(created)) = (at(100), at(50)) else { panic!() };
    let Fate::GoesAt(now) = now else { panic!() };
    let cases = [
        (json!([]), json!([taint("a", "")]), at(100)),
        (json!([{"operator": "Exists"}]), json!([taint("a", "")]), Fate::Stays),
        (json!([{"key": "a", "value": "x"}]), json!([taint("a", "x")]), Fate::Stays),
        (json!([{"key": "a", "value": "x"}]), json!([taint("a", "y")]), at(100)),
        (json!([{"key": "a", "operator": "Exists", "effect": "NoSchedule"}]), json!([taint("a", "")]), at(100)),
        (json!([{"key": "a", "operator": "Exists", "tolerationSeconds": 300}]), json!([taint("a", "")]), at(350)),
        (
            json!([{"key": "a", "operator": "Exists", "tolerationSeconds": 300}, {"operator": "Exists", "tolerationSeconds": 60}]),
            json!([taint("a", "")]),
            at(110),
        ),
        (json!([{"key": "a", "operator": "Exists"}]), json!([taint("a", ""), taint("b", "")]), at(100)),
        (json!([{"key": "a", "operator": "Exists", "tolerationSeconds": 0}]), json!([taint("a", "")]), at(50)),
        (json!([{"key": "a", "operator": "Gt", "value": "5"}]), json!([taint("a", "7")]), Fate::Stays),
    ];
    for (tolerations, taints, expected) in cases {
        let parsed: Vec<Toleration> = serde_json::from_value(tolerations.clone()).unwrap();
        let list: Vec<Taint> = serde_json::from_value(taints.clone()).unwrap();
        let list: Vec<&Taint> = list.iter().collect();
        assert_eq!(fate(&list, &parsed, Some(created), now), expected, "{tolerations} {taints}");
    }
}

fn pod(name: &str, seconds: Option<i64>) -> Value {
    let toleration = json!({"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
    let tolerations = if seconds.is_some() { json!([toleration]) } else { json!([]) };
    json!({"metadata": {"namespace": "ns", "name": name}, "spec": {"nodeName": "n1", "tolerations": tolerations}})
}

fn node(taints: Value) -> Value {
    json!({"metadata": {"name": "n1"}, "spec": {"taints": taints}})
}

fn is_ending(stage: &Stage, name: &str) -> bool {
    stage.api.get(&PODS, "ns", name).unwrap()["metadata"]["deletionTimestamp"].is_string()
}

#[tokio::test(start_paused = true)]
async fn pods_go_when_their_tolerance_ends() {
    let stage =
        Stage::new(&DEF, &[(&NODES, node(json!([]))), (&PODS, pod("now", None)), (&PODS, pod("later", Some(300)))])
            .await;
    assert!(stage.writes().is_empty());
    let added = meta::time::format(stage.env.clock.now());
    let mut fresh = taint("k", "");
    fresh["timeAdded"] = json!(added);
    stage.api.put(&NODES, node(json!([fresh])));
    stage.settle(5).await;
    assert!(is_ending(&stage, "now") && !is_ending(&stage, "later"));
    let condition = &stage.api.get(&PODS, "ns", "now").unwrap()["status"]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["reason"]),
        (&json!("DisruptionTarget"), &json!("DeletionByTaintManager"))
    );
    stage.settle(290).await;
    assert!(!is_ending(&stage, "later"));
    stage.settle(10).await;
    assert!(is_ending(&stage, "later"));
    assert!(stage.events().contains(&"TaintManagerEviction Marking for deletion Pod ns/later".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_taint_that_goes_in_time_spares_the_pod() {
    let mut fresh = taint("k", "");
    fresh["timeAdded"] = json!("2026-01-01T00:00:00Z");
    let stage = Stage::new(&DEF, &[(&NODES, node(json!([fresh]))), (&PODS, pod("p", Some(300)))]).await;
    stage.settle(100).await;
    stage.api.put(&NODES, node(json!([])));
    stage.settle(1000).await;
    assert!(!is_ending(&stage, "p"));
    assert_eq!(stage.events(), ["TaintManagerEviction Cancelling deletion of Pod ns/p"]);
}
