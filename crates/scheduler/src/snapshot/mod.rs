//! The nodes as they are now, kept current change by change: watched pods and nodes, and pods that
//! were just given a node and have not come back through the watch yet.

mod held;
mod tally;
#[cfg(test)]
mod tests;
mod topology;

pub use held::Kind;
pub use tally::{Condition, Question};
pub use topology::Domains;

use crate::node::{Node, NodeItem, NodeView, zone};
use crate::pod::{PodItem, PodView};
use client::cache::{Change, Key};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

#[derive(Default)]
pub struct Snapshot {
    nodes: Vec<Node>,
    slots: BTreeMap<String, usize>,
    free: Vec<usize>,
    existing: usize,
    /// Slots of nodes that exist, zones taking turns; None: has to be made anew.
    order: Option<Arc<Vec<usize>>>,
    /// Where each pod stands.
    places: BTreeMap<Key, usize>,
    /// Of each slot; moves on with every change of what rules may look at. Beside the nodes and not in
    /// them: a search reads thousands of these, and mostly nothing else.
    generations: Vec<u64>,
    generation: u64,
    topologies: topology::Topologies,
    tallies: tally::Tallies,
    pub held: held::Held,
    /// How many placed pods use a claim (`namespace/name`).
    claims: BTreeMap<Key, usize>,
    /// On how many nodes an image is.
    images: BTreeMap<String, usize>,
    /// Moves on when images come or go anywhere.
    pub image_generation: u64,
    /// Pods that wait for room to be made on a node.
    nominated: BTreeMap<String, BTreeMap<Key, PodItem>>,
}

impl Snapshot {
    pub fn node(&self, slot: usize) -> &Node {
        &self.nodes[slot]
    }

    pub fn generation(&self, slot: usize) -> u64 {
        self.generations[slot]
    }

    pub fn find(&self, name: &str) -> Option<&Node> {
        self.slots.get(name).map(|slot| &self.nodes[*slot]).filter(|node| node.exists())
    }

    /// One more than the highest slot.
    pub fn slots(&self) -> usize {
        self.nodes.len()
    }

    /// The slots of the nodes that exist, in the order they are tried: zones take turns.
    pub fn order(&mut self) -> Arc<Vec<usize>> {
        if let Some(order) = &self.order {
            return order.clone();
        }
        let mut zones: BTreeMap<(&str, &str), VecDeque<usize>> = BTreeMap::new();
        for slot in self.slots.values() {
            let node = &self.nodes[*slot];
            if node.exists() {
                zones.entry(zone(node.labels())).or_default().push_back(*slot);
            }
        }
        let mut order = Vec::with_capacity(self.nodes.len());
        while !zones.is_empty() {
            zones.retain(|_, slots| {
                order.extend(slots.pop_front());
                !slots.is_empty()
            });
        }
        let order = Arc::new(order);
        self.order = Some(order.clone());
        order
    }

    pub fn domains(&mut self, topology_key: &str) -> Arc<Domains> {
        self.topologies.domains(topology_key, self.nodes.iter())
    }

    /// How many pods on each node meet the question, by slot.
    pub fn count(&mut self, question: &Question) -> &[u32] {
        let nodes = &self.nodes;
        let pods = nodes.iter().flat_map(|node| node.pods.values().map(move |pod| (node.slot, pod)));
        self.tallies.ask(question, nodes.len(), pods)
    }

    pub fn users_of(&self, claim: &Key) -> usize {
        self.claims.get(claim).copied().unwrap_or(0)
    }

    pub fn nodes_with_image(&self, image: &str) -> usize {
        self.images.get(image).copied().unwrap_or(0)
    }

    /// How many nodes there are.
    pub fn existing(&self) -> usize {
        self.existing
    }

    /// Pods of which the placement is known, be it only assumed.
    pub fn placed(&self) -> usize {
        self.places.len()
    }

    fn slot(&mut self, name: &str) -> usize {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        let slot = self.free.pop().unwrap_or(self.nodes.len());
        let node = Node::new(slot, name);
        if slot == self.nodes.len() {
            self.nodes.push(node);
            self.generations.push(0);
        } else {
            self.nodes[slot] = node;
        }
        self.slots.insert(name.to_owned(), slot);
        self.touch(slot);
        slot
    }

    fn touch(&mut self, slot: usize) {
        self.generation += 1;
        self.generations[slot] = self.generation;
    }

    pub fn observe_node(&mut self, change: &Change<NodeView>) {
        let Some(latest) = change.latest() else { return };
        let slot = self.slot(&latest.meta.name.clone());
        let old = std::mem::replace(&mut self.nodes[slot].item, change.new.clone());
        self.existing = self.existing + usize::from(change.new.is_some()) - usize::from(old.is_some());
        self.note_images(old.as_ref(), change.new.as_ref());
        let labels = |item: Option<&NodeItem>| item.map(|item| item.meta.labels.clone());
        if old.is_some() != change.new.is_some() || labels(old.as_ref()) != labels(change.new.as_ref()) {
            self.topologies.outdate();
            self.order = None;
        }
        self.touch(slot);
        self.drop_if_unused(slot);
    }

    fn note_images(&mut self, old: Option<&NodeItem>, new: Option<&NodeItem>) {
        static NONE: BTreeMap<String, i64> = BTreeMap::new();
        let before = old.map_or(&NONE, |item| &item.view.images);
        let after = new.map_or(&NONE, |item| &item.view.images);
        if before == after {
            return;
        }
        self.image_generation += 1;
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            let count = self.images.get_mut(name).map_or(0, |count| {
                *count -= 1;
                *count
            });
            if count == 0 {
                self.images.remove(name);
            }
        }
        for name in after.keys().filter(|name| !before.contains_key(*name)) {
            *self.images.entry(name.clone()).or_default() += 1;
        }
    }

    fn drop_if_unused(&mut self, slot: usize) {
        let node = &self.nodes[slot];
        if !node.exists() && node.pods.is_empty() && self.slots.remove(&node.name).is_some() {
            self.free.push(slot);
        }
    }

    /// Returns the pod whose room is free again. Nobody but this snapshot may have known that it had
    /// any: it may have been on its way to its node still.
    pub fn observe_pod(&mut self, change: &Change<PodView>) -> Option<PodItem> {
        let gone = match &change.new {
            Some(item) if !item.view.node_name.is_empty() && !item.view.is_over => {
                self.place(item.clone(), &item.view.node_name.clone());
                return None;
            }
            Some(item) if item.view.is_over => self.forget(&item.key, None),
            // Still unassigned: what was assumed of it stands until the binding is known.
            Some(_) => return None,
            None => change.old.as_ref().and_then(|item| self.forget(&item.key, Some(&item.meta.uid))),
        };
        gone.map(|(pod, _)| pod)
    }

    /// Counts a pod to a node, from now on.
    pub fn place(&mut self, pod: PodItem, node: &str) {
        if let Some(standing) = self.standing(&pod.key) {
            let is_same = self.nodes[standing].name == node
                && self.nodes[standing].pods.get(&pod.key).is_some_and(|before| {
                    before.meta.labels == pod.meta.labels
                        && before.view.spec == pod.view.spec
                        && before.meta.is_deleting() == pod.meta.is_deleting()
                });
            if is_same {
                // Nothing that anybody counts: only what preemption looks at may differ.
                self.nodes[standing].pods.insert(pod.key.clone(), pod);
                return;
            }
            self.forget(&pod.key, None);
        }
        let slot = self.slot(node);
        self.count_in(slot, &pod, true);
        self.places.insert(pod.key.clone(), slot);
        self.nodes[slot].place(pod);
        self.touch(slot);
    }

    fn standing(&self, key: &Key) -> Option<usize> {
        self.places.get(key).copied()
    }

    /// Takes a pod off its node; with a uid only that one. Returns it, and the node's name.
    pub fn forget(&mut self, key: &Key, uid: Option<&str>) -> Option<(PodItem, String)> {
        let slot = self.standing(key)?;
        let is_other = |pod: &PodItem| uid.is_some_and(|uid| pod.meta.uid != uid);
        if self.nodes[slot].pods.get(key).is_some_and(is_other) {
            return None;
        }
        self.places.remove(key);
        let pod = self.nodes[slot].remove(key)?;
        self.count_in(slot, &pod, false);
        self.touch(slot);
        let name = self.nodes[slot].name.clone();
        self.drop_if_unused(slot);
        Some((pod, name))
    }

    /// Counts a pod to a node that it is going to be given. Where the server has it on one already it
    /// stays there: an earlier binding may have come through though its answer was lost.
    pub fn assume(&mut self, pod: PodItem, node: &str) {
        if !self.is_settled(&pod) {
            self.place(pod, node);
        }
    }

    /// Takes back what was only assumed of a pod.
    pub fn withdraw(&mut self, pod: &PodItem) -> Option<(PodItem, String)> {
        if self.is_settled(pod) { None } else { self.forget(&pod.key, Some(&pod.meta.uid)) }
    }

    /// Whether the server is known to have this very pod on a node.
    fn is_settled(&self, pod: &PodItem) -> bool {
        let standing = self.standing(&pod.key).and_then(|slot| self.nodes[slot].pods.get(&pod.key));
        standing.is_some_and(|standing| standing.meta.uid == pod.meta.uid && !standing.view.node_name.is_empty())
    }

    fn count_in(&mut self, slot: usize, pod: &PodItem, arrives: bool) {
        self.tallies.observe(slot, pod, arrives);
        self.held.observe(slot, pod, arrives);
        for claim in pod.view.spec.claims() {
            let key = Key::new(&pod.meta.namespace, claim);
            let users = self.claims.entry(key.clone()).or_default();
            *users = if arrives { *users + 1 } else { users.saturating_sub(1) };
            if *users == 0 {
                self.claims.remove(&key);
            }
        }
    }

    /// Remembers where a pod waits for room; an empty name: nowhere.
    pub fn nominate(&mut self, pod: &PodItem, node: &str) {
        self.nominated.retain(|_, pods| {
            pods.remove(&pod.key);
            !pods.is_empty()
        });
        // Who is on its way to a node waits for none, though what it was told before may arrive only now.
        if !node.is_empty() && self.standing(&pod.key).is_none() {
            self.nominated.entry(node.to_owned()).or_default().insert(pod.key.clone(), pod.clone());
        }
    }

    pub fn has_nominations(&self) -> bool {
        !self.nominated.is_empty()
    }

    /// Who waits for room on a node.
    pub fn nominated(&self, node: &str) -> impl Iterator<Item = &PodItem> {
        self.nominated.get(node).into_iter().flat_map(BTreeMap::values)
    }

    /// Where a pod waits for room.
    pub fn nomination(&self, key: &Key) -> Option<&str> {
        self.nominated.iter().find(|(_, pods)| pods.contains_key(key)).map(|(node, _)| node.as_str())
    }
}
