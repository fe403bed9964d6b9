//! Kutter as a side: `kutter up --no-node`, one process; or with its node.

use super::{ADDRESS, Kind, Parts, Side, target, until_ready};
use crate::bench::Bench;
use crate::process::Program;
use anyhow::Context as _;
use auth::pki::Identity;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub async fn start(bench: &Bench, parts: Parts, folder: &Path) -> anyhow::Result<Side> {
    let mut command = up(bench, folder);
    command.arg("--no-node");
    match parts {
        Parts::Bare => {
            command.arg("--disable=controllers,scheduler");
        }
        Parts::Unscheduled => {
            command.arg("--no-scheduler");
        }
        Parts::Api | Parts::Scheduler | Parts::All => {}
    }
    run(bench, command, folder).await
}

/// With the node.
pub async fn start_node(bench: &Bench, folder: &Path, name: &str, address: &str) -> anyhow::Result<Side> {
    let mut command = up(bench, folder);
    command.args(["--node-name", name, "--node-ip", address, "--max-pods", "250"]);
    // As upstream's node has it here, whatever the disk of the machine.
    command.args(["--eviction-hard", "memory.available<50Mi", "--image-gc-high-threshold", "100"]);
    run(bench, command, folder).await
}

fn up(bench: &Bench, folder: &Path) -> Command {
    let mut command = Command::new(&bench.kutter);
    command.args(["up", "--listen", &ADDRESS.to_string(), "--data-dir"]).arg(folder.join("data"));
    command
}

async fn run(bench: &Bench, mut command: Command, folder: &Path) -> anyhow::Result<Side> {
    let data = folder.join("data");
    let began = bench.env.clock.instant();
    let mut programs = vec![Program::start("kutter", &mut command, folder)?];
    let identity = data.join("pki/super-admin.pem");
    while !identity.exists() || std::fs::metadata(&identity).is_ok_and(|file| file.len() == 0) {
        programs[0].check()?;
        bench.env.clock.sleep(Duration::from_millis(1)).await;
    }
    let ca = std::fs::read_to_string(data.join("pki/ca.crt")).context("cannot read Kutter's authority")?;
    let client = std::fs::read_to_string(&identity).context("cannot read Kutter's client certificate")?;
    let target = target(&ca, &Identity { certificate: client.clone(), key: client })?;
    until_ready(bench, &target, &mut programs).await?;
    let ready_after = began.elapsed();
    Ok(Side { kind: Kind::Kutter, programs, target, ready_after, folder: folder.to_owned() })
}
