//! The nodes as they are now, kept current change by change: watched pods and nodes, and pods that
//! were just given a node and have not come back through the watch yet.

use crate::node::{Node, NodeView, Placed};
use crate::pod::PodView;
use client::cache::{Change, Key};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Snapshot {
    /// Nodes that exist, and nodes that pods say they are on, whose Node may come or has gone.
    nodes: BTreeMap<String, (Node, bool)>,
    /// Where each pod stands.
    places: BTreeMap<Key, String>,
}

impl Snapshot {
    /// Nodes that exist, in order of name.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|(_, exists)| *exists).map(|(node, _)| node)
    }

    pub fn len(&self) -> usize {
        self.nodes().count()
    }

    pub fn observe_node(&mut self, change: &Change<NodeView>) {
        let Some(latest) = change.latest() else { return };
        let name = latest.meta.name.clone();
        match &change.new {
            Some(item) => {
                let (node, exists) = self.nodes.entry(name.clone()).or_default();
                node.name = name;
                node.labels.clone_from(&item.meta.labels);
                node.view = item.view.clone();
                *exists = true;
            }
            None => {
                let is_empty = self.nodes.get(&name).is_some_and(|(node, _)| node.pods.is_empty());
                if is_empty {
                    self.nodes.remove(&name);
                } else if let Some((_, exists)) = self.nodes.get_mut(&name) {
                    *exists = false;
                }
            }
        }
    }

    /// True where the change may make room for others.
    pub fn observe_pod(&mut self, change: &Change<PodView>) -> bool {
        match &change.new {
            Some(item) if !item.view.node_name.is_empty() && !item.view.is_over => {
                self.place(item.key.clone(), &item.view.node_name, Placed::of(&item.view));
                false
            }
            Some(item) if item.view.is_over => self.forget(&item.key),
            // Still unassigned: what was assumed of it stands until the binding is known.
            Some(_) => false,
            None => change.old.as_ref().is_some_and(|item| self.forget(&item.key)),
        }
    }

    /// Counts a pod to a node, from now on.
    pub fn place(&mut self, key: Key, node: &str, pod: Placed) {
        if self.places.get(&key).is_some_and(|before| before != node) {
            self.forget(&key);
        }
        self.nodes.entry(node.to_owned()).or_default().0.place(key.clone(), pod);
        self.places.insert(key, node.to_owned());
    }

    /// True where the pod stood somewhere.
    pub fn forget(&mut self, key: &Key) -> bool {
        let Some(name) = self.places.remove(key) else { return false };
        if let Some((node, exists)) = self.nodes.get_mut(&name) {
            node.remove(key);
            if !*exists && node.pods.is_empty() {
                self.nodes.remove(&name);
            }
        }
        true
    }
}
