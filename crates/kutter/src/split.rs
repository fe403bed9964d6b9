//! `kutter up --split`: the server in one process and its node in another, so that a server that
//! fails takes no node with it: the node goes on, and answers DNS from what it knows.
//!
//! The server starts the node's process and starts it again when it ends. The node reaches the
//! server over HTTPS, with the node's own identities from the data dir. An order to stop ends both.

use crate::control_plane;
use crate::failure;
use crate::instance::Instance;
use crate::node::{self, Doors, Node};
use crate::process::Process;
use crate::up::{self, Options};
use anyhow::Context as _;
use base::{Backoff, Env};
use client::{Api, ClientCertificate, Https, HttpsOptions, Roots};
use cluster::Pki;
use cluster::tls::Served;
use rustix::process::Signal;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, Command};
use tracing::{info, warn};

/// The hidden command that runs the node alone; it takes the flags of `kutter up`.
pub const COMMAND: &str = "up-node";

/// How long the node may take to stop by itself.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between starts of a node that ends again and again.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often the node looks whether its certificates were renewed.
const CERTIFICATES: Duration = Duration::from_secs(3600);

/// Takes over from an earlier node, and keeps one running until the server stops.
///
/// # Errors
/// This program cannot be started again, or the data dir takes no note of it.
pub async fn start(env: &Env, instance: Instance, options: &Options) -> anyhow::Result<()> {
    end_earlier(env, &instance).await;
    let mut pair = Pair { instance, data_dir: options.data_dir.clone() };
    let child = pair.start_node()?;
    env.tasks.spawn_to_end("node process", supervise(env.clone(), pair, child));
    Ok(())
}

async fn supervise(env: Env, mut pair: Pair, mut child: Child) {
    let shutdown = env.tasks.shutdown();
    let mut pause = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let began = env.clock.instant();
        tokio::select! {
            ended = child.wait() => warn!(?ended, "the node's process ended; starting it again"),
            () = shutdown.wait() => return stop(&env, child).await,
        }
        if env.clock.instant().duration_since(began) > LONGEST_PAUSE {
            pause.reset();
        }
        child = loop {
            tokio::select! {
                () = env.clock.sleep(pause.next(&env.rng)) => {}
                () = shutdown.wait() => return,
            }
            match pair.start_node() {
                Ok(child) => break child,
                Err(error) => warn!(%error, "cannot start the node's process"),
            }
        };
    }
}

/// A server and its node, as `<data-dir>/instance.json` has them.
struct Pair {
    instance: Instance,
    data_dir: PathBuf,
}

impl Pair {
    /// This program again, with the same flags; `kutter down` will find it.
    fn start_node(&mut self) -> anyhow::Result<Child> {
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let flags = std::env::args_os().skip(2).filter(|word| word != "--split");
        let words: Vec<OsString> = std::iter::once(COMMAND.into()).chain(flags).collect();
        let child = Command::new(program).args(words).spawn().context("cannot start the node's process")?;
        self.instance.node_process = child.id().and_then(Process::of);
        self.instance.write(&self.data_dir)?;
        Ok(child)
    }
}

/// A node whose server failed is still there: two would fight over the same pods.
async fn end_earlier(env: &Env, instance: &Instance) {
    let deadline = env.clock.instant() + PATIENCE;
    while let Some(process) = instance.node_process.filter(|process| process.is_running()) {
        let signal = if env.clock.instant() < deadline { Signal::TERM } else { Signal::KILL };
        let _ = process.signal(signal);
        env.clock.sleep(Duration::from_millis(50)).await;
    }
}

async fn stop(env: &Env, mut child: Child) {
    if let Some(process) = child.id().and_then(Process::of) {
        let _ = process.signal(Signal::TERM);
    }
    if env.clock.timeout(PATIENCE, child.wait()).await.is_err() {
        warn!("the node's process does not stop; killing it");
        let _ = child.kill().await;
    }
}

/// The node's process.
pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    base::logging::init("info");
    failure::need_node()?;
    container::join_mounts(&node::containers_dir(&options.data_dir))
        .context("cannot go back to the mounts of an earlier run")?;
    let env = Env::real();
    up::runtime()?.block_on(async {
        let node = start_node(&env, &options).await?;
        let ended = up::until_told(&env).await;
        env.tasks.stop().await;
        drop(node);
        ended
    })
}

async fn start_node(env: &Env, options: &Options) -> anyhow::Result<Node> {
    let place = up::place(options)?;
    let server = Instance::read(&options.data_dir)?.context("no server was ever started here")?.server;
    let load = {
        let (dir, wanted) = (options.data_dir.join("pki"), control_plane::pki_options(options, &place)?);
        move |now| Pki::load_or_create(&dir, &wanted, now)
    };
    let pki = load(env.clock.now())?;
    let identities = [&pki.kubelet, &pki.kube_proxy, &pki.dns];
    let mut certificates = Vec::new();
    for identity in identities {
        certificates.push(Arc::new(ClientCertificate::new(identity.certificate.as_bytes(), identity.key.as_bytes())?));
    }
    let door = |agent: &str, certificate: &Arc<ClientCertificate>| -> anyhow::Result<Arc<dyn Api>> {
        let mut https = HttpsOptions::new(&server, Roots::Pem(pki.ca.certificate().as_bytes().to_vec()));
        https.user_agent = format!("{agent}/{}", env!("CARGO_PKG_VERSION"));
        Ok(Arc::new(Https::new(https.certificate(certificate.clone()), env)?))
    };
    let doors = Doors {
        kubelet: door("kubelet", &certificates[0])?,
        proxy: door("kube-proxy", &certificates[1])?,
        dns: door("coredns", &certificates[2])?,
    };
    let serving = Served::new(&pki.kubelet_serving)?;
    let node = node::start(env, doors, up::node_options(options, &place, &pki, serving.clone())?).await?;
    let clock = env.clone();
    env.tasks.spawn("certificates", async move {
        loop {
            clock.clock.sleep(CERTIFICATES).await;
            let renewed = load(clock.clock.now()).map_err(anyhow::Error::from);
            if let Err(error) = renewed.and_then(|pki| take_over(&pki, &certificates, &serving)) {
                warn!(%error, "cannot take over renewed certificates");
            }
        }
    });
    info!(node = place.node_name, "the node runs in a process of its own");
    Ok(node)
}

fn take_over(pki: &Pki, certificates: &[Arc<ClientCertificate>], serving: &Served) -> anyhow::Result<()> {
    for (identity, certificate) in [&pki.kubelet, &pki.kube_proxy, &pki.dns].into_iter().zip(certificates) {
        certificate.replace(identity.certificate.as_bytes(), identity.key.as_bytes())?;
    }
    Ok(serving.replace(&pki.kubelet_serving)?)
}
