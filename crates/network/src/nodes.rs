//! Routes to the other nodes' pods: straight to a node on the same link, else through a VXLAN tunnel.
//!
//! Nothing has to be exchanged for it: a node's link address on the tunnel follows from its pod
//! network, which every node knows.

use crate::addresses::gateway;
use client::Projection;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use sys::net::{Changes, Error, Forwarding, Ipv4Net, Mac, Neighbour, Route, Rtnetlink, Vxlan, tag};

const TUNNEL_END: u8 = 3;
/// What VXLAN adds to a packet: outer Ethernet, IPv4, UDP and its own header.
pub(crate) const TUNNEL_OVERHEAD: u32 = 50;

/// What the network needs of a Node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub pods: Option<Ipv4Net>,
    pub address: Option<Ipv4Addr>,
}

impl Projection for Node {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Spec {
            #[serde(rename = "podCIDR")]
            pod_cidr: String,
            #[serde(rename = "podCIDRs")]
            pod_cidrs: Vec<String>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Address {
            #[serde(rename = "type")]
            kind: String,
            address: String,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Status {
            addresses: Vec<Address>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Object {
            spec: Spec,
            status: Status,
        }
        let object: Object = serde_json::from_slice(object)?;
        let pods = std::iter::once(&object.spec.pod_cidr).chain(&object.spec.pod_cidrs);
        let internal = object.status.addresses.iter().filter(|address| address.kind == "InternalIP");
        Ok(Node {
            pods: pods.filter_map(|text| text.parse().ok()).next(),
            address: internal.filter_map(|address| address.address.parse().ok()).next(),
        })
    }
}

/// How to reach a node's pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// The node is a neighbour on this link.
    Link {
        link: u32,
        node: Ipv4Addr,
    },
    Tunnel {
        node: Ipv4Addr,
    },
}

/// The paths to all other nodes that have pods and an address.
pub(crate) fn plan(
    own_name: &str,
    nodes: &BTreeMap<String, Node>,
    mut on_link: impl FnMut(Ipv4Addr) -> Option<u32>,
) -> BTreeMap<Ipv4Net, Path> {
    let own = nodes.get(own_name);
    let others = nodes.iter().filter(|(name, _)| *name != own_name);
    others
        .filter_map(|(_, node)| {
            let (pods, address) = (node.pods?, node.address?);
            // Two nodes on one host's address space: a node must not send its own pods away.
            if own.is_some_and(|own| own.pods == Some(pods) || own.address == Some(address)) {
                return None;
            }
            let path = match on_link(address) {
                Some(link) => Path::Link { link, node: address },
                None => Path::Tunnel { node: address },
            };
            Some((pods, path))
        })
        .collect()
}

/// Routes between nodes bear the instance's mark as their metric, so that stale ones are found.
pub(crate) fn metric(instance: &str) -> u32 {
    0x6b74_0000 | u32::from(tag(instance))
}

pub(crate) fn tunnel_name(instance: &str) -> String {
    format!("kx{:04x}", tag(instance))
}

pub(crate) struct Tunnel<'a> {
    pub name: &'a str,
    pub id: u32,
    pub port: u16,
    pub local: Ipv4Addr,
    pub pods: Ipv4Net,
    pub mtu: u32,
}

impl Tunnel<'_> {
    /// Makes the tunnel's link unless it is there, and returns its index.
    pub fn ensure(&self, kernel: &mut Rtnetlink) -> Result<u32, Error> {
        let mac = Mac::for_address(TUNNEL_END, gateway(self.pods));
        match kernel.link(self.name) {
            Ok(link) if link.mac == Some(mac) && link.mtu == self.mtu => return Ok(link.index),
            Ok(link) => {
                let mut changes = Changes::new();
                changes.delete_link(link.index);
                kernel.apply(&changes)?;
            }
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error),
        }
        let mut changes = Changes::new();
        changes.add_vxlan(&Vxlan {
            name: self.name,
            id: self.id,
            port: self.port,
            local: self.local,
            mac,
            mtu: self.mtu,
        });
        kernel.apply(&changes)?;
        kernel.link(self.name).map(|link| link.index)
    }
}

/// Makes the kernel's routes to other nodes these and no others. `tunnel` is the tunnel's link,
/// where any path needs it.
pub(crate) fn apply(
    kernel: &mut Rtnetlink,
    paths: &BTreeMap<Ipv4Net, Path>,
    tunnel: Option<u32>,
    metric: u32,
) -> Result<(), Error> {
    let mut changes = Changes::new();
    let mut wanted = Vec::new();
    for (pods, path) in paths {
        let route = match (*path, tunnel) {
            (Path::Link { link, node }, _) => {
                Route { destination: *pods, link, gateway: Some(node), source: None, metric }
            }
            (Path::Tunnel { node }, Some(link)) => {
                let far = gateway(*pods);
                let mac = Mac::for_address(TUNNEL_END, far);
                changes.replace_forwarding(&Forwarding { link, mac, remote: node });
                changes.replace_neighbour(&Neighbour { link, address: far, mac });
                Route { destination: *pods, link, gateway: Some(far), source: None, metric }
            }
            (Path::Tunnel { .. }, None) => continue,
        };
        changes.replace_route(&route);
        wanted.push(route);
    }
    for route in kernel.routes()? {
        if route.metric == metric && !wanted.iter().any(|wanted| wanted.destination == route.destination) {
            changes.delete_route(&route);
        }
    }
    kernel.apply(&changes)
}
