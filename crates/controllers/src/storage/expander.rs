//! Claims that ask for more than they have: says who is waited for. Growing a volume is the work of
//! its driver's resizer.

use super::matching::size;
use super::text;
use crate::action::{Action, Plan};
use crate::kinds::{kind, resource};
use crate::rig::{Def, Rig, Room, RoomError};
use base::Timestamp;
use client::events::ObjectRef;
use client::queue::RETRY;
use client::{Cache, Item, Key};
use meta::Quantity;
use serde_json::Value;
use std::sync::Arc;

pub const DEF: Def = Def {
    name: "persistentvolume-expander-controller",
    identity: "expand-controller",
    component: "volume_expand",
    workers: 10,
    retry: RETRY,
    build,
};

/// The volumes of old that drivers have taken over: field and plugin.
const MIGRATED: [(&str, &str); 7] = [
    ("awsElasticBlockStore", "kubernetes.io/aws-ebs"),
    ("azureDisk", "kubernetes.io/azure-disk"),
    ("azureFile", "kubernetes.io/azure-file"),
    ("cinder", "kubernetes.io/cinder"),
    ("gcePersistentDisk", "kubernetes.io/gce-pd"),
    ("portworxVolume", "kubernetes.io/portworx-volume"),
    ("vsphereVolume", "kubernetes.io/vsphere-volume"),
];

struct Expander {
    claims: Arc<Cache<()>>,
    volumes: Arc<Cache<()>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let claims = rig.cache::<()>(&resource::PERSISTENT_VOLUME_CLAIMS);
    let volumes = rig.cache::<()>(&resource::PERSISTENT_VOLUMES);
    rig.on(&claims, |change, queue| {
        let (Some(claim), Some(old)) = (&change.new, &change.old) else { return };
        let asked = |item: &Item<()>| item.decode::<Value>().map(|claim| requested(&claim)).unwrap_or(Quantity::ZERO);
        // Only a larger wish is news; what else happens to a claim is not its size.
        if asked(claim) > asked(old) {
            queue.add(claim.key.clone());
        }
    });
    Box::new(Expander { claims, volumes })
}

impl Room for Expander {
    fn reconcile(&self, key: &Key, _now: Timestamp) -> Result<Plan, RoomError> {
        let Some(item) = self.claims.get_key(key) else { return Ok(Plan::nothing()) };
        let claim: Value = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        let Some(volume) = self.volumes.get("", text(&claim, "/spec/volumeName")) else { return Ok(Plan::nothing()) };
        let volume: Value = volume.decode().map_err(|why| RoomError::Decode { key: volume.key.clone(), why })?;
        let is_own = text(&volume, "/spec/claimRef/uid") == item.meta.uid;
        if !is_own || requested(&claim) <= size(&claim["status"]["capacity"]) {
            return Ok(Plan::nothing());
        }
        let about = ObjectRef::of(&kind::PERSISTENT_VOLUME_CLAIMS, &item.meta);
        Ok(Plan::of(vec![Action::event(&about, false, "ExternalExpanding", waited_for(&volume))]))
    }
}

fn requested(claim: &Value) -> Quantity {
    size(&claim["spec"]["resources"]["requests"])
}

/// Who is to grow the volume, in upstream's words.
fn waited_for(volume: &Value) -> String {
    match MIGRATED.iter().find(|(field, _)| volume["spec"][field].is_object()) {
        Some((_, plugin)) => {
            format!("CSI migration enabled for {plugin}; waiting for external resizer to expand the pvc")
        }
        None => "waiting for an external controller to expand this PVC".to_owned(),
    }
}
