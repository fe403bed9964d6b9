//! Requests of nodes and others on the fake API server, with a pretended authority.

use super::*;
use crate::kinds::resource::{CERTIFICATE_REQUESTS, NODES, POD_CERTIFICATE_REQUESTS};
use crate::testing::Stage;
use serde_json::json;

/// Believes that a request is the common name and then the names it asks for.
struct Pretended;

impl Signer for Pretended {
    fn check(&self, _signer: &str, request: &[u8], usages: &[&str]) -> Result<Asked, String> {
        let text = String::from_utf8_lossy(request);
        let mut words = text.split(' ').map(str::to_owned);
        if usages.contains(&"wrong") {
            return Err("usages did not match".to_owned());
        }
        Ok(Asked { common_name: words.next().unwrap_or_default(), names: words.collect() })
    }

    fn sign(&self, request: &[u8], _: &[&str], lifetime: Duration, _: Timestamp) -> Result<String, String> {
        Ok(format!("{} for {} s", String::from_utf8_lossy(request), lifetime.as_secs()))
    }
}

fn request(signer: &str, user: &str, asked: &str) -> Value {
    json!({
        "metadata": {"name": "r", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"request": STANDARD.encode(asked), "signerName": signer, "username": user, "usages": ["client auth"]},
    })
}

async fn stage(object: Value) -> Stage {
    let node =
        json!({"metadata": {"name": "a"}, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}});
    let objects = [(&CERTIFICATE_REQUESTS, object), (&NODES, node)];
    let stage = Stage::tuned(&[&APPROVING, &SIGNING, &CLEANER], &objects, |options| {
        options.signer = Some(std::sync::Arc::new(Pretended));
    })
    .await;
    stage.settle(1).await;
    stage
}

fn status(stage: &Stage) -> Value {
    stage.api.get(&CERTIFICATE_REQUESTS, "", "r").map(|it| it["status"].clone()).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn nodes_are_approved_where_they_ask_for_themselves() {
    let cases = [
        (KUBELET_SERVING, "system:node:a", "system:node:a a 10.0.0.1", true),
        (KUBELET_SERVING, "system:node:a", "system:node:a 10.0.0.1 10.6.6.6", false),
        (KUBELET_SERVING, "system:node:b", "system:node:a a", false),
        (CLIENT, "jane", "jane", false),
    ];
    for (signer, user, asked, approved) in cases {
        let stage = stage(request(signer, user, asked)).await;
        let told = status(&stage);
        assert_eq!(told["conditions"][0]["type"] == "Approved", approved, "{signer} {user} {asked}");
        assert_eq!(told["certificate"].is_string(), approved);
    }
}

#[tokio::test(start_paused = true)]
async fn joining_nodes_are_approved_if_a_review_allows_it() {
    let stage = stage(request(KUBELET_CLIENT, "bootstrapper", "system:node:a")).await;
    // The fake answers a review with what it was asked: no status, so not allowed.
    assert!(status(&stage).is_null());
    let log = stage.writes();
    assert_eq!(log.iter().filter(|line| line.starts_with("create subjectaccessreviews")).count(), 1, "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn approved_requests_are_signed_and_later_cleared_away() {
    let mut approved = request(CLIENT, "jane", "jane");
    approved["spec"]["expirationSeconds"] = json!(60);
    approved["status"] =
        json!({"conditions": [{"type": "Approved", "status": "True", "lastUpdateTime": "2026-01-01T00:00:00Z"}]});
    let stage = stage(approved).await;
    assert_eq!(status(&stage)["certificate"], STANDARD.encode("jane for 600 s"));
    stage.settle(3500).await;
    assert!(!status(&stage).is_null());
    stage.settle(200).await;
    assert!(stage.api.all(&CERTIFICATE_REQUESTS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_the_signer_refuses_fails_and_says_why() {
    let mut wrong = request(CLIENT, "jane", "jane");
    wrong["spec"]["usages"] = json!(["wrong"]);
    wrong["status"] = json!({"conditions": [{"type": "Approved", "status": "True"}]});
    let stage = stage(wrong).await;
    let told = status(&stage);
    let failed = meta::conditions::find(&told["conditions"], "Failed").unwrap();
    assert_eq!(
        (&failed["reason"], &failed["message"]),
        (&json!("SignerValidationFailure"), &json!("usages did not match"))
    );
    assert!(told["certificate"].is_null());
}

#[tokio::test(start_paused = true)]
async fn other_signers_and_undecided_requests_are_left_alone_for_a_day() {
    let mut foreign = request("example.com/mine", "jane", "jane");
    foreign["status"] =
        json!({"conditions": [{"type": "Denied", "status": "True", "lastUpdateTime": "2026-01-01T00:00:00Z"}]});
    let stage = stage(foreign).await;
    assert!(stage.writes().is_empty());
    let pending = self::stage(request(CLIENT, "jane", "jane")).await;
    pending.settle(80_000).await;
    assert_eq!(pending.api.all(&CERTIFICATE_REQUESTS).len(), 1);
    pending.settle(7_000).await;
    assert!(pending.api.all(&CERTIFICATE_REQUESTS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn requests_of_pods_are_kept_for_half_an_hour() {
    let made = |name: &str, at: &str| json!({"metadata": {"namespace": "ns", "name": name, "creationTimestamp": at}});
    let (young, old) = (made("young", "2025-12-31T23:50:00Z"), made("old", "2025-12-31T23:29:00Z"));
    let objects = [(&POD_CERTIFICATE_REQUESTS, young), (&POD_CERTIFICATE_REQUESTS, old)];
    let stage = Stage::new(&POD_CLEANER, &objects).await;
    stage.settle(5).await;
    let names =
        || stage.api.all(&POD_CERTIFICATE_REQUESTS).iter().map(|it| it["metadata"]["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(), ["young"]);
    stage.settle(1100).await;
    assert_eq!(names(), ["young"]);
    stage.settle(200).await;
    assert!(names().is_empty());
}
