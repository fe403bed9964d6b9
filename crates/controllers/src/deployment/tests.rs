//! The arithmetic as tables; rollouts with the ReplicaSet controller and a pretended node.

use super::*;
use crate::replicaset::REPLICA_SET;
use crate::testing::Stage;
use serde_json::json;

const DEPLOYMENTS: meta::GroupVersionResource = resource::DEPLOYMENTS;
const SETS: meta::GroupVersionResource = resource::REPLICA_SETS;
const PODS: meta::GroupVersionResource = resource::PODS;

fn deployment(replicas: i64, image: &str) -> Value {
    json!({
        "metadata": {"namespace": "ns", "name": "web", "generation": 1, "uid": "dep-web", "annotations": {"note": "kept"}},
        "spec": {
            "replicas": replicas, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}},
        },
    })
}

async fn stage(deployment: Value) -> Stage {
    Stage::with(&[&DEF, &REPLICA_SET], &[(&DEPLOYMENTS, deployment)]).await
}

impl Stage {
    /// Lets everything come to rest, with a node that makes pods ready.
    async fn rest(&self) {
        for _ in 0..60 {
            self.kubelet(|_| true);
            self.settle(1).await;
        }
    }

    fn change(&self, edit: impl FnOnce(&mut Value)) {
        self.edit(&DEPLOYMENTS, "ns", "web", |deployment| {
            edit(deployment);
            let generation = deployment["metadata"]["generation"].as_i64().unwrap();
            deployment["metadata"]["generation"] = json!(generation + 1);
        });
    }

    fn set_image(&self, image: &str) {
        self.change(|deployment| deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image));
    }

    fn status(&self) -> Value {
        self.api.get(&DEPLOYMENTS, "ns", "web").unwrap()["status"].clone()
    }

    fn condition(&self, kind: &str) -> Value {
        meta::conditions::find(&self.status()["conditions"], kind).cloned().unwrap_or_default()
    }

    /// Image and replicas of every ReplicaSet, by revision.
    fn sets(&self) -> Vec<(String, i64)> {
        let mut sets = self.api.all(&SETS);
        sets.sort_by_key(|set| {
            set["metadata"]["annotations"][revision::REVISION].as_str().unwrap().parse::<i64>().unwrap()
        });
        let row = |set: &Value| {
            let image = set["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
            (image, set["spec"]["replicas"].as_i64().unwrap())
        };
        sets.iter().map(row).collect()
    }
}

fn rows(sets: &[(&str, i64)]) -> Vec<(String, i64)> {
    sets.iter().map(|(image, replicas)| ((*image).to_owned(), *replicas)).collect()
}

fn parsed(value: &Value) -> Deployment {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn fenceposts_round_surge_up_and_unavailability_down() {
    let cases = [
        (10, json!("25%"), json!("25%"), (3, 2)),
        (1, json!("25%"), json!("25%"), (1, 0)),
        (10, json!(0), json!(0), (0, 1)),
        (0, json!("25%"), json!(1), (0, 0)),
        (3, json!(1), json!(10), (1, 3)),
        (4, json!("0%"), json!("10%"), (0, 1)),
    ];
    for (replicas, surge, unavailable, expected) in cases {
        let mut value = deployment(replicas, "a");
        value["spec"]["strategy"]["rollingUpdate"] = json!({"maxSurge": surge, "maxUnavailable": unavailable});
        let deployment = parsed(&value);
        assert_eq!((deployment.max_surge(), deployment.max_unavailable()), expected, "{value}");
    }
}

#[test]
fn a_changed_size_is_spread_in_proportion() {
    // Sizes of the sets, size before, size wanted, sizes after (upstream's examples).
    let cases: &[(&[i64], i64, i64, &[i64])] = &[
        (&[10], 10, 12, &[12]),
        (&[5, 5], 10, 12, &[6, 6]),
        (&[5, 5], 10, 11, &[5, 6]),
        (&[8, 2], 10, 5, &[4, 1]),
        (&[10, 20], 30, 0, &[0, 0]),
        (&[2, 1], 3, 6, &[4, 2]),
    ];
    for (sizes, before, wanted, expected) in cases {
        let mut value = deployment(*wanted, "a");
        value["spec"]["strategy"]["rollingUpdate"] = json!({"maxSurge": 0, "maxUnavailable": 1});
        let mut sets: Vec<Set> =
            sizes.iter().enumerate().map(|(number, size)| aged_set(number, *size, *before)).collect();
        rolling::scale_in_proportion(&parsed(&value), sets.iter_mut().collect());
        let after: Vec<_> = sets.iter().map(|set| set.spec.replicas).collect();
        assert_eq!(&after, expected, "{sizes:?} from {before} to {wanted}");
    }
}

fn aged_set(number: usize, replicas: i64, most: i64) -> Set {
    let value = json!({
        "metadata": {
            "name": format!("s{number}"), "creationTimestamp": format!("2026-01-01T00:00:{number:02}Z"),
            "annotations": {revision::MAX_REPLICAS: most.to_string()},
        },
        "spec": {"replicas": replicas, "template": {}},
    });
    serde_json::from_value(value).unwrap()
}

#[test]
fn old_sets_shrink_as_far_as_the_new_one_is_available() {
    // Old sets as (replicas, available), the new set likewise, wanted, unavailable allowed: old after.
    type Case = (&'static [(i64, i64)], (i64, i64), i64, i64, &'static [i64]);
    let cases: &[Case] = &[
        (&[(10, 10)], (3, 0), 10, 2, &[8]),
        (&[(8, 8)], (5, 2), 10, 2, &[6]),
        (&[(10, 4)], (0, 0), 10, 2, &[8]),
        (&[(3, 0), (7, 7)], (0, 0), 10, 2, &[1, 7]),
        (&[(2, 2)], (10, 10), 10, 2, &[0]),
        // A status that still counts pods of before the last step is not taken at its word.
        (&[(5, 6)], (2, 2), 6, 1, &[3]),
        // What the new set still lacks is not taken from the old one, too.
        (&[(10, 6)], (3, 0), 10, 2, &[8]),
        (&[(8, 8)], (2, 0), 10, 2, &[8]),
    ];
    for (old, new, wanted, unavailable, expected) in cases {
        let mut value = deployment(*wanted, "a");
        value["spec"]["strategy"]["rollingUpdate"] = json!({"maxSurge": 3, "maxUnavailable": unavailable});
        let set = |number, (replicas, available): (i64, i64)| {
            let mut set = aged_set(number, replicas, 10);
            set.status.available_replicas = available;
            set
        };
        let mut sets: Vec<Set> = old.iter().enumerate().map(|(number, sizes)| set(number, *sizes)).collect();
        let shrank = rolling::shrink_old(&parsed(&value), &mut sets.iter_mut().collect::<Vec<_>>(), &set(9, *new));
        let after: Vec<_> = sets.iter().map(|set| set.spec.replicas).collect();
        assert_eq!(&after, expected, "{old:?} {new:?}");
        let before: Vec<_> = old.iter().map(|(replicas, _)| *replicas).collect();
        assert_eq!(shrank, after != before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollout_never_has_too_few_or_too_many_pods() {
    let stage = stage(deployment(10, "one")).await;
    stage.rest().await;
    assert_eq!(stage.sets(), rows(&[("one", 10)]));
    let condition = stage.condition("Progressing");
    assert_eq!(condition["reason"], "NewReplicaSetAvailable");
    stage.set_image("two");
    for round in 0..200 {
        // Only every other pod becomes ready, and that only now and then.
        stage.kubelet(|pod| round % 3 == 0 && pod["metadata"]["uid"].as_str().unwrap().len() % 2 == round % 2);
        stage.settle(1).await;
        let pods = stage.api.all(&PODS);
        let active = pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let ready = active.clone().filter(|pod| pod["status"]["phase"] == "Running").count();
        assert!(ready >= 8, "round {round}: only {ready} ready");
        assert!(active.count() <= 13, "round {round}");
    }
    assert_eq!(stage.sets(), rows(&[("one", 0), ("two", 10)]));
    let status = stage.status();
    assert_eq!((&status["updatedReplicas"], &status["availableReplicas"]), (&json!(10), &json!(10)));
    let name =
        stage.api.all(&SETS).iter().find(|set| set["spec"]["replicas"] == 10).unwrap()["metadata"]["name"].clone();
    let message = format!("ReplicaSet \"{}\" has successfully progressed.", name.as_str().unwrap());
    assert_eq!(stage.condition("Progressing")["message"], json!(message));
    assert_eq!(stage.condition("Available")["message"], "Deployment has minimum availability.");
    let events = stage.events();
    assert!(
        events.contains(&format!("ScalingReplicaSet Scaled up replica set {} from 0 to 3", name.as_str().unwrap())),
        "{events:?}"
    );
    stage.writes();
    stage.settle(7200).await;
    assert!(stage.writes().is_empty(), "an idle cluster makes no writes");
}

#[tokio::test(start_paused = true)]
async fn sets_are_named_labelled_and_annotated_as_upstream_does() {
    let stage = stage(deployment(1, "one")).await;
    let set = &stage.api.all(&SETS)[0];
    let hash = set["metadata"]["labels"]["pod-template-hash"].as_str().unwrap();
    assert_eq!(set["metadata"]["name"], format!("web-{hash}"));
    assert!((8..=10).contains(&hash.len()), "{hash}");
    assert_eq!(set["spec"]["selector"]["matchLabels"], json!({"app": "web", "pod-template-hash": hash}));
    let expected = json!({
        "note": "kept", "deployment.kubernetes.io/revision": "1",
        "deployment.kubernetes.io/desired-replicas": "1", "deployment.kubernetes.io/max-replicas": "2",
    });
    assert_eq!(set["metadata"]["annotations"], expected);
    let annotations = &stage.api.get(&DEPLOYMENTS, "ns", "web").unwrap()["metadata"]["annotations"];
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "1");
}

#[tokio::test(start_paused = true)]
async fn going_back_reuses_the_set_and_keeps_its_history() {
    let stage = stage(deployment(2, "one")).await;
    stage.rest().await;
    for image in ["two", "one"] {
        stage.set_image(image);
        stage.rest().await;
    }
    assert_eq!(stage.sets(), rows(&[("two", 0), ("one", 2)]));
    let sets = stage.api.all(&SETS);
    let set = sets.iter().find(|set| set["spec"]["replicas"] == 2).unwrap();
    assert_eq!(set["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
    assert_eq!(set["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"], "1");
    // The way of the first API, by annotation; 0 means the one before.
    stage.change(|deployment| deployment["metadata"]["annotations"][revision::ROLLBACK] = json!("0"));
    stage.rest().await;
    assert_eq!(stage.sets(), rows(&[("one", 0), ("two", 2)]));
    assert!(stage.events().contains(&"DeploymentRollback Rolled back deployment \"web\" to revision 2".to_owned()));
    stage.change(|deployment| deployment["metadata"]["annotations"][revision::ROLLBACK] = json!("77"));
    stage.rest().await;
    assert!(stage.events().iter().any(|event| event.starts_with("DeploymentRollbackRevisionNotFound")));
}

#[tokio::test(start_paused = true)]
async fn recreate_waits_for_the_last_old_pod() {
    let mut value = deployment(3, "one");
    value["spec"]["strategy"] = json!({"type": "Recreate"});
    let stage = stage(value).await;
    stage.rest().await;
    stage.set_image("two");
    stage.settle(5).await;
    assert_eq!(stage.sets(), rows(&[("one", 0)]), "its pods are still ending");
    assert!(stage.api.all(&PODS).iter().all(|pod| pod["metadata"]["deletionTimestamp"].is_string()));
    stage.rest().await;
    assert_eq!(stage.sets(), rows(&[("one", 0), ("two", 3)]));
}

#[tokio::test(start_paused = true)]
async fn a_paused_one_scales_but_does_not_roll() {
    let stage = stage(deployment(2, "one")).await;
    stage.rest().await;
    stage.change(|deployment| deployment["spec"]["paused"] = json!(true));
    stage.set_image("two");
    stage.change(|deployment| deployment["spec"]["replicas"] = json!(4));
    stage.rest().await;
    assert_eq!(stage.sets(), rows(&[("one", 4)]));
    assert_eq!(stage.condition("Progressing")["reason"], "DeploymentPaused");
    stage.change(|deployment| deployment["spec"]["paused"] = json!(false));
    stage.rest().await;
    assert_eq!(stage.sets(), rows(&[("one", 0), ("two", 4)]));
    assert_eq!(stage.condition("Progressing")["reason"], "NewReplicaSetAvailable");
}

#[tokio::test(start_paused = true)]
async fn a_stuck_rollout_times_out_without_an_event() {
    let stage = stage(deployment(1, "one")).await;
    stage.rest().await;
    stage.set_image("broken");
    stage.settle(590).await;
    assert_eq!(stage.condition("Progressing")["reason"], "ReplicaSetUpdated");
    stage.settle(30).await;
    let condition = stage.condition("Progressing");
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("ProgressDeadlineExceeded")));
    stage.rest().await;
    assert_eq!(stage.condition("Progressing")["reason"], "NewReplicaSetAvailable", "late is better than never");
}

#[tokio::test(start_paused = true)]
async fn history_is_pruned_to_its_limit() {
    let mut value = deployment(1, "v0");
    value["spec"]["revisionHistoryLimit"] = json!(2);
    let stage = stage(value).await;
    for image in ["v1", "v2", "v3", "v4"] {
        stage.rest().await;
        stage.set_image(image);
    }
    stage.rest().await;
    // The fake never tells what a ReplicaSet's status has seen.
    assert_eq!(stage.sets(), rows(&[("v2", 0), ("v3", 0), ("v4", 1)]));
}

#[tokio::test(start_paused = true)]
async fn a_clash_of_hashes_is_counted_and_evaded() {
    let stage = stage(deployment(1, "one")).await;
    stage.rest().await;
    let taken = stage.api.all(&SETS)[0].clone();
    let name = taken["metadata"]["name"].as_str().unwrap().to_owned();
    // Somebody else's set stands where the next one is to be made.
    stage.api.remove(&SETS, "ns", &name);
    let foreign = json!({"metadata": {"namespace": "ns", "name": name, "uid": "foreign"}, "spec": {"replicas": 0}});
    stage.api.put(&SETS, foreign);
    stage.rest().await;
    assert_eq!(stage.status()["collisionCount"], 1);
    let own: Vec<_> = stage.api.all(&SETS).into_iter().filter(|set| set["metadata"]["uid"] != "foreign").collect();
    assert_eq!(own.len(), 1);
    assert_ne!(own[0]["metadata"]["name"], json!(name));
}

#[tokio::test(start_paused = true)]
async fn a_refused_set_shows_in_condition_and_event() {
    let stage = Stage::new(&DEF, &[]).await;
    stage.refuse("create replicasets", meta::Status::failure(meta::Reason::Forbidden, "no more sets").into());
    stage.api.put(&DEPLOYMENTS, deployment(1, "one"));
    stage.settle(60).await;
    let condition = stage.condition("Progressing");
    assert_eq!(condition["reason"], "ReplicaSetCreateError");
    let message = condition["message"].as_str().unwrap();
    assert!(message.starts_with("Failed to create new replica set \"web-") && message.ends_with("\": no more sets"));
    assert_eq!(stage.events().len(), 1);
    stage.api.clear_faults();
    stage.settle(600).await;
    assert_eq!(stage.api.all(&SETS).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_selector_for_everything_is_refused() {
    let mut value = deployment(1, "one");
    value["spec"]["selector"] = json!({});
    let stage = Stage::new(&DEF, &[(&DEPLOYMENTS, value)]).await;
    assert_eq!(
        stage.events(),
        ["SelectingAll This deployment is selecting all pods. A non-empty selector is required."]
    );
    assert!(stage.api.all(&SETS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_watch_and_a_conflict_lose_nothing() {
    let stage = stage(deployment(5, "one")).await;
    stage.rest().await;
    stage.set_image("two");
    for round in 0..40 {
        stage.api.freeze(round % 4 == 0);
        stage.kubelet(|_| true);
        if round % 4 == 1 {
            stage.api.drop_watches(round % 8 == 1);
            // Another writer touches the sets in between.
            for set in stage.api.all(&SETS) {
                stage.edit(&SETS, "ns", set["metadata"]["name"].as_str().unwrap(), |set| {
                    set["metadata"]["annotations"]["touched"] = json!(round.to_string());
                });
            }
        }
        stage.settle(1).await;
    }
    stage.rest().await;
    assert_eq!(stage.sets(), rows(&[("one", 0), ("two", 5)]));
    assert_eq!(stage.api.all(&PODS).len(), 5);
}
