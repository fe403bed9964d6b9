//! Volumes stay while claims are bound to them, attribute classes while either names them: a
//! finalizer holds each.

use super::text;
use crate::action::{Action, Plan, Update};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Item, Key};
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::sync::Arc;

pub const VOLUMES: Def = Def {
    name: "persistentvolume-protection-controller",
    identity: "pv-protection-controller",
    component: "pv-protection-controller",
    workers: 1,
    retry: RETRY,
    build: build_volumes,
};

pub const ATTRIBUTES: Def = Def {
    name: "volumeattributesclass-protection-controller",
    identity: "volumeattributesclass-protection-controller",
    component: "volumeattributesclass-protection-controller",
    workers: 1,
    retry: RETRY,
    build: build_attributes,
};

/// Holds the objects of one kind.
struct Protection {
    resource: GroupVersionResource,
    finalizer: &'static str,
    objects: Arc<Cache<()>>,
    in_use: Box<dyn Fn(&Value) -> bool + Send + Sync>,
}

fn build_volumes(rig: &Rig) -> Box<dyn Room> {
    let objects = rig.cache::<()>(&resource::PERSISTENT_VOLUMES);
    rig.on_itself(&objects);
    let in_use = Box::new(|volume: &Value| text(volume, "/status/phase") == "Bound");
    let finalizer = "kubernetes.io/pv-protection";
    Box::new(Protection { resource: resource::PERSISTENT_VOLUMES, finalizer, objects, in_use })
}

fn build_attributes(rig: &Rig) -> Box<dyn Room> {
    let objects = rig.cache::<()>(&resource::VOLUME_ATTRIBUTES_CLASSES);
    let claims = rig.cache::<()>(&resource::PERSISTENT_VOLUME_CLAIMS);
    let volumes = rig.cache::<()>(&resource::PERSISTENT_VOLUMES);
    rig.on_itself(&objects);
    for users in [&claims, &volumes] {
        let all = Arc::downgrade(&objects);
        // Only a class that is going waits for its users, and there is hardly ever one.
        rig.on(users, move |_, queue| {
            let classes = all.upgrade().map(|classes| classes.list()).unwrap_or_default();
            classes.iter().filter(|class| class.meta.is_deleting()).for_each(|class| queue.add(class.key.clone()));
        });
    }
    let in_use = Box::new(move |class: &Value| {
        let name = text(class, "/metadata/name");
        let named = |user: Arc<Item<()>>| user.decode::<Value>().is_ok_and(|user| names_attributes(&user, name));
        claims.list().into_iter().chain(volumes.list()).any(named)
    });
    let finalizer = "kubernetes.io/vac-protection";
    Box::new(Protection { resource: resource::VOLUME_ATTRIBUTES_CLASSES, finalizer, objects, in_use })
}

/// Whether a claim or volume has this class of attributes, is to have it or is on its way there.
fn names_attributes(user: &Value, class: &str) -> bool {
    let places = [
        "/spec/volumeAttributesClassName",
        "/status/currentVolumeAttributesClassName",
        "/status/modifyVolumeStatus/targetVolumeAttributesClassName",
    ];
    places.iter().any(|place| text(user, place) == class)
}

impl Room for Protection {
    fn reconcile(&self, key: &Key, _now: Timestamp) -> Result<Plan, RoomError> {
        let Some(item) = self.objects.get_key(key) else { return Ok(Plan::nothing()) };
        let held = item.meta.finalizers.iter().any(|name| name == self.finalizer);
        let going = item.meta.is_deleting();
        // The kinds that nobody holds are the usual case: nothing is read for them.
        if held != going {
            return Ok(Plan::nothing());
        }
        let mut object: Value = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let mut finalizers = item.meta.finalizers.clone();
        if going {
            if (self.in_use)(&object) {
                return Ok(Plan::nothing());
            }
            finalizers.retain(|name| name != self.finalizer);
        } else {
            finalizers.push(self.finalizer.to_owned());
        }
        object["metadata"]["finalizers"] = json!(finalizers);
        let update = Update { resource: self.resource.clone(), key: key.clone(), subresource: None, object };
        Ok(Plan::of(vec![Action::Update(update)]))
    }
}
