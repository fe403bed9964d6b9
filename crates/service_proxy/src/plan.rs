//! What one service means on this node: which addresses and ports lead to which endpoints. Pure.

use crate::objects::{Service, ServicePort, Slice, SliceEndpoint};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Where packets come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Address(Ipv4Addr),
    /// Every address of the node but loopback.
    Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Front {
    pub place: Place,
    pub protocol: u8,
    pub port: u16,
    /// Only for packets from the cluster's pods and from the node itself: they see all endpoints
    /// where others see local ones.
    pub inside: bool,
}

/// Whose packets get the node's address as their source, so that answers come back this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Masquerade {
    /// Of senders outside the cluster's pod network.
    Foreign,
    Everyone,
    Nobody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Endpoint {
    pub address: Ipv4Addr,
    pub port: u16,
    /// On this node.
    pub local: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backend {
    Endpoints {
        masquerade: Masquerade,
        affinity: Option<u32>,
        endpoints: Vec<Endpoint>,
    },
    /// There is no endpoint anywhere.
    Refuse,
    /// There are endpoints, but none that this policy allows here.
    Drop,
}

pub(crate) type Fronts = BTreeMap<Front, Backend>;

/// The fronts of a service. `before` are the ones in force: endpoints that stay keep their places,
/// so that little has to change. `answered_here` are addresses that the node itself serves.
pub(crate) fn plan(
    service: &Service,
    slices: &[Slice],
    node: &str,
    answered_here: &[Ipv4Addr],
    before: Option<&Fronts>,
) -> Fronts {
    let mut fronts = Fronts::new();
    if !service.is_ours() {
        return fronts;
    }
    for port in &service.spec.ports {
        let Some(protocol) = port.protocol_number() else { continue };
        let endpoints = Endpoints::of(port, slices, node);
        let planner = Planner { service, endpoints };
        let mut add = |place, port, inside, masquerade, local_only| {
            let front = Front { place, protocol, port, inside };
            let arranged = before.and_then(|before| before.get(&front));
            fronts.insert(front, planner.backend(masquerade, local_only, arranged));
        };
        let internal_local = service.spec.internal_traffic_policy == "Local";
        for address in service.cluster_addresses().filter(|address| !answered_here.contains(address)) {
            add(Place::Address(address), port.port, false, Masquerade::Foreign, internal_local);
        }
        let external = service.external_addresses().map(|address| (Place::Address(address), port.port));
        let node_port = (port.node_port > 0).then_some((Place::Node, port.node_port));
        let external_local = service.spec.external_traffic_policy == "Local";
        for (place, port) in external.chain(node_port) {
            if external_local {
                add(place, port, false, Masquerade::Nobody, true);
                add(place, port, true, Masquerade::Foreign, false);
            } else {
                add(place, port, false, Masquerade::Everyone, false);
            }
        }
    }
    fronts
}

struct Planner<'a> {
    service: &'a Service,
    endpoints: Endpoints,
}

impl Planner<'_> {
    fn backend(&self, masquerade: Masquerade, local_only: bool, before: Option<&Backend>) -> Backend {
        let usable = if local_only { &self.endpoints.local } else { &self.endpoints.all };
        if self.endpoints.all.is_empty() {
            return Backend::Refuse;
        }
        if usable.is_empty() {
            return Backend::Drop;
        }
        let before = match before {
            Some(Backend::Endpoints { endpoints, .. }) => endpoints.as_slice(),
            _ => &[],
        };
        let endpoints = arrange(before, usable);
        Backend::Endpoints { masquerade, affinity: self.service.affinity_seconds(), endpoints }
    }
}

/// The endpoints of one port that take connections: the ready ones, or where there are none, those
/// that still serve while they terminate.
#[derive(Default)]
struct Endpoints {
    all: BTreeSet<Endpoint>,
    local: BTreeSet<Endpoint>,
}

impl Endpoints {
    fn of(port: &ServicePort, slices: &[Slice], node: &str) -> Self {
        let (mut ready, mut last_resort) = (BTreeSet::new(), BTreeSet::new());
        for slice in slices.iter().filter(|slice| slice.address_type == "IPv4") {
            let Some(target) = target_port(port, slice) else { continue };
            for candidate in &slice.endpoints {
                let Some(endpoint) = endpoint(candidate, target, node) else { continue };
                if candidate.conditions.is_ready() {
                    ready.insert(endpoint);
                } else if candidate.conditions.serves_while_terminating() {
                    last_resort.insert(endpoint);
                }
            }
        }
        let local = |of: &BTreeSet<Endpoint>| of.iter().filter(|endpoint| endpoint.local).copied().collect();
        let (ready_here, last_here): (BTreeSet<_>, BTreeSet<_>) = (local(&ready), local(&last_resort));
        Endpoints {
            all: if ready.is_empty() { last_resort } else { ready },
            local: if ready_here.is_empty() { last_here } else { ready_here },
        }
    }
}

fn target_port(port: &ServicePort, slice: &Slice) -> Option<u16> {
    let protocol = |name: &str| if name.is_empty() { "TCP".to_owned() } else { name.to_owned() };
    let wanted = protocol(&port.protocol);
    let same = slice.ports.iter().find(|candidate| {
        candidate.name.as_deref().unwrap_or("") == port.name
            && protocol(candidate.protocol.as_deref().unwrap_or("")) == wanted
    })?;
    same.port
}

fn endpoint(candidate: &SliceEndpoint, port: u16, node: &str) -> Option<Endpoint> {
    let address = candidate.addresses.first()?.parse().ok()?;
    Some(Endpoint { address, port, local: candidate.node_name.as_deref() == Some(node) })
}

/// The endpoints in an order that keeps as many as can be where they were.
fn arrange(before: &[Endpoint], wanted: &BTreeSet<Endpoint>) -> Vec<Endpoint> {
    let stays: BTreeSet<_> = before.iter().filter(|endpoint| wanted.contains(endpoint)).copied().collect();
    let mut fresh = wanted.difference(&stays).copied().collect::<Vec<_>>().into_iter();
    let mut places: Vec<Option<Endpoint>> =
        before.iter().map(|endpoint| if stays.contains(endpoint) { Some(*endpoint) } else { fresh.next() }).collect();
    places.extend(fresh.map(Some));
    // Holes are filled from the end.
    let mut arranged = Vec::with_capacity(wanted.len());
    let mut index = 0;
    while index < places.len() {
        match places[index] {
            Some(endpoint) => {
                arranged.push(endpoint);
                index += 1;
            }
            None => _ = places.swap_remove(index),
        }
    }
    arranged
}
