//! What happens in the cluster, as far as it may let a waiting pod in (upstream's cluster events).

use crate::cluster::DeviceClaimView;
use crate::framework::{Case, Filter};
use crate::node::{Node, NodeItem};
use crate::pod::PodItem;
use client::cache::{Item, Key};

pub const NODE_ADD: u32 = 1;
pub const NODE_DELETE: u32 = 1 << 1;
pub const NODE_ALLOCATABLE: u32 = 1 << 2;
pub const NODE_LABEL: u32 = 1 << 3;
/// Taints, and being cordoned.
pub const NODE_TAINT: u32 = 1 << 4;
/// Of pods that have a node.
pub const POD_ADD: u32 = 1 << 5;
pub const POD_DELETE: u32 = 1 << 6;
pub const POD_LABEL: u32 = 1 << 7;
pub const POD_SCALE_DOWN: u32 = 1 << 8;
pub const CLAIM: u32 = 1 << 9;
pub const VOLUME: u32 = 1 << 10;
pub const CLASS: u32 = 1 << 11;
pub const CSI_NODE: u32 = 1 << 12;
pub const CSI_DRIVER: u32 = 1 << 13;
pub const CAPACITY: u32 = 1 << 14;
pub const DEVICE_CLAIM: u32 = 1 << 15;
pub const DEVICE_CLASS: u32 = 1 << 16;
/// Slices of devices, and taints of these.
pub const DEVICES: u32 = 1 << 17;
pub const NODE_FEATURES: u32 = 1 << 18;

/// Something that happened.
pub struct News<'n> {
    /// Bits of the above.
    pub kinds: u32,
    pub subject: Subject<'n>,
}

pub enum Subject<'n> {
    /// Without a new one: gone.
    Node {
        old: Option<&'n NodeItem>,
        new: Option<&'n NodeItem>,
    },
    /// A pod that has a node; without a new one: gone, or done.
    Pod {
        old: Option<&'n PodItem>,
        new: Option<&'n PodItem>,
    },
    Claim(&'n Key),
    /// A claim of devices that is there.
    DeviceClaim {
        old: Option<&'n Item<DeviceClaimView>>,
        new: &'n Item<DeviceClaimView>,
    },
    Other,
}

impl<'n> News<'n> {
    /// None where nobody could mind: a heartbeat.
    pub fn of_node(old: Option<&'n NodeItem>, new: Option<&'n NodeItem>) -> Option<Self> {
        let kinds = match (old, new) {
            (None, None) => 0,
            (None, Some(_)) => NODE_ADD,
            (Some(_), None) => NODE_DELETE,
            (Some(old), Some(new)) => {
                let bit = |differs: bool, bit: u32| if differs { bit } else { 0 };
                let (before, after) = (&old.view, &new.view);
                let room = before.allocatable != after.allocatable || before.max_pods != after.max_pods;
                let taint = before.unschedulable != after.unschedulable || before.taints != after.taints;
                bit(room, NODE_ALLOCATABLE)
                    | bit(taint, NODE_TAINT)
                    | bit(old.meta.labels != new.meta.labels, NODE_LABEL)
                    | bit(before.features != after.features, NODE_FEATURES)
            }
        };
        (kinds != 0).then_some(News { kinds, subject: Subject::Node { old, new } })
    }

    /// Of a pod that has, or had, a node.
    pub fn of_pod(old: Option<&'n PodItem>, new: Option<&'n PodItem>) -> Option<Self> {
        let kinds = match (old, new) {
            (None, None) => 0,
            (None, Some(_)) => POD_ADD,
            (Some(_), None) => POD_DELETE,
            (Some(old), Some(new)) => {
                let label = if old.meta.labels != new.meta.labels { POD_LABEL } else { 0 };
                let (before, after) = (&old.view.spec.requests, &new.view.spec.requests);
                let scaled = before != after && {
                    let mut larger = after.clone();
                    larger.raise(before);
                    larger != *after
                };
                label | if scaled { POD_SCALE_DOWN } else { 0 }
            }
        };
        (kinds != 0).then_some(News { kinds, subject: Subject::Pod { old, new } })
    }

    /// The pod before and after; None where this is not about a pod.
    pub fn pods(&self) -> Option<(Option<&'n PodItem>, Option<&'n PodItem>)> {
        match self.subject {
            Subject::Pod { old, new } => Some((old, new)),
            _ => None,
        }
    }

    /// Whether this is about a node that a rule takes now, and did not before.
    pub fn is_node_that_fits(&self, case: &Case<'_>, filter: Filter) -> bool {
        let fits = |item: &NodeItem| filter(case, &alone(item)).is_ok();
        match self.subject {
            Subject::Node { old, new: Some(new) } => fits(new) && old.is_none_or(|old| !fits(old)),
            _ => false,
        }
    }
}

/// A node without any pods.
fn alone(item: &NodeItem) -> Node {
    Node { item: Some(item.clone()), ..Node::new(0, &item.meta.name) }
}

/// For rules that any of their news may turn.
pub fn always(_case: &Case<'_>, _news: &News<'_>) -> bool {
    true
}

/// For rules about claims: only news of the pod's own count, and all other news.
pub fn of_own_claims(case: &Case<'_>, news: &News<'_>) -> bool {
    match &news.subject {
        Subject::Claim(key) => {
            key.namespace() == case.pod.meta.namespace && case.spec.claims().any(|claim| claim == key.name())
        }
        _ => true,
    }
}
