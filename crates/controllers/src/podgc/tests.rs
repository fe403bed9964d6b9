//! Stranded pods on the fake API server.

use super::*;
use crate::kinds::resource::{NODES, PODS};
use crate::testing::{Stage, item};

fn pod(name: &str, node: &str, phase: &str) -> Value {
    let mut pod = json!({"metadata": {"namespace": "ns", "name": name}, "status": {"phase": phase}, "spec": {}});
    if !node.is_empty() {
        pod["spec"]["nodeName"] = json!(node);
    }
    pod
}

fn node(name: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
}

fn names(stage: &Stage) -> Vec<String> {
    stage.api.all(&PODS).iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_vanished_node_go_after_a_while() {
    let objects = [(&NODES, node("n1")), (&PODS, pod("a", "n1", "Running")), (&PODS, pod("b", "n2", "Running"))];
    let stage = Stage::new(&DEF, &objects).await;
    stage.settle(35).await;
    assert_eq!(names(&stage), ["a", "b"]);
    stage.settle(30).await;
    assert_eq!(names(&stage), ["a"]);
    assert!(stage.writes().contains(&"patch pods/status ns/b".to_owned()), "the pod is told why before it goes");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_back_in_time_keeps_its_pods() {
    let stage = Stage::new(&DEF, &[(&PODS, pod("a", "n1", "Running"))]).await;
    stage.settle(30).await;
    stage.api.put(&NODES, node("n1"));
    stage.settle(600).await;
    assert_eq!(names(&stage), ["a"]);
    assert!(stage.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn pods_nobody_will_end_are_ended() {
    let mut homeless = pod("homeless", "", "Pending");
    homeless["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let mut dead = node("n1");
    dead["spec"] = json!({"taints": [{"key": OUT_OF_SERVICE, "effect": "NoExecute"}]});
    dead["status"]["conditions"][0]["status"] = json!("Unknown");
    let mut stuck = pod("stuck", "n1", "Running");
    stuck["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let waiting = pod("waiting", "", "Pending");
    let objects = [(&NODES, dead), (&PODS, homeless), (&PODS, stuck), (&PODS, waiting)];
    let stage = Stage::new(&DEF, &objects).await;
    stage.settle(25).await;
    assert_eq!(names(&stage), ["waiting"]);
    let writes = stage.writes();
    for name in ["homeless", "stuck"] {
        assert!(writes.contains(&format!("patch pods/status ns/{name}")), "{name} failed before it went: {writes:?}");
    }
}

#[test]
fn of_too_many_ended_pods_the_evicted_and_the_oldest_go() {
    let aged = |name: &str, phase: &str, second: u32| {
        let mut pod = pod(name, "n1", phase);
        pod["metadata"]["creationTimestamp"] = json!(format!("2026-01-01T00:00:{second:02}Z"));
        item::<PodView>(&pod)
    };
    let mut evicted = pod("e", "n1", "Failed");
    evicted["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:09Z");
    evicted["status"]["reason"] = json!("Evicted");
    let pods = [
        aged("a", "Failed", 3),
        aged("b", "Succeeded", 1),
        aged("c", "Running", 0),
        aged("d", "Failed", 2),
        item::<PodView>(&evicted),
    ];
    let gone: Vec<_> = ended_beyond(&pods, 1).iter().map(|it| it.pod.meta.name.clone()).collect();
    assert_eq!(gone, ["e", "b", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_makes_no_pod_stay() {
    let stage = Stage::new(&DEF, &[(&PODS, pod("a", "n1", "Running"))]).await;
    stage.settle(25).await;
    stage.env.clock.jump(-jiff::SignedDuration::from_mins(10));
    stage.settle(100).await;
    assert!(names(&stage).is_empty());
}
