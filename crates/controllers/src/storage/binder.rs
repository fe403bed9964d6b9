//! Binds claims to volumes. Each look at an object does the one next step: first the volume names the
//! claim, then the claim the volume, then both say so in their status; whatever was interrupted goes
//! on from what stands.

use super::matching::{best, is_for, mismatch};
use super::{class, text};
use crate::action::{Action, Plan, Update};
use crate::kinds::{kind, resource};
use crate::rig::{Def, Rig, Room, RoomError};
use base::Timestamp;
use client::events::ObjectRef;
use client::queue::RETRY;
use client::{Cache, Item, Key};
use meta::{GroupVersionKind, GroupVersionResource};
use serde_json::{Value, json};
use std::sync::Arc;

pub const DEF: Def = Def {
    name: "persistentvolume-binder-controller",
    identity: "persistent-volume-binder",
    component: "persistentvolume-controller",
    // One: two claims must not choose the same volume.
    workers: 1,
    retry: RETRY,
    build,
};

const BOUND: &str = "pv.kubernetes.io/bind-completed";
const BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const PROVISIONERS: [&str; 2] =
    ["volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner"];
const NOBODY: &str = "kubernetes.io/no-provisioner";

struct Binder {
    volumes: Arc<Cache<()>>,
    claims: Arc<Cache<()>>,
    classes: Arc<Cache<()>>,
}

/// Keys with a namespace are claims, those without volumes.
fn build(rig: &Rig) -> Box<dyn Room> {
    let volumes = rig.cache::<()>(&resource::PERSISTENT_VOLUMES);
    let claims = rig.cache::<()>(&resource::PERSISTENT_VOLUME_CLAIMS);
    let classes = rig.cache::<()>(&resource::STORAGE_CLASSES);
    rig.on_itself(&volumes);
    rig.on_itself(&claims);
    let all = Arc::downgrade(&claims);
    rig.on(&volumes, move |change, queue| {
        // A volume may be what any waiting claim waits for; those that are bound look and go.
        let Some(claims) = all.upgrade() else { return };
        let settled = change.old.is_some() && change.new.as_ref().is_some_and(|volume| settled(volume));
        claims
            .list()
            .iter()
            .filter(|claim| !settled || !is_bound(claim))
            .for_each(|claim| queue.add(claim.key.clone()));
    });
    let all = Arc::downgrade(&volumes);
    rig.on(&claims, move |change, queue| {
        let Some(volumes) = all.upgrade() else { return };
        let names = change.states().filter_map(|claim| claim.decode::<Value>().ok());
        for name in names.map(|claim| text(&claim, "/spec/volumeName").to_owned()) {
            volumes.get("", &name).into_iter().for_each(|volume| queue.add(volume.key.clone()));
        }
        if change.new.is_none() {
            volumes.list().iter().for_each(|volume| queue.add(volume.key.clone()));
        }
    });
    let all = Arc::downgrade(&claims);
    rig.on(&classes, move |_, queue| {
        let claims = all.upgrade().map(|claims| claims.list()).unwrap_or_default();
        claims.iter().filter(|claim| !is_bound(claim)).for_each(|claim| queue.add(claim.key.clone()));
    });
    Box::new(Binder { volumes, claims, classes })
}

fn is_bound(claim: &Item<()>) -> bool {
    claim.meta.annotations.contains_key(BOUND)
}

fn settled(volume: &Item<()>) -> bool {
    volume.decode::<Value>().is_ok_and(|volume| text(&volume, "/status/phase") == "Bound")
}

impl Room for Binder {
    fn reconcile(&self, key: &Key, _now: Timestamp) -> Result<Plan, RoomError> {
        let is_claim = !key.namespace().is_empty();
        let cache = if is_claim { &self.claims } else { &self.volumes };
        let Some(item) = cache.get_key(key) else { return Ok(Plan::nothing()) };
        let object: Value = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let actions = match is_claim {
            true if item.meta.is_deleting() && !is_bound(&item) => Vec::new(),
            true if is_bound(&item) => self.bound_claim(&object),
            true => self.unbound_claim(&object),
            false => self.volume(&object),
        };
        Ok(Plan::of(actions))
    }
}

impl Binder {
    fn find(cache: &Cache<()>, namespace: &str, name: &str) -> Option<Value> {
        cache.get(namespace, name)?.decode().ok()
    }

    fn unbound_claim(&self, claim: &Value) -> Vec<Action> {
        let named = text(claim, "/spec/volumeName");
        if !named.is_empty() {
            return self.claim_of_volume(claim, named);
        }
        let class_name = class(claim);
        let class = Self::find(&self.classes, "", class_name);
        let late = class.as_ref().is_some_and(|class| text(class, "/volumeBindingMode") == "WaitForFirstConsumer");
        let waits = late && claim["metadata"]["annotations"][SELECTED_NODE].is_null();
        let volumes: Vec<Value> = self.volumes.list().iter().filter_map(|volume| volume.decode().ok()).collect();
        match best(&volumes, claim, late) {
            Some(volume) => bind(volume, claim),
            None => self.without_volume(claim, class_name, class.as_ref(), waits),
        }
    }

    /// Asks whoever provisions, and says what is waited for.
    fn without_volume(&self, claim: &Value, name: &str, class: Option<&Value>, waits: bool) -> Vec<Action> {
        let about = about(&kind::PERSISTENT_VOLUME_CLAIMS, claim);
        let mut actions = phase(&resource::PERSISTENT_VOLUME_CLAIMS, claim, "Pending");
        let event = |warning, reason, message: String| Action::event(&about, warning, reason, message);
        let Some(class) = class else {
            actions.push(match name {
                "" => event(
                    false,
                    "FailedBinding",
                    "no persistent volumes available for this claim and no storage class is set".to_owned(),
                ),
                name => {
                    let why = format!("storageclass.storage.k8s.io {name:?} not found");
                    event(true, "ProvisioningFailed", why)
                }
            });
            return actions;
        };
        if waits {
            let message = "waiting for first consumer to be created before binding";
            actions.push(event(false, "WaitForFirstConsumer", message.to_owned()));
            return actions;
        }
        let provisioner = text(class, "/provisioner");
        if provisioner == NOBODY {
            return actions;
        }
        let asked = PROVISIONERS.iter().all(|name| claim["metadata"]["annotations"][*name] == provisioner);
        if asked {
            let message = format!(
                "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by \
                 the system administrator. If volume creation is delayed, please verify that the provisioner is \
                 running and correctly registered."
            );
            actions.push(event(false, "ExternalProvisioning", message));
            return actions;
        }
        let mut object = claim.clone();
        for name in PROVISIONERS {
            object["metadata"]["annotations"][name] = provisioner.into();
        }
        vec![update(&resource::PERSISTENT_VOLUME_CLAIMS, None, object)]
    }

    /// A claim that asks for one volume by name.
    fn claim_of_volume(&self, claim: &Value, name: &str) -> Vec<Action> {
        let waiting = || phase(&resource::PERSISTENT_VOLUME_CLAIMS, claim, "Pending");
        let Some(volume) = Self::find(&self.volumes, "", name) else { return waiting() };
        let about = about(&kind::PERSISTENT_VOLUME_CLAIMS, claim);
        if volume["spec"]["claimRef"].is_null()
            && let Some(why) = mismatch(&volume, claim)
        {
            let message = format!("Cannot bind to requested volume {name:?}: {why}");
            let mut actions = waiting();
            actions.push(Action::event(&about, true, "VolumeMismatch", message));
            return actions;
        }
        if volume["spec"]["claimRef"].is_null() || is_for(&volume, claim) {
            return bind(&volume, claim);
        }
        let mut actions = waiting();
        let message = format!("volume {name:?} already bound to a different claim.");
        actions.push(Action::event(&about, true, "FailedBinding", message));
        actions
    }

    fn bound_claim(&self, claim: &Value) -> Vec<Action> {
        let about = about(&kind::PERSISTENT_VOLUME_CLAIMS, claim);
        let lost = |reason, message: &str| {
            let mut actions = phase(&resource::PERSISTENT_VOLUME_CLAIMS, claim, "Lost");
            if !actions.is_empty() {
                actions.insert(0, Action::event(&about, true, reason, message));
            }
            actions
        };
        let name = text(claim, "/spec/volumeName");
        if name.is_empty() {
            let message = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!";
            return lost("ClaimLost", message);
        }
        match Self::find(&self.volumes, "", name) {
            None => lost("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"),
            Some(volume) if volume["spec"]["claimRef"].is_null() || is_for(&volume, claim) => bind(&volume, claim),
            Some(_) => {
                let message = "Two claims are bound to the same volume, this one is bound incorrectly";
                lost("ClaimMisbound", message)
            }
        }
    }

    fn volume(&self, volume: &Value) -> Vec<Action> {
        let to = |name| phase(&resource::PERSISTENT_VOLUMES, volume, name);
        let reference = &volume["spec"]["claimRef"];
        if text(reference, "/uid").is_empty() {
            return to("Available");
        }
        let claim = Self::find(&self.claims, text(reference, "/namespace"), text(reference, "/name"));
        let Some(claim) = claim.filter(|claim| text(claim, "/metadata/uid") == text(reference, "/uid")) else {
            // What becomes of what is on it, whoever made the volume decides.
            return to("Released");
        };
        let bound_to = text(&claim, "/spec/volumeName");
        if bound_to == text(volume, "/metadata/name") {
            return to("Bound");
        }
        // The claim took another volume after all: this one is free again.
        if !bound_to.is_empty() && !volume["metadata"]["annotations"][BY_CONTROLLER].is_null() {
            let mut object = volume.clone();
            object["spec"]["claimRef"] = Value::Null;
            object["metadata"]["annotations"][BY_CONTROLLER] = Value::Null;
            return vec![update(&resource::PERSISTENT_VOLUMES, None, without_nulls(object))];
        }
        Vec::new()
    }
}

/// The next step of binding the two.
fn bind(volume: &Value, claim: &Value) -> Vec<Action> {
    let uid = &claim["metadata"]["uid"];
    if volume["spec"]["claimRef"]["uid"] != *uid {
        let mut object = volume.clone();
        if volume["spec"]["claimRef"].is_null() {
            object["metadata"]["annotations"][BY_CONTROLLER] = "yes".into();
        }
        object["spec"]["claimRef"] = json!({
            "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": claim["metadata"]["namespace"],
            "name": claim["metadata"]["name"], "uid": uid, "resourceVersion": claim["metadata"]["resourceVersion"],
        });
        return vec![update(&resource::PERSISTENT_VOLUMES, None, object)];
    }
    let name = text(volume, "/metadata/name");
    if text(claim, "/spec/volumeName") != name || claim["metadata"]["annotations"][BOUND].is_null() {
        let mut object = claim.clone();
        if text(claim, "/spec/volumeName") != name {
            object["spec"]["volumeName"] = name.into();
            object["metadata"]["annotations"][BY_CONTROLLER] = "yes".into();
        }
        object["metadata"]["annotations"][BOUND] = "yes".into();
        return vec![update(&resource::PERSISTENT_VOLUME_CLAIMS, None, object)];
    }
    let mut object = claim.clone();
    object["status"]["phase"] = "Bound".into();
    object["status"]["accessModes"] = volume["spec"]["accessModes"].clone();
    if claim["status"]["capacity"].is_null() {
        object["status"]["capacity"] = volume["spec"]["capacity"].clone();
    }
    match object == *claim {
        true => Vec::new(),
        false => vec![update(&resource::PERSISTENT_VOLUME_CLAIMS, Some("status"), object)],
    }
}

fn without_nulls(mut object: Value) -> Value {
    for path in ["/spec", "/metadata/annotations"] {
        if let Some(fields) = object.pointer_mut(path).and_then(Value::as_object_mut) {
            fields.retain(|_, value| !value.is_null());
        }
    }
    object
}

/// Nothing where the phase stands already.
fn phase(resource: &GroupVersionResource, object: &Value, phase: &str) -> Vec<Action> {
    if text(object, "/status/phase") == phase {
        return Vec::new();
    }
    let mut object = object.clone();
    object["status"]["phase"] = phase.into();
    vec![update(resource, Some("status"), object)]
}

fn about(kind: &GroupVersionKind, object: &Value) -> ObjectRef {
    ObjectRef::of(kind, &serde_json::from_value(object["metadata"].clone()).unwrap_or_default())
}

fn update(resource: &GroupVersionResource, subresource: Option<&'static str>, object: Value) -> Action {
    let key = Key::new(text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
    Action::Update(Update { resource: resource.clone(), key, subresource, object })
}
