//! Upstream's kube-scheduler in the place of ours, then both, then ours again: every new pod gets its
//! node, and no pod that runs notices anything.

use super::program::{Program, kubeconfig};
use super::{Lives, PODS, restart, scale};
use crate::upstream::Upstream;
use anyhow::Result;
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use std::process::Command;

const WITHOUT: &str = "--disable=scheduler";

pub fn swap(upstream: &Upstream, server: &mut Kutter, lives: &mut Lives) -> Result<()> {
    server.add_arguments(&[WITHOUT]);
    restart(server);
    scale(server, 5);
    nobody_schedules(server, 2);
    let scheduler = start(upstream, server)?;
    lives.grow(server, 5)?;
    println!("upstream's scheduler placed what ours had left");

    // Both at once, as while somebody changes over: whoever is second is told so.
    server.drop_arguments(&[WITHOUT]);
    restart(server);
    scale(server, 12);
    lives.grow(server, 12)?;
    drop(scheduler);
    scale(server, 14);
    lives.grow(server, 14)?;
    println!("our scheduler came back; 14 pods run, none was disturbed");
    Ok(())
}

fn nobody_schedules(server: &Kutter, pods: usize) {
    let waiting = || {
        let pods = server.kubectl().pods(PODS);
        pods.into_iter().filter(|pod| pod["spec"]["nodeName"].is_null()).count()
    };
    until("new pods wait", 20, || holds(waiting() == pods, waiting()));
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(waiting(), pods, "somebody schedules");
}

fn start(upstream: &Upstream, server: &Kutter) -> Result<Program> {
    let mut command = Command::new(upstream.program("kube-scheduler"));
    command.arg("--kubeconfig").arg(kubeconfig(server, "scheduler")?).args(["--bind-address", "127.0.0.1"]);
    Program::start("kube-scheduler", &mut command, server)
}
