//! Kutter's own pod network: an address and a routed link per pod, routes between nodes, host
//! ports, masquerade towards the world.
//!
//! Every pod has a /32 on a veth pair and the same link-local gateway; the host has a route per
//! pod. No bridge, no ARP: both ends know each other's link address. The kubelet uses it through
//! [`sys::pod_network::PodNetwork`]. Services are not its business. IPv4 only.

mod addresses;
mod firewall;
mod nodes;
mod pod;
mod ports;
mod reconcile;
mod rules;
#[cfg(test)]
mod tests;

use addresses::Addresses;
use base::Env;
use client::{Caches, ObjectRef, Recorder, Selection, resource_of};
use k8s_openapi::api::core::v1 as core;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use sys::net::Ipv4Net;
use sys::pod_network::{BoxFuture, PodIdentity, PodNetwork, PodNetworkError};
use tracing::warn;

pub use reconcile::remove;

#[derive(Debug, Clone)]
pub struct NetworkOptions {
    pub node_name: String,
    /// Of this kutter's data directory: names links, tables and routes.
    pub instance: String,
    /// Where the addresses in use are kept.
    pub state_dir: PathBuf,
    /// All pods of the cluster: what leaves it is masqueraded.
    pub cluster_cidr: Ipv4Net,
    /// The tunnel's UDP port and network id, where nodes share no link. All nodes need the same.
    pub vxlan_port: u16,
    pub vxlan_id: u32,
}

impl NetworkOptions {
    pub fn new(node_name: &str, instance: &str, state_dir: &Path, cluster_cidr: Ipv4Net) -> Self {
        NetworkOptions {
            node_name: node_name.to_owned(),
            instance: instance.to_owned(),
            state_dir: state_dir.to_owned(),
            cluster_cidr,
            vxlan_port: 8472,
            vxlan_id: 27508,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Addresses(#[from] addresses::StateError),
    #[error(transparent)]
    Forwarding(#[from] sys::net::sysctl::SysctlError),
}

/// How the network sees the cluster: a service proxy may see all nodes, a kubelet its own pods.
pub struct NetworkDoors<'a> {
    pub proxy: &'a Caches,
    pub kubelet: &'a Caches,
    /// Tells the node's users what stands in the pods' way.
    pub events: Recorder,
}

/// The network of one node. Dropping it leaves everything in place: pods outlive a restart.
pub struct Network {
    options: NetworkOptions,
    env: Env,
    events: Recorder,
    state: Mutex<State>,
}

pub(crate) struct State {
    addresses: Addresses,
    /// Set once the node's table, gateway address and routes stand.
    ready: bool,
    /// What pods set up now get.
    mtu: u32,
    /// Whether the kubelet has said which sandboxes live, so that leftovers may be cleared away.
    restored: bool,
    /// A firewall that keeps pods from being reached, in words.
    problem: Option<String>,
}

impl Network {
    /// Loads what was in use before a restart, and follows the nodes and this node's pods from
    /// then on. `doors` are two identities, as no one may see both; events are the kubelet's.
    ///
    /// # Errors
    /// The state folder cannot be used, or forwarding cannot be switched on.
    pub fn start(env: &Env, doors: NetworkDoors<'_>, options: NetworkOptions) -> Result<Arc<Network>, StartError> {
        let addresses = Addresses::load(options.state_dir.join("addresses"))?;
        sys::net::sysctl::set("ipv4/ip_forward", "1")?;
        let state = State { addresses, ready: false, mtu: pod::DEFAULT_MTU, restored: false, problem: None };
        let nodes = doors.proxy.watch::<nodes::Node>(Selection::all(resource_of::<core::Node>()));
        let here = format!("spec.nodeName={}", options.node_name);
        let pods = doors.kubelet.watch::<ports::PodPorts>(Selection::all(resource_of::<core::Pod>()).fields(here));
        let (env, events) = (env.clone(), doors.events);
        let network = Arc::new(Network { options, env: env.clone(), events, state: Mutex::new(state) });
        env.tasks.spawn("pod network", reconcile::run(network.clone(), nodes, pods));
        Ok(network)
    }

    /// A firewall on this host that drops what pods send or get, and what to do about it.
    pub fn problem(&self) -> Option<String> {
        self.state().problem.clone()
    }

    /// As the kubelet's events about its node: the uid is the name.
    fn node_reference(&self) -> ObjectRef {
        let name = self.options.node_name.clone();
        ObjectRef { kind: "Node".to_owned(), uid: name.clone(), name, ..ObjectRef::default() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn attach(&self, pod: &PodIdentity, netns: &Path) -> Result<Vec<IpAddr>, PodNetworkError> {
        self.ready()?;
        let (address, gateway, mtu) = {
            let mut state = self.state();
            let address = state.addresses.take(&pod.sandbox)?;
            (address, state.addresses.gateway(), state.mtu)
        };
        let plan = pod::Attachment {
            link: pod::link_name(&self.options.instance, address),
            address,
            source: gateway,
            mtu,
            netns: netns.to_owned(),
        };
        let link = plan.link.clone();
        let work = self.env.tasks.spawn_blocking(move || pod::attach(&plan));
        match work.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(self.give_up(pod, error.to_string())),
            Err(error) => return Err(self.give_up(pod, error.to_string())),
        }
        match self.settle(&link).await {
            Ok(()) => Ok(vec![IpAddr::V4(address)]),
            Err(error) => Err(self.give_up(pod, error.to_string())),
        }
    }

    /// Waits until packets get to the pod. One that is a little late is better than none.
    async fn settle(&self, link: &str) -> Result<(), sys::net::Error> {
        const PAUSE: Duration = Duration::from_millis(2);
        const PAUSES: u32 = 600;
        for _ in 0..PAUSES {
            if pod::is_running(link)? {
                return Ok(());
            }
            self.env.clock.sleep(PAUSE).await;
        }
        warn!(link, "the pod's link has not come up; its first packets may be lost");
        Ok(())
    }

    fn give_up(&self, pod: &PodIdentity, why: String) -> PodNetworkError {
        self.state().addresses.release(&pod.sandbox);
        PodNetworkError::Setup(why)
    }

    async fn detach(&self, pod: &PodIdentity) -> Result<(), PodNetworkError> {
        let Some(address) = self.state().addresses.find(&pod.sandbox) else { return Ok(()) };
        let link = pod::link_name(&self.options.instance, address);
        let work = self.env.tasks.spawn_blocking(move || pod::detach(&link, address));
        let outcome = work.await.map_err(|error| PodNetworkError::Teardown(error.to_string()))?;
        outcome.map_err(|error| PodNetworkError::Teardown(error.to_string()))?;
        self.state().addresses.release(&pod.sandbox);
        Ok(())
    }

    fn adopt(&self, pods: &[(PodIdentity, Vec<IpAddr>)]) {
        let living = pods.iter().flat_map(|(pod, addresses)| {
            let v4 = addresses.iter().filter_map(|address| match address {
                IpAddr::V4(address) => Some(*address),
                IpAddr::V6(_) => None,
            });
            v4.map(|address| (address, pod.sandbox.clone()))
        });
        let mut state = self.state();
        state.addresses.restore(living.collect());
        state.restored = true;
    }
}

impl PodNetwork for Network {
    fn setup<'a>(
        &'a self,
        pod: &'a PodIdentity,
        netns: &'a Path,
    ) -> BoxFuture<'a, Result<Vec<IpAddr>, PodNetworkError>> {
        Box::pin(self.attach(pod, netns))
    }

    fn teardown<'a>(&'a self, pod: &'a PodIdentity) -> BoxFuture<'a, Result<(), PodNetworkError>> {
        Box::pin(self.detach(pod))
    }

    fn restore<'a>(&'a self, pods: &'a [(PodIdentity, Vec<IpAddr>)]) -> BoxFuture<'a, Result<(), PodNetworkError>> {
        self.adopt(pods);
        Box::pin(std::future::ready(Ok(())))
    }

    fn ready(&self) -> Result<(), PodNetworkError> {
        if self.state().ready { Ok(()) } else { Err(PodNetworkError::NotReady) }
    }
}

/// Logs what could not be done now and will be tried again.
pub(crate) fn complain(what: &str, error: &dyn std::error::Error) {
    warn!(%error, "{what}; will try again");
}
