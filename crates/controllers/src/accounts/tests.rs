//! Default accounts, root certificates and token Secrets on the fake API server.

use super::*;
use crate::kinds::resource::{CONFIG_MAPS, NAMESPACES, PODS, SECRETS, SERVICE_ACCOUNTS};
use crate::testing::Stage;
use serde_json::{Value, json};

fn namespace(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

fn secret(name: &str, account: &str) -> Value {
    let annotations = json!({"kubernetes.io/service-account.name": account});
    let metadata = json!({"namespace": "ns", "name": name, "annotations": annotations});
    json!({"metadata": metadata, "type": "kubernetes.io/service-account-token"})
}

fn account(name: &str) -> Value {
    json!({"metadata": {"namespace": "ns", "name": name, "uid": format!("uid-{name}")}})
}

#[tokio::test(start_paused = true)]
async fn every_living_namespace_keeps_its_account() {
    let ending = json!({"metadata": {"name": "old", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
    let stage = Stage::new(&DEFAULT_ACCOUNT, &[(&NAMESPACES, namespace("ns")), (&NAMESPACES, ending)]).await;
    assert_eq!(stage.writes(), ["create serviceaccounts ns/"]);
    stage.api.remove(&SERVICE_ACCOUNTS, "ns", "default");
    stage.settle(1).await;
    assert!(stage.api.get(&SERVICE_ACCOUNTS, "ns", "default").is_some());
    stage.writes();
    stage.settle(3600).await;
    assert!(stage.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_root_certificates_are_published_and_kept() {
    let stage = Stage::new(&ROOT_CA, &[(&NAMESPACES, namespace("ns"))]).await;
    let published = || stage.api.get(&CONFIG_MAPS, "ns", "kube-root-ca.crt").unwrap();
    assert_eq!(published()["data"], json!({"ca.crt": "PEM"}));
    stage.api.remove(&CONFIG_MAPS, "ns", "kube-root-ca.crt");
    stage.settle(1).await;
    assert_eq!(published()["data"], json!({"ca.crt": "PEM"}));
    stage.edit(&CONFIG_MAPS, "ns", "kube-root-ca.crt", |map| map["data"] = json!({"ca.crt": "forged", "more": "x"}));
    stage.settle(1).await;
    assert_eq!(published()["data"], json!({"ca.crt": "PEM"}));
}

#[tokio::test(start_paused = true)]
async fn token_secrets_are_filled_and_go_with_their_account() {
    let objects =
        [(&SERVICE_ACCOUNTS, account("a")), (&SECRETS, secret("mine", "a")), (&SECRETS, secret("stray", "gone"))];
    let stage = Stage::new(&TOKENS, &objects).await;
    assert!(stage.api.get(&SECRETS, "ns", "stray").is_none());
    let filled = stage.api.get(&SECRETS, "ns", "mine").unwrap();
    let data = json!({"ca.crt": "UEVN", "namespace": "bnM=", "token": "dG9rZW4gb2YgYSBpbiBtaW5l"});
    assert_eq!(filled["data"], data);
    assert_eq!(filled["metadata"]["annotations"]["kubernetes.io/service-account.uid"], "uid-a");
    // The account is made anew: what was for the old one must not speak for the new one.
    stage.api.remove(&SERVICE_ACCOUNTS, "ns", "a");
    stage.settle(1).await;
    assert!(stage.api.all(&SECRETS).is_empty());
    assert_eq!(stage.api.all(&SECRETS).len(), 0, "no Secret is made by itself");
}

#[tokio::test(start_paused = true)]
async fn the_old_feature_gives_every_account_a_secret() {
    let stage = Stage::tuned(&[&TOKENS], &[(&SERVICE_ACCOUNTS, account("a"))], |options| {
        options.secret_for_each_account = true;
    })
    .await;
    let secrets = stage.api.all(&SECRETS);
    assert_eq!(secrets.len(), 1);
    let name = secrets[0]["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("a-token-"), "{name}");
    assert!(secrets[0]["data"]["token"].is_string());
    assert_eq!(stage.api.get(&SERVICE_ACCOUNTS, "ns", "a").unwrap()["secrets"], json!([{"name": name}]));
    stage.writes();
    stage.settle(3600).await;
    assert!(stage.writes().is_empty());
}

/// What the cleaner does on 2026-01-01 with a Secret that says this of itself.
#[tokio::test(start_paused = true)]
async fn tokens_nobody_uses_are_marked_and_then_deleted() {
    let (used, invalid) = ("kubernetes.io/legacy-token-last-used", "kubernetes.io/legacy-token-invalid-since");
    let cases = [
        ("never", "2020-01-01", json!({}), "patch secrets ns/never"),
        ("long-ago", "2020-01-01", json!({used: "2024-12-31"}), "patch secrets ns/long-ago"),
        ("unreadable", "2020-01-01", json!({invalid: "x"}), "patch secrets ns/unreadable"),
        ("over", "2020-01-01", json!({invalid: "2024-12-31"}), "delete secrets ns/over"),
        ("just-used", "2020-01-01", json!({used: "2025-01-01", invalid: "2023-01-01"}), ""),
        ("odd", "2020-01-01", json!({used: "x"}), ""),
        ("waits", "2020-01-01", json!({invalid: "2025-01-01"}), ""),
        ("young", "2025-06-01", json!({}), ""),
        ("mounted", "2020-01-01", json!({}), ""),
        ("made-by-hand", "2020-01-01", json!({}), ""),
    ];
    let mut account = account("a");
    let listed = cases.iter().filter(|(name, ..)| *name != "made-by-hand").map(|(name, ..)| json!({"name": name}));
    account["secrets"] = listed.collect();
    let pod = json!({"metadata": {"namespace": "ns", "name": "p"},
        "spec": {"volumes": [{"name": "v", "secret": {"secretName": "mounted"}}]}});
    let (secrets, pods, accounts, maps) = (SECRETS, PODS, SERVICE_ACCOUNTS, CONFIG_MAPS);
    for (since, works) in [(Some("2024-12-31"), true), (Some("2025-01-01"), false), (None, false)] {
        let mut objects = vec![(&accounts, account.clone()), (&pods, pod.clone())];
        for (name, made, labels, _) in &cases {
            let mut secret = secret(name, "a");
            secret["metadata"]["uid"] = json!(name);
            secret["metadata"]["labels"] = labels.clone();
            secret["metadata"]["creationTimestamp"] = json!(format!("{made}T00:00:00Z"));
            objects.push((&secrets, secret));
        }
        let name = "kube-apiserver-legacy-service-account-token-tracking";
        let tracking =
            |since| json!({"metadata": {"namespace": "kube-system", "name": name}, "data": {"since": since}});
        objects.extend(since.map(|since| (&maps, tracking(since))));
        let stage = Stage::new(&TOKEN_CLEANER, &objects).await;
        let mut writes = stage.writes();
        writes.sort();
        let mut wanted: Vec<&str> = cases.iter().map(|(.., wanted)| *wanted).filter(|_| works).collect();
        wanted.retain(|wanted| !wanted.is_empty());
        wanted.sort_unstable();
        assert_eq!(writes, wanted, "tracked since {since:?}");
        if works {
            let marked = stage.api.get(&SECRETS, "ns", "never").unwrap();
            assert_eq!(marked["metadata"]["labels"][invalid], "2026-01-01");
            // A day later the limit has reached what stood on it.
            stage.settle(24 * 3600).await;
            let mut writes = stage.writes();
            writes.sort();
            assert_eq!(writes, ["delete secrets ns/just-used", "delete secrets ns/waits"]);
        }
    }
}
