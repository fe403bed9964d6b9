//! The simulator's own rules: what they refuse, and what they forgive.

use base::Clock;
use serde_json::{Value, json};
use simulator::judge::{DEPLOYMENTS, Judge, PODS, SETS};
use simulator::recorder::difference;
use std::sync::Arc;
use std::time::Duration;

struct Scene {
    clock: Clock,
    judge: Judge,
}

impl Scene {
    /// A Deployment of 4 with one set that asks for `asked`, and its pods, ready and placed.
    fn new(asked: i64, pods: i64) -> Self {
        let mut scene = Scene { clock: Clock::real(), judge: Judge::default() };
        scene.write(DEPLOYMENTS, "web", &deployment(4, 1, 1));
        assert_eq!(scene.write(SETS, "web-1", &set("s1", asked)), [""; 0]);
        for number in 0..pods {
            let name = format!("p{number}");
            assert_eq!(scene.write(PODS, &name, &pod(&name, "s1", true, false)), [""; 0]);
        }
        scene
    }

    fn write(&mut self, prefix: &str, name: &str, object: &Value) -> Vec<String> {
        let key: Arc<str> = format!("{prefix}default/{name}").into();
        self.judge.observe(self.clock.instant(), &key, Some(object)).into_iter().collect()
    }

    fn delete(&mut self, name: &str) -> Vec<String> {
        self.write(PODS, name, &pod(name, "s1", true, true))
    }
}

fn deployment(replicas: i64, surge: i64, unavailable: i64) -> Value {
    json!({
        "metadata": {"uid": "d", "generation": 1},
        "spec": {
            "replicas": replicas,
            "strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}},
            "template": {"spec": {"containers": [{"image": "good:1"}]}},
        },
    })
}

fn owned(uid: &str, owner: &str) -> Value {
    json!({"uid": uid, "ownerReferences": [{"uid": owner, "controller": true}]})
}

fn set(uid: &str, replicas: i64) -> Value {
    let template = json!({"spec": {"containers": [{"image": "good:1"}]}});
    json!({"metadata": owned(uid, "d"), "spec": {"replicas": replicas, "template": template}})
}

fn pod(uid: &str, owner: &str, ready: bool, deleting: bool) -> Value {
    let mut metadata = owned(uid, owner);
    if deleting {
        metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    let status = if ready { "True" } else { "False" };
    json!({
        "metadata": metadata,
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": status}]},
    })
}

#[tokio::test(start_paused = true)]
async fn sets_that_ask_for_too_much_are_noticed_until_long_after_a_change() {
    let mut scene = Scene::new(4, 0);
    assert_eq!(scene.write(SETS, "web-2", &set("s2", 1)), [""; 0]);
    assert_eq!(scene.write(SETS, "web-2", &set("s2", 2)).len(), 1);
    scene.write(DEPLOYMENTS, "web", &deployment(6, 1, 1));
    assert_eq!(scene.write(SETS, "web-2", &set("s2", 3)), [""; 0]);
    scene.write(DEPLOYMENTS, "web", &deployment(4, 1, 1));
    scene.write(SETS, "web-2", &set("s2", 2));
    assert_eq!(scene.write(SETS, "web-2", &set("s2", 3)), [""; 0], "somebody may not know of the change yet");
    scene.clock.sleep(Duration::from_secs(90)).await;
    scene.write(SETS, "web-2", &set("s2", 2));
    assert_eq!(scene.write(SETS, "web-2", &set("s2", 3)).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pod_too_many_is_forgiven_only_where_an_answer_was_lost() {
    let mut scene = Scene::new(2, 2);
    scene.judge.expect_surplus(scene.clock.instant());
    assert_eq!(scene.write(PODS, "p2", &pod("p2", "s1", false, false)), [""; 0]);
    assert_eq!(scene.write(PODS, "p3", &pod("p3", "s1", false, false)).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn pods_may_go_down_to_the_floor_and_further_only_by_failures() {
    let mut scene = Scene::new(4, 4);
    assert_eq!(scene.delete("p0"), [""; 0]);
    assert_eq!(scene.delete("p1").len(), 1);

    let mut scene = Scene::new(4, 4);
    scene.delete("p0");
    scene.judge.doom("p1");
    assert_eq!(scene.delete("p1"), [""; 0], "the user deleted it");

    let mut scene = Scene::new(4, 4);
    assert_eq!(scene.write(PODS, "p0", &pod("p0", "s1", false, false)), [""; 0], "it failed by itself");
    assert_eq!(scene.delete("p1"), [""; 0], "its deletion may have been decided before");
    assert_eq!(scene.delete("p2").len(), 1);
}

#[test]
fn a_watch_must_tell_everything_once_and_in_order() {
    assert_eq!(difference(&[1, 2, 5], &[1, 2, 5]), None);
    for told in [&[1, 5][..], &[1, 2, 2, 5], &[1, 5, 2], &[1, 2], &[1, 2, 5, 6], &[]] {
        assert!(difference(&[1, 2, 5], told).is_some(), "{told:?}");
    }
}
