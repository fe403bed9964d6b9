//! Pod address ranges: gives every node a range of the cluster's.

mod ranges;
#[cfg(test)]
mod tests;

use crate::action::{Action, Patch, Plan};
use crate::kinds::{kind, resource};
use crate::rig::{Def, Rig, Room, RoomError};
use crate::views::NodeView;
use base::Timestamp;
use client::events::ObjectRef;
use client::queue::RETRY;
use client::{Cache, Key};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

pub use ranges::{Range, RangeError};

/// One worker: two nodes must not be given the same range.
pub const DEF: Def = Def {
    name: "node-ipam-controller",
    identity: "node-controller",
    component: "cidrAllocator",
    workers: 1,
    retry: RETRY,
    build,
};

struct Allocator {
    nodes: Arc<Cache<NodeView>>,
    ranges: Vec<Range>,
    /// The nodes (by uid) that were told of that there is none for them: once is enough, as they wake
    /// this room with every sign of life.
    told: Mutex<BTreeSet<String>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let nodes = rig.cache::<NodeView>(&resource::NODES);
    rig.on(&nodes, |change, queue| {
        let bare = change.new.as_ref().filter(|node| node.view.pod_cidrs.is_empty());
        bare.into_iter().for_each(|_| queue.add(Key::new("", "nodes")));
        // A node that went leaves its range to one that found none.
        change.old.as_ref().filter(|_| change.new.is_none()).into_iter().for_each(|_| queue.add(Key::new("", "nodes")));
    });
    Box::new(Allocator { nodes, ranges: rig.options.node_ranges.clone(), told: Mutex::default() })
}

impl Room for Allocator {
    /// There is one key, all nodes: whoever is given a range must see all that are taken.
    fn reconcile(&self, _key: &Key, _now: Timestamp) -> Result<Plan, RoomError> {
        if self.ranges.is_empty() {
            return Ok(Plan::nothing());
        }
        let nodes = self.nodes.list();
        let taken: Vec<String> = nodes.iter().flat_map(|node| node.view.pod_cidrs.clone()).collect();
        let mut parts: Vec<_> = self.ranges.iter().map(|range| range.free(&taken)).collect();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *told);
        let mut actions = Vec::new();
        for node in nodes.iter().filter(|node| node.view.pod_cidrs.is_empty() && !node.meta.is_deleting()) {
            let free: Option<Vec<String>> = parts.iter_mut().map(Iterator::next).collect();
            let Some(free) = free else {
                told.insert(node.meta.uid.clone());
                if before.contains(&node.meta.uid) {
                    continue;
                }
                let about = ObjectRef::of(&kind::NODES, &node.meta);
                let message = format!("Node {} status is now: CIDRNotAvailable", node.meta.name);
                actions.push(Action::event(&about, false, "CIDRNotAvailable", message));
                continue;
            };
            let version = &node.meta.resource_version;
            let spec = json!({"podCIDR": free[0], "podCIDRs": free});
            let body = json!({"metadata": {"resourceVersion": version}, "spec": spec});
            actions.push(Action::Patch(Patch::merge(&resource::NODES, &node.key, body)));
        }
        Ok(Plan::of(actions))
    }
}
