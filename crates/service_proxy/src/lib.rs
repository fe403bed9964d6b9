//! Services on this node: nftables maps that lead a service's addresses and ports to its endpoints.
//!
//! Follows Services and EndpointSlices, plans each changed service, and changes exactly the map
//! entries that differ, in one transaction. Serves ClusterIP, external and load balancer addresses
//! and NodePort, with client affinity and the traffic policies. Knows no pods, and does nothing
//! about headless services. IPv4 only.

mod affinity;
mod flows;
mod layout;
mod objects;
mod plan;
mod state;
mod sync;
#[cfg(test)]
mod tests;

use base::Env;
use client::{Caches, Selection, resource_of};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use std::net::Ipv4Addr;
use std::sync::Arc;
use sys::net::nftables::{Batch, Nftables, Table};
use sys::net::{Changes, Error, Ipv4Net, Route, Rtnetlink, tag};
use tokio::sync::watch;

#[derive(Debug, Clone)]
pub struct ProxyOptions {
    pub node_name: String,
    /// Of this kutter's data directory: names the table and marks the route.
    pub instance: String,
    /// All pods of the cluster: senders outside it are masqueraded.
    pub cluster_cidr: Ipv4Net,
    /// All service addresses: what nobody has is refused at once.
    pub service_cidr: Ipv4Net,
    /// Service addresses that the node itself serves, such as DNS.
    pub answered_here: Vec<Ipv4Addr>,
}

/// The service proxy of one node. Dropping it leaves the rules in place: services outlive a
/// restart.
pub struct ServiceProxy {
    synced: watch::Receiver<bool>,
}

impl ServiceProxy {
    /// Follows the services from now on.
    ///
    /// # Errors
    /// The route to the service network cannot be set.
    pub fn start(env: &Env, caches: &Caches, options: ProxyOptions) -> Result<ServiceProxy, Error> {
        route_services(&options)?;
        let services = caches.watch::<()>(Selection::all(resource_of::<Service>()));
        let slices = caches.watch::<()>(Selection::all(resource_of::<EndpointSlice>()));
        let (done, synced) = watch::channel(false);
        env.tasks.spawn("service proxy", sync::run(env.clone(), Arc::new(options), services, slices, done));
        Ok(ServiceProxy { synced })
    }

    /// Whether all services known at the start stand in the kernel.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits until they do.
    pub async fn synced(&self) {
        // An error is the end of the task, which comes with the end of the process.
        let _ = self.synced.clone().wait_for(|synced| *synced).await;
    }
}

fn table(instance: &str) -> Table {
    Table::of_instance("services", instance)
}

/// Stands while the other is replaced.
fn interim_table(instance: &str) -> Table {
    Table::of_instance("services-interim", instance)
}

/// The host itself needs a route to a service before the packet is translated; without a default
/// route it would have none.
fn service_route(instance: &str, destination: Ipv4Net) -> Route {
    const LOOPBACK: u32 = 1;
    Route { destination, link: LOOPBACK, gateway: None, source: None, metric: 0x6b73_0000 | u32::from(tag(instance)) }
}

fn route_services(options: &ProxyOptions) -> Result<(), Error> {
    let mut changes = Changes::new();
    changes.set_up(1).replace_route(&service_route(&options.instance, options.service_cidr));
    Rtnetlink::open()?.apply(&changes)
}

/// Removes everything that an instance has put into this network namespace, for `kutter down`.
pub fn remove(instance: &str) -> Result<(), Error> {
    let mut batch = Batch::new();
    batch.remove_table(&table(instance)).remove_table(&interim_table(instance));
    Nftables::open()?.commit(batch)?;
    let mut kernel = Rtnetlink::open()?;
    let metric = service_route(instance, Ipv4Net::ANY).metric;
    let mut changes = Changes::new();
    for route in kernel.routes()?.iter().filter(|route| route.metric == metric) {
        changes.delete_route(route);
    }
    kernel.apply(&changes)
}
