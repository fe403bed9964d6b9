//! The order of deletion as a table; everything else against the fake API server.

use super::rank::first_to_go;
use super::*;
use crate::testing::{Stage, item};
use client::Error;
use meta::Status;
use serde_json::json;

const SETS: GroupVersionResource = resource::REPLICA_SETS;
const PODS: GroupVersionResource = resource::PODS;

fn set(name: &str, replicas: i32) -> Value {
    json!({
        "metadata": {"namespace": "ns", "name": name, "generation": 1, "uid": format!("set-{name}")},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web", "x": "y"}}, "spec": {"containers": [{"name": "c"}]}},
        },
    })
}

fn pod(name: &str, owner: Option<&str>) -> Value {
    let mut pod = json!({
        "metadata": {"namespace": "ns", "name": name, "uid": format!("pod-{name}"), "labels": {"app": "web"}},
        "spec": {}, "status": {"phase": "Pending"},
    });
    if let Some(owner) = owner {
        let reference = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": format!("set-{owner}"), "controller": true});
        pod["metadata"]["ownerReferences"] = json!([reference]);
    }
    pod
}

fn ready(pod: &mut Value, since: &str) {
    pod["status"] =
        json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}]});
}

/// Edits a running, ready, ordinary pod into one that must go before it.
type Flaw = fn(&mut Value);

#[test]
fn the_pod_of_least_use_goes_first() {
    let good = |name: &str| {
        let mut pod = pod(name, None);
        pod["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        pod["spec"]["nodeName"] = json!("n1");
        ready(&mut pod, "2026-01-01T00:00:00Z");
        pod
    };
    // From the weakest reason to the strongest; each flawed pod goes before those above it, too.
    let flaws: &[(&str, Flaw)] = &[
        ("created later", |pod| pod["metadata"]["creationTimestamp"] = json!("2026-01-01T00:50:00Z")),
        ("restarted more", |pod| pod["status"]["containerStatuses"] = json!([{"restartCount": 3}])),
        ("ready more recently", |pod| {
            pod["status"]["conditions"][0]["lastTransitionTime"] = json!("2026-01-01T00:55:00Z");
        }),
        ("on a node with more of its kind", |pod| pod["spec"]["nodeName"] = json!("n2")),
        ("cheaper to delete", |pod| {
            pod["metadata"]["annotations"] = json!({"controller.kubernetes.io/pod-deletion-cost": "-5"});
        }),
        ("not ready", |pod| pod["status"]["conditions"][0]["status"] = json!("False")),
        ("phase unknown", |pod| pod["status"]["phase"] = json!("Unknown")),
        ("pending", |pod| pod["status"]["phase"] = json!("Pending")),
        ("not on a node", |pod| pod["spec"]["nodeName"] = json!("")),
    ];
    let mut pods = vec![good("zz")];
    for (number, (_, flaw)) in flaws.iter().enumerate() {
        let mut flawed = good(&format!("p{number}"));
        flaw(&mut flawed);
        pods.push(flawed);
    }
    let now = "2026-01-01T01:00:00Z".parse().unwrap();
    let neighbours = [("n1".to_owned(), 1), ("n2".to_owned(), 2)].into_iter().collect();
    for (number, (reason, _)) in flaws.iter().enumerate() {
        let items: Vec<_> = pods[..=number + 1].iter().map(item::<PodView>).collect();
        let gone = first_to_go(&items, 1, &neighbours, now);
        assert_eq!(gone[0].meta.name, format!("p{number}"), "{reason}");
    }
}

#[test]
fn of_pods_about_as_old_any_may_go() {
    let aged = |name: &str, minute: u32| {
        let mut pod = pod(name, None);
        ready(&mut pod, &format!("2026-01-01T00:{minute:02}:00Z"));
        item::<PodView>(&pod)
    };
    // 60 and 50 minutes are of one power of two: the uid decides.
    let items = [aged("a", 0), aged("b", 10)];
    let now = "2026-01-01T01:00:00Z".parse().unwrap();
    assert_eq!(first_to_go(&items, 1, &HashMap::default(), now)[0].meta.name, "a");
}

#[tokio::test(start_paused = true)]
async fn pods_are_made_counted_and_unmade() {
    let stage = Stage::new(&REPLICA_SET, &[(&SETS, set("web", 3))]).await;
    let pods = stage.api.all(&PODS);
    assert_eq!(pods.len(), 3);
    assert_eq!(pods[0]["metadata"]["labels"], json!({"app": "web", "x": "y"}));
    assert_eq!(pods[0]["metadata"]["ownerReferences"][0]["uid"], "set-web");
    let mut status = stage.api.get(&SETS, "ns", "web").unwrap()["status"].clone();
    assert_eq!((status["replicas"].take(), status["fullyLabeledReplicas"].take()), (json!(3), json!(3)));
    assert_eq!(stage.events().len(), 3);
    for pod in &pods {
        let mut pod = pod.clone();
        ready(&mut pod, "2026-01-01T00:00:00Z");
        stage.api.put(&PODS, pod);
    }
    stage.settle(1).await;
    assert_eq!(stage.api.get(&SETS, "ns", "web").unwrap()["status"]["availableReplicas"], 3);
    stage.edit(&SETS, "ns", "web", |set| set["spec"]["replicas"] = json!(1));
    stage.settle(1).await;
    assert_eq!(stage.api.all(&PODS).len(), 1);
    stage.writes();
    stage.settle(3600).await;
    assert!(stage.writes().is_empty(), "an idle cluster makes no writes");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_made_twice_while_the_watch_is_behind() {
    let stage = Stage::new(&REPLICA_SET, &[(&SETS, set("web", 0))]).await;
    // The set's changes arrive, its pods do not.
    stage.api.hold(&PODS, true);
    for round in 0..5 {
        stage.edit(&SETS, "ns", "web", |set| {
            set["spec"]["replicas"] = json!(5);
            set["metadata"]["annotations"] = json!({"round": round.to_string()});
        });
        stage.settle(2).await;
    }
    assert_eq!(stage.api.all(&PODS).len(), 5);
    stage.api.hold(&PODS, false);
    stage.api.drop_watches(true);
    stage.settle(60).await;
    assert_eq!(stage.api.all(&PODS).len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_became_ready_unseen_does_not_go_for_one_that_no_longer_is() {
    let (mut sinking, mut rising) = (pod("sinking", Some("web")), pod("rising", Some("web")));
    ready(&mut sinking, "2026-01-01T00:00:00Z");
    let objects = [(&SETS, set("web", 2)), (&PODS, sinking.clone()), (&PODS, rising.clone())];
    let stage = Stage::new(&REPLICA_SET, &objects).await;
    stage.api.hold(&PODS, true);
    ready(&mut rising, "2026-01-01T00:01:00Z");
    sinking["status"] = json!({"phase": "Running"});
    stage.api.put(&PODS, rising);
    stage.api.put(&PODS, sinking);
    stage.edit(&SETS, "ns", "web", |set| set["spec"]["replicas"] = json!(1));
    stage.settle(5).await;
    assert!(stage.writes().contains(&"delete pods ns/rising".to_owned()), "it was chosen by what was seen");
    assert_eq!(stage.api.all(&PODS).len(), 2);
    let told = stage.api.get(&SETS, "ns", "web").unwrap()["status"]["conditions"].to_string();
    assert!(!told.contains("ReplicaFailure") && stage.events().is_empty(), "{told} {:?}", stage.events());
    stage.api.hold(&PODS, false);
    stage.api.drop_watches(true);
    stage.settle(60).await;
    assert_eq!(stage.api.all(&PODS)[0]["metadata"]["name"], "rising");
}

#[tokio::test(start_paused = true)]
async fn orphans_are_adopted_and_strays_released() {
    let mut stray = pod("stray", Some("web"));
    stray["metadata"]["labels"] = json!({"app": "other"});
    let foreign = pod("foreign", Some("elsewhere"));
    let objects = [(&SETS, set("web", 2)), (&PODS, pod("orphan", None)), (&PODS, stray), (&PODS, foreign)];
    let stage = Stage::new(&REPLICA_SET, &objects).await;
    let owner = |name| stage.api.get(&PODS, "ns", name).unwrap()["metadata"]["ownerReferences"][0]["uid"].clone();
    assert_eq!(owner("orphan"), "set-web");
    assert_eq!(owner("foreign"), "set-elsewhere");
    let log = stage.writes();
    assert!(log.contains(&"patch pods ns/stray".to_owned()), "{log:?}");
    assert_eq!(log.iter().filter(|line| line.starts_with("create pods")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn of_two_sets_that_match_one_takes_the_pod_and_both_come_to_rest() {
    let objects = [(&SETS, set("a", 1)), (&SETS, set("b", 1)), (&PODS, pod("orphan", None))];
    let stage = Stage::new(&REPLICA_SET, &objects).await;
    stage.settle(60).await;
    let pods = stage.api.all(&PODS);
    assert!((2..=3).contains(&pods.len()), "{pods:?}");
    stage.writes();
    stage.settle(3600).await;
    assert!(stage.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn refused_pods_show_in_condition_and_event_and_are_tried_ever_more_seldom() {
    let stage = Stage::new(&REPLICA_SET, &[(&SETS, set("web", 0))]).await;
    stage.writes();
    let quota = Status::failure(meta::Reason::Forbidden, "pods \"web-\" is forbidden: exceeded quota");
    stage.refuse("create pods", Error::from(quota));
    stage.edit(&SETS, "ns", "web", |set| set["spec"]["replicas"] = json!(4));
    stage.settle(600).await;
    let condition = stage.api.get(&SETS, "ns", "web").unwrap()["status"]["conditions"][0].clone();
    assert_eq!((&condition["type"], &condition["reason"]), (&json!("ReplicaFailure"), &json!("FailedCreate")));
    assert_eq!(condition["message"], "pods \"web-\" is forbidden: exceeded quota");
    assert_eq!(stage.events(), ["FailedCreate Error creating: pods \"web-\" is forbidden: exceeded quota"]);
    let tries = stage.writes().iter().filter(|line| line.starts_with("create pods")).count();
    assert!((5..40).contains(&tries), "{tries} tries in ten minutes; only the first of a batch is tried");
    stage.api.clear_faults();
    stage.settle(1200).await;
    assert_eq!(stage.api.all(&PODS).len(), 4);
    assert_eq!(stage.api.get(&SETS, "ns", "web").unwrap()["status"]["conditions"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn ended_pods_are_replaced_and_an_ending_set_makes_none() {
    let mut failed = pod("failed", Some("web"));
    failed["status"]["phase"] = json!("Failed");
    let mut ending = set("old", 3);
    ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    ending["spec"]["selector"] = json!({"matchLabels": {"app": "old"}});
    let stage = Stage::new(&REPLICA_SET, &[(&SETS, set("web", 1)), (&SETS, ending), (&PODS, failed)]).await;
    assert_eq!(stage.api.all(&PODS).len(), 2);
    assert_eq!(stage.api.get(&SETS, "ns", "web").unwrap()["status"]["replicas"], 1);
}

#[tokio::test(start_paused = true)]
async fn availability_comes_without_an_event() {
    let mut slow = set("web", 1);
    slow["spec"]["minReadySeconds"] = json!(30);
    let mut up = pod("up", Some("web"));
    ready(&mut up, "2026-01-01T00:00:00Z");
    let stage = Stage::new(&REPLICA_SET, &[(&SETS, slow), (&PODS, up)]).await;
    let available = || stage.api.get(&SETS, "ns", "web").unwrap()["status"]["availableReplicas"].clone();
    assert_eq!(available(), 0);
    stage.settle(28).await;
    assert_eq!(available(), 0);
    stage.settle(3).await;
    assert_eq!(available(), 1);
}

#[tokio::test(start_paused = true)]
async fn replication_controllers_are_kept_likewise() {
    let controllers = resource::REPLICATION_CONTROLLERS;
    let mut controller = set("rc", 2);
    controller["spec"]["selector"] = json!({"app": "web"});
    let stage = Stage::new(&REPLICATION_CONTROLLER, &[(&controllers, controller)]).await;
    assert_eq!(stage.api.all(&PODS).len(), 2);
    assert_eq!(stage.api.all(&PODS)[0]["metadata"]["ownerReferences"][0]["kind"], "ReplicationController");
    assert!(stage.api.get(&controllers, "ns", "rc").unwrap()["status"]["terminatingReplicas"].is_null());
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_clock_is_ahead_does_not_keep_its_pods_from_being_available() {
    let mut early = pod("a", Some("web"));
    ready(&mut early, "2026-01-01T00:10:00Z");
    let stage = Stage::new(&REPLICA_SET, &[(&SETS, set("web", 1)), (&PODS, early)]).await;
    stage.settle(1).await;
    let set = stage.api.get(&SETS, "ns", "web").unwrap();
    assert_eq!(set["status"]["availableReplicas"], json!(1));
}
