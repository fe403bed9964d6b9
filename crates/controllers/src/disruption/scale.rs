//! How many pods there are to be, by what controls the ones that are.

use crate::kinds::{kind, resource};
use crate::rig::Rig;
use crate::views::{CustomKind, DefinitionView, PodView, custom_kind};
use client::{Cache, Error, Item, Projection, Request, Verb};
use meta::{GroupVersion, OwnerReference, Reason};
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

/// What the server said of the scales of custom controllers, by their uids.
pub type Told = BTreeMap<String, Result<Option<i64>, String>>;

pub struct Scales {
    definitions: Arc<Cache<DefinitionView>>,
    controllers: Arc<Cache<ScaleView>>,
    sets: Arc<Cache<ScaleView>>,
    deployments: Arc<Cache<ScaleView>>,
    stateful: Arc<Cache<ScaleView>>,
}

type Scaled = Option<(String, i64)>;

impl Scales {
    pub fn new(rig: &Rig) -> Self {
        Scales {
            definitions: rig.cache_if_served(&resource::CUSTOM_RESOURCE_DEFINITIONS),
            controllers: rig.cache(&resource::REPLICATION_CONTROLLERS),
            sets: rig.cache(&resource::REPLICA_SETS),
            deployments: rig.cache(&resource::DEPLOYMENTS),
            stateful: rig.cache(&resource::STATEFUL_SETS),
        }
    }

    /// The custom controllers of pods (by uid), and how to ask for their scales: there is no cache of
    /// them.
    pub fn asks(&self, pods: &[Arc<Item<PodView>>]) -> BTreeMap<String, Request> {
        let mut asks = BTreeMap::new();
        for pod in pods {
            let Some(owner) = pod.meta.controller().filter(|owner| !asks.contains_key(&owner.uid)) else { continue };
            let Some(custom) = self.custom(owner).filter(|custom| custom.scaled) else { continue };
            let request = Request::new(Verb::Get, custom.resource).namespace(&pod.meta.namespace);
            asks.insert(owner.uid.clone(), request.name(&owner.name).subresource("scale"));
        }
        asks
    }

    fn custom(&self, owner: &OwnerReference) -> Option<CustomKind> {
        custom_kind(&self.definitions, &group(owner), &owner.kind)
    }

    /// # Errors
    /// A controller that cannot be found or has no scale, in upstream's words.
    pub fn expected(&self, pods: &[Arc<Item<PodView>>], told: &Told) -> Result<Expected, String> {
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
            let found = self.find(&pod.meta.namespace, owner, told)?;
            let (uid, scale) = found.ok_or_else(|| format!("found no controllers for pod {:?}", pod.meta.name))?;
            seen.insert(uid, scale);
        }
        expected.count = seen.values().sum();
        Ok(expected)
    }

    fn find(&self, namespace: &str, owner: &OwnerReference, told: &Told) -> Result<Scaled, String> {
        match (&*group(owner), owner.kind.as_str()) {
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
                Some(row) => Err(has_no_scale(group, &row.resource)),
                None => self.find_custom(owner, told),
            },
        }
    }

    fn find_custom(&self, owner: &OwnerReference, told: &Told) -> Result<Scaled, String> {
        match (told.get(&owner.uid), self.custom(owner)) {
            (Some(answer), _) => Ok(answer.clone()?.map(|count| (owner.uid.clone(), count))),
            (None, Some(custom)) => Err(has_no_scale(&custom.resource.group, &custom.resource.resource)),
            (None, None) => Err(format!("no matches for kind {:?} in version {:?}", owner.kind, owner.api_version)),
        }
    }
}

fn group(owner: &OwnerReference) -> meta::Name {
    GroupVersion::parse(&owner.api_version).map(|version| version.group).unwrap_or_default()
}

fn has_no_scale(group: &str, resource: &str) -> String {
    match group {
        "" => format!("{resource} does not implement the scale subresource"),
        group => format!("{resource}.{group} does not implement the scale subresource"),
    }
}

/// The replicas that a controller of this uid wants; None: it is not there, or another is in its
/// place.
pub fn read(answer: &Result<Vec<bytes::Bytes>, Error>, uid: &str) -> Result<Option<i64>, String> {
    #[derive(Deserialize)]
    struct Scale {
        metadata: meta::ObjectMeta,
        #[serde(default)]
        spec: Spec,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Spec {
        replicas: i64,
    }
    match answer {
        Ok(bodies) => {
            let body = bodies.first().map(|body| &body[..]).unwrap_or_default();
            let scale: Scale = serde_json::from_slice(body).map_err(|error| error.to_string())?;
            Ok((scale.metadata.uid == uid).then_some(scale.spec.replicas))
        }
        Err(error) if error.is(Reason::NotFound) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn scale(cache: &Cache<ScaleView>, namespace: &str, owner: &OwnerReference) -> Scaled {
    let found = cache.get(namespace, &owner.name).filter(|found| found.meta.uid == owner.uid)?;
    Some((found.meta.uid.clone(), found.view.0))
}
