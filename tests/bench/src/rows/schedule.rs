//! Small pods onto fake nodes. Nodes and pods are there before the scheduler starts; the rate is
//! that between the first and the last pod that a watch sees on a node.

use super::{Better, Found, Measure, Row, Run, Unit, less};
use crate::bench::Bench;
use crate::load::{self, Load, MERGE, Marks, Protocol, Shot, Until};
use crate::objects::{self, MARK, NAMESPACE};
use crate::served::Served;
use crate::sides::{Component, Kind, Parts};
use anyhow::Context as _;
use http_body_util::BodyExt as _;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub const ROW: Row = Row {
    name: "schedule",
    in_quick: true,
    measures: &[
        Measure {
            key: "schedule",
            title: "scheduling on 1,000 fake nodes",
            unit: Unit::PerSecond,
            better: Better::More,
            goal: Some(15.0),
            json: Some("schedule_ratio"),
        },
        less("schedule cpu", "CPU of all servers per pod", Unit::Micros, None),
    ],
    run: Run::Alone(|bench, kind| Box::pin(run(bench, kind))),
};

async fn run(bench: &Bench, kind: Kind) -> anyhow::Result<Found> {
    let work =
        Work { pods: bench.sizes.scheduled, make: |number| objects::plain_pod(NAMESPACE, &objects::pod_name(number)) };
    let (rate, cpu) = schedule(bench, kind, &work).await?;
    Ok(vec![("schedule", rate), ("schedule cpu", cpu)])
}

/// Pods to be scheduled.
pub struct Work {
    pub pods: u64,
    pub make: fn(u64) -> Value,
}

/// Pods a second, and microseconds of CPU for each.
///
/// Upstream's scheduler is started beside the servers that run, and its time begins with the first
/// pod that got a node. Kutter is started again with its scheduler, and its time begins with the
/// process: loading everything from the disk included.
pub async fn schedule(bench: &Bench, kind: Kind, work: &Work) -> anyhow::Result<(f64, f64)> {
    let folder = bench.folder("schedule-")?;
    let mut served = Served::start(bench, kind, Parts::Unscheduled, folder.path()).await?;
    fill(&mut served, work).await?;
    let mut began = None;
    if kind == Kind::Kutter {
        served.stop().await?;
        began = Some(bench.env.clock.instant());
        served = Served::at_once(bench, kind, Parts::Scheduler, folder.path()).await?;
    }
    let before = if began.is_some() { 0.0 } else { served.side.cpu() };
    served.side.add(bench, Component::Scheduler)?;
    let seconds = all_bound(&mut served, work.pods, began).await?;
    let cpu = (served.side.cpu() - before) * 1e6 / work.pods as f64;
    served.stop().await?;
    Ok((work.pods as f64 / seconds, cpu))
}

async fn fill(served: &mut Served<'_>, work: &Work) -> anyhow::Result<()> {
    served.namespace(NAMESPACE).await?;
    let nodes = Load::http1(16, Until::Done(served.bench.sizes.nodes));
    let make: load::Make =
        Arc::new(|number| Shot::create("/api/v1/nodes", objects::node(number).to_string(), objects::node_name(number)));
    served.load(nodes, make).await?;
    // A new node is tainted as not ready until a controller sees that it is; upstream's does not run.
    let make: load::Make = Arc::new(|number| {
        let path = format!("/api/v1/nodes/{}", objects::node_name(number));
        Shot::patch(path, MERGE, r#"{"spec":{"taints":null}}"#, objects::node_name(number))
    });
    served.load(nodes, make).await?;
    let (path, make_pod) = (objects::pods_path(NAMESPACE), work.make);
    let make: load::Make = Arc::new(move |number| Shot::create(&path, make_pod(number).to_string(), MARK));
    served.load(Load::http1(32, Until::Done(work.pods)), make).await?;
    Ok(())
}

/// No pod got a node for so long: none will.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// Watches pods that have a node until all have one; seconds since `began`, or since the first.
async fn all_bound(served: &mut Served<'_>, pods: u64, mut began: Option<Instant>) -> anyhow::Result<f64> {
    let target = served.side.target.clone();
    let (mut sender, driver) = load::connect(&target, Protocol::Http1).await?;
    let driving = served.bench.env.tasks.spawn("connection", driver);
    let path = objects::pods_path(NAMESPACE);
    let shot = Shot::get(format!("{path}?watch=true&fieldSelector=spec.nodeName!="), "");
    let mut body = sender.start(&target, &shot).await?.into_body();
    let mut marks = Marks::new(b"{\"type\":\"ADDED\"");
    let clock = &served.bench.env.clock;
    while marks.count < pods {
        let frame = clock.timeout(STUCK_AFTER, body.frame()).await;
        let frame = frame.with_context(|| format!("only {} of {pods} pods got a node", marks.count))?;
        let frame = frame.context("the watch ended")??;
        marks.feed(frame.data_ref().map_or(&[][..], |data| data));
        if marks.count > 0 {
            began.get_or_insert_with(|| clock.instant());
        }
    }
    driving.abort();
    served.side.check()?;
    Ok(began.context("no pod got a node")?.elapsed().as_secs_f64())
}
