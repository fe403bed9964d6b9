//! Upstream's kube-controller-manager in the place of our controllers, then ours again. Meanwhile it does
//! what controllers do: scales, rolls out, runs a Job, collects what lost its owner, empties a namespace.

use super::program::{Program, kubeconfig};
use super::{Lives, PODS, restart, scale};
use crate::upstream::Upstream;
use anyhow::Result;
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use std::process::Command;

const WITHOUT: &str = "--disable=controllers";

const JOB: &str = r#"{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once", "namespace": "other"}, "spec": {
    "template": {"spec": {"restartPolicy": "Never", "containers": [
        {"name": "c", "image": "busybox", "imagePullPolicy": "Never", "command": ["true"]}]}}}}"#;

/// Starts with 14 pods of the Deployment and ends with 18.
pub fn swap(upstream: &Upstream, server: &mut Kutter, lives: &mut Lives) -> Result<()> {
    server.add_arguments(&[WITHOUT]);
    restart(server);
    scale(server, 16);
    nobody_controls(server, 14);
    let manager = start(upstream, server)?;
    lives.grow(server, 16)?;
    println!("upstream's controllers made the pods that ours had left");
    works(server);
    drop(manager);

    server.drop_arguments(&[WITHOUT]);
    restart(server);
    scale(server, 18);
    lives.grow(server, 18)?;
    println!("our controllers came back; 18 pods run, none was disturbed");
    Ok(())
}

fn nobody_controls(server: &Kutter, pods: usize) {
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(server.kubectl().pods(PODS).len(), pods, "somebody controls");
}

fn works(server: &Kutter) {
    let kubectl = server.kubectl();
    kubectl.ok("create namespace other");
    until("the namespace has its account", 40, || {
        let account = kubectl.try_json("get serviceaccount default -n other");
        holds(account["metadata"]["name"] == "default", account)
    });
    kubectl.apply(JOB);
    kubectl.ok("wait -n other job/once --for=condition=Complete --timeout=60s");
    kubectl.ok("create deployment again -n other --image=busybox:1.28 --replicas=2 -- sleep 1000000");
    kubectl.ok("rollout status -n other deployment/again --timeout=60s");
    kubectl.ok("set env -n other deployment/again A=b");
    kubectl.ok("rollout status -n other deployment/again --timeout=90s");
    kubectl.ok("delete deployment again -n other");
    until("what the Deployment owned goes", 60, || {
        let left = kubectl.try_json("get replicasets -n other");
        holds(left["items"].as_array().is_some_and(Vec::is_empty), left)
    });
    kubectl.ok("delete namespace other --timeout=90s");
    println!("upstream's controllers ran a Job, rolled out, collected and emptied a namespace");
}

fn start(upstream: &Upstream, server: &Kutter) -> Result<Program> {
    let pki = server.data_dir().join("pki");
    let mut command = Command::new(upstream.program("kube-controller-manager"));
    command.arg("--kubeconfig").arg(kubeconfig(server, "controller-manager")?).args(["--bind-address", "127.0.0.1"]);
    command.args(["--use-service-account-credentials", "--allocate-node-cidrs"]);
    command.args(["--cluster-cidr=10.244.0.0/16", "--service-cluster-ip-range=10.96.0.0/16"]);
    for (flag, file) in [
        ("root-ca-file", "ca.crt"),
        ("service-account-private-key-file", "sa.key"),
        ("cluster-signing-cert-file", "ca.crt"),
        ("cluster-signing-key-file", "ca.key"),
    ] {
        command.arg(format!("--{flag}={}", pki.join(file).display()));
    }
    Program::start("kube-controller-manager", &mut command, server)
}
