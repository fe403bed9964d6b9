//! Pods to endpoints.

use super::allocate::{Wanted, allocate};
use super::{Conditions, Endpoint, Hint, Hints, MANAGED_BY, MANAGER, Observed, Port, SERVICE_NAME, topology};
use crate::action::Action;
use crate::kinds::{kind, resource};
use crate::ownership::Owner;
use crate::services::{self, HEADLESS, TRIGGER_TIME, TargetRef};
use crate::views::{Family, PodView, ServiceView};
use client::Item;
use meta::time;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Endpoints in one slice.
const CAPACITY: usize = 100;

/// What is to be done, and how hinting went for each address type, where endpoints are shared out.
pub(super) struct Planned {
    pub actions: Vec<Action>,
    pub hinted: BTreeMap<&'static str, Result<(), String>>,
}

pub(super) fn plan(observed: &Observed) -> Planned {
    let service = &observed.service;
    let mut groups: BTreeMap<(String, Vec<Port>), Vec<Endpoint>> = BTreeMap::new();
    for family in &service.view.families {
        let before = groups.len();
        for (pod, zone) in &observed.pods {
            let Some(address) = pod.view.addresses.iter().find(|address| Family::of(address) == *family) else {
                continue;
            };
            let ports = ports(&pod.view, &service.view);
            if ports.is_empty() && !(service.view.headless && service.view.ports.is_empty()) {
                continue;
            }
            let endpoint = endpoint(service, pod, address, zone.as_ref());
            groups.entry((family.as_str().to_owned(), ports)).or_default().push(endpoint);
        }
        if groups.len() == before {
            groups.insert((family.as_str().to_owned(), Vec::new()), Vec::new());
        }
    }
    let hinted = match service.view.is_topology_aware {
        true => share_out(observed, &mut groups),
        false => {
            hint(service, &mut groups);
            BTreeMap::new()
        }
    };
    let pods: Vec<Arc<Item<PodView>>> = observed.pods.iter().map(|(pod, _)| pod.clone()).collect();
    let trigger = services::trigger_time(&pods).map(|at| (TRIGGER_TIME.to_owned(), time::format(at)));
    let wanted = Wanted {
        namespace: service.meta.namespace.clone(),
        base_name: service.meta.name.clone(),
        owner: Owner::new(kind::SERVICES, resource::SERVICES, &service.meta).reference(),
        labels: labels(service),
        annotations: trigger.into_iter().collect(),
        annotations_are_all: false,
        capacity: CAPACITY,
        groups,
    };
    Planned { actions: allocate(wanted, observed.standing.clone()), hinted }
}

fn share_out(
    observed: &Observed,
    groups: &mut BTreeMap<(String, Vec<Port>), Vec<Endpoint>>,
) -> BTreeMap<&'static str, Result<(), String>> {
    let families = observed.service.view.families.iter().map(|family| family.as_str());
    let hinted = families.map(|family| {
        let of_family = groups.iter_mut().filter(|((address_type, _), _)| address_type == family);
        let mut endpoints: Vec<&mut Endpoint> = of_family.flat_map(|(_, endpoints)| endpoints).collect();
        let standing = topology::standing_hints(&observed.standing, family);
        (family, topology::hint(&mut endpoints, observed.shares.as_ref(), &standing))
    });
    hinted.collect()
}

fn labels(service: &Item<ServiceView>) -> BTreeMap<String, String> {
    let mut labels = service.meta.labels.clone();
    labels.remove(HEADLESS);
    if service.view.headless {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), service.meta.name.clone());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

fn ports(pod: &PodView, service: &ServiceView) -> Vec<Port> {
    let port = |port: &crate::views::ServicePort| {
        let number = services::port_of(pod, port)?;
        let (name, protocol) = (port.name.clone(), port.protocol.clone());
        Some(Port { name, protocol, port: Some(number), app_protocol: port.app_protocol.clone() })
    };
    let mut ports: Vec<Port> = service.ports.iter().filter_map(port).collect();
    ports.sort();
    ports
}

/// A pod that is ending stays in sight, so that what is under way can be finished.
fn endpoint(service: &Item<ServiceView>, pod: &Item<PodView>, address: &str, zone: Option<&String>) -> Endpoint {
    let (serving, terminating) = (pod.view.ready, pod.meta.is_deleting());
    let ready = service.view.publish_not_ready || (serving && !terminating);
    Endpoint {
        addresses: vec![address.to_owned()],
        conditions: Conditions { ready: Some(ready), serving: Some(serving), terminating: Some(terminating) },
        hostname: Some(services::hostname(pod, service)).filter(|name| !name.is_empty()),
        target_ref: Some(TargetRef::pod(pod)),
        node_name: Some(pod.view.node.clone()).filter(|node| !node.is_empty()),
        zone: zone.cloned(),
        hints: None,
    }
}

/// Where traffic is to stay near, endpoints are meant for their own zone or node, if all have one.
fn hint(service: &Item<ServiceView>, groups: &mut BTreeMap<(String, Vec<Port>), Vec<Endpoint>>) {
    let (zones, nodes) = match service.view.traffic_distribution.as_str() {
        "PreferClose" | "PreferSameZone" => (true, false),
        "PreferSameNode" => (true, true),
        _ => return,
    };
    for endpoints in groups.values_mut() {
        let ready = |endpoint: &&mut Endpoint| endpoint.conditions.ready == Some(true);
        for endpoint in endpoints.iter_mut().filter(ready) {
            let named = |name: &Option<String>| name.iter().map(|name| Hint { name: name.clone() }).collect::<Vec<_>>();
            let for_zones = if zones { named(&endpoint.zone) } else { Vec::new() };
            let for_nodes = if nodes { named(&endpoint.node_name) } else { Vec::new() };
            let told = !for_zones.is_empty() || !for_nodes.is_empty();
            endpoint.hints = told.then_some(Hints { for_zones, for_nodes });
        }
    }
}
