//! `kutter up`: everything in one process, in the foreground, until it is told to stop.

use crate::control_plane::ControlPlane;
use crate::failure;
use crate::instance::{self, Instance};
use crate::rooms;
use anyhow::Context as _;
use base::Env;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
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
    pub max_pods: u32,
    pub service_cidr: String,
    pub cluster_domain: String,
    pub token_auth_file: Option<PathBuf>,
    pub feature_gates: BTreeMap<String, bool>,
    pub no_node: bool,
    pub split: bool,
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
        failure::need_root()?;
    }
    let env = Env::real();
    let began = env.clock.instant();
    make_data_dir(&options.data_dir)?;
    let place = place(&options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("kutter")
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let plane = ControlPlane::start(&env, &options, &place).await?;
        let instance = Instance {
            id: place.instance.clone(),
            pid: std::process::id(),
            server: plane.local_url(),
            node_name: place.node_name.clone(),
        };
        instance.write(&options.data_dir)?;
        rooms::start(&env, &plane, &options);
        plane.set_ready();
        println!("ready in {} ms", began.elapsed().as_millis());
        let ended = until_told(&env).await;
        plane.stop().await;
        ended
    })
}

/// Waits for SIGTERM or SIGINT; an error where a room broke instead.
async fn until_told(env: &Env) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    tokio::select! {
        _ = terminate.recv() => info!("stopping after SIGTERM; containers keep running"),
        _ = interrupt.recv() => info!("stopping after SIGINT; containers keep running"),
        () = env.tasks.failed() => anyhow::bail!("a task panicked; see the log above"),
    }
    Ok(ExitCode::SUCCESS)
}

fn make_data_dir(dir: &Path) -> anyhow::Result<()> {
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

fn place(options: &Options) -> anyhow::Result<Place> {
    let node_ip = options.node_ip.unwrap_or_else(default_address);
    let advertise = options.advertise_address.unwrap_or(match options.listen.ip() {
        ip if ip.is_unspecified() => node_ip,
        ip => ip,
    });
    let node_name = match &options.node_name {
        Some(name) => name.to_lowercase(),
        None => rustix::system::uname().nodename().to_string_lossy().to_lowercase(),
    };
    Ok(Place { node_name, node_ip, advertise, instance: instance::id(&options.data_dir)? })
}

/// The address that the default route would send from; loopback on a machine without one. Asks
/// the kernel's routing only: nothing is sent.
fn default_address() -> IpAddr {
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
