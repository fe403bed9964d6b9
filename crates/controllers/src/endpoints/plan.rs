//! Pods to subsets, and what must be written.

use super::{Address, MANAGED_BY, Observed, Port, Subset};
use crate::action::{Action, Create, Event, Outcome, Plan, Update};
use crate::kinds::{kind, resource};
use crate::services::{self, HEADLESS, TRIGGER_TIME, TargetRef};
use crate::views::{Family, PodView, ServiceView};
use client::Item;
use client::events::ObjectRef;
use meta::time;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The most addresses one object may hold.
const CAPACITY: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

pub(super) fn plan(observed: &Observed) -> Plan {
    let service = &observed.service;
    let mut subsets = subsets(observed);
    let truncated = truncate(&mut subsets);
    let labels = labels(service);
    let (old, mut object) = match &observed.standing {
        Some((old, object)) => (old.clone(), object.clone()),
        None => (super::Endpoints::default(), json!({"apiVersion": "v1", "kind": "Endpoints"})),
    };
    let mut annotations = old.metadata.annotations.clone();
    match truncated {
        true => annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned()),
        false => annotations.remove(OVER_CAPACITY),
    };
    let same = old.subsets == subsets && old.metadata.labels == labels && old.metadata.annotations == annotations;
    if same && observed.standing.is_some() {
        return Plan::nothing();
    }
    if let Some(time) = services::trigger_time(&observed.pods) {
        annotations.insert(TRIGGER_TIME.to_owned(), time::format(time));
    }
    object["subsets"] = json!(subsets);
    object["metadata"]["name"] = json!(service.meta.name);
    object["metadata"]["namespace"] = json!(service.meta.namespace);
    object["metadata"]["labels"] = json!(labels);
    object["metadata"]["annotations"] = json!(annotations);
    write(observed, object)
}

fn write(observed: &Observed, object: Value) -> Plan {
    let service = &observed.service;
    let (about, name) = (about(service), service.key.to_string());
    let standing = observed.standing.is_some();
    let action = match standing {
        true => Action::Update(Update {
            resource: resource::ENDPOINTS,
            key: service.key.clone(),
            subresource: None,
            object,
        }),
        false => Action::Create(vec![Create::new(&resource::ENDPOINTS, &service.meta.namespace, object)]),
    };
    Plan::of(vec![action]).then(move |outcome: &Outcome| {
        let Some(error) = outcome.failure.as_ref().filter(|error| !error.is(meta::Reason::Conflict)) else {
            return Plan::nothing();
        };
        let (reason, message) = match standing {
            true => ("FailedToUpdateEndpoint", format!("Failed to update endpoint {name}: {error}")),
            false => ("FailedToCreateEndpoint", format!("Failed to create endpoint for service {name}: {error}")),
        };
        Plan::of(vec![Action::Event(Event { about, warning: true, reason, message })])
    })
}

fn about(service: &Item<ServiceView>) -> ObjectRef {
    ObjectRef {
        kind: kind::ENDPOINTS.kind.to_string(),
        api_version: "v1".to_owned(),
        namespace: service.meta.namespace.clone(),
        name: service.meta.name.clone(),
        ..ObjectRef::default()
    }
}

fn labels(service: &Item<ServiceView>) -> BTreeMap<String, String> {
    let mut labels = service.meta.labels.clone();
    labels.remove(HEADLESS);
    if service.view.headless {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
    labels
}

/// Addresses that offer the same ports stand together.
fn subsets(observed: &Observed) -> Vec<Subset> {
    let service = &observed.service;
    let mut groups: BTreeMap<Vec<Port>, Subset> = BTreeMap::new();
    for pod in &observed.pods {
        let Some(address) = address(pod, service) else { continue };
        let ports = ports(&pod.view, &service.view);
        // A headless Service may do without ports; any other has nothing to say of such a pod.
        if ports.is_empty() && !(service.view.headless && service.view.ports.is_empty()) {
            continue;
        }
        let group = groups.entry(ports).or_default();
        match pod.view.ready || service.view.publish_not_ready {
            true => group.addresses.push(address),
            false => group.not_ready_addresses.push(address),
        }
    }
    let finish = |(ports, mut subset): (Vec<Port>, Subset)| {
        subset.addresses.sort();
        subset.not_ready_addresses.sort();
        Subset { ports, ..subset }
    };
    groups.into_iter().map(finish).collect()
}

/// Endpoints know one address family: the Service's first.
fn address(pod: &Item<PodView>, service: &Item<ServiceView>) -> Option<Address> {
    let family = service.view.families.first().copied().unwrap_or(Family::IPv4);
    let ip = pod.view.addresses.iter().find(|address| Family::of(address) == family)?;
    Some(Address {
        ip: ip.clone(),
        hostname: services::hostname(pod, service),
        node_name: Some(pod.view.node.clone()).filter(|node| !node.is_empty()),
        target_ref: Some(TargetRef::pod(pod)),
    })
}

fn ports(pod: &PodView, service: &ServiceView) -> Vec<Port> {
    let port = |port: &crate::views::ServicePort| {
        let number = services::port_of(pod, port)?;
        let (name, protocol) = (port.name.clone(), port.protocol.clone());
        Some(Port { name, port: number, protocol, app_protocol: port.app_protocol.clone() })
    };
    let mut ports: Vec<Port> = service.ports.iter().filter_map(port).collect();
    ports.sort();
    ports
}

/// Cuts to what one object may hold, keeping what is ready; says whether anything was cut.
fn truncate(subsets: &mut Vec<Subset>) -> bool {
    let total: usize = subsets.iter().map(|subset| subset.addresses.len() + subset.not_ready_addresses.len()).sum();
    if total <= CAPACITY {
        return false;
    }
    let mut room = CAPACITY;
    for subset in subsets.iter_mut() {
        subset.addresses.truncate(room);
        room -= subset.addresses.len();
    }
    for subset in subsets.iter_mut() {
        subset.not_ready_addresses.truncate(room);
        room -= subset.not_ready_addresses.len();
    }
    subsets.retain(|subset| !(subset.addresses.is_empty() && subset.not_ready_addresses.is_empty()));
    true
}
