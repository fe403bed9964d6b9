//! Keeps the node's table, routes, tunnel and firewall rules as the API says, and puts back what
//! somebody flushed.

use crate::nodes::{self, Node, Path, Tunnel};
use crate::ports::{self, PodPorts};
use crate::{Network, complain, firewall, pod, rules};
use client::Cache;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use sys::net::nftables::{Batch, Nftables};
use sys::net::{Changes, Error, Ipv4Net, Rtnetlink, Scope, sysctl, tag};
use tokio::sync::Notify;
use tracing::{info, warn};

/// How often the kernel is looked at without a change in the API.
const LOOK: Duration = Duration::from_secs(10);
const LOOPBACK: u32 = 1;

/// What the API wants of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    pods: Ipv4Net,
    address: Option<Ipv4Addr>,
    nodes: BTreeMap<String, Node>,
    ports: rules::Ports,
}

/// What was last done, and the table's handle then.
struct Done {
    wanted: Wanted,
    table: Option<u64>,
}

pub(crate) async fn run(network: Arc<Network>, nodes: Arc<Cache<Node>>, pods: Arc<Cache<PodPorts>>) {
    let changed = Arc::new(Notify::new());
    let (on_node, on_pod) = (changed.clone(), changed.clone());
    nodes.subscribe(move |change| {
        let views: Vec<_> =
            [&change.old, &change.new].into_iter().map(|item| item.as_ref().map(|item| &item.view)).collect();
        if views[0] != views[1] {
            on_node.notify_one();
        }
    });
    pods.subscribe(move |_| on_pod.notify_one());
    nodes.synced().await;
    pods.synced().await;
    let mut done = None;
    loop {
        if let Some(wanted) = wanted(&network, &nodes, &pods) {
            done = step(&network, wanted, done).await;
        }
        let _ = network.env.clock.timeout(LOOK, changed.notified()).await;
    }
}

fn wanted(network: &Network, nodes: &Cache<Node>, pods: &Cache<PodPorts>) -> Option<Wanted> {
    let nodes: BTreeMap<_, _> =
        nodes.list().iter().map(|node| (node.key.name().to_owned(), node.view.clone())).collect();
    let own = nodes.get(&network.options.node_name)?;
    let items = pods.list();
    let ports = ports::plan(items.iter().map(|item| &item.view));
    Some(Wanted { pods: own.pods?, address: own.address, nodes, ports })
}

/// One round on a blocking thread: the kernel may make us wait.
async fn step(network: &Arc<Network>, wanted: Wanted, done: Option<Done>) -> Option<Done> {
    let on_thread = network.clone();
    let work = network.env.tasks.spawn_blocking(move || apply(&on_thread, wanted, done));
    work.await.unwrap_or_else(|error| {
        complain("cannot set up the node's network", &error);
        None
    })
}

fn apply(network: &Network, wanted: Wanted, done: Option<Done>) -> Option<Done> {
    match try_apply(network, &wanted, done.as_ref()) {
        Ok(table) => Some(Done { wanted, table }),
        Err(error) => {
            complain("cannot set up the node's network", &error);
            None
        }
    }
}

fn try_apply(network: &Network, wanted: &Wanted, done: Option<&Done>) -> Result<Option<u64>, Error> {
    let mut kernel = Rtnetlink::open()?;
    let mut nft = Nftables::open()?;
    let table = change_table(network, wanted, done, &mut nft)?;
    if done.is_none_or(|done| done.wanted.nodes != wanted.nodes || done.wanted.pods != wanted.pods) {
        change_routes(network, wanted, &mut kernel)?;
    }
    if done.is_none_or(|done| done.wanted.ports != wanted.ports) {
        open_loopback(network, &wanted.ports);
    }
    let problem = firewall::open(&mut nft, &network.options.instance, wanted.pods)?;
    sweep(network, &mut kernel)?;
    let mut state = network.state();
    if problem != state.problem {
        match &problem {
            Some(problem) => {
                warn!("{problem}");
                network.events.warning(network.node_reference(), "FirewallBlocksPods", problem);
            }
            None => info!("no firewall stands in the pods' way any more"),
        }
        state.problem = problem;
    }
    if !state.ready {
        info!(pods = %wanted.pods, "pod network is ready");
        state.ready = true;
    }
    Ok(table)
}

fn change_table(
    network: &Network,
    wanted: &Wanted,
    done: Option<&Done>,
    nft: &mut Nftables,
) -> Result<Option<u64>, Error> {
    let table = rules::table(&network.options.instance);
    let standing = nft.table(&table)?;
    match done {
        Some(done) if done.table == standing && standing.is_some() && done.wanted.pods == wanted.pods => {
            let mut batch = Batch::new();
            rules::change_ports(&mut batch, &table, &done.wanted.ports, &wanted.ports);
            nft.commit(batch)?;
            Ok(standing)
        }
        _ => {
            if done.is_some() {
                warn!(table = table.name, "the pod network's table was gone or changed; building it again");
            }
            let links = pod::link_prefix(&network.options.instance);
            nft.commit(rules::build(&table, &links, wanted.pods, network.options.cluster_cidr, &wanted.ports))?;
            nft.table(&table)
        }
    }
}

/// Lets what the node sends to a host port of 127.0.0.1 out to the pod, and its answers back in.
/// The kernel drops loopback addresses on other links otherwise.
fn open_loopback(network: &Network, ports: &rules::Ports) {
    let pods: BTreeSet<Ipv4Addr> = ports.values().map(|(pod, _)| *pod).collect();
    for pod in pods {
        let link = pod::link_name(&network.options.instance, pod);
        match sysctl::set(&format!("ipv4/conf/{link}/route_localnet"), "1") {
            // Absent: the pod has gone meanwhile.
            Err(error) if !error.is_absent() => complain("cannot open host ports on loopback", &error),
            _ => {}
        }
    }
}

fn change_routes(network: &Network, wanted: &Wanted, kernel: &mut Rtnetlink) -> Result<(), Error> {
    let options = &network.options;
    let own = crate::addresses::gateway(wanted.pods);
    let mut changes = Changes::new();
    let label = format!("lo:kt{:04x}", tag(&options.instance));
    changes.set_up(LOOPBACK).add_address(LOOPBACK, own, 32, Scope::Global, &label);
    kernel.apply(&changes)?;

    let uplink = uplink_mtu(kernel, wanted.address);
    let paths = nodes::plan(&options.node_name, &wanted.nodes, |node| on_link(kernel, node));
    let tunnelled = paths.values().any(|path| matches!(path, Path::Tunnel { .. }));
    let tunnel = match wanted.address {
        Some(local) if tunnelled => {
            let name = nodes::tunnel_name(&options.instance);
            let mtu = uplink.saturating_sub(nodes::TUNNEL_OVERHEAD);
            let (id, port) = (options.vxlan_id, options.vxlan_port);
            Some(Tunnel { name: &name, id, port, local, pods: wanted.pods, mtu }.ensure(kernel)?)
        }
        _ => None,
    };
    nodes::apply(kernel, &paths, tunnel, nodes::metric(&options.instance))?;
    let mut state = network.state();
    state.mtu = if tunnelled { uplink.saturating_sub(nodes::TUNNEL_OVERHEAD) } else { uplink };
    state.addresses.use_network(wanted.pods);
    Ok(())
}

/// The link on which a node is a neighbour.
fn on_link(kernel: &mut Rtnetlink, node: Ipv4Addr) -> Option<u32> {
    let route = kernel.route_to(node).ok()?;
    (route.gateway.is_none() && !route.local).then_some(route.link)
}

/// The packet size of the link that has the node's address.
fn uplink_mtu(kernel: &mut Rtnetlink, address: Option<Ipv4Addr>) -> u32 {
    let find = |kernel: &mut Rtnetlink| -> Option<u32> {
        let address = address?;
        let link = kernel.addresses().ok()?.into_iter().find(|candidate| candidate.address == address)?.link;
        kernel
            .links()
            .ok()?
            .into_iter()
            .find(|candidate| candidate.index == link && link != LOOPBACK)
            .map(|link| link.mtu)
    };
    find(kernel).unwrap_or(pod::DEFAULT_MTU)
}

/// Deletes links of pods that are gone and whose namespace somebody still holds.
fn sweep(network: &Network, kernel: &mut Rtnetlink) -> Result<(), Error> {
    if !network.state().restored {
        return Ok(());
    }
    let instance = &network.options.instance;
    for link in kernel.links()? {
        let Some(address) = pod::address_of_link(instance, &link.name) else { continue };
        // Asked for each link anew: a pod may have come since they were listed.
        if network.state().addresses.holds(address) {
            continue;
        }
        let mut changes = Changes::new();
        changes.delete_link(link.index);
        match kernel.apply(&changes) {
            Err(error) if !error.is_absent() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Removes everything that an instance has put into this network namespace, for `kutter down`.
/// The pods' links go with their namespaces; any that are left go now.
pub fn remove(instance: &str) -> Result<(), Error> {
    let mut nft = Nftables::open()?;
    let mut batch = Batch::new();
    batch.remove_table(&rules::table(instance));
    nft.commit(batch)?;
    firewall::close(&mut nft, instance)?;
    let mut kernel = Rtnetlink::open()?;
    let mut changes = Changes::new();
    let label = format!("lo:kt{:04x}", tag(instance));
    for address in kernel.addresses()?.iter().filter(|address| address.label == label) {
        changes.delete_address(address.link, address.address, address.prefix);
    }
    for route in kernel.routes()?.iter().filter(|route| route.metric == nodes::metric(instance)) {
        changes.delete_route(route);
    }
    let tunnel = nodes::tunnel_name(instance);
    for link in kernel.links()? {
        if link.name == tunnel || pod::address_of_link(instance, &link.name).is_some() {
            changes.delete_link(link.index);
        }
    }
    match kernel.apply(&changes) {
        Err(error) if !error.is_absent() => Err(error),
        _ => Ok(()),
    }
}
