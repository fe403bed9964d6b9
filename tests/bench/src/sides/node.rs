//! A whole node of each side: its control plane, its agent and what runs containers, on an address of
//! its own in the harness's namespaces.

use super::{Kind, Parts, Side, kutter, upstream};
use crate::bench::Bench;
use crate::debian;
use crate::load::{self, Shot};
use crate::process::{Program, output};
use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use testkit::images::docker_archive::{self, Image};
use testkit::images::files::Files;
use testkit::images::{Made, busybox};

pub const NODE: &str = "bench";
pub const ADDRESS: &str = "10.99.0.1";
/// What every pod runs: it sleeps.
pub const IMAGE: &str = "docker.io/library/sleeper:v1";

/// Debian's packages that upstream's node is made of.
const PACKAGES: &[&str] = &["containerd", "containernetworking-plugins", "runc"];

/// Brings what the node needs: while there is a network.
pub fn fetch(bench: &Bench) -> anyhow::Result<()> {
    PACKAGES.iter().try_for_each(|name| debian::package(&bench.cache, name).map(drop))
}

/// Where containers leave what they need at run time: hidden from the machine's own.
pub fn hide_run_folders() -> anyhow::Result<()> {
    output(Command::new("mount").args(["--make-rprivate", "/"]))?;
    output(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]))?;
    Ok(())
}

/// A node that is Ready and has the image, and how long it took to become Ready.
pub async fn start(bench: &Bench, kind: Kind, folder: &Path) -> anyhow::Result<(Side, Duration)> {
    // Every run has a network of its own; a second address of the same run is there already.
    drop(output(Command::new("ip").args(["address", "add", &format!("{ADDRESS}/32"), "dev", "lo"])));
    let image = image(folder)?;
    let began = bench.env.clock.instant();
    if kind == Kind::Kutter {
        let side = kutter::start_node(bench, folder, NODE, ADDRESS).await?;
        until_node_ready(bench, &side).await?;
        let ready_after = began.elapsed();
        let mut import = Command::new(&bench.kutter);
        output(import.args(["images", "import"]).arg(&image).arg("--data-dir").arg(folder.join("data")))?;
        return Ok((side, ready_after));
    }
    let mut side = upstream::start(bench, Parts::All, folder).await?;
    let containerd = containerd(bench, folder, &image).await?;
    side.programs.push(containerd);
    side.programs.push(kubelet(bench, folder)?);
    until_node_ready(bench, &side).await?;
    Ok((side, began.elapsed()))
}

/// Kutter with its node, without waiting for the node.
pub async fn start_agent(bench: &Bench, folder: &Path) -> anyhow::Result<Side> {
    kutter::start_node(bench, folder, NODE, ADDRESS).await
}

/// Ends everything that ran on the node.
pub async fn stop(bench: &Bench, mut side: Side, folder: &Path) -> anyhow::Result<()> {
    if side.kind == Kind::Kutter {
        output(Command::new(&bench.kutter).arg("down").arg("--data-dir").arg(folder.join("data")))?;
        bench.env.clock.sleep(Duration::from_millis(500)).await;
        side.programs.clear();
        return Ok(());
    }
    while let Some(program) = side.programs.pop() {
        program.stop(&bench.env).await?;
    }
    // The shims outlive containerd; they are ours, as subreaper.
    for _ in 0..50 {
        let left = crate::usage::below(crate::usage::own_pid());
        if left.is_empty() {
            break;
        }
        left.iter().filter_map(|pid| i32::try_from(*pid).ok()).for_each(|pid| {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        });
        bench.env.clock.sleep(Duration::from_millis(100)).await;
        while let Ok(nix::sys::wait::WaitStatus::Exited(..) | nix::sys::wait::WaitStatus::Signaled(..)) =
            nix::sys::wait::waitpid(None, Some(nix::sys::wait::WaitPidFlag::WNOHANG))
        {}
    }
    unmount_below(folder);
    remove_cgroups();
    Ok(())
}

/// An archive with the image, as `docker save` writes it.
fn image(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut files = Files::base();
    busybox::add(&mut files, &[])?;
    let run = json!({"Entrypoint": ["/bin/sleep", "2147483647"], "Env": ["PATH=/bin"]});
    let made = Made { files, images: vec![Image { tags: &["v1"], run }] };
    let path = folder.join("sleeper.tar");
    docker_archive::write(&path, "docker.io/library/sleeper", &made)?;
    Ok(path)
}

async fn containerd(bench: &Bench, folder: &Path, image: &Path) -> anyhow::Result<Program> {
    let root = |name: &str| debian::package(&bench.cache, name);
    let (containerd, runc, plugins) = (root("containerd")?, root("runc")?, root("containernetworking-plugins")?);
    let networks = folder.join("cni");
    fs::create_dir_all(&networks)?;
    let network = json!({
        "cniVersion": "0.4.0", "name": "bench", "type": "bridge", "bridge": "cni0", "isGateway": true,
        "ipam": {"type": "host-local", "dataDir": folder.join("addresses"), "ranges": [[{"subnet": "10.244.0.0/24"}]]},
    });
    fs::write(networks.join("10-bench.conf"), network.to_string())?;
    let config = format!(
        "version = 2\nroot = {:?}\nstate = \"/run/containerd\"\n[grpc]\naddress = \"/run/containerd/containerd.sock\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"{IMAGE}\"\nrestrict_oom_score_adj = true\n\
         disable_apparmor = true\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir = {:?}\nconf_dir = {:?}\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nBinaryName = {:?}\n",
        folder.join("containerd"),
        plugins.join("usr/lib/cni"),
        networks,
        runc.join("usr/sbin/runc"),
    );
    fs::write(folder.join("containerd.toml"), config)?;
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", containerd.join("usr/bin").display());
    let mut command = Command::new(containerd.join("usr/bin/containerd"));
    command.arg("--config").arg(folder.join("containerd.toml")).env("PATH", path);
    let mut program = Program::start("containerd", &mut command, folder)?;
    let ctr = containerd.join("usr/bin/ctr");
    for attempt in 0.. {
        program.check()?;
        let mut import = Command::new(&ctr);
        match output(import.args(["--namespace", "k8s.io", "images", "import"]).arg(image)) {
            Ok(_) => break,
            Err(why) if attempt == 100 => return Err(why),
            Err(_) => bench.env.clock.sleep(Duration::from_millis(100)).await,
        }
    }
    Ok(program)
}

/// Its request limits lifted as those of the other programs.
const KUBELET: &str = "kind: KubeletConfiguration
apiVersion: kubelet.config.k8s.io/v1beta1
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
failSwapOn: false
enforceNodeAllocatable: []
evictionHard: {memory.available: 50Mi}
maxPods: 250
kubeAPIQPS: 500
kubeAPIBurst: 1000
eventRecordQPS: 500
eventBurst: 1000
readOnlyPort: 0
";

fn kubelet(bench: &Bench, folder: &Path) -> anyhow::Result<Program> {
    let authority = folder.join("pki/ca.crt");
    let text = KUBELET.replace("webhook:", &format!("x509: {{clientCAFile: {}}}, webhook:", authority.display()));
    fs::write(folder.join("kubelet.yaml"), text).context("cannot write the kubelet's configuration")?;
    let mut command = Command::new(bench.upstream.join("kubelet"));
    command.arg(format!("--config={}", folder.join("kubelet.yaml").display()));
    command.arg(format!("--kubeconfig={}", folder.join("kubelet.kubeconfig").display()));
    command.arg(format!("--root-dir={}", folder.join("kubelet").display()));
    command.arg(format!("--cert-dir={}", folder.join("kubelet-pki").display()));
    command.args(["--container-runtime=remote", "--network-plugin=cni"]);
    command.arg("--container-runtime-endpoint=unix:///run/containerd/containerd.sock");
    command.args([&format!("--hostname-override={NODE}"), &format!("--node-ip={ADDRESS}")]);
    Program::start("kubelet", &mut command, folder)
}

/// How long a node may take to come up.
const READY_WITHIN: Duration = Duration::from_secs(90);

async fn until_node_ready(bench: &Bench, side: &Side) -> anyhow::Result<()> {
    let deadline = bench.env.clock.instant() + READY_WITHIN;
    let shot = Shot::get(format!("/api/v1/nodes/{NODE}"), "");
    loop {
        let node: Value = match load::once(&bench.env, &side.target, &shot).await {
            Ok(body) => serde_json::from_slice(&body)?,
            Err(_) => Value::Null,
        };
        let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_ready = conditions.iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
        let taints = node["spec"]["taints"].as_array().map_or(0, Vec::len);
        if is_ready && taints == 0 {
            return Ok(());
        }
        let log = side.programs.last().map(Program::last_words).unwrap_or_default();
        anyhow::ensure!(
            bench.env.clock.instant() < deadline,
            "the node is not Ready: {}\n{log}",
            node["status"]["conditions"]
        );
        bench.env.clock.sleep(Duration::from_millis(5)).await;
    }
}

fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let mut below: Vec<&str> = places.filter(|place| Path::new(place).starts_with(folder)).collect();
    below.reverse();
    for place in below {
        // What cannot be unmounted goes with the namespace.
        drop(output(Command::new("umount").args(["--lazy", place])));
    }
}

/// What upstream's kubelet and containerd leave among the machine's cgroups.
fn remove_cgroups() {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    for hierarchy in hierarchies.map(|entry| entry.path()).chain(["/sys/fs/cgroup".into()]) {
        remove_tree(&hierarchy.join("kubepods"));
    }
}

fn remove_tree(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        remove_tree(&entry.path());
    }
    // One that is in use stays.
    drop(fs::remove_dir(folder));
}
