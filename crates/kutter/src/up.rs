//! `kutter up`: everything in one process, in the foreground, until it is told to stop.

use crate::access_flags::AccessOptions;
use crate::control_plane::{ControlPlane, nth_address};
use crate::failure;
use crate::instance::{self, Instance};
use crate::node::{self, Doors, Node, NodeOptions};
use crate::node_flags::NodeFlags;
use crate::process::Process;
use crate::{rooms, split};
use anyhow::Context as _;
use base::Env;
use cluster::Pki;
use cluster::tls::Served;
use futures_util::StreamExt as _;
use meta::{GroupVersionResource, User};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use sys::net::Ipv4Net;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

/// The flags of `kutter up`.
#[derive(Debug, Clone)]
pub struct Options {
    pub data_dir: PathBuf,
    pub listen: SocketAddr,
    pub advertise_address: Option<IpAddr>,
    pub node_name: Option<String>,
    pub node_ip: Option<IpAddr>,
    pub pod_cidr: String,
    pub node_cidr_mask_size: u8,
    pub service_cidr: String,
    pub cluster_domain: String,
    pub token_auth_file: Option<PathBuf>,
    pub access: AccessOptions,
    pub feature_gates: BTreeMap<String, bool>,
    pub api: crate::api_flags::ApiOptions,
    pub no_node: bool,
    /// Server and node as two processes.
    pub split: bool,
    pub node: NodeFlags,
    pub no_scheduler: bool,
    pub no_controllers: bool,
    /// Controllers and scheduler act only while they hold their leases.
    pub leader_elect: bool,
    pub scheduler_config: Option<PathBuf>,
    pub write_kubeconfig: Option<PathBuf>,
}

/// What the flags come to on this machine.
#[derive(Debug, Clone)]
pub struct Place {
    pub node_name: String,
    pub node_ip: IpAddr,
    pub advertise: IpAddr,
    pub instance: String,
}

/// Reads `A=true,B=false`, given once or several times.
pub fn read_gates<'g>(given: impl Iterator<Item = &'g str>) -> anyhow::Result<BTreeMap<String, bool>> {
    let mut gates = BTreeMap::new();
    for pair in given.flat_map(|text| text.split(',')).map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) =
            pair.split_once('=').with_context(|| format!("missing bool value for feature gate {pair}"))?;
        let value = match value.trim() {
            "true" | "True" | "1" | "t" | "T" | "TRUE" => true,
            "false" | "False" | "0" | "f" | "F" | "FALSE" => false,
            other => anyhow::bail!(
                "invalid value of {name}: {other}, err: strconv.ParseBool: parsing {other:?}: invalid syntax"
            ),
        };
        gates.insert(name.trim().to_owned(), value);
    }
    Ok(gates)
}

pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    base::logging::init("info");
    if !options.no_node {
        failure::need_node()?;
    }
    let env = Env::real();
    let began = env.clock.instant();
    make_data_dir(&options.data_dir)?;
    let place = place(&options)?;
    if !options.no_node && !options.split {
        // Before any thread: a mount namespace is entered by a process with one thread only.
        container::join_mounts(&node::containers_dir(&options.data_dir))
            .context("cannot go back to the mounts of an earlier run")?;
    }
    runtime()?.block_on(async {
        let plane = ControlPlane::start(&env, &options, &place).await?;
        // The node of an earlier server may be there still.
        let node_process = Instance::read(&options.data_dir)?.and_then(|earlier| earlier.node_process);
        let instance = Instance {
            id: place.instance.clone(),
            process: Process::this().context("cannot read /proc")?,
            server: plane.local_url(),
            node_name: place.node_name.clone(),
            node_process,
        };
        instance.write(&options.data_dir)?;
        rooms::start(&env, &plane, &options)?;
        plane.set_ready();
        let node = if options.no_node {
            None
        } else if options.split {
            split::start(&env, instance, &options).await?;
            wait_ready(&env, &plane, &place.node_name).await?;
            None
        } else {
            Some(start_node(&env, &plane, &options, &place).await?)
        };
        println!("ready in {} ms", began.elapsed().as_millis());
        let ended = tokio::select! {
            ended = until_told(&env) => ended,
            why = plane.failed() => {
                let failure = anyhow::anyhow!("the store failed: {why}");
                if options.split {
                    // The node goes on by itself, until the next server takes over.
                    return Err(failure);
                }
                Err(failure)
            }
        };
        if ended.is_ok() {
            plane.drain(&options).await;
        }
        plane.stop().await;
        drop(node);
        ended
    })
}

pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name("kutter").build().context("cannot start the runtime")
}

/// The server's own node, and waits until it is Ready.
async fn start_node(env: &Env, plane: &ControlPlane, options: &Options, place: &Place) -> anyhow::Result<Node> {
    let user = |name: String, groups: &[&str]| {
        let mut user = User::new(name, groups);
        user.groups.push(auth::names::AUTHENTICATED.to_owned());
        plane.api(user)
    };
    let doors = Doors {
        kubelet: user(format!("{}{}", auth::names::NODE_PREFIX, place.node_name), &[auth::names::NODES]),
        proxy: user("system:kube-proxy".to_owned(), &[]),
        dns: user("system:serviceaccount:kube-system:coredns".to_owned(), &[]),
    };
    let serving = Served::new(&plane.pki.kubelet_serving)?;
    let node = node::start(env, doors, node_options(options, place, &plane.pki, serving)?).await?;
    wait_ready(env, plane, &place.node_name).await?;
    Ok(node)
}

/// The server's own node, in this process or another.
pub fn node_options(options: &Options, place: &Place, pki: &Pki, serving: Arc<Served>) -> anyhow::Result<NodeOptions> {
    let IpAddr::V4(dns_address) = nth_address(&options.service_cidr, 10)? else {
        anyhow::bail!("--service-cidr: {:?} is no IPv4 range", options.service_cidr)
    };
    Ok(NodeOptions {
        data_dir: options.data_dir.clone(),
        instance: place.instance.clone(),
        node_name: place.node_name.clone(),
        node_ip: place.node_ip,
        pod_cidr: options.pod_cidr.clone(),
        service_cidr: options.service_cidr.clone(),
        cluster_domain: options.cluster_domain.clone(),
        dns_address,
        own_pod_cidr: Some(first_part(&options.pod_cidr, options.node_cidr_mask_size)?),
        feature_gates: options.feature_gates.clone(),
        authority: pki.ca.certificate().to_owned(),
        serving,
        flags: options.node.clone(),
    })
}

/// The server's own node gets the first part of the pod range, so that it need not wait for the
/// controller that gives parts to the others.
fn first_part(pod_cidr: &str, mask: u8) -> anyhow::Result<String> {
    let whole: Ipv4Net = pod_cidr.parse().with_context(|| format!("--pod-cidr: {pod_cidr:?}"))?;
    anyhow::ensure!(
        (whole.prefix()..=30).contains(&mask),
        "--node-cidr-mask-size: {mask} is not between {} and 30",
        whole.prefix()
    );
    Ok(format!("{}/{mask}", whole.address()))
}

/// How long a node may take to become Ready before something must be wrong.
const READY_WITHIN: Duration = Duration::from_secs(60);

async fn wait_ready(env: &Env, plane: &ControlPlane, node: &str) -> anyhow::Result<()> {
    let root = plane.api(User::new(auth::names::API_SERVER, &[auth::names::MASTERS]));
    let field = format!("metadata.name={node}");
    let options = client::Options { field_selector: Some(field), ..client::Options::default() };
    let request =
        client::Request::new(client::Verb::Watch, GroupVersionResource::of("", "v1", "nodes")).options(options);
    let watched = env.clock.timeout(READY_WITHIN, async {
        let client::Response::Watch(mut events) = root.call(request).await? else {
            anyhow::bail!("a watch was not answered with one");
        };
        let mut why = String::new();
        while let Some(event) = events.next().await {
            let object: serde_json::Value = serde_json::from_slice(&event?.object)?;
            let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
            if ready.is_some_and(|condition| condition["status"] == "True") {
                return Ok(());
            }
            why = ready.and_then(|condition| condition["message"].as_str()).unwrap_or_default().to_owned();
        }
        anyhow::bail!("the node's watch ended; last it said {why:?}")
    });
    watched.await.unwrap_or_else(|_| {
        anyhow::bail!("node {node} did not become Ready within {READY_WITHIN:?}; see the log above")
    })
}

/// Waits for SIGTERM or SIGINT; an error where a room broke instead.
pub async fn until_told(env: &Env) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    tokio::select! {
        _ = terminate.recv() => info!("stopping after SIGTERM; containers keep running"),
        _ = interrupt.recv() => info!("stopping after SIGINT; containers keep running"),
        () = env.tasks.failed() => anyhow::bail!("a task panicked; see the log above"),
    }
    Ok(ExitCode::SUCCESS)
}

pub fn make_data_dir(dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make the data dir {}: choose one with --data-dir", dir.display()))?;
    let access = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(dir, access)
        .with_context(|| format!("cannot write to the data dir {}: choose one with --data-dir", dir.display()))
}

pub fn place(options: &Options) -> anyhow::Result<Place> {
    let node_ip = options.node_ip.unwrap_or_else(default_address);
    let advertise = options.advertise_address.unwrap_or(match options.listen.ip() {
        ip if ip.is_unspecified() => node_ip,
        ip => ip,
    });
    let node_name = match &options.node_name {
        Some(name) => name.to_lowercase(),
        None => host_name(),
    };
    Ok(Place { node_name, node_ip, advertise, instance: instance::id(&options.data_dir)? })
}

pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().to_lowercase()
}

/// The address that the default route would send from; loopback on a machine without one. Asks
/// the kernel's routing only: nothing is sent.
pub fn default_address() -> IpAddr {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let Ok(socket) = UdpSocket::bind("0.0.0.0:0") else { return loopback };
    match socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()) {
        Ok(address) => address.ip(),
        Err(_) => loopback,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_read_as_upstream_writes_them() {
        let gates = read_gates(["A=true,B=false", " C=1 "].into_iter()).unwrap();
        assert_eq!(
            gates.into_iter().collect::<Vec<_>>(),
            [("A".into(), true), ("B".into(), false), ("C".into(), true)]
        );
        assert!(read_gates(["A"].into_iter()).is_err());
        assert!(read_gates(["A=maybe"].into_iter()).is_err());
    }
}
