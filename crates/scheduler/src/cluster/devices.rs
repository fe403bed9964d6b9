//! What is kept of claims of devices, their classes, the slices that say what there is, and the
//! taints that administrators give to devices.

use crate::pod::NodeTerm;
use client::cache::{Item, Projection};
use expressions::device::Attribute;
use meta::Quantity;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A device, wherever it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceId {
    pub driver: Arc<str>,
    pub pool: Arc<str>,
    pub device: Arc<str>,
}

impl std::fmt::Display for DeviceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.driver, self.pool, self.device)
    }
}

/// Of a ResourceClaim.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeviceClaimView {
    pub requests: Vec<Request>,
    pub constraints: Vec<Constraint>,
    pub allocation: Option<Allocation>,
    /// The uids of its consumers.
    pub reserved_for: Vec<String>,
}

/// What a claim was given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Allocation {
    /// Those that are nobody else's.
    pub devices: Vec<DeviceId>,
    /// None: it can be used on any node.
    pub nodes: Option<Vec<NodeTerm>>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    pub name: String,
    /// The first of these that can be had; one, where there is no choice.
    pub wanted: Vec<Wanted>,
    pub is_choice: bool,
}

#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Wanted {
    /// Of an alternative.
    pub name: String,
    #[serde(rename = "deviceClassName")]
    pub class: String,
    pub selectors: Vec<Selector>,
    pub allocation_mode: String,
    pub count: usize,
    pub admin_access: bool,
    pub tolerations: Vec<Toleration>,
}

#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Selector {
    pub cel: Cel,
}

#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Cel {
    pub expression: String,
}

#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Toleration {
    key: String,
    operator: String,
    value: String,
    effect: String,
}

#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Taint {
    key: String,
    value: String,
    effect: String,
}

impl Taint {
    /// Whether it keeps claims off that do not tolerate it.
    pub fn is_hard(&self) -> bool {
        matches!(self.effect.as_str(), "NoSchedule" | "NoExecute")
    }

    pub fn is_tolerated(&self, tolerations: &[Toleration]) -> bool {
        tolerations.iter().any(|one| {
            let is_meant =
                (one.effect.is_empty() || one.effect == self.effect) && (one.key.is_empty() || one.key == self.key);
            is_meant
                && match one.operator.as_str() {
                    "Exists" => true,
                    "" | "Equal" => one.value == self.value,
                    _ => false,
                }
        })
    }
}

/// Devices of the named requests (none: of all) have the same, or all another, value of an attribute.
#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Constraint {
    pub requests: Vec<String>,
    pub match_attribute: Option<String>,
    pub distinct_attribute: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ClaimWire {
    spec: ClaimSpec,
    status: ClaimStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ClaimSpec {
    devices: ClaimDevices,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ClaimDevices {
    requests: Vec<RequestWire>,
    constraints: Vec<Constraint>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RequestWire {
    name: String,
    exactly: Option<Wanted>,
    first_available: Vec<Wanted>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ClaimStatus {
    allocation: Option<AllocationWire>,
    reserved_for: Vec<Consumer>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Consumer {
    uid: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct AllocationWire {
    devices: AllocatedDevices,
    node_selector: Option<NodeTerms>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AllocatedDevices {
    results: Vec<ResultWire>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ResultWire {
    driver: String,
    pool: String,
    device: String,
    admin_access: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct NodeTerms {
    node_selector_terms: Vec<NodeTerm>,
}

impl Projection for DeviceClaimView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let ClaimWire { spec, status } = serde_json::from_slice(object)?;
        let request = |wire: RequestWire| Request {
            is_choice: wire.exactly.is_none(),
            wanted: wire.exactly.map_or(wire.first_available, |exactly| vec![exactly]),
            name: wire.name,
        };
        let allocation = status.allocation.map(|wire| Allocation {
            devices: wire.devices.results.into_iter().filter(|one| !one.admin_access).map(id).collect(),
            nodes: wire.node_selector.map(|nodes| nodes.node_selector_terms),
        });
        Ok(DeviceClaimView {
            requests: spec.devices.requests.into_iter().map(request).collect(),
            constraints: spec.devices.constraints,
            allocation,
            reserved_for: status.reserved_for.into_iter().map(|one| one.uid).collect(),
        })
    }
}

fn id(result: ResultWire) -> DeviceId {
    DeviceId { driver: result.driver.into(), pool: result.pool.into(), device: result.device.into() }
}

/// Of a DeviceClass.
#[derive(Debug, Default)]
pub struct DeviceClassView {
    pub selectors: Vec<Selector>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ClassWire {
    spec: ClassSpec,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ClassSpec {
    selectors: Vec<Selector>,
}

impl Projection for DeviceClassView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let ClassWire { spec } = serde_json::from_slice(object)?;
        Ok(DeviceClassView { selectors: spec.selectors })
    }
}

/// Of a ResourceSlice.
#[derive(Debug)]
pub struct SliceView {
    pub driver: Arc<str>,
    pub pool: Arc<str>,
    pub generation: i64,
    /// How many slices its pool has, all together.
    pub count: usize,
    /// None: each device says for itself.
    pub nodes: Option<Nodes>,
    pub devices: Vec<DeviceView>,
    pub counters: BTreeMap<String, BTreeMap<String, Quantity>>,
}

/// Where devices can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nodes {
    None,
    All,
    One(String),
    Selected(Vec<NodeTerm>),
}

#[derive(Debug)]
pub struct DeviceView {
    pub name: Arc<str>,
    pub attributes: BTreeMap<String, Property>,
    pub capacity: BTreeMap<String, Quantity>,
    pub taints: Vec<Taint>,
    pub nodes: Nodes,
    /// Of which set how much of which counter.
    pub consumes: Vec<(String, BTreeMap<String, Quantity>)>,
    /// Binding would have to wait for it: not given to anybody.
    pub has_conditions: bool,
    pub allows_multiple: bool,
}

/// The value of an attribute.
#[derive(Debug, Clone, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Property {
    Int(i64),
    Bool(bool),
    String(String),
    Version(String),
}

impl Property {
    pub fn seen(&self) -> Attribute<'_> {
        match self {
            Property::Int(number) => Attribute::Int(*number),
            Property::Bool(value) => Attribute::Bool(*value),
            Property::String(text) => Attribute::Text(text),
            Property::Version(text) => Attribute::Version(text),
        }
    }
}

impl DeviceView {
    /// By its full name, which an attribute of the driver's own domain need not have.
    pub fn attribute(&self, driver: &str, name: &str) -> Option<&Property> {
        let short = || name.split_once('/').filter(|(domain, _)| *domain == driver);
        self.attributes.get(name).or_else(|| self.attributes.get(short()?.1))
    }
}

#[derive(Deserialize)]
struct SliceWire {
    spec: SliceSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SliceSpec {
    driver: String,
    pool: Pool,
    node_name: Option<String>,
    node_selector: Option<NodeTerms>,
    #[serde(default)]
    all_nodes: bool,
    #[serde(default)]
    per_device_node_selection: bool,
    #[serde(default)]
    devices: Vec<DeviceWire>,
    #[serde(default)]
    shared_counters: Vec<CounterSet>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pool {
    name: String,
    #[serde(default)]
    generation: i64,
    #[serde(default)]
    resource_slice_count: usize,
}

impl Nodes {
    fn read(name: Option<String>, selector: Option<NodeTerms>, all: bool) -> Self {
        match (name.filter(|name| !name.is_empty()), selector) {
            (Some(name), _) => Nodes::One(name),
            (None, _) if all => Nodes::All,
            (None, Some(selector)) => Nodes::Selected(selector.node_selector_terms),
            (None, None) => Nodes::None,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeviceWire {
    name: String,
    #[serde(default)]
    attributes: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    capacity: BTreeMap<String, Amount>,
    #[serde(default)]
    taints: Vec<Taint>,
    node_name: Option<String>,
    node_selector: Option<NodeTerms>,
    #[serde(default)]
    all_nodes: bool,
    #[serde(default)]
    consumes_counters: Vec<CounterSet>,
    #[serde(default)]
    binding_conditions: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    allow_multiple_allocations: bool,
}

#[derive(Deserialize)]
struct Amount {
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct CounterSet {
    #[serde(alias = "counterSet")]
    name: String,
    #[serde(default)]
    counters: BTreeMap<String, Amount>,
}

/// What is no amount is none: the server has refused it.
fn amounts(wire: BTreeMap<String, Amount>) -> BTreeMap<String, Quantity> {
    wire.into_iter().filter_map(|(name, amount)| Some((name, Quantity::parse(&amount.value).ok()?))).collect()
}

impl DeviceWire {
    fn read(self) -> DeviceView {
        let attributes = self.attributes.into_iter();
        // Kinds of values that are not known yet are as good as absent.
        let known = attributes.filter_map(|(name, value)| Some((name, Property::deserialize(value).ok()?)));
        DeviceView {
            name: self.name.into(),
            attributes: known.collect(),
            capacity: amounts(self.capacity),
            taints: self.taints,
            nodes: Nodes::read(self.node_name, self.node_selector, self.all_nodes),
            consumes: self.consumes_counters.into_iter().map(|set| (set.name, amounts(set.counters))).collect(),
            has_conditions: !self.binding_conditions.is_empty(),
            allows_multiple: self.allow_multiple_allocations,
        }
    }
}

impl Projection for SliceView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let SliceWire { spec } = serde_json::from_slice(object)?;
        Ok(SliceView {
            driver: spec.driver.into(),
            pool: spec.pool.name.into(),
            generation: spec.pool.generation,
            count: spec.pool.resource_slice_count,
            nodes: match spec.per_device_node_selection {
                true => None,
                false => Some(Nodes::read(spec.node_name, spec.node_selector, spec.all_nodes)),
            },
            devices: spec.devices.into_iter().map(DeviceWire::read).collect(),
            counters: spec.shared_counters.into_iter().map(|set| (set.name, amounts(set.counters))).collect(),
        })
    }
}

/// Of a DeviceTaintRule.
#[derive(Debug, Default)]
pub struct TaintRuleView {
    selector: Option<DeviceSelector>,
    pub taint: Taint,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct DeviceSelector {
    driver: Option<String>,
    pool: Option<String>,
    device: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TaintRuleWire {
    spec: TaintRuleSpec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct TaintRuleSpec {
    device_selector: Option<DeviceSelector>,
    taint: Taint,
}

impl Projection for TaintRuleView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        let TaintRuleWire { spec } = serde_json::from_slice(object)?;
        Ok(TaintRuleView { selector: spec.device_selector, taint: spec.taint })
    }
}

impl TaintRuleView {
    /// A rule without a selector is about no device, one with an empty selector about all.
    pub fn is_about(&self, id: &DeviceId) -> bool {
        let Some(DeviceSelector { driver, pool, device }) = &self.selector else { return false };
        let fits = |wanted: &Option<String>, own: &str| wanted.as_deref().is_none_or(|wanted| wanted == own);
        fits(driver, &id.driver) && fits(pool, &id.pool) && fits(device, &id.device)
    }
}

/// Whether a claim may be given to a pod that it was not made for.
pub fn owner_is(claim: &Item<DeviceClaimView>, uid: &str) -> bool {
    claim.meta.controller().is_some_and(|owner| owner.uid == uid)
}
