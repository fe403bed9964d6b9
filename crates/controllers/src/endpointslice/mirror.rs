//! Endpoints that somebody made by hand for a Service without selector, mirrored into slices.

use super::allocate::{Wanted, allocate};
use super::{Conditions, Endpoint, MANAGED_BY, Port, SERVICE_NAME, SliceView, Standing, slice_changed, standing};
use crate::action::{Action, Plan};
use crate::endpoints::{Address, Endpoints, LEADER, Subset};
use crate::kinds::{kind, resource};
use crate::ownership::Owner;
use crate::rig::{Def, Rig, Room, RoomError};
use crate::services::TRIGGER_TIME;
use crate::views::{Family, ServiceView};
use base::Timestamp;
use client::events::ObjectRef;
use client::{Cache, Item, Key};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

pub const MIRRORING: Def = Def {
    name: "endpointslice-mirroring-controller",
    identity: "endpointslicemirroring-controller",
    component: "endpoint-slice-mirroring-controller",
    workers: 5,
    retry: super::RETRY,
    build,
};

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Addresses mirrored of one subset, and so endpoints in one slice.
const CAPACITY: usize = 1000;
/// Annotations that say something of the Endpoints alone.
const NOT_MIRRORED: [&str; 2] = [TRIGGER_TIME, "kubectl.kubernetes.io/last-applied-configuration"];

struct Mirrors {
    services: Arc<Cache<ServiceView>>,
    endpoints: Arc<Cache<()>>,
    slices: Arc<Cache<SliceView>>,
}

fn build(rig: &Rig) -> Box<dyn Room> {
    let services = rig.cache::<ServiceView>(&resource::SERVICES);
    let endpoints = rig.cache::<()>(&resource::ENDPOINTS);
    let slices = rig.cache::<SliceView>(&resource::ENDPOINT_SLICES);
    rig.on_itself(&services);
    rig.on_itself(&endpoints);
    rig.on(&slices, |change, queue| slice_changed(MANAGER, change, queue));
    Box::new(Mirrors { services, endpoints, slices })
}

impl Room for Mirrors {
    fn reconcile(&self, key: &Key, _now: Timestamp) -> Result<Plan, RoomError> {
        let standing = standing(&self.slices, key, MANAGER)?;
        let service = self.services.get_key(key).filter(|service| service.view.selector.is_empty());
        let endpoints = self.endpoints.get_key(key).filter(|item| is_to_be_mirrored(item));
        let (Some(_), Some(item)) = (service, endpoints) else {
            return Ok(Plan::of(allocate(nothing(key), standing)));
        };
        let endpoints: Endpoints = item.decode().map_err(|why| RoomError::Decode { key: key.clone(), why })?;
        Ok(plan(&item, &endpoints, standing))
    }
}

fn is_to_be_mirrored(endpoints: &Item<()>) -> bool {
    let meta = &endpoints.meta;
    !meta.is_deleting()
        && meta.labels.get(SKIP).is_none_or(|skip| skip != "true")
        && !meta.annotations.contains_key(LEADER)
}

/// With nothing wanted, every slice that stands goes.
fn nothing(key: &Key) -> Wanted {
    Wanted {
        namespace: key.namespace().to_owned(),
        base_name: key.name().to_owned(),
        owner: serde_json::Value::Null,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        annotations_are_all: true,
        capacity: CAPACITY,
        groups: BTreeMap::new(),
    }
}

fn plan(item: &Item<()>, endpoints: &Endpoints, standing: Vec<Standing>) -> Plan {
    let about = ObjectRef::of(&kind::ENDPOINTS, &item.meta);
    let mut groups: BTreeMap<(String, Vec<Port>), Vec<Endpoint>> = BTreeMap::new();
    let (mut invalid, mut skipped) = (0, 0);
    // Subsets of the same ports are as good as one.
    let mut taken: BTreeMap<Vec<Port>, usize> = BTreeMap::new();
    for subset in &endpoints.subsets {
        let ports = ports(subset);
        let ready = subset.addresses.iter().map(|address| (address, true));
        let all = ready.chain(subset.not_ready_addresses.iter().map(|address| (address, false)));
        let taken = taken.entry(ports.clone()).or_default();
        for (address, ready) in all {
            let Ok(ip) = address.ip.parse::<IpAddr>() else {
                invalid += 1;
                continue;
            };
            if *taken == CAPACITY {
                skipped += 1;
                continue;
            }
            *taken += 1;
            let ip = ip.to_canonical().to_string();
            let group = (Family::of(&ip).as_str().to_owned(), ports.clone());
            groups.entry(group).or_default().push(endpoint(ip, address, ready));
        }
    }
    let mut labels = item.meta.labels.clone();
    labels.insert(SERVICE_NAME.to_owned(), item.meta.name.clone());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    let mut annotations = item.meta.annotations.clone();
    annotations.retain(|name, _| !NOT_MIRRORED.contains(&name.as_str()));
    let wanted = Wanted {
        owner: Owner::new(kind::ENDPOINTS, resource::ENDPOINTS, &item.meta).reference(),
        labels,
        annotations,
        groups,
        ..nothing(&item.key)
    };
    let mut actions = allocate(wanted, standing);
    if invalid > 0 && !actions.is_empty() {
        let message = format!("Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices");
        actions.push(Action::event(&about, true, "InvalidIPAddress", message));
    }
    if skipped > 0 && !actions.is_empty() {
        let message = format!(
            "A max of {CAPACITY} addresses can be mirrored to EndpointSlices per Endpoints subset. {} addresses were skipped",
            skipped + invalid
        );
        actions.push(Action::event(&about, true, "TooManyAddressesToMirror", message));
    }
    Plan::of(actions)
}

fn ports(subset: &Subset) -> Vec<Port> {
    let port = |port: &crate::endpoints::Port| Port {
        name: port.name.clone(),
        protocol: if port.protocol.is_empty() { "TCP".to_owned() } else { port.protocol.clone() },
        port: Some(port.port),
        app_protocol: port.app_protocol.clone(),
    };
    let mut ports: Vec<Port> = subset.ports.iter().map(port).collect();
    ports.sort();
    ports
}

fn endpoint(ip: String, address: &Address, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![ip],
        conditions: Conditions { ready: Some(ready), ..Conditions::default() },
        hostname: Some(address.hostname.clone()).filter(|name| !name.is_empty()),
        target_ref: address.target_ref.clone(),
        node_name: address.node_name.clone(),
        zone: None,
        hints: None,
    }
}
