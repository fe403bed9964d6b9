//! Upstream as a side: Debian's etcd, and the programs that `tools/upstream` builds, with flags that
//! lift the limits which would cap them.

use super::{ADDRESS, Kind, Parts, Side, target, until_ready};
use crate::bench::{Bench, checkout};
use crate::debian;
use crate::process::{Program, output};
use anyhow::Context as _;
use cluster::kubeconfig::{self, Credential};
use cluster::{Pki, PkiOptions};
use std::path::Path;
use std::process::Command;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    Scheduler,
    Controllers,
}

const ETCD: &str = "http://127.0.0.1:2379";

/// As Kutter seals Secrets: an AEAD with a key of 32 bytes.
const ENCRYPTION: &str = "kind: EncryptionConfiguration
apiVersion: apiserver.config.k8s.io/v1
resources:
- resources: [secrets]
  providers:
  - secretbox:
      keys:
      - {name: key1, secret: a3V0dGVyLWJlbmNobWFyay1rZXktb2YtMzItYnl0ZXM=}
  - identity: {}
";

/// As Kutter records who did what, unless told otherwise.
const AUDIT: &str = "kind: Policy
apiVersion: audit.k8s.io/v1
omitStages: [RequestReceived]
rules:
- level: None
  nonResourceURLs: ['/healthz*', '/livez*', '/readyz*']
- level: Metadata
";

/// Brings what does not come with the checkout: while there is a network.
pub fn fetch(bench: &Bench) -> anyhow::Result<()> {
    output(Command::new(checkout().join("tools/upstream")).arg("--servers"))?;
    debian::package(&bench.cache, "etcd-server")?;
    super::node::fetch(bench)
}

pub async fn start(bench: &Bench, parts: Parts, folder: &Path) -> anyhow::Result<Side> {
    let pki = pki(bench, folder)?;
    write(folder, &pki)?;
    let etcd = debian::package(&bench.cache, "etcd-server")?.join("usr/bin/etcd");
    let began = bench.env.clock.instant();
    let mut programs = vec![
        Program::start("etcd", &mut etcd_command(&etcd, folder), folder)?,
        Program::start("kube-apiserver", &mut apiserver_command(bench, folder), folder)?,
    ];
    let target = target(pki.ca.certificate(), &pki.super_admin)?;
    until_ready(bench, &target, &mut programs).await?;
    let ready_after = began.elapsed();
    let mut side = Side { kind: Kind::Upstream, programs, target, ready_after, folder: folder.to_owned() };
    if matches!(parts, Parts::Scheduler | Parts::All) {
        side.add(bench, Component::Scheduler)?;
    }
    if parts == Parts::All {
        side.add(bench, Component::Controllers)?;
    }
    Ok(side)
}

/// The same authority, algorithms and identities that Kutter makes for itself.
fn pki(bench: &Bench, folder: &Path) -> anyhow::Result<Pki> {
    let options = PkiOptions {
        node_name: "bench".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        server_addresses: vec![ADDRESS.ip()],
        server_names: Vec::new(),
        node_addresses: vec![ADDRESS.ip()],
    };
    Ok(Pki::load_or_create(&folder.join("pki"), &options, bench.env.clock.now())?)
}

fn write(folder: &Path, pki: &Pki) -> anyhow::Result<()> {
    let put = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))
    };
    put("encryption.yaml", ENCRYPTION)?;
    put("audit.yaml", AUDIT)?;
    let server = format!("https://{ADDRESS}");
    for (name, identity) in [
        ("scheduler", &pki.scheduler),
        ("controller-manager", &pki.controller_manager),
        ("admin", &pki.super_admin),
        ("kubelet", &pki.kubelet),
        ("kube-proxy", &pki.kube_proxy),
    ] {
        let text = kubeconfig::text(&server, pki.ca.certificate(), name, &Credential::Certificate(identity));
        put(&format!("{name}.kubeconfig"), &text)?;
    }
    Ok(())
}

fn etcd_command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("--data-dir").arg(folder.join("etcd"));
    command.args(["--listen-client-urls", ETCD, "--advertise-client-urls", ETCD]);
    command.args(["--listen-peer-urls", "http://127.0.0.1:2380", "--quota-backend-bytes", "8589934592"]);
    command
}

fn apiserver_command(bench: &Bench, folder: &Path) -> Command {
    let mut command = Command::new(bench.upstream.join("kube-apiserver"));
    let pki = folder.join("pki");
    let mut file = |flag: &str, path: &Path| {
        command.arg(format!("--{flag}={}", path.display()));
    };
    file("client-ca-file", &pki.join("ca.crt"));
    file("tls-cert-file", &pki.join("apiserver.pem"));
    file("tls-private-key-file", &pki.join("apiserver.pem"));
    file("service-account-key-file", &pki.join("sa.pub"));
    file("service-account-signing-key-file", &pki.join("sa.key"));
    file("requestheader-client-ca-file", &pki.join("front-proxy-ca.crt"));
    file("proxy-client-cert-file", &pki.join("front-proxy-client.pem"));
    file("proxy-client-key-file", &pki.join("front-proxy-client.pem"));
    file("kubelet-client-certificate", &pki.join("apiserver-kubelet-client.pem"));
    file("kubelet-client-key", &pki.join("apiserver-kubelet-client.pem"));
    file("encryption-provider-config", &folder.join("encryption.yaml"));
    file("audit-policy-file", &folder.join("audit.yaml"));
    file("audit-log-path", &folder.join("audit.log"));
    command.args([
        &format!("--etcd-servers={ETCD}"),
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--secure-port=6443",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged",
        "--audit-log-mode=batch",
        "--audit-log-batch-max-size=400",
        "--audit-log-batch-max-wait=1s",
        "--audit-log-maxsize=100",
        "--audit-log-maxbackup=1",
        // Its own limits would be measured otherwise.
        "--max-requests-inflight=4000",
        "--max-mutating-requests-inflight=2000",
        "--http2-max-streams-per-connection=1000",
    ]);
    command
}

pub fn component(bench: &Bench, component: Component, folder: &Path) -> anyhow::Result<Program> {
    let (name, config) = match component {
        Component::Scheduler => ("kube-scheduler", "scheduler.kubeconfig"),
        Component::Controllers => ("kube-controller-manager", "controller-manager.kubeconfig"),
    };
    let mut command = Command::new(bench.upstream.join(name));
    command.arg(format!("--kubeconfig={}", folder.join(config).display()));
    // The defaults of 50 and 20 requests a second would be measured otherwise.
    command.args(["--kube-api-qps=5000", "--kube-api-burst=10000", "--leader-elect=false", "--bind-address=127.0.0.1"]);
    if component == Component::Controllers {
        let pki = folder.join("pki");
        command.args(["--use-service-account-credentials=true", "--allocate-node-cidrs=true"]);
        command.args(["--cluster-cidr=10.244.0.0/16", "--service-cluster-ip-range=10.96.0.0/16"]);
        for (flag, file) in [
            ("root-ca-file", "ca.crt"),
            ("service-account-private-key-file", "sa.key"),
            ("cluster-signing-cert-file", "ca.crt"),
            ("cluster-signing-key-file", "ca.key"),
        ] {
            command.arg(format!("--{flag}={}", pki.join(file).display()));
        }
    }
    Program::start(name, &mut command, folder)
}
