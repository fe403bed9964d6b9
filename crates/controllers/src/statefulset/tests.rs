//! Names as a table; sets with a pretended node.

use super::*;
use crate::history;
use crate::testing::Stage;
use serde_json::json;

const SETS: meta::GroupVersionResource = resource::STATEFUL_SETS;
const PODS: meta::GroupVersionResource = resource::PODS;
const CLAIMS: meta::GroupVersionResource = resource::PERSISTENT_VOLUME_CLAIMS;
const REVISIONS: meta::GroupVersionResource = resource::CONTROLLER_REVISIONS;

fn set(spec: &Value) -> Value {
    let mut set = json!({
        "metadata": {"namespace": "ns", "name": "db", "generation": 1, "uid": "set-db"},
        "spec": {
            "replicas": 3, "serviceName": "db", "podManagementPolicy": "OrderedReady", "revisionHistoryLimit": 10,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": "a"}]}},
        },
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        set["spec"][field] = value.clone();
    }
    set
}

async fn stage(spec: &Value) -> Stage {
    Stage::new(&DEF, &[(&SETS, set(spec))]).await
}

impl Stage {
    /// A node makes pods ready and ends them, until nothing moves.
    async fn members_run(&self, seconds: usize, becomes_ready: impl Fn(&str) -> bool) {
        for _ in 0..seconds {
            self.kubelet(|pod| becomes_ready(pod["metadata"]["name"].as_str().unwrap()));
            self.settle(1).await;
        }
    }

    fn member_names(&self) -> Vec<String> {
        self.api.all(&PODS).iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The images that run, by place.
    fn member_images(&self) -> String {
        let image = |pod: &Value| pod["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
        self.api.all(&PODS).iter().map(image).collect()
    }

    fn change_set(&self, edit: impl FnOnce(&mut Value)) {
        self.edit(&SETS, "ns", "db", |set| {
            edit(&mut set["spec"]);
            let generation = set["metadata"]["generation"].as_i64().unwrap();
            set["metadata"]["generation"] = json!(generation + 1);
        });
    }

    fn set_status(&self) -> Value {
        self.api.get(&SETS, "ns", "db").unwrap()["status"].clone()
    }
}

fn image(image: &str) -> impl FnOnce(&mut Value) {
    move |spec| spec["template"]["spec"]["containers"][0]["image"] = json!(image)
}

#[test]
fn pods_are_known_by_their_names() {
    for (pod, ordinal) in [
        ("db-0", Some(0)),
        ("db-12", Some(12)),
        ("db", None),
        ("db-", None),
        ("db-x", None),
        ("db-a-1", None),
        ("my-db-1", None),
    ] {
        assert_eq!(member::ordinal(pod, "db"), ordinal, "{pod}");
    }
}

#[tokio::test(start_paused = true)]
async fn pods_come_one_by_one_and_go_in_reverse() {
    let stage = stage(&json!({})).await;
    assert_eq!(stage.member_names(), ["db-0"]);
    stage.members_run(5, |_| false).await;
    assert_eq!(stage.member_names(), ["db-0"], "the first is not ready");
    stage.members_run(9, |_| true).await;
    assert_eq!(stage.member_names(), ["db-0", "db-1", "db-2"]);
    let pod = stage.api.get(&PODS, "ns", "db-1").unwrap();
    let labels = &pod["metadata"]["labels"];
    assert_eq!((&labels[member::NAME_LABEL], &labels[member::INDEX_LABEL]), (&json!("db-1"), &json!("1")));
    assert_eq!((&pod["spec"]["hostname"], &pod["spec"]["subdomain"]), (&json!("db-1"), &json!("db")));
    let status = stage.set_status();
    assert_eq!(labels[history::LABEL], status["currentRevision"]);
    for field in ["replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas"] {
        assert_eq!(status[field], 3, "{field}");
    }
    stage.writes();
    stage.settle(3600).await;
    assert!(stage.writes().is_empty(), "an idle cluster makes no writes");

    stage.change_set(|spec| spec["replicas"] = json!(1));
    stage.settle(1).await;
    let ending: Vec<_> =
        stage.api.all(&PODS).iter().map(|pod| pod["metadata"]["deletionTimestamp"].is_string()).collect();
    assert_eq!(ending, [false, false, true], "one at a time");
    stage.members_run(5, |_| true).await;
    assert_eq!(stage.member_names(), ["db-0"]);
    assert!(stage.events().contains(&"SuccessfulDelete delete Pod db-2 in StatefulSet db successful".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_ill_pod_holds_up_the_end_of_others() {
    let stage = stage(&json!({})).await;
    stage.members_run(9, |_| true).await;
    stage.edit(&PODS, "ns", "db-0", |pod| pod["status"]["conditions"][0]["status"] = json!("False"));
    stage.change_set(|spec| spec["replicas"] = json!(1));
    stage.settle(5).await;
    assert_eq!(stage.member_names().len(), 3);
    assert!(stage.api.get(&PODS, "ns", "db-2").unwrap()["metadata"]["deletionTimestamp"].is_null());
}

#[tokio::test(start_paused = true)]
async fn a_parallel_set_does_not_wait() {
    let stage = stage(&json!({"podManagementPolicy": "Parallel", "ordinals": {"start": 4}})).await;
    assert_eq!(stage.member_names(), ["db-4", "db-5", "db-6"]);
    stage.members_run(2, |_| false).await;
    stage.change_set(|spec| spec["replicas"] = json!(0));
    stage.members_run(3, |_| false).await;
    assert!(stage.member_names().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_update_goes_from_the_highest_number_down() {
    let stage = stage(&json!({})).await;
    stage.members_run(9, |_| true).await;
    let before = stage.set_status()["currentRevision"].clone();
    stage.change_set(image("b"));
    let mut seen = vec![stage.member_images()];
    for _ in 0..20 {
        stage.members_run(1, |_| true).await;
        let images = stage.member_images();
        assert!(images.len() >= 2, "one is missing at most");
        if images.len() == 3 && seen.last() != Some(&images) {
            seen.push(images);
        }
    }
    assert_eq!(seen, ["aaa", "aab", "abb", "bbb"]);
    let status = stage.set_status();
    assert_eq!(status["currentRevision"], status["updateRevision"]);
    assert_ne!(status["currentRevision"], before);
    assert_eq!(stage.api.all(&REVISIONS).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_partition_keeps_those_below_as_they_are() {
    let rolling = |partition: i64| json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}});
    let stage = stage(&json!({"updateStrategy": rolling(2)})).await;
    stage.members_run(9, |_| true).await;
    stage.change_set(image("b"));
    stage.members_run(9, |_| true).await;
    assert_eq!(stage.member_images(), "aab");
    assert_ne!(stage.set_status()["currentRevision"], stage.set_status()["updateRevision"]);
    // One that is lost comes back as it was.
    stage.api.remove(&PODS, "ns", "db-0");
    stage.members_run(9, |_| true).await;
    assert_eq!(stage.member_images(), "aab");
    stage.change_set(|spec| spec["updateStrategy"] = rolling(0));
    stage.members_run(15, |_| true).await;
    assert_eq!(stage.member_images(), "bbb");
}

#[tokio::test(start_paused = true)]
async fn several_may_be_missing_where_allowed() {
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 2}});
    let spec = json!({"replicas": 5, "podManagementPolicy": "Parallel", "updateStrategy": rolling});
    let stage = stage(&spec).await;
    stage.members_run(5, |_| true).await;
    stage.change_set(image("b"));
    for _ in 0..20 {
        stage.settle(1).await;
        let able = stage.api.all(&PODS).iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).count();
        assert!(able >= 3, "{able}");
        stage.members_run(1, |_| true).await;
    }
    assert_eq!(stage.member_images(), "bbbbb");
}

#[tokio::test(start_paused = true)]
async fn on_delete_waits_for_somebody_to_delete() {
    let stage = stage(&json!({"updateStrategy": {"type": "OnDelete"}})).await;
    stage.members_run(9, |_| true).await;
    stage.change_set(image("b"));
    stage.members_run(5, |_| true).await;
    assert_eq!(stage.member_images(), "aaa");
    stage.api.remove(&PODS, "ns", "db-1");
    stage.members_run(5, |_| true).await;
    assert_eq!(stage.member_images(), "aba");
}

#[tokio::test(start_paused = true)]
async fn ended_pods_are_made_anew_once_they_are_gone() {
    let stage = stage(&json!({"replicas": 1})).await;
    stage.members_run(3, |_| true).await;
    let uid = || stage.api.get(&PODS, "ns", "db-0").unwrap()["metadata"]["uid"].clone();
    let before = uid();
    stage.edit(&PODS, "ns", "db-0", |pod| pod["status"]["phase"] = json!("Failed"));
    stage.settle(5).await;
    assert_eq!(uid(), before, "its node has not let it go");
    stage.members_run(4, |_| true).await;
    assert_ne!(uid(), before);
    assert!(stage.events().contains(&"RecreatingFailedPod StatefulSet ns/db is recreating failed Pod db-0".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn claims_are_made_and_go_with_whom_they_should() {
    // Policy for deletion and for scaling; owners of the claims that stay, and of the one too many.
    for (deleted, scaled, kept, spare) in [
        ("Retain", "Retain", vec![], vec![]),
        ("Delete", "Retain", vec!["set-db"], vec!["set-db"]),
        ("Retain", "Delete", vec![], vec!["pod"]),
        ("Delete", "Delete", vec!["set-db"], vec!["pod"]),
    ] {
        let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}});
        let policy = json!({"whenDeleted": deleted, "whenScaled": scaled});
        let stage = stage(&json!({
            "replicas": 2, "volumeClaimTemplates": [claim], "persistentVolumeClaimRetentionPolicy": policy,
        }))
        .await;
        stage.members_run(6, |_| true).await;
        let names: Vec<_> = stage.api.all(&CLAIMS).iter().map(|claim| claim["metadata"]["name"].clone()).collect();
        assert_eq!(names, ["data-db-0", "data-db-1"]);
        let pod = stage.api.get(&PODS, "ns", "db-1").unwrap();
        assert_eq!(pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], "data-db-1");
        stage.change_set(|spec| spec["replicas"] = json!(1));
        stage.settle(2).await;
        let owners = |name: &str| -> Vec<String> {
            let claim = stage.api.get(&CLAIMS, "ns", name).unwrap();
            let list = claim["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
            // The fake server takes strategic patches for merge patches.
            let standing = list.iter().filter(|one| one["$patch"].is_null());
            let pod = &pod["metadata"]["uid"];
            standing.map(|one| if one["uid"] == *pod { "pod" } else { "set-db" }.to_owned()).collect()
        };
        assert_eq!((owners("data-db-0"), owners("data-db-1")), (strings(&kept), strings(&spare)), "{deleted} {scaled}");
    }
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|one| (*one).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_goes_holds_up_its_pod() {
    let claim = json!({"metadata": {"name": "data"}, "spec": {}});
    let going =
        json!({"metadata": {"namespace": "ns", "name": "data-db-0", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let spec = json!({"replicas": 1, "volumeClaimTemplates": [claim]});
    let stage = Stage::new(&DEF, &[(&SETS, set(&spec)), (&CLAIMS, going)]).await;
    stage.settle(5).await;
    assert!(stage.member_names().is_empty());
    stage.api.remove(&CLAIMS, "ns", "data-db-0");
    stage.settle(10).await;
    assert_eq!(stage.member_names(), ["db-0"]);
    assert_eq!(stage.api.all(&CLAIMS).len(), 1);
}

#[test]
fn claims_are_known_by_their_names() {
    for (claim, set, is) in [
        ("disk-data-2", "data", true),
        ("big-disk-data-12", "data", true),
        ("disk-old-data-2", "data", true),
        ("disk-data-x", "data", false),
        ("disk-data-", "data", false),
        ("disk-mydata-2", "data", false),
        ("data-2", "data", false),
        ("data", "data", false),
    ] {
        assert_eq!(super::claims::may_be_of(claim, set), is, "{claim} {set}");
    }
}
