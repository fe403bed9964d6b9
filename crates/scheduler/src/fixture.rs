//! A small cluster for tests: nodes, pods and other objects as JSON, and what the rules make of it.

use crate::cluster::Cluster;
use crate::config::Profile;
use crate::failure;
use crate::framework::Case;
use crate::judge::{Judge, Ruling};
use crate::node::NodeView;
use crate::pod::PodItem;
use crate::preemption::{self, Candidate, Search};
use crate::snapshot::Snapshot;
use base::{Env, Rng};
use client::Caches;
use client::cache::{Change, Item, Key};
use client::fake::FakeApi;
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::sync::Arc;

pub struct Fixture {
    pub snapshot: Snapshot,
    pub cluster: Cluster,
    pub profile: Profile,
}

const RESOURCES: &[(&str, &str, &str)] = &[
    ("Namespace", "", "namespaces"),
    ("Service", "", "services"),
    ("ReplicaSet", "apps", "replicasets"),
    ("PersistentVolumeClaim", "", "persistentvolumeclaims"),
    ("PersistentVolume", "", "persistentvolumes"),
    ("StorageClass", "storage.k8s.io", "storageclasses"),
    ("CSINode", "storage.k8s.io", "csinodes"),
    ("CSIDriver", "storage.k8s.io", "csidrivers"),
    ("CSIStorageCapacity", "storage.k8s.io", "csistoragecapacities"),
    ("PodDisruptionBudget", "policy", "poddisruptionbudgets"),
    ("ResourceClaim", "resource.k8s.io", "resourceclaims"),
    ("DeviceClass", "resource.k8s.io", "deviceclasses"),
    ("ResourceSlice", "resource.k8s.io", "resourceslices"),
    ("DeviceTaintRule", "resource.k8s.io", "devicetaintrules"),
];

pub fn pod(object: &Value) -> PodItem {
    let mut object = object.clone();
    let name = object["metadata"]["name"].as_str().unwrap_or("p").to_owned();
    object["metadata"]["name"] = json!(name);
    object["metadata"]["namespace"] = json!(object["metadata"]["namespace"].as_str().unwrap_or("d"));
    object["metadata"]["uid"] = json!(format!("uid-{name}"));
    if object["spec"]["containers"].is_null() {
        object["spec"]["containers"] = json!([{"name": "c"}]);
    }
    Arc::new(Item::read(object.to_string().into()).unwrap())
}

impl Fixture {
    /// Objects are told apart by their kind; pods stand on `spec.nodeName`.
    pub async fn new(objects: &[Value]) -> Self {
        let env = Env::real();
        let api = FakeApi::new();
        for object in objects {
            if let Some((_, group, resource)) = RESOURCES.iter().find(|(kind, ..)| object["kind"] == *kind) {
                api.put(&GroupVersionResource::of(group, "v1", resource), object.clone());
            }
        }
        let cluster = Cluster::new(&Caches::new(Arc::new(api), &env));
        cluster.synced().await;
        let profile = Profile::standard("default-scheduler");
        let mut fixture = Fixture { snapshot: Snapshot::default(), cluster, profile };
        for object in objects {
            match object["kind"].as_str() {
                Some("Node") => fixture.add_node(object),
                Some("Pod") => fixture.add_pod(object),
                _ => {}
            }
        }
        fixture
    }

    pub fn add_node(&mut self, object: &Value) {
        let mut object = object.clone();
        if object["status"]["allocatable"].is_null() {
            object["status"]["allocatable"] = json!({"cpu": "4", "memory": "8Gi", "pods": "10"});
        }
        let item = Arc::new(Item::<NodeView>::read(object.to_string().into()).unwrap());
        self.snapshot.observe_node(&Change { old: None, new: Some(item) });
    }

    pub fn add_pod(&mut self, object: &Value) {
        let item = pod(object);
        self.snapshot.place(item.clone(), &item.view.node_name.clone());
    }

    pub fn remove_pod(&mut self, name: &str) {
        self.snapshot.forget(&Key::new("d", name), None).unwrap();
    }

    fn judge(&self) -> Judge {
        Judge::new(Arc::new(self.profile.clone()), 100)
    }

    fn rule(&mut self, pod: &PodItem) -> Ruling {
        let mut judge = self.judge();
        judge.find(&Case::new(pod, &self.profile.args, &self.cluster), &mut self.snapshot)
    }

    /// The names of the nodes that take the pod, or why none does.
    pub fn verdict(&mut self, object: &Value) -> String {
        let ruling = self.rule(&pod(object));
        if ruling.fitting.is_empty() {
            return failure::message(&ruling.diagnosis, "");
        }
        let mut names: Vec<&str> = ruling.fitting.iter().map(|slot| self.snapshot.node(*slot).name.as_str()).collect();
        names.sort_unstable();
        names.join(" ")
    }

    /// What one plugin makes of each node, in order of name.
    pub fn scores(&mut self, object: &Value, plugin: &str) -> Vec<i64> {
        let place = crate::plugins::ALL.iter().position(|one| one.name == plugin).unwrap();
        let all = std::mem::replace(&mut self.profile.scores, vec![(place, 1)]);
        let pod = pod(object);
        let mut judge = self.judge();
        let case = Case::new(&pod, &self.profile.args, &self.cluster);
        let ruling = judge.find(&case, &mut self.snapshot);
        let mut slots = ruling.fitting.clone();
        slots.sort_by_key(|slot| self.snapshot.node(*slot).name.clone());
        let scores = judge.score(&case, &mut self.snapshot, &ruling.ready, &slots);
        self.profile.scores = all;
        scores
    }

    /// What preemption comes to: the node and its victims, or what is said.
    pub fn preempt(&mut self, object: &Value) -> String {
        let pod = pod(object);
        let ruling = self.rule(&pod);
        let judge = self.judge();
        let case = Case::new(&pod, &self.profile.args, &self.cluster);
        let budgets = self.cluster.budgets.list();
        let rng = Rng::seeded(1);
        match preemption::search(&case, &judge, &mut self.snapshot, &ruling.diagnosis, &budgets, &rng) {
            Search::Found(candidates) => match preemption::choose(candidates) {
                Some(Candidate { node, victims, violations }) => {
                    let names: Vec<&str> = victims.iter().map(|pod| pod.meta.name.as_str()).collect();
                    format!("{node}: {} ({violations})", names.join(" "))
                }
                None => "nobody".to_owned(),
            },
            Search::Hopeless(said) => said,
            Search::NotEligible(said) => said.to_owned(),
        }
    }
}

/// A node of this name and labels.
pub fn node(name: &str, labels: Value) -> Value {
    let mut labels = labels;
    labels["kubernetes.io/hostname"] = json!(name);
    json!({"kind": "Node", "metadata": {"name": name, "labels": labels}})
}

/// A pod on a node, with labels.
pub fn placed(name: &str, on: &str, labels: Value) -> Value {
    json!({"kind": "Pod", "metadata": {"name": name, "namespace": "d", "labels": labels}, "spec": {"nodeName": on}})
}
