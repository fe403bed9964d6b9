//! What the rooms that find endpoints have in common: which Services a pod concerns, which port of a
//! pod a Service's port means.

use crate::views::{PodView, ServicePort, ServiceView, Target};
use base::Timestamp;
use client::{Cache, Change, Item, Key, WorkQueue};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub const HEADLESS: &str = "service.kubernetes.io/headless";
pub const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The object behind an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetRef {
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

impl TargetRef {
    pub fn pod(pod: &Item<PodView>) -> Self {
        let meta = &pod.meta;
        TargetRef {
            kind: "Pod".to_owned(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
        }
    }
}

/// Wakes the Services that select a pod or did before, if anything about it changed that shows.
pub fn pod_changed(services: &Cache<ServiceView>, change: &Change<PodView>, queue: &WorkQueue<Key>) {
    if let (Some(old), Some(new)) = (&change.old, &change.new)
        && old.view == new.view
        && old.meta.labels == new.meta.labels
        && old.meta.is_deleting() == new.meta.is_deleting()
    {
        return;
    }
    let Some(pod) = change.latest() else { return };
    for service in services.list_in(&pod.meta.namespace) {
        if change.states().any(|pod| service.view.matches(&pod.meta.labels)) {
            queue.add(service.key.clone());
        }
    }
}

/// The pods a Service selects that can be reached at all.
pub fn reachable(pods: &Cache<PodView>, service: &Item<ServiceView>) -> Vec<Arc<Item<PodView>>> {
    let all = pods.list_in(&service.meta.namespace);
    let reachable = |pod: &Arc<Item<PodView>>| {
        !pod.view.is_finished() && !pod.view.addresses.is_empty() && service.view.matches(&pod.meta.labels)
    };
    all.into_iter().filter(reachable).collect()
}

/// The number of the pod's port; None: the pod has no port of that name.
pub fn port_of(pod: &PodView, port: &ServicePort) -> Option<i32> {
    match port.target() {
        Target::Number(number) => Some(number),
        Target::Name(name) => {
            let named =
                pod.ports.iter().find(|candidate| candidate.name == name && protocol(candidate) == port.protocol);
            named.map(|found| found.port)
        }
    }
}

fn protocol(port: &crate::views::NamedPort) -> &str {
    if port.protocol.is_empty() { "TCP" } else { &port.protocol }
}

/// The pod's own name in DNS, where it asked for one under this Service.
pub fn hostname(pod: &Item<PodView>, service: &Item<ServiceView>) -> String {
    let asked = !pod.view.hostname.is_empty() && pod.view.subdomain == service.meta.name;
    if asked { pod.view.hostname.clone() } else { String::new() }
}

/// When the last of the pods became what it is.
pub fn trigger_time(pods: &[Arc<Item<PodView>>]) -> Option<Timestamp> {
    pods.iter().filter_map(|pod| pod.view.ready_since).max()
}
