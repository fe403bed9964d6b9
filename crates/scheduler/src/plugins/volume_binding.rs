//! VolumeBinding: a pod goes where its volumes can be used: those its claims are bound to, and for
//! claims that wait for their first pod, volumes that match or can be made there. What is decided
//! here `crate::binding` writes before it binds the pod.

use crate::cluster::{ClaimView, ClassView, VolumeView};
use crate::framework::{Case, Plugin, Prepared, Rejection};
use crate::news::{CAPACITY, CLAIM, CLASS, CSI_DRIVER, CSI_NODE, NODE_ADD, NODE_LABEL, VOLUME, of_own_claims};
use crate::node::Node;
use crate::pod::Volume;
use crate::snapshot::Snapshot;
use client::cache::{Item, Key};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

const NO_VOLUME: &str = "node(s) didn't find available persistent volumes to bind";
const OUT_OF_REACH: &str = "node(s) had volume node affinity conflict";
const NO_SPACE: &str = "node(s) did not have enough free storage";
const VANISHED: &str = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";

const BOUND: &str = "pv.kubernetes.io/bind-completed";
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

pub const PLUGIN: Plugin = Plugin::spanning(
    "VolumeBinding",
    prepare,
    0,
    CLASS | CLAIM | VOLUME | NODE_ADD | NODE_LABEL | CSI_NODE | CSI_DRIVER | CAPACITY,
    of_own_claims,
);

type Claim = Arc<Item<ClaimView>>;

/// The claims of a pod.
struct Ready {
    /// The names of the volumes that claims are bound to.
    bound: Vec<String>,
    /// Claims that wait for the pod, the smallest first.
    waiting: Vec<Claim>,
    /// Volumes that may do for one of them.
    free: Vec<Arc<Item<VolumeView>>>,
}

/// What is to be done before a pod can go to its node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Volumes to give to claims.
    pub bind: Vec<(String, Key)>,
    /// Claims for which a volume is to be made.
    pub provision: Vec<Key>,
    /// All claims have their volumes.
    pub is_done: bool,
}

fn prepare(case: &Case<'_>, _snapshot: &mut Snapshot) -> Result<Option<Box<dyn Prepared>>, Rejection> {
    Ok(read(case)?.map(|ready| Box::new(ready) as Box<dyn Prepared>))
}

/// What a pod's claims come to on the node that was chosen for it.
pub fn decide(case: &Case<'_>, node: &Node) -> Result<Decision, Rejection> {
    match read(case)? {
        None => Ok(Decision { is_done: true, ..Decision::default() }),
        Some(ready) => ready.decide(case, node),
    }
}

fn read(case: &Case<'_>) -> Result<Option<Ready>, Rejection> {
    let refuse = |why: String| Rejection::of(why).is_final();
    let mut ready = Ready { bound: Vec::new(), waiting: Vec::new(), free: Vec::new() };
    let mut is_immediate = false;
    for volume in &case.spec.volumes {
        let Volume::Claim { name, is_ephemeral } = volume else { continue };
        let Some(claim) = case.cluster.claim(&case.pod.meta.namespace, name) else {
            return Err(refuse(match is_ephemeral {
                true => {
                    format!("waiting for ephemeral volume controller to create the persistentvolumeclaim \"{name}\"")
                }
                false => format!("persistentvolumeclaim \"{name}\" not found"),
            }));
        };
        if claim.view.is_lost {
            let lost = &claim.view.volume;
            return Err(refuse(format!(
                "persistentvolumeclaim \"{name}\" bound to non-existent persistentvolume \"{lost}\""
            )));
        }
        if claim.meta.is_deleting() {
            return Err(refuse(format!("persistentvolumeclaim \"{name}\" is being deleted")));
        }
        if *is_ephemeral && claim.meta.controller().is_none_or(|owner| owner.uid != case.pod.meta.uid) {
            let namespace = &case.pod.meta.namespace;
            let pod = &case.pod.meta.name;
            return Err(refuse(format!(
                "PVC {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)"
            )));
        }
        let waits = || case.cluster.class(&claim.view.class).is_some_and(|class| class.view.waits());
        if !claim.view.volume.is_empty() && claim.meta.annotations.contains_key(BOUND) {
            ready.bound.push(claim.view.volume.clone());
        } else if claim.view.volume.is_empty() && waits() {
            ready.waiting.push(claim);
        } else {
            is_immediate = true;
        }
    }
    if is_immediate {
        return Err(refuse("pod has unbound immediate PersistentVolumeClaims".to_owned()));
    }
    if ready.bound.is_empty() && ready.waiting.is_empty() {
        return Ok(None);
    }
    ready.waiting.sort_by_key(|claim| claim.view.request);
    if !ready.waiting.is_empty() {
        let suits = |volume: &Arc<Item<VolumeView>>| ready.waiting.iter().any(|claim| suits(volume, claim));
        ready.free = case.cluster.volumes.list().into_iter().filter(suits).collect();
        ready.free.sort_by_key(|volume| volume.view.capacity);
    }
    Ok(Some(ready))
}

/// Whether the volume could be given to the claim, wherever it is.
fn suits(volume: &Item<VolumeView>, claim: &Claim) -> bool {
    let (view, wanted) = (&volume.view, &claim.view);
    let is_free = match &view.claim {
        None => view.is_available,
        Some((namespace, name, uid)) => {
            *namespace == claim.meta.namespace && *name == claim.meta.name && (uid.is_empty() || *uid == claim.meta.uid)
        }
    };
    is_free
        && !volume.meta.is_deleting()
        && view.class == wanted.class
        && view.mode == wanted.mode
        && view.capacity >= wanted.request
        && wanted.access_modes.iter().all(|mode| view.access_modes.contains(mode))
        && wanted.selector.as_ref().is_none_or(|selector| selector.matches(&volume.meta.labels))
}

impl Ready {
    fn decide(&self, case: &Case<'_>, node: &Node) -> Result<Decision, Rejection> {
        let mut reasons: BTreeSet<&'static str> = BTreeSet::new();
        for name in &self.bound {
            match case.cluster.volume(name) {
                None => drop(reasons.insert(VANISHED)),
                Some(volume) if !volume.view.reaches(&node.name, node.labels()) => drop(reasons.insert(OUT_OF_REACH)),
                Some(_) => {}
            }
        }
        let mut decision = Decision { is_done: self.waiting.is_empty(), ..Decision::default() };
        let mut taken: BTreeSet<String> = BTreeSet::new();
        for claim in &self.waiting {
            let selected = claim.meta.annotations.get(SELECTED_NODE);
            if selected.is_some_and(|selected| *selected != node.name) {
                reasons.insert(NO_VOLUME);
                continue;
            }
            let found = if selected.is_none() { self.find(case, claim, node, &taken) } else { None };
            match found {
                Some(volume) => {
                    taken.insert(volume.clone());
                    decision.bind.push((volume, claim.key.clone()));
                }
                None => match provisionable(case, claim, node) {
                    Ok(()) => decision.provision.push(claim.key.clone()),
                    Err(reason) => drop(reasons.insert(reason)),
                },
            }
        }
        if reasons.is_empty() {
            return Ok(decision);
        }
        let reasons = reasons.into_iter().map(Cow::Borrowed).collect();
        Err(Rejection::of_all(reasons).is_final())
    }

    /// The volume meant for the claim, or the smallest that does.
    fn find(&self, case: &Case<'_>, claim: &Claim, node: &Node, taken: &BTreeSet<String>) -> Option<String> {
        let assumed = case.cluster.assumed();
        let is_ours = |volume: &Arc<Item<VolumeView>>| {
            let promised = assumed.volumes.get(&volume.meta.name);
            promised.is_none_or(|other| *other == claim.key) && !taken.contains(&volume.meta.name)
        };
        let promised = |volume: &&Arc<Item<VolumeView>>| {
            volume.view.claim.is_some() || assumed.volumes.get(&volume.meta.name) == Some(&claim.key)
        };
        let fitting = || {
            self.free.iter().filter(|volume| {
                is_ours(volume) && suits(volume, claim) && volume.view.reaches(&node.name, node.labels())
            })
        };
        let volume = fitting().find(promised).or_else(|| fitting().next());
        volume.map(|volume| volume.meta.name.clone())
    }
}

/// Whether a volume for the claim can be made where the node reaches it.
fn provisionable(case: &Case<'_>, claim: &Claim, node: &Node) -> Result<(), &'static str> {
    let Some(class) = case.cluster.class(&claim.view.class) else { return Err(NO_VOLUME) };
    let ClassView { provisioner, .. } = &class.view;
    let by_hand = provisioner.is_empty() || provisioner == "kubernetes.io/no-provisioner";
    if by_hand || !class.view.allows(node.labels()) {
        return Err(NO_VOLUME);
    }
    let driver = case.cluster.csi_drivers.get("", provisioner);
    if !driver.is_some_and(|driver| driver.view.tells_capacity) {
        return Ok(());
    }
    let capacities = case.cluster.capacities.list();
    let has_room = capacities.iter().any(|one| {
        one.view.class == claim.view.class
            && one.view.largest >= claim.view.request
            && one.view.nodes.matches(node.labels())
    });
    if has_room { Ok(()) } else { Err(NO_SPACE) }
}

impl Prepared for Ready {
    fn filter(&self, case: &Case<'_>, snapshot: &Snapshot, slot: usize) -> Result<(), Rejection> {
        self.decide(case, snapshot.node(slot)).map(drop)
    }
}
