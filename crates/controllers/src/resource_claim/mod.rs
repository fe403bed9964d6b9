//! Claims of devices: made from templates for the pods that ask for them, and taken back from pods that
//! are done. Devices go back with a claim's last consumer, made claims with their pods.
//!
//! [`made`] plans for pods, [`used`] for claims. The queue holds both, told apart by a prefix.

mod made;
mod metrics;
#[cfg(test)]
mod tests;
mod used;

use crate::action::Plan;
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::PodView;
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Change, Item, Key};
use serde_json::Value;
use std::sync::Arc;

pub const DEF: Def = Def {
    name: "resourceclaim-controller",
    identity: "resource-claim-controller",
    component: "resource_claim",
    workers: 10,
    retry: RETRY,
    build,
};

/// On claims that were made from a template: the entry of the pod's that they are for.
const FOR_ENTRY: &str = "resource.kubernetes.io/pod-claim-name";

const POD: &str = "pod:";
const CLAIM: &str = "claim:";

struct Claims {
    pods: Arc<Cache<PodView>>,
    claims: Arc<Cache<()>>,
    templates: Arc<Cache<()>>,
    metrics: metrics::Metrics,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let pods = rig.cache::<PodView>(&resource::PODS);
    let claims = rig.cache::<()>(&resource::RESOURCE_CLAIMS);
    let templates = rig.cache::<()>(&resource::RESOURCE_CLAIM_TEMPLATES);
    let metrics = metrics::Metrics::register(&rig.env.metrics);
    let made = Arc::downgrade(&claims);
    rig.on(&pods, move |change, queue| {
        if let Some(claims) = made.upgrade() {
            keys_of_pod(change, &claims).into_iter().for_each(|key| queue.add(key));
        }
    });
    let (all, counted) = (Arc::downgrade(&pods), metrics.clone());
    rig.on(&claims, move |change, queue| {
        counted.changed(change);
        let Some(latest) = change.latest() else { return };
        queue.add(prefixed(CLAIM, latest.key.namespace(), latest.key.name()));
        let Some(pods) = all.upgrade() else { return };
        for pod in pods.list_in(latest.key.namespace()).iter().filter(|pod| has_claims(pod)) {
            let pod: Value = pod.decode().unwrap_or_default();
            if names_of(&pod).any(|name| name == latest.key.name()) {
                queue.add(prefixed(POD, latest.key.namespace(), text(&pod, "/metadata/name")));
            }
        }
    });
    Box::new(Claims { pods, claims, templates, metrics })
}

fn prefixed(prefix: &str, namespace: &str, name: &str) -> Key {
    Key::new(namespace, &format!("{prefix}{name}"))
}

/// The pod where it may need claims made; its claims where it needs them no more.
fn keys_of_pod(change: &Change<PodView>, claims: &Cache<()>) -> Vec<Key> {
    let Some(latest) = change.latest().filter(|pod| has_claims(pod)) else { return Vec::new() };
    let namespace = latest.key.namespace();
    let mut keys = vec![prefixed(POD, namespace, latest.key.name())];
    if change.new.as_ref().is_none_or(|pod| is_done(pod)) {
        let pod: Value = latest.decode().unwrap_or_default();
        keys.extend(names_of(&pod).map(|name| prefixed(CLAIM, namespace, name)));
        // Its status may not have told of all yet when it was last seen.
        let made = claims.controlled_by(&latest.meta.uid);
        keys.extend(made.iter().map(|claim| prefixed(CLAIM, namespace, claim.key.name())));
    }
    keys
}

/// Most pods have none, and need not be read for it.
pub(crate) fn has_claims(pod: &Item<PodView>) -> bool {
    const FIELD: &[u8] = b"\"resourceClaims\"";
    pod.bytes.windows(FIELD.len()).any(|window| window == FIELD)
}

/// Certain not to run, ever.
fn is_done(pod: &Item<PodView>) -> bool {
    pod.view.is_finished() || pod.meta.is_deleting() && pod.view.node.is_empty()
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The names of the pod's claims, as far as they are known.
pub(crate) fn names_of(pod: &Value) -> impl Iterator<Item = &str> {
    let entries = list(pod, "/spec/resourceClaims").iter();
    entries.filter_map(|entry| match entry["resourceClaimName"].as_str() {
        Some(name) => Some(name),
        None => made::standing(pod, text(entry, "/name")).and_then(|status| status["resourceClaimName"].as_str()),
    })
}

impl Room for Claims {
    fn reconcile(&self, key: &Key, _now: Timestamp) -> Result<Plan, RoomError> {
        let namespace = key.namespace();
        if let Some(name) = key.name().strip_prefix(POD) {
            let Some(pod) = self.pods.get(namespace, name).filter(|pod| !pod.meta.is_deleting() && !is_done(pod))
            else {
                return Ok(Plan::nothing());
            };
            return self.of_pod(&pod);
        }
        let name = key.name().strip_prefix(CLAIM).unwrap_or_default();
        match self.claims.get(namespace, name) {
            Some(claim) => self.of_claim(&claim),
            None => Ok(Plan::nothing()),
        }
    }
}

fn decode<P>(item: &Item<P>) -> Result<Value, RoomError> {
    item.decode().map_err(|why| RoomError::Decode { key: item.key.clone(), why })
}

impl Claims {
    fn of_pod(&self, item: &Item<PodView>) -> Result<Plan, RoomError> {
        let namespace = item.key.namespace();
        let find = |cache: &Cache<()>, name: &str| cache.get(namespace, name).and_then(|item| item.decode().ok());
        let owned = self.claims.controlled_by(&item.meta.uid);
        let observed = made::Observed {
            pod: decode(item)?,
            meta: item.meta.clone(),
            owned: owned.iter().filter_map(|claim| claim.decode().ok()).collect(),
        };
        let claim = |name: &str| find(&self.claims, name);
        let template = |name: &str| find(&self.templates, name);
        Ok(made::plan(&observed, &claim, &template, &self.metrics))
    }

    fn of_claim(&self, item: &Item<()>) -> Result<Plan, RoomError> {
        let claim = decode(item)?;
        let state = |name: &str, uid: &str| match self.pods.get(item.key.namespace(), name) {
            None => used::Pod::Unknown,
            Some(pod) if pod.meta.uid != uid || is_done(&pod) => used::Pod::Gone,
            Some(_) => used::Pod::Needs,
        };
        used::plan(claim, &state).map_err(RoomError::Other)
    }
}
