//! Upstream's programs in the place of ours on a live cluster: kube-scheduler, kube-controller-manager,
//! and the kubelet on Debian's containerd. With each a Deployment rolls out.
//!
//! It stands here and not among the cluster tests because it needs upstream's programs.

mod controllers;
mod lives;
mod node;
mod program;
mod scheduler;

use crate::upstream::Upstream;
use anyhow::Result;
use cluster_tests::kutter::Kutter;
use lives::Lives;
use testkit::net::{Shape, World};

const PODS: &str = "app=web";

const DEPLOYMENT: &str = r#"{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
    "replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [
            {"name": "c", "image": "busybox", "imagePullPolicy": "Never", "command": ["sleep", "1000000"]}]}}}}"#;

pub fn run(upstream: &Upstream) -> Result<()> {
    let world = World::new(Shape::Switch);
    let mut server = Kutter::up(&world, 1);
    server.kubectl().apply(DEPLOYMENT);
    let mut lives = Lives::default();
    lives.grow(&server, 3)?;
    scheduler::swap(upstream, &mut server, &mut lives)?;
    controllers::swap(upstream, &mut server, &mut lives)?;
    server.down();
    node::run(upstream)
}

fn restart(server: &mut Kutter) {
    server.stop();
    server.start();
}

fn scale(server: &Kutter, replicas: usize) {
    server.kubectl().ok(&format!("scale deployment web --replicas {replicas}"));
}
