//! The objects beside nodes and pods that rules look at: namespaces, owners of pods, budgets, and
//! everything about volumes.

mod devices;
mod views;

pub use devices::{
    DeviceClaimView, DeviceClassView, DeviceId, DeviceView, Nodes, Property, Request, SliceView, TaintRuleView, Wanted,
    owner_is,
};
pub use views::{BudgetView, CapacityView, ClaimView, ClassView, CsiDriverView, CsiNodeView, VolumeView};

use crate::pod::PodItem;
use crate::selectors::{Labels, Matcher};
use client::cache::{Cache, Item, Key, Projection};
use client::{Caches, Selection, resource_of};
use expressions::{Program, device};
use k8s_openapi::api::{apps::v1 as apps, core::v1 as core, policy::v1 as policy, storage::v1 as storage};
use meta::GroupVersionResource;
use meta::labels::Selector;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use views::{SELECTING, SelectorView, SetView, place};

/// Where claims of devices are served.
pub const DEVICE_CLAIMS: GroupVersionResource = GroupVersionResource::of("resource.k8s.io", "v1", "resourceclaims");
const DEVICE_CLASSES: GroupVersionResource = GroupVersionResource::of("resource.k8s.io", "v1", "deviceclasses");
const SLICES: GroupVersionResource = GroupVersionResource::of("resource.k8s.io", "v1", "resourceslices");
const TAINT_RULES: GroupVersionResource = GroupVersionResource::of("resource.k8s.io", "v1", "devicetaintrules");

/// Selectors that are kept ready; beyond that all are compiled anew.
const SELECTORS: usize = 256;

/// A selector, ready to be asked, or why it is none.
pub type Compiled = Arc<Result<Program, String>>;

pub struct Cluster {
    namespaces: Arc<Cache<()>>,
    services: Arc<Cache<SetView>>,
    replication_controllers: Arc<Cache<SetView>>,
    replica_sets: Arc<Cache<SelectorView>>,
    stateful_sets: Arc<Cache<SelectorView>>,
    pub budgets: Arc<Cache<BudgetView>>,
    pub claims: Arc<Cache<ClaimView>>,
    pub volumes: Arc<Cache<VolumeView>>,
    pub classes: Arc<Cache<ClassView>>,
    pub csi_nodes: Arc<Cache<CsiNodeView>>,
    pub csi_drivers: Arc<Cache<CsiDriverView>>,
    pub capacities: Arc<Cache<CapacityView>>,
    pub device_claims: Arc<Cache<DeviceClaimView>>,
    pub device_classes: Arc<Cache<DeviceClassView>>,
    pub slices: Arc<Cache<SliceView>>,
    pub taint_rules: Arc<Cache<TaintRuleView>>,
    selectors: Mutex<BTreeMap<String, Compiled>>,
    assumed: Mutex<Assumed>,
}

/// Volumes and claims as they will be once what was decided has been written.
#[derive(Default)]
pub struct Assumed {
    /// Volumes, with the claims they will be bound to.
    pub volumes: BTreeMap<String, Key>,
    /// What claims of devices were given, by their uid, until the cache shows it.
    pub devices: BTreeMap<String, Vec<DeviceId>>,
}

impl Cluster {
    pub fn new(caches: &Caches) -> Self {
        fn watch<K: k8s_openapi::Resource, P: Projection>(caches: &Caches) -> Arc<Cache<P>> {
            caches.watch(Selection::all(resource_of::<K>()))
        }
        Cluster {
            namespaces: watch::<core::Namespace, _>(caches),
            services: watch::<core::Service, _>(caches),
            replication_controllers: watch::<core::ReplicationController, _>(caches),
            replica_sets: watch::<apps::ReplicaSet, _>(caches),
            stateful_sets: watch::<apps::StatefulSet, _>(caches),
            budgets: watch::<policy::PodDisruptionBudget, _>(caches),
            claims: watch::<core::PersistentVolumeClaim, _>(caches),
            volumes: watch::<core::PersistentVolume, _>(caches),
            classes: watch::<storage::StorageClass, _>(caches),
            csi_nodes: watch::<storage::CSINode, _>(caches),
            csi_drivers: watch::<storage::CSIDriver, _>(caches),
            capacities: watch::<storage::CSIStorageCapacity, _>(caches),
            device_claims: caches.watch(Selection::all(DEVICE_CLAIMS)),
            device_classes: caches.watch(Selection::all(DEVICE_CLASSES)),
            slices: caches.watch(Selection::all(SLICES)),
            taint_rules: caches.watch(Selection::all(TAINT_RULES)),
            selectors: Mutex::default(),
            assumed: Mutex::default(),
        }
    }

    /// Waits until every first list is in.
    pub async fn synced(&self) {
        use client::cache::Observed;
        let all: [&dyn Observed; 16] = [
            &*self.namespaces,
            &*self.services,
            &*self.replication_controllers,
            &*self.replica_sets,
            &*self.stateful_sets,
            &*self.budgets,
            &*self.claims,
            &*self.volumes,
            &*self.classes,
            &*self.csi_nodes,
            &*self.csi_drivers,
            &*self.capacities,
            &*self.device_claims,
            &*self.device_classes,
            &*self.slices,
            &*self.taint_rules,
        ];
        for cache in all {
            cache.answered().await;
        }
    }

    pub fn namespace_labels(&self, name: &str) -> Labels {
        self.namespaces.get("", name).map(|item| item.meta.labels.clone()).unwrap_or_default()
    }

    /// The names of the namespaces that match.
    pub fn namespaces(&self, selector: &Matcher) -> BTreeSet<String> {
        let all = self.namespaces.list().into_iter().filter(|item| selector.matches(&item.meta.labels));
        all.map(|item| item.meta.name.clone()).collect()
    }

    /// Selects the pods that share a service or controller with this one; None where it has none.
    pub fn default_selector(&self, pod: &PodItem) -> Option<Matcher> {
        let namespace = &pod.meta.namespace;
        let mut wanted = Labels::new();
        let labels = pod.meta.labels.iter();
        for service in labels.flat_map(|(key, value)| self.services.by_index(SELECTING, &place(namespace, key, value)))
        {
            let SetView(selector) = &service.view;
            if selector.iter().all(|(key, value)| pod.meta.labels.get(key) == Some(value)) {
                wanted.extend(selector.clone());
            }
        }
        let mut more = Vec::new();
        if let Some(owner) = pod.meta.controller() {
            let of = |cache: &Cache<SelectorView>| {
                let requirements = cache.get(namespace, &owner.name).map(|item| item.view.0.requirements().to_vec());
                requirements.unwrap_or_default()
            };
            match (owner.api_version.as_str(), owner.kind.as_str()) {
                ("v1", "ReplicationController") => {
                    let controller = self.replication_controllers.get(namespace, &owner.name);
                    wanted.extend(controller.map(|item| item.view.0.clone()).unwrap_or_default());
                }
                ("apps/v1", "ReplicaSet") => more = of(&self.replica_sets),
                ("apps/v1", "StatefulSet") => more = of(&self.stateful_sets),
                _ => {}
            }
        }
        let mut requirements = Selector::from_set(&wanted).requirements().to_vec();
        requirements.extend(more);
        (!requirements.is_empty()).then(|| Matcher::new(Selector::of(requirements)))
    }

    pub fn claim(&self, namespace: &str, name: &str) -> Option<Arc<Item<ClaimView>>> {
        self.claims.get(namespace, name)
    }

    pub fn volume(&self, name: &str) -> Option<Arc<Item<VolumeView>>> {
        self.volumes.get("", name)
    }

    pub fn class(&self, name: &str) -> Option<Arc<Item<ClassView>>> {
        self.classes.get("", name)
    }

    /// A selector of devices, compiled once.
    pub fn selector(&self, source: &str) -> Compiled {
        let mut selectors = self.selectors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = selectors.get(source) {
            return known.clone();
        }
        if selectors.len() >= SELECTORS {
            selectors.clear();
        }
        let compiled = Arc::new(device::compile(source));
        selectors.insert(source.to_owned(), compiled.clone());
        compiled
    }

    pub fn assumed(&self) -> MutexGuard<'_, Assumed> {
        self.assumed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
