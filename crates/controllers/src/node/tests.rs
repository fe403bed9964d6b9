//! Silent, unwell and returning nodes on the fake API server.

use super::*;
use crate::kinds::resource::{LEASES, NODES, PODS};
use crate::testing::Stage;
use serde_json::{Value, json};

fn node(name: &str) -> Value {
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    json!({
        "metadata": {"name": name, "uid": format!("uid-{name}")},
        "status": {"conditions": [condition("Ready", "True"), condition("MemoryPressure", "False")]},
    })
}

fn lease(name: &str, time: &str) -> Value {
    json!({"metadata": {"namespace": LEASES_NAMESPACE, "name": name}, "spec": {"renewTime": time}})
}

impl Stage {
    /// Lets nodes renew their leases for a while.
    async fn beat(&self, names: &[&str], seconds: u64) {
        for _ in 0..seconds / 5 {
            for name in names {
                let time = meta::time::format_micro(self.env.clock.now());
                self.api.put(&LEASES, lease(name, &time));
            }
            self.settle(5).await;
        }
    }

    fn node_condition(&self, node: &str, kind: &str) -> Value {
        let node = self.api.get(&NODES, "", node).unwrap();
        meta::conditions::find(&node["status"]["conditions"], kind).cloned().unwrap_or_default()
    }

    fn taints(&self, node: &str) -> Vec<String> {
        let node = self.api.get(&NODES, "", node).unwrap();
        let taints: Vec<Taint> = serde_json::from_value(node["spec"]["taints"].clone()).unwrap_or_default();
        let short = |taint: &Taint| format!("{}:{}", taint.key.trim_start_matches("node.kubernetes.io/"), taint.effect);
        let mut taints: Vec<_> = taints.iter().map(short).collect();
        taints.sort();
        taints
    }

    fn set_condition(&self, node: &str, kind: &str, status: &str) {
        self.edit(&NODES, "", node, |node| {
            let list = node["status"]["conditions"].as_array_mut().unwrap();
            let condition = list.iter_mut().find(|condition| condition["type"] == kind).unwrap();
            condition["status"] = json!(status);
            condition["lastHeartbeatTime"] = json!("2026-01-01T09:09:09Z");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_becomes_unknown_and_comes_back() {
    let mut pod = json!({"metadata": {"namespace": "ns", "name": "p"}, "spec": {"nodeName": "b"}});
    pod["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    let stage = Stage::new(&DEF, &[(&NODES, node("a")), (&NODES, node("b")), (&PODS, pod)]).await;
    stage.beat(&["a", "b"], 120).await;
    stage.writes();
    stage.beat(&["a", "b"], 600).await;
    assert!(stage.writes().is_empty(), "healthy nodes are left alone");
    stage.beat(&["a"], 45).await;
    assert_eq!(stage.node_condition("b", "Ready")["status"], "True");
    stage.beat(&["a"], 20).await;
    let ready = stage.node_condition("b", "Ready");
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("Unknown"), &json!("NodeStatusUnknown")));
    assert_eq!(ready["message"], "Kubelet stopped posting node status.");
    assert_eq!(stage.node_condition("b", "PIDPressure")["reason"], "NodeStatusNeverUpdated");
    assert_eq!(stage.taints("b"), ["unreachable:NoExecute", "unreachable:NoSchedule"]);
    let pod = stage.api.get(&PODS, "ns", "p").unwrap();
    assert_eq!(pod["status"]["conditions"][0]["status"], "False");
    let events = stage.events();
    assert!(events.contains(&"NodeNotReady Node b status is now: NodeNotReady".to_owned()), "{events:?}");
    assert!(events.contains(&"NodeNotReady Node is not ready".to_owned()));
    assert!(stage.taints("a").is_empty());
    stage.set_condition("b", "Ready", "True");
    stage.beat(&["a", "b"], 30).await;
    assert!(stage.taints("b").is_empty());
}

#[tokio::test(start_paused = true)]
async fn conditions_and_cordons_become_taints_and_foreign_taints_stay() {
    let mut own = node("a");
    own["spec"] = json!({"taints": [{"key": "example.com/mine", "effect": "NoSchedule"}], "unschedulable": true});
    let stage = Stage::new(&DEF, &[(&NODES, own), (&NODES, node("b"))]).await;
    stage.set_condition("a", "MemoryPressure", "True");
    stage.beat(&["a", "b"], 10).await;
    assert_eq!(
        stage.taints("a"),
        ["example.com/mine:NoSchedule", "memory-pressure:NoSchedule", "unschedulable:NoSchedule"]
    );
    stage.set_condition("a", "MemoryPressure", "False");
    stage.edit(&NODES, "", "a", |node| node["spec"]["unschedulable"] = json!(false));
    stage.set_condition("a", "Ready", "False");
    stage.beat(&["a", "b"], 10).await;
    assert_eq!(stage.taints("a"), ["example.com/mine:NoSchedule", "not-ready:NoExecute", "not-ready:NoSchedule"]);
}

#[tokio::test(start_paused = true)]
async fn nodes_lose_their_pods_one_after_the_other_and_not_if_all_are_silent() {
    let names: Vec<String> = (0..8).map(|number| format!("n{number}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let nodes: Vec<_> = names.iter().map(|name| node(name)).collect();
    let resource = NODES;
    let objects: Vec<_> = nodes.iter().map(|node| (&resource, node.clone())).collect();
    let stage = Stage::new(&DEF, &objects).await;
    let evicted = |stage: &Stage| {
        all.iter().filter(|name| stage.taints(name).contains(&"unreachable:NoExecute".to_owned())).count()
    };
    stage.beat(&all, 20).await;
    stage.beat(&all[2..], 60).await;
    assert_eq!(evicted(&stage), 1);
    stage.beat(&all[2..], 15).await;
    assert_eq!(evicted(&stage), 2);
    // Most of the zone goes silent: no more are driven off. Then all of it: those driven off return.
    stage.beat(&all[6..], 100).await;
    assert_eq!(evicted(&stage), 2);
    stage.beat(&[], 1).await;
    stage.settle(100).await;
    assert_eq!(evicted(&stage), 0);
    assert_eq!(stage.taints("n7"), ["unreachable:NoSchedule"]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_cache_buries_nobody() {
    let stage = Stage::new(&DEF, &[(&NODES, node("a")), (&NODES, node("b"))]).await;
    stage.beat(&["a", "b"], 20).await;
    // Events no longer arrive, but the server knows better.
    stage.api.freeze(true);
    stage.beat(&["a", "b"], 200).await;
    assert_eq!(stage.node_condition("a", "Ready")["status"], "True");
    // Nor does a jump of the wall clock.
    stage.api.freeze(false);
    stage.api.drop_watches(true);
    stage.beat(&["a", "b"], 60).await;
    stage.env.clock.jump(jiff::SignedDuration::from_hours(1));
    stage.beat(&["a", "b"], 20).await;
    assert_eq!(stage.node_condition("a", "Ready")["status"], "True");
}

#[tokio::test(start_paused = true)]
async fn nodes_are_announced_and_missed() {
    let stage = Stage::new(&DEF, &[(&NODES, node("a"))]).await;
    stage.api.remove(&NODES, "", "a");
    stage.settle(1).await;
    let mut events = stage.events();
    events.sort();
    assert_eq!(
        events,
        [
            "RegisteredNode Node a event: Registered Node a in Controller",
            "RemovingNode Node a event: Removing Node a from Controller"
        ]
    );
}
