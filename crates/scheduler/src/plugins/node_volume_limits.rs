//! NodeVolumeLimits: a node takes as many volumes of a CSI driver as its CSINode says.

use crate::cluster::Cluster;
use crate::framework::{Case, Plugin, Prepared, Rejection};
use crate::news::{CLAIM, CSI_NODE, NODE_ADD, News, POD_DELETE, Subject, of_own_claims};
use crate::pod::PodItem;
use crate::snapshot::Snapshot;
use std::collections::{BTreeMap, BTreeSet};

pub const PLUGIN: Plugin =
    Plugin::spanning("NodeVolumeLimits", prepare, 0, NODE_ADD | CSI_NODE | POD_DELETE | CLAIM, hint);

/// Driver and what tells its volumes apart.
type Handle = (String, String);

struct Ready {
    wanted: BTreeSet<Handle>,
}

fn prepare(case: &Case<'_>, _snapshot: &mut Snapshot) -> Result<Option<Box<dyn Prepared>>, Rejection> {
    let wanted: BTreeSet<Handle> = handles(case.cluster, case.pod).collect();
    Ok((!wanted.is_empty()).then(|| Box::new(Ready { wanted }) as Box<dyn Prepared>))
}

fn handles<'p>(cluster: &'p Cluster, pod: &'p PodItem) -> impl Iterator<Item = Handle> + 'p {
    pod.view.spec.claims().filter_map(move |name| {
        let namespace = &pod.meta.namespace;
        let claim = cluster.claim(namespace, name)?;
        let volume = cluster.volume(&claim.view.volume).filter(|_| !claim.view.volume.is_empty());
        match volume {
            Some(volume) => volume.view.csi.clone(),
            // Not made yet: its class tells by whom it will be.
            None => {
                let provisioner = cluster.class(&claim.view.class)?.view.provisioner.clone();
                Some((provisioner, format!("{namespace}/{name}")))
            }
        }
    })
}

impl Prepared for Ready {
    fn filter(&self, case: &Case<'_>, snapshot: &Snapshot, slot: usize) -> Result<(), Rejection> {
        let node = snapshot.node(slot);
        let Some(csi_node) = case.cluster.csi_nodes.get("", &node.name) else { return Ok(()) };
        let limits = &csi_node.view.limits;
        if !self.wanted.iter().any(|(driver, _)| limits.contains_key(driver)) {
            return Ok(());
        }
        let mut all: BTreeSet<Handle> = node.pods.values().flat_map(|pod| handles(case.cluster, pod)).collect();
        let fresh: BTreeSet<&str> =
            self.wanted.iter().filter(|one| !all.contains(*one)).map(|(driver, _)| driver.as_str()).collect();
        all.extend(self.wanted.iter().cloned());
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (driver, _) in &all {
            *counts.entry(driver).or_default() += 1;
        }
        // A node that is over its limit already still takes pods that add nothing.
        let exceeded = |driver: &&str| limits.get(*driver).is_some_and(|limit| counts[*driver] > *limit);
        match fresh.iter().any(exceeded) {
            true => Err(Rejection::of("node(s) exceed max volume count")),
            false => Ok(()),
        }
    }
}

fn hint(case: &Case<'_>, news: &News<'_>) -> bool {
    match &news.subject {
        Subject::Pod { old: Some(old), new: None } => old.view.spec.claims().next().is_some(),
        Subject::Pod { .. } => false,
        _ => of_own_claims(case, news),
    }
}
