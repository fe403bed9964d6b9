//! Nodes as the scheduler sees them: what a node offers, and what of it is taken.

use crate::pod::{PodItem, Toleration};
use crate::resources::{Quantities, Resources};
use crate::selectors::Labels;
use client::cache::{Item, Key, Projection};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

pub type NodeItem = Arc<Item<NodeView>>;

/// What is kept of every node.
#[derive(Debug, Clone, Default)]
pub struct NodeView {
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
    pub allocatable: Resources,
    pub max_pods: usize,
    /// Names of the images there, with their sizes.
    pub images: BTreeMap<String, i64>,
    /// What the kubelet says that it can do, of what not all can.
    pub features: Vec<String>,
}

#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
pub struct Taint {
    pub key: String,
    #[serde(default)]
    pub value: String,
    pub effect: String,
}

impl Taint {
    /// Keeps pods away that do not tolerate it, rather than making the node less welcome.
    pub fn is_hard(&self) -> bool {
        matches!(self.effect.as_str(), "NoSchedule" | "NoExecute")
    }

    pub fn is_tolerated(&self, tolerations: &[Toleration]) -> bool {
        tolerations.iter().any(|one| self.is_tolerated_by(one))
    }

    fn is_tolerated_by(&self, toleration: &Toleration) -> bool {
        let Toleration { key, operator, value, effect } = toleration;
        if !effect.is_empty() && *effect != self.effect || !key.is_empty() && *key != self.key {
            return false;
        }
        let number = |text: &str| text.parse::<i64>().ok();
        let compared = |holds: fn(&i64, &i64) -> bool| match (number(&self.value), number(value)) {
            (Some(own), Some(bound)) => holds(&own, &bound),
            _ => false,
        };
        match operator.as_str() {
            "Exists" => true,
            "" | "Equal" => !key.is_empty() && *value == self.value,
            "Lt" => compared(i64::lt),
            "Gt" => compared(i64::gt),
            _ => false,
        }
    }
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
#[serde(rename_all = "camelCase", default)]
struct Status {
    allocatable: Quantities,
    images: Vec<Image>,
    declared_features: Vec<String>,
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
            features: status.declared_features,
            allocatable: Resources::of(&status.allocatable),
            max_pods: pods.and_then(|pods| usize::try_from(pods.value()).ok()).unwrap_or(0),
            images: images.flat_map(|one| one.names.into_iter().map(move |name| (name, one.size_bytes))).collect(),
        })
    }
}

/// The zone of a node, region and all; empty where it has none.
pub fn zone(labels: &Labels) -> (&str, &str) {
    let label = |key: &str, legacy: &str| labels.get(key).or_else(|| labels.get(legacy)).map_or("", String::as_str);
    (
        label("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
        label("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
    )
}

/// A node with what runs on it.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its place in every list by node.
    pub slot: usize,
    pub name: String,
    /// None: only pods say that there is such a node.
    pub item: Option<NodeItem>,
    pub requested: Resources,
    pub scored: Resources,
    pub pods: BTreeMap<Key, PodItem>,
}

static NO_LABELS: Labels = Labels::new();

impl Node {
    pub fn new(slot: usize, name: &str) -> Self {
        Node {
            slot,
            name: name.to_owned(),
            item: None,
            requested: Resources::default(),
            scored: Resources::default(),
            pods: BTreeMap::new(),
        }
    }

    pub fn exists(&self) -> bool {
        self.item.is_some()
    }

    pub fn labels(&self) -> &Labels {
        self.item.as_ref().map_or(&NO_LABELS, |item| &item.meta.labels)
    }

    pub fn view(&self) -> Option<&NodeView> {
        self.item.as_ref().map(|item| &item.view)
    }

    pub fn place(&mut self, pod: PodItem) {
        self.requested.add(&pod.view.spec.requests);
        self.scored.add(&pod.view.spec.scored);
        self.pods.insert(pod.key.clone(), pod);
    }

    pub fn remove(&mut self, key: &Key) -> Option<PodItem> {
        let pod = self.pods.remove(key)?;
        self.requested.subtract(&pod.view.spec.requests);
        self.scored.subtract(&pod.view.spec.scored);
        Some(pod)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerations_are_compared_as_upstream_does() {
        let taint = Taint { key: "k".to_owned(), value: "5".to_owned(), effect: "NoSchedule".to_owned() };
        for (toleration, wanted) in [
            (r#"{"operator": "Exists"}"#, true),
            (r#"{"key": "k", "operator": "Exists", "effect": "NoExecute"}"#, false),
            (r#"{"key": "k", "value": "5"}"#, true),
            (r#"{"key": "k", "value": "6"}"#, false),
            (r#"{"key": "k", "operator": "Gt", "value": "4"}"#, true),
            (r#"{"key": "k", "operator": "Lt", "value": "4"}"#, false),
            (r#"{"value": "5"}"#, false),
        ] {
            assert_eq!(taint.is_tolerated(&[serde_json::from_str(toleration).unwrap()]), wanted, "{toleration}");
        }
    }
}
