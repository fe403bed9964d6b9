//! Cluster DNS on every node, answered from the node's own caches.
//!
//! Serves the cluster's names (services, headless endpoints, SRV, pods, reverse) on the service
//! address that kubelets write into pods, and forwards all others to the host's name servers. The
//! address stands on the node's loopback link, so a pod's question never leaves its node; it is
//! answered while the API server is away.

mod answer;
mod forward;
mod resolv;
mod serve;
#[cfg(test)]
mod tests;
mod views;
mod zone;

use answer::Responder;
use base::Env;
use client::Caches;
use forward::Forwarder;
use hickory_proto::rr::Name;
use resolv::Resolvers;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use sys::net::{Changes, Error, Rtnetlink, Scope, tag};
use tokio::net::{TcpListener, UdpSocket};
use zone::Zone;

const LOOPBACK: u32 = 1;

#[derive(Debug, Clone)]
pub struct DnsOptions {
    /// The service address to answer on; it is put on the node's loopback link.
    pub address: Ipv4Addr,
    pub port: u16,
    /// The cluster's domain, such as `cluster.local`.
    pub domain: String,
    /// Of this kutter's data directory: marks the address as ours.
    pub instance: String,
    /// Where the host's name servers stand.
    pub resolv_conf: PathBuf,
    /// Where systemd-resolved keeps the ones behind itself.
    pub resolved_conf: PathBuf,
}

impl DnsOptions {
    pub fn new(address: Ipv4Addr, domain: &str, instance: &str) -> Self {
        DnsOptions {
            address,
            port: 53,
            domain: domain.to_owned(),
            instance: instance.to_owned(),
            resolv_conf: "/etc/resolv.conf".into(),
            resolved_conf: "/run/systemd/resolve/resolv.conf".into(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0:?} is not a domain name")]
    Domain(String),
    #[error("cannot put the DNS address {address} on the loopback link: {source}")]
    Address { address: Ipv4Addr, source: Error },
    #[error(
        "cannot listen for DNS on {address}: {source}; does another name server listen on all addresses of this host?"
    )]
    Listen { address: SocketAddrV4, source: std::io::Error },
}

/// The name server of one node. It runs until its task group ends.
pub struct Dns {
    responder: Arc<Responder>,
}

impl Dns {
    /// Listens and answers from now on; cluster names once the caches are filled.
    pub async fn start(env: &Env, caches: &Caches, options: DnsOptions) -> Result<Dns, StartError> {
        let domain = parse_domain(&options.domain)?;
        put_address(&options).map_err(|source| StartError::Address { address: options.address, source })?;
        let address = SocketAddrV4::new(options.address, options.port);
        let fail = |source| StartError::Listen { address, source };
        let udp = UdpSocket::bind(address).await.map_err(fail)?;
        let tcp = TcpListener::bind(address).await.map_err(fail)?;
        let resolvers = Resolvers::new(options.resolv_conf.clone(), options.resolved_conf.clone(), options.address);
        let responder = Arc::new(Responder {
            zone: Zone::new(caches, domain, options.address),
            forwarder: Forwarder::new(env, resolvers),
            env: env.clone(),
        });
        env.tasks.spawn("dns over udp", serve::udp(responder.clone(), Arc::new(udp)));
        env.tasks.spawn("dns over tcp", serve::tcp(responder.clone(), tcp));
        env.tasks.spawn("dns address", serve::keep_address(env.clone(), options));
        Ok(Dns { responder })
    }

    /// Whether cluster names are answered.
    pub fn is_ready(&self) -> bool {
        self.responder.zone.is_ready()
    }

    /// Waits until they are.
    pub async fn ready(&self) {
        self.responder.zone.ready().await;
    }
}

fn parse_domain(text: &str) -> Result<Name, StartError> {
    let mut name = Name::from_ascii(text).map_err(|_| StartError::Domain(text.to_owned()))?;
    name.set_fqdn(true);
    Ok(name)
}

/// The mark on our address.
fn label(instance: &str) -> String {
    format!("lo:kd{:04x}", tag(instance))
}

pub(crate) fn put_address(options: &DnsOptions) -> Result<(), Error> {
    if options.address.is_loopback() {
        return Ok(());
    }
    let mut changes = Changes::new();
    changes.set_up(LOOPBACK);
    // Of host scope: never the source of what the host sends by itself.
    changes.add_address(LOOPBACK, options.address, 32, Scope::Host, &label(&options.instance));
    Rtnetlink::open()?.apply(&changes)
}

/// Removes the address that an instance has put into this network namespace, for `kutter down`.
pub fn remove(instance: &str) -> Result<(), Error> {
    let mut kernel = Rtnetlink::open()?;
    let mut changes = Changes::new();
    let label = label(instance);
    for address in kernel.addresses()?.iter().filter(|address| address.label == label) {
        changes.delete_address(address.link, address.address, address.prefix);
    }
    kernel.apply(&changes)
}
