//! Making claims for pods and taking them back, on the fake API server.

use super::*;
use crate::kinds::resource::{PODS, RESOURCE_CLAIM_TEMPLATES, RESOURCE_CLAIMS};
use crate::testing::Stage;
use serde_json::json;

const PROTECTION: &str = "resource.kubernetes.io/delete-protection";

fn template(name: &str) -> Value {
    json!({"metadata": {"namespace": "ns", "name": name, "uid": name}, "spec": {
        "metadata": {"labels": {"l": "v"}, "annotations": {"a": "v"}},
        "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}}}})
}

fn pod(name: &str, entries: Value) -> Value {
    json!({"metadata": {"namespace": "ns", "name": name, "uid": name}, "spec": {"resourceClaims": entries}})
}

fn from_template() -> Value {
    json!([{"name": "gpu", "resourceClaimTemplateName": "t"}])
}

/// A claim with devices that these pods use.
fn claim(name: &str, pods: &[&str]) -> Value {
    let pods: Vec<Value> = pods.iter().map(|pod| json!({"resource": "pods", "name": pod, "uid": pod})).collect();
    json!({"metadata": {"namespace": "ns", "name": name, "uid": name, "finalizers": [PROTECTION]},
           "status": {"allocation": {"devices": {}}, "devices": [{}], "reservedFor": pods}})
}

fn standing_claim(stage: &Stage, name: &str) -> Option<Value> {
    stage.api.get(&RESOURCE_CLAIMS, "ns", name)
}

#[tokio::test(start_paused = true)]
async fn pods_get_claims_of_their_own() {
    let objects = [(&RESOURCE_CLAIM_TEMPLATES, template("t")), (&PODS, pod("p", from_template()))];
    let stage = Stage::new(&DEF, &objects).await;
    stage.settle(5).await;
    let claims = stage.api.all(&RESOURCE_CLAIMS);
    let [claim] = claims.as_slice() else { panic!("{claims:?}") };
    let meta = &claim["metadata"];
    assert!(text(claim, "/metadata/name").starts_with("p-gpu-"), "{meta}");
    assert_eq!(meta["annotations"], json!({"a": "v", FOR_ENTRY: "gpu"}));
    assert_eq!(meta["labels"], json!({"l": "v"}));
    let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p", "controller": true,
                        "blockOwnerDeletion": true}]);
    assert_eq!(meta["ownerReferences"], owner);
    assert_eq!(claim["spec"]["devices"]["requests"][0]["name"], json!("r"));
    let status = &stage.api.get(&PODS, "ns", "p").unwrap()["status"];
    assert_eq!(status["resourceClaimStatuses"], json!([{"name": "gpu", "resourceClaimName": meta["name"]}]));
    stage.writes();
    stage.settle(3600).await;
    assert!(stage.writes().is_empty(), "nothing changes, nothing is written");
    // One that somebody deleted is made again.
    stage.api.remove(&RESOURCE_CLAIMS, "ns", text(claim, "/metadata/name"));
    stage.settle(5).await;
    assert_eq!(stage.api.all(&RESOURCE_CLAIMS).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn missing_templates_are_told_and_waited_for() {
    let stage = Stage::new(&DEF, &[(&PODS, pod("p", from_template()))]).await;
    stage.settle(5).await;
    let wanted = "FailedResourceClaimCreation PodResourceClaim gpu: resource claim template \"t\": \
                  resourceclaimtemplate.resource.k8s.io \"t\" not found";
    assert!(stage.events().iter().any(|event| event == wanted), "{:?}", stage.events());
    stage.api.put(&RESOURCE_CLAIM_TEMPLATES, template("t"));
    stage.settle(1200).await;
    assert_eq!(stage.api.all(&RESOURCE_CLAIMS).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_not_written_down_is_found_again() {
    let mut orphan = claim("p-gpu-x", &[]);
    orphan["metadata"]["annotations"] = json!({FOR_ENTRY: "gpu"});
    orphan["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p", "controller": true}]);
    let objects =
        [(&RESOURCE_CLAIM_TEMPLATES, template("t")), (&PODS, pod("p", from_template())), (&RESOURCE_CLAIMS, orphan)];
    let stage = Stage::new(&DEF, &objects).await;
    stage.settle(5).await;
    assert_eq!(stage.writes(), ["patch pods/status ns/p"]);
}

#[tokio::test(start_paused = true)]
async fn devices_go_with_the_last_consumer() {
    let objects = [
        (&PODS, pod("a", json!([{"name": "c", "resourceClaimName": "shared"}]))),
        (&PODS, pod("b", json!([{"name": "c", "resourceClaimName": "shared"}]))),
        (&RESOURCE_CLAIMS, claim("shared", &["a", "b", "gone"])),
    ];
    let stage = Stage::new(&DEF, &objects).await;
    stage.settle(5).await;
    let users = || {
        let claim = standing_claim(&stage, "shared").unwrap();
        list(&claim, "/status/reservedFor").iter().map(|one| text(one, "/name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(users(), ["a", "b"]);
    stage.edit(&PODS, "ns", "a", |pod| pod["status"]["phase"] = json!("Succeeded"));
    stage.settle(5).await;
    assert_eq!(users(), ["b"]);
    assert!(standing_claim(&stage, "shared").unwrap()["status"]["allocation"].is_object());
    stage.api.remove(&PODS, "ns", "b");
    stage.settle(5).await;
    let claim = standing_claim(&stage, "shared").unwrap();
    assert_eq!((&claim["status"], &claim["metadata"]["finalizers"]), (&json!({}), &json!([])));
    stage.writes();
    stage.settle(3600).await;
    assert!(stage.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn made_claims_go_with_pods_that_are_done() {
    let mut made = claim("p-gpu-x", &["p"]);
    made["metadata"]["annotations"] = json!({FOR_ENTRY: "gpu"});
    made["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p", "controller": true}]);
    let mut done = pod("p", from_template());
    done["spec"]["nodeName"] = json!("n1");
    done["status"] =
        json!({"phase": "Running", "resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "p-gpu-x"}]});
    let objects = [(&RESOURCE_CLAIM_TEMPLATES, template("t")), (&PODS, done), (&RESOURCE_CLAIMS, made)];
    let stage = Stage::new(&DEF, &objects).await;
    stage.settle(5).await;
    assert!(stage.writes().is_empty(), "it is in use");
    stage.edit(&PODS, "ns", "p", |pod| pod["status"]["phase"] = json!("Failed"));
    stage.settle(5).await;
    assert!(standing_claim(&stage, "p-gpu-x").is_none_or(|claim| claim["metadata"]["deletionTimestamp"].is_string()));
}

#[tokio::test(start_paused = true)]
async fn made_claims_lose_pods_that_were_never_seen_to_have_them() {
    let mut bound = pod("p", from_template());
    bound["spec"]["nodeName"] = json!("n");
    let stage = Stage::new(&DEF, &[(&PODS, bound)]).await;
    stage.api.hold(&PODS, true);
    let mut claim = claim("p-gpu-x", &["p"]);
    claim["metadata"]["annotations"] = json!({FOR_ENTRY: "gpu"});
    claim["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p", "controller": true}]);
    stage.api.put(&RESOURCE_CLAIMS, claim);
    stage.settle(5).await;
    stage.api.remove(&PODS, "ns", "p");
    stage.settle(5).await;
    stage.api.hold(&PODS, false);
    stage.api.drop_watches(true);
    stage.settle(60).await;
    // Its object is the garbage collector's.
    let claim = standing_claim(&stage, "p-gpu-x").unwrap();
    assert_eq!((&claim["status"], &claim["metadata"]["finalizers"]), (&json!({}), &json!([])));
}

#[tokio::test(start_paused = true)]
async fn pods_bound_by_hand_become_consumers() {
    let mut bound = pod("p", json!([{"name": "c", "resourceClaimName": "ready"}]));
    bound["spec"]["nodeName"] = json!("n1");
    let stage = Stage::new(&DEF, &[(&PODS, bound), (&RESOURCE_CLAIMS, claim("ready", &[]))]).await;
    stage.settle(5).await;
    let claim = standing_claim(&stage, "ready").unwrap();
    assert_eq!(claim["status"]["reservedFor"], json!([{"resource": "pods", "name": "p", "uid": "p"}]));
}

#[test]
fn names_are_cut_in_proportion() {
    assert_eq!(made::base_name("pod", "gpu"), "pod-gpu-");
    let long = made::base_name(&"p".repeat(60), &"c".repeat(30));
    assert_eq!(long, format!("{}-{}", "p".repeat(37), "c".repeat(18)));
    assert!(long.len() <= 57);
}
