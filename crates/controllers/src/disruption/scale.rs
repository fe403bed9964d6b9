//! How many pods there are to be, by what controls the ones that are.

use crate::kinds::{kind, resource};
use crate::rig::Rig;
use crate::views::PodView;
use client::{Cache, Item, Projection};
use meta::{GroupVersion, OwnerReference};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The replicas that an object wants.
pub struct ScaleView(i64);

impl Projection for ScaleView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Scaled {
            spec: Spec,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Spec {
            replicas: Option<i64>,
        }
        let scaled: Scaled = serde_json::from_slice(object)?;
        Ok(ScaleView(scaled.spec.replicas.unwrap_or(1)))
    }
}

/// What the pods' controllers want in all.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub count: i64,
    /// Pods that nobody controls.
    pub unmanaged: Vec<String>,
}

pub struct Scales {
    controllers: Arc<Cache<ScaleView>>,
    sets: Arc<Cache<ScaleView>>,
    deployments: Arc<Cache<ScaleView>>,
    stateful: Arc<Cache<ScaleView>>,
}

type Scaled = Option<(String, i64)>;

impl Scales {
    pub fn new(rig: &Rig) -> Self {
        Scales {
            controllers: rig.cache(&resource::REPLICATION_CONTROLLERS),
            sets: rig.cache(&resource::REPLICA_SETS),
            deployments: rig.cache(&resource::DEPLOYMENTS),
            stateful: rig.cache(&resource::STATEFUL_SETS),
        }
    }

    /// # Errors
    /// A controller that cannot be found or has no scale, in upstream's words.
    pub fn expected(&self, pods: &[Arc<Item<PodView>>]) -> Result<Expected, String> {
        let mut expected = Expected::default();
        let mut seen: BTreeMap<String, i64> = BTreeMap::new();
        for pod in pods {
            let Some(owner) = pod.meta.controller() else {
                expected.unmanaged.push(pod.meta.name.clone());
                continue;
            };
            if seen.contains_key(&owner.uid) {
                continue;
            }
            let found = self.find(&pod.meta.namespace, owner)?;
            let (uid, scale) = found.ok_or_else(|| format!("found no controllers for pod {:?}", pod.meta.name))?;
            seen.insert(uid, scale);
        }
        expected.count = seen.values().sum();
        Ok(expected)
    }

    fn find(&self, namespace: &str, owner: &OwnerReference) -> Result<Scaled, String> {
        let group = GroupVersion::parse(&owner.api_version).map(|version| version.group).unwrap_or_default();
        match (&*group, owner.kind.as_str()) {
            ("", "ReplicationController") => Ok(scale(&self.controllers, namespace, owner)),
            ("apps", "StatefulSet") => Ok(scale(&self.stateful, namespace, owner)),
            ("apps", "ReplicaSet") => {
                let set = self.sets.get(namespace, &owner.name).filter(|set| set.meta.uid == owner.uid);
                let above = set.as_ref().and_then(|set| set.meta.controller());
                Ok(match above.filter(|above| above.kind == kind::DEPLOYMENTS.kind) {
                    Some(deployment) => scale(&self.deployments, namespace, deployment),
                    None => scale(&self.sets, namespace, owner),
                })
            }
            (group, name) => match kinds::all().iter().find(|row| row.group == group && row.kind == name) {
                Some(row) => Err(match group {
                    "" => format!("{} does not implement the scale subresource", row.resource),
                    group => format!("{}.{group} does not implement the scale subresource", row.resource),
                }),
                None => Ok(None),
            },
        }
    }
}

fn scale(cache: &Cache<ScaleView>, namespace: &str, owner: &OwnerReference) -> Scaled {
    let found = cache.get(namespace, &owner.name).filter(|found| found.meta.uid == owner.uid)?;
    Some((found.meta.uid.clone(), found.view.0))
}
