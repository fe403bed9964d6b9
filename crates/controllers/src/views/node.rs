//! What controllers need of a Node.

use client::Projection;
use meta::{ObjectMeta, Quantity};
use serde::{Deserialize, Serialize};

/// The labels of nodes that are not for everybody's pods.
const CONTROL_PLANE: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taint {
    pub key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    pub effect: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_added: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeCondition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub last_heartbeat_time: Option<String>,
    pub last_transition_time: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeView {
    pub zone: String,
    pub region: String,
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
    pub conditions: Vec<NodeCondition>,
    pub pod_cidrs: Vec<String>,
    /// What pods may have of it, in thousandths; 0 where the node does not say.
    pub cpu: i64,
    pub is_control_plane: bool,
    /// Names and addresses it is known by.
    pub addresses: Vec<String>,
}

impl NodeView {
    /// `True`, `False`, `Unknown`; empty where the node never said.
    pub fn condition(&self, kind: &str) -> &str {
        self.conditions.iter().find(|condition| condition.kind == kind).map_or("", |condition| &condition.status)
    }

    pub fn is_ready(&self) -> bool {
        self.condition("Ready") == "True"
    }

    pub fn has_taint(&self, key: &str, effect: &str) -> bool {
        self.taints.iter().any(|taint| taint.key == key && taint.effect == effect)
    }
}

impl Projection for NodeView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let node: Node = serde_json::from_slice(object)?;
        let label = |name: &str| node.metadata.labels.get(name).cloned().unwrap_or_default();
        Ok(NodeView {
            zone: label("topology.kubernetes.io/zone"),
            region: label("topology.kubernetes.io/region"),
            unschedulable: node.spec.unschedulable,
            taints: node.spec.taints,
            conditions: node.status.conditions,
            cpu: Quantity::parse(&node.status.allocatable.cpu).map_or(0, |cpu| cpu.milli_value()),
            is_control_plane: CONTROL_PLANE.iter().any(|role| node.metadata.labels.contains_key(*role)),
            addresses: node.status.addresses.into_iter().map(|it| it.address).collect(),
            pod_cidrs: if node.spec.pod_cidrs.is_empty() {
                node.spec.pod_cidr.into_iter().collect()
            } else {
                node.spec.pod_cidrs
            },
        })
    }
}

#[derive(Deserialize)]
struct Node {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    unschedulable: bool,
    taints: Vec<Taint>,
    #[serde(rename = "podCIDR")]
    pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    conditions: Vec<NodeCondition>,
    addresses: Vec<Address>,
    allocatable: Allocatable,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Allocatable {
    cpu: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Address {
    address: String,
}
