//! The devices that can be used on a node: the newest slices of each pool, and what is wrong with
//! pools that cannot be trusted as they stand.

use crate::cluster::{DeviceId, DeviceView, Nodes, SliceView};
use crate::node::Node;
use client::cache::Item;
use meta::Quantity;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub type Slices = [Arc<Item<SliceView>>];

/// Set and name of a counter, with an amount of it.
pub type Counters<'s> = BTreeMap<(&'s str, &'s str), Quantity>;

/// A device that may be given away.
pub struct Candidate<'s> {
    pub id: DeviceId,
    pub device: &'s DeviceView,
    /// Where it can be used.
    pub nodes: &'s Nodes,
    /// Its place among the pools.
    pub pool: usize,
}

#[derive(Default)]
pub struct Pool<'s> {
    pub name: String,
    /// Slices of it are still to come.
    pub is_incomplete: bool,
    /// Two of its devices are called the same.
    pub is_invalid: bool,
    /// What is left of its counters.
    pub left: Counters<'s>,
}

impl Pool<'_> {
    pub fn is_usable(&self) -> bool {
        !self.is_incomplete && !self.is_invalid
    }
}

impl Nodes {
    pub fn has(&self, node: &Node) -> bool {
        match self {
            Nodes::None => false,
            Nodes::All => true,
            Nodes::One(name) => *name == node.name,
            Nodes::Selected(terms) => terms.iter().any(|term| term.matches(&node.name, node.labels())),
        }
    }
}

fn newest(slices: &Slices) -> BTreeMap<(&str, &str), Vec<&Item<SliceView>>> {
    let mut pools: BTreeMap<(&str, &str), Vec<&Item<SliceView>>> = BTreeMap::new();
    for slice in slices {
        let pool = pools.entry((&slice.view.driver, &slice.view.pool)).or_default();
        let standing = pool.first().map_or(i64::MIN, |first| first.view.generation);
        if slice.view.generation > standing {
            pool.clear();
        }
        if slice.view.generation >= standing {
            pool.push(slice);
        }
    }
    pools
}

/// Pools with devices for the node, and those devices.
pub fn gather<'s>(slices: &'s Slices, node: &Node, taken: &BTreeSet<DeviceId>) -> (Vec<Pool<'s>>, Vec<Candidate<'s>>) {
    let (mut pools, mut candidates) = (Vec::new(), Vec::new());
    for ((driver, name), slices) in newest(slices) {
        let before = candidates.len();
        let mut seen = BTreeSet::new();
        let mut pool = Pool { name: format!("{driver}/{name}"), ..Pool::default() };
        pool.is_incomplete = slices.first().is_some_and(|first| first.view.count != slices.len());
        for slice in &slices {
            let sets = slice.view.counters.iter();
            let counters =
                sets.flat_map(|(set, counters)| counters.iter().map(move |(name, amount)| ((set, name), amount)));
            pool.left.extend(counters.map(|((set, name), amount)| ((set.as_str(), name.as_str()), *amount)));
        }
        for slice in &slices {
            for device in &slice.view.devices {
                pool.is_invalid |= !seen.insert(&device.name);
                let (driver, pool_name) = (slice.view.driver.clone(), slice.view.pool.clone());
                let id = DeviceId { driver, pool: pool_name, device: device.name.clone() };
                if taken.contains(&id) {
                    consume(&mut pool.left, device);
                }
                let nodes = slice.view.nodes.as_ref().unwrap_or(&device.nodes);
                if nodes.has(node) {
                    candidates.push(Candidate { id, device, nodes, pool: pools.len() });
                }
            }
        }
        if candidates.len() > before {
            pools.push(pool);
        }
    }
    (pools, candidates)
}

/// Takes what a device uses; counters that the pool does not have cannot run out.
pub fn consume<'s>(left: &mut Counters<'s>, device: &'s DeviceView) {
    for (key, amount) in uses(device) {
        if let Some(left) = left.get_mut(&key) {
            *left -= *amount;
        }
    }
}

pub fn give_back<'s>(left: &mut Counters<'s>, device: &'s DeviceView) {
    for (key, amount) in uses(device) {
        if let Some(left) = left.get_mut(&key) {
            *left += *amount;
        }
    }
}

/// Whether the counters still have what a device uses.
pub fn suffices(left: &Counters<'_>, device: &DeviceView) -> bool {
    uses(device).all(|(key, amount)| left.get(&key).is_some_and(|left| left >= amount))
}

fn uses(device: &DeviceView) -> impl Iterator<Item = ((&str, &str), &Quantity)> {
    let sets = device.consumes.iter();
    sets.flat_map(|(set, counters)| counters.iter().map(move |(name, amount)| ((set.as_str(), name.as_str()), amount)))
}
