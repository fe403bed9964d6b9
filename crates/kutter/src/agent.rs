//! `kutter agent`: a node of a cluster whose server runs elsewhere, reached over HTTPS only.

use crate::failure;
use crate::instance::{self, Instance};
use crate::node::{self, Doors, NodeOptions};
use crate::node_flags::NodeFlags;
use crate::process::Process;
use crate::up::{default_address, host_name, make_data_dir, runtime, until_told};
use anyhow::Context as _;
use base::Env;
use client::{Api, Client, Https, HttpsOptions, Roots, TokenSource};
use cluster::JoinToken;
use cluster::join::{self, JoinOptions, Joined};
use k8s_openapi::api::core::v1::ConfigMap;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// The flags of `kutter agent`.
#[derive(Debug, Clone)]
pub struct Options {
    pub data_dir: PathBuf,
    /// `https://host:port`
    pub server: String,
    pub token: Option<String>,
    pub ca_cert_hash: Option<String>,
    pub node_name: Option<String>,
    pub node_ip: Option<IpAddr>,
    pub feature_gates: BTreeMap<String, bool>,
    pub node: NodeFlags,
}

pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    base::logging::init("info");
    failure::need_node()?;
    anyhow::ensure!(
        options.server.starts_with("https://"),
        "--server: {:?} must begin with https://; nodes speak nothing else",
        options.server
    );
    let token =
        options.token.as_deref().map(|text| JoinToken::parse(text, options.ca_cert_hash.as_deref())).transpose()?;
    make_data_dir(&options.data_dir)?;
    container::join_mounts(&node::containers_dir(&options.data_dir))
        .context("cannot go back to the mounts of an earlier run")?;
    let env = Env::real();
    runtime()?.block_on(serve(env, options, token))
}

async fn serve(env: Env, options: Options, token: Option<JoinToken>) -> anyhow::Result<ExitCode> {
    let began = env.clock.instant();
    let node_ip = options.node_ip.unwrap_or_else(default_address);
    let node_name = options.node_name.clone().map_or_else(host_name, |name| name.to_lowercase());
    let join = JoinOptions {
        server: options.server.clone(),
        token,
        node_name: node_name.clone(),
        node_addresses: vec![node_ip],
        dir: options.data_dir.join("agent"),
    };
    let joined = join::join(&env, &join).await?;
    let doors = doors(&env, &options.server, &joined)?;
    let cluster = Cluster::read(doors.kubelet.clone()).await?;
    let instance = instance::id(&options.data_dir)?;
    let node = node::start(
        &env,
        doors,
        NodeOptions {
            data_dir: options.data_dir.clone(),
            instance: instance.clone(),
            node_name: node_name.clone(),
            node_ip,
            dns_address: cluster.dns_address()?,
            pod_cidr: cluster.pod_cidr,
            service_cidr: cluster.service_cidr,
            cluster_domain: cluster.domain,
            own_pod_cidr: None,
            feature_gates: options.feature_gates.clone(),
            authority: joined.ca.clone(),
            serving: joined.serving.clone(),
            flags: options.node.clone(),
        },
    )
    .await?;
    env.tasks.spawn("identity", join::keep_fresh(env.clone(), join, joined));
    Instance {
        id: instance,
        process: Process::this().context("cannot read /proc")?,
        server: options.server,
        node_name: node_name.clone(),
        node_process: None,
    }
    .write(&options.data_dir)?;
    println!("node {node_name} joined in {} ms", began.elapsed().as_millis());
    let ended = until_told(&env).await;
    env.tasks.stop().await;
    drop(node);
    ended
}

/// Three identities on three doors, so that a broken-into proxy is not the kubelet.
fn doors(env: &Env, server: &str, joined: &Joined) -> anyhow::Result<Doors> {
    let options = |agent: &str| {
        let mut options = HttpsOptions::new(server, Roots::Pem(joined.ca.clone().into_bytes()));
        options.user_agent = format!("{agent}/{}", env!("CARGO_PKG_VERSION"));
        options
    };
    let with_token = |agent: &str, token: Arc<dyn TokenSource>| -> anyhow::Result<Arc<dyn Api>> {
        let mut options = options(agent);
        options.token = Some(token);
        Ok(Arc::new(Https::new(options, env)?))
    };
    let mut kubelet = options("kubelet");
    kubelet.certificate = Some(joined.kubelet.clone());
    Ok(Doors {
        kubelet: Arc::new(Https::new(kubelet, env)?),
        proxy: with_token("kube-proxy", Arc::new(joined.proxy.clone()))?,
        dns: with_token("coredns", Arc::new(joined.dns.clone()))?,
    })
}

/// What every node must know of its cluster, from the ConfigMap that kubeadm's clusters have too.
struct Cluster {
    pod_cidr: String,
    service_cidr: String,
    domain: String,
}

impl Cluster {
    async fn read(api: Arc<dyn Api>) -> anyhow::Result<Self> {
        let map: ConfigMap = Client::new(api)
            .get("kube-system", "kubeadm-config")
            .await
            .context("cannot read the cluster's configuration")?;
        let text = map.data.unwrap_or_default().remove("ClusterConfiguration").unwrap_or_default();
        let value = wire::yaml::parse(&text).context("the cluster's configuration is no YAML")?;
        let network = |field: &str| -> anyhow::Result<String> {
            let found = value["networking"][field].as_str().filter(|text| !text.is_empty());
            Ok(found.with_context(|| format!("the cluster's configuration has no networking.{field}"))?.to_owned())
        };
        Ok(Cluster {
            pod_cidr: network("podSubnet")?,
            service_cidr: network("serviceSubnet")?,
            domain: network("dnsDomain")?,
        })
    }

    fn dns_address(&self) -> anyhow::Result<Ipv4Addr> {
        match crate::control_plane::nth_address(&self.service_cidr, 10)? {
            IpAddr::V4(address) => Ok(address),
            IpAddr::V6(_) => anyhow::bail!("the cluster's services have no IPv4 range"),
        }
    }
}
