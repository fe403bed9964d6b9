//! `get pods` of a hundred pods by `kutter kubectl`, and by the kubectl that is on the machine (else
//! the one that upstream's build made), both against Kutter: wall time of the whole command.

use super::{Better, Found, Measure, Row, Run, Unit};
use crate::bench::Bench;
use crate::load::{Load, Shot, Until};
use crate::objects::{self, MARK, NAMESPACE, NOBODY};
use crate::process::output;
use crate::served::Served;
use crate::sides::{Kind, Parts};
use crate::summary::Spread;
use anyhow::Context as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

pub const ROW: Row = Row {
    name: "kubectl",
    in_quick: false,
    measures: &[Measure {
        key: "kubectl",
        title: "`kubectl get pods`, 100 pods: `kutter kubectl` against the machine's kubectl",
        unit: Unit::Millis,
        better: Better::Less,
        goal: None,
        json: None,
    }],
    run: Run::Alone(|bench, kind| Box::pin(run(bench, kind))),
};

const PODS: u64 = 100;
const TIMES: usize = 12;

async fn run(bench: &Bench, kind: Kind) -> anyhow::Result<Found> {
    let folder = bench.folder("kubectl-")?;
    let mut served = Served::start(bench, Kind::Kutter, Parts::Api, folder.path()).await?;
    served.namespace(NAMESPACE).await?;
    let path = objects::pods_path(NAMESPACE);
    let make: crate::load::Make = Arc::new(move |number| {
        Shot::create(&path, objects::pod(NAMESPACE, &objects::pod_name(number), NOBODY).to_string(), MARK)
    });
    served.load(Load::http1(8, Until::Done(PODS)), make).await?;
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let mut command = match kind {
            Kind::Kutter => {
                let mut command = Command::new(&bench.kutter);
                command.arg("kubectl");
                command
            }
            Kind::Upstream => Command::new(kubectl(bench)),
        };
        // Caches of discovery are kept there; the first command fills them.
        command.env("HOME", folder.path()).arg("--kubeconfig").arg(folder.path().join("data/admin.kubeconfig"));
        let began = bench.env.clock.instant();
        let said = output(command.args(["get", "pods", "--namespace", NAMESPACE]))?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        let lines = said.lines().count() as u64;
        anyhow::ensure!(lines == PODS + 1, "{lines} lines instead of a head and {PODS} pods");
    }
    served.stop().await?;
    Ok(vec![("kubectl", Spread::of(&times[1..]).context("nothing was measured")?.median)])
}

fn kubectl(bench: &Bench) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("kubectl")).find(|file| file.exists());
    found.unwrap_or_else(|| bench.upstream.join("kubectl"))
}
