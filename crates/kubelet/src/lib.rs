//! The node agent: pod workers, probes, status, the kubelet API.
//!
//! It runs the pods that are bound to its node: it watches them through the API, drives the runtime,
//! the images, the volumes and the pod network through their traits, and reports back. It decides
//! nothing about where pods run and knows no store.

mod agent;
mod container_config;
mod crash_backoff;
mod credentials;
mod environment;
mod events;
mod eviction;
mod expand;
mod garbage;
mod hooks;
mod logs;
mod names;
mod network_files;
mod node;
mod pod;
mod probe;
mod pull;
mod resources;
mod security;
mod server;
mod services;
mod static_pods;

pub use eviction::{EvictionOptions, Graces, Observed, Reclaims, Signal, Signals, ThresholdError, Thresholds};
pub use garbage::ImageGarbage;
pub use pod::sysctls::{SysctlError, UnsafeSysctls};
pub use server::ServerOptions;
pub use static_pods::ManifestOptions;
pub use volumes::{HostMounts, Mounts, VolumeError};

use agent::Agent;
use base::Env;
use client::{Api, Caches, Selection};
use container::runtime::{Runtime, RuntimeError};
use images::ImageService;
use meta::GroupVersionResource;
use pod::status_manager::{PODS, StatusManager};
use pod::{PodRef, RuntimeView};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use sys::pod_network::{PodNetwork, PodNetworkError};
use tracing::info;
use volumes::ApiSources;

/// Everything a node needs to know and to drive.
#[derive(Clone)]
pub struct KubeletOptions {
    pub node_name: String,
    /// The first is the node's InternalIP.
    pub node_ips: Vec<IpAddr>,
    /// The kubelet's own files: `pods/<uid>/…`, `seccomp/…`.
    pub root_dir: PathBuf,
    /// Pods' logs: `<namespace>_<name>_<uid>/<container>/<attempt>.log`.
    pub log_dir: PathBuf,
    pub api: Arc<dyn Api>,
    pub runtime: Arc<dyn Runtime>,
    pub images: Arc<dyn ImageService>,
    pub network: Arc<dyn PodNetwork>,
    pub mounts: Arc<dyn Mounts>,
    /// None: no API of its own (tests).
    pub server: Option<ServerOptions>,
    pub cluster_dns: Vec<IpAddr>,
    pub cluster_domain: String,
    pub max_pods: u32,
    /// When memory, disk or processes count as short, and what happens then.
    pub eviction: EvictionOptions,
    /// Who tells what is left; None: this machine.
    pub signals: Option<Arc<dyn Signals>>,
    pub image_garbage: ImageGarbage,
    /// What pods may set beside what is harmless.
    pub unsafe_sysctls: UnsafeSysctls,
    /// Where pods come from beside the API server.
    pub manifests: Option<ManifestOptions>,
    /// Given to the node's spec when it is registered; None: a controller does.
    pub pod_cidr: Option<String>,
    /// Beside the labels that every node gets.
    pub node_labels: BTreeMap<String, String>,
    /// As `key=value:effect`; only when the node is new.
    pub node_taints: Vec<String>,
    /// Kutter's version, after `v1.37.0+kutter`.
    pub version: String,
    pub feature_gates: BTreeMap<String, bool>,
    /// Images pulled at once; 1: one after the other, as upstream's default.
    pub parallel_pulls: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum KubeletError {
    #[error("cannot make the kubelet's directory {path}: {why}")]
    Directory { path: PathBuf, why: String },
    #[error("cannot prepare volumes: {0}")]
    Volumes(#[from] VolumeError),
    #[error("the container runtime does not answer: {0}")]
    Runtime(#[from] RuntimeError),
    #[error("cannot take over the addresses of running pods: {0}")]
    Network(#[from] PodNetworkError),
    #[error("cannot listen on {address}: {why}")]
    Listen { address: std::net::SocketAddr, why: String },
}

/// A running kubelet. It ends with the tasks of the `Env` it was started with; pods stay.
pub struct Handle {
    agent: Arc<Agent>,
    /// Where its API listens, if it does.
    pub address: Option<std::net::SocketAddr>,
}

impl Handle {
    /// How many pods have a worker.
    pub fn pods(&self) -> usize {
        self.agent.workers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).len()
    }
}

/// Undoes what a kubelet that has ended left mounted below its `root_dir`; its pods must be gone.
///
/// # Errors
/// A mount cannot be undone.
pub fn release(root_dir: &std::path::Path) -> Result<(), VolumeError> {
    HostMounts::release(root_dir)
}

pub struct Kubelet;

impl Kubelet {
    /// Takes over what runs on the node and starts all parts.
    ///
    /// # Errors
    /// A directory, the runtime, the pod network or the port cannot be used.
    pub async fn start(env: &Env, options: KubeletOptions) -> Result<Handle, KubeletError> {
        for path in [options.root_dir.join("pods"), options.log_dir.clone()] {
            std::fs::create_dir_all(&path)
                .map_err(|error| KubeletError::Directory { path: path.clone(), why: error.to_string() })?;
        }
        options.mounts.share(&options.root_dir)?;
        let agent = Arc::new(make(env, options));
        agent.view.relist().await?;
        restore_network(&agent).await?;
        follow_runtime(&agent);
        eviction::start(&agent);
        node::start(&agent);
        static_pods::start(&agent);
        follow_pods(&agent);
        garbage::start(&agent);
        logs::start_rotation(&agent);
        let address = match agent.options.server.clone() {
            Some(server) => Some(server::start(&agent, server).await?),
            None => None,
        };
        agent.events.node(events::Kind::Normal, "Starting", "Starting kubelet.");
        info!(node = agent.options.node_name, "kubelet started");
        Ok(Handle { agent, address })
    }
}

fn make(env: &Env, options: KubeletOptions) -> Agent {
    let caches = Caches::new(options.api.clone(), env);
    let pods = Selection::all(PODS).fields(format!("spec.nodeName={}", options.node_name));
    let capacity = node::capacity(&options.root_dir, options.max_pods);
    let sources = Arc::new(ApiSources::new(options.api.clone(), env));
    let volumes = volumes::Context {
        env: env.clone(),
        sources,
        mounts: options.mounts.clone(),
        allocatable: Arc::new(node::allocatable(&capacity, &options.eviction.hard)),
    };
    let host = network_files::Dns::of_host();
    let domain = options.cluster_domain.clone();
    Agent {
        env: env.clone(),
        runtime: options.runtime.clone(),
        images: options.images.clone(),
        puller: pull::Puller::new(options.parallel_pulls),
        volumes,
        events: events::Events::new(options.api.clone(), env, &options.node_name),
        view: Arc::new(RuntimeView::new(options.runtime.clone())),
        probes: Arc::default(),
        statuses: StatusManager::start(options.api.clone(), env),
        pods: caches.watch(pods),
        services: caches.watch(Selection::all(GroupVersionResource::of("", "v1", "services"))),
        cluster_dns: network_files::ClusterDns { servers: options.cluster_dns.clone(), domain, host },
        hostname: node::hostname(),
        capacity,
        started_at: env.clock.now(),
        recent: server::Recent::default(),
        pressure: eviction::Pressure::default(),
        statics: static_pods::StaticPods::default(),
        workers: std::sync::Mutex::default(),
        admitted: std::sync::Mutex::default(),
        deferred: std::sync::Mutex::default(),
        options,
    }
}

async fn restore_network(agent: &Agent) -> Result<(), PodNetworkError> {
    let running: Vec<_> = agent
        .view
        .sandboxes()
        .iter()
        .filter(|sandbox| sandbox.ready && !sandbox.addresses.is_empty())
        .map(|sandbox| {
            let config = &sandbox.config;
            let pod =
                PodRef { namespace: config.namespace.clone(), name: config.name.clone(), uid: config.uid.clone() };
            (pod::stop::identity(&pod, &sandbox.id), sandbox.addresses.clone())
        })
        .collect();
    agent.options.network.restore(&running).await
}

fn follow_runtime(agent: &Arc<Agent>) {
    let follower = agent.clone();
    agent.env.tasks.spawn("runtime events", async move {
        let waker = follower.clone();
        follower.view.follow(&follower.env, |uid| waker.wake(uid)).await;
    });
}

/// Pods may start once the services are known, whose variables they get; what only the runtime
/// knows once all pods are.
fn follow_pods(agent: &Arc<Agent>) {
    let follower = agent.clone();
    agent.env.tasks.spawn("pods of the node", async move {
        follower.services.synced().await;
        let subscriber = Arc::downgrade(&follower);
        follower.pods.subscribe(move |change| {
            if let Some(agent) = subscriber.upgrade() {
                agent.pod_changed(change);
            }
        });
        follower.pods.synced().await;
        for sandbox in follower.view.pods().values() {
            let config = &sandbox.config;
            if !follower.has_worker(&config.uid) {
                info!(namespace = config.namespace, name = config.name, "ending a pod that was deleted meanwhile");
                follower.orphan(&PodRef {
                    namespace: config.namespace.clone(),
                    name: config.name.clone(),
                    uid: config.uid.clone(),
                });
            }
        }
    });
}

#[cfg(test)]
mod fakes;
#[cfg(test)]
mod pressure_tests;
#[cfg(test)]
mod scenario_tests;
#[cfg(test)]
mod static_tests;
