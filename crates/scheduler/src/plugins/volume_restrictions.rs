//! VolumeRestrictions: a claim that one pod alone may use, and disks that one pod of a node may.

use crate::framework::{Case, Plugin, Prepared, Rejection};
use crate::news::{CLAIM, NODE_ADD, News, POD_DELETE, Subject, of_own_claims};
use crate::pod::{Disk, PodSpec, Volume};
use crate::snapshot::Snapshot;
use client::cache::Key;

const IN_USE: &str =
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod";

pub const PLUGIN: Plugin = Plugin::spanning("VolumeRestrictions", prepare, 0, NODE_ADD | POD_DELETE | CLAIM, hint);

struct Ready {
    in_use: bool,
}

fn disks(spec: &PodSpec) -> impl Iterator<Item = &Disk> {
    spec.volumes.iter().filter_map(|volume| match volume {
        Volume::Disk(disk) => Some(disk),
        Volume::Claim { .. } => None,
    })
}

fn prepare(case: &Case<'_>, snapshot: &mut Snapshot) -> Result<Option<Box<dyn Prepared>>, Rejection> {
    if case.spec.volumes.is_empty() {
        return Ok(None);
    }
    let namespace = &case.pod.meta.namespace;
    let mut in_use = false;
    for volume in &case.spec.volumes {
        let Volume::Claim { name, is_ephemeral } = volume else { continue };
        let Some(claim) = case.cluster.claim(namespace, name) else {
            // VolumeBinding tells of claims still to be made.
            if *is_ephemeral {
                continue;
            }
            return Err(Rejection::of(format!("persistentvolumeclaim \"{name}\" not found")).is_final());
        };
        let is_alone = claim.view.access_modes.iter().any(|mode| mode == "ReadWriteOncePod");
        in_use |= is_alone && snapshot.users_of(&Key::new(namespace, name)) > 0;
    }
    Ok(Some(Box::new(Ready { in_use })))
}

impl Prepared for Ready {
    fn filter(&self, case: &Case<'_>, snapshot: &Snapshot, slot: usize) -> Result<(), Rejection> {
        let node = snapshot.node(slot);
        let clashes = |own: &Disk| {
            let others = node.pods.values().flat_map(|pod| disks(&pod.view.spec));
            others.into_iter().any(|other| own.clashes_with(other))
        };
        if disks(case.spec).any(clashes) {
            return Err(Rejection::of("node(s) had no available disk"));
        }
        if self.in_use { Err(Rejection::of(IN_USE)) } else { Ok(()) }
    }
}

fn hint(case: &Case<'_>, news: &News<'_>) -> bool {
    match &news.subject {
        Subject::Pod { old: Some(old), new: None } => {
            let shared = |claim: &str| case.spec.claims().any(|own| own == claim);
            let same_namespace = old.meta.namespace == case.pod.meta.namespace;
            let frees_claim = same_namespace && old.view.spec.claims().any(shared);
            frees_claim || disks(case.spec).any(|own| disks(&old.view.spec).any(|disk| own.clashes_with(disk)))
        }
        Subject::Pod { .. } => false,
        _ => of_own_claims(case, news),
    }
}
