//! What is kept of objects other than nodes and pods.

use crate::pod::NodeTerm;
use crate::resources::Quantities;
use crate::selectors::{Labels, Matcher};
use client::cache::{Item, Projection};
use meta::Quantity;
use meta::labels::{LabelSelector, Selector};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};

/// Reads `spec` and `status`, whatever else there is.
#[derive(Deserialize)]
struct Wire<S, T> {
    #[serde(default = "Option::default")]
    spec: Option<S>,
    #[serde(default = "Option::default")]
    status: Option<T>,
}

fn read<S: DeserializeOwned + Default, T: DeserializeOwned + Default>(
    object: &[u8],
) -> Result<(S, T), serde_json::Error> {
    let Wire { spec, status } = serde_json::from_slice(object)?;
    Ok((spec.unwrap_or_default(), status.unwrap_or_default()))
}

fn bytes(quantities: &Quantities, name: &str) -> i64 {
    quantities.get(name).and_then(|text| Quantity::parse(text).ok()).map_or(0, |quantity| quantity.value())
}

/// The index of what selects by a set of labels, under the first of them: whoever has that label may
/// be selected.
pub const SELECTING: &str = "selecting";

/// Where something stands in [`SELECTING`].
pub fn place(namespace: &str, key: &str, value: &str) -> String {
    format!("{namespace}/{key}={value}")
}

/// Of a Service or ReplicationController.
#[derive(Debug, PartialEq, Eq)]
pub struct SetView(pub Labels);

#[derive(Deserialize, Default)]
#[serde(default)]
struct SetSpec {
    selector: Option<Labels>,
}

impl Projection for SetView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let (spec, _) = read::<SetSpec, serde::de::IgnoredAny>(object)?;
        Ok(SetView(spec.selector.unwrap_or_default()))
    }

    fn index(item: &Item<Self>, add: &mut dyn FnMut(&'static str, &str)) {
        if let Some((key, value)) = item.view.0.first_key_value() {
            add(SELECTING, &place(&item.meta.namespace, key, value));
        }
    }
}

/// Of a ReplicaSet or StatefulSet.
#[derive(Debug, PartialEq)]
pub struct SelectorView(pub Selector);

#[derive(Deserialize, Default)]
#[serde(default)]
struct SelectorSpec {
    selector: Option<LabelSelector>,
}

impl Projection for SelectorView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let (spec, _) = read::<SelectorSpec, serde::de::IgnoredAny>(object)?;
        Ok(SelectorView(Selector::from_label_selector(spec.selector.as_ref()).unwrap_or_else(|_| Selector::nothing())))
    }
}

/// Of a PodDisruptionBudget.
#[derive(Debug)]
pub struct BudgetView {
    pub selector: Matcher,
    pub allowed: i64,
    /// Pods whose eviction is counted already.
    pub disrupted: BTreeSet<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct BudgetStatus {
    disruptions_allowed: i64,
    disrupted_pods: BTreeMap<String, serde::de::IgnoredAny>,
}

impl Projection for BudgetView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let (spec, status) = read::<SelectorSpec, BudgetStatus>(object)?;
        Ok(BudgetView {
            selector: Matcher::read(spec.selector.as_ref(), &[]),
            allowed: status.disruptions_allowed,
            disrupted: status.disrupted_pods.into_keys().collect(),
        })
    }
}

/// Of a PersistentVolumeClaim.
#[derive(Debug, Clone, Default)]
pub struct ClaimView {
    pub class: String,
    pub volume: String,
    pub access_modes: Vec<String>,
    pub mode: String,
    pub request: i64,
    pub selector: Option<Matcher>,
    pub is_lost: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSpec {
    storage_class_name: Option<String>,
    volume_name: String,
    access_modes: Vec<String>,
    volume_mode: Option<String>,
    resources: ClaimResources,
    selector: Option<LabelSelector>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ClaimResources {
    requests: Quantities,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Phase {
    phase: String,
}

impl Projection for ClaimView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let (spec, status) = read::<ClaimSpec, Phase>(object)?;
        Ok(ClaimView {
            class: spec.storage_class_name.unwrap_or_default(),
            volume: spec.volume_name,
            access_modes: spec.access_modes,
            mode: spec.volume_mode.unwrap_or_else(|| "Filesystem".to_owned()),
            request: bytes(&spec.resources.requests, "storage"),
            selector: spec.selector.map(|selector| Matcher::read(Some(&selector), &[])),
            is_lost: status.phase == "Lost",
        })
    }
}

/// Of a PersistentVolume.
#[derive(Debug, Clone, Default)]
pub struct VolumeView {
    pub class: String,
    pub capacity: i64,
    pub access_modes: Vec<String>,
    pub mode: String,
    /// Namespace, name and uid of the claim it is for; the uid is empty until it is bound.
    pub claim: Option<(String, String, String)>,
    pub nodes: Option<Vec<NodeTerm>>,
    pub is_available: bool,
    pub csi: Option<(String, String)>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct VolumeSpec {
    storage_class_name: String,
    capacity: Quantities,
    access_modes: Vec<String>,
    volume_mode: Option<String>,
    claim_ref: Option<ClaimRef>,
    node_affinity: Option<VolumeNodes>,
    csi: Option<Csi>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ClaimRef {
    namespace: String,
    name: String,
    uid: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct VolumeNodes {
    required: Option<NodeTerms>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct NodeTerms {
    node_selector_terms: Vec<NodeTerm>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Csi {
    driver: String,
    volume_handle: String,
}

impl Projection for VolumeView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let (spec, status) = read::<VolumeSpec, Phase>(object)?;
        Ok(VolumeView {
            class: spec.storage_class_name,
            capacity: bytes(&spec.capacity, "storage"),
            access_modes: spec.access_modes,
            mode: spec.volume_mode.unwrap_or_else(|| "Filesystem".to_owned()),
            claim: spec.claim_ref.map(|claim| (claim.namespace, claim.name, claim.uid)),
            nodes: spec.node_affinity.and_then(|one| one.required).map(|terms| terms.node_selector_terms),
            is_available: status.phase == "Available",
            csi: spec.csi.map(|csi| (csi.driver, csi.volume_handle)),
        })
    }
}

impl VolumeView {
    /// Whether the volume can be used on a node.
    pub fn reaches(&self, name: &str, labels: &Labels) -> bool {
        self.nodes.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(name, labels)))
    }
}

/// Of a StorageClass.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClassView {
    pub provisioner: String,
    volume_binding_mode: Option<String>,
    pub allowed_topologies: Vec<Topology>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Topology {
    match_label_expressions: Vec<TopologyRule>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct TopologyRule {
    key: String,
    values: Vec<String>,
}

impl Projection for ClassView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(object)
    }
}

impl ClassView {
    pub fn waits(&self) -> bool {
        self.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
    }

    /// Whether volumes can be made where such a node reaches them.
    pub fn allows(&self, labels: &Labels) -> bool {
        let holds = |rule: &TopologyRule| labels.get(&rule.key).is_some_and(|value| rule.values.contains(value));
        self.allowed_topologies.is_empty()
            || self.allowed_topologies.iter().any(|one| one.match_label_expressions.iter().all(holds))
    }
}

/// Of a CSINode: how many volumes of each driver it takes, where that is limited.
#[derive(Debug, Clone, Default)]
pub struct CsiNodeView {
    pub limits: BTreeMap<String, usize>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CsiNodeSpec {
    drivers: Vec<NodeDriver>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeDriver {
    name: String,
    allocatable: Option<DriverRoom>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DriverRoom {
    count: Option<usize>,
}

impl Projection for CsiNodeView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let (spec, _) = read::<CsiNodeSpec, serde::de::IgnoredAny>(object)?;
        let limits = spec.drivers.into_iter().filter_map(|driver| Some((driver.name, driver.allocatable?.count?)));
        Ok(CsiNodeView { limits: limits.collect() })
    }
}

/// Of a CSIDriver: whether it tells how much room its storage has.
#[derive(Debug, Clone, Default)]
pub struct CsiDriverView {
    pub tells_capacity: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct CsiDriverSpec {
    storage_capacity: Option<bool>,
}

impl Projection for CsiDriverView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let (spec, _) = read::<CsiDriverSpec, serde::de::IgnoredAny>(object)?;
        Ok(CsiDriverView { tells_capacity: spec.storage_capacity == Some(true) })
    }
}

/// Of a CSIStorageCapacity.
#[derive(Debug, Clone)]
pub struct CapacityView {
    pub class: String,
    pub nodes: Matcher,
    /// The largest volume that can be made.
    pub largest: i64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WireCapacity {
    storage_class_name: String,
    node_topology: Option<LabelSelector>,
    capacity: Option<String>,
    maximum_volume_size: Option<String>,
}

impl Projection for CapacityView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let wire: WireCapacity = serde_json::from_slice(object)?;
        let largest = wire.maximum_volume_size.or(wire.capacity);
        Ok(CapacityView {
            class: wire.storage_class_name,
            nodes: Matcher::read(wire.node_topology.as_ref(), &[]),
            largest: largest.and_then(|text| Quantity::parse(&text).ok()).map_or(0, |quantity| quantity.value()),
        })
    }
}
