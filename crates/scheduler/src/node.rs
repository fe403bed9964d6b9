//! Nodes as the scheduler sees them: what a node offers, and what of it is taken.

use crate::pod::{HostPort, PodView};
use crate::resources::{Quantities, Resources};
use client::cache::{Key, Projection};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What is kept of every node.
#[derive(Debug, Clone, Default)]
pub struct NodeView {
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
    pub allocatable: Resources,
    pub max_pods: usize,
    /// Names of the images there, with their sizes.
    pub images: BTreeMap<String, i64>,
}

#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
pub struct Taint {
    pub key: String,
    #[serde(default)]
    pub value: String,
    pub effect: String,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spec {
    unschedulable: bool,
    taints: Vec<Taint>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    allocatable: Quantities,
    images: Vec<Image>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Image {
    names: Vec<String>,
    size_bytes: i64,
}

impl Projection for NodeView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let Wire { spec, status } = serde_json::from_slice(object)?;
        let pods = status.allocatable.get("pods").and_then(|text| meta::Quantity::parse(text).ok());
        let images = status.images.into_iter();
        Ok(NodeView {
            unschedulable: spec.unschedulable,
            taints: spec.taints,
            allocatable: Resources::of(&status.allocatable),
            max_pods: pods.and_then(|pods| usize::try_from(pods.value()).ok()).unwrap_or(0),
            images: images.flat_map(|one| one.names.into_iter().map(move |name| (name, one.size_bytes))).collect(),
        })
    }
}

/// A node with what runs on it.
#[derive(Debug, Clone, Default)]
pub struct Node {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub view: NodeView,
    pub requested: Resources,
    pub scored: Resources,
    pub pods: BTreeMap<Key, Placed>,
}

/// A pod on a node, as far as others must leave room for it.
#[derive(Debug, Clone)]
pub struct Placed {
    pub priority: i32,
    pub requests: Resources,
    pub scored: Resources,
    pub host_ports: Vec<HostPort>,
}

impl Placed {
    pub fn of(view: &PodView) -> Self {
        Placed {
            priority: view.priority,
            requests: view.requests.clone(),
            scored: view.scored.clone(),
            host_ports: view.host_ports.clone(),
        }
    }
}

impl Node {
    pub fn place(&mut self, key: Key, pod: Placed) {
        self.remove(&key);
        self.requested.add(&pod.requests);
        self.scored.add(&pod.scored);
        self.pods.insert(key, pod);
    }

    pub fn remove(&mut self, key: &Key) {
        if let Some(pod) = self.pods.remove(key) {
            self.requested.subtract(&pod.requests);
            self.scored.subtract(&pod.scored);
        }
    }
}
