//! EndpointSlices: the addresses of a Service in pieces of at most a hundred, for pods
//! ([`DEF`]) and for Endpoints made by hand ([`MIRRORING`]).

mod allocate;
mod mirror;
mod plan;
#[cfg(test)]
mod tests;
mod topology;

pub use mirror::MIRRORING;

use crate::action::{Action, Plan};
use crate::kinds::{kind, resource};
use crate::rig::{Def, Rig, Room, RoomError};
use crate::services::{self, TargetRef};
use crate::views::{NodeView, PodView, ServiceView};
use base::Timestamp;
use client::events::ObjectRef;
use client::{Cache, Change, Item, Key, Projection, WorkQueue};
use meta::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Slices come back a second after a failure, not at once: there is one for a hundred pods.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(1000));

pub const DEF: Def = Def {
    name: "endpointslice-controller",
    identity: "endpointslice-controller",
    component: "endpoint-slice-controller",
    workers: 5,
    retry: RETRY,
    build,
};

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";

/// Whose slice it is.
struct SliceView {
    service: String,
    manager: String,
}

const BY_SERVICE: &str = "service";

impl Projection for SliceView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Envelope {
            metadata: ObjectMeta,
        }
        let Envelope { metadata } = serde_json::from_slice(object)?;
        let label = |name: &str| metadata.labels.get(name).cloned().unwrap_or_default();
        Ok(SliceView { service: label(SERVICE_NAME), manager: label(MANAGED_BY) })
    }

    fn index(item: &Item<Self>, add: &mut dyn FnMut(&'static str, &str)) {
        add(BY_SERVICE, Key::new(&item.meta.namespace, &item.view.service).as_str());
    }
}

/// A slice as it stands: as read, and as it is.
#[derive(Debug, Clone)]
struct Standing {
    slice: Slice,
    object: Value,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Slice {
    metadata: ObjectMeta,
    address_type: String,
    #[serde(deserialize_with = "meta::null_as_default")]
    endpoints: Vec<Endpoint>,
    #[serde(deserialize_with = "meta::null_as_default")]
    ports: Vec<Port>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Endpoint {
    addresses: Vec<String>,
    conditions: Conditions,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_ref: Option<TargetRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hints: Option<Hints>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
struct Conditions {
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serving: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    terminating: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Hints {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    for_zones: Vec<Hint>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    for_nodes: Vec<Hint>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
struct Hint {
    name: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Port {
    name: String,
    protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_protocol: Option<String>,
}

struct Observed {
    service: Arc<Item<ServiceView>>,
    /// Each with the zone of its node.
    pods: Vec<(Arc<Item<PodView>>, Option<String>)>,
    standing: Vec<Standing>,
    /// The zones' shares of endpoints, where the Service asks for them.
    shares: Option<topology::Shares>,
}

/// What a Service was told of its hints, by address type: None, that it has them; or why not.
type Told = BTreeMap<&'static str, Option<String>>;

struct Slices {
    services: Arc<Cache<ServiceView>>,
    pods: Arc<Cache<PodView>>,
    nodes: Arc<Cache<NodeView>>,
    slices: Arc<Cache<SliceView>>,
    told: Mutex<BTreeMap<Key, Told>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let services = rig.cache::<ServiceView>(&resource::SERVICES);
    let pods = rig.cache::<PodView>(&resource::PODS);
    let nodes = rig.cache::<NodeView>(&resource::NODES);
    let slices = rig.cache::<SliceView>(&resource::ENDPOINT_SLICES);
    rig.on_itself(&services);
    let all = services.clone();
    rig.on(&pods, move |change, queue| services::pod_changed(&all, change, queue));
    rig.on(&slices, |change, queue| slice_changed(MANAGER, change, queue));
    let (all, on_nodes) = (services.clone(), pods.clone());
    rig.on(&nodes, move |change, queue| {
        zone_changed(&all, &on_nodes, change, queue);
        shares_changed(&all, change, queue);
    });
    Box::new(Slices { services, pods, nodes, slices, told: Mutex::default() })
}

/// Repairs what somebody else did to a slice of ours.
fn slice_changed(manager: &str, change: &Change<SliceView>, queue: &WorkQueue<Key>) {
    for slice in change.states().filter(|slice| slice.view.manager == manager && !slice.view.service.is_empty()) {
        queue.add(Key::new(&slice.meta.namespace, &slice.view.service));
    }
}

/// A node that moved to another zone (or came after its pods) takes its endpoints along.
fn zone_changed(
    services: &Cache<ServiceView>,
    pods: &Cache<PodView>,
    change: &Change<NodeView>,
    queue: &WorkQueue<Key>,
) {
    let zone =
        |node: &Option<Arc<Item<NodeView>>>| node.as_ref().map(|node| node.view.zone.clone()).unwrap_or_default();
    if zone(&change.old) == zone(&change.new) {
        return;
    }
    let Some(node) = change.latest() else { return };
    for pod in pods.by_index(crate::views::NODE, &node.meta.name) {
        for service in services.list_in(&pod.meta.namespace) {
            if service.view.matches(&pod.meta.labels) {
                queue.add(service.key.clone());
            }
        }
    }
}

/// Shares depend on all nodes.
fn shares_changed(services: &Cache<ServiceView>, change: &Change<NodeView>, queue: &WorkQueue<Key>) {
    let [old, new] = [&change.old, &change.new].map(|node| node.as_ref().map(|node| &node.view));
    if topology::is_other(old, new) {
        let aware = services.list().into_iter().filter(|service| service.view.is_topology_aware);
        aware.for_each(|service| queue.add(service.key.clone()));
    }
}

/// The slices of a Service that this manager made.
fn standing(slices: &Cache<SliceView>, service: &Key, manager: &str) -> Result<Vec<Standing>, RoomError> {
    let all = slices.by_index(BY_SERVICE, service.as_str());
    let ours = all.iter().filter(|slice| slice.view.manager == manager && !slice.meta.is_deleting());
    let read = |item: &Arc<Item<SliceView>>| {
        let unreadable = |why| RoomError::Decode { key: item.key.clone(), why };
        Ok(Standing { slice: item.decode().map_err(unreadable)?, object: item.decode().map_err(unreadable)? })
    };
    ours.map(read).collect()
}

impl Room for Slices {
    fn reconcile(&self, key: &Key, _now: Timestamp) -> Result<Plan, RoomError> {
        // Slices of a Service that is gone are collected as its own.
        let service =
            self.services.get_key(key).filter(|service| service.view.selects() && !service.meta.is_deleting());
        let Some(service) = service else {
            self.told().remove(key);
            return Ok(Plan::nothing());
        };
        let zone = |pod: &Arc<Item<PodView>>| {
            let node = self.nodes.get("", &pod.view.node)?;
            Some(node.view.zone.clone()).filter(|zone| !zone.is_empty())
        };
        let pods = services::reachable(&self.pods, &service);
        let pods = pods.into_iter().map(|pod| (pod.clone(), zone(&pod))).collect();
        let standing = standing(&self.slices, key, MANAGER)?;
        let shares = if service.view.is_topology_aware { topology::shares(&self.nodes.list()) } else { None };
        let observed = Observed { service, pods, standing, shares };
        let plan::Planned { actions, hinted } = plan::plan(&observed);
        let mut all = self.tell(&observed.service, &hinted);
        all.extend(actions);
        Ok(Plan::of(all))
    }
}

impl Slices {
    fn told(&self) -> MutexGuard<'_, BTreeMap<Key, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events in upstream's words, each once until something else is to be said.
    fn tell(&self, service: &Item<ServiceView>, hinted: &BTreeMap<&'static str, Result<(), String>>) -> Vec<Action> {
        let mut all = self.told();
        if hinted.is_empty() && !all.contains_key(&service.key) {
            return Vec::new();
        }
        let told = all.entry(service.key.clone()).or_default();
        let mut events = Vec::new();
        let mut event = |warning: bool, reason: &'static str, what: &str, family: &str| {
            let about = ObjectRef::of(&kind::SERVICES, &service.meta);
            events.push(Action::event(&about, warning, reason, format!("{what}, addressType: {family}")));
        };
        for (family, outcome) in hinted {
            let new = outcome.as_ref().err().cloned();
            if told.get(family) == Some(&new) {
                continue;
            }
            match &new {
                None => event(false, "TopologyAwareHintsEnabled", "Topology Aware Hints has been enabled", family),
                Some(why) => event(true, "TopologyAwareHintsDisabled", why, family),
            }
            told.insert(*family, new);
        }
        if hinted.is_empty() {
            for (family, _) in told.iter().filter(|(_, why)| why.is_none()) {
                event(true, "TopologyAwareHintsDisabled", "Topology Aware Hints has been disabled", family);
            }
            all.remove(&service.key);
        }
        events
    }
}
