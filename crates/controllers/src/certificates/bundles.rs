//! The trust bundle of signer `kubernetes.io/kube-apiserver-serving`: keeps the one that holds the
//! API server's authority, and takes away those of earlier authorities.

use crate::action::{Action, Create, Delete, Plan, Update};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Key};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;

pub const BUNDLES: Def = Def {
    name: "kube-apiserver-serving-clustertrustbundle-publisher-controller",
    identity: "kube-apiserver-serving-clustertrustbundle-publisher",
    component: "kube-apiserver-serving-clustertrustbundle-publisher",
    workers: 1,
    retry: RETRY,
    build,
};

const SIGNER: &str = "kubernetes.io/kube-apiserver-serving";
/// So much of the digest stands in the name.
const DIGEST: usize = 12;

struct Publisher {
    bundles: Arc<Cache<()>>,
    /// The authority in PEM; None: nothing is published.
    authority: Option<String>,
}

/// There is one key: the signer.
fn build(rig: &Rig) -> Box<dyn Room> {
    let bundles = rig.cache::<()>(&resource::CLUSTER_TRUST_BUNDLES);
    rig.on(&bundles, |_, queue| queue.add(Key::new("", "signer")));
    rig.queue.add(Key::new("", "signer"));
    Box::new(Publisher { bundles, authority: rig.options.root_ca.clone() })
}

impl Room for Publisher {
    fn reconcile(&self, _key: &Key, _now: Timestamp) -> Result<Plan, RoomError> {
        let Some(authority) = &self.authority else { return Ok(Plan::nothing()) };
        let name = name_of(authority);
        let mut actions = Vec::new();
        let mut is_there = false;
        for item in self.bundles.list() {
            let mut bundle: Value = item.decode().map_err(|why| RoomError::Decode { key: item.key.clone(), why })?;
            if bundle["spec"]["signerName"] != SIGNER {
                continue;
            }
            if item.meta.name != name {
                let delete = Delete::new(&resource::CLUSTER_TRUST_BUNDLES, &item.key, &item.meta.uid);
                actions.push(Action::Delete(vec![delete]));
                continue;
            }
            is_there = true;
            if bundle["spec"]["trustBundle"] != authority.as_str() {
                bundle["spec"]["trustBundle"] = json!(authority);
                let (resource, key) = (resource::CLUSTER_TRUST_BUNDLES, item.key.clone());
                actions.push(Action::Update(Update { resource, key, subresource: None, object: bundle }));
            }
        }
        if !is_there {
            let object = json!({
                "apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle",
                "metadata": {"name": name},
                "spec": {"signerName": SIGNER, "trustBundle": authority},
            });
            // What the others say must be said anew before they go.
            let create = Create::new(&resource::CLUSTER_TRUST_BUNDLES, "", object).or_exists();
            actions.insert(0, Action::Create(vec![create]));
        }
        Ok(Plan::of(actions))
    }
}

/// The signer and the beginning of the bundle's digest, as upstream names it.
fn name_of(authority: &str) -> String {
    let mut name = format!("{}:", SIGNER.replace('/', ":"));
    for byte in digest(&SHA256, authority.as_bytes()).as_ref().iter().take(DIGEST) {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Stage;

    #[tokio::test(start_paused = true)]
    async fn one_bundle_of_the_signer_is_kept_and_others_are_let_be() {
        let bundle = |name: &str, signer: &str| json!({"metadata": {"name": name, "uid": name}, "spec": {"signerName": signer, "trustBundle": "old"}});
        let bundles = resource::CLUSTER_TRUST_BUNDLES;
        let objects = [
            (&bundles, bundle("kubernetes.io:kube-apiserver-serving:of-old", SIGNER)),
            (&bundles, bundle("example.com:mine:a", "example.com/mine")),
        ];
        let stage = Stage::new(&BUNDLES, &objects).await;
        // The first twelve bytes of the SHA-256 of "PEM".
        let name = "kubernetes.io:kube-apiserver-serving:384fb9a44fabe158be2757b9";
        let names = || -> Vec<String> {
            let all = stage.api.all(&bundles);
            all.iter().map(|one| one["metadata"]["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(), ["example.com:mine:a", name]);
        stage.edit(&bundles, "", name, |bundle| bundle["spec"]["trustBundle"] = json!("changed"));
        stage.settle(5).await;
        assert_eq!(stage.api.get(&bundles, "", name).unwrap()["spec"]["trustBundle"], "PEM");
        stage.api.remove(&bundles, "", name);
        stage.settle(5).await;
        assert_eq!(names().len(), 2);
        stage.writes();
        stage.settle(3600).await;
        assert!(stage.writes().is_empty(), "nothing changes, nothing is written");
    }
}
