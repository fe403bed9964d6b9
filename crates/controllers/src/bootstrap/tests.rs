//! Tokens that end and signatures that follow them, on the fake API server.

use super::*;
use crate::kinds::resource::{CONFIG_MAPS, SECRETS};
use crate::testing::Stage;
use serde_json::json;

fn token(id: &str, expiration: &str, signing: &str) -> Value {
    let encode = |text: &str| json!(STANDARD.encode(text));
    json!({
        "metadata": {"namespace": "kube-system", "name": format!("bootstrap-token-{id}")},
        "type": TYPE,
        "data": {
            "token-id": encode(id), "token-secret": encode("0123456789abcdef"), "expiration": encode(expiration),
            "usage-bootstrap-signing": encode(signing),
        },
    })
}

fn description() -> Value {
    json!({"metadata": {"namespace": "kube-public", "name": "cluster-info"}, "data": {"kubeconfig": "the cluster"}})
}

fn signatures(stage: &Stage) -> Vec<(String, String)> {
    let map = stage.api.get(&CONFIG_MAPS, "kube-public", "cluster-info").unwrap();
    let fields = map["data"].as_object().unwrap().iter().filter(|(name, _)| name.starts_with("jws-"));
    fields.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn tokens_end_with_their_time_and_signatures_with_them() {
    let objects = [
        (&CONFIG_MAPS, description()),
        (&SECRETS, token("aaaaaa", "2026-01-01T00:10:00Z", "true")),
        (&SECRETS, token("bbbbbb", "", "true")),
        (&SECRETS, token("cccccc", "", "false")),
        (&SECRETS, token("dddddd", "2025-01-01T00:00:00Z", "true")),
    ];
    let stage = Stage::with(&[&CLEANER, &SIGNER], &objects).await;
    let made = signatures(&stage);
    let names: Vec<_> = made.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["jws-kubeconfig-aaaaaa", "jws-kubeconfig-bbbbbb"]);
    assert!(jws::is_signed("the cluster", "0123456789abcdef", &made[0].1));
    assert!(!jws::is_signed("another", "0123456789abcdef", &made[0].1));
    stage.settle(700).await;
    assert_eq!(signatures(&stage).len(), 1);
    let left: Vec<_> = stage.api.all(&SECRETS).iter().map(|it| it["metadata"]["name"].clone()).collect();
    assert_eq!(left, ["bootstrap-token-bbbbbb", "bootstrap-token-cccccc"]);
    stage.edit(&CONFIG_MAPS, "kube-public", "cluster-info", |map| map["data"]["kubeconfig"] = json!("moved"));
    stage.settle(1).await;
    assert!(jws::is_signed("moved", "0123456789abcdef", &signatures(&stage)[0].1));
    stage.writes();
    stage.settle(3600).await;
    assert!(stage.writes().is_empty());
}

#[test]
fn the_signature_is_a_detached_jws() {
    let signature = jws::sign("my content", "abc123", "my secret");
    let header = signature.split("..").next().unwrap();
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&header).unwrap(), json!({"alg": "HS256", "kid": "abc123"}));
}
