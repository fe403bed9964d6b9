//! Wires a node's rooms: runtime, images, pod network, service proxy, DNS, kubelet. The same for
//! the server's own node and for an agent; only where the API is reached differs.

use crate::node_flags::NodeFlags;
use anyhow::Context as _;
use base::Env;
use client::events::Style;
use client::{Api, Caches, Recorder};
use cluster::tls::{self, Served};
use container::{Supervisor, SupervisorOptions};
use dns::{Dns, DnsOptions};
use images::Images;
use kubelet::{HostMounts, Kubelet, KubeletOptions, ServerOptions};
use network::{Network, NetworkDoors, NetworkOptions};
use service_proxy::{ProxyOptions, ServiceProxy};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use sys::net::Ipv4Net;

const KUBELET_PORT: u16 = 10250;

/// The node's doors to the API server, one per identity.
pub struct Doors {
    pub kubelet: Arc<dyn Api>,
    pub proxy: Arc<dyn Api>,
    pub dns: Arc<dyn Api>,
}

pub struct NodeOptions {
    pub data_dir: PathBuf,
    pub instance: String,
    pub node_name: String,
    pub node_ip: IpAddr,
    pub pod_cidr: String,
    pub service_cidr: String,
    pub cluster_domain: String,
    pub dns_address: Ipv4Addr,
    /// This node's part of the pod range, where it is known before any controller says so.
    pub own_pod_cidr: Option<String>,
    pub feature_gates: BTreeMap<String, bool>,
    /// PEM of the cluster's authority.
    pub authority: String,
    /// What the kubelet's port shows.
    pub serving: Arc<Served>,
    pub flags: NodeFlags,
}

/// Keeps the rooms that end when they are dropped.
pub struct Node {
    _dns: Dns,
    _proxy: ServiceProxy,
    _network: Arc<Network>,
    _kubelet: kubelet::Handle,
}

/// Where the supervisor keeps sandboxes and containers.
pub fn containers_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("containers")
}

pub async fn start(env: &Env, doors: Doors, options: NodeOptions) -> anyhow::Result<Node> {
    let cluster_cidr: Ipv4Net =
        options.pod_cidr.parse().with_context(|| format!("--pod-cidr: {:?}", options.pod_cidr))?;
    let service_cidr: Ipv4Net =
        options.service_cidr.parse().with_context(|| format!("--service-cidr: {:?}", options.service_cidr))?;
    let proxy_caches = Caches::new(doors.proxy, env);
    let network = Network::start(
        env,
        NetworkDoors {
            proxy: &proxy_caches,
            kubelet: &Caches::new(doors.kubelet.clone(), env),
            events: Recorder::new(doors.kubelet.clone(), env, "kubelet", &options.node_name, Style::Core),
        },
        NetworkOptions::new(&options.node_name, &options.instance, &options.data_dir.join("network"), cluster_cidr),
    )?;
    let proxy = ServiceProxy::start(
        env,
        &proxy_caches,
        ProxyOptions {
            node_name: options.node_name.clone(),
            instance: options.instance.clone(),
            cluster_cidr,
            service_cidr,
            answered_here: vec![options.dns_address],
        },
    )?;
    let dns_options = DnsOptions::new(options.dns_address, &options.cluster_domain, &options.instance);
    let dns = Dns::start(env, &Caches::new(doors.dns, env), dns_options).await?;
    let kubelet = Kubelet::start(env, kubelet_options(env, doors.kubelet, network.clone(), &options).await?).await?;
    Ok(Node { _dns: dns, _proxy: proxy, _network: network, _kubelet: kubelet })
}

async fn kubelet_options(
    env: &Env,
    api: Arc<dyn Api>,
    network: Arc<Network>,
    options: &NodeOptions,
) -> anyhow::Result<KubeletOptions> {
    let runtime = Supervisor::start(
        SupervisorOptions {
            executable: std::env::current_exe().context("cannot tell where this program is")?,
            state_dir: containers_dir(&options.data_dir),
            instance: options.instance.clone(),
        },
        env.clone(),
    )
    .await
    .context("cannot start the container supervisor")?;
    let images = Images::open(&options.data_dir.join("images"), env, options.flags.registries.clone())?;
    Ok(KubeletOptions {
        node_name: options.node_name.clone(),
        node_ips: vec![options.node_ip],
        root_dir: options.data_dir.join("kubelet"),
        log_dir: options.data_dir.join("log/pods"),
        api,
        runtime,
        images: Arc::new(images),
        network,
        mounts: Arc::new(HostMounts),
        server: Some(ServerOptions {
            listen: SocketAddr::new(options.node_ip, KUBELET_PORT),
            tls: Arc::new(tls::server_config(options.serving.clone(), &options.authority, &["http/1.1"])?),
        }),
        cluster_dns: vec![options.dns_address.into()],
        cluster_domain: options.cluster_domain.clone(),
        max_pods: options.flags.max_pods,
        eviction: options.flags.eviction.clone(),
        signals: None,
        image_garbage: options.flags.image_garbage,
        manifests: options.flags.manifests.clone(),
        unsafe_sysctls: options.flags.unsafe_sysctls.clone(),
        pod_cidr: options.own_pod_cidr.clone(),
        node_labels: BTreeMap::new(),
        node_taints: Vec::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        feature_gates: options.feature_gates.clone(),
        parallel_pulls: 3,
    })
}
