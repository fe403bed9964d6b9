//! VolumeZone: a volume with zone labels is used in its zones.

use crate::framework::{Case, Plugin, Prepared, Rejection};
use crate::news::{CLAIM, CLASS, NODE_ADD, NODE_LABEL, VOLUME, of_own_claims};
use crate::snapshot::Snapshot;
use std::collections::BTreeSet;

/// Pairs of labels that mean the same: today's and the one before.
const LABELS: &[[&str; 2]] = &[
    ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"],
    ["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"],
];

pub const PLUGIN: Plugin =
    Plugin::spanning("VolumeZone", prepare, 0, CLASS | NODE_ADD | NODE_LABEL | CLAIM | VOLUME, of_own_claims);

/// Labels of bound volumes, with the values a node may have.
struct Ready {
    wanted: Vec<(&'static [&'static str; 2], BTreeSet<String>)>,
}

fn prepare(case: &Case<'_>, _snapshot: &mut Snapshot) -> Result<Option<Box<dyn Prepared>>, Rejection> {
    let mut wanted = Vec::new();
    for name in case.spec.claims() {
        let missing = |what: String| Rejection::of(what).is_final();
        let Some(claim) = case.cluster.claim(&case.pod.meta.namespace, name) else {
            return Err(missing(format!("persistentvolumeclaim \"{name}\" not found")));
        };
        if claim.view.volume.is_empty() {
            if claim.view.class.is_empty() {
                return Err(missing("PersistentVolumeClaim had no pv name and storageClass name".to_owned()));
            }
            let Some(class) = case.cluster.class(&claim.view.class) else {
                let class = &claim.view.class;
                return Err(missing(format!("storageclass.storage.k8s.io \"{class}\" not found")));
            };
            if class.view.waits() {
                continue;
            }
            return Err(missing("PersistentVolume had no name".to_owned()));
        }
        let Some(volume) = case.cluster.volume(&claim.view.volume) else {
            return Err(missing(format!("persistentvolume \"{}\" not found", claim.view.volume)));
        };
        for pair in LABELS {
            for value in pair.iter().filter_map(|key| volume.meta.labels.get(*key)) {
                wanted.push((pair, value.split("__").map(str::to_owned).collect()));
            }
        }
    }
    Ok((!wanted.is_empty()).then(|| Box::new(Ready { wanted }) as Box<dyn Prepared>))
}

impl Prepared for Ready {
    fn filter(&self, _case: &Case<'_>, snapshot: &Snapshot, slot: usize) -> Result<(), Rejection> {
        let node = snapshot.node(slot);
        let labels = node.labels();
        if !LABELS.iter().flatten().any(|key| labels.contains_key(*key)) {
            return Ok(());
        }
        let met = |(pair, values): &(&[&str; 2], BTreeSet<String>)| {
            pair.iter().any(|key| labels.get(*key).is_some_and(|value| values.contains(value)))
        };
        match self.wanted.iter().all(met) {
            true => Ok(()),
            false => Err(Rejection::of("node(s) had no available volume zone").is_final()),
        }
    }
}
