//! Generic ephemeral volumes: a claim for each, which its pod owns.

use super::text;
use crate::action::{Action, Create, Plan};
use crate::kinds::{kind, resource};
use crate::ownership::Owner;
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::PodView;
use base::Timestamp;
use client::events::ObjectRef;
use client::queue::RETRY;
use client::{Cache, Key};
use serde_json::{Value, json};
use std::sync::Arc;

pub const DEF: Def = Def {
    name: "ephemeral-volume-controller",
    identity: "ephemeral-volume-controller",
    component: "ephemeral_volume",
    workers: 5,
    retry: RETRY,
    build,
};

struct Ephemeral {
    pods: Arc<Cache<PodView>>,
    claims: Arc<Cache<()>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let pods = rig.cache::<PodView>(&resource::PODS);
    let claims = rig.cache::<()>(&resource::PERSISTENT_VOLUME_CLAIMS);
    rig.on(&pods, |change, queue| {
        // Volumes never change: a pod is looked at when it comes, and most have none of these.
        let came = change.new.as_ref().filter(|_| change.old.is_none());
        let has = came.filter(|pod| String::from_utf8_lossy(&pod.bytes).contains("\"volumeClaimTemplate\""));
        has.into_iter().for_each(|pod| queue.add(pod.key.clone()));
    });
    let all = Arc::downgrade(&pods);
    rig.on(&claims, move |change, queue| {
        let Some(gone) = change.old.as_ref().filter(|_| change.new.is_none()) else { return };
        let owner = gone.meta.controller().filter(|owner| owner.kind == "Pod");
        let pod = owner.and_then(|owner| all.upgrade()?.get(&gone.meta.namespace, &owner.name));
        pod.into_iter().for_each(|pod| queue.add(pod.key.clone()));
    });
    Box::new(Ephemeral { pods, claims })
}

impl Room for Ephemeral {
    fn reconcile(&self, key: &Key, _now: Timestamp) -> Result<Plan, RoomError> {
        let Some(item) = self.pods.get_key(key).filter(|pod| !pod.meta.is_deleting()) else {
            return Ok(Plan::nothing());
        };
        let pod: Value = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let owner = Owner::new(kind::PODS, resource::PODS, &item.meta);
        let mut actions = Vec::new();
        for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
            let template = &volume["ephemeral"]["volumeClaimTemplate"];
            if !template.is_object() {
                continue;
            }
            let name = format!("{}-{}", key.name(), text(volume, "/name"));
            match self.claims.get(key.namespace(), &name) {
                Some(claim) if claim.meta.controller().is_some_and(|owner| owner.uid == item.meta.uid) => {}
                Some(_) => {
                    let message = format!(
                        "ephemeral volume {}: PVC {name:?} was not created for pod {:?} (pod is not owner)",
                        text(volume, "/name"),
                        key.name()
                    );
                    actions.push(Action::event(
                        &ObjectRef::of(&kind::PODS, &item.meta),
                        true,
                        "FailedBinding",
                        message,
                    ));
                }
                None => {
                    let meta = &template["metadata"];
                    let claim = json!({
                        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": template["spec"],
                        "metadata": {"name": name, "labels": meta["labels"], "annotations": meta["annotations"],
                                     "ownerReferences": [owner.reference()]},
                    });
                    let create = Create::new(&resource::PERSISTENT_VOLUME_CLAIMS, key.namespace(), claim);
                    actions.push(Action::Create(vec![create]));
                }
            }
        }
        Ok(Plan::of(actions))
    }
}
