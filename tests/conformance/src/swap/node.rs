//! Upstream's kubelet on Debian's containerd, for a server whose own node is switched off: a Deployment
//! rolls out, and logs, commands and ports are reached through our API server.
//!
//! Both run in namespaces of mounts and processes of their own, so that all of it ends with them.

use super::program::{Program, kubeconfig};
use super::{DEPLOYMENT, PODS};
use crate::upstream::Upstream;
use anyhow::{Context as _, Result, ensure};
use cluster_tests::kubectl::is_ready;
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::images::docker_archive::{self, Image};
use testkit::images::files::Files;
use testkit::images::{self, Made, busybox, debian};
use testkit::net::{Shape, World};

const PACKAGES: &[&str] = &["containerd", "containernetworking-plugins", "runc"];
const SANDBOX: &str = "docker.io/library/sandbox";
const SOCKET: &str = "/run/containerd/containerd.sock";

/// The first process of both namespaces; what it starts ends with it.
const SCRIPT: &str = r#"set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t proc proc /proc
containerd --config "$HOME/containerd.toml" &
until ctr version >/dev/null 2>&1; do sleep 0.2; done
for archive in $ARCHIVES; do ctr --namespace k8s.io images import "$archive"; done
"$KUBELET" --config="$HOME/kubelet.yaml" --kubeconfig="$HOME/kubelet.kubeconfig" --root-dir="$HOME/kubelet" \
  --cert-dir="$HOME/kubelet-pki" --container-runtime=remote --network-plugin=cni \
  --container-runtime-endpoint="unix://$SOCKET" --hostname-override=n1 --node-ip="$ADDRESS" &
wait
"#;

pub fn run(upstream: &Upstream) -> Result<()> {
    let packages = tempfile::tempdir()?;
    let packages = debian::packages(PACKAGES, packages.path()).map(|laid_out| (laid_out, packages))?;
    let world = World::new(Shape::Switch);
    let mut server = Kutter::new(&world, 1);
    server.add_arguments(&["--disable=node"]);
    server.start();
    let node = start(upstream, &server, &packages.0)?;
    let kubectl = server.kubectl();
    until("upstream's node is ready", 120, || {
        let node = kubectl.try_json("get node n1");
        holds(is_ready(&node) && node["status"]["nodeInfo"]["kubeletVersion"] == "v1.20.2", node["status"].to_string())
    });
    works(&server)?;
    println!("upstream's kubelet on containerd ran a Deployment; logs, commands and ports were reached");
    kubectl.ok("delete deployment web");
    until("its pods go", 60, || {
        let left = kubectl.try_json("get pods");
        holds(left["items"].as_array().is_some_and(Vec::is_empty), left)
    });
    drop(node);
    remove_cgroups();
    // Upstream's node leaves its bridge and rules behind: they go with the host.
    drop(server);
    Ok(())
}

fn works(server: &Kutter) -> Result<()> {
    let kubectl = server.kubectl();
    kubectl.apply(DEPLOYMENT);
    kubectl.ready_pods(PODS, 3);
    kubectl.ok("set env deployment/web A=b");
    kubectl.ok("rollout status deployment/web --timeout=90s");
    let pod = kubectl.ready_pods(PODS, 3).swap_remove(0);
    let said = kubectl.run(&["exec", "-i", &pod, "--", "sh", "-c", "cat; echo $A; exit 3"], "in\n");
    ensure!((said.code, said.out.as_str()) == (3, "in\nb\n"), "exec: {said:?}");
    ensure!(kubectl.ok(&format!("logs {pod}")).is_empty(), "sleep said something");
    until("its usage is known", 90, || {
        let said = kubectl.say("top node n1");
        holds(said.code == 0, said)
    });
    Ok(())
}

fn start(upstream: &Upstream, server: &Kutter, packages: &Path) -> Result<Program> {
    let home = server.home();
    kubeconfig(server, "kubelet")?;
    write(home, packages, &server.data_dir())?;
    let archives = [sandbox(home)?, images::archive("busybox")?];
    let archives: Vec<String> = archives.iter().map(|path| path.display().to_string()).collect();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SCRIPT]);
    command.env("HOME", home).env("SOCKET", SOCKET).env("ADDRESS", server.address());
    command.env("ARCHIVES", archives.join(" ")).env("KUBELET", upstream.program("kubelet"));
    command.env("PATH", format!("{}:{path}", packages.join("usr/bin").display()));
    Program::start("upstream-node", &mut command, server)
}

/// What holds a pod's namespaces: it sleeps.
fn sandbox(home: &Path) -> Result<PathBuf> {
    let mut files = Files::base();
    busybox::add(&mut files, &[])?;
    let run = json!({"Entrypoint": ["/bin/sleep", "2147483647"], "Env": ["PATH=/bin"]});
    let path = home.join("sandbox.tar");
    docker_archive::write(&path, SANDBOX, &Made { files, images: vec![Image { tags: &["v1"], run }] })?;
    Ok(path)
}

fn write(home: &Path, packages: &Path, data: &Path) -> Result<()> {
    let networks = home.join("cni");
    std::fs::create_dir_all(&networks)?;
    let network = json!({
        "cniVersion": "0.4.0", "name": "swap", "type": "bridge", "bridge": "cni0", "isGateway": true,
        "ipam": {"type": "host-local", "dataDir": home.join("addresses"), "ranges": [[{"subnet": "10.244.0.0/24"}]]},
    });
    std::fs::write(networks.join("10-swap.conf"), network.to_string())?;
    let containerd = format!(
        "version = 2\nroot = {:?}\nstate = \"/run/containerd\"\n[grpc]\naddress = {SOCKET:?}\n\
         [plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"{SANDBOX}:v1\"\nrestrict_oom_score_adj = true\n\
         disable_apparmor = true\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir = {:?}\nconf_dir = {:?}\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nBinaryName = {:?}\n",
        home.join("containerd"),
        packages.join("usr/lib/cni"),
        networks,
        packages.join("usr/sbin/runc"),
    );
    std::fs::write(home.join("containerd.toml"), containerd)?;
    let serving = data.join("pki/kubelet-serving.pem");
    let kubelet = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true},
            "x509": {"clientCAFile": data.join("pki/ca.crt")}},
        "authorization": {"mode": "Webhook"}, "cgroupDriver": "cgroupfs", "failSwapOn": false,
        "enforceNodeAllocatable": [], "evictionHard": {"memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99, "readOnlyPort": 0,
        "tlsCertFile": serving, "tlsPrivateKeyFile": serving,
    });
    std::fs::write(home.join("kubelet.yaml"), kubelet.to_string()).context("write the kubelet's configuration")
}

/// What upstream's kubelet leaves among the machine's cgroups.
fn remove_cgroups() {
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    hierarchies.for_each(|hierarchy| remove_tree(&hierarchy.path().join("kubepods")));
}

fn remove_tree(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        remove_tree(&entry.path());
    }
    // One that is in use stays.
    let _ = std::fs::remove_dir(folder);
}
